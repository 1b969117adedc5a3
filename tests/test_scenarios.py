"""Weather and fires: what is refused, and that fire i of a seed and purpose is always the same fire."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape
from fuelbreak.scenarios import PURPOSES, Fires, Weather, fire_season


@pytest.fixture(scope="module")
def land() -> Landscape:
    fuel = np.random.default_rng(0).choice([1, 102, 99, 0], size=(17, 23), p=[0.4, 0.3, 0.2, 0.1]).astype(np.int16)
    return Landscape.from_arrays(fuel_model=fuel)


# ---- weather


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("wind_speed_kmh", -1, "0 to 200"),
        ("wind_speed_kmh", 201, "0 to 200"),
        ("wind_from_deg", -1, "0 to 360"),
        ("wind_from_deg", 361, "0 to 360"),
        ("dead_1h_pct", 0.5, "1 to 300"),
        ("dead_10h_pct", 0, "1 to 300"),
        ("dead_100h_pct", 301, "1 to 300"),
        ("live_herb_pct", -5, "1 to 300"),
        ("live_woody_pct", 1000, "1 to 300"),
        ("foliar_pct", 0, "1 to 300"),
        ("wind_speed_kmh", math.nan, "finite"),
        ("dead_1h_pct", math.inf, "finite"),
        ("wind_from_deg", "west", "finite number"),
        ("wind_speed_kmh", None, "finite number"),
    ],
)
def test_impossible_weather_is_refused_by_name(name, value, says):
    with pytest.raises(InputError, match=says) as refused:
        Weather(**{name: value})
    assert name in str(refused.value)


def test_weather_is_frozen_and_holds_floats():
    weather = Weather(wind_speed_kmh=20, wind_from_deg=np.int64(90))
    assert type(weather.wind_speed_kmh) is float
    assert type(weather.wind_from_deg) is float
    with pytest.raises(dataclasses.FrozenInstanceError):
        weather.wind_speed_kmh = 3.0


def test_us_wind_is_turned_to_10_m_and_metric():
    # 10 mph at 20 ft is 16.09 km/h there, and 15 % more at 10 m.
    assert Weather.us(wind_speed_20ft_mph=10, dead_1h_pct=4).wind_speed_kmh == pytest.approx(18.507, abs=0.001)
    assert Weather.us(wind_speed_20ft_mph=10, dead_1h_pct=4).dead_1h_pct == 4


def test_a_season_gusts_about_its_design_wind_and_leaves_moisture_alone():
    design = Weather(wind_speed_kmh=40, wind_from_deg=0, dead_1h_pct=3)
    bank = fire_season(design, weathers=64)
    speeds = np.array([weather.wind_speed_kmh for weather in bank])
    assert speeds.mean() == pytest.approx(40, rel=1e-6)
    assert speeds.std() == pytest.approx(12, rel=0.02)
    turns = [weather.wind_from_deg for weather in bank]
    assert 0 <= min(turns) < 90 < 270 < max(turns) < 360  # both sides of north, never negative
    assert {weather.dead_1h_pct for weather in bank} == {3.0}


@pytest.mark.parametrize("weathers", [4, 8, 16, 20, 32, 100])
def test_gusts_do_not_go_with_one_direction(weathers):
    bank = fire_season(Weather(wind_from_deg=180), weathers=weathers)
    speeds, turns = [w.wind_speed_kmh for w in bank], [w.wind_from_deg for w in bank]
    assert np.mean(speeds) == pytest.approx(25, rel=1e-6)
    assert np.mean(turns) == pytest.approx(180)
    assert abs(np.corrcoef(speeds, turns)[0, 1]) < (0.01 if weathers == 16 else 0.21)


def test_a_season_of_one_is_the_design_weather_and_of_no_spread_is_all_design():
    design = Weather(wind_speed_kmh=11)
    assert fire_season(design, weathers=1) == (design,)
    assert set(fire_season(design, weathers=5, direction_sd_deg=0, speed_cv=0)) == {design}
    assert fire_season() == fire_season(Weather())


def test_a_gusty_season_never_has_wind_below_zero_or_beyond_what_weather_takes():
    speeds = [weather.wind_speed_kmh for weather in fire_season(Weather(wind_speed_kmh=150), weathers=32, speed_cv=2)]
    assert min(speeds) == 0
    assert max(speeds) == 200


@pytest.mark.parametrize("wrong", [{"weathers": 0}, {"direction_sd_deg": -1}, {"speed_cv": 3}, {"speed_cv": math.nan}])
def test_an_impossible_season_is_refused(wrong):
    with pytest.raises(InputError):
        fire_season(**wrong)


# ---- drawn fires


def same_fires(a: Fires, b: Fires) -> bool:
    return (
        (a.ignitions == b.ignitions).all()
        and (a.weather_index == b.weather_index).all()
        and (a.duration_min == b.duration_min).all()
        and a.weather == b.weather
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**40), n=st.integers(1, 60), purpose=st.sampled_from(PURPOSES))
def test_fire_i_is_the_same_however_many_are_drawn(land, seed, n, purpose):
    many = Fires.draw(land, 60, seed, purpose=purpose)
    assert same_fires(Fires.draw(land, n, seed, purpose=purpose), many.take(np.arange(n)))


def test_purposes_and_seeds_never_share_a_stream(land):
    """Every (seed, purpose) has 200 draws of its own: two that met at any lag would share a run of fires."""
    streams = {}
    for seed in (0, 1, 2, 3, 2**32, 2**63):
        for purpose in PURPOSES:
            fires = Fires.draw(land, 200, seed, purpose=purpose, weather=fire_season(weathers=200))
            cell = fires.ignitions[:, 0] * 1000 + fires.ignitions[:, 1]
            streams[seed, purpose] = list(zip(cell.tolist(), fires.weather_index.tolist(), strict=True))
    seen: dict[tuple, tuple] = {}
    for key, stream in streams.items():
        for i in range(len(stream) - 2):
            run = tuple(stream[i : i + 3])
            assert seen.setdefault(run, key) == key, f"{key} and {seen[run]} share three fires in a row"


def test_ignitions_fall_on_burnable_cells_evenly_and_weathers_too(land):
    fires = Fires.draw(land, 40_000, 3, weather=fire_season(weathers=10))
    hits = np.zeros(land.shape, int)
    np.add.at(hits, tuple(fires.ignitions.T), 1)
    assert (hits[~land.burnable] == 0).all()
    counts = hits[land.burnable]
    expected = 40_000 / len(counts)
    # Chi-square of n cells has mean n - 1 and standard deviation sqrt(2 n): five of them either way.
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi2 - (len(counts) - 1)) < 5 * np.sqrt(2 * len(counts))
    weathers = np.bincount(fires.weather_index, minlength=10)
    assert abs(weathers - 4000).max() < 5 * np.sqrt(4000)


def test_ignitions_fall_in_the_buffer_too(land):
    inside = np.zeros(land.shape, bool)
    inside[6:10, 8:12] = True
    fires = Fires.draw(dataclasses.replace(land, area_of_interest=inside), 500, 0)
    assert not inside[tuple(fires.ignitions.T)].all()


def test_what_drawing_says_of_itself(land):
    fires = Fires.draw(land, 5, 9, purpose="heldout", duration_min=90)
    assert len(fires) == 5
    assert fires.origin == "heldout:9"
    assert fires.duration_min.tolist() == [90.0] * 5
    assert fires.weather == fire_season()
    assert (fires.weight == 1).all()
    assert Fires.draw(land, 2, 0, weather=Weather()).weather == (Weather(),)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"purpose": "test"}, "train, validate, heldout"),
        ({"n": 0}, "at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"duration_min": 0}, "above 0"),
        ({"duration_min": -5}, "above 0"),
        ({"weather": []}, "Weather"),
        ({"weather": "windy"}, "Weather"),
    ],
)
def test_impossible_draws_are_refused(land, change, says):
    with pytest.raises(InputError, match=says):
        Fires.draw(**({"landscape": land, "n": 4, "seed": 0} | change))


# ---- sets of fires


def test_the_digest_names_the_fires_and_not_where_they_come_from():
    def given_fires(**change) -> Fires:
        return Fires(
            **(
                {
                    "ignitions": [(1, 2), (3, 4)],
                    "weather": [Weather(), Weather(wind_speed_kmh=5)],
                    "duration_min": 60,
                    "weather_index": [0, 1],
                    "weight": [1, 2],
                }
                | change
            )
        )

    digest = given_fires().digest
    assert len(digest) == 16
    assert int(digest, 16) >= 0
    assert given_fires().digest == digest
    assert given_fires(origin="elsewhere").digest == digest
    for change in (
        {"ignitions": [(1, 2), (3, 5)]},
        {"weather": [Weather(), Weather(wind_speed_kmh=6)]},
        {"duration_min": [60, 61]},
        {"weather_index": [1, 1]},
        {"weight": [1, 3]},
    ):
        assert given_fires(**change).digest != digest, change


def test_take_keeps_everything_of_the_chosen_fires():
    fires = Fires([(1, 2), (3, 4), (5, 6)], [Weather(), Weather(wind_speed_kmh=5)], [10, 20, 30], [0, 1, 0], [1, 2, 3])
    some = fires.take(np.array([2, 0, 2]))
    assert some.ignitions.tolist() == [[5, 6], [1, 2], [5, 6]]
    assert some.duration_min.tolist() == [30, 10, 30]
    assert some.weather_index.tolist() == [0, 0, 0]
    assert some.weight.tolist() == [3, 1, 3]
    assert some.weather == fires.weather
    assert some.origin == fires.origin
    assert fires.take(np.arange(3)).digest == fires.digest


def test_fires_cannot_be_changed_and_keep_their_own_copy():
    ignitions = np.array([(1, 2), (3, 4)])
    fires = Fires(ignitions, Weather())
    digest = fires.digest
    ignitions[0] = 9
    assert fires.ignitions.tolist() == [[1, 2], [3, 4]]
    for array in (fires.ignitions, fires.duration_min, fires.weather_index, fires.weight):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        fires.origin = "train:0"
    assert pickle.loads(pickle.dumps(fires)).digest == digest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ignitions": []}, "at least one pair"),
        ({"ignitions": [(1, 2, 3)]}, "row, column"),
        ({"ignitions": [1, 2]}, "row, column"),
        ({"ignitions": [(1, 2), (3,)]}, "row, column"),
        ({"ignitions": [(1.5, 2)]}, "whole numbers"),
        ({"ignitions": [("a", "b")]}, "row, column"),
        ({"weather": []}, "weather"),
        ({"weather": [Weather(), 3]}, "weather"),
        ({"weather": None}, "weather"),
        ({"duration_min": 0}, "above 0"),
        ({"duration_min": math.nan}, "above 0"),
        ({"duration_min": [1, 2, 3]}, "one number or 2"),
        ({"duration_min": "long"}, "minutes"),
        ({"weather_index": [0, 1]}, "0 to 0"),
        ({"weather_index": [0, -1]}, "0 to 0"),
        ({"weather_index": [0]}, "2 whole numbers"),
        ({"weather_index": [0.5, 0]}, "whole"),
        ({"weight": [1, -1]}, "negative"),
        ({"weight": [0, 0]}, "zero"),
        ({"weight": [1, math.inf]}, "finite"),
        ({"weight": [1, 2, 3]}, "2 finite"),
        ({"weight": ["a", "b"]}, "finite"),
    ],
)
def test_impossible_fires_are_refused_by_name(change, says):
    with pytest.raises(InputError, match=says):
        Fires(**({"ignitions": [(1, 2), (3, 4)], "weather": Weather()} | change))


def test_one_fire_may_burn_for_ever():
    assert Fires([(0, 0)], Weather(), math.inf).duration_min.tolist() == [math.inf]
