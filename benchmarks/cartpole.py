"""Our deep-Q learner beside Stable-Baselines3's on CartPole: is it a fair learner where no fire is?

    python benchmarks/cartpole.py --steps 20000 --seeds 3

Our network looks at maps and values their cells. So CartPole's four numbers become four planes of 1 x 2 cells, the same
in both but for a fifth that tells left from right, and the action is the cell. Both learn from the same number of
environment steps, with an update for every second step, and play 20 episodes without chance in the end (at most 500
points each). Prints both means. Needs the extra `interop`.
"""

from __future__ import annotations

import argparse
import time

import gymnasium as gym
import numpy as np

from fuelbreak.agents.dqn import DQN, DQNConfig
from fuelbreak.agents.replay import Replay, windows

SCALE = np.array([2.4, 3.0, 0.2, 3.0], np.float32)  # what the numbers reach: position, speed, angle, angular speed
MASK = np.ones((1, 2), bool)
GAMMA, UPDATE_EVERY, START = 0.99, 2, 500


def planes(numbers: np.ndarray) -> np.ndarray:
    """CartPole's numbers (4,) as maps (1, 5, 1, 2)."""
    flat = np.repeat((numbers / SCALE)[:, None], 2, axis=1)
    return np.concatenate([flat, [[-1.0, 1.0]]])[None, :, None, :].astype(np.float32)


def played(choose, seed: int) -> float:
    """Mean points of 20 episodes."""
    env, points = gym.make("CartPole-v1"), 0
    for episode in range(20):
        numbers, _ = env.reset(seed=10_000 + 100 * seed + episode)
        over = False
        while not over:
            numbers, _, terminated, truncated, _ = env.step(choose(numbers))
            points, over = points + 1, terminated or truncated
    return points / 20


def ours(steps: int, seed: int) -> float:
    config = DQNConfig(learning_rate=1e-3, gamma=GAMMA, n_step=3, batch_size=64, advantage_unit=1.0, width=16, shards=1)
    agent, memory = DQN(5, config, seed=seed), Replay(steps)
    env, rng = gym.make("CartPole-v1"), np.random.default_rng(seed)
    numbers, _ = env.reset(seed=seed)
    land, episode = None, []
    for step in range(steps):
        seen = planes(numbers)
        epsilon = max(0.04, 1 - step / (0.16 * steps))  # as SB3's: over 16 % of the steps down to 4 %
        action = agent.act(seen, MASK, epsilon, rng)
        numbers, reward, terminated, truncated, _ = env.step(int(action[0]))
        episode.append((seen, MASK, action, np.array([reward])))
        if terminated or truncated:  # cut off at 500 points counts as ended: windows know no other end
            (lesson,) = windows(*zip(*episode, strict=True), n_step=config.n_step, gamma=GAMMA)
            land = memory.add(lesson, land=land)
            numbers, _ = env.reset()
            episode = []
        if len(memory) >= START and step % UPDATE_EVERY == 0:
            batch = memory.sample(config.batch_size, rng)
            memory.learned(batch.place, agent.update(batch).td_errors)
    points = played(lambda numbers: int(agent.q_values(planes(numbers), MASK).argmax()), seed)
    agent.close()
    return points


def theirs(steps: int, seed: int) -> float:
    """Settings tuned by its authors for CartPole (RL Baselines3 Zoo); as many updates for each step as ours."""
    from stable_baselines3 import DQN as Theirs

    agent = Theirs(
        "MlpPolicy",
        gym.make("CartPole-v1"),
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=steps,
        learning_starts=START,
        gamma=GAMMA,
        target_update_interval=10,
        train_freq=128 * UPDATE_EVERY,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
    ).learn(steps)
    return played(lambda numbers: int(agent.predict(numbers, deterministic=True)[0]), seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    for name, learner in (("fuelbreak.agents", ours), ("Stable-Baselines3", theirs)):
        began = time.process_time()
        points = [learner(asked.steps, seed) for seed in range(asked.seeds)]
        each = ", ".join(f"{mean:.0f}" for mean in points)
        print(
            f"{name}: mean return {np.mean(points):.0f} ({each}), {time.process_time() - began:.0f} CPU s", flush=True
        )
