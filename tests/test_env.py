"""The environment's contract, its rules, and that every way of running it gives the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from multiprocessing.shared_memory import SharedMemory

import gymnasium as gym
import numpy as np
import psutil
import pytest
from gymnasium.utils.env_checker import check_env

from fuelbreak import parallel
from fuelbreak.env import LIVE_CHANNELS, Episodes, FireEnv, VectorizedFireEnv, channel_names, settled_workers
from fuelbreak.errors import InputError
from fuelbreak.landscape import LAYERS, Landscape, Plan
from fuelbreak.scenarios import Fires, Weather, fire_season
from fuelbreak.simulate import Simulate
from fuelbreak.spread import PLANE_NAMES, spread

METHODS = ["sequential", "threading", "multiprocessing"]
SMALL = {"num_simulations": 12, "bank_size": 40, "budget": 6}


@pytest.fixture(scope="module")
def land() -> Landscape:
    rng = np.random.default_rng(1)
    fuel = rng.choice([1, 2, 4, 102, 145, 99], size=(14, 15), p=[0.2, 0.3, 0.1, 0.2, 0.15, 0.05]).astype(np.int16)
    aoi = np.zeros(fuel.shape, bool)
    aoi[2:12, 3:13] = True
    value = rng.integers(0, 4, fuel.shape).astype(np.float32)
    return Landscape.from_arrays(fuel_model=fuel, area_of_interest=aoi, value=value)


def play(env: FireEnv, seed: int, rng: np.random.Generator, steps: int):
    """An episode of allowed random actions: everything the environment said."""
    obs, info = env.reset(seed=seed)
    seen = [(obs, 0.0, False, info["loss"], info["action_mask"])]
    for _ in range(steps):
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        obs, reward, terminated, truncated, info = env.step(action)
        assert not truncated
        seen.append((obs, reward, terminated, info["loss"], info["action_mask"]))
    return seen


def test_gymnasium_checks_it(land):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # An environment made by its class has no id from which the checker could make one with another render mode.
        warnings.filterwarnings("ignore", message=".*alternative render modes.*")
        check_env(FireEnv(land, render_mode="rgb_array", **SMALL))


@pytest.mark.filterwarnings("ignore:.* share .* core:RuntimeWarning")  # three on two cores are asked for
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_row_i_is_the_single_environment_with_that_seed_bit_for_bit(land, method, workers):
    vector = VectorizedFireEnv(3, method, workers, land, **SMALL)
    single = [FireEnv(land, **SMALL) for _ in range(3)]
    try:
        obs, info = vector.reset(seed=50)
        for i, env in enumerate(single):
            alone, alone_info = env.reset(seed=50 + i)
            np.testing.assert_array_equal(obs[i], alone)
            assert alone_info["loss"] == info["loss"][i]
        rng = np.random.default_rng(0)
        for step in range(6):
            mask = info["action_mask"]
            assert mask.dtype == np.int8
            np.testing.assert_array_equal(mask, vector.action_masks())
            actions = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
            obs, reward, terminated, truncated, info = vector.step(actions)
            assert terminated.tolist() == [step == 5] * 3
            assert not truncated.any()
            for i, env in enumerate(single):
                alone, alone_reward, alone_terminated, _, alone_info = env.step(actions[i])
                np.testing.assert_array_equal(obs[i], alone)
                assert reward[i] == alone_reward
                assert terminated[i] == alone_terminated
                assert info["loss"][i] == alone_info["loss"]
                np.testing.assert_array_equal(info["action_mask"][i], alone_info["action_mask"])
    finally:
        vector.close()


def test_the_return_is_the_share_of_loss_avoided_on_the_same_fires(land):
    env = FireEnv(land, **SMALL)
    seen = play(env, 3, np.random.default_rng(3), 6)
    first, last = seen[0][3], seen[-1][3]
    assert sum(step[1] for step in seen) == pytest.approx(1 - last / first, abs=1e-12)
    assert seen[-1][2]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_repaired_losses_are_those_of_a_fresh_simulation_of_the_plan(land):
    """The judge and the environment agree on what a plan is worth, to the last bit."""
    fires = Fires.draw(land, 30, 5)
    episodes = Episodes(land, fires, 1, 30, 8)
    episodes.reset([0], [np.arange(episodes.ensemble.fires_per_episode)])
    rng = np.random.default_rng(0)
    for _ in range(8):
        episodes.step(np.array([rng.choice(np.flatnonzero(episodes.action_mask()[0]))]))
    result = spread(land, fires, episodes.plan(0))
    assert result.mean_loss == episodes.loss[0]
    np.testing.assert_array_equal(episodes.ensemble.planes()[0, 0].astype(np.float32), result.burn_probability())


def test_the_mask_leaves_out_treated_nonburnable_and_buffer_cells(land):
    env = FireEnv(land, **SMALL)
    _, info = env.reset(seed=0)
    row, col, rows, cols = land.aoi_window
    assert (row, col, rows, cols) == (2, 3, 10, 10)
    np.testing.assert_array_equal(info["action_mask"].reshape(10, 10), land.burnable[2:12, 3:13])
    action = int(np.flatnonzero(info["action_mask"])[7])
    _, _, _, _, after = env.step(action)
    assert after["action_mask"][action] == 0
    assert after["action_mask"].sum() == info["action_mask"].sum() - 1


def test_a_masked_unit_is_wasted(land):
    env = FireEnv(land, **SMALL)
    _, info = env.reset(seed=0)
    blocked = int(np.flatnonzero(info["action_mask"] == 0)[0])
    _, reward, _, _, after = env.step(blocked)
    assert reward == 0.0
    assert after["loss"] == info["loss"]
    np.testing.assert_array_equal(after["action_mask"], info["action_mask"])


def test_a_different_seed_samples_other_fires_of_the_same_bank(land):
    env = FireEnv(land, **SMALL)
    losses = {env.reset(seed=seed)[1]["loss"] for seed in range(10)}
    assert len(losses) > 5
    assert env.reset(seed=4)[1]["loss"] == env.reset(seed=4)[1]["loss"]


def test_reset_mask_restarts_only_the_rows_it_names(land):
    vector = VectorizedFireEnv(2, "sequential", None, land, **SMALL)
    _, info = vector.reset(seed=1)
    actions = np.array([np.flatnonzero(row)[0] for row in info["action_mask"]])
    after, *_ = vector.step(actions)
    again, info = vector.reset(seed=1, options={"reset_mask": np.array([True, False])})
    assert info["action_mask"][0, actions[0]] == 1
    assert info["action_mask"][1, actions[1]] == 0
    np.testing.assert_array_equal(again[1], after[1])
    vector.close()


@pytest.mark.parametrize("workers", [1, 3])  # with three, threads share an episode: its sums stand in parts
def test_an_observation_is_made_of_the_planes_of_its_fires(land, workers):
    episodes = Episodes(land, Fires.draw(land, 30, 0, duration_min=200), 2, 9, 5, workers=workers)
    episodes.reset([0, 1], [np.arange(9), np.arange(10, 19)])
    out, rng = episodes.blank(), np.random.default_rng(0)
    for _ in range(4):
        episodes.step((episodes.action_mask() * rng.random((2, 100))).argmax(axis=1))
        episodes.observe(out)
        planes = dict(zip(PLANE_NAMES, episodes.ensemble.planes()[:, :, 2:12, 3:13].swapaxes(0, 1), strict=True))
        planes["downstream_share"] = np.minimum(planes["downstream_value"] / episodes.first_loss[:, None, None], 1.0)
        planes["downstream_root"] = np.sqrt(planes["downstream_share"])
        assert planes["downstream_share"].max() > 0.2
        for name in LIVE_CHANNELS:
            np.testing.assert_array_equal(out[:, episodes.channels.index(name)], planes[name].astype(np.float32))


def test_raw_leaves_out_downstream_value_and_nothing_else(land):
    full, raw = channel_names("full"), channel_names("raw")
    assert [name for name in full if name not in raw] == ["downstream_share", "downstream_root"]
    a, _ = FireEnv(land, **SMALL).reset(seed=0)
    b, _ = FireEnv(land, obs="raw", **SMALL).reset(seed=0)
    np.testing.assert_array_equal(a[[full.index(name) for name in raw]], b)


def test_rendering_is_an_image_that_shows_the_break(land):
    env = FireEnv(land, render_mode="rgb_array", **SMALL)
    env.reset(seed=0)
    before = env.render()
    action = int(np.flatnonzero(env.action_masks())[20])
    env.step(action)
    after = env.render()
    assert before.dtype == np.uint8
    assert before.shape[2] == 3
    scale = after.shape[0] // 10
    assert (after[action // 10 * scale, action % 10 * scale] == 0).all()
    assert (before[action // 10 * scale, action % 10 * scale] != 0).any()


def choose(info, rng: np.random.Generator) -> np.ndarray:
    """An allowed unit for each row."""
    return (info["action_mask"] * rng.random(info["action_mask"].shape)).argmax(axis=1)


def told(vector: VectorizedFireEnv, kill=None) -> list:
    """All that several episodes tell, some rows restarted on the way; `kill(i)` is called within step i."""
    rng, everything = np.random.default_rng(5), []
    obs, info = vector.reset(seed=3)
    for i in range(30):
        if i in (6, 12, 18, 24):
            obs, info = vector.reset()
        if i == 9:  # rows in different states
            obs, info = vector.reset(options={"reset_mask": np.arange(vector.num_envs) == 1})
        vector.step_async(choose(info, rng))
        if kill is not None:
            kill(i)
        obs, reward, terminated, _, info = vector.step_wait()
        everything += [obs, reward, terminated, info["loss"], info["action_mask"], vector.cells_solved]
    return everything


@pytest.mark.filterwarnings("ignore:.* share .* core:RuntimeWarning")  # two beside this process are asked for
def test_a_worker_killed_at_any_moment_changes_nothing_20_times(land):
    quiet = VectorizedFireEnv(3, "sequential", landscape=land, **SMALL)
    expected = told(quiet)
    vector = VectorizedFireEnv(3, "multiprocessing", 3, land, **SMALL)
    rng, killed = np.random.default_rng(0), set()

    def kill(step: int) -> None:
        if len(killed) < 20:
            time.sleep(float(rng.choice([0, 0.0002, 0.001, 0.01])))  # before, in and after its work
            victims = vector.pids if rng.random() < 0.3 else rng.choice(vector.pids, 1).tolist()
            for victim in set(victims) - killed:  # one killed after its answer is found dead at the next call
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)

    memory = vector._memory.name
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        seen = told(vector, kill)
    assert len(killed) >= 20
    assert len(warned) == len(killed)
    assert all("killed by SIGKILL" in str(each.message) for each in warned)
    for a, b in zip(expected, seen, strict=True):
        np.testing.assert_array_equal(a, b)
    vector.close()
    assert not any(psutil.pid_exists(pid) for pid in killed)
    with pytest.raises(FileNotFoundError):
        SharedMemory(memory)


def test_a_second_death_in_a_row_ends_it_with_the_cause(land, monkeypatch):
    vector = VectorizedFireEnv(2, "multiprocessing", 2, land, **SMALL)
    _, info = vector.reset(seed=0)
    new = vector._workers._new

    def doomed(i: int):
        member = new(i)
        os.kill(member.pid, signal.SIGKILL)
        return member

    monkeypatch.setattr(vector._workers, "_new", doomed)
    os.kill(vector.pids[0], signal.SIGKILL)
    with pytest.raises(
        parallel.WorkerLost, match=r"worker 1 ended twice in a row \(process \d+, killed by SIGKILL; then"
    ):
        vector.step(info["action_mask"].argmax(axis=1))
    pids = vector.pids
    vector.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_an_environment_that_is_not_closed_leaves_nothing_behind():
    script = (
        "from fuelbreak.env import VectorizedFireEnv\n"
        "env = VectorizedFireEnv(2, 'multiprocessing', 2, num_simulations=1, bank_size=1, budget=1)\n"
        "env.reset(seed=0)\n"
        "print(*env.pids, env._memory.name)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    *pids, memory = ran.stdout.split()
    assert len(pids) == 1
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)
    with pytest.raises(FileNotFoundError):
        SharedMemory(memory)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_actors_of_ray_tell_the_same_bits(ray_cluster, land, workers):
    expected = told(VectorizedFireEnv(3, "sequential", landscape=land, **SMALL))
    vector = VectorizedFireEnv(3, "ray", workers, land, **SMALL)
    assert len(vector.pids) == workers
    killed = []

    def kill(step: int) -> None:
        if step in (4, 20):
            killed.append(vector.pids[step % workers])
            os.kill(killed[-1], signal.SIGKILL)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        seen = told(vector, kill)
    assert [str(each.message).split(" (")[0] for each in warned] == [
        f"worker {4 % workers} ended",
        f"worker {20 % workers} ended",
    ]
    for a, b in zip(expected, seen, strict=True):
        np.testing.assert_array_equal(a, b)
    pids = vector.pids
    vector.close()
    assert len({*pids, *killed}) == workers + 2
    deadline = time.monotonic() + 20  # ray ends actors in its own time
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize(
    ("method", "rows", "cores", "asked", "settled"),
    [
        ("sequential", 4, 8, (None, None), (1, 1)),
        ("threading", 4, 8, (None, None), (1, 8)),
        ("threading", 4, 8, (2, None), (1, 2)),
        ("multiprocessing", 4, 4, (None, None), (4, 1)),
        ("multiprocessing", 4, 16, (None, None), (4, 4)),
        ("multiprocessing", 6, 8, (None, None), (6, 1)),
        ("multiprocessing", 4, 2, (None, None), (2, 1)),
        ("multiprocessing", 4, 8, (4, 2), (4, 2)),
        ("ray", 8, 6, (3, None), (3, 1)),
    ],
)
def test_environments_times_workers_stay_within_the_cores(monkeypatch, method, rows, cores, asked, settled):
    monkeypatch.setattr(parallel, "available_cores", lambda: cores)
    assert settled_workers(method, rows, 50, cores, *asked) == settled
    assert settled[0] * settled[1] <= cores


@pytest.mark.parametrize(
    ("method", "asked", "says"),
    [
        ("threading", (3, None), "threading: 3 threads share 2 cores"),
        ("multiprocessing", (4, 1), "multiprocessing: 4 workers x 1 threads share 2 cores"),
        ("ray", (None, 2), "ray: 2 workers x 2 threads share 2 cores"),
    ],
)
def test_more_than_the_cores_only_if_asked_and_with_a_warning(method, asked, says):
    with pytest.warns(RuntimeWarning, match=says):
        workers, threads = settled_workers(method, 4, 50, 2, *asked)
    assert workers * threads > 2


def test_closing_in_the_middle_of_a_step_leaves_nothing_though_a_worker_was_killed(land):
    vector = VectorizedFireEnv(2, "multiprocessing", 2, land, **SMALL)
    _, info = vector.reset(seed=0)
    pids, memory = vector.pids, vector._memory.name
    vector.step_async(info["action_mask"].argmax(axis=1))
    os.kill(pids[0], signal.SIGKILL)
    vector.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(FileNotFoundError):
        SharedMemory(memory)
    vector.close()
    vector.close_extras()


@pytest.mark.parametrize("method", METHODS)
def test_a_refused_call_changes_no_row(land, method):
    """After every kind of refusal the episodes go on as if nothing had been asked."""
    vector = VectorizedFireEnv(2, method, 2, land, **SMALL)
    plain = VectorizedFireEnv(2, "sequential", None, land, **SMALL)
    try:
        for call in (vector.action_masks, lambda: FireEnv(land, **SMALL).action_masks()):
            with pytest.raises(InputError, match="call reset first"):
                call()
        with pytest.raises(gym.error.ResetNeeded, match="episode 0 has not begun; call reset first"):
            vector.step(np.array([0, 0]))
        vector.reset(seed=8, options={"reset_mask": np.array([True, False])})
        with pytest.raises(gym.error.ResetNeeded, match="episode 1 has not begun; call reset first"):
            vector.step(np.array([0, 0]))
        obs, info = vector.reset(seed=9)
        plain.reset(seed=9)
        good = info["action_mask"].argmax(axis=1)
        for actions, says in (
            ([good[0], 100], "row 1 names unit 100"),
            ([good[0], -1], "row 1 names unit -1"),
            ([good[0]], r"shape \(1,\)"),
            ([*good, 3], r"shape \(3,\)"),
            (good[0], r"shape \(\)"),
            ([[good[0]], [1, 2]], "differ in length"),
            (good.astype(float), "float64"),
            (good > 0, "bool"),
            ([good[0], None], "object"),
        ):
            with pytest.raises(InputError, match=says) as refusal:
                vector.step_async(actions)
            assert "from 0 to 99" in str(refusal.value)
            assert "\n" not in str(refusal.value)
        for seed in (-1, 1.5, True, "one", (1,), [1, 2, 3], (1, 2.5), np.array([1.0, 2.0]), np.array([[1, 2]]), {1, 2}):
            with pytest.raises(InputError, match="seed") as refusal:
                vector.reset(seed=seed)
            assert "\n" not in str(refusal.value)
        for mask in ([True], [True, False, True], np.ones(2), np.array([0, 1]), True, None):
            with pytest.raises(InputError, match=r"reset_mask.*for each of 2"):
                vector.reset(seed=1, options={"reset_mask": mask})
        for step in range(6):
            actions = vector.action_masks().argmax(axis=1)
            one, other = vector.step(actions), plain.step(actions)
            for seen, expected in zip(one[:4], other[:4], strict=True):
                np.testing.assert_array_equal(seen, expected)
            assert one[2].tolist() == [step == 5] * 2
            assert (one[0] != obs).any(axis=(1, 2, 3)).all()
        with pytest.raises(gym.error.ResetNeeded, match="budget of episode 0 is spent"):
            vector.step_async(good)
        # One row anew: the other is spent still.
        vector.reset(seed=1, options={"reset_mask": [True, False]})
        with pytest.raises(gym.error.ResetNeeded, match="budget of episode 1 is spent"):
            vector.step_async(good)
    finally:
        vector.close()
        plain.close()


@pytest.mark.parametrize("method", METHODS)
def test_one_step_at_a_time_and_none_after_closing(land, method):
    vector = VectorizedFireEnv(2, method, 2, land, **SMALL)
    try:
        _, info = vector.reset(seed=0)
        actions = info["action_mask"].argmax(axis=1)
        with pytest.raises(gym.error.NoAsyncCallError, match="step_async"):
            vector.step_wait()
        vector.step_async(actions)
        for call in (lambda: vector.step_async(actions), lambda: vector.step(actions), lambda: vector.reset(seed=5)):
            with pytest.raises(gym.error.AlreadyPendingCallError, match="step_wait first"):
                call()
        _, _, _, _, info = vector.step_wait()
        assert (info["action_mask"][[0, 1], actions] == 0).all()  # the step begun first, once
        assert info["action_mask"].sum() == 2 * (land.burnable & land.area_of_interest).sum() - 2
        with pytest.raises(gym.error.NoAsyncCallError, match="step_async"):
            vector.step_wait()
        vector.step_async(vector.action_masks().argmax(axis=1))
    finally:
        vector.close()
    for call in (vector.reset, vector.step_wait, vector.action_masks, lambda: vector.step(actions)):
        with pytest.raises(gym.error.ClosedEnvironmentError, match="closed; make a new one"):
            call()


def test_the_single_environment_refuses_what_it_cannot_do(land):
    env = FireEnv(land, **SMALL)
    with pytest.raises(gym.error.ResetNeeded, match="call reset first"):
        env.step(0)
    for seed in (-1, 1.5, (1,), [1], np.arange(200), "one"):
        with pytest.raises(InputError, match="seed") as refusal:
            env.reset(seed=seed)
        assert "\n" not in str(refusal.value)
    obs, info = env.reset(seed=np.int64(3))
    np.testing.assert_array_equal(obs, FireEnv(land, **SMALL).reset(seed=3)[0])
    for action in (100, -1, 2.0, None, [1, 2], [[1], [1, 2]]):
        with pytest.raises(InputError, match="from 0 to 99"):
            env.step(action)
    np.testing.assert_array_equal(env.action_masks(), info["action_mask"])
    env.step(np.asarray(info["action_mask"].argmax()))
    env.close()
    env.close()
    for call in (env.reset, env.action_masks, lambda: env.step(0)):
        with pytest.raises(gym.error.ClosedEnvironmentError, match="closed; make a new one"):
            call()


def test_seeds_may_come_as_a_list_a_tuple_or_an_array(land):
    vector = VectorizedFireEnv(2, "sequential", None, land, **SMALL)
    expected, _ = vector.reset(seed=6)
    for seed in ([6, 7], (6, 7), np.array([6, 7]), np.int32(6), [np.int64(6), 7]):
        np.testing.assert_array_equal(vector.reset(seed=seed)[0], expected)
    some, _ = vector.reset(seed=(6, None))
    np.testing.assert_array_equal(some[0], expected[0])
    assert (some[1] != expected[1]).any()  # the dice of row 1 roll on
    vector.close()


def test_cells_solved_is_the_same_by_any_method_and_counts_no_bank(land):
    counts = []
    for method in METHODS:
        vector = VectorizedFireEnv(3, method, 2, land, **SMALL)
        assert vector.cells_solved == 0
        vector.reset(seed=2)
        counts.append([vector.cells_solved])
        for _ in range(4):
            vector.step(vector.action_masks().argmax(axis=1))
            counts[-1].append(vector.cells_solved)
        vector.close()
    assert counts[0] == counts[1] == counts[2]
    assert counts[0][0] == 0  # an episode's untreated fires are taken from the bank
    assert counts[0][-1] > 0


@pytest.mark.filterwarnings("ignore:.* share .* core:RuntimeWarning")  # that many are asked for
def test_no_more_threads_than_fires(land, monkeypatch):
    used = []
    run = parallel.run_threads
    monkeypatch.setattr(parallel, "run_threads", lambda work, workers: (used.append(workers), run(work, workers)))
    vector = VectorizedFireEnv(2, "threading", 50, land, num_simulations=3, bank_size=8, budget=2)
    vector.reset(seed=0)
    vector.close()
    assert max(used) == 6


def test_the_demo_landscape_is_the_same_everywhere():
    small = {"num_simulations": 1, "bank_size": 1, "budget": 1}
    env, vector, simulate = FireEnv(**small), VectorizedFireEnv(1, "sequential", **small), Simulate()
    for land in (vector.landscape, simulate.landscape):
        for name in LAYERS:
            np.testing.assert_array_equal(getattr(land, name), getattr(env.landscape, name))
    assert env.landscape.aoi_window[2:] == (50, 50)
    assert min(env.landscape.aoi_window[:2]) > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "quantum"}, "sequential, threading, multiprocessing"),
        ({"num_envs": 0}, "at least 1"),
        ({"max_workers": 0}, "at least 1"),
        ({"num_simulations": 41}, "41 of a bank of 40"),
        ({"budget": 0}, "budget"),
        ({"budget": 5000}, "budget"),
        ({"obs": "half"}, "full or raw"),
    ],
)
def test_impossible_arguments_are_refused_by_name(land, change, says):
    with pytest.raises(InputError, match=says):
        VectorizedFireEnv(**({"num_envs": 2, "method": "threading", "landscape": land} | SMALL | change))


def test_a_season_turns_about_its_design_wind():
    bank = fire_season(Weather(wind_from_deg=10.0), weathers=32)
    turned = (np.array([weather.wind_from_deg for weather in bank]) - 10 + 180) % 360 - 180
    assert abs(turned.mean()) < 1
    assert 25 < turned.std() < 35
    assert len(set(bank)) == 32


def test_the_plan_of_an_episode_is_a_plan_of_its_landscape(land):
    episodes = Episodes(land, Fires.draw(land, 5, 0), 1, 5, 2)
    episodes.reset([0], [np.arange(episodes.ensemble.fires_per_episode)])
    units = np.flatnonzero(episodes.action_mask()[0])[[3, 9]]
    for unit in units:
        episodes.step(np.array([unit]))
    assert isinstance(episodes.plan(0), Plan)
    np.testing.assert_array_equal(episodes.plan(0).cells, episodes.unit_cell[units])
