"""The exact reference: branch and bound finds what trying all plans finds, and no plan beats the bound."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fuelbreak import planners
from fuelbreak.errors import InputError
from fuelbreak.exact import enumeration, exact, tree_bound
from fuelbreak.landscape import Landscape, Plan, Units
from fuelbreak.scenarios import Fires, Weather
from fuelbreak.spread import Ensemble, crossing_cells, spread

CASES = 50  # benchmarks/small_cases.py takes 200
SEARCHES = ("greedy", "swap_search", "segment_swap", "annealing", "sequential_dpv", "lines")


def small_case(seed: int) -> tuple[Landscape, Fires, int]:
    """4 x 4 to 6 x 6 cells of mixed fuels, winds and values, 12 fires, 2 to 4 cells to treat."""
    rng = np.random.default_rng([seed, 77])
    rows, cols = rng.integers(4, 7, 2)
    fuel = rng.choice([1, 2, 102, 122, 99], size=(rows, cols), p=[0.3, 0.3, 0.15, 0.15, 0.1]).astype(np.int16)
    fuel[rng.integers(rows), :2] = 1
    value = rng.integers(1, 5, fuel.shape) if seed % 2 else np.ones(fuel.shape)
    land = Landscape.from_arrays(fuel_model=fuel, value=value)
    bank = [Weather(wind_speed_kmh=float(rng.uniform(0, 30)), wind_from_deg=float(rng.uniform(0, 360))) for _ in "abc"]
    fires = Fires.draw(land, 12, seed, weather=bank, duration_min=float(rng.uniform(15, 90)))
    return land, fires, int(rng.integers(2, 5)) if rows * cols <= 30 else int(rng.integers(2, 4))


def loss_of(land: Landscape, fires: Fires, plan: Plan) -> float:
    return spread(land, fires, plan, workers=1).mean_loss


@pytest.fixture(scope="module")
def solved():
    """Each case with its optimum by trying all plans."""
    return [(*case, *enumeration(*case)) for case in map(small_case, range(CASES))]


def test_enumeration_is_trying_every_plan_with_fires_burned_anew():
    for seed in range(4):
        land, fires, _ = small_case(seed)
        cells = np.flatnonzero(land.treatable)
        losses = [
            loss_of(land, fires, Plan.from_flat(land, np.array(pair))) for pair in combinations(cells.tolist(), 2)
        ]
        plan, loss = enumeration(land, fires, 2)
        assert loss == min(losses)
        assert loss_of(land, fires, plan) == loss


def test_the_exact_method_equals_enumeration_always(solved):
    for land, fires, n, _, best in solved:
        plan = exact(land, fires, n)
        assert len(plan) <= n
        assert loss_of(land, fires, plan) == best


def test_no_plan_avoids_more_than_the_bound_says(solved):
    gaps = []
    for land, fires, n, _, best in solved:
        bound = tree_bound(land, fires, n)
        untreated = spread(land, fires, workers=1).mean_loss
        avoided = 1 - best / untreated
        assert bound.proven
        assert avoided <= bound.avoided + 1e-9
        assert len(bound.plan) <= n
        gaps.append(bound.avoided - avoided)
    assert 0 < np.mean(gaps) < 0.5  # fire goes round, but the bound says something


def test_the_best_planner_comes_within_one_percent_of_the_optimum(solved):
    gaps = []
    for land, fires, n, _, best in solved:
        untreated = spread(land, fires, workers=1).mean_loss
        found = min(loss_of(land, fires, planners.PLANNERS[name](land, fires, n)) for name in SEARCHES)
        assert found >= best
        gaps.append(1 - (untreated - found) / (untreated - best) if untreated > best else 0.0)
    assert np.mean(gaps) <= 0.01


def test_the_bound_is_the_truth_where_fire_cannot_go_round():
    corridor = Landscape.from_arrays(fuel_model=np.full((1, 12), 1, np.int16))
    fires = Fires([(0, 0)], Weather(wind_speed_kmh=0), np.inf)
    bound, plan = tree_bound(corridor, fires, 1), exact(corridor, fires, 1)
    assert plan.cells.tolist() == [1]  # next to the ignition
    assert bound.avoided == pytest.approx(11 / 12)
    assert loss_of(corridor, fires, plan) == 1


def test_costs_must_and_excluded_bind_the_exact_method_too():
    for seed in range(12):
        land, fires, _ = small_case(seed)
        cells = np.flatnonzero(land.treatable)
        rng = np.random.default_rng(seed)
        cost = rng.integers(1, 4, len(cells)).astype(float)
        must = np.arange(len(cells)) == 2
        excluded = np.arange(len(cells)) % 5 == 0
        units = Units(cells[:, None], land.shape, cost=cost, must=must, excluded=excluded)
        budget = cost[2] + 4
        free = np.flatnonzero(~must & ~excluded)
        best = min(
            loss_of(land, fires, Plan.from_flat(land, cells[[2, *some]]))
            for n in range(5)
            for some in combinations(free.tolist(), n)
            if cost[list(some)].sum() <= 4
        )
        plan = exact(land, fires, f"${budget:g}", units=units)
        assert loss_of(land, fires, plan) == best
        assert plan.cost.sum() <= budget
        assert cells[2] in plan.cells
        assert (
            1 - best / spread(land, fires).mean_loss
            <= tree_bound(land, fires, f"${budget}", units=units).avoided + 1e-9
        )


def test_crossing_cells_are_those_whose_closing_shuts_the_edge():
    """Closing any of the first six makes the fire come otherwise; so does closing both flanks of a corner."""
    land = Landscape.from_arrays(fuel_model=np.full((9, 9), 1, np.int16))
    fires = Fires([(4, 4)], Weather(wind_speed_kmh=15, wind_from_deg=200), np.inf)
    ensemble = Ensemble(land, fires)
    ensemble.reset(0, np.arange(1))
    trees = ensemble.trees()
    crossing = crossing_cells(trees, land.shape)
    arrival = spread(land, fires).arrival_min(0)
    np.testing.assert_array_equal(arrival.flat[trees.cell], trees.arrival_min)
    ignition = 4 * 9 + 4
    assert (crossing[trees.parent < 0] == -1).all()
    for i in np.flatnonzero(trees.parent >= 0)[::5]:
        for cell in set(crossing[i, 1:6].tolist()) - {-1, ignition}:
            after = spread(land, fires, Plan.from_flat(land, [cell])).arrival_min(0)
            assert after.flat[trees.cell[i]] > trees.arrival_min[i]
        flanks = set(crossing[i, 6:].tolist()) - {-1, ignition}
        if len(flanks) == 2:
            after = spread(land, fires, Plan.from_flat(land, list(flanks))).arrival_min(0)
            assert after.flat[trees.cell[i]] > trees.arrival_min[i]


def test_too_many_plans_and_impossible_budgets_are_refused():
    land = Landscape.from_arrays(fuel_model=np.full((30, 30), 1, np.int16))
    fires = Fires.draw(land, 3, 0)
    with pytest.raises(InputError, match=r"enumeration: .* plans of 5 of 900 units"):
        enumeration(land, fires, 5)
    with pytest.raises(InputError, match="budget"):
        exact(land, fires, 0)
    units = Units(np.array([[0], [1]]), land.shape, must=np.array([True, True]))
    with pytest.raises(InputError, match="must be treated"):
        exact(land, fires, 1, units=units)
