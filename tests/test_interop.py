"""Other people's learners on the registered ids: sb3-contrib's MaskablePPO, Stable-Baselines3's DQN and PPO."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from fuelbreak.env import FROZEN, FireEnv

ASK = "is not installed: pip install 'fuelbreak[interop]'"
sb3 = pytest.importorskip("stable_baselines3", reason=f"stable-baselines3 {ASK}")
contrib = pytest.importorskip("sb3_contrib", reason=f"sb3-contrib {ASK}")

ROOT = Path(__file__).parent.parent
SMALL = next(iter(FROZEN))
sys.path.insert(0, str(ROOT / "examples"))
example = importlib.import_module("maskable_ppo")
masking = importlib.import_module("sb3_contrib.common.maskable.utils")


@pytest.fixture
def allowed(monkeypatch) -> list[bool]:
    """Of every step that any environment takes from here on, whether its unit was allowed."""
    taken: list[bool] = []
    step = FireEnv.step

    def watched(self, action):
        taken.append(bool(self.action_masks()[action]))
        return step(self, action)

    monkeypatch.setattr(FireEnv, "step", watched)
    return taken


@pytest.mark.filterwarnings("ignore:It seems that your observation .* is an image:UserWarning")  # maps, not pixels
@pytest.mark.filterwarnings("ignore:The minimal resolution for an image is 36x36:UserWarning")
def test_stable_baselines_checks_it():
    importlib.import_module("stable_baselines3.common.env_checker").check_env(gym.make(SMALL).unwrapped)


def test_maskable_ppo_learns_and_never_takes_a_masked_unit(allowed, tmp_path):
    agent = example.maskable_ppo(SMALL, n_steps=32, batch_size=64)
    assert masking.is_masking_supported(agent.env)
    before = [weights.clone() for weights in agent.policy.parameters()]
    agent.learn(512)
    assert len(allowed) == 512
    assert all(allowed)
    changed = [bool((old != new).any()) for old, new in zip(before, agent.policy.parameters(), strict=True)]
    assert all(changed)
    env = gym.make(SMALL)
    obs, _ = env.reset(seed=1)
    obs, *_ = env.step(int(masking.get_action_masks(env).argmax()))
    agent.save(tmp_path / "agent")
    again = contrib.MaskablePPO.load(tmp_path / "agent")
    masks = masking.get_action_masks(env)
    unit = agent.predict(obs, action_masks=masks, deterministic=True)[0]
    assert masks[unit]
    assert again.predict(obs, action_masks=masks, deterministic=True)[0] == unit


@pytest.mark.parametrize("kind", ["PPO", "DQN"])
def test_learners_that_know_no_mask_run_and_waste_units(allowed, kind):
    """That they do waste some is what makes the test of the mask one that can fail."""
    env = gym.make(SMALL)
    if kind == "PPO":
        agent = sb3.PPO("MlpPolicy", env, n_steps=100, batch_size=50, seed=0)
    else:
        agent = sb3.DQN("MlpPolicy", env, buffer_size=400, learning_starts=50, target_update_interval=50, seed=0)
    agent.learn(400)
    assert len(allowed) == 400
    assert not all(allowed)
    assert agent.num_timesteps == 400
    obs, _ = env.reset(seed=0)
    assert env.action_space.contains(agent.predict(obs, deterministic=True)[0].item())


def test_the_vector_plays_an_agent_as_single_environments_do():
    agent, seeds = example.maskable_ppo(SMALL, "raw", seed=3), (5, 6)
    together = example.loss_avoided(example.best_guess(agent), SMALL, "raw", seeds)
    env = gym.make(SMALL, obs="raw")
    for seed, avoided in zip(seeds, together, strict=True):
        obs, info = env.reset(seed=seed)
        over = False
        while not over:
            unit = agent.predict(obs, action_masks=info["action_mask"].astype(bool), deterministic=True)[0]
            obs, _, over, _, info = env.step(unit)
        assert info["loss_avoided"] == avoided


def test_the_code_of_the_page_runs(capsys):
    """Every block of docs/interoperability.md, one after the other, as a reader would type them."""
    text = (ROOT / "docs" / "interoperability.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 3
    named: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/interoperability.md", "exec"), named)
    assert np.isfinite(float(capsys.readouterr().out.split()[-1]))


def test_the_example_runs_from_a_shell(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["maskable_ppo.py", "--steps", "500", "--obs", "raw"])
    example.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["MaskablePPO", "random"]
    assert all(line.endswith("% of the loss avoided") for line in lines)
