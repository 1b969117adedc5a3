"""The registered ids: each is one frozen world, whose returns are golden: another return is another version."""

from __future__ import annotations

import csv
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from fuelbreak import env as rooms
from fuelbreak import leaderboard
from fuelbreak.env import FROZEN, FireEnv, VectorizedFireEnv, channel_names
from fuelbreak.errors import InputError
from fuelbreak.landscape import budget_units
from fuelbreak.scenarios import Fires
from fuelbreak.spread import SLOWER_GAIN, _correction, calibration_digest, spread

GOLDEN = Path(__file__).parent / "data" / "golden_returns.csv"
POLICIES = ("random", "sequential_dpv")
SEEDS = dict(zip(FROZEN, ((0, 1, 2), (0, 1), (0,)), strict=True))  # an episode of 100 x 100 takes 476 steps
SMALL, MEDIUM, LARGE = FROZEN


@cache
def made(env_id: str) -> gym.Env:
    return gym.make(env_id)


def golden_return(env_id: str, policy: str, seed: int) -> float:
    """What an episode of a fixed policy earns in all, rewards added up one by one."""
    env, rng, downstream = made(env_id), np.random.default_rng(seed), channel_names("full").index("downstream_share")
    obs, info = env.reset(seed=seed)
    total, terminated = 0.0, False
    while not terminated:
        mask = info["action_mask"]
        if policy == "random":
            action = int(rng.choice(np.flatnonzero(mask)))
        else:
            action = int(np.where(mask, obs[downstream].ravel(), -1.0).argmax())
        obs, reward, terminated, truncated, info = env.step(action)
        assert not truncated
        total += reward
    assert total == pytest.approx(info["loss_avoided"], abs=1e-12)
    return total


def golden() -> list[tuple[str, str, int, float]]:
    with GOLDEN.open() as file:
        return [(row["env_id"], row["policy"], int(row["seed"]), float(row["return"])) for row in csv.DictReader(file)]


def test_the_table_has_every_id_policy_and_seed():
    rows = [(env_id, policy, seed) for env_id, policy, seed, _ in golden()]
    assert rows == [(env_id, policy, seed) for env_id in FROZEN for policy in POLICIES for seed in SEEDS[env_id]]


@pytest.mark.parametrize("env_id", FROZEN)
def test_returns_are_golden(env_id):
    """Not a digit may change: a change here makes v1 of the id, with a table of its own."""
    for _, policy, seed, earned in (row for row in golden() if row[0] == env_id):
        assert golden_return(env_id, policy, seed) == pytest.approx(earned, abs=1e-9), (policy, seed)


@pytest.mark.parametrize("env_id", FROZEN)
def test_an_id_is_what_it_says(env_id):
    env, spec = made(env_id).unwrapped, FROZEN[env_id]
    assert isinstance(env, FireEnv)
    assert env.landscape.aoi_window == (spec.buffer_cells, spec.buffer_cells, spec.size, spec.size)
    assert env.observation_space.shape == (len(channel_names("full")), spec.size, spec.size)
    assert env._episodes.budget == budget_units(env.landscape, "5%")
    assert env._episodes.ensemble.fires_per_episode == 100
    bank = env._episodes.ensemble.fires
    assert len(bank) == 2000
    assert rooms.scenarios_digest(bank) == spec.scenarios
    taken = {course.seed for course in leaderboard.specs()} | {
        first + 500 + i for half, first in leaderboard.SEEDS.items() for i in range(len(leaderboard.TILES[half]))
    }
    assert spec.seed not in taken
    season, (low, high) = rooms.frozen_world(env_id)[1], leaderboard.SHARES
    fires = Fires.draw(env.landscape, 200, 9, purpose="validate", weather=season, duration_min=spec.duration_min)
    share = spread(env.landscape, fires).burned_cells.mean() / env.landscape.burnable.sum()
    assert low < share < high


def test_gymnasium_checks_a_registered_id():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(SMALL, render_mode="rgb_array").unwrapped)


def test_raw_is_a_keyword_and_earns_the_same():
    raw, full = gym.make(SMALL, obs="raw"), made(SMALL)
    assert raw.observation_space.shape == (len(channel_names("raw")), 20, 20)
    _, info = raw.reset(seed=4)
    full.reset(seed=4)
    for unit in np.flatnonzero(info["action_mask"])[:5]:
        assert raw.step(unit)[1] == full.step(unit)[1]


def test_an_id_works_without_an_import_by_its_module():
    code = "import gymnasium; print(gymnasium.make('fuelbreak:fuelbreak/FuelBreak20-v0').spec.id)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert ran.stdout == f"{SMALL}\n", ran.stderr


def test_make_vec_burns_fires_side_by_side_and_gymnasium_s_own_vector_is_the_same():
    vector = gym.make_vec(SMALL, num_envs=3, vectorization_mode="vector_entry_point")
    assert isinstance(vector, VectorizedFireEnv)
    assert vector.method == "threading"
    assert vector.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    sync = gym.make_vec(SMALL, num_envs=3, vectorization_mode="sync")
    try:
        obs, info = vector.reset(seed=7)
        other, other_info = sync.reset(seed=7)
        for _ in range(4):
            np.testing.assert_array_equal(obs, other)
            np.testing.assert_array_equal(info["action_mask"], other_info["action_mask"])
            np.testing.assert_array_equal(info["loss"], other_info["loss"])
            actions = info["action_mask"].argmax(axis=1)
            obs, reward, *_, info = vector.step(actions)
            other, other_reward, *_, other_info = sync.step(actions)
            np.testing.assert_array_equal(reward, other_reward)
    finally:
        vector.close()
        sync.close()
    raw = gym.make_vec(SMALL, num_envs=1, obs="raw", method="sequential")
    assert raw.method == "sequential"
    assert raw.single_observation_space.shape == (len(channel_names("raw")), 20, 20)
    raw.close()


@pytest.mark.parametrize("part", ["landscape", "scenarios", "calibration"])
def test_a_world_that_changed_is_refused_in_a_line_that_names_the_id(monkeypatch, part):
    monkeypatch.setitem(rooms.FROZEN, SMALL, FROZEN[SMALL]._replace(**{part: "0" * 16}))
    rooms._checked_world.cache_clear()
    try:
        for make in (lambda: gym.make(SMALL), lambda: gym.make_vec(SMALL, num_envs=2)):
            with pytest.raises(InputError, match=rf"^{SMALL}: no longer what .* froze \({part}\)") as refused:
                make()
            assert "\n" not in str(refused.value)
    finally:
        rooms._checked_world.cache_clear()


def test_the_digests_see_what_they_are_of(monkeypatch):
    spec = FROZEN[SMALL]
    for change in ({"seed": spec.seed + 1}, {"duration_min": spec.duration_min + 1}, {"buffer_cells": 6}):
        monkeypatch.setitem(rooms.FROZEN, SMALL, spec._replace(**change))
        assert rooms.scenarios_digest(rooms.frozen_world(SMALL)[2]) != spec.scenarios
    assert calibration_digest() == spec.calibration
    _correction.cache_clear()
    monkeypatch.setitem(SLOWER_GAIN, 32, SLOWER_GAIN[32] + 0.01)
    try:
        assert calibration_digest() != spec.calibration
    finally:
        _correction.cache_clear()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: gym.make(SMALL, budget=7), "budget cannot be chosen.*choose obs and render_mode"),
        (lambda: gym.make(SMALL, num_simulations=5, fires_seed=1), "num_simulations, fires_seed cannot be chosen"),
        (lambda: gym.make_vec(SMALL, num_envs=2, bank_size=20), "bank_size cannot be chosen.*method, max_workers"),
        (lambda: gym.make(SMALL, obs="half"), "full or raw"),
        (lambda: gym.make(SMALL, env_id="fuelbreak/FuelBreak30-v0"), "'fuelbreak/FuelBreak30-v0' is unknown; use"),
        (lambda: gym.make_vec(SMALL, num_envs=0), "at least 1"),
    ],
)
def test_what_is_frozen_cannot_be_chosen(make, says):
    with pytest.raises(InputError, match=says) as refused:
        make()
    assert "\n" not in str(refused.value)
