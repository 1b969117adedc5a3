"""Reference curves of a registered id: what MaskablePPO avoids while it learns, beside others.

    python benchmarks/reference_curves.py --steps 32768 --seeds 3

Writes docs/reference_curves.csv (policy, obs, seed, environment steps, mean share of loss avoided in the 20 episodes of
`examples/maskable_ppo.py`) and docs/images/reference_curves.png. Needs the extra `interop`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from maskable_ppo import JUDGED, best_guess, by_chance, loss_avoided, maskable_ppo

from fuelbreak import policy
from fuelbreak.env import channel_names

ENV_ID = "fuelbreak/FuelBreak20-v0"
ROOT = Path(__file__).parent.parent
TABLE, PICTURE = ROOT / "docs/reference_curves.csv", ROOT / "docs/images/reference_curves.png"
LABELS = {"pretrained": "the agent that ships", "sequential_dpv": "sequential DPV", "random": "random"}
COLORS = {"full": "tab:blue", "raw": "tab:orange"}


def mean_avoided(policy, obs: str) -> float:
    return round(float(loss_avoided(policy, ENV_ID, obs, JUDGED).mean()), 6)


def sequential_dpv(obs, masks):
    """The allowed cell through which most value burns, fires brought up to date after each."""
    downstream = channel_names("full").index("downstream_share")
    return np.where(masks, obs[:, downstream].reshape(len(obs), -1), -1.0).argmax(axis=1)


def pretrained():
    """The agent that ships, which has never seen this landscape."""
    env = gymnasium.make_vec(ENV_ID, num_envs=1, vectorization_mode="vector_entry_point")
    units, left = env.budget, channel_names("full").index("budget_left")
    env.close()
    agent = policy.load_agent(policy.PRETRAINED)

    def choose(obs, masks):
        planes = policy.sight(obs, masks, np.round(units * obs[:, left, 0, 0]))
        return agent.q_values(planes, masks).argmax(axis=1)

    return choose


def curve(obs: str, seed: int, steps: int, every: int) -> list[tuple[int, float]]:
    agent, found = maskable_ppo(ENV_ID, obs, seed), []
    while True:
        found.append((agent.num_timesteps, mean_avoided(best_guess(agent), obs)))
        if agent.num_timesteps >= steps:
            return found
        agent.learn(every, reset_num_timesteps=False)


def draw(rows: list[dict[str, object]]) -> None:
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for obs, color in COLORS.items():
        runs = {}
        for row in rows:
            if row["policy"] == "MaskablePPO" and row["obs"] == obs:
                runs.setdefault(row["seed"], []).append((row["steps"], 100 * row["loss_avoided"]))
        paths = np.array(list(runs.values()))
        for path in paths:
            axes.plot(*path.T, color=color, alpha=0.3, linewidth=1)
        label = f"MaskablePPO, {obs}: mean of {len(paths)} seeds"
        axes.plot(paths[0, :, 0], paths[:, :, 1].mean(axis=0), color=color, label=label)
    for name, style in (("pretrained", "-."), ("sequential_dpv", "--"), ("random", ":")):
        height = 100 * np.mean([row["loss_avoided"] for row in rows if row["policy"] == name])
        axes.axhline(height, color="0.3", linestyle=style, label=f"{LABELS[name]} ({height:.1f} %)")
    axes.set(
        xlabel="environment steps",
        ylabel=f"loss avoided, mean of {len(JUDGED)} episodes (%)",
        title=ENV_ID,
        ylim=(0, None),
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.32), frameon=False)
    figure.savefig(PICTURE, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=32_768)
    parser.add_argument("--every", type=int, default=4096, help="a multiple of 512, what MaskablePPO takes at a time")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rules = {"pretrained": pretrained(), "sequential_dpv": sequential_dpv}
    rows = [(name, "full", 0, 0, mean_avoided(rule, "full")) for name, rule in rules.items()]
    rows += [("random", "full", seed, 0, mean_avoided(by_chance(seed), "full")) for seed in range(asked.seeds)]
    for obs in COLORS:
        for seed in range(asked.seeds):
            began = time.perf_counter()
            rows += [("MaskablePPO", obs, seed, *point) for point in curve(obs, seed, asked.steps, asked.every)]
            print(f"{obs}, seed {seed}: {rows[-1][-1]:.1%} after {time.perf_counter() - began:.0f} s", flush=True)
    names = "policy", "obs", "seed", "steps", "loss_avoided"
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
    draw([dict(zip(names, row, strict=True)) for row in rows])
