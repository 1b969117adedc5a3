"""What training on a landscape is worth, beside the agent that it starts from, on tiles of a real landscape.

    python benchmarks/fine_tuning.py RASTER [--half dev|test] [--nothing] [--out FOLDER]

On each 50 x 50 tile of western Montana that the leaderboard has, `fuelbreak train` runs as it comes, from the agent
that ships and, if asked, from nothing, with a seed of its own. Plans are made on the same 500 fires and judged on the
same 2000 held-out ones: loss avoided and differences with 95 % intervals over tiles and fires. What was trained stands
in the folder, and is not trained again.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuelbreak import planners, policy
from fuelbreak.evaluate import evaluate
from fuelbreak.leaderboard import SEEDS, TILES, difference
from fuelbreak.scenarios import Fires
from fuelbreak.train import TrainConfig, make_config, train

SEARCH = 100_000  # simulations of the searches
PAIRS = (
    ("trained", "as it ships"),
    ("trained", "sequential_dpv"),
    ("trained", "lines"),
    ("as it ships", "sequential_dpv"),
    ("trained + search", "trained"),
    ("trained + search", "ships + search"),
    ("trained", "from nothing"),
    ("from nothing", "sequential_dpv"),
)


def trained(settings: dict[str, Any], start: str | None, folder: Path) -> tuple[TrainConfig, Path, float]:
    """A training that goes on from `start`: its configuration, the folder of its run, and the minutes it took."""
    config = make_config(settings | {"start": start, "output_dir": str(folder)})
    for done in folder.glob("train-*/minutes.txt"):
        return config, done.parent, float(done.read_text())
    began = time.perf_counter()
    run = train(config).folder
    minutes = (time.perf_counter() - began) / 60
    (run / "minutes.txt").write_text(f"{minutes:.2f}")
    return config, run, minutes


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("raster", type=Path)
    ask.add_argument("--half", choices=("dev", "test"), default="test")
    ask.add_argument("--nothing", action="store_true", help="train from nothing too")
    ask.add_argument("--out", type=Path, default=Path("runs/fine-tuning"))
    asked = ask.parse_args()
    shares = []
    names: list[str] = []
    for i, (row, col) in enumerate(TILES[asked.half]):
        seed, where = SEEDS[asked.half] + 500 + i, asked.out / f"{asked.half}-{i + 1}"
        settings = {"landscape": str(asked.raster), "window": [row, col, 50, 50], "buffer_cells": 15, "seed": seed}
        config, run, minutes = trained(settings, policy.PRETRAINED, where / "trained")
        agents, took = {"as it ships": policy.PRETRAINED, "trained": str(run)}, f"{minutes:.1f} min"
        if asked.nothing:
            _, other, minutes = trained(settings, None, where / "nothing")
            agents["from nothing"], took = str(other), f"{took}, from nothing {minutes:.1f} min"
        land = config.open()
        about = {"weather": config.season(land, "kept"), "duration_min": config.fire_simulation_max_duration}
        fires = Fires.draw(land, config.planning_simulations, seed, **about)
        networks = {name: policy.load_agent(agent) for name, agent in agents.items()}
        plans = {
            name: policy.agent(land, fires, config.budget, seed=seed, network=network)
            for name, network in networks.items()
        }
        searches = {
            "ships + search": partial(policy.agent_search, network=networks["as it ships"]),
            "trained + search": partial(policy.agent_search, network=networks["trained"]),
            "lines": planners.lines,
        }
        plans["sequential_dpv"] = planners.sequential_dpv(land, fires, config.budget, seed=seed)
        for name, planner in searches.items():
            plans[name] = planner(land, fires, config.budget, seed=seed, max_simulations=SEARCH)
        heldout = Fires.draw(land, config.heldout_simulations, seed, purpose="heldout", **about)
        names = list(plans)
        shares.append(evaluate(plans, land, heldout, scenarios={}).resampled(names))
        told = ", ".join(f"{name} {share[0]:.1%}" for name, share in zip(names, shares[-1], strict=True))
        print(f"{asked.half}-{i + 1}: {told}; trained in {took}", flush=True)
    means = zip(names, np.mean(shares, axis=0)[:, 0], strict=True)
    print("mean: " + ", ".join(f"{name} {mean:.1%}" for name, mean in means))
    rows = [[{"method": name, "level": SEARCH} for name in names]] * len(shares)
    for ours, theirs in (pair for pair in PAIRS if set(pair) <= set(names)):
        mean, low, high = (100 * each for each in difference(rows, shares, ours, theirs, SEARCH))
        print(f"{ours} over {theirs}: {mean:+.1f} points ({low:+.1f} to {high:+.1f})")


if __name__ == "__main__":
    main()
