"""What the agent sees against a slow twin; planning by it, alone and with search; what it is taught; its training."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from fuelbreak import leaderboard, lessons, planners, policy, pretrain
from fuelbreak.agents.dqn import DQN, DQNConfig
from fuelbreak.env import Episodes, channel_names
from fuelbreak.errors import InputError
from fuelbreak.generate import generated_landscape, generated_season
from fuelbreak.landscape import Landscape, Plan, Units, budget_units, prices
from fuelbreak.objective import Objective
from fuelbreak.scenarios import Fires
from fuelbreak.simulate import settle_duration
from fuelbreak.spread import spread
from fuelbreak.train import Interrupted


@pytest.fixture(scope="module")
def land() -> Landscape:
    return generated_landscape(20, 22, 77, buffer_cells=5)


@pytest.fixture(scope="module")
def fires(land) -> Fires:
    return Fires.draw(land, 60, 0, weather=generated_season(77), duration_min=60)


@pytest.fixture(scope="module")
def untrained():
    agent = DQN(len(policy.SIGHT), DQNConfig(width=8), prior_channel=policy.PRIOR)
    yield agent
    agent.close()


@pytest.fixture(scope="module")
def shaken():
    """An agent of random weights, which plays unlike any rule."""
    agent = DQN(len(policy.SIGHT), DQNConfig(width=8), prior_channel=policy.PRIOR)
    with torch.no_grad():
        agent.online.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    yield agent
    agent.close()


# ------------------------------------------------------------------------------------------------ what it sees


def slow_sight(observation, allowed, left):
    """The same by loops over cells."""
    names = channel_names("full")
    out = np.zeros_like(observation)
    for e in range(len(observation)):
        seen = {name: observation[e, names.index(name)] for name in names}
        most = max(float(seen["burn_probability"].max()), 1e-6)
        for row in range(observation.shape[2]):
            for col in range(observation.shape[3]):
                at = {name: float(plane[row, col]) for name, plane in seen.items()}
                often = max(at["burn_probability"], 1e-4)
                cell = {
                    **{name: at[name] for name in policy.STATIC_CHANNELS},
                    "often": at["burn_probability"] / most,
                    "early": min(max(at["earliness"] / often, 0), 1),
                    **{s: min(max(at[f"toward_{s}"] / often, 0), 1) for s in ("north", "east", "south", "west")},
                    "treated": at["treated"],
                    "allowed": float(allowed[e, row * observation.shape[3] + col]),
                    "units_left": np.log(max(left[e], 1)) / 5,
                    "downstream_share": at["downstream_share"],
                }
                out[e, :, row, col] = [cell[name] for name in policy.SIGHT]
    return out


def test_sight_equals_a_slow_twin(land, fires):
    episodes = Episodes(land, fires, 2, 30, 9)
    rng = np.random.default_rng(0)
    episodes.reset([0, 1], [rng.choice(60, 30, replace=False) for _ in range(2)])
    for _ in range(3):
        episodes.step(np.array([rng.choice(np.flatnonzero(mask)) for mask in episodes.action_mask()]))
    observation, mask = episodes.blank(), episodes.action_mask()
    episodes.observe(observation)
    left = episodes.budget - episodes.steps
    seen = policy.sight(observation, mask, left)
    np.testing.assert_allclose(seen, slow_sight(observation, mask, left), atol=1e-6)
    assert np.abs(seen[:, :-1]).max() <= 1
    assert (seen[:, policy.SIGHT.index("north")] > 0).any()


def test_what_the_planner_sees_is_what_the_environment_shows(land, fires, shaken):
    episodes = Episodes(land, fires, 1, len(fires), 9)
    episodes.reset([0], [np.arange(len(fires))])
    observation = episodes.blank()
    cells = []
    for _ in range(9):
        episodes.observe(observation)
        mask = episodes.action_mask()
        unit = int(shaken.q_values(policy.sight(observation, mask, episodes.budget - episodes.steps), mask).argmax())
        cells.append(int(episodes.unit_cell[unit]))
        episodes.step(np.array([unit]))
    assert policy.agent(land, fires, 9, network=shaken).cells.tolist() == cells


# --------------------------------------------------------------------------------------------------- planning


def test_an_untrained_agent_plays_sequential_dpv(land, fires, untrained):
    rule = planners.sequential_dpv(land, fires, 14)
    assert policy.agent(land, fires, 14, network=untrained).cells.tolist() == rule.cells.tolist()


def test_an_untrained_agent_plays_sequential_dpv_for_the_price(land, fires, untrained):
    cost = np.where(np.indices(land.shape)[1] % 2, 1.0, 7.0)
    units = Units.of_cells(land, cost=cost)
    rule = planners.sequential_dpv(land, fires, "$30", units=units)
    assert len(rule.cells) > 20
    assert policy.agent(land, fires, "$30", network=untrained, units=units).cells.tolist() == rule.cells.tolist()


def test_search_leaves_no_money_behind(land, fires, shaken):
    rng = np.random.default_rng(5)
    for seed in range(3):
        units = Units.of_cells(land, cost=rng.choice([1.0, 3.0, 7.0, 12.0], land.shape))
        price, amount = prices(land, units, "$60")
        plan = policy.agent_search(land, fires, "$60", network=shaken, units=units, seed=seed, max_simulations=9000)
        assert amount - price[units.unit_of[plan.cells]].sum() < 1.0 - 1e-9


def test_units_that_cost_nothing_beside_one_that_takes_all_the_money(land, fires, shaken):
    flat = np.flatnonzero(land.treatable)
    cost, must = np.zeros(land.shape), np.zeros(land.shape, bool)
    cost.flat[flat[0]], must.flat[flat[0]] = 100.0, True
    excluded = np.ones(land.shape, bool)
    excluded.flat[flat[:40]] = False
    units = Units.of_cells(land, cost=cost, must=must, excluded=excluded)
    assert set(policy.agent(land, fires, "$100", network=shaken, units=units).cells.tolist()) == set(flat[:40].tolist())


def test_search_goes_on_while_its_limit_allows_and_changes_come(land, fires, shaken):
    unlimited = policy.agent_search(land, fires, 8, network=shaken)
    limited = policy.agent_search(land, fires, 8, network=shaken, max_simulations=3 * unlimited.simulations)
    assert limited.simulations > unlimited.simulations


def _constrained(land) -> tuple[Units, np.ndarray, set[int]]:
    """Cells of differing cost as units, the half that is excluded (H, W), and three that must be treated."""
    flat = np.flatnonzero(land.treatable)
    excluded, must = np.zeros(land.shape, bool), np.zeros(land.shape, bool)
    excluded.flat[flat[: len(flat) // 2]] = True
    must.flat[flat[-3:]] = True
    cost = 1.0 + np.indices(land.shape)[1] % 3
    return Units.of_cells(land, cost=cost, excluded=excluded, must=must), excluded, set(flat[-3:].tolist())


# ------------------------------------------------------------------------------------- sweeps over large plans


@pytest.fixture
def sweeping(monkeypatch):
    """Any plan counts as a large one; parts of 20 fires."""
    monkeypatch.setattr(policy, "MOST_MOVED", 0)
    monkeypatch.setattr(policy, "FEWEST_IN_PART", 20)
    monkeypatch.setattr(policy, "REMEMBERED", 60)


def test_fires_burn_a_part_at_a_time_and_every_part_comes(land, fires):
    weight = np.where(np.arange(60) % 10 == 3, 0.0, 1.0)  # 54 fires count
    scenario = np.arange(60) // 30
    objective = Objective(cvar=0.5, scenario=scenario)
    job = planners.Job(land, fires.weighed(weight), 6, 0, None, None, None, objective, None)
    job.burn(4)
    untreated = spread(land, fires).loss
    np.testing.assert_array_equal(job.untreated, untreated)
    for unit in (30, 55, 80):
        job.spend(unit)
    seen = [job.which]
    for _ in range(4):
        job.next_part()
        plan = job.plan("some")
        loss = spread(land, fires.take(job.which), plan).loss
        np.testing.assert_array_equal(job.losses(), loss)
        aim = Objective(cvar=0.5, scenario=scenario[job.which])
        assert job.value() == aim.value(loss, weight[job.which], untreated[job.which])
        seen.append(job.which)
    assert seen[4].tolist() == seen[0].tolist()
    together = np.concatenate(seen[:4])
    assert len(np.unique(together)) == len(together) == 52  # thirteen each
    assert weight[together].all()
    assert job.simulations == 60 + 4 * 13


def test_what_looks_saw_is_remembered(land, fires):
    job = planners.Job(land, fires, 6, 0, None, None, None, None, None)
    job.burn(3)
    names = channel_names("full")
    live = [names.index(name) for name in ("burn_probability", "earliness", "toward_north", "downstream_share")]
    memory, plain = policy.Sight(land, fires.weather, 2), policy.Sight(land, fires.weather)
    looks, treated = [], np.zeros(land.shape, bool)
    for look in range(4):
        for sight in (memory, plain):
            sight(job.burning, 100.0, treated, land.treatable, 5)
        looks.append(plain._observation.copy())
        expected = looks[0]
        for i, other in enumerate(looks[1:], 2):  # the first two alike, then each as a half
            expected = expected + (other - expected) / min(i, 2)
        np.testing.assert_allclose(memory._observation[:, live], expected[:, live], rtol=1e-5, atol=1e-7)
        still = [i for i in range(len(names)) if names[i] not in policy.LIVE_CHANNELS]
        np.testing.assert_array_equal(memory._observation[:, still], plain._observation[:, still])
        treated.flat[job.units.cells[40 + look]] = True
        job.next_part()


def test_sweeps_keep_limits_and_spend_the_budget_where_it_may_be(land, fires, shaken, sweeping):
    units, excluded, must = _constrained(land)
    price, amount = prices(land, units, "$40")

    def check(done: int, of: int) -> None:
        assert 0 <= done <= of

    for limits in ({}, {"max_simulations": 60}, {"max_simulations": 900}, {"max_seconds": 0.2}):
        plan = policy.agent_search(land, fires, "$40", network=shaken, units=units, progress=check, **limits)
        assert not excluded.flat[plan.cells].any()
        assert must <= set(plan.cells.tolist())
        spent = price[units.unit_of[plan.cells]].sum()
        assert amount - 1.0 < spent <= amount + 1e-9
        assert plan.simulations <= limits.get("max_simulations", np.inf)


def test_sweeps_come_back_to_what_gained_least(land, fires, shaken, sweeping, monkeypatch):
    gains, take_back = planners.Job.gains, planners.Job.take_back
    gained, out, told = {}, [], []  # the last gain of each unit; units taken out; plan and gains before each

    def tried_exactly(job, tried):
        found = gains(job, tried)
        gained.update(zip(tried.tolist(), found, strict=True))
        return found

    def taken_back(job, unit):
        out.append(unit)
        told.append((list(job.chosen), dict(gained)))
        take_back(job, unit)

    monkeypatch.setattr(planners.Job, "gains", tried_exactly)
    monkeypatch.setattr(planners.Job, "take_back", taken_back)
    policy.agent_search(land, fires, 16, network=shaken, passes=8)
    assert len(out) == 3 * 8 * 2  # eight looks thrice, two units each
    assert sorted(out[:16]) == sorted(told[0][0])  # each of the plan that was placed, once
    for at in range(16, 48, 4):  # then a quarter, again and again
        chosen, gain = told[at]
        assert len(chosen) == 16
        assert out[at : at + 4] == sorted(chosen, key=lambda unit, gain=gain: gain[unit])[:4]


def test_swept_plans_are_ordered_break_by_break(land, fires):
    """Two breaks of three cells, the better one first; then what nothing is known of, and before all what must be."""
    flat = np.flatnonzero(land.treatable)
    row, col = np.divmod(flat, land.shape[1])

    def unit(r: int, c: int) -> int:
        return int(np.flatnonzero((row == row.min() + r) & (col == col.min() + c))[0])

    first, second = [unit(2, 2), unit(3, 3), unit(3, 4)], [unit(8, 2), unit(8, 3), unit(9, 3)]
    unknown, must = [unit(6, 9), unit(0, 9)], unit(0, 0)
    marked = np.zeros(land.shape, bool)
    marked.flat[flat[must]] = True
    job = planners.Job(land, fires, 9, 0, None, None, Units.of_cells(land, must=marked), None, None)
    assert job.chosen == [must]
    gained = np.full(len(flat), -np.inf)
    gained[first], gained[second] = (1.0, 9.0, 5.0), (7.0, 1.0, 4.0)
    for each in (unknown[0], *second, *first, unknown[1]):
        job.spend(each)
    policy._order_by_break(job, gained)
    expected = [must, first[1], first[2], first[0], second[0], second[2], second[1], *unknown]
    assert job.chosen == expected


def test_sweeps_find_better_places_on_a_large_landscape(monkeypatch):
    network, seed = policy.load_agent(policy.PRETRAINED), 900_010
    land, season = generated_landscape(150, 150, seed, buffer_cells=15), generated_season(seed)
    about = {"weather": season, "duration_min": settle_duration(land, season, seed, 0.05, fires=100)}
    fires, judge = (Fires.draw(land, 800, seed, purpose=purpose, **about) for purpose in ("train", "heldout"))
    losses = []
    for sweeps in (0, 1, 1):
        monkeypatch.setattr(policy, "SWEEPS", sweeps)
        plan = policy.agent_search(land, fires, "6%", network=network, passes=32)
        assert len(plan.cells) > policy.MOST_MOVED
        losses.append(spread(land, judge, plan).mean_loss)
    assert losses[1] == losses[2]  # the same again
    untreated = spread(land, judge).mean_loss
    assert losses[0] - losses[1] > 0.02 * untreated
    half = Plan(plan.cells[: len(plan.cells) // 2], land.shape)
    assert untreated - spread(land, judge, half).mean_loss > 0.5 * (untreated - losses[1])  # any first part is a plan


def test_the_agent_that_ships_beats_sequential_dpv():
    network = policy.load_agent(policy.PRETRAINED)
    assert (network.channels, network.prior_channel) == (len(policy.SIGHT), policy.PRIOR)
    gained = []
    for seed in range(900_000, 900_004):
        land, season = generated_landscape(20, 20, seed, buffer_cells=5), generated_season(seed)
        about = {"weather": season, "duration_min": settle_duration(land, season, seed, 0.17, fires=100)}
        fires = Fires.draw(land, 200, seed, **about)
        judge = Fires.draw(land, 1000, seed, purpose="heldout", **about)
        plans = policy.agent(land, fires, "5%"), planners.sequential_dpv(land, fires, "5%")
        ours, rule = (spread(land, judge, plan).mean_loss for plan in plans)
        gained.append((rule - ours) / spread(land, judge).mean_loss)
    assert np.mean(gained) > 0.01


@pytest.mark.parametrize("plan_by", [policy.agent, policy.agent_search])
def test_the_budget_is_spent_where_it_may_be(land, fires, shaken, plan_by):
    units, excluded, must = _constrained(land)
    plan = plan_by(land, fires, "$30", network=shaken, units=units, max_simulations=3000)
    assert not excluded.flat[plan.cells].any()
    assert must <= set(plan.cells.tolist())
    price, amount = prices(land, units, "$30")
    assert price[units.unit_of[plan.cells]].sum() <= amount + 1e-9
    assert amount - price[units.unit_of[plan.cells]].sum() < 1.0 + 1e-9
    assert plan.simulations <= 3000


def test_groups_of_cells_are_placed_whole(land, fires, shaken):
    flat = np.flatnonzero(land.treatable)[:60].reshape(20, 3)
    units = Units.of_groups(land, flat)
    plan = policy.agent(land, fires, 4, network=shaken, units=units)
    assert plan.sizes.tolist() == [3, 3, 3, 3]
    assert {tuple(sorted(plan.cells[i : i + 3].tolist())) for i in range(0, 12, 3)} <= {tuple(g) for g in flat.tolist()}


def test_few_looks_place_several_units_far_apart(land, fires, shaken, monkeypatch):
    placed = []
    treat = planners.Job.treat
    monkeypatch.setattr(planners.Job, "treat", lambda job, units: (placed.append(list(units)), treat(job, units)))
    plan = policy.agent(land, fires, 12, network=shaken, passes=4)
    assert len(plan.cells) == 12
    assert max(map(len, placed)) > 1
    assert max(map(len, placed)) <= 3  # 12 units in four looks
    cells = Units.of_cells(land).cells[:, 0]
    for units in placed:
        row, col = np.divmod(cells[units], land.shape[1])
        gaps = np.hypot(row[:, None] - row, col[:, None] - col)
        assert (gaps[~np.eye(len(units), dtype=bool)] >= policy.APART_CELLS).all()
    looks = len(placed)
    placed.clear()
    one = policy.agent(land, fires, 12, network=shaken)
    assert plan.cells[0] == one.cells[0]
    assert set(map(len, placed)) == {1}
    assert looks < len(placed)


def test_limits_are_kept_and_the_budget_is_spent_all_the_same(land, fires, shaken):
    for limit in (60, 200, 1000):
        for plan_by in (policy.agent, policy.agent_search):
            plan = plan_by(land, fires, 10, network=shaken, max_simulations=limit)
            assert plan.simulations <= limit
            assert len(np.unique(plan.cells)) == 10


def test_looks_fit_the_limits(land, fires, shaken, monkeypatch):
    placed = []
    treat = planners.Job.treat
    monkeypatch.setattr(planners.Job, "treat", lambda job, units: (placed.append(len(units)), treat(job, units))[1])
    monkeypatch.setattr(planners.Job, "fill", lambda *_: pytest.fail("units placed without a look"))
    plan = policy.agent(land, fires, 12, network=shaken, max_simulations=7 * len(fires))
    assert len(plan.cells) == 12
    assert max(placed) > 1  # six rounds are left for twelve units
    placed.clear()
    policy.agent_search(land, fires, 12, network=shaken, max_simulations=12 * len(fires))
    assert max(placed[:4]) > 1  # some are kept for search


def test_rounds_that_are_left():
    land = generated_landscape(10, 10, 3, buffer_cells=3)
    fires = Fires.draw(land, 10, 0, weather=generated_season(3), duration_min=20)
    job = planners.Job(land, fires, 3, 0, 100, 10.0, None, None, None)
    assert job.rounds_left(1.0, 0.0) == 10
    job.simulations = 30
    assert (job.rounds_left(1.0, 0.0), job.rounds_left(0.5, 0.0), job.rounds_left(0.2, 0.0)) == (7, 2, 0)
    job.wall -= 5
    assert job.rounds_left(1.0, 2.0) == 2
    assert job.rounds_left(0.4, 2.0) == 0
    unlimited = planners.Job(land, fires, 3, 0, None, None, None, None, None)
    assert unlimited.rounds_left(0.5, 1.0) > 1e6


def test_search_never_ends_worse_than_it_began_on_its_own_fires(land, fires, shaken):
    alone = policy.agent(land, fires, 10, network=shaken)
    searched = policy.agent_search(land, fires, 10, network=shaken, max_simulations=6000)
    assert spread(land, fires, searched).mean_loss < spread(land, fires, alone).mean_loss
    again = policy.agent_search(land, fires, 10, network=shaken, max_simulations=6000)
    assert again.cells.tolist() == searched.cells.tolist()


def test_an_objective_is_what_search_makes_small(land, fires, shaken):
    objective = Objective(cvar=1.0)
    plan = policy.agent_search(land, fires, 10, network=shaken, max_simulations=6000, objective=objective)
    alone = policy.agent(land, fires, 10, network=shaken, objective=objective)
    untreated = spread(land, fires).loss

    def worth(plan):
        return objective.value(spread(land, fires, plan).loss, fires.weight, untreated)

    assert worth(plan) < worth(alone)


# ---------------------------------------------------------------------------------------------------- lessons


def test_worlds_are_the_same_each_time_and_of_no_leaderboard(monkeypatch):
    one, again = (lessons.make_world(5, 3, 0.5) for _ in range(2))
    assert one.seed == lessons.FIRST_SEED + 3 * lessons.SEEDS_EACH + 5
    assert (one.duration_min, one.budget) == (again.duration_min, again.budget)
    assert one.season.weathers == again.season.weathers
    assert np.array_equal(one.landscape.fuel_model, again.landscape.fuel_model)
    judged = [spec.seed for spec in leaderboard.specs()]
    judged += [leaderboard.SEEDS[half] + 500 + i for half in leaderboard.TILES for i in range(10)]
    assert max(judged) < lessons.FIRST_SEED
    monkeypatch.setattr(lessons, "settle_duration", lambda *_, **__: 60.0)  # what takes long, and is not asked here
    assert {lessons.make_world(i, 0, 1.0, largest=24).landscape.aoi_window[2] for i in range(12)} == {20, 24}
    small = {lessons.make_world(i, 0, 0.0).landscape.aoi_window[2] for i in range(12)}
    assert max(small) <= 28
    assert max(lessons.make_world(i, 0, 1.0).landscape.aoi_window[2] for i in range(40)) == 50


@pytest.fixture(scope="module")
def world(land):
    return lessons.World(land, generated_season(77), 60.0, 0.04, 123)


QUICK = {"taught_on": 60, "seen_by": (40,)}  # the same lessons, from a shorter search


def test_a_lesson_teaches_what_is_missing_of_a_plan(world, shaken):
    shown, own = lessons.make_lesson(world, 4, shaken, **QUICK)
    n = budget_units(world.landscape, world.budget)
    treated = shown.obs[:, policy.SIGHT.index("treated")].reshape(lessons.STATES, -1) > 0
    plan = np.flatnonzero(shown.taught[0])
    assert not treated[0].any()
    assert len(plan) == n
    for i in range(lessons.STATES):
        assert set(np.flatnonzero(shown.taught[i])) == set(plan.tolist()) - set(np.flatnonzero(treated[i]).tolist())
        assert shown.taught[i, shown.action[i]]
        assert shown.mask[i, shown.action[i]]
        assert not (shown.mask[i] & treated[i]).any()
        assert np.isfinite(shown.gain[i]).tolist() == shown.mask[i].tolist()
        left = np.exp(5 * shown.obs[i, policy.SIGHT.index("units_left"), 0, 0])
        assert round(float(left)) == n - treated[i].sum()
        if shown.discount[i]:
            placed = shown.next_obs[i, policy.SIGHT.index("treated")].sum() - treated[i].sum()
            assert placed == 4
    assert (own.mask[np.arange(len(own.action)), own.action]).all()
    assert len(own.action) == min(lessons.STATES, 2 * n)
    assert own.taught is None


def test_gains_of_a_lesson_are_what_a_step_earns(world):
    (shown,) = lessons.make_lesson(world, 1, **QUICK)
    last = np.flatnonzero(shown.taught.sum(axis=1) >= 1)
    for i in last:  # windows of one step: the reward of the taught action is its gain
        assert shown.reward[i] == pytest.approx(float(shown.gain[i, shown.action[i]]), abs=2e-4)


# ----------------------------------------------------------------------------------------------- its training


SMALL = pretrain.PretrainConfig(lessons=4, lessons_per_round=2, updates_per_lesson=3, network_width=8, batch_size=8)


def test_an_interrupted_pretraining_goes_on_bit_for_bit(tmp_path):
    whole = pretrain.pretrain(SMALL, tmp_path / "whole", workers=1)

    def interrupting(stage, done, text):
        if stage == "learn" and done >= 0.5 and "taught" in text:
            os.kill(os.getpid(), signal.SIGINT)

    # A process that was started in the background ignores the signal; ours is handled where the training sets it.
    with pytest.raises(Interrupted) as stopped:
        pretrain.pretrain(SMALL, tmp_path / "parts", workers=1, say=interrupting)
    assert stopped.value.go_on == f"fuelbreak pretrain --lessons 4 --seed 0 --out {tmp_path / 'parts'}"
    assert not (tmp_path / "parts" / "agent.safetensors").exists()
    with pytest.raises(InputError, match="other settings was begun there"):
        pretrain.pretrain(replace(SMALL, seed=1), tmp_path / "parts", workers=1)
    parts = pretrain.pretrain(SMALL, tmp_path / "parts", workers=2)
    first, second = (policy.load_agent(path) for path in (whole, parts))
    for a, b in zip(first.online.parameters(), second.online.parameters(), strict=True):
        assert torch.equal(a, b)
    with (tmp_path / "parts" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["1", "2"]
    assert float(rows[1]["agent"]) > 0


def test_a_plan_that_takes_every_cell_can_be_taught(land):
    every = lessons.World(land, generated_season(77), 60.0, 1.0, 123)
    (shown,) = lessons.make_lesson(every, 4, gamma=0.5, taught_on=20, seen_by=(20,))
    assert shown.taught[0].sum() == land.treatable.sum()
    assert set(shown.discount.tolist()) <= {0.0, 0.5**4}


def test_interrupting_all_processes_at_once_leaves_a_training_that_goes_on(tmp_path):
    # As Ctrl-C in a terminal does: its signal goes to the workers, too.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from fuelbreak.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["pretrain", "--lessons", "40", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, text=True) as process:
        while process.poll() is None and not list((tmp_path / "run").glob("lessons/*.npz")):
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        told = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert f"fuelbreak pretrain --lessons 40 --seed 0 --out {tmp_path / 'run'}" in told
    assert "Traceback" not in told


# --------------------------------------------------------------------------------------------------- the file


def test_weights_round_trip_and_other_files_are_refused(tmp_path, shaken):
    shaken.save_weights(tmp_path / "one.safetensors", {"command": "by hand"})
    again = policy.load_agent(tmp_path / "one.safetensors")
    planes, mask = np.random.default_rng(0).random((1, 16, 9, 9), dtype=np.float32), np.ones((1, 81), bool)
    assert again.q_values(planes, mask).tobytes() == shaken.q_values(planes, mask).tobytes()
    again.close()
    (tmp_path / "text.safetensors").write_text("no agent at all")
    with pytest.raises(InputError, match="not an agent"):
        policy.load_agent(tmp_path / "text.safetensors")
    with pytest.raises(InputError, match="no such file"):
        policy.load_agent(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("change", ["fewer planes", "no settings", "a tensor less", "unknown setting"])
def test_files_of_other_agents_are_refused_in_one_line(tmp_path, shaken, change):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "agent.safetensors"
    if change == "fewer planes":
        other = DQN(14, DQNConfig(width=8), prior_channel=13)
        other.save_weights(path)
        other.close()
    else:
        shaken.save_weights(path)
        with safe_open(path, "pt") as file:
            meta, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if change == "no settings":
            del meta["settings"]
        elif change == "a tensor less":
            del weights["head.weight"]
        else:
            meta["settings"] = meta["settings"].replace('"n_step"', '"steps"')
        save_file(weights, path, meta)
    with pytest.raises(InputError, match="planes, not the" if change == "fewer planes" else "not an agent") as refused:
        policy.load_agent(path)
    assert "\n" not in str(refused.value)


def test_the_folder_of_a_pretraining_is_an_agent(tmp_path, shaken):
    shaken.save_weights(tmp_path / "agent.safetensors")
    again = policy.load_agent(tmp_path)
    assert again.digest == shaken.digest
    again.close()
