"""Generated landscapes: the same each time, various, and such that fires run in them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

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


def test_landscapes_are_various_and_of_known_fuels():
    lands = [generated_landscape(40, 40, seed) for seed in range(40)]
    names = [land.label.split(": ")[1].split(" (")[0] for land in lands]
    assert set(names) == set(REGIONS)
    for land, name in zip(lands, names, strict=True):
        assert set(np.unique(land.fuel_model)) <= {*REGIONS[name].models, 91, 98, 99}
        timber = np.isin(land.fuel_model, REGIONS[name].timber)
        assert ((land.canopy_cover_pct > 0) == timber).all()
        assert (land.canopy_base_height_m <= land.canopy_height_m).all()
    closed = np.array([1 - land.burnable.mean() for land in lands])
    assert closed.min() == 0
    assert 0.02 < np.median(closed) < 0.12
    assert closed.max() < 0.2
    valued = [np.unique(land.value).size > 1 for land in lands]
    assert 10 < sum(valued) < 30
    slopes = np.array([land.slope_deg.mean() for land in lands])
    assert slopes.min() < 5
    assert slopes.max() > 14


def test_nothing_of_the_demo_is_in_them():
    demo = Landscape.demo(40, 40, 0)
    for seed in range(10):
        land = generated_landscape(40, 40, seed)
        correlation = np.corrcoef(demo.elevation_m.ravel(), land.elevation_m.ravel())[0, 1]
        assert abs(correlation) < 0.95
        assert not np.array_equal(demo.fuel_model, land.fuel_model)


def test_fires_run_in_them():
    whole, rates, sizes = [], [], []
    for seed in range(40):
        land, season = generated_landscape(50, 50, seed), generated_season(seed)
        parts, _ = label(land.burnable)
        whole.append(np.bincount(parts.ravel())[1:].max() / land.burnable.sum())
        behavior = fire_behavior(land, season.weathers[8])
        rates.append(np.median(behavior.spread_rate_m_min[land.burnable]))
        fires = Fires.draw(land, 40, 0, weather=season, duration_min=240)
        sizes.append(spread(land, fires).burned_cells.mean())
    assert np.mean(np.array(whole) > 0.6) >= 0.95
    assert min(rates) > 0.1
    assert max(rates) < 60
    assert min(sizes) > 10


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
