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
from fuelbreak.scenarios import (
    PURPOSES,
    SPLITMIX64_STEP,
    Fires,
    Season,
    Sky,
    Weather,
    WindGrid,
    _mix,
    fire_season,
    holding,
    mean_over,
)


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
        and np.array_equal(a.weather_index, b.weather_index)
        and a.period_min == b.period_min
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
        ({"n": 10**11}, "below 2\\^31"),
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
    for array in (fires.ignitions, fires.duration_min, fires.weather_index, fires.weight, fires.number):
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
        ({"weight": [1e308, 1e308]}, "each 1e100 at most, 1e-100 together"),
        ({"weight": [1e-300, 0]}, "each 1e100 at most, 1e-100 together"),
        ({"weight": [1, math.nan]}, "finite"),
        ({"weight": [1, 2, 3]}, "2 finite"),
        ({"weight": ["a", "b"]}, "finite"),
        ({"number": [0]}, "2 whole numbers from 0"),
        ({"number": [0, -1]}, "2 whole numbers from 0"),
        ({"number": [0, 0.5]}, "2 whole numbers from 0"),
        ({"number": [[0, 1]]}, "2 whole numbers from 0"),
        ({"period_min": 0}, "period_min is 0; give finite minutes above 0"),
        ({"period_min": -60}, "period_min is -60"),
        ({"period_min": math.inf}, "period_min is inf"),
        ({"period_min": math.nan}, "period_min is nan"),
        ({"period_min": "hourly"}, "period_min is 'hourly'"),
    ],
)
def test_impossible_fires_are_refused_by_name(change, says):
    with pytest.raises(InputError, match=says):
        Fires(**({"ignitions": [(1, 2), (3, 4)], "weather": Weather()} | change))


def test_one_fire_may_burn_for_ever():
    assert Fires([(0, 0)], Weather(), math.inf).duration_min.tolist() == [math.inf]


# ---- weather that changes while a fire burns


BANK = fire_season(weathers=5)


def changing(**change) -> Fires:
    """Three fires of at most two hours in hourly weather."""
    return Fires(
        **(
            {
                "ignitions": [(1, 2), (3, 4), (5, 6)],
                "weather": BANK,
                "duration_min": [60, 120, 90],
                "weather_index": [[0, 1], [2, 2], [4, 3]],
                "weight": [1, 2, 3],
            }
            | change
        )
    )


def test_a_series_has_a_weather_for_each_period():
    fires = changing(weather_index=np.asfortranarray([[0, 1], [2, 2], [4, 3]]))
    assert fires.is_series
    assert fires.weather_index.tolist() == [[0, 1], [2, 2], [4, 3]]
    assert fires.weather_index.dtype == np.int32
    assert fires.weather_index.flags.c_contiguous
    assert fires.period_min == 60
    assert not Fires([(1, 2)], BANK).is_series
    with pytest.raises(ValueError, match="read-only"):
        fires.weather_index[0, 0] = 3
    assert pickle.loads(pickle.dumps(fires)).digest == fires.digest


@pytest.mark.parametrize("index", [[[0], [2], [4]], [[0, 0], [2, 2], [4, 4]]])
def test_a_series_that_never_changes_is_constant_weather(index):
    constant, fires = changing(weather_index=[0, 2, 4]), changing(weather_index=index, period_min=120)
    assert not fires.is_series
    assert fires.weather_index.tolist() == [0, 2, 4]
    assert fires.digest == constant.digest
    with pytest.raises(ValueError, match="read-only"):
        fires.weather_index[0] = 1


def test_take_keeps_the_series_and_the_numbers():
    fires = changing(period_min=90)
    some = fires.take(np.array([2, 0]))
    assert some.weather_index.tolist() == [[4, 3], [0, 1]]
    assert some.period_min == 90
    assert some.number.tolist() == [2, 0]
    assert some.take(np.array([1, 1])).number.tolist() == [0, 0]
    assert fires.take(np.arange(3)).digest == fires.digest
    assert not fires.take(np.array([1])).is_series  # the one fire whose weather stays


def test_numbers_are_counted_or_given_and_do_not_change_the_digest():
    assert changing().number.tolist() == [0, 1, 2]
    assert changing().number.dtype == np.int64
    assert changing(number=[7, 7, 2**40]).number.tolist() == [7, 7, 2**40]
    assert changing(number=[7, 7, 2**40]).digest == changing().digest


def test_the_digest_names_the_series_and_its_period_but_not_a_period_without_series():
    digest = changing().digest
    for change in (
        {"weather_index": [[0, 1], [2, 2], [4, 4]]},
        {"weather_index": [[0, 1, 2], [2, 2, 2], [4, 3, 4]]},
        {"weather_index": [0, 2, 4]},
        {"period_min": 61},
    ):
        assert changing(**change).digest != digest, change
    constant = {"weather_index": [0, 2, 4]}
    assert changing(**constant, period_min=61).digest == changing(**constant).digest


def test_digests_of_constant_weather_are_those_in_files_written_before_there_were_series():
    slow = Weather(wind_speed_kmh=5)
    fires = Fires([(1, 2), (3, 4), (5, 6)], [Weather(), slow], [10, 20, 30], [0, 1, 0], [1, 2, 3])
    assert fires.digest == "781b037aa64d5365"
    drawn = Fires.draw(Landscape.from_arrays(np.full((17, 23), 102)), 20, 3, duration_min=90)
    assert drawn.digest == "e87b6a09ff0df3b1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"duration_min": [60, 121, 90]}, "duration_min is 121 but the weather series ends after 120 minutes"),
        ({"duration_min": math.inf}, "duration_min is inf but the weather series ends after 120 minutes"),
        ({"duration_min": 61, "weather_index": [[0], [2], [4]]}, "series ends after 60 minutes"),
        ({"duration_min": 121, "weather_index": [[1, 1]] * 3}, "series ends after 120 minutes"),
        ({"period_min": 44.5}, "series ends after 89 minutes"),
        ({"period_min": 60.01}, r"period_min is 60.01, no whole number of 1/64 minutes.* give 60.015625$"),
        ({"period_min": 1e-3}, r"give 0.015625$"),
        ({"period_min": 2.0**16}, "ends after 131072 minutes; give fewer or shorter periods, less than 131072"),
        ({"period_min": 1e308}, "less than 131072 minutes"),  # times 64 it is no finite number
        ({"period_min": 10**400}, "give finite minutes above 0"),
        ({"period_min": 0}, "period_min is 0"),
        ({"weather_index": [[0, 1], [2, 2], [4, 5]]}, "3 whole numbers from 0 to 4, or 3 rows of them"),
        ({"weather_index": [[0, 1], [2, 2], [4, -1]]}, "0 to 4"),
        ({"weather_index": [[0, 1], [2, 2]]}, "3 rows"),
        ({"weather_index": [[0, 1], [2, 2], [4]]}, "3 rows"),
        ({"weather_index": [[], [], []]}, "3 rows"),
        ({"weather_index": [[[0]], [[1]], [[2]]]}, "3 rows"),
        ({"weather_index": 0}, "3 rows"),
        ({"weather_index": [[0, 1], [2, 2], [4, 0.5]]}, "whole numbers"),
    ],
)
def test_impossible_series_are_refused_by_name(change, says):
    with pytest.raises(InputError, match=says) as refused:
        changing(**change)
    assert "\n" not in str(refused.value)


@given(st.integers(1, 2**23 - 1), st.integers(1, 2000))
def test_ends_of_periods_are_exact_in_float32(ticks, periods):
    period = ticks / 64
    index = np.arange(periods)[None] % 2
    if periods * period < 2**17:
        fires = Fires([(0, 0)], BANK, 0.01, index, period_min=period)
        ends = np.arange(1, periods + 1).astype(np.float32) * np.float32(fires.period_min)
        assert (ends.astype(float) == np.arange(1, periods + 1) * period).all()
    else:
        with pytest.raises(InputError, match="less than 131072"):
            Fires([(0, 0)], BANK, 0.01, index, period_min=period)


def test_drawing_series_changes_nothing_but_the_weather(land):
    rows = np.array([[0, 1, 2], [4, 4, 3], [2, 2, 2], [1, 0, 1], [3, 3, 3]])
    fires = Fires.draw(land, 200, 5, weather=BANK, duration_min=90, series=rows, period_min=30)
    plain = Fires.draw(land, 200, 5, weather=BANK, duration_min=90)
    assert (fires.ignitions == plain.ignitions).all()
    assert (fires.weather_index == rows[plain.weather_index]).all()  # as many rows as weathers: the same draw
    assert fires.period_min == 30
    assert fires.number.tolist() == list(range(200))
    for n in (1, 7, 60):
        assert same_fires(
            Fires.draw(land, n, 5, weather=BANK, duration_min=90, series=rows, period_min=30), fires.take(np.arange(n))
        )


def test_series_are_drawn_evenly(land):
    fires = Fires.draw(land, 40_000, 3, weather=fire_season(weathers=20), series=np.arange(20).reshape(10, 2))
    counts = np.bincount(fires.weather_index[:, 0] // 2, minlength=10)
    assert abs(counts - 4000).max() < 5 * np.sqrt(4000)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"series": [0, 1]}, "series must be rows of whole numbers from 0 to 4"),
        ({"series": [[0, 5]]}, "0 to 4"),
        ({"series": [[0, 1], [-1, 0]]}, "0 to 4"),
        ({"series": [[0, 1], [0]]}, "all rows as long"),
        ({"series": []}, "rows"),
        ({"series": [[]]}, "rows"),
        ({"series": [[0, 1.5]]}, "whole numbers"),
        ({"series": "windy"}, "rows"),
        ({"series": [[0, 1]], "duration_min": 121}, "series ends after 120 minutes"),
        ({"series": [[0, 1]], "period_min": -1}, "period_min is -1"),
    ],
)
def test_impossible_series_are_not_drawn_from(land, change, says):
    with pytest.raises(InputError, match=says):
        Fires.draw(**({"landscape": land, "n": 4, "weather": BANK} | change))


# ---- whether breaks hold


def many_fires(n: int) -> Fires:
    return Fires(np.zeros((n, 2), int), Weather())


def test_the_mix_is_splitmix64():
    """First words of seed 1234567, as published with the reference generator splitmix64.c."""
    words = _mix(np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * SPLITMIX64_STEP)
    assert words.tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("chance", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_breaks_hold_as_often_as_asked_and_independently(chance, seed):
    """All within five standard deviations of what independent draws give."""
    fires, cells = 600, 500
    holds = holding(many_fires(fires), np.arange(cells), np.full(cells, chance), seed).astype(float) - chance
    variance = chance * (1 - chance)
    fire_below_cell = np.triu_indices(cells, 1)
    assert abs(holds.mean()) < 5 * np.sqrt(variance / holds.size)
    for a, b in (
        (holds[:, 1:], holds[:, :-1]),
        (holds[1:], holds[:-1]),
        (holds[1:, 1:], holds[:-1, :-1]),
        (holds[1:, :-1], holds[:-1, 1:]),
        (holds[:, 64:], holds[:, :-64]),
        (holds[64:], holds[:-64]),
        (holds[fire_below_cell], holds.T[fire_below_cell]),
    ):
        assert abs((a * b).mean()) / variance < 5 / np.sqrt(a.size)
    # Sums of independent draws spread as the binomial does, along a fire and along a cell.
    for axis, n in ((0, cells), (1, fires)):
        spread = holds.sum(axis=axis).var() / (holds.shape[axis] * variance)
        assert abs(spread - 1) < 5 * np.sqrt(2 / n)


def test_seeds_draw_apart():
    fires, cells = many_fires(300), np.arange(300)
    draws = [holding(fires, cells, np.full(300, 0.5), seed) - 0.5 for seed in (0, 1, 2)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert abs((draws[i] * draws[j]).mean()) / 0.25 < 5 / 300
    # Nor may a fire of one seed be another fire of the next.
    for shift in (1, 2):
        assert abs((draws[0][shift:] * draws[1][:-shift]).mean()) / 0.25 < 5 / 290


def test_all_thresholds_are_hit_by_one_uniform_draw():
    """At every probability that share holds, and what holds at one holds at every higher one."""
    fires, cells = many_fires(200), np.arange(200)
    before = np.zeros((200, 200), bool)
    for chance in np.linspace(0, 1, 21):
        holds = holding(fires, cells, np.full(200, chance), 4)
        assert not (before & ~holds).any()
        assert abs(holds.mean() - chance) <= 5 * np.sqrt(chance * (1 - chance) / holds.size)
        before = holds
    assert before.all()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_draw_belongs_to_its_fire_and_cell_in_any_subset_and_order(data):
    fires = changing(
        ignitions=np.zeros((12, 2), int), duration_min=60, weather_index=None, weight=None, number=np.arange(12) * 3
    )
    cells = np.array([0, 1, 5, 17, 2**31, 2**40, 9])
    chance = np.linspace(0.2, 0.8, 12 * 7).reshape(12, 7)
    seed = data.draw(st.integers(0, 2**70))
    whole = holding(fires, cells, chance, seed)
    rows = np.array(data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=15)))
    cols = np.array(data.draw(st.lists(st.integers(0, 6), max_size=9)), int)
    part = holding(fires.take(rows), cells[cols], chance[np.ix_(rows, cols)], seed)
    assert part.shape == (len(rows), len(cols))
    assert (part == whole[np.ix_(rows, cols)]).all()


def test_many_draws_are_made_in_blocks_that_do_not_show(monkeypatch):
    fires, cells, chance = many_fires(50), np.arange(30), np.full(30, 0.5)
    whole = holding(fires, cells, chance, 3)
    for block in (1, 31, 100):
        monkeypatch.setattr("fuelbreak.scenarios.HOLDING_BLOCK", block)
        assert (holding(fires, cells, chance, 3) == whole).all()


def test_each_fire_may_have_its_own_probability():
    holds = holding(many_fires(3), [4, 9], [[0, 1], [1, 0], [1, 1]])
    assert holds.tolist() == [[False, True], [True, False], [True, True]]
    assert holds.dtype == bool
    assert holding(many_fires(3), [], []).shape == (3, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hold_probability": [0.5, 1.1]}, "2 numbers from 0 to 1"),
        ({"hold_probability": [0.5, -0.1]}, "2 numbers from 0 to 1"),
        ({"hold_probability": [0.5, math.nan]}, "2 numbers from 0 to 1"),
        ({"hold_probability": [0.5]}, "2 numbers from 0 to 1, one a cell, or 3 rows"),
        ({"hold_probability": 0.5}, "2 numbers from 0 to 1"),
        ({"hold_probability": np.full((2, 3), 0.5)}, "3 rows"),
        ({"hold_probability": np.full((1, 2), 0.5)}, "3 rows"),
        ({"hold_probability": ["a", "b"]}, "2 numbers"),
        ({"cells": [1, -1]}, "flat cell numbers"),
        ({"cells": [(0, 1)]}, "flat cell numbers"),
        ({"cells": [0.5, 1]}, "flat cell numbers"),
        ({"cells": 3}, "flat cell numbers"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_impossible_holding_is_refused(change, says):
    with pytest.raises(InputError, match=says):
        holding(**({"fires": many_fires(3), "cells": [1, 2], "hold_probability": [0.5, 0.5]} | change))


# ---- what may differ from weather to weather, from cell to cell, from place to place


def test_weathers_are_drawn_in_proportion_to_their_weights() -> None:
    land = Landscape.from_arrays(np.full((10, 10), 102))
    bank = [Weather(weight=weight) for weight in (1, 3, 0.5, 5.5)]
    drawn = Fires.draw(land, 40_000, 3, weather=bank)
    share = np.bincount(drawn.weather_index, minlength=4) / len(drawn)
    np.testing.assert_allclose(share, [0.1, 0.3, 0.05, 0.55], atol=0.01)
    assert mean_over(bank, [1.0, 2.0, 4.0, 8.0]) == pytest.approx(0.1 + 0.6 + 0.2 + 4.4)
    same = Fires.draw(land, 100, 3, weather=[Weather(weight=7), Weather(wind_speed_kmh=3, weight=7)])
    plain = Fires.draw(land, 100, 3, weather=[Weather(), Weather(wind_speed_kmh=3)])
    np.testing.assert_array_equal(same.weather_index, plain.weather_index)


def test_fires_start_where_the_density_says() -> None:
    fuel = np.full((4, 5), 102)
    fuel[2, 3] = 99
    land = Landscape.from_arrays(fuel)
    density = np.full((4, 5), np.nan)
    density[0, 0], density[1, 4], density[2, 3] = 1e-3, 3e-3, 100  # the last on rock
    drawn = Fires.draw(land, 8000, 1, density=density)
    assert {(0, 0), (1, 4)} == {tuple(place) for place in drawn.ignitions.tolist()}
    assert (drawn.ignitions[:, 0] == 1).mean() == pytest.approx(0.75, abs=0.02)
    everywhere = Fires.draw(land, 50, 1, density=np.full((4, 5), 0.3))
    np.testing.assert_array_equal(everywhere.ignitions, Fires.draw(land, 50, 1).ignitions)
    season = Season((Weather(),), density=density)
    np.testing.assert_array_equal(Fires.draw(land, 8000, 1, weather=season).ignitions, drawn.ignitions)
    few, many = (Fires.draw(land, n, 1, density=density) for n in (10, 100))
    np.testing.assert_array_equal(few.ignitions, many.ignitions[:10])


@pytest.mark.parametrize(
    ("density", "says"),
    [
        (np.zeros((3, 3)), "0 on every burnable cell"),
        (np.ones((3, 4)), "3 x 3 finite numbers"),
        (np.full((3, 3), -1.0), "none negative"),
        (np.full((3, 3), np.inf), "finite"),
        ("everywhere", "finite numbers"),
    ],
)
def test_a_density_that_cannot_be_is_refused(density: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Fires.draw(Landscape.from_arrays(np.full((3, 3), 102)), 5, density=density)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"by_fuel": [(1, 5, 6, 7, 60)]}, "rows of fuel model, 1-h"),
        ({"by_fuel": [(1, 5, 6, 7, 60, 301)]}, "live_woody_pct of fuel model 1 is 301 %; give 1 to 300"),
        ({"by_fuel": [(1, 5, 6, 7, 60, 90), (1, 5, 6, 7, 60, 90)]}, "fuel model 1 twice"),
        ({"by_fuel": 3}, "rows of fuel model"),
        ({"weight": 0}, "weight is 0"),
        ({"crown_method": "canadian"}, "give one of scott_reinhardt, finney, rothermel"),
        ({"crown_rate": "fast"}, "give one of rothermel, cruz"),
        ({"sky": "blue"}, "give a Sky"),
        ({"wind": 5}, "give a WindGrid"),
    ],
)
def test_a_weather_that_cannot_be_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Weather(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "says"),
    [((0, 12), "month is 0"), ((13, 12), "month"), ((6, 25), "hour"), ((6, 12, 101), "cloud_pct"),
     ((6, 12, 0, 1e5), "station_elevation_m")],
)  # fmt: skip
def test_a_sky_that_cannot_be_is_refused(given: tuple[float, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Sky(*given)  # type: ignore[arg-type]


def test_a_wind_grid_is_checked_compared_and_cut_by_content() -> None:
    speed, from_deg = np.arange(12.0).reshape(3, 4), np.full((3, 4), 360.0)
    grid = WindGrid(speed, from_deg)
    assert grid == WindGrid(speed, from_deg)
    assert hash(grid) == hash(WindGrid(speed, from_deg))
    assert grid != WindGrid(speed + 1, from_deg)
    weather = Weather(wind=grid)
    assert pickle.loads(pickle.dumps(weather)) == weather
    cut = weather.in_window(1, 1, 2, 3)
    assert cut.wind is not None
    np.testing.assert_array_equal(cut.wind.speed_kmh, speed[1:3, 1:4])
    assert Weather().in_window(1, 1, 2, 3) == Weather()
    for bad, says in (
        ((speed - 1, from_deg), "speed_kmh is -1 at row 0, column 0"),
        ((speed, from_deg + 1), "from_deg is 361 at row 0, column 0 .* give 0 to 360"),
        ((speed, from_deg[:2]), "one grid"),
        ((speed[0], from_deg), "rows x columns"),
        ((speed * np.nan, from_deg), "speed_kmh is nan"),
    ):
        with pytest.raises(InputError, match=says):
            WindGrid(*bad)  # type: ignore[arg-type]


def test_digests_tell_weathers_apart_by_all_they_hold() -> None:
    grid = WindGrid(np.ones((2, 2)), np.ones((2, 2)))
    bank = [
        Weather(),
        Weather(weight=2),
        Weather(sky=Sky(6, 12)),
        Weather(sky=Sky(6, 13)),
        Weather(by_fuel=((1, 5, 6, 7, 60, 90),)),
        Weather(wind=grid),
        Weather(crown_method="finney"),
        Weather(crown_rate="cruz"),
        Weather(wind_limit=False),
    ]
    assert len({Fires([(0, 0)], weather).digest for weather in bank}) == len(bank)
