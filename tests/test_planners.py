"""Every planner places what the budget pays for, where it may, the same each time; the good ones find what is good."""

from __future__ import annotations

import numpy as np
import pytest

from fuelbreak import planners
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import Fires, Weather
from fuelbreak.spread import spread

NAMES = tuple(planners.PLANNERS)


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
        assert plan.simulations == (12 * 50 if name == "sequential_dpv" else 50)
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


@pytest.mark.parametrize("name", ["burn_probability", "static_dpv", "sequential_dpv"])
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


def test_max_seconds_is_kept_and_the_budget_spent_all_the_same(land, fires):
    plan = planners.sequential_dpv(land, fires, 30, max_seconds=1e-9)
    check_plan(plan, land, 30)
    np.testing.assert_array_equal(plan.cells, planners.static_dpv(land, fires, 30).cells)
    assert plan.simulations == 50
    unhurried = planners.sequential_dpv(land, fires, 30, max_seconds=600)
    np.testing.assert_array_equal(unhurried.cells, planners.sequential_dpv(land, fires, 30).cells)


def test_progress_is_told_of_every_unit(land, fires):
    told = []
    planners.sequential_dpv(land, fires, 4, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
