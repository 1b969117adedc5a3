"""The agent against rules and searches, on fires and landscapes that nothing was learned or chosen on.

python benchmarks/agent.py WHAT [--agent FILE ...] [--out FOLDER] [--courses N]

WHAT is one of
  policy   the agent alone against sequential DPV and greedy, 20 x 20 to 50 x 50, and how often each wins
  search   agent+search against the planner named best on the development landscapes, equal simulations
  far      zero-shot: 100 x 100, and with --tiles RASTER tiles of Montana
  large    200 x 200 and 500 x 500 at 5 %, equal CPU time
  speed    a plan for 50 x 50 at 5 % on 200 fires

With several files of agents (training seeds) intervals are hierarchical: landscapes, then agents, then fires.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fuelbreak import leaderboard, parallel, planners, policy
from fuelbreak.generate import generated_landscape, generated_season
from fuelbreak.leaderboard import RESAMPLES, SHARE, Course
from fuelbreak.scenarios import Fires
from fuelbreak.simulate import settle_duration
from fuelbreak.spread import spread, warm_up

FIRST_SEED = 500_000  # of generated courses: below all that an agent learns on, above the leaderboard's
BEST = "lines"  # named on the development landscapes


def generated(n: int, sizes: Sequence[int], first: int = FIRST_SEED) -> Iterator[Course]:
    """Courses as the leaderboard's, from other seeds."""
    for i in range(n):
        size, seed = sizes[i % len(sizes)], first + i
        land = generated_landscape(size, size, seed, buffer_cells=max(5, size // 6))
        season = generated_season(seed)
        yield Course(f"generated-{size}-{i:03d}", land, season, settle_duration(land, season, seed, SHARE), seed)


def of_half(half: str, sizes: Sequence[int], tiles: Path | None = None) -> list[Course]:
    return list(leaderboard.courses(half, tiles, sizes))


def difference(rows, shares, ours: Sequence[str], theirs: str, level: int, seed: int = 0):
    """Mean difference in points over courses and agents, its 95 % interval, and the share of courses won."""
    which = [(row["method"], row["level"]) for row in rows[0]]
    at = {name: which.index((name, level)) for name in (*ours, theirs)}
    per = np.stack([[each[at[name]] - each[at[theirs]] for name in ours] for each in shares])
    rng = np.random.default_rng([seed, 8])
    courses, agents = (
        rng.integers(0, len(shares), (RESAMPLES, len(shares))),
        rng.integers(0, len(ours), (RESAMPLES, len(ours))),
    )
    means = [per[courses[b]][:, agents[b], b + 1].mean() for b in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return 100 * per[:, :, 0].mean(), 100 * low, 100 * high, (per[:, :, 0].mean(axis=1) > 0).mean()


def tell(title: str, rows, shares, ours, others, levels) -> None:
    print(f"\n{title}: {len(rows)} landscapes, {len(ours)} agents")
    for level in levels:
        for name in (*ours, *others):
            mine = [
                (row, share[i])
                for course, share in zip(rows, shares, strict=True)
                for i, row in enumerate(course)
                if (row["method"], row["level"]) == (name, level)
            ]
            if mine:
                avoided = 100 * np.mean([share[0] for _, share in mine])
                used, cpu = (np.mean([row[what] for row, _ in mine]) for what in ("simulations", "seconds"))
                print(f"  {level:>9,} {name:18} {avoided:5.1f} %  simulations {used:>9,.0f}  CPU {cpu:.2f} s")
        for name in others:
            mean, low, high, won = difference(rows, shares, ours, name, level)
            print(f"  {level:>9,} over {name}: {mean:+.1f} points ({low:+.1f} to {high:+.1f}), better on {won:.0%}")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("what", choices=("policy", "search", "far", "large", "speed"))
    ask.add_argument("--agent", nargs="+", default=[policy.PRETRAINED])
    ask.add_argument("--out", type=Path, default=Path("runs/benchmark-agent"))
    ask.add_argument("--courses", type=int, default=100)
    ask.add_argument("--half", choices=("dev", "test"), default="test")
    ask.add_argument("--tiles", type=Path)
    ask.add_argument("--levels", default="10000,100000")
    asked = ask.parse_args()
    warm_up()
    levels = tuple(int(level) for level in asked.levels.split(","))
    networks = [policy.load_agent(where) for where in asked.agent]
    say = lambda done, text: print(f"\r{done:4.0%} {text:70.70}", end="", flush=True)  # noqa: E731

    def named(kind: str, planner):
        return {f"{kind} {i}": partial(planner, network=network) for i, network in enumerate(networks)}

    if asked.what == "speed":
        course = next(generated(1, (50,)))
        fires = Fires.draw(course.landscape, 200, 0, weather=course.season, duration_min=course.duration_min)
        for _ in range(3):
            began = time.perf_counter()
            plan = policy.agent(course.landscape, fires, "5%", network=networks[0])
            print(
                f"{len(plan.cells)} cells on 200 fires: {time.perf_counter() - began:.2f} s, CPU {plan.seconds:.2f} s"
            )
        return
    if asked.what == "large":
        large(networks[0])
        return
    if asked.what == "policy":
        ours, sizes = named("agent", policy.agent), (20, 40, 50)
        others = {"sequential_dpv": planners.sequential_dpv}
        rows, shares = leaderboard.run_courses(
            of_half(asked.half, sizes), 15, asked.out / f"policy-{asked.half}", ours | others, levels, say
        )
        tell(f"{asked.half} half", rows, shares, list(ours), list(others), levels)
        greedy_too(asked, ours, say)
        if asked.courses == 0:
            return
        rows, shares = leaderboard.run_courses(
            generated(asked.courses, (20, 24, 32, 40, 50)),
            asked.courses,
            asked.out / "policy-generated",
            ours | others,
            levels,
            say,
        )
        tell("generated", rows, shares, list(ours), list(others), levels)
    elif asked.what == "search":
        ours = named("agent_search", policy.agent_search)
        others = {BEST: planners.PLANNERS[BEST], "cells_and_lines": planners.cells_and_lines}
        rows, shares = leaderboard.run_courses(
            of_half(asked.half, ()), 20, asked.out / f"search-{asked.half}", ours | others, levels, say
        )
        tell(f"{asked.half} half", rows, shares, list(ours), list(others), levels)
        if asked.courses == 0:
            return
        rows, shares = leaderboard.run_courses(
            generated(asked.courses, (20, 24, 32, 40, 50)),
            asked.courses,
            asked.out / "search-generated",
            ours | others,
            levels,
            say,
        )
        tell("generated", rows, shares, list(ours), list(others), levels)
    else:
        ours, others = named("agent", policy.agent), {"sequential_dpv": planners.sequential_dpv}
        found = of_half(asked.half, (100,))
        rows, shares = leaderboard.run_courses(
            found, len(found), asked.out / f"far-{asked.half}", ours | others, levels, say
        )
        tell("100 x 100", rows, shares, list(ours), list(others), levels)
        if asked.tiles is not None:
            found = [
                course
                for half in ("dev", "test")
                for course in of_half(half, (50,), asked.tiles)
                if "montana" in course.name
            ]
            rows, shares = leaderboard.run_courses(
                found, len(found), asked.out / "far-montana", ours | others, levels, say
            )
            tell("Montana, 50 x 50", rows, shares, list(ours), list(others), levels)


def greedy_too(asked, ours, say, fires: int = 200) -> None:
    """The agent against greedy with every unit exact, on the same fires, without a limit."""
    found, seconds = [], []
    for course in of_half(asked.half, (20, 40, 50)):
        say(0.0, f"{course.name}: greedy")
        about = {"weather": course.season, "duration_min": course.duration_min}
        drawn = Fires.draw(course.landscape, fires, course.seed, **about)
        judge = Fires.draw(course.landscape, 2000, course.seed, purpose="heldout", **about)
        plans = [planner(course.landscape, drawn, "5%") for planner in (planners.greedy, *ours.values())]
        losses = np.stack([spread(course.landscape, judge, plan).loss for plan in plans])
        found.append((losses, spread(course.landscape, judge).loss))
        seconds.append([plan.seconds for plan in plans])
    rng = np.random.default_rng(0)
    gaps = []
    for b in range(RESAMPLES + 1):
        courses = rng.integers(0, len(found), len(found)) if b else np.arange(len(found))
        agents = 1 + (rng.integers(0, len(ours), len(ours)) if b else np.arange(len(ours)))
        gap = []
        for i in courses:
            losses, untreated = found[i]
            some = rng.integers(0, losses.shape[1], losses.shape[1]) if b else np.arange(losses.shape[1])
            gap.append((losses[0, some].sum() - losses[agents][:, some].sum(axis=1).mean()) / untreated[some].sum())
        gaps.append(np.mean(gap))
    low, high = np.quantile(gaps[1:], [0.025, 0.975])
    seconds = np.array(seconds)
    print(
        f"\nover greedy on {fires} fires, {len(found)} landscapes: "
        f"{100 * gaps[0]:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}); "
        f"CPU {seconds[:, 1:].mean():.2f} s against {seconds[:, 0].mean():.2f} s"
    )


def large(network, fires: int = 200) -> None:
    """Two large landscapes; the best planner gets at least the agent's CPU time, by more simulations."""
    parallel.use_at_most(None)
    for size, seed in ((200, 600_001), (500, 600_002)):
        land = generated_landscape(size, size, seed, buffer_cells=25)
        season = generated_season(seed)
        minutes = settle_duration(land, season, seed, 0.05 if size == 200 else 0.01, fires=100, halvings=9)
        about = {"weather": season, "duration_min": minutes}
        drawn = Fires.draw(land, fires, seed, **about)
        judge = Fires.draw(land, 2000, seed, purpose="heldout", **about)
        untreated = spread(land, judge).mean_loss
        began = time.perf_counter()
        ours = policy.agent(land, drawn, "5%", network=network)
        wall = time.perf_counter() - began
        print(
            f"{size} x {size}, {len(ours.cells):,} cells: "
            f"agent {1 - spread(land, judge, ours).mean_loss / untreated:.1%}, "
            f"CPU {ours.seconds:.0f} s, wall {wall:.0f} s, {ours.simulations:,} simulations",
            flush=True,
        )
        limit = ours.simulations
        while True:
            plan = planners.PLANNERS[BEST](land, drawn, "5%", max_simulations=limit)
            print(
                f"  {BEST} {1 - spread(land, judge, plan).mean_loss / untreated:.1%}, CPU {plan.seconds:.0f} s, "
                f"{plan.simulations:,} simulations",
                flush=True,
            )
            if plan.seconds >= ours.seconds or plan.simulations < limit // 2:
                break
            limit *= 2


if __name__ == "__main__":
    main()
