"""Every planner places what the budget pays for, where it may, the same each time; the good ones find what is good."""

from __future__ import annotations

import numpy as np
import pytest

from fuelbreak import parallel, planners
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, Units, prices
from fuelbreak.objective import Objective
from fuelbreak.scenarios import Fires, Weather
from fuelbreak.spread import Ensemble, spread

NAMES = tuple(planners.PLANNERS)
ONCE = ("burn_probability", "static_dpv", "betweenness", "domirank")  # burn the fires once and no more
BURNING = tuple(name for name in NAMES if name != "random")
SEARCHES = ("swap_search", "segment_swap", "annealing")


@pytest.fixture(scope="module")
def land() -> Landscape:
    rng = np.random.default_rng(2)
    fuel = rng.choice([1, 2, 102, 122, 99], size=(24, 22), p=[0.2, 0.3, 0.2, 0.2, 0.1]).astype(np.int16)
    inside = np.zeros(fuel.shape, bool)
    inside[3:21, 3:19] = True
    return Landscape.from_arrays(
        fuel_model=fuel, area_of_interest=inside, value=rng.integers(0, 3, fuel.shape).astype(float)
    )


@pytest.fixture(scope="module")
def fires(land) -> Fires:
    return Fires.draw(land, 50, 0, duration_min=30)


def check_plan(plan: Plan, landscape: Landscape, units: int) -> None:
    assert len(plan.cells) == units
    assert len(np.unique(plan.cells)) == units
    assert landscape.treatable.ravel()[plan.cells].all()


def rounded_half_up(x: float) -> int:
    return int(np.floor(x + 0.5))


@pytest.mark.parametrize("name", NAMES)
def test_the_budget_is_spent_on_treatable_cells(land, fires, name):
    treatable = int(land.treatable.sum())
    five_percent = rounded_half_up(0.05 * treatable)
    for budget, units in (
        ("5%", five_percent),
        (0.05, five_percent),
        ("0.05", five_percent),
        (7, 7),
        ("7", 7),
        (1e-9, 1),
        (1.0, treatable),
    ):
        check_plan(planners.PLANNERS[name](land, fires, budget), land, units)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [0, "0%", -1, "lots", 10**6, 1.5, "101%"])
def test_an_impossible_budget_is_refused(land, fires, name, budget):
    with pytest.raises(InputError, match="budget"):
        planners.PLANNERS[name](land, fires, budget)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_call_gives_the_same_plan_and_says_how_it_was_made(land, fires, name):
    planner = planners.PLANNERS[name]
    plan, again = planner(land, fires, 12, seed=4), planner(land, fires, 12, seed=4)
    np.testing.assert_array_equal(plan.cells, again.cells)
    assert plan.method == name
    assert (plan.simulations, plan.cells_solved) == (again.simulations, again.cells_solved)
    assert plan.seconds >= 0
    if name == "random":
        assert (plan.simulations, plan.cells_solved, plan.chosen_on) == (0, 0, ())
        assert not np.array_equal(planner(land, fires, 12, seed=5).cells, plan.cells)
    else:
        if name in ONCE:
            assert plan.simulations == 50
        elif name == "sequential_dpv":
            assert plan.simulations == 12 * 50
        else:
            assert plan.simulations % 50 == 0
            assert plan.simulations > 50
        assert plan.cells_solved > 0
        assert plan.chosen_on == (fires.digest, "train:0")
    assert planners.planner(name.replace("_", "-")) is planner


def test_an_unknown_planner_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match="random, burn_probability, static_dpv, sequential_dpv"):
        planners.planner("magic")


def test_random_is_even_over_the_treatable_cells(land, fires):
    counts = np.zeros(land.shape[0] * land.shape[1])
    for seed in range(300):
        counts[planners.random(land, fires, 20, seed=seed).cells] += 1
    assert (counts[~land.treatable.ravel()] == 0).all()
    mean = 300 * 20 / land.treatable.sum()
    assert abs(counts[land.treatable.ravel()] - mean).max() < 6 * np.sqrt(mean)


def test_burn_probability_takes_the_cells_that_burn_most(land, fires):
    probability = np.where(land.treatable, spread(land, fires).burn_probability(), -1).ravel()
    plan = planners.burn_probability(land, fires, 15)
    np.testing.assert_array_equal(probability[plan.cells], np.sort(probability)[::-1][:15])


def test_sequential_dpv_starts_where_static_dpv_does_and_goes_on_better(land, fires):
    static, sequential = planners.static_dpv(land, fires, 20), planners.sequential_dpv(land, fires, 20)
    assert static.cells[0] == sequential.cells[0]
    assert set(static.cells) != set(sequential.cells)
    losses = {plan.method: spread(land, fires, plan).mean_loss for plan in (static, sequential)}
    assert losses["sequential_dpv"] < losses["static_dpv"]
    # A shorter budget is the beginning of a longer one.
    np.testing.assert_array_equal(planners.sequential_dpv(land, fires, 5).cells, sequential.prefix(5).cells)


def test_dpv_sees_value_and_not_mere_fire(land):
    """A cell is worth what burns through it: nothing where nothing of value lies behind."""
    value = np.zeros((9, 30))
    value[:, 20:] = 1.0
    strip = Landscape.from_arrays(fuel_model=np.full((9, 30), 1, np.int16), value=value)
    west = Weather(wind_speed_kmh=30, wind_from_deg=270)
    fires = Fires([(row, 0) for row in range(9)], west, 1e4)
    worthless = planners.static_dpv(Landscape.from_arrays(fuel_model=strip.fuel_model, value=0 * value), fires, 1)
    burned = spread(strip, fires).burn_probability()
    assert burned.flat[worthless.cells[0]] == burned.max()  # all worth nothing: where it burns most
    assert planners.static_dpv(strip, fires, 1).row_col[0, 1] > 0  # never an ignition: treating it stops nothing


@pytest.mark.parametrize("name", ["burn_probability", "static_dpv", "sequential_dpv"])
def test_where_no_fire_burned_breaks_are_scattered_and_make_no_block_in_a_corner(name):
    plain = Landscape.from_arrays(fuel_model=np.full((40, 40), 1, np.int16))
    fires = Fires([(30, 30), (31, 33)], Weather(), duration_min=4)
    burned = spread(plain, fires).burn_probability() > 0
    known = int(burned.sum())
    assert 5 < known < 200
    plan = planners.PLANNERS[name](plain, fires, known + 60)
    assert burned.flat[plan.cells[:known]].all()  # what is known comes first, ignitions too
    rest = plan.row_col[known:]
    assert (abs(rest.mean(axis=0) - 19.5) < 6).all()
    assert (rest.std(axis=0) > 8).all()
    np.testing.assert_array_equal(planners.PLANNERS[name](plain, fires, known + 60).cells, plan.cells)
    other = planners.PLANNERS[name](plain, fires, known + 60, seed=1)
    assert set(other.cells[known:]) != set(plan.cells[known:])


def test_ties_go_to_what_burns_most_then_to_what_lies_upstream_of_most():
    probability, downstream = np.array([[0.0, 0.5, 0.5, 0.2, 0.0]]), np.array([[0.0, 1.0, 2.0, 9.0, 0.0]])
    orders = [planners._preferred(probability, downstream, seed).tolist() for seed in range(20)]
    assert all(order[:3] == [2, 1, 3] for order in orders)
    assert {order[3] for order in orders} == {0, 4}


def corridor() -> tuple[Landscape, int]:
    """Two burnable halves, joined by a corridor one cell wide and six long; the value lies in the eastern half."""
    fuel = np.full((15, 30), 1, np.int16)
    fuel[:, 12:18] = 98
    fuel[7, 12:18] = 1
    value = np.zeros(fuel.shape)
    value[:, 18:] = 1.0
    return Landscape.from_arrays(fuel_model=fuel, value=value), 7 * 30


@pytest.mark.parametrize("name", ["static_dpv", "sequential_dpv"])
def test_dpv_closes_the_corridor_that_every_loss_comes_through(name):
    world, row_start = corridor()
    western = np.argwhere(world.burnable & (np.arange(30) < 12))
    rng = np.random.default_rng(0)
    fires = Fires(rng.permutation(western)[:40], Weather(wind_speed_kmh=10, wind_from_deg=270), np.inf)
    assert spread(world, fires).loss.min() == 180  # every fire comes through
    plan = planners.PLANNERS[name](world, fires, 1)
    assert plan.cells[0] - row_start in range(12, 18)
    assert spread(world, fires, plan).loss.max() == 0


# ---- limits


@pytest.mark.parametrize("name", BURNING)
def test_limits_that_leave_no_work_are_refused(land, fires, name):
    with pytest.raises(InputError, match=r"max_simulations: 49 .* 50 fires"):
        planners.PLANNERS[name](land, fires, 5, max_simulations=49)
    with pytest.raises(InputError, match="max_seconds: 0"):
        planners.PLANNERS[name](land, fires, 5, max_seconds=0)
    with pytest.raises(InputError, match="max_seconds"):
        planners.PLANNERS[name](land, fires, 5, max_seconds=float("nan"))


@pytest.mark.parametrize("limit", [50, 99, 100, 275, 500])
def test_max_simulations_is_kept_and_the_budget_spent_all_the_same(land, fires, limit):
    full = planners.sequential_dpv(land, fires, 10)
    plan = planners.sequential_dpv(land, fires, 10, max_simulations=limit)
    check_plan(plan, land, 10)
    assert plan.simulations <= limit
    assert plan.simulations == limit // 50 * 50
    # What was paid for is what the unlimited planner does.
    np.testing.assert_array_equal(plan.cells[: limit // 50], full.cells[: limit // 50])


@pytest.mark.parametrize("name", BURNING)
@pytest.mark.parametrize("limit", [50, 130, 1000, 4321])
def test_every_planner_keeps_to_max_simulations_and_spends_the_budget(land, fires, name, limit):
    plan = planners.PLANNERS[name](land, fires, 10, max_simulations=limit)
    check_plan(plan, land, 10)
    assert 50 <= plan.simulations <= limit


def test_max_seconds_is_kept_and_the_budget_spent_all_the_same(land, fires):
    plan = planners.sequential_dpv(land, fires, 30, max_seconds=1e-9)
    check_plan(plan, land, 30)
    np.testing.assert_array_equal(plan.cells, planners.static_dpv(land, fires, 30).cells)
    assert plan.simulations == 50
    for name in BURNING:
        check_plan(planners.PLANNERS[name](land, fires, 30, max_seconds=1e-9), land, 30)
    unhurried = planners.sequential_dpv(land, fires, 30, max_seconds=600)
    np.testing.assert_array_equal(unhurried.cells, planners.sequential_dpv(land, fires, 30).cells)


def test_progress_is_told_of_every_unit(land, fires):
    told = []
    planners.sequential_dpv(land, fires, 4, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


# ---- units, costs, masks


def stands(land: Landscape) -> Units:
    """Stands of 2 x 3 cells all over the map, of various costs, some excluded, two that must be treated."""
    rows, cols = land.shape
    label = np.arange(rows)[:, None] // 2 * 100 + np.arange(cols)[None, :] // 3
    groups = [np.flatnonzero(label.ravel() == one) for one in np.unique(label)]
    groups = [group for group in groups if land.treatable.ravel()[group].any()]
    cells = np.full((len(groups), 6), -1)
    for i, group in enumerate(groups):
        cells[i, : len(group)] = group
    rng = np.random.default_rng(3)
    flags = np.arange(len(groups))
    return Units.of_groups(
        land,
        cells,
        cost=rng.integers(1, 9, len(groups)) * 1000.0,
        must=np.isin(flags, [4, 11]),
        excluded=flags % 4 == 1,
        number=flags + 500,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", ["$40000", "4 ha", 7, "15%", "9 acres"])
def test_units_are_treated_whole_within_the_budget_without_the_excluded_and_with_the_musts(land, fires, name, budget):
    units = stands(land)
    plan = planners.PLANNERS[name](land, fires, budget, units=units)
    numbers = units.unit_of[plan.cells]
    chosen = list(dict.fromkeys(numbers.tolist()))
    assert sorted(plan.cells) == sorted(units.cells[chosen][units.cells[chosen] >= 0])
    assert plan.units == len(chosen)
    np.testing.assert_array_equal(plan.sizes, (units.cells[chosen] >= 0).sum(axis=1))
    np.testing.assert_array_equal(plan.cost, units.cost[chosen])
    assert chosen[:2] == np.flatnonzero(units.must).tolist()
    assert not units.excluded[chosen].any()
    price, amount = prices(land, units, budget)
    spent = price[chosen].sum()
    assert spent <= amount
    rest = ~units.excluded
    rest[chosen] = False
    assert (price[rest] > amount - spent).all()  # nothing more could be paid for
    spread(land, fires, plan)


@pytest.mark.parametrize("name", NAMES)
def test_costs_of_single_cells_and_masks_bind_every_planner(land, fires, name):
    cost = np.random.default_rng(0).integers(1, 5, land.shape).astype(float)
    must, excluded = np.zeros(land.shape, bool), np.zeros(land.shape, bool)
    must.flat[np.flatnonzero(land.treatable)[[3, 40]]] = True
    excluded[:, 10:] = True
    excluded &= ~must
    units = Units.of_cells(land, cost=cost, must=must, excluded=excluded)
    plan = planners.PLANNERS[name](land, fires, "30 money", units=units)
    assert cost.flat[plan.cells].sum() <= 30
    assert must.flat[plan.cells[:2]].all()
    assert not excluded.flat[plan.cells].any()


def test_impossible_units_and_budgets_are_refused(land, fires):
    units = stands(land)
    for budget, reason in (
        ("$0", "buys no fuel break"),
        ("$500", "must be treated take"),
        (1, "must be treated take"),
        ("$9999999", "more than all"),
        ("0.01 ha", "smallest unit"),
        (10**6, "only"),
    ):
        with pytest.raises(InputError, match=reason):
            planners.greedy(land, fires, budget, units=units)
    with pytest.raises(InputError, match="no unit has a cost"):
        planners.greedy(land, fires, "$500")
    cell = np.flatnonzero(land.treatable)[:2]
    for wrong, reason in (
        ({"cells": [[cell[0]], [cell[0]]]}, "two units"),
        ({"cells": [[cell[0]], [-1]]}, "no cell"),
        ({"cells": [[10**6]]}, "off the grid"),
        ({"cells": cell[:, None], "cost": [1.0, -2.0]}, "costs"),
        ({"cells": cell[:, None], "cost": [1.0]}, "cost has shape"),
        ({"cells": cell[:, None], "must": [True, False], "excluded": [True, False]}, "both"),
    ):
        with pytest.raises(InputError, match=reason):
            Units(**{"shape": land.shape, **wrong})
    with pytest.raises(InputError, match="none of 1"):
        Units.of_groups(land, [[0]])  # outside the area of interest


# ---- the rules themselves, beside slow twins


def naive_greedy(land: Landscape, fires: Fires, n: int) -> tuple[list[int], list[float]]:
    """Every unit tried by burning every fire anew."""
    chosen: list[int] = []
    losses = [spread(land, fires, workers=1).loss.sum()]
    for _ in range(n):
        tried = {
            int(cell): spread(land, fires, Plan.from_flat(land, [*chosen, cell]), workers=1).loss.sum()
            for cell in np.flatnonzero(land.treatable)
            if cell not in chosen
        }
        losses.append(min(tried.values()))
        chosen.append(min(tried, key=tried.__getitem__))
    return chosen, losses


def test_greedy_is_as_good_as_trying_every_unit(land, fires):
    few = fires.take(np.arange(15))
    plan = planners.greedy(land, few, 4)
    _, losses = naive_greedy(land, few, 4)
    for n in range(5):
        assert spread(land, few, plan.prefix(n) if n else None).loss.sum() == losses[n]
    assert plan.simulations < 15 * (1 + 4 * land.treatable.sum())  # bounds spared some


def trees_by_fire(land: Landscape, fires: Fires) -> list[dict[int, int]]:
    """Of each fire, where fire came from to each cell."""
    ensemble = Ensemble(land, fires)
    ensemble.reset(0, np.arange(len(fires)))
    trees = ensemble.trees()
    return [
        dict(zip(trees.cell[trees.fire == i].tolist(), trees.parent[trees.fire == i].tolist(), strict=True))
        for i in range(len(fires))
    ]


def small_world() -> tuple[Landscape, Fires]:
    rng = np.random.default_rng(5)
    small = Landscape.from_arrays(fuel_model=rng.choice([1, 2, 102, 99], size=(6, 7), p=[0.4, 0.3, 0.2, 0.1]))
    drawn = Fires.draw(small, 9, 1, duration_min=25)
    return small, Fires(
        drawn.ignitions, drawn.weather, drawn.duration_min, drawn.weather_index, rng.integers(1, 4, 9).astype(float)
    )


def test_betweenness_is_that_of_the_textbook():
    """Of all ordered pairs of cells, those whose one path runs through a cell between them."""
    small, few = small_world()
    expected = np.zeros(small.shape[0] * small.shape[1])
    for tree, weight in zip(trees_by_fire(small, few), few.weight, strict=True):
        for end in tree:
            path = [end]
            while tree[path[-1]] >= 0:
                path.append(tree[path[-1]])
            for i in range(1, len(path)):  # the pair of each cell before and the end, with all between
                for between in path[1:i]:
                    expected[between] += weight
    ensemble = Ensemble(small, few)
    ensemble.reset(0, np.arange(9))
    found = planners.tree_betweenness(ensemble.trees(), few.weight, small.shape)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-12)
    assert expected.max() > 10


@pytest.mark.parametrize("size", ["small", "large"])
def test_domirank_is_that_of_dense_algebra(land, fires, size):
    world, few = small_world() if size == "small" else (land, fires)
    ensemble = Ensemble(world, few)
    ensemble.reset(0, np.arange(len(few)))
    graph = planners.spread_graph(ensemble.trees(), few.weight, world.shape)
    dense = np.zeros(graph.shape)
    for tree, weight in zip(trees_by_fire(world, few), few.weight, strict=True):
        for cell, parent in tree.items():
            if parent >= 0:
                dense[parent, cell] += weight
                dense[cell, parent] += weight
    dense /= dense.max()
    np.testing.assert_allclose(graph.toarray(), dense, rtol=1e-12)
    some = np.flatnonzero(dense.any(axis=1))
    inner = dense[np.ix_(some, some)]
    sigma = -(1 - 1 / len(some) ** 1.5) / np.linalg.eigvalsh(inner)[0]
    expected = sigma * np.linalg.inv(sigma * inner + np.eye(len(some))) @ inner @ np.ones(len(some))
    np.testing.assert_allclose(planners.domirank_centrality(graph)[some], expected, rtol=1e-6, atol=1e-8)
    assert (planners.domirank_centrality(graph)[~dense.any(axis=1)] == 0).all()


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_never_end_worse_than_they_began(land, fires, name):
    start = planners.sequential_dpv(land, fires, 10)
    plan = planners.PLANNERS[name](land, fires, 10)
    assert spread(land, fires, plan).mean_loss < spread(land, fires, start).mean_loss
    limited = planners.PLANNERS[name](land, fires, 10, max_simulations=5000)
    assert spread(land, fires, limited).mean_loss <= spread(land, fires, start).mean_loss


@pytest.mark.parametrize("name", ["swap_search", "segment_swap"])
def test_swaps_start_from_any_plan(land, fires, name):
    search = getattr(planners, name)
    for start in (planners.random(land, fires, 10), "greedy", "lines"):
        plan = search(land, fires, 10, start=start)
        check_plan(plan, land, 10)
        before = planners.planner(start)(land, fires, 10) if isinstance(start, str) else start
        assert spread(land, fires, plan).mean_loss <= spread(land, fires, before).mean_loss
    with pytest.raises(InputError, match="more than the budget"):
        search(land, fires, 5, start=planners.random(land, fires, 10))
    with pytest.raises(InputError, match="magic"):
        search(land, fires, 5, start="magic")


def test_no_single_swap_betters_what_swap_search_returns(land):
    few = Fires.draw(land, 20, 3, duration_min=30)
    plan = planners.swap_search(land, few, 4)
    best = spread(land, few, plan).loss.sum()
    ensemble = Ensemble(land, few)
    for out in plan.cells:
        kept = plan.cells[plan.cells != out]
        ensemble.reset(0, np.arange(20))
        ensemble.treat(kept[None])
        bound = ensemble.bounds()[0]
        cells = np.flatnonzero(land.treatable)
        few_best = np.argsort(-bound, kind="stable")[: planners.TRIED + 1]
        for cell in cells[few_best]:
            if cell not in plan.cells:
                assert spread(land, few, Plan.from_flat(land, [*kept, cell])).loss.sum() >= best


def test_lines_join_what_does_not_burn():
    """A belt of grass between two lakes: the line that joins them stops every fire from the west."""
    fuel = np.full((12, 30), 1, np.int16)
    fuel[:4, 13:17] = 98
    fuel[9:, 13:17] = 98
    value = np.zeros(fuel.shape)
    value[:, 17:] = 1.0
    belt = Landscape.from_arrays(fuel_model=fuel, value=value)
    west = Fires([(row, 1) for row in range(12)], Weather(wind_speed_kmh=25, wind_from_deg=270), np.inf)
    plan = planners.lines(belt, west, 5)
    assert spread(belt, west, plan).loss.max() == 0
    assert spread(belt, west, planners.static_dpv(belt, west, 5)).loss.max() > 0


def test_travel_routes_are_blocked_across_the_wind_strip_by_strip():
    plain = Landscape.from_arrays(fuel_model=np.full((30, 60), 1, np.int16))
    west = Weather(wind_speed_kmh=30, wind_from_deg=270)
    fires = Fires([(row, 0) for row in range(5, 25)], west, 1e4)
    plan = planners.travel_routes(plain, fires, 30)
    strips = np.bincount(plan.row_col[:, 1] // 10, minlength=6)
    assert (strips == 5).all()  # a share in each of six strips of ten columns
    for strip in range(6):
        rows, cols = plan.row_col[plan.row_col[:, 1] // 10 == strip].T
        assert len(set(cols)) == 1  # across an east wind: one column
        assert np.ptp(rows) == 4


# ---- objectives


def test_every_planner_takes_any_objective(land, fires):
    tail = Objective(cvar=1.0, tail=0.2)
    scenario = Objective(scenario=np.arange(50) % 3)
    for name in NAMES:
        for objective in (tail, scenario):
            check_plan(planners.PLANNERS[name](land, fires, 6, objective=objective, max_simulations=3000), land, 6)
    with pytest.raises(InputError, match="scenarios are of 3 fires"):
        planners.greedy(land, fires, 6, objective=Objective(scenario=np.arange(3)))


@pytest.mark.parametrize("name", ["sequential_dpv", "greedy", "swap_search", "annealing"])
def test_a_plan_for_the_worst_fires_serves_those_better(name):
    """Many small fires in the west, some large in the east: the mean wants the west, the tail the east."""
    fuel = np.full((9, 40), 98, np.int16)
    fuel[4, :8] = 1
    fuel[:, 12:] = 1
    fuel[:, 14:16] = 98
    fuel[4, 14:16] = 1
    world = Landscape.from_arrays(fuel_model=fuel)
    fires = Fires(
        [(4, 0)] * 90 + [(4, 12)] * 10, Weather(wind_speed_kmh=0), np.inf, weight=np.array([9.0] * 90 + [1.0] * 10)
    )
    plans = [
        planners.PLANNERS[name](world, fires, 1, objective=objective)
        for objective in (None, Objective(cvar=1.0, tail=0.01))
    ]
    assert plans[0].cells[0] % 40 < 8
    assert 12 < plans[1].cells[0] % 40 < 17


def test_any_worker_count_gives_the_same_plan(land, fires, monkeypatch):
    for name in NAMES:
        told = []
        for workers in (1, 2, 3):
            monkeypatch.setattr(parallel, "available_cores", lambda workers=workers: workers)
            plan = planners.PLANNERS[name](land, fires, 8, max_simulations=4000)
            told.append((plan.cells.tolist(), plan.simulations, plan.cells_solved))
        assert told[0] == told[1] == told[2]
