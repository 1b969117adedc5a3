"""The nine flaws of the predecessor, each proved absent here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuelbreak import parallel
from fuelbreak.env import Episodes, FireEnv, VectorizedFireEnv, channel_names
from fuelbreak.errors import InputError
from fuelbreak.evaluate import evaluate
from fuelbreak.landscape import LAYERS, Landscape
from fuelbreak.parallel import available_cores, run_threads
from fuelbreak.scenarios import Fires, Weather
from fuelbreak.spread import Ensemble, Fields, spread
from fuelbreak.train import Interrupted, TrainConfig, TrainResult, make_config, train

CONFIG = {
    "grid_size": 12,
    "buffer_cells": 4,
    "num_weathers": 4,
    "budget": 12,
    "num_parallel_envs": 2,
    "parallel_method": "sequential",
    "max_workers": 1,
    "torch_threads": 1,
    "memory_simulations": 12,
    "fire_simulation_max_duration": 25,
    "fire_bank_size": 40,
    "planning_simulations": 30,
    "validation_simulations": 30,
    "heldout_simulations": 60,
    "num_episodes": 6,
    "demonstration_episodes": 4,
    "pretrain_steps": 4,
    "n_step": 1,
    "batch_size": 8,
    "buffer_size": 64,
    "network_width": 4,
    "start": None,
    "validation_frequency": 1,
    "checkpoint_frequency": 1,
}


@pytest.fixture(scope="module")
def land() -> Landscape:
    rng = np.random.default_rng(4)
    fuel = rng.choice([1, 2, 102, 145, 98], size=(16, 14), p=[0.25, 0.3, 0.2, 0.1, 0.15]).astype(np.int16)
    inside = np.zeros(fuel.shape, bool)
    inside[3:13, 2:12] = True
    return Landscape.from_arrays(
        fuel_model=fuel,
        elevation_m=rng.uniform(0, 3000, fuel.shape),
        slope_deg=rng.uniform(0, 50, fuel.shape),
        aspect_deg=rng.uniform(0, 360, fuel.shape),
        value=rng.integers(0, 5, fuel.shape),
        area_of_interest=inside,
    )


def env_on(land: Landscape, **change) -> FireEnv:
    return FireEnv(land, **({"num_simulations": 20, "bank_size": 60, "budget": 9, "max_duration": 40} | change))


def allowed(info: dict, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(info["action_mask"])))


def config(tmp_path: Path, **change) -> TrainConfig:
    return make_config(CONFIG | {"output_dir": str(tmp_path)} | change)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> TrainResult:
    """One whole training run, never interrupted."""
    return train(config(tmp_path_factory.mktemp("whole")))


def saved(file: Path) -> dict:
    import torch

    return torch.load(file, weights_only=True)


def assert_same(a, b, where: str = "") -> None:
    """Equal to the last bit, whatever is nested."""
    import torch

    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert a.numpy().tobytes() == b.numpy().tobytes(), where  # bits, for NaN is not equal to itself
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (one, two) in enumerate(zip(a, b, strict=True)):
            assert_same(one, two, f"{where}[{i}]")
    else:
        assert a == b, where


def test_flaw_1_an_episode_is_the_whole_budget_and_breaks_stay(land):
    """There: every step ended the episode and cleared its breaks, so only one-cell bandits were ever learned."""
    env, rng = env_on(land), np.random.default_rng(0)
    _, info = env.reset(seed=1)
    chosen: list[int] = []
    losses = [info["loss"]]
    treated = channel_names("full").index("treated")
    for step in range(9):
        chosen.append(allowed(info, rng))
        obs, _, terminated, truncated, info = env.step(chosen[-1])
        assert terminated == (step == 8)
        assert not truncated
        assert set(np.flatnonzero(obs[treated])) == set(chosen)  # every break so far still stands
        losses.append(info["loss"])
    assert (np.diff(losses) <= 0).all()
    assert losses[-1] < losses[0]
    vector = VectorizedFireEnv(3, "sequential", None, land, num_simulations=5, bank_size=20, budget=4)
    _, infos = vector.reset(seed=0)
    for step in range(4):
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]])
        obs, _, terminated, _, infos = vector.step(actions)
        assert terminated.tolist() == [step == 3] * 3
        assert (obs[:, treated].sum(axis=(1, 2)) == step + 1).all()
    vector.close()


def test_flaw_2_the_observation_shows_breaks_and_budget_and_changes_with_each_step(land):
    """There: no channel for breaks or budget, and the next state was the state itself."""
    env, rng = env_on(land), np.random.default_rng(1)
    obs, info = env.reset(seed=2)
    names = channel_names("full")
    treated, budget_left = names.index("treated"), names.index("budget_left")
    assert (obs[treated] == 0).all()
    assert (obs[budget_left] == 1).all()
    for step in range(9):
        action = allowed(info, rng)
        after, _, _, _, info = env.step(action)
        assert after.ravel().tolist() != obs.ravel().tolist()
        assert after[treated].sum() == obs[treated].sum() + 1
        assert after[treated].ravel()[action] == 1
        np.testing.assert_allclose(after[budget_left], 1 - (step + 1) / 9, atol=1e-6)
        obs = after
    # What the fires now do is seen too: nothing burns through a break.
    assert obs[names.index("burn_probability")][obs[treated] > 0].max() < obs[names.index("burn_probability")].max()


def test_flaw_3_landscapes_are_never_changed_and_environments_do_not_touch_each_other(land):
    """There: breaks were written into fuel arrays that all environments shared, and piled up for ever."""
    before = {name: getattr(land, name).copy() for name in LAYERS}
    rng = np.random.default_rng(2)
    one, two = env_on(land), env_on(land)
    alone, info = one.reset(seed=5)
    untouched, other = two.reset(seed=5)
    np.testing.assert_array_equal(alone, untouched)
    for _ in range(9):
        _, _, _, _, info = one.step(allowed(info, rng))
    # The second, whose neighbor has spent its budget on the same landscape, plays as if it were alone.
    fresh = env_on(land)
    fresh.reset(seed=5)
    for _ in range(9):
        action = allowed(other, rng)
        seen, reward, _, _, other = two.step(action)
        expected, expected_reward, _, _, _ = fresh.step(action)
        np.testing.assert_array_equal(seen, expected)
        assert reward == expected_reward
    # A new episode starts from bare land, whatever stood there.
    again, info = one.reset(seed=5)
    np.testing.assert_array_equal(again, alone)
    for name in LAYERS:
        np.testing.assert_array_equal(getattr(land, name), before[name])
        with pytest.raises(ValueError, match="read-only"):
            getattr(land, name)[0, 0] = 1


def test_flaw_4_rewards_and_counts_do_not_depend_on_how_many_fires_there_are(land):
    """There: acres burned were a running sum over fires, and the burn map overflowed in 8 bits."""
    few = Fires.draw(land, 4, 0, duration_min=40)
    thousand = few.take(np.repeat(np.arange(4), 300))
    rewards, planes = [], []
    for fires in (few, thousand):
        episodes = Episodes(land, fires, 1, len(fires), 5)
        episodes.reset([0], [np.arange(episodes.ensemble.fires_per_episode)])
        units = np.flatnonzero(episodes.action_mask()[0])[::17][:5]
        rewards.append([float(episodes.step(np.array([unit]))[0][0]) for unit in units])
        planes.append(episodes.ensemble.planes())
    np.testing.assert_allclose(rewards[0], rewards[1], atol=1e-12)
    assert max(rewards[0]) > 0
    np.testing.assert_allclose(planes[0], planes[1], atol=1e-9)
    # 1200 fires, 300 of each kind: far beyond what 8 bits count.
    result = spread(land, thousand)
    maps = np.isfinite(np.stack([spread(land, few).arrival_min(i) for i in range(4)]))
    np.testing.assert_array_equal(result.burn_probability(), maps.mean(axis=0).astype(np.float32))
    assert result._counts.max() >= 300
    assert result.mean_loss == spread(land, few).mean_loss


def test_flaw_5_the_cell_that_is_chosen_is_the_cell_that_is_treated(land):
    """There: a mask was turned into an action by its last set index, not by the cell just chosen."""
    row, col, rows, cols = land.aoi_window
    episodes = Episodes(land, Fires.draw(land, 10, 0), 1, 10, 30)
    episodes.reset([0], [np.arange(episodes.ensemble.fires_per_episode)])
    # High and low units in turn, so that neither the first nor the last of the mask is the one just chosen.
    units = np.random.default_rng(3).permutation(np.flatnonzero(episodes.action_mask()[0]))[:30]
    treated: set[tuple[int, int]] = set()
    for unit in units:
        episodes.step(np.array([unit]))
        treated.add((row + unit // cols, col + unit % cols))
        assert set(map(tuple, np.argwhere(episodes.plan(0).mask).tolist())) == treated
    assert rows * cols == len(episodes.unit_cell)
    fires = episodes.ensemble.fires
    burned = np.isfinite(np.stack([episodes.ensemble.arrival_min(0, i) for i in range(10)]))
    ignited = {tuple(ignition) for ignition in fires.ignitions.tolist()}
    for cell in treated - ignited:
        assert not burned[:, cell[0], cell[1]].any()


def test_flaw_6_acting_is_repeatable_and_independent_of_the_batch(land):
    """There: BatchNorm and Dropout in training mode while acting on one row, and in the target network."""
    import torch

    from fuelbreak.agents.dqn import DQN, DQNConfig

    agent = DQN(16, DQNConfig(width=4), seed=0)
    kinds = (
        torch.nn.modules.batchnorm._NormBase,
        torch.nn.modules.dropout._DropoutNd,
    )
    for network in (agent.online, agent.target):
        assert not any(isinstance(module, kinds) for module in network.modules())
        assert not network.training
    rng = np.random.default_rng(0)
    obs, mask = rng.normal(size=(5, 16, 10, 10)).astype(np.float32), rng.random((5, 100)) < 0.7
    # Random weights in the last layer, which starts at zero: else every network would say the same.
    for parameter in agent.online.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    first = agent.q_values(obs, mask)
    np.testing.assert_array_equal(first, agent.q_values(obs, mask))
    assert np.ptp(first[mask]) > 0
    for i in range(5):
        np.testing.assert_allclose(agent.q_values(obs[i : i + 1], mask[i : i + 1])[0], first[i], rtol=1e-4, atol=1e-6)
    chosen = [agent.act(obs, mask, 0.0, np.random.default_rng(7)).tolist() for _ in range(2)]
    assert chosen[0] == chosen[1]
    agent.close()


def test_flaw_6_weights_are_chosen_on_validation_fires_and_judged_on_others(trained):
    """There: no seeds, no evaluation set, and the best model was the luckiest training episode."""
    land, seed = trained.landscape, 0
    assert trained.heldout.origin == "heldout:0"
    assert len(trained.heldout) == CONFIG["heldout_simulations"]
    runs = {}
    for purpose in ("train", "validate", "heldout"):
        fires = Fires.draw(land, 60, seed, purpose=purpose, weather=trained.heldout.weather, duration_min=25)
        runs[purpose] = list(map(tuple, np.column_stack([fires.ignitions, fires.weather_index]).tolist()))
    assert runs["heldout"] == list(
        map(tuple, np.column_stack([trained.heldout.ignitions, trained.heldout.weather_index]).tolist())
    )
    # Single fires may coincide on so small a map; no two in a row do.
    pairs = {purpose: set(pairwise(fires)) for purpose, fires in runs.items()}
    assert not pairs["train"] & pairs["validate"]
    assert not pairs["train"] & pairs["heldout"]
    assert not pairs["validate"] & pairs["heldout"]
    assert trained.scores.fires_digest == trained.heldout.digest
    assert trained.plan.chosen_on[1] == "train:0"
    assert trained.plan.chosen_on[3] == "validate:0"
    validation = Fires.draw(trained.landscape, 9, 0, purpose="validate")
    with pytest.raises(InputError, match="chosen on these fires"):
        evaluate({"agent": trained.plan}, trained.landscape, validation)
    # The kept weights are those of the best validation that was seen.
    rows = (trained.folder / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss_avoided_validation")
    best = float(saved(trained.folder / "checkpoint.pt")["extra"]["at"]["best"])
    assert best >= max(float(row.split(",")[column]) for row in rows[1:]) - 1e-6


def test_flaw_6_a_seed_makes_the_same_run_and_another_one_another(trained, tmp_path):
    """There: nothing was seeded."""
    again = train(config(tmp_path))
    assert_same(saved(again.folder / "agent.pt"), saved(trained.folder / "agent.pt"))
    np.testing.assert_array_equal(again.plan.cells, trained.plan.cells)
    np.testing.assert_array_equal(again.scores.loss, trained.scores.loss)
    other = train(config(tmp_path, seed=1, num_episodes=2))
    assert other.heldout.digest != trained.heldout.digest
    replay = [saved(run.folder / "checkpoint.pt")["extra"]["replay"] for run in (trained, other)]
    assert not np.array_equal(replay[0]["demos.numbers"], replay[1]["demos.numbers"])


@pytest.mark.parametrize("simulations", [3, 12, 40])
def test_flaw_7_demonstrations_are_of_whole_plans_and_pay_shares_of_the_loss(tmp_path, simulations):
    """There: one cell was credited with the return of a whole mask, on a scale that grew with the number of fires."""
    settings = config(tmp_path, memory_simulations=simulations, num_episodes=2, demonstration_episodes=4)
    run = train(settings)
    replay = {name: np.asarray(array) for name, array in saved(run.folder / "checkpoint.pt")["extra"]["replay"].items()}
    _, action, reward, discount, _ = replay["demos.numbers"].T
    assert len(action) == 4 * 12  # plans, states of each
    cells = run.landscape.aoi_window[2] * run.landscape.aoi_window[3]
    taught = np.unpackbits(replay["demos.taught"].reshape(48, -1), axis=1, count=cells).astype(bool)
    mask = np.unpackbits(replay["demos.mask"].reshape(48, -1), axis=1, count=cells).astype(bool)
    gain = replay["demos.gain"].reshape(48, cells).astype(float)
    assert (taught[::12].sum(axis=1) == 12).all()  # the first state of each has the whole plan before it
    assert taught[np.arange(48), action.astype(int)].all()
    assert not (taught & ~mask).any()
    # Windows of one step: the teacher's cell pays its own gain, a share of the untreated loss however many fires.
    np.testing.assert_allclose(reward, gain[np.arange(48), action.astype(int)], atol=2e-3)
    assert np.nanmax(gain) <= 1
    assert 0 < reward[::12].mean() < 0.5
    assert set(discount.tolist()) <= {0.0, 1.0}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), wind=st.floats(0, 120), minutes=st.sampled_from([5.0, 60.0, 2000.0]))
def test_flaw_7_observations_lie_between_minus_one_and_one(seed, wind, minutes):
    """There: elevation went in as meters and the fuel model as a number of a list."""
    rng = np.random.default_rng(seed)
    shape = (9, 8)
    land = Landscape.from_arrays(
        fuel_model=rng.choice([1, 4, 13, 107, 147, 165, 204, 99], shape).astype(np.int16),
        elevation_m=rng.uniform(-400, 8000, shape),
        slope_deg=rng.uniform(0, 89, shape),
        aspect_deg=rng.uniform(-1, 360, shape),
        canopy_cover_pct=rng.uniform(0, 100, shape),
        canopy_height_m=rng.uniform(0, 60, shape),
        canopy_bulk_density_kg_m3=rng.uniform(0, 0.4, shape),
        value=rng.uniform(0, 1e6, shape),
    )
    weather = Weather(wind_speed_kmh=wind, wind_from_deg=float(rng.uniform(0, 360)))
    env = FireEnv(land, weather=weather, num_simulations=6, bank_size=20, budget=5, max_duration=minutes)
    obs, info = env.reset(seed=seed)
    for _ in range(5):
        assert env.observation_space.contains(obs)
        assert np.abs(obs).max() <= 1
        assert np.isfinite(obs).all()
        obs, _, _, _, info = env.step(allowed(info, rng))
    assert np.abs(obs).max() <= 1


def test_flaw_8_what_cannot_burn_cannot_be_treated(land):
    """There: nonburnable cells were legal actions."""
    _, info = env_on(land).reset(seed=0)
    row, col, rows, cols = land.aoi_window
    mask = info["action_mask"].reshape(rows, cols)
    np.testing.assert_array_equal(mask, land.burnable[row : row + rows, col : col + cols])
    assert (mask == 0).any()


def test_flaw_8_a_break_on_an_ignition_removes_no_fire(land):
    """There: a fire that started on a break did not burn at all: a free reward for guessing ignitions."""
    # Every burnable cell is an island, so each fire burns its ignition and nothing else.
    fuel = np.full((9, 9), 99, np.int16)
    fuel[1::2, 1::2] = 1
    islands = Landscape.from_arrays(fuel_model=fuel)
    fires = Fires(np.argwhere(islands.burnable), Weather())
    episodes = Episodes(islands, fires, 1, len(fires), 1.0)
    episodes.reset([0], [np.arange(episodes.ensemble.fires_per_episode)])
    for unit in np.flatnonzero(episodes.action_mask()[0]):
        reward, _ = episodes.step(np.array([unit]))
        assert reward[0] == 0
    assert episodes.loss[0] == 1.0
    # On whole land: treating the ignition alone earns no more than what lies behind it.
    ignition = tuple(np.argwhere(land.treatable)[30])
    world = dataclasses.replace(land, value=np.ones(land.shape, np.float32))
    ensemble = Ensemble(world, Fires([ignition], Weather(), 60.0))
    ensemble.reset(0, np.array([0]))
    before = ensemble.losses()[0]
    ensemble.treat(np.array([ignition[0] * land.shape[1] + ignition[1]]))
    assert ensemble.losses()[0] == before


def assert_same_run(resumed: TrainResult, whole: TrainResult) -> None:
    final, expected = (saved(run.folder / "checkpoint.pt") for run in (resumed, whole))
    for state in (final, expected):
        state["extra"]["at"].pop("seconds")  # of the clock
    assert_same(final, expected)
    assert_same(saved(resumed.folder / "agent.pt"), saved(whole.folder / "agent.pt"))
    np.testing.assert_array_equal(resumed.plan.cells, whole.plan.cells)
    np.testing.assert_array_equal(resumed.scores.loss, whole.scores.loss)


def at_the(which: int, stage: str, do: Callable[[], None]) -> Callable[[str, float, str], None]:
    """Something to tell of progress that does something at the so manieth message of a stage."""
    heard = 0

    def say(told: str, done: float, message: str) -> None:
        nonlocal heard
        if told == stage:
            heard += 1
            if heard == which:
                do()

    return say


@pytest.mark.parametrize(
    "stops",
    [
        [("train", 1, signal.SIGINT)],
        [("train", 4, signal.SIGTERM)],
        [("train", 2, signal.SIGINT), ("train", 3, signal.SIGTERM)],
        [("demonstrate", 2, signal.SIGINT), ("demonstrate", 1, signal.SIGTERM), ("pretrain", 2, signal.SIGINT)],
    ],
)
def test_flaw_8_an_interrupted_run_goes_on_bit_for_bit(trained, tmp_path, stops):
    """There: checkpoints held weights alone, no replay, dice or step, so nothing could be resumed."""
    settings = config(tmp_path)
    folder = None
    for stage, which, number in stops:
        with pytest.raises(Interrupted) as stopped:
            train(settings, say=at_the(which, stage, lambda number=number: signal.raise_signal(number)), resume=folder)
        folder = stopped.value.args[0]
        checkpoint = saved(folder / "checkpoint.pt")["extra"]
        assert (len(checkpoint["at"]["placed"]) > 0) == (stage == "train")  # in the middle of a round
        json.loads(checkpoint["rng"])
    resumed = train(settings, resume=folder)
    assert resumed.folder == folder
    assert_same_run(resumed, trained)


class Doomed(parallel._Process):
    """A worker that dies as soon as it is started."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        os.kill(self.pid, signal.SIGKILL)


def kill_workers() -> None:
    for child in psutil.Process().children():
        if any("spawn_main" in word for word in child.cmdline()):
            child.kill()


def test_flaw_8_workers_that_die_change_nothing_and_die_for_good_with_a_checkpoint(trained, tmp_path, monkeypatch):
    """There: a dead worker hung the run."""
    settings = config(tmp_path, parallel_method="multiprocessing", max_workers=2)

    def kill_for_good() -> None:
        monkeypatch.setattr(parallel, "_Process", Doomed)
        kill_workers()

    with pytest.raises(
        parallel.WorkerLost, match=r"ended twice in a row .*go on with: fuelbreak train --resume"
    ) as lost:
        train(settings, say=at_the(4, "train", kill_for_good))
    monkeypatch.undo()
    folder = Path(str(lost.value).rsplit(" ", 1)[1])
    with pytest.warns(RuntimeWarning, match="killed by SIGKILL"):
        resumed = train(settings, say=at_the(2, "train", kill_workers), resume=folder)
    assert_same_run(resumed, trained)


def test_flaw_9_compiled_fire_lets_other_threads_run():
    """There: threads around code that held Python's lock: a hundred threads on one core."""
    land = Landscape.from_arrays(fuel_model=np.full((160, 160), 102, np.int16))
    fires = Fires.draw(land, 250, 0, duration_min=1e4)
    fields = Fields(land, fires.weather)
    spread(land, fires.take(np.arange(2)), workers=1, fields=fields)
    took: list[float] = []

    def burn() -> None:
        began = time.perf_counter()
        spread(land, fires, workers=1, fields=fields)  # one kernel call, but for a little before and after
        took.append(time.perf_counter() - began)

    thread = threading.Thread(target=burn)
    awake = [time.perf_counter()]
    thread.start()
    while not took:
        time.sleep(0.001)
        awake.append(time.perf_counter())
    thread.join()
    # Had the kernel held the lock, this thread would have slept through nearly all of the call.
    assert max(np.diff(awake)) < took[0] / 2


def cores_used(work: Callable[[], object], seconds: float = 0.4) -> float:
    """CPU time of this process over wall time while it does the work again and again."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        work()
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


@pytest.mark.skipif(available_cores() < 2, reason="one core: nothing can run side by side")
def test_flaw_9_two_threads_use_more_than_one_core():
    """There: CPU time never passed wall time.

    The machine may be busy with others' work, so the same is asked of hashing, which is known to let go of the lock:
    where even that gets one core, nothing can be said.
    """
    land = Landscape.from_arrays(fuel_model=np.full((100, 100), 102, np.int16))
    fires = Fires.draw(land, 300, 0, duration_min=1e4)
    spread(land, fires.take(np.arange(2)), workers=2)
    block = bytes(20_000_000)
    tries = []
    for _ in range(5):
        ours = cores_used(lambda: spread(land, fires, workers=2))
        if ours > 1.3:
            return
        tries.append((ours, cores_used(lambda: run_threads(lambda _: hashlib.sha256(block).digest(), 2))))
    if max(theirs for _, theirs in tries) < 1.6:
        pytest.skip(f"the machine has no second core to give just now: (ours, hashing) {tries}")
    pytest.fail(f"two threads of fires do not run side by side, two of hashing do: (ours, hashing) {tries}")


def test_flaw_9_a_training_run_ends_with_the_rules_beside_the_agent(trained):
    """There: no evaluation against any baseline."""
    names = [row["plan"] for row in trained.scores.table()]
    assert names == ["no breaks", "agent", "random", "burn_probability", "static_dpv", "sequential_dpv"]
    for rule in names[2:]:
        mean, low, high = trained.scores.difference("agent", rule)
        assert low <= mean <= high
        assert len(trained.scores.plans[rule].cells) == 12
    assert config(trained.folder).open().shape == trained.landscape.shape
