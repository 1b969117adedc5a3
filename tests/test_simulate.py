"""Simulate, called as the parallelization analysis calls it."""

from __future__ import annotations

import numpy as np
import pytest

from fuelbreak import Simulate
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.parallel import available_cores
from fuelbreak.scenarios import Fires, Season, Weather, fire_season
from fuelbreak.simulate import compare_sizes
from fuelbreak.spread import SpreadResult, spread


@pytest.fixture(scope="module")
def simulate() -> Simulate:
    return Simulate(landscape=None, weather=None, seed=0)


def test_the_calls_of_the_analysis_work_as_they_stand(simulate):
    row, col, *inside = simulate.landscape.aoi_window
    assert inside == [50, 50]
    assert simulate.landscape.shape == (50 + 2 * row, 50 + 2 * col)
    assert row == col > 0  # the buffer
    assert simulate.weather == fire_season()
    simulate.set_parallel_simulations(enabled=True, max_workers=2)
    result = simulate.run_many_simulations(100, max_duration=60, plan=None)
    assert type(result) is SpreadResult
    fires = Fires.draw(simulate.landscape, 100, 0)
    plain = spread(simulate.landscape, fires)
    assert type(result) is type(plain)
    np.testing.assert_array_equal(result.burned_cells, plain.burned_cells)
    np.testing.assert_array_equal(result.burn_probability(), plain.burn_probability())
    np.testing.assert_array_equal(result.arrival_min(99), plain.arrival_min(99))
    assert result.arrival_min(99).shape == result.burn_probability().shape == simulate.landscape.shape


def test_parallel_gives_the_bits_of_the_sequential_fallback(simulate):
    plan = Plan.from_flat(simulate.landscape, np.flatnonzero(simulate.landscape.treatable)[::20])
    results = []
    for enabled, workers, used in ((False, None, 1), (True, 1, 1), (True, 2, 2), (True, 3, 3), (False, 3, 1)):
        simulate.set_parallel_simulations(enabled=enabled, max_workers=workers)
        assert simulate.workers == used
        results.append(simulate.run_many_simulations(80, max_duration=90, plan=plan))
    for result in results[1:]:
        np.testing.assert_array_equal(result.loss, results[0].loss)
        np.testing.assert_array_equal(result.burn_probability(), results[0].burn_probability())
        np.testing.assert_array_equal(result.arrival_min(11), results[0].arrival_min(11))
    unplanned = simulate.run_many_simulations(80, max_duration=90)
    assert results[0].loss.sum() < unplanned.loss.sum()


def test_it_starts_on_one_core_and_takes_all_when_none_are_named(simulate):
    fresh = Simulate(simulate.landscape)
    assert fresh.workers == 1
    fresh.set_parallel_simulations()
    assert fresh.workers == available_cores()
    with pytest.raises(InputError, match="at least 1"):
        fresh.set_parallel_simulations(True, max_workers=0)


def test_the_seed_and_purpose_choose_the_fires(simulate):
    land = simulate.landscape
    assert simulate.run_many_simulations(5).fires.digest == simulate.run_many_simulations(5).fires.digest
    assert Simulate(land, seed=1).run_many_simulations(5).fires.digest != simulate.run_many_simulations(5).fires.digest
    heldout = simulate.run_many_simulations(5, purpose="heldout").fires
    assert heldout.digest == Fires.draw(land, 5, 0, purpose="heldout").digest


def test_one_weather_and_the_duration_are_those_given():
    land = Landscape.from_arrays(fuel_model=np.full((9, 9), 102, np.int16))
    result = Simulate(land, Weather(wind_speed_kmh=8), seed=3).run_many_simulations(4, 15)
    assert result.fires.weather == (Weather(wind_speed_kmh=8),)
    assert (result.fires.duration_min == 15).all()
    for wrong in ([], "windy", [Weather(), 3]):
        with pytest.raises(InputError, match="must be a Weather or a list of Weather"):
            Simulate(land, wrong)
    with pytest.raises(InputError, match="at least 1"):
        Simulate(land).run_many_simulations(0)
    with pytest.raises(InputError, match="above 0"):
        Simulate(land).run_many_simulations(1, max_duration=0)


def test_past_sizes_find_the_duration_that_made_them() -> None:
    """Sizes of fires that burned for 100 minutes, other fires: the duration is found again."""
    land = Landscape.from_arrays(np.random.default_rng(1).choice([101, 102, 122], (150, 150)))
    past = spread(land, Fires.draw(land, 150, 9, weather=fire_season(), duration_min=100)).burned_area_ha
    said: list[str] = []
    fit = compare_sizes(land, fire_season(), past, n=200, seed=1, say=lambda stage, done, message: said.append(message))
    assert 75 <= fit.best_duration_min <= 135
    assert fit.distance[fit.best] < 0.15
    assert fit.simulated_ha.shape == (len(fit.durations_min), 200)
    assert (np.diff(fit.durations_min) > 0).all()
    assert (np.diff(np.median(fit.simulated_ha, axis=1)) >= 0).all()
    assert f"use --duration {fit.best_duration_min:g}" in fit.verdict()
    assert len(said) == len(fit.durations_min) + 1


def test_sizes_that_one_duration_cannot_make_are_called_rough() -> None:
    land = Landscape.from_arrays(np.full((40, 40), 102))
    fit = compare_sizes(land, Weather(), [0.01] * 20 + [5000.0] * 20, n=50)
    assert fit.past_ha.min() == land.hectares_per_cell, "no simulated fire is smaller than a cell"
    assert "take the fit as rough" in fit.verdict()
    with pytest.raises(InputError, match="list of sizes in hectares"):
        compare_sizes(land, Weather(), [])


def test_durations_beyond_a_burn_period_are_not_tried() -> None:
    land = Landscape.from_arrays(np.full((40, 40), 102))
    season = Season((Weather(), Weather(wind_speed_kmh=5)), np.array([[0, 1, 0], [1, 1, 0]], np.int32), 60.0)
    fit = compare_sizes(land, season, [1.0, 10.0], n=20)
    assert fit.durations_min.max() <= 180
