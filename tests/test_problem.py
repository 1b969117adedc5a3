"""What is asked before any fire burns: defaults, seasons, ignitions, saved fires; what cannot be is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_formats import GRID, point, square, write_bands, write_geojson
from test_streams import wxs

from fuelbreak import formats
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape
from fuelbreak.problem import Problem, ignition_density, make_problem, save_fires, saved_fires
from fuelbreak.scenarios import Fires, Season, Weather, fire_season
from fuelbreak.spread import spread

SHAPE = (24, 20)


@pytest.fixture(scope="module")
def land() -> Landscape:
    fuel = np.full(SHAPE, 102)
    fuel[:, 10] = 99
    return Landscape.from_arrays(
        fuel, crs=formats.normalize_crs("EPSG:32611"), transform=tuple(GRID)[:6], cell_size_m=30
    )


def problem(**settings: Any) -> Problem:
    return make_problem(Problem, settings, "run.json", {})


def test_fires_on_a_real_landscape_last_eight_hours_those_of_the_demo_one() -> None:
    assert problem().fire_simulation_max_duration == 60
    assert problem(landscape="some.tif").fire_simulation_max_duration == 480
    assert problem(landscape="some.tif", fire_simulation_max_duration=90).fire_simulation_max_duration == 90


def test_fires_that_live_through_a_burn_period_last_no_longer_than_that() -> None:
    asked = {"landscape": "some.tif", "weather_stream": "a.wxs", "weather_pick": "burn_periods"}
    assert problem(**asked).fire_simulation_max_duration == 480
    assert problem(**asked, burn_period="10,13").fire_simulation_max_duration == 180
    assert problem(**asked, burn_period=(6, 22)).fire_simulation_max_duration == 480
    with pytest.raises(InputError, match="burn_period"):
        problem(**asked, burn_period="ten,one")


def test_the_season_is_sixteen_weathers_about_the_design(land: Landscape) -> None:
    asked = problem(wind_speed_kmh=40, crown_method="finney", wind_limit=False)
    design = Weather(wind_speed_kmh=40, crown_method="finney", wind_limit=False)
    assert asked.season(land).weathers == fire_season(design)
    assert asked.told()["num_weathers"] == 16


def test_a_season_from_a_stream_with_moisture_by_fuel_model(land: Landscape, tmp_path: Path) -> None:
    (tmp_path / "a.fms").write_text("0 9 10 11 70 90\n102 9 12 13 40 60\n")
    asked = problem(
        weather_stream=str(wxs(tmp_path / "day.wxs")),
        moisture_file=str(tmp_path / "a.fms"),
        burn_period="12,16",
        num_weathers=3,
    )
    season = asked.season(land)
    assert len(season.weathers) == 3
    for weather in season.weathers:
        fine = weather.dead_1h_pct
        assert weather.sky is not None
        assert weather.sky.hour in range(12, 16)
        assert weather.by_fuel == ((0, fine, 10, 11, 70, 90), (102, fine, 12, 13, 40, 60))
        # Station wind counts from true north, which lies where the meridian does.
        assert weather.wind_from_deg % 10 == pytest.approx(
            formats.true_north_deg(land.crs or "", land.transform or (0,) * 6, SHAPE) % 10, abs=1e-9
        )


def test_wind_rasters_become_weathers_with_a_wind_of_their_own(land: Landscape, tmp_path: Path) -> None:
    speed = write_bands(tmp_path / "s.tif", [np.full(SHAPE, 10, np.float32)])
    direction = write_bands(tmp_path / "d.tif", [np.full(SHAPE, 30, np.float32)])
    pair = f"{speed},{direction}"
    metric, us = (problem(wind_rasters=pair, units=units).season(land).weathers for units in ("metric", "us"))
    assert len(metric) == len(us) == 1
    assert metric[0].wind is not None
    assert us[0].wind is not None
    np.testing.assert_array_equal(metric[0].wind.speed_kmh, 10)
    np.testing.assert_allclose(us[0].wind.speed_kmh, 10 * 1.609344 * 1.15, rtol=1e-6)
    two = problem(wind_rasters=f"{pair},{pair}").season(land).weathers
    assert len(two) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"wind_rasters": "one.tif"}, "give two files for each weather: wind speed, wind direction"),
        ({"wind_rasters": "a,b", "weather_stream": "c"}, "weather_stream and wind_rasters both say what wind there is"),
        ({"wind_rasters": "a,b", "num_weathers": 3}, "num_weathers is 3 but wind_rasters name 1 weathers"),
        ({"dead_1h_pct": 0.5}, "dead_1h_pct = 0.5: .*greater than or equal to 1"),
        ({"crown_methd": "finney"}, "unknown key 'crown_methd'; did you mean 'crown_method'"),
        ({"burn_period": "10"}, "burn_period = "),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        problem(**settings)


# ---- where fires start


def test_ignitions_by_a_raster_of_density(land: Landscape, tmp_path: Path) -> None:
    density = np.zeros(SHAPE, np.float32)
    density[2, 3], density[4, 5], density[6, 10] = 3, 1, 100  # the last does not burn
    path = str(write_bands(tmp_path / "a.tif", [density]))
    found, note = ignition_density(land, path)
    np.testing.assert_array_equal(found, density)
    assert note is None
    fires = Fires.draw(land, 4000, 0, weather=problem(ignitions=path).season(land))
    cells, counts = np.unique(fires.ignitions, axis=0, return_counts=True)
    assert cells.tolist() == [[2, 3], [4, 5]]
    assert counts[0] / 4000 == pytest.approx(0.75, abs=0.03)


def test_ignitions_at_points_by_their_weight_and_in_polygons(land: Landscape, tmp_path: Path) -> None:
    points = [point(0.5, 0.5), point(5.5, 6.5), point(5.5, 10.5), point(-4, 0)]
    path = write_geojson(tmp_path / "points.geojson", *points, weights=[1, 3, 1, 1])
    density, note = ignition_density(land, str(path))
    assert density[0, 0] == 1
    assert density[5, 6] == 3
    assert density.sum() == 5
    assert note is not None
    assert "of 4 points 1 lie outside the map and 1 on cells that do not burn; no fire starts there" in note
    path = write_geojson(tmp_path / "area.geojson", square(3, 2, 4, 5))
    density, note = ignition_density(land, str(path))
    assert note is None
    fires = Fires.draw(land, 500, 0, weather=problem(ignitions=str(path)).season(land))
    assert fires.ignitions.min(axis=0).tolist() == [3, 2]
    assert fires.ignitions.max(axis=0).tolist() == [6, 6]


def test_ignitions_that_cannot_be_are_refused(land: Landscape, tmp_path: Path) -> None:
    density = np.zeros(SHAPE, np.float32)
    nothing = write_bands(tmp_path / "a.tif", [density])
    with pytest.raises(InputError, match=r"a.tif: no fire can start: it is 0 on every burnable cell"):
        ignition_density(land, str(nothing))
    density[3, 4] = -1
    with pytest.raises(InputError, match=r"b.tif: ignition density is -1 at row 3, column 4; give 0 or more"):
        ignition_density(land, str(write_bands(tmp_path / "b.tif", [density])))
    path = write_geojson(tmp_path / "c.geojson", point(1, 1), weights=["much"])
    with pytest.raises(InputError, match=r"its column weight must be numbers from 0"):
        ignition_density(land, str(path))


# ---- a saved set, used again


@pytest.mark.parametrize("series", [None, [[0, 1, 2, 1], [2, 2, 0, 1]]])
def test_saved_fires_burn_to_the_bits_of_the_first_time(land: Landscape, series: Any, tmp_path: Path) -> None:
    season = Season(fire_season(weathers=3), None if series is None else np.array(series, np.int32), 15.0)
    fires = Fires.draw(land, 50, 3, weather=season, duration_min=50, purpose="heldout")
    before = spread(land, fires)
    save_fires(tmp_path / "fires.gpkg", land, fires, before.burned_area_ha)
    again = saved_fires(tmp_path / "fires.gpkg", land, season)
    assert again.digest == fires.digest
    assert again.origin == "heldout:3"
    np.testing.assert_array_equal(again.number, fires.number)
    np.testing.assert_array_equal(spread(land, again).loss, before.loss)
    with pytest.raises(InputError, match=r"burned in other weathers than these; give the weather options"):
        saved_fires(tmp_path / "fires.gpkg", land, Season(fire_season(weathers=4)))


def test_saved_fires_beyond_the_map_are_refused(land: Landscape, tmp_path: Path) -> None:
    fires = Fires([(0, 0), (20, 5)], Weather())
    save_fires(tmp_path / "fires.gpkg", land, fires, np.ones(2))
    part = Landscape.from_arrays(
        land.fuel_model[5:, :], crs=land.crs, transform=(30, 0, 500_000, 0, -30, 5_000_000 - 150), cell_size_m=30
    )
    with pytest.raises(InputError, match=r"1 of its 2 fires start outside the map; give the landscape, --window"):
        saved_fires(tmp_path / "fires.gpkg", part, Season((Weather(),)))


def days(path: Path, n: int) -> Path:
    """A record of n days, each of a wind of its own: the day's number in mph."""

    def change(lines: list[str]) -> None:
        header, day = lines[:3], lines[3:]
        lines[:] = header
        for number in range(1, n + 1):
            for line in day:
                year, month, _, hour, temperature, humidity, rain, _, wind_from, cloud = line.split()
                rows = year, month, str(number), hour, temperature, humidity, rain, str(number), wind_from, cloud
                lines.append(" ".join(rows))
        lines[2] = f"RAWS: {24 * n}"

    return wxs(path, change=change)


def winds(season: Season) -> set[int]:
    return {round(weather.wind_speed_kmh / (1.609344 * 1.15)) for weather in season.weathers}


def test_every_fifth_day_of_a_record_is_kept_to_judge_in(land, tmp_path) -> None:
    ten = problem(weather_stream=str(days(tmp_path / "ten.wxs", 10)), num_weathers=1000)
    assert winds(ten.season(land)) == set(range(1, 11))
    assert winds(ten.season(land, "kept")) == {1, 2, 3, 4, 6, 7, 8, 9}
    unseen = ten.unseen_season(land)
    assert unseen is not None
    assert winds(unseen) == {5, 10}
    four = problem(weather_stream=str(days(tmp_path / "four.wxs", 4)), num_weathers=1000)
    assert winds(four.season(land, "kept")) == {1, 2, 3, 4}
    assert four.unseen_season(land) is None


def test_about_a_design_weather_other_winds_of_the_same_spread_are_unseen(land) -> None:
    design = problem(wind_speed_kmh=30, wind_from_deg=100)
    seen, unseen = design.season(land, "kept"), design.unseen_season(land)
    assert unseen is not None
    assert seen.weathers == design.season(land).weathers
    assert not set(seen.weathers) & set(unseen.weathers)
    assert np.mean([w.wind_speed_kmh for w in unseen.weathers]) == pytest.approx(30, rel=0.01)
    assert np.std([w.wind_from_deg for w in unseen.weathers]) == pytest.approx(
        np.std([w.wind_from_deg for w in seen.weathers]), rel=0.05
    )
    assert problem(num_weathers=1).unseen_season(land) is None  # one weather is all there is
