"""The agent against rules and searches, on fires and landscapes that nothing was learned or chosen on.

python benchmarks/agent.py WHAT [--agent FILE ...] [--half dev|test|none] [--courses N] [--tiles RASTER] [--out FOLDER]

The three training seeds: --agent pretrained benchmarks/agents/seed-1.safetensors benchmarks/agents/seed-2.safetensors

WHAT is one of
  policy   the agent alone against sequential DPV, 20 x 20 to 50 x 50, with no more simulations
  greedy   the agent alone against greedy with every unit exact, on the same 200 fires, neither with a limit
  search   agent+search against the planners named best on the development half: in as many simulations as they may use
           ("agent_search"), and in the CPU time that the best of them took ("agent_search_timed")
  far      zero-shot: 100 x 100, and with --tiles RASTER 50 x 50 cells of Montana
  large    agent+search at 200 x 200 and 500 x 500, 5 %, against several planners, and the best of them on each
           landscape, in the same CPU time
  speed    a plan for 50 x 50 at 5 % on 200 fires
  update   the part of an update that is not the network's own forward and backward pass, one thread

Policy, greedy and search are judged on a half of the leaderboard and on N generated landscapes. With several files of
agents (training seeds) intervals are from a hierarchical bootstrap: landscapes, then agents, then fires; since three
agents are few, each one's own difference stands beside it. What these agents did stands in the folder, and is not done
again.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from fuelbreak import leaderboard, parallel, planners, policy
from fuelbreak.agents.dqn import DQN
from fuelbreak.agents.network import QNetwork
from fuelbreak.agents.replay import Replay, Symmetry
from fuelbreak.evaluate import evaluate
from fuelbreak.generate import generated_landscape, generated_season
from fuelbreak.landscape import Plan, budget_units
from fuelbreak.leaderboard import HELDOUT, RESAMPLES, SHARE, Course, fires_for
from fuelbreak.lessons import make_lesson, make_world
from fuelbreak.planners import Planner
from fuelbreak.pretrain import PretrainConfig, learner
from fuelbreak.scenarios import Fires
from fuelbreak.simulate import settle_duration
from fuelbreak.spread import warm_up

FIRST_SEED = 500_000  # of generated courses: below all that an agent learns on, above the leaderboard's
SIZES, GENERATED_SIZES = (20, 40, 50), (20, 24, 32, 40, 50)
BEST = "lines"  # named on the development landscapes
TIMED_SHARE = 0.3  # of the simulations a level allows, for the fires that timed search plans on; chosen there too

# Of each agent, what `leaderboard.run_courses` gives: rows and shares by course.
Measured = list[tuple[list, list]]


def generated(n: int, sizes: Sequence[int], first: int = FIRST_SEED) -> Iterator[Course]:
    """Courses as the leaderboard's, from other seeds."""
    for i in range(n):
        size, seed = sizes[i % len(sizes)], first + i
        land = generated_landscape(size, size, seed, buffer_cells=max(5, size // 6))
        season = generated_season(seed)
        yield Course(f"generated-{size}-{i:03d}", land, season, settle_duration(land, season, seed, SHARE), seed)


def unlimited(planner: Planner) -> Planner:
    """The planner on as many fires as the level says, without a limit."""

    def plan(land, fires: Fires, budget: str, *, seed: int, max_simulations: int) -> Plan:
        assert len(fires) == max_simulations
        return planner(land, fires, budget, seed=seed)

    return plan


def clocked(planner: Planner, seconds: dict[tuple[int, int], float]) -> Planner:
    """The planner, and the CPU seconds it took noted by seed and level."""

    def plan(*args, seed: int, max_simulations: int, **more) -> Plan:
        found = planner(*args, seed=seed, max_simulations=max_simulations, **more)
        seconds[seed, max_simulations] = found.seconds
        return found

    return plan


def timed(network, seconds: dict[tuple[int, int], float]) -> Planner:
    """Agent and search in the CPU seconds that were noted, however many simulations that makes."""

    def plan(land, fires: Fires, budget: str, *, seed: int, max_simulations: int) -> Plan:
        n = fires_for("agent_search", budget_units(land, budget), round(TIMED_SHARE * max_simulations))
        # The clock of a shared machine would count others' work too.
        with patch("time.perf_counter", time.process_time):
            return policy.agent_search(
                land, fires.part(0, n), budget, seed=seed, max_seconds=seconds[seed, max_simulations], network=network
            )

    return plan


def difference(measured: Measured, ours: str, theirs: str, level: int, seed: int = 0):
    """Mean difference in points over courses and agents, its 95 % interval, and the share of courses won."""
    which = [(row["method"], row["level"]) for row in measured[0][0][0]]
    a, b = which.index((ours, level)), which.index((theirs, level))
    per = np.stack([[share[a] - share[b] for share in shares] for _, shares in measured], axis=1)
    rng = np.random.default_rng([seed, 8])
    courses = rng.integers(0, len(per), (RESAMPLES, len(per)))
    agents = rng.integers(0, len(measured), (RESAMPLES, len(measured)))
    means = [per[courses[i]][:, agents[i], i + 1].mean() for i in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return 100 * per[:, :, 0].mean(), 100 * low, 100 * high, (per[:, :, 0].mean(axis=1) > 0).mean()


def mean_avoided(measured: Measured, name: str, level: int) -> float:
    """Loss avoided by a method, %, mean over courses and agents."""
    i = [(row["method"], row["level"]) for row in measured[0][0][0]].index((name, level))
    return 100 * float(np.mean([share[i][0] for _, shares in measured for share in shares]))


def tell(title: str, measured: Measured, pairs: Sequence[tuple[str, str]], levels: Sequence[int]) -> None:
    """Print means by method and level, and the differences asked for."""
    print(f"\n{title}: {len(measured[0][0])} landscapes, {len(measured)} agents")
    for level in levels:
        for name in dict.fromkeys(name for pair in pairs for name in pair):
            mine = [
                row
                for rows, _ in measured
                for course in rows
                for row in course
                if (row["method"], row["level"]) == (name, level)
            ]
            avoided = mean_avoided(measured, name, level)
            used, cpu = (np.mean([row[what] for row in mine]) for what in ("simulations", "seconds"))
            print(f"  {level:>9,} {name:22} {avoided:5.1f} %  simulations {used:>9,.0f}  CPU {cpu:.2f} s")
        for ours, theirs in pairs:
            mean, low, high, won = difference(measured, ours, theirs, level)
            each = ", ".join(f"{difference([one], ours, theirs, level)[0]:+.1f}" for one in measured)
            theirs_avoid = mean_avoided(measured, theirs, level)
            print(
                f"  {level:>9,} {ours} over {theirs}: {mean:+.1f} points ({low:+.1f} to {high:+.1f}), "
                f"{mean / theirs_avoid:+.0%} of what it avoids; by agent {each}; better on {won:.0%}",
                flush=True,
            )


def rules(what: str, seconds: dict[tuple[int, int], float]) -> dict[str, Planner]:
    """Planners that agents are measured against."""
    if what == "greedy":
        return {"exact_greedy": unlimited(planners.greedy)}
    if what == "search":
        return {BEST: clocked(planners.PLANNERS[BEST], seconds), "cells_and_lines": planners.cells_and_lines}
    return {"sequential_dpv": planners.sequential_dpv}


def methods_of(what: str, network, seconds: dict[tuple[int, int], float]) -> dict[str, Planner]:
    """Planners that are one agent."""
    agent = partial(policy.agent, network=network)
    if what == "search":
        search = partial(policy.agent_search, network=network)
        return {"agent_search": search, "agent_search_timed": timed(network, seconds)}
    return {"policy": unlimited(agent)} if what == "greedy" else {"agent": agent}


PAIRS = {
    "policy": [("agent", "sequential_dpv")],
    "far": [("agent", "sequential_dpv")],
    "greedy": [("policy", "exact_greedy")],
    "search": [("agent_search", BEST), ("agent_search", "cells_and_lines"), ("agent_search_timed", BEST)],
}


def measure(what: str, courses: Iterator[Course], of: int, folder: Path, networks, levels) -> Measured:
    """Every agent on the same courses, beside rules that run once."""

    def say(done: float, text: str) -> None:
        print(f"\r{done:4.0%} {text:70.70}", end="", flush=True)

    # On the first landscape networks start and code is loaded: no part of anybody's time.
    course = next(generated(1, (20,)))
    fires = Fires.draw(course.landscape, 50, 0, weather=course.season, duration_min=course.duration_min)
    seconds: dict[tuple[int, int], float] = {}
    methods = rules(what, seconds)
    for i, network in enumerate(networks):
        policy.agent_search(course.landscape, fires, "5%", max_simulations=1000, network=network)
        methods |= {f"{name} {i}": planner for name, planner in methods_of(what, network, seconds).items()}
    agents = " ".join(network.digest for network in networks)
    rows, shares = leaderboard.run_courses(courses, of, folder, methods, levels, say, agents=agents)
    measured = []
    for i in range(len(networks)):
        # Rules, whose names have no number, and this agent.
        mine = [j for j, row in enumerate(rows[0]) if row["method"].partition(" ")[2] in ("", str(i))]
        named = [[row[j] | {"method": row[j]["method"].partition(" ")[0]} for j in mine] for row in rows]
        measured.append((named, [share[mine] for share in shares]))
    return measured


# Cells a side: seed of the first landscape (every second is one), how many, share of the burnable cells that a mean
# fire burns.
LARGE = {200: (600_001, 8, 0.05), 500: (600_002, 6, 0.01)}
LARGE_FIRES = 4000
# By cells a side and the CPU seconds that every planner has: planners, and on how many fires. Which number is best on a
# landscape nobody can know beforehand, so the best of them all, by the held-out fires themselves, is told too.
RIVALS = {
    (200, 20): (("lines", 200), ("lines", 500), ("lines", 1000), ("cells_and_lines", 500)),
    (200, 40): (("lines", 500), ("lines", 1000), ("lines", 2000), ("cells_and_lines", 1000)),
    (500, 60): (("lines", 1000), ("lines", 4000), ("cells_and_lines", 4000), ("static_dpv", 4000)),
}


def large_landscapes(size: int) -> Iterator[Course]:
    first, n, share = LARGE[size]
    for seed in range(first, first + 2 * n, 2):
        land, season = generated_landscape(size, size, seed, buffer_cells=25), generated_season(seed)
        minutes = settle_duration(land, season, seed, share, fires=100, halvings=9)
        yield Course(f"large-{size}-{seed}", land, season, minutes, seed)


def large(size: int, seconds: int, networks: Sequence[DQN], folder: Path) -> None:
    """Agent and search on large landscapes, beside planners on several numbers of fires in the same CPU time.

    Against each of them, and against the best on each landscape ("best"), which held-out fires name after the fact.
    """
    search = [
        (f"agent {i}", partial(policy.agent_search, network=network), LARGE_FIRES) for i, network in enumerate(networks)
    ]
    rivals = [(f"{name} on {n:,}", planners.PLANNERS[name], n) for name, n in RIVALS[size, seconds]]
    agents = " ".join(network.digest for network in networks)
    measured: Measured = [([], []) for _ in networks]
    for course in large_landscapes(size):
        kept = folder / f"{course.name}-{seconds}s"
        ours, our_shares = plan_large(course, search, seconds, kept.with_name(f"{kept.name}-agents.npz"), agents)
        theirs, their_shares = plan_large(course, rivals, seconds, kept.with_name(f"{kept.name}-rivals.npz"), "")
        told = ", ".join(
            f"{row['method']} {share[0]:.1%} in {row['seconds']:.0f} s"
            for row, share in zip(ours + theirs, [*our_shares, *their_shares], strict=True)
        )
        print(f"{course.name}, {ours[0]['units']:,} cells: {told}", flush=True)
        best = int(np.argmax(their_shares[:, 0]))
        for i, (rows, shares) in enumerate(measured):
            rows.append([ours[i] | {"method": "agent_search"}, *theirs, theirs[best] | {"method": "best"}])
            shares.append(np.stack([our_shares[i], *their_shares, their_shares[best]]))
    against = [*(name for name, _, _ in rivals), "best"]
    tell(f"{size} x {size}, {seconds} s", measured, [("agent_search", name) for name in against], [LARGE_FIRES])


def plan_large(
    course: Course, by: Sequence[tuple[str, Planner, int]], seconds: int, kept: Path, agents: str
) -> tuple[list[dict], np.ndarray]:
    """What planners find on so many fires in so many CPU seconds: rows, and loss avoided as `run_course` gives it."""
    if kept.is_file():
        with np.load(kept) as saved:
            if str(saved["agents"]) == agents:
                return json.loads(str(saved["rows"])), saved["shares"]
    land, about = course.landscape, {"weather": course.season, "duration_min": course.duration_min}
    rows: list[dict] = []
    plans: dict[str, Plan] = {}
    for name, planner, n in by:
        fires = Fires.draw(land, n, course.seed, **about)
        with patch("time.perf_counter", time.process_time):  # the clock of a shared machine counts others' work too
            plans[name] = plan = planner(land, fires, "5%", seed=course.seed, max_seconds=seconds)
        cost = {"seconds": plan.seconds, "simulations": plan.simulations}
        rows.append({"method": name, "level": LARGE_FIRES, "units": len(plan.cells)} | cost)
    heldout = Fires.draw(land, HELDOUT, course.seed, purpose="heldout", **about)
    shares = evaluate(plans, land, heldout, scenarios={}).resampled(list(plans))
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(kept, agents=agents, rows=json.dumps(rows), shares=shares)
    return rows, shares


def speed(network) -> None:
    course = next(generated(1, (50,)))
    fires = Fires.draw(course.landscape, 200, 0, weather=course.season, duration_min=course.duration_min)
    for _ in range(3):
        began = time.perf_counter()
        plan = policy.agent(course.landscape, fires, "5%", network=network)
        print(f"{len(plan.cells)} cells on 200 fires: {time.perf_counter() - began:.2f} s, CPU {plan.seconds:.2f} s")


def update(times: int = 60) -> None:
    """Share of an update's CPU time outside forward and backward passes: dealing a batch out, losses, the step."""
    torch.set_num_threads(1)
    settings = PretrainConfig()
    for size, grown in ((20, 0.0), (50, 1.0)):
        replay = Replay(1000, fixed=policy.FIXED, symmetry=Symmetry(policy.VECTORS, policy.SIDES))
        agent = DQN(len(policy.SIGHT), learner(settings), prior_channel=policy.PRIOR, threads=1)
        world = next(
            world
            for world in (make_world(number, 9, grown, size) for number in range(100))
            if world.landscape.aoi_window[2] == size
        )
        shown, own = make_lesson(world, settings.n_step, agent, taught_on=50)
        replay.add(own, land=replay.add(shown, is_demo=True))
        passes, rng = 0.0, np.random.default_rng(0)

        def watched(work):
            def run(*args, **more):
                nonlocal passes
                began = time.thread_time()
                try:
                    return work(*args, **more)
                finally:
                    passes += time.thread_time() - began

            return run

        def once() -> None:
            batch = replay.sample(32, rng, demo_fraction=settings.demo_fraction, most_cells=32 * 400)  # noqa: B023
            replay.learned(batch.place, agent.update(batch).td_errors)  # noqa: B023

        with (
            patch.object(QNetwork, "heads", watched(QNetwork.heads)),
            patch("torch.autograd.grad", watched(torch.autograd.grad)),
        ):
            for _ in range(5):
                once()
            passes, began = 0.0, time.process_time()
            for _ in range(times):
                once()
            all_s = time.process_time() - began
        agent.close()
        print(f"{size} x {size}: {1000 * all_s / times:.0f} ms an update, {1 - passes / all_s:.0%} outside the network")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("what", choices=("policy", "greedy", "search", "far", "large", "speed", "update"))
    ask.add_argument("--agent", nargs="+", default=[policy.PRETRAINED])
    ask.add_argument("--out", type=Path, default=Path("runs/benchmark-agent"))
    ask.add_argument("--courses", type=int, default=100, help="generated landscapes; 0: none")
    ask.add_argument("--half", choices=("dev", "test", "none"), default="test")
    ask.add_argument("--tiles", type=Path)
    ask.add_argument("--levels", default="10000,100000")
    ask.add_argument("--sizes", default="200,500", help="of large landscapes")
    asked = ask.parse_args()
    warm_up()
    if asked.what == "update":
        update()
        return
    if asked.what == "speed":
        speed(policy.load_agent(asked.agent[0]))
        return
    parallel.use_at_most(1)  # one core each: then CPU time is time
    networks = [policy.load_agent(where) for where in asked.agent]
    if asked.what == "large":
        for size, seconds in RIVALS:
            if str(size) in asked.sizes.split(","):
                large(size, seconds, networks, asked.out)
        return
    levels = (200,) if asked.what == "greedy" else tuple(int(level) for level in asked.levels.split(","))
    halves = {"policy": SIZES, "greedy": SIZES, "search": (), "far": (100,)}

    def told(title: str, name: str, of: int, courses: Iterator[Course]) -> None:
        found = measure(asked.what, courses, of, asked.out / f"{asked.what}-{name}", networks, levels)
        tell(title, found, PAIRS[asked.what], levels)

    sizes = halves[asked.what]
    of = sum(spec.half == asked.half and (not sizes or spec.size in sizes) for spec in leaderboard.specs())
    if asked.half != "none":
        told(f"{asked.half} half", asked.half, of, leaderboard.courses(asked.half, None, sizes))
    if asked.what != "far" and asked.courses:
        told("generated", "generated", asked.courses, generated(asked.courses, GENERATED_SIZES))
    if asked.what == "far" and asked.tiles is not None:
        tiles = [
            course
            for half in ("dev", "test")
            for course in leaderboard.courses(half, asked.tiles, (50,))
            if course.name.startswith("montana")
        ]
        told("Montana, 50 x 50", "montana", len(tiles), iter(tiles))


if __name__ == "__main__":
    main()
