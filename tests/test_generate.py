"""Generated landscapes: the same each time, various, and such that fires run in them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from fuelbreak.behavior import fire_behavior
from fuelbreak.errors import InputError
from fuelbreak.formats import write_raster
from fuelbreak.generate import REGIONS, generated_landscape, generated_season
from fuelbreak.landscape import LAYERS, Landscape
from fuelbreak.scenarios import Fires
from fuelbreak.spread import spread


def test_the_same_numbers_give_the_same_landscape_and_season():
    one, again, other = (generated_landscape(20, 30, seed, buffer_cells=4) for seed in (3, 3, 4))
    for layer in LAYERS:
        np.testing.assert_array_equal(getattr(one, layer), getattr(again, layer))
    assert (one.fuel_model != other.fuel_model).any()
    assert generated_season(3).weathers == generated_season(3).weathers
    assert generated_season(3).weathers != generated_season(4).weathers
    assert one.shape == (28, 38)
    assert one.aoi_window == (4, 4, 20, 30)
    assert one.label.startswith("generated 20 x 30, seed 3: ")
    assert "not for decisions" in one.label


@pytest.mark.parametrize("shape", [(4, 4), (4, 60), (100, 20)])
def test_any_size_can_be_made(shape):
    for seed in range(6):
        land = generated_landscape(*shape, seed)
        assert land.shape == shape
        assert land.treatable.any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("buffer", [3, 25])
def test_a_buffer_changes_nothing_inside(seed, buffer):
    alone, among = generated_landscape(20, 25, seed), generated_landscape(20, 25, seed, buffer_cells=buffer)
    inside = np.s_[buffer:-buffer, buffer:-buffer]
    for layer in LAYERS:
        np.testing.assert_array_equal(getattr(among, layer)[inside], getattr(alone, layer))
    assert among.treatable.sum() == alone.treatable.sum()  # nothing is treated in the ring
    assert among.transform[2] == alone.transform[2] - 30 * buffer
    assert among.transform[5] == alone.transform[5] + 30 * buffer


def test_landscapes_are_various_and_of_known_fuels():
    lands = [generated_landscape(50, 50, seed) for seed in range(60)]
    names = [land.label.split(": ")[1].split(" (")[0] for land in lands]
    assert set(names) == set(REGIONS)
    for land, name in zip(lands, names, strict=True):
        region = REGIONS[name]
        assert set(np.unique(land.fuel_model)) <= {*region.models, 91, 93, 98, 99}
        wooded = [model for model, cover in zip(region.models, region.cover_pct, strict=True) if cover]
        trees = np.isin(land.fuel_model, wooded)
        for layer in (land.canopy_cover_pct, land.canopy_height_m, land.canopy_bulk_density_kg_m3):
            assert (layer[trees] > 0).all()
            assert not layer[~trees].any()
        assert land.canopy_cover_pct.max() <= 75
        assert land.canopy_height_m.max() <= 25
        assert (land.canopy_base_height_m <= land.canopy_height_m / 2).all()
        assert land.canopy_bulk_density_kg_m3.max() <= 0.3
        assert 0.2 <= land.value.min() <= land.value.max() <= 20
        assert land.slope_deg.max() < 70
    closed = np.array([1 - land.burnable.mean() for land in lands])
    assert closed.min() == 0
    assert 0.03 < np.median(closed) < 0.09
    assert closed.max() < 0.13
    valued = [np.unique(generated_landscape(20, 20, seed).value).size > 1 for seed in range(300)]
    assert 0.4 < np.mean(valued) < 0.6
    slopes = np.array([land.slope_deg.mean() for land in lands])
    assert (slopes < 4).any()
    assert ((slopes > 5) & (slopes < 12)).any()
    assert (slopes > 14).any()
    for code in (91, 98, 99):
        assert 5 < sum((land.fuel_model == code).any() for land in lands) < 58


def test_timber_and_brush_grow_on_shaded_slopes():
    """Where land is steep, slopes that face south have the drier half of the region's fuels more often."""
    more = []
    for seed in range(60):
        land = generated_landscape(60, 60, seed)
        models = REGIONS[land.label.split(": ")[1].split(" (")[0]].models
        if land.slope_deg.mean() > 12:
            steep, dry = land.burnable & (land.slope_deg > 8), np.isin(land.fuel_model, models[:2])
            south = np.cos(np.radians(land.aspect_deg)) < 0
            more.append(dry[steep & south].mean() - dry[steep & ~south].mean())
    assert len(more) > 10
    assert np.mean(more) > 0.1


def test_rivers_run_lower_than_the_land_beside_them():
    depths = []
    for seed in range(60):
        land = generated_landscape(60, 60, seed)
        water = land.fuel_model == 98
        if water.mean() > 0.02:
            beside = binary_dilation(water, iterations=6) & ~water
            depths.append(land.elevation_m[beside].mean() - land.elevation_m[water].mean())
    assert len(depths) > 10
    assert np.mean(np.array(depths) > 0) > 0.9


def test_nothing_of_the_demo_is_in_them():
    demo = Landscape.demo(40, 40, 0)
    for seed in range(10):
        land = generated_landscape(40, 40, seed)
        assert (demo.elevation_m != land.elevation_m).mean() > 0.99
        correlation = np.corrcoef(demo.elevation_m.ravel(), land.elevation_m.ravel())[0, 1]
        assert abs(correlation) < 0.95
        assert (demo.fuel_model != land.fuel_model).mean() > 0.4


@pytest.mark.parametrize("seed", range(0, 200, 5))
def test_seasons_are_those_of_fire(seed):
    (design,) = generated_season(seed, weathers=1).weathers
    assert 10 <= design.wind_speed_kmh <= 40
    assert 3 <= design.dead_1h_pct <= 9
    assert design.dead_1h_pct < design.dead_10h_pct < design.dead_100h_pct <= 12
    assert 40 <= design.live_herb_pct <= 90
    assert 70 <= design.live_woody_pct <= 120
    assert len(generated_season(seed).weathers) == 16


def test_fires_run_in_them():
    for seed in range(40):
        land, season = generated_landscape(50, 50, seed), generated_season(seed)
        parts, _ = label(land.burnable)
        assert np.bincount(parts.ravel())[1:].max() > 0.6 * land.burnable.sum()
        rates = fire_behavior(land, season.weathers[8]).spread_rate_m_min[land.burnable]
        assert ((rates > 0.5) & (rates < 60)).mean() > 0.5
        fires = Fires.draw(land, 40, 0, weather=season, duration_min=120)
        burned = spread(land, fires).burned_cells
        assert burned.mean() > 10
        assert (burned < 5).mean() < 0.5


def test_they_can_be_written_as_gis_files(tmp_path):
    land = generated_landscape(10, 12, 1)
    write_raster(tmp_path / "fuel.tif", land.fuel_model, crs=land.crs, transform=land.transform)


WRONG = [(3, 10, 0, 0), (10, 3000, 0, 0), (10, 10, -1, 0), (10, 10, 1.5, 0), (10, 10, 0, -1), (9.5, 10, 0, 0)]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_made_is_refused(wrong):
    rows, cols, seed, buffer = wrong
    with pytest.raises(InputError, match="generated landscape"):
        generated_landscape(rows, cols, seed, buffer_cells=buffer)


@pytest.mark.parametrize("seed", [-1, 0.5, True, "three", None, float("nan"), float("inf"), 2**64])
def test_seeds_that_are_none_are_refused_in_one_line(seed):
    for made, make in (
        ("landscape", lambda: generated_landscape(10, 10, seed)),
        ("season", lambda: generated_season(seed)),
    ):
        with pytest.raises(InputError, match=f"^generated {made}: seed .*; give a whole number") as refused:
            make()
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("weathers", [0, -3, 1.5, True, None])
def test_a_season_needs_a_weather(weathers):
    with pytest.raises(InputError, match=r"^generated season: cannot make .* weathers; give a whole number"):
        generated_season(3, weathers=weathers)
