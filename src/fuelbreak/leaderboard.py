"""The leaderboard: every planner on the same frozen landscapes, at the same numbers of simulations, judged alike.

Twenty landscapes to develop on and twenty to test on, which nobody looks at but for a dated result. All are made by
rules from fixed seeds; what each is, and how long its fires last, stands in `leaderboard_courses.csv`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fuelbreak import planners, policy
from fuelbreak.errors import InputError
from fuelbreak.evaluate import RESAMPLES, evaluate
from fuelbreak.formats import atomic_path, check_output_folder
from fuelbreak.generate import generated_landscape, generated_season, landscape_digest
from fuelbreak.landscape import Landscape, Plan, Window, budget_units
from fuelbreak.scenarios import Fires, Season, fire_season
from fuelbreak.simulate import settle_duration

F8 = npt.NDArray[np.float64]

VERSION = 1  # of the courses; anything that changes a course or the judge is a new one
BUDGET = "5%"
LEVELS = (1_000, 10_000, 100_000)  # simulations a planner may use
HELDOUT = 2000
SEEDS = {"dev": 1000, "test": 2000}
SIZES = (20,) * 5 + (40,) * 5 + (50,) * 5 + (100,) * 5
SHARE, SHARES = 0.17, (0.10, 0.25)  # of the burnable cells that a mean fire burns
TILES: dict[str, tuple[tuple[int, int], ...]] = {  # corners of 50 x 50 cells on a landscape of western Montana
    "dev": ((40, 60), (180, 300), (400, 150)),
    "test": ((60, 380), (130, 120), (270, 420), (300, 60), (420, 330)),
}

# On how many fires a planner plans: as many as make its simulations about the number allowed, if it brings them up to
# date so often for each unit of the plan. Chosen on the development landscapes.
ROUNDS_PER_UNIT = {
    "sequential_dpv": 1.0,
    "travel_routes": 0.2,
    "lines": 2.5,
    "cells_and_lines": 5.0,
    "greedy": 20.0,
    "swap_search": 5.0,
    "segment_swap": 2.5,
    "annealing": 5.0,
    "agent": 1.0,
    "agent_search": 4.0,
}
FEWEST_FIRES, MOST_FIRES = 50, 2000
# Searches plan on no fewer than this, if their start can then be made: on few fires they find what suits those alone.
FEWEST_TO_SEARCH, START_ROUNDS = 150, 1.4


class Course(NamedTuple):
    """A landscape to plan on, its season, and how long fires last."""

    name: str
    landscape: Landscape
    season: Season
    duration_min: float
    seed: int


class Spec(NamedTuple):
    """What a course is made of, as the table has it."""

    name: str
    half: str
    size: int
    seed: int
    buffer_cells: int
    duration_min: float
    digest: str


@cache
def specs() -> tuple[Spec, ...]:
    """The table of courses."""
    text = files("fuelbreak").joinpath("leaderboard_courses.csv").read_text()
    return tuple(
        Spec(row["name"], row["half"], int(row["size"]), int(row["seed"]), int(row["buffer_cells"]),
             float(row["duration_min"]), row["digest"])
        for row in csv.DictReader(text.splitlines())
    )  # fmt: skip


def _made(size: int, seed: int, buffer_cells: int) -> tuple[Landscape, Season]:
    return generated_landscape(size, size, seed, buffer_cells=buffer_cells), generated_season(seed)


def make_specs() -> list[Spec]:
    """Settle every course from its seed: what `leaderboard_courses.csv` was written from."""
    made = []
    for half, first in SEEDS.items():
        for i, size in enumerate(SIZES):
            seed, buffer_cells = first + i, max(5, size // 6)
            landscape, season = _made(size, seed, buffer_cells)
            minutes = settle_duration(landscape, season, seed, SHARE)
            digest = landscape_digest(landscape)
            made.append(Spec(f"{half}-{i + 1:02d}", half, size, seed, buffer_cells, minutes, digest))
    return made


def courses(half: str, tiles: Path | None = None, sizes: Sequence[int] = ()) -> Iterator[Course]:
    """The courses of a half, made as they are asked for.

    Parameters
    ----------
    half : 'dev' or 'test'
    tiles : the raster of western Montana, to plan on 50 x 50 cells of it too
    sizes : only those of so many cells a side, if any are given

    Raises
    ------
    InputError : a course that is no longer what it was
    """
    for spec in specs():
        if spec.half != half or (sizes and spec.size not in sizes):
            continue
        landscape, season = _made(spec.size, spec.seed, spec.buffer_cells)
        if landscape_digest(landscape) != spec.digest:
            raise InputError(
                f"leaderboard: course {spec.name} is no longer the landscape of version {VERSION}; "
                "its rules were changed, so raise the version"
            )
        yield Course(spec.name, landscape, season, spec.duration_min, spec.seed)
    for i, (row, col) in enumerate(TILES[half] if tiles is not None and (not sizes or 50 in sizes) else ()):
        window: Window = (row, col, 50, 50)
        landscape = Landscape.open(str(tiles), window=window, buffer_cells=15)
        season, seed = Season(fire_season()), SEEDS[half] + 500 + i
        yield Course(
            f"montana-{half}-{i + 1}", landscape, season, settle_duration(landscape, season, seed, SHARE), seed
        )


def fires_for(method: str, units: int, level: int) -> int:
    """On how many fires a method plans so many units with so many simulations.

    What follows a space in a method's name tells agents of one kind apart.
    """
    method = method.split()[0]
    rounds = min(units, policy.PASSES) if method in policy.AGENTS else units
    wanted = level / (ROUNDS_PER_UNIT.get(method, 0.0) * rounds + 1)
    if method in ("swap_search", "segment_swap", "annealing"):
        wanted = max(wanted, min(FEWEST_TO_SEARCH, level / (START_ROUNDS * units)))
    return int(min(np.clip(wanted, FEWEST_FIRES, MOST_FIRES), level))


def run_course(
    course: Course,
    methods: Mapping[str, planners.Planner],
    levels: Sequence[int] = LEVELS,
    say: Callable[[float, str], None] = lambda *_: None,
) -> tuple[list[dict[str, Any]], F8]:
    """Plan one course by every method at every level, and judge all plans on the same held-out fires.

    Returns a row for each plan, and loss avoided (plans, 1 + RESAMPLES): on the fires, then on resamples of them.
    """
    land = course.landscape
    n, plans = budget_units(land, BUDGET), dict[str, Plan]()
    rows: list[dict[str, Any]] = []
    for i, (method, level) in enumerate((method, level) for method in methods for level in levels):
        say(i / (len(methods) * len(levels)), f"{course.name}: {method} with {level:,} simulations")
        size = fires_for(method, n, level)
        fires = Fires.draw(land, size, course.seed, weather=course.season, duration_min=course.duration_min)
        told = {"course": course.name, "size": land.aoi_window[2], "method": method, "level": level, "fires": size}
        if method == "swap_search":  # beside its start, to see what the search itself is worth
            share = max(int(level * planners.START_SHARE), size)
            start = planners.sequential_dpv(land, fires, BUDGET, seed=course.seed, max_simulations=share)
            plan = planners.swap_search(
                land, fires, BUDGET, seed=course.seed, start=start, max_simulations=level - start.simulations
            )
            plan = replace(
                plan,
                simulations=plan.simulations + start.simulations,
                cells_solved=plan.cells_solved + start.cells_solved,
                seconds=plan.seconds + start.seconds,
            )
            plans[f"{SWAP_START} {level}"] = start
            rows.append(told | {"method": SWAP_START})
        else:
            plan = methods[method](land, fires, BUDGET, seed=course.seed, max_simulations=level)
        plans[f"{method} {level}"] = plan
        rows.append(told)
    say(1.0, f"{course.name}: {HELDOUT} held-out fires")
    heldout = Fires.draw(
        land, HELDOUT, course.seed, purpose="heldout", weather=course.season, duration_min=course.duration_min
    )
    scores = evaluate(plans, land, heldout, scenarios={})
    table = {row["plan"]: row for row in scores.table()}
    for row in rows:
        scored = table[f"{row['method']} {row['level']}"]
        keys = ("units", "loss_avoided", "low", "high", "simulations", "cells_solved", "seconds")
        row.update({key: scored[key] for key in keys})
    return rows, scores.resampled([f"{row['method']} {row['level']}" for row in rows])


SWAP_START = "swap_search, its start"


def summary(rows: Sequence[Sequence[Mapping[str, Any]]], shares: Sequence[F8], seed: int = 0) -> list[dict[str, Any]]:
    """Means over courses by method and level, with hierarchical bootstrap intervals: courses first, then fires.

    Rows of method, level, loss_avoided, low, high, over_sequential, over_sequential_low, over_sequential_high (the
    paired difference from sequential DPV at the same level), and means of simulations, cells_solved and CPU seconds.

    Parameters
    ----------
    rows, shares : of each course, by `run_course`
    """
    if not rows:
        return []
    which = [(row["method"], row["level"]) for row in rows[0]]
    stack = np.stack(shares)  # (courses, plans, 1 + RESAMPLES)
    rng = np.random.default_rng([seed, 6])
    drawn = rng.integers(0, len(stack), (RESAMPLES, len(stack)))
    # Resample b takes courses at random, and of each of them its own b-th resample of fires.
    means = np.empty((len(which), 1 + RESAMPLES))
    means[:, 0] = stack[:, :, 0].mean(axis=0)
    for b in range(RESAMPLES):
        means[:, b + 1] = stack[drawn[b], :, b + 1].mean(axis=0)
    found = []
    for i, (method, level) in enumerate(which):
        against = which.index(("sequential_dpv", level)) if ("sequential_dpv", level) in which else i
        difference = means[i] - means[against]
        told: dict[str, Any] = {"method": method, "level": level}
        for name, values in (("", means[i]), ("over_sequential", difference)):
            low, high = np.quantile(values[1:], [0.025, 0.975])
            told[name or "loss_avoided"] = float(values[0])
            told[f"{name}_low".lstrip("_")], told[f"{name}_high".lstrip("_")] = float(low), float(high)
        for key in ("simulations", "cells_solved", "seconds"):
            told[key] = float(np.mean([course[i][key] for course in rows]))
        found.append(told)
    return found


def difference(
    rows: Sequence[Sequence[Mapping[str, Any]]], shares: Sequence[F8], a: str, b: str, level: int, seed: int = 0
) -> tuple[float, float, float]:
    """How much more loss one method avoids than another at a level, mean over courses, with its 95 % interval."""
    which = [(row["method"], row["level"]) for row in rows[0]]
    per_course = np.stack([each[which.index((a, level))] - each[which.index((b, level))] for each in shares])
    rng = np.random.default_rng([seed, 6])
    drawn = rng.integers(0, len(shares), (RESAMPLES, len(shares)))
    means = np.array([per_course[drawn[i], i + 1].mean() for i in range(RESAMPLES)])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(per_course[:, 0].mean()), float(low), float(high)


def facts(rows: Sequence[Sequence[Mapping[str, Any]]], shares: Sequence[F8]) -> dict[str, Any]:
    """What a leaderboard says: means by method and level, and the two claims that papers fall short of.

    summary : `summary`; claims : by level, sequential DPV over static DPV and swap search over its start, with
    intervals; best : by level the best planner, to be named on the development landscapes before a test
    """
    found = summary(rows, shares)
    claims, best = [], {}
    for level in sorted({row["level"] for row in found}):
        at = [row for row in found if row["level"] == level and row["method"] != SWAP_START]
        best[str(level)] = max(at, key=lambda row: row["loss_avoided"])["method"]
        methods = {row["method"] for row in at}
        for a, b in (("sequential_dpv", "static_dpv"), ("swap_search", SWAP_START)):
            if a in methods and (b in methods or b == SWAP_START):
                mean, low, high = difference(rows, shares, a, b, level)
                claims.append({"level": level, "plan": a, "over": b, "mean": mean, "low": low, "high": high})
    return {"courses": len(rows), "summary": found, "claims": claims, "best": best}


def run(
    half: str,
    folder: Path,
    *,
    methods: Mapping[str, planners.Planner] | None = None,
    levels: Sequence[int] = LEVELS,
    tiles: Path | None = None,
    sizes: Sequence[int] = (),
    agents: str = "",
    say: Callable[[float, str], None] = lambda *_: None,
) -> tuple[list[list[dict[str, Any]]], list[F8]]:
    """Run a half of the leaderboard, course by course; what is done stands in the folder and is not done again."""
    methods = planners.PLANNERS if methods is None else methods
    of = sum(spec.half == half and (not sizes or spec.size in sizes) for spec in specs())
    of += len(TILES[half]) if tiles is not None else 0
    rows, shares = run_courses(courses(half, tiles, sizes), of, folder, methods, levels, say, agents=agents)
    if not rows:
        raise InputError(f"leaderboard: no course of {half} is of those sizes; use {sorted(set(SIZES))}")
    return rows, shares


def run_courses(
    those: Iterable[Course],
    of: int,
    folder: Path,
    methods: Mapping[str, planners.Planner],
    levels: Sequence[int] = LEVELS,
    say: Callable[[float, str], None] = lambda *_: None,
    *,
    agents: str = "",
) -> tuple[list[list[dict[str, Any]]], list[F8]]:
    """Run any courses, `of` in all, as `run` does.

    Parameters
    ----------
    agents : which trained agents are behind the methods (their `digest`), so that what others did is not taken for it
    """
    check_output_folder(folder)
    stamp = {"version": VERSION, "levels": list(levels), "methods": sorted(methods), "budget": BUDGET, "agents": agents}
    rows: list[list[dict[str, Any]]] = []
    shares: list[F8] = []

    def within(done: float, text: str) -> None:
        say((len(rows) + done) / of, text)

    for course in those:
        kept = folder / f"{course.name}.npz"
        told = {**stamp, "duration_min": course.duration_min, "landscape": landscape_digest(course.landscape)}
        if kept.is_file():
            with np.load(kept, allow_pickle=False) as saved:
                facts = json.loads(str(saved["rows"]))
                if facts["stamp"] == told:
                    rows.append(facts["rows"])
                    shares.append(saved["shares"])
                    continue
        found, share = run_course(course, methods, levels, within)
        with atomic_path(kept) as place, place.open("wb") as file:
            np.savez_compressed(file, rows=json.dumps({"stamp": told, "rows": found}), shares=share)
        rows.append(found)
        shares.append(share)
    say(1.0, "")
    return rows, shares
