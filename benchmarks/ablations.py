"""What each ingredient of the agent adds, at 20 x 20: agents that learn without it, each a few minutes, judged alike.

    python benchmarks/ablations.py --seeds 3 [--curves FOLDER ...]

Every agent learns from the same 64 worlds of 20 x 20 of its training seed (but one, from 16 of them), 768 updates; the
last one's own episodes take a quarter of each batch. They are judged on 30 landscapes of 20 x 20 that nothing was
learned on, 2000 held-out fires each, in up to 10,000 simulations. Prints loss avoided over sequential DPV and the
difference from the agent with all ingredients, with 95 % intervals over landscapes, training seeds and fires. What is
done stands in --out, and is not done again. With --curves it draws instead what trainings of `fuelbreak pretrain`
noted while they learned: docs/images/learning_curves.png.
"""

import argparse
import csv
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from agent import difference, generated
from matplotlib.figure import Figure

from fuelbreak import leaderboard, parallel, planners, policy
from fuelbreak.pretrain import PretrainConfig, pretrain
from fuelbreak.spread import warm_up

WORLDS, COURSES, FIRST_SEED, LEVEL = 64, 30, 510_000, 10_000
WHOLE = "all"
# Demonstrations alone are the base, so that all but the last learn from the very same lessons.
VARIANTS: dict[str, dict[str, object]] = {
    WHOLE: {"own_episodes": False},
    "no downstream value seen (raw)": {"own_episodes": False, "prior": False},
    "no turning and mirroring": {"own_episodes": False, "symmetry": False},
    "no plans of a teacher": {"own_episodes": False, "taught_weight": 0.0},
    "no gains of single cells": {"own_episodes": False, "gain_weight": 0.0},
    "a quarter of the worlds, four times as often": {
        "own_episodes": False,
        "lessons": WORLDS // 4,
        "updates_per_lesson": 48,
    },
    "and own episodes": {"own_episodes": True},
}
PICTURE = Path(__file__).parent.parent / "docs/images/learning_curves.png"


def train_all(seed: int, folder: Path) -> dict[str, Path]:
    """The weights of each variant."""
    shown, weights = folder / WHOLE / "lessons", {}
    for name, settings in VARIANTS.items():
        config = replace(PretrainConfig(lessons=WORLDS, seed=seed, largest=20), **settings)
        place = folder / name
        weights[name] = place / "agent.safetensors"
        if weights[name].is_file():
            continue
        if name != WHOLE and not config.own_episodes and config.lessons == WORLDS:
            shutil.copytree(shown, place / "lessons", dirs_exist_ok=True)
        pretrain(config, place, say=lambda stage, done, text, name=name: print(f"{name}: {done:4.0%} {text:60.60}"))
    return weights


def draw(folders: list[Path]) -> None:
    """Loss on teachers' plans by round, and loss avoided over sequential DPV on unseen worlds, of each training."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, folder in enumerate(folders):
        with (folder / "metrics.csv").open() as file:
            rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        worlds = [row["lessons"] for row in rows]
        left.plot(worlds[1:], [row["taught_loss"] for row in rows[1:]], label=f"training seed {i}")
        tested = [row for row in rows if np.isfinite(row["agent"])]
        over = [100 * (row["agent"] - row["sequential_dpv"]) for row in tested]
        right.plot([row["lessons"] for row in tested], over, "o-", label=f"training seed {i}")
    left.set(xlabel="worlds learned from", ylabel="cross-entropy with teachers' plans (nats)")
    right.axhline(0, color="0.6", linewidth=1)
    right.set(xlabel="worlds learned from", ylabel="loss avoided over sequential DPV\non 12 unseen worlds (points)")
    right.legend(frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--out", type=Path, default=Path("runs/ablations"))
    ask.add_argument("--curves", type=Path, nargs="+")
    asked = ask.parse_args()
    if asked.curves:
        draw(asked.curves)
        return
    warm_up()
    measured = []
    for seed in range(asked.seeds):
        weights = train_all(seed, asked.out / str(seed))
        parallel.use_at_most(1)
        methods = {name: partial(policy.agent, network=policy.load_agent(path)) for name, path in weights.items()}
        methods = {f"agent {name}": planner for name, planner in methods.items()}
        methods = {"sequential_dpv": planners.sequential_dpv, **methods}
        courses = generated(COURSES, (20,), FIRST_SEED)
        agents = " ".join(policy.load_agent(path).digest for path in weights.values())
        judged = asked.out / f"judged-{seed}"
        measured.append(leaderboard.run_courses(courses, COURSES, judged, methods, (LEVEL,), agents=agents))
        parallel.use_at_most(None)
    print("\n| learned with | over sequential DPV, points | against all |\n|---|---|---|")
    for name in VARIANTS:
        cells = [
            "{:+.1f} ({:+.1f} to {:+.1f})".format(*difference(measured, f"agent {name}", other, LEVEL)[:3])
            for other in ("sequential_dpv", f"agent {WHOLE}")
            if name != WHOLE or other == "sequential_dpv"
        ]
        print(f"| {name} | {' | '.join(cells)} |" + (" |" if name == WHOLE else ""))


if __name__ == "__main__":
    main()
