"""Train sb3-contrib's MaskablePPO on a frozen world and tell what its plans avoid, beside random plans.

    pip install 'fuelbreak[interop]'
    python examples/maskable_ppo.py --obs full --steps 50000

Actions are cells, so the network gives one number for each cell: small convolutions over the observation's planes, and
a last layer that begins as those numbers themselves. Stable-Baselines3's own CnnPolicy is made for pixels (uint8, 36 x
36 or more); its MlpPolicy runs on these planes as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from fuelbreak.env import FROZEN

Policy = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_]], npt.NDArray[np.int64]]
"""Observations (E, channels, rows, cols) and allowed units (E, units) to a unit for each episode (E,)."""
JUDGED = range(10_000, 10_020)
"""Seeds of the episodes that agents are compared on; learning takes others."""


class CellScores(BaseFeaturesExtractor):
    """One number for each cell (B, rows * cols) from the planes (B, channels, rows, cols) around it."""

    def __init__(self, observation_space: gym.spaces.Box, width: int = 16) -> None:
        channels, rows, cols = observation_space.shape
        super().__init__(observation_space, rows * cols)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(width, 1, 1),
            nn.Flatten(),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Scores of the cells, row by row."""
        return self.layers(observations)


def maskable_ppo(env_id: str, obs: str = "full", seed: int = 0, **settings: Any) -> MaskablePPO:
    """An untrained agent on 8 environments of a registered id, which asks each for `action_masks()`."""
    env = make_vec_env(env_id, n_envs=8, seed=seed, env_kwargs={"obs": obs})
    env = VecNormalize(env, norm_obs=False, gamma=1.0)  # a unit earns a hundredth or so
    policy = {"features_extractor_class": CellScores, "net_arch": {"pi": [], "vf": [64]}}
    settings = {"n_steps": 64, "batch_size": 128, "n_epochs": 4, "gamma": 1.0, "learning_rate": 2e-3} | settings
    agent = MaskablePPO("MlpPolicy", env, seed=seed, policy_kwargs=policy, **settings)
    nn.init.eye_(agent.policy.action_net.weight)  # a cell's score is its own logit to begin with
    return agent


def best_guess(agent: MaskablePPO) -> Policy:
    """What the agent holds for best, without chance."""
    return lambda obs, masks: agent.predict(obs, action_masks=masks, deterministic=True)[0]


def by_chance(seed: int) -> Policy:
    """Any allowed unit, each as likely."""
    rng = np.random.default_rng(seed)
    return lambda obs, masks: (masks * rng.random(masks.shape)).argmax(axis=1)


def loss_avoided(policy: Policy, env_id: str, obs: str, seeds: Sequence[int]) -> npt.NDArray[np.float64]:
    """Share of the loss that a policy avoids in episodes of those seeds (E,), all played at once."""
    env = gym.make_vec(env_id, num_envs=len(seeds), obs=obs, vectorization_mode="vector_entry_point")
    seen, info = env.reset(seed=list(seeds))
    over = np.zeros(len(seeds), bool)
    while not over.all():
        seen, _, over, _, info = env.step(policy(seen, env.action_masks()))
    env.close()
    return info["loss_avoided"]


def main() -> None:
    """Train as the command line says, and tell the share of the loss that is avoided."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-id", default="fuelbreak/FuelBreak20-v0", choices=list(FROZEN))
    parser.add_argument("--obs", default="full", choices=["full", "raw"])
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    agent = maskable_ppo(asked.env_id, asked.obs, asked.seed).learn(asked.steps)
    for name, policy in (("MaskablePPO", best_guess(agent)), ("random", by_chance(asked.seed))):
        print(f"{name}: {loss_avoided(policy, asked.env_id, asked.obs, JUDGED).mean():.1%} of the loss avoided")


if __name__ == "__main__":
    main()
