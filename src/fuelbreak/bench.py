"""Benchmarks: how fast each way of running is on this machine, measured and not promised."""

from __future__ import annotations

import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import count, cycle
from typing import Any, NamedTuple, TypedDict

import numba
import numpy as np
import numpy.typing as npt

from fuelbreak import _kernels, parallel
from fuelbreak._kernels import PAD, Burning, Masks, Scratch, World
from fuelbreak.behavior import SURFACE_FIRE, fire_behavior
from fuelbreak.env import FireEnv, VectorizedFireEnv
from fuelbreak.fuels import FUEL_MODELS
from fuelbreak.landscape import LAYERS, Landscape
from fuelbreak.scenarios import Fires, Season, Sky, Weather, WindGrid, fire_season
from fuelbreak.simulate import Simulate
from fuelbreak.spread import Ensemble, Fields, batch_size, build_world, spread, warm_up
from fuelbreak.train import Say, Speed, TrainConfig, training_speed

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
COMPILING = "compiling fire kernels (once for this machine and version; later runs load them)"


TURNS = 3  # each way of running is measured so often; medians
MANY_FIRES = 20_000  # a run of `Simulate`: as many as a burn probability map asks for


class Way(TypedDict):
    """One way of running, and what it did."""

    work: str  # "environment steps" or "whole fires"
    method: str
    cores: int  # workers x threads
    steps_per_second: float | None  # environments stepped, all together
    ms_per_step: float | None  # of all environments at once
    simulations_per_second: float
    speedup: float  # over sequential
    efficiency: float  # speed-up per core
    of_independent: float | None  # share of what as many sequential processes do that share nothing
    busy_share: float  # process CPU time / (wall x cores of the machine - steal)
    per_core: tuple[float, ...]
    peak_memory_mb: float


class Alone:
    """What a process owns that works on one core beside others, sharing nothing with them."""

    def __init__(self, config: TrainConfig) -> None:
        landscape = config.open()
        season = config.season(landscape)
        self._duration_min = config.fire_simulation_max_duration
        self._env = _vector_env(config, "sequential", landscape, season)
        self._simulation = Simulate(landscape, season, config.seed)

    def steps(self, seconds: float) -> float:
        """Environments stepped per second."""
        return steps_per_second(self._env, seconds)

    def fires(self, seconds: float) -> float:
        """Whole fires burned per second."""
        return fires_per_second(self._simulation, self._duration_min, seconds)


def parallel_methods(config: TrainConfig, seconds: float, say: Say) -> list[Way]:
    """Environment steps by every method, the nested one included, and whole fires by `Simulate`: one row each.

    The nested method is a process for each environment with `nested_workers()` threads in it, whatever that adds up to.
    Ray is left out where it is not installed. On several cores the same work is also done by as many sequential
    processes that share nothing: what sharing costs.
    """
    say("prepare", 0.0, COMPILING)
    warm_up()
    landscape, cores = config.open(), parallel.checked_workers(config.max_workers)
    season = config.season(landscape)
    nested: dict[str, Any] = {
        "max_workers": config.num_parallel_envs,
        "simulation_workers": parallel.nested_workers(),
    }
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("sequential", "sequential", {}),
        ("threading", "threading", {}),
        ("multiprocessing", "multiprocessing", {}),
        ("nested", "multiprocessing", nested),
    ]
    if find_spec("ray") is not None:
        ways.append(("ray", "ray", {"ray_address": config.ray_address}))
    parts = len(ways) + 4
    steps, fires = [], []
    for i, (name, method, more) in enumerate(ways):
        say("measure", i / parts, f"environments, {name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # more processes than cores are asked for
            env = _vector_env(config, method, landscape, season, **({"max_workers": cores} | more))
        try:
            rate, use = _measured(partial(steps_per_second, env), seconds)
        finally:
            env.close()
        steps.append(_way("environment steps", name, env.workers * env.threads, rate, use, config))
    simulation = Simulate(landscape, season, config.seed)
    burn = partial(fires_per_second, simulation, config.fire_simulation_max_duration)
    for i, threads in enumerate(sorted({1, cores})):
        say("measure", (len(ways) + i) / parts, f"whole fires, {threads} threads")
        simulation.set_parallel_simulations(True, threads)
        rate, use = _measured(burn, seconds)
        fires.append(_way("whole fires", "threading" if threads > 1 else "sequential", threads, rate, use, config))
    if cores > 1:
        alone = parallel.Workers(Alone, [(config,)] * cores)
        try:
            for i, (rows, what) in enumerate(((steps, "steps"), (fires, "fires"))):
                say("measure", (parts - 2 + i) / parts, f"{cores} processes that share nothing, {what}")
                together = partial(_together, alone, what, cores)
                rate, use = _measured(together, seconds)
                rows.append(_way(rows[0]["work"], "independent", cores, rate, use, config))
        finally:
            alone.close()
    for rows in (steps, fires):
        for row in rows:
            row["speedup"] = row["simulations_per_second"] / rows[0]["simulations_per_second"]
            row["efficiency"] = row["speedup"] / row["cores"]
            if cores > 1 and row["cores"] == cores:
                row["of_independent"] = row["simulations_per_second"] / rows[-1]["simulations_per_second"]
    say("measure", 1.0, "")
    return steps + fires


def _vector_env(
    config: TrainConfig, method: str, landscape: Landscape, season: Season, **more: Any
) -> VectorizedFireEnv:
    return VectorizedFireEnv(
        config.num_parallel_envs,
        method,
        landscape=landscape,
        weather=season,
        num_simulations=config.memory_simulations,
        max_duration=config.fire_simulation_max_duration,
        budget=config.budget,
        bank_size=config.fire_bank_size,
        fires_seed=config.seed,
        **more,
    )


def _measured(rate: Callable[[float], float], seconds: float) -> tuple[float, parallel.CoreUse]:
    """Median rate of some turns, and what the cores did meanwhile."""
    rate(min(0.2, seconds / TURNS))  # warm
    cores = parallel.CoreMonitor()
    median = float(np.median([rate(seconds / TURNS) for _ in range(TURNS)]))
    use = cores.use()
    cores.close()
    return median, use


def _together(alone: parallel.Workers, what: str, processes: int, seconds: float) -> float:
    return float(sum(alone.call(what, [(seconds,)] * processes)))


def _way(work: str, method: str, cores: int, rate: float, use: parallel.CoreUse, config: TrainConfig) -> Way:
    steps = rate if work == "environment steps" else None
    return {
        "work": work,
        "method": method,
        "cores": cores,
        "steps_per_second": steps,
        "ms_per_step": None if steps is None else 1000 * config.num_parallel_envs / steps,
        "simulations_per_second": rate if steps is None else rate * config.memory_simulations,
        "speedup": 1.0,
        "efficiency": 1.0,
        "of_independent": None,
        "busy_share": use.busy_share,
        "per_core": use.per_core,
        "peak_memory_mb": use.peak_memory_mb,
    }


def steps_per_second(env: VectorizedFireEnv, seconds: float) -> float:
    """Environments stepped per second, all together, with random allowed actions."""
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    # Drawn beforehand: what is measured is the environment. A unit that is drawn twice is wasted, as rare as that is.
    units = np.flatnonzero(info["action_mask"].all(axis=0))
    actions = rng.choice(units, (64, env.num_envs))
    steps, left, began = 0, env.budget, time.perf_counter()
    while time.perf_counter() - began < seconds:
        if left == 0:
            env.reset()
            left = env.budget
        env.step(actions[steps % 64])
        steps, left = steps + 1, left - 1
    return steps * env.num_envs / (time.perf_counter() - began)


def fires_per_second(simulation: Simulate, duration_min: float, seconds: float) -> float:
    """Whole fires burned per second."""
    fires, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        simulation.run_many_simulations(MANY_FIRES, duration_min)
        fires += MANY_FIRES
    return fires / (time.perf_counter() - began)


def parallel_lines(ways: Sequence[Way], config: TrainConfig) -> list[str]:
    """The table of `parallel_methods`, a row for each way of running."""
    lines = [
        f"{config.num_parallel_envs} environments x {config.memory_simulations} fires of "
        f"{config.fire_simulation_max_duration:g} min; a simulation is one fire brought up to date for one plan",
        f"{'':<34}{'cores':>6}{'sims/s':>11}{'steps/s':>9}{'ms/step':>9}{'speed-up':>10}{'efficiency':>12}"
        f"{'of alone':>10}{'busy':>6}  {'each core':<12}{'MB':>6}",
    ]
    for way in ways:
        steps = "" if way["steps_per_second"] is None else f"{way['steps_per_second']:,.0f}"
        ms = "" if way["ms_per_step"] is None else f"{way['ms_per_step']:.2f}"
        alone = "" if way["of_independent"] is None else f"{way['of_independent']:.2f}"
        each = " ".join(f"{share:.0%}" for share in way["per_core"])
        lines.append(
            f"{way['work'] + ', ' + way['method']:<34}{way['cores']:>6}{way['simulations_per_second']:>11,.0f}"
            f"{steps:>9}{ms:>9}{way['speedup']:>10.2f}{way['efficiency']:>12.0%}{alone:>10}{way['busy_share']:>6.0%}"
            f"  {each:<12}{way['peak_memory_mb']:>6,.0f}"
        )
    return lines


# ---- settings that fit a machine: `fuelbreak configure`

SAMPLES_PER_ENV = 4  # of a batch: so each step is learned from as often, whatever the number of environments
WORTH = 1.05  # another setting is taken if it is so much faster than the one that stands, first of all the default
FIRES_MAY_COST = 1.05  # more fires judge each step if they slow training down by no more


class Trial(NamedTuple):
    """A configuration that was tried, and how fast it trained."""

    config: TrainConfig
    speed: Speed


class Choice(NamedTuple):
    """What `configure` settles on: the configuration, with its reasons, and all that was tried."""

    config: TrainConfig
    speed: Speed
    trials: list[Trial]


def _with_envs(config: TrainConfig, envs: int) -> TrainConfig:
    return config.model_copy(update={"num_parallel_envs": envs, "batch_size": SAMPLES_PER_ENV * envs})


def candidates(config: TrainConfig, cores: int) -> dict[str, list[TrainConfig]]:
    """What is tried for each group of settings, the others being as in `config`."""

    def others(**settings: Any) -> TrainConfig:
        return config.model_copy(update=settings)

    torch = sorted({1, max(1, cores // 2), cores})
    methods = [others(parallel_method="sequential", max_workers=1)]
    if cores > 1:
        methods += [others(parallel_method=name, max_workers=cores) for name in ("threading", "multiprocessing")]
    return {
        "torch_threads": [others(torch_threads=threads) for threads in torch],
        "num_parallel_envs, batch_size": [_with_envs(config, envs) for envs in (2, 4, 8, 16)],
        "parallel_method, max_workers": methods,
        "memory_simulations": [
            others(memory_simulations=fires, fire_bank_size=max(config.fire_bank_size, fires))
            for fires in sorted({config.memory_simulations, 50, 100, 200})
        ],
    }


def configure(config: TrainConfig, seconds: float, say: Say) -> Choice:
    """Settle method, environments, fires, workers, torch threads and batch for this machine and landscape.

    One group of settings after the other is tried in real training, for about `seconds` in all. Steps per second are
    compared at the same number of samples learned per step, so that speed is never bought with less learning.
    """
    say("prepare", 0.0, COMPILING)
    warm_up()
    landscape, cores = config.open(), parallel.checked_workers(config.max_workers)
    season = config.season(landscape)
    best = _with_envs(
        config.model_copy(
            update={"max_workers": cores, "torch_threads": cores, "parallel_method": "multiprocessing", "reasons": None}
        ),
        4,
    )
    groups = list(candidates(best, cores))
    number = sum(map(len, candidates(best, cores).values()))
    each, trials = seconds / number, list[Trial]()

    def tried(one: TrainConfig) -> Speed:
        say("measure", len(trials) / number, told(one))
        trials.append(Trial(one, training_speed(one, landscape, season, each)))
        return trials[-1].speed

    reasons, speed = {"machine": f"{cores} cores may be used"}, None
    for group in groups:
        found = {told(one): Trial(one, tried(one)) for one in candidates(best, cores)[group]}
        standing = found.get(told(best)) or next(iter(found.values()))
        best, speed = standing
        if group == "memory_simulations":  # more fires are worth a little time
            for trial in found.values():
                more = trial.config.memory_simulations > best.memory_simulations
                if more and trial.speed.steps_per_second * FIRES_MAY_COST >= standing.speed.steps_per_second:
                    best, speed = trial
        else:
            fastest = max(found.values(), key=lambda trial: trial.speed.steps_per_second)
            if fastest.speed.steps_per_second > WORTH * speed.steps_per_second:
                best, speed = fastest
        measured = ", ".join(f"{_short(one.config, group)}: {one.speed.steps_per_second:.1f}" for one in found.values())
        rule = (
            "the most fires that cost at most 5 % of the speed, since more fires judge better"
            if group == "memory_simulations"
            else "the fastest, or what stood before where it is not 5 % faster"
        )
        reasons[group] = f"{_short(best, group)} - environment steps/s measured: {measured}; {rule}"
    assert speed is not None  # something was tried
    say("measure", 1.0, "")
    reasons["where the time goes"] = (
        f"network {speed.network:.0%}, fires {speed.fires:.0%}, waiting {speed.waiting:.0%} of the cores' time; "
        f"{speed.peak_memory_mb:,.0f} MB held"
    )
    return Choice(best.model_copy(update={"reasons": reasons}), speed, trials)


FINALISTS, FINAL_TURNS = 4, 3


class Sweep(NamedTuple):
    """Every combination, measured: how many there are, the choice and the best."""

    combinations: int
    chosen: Trial
    best: Trial


def sweep(choice: Choice, seconds: float, say: Say) -> Sweep:
    """Every combination of what `configure` tries, at the fires it chose; `seconds` each.

    The best of them and the choice are measured again, in turn, and told by their medians: of many figures the largest
    is large by chance, and a machine that others use is not as fast at all times.
    """
    config, cores = choice.config, parallel.checked_workers(None)
    landscape = config.open()
    season = config.season(landscape)
    whole = {told(config): config}
    for torch in candidates(config, cores)["torch_threads"]:
        for envs in candidates(torch, cores)["num_parallel_envs, batch_size"]:
            for method in candidates(envs, cores)["parallel_method, max_workers"]:
                whole[told(method)] = method
    turns, done = len(whole) + FINALISTS * FINAL_TURNS, 0

    def measured(one: TrainConfig) -> Speed:
        nonlocal done
        say("sweep", min(done / turns, 1.0), told(one))
        done += 1
        return training_speed(one, landscape, season, seconds)

    first = {name: measured(one) for name, one in whole.items()}
    others = sorted((name for name in whole if name != told(config)), key=lambda name: -first[name].steps_per_second)
    finalists = [told(config), *others[: FINALISTS - 1]]
    again = [[measured(whole[name]) for name in finalists] for _ in range(FINAL_TURNS)]
    say("sweep", 1.0, "")
    medians = [sorted(speeds)[FINAL_TURNS // 2] for speeds in zip(*again, strict=True)]
    finals = [Trial(whole[name], speed) for name, speed in zip(finalists, medians, strict=True)]
    return Sweep(len(whole), finals[0], max(finals, key=lambda trial: trial.speed.steps_per_second))


def told(config: TrainConfig) -> str:
    """A configuration in a line."""
    return (
        f"{config.parallel_method} on {config.max_workers}, {config.num_parallel_envs} environments x "
        f"{config.memory_simulations} fires, batch {config.batch_size}, {config.torch_threads} torch threads"
    )


def _short(config: TrainConfig, group: str) -> str:
    return " ".join(str(getattr(config, name)) for name in group.split(", "))


# ---- speed of the kernels: `fuelbreak bench spread`


class Row(TypedDict):
    """One figure: the median of its repeats, and the bar it is held to, if there is one."""

    name: str
    stencil: int | None
    grid: str  # rows x columns, "" where there is none
    detail: str
    figure: float
    unit: str
    repeats: int
    lower_quartile: float
    upper_quartile: float
    bar: float | None
    bar_is: str  # "at most", "at least", or "" without a bar
    met: bool | None


class Effort(NamedTuple):
    """How much is measured: (cells a side, burned cells a fire, fires) of each grid, and how often."""

    sizes: tuple[tuple[int, int, int], ...]
    repeats: int
    plans: int
    steps: int
    seconds: float  # that fires are counted for, by the clock on the wall
    flat_lists: tuple[tuple[int, int, int], ...]


FULL = Effort(
    ((50, 400, 1000), (200, 8_000, 100), (1000, 110_000, 12)), 9, 8, 500, 1.0, ((50, 400, 8000), (200, 8_000, 800))
)
QUICK = Effort(((50, 400, 100), (200, 8_000, 10), (400, 20_000, 4)), 2, 1, 20, 0.1, ((50, 400, 800), (200, 8_000, 40)))
STENCILS = (8, 16, 32)
PAR_NS = 370.0  # scipy's ns per node at 200 x 200 on the machine the bars were set on; bars in time go with it
CELL_BARS_NS = {8: 80.0, 16: 140.0, 32: 290.0}
REPAIR_BARS_US = {"random": 80.0, "most-burned": 300.0}
BREAKS = 125  # a plan: 5 % of 50 x 50 cells
FIRES = 50  # an episode's
BANK = 400
CELL_SIZE_M = 30.0


class RandomLandscape(NamedTuple):
    """Spread on random ground, all (H, W): head rate m/min, length-to-width, heading degrees, burnable bool."""

    spread_rate_m_min: F8
    length_to_width: F8
    heading_deg: F8
    burnable: npt.NDArray[np.bool_]


def random_landscape(size: int, seed: int) -> RandomLandscape:
    """Correlated log-normal rates, smooth shapes and headings about one wind, 3 % nonburnable cells: size x size."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)

    def smooth() -> F8:
        noise = gaussian_filter(rng.standard_normal((size, size)), 3.0, mode="wrap")
        return np.asarray((noise - noise.mean()) / noise.std())

    rate = 5.0 * np.exp(0.5 * smooth())
    length_to_width = np.clip(2.5 * np.exp(0.35 * smooth()), 1.2, 5.5)
    heading = (rng.uniform(0, 360) + 20.0 * smooth()) % 360.0
    burnable = np.ones(size * size, bool)
    burnable[rng.choice(size * size, round(0.03 * size * size), replace=False)] = False
    return RandomLandscape(rate, length_to_width, heading, burnable.reshape(size, size))


def slowness_fields(land: RandomLandscape) -> F4:
    """As `spread.cell_fields`, on cells of 30 m and without its correction of the grid: (H, W, 3) f4 of A, Bx, By."""
    rate = land.spread_rate_m_min / CELL_SIZE_M
    e = np.sqrt(land.length_to_width**2 - 1) / land.length_to_width
    heading = np.deg2rad(land.heading_deg)
    slowness = 1 / (rate * (1 - e))
    fields = np.stack([slowness, slowness * e * np.sin(heading), slowness * e * np.cos(heading)], axis=-1)
    fields[~land.burnable] = np.inf, 0.0, 0.0
    return fields.astype(np.float32)


class Case(NamedTuple):
    """A world, fires that start in it, and what each thread that burns them works with."""

    world: World
    fires: Burning
    scratch: list[Scratch]
    counts: list[I8]  # (C,) of each thread


def make_case(land: RandomLandscape, stencil: int, fires: int, seed: int, threads: int = 1) -> Case:
    """A case on random ground with fires that last until their duration is set, ignited uniformly."""
    size = len(land.burnable)
    world = build_world(
        [slowness_fields(land)], np.ones((size, size)), np.zeros((size, size), np.uint8), stencil=stencil
    )
    burnable = np.flatnonzero(land.burnable)
    cell = np.random.default_rng([seed, 1]).choice(burnable, fires)
    ignition = ((cell // size + PAD) * world.width + cell % size + PAD).astype(np.int32)
    burning = _burning(ignition, np.inf)
    return Case(
        world,
        burning,
        [_kernels.make_scratch(world) for _ in range(threads)],
        [np.zeros(len(world.value), np.int64) for _ in range(threads)],
    )


def _burning(ignition: npt.NDArray[np.int32], duration_min: float) -> Burning:
    n = len(ignition)
    zeros, duration = np.zeros(n, np.int32), np.full(n, duration_min, np.float32)
    return Burning(ignition, zeros, duration, np.arange(n, dtype=np.int32), None, np.float32(60.0), None, None)


def burn(case: Case, threads: int = 1) -> I8:
    """Burn all fires of a case through `burn_statistics`; the cells each burned (S,)."""
    world, n = case.world, len(case.fires.ignition)
    masks, treated = Masks(world.codes, world.open_dirs), np.empty(0, np.int64)
    weight, burned, loss = np.ones(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    marks, settled, counter = np.zeros(n, np.uint8), np.zeros(n, np.int64), np.zeros(1, np.int64)
    batch = batch_size(n, threads)

    def work(i: int) -> None:
        told = (weight, case.counts[i], burned, loss, marks, settled, counter, batch)
        _kernels.burn_statistics(world, masks, world.special, case.fires, treated, *told, case.scratch[i], None, None)

    parallel.run_threads(work, threads)
    return burned


def duration_that_burns(cells: float, mean_burned: Callable[[float], float]) -> float:
    """Minutes in which fires burn so many cells in the mean, within 3 %.

    Parameters
    ----------
    mean_burned : cells burned in the mean in so many minutes
    """
    duration = 60.0
    for _ in range(30):
        burned = mean_burned(duration)
        if abs(burned / cells - 1) <= 0.03:
            return duration
        duration *= float(np.clip(np.sqrt(cells / burned), 0.25, 4.0))  # area grows about with the square of time
    raise RuntimeError(f"no duration burns {cells:g} cells in the mean; {burned:g} burn in {duration:g} min")


def with_duration(case: Case, duration_min: float) -> Case:
    """The same fires, each of so many minutes."""
    return case._replace(fires=_burning(case.fires.ignition, duration_min))


def _tuned(case: Case, cells: int) -> Case:
    """The same fires, as long as it takes to burn so many cells in the mean."""
    some = case._replace(fires=_burning(case.fires.ignition[:1000], np.inf))
    duration = duration_that_burns(cells, lambda minutes: float(burn(with_duration(some, minutes)).mean()))
    return with_duration(case, duration)


def _cpu_ns(work: Callable[[], object]) -> int:
    """CPU time of a piece of work in this thread, ns; the thread that draws a progress bar does not count."""
    began = time.thread_time_ns()
    work()
    return time.thread_time_ns() - began


def _figure(
    name: str,
    samples: Sequence[float],
    unit: str,
    *,
    stencil: int | None = None,
    grid: int = 0,
    detail: str = "",
    bar: float | None = None,
    at_least: bool = False,
) -> Row:
    lower, figure, upper = np.quantile(samples, [0.25, 0.5, 0.75]).tolist()
    return {
        "name": name,
        "stencil": stencil,
        "grid": f"{grid} x {grid}" if grid else "",
        "detail": detail,
        "figure": figure,
        "unit": unit,
        "repeats": len(samples),
        "lower_quartile": lower,
        "upper_quartile": upper,
        "bar": bar,
        "bar_is": "" if bar is None else "at least" if at_least else "at most",
        "met": None if bar is None else figure >= bar if at_least else figure <= bar,
    }


def solve_rows(effort: Effort, scale: float, say: Callable[[str], None]) -> list[Row]:
    """CPU time per burned cell by stencil and landscape size, and its growth from the smallest to the largest."""
    lands = {size: random_landscape(size, size) for size, _, _ in effort.sizes}
    rows, growth = [], []
    small, large = effort.sizes[0][0], effort.sizes[-1][0]
    for stencil in STENCILS:
        say(f"whole fires, {stencil} neighbors")
        cases = {
            size: _tuned(make_case(lands[size], stencil, fires, size), cells) for size, cells, fires in effort.sizes
        }
        burned = {size: burn(case) for size, case in cases.items()}
        per_cell: dict[int, list[float]] = {size: [] for size in cases}
        for _ in range(effort.repeats):  # sizes in turn, so that whatever slows the machine slows them all
            for size, case in cases.items():
                per_cell[size].append(_cpu_ns(partial(burn, case)) / int(burned[size].sum()))
        for size, fires in burned.items():
            detail = f"{len(fires)} fires of {fires.mean():,.0f} cells"
            bar = CELL_BARS_NS[stencil] * scale if size == 200 else None
            rows.append(
                _figure("burned cell", per_cell[size], "ns", stencil=stencil, grid=size, detail=detail, bar=bar)
            )
        ratios = [b / a for a, b in zip(per_cell[small], per_cell[large], strict=True)]
        detail = f"of ns per burned cell from {small} x {small}"
        bar = 1.5 if large == 1000 else None
        growth.append(_figure("growth", ratios, "times", stencil=stencil, grid=large, detail=detail, bar=bar))
    return rows + growth


def neighbor_graph(world: World) -> Any:
    """The open edges of a world's cells, padding left out, as a sparse matrix of minutes (C, C)."""
    from scipy.sparse import coo_array

    padded = np.arange(len(world.value)).reshape(-1, world.width)
    cells = padded[PAD:-PAD, PAD:-PAD].ravel()
    number = np.full(len(world.value), -1, np.int32)
    number[cells] = np.arange(len(cells))
    starts, ends, minutes = [], [], []
    for k, offset in enumerate(world.offset):
        leaving = cells[(world.open_dirs[0, cells] >> k) & 1 == 1]
        starts.append(number[leaving])
        ends.append(number[leaving + offset])
        minutes.append(world.minutes[0, leaving, k].astype(np.float64))
    edges = np.concatenate(minutes), (np.concatenate(starts), np.concatenate(ends))
    return coo_array(edges, shape=(len(cells), len(cells))).tocsr()


def dijkstra_rows(effort: Effort, say: Callable[[str], None]) -> tuple[list[Row], float]:
    """One fire that burns all it can reach beside scipy's shortest paths on the same 8-neighbor graph.

    Returns the rows and scipy's ns per node at 200 x 200. Stops if the two do not give the same arrival times.
    """
    from scipy.sparse.csgraph import dijkstra

    rows, par = [], 0.0
    for size in (200, effort.sizes[-1][0]):
        say(f"scipy's dijkstra, {size} x {size}")
        land = random_landscape(size, size)
        case = make_case(land, 8, 1, size)
        graph = neighbor_graph(case.world)
        ignition = int(case.fires.ignition[0])
        source = (ignition // case.world.width - PAD) * size + ignition % case.world.width - PAD
        check_same_times(case, dijkstra(graph, indices=source))
        theirs, ours, ratios = [], [], []
        for _ in range(max(2, effort.repeats // (1 if size == 200 else 3))):
            theirs.append(_cpu_ns(partial(dijkstra, graph, indices=source)) / size**2)
            ours.append(_cpu_ns(partial(burn, case)) / size**2)
            ratios.append(theirs[-1] / ours[-1])
        what = f"{graph.nnz:,} edges, one source"
        rows += [
            _figure("scipy dijkstra, a node", theirs, "ns", stencil=8, grid=size, detail=what),
            _figure("endless fire, a node", ours, "ns", stencil=8, grid=size, detail=what),
            _figure(
                "scipy dijkstra / endless fire",
                ratios,
                "times",
                stencil=8,
                grid=size,
                detail="same arrival times",
                bar=4.0 if size == 1000 else None,
                at_least=True,
            ),
        ]
        if size == 200:
            par = rows[0]["figure"]
    return rows, par


def check_same_times(case: Case, minutes: F8) -> None:
    """Stop if the first fire of a case does not arrive at the times `minutes` (cells without the padding).

    Raises
    ------
    RuntimeError : a figure that compares different answers would be worth nothing
    """
    world = case.world
    scratch = case.scratch[0]
    arrival, parent = scratch.arrival.copy(), scratch.parent.copy()
    masks = Masks(world.codes, world.open_dirs)
    _kernels.solve_fire(world, masks, world.special, case.fires, np.empty(0, np.int64), 0, arrival, parent, scratch)
    ours = arrival.reshape(-1, world.width)[PAD:-PAD, PAD:-PAD].ravel()
    same = np.isclose(ours, minutes, rtol=1e-4, atol=0.0)
    if not same.all():
        cell = int(np.argmin(same))
        raise RuntimeError(
            f"bench: {int((~same).sum())} of {len(ours)} arrival times differ from scipy's, first at cell {cell}: "
            f"{ours[cell]} and {minutes[cell]} min"
        )


class Demo(NamedTuple):
    """The demo without a buffer, and a bank of fires of one length on it."""

    landscape: Landscape
    fires: Fires
    fields: Fields
    burned: float  # cells in the mean


def _demo(cells: int, stencil: int) -> Demo:
    landscape, season = Landscape.demo(50, 50, 0), fire_season()
    fields = Fields(landscape, season, stencil=stencil)

    def bank(minutes: float) -> Fires:
        return Fires.draw(landscape, BANK, 0, weather=season, duration_min=minutes)

    def mean_burned(minutes: float) -> float:
        return float(spread(landscape, bank(minutes), workers=1, fields=fields).burned_cells.mean())

    duration = duration_that_burns(cells, mean_burned)
    return Demo(landscape, bank(duration), fields, mean_burned(duration))


def most_burned(ensemble: Ensemble, which: I8, breaks: int) -> I8:
    """Breaks one after the other on the treatable cell that most of the fires `which` burn by then: flat cells."""
    ensemble.reset(0, which)
    left, placed = ensemble.landscape.treatable.ravel().copy(), []
    for _ in range(breaks):
        placed.append(int(np.where(left, ensemble.planes()[0, 0].ravel(), -1.0).argmax()))
        left[placed[-1]] = False
        ensemble.treat(np.array(placed[-1:]))
    return np.array(placed)


def repair_rows(demo: Demo, effort: Effort) -> list[Row]:
    """Bringing an episode up to date after one break, random or on the most-burned cell, and solving it whole."""
    stencil = demo.fields.stencil
    ensemble = Ensemble(demo.landscape, demo.fires, fires_per_episode=FIRES, fields=demo.fields)
    treatable = np.flatnonzero(demo.landscape.treatable)
    where = f"{FIRES} fires of {demo.burned:,.0f} cells"
    took: dict[str, list[float]] = {"random": [], "most-burned": []}
    whole, gains, per_solve = [], [], []

    def treat(cell: int) -> None:
        ensemble.treat(np.array([cell]))
        ensemble.losses()

    for plan in range(effort.plans):
        rng = np.random.default_rng(plan)
        which = rng.choice(BANK, FIRES, replace=False)
        chosen = {
            "random": rng.choice(treatable, BREAKS, replace=False),
            "most-burned": most_burned(ensemble, which, BREAKS),
        }
        for kind, cells in chosen.items():
            ensemble.reset(0, which)  # planes are not kept up to date until they are asked for again
            took[kind] += [_cpu_ns(partial(treat, cell)) / 1e3 for cell in cells.tolist()]
        fires = demo.fires.take(which)
        solve = partial(spread, demo.landscape, fires, workers=1, fields=demo.fields)
        whole.append(float(np.median([_cpu_ns(solve) for _ in range(effort.repeats)])) / 1e3)
        ensemble.reset(0, which)
        gains.append(_cpu_ns(ensemble.gains) / 1e6)
        per_solve.append(gains[-1] * 1e3 / whole[-1])
    rows = [
        _figure(
            f"repair, {kind} break",
            samples,
            "us",
            stencil=stencil,
            grid=50,
            detail=where,
            bar=REPAIR_BARS_US[kind],
        )
        for kind, samples in took.items()
    ]
    return [
        *rows,
        _figure("solve anew", whole, "us", stencil=stencil, grid=50, detail=where),
        _figure(f"gains of {len(treatable)} units", gains, "ms", stencil=stencil, grid=50, detail=where, bar=150.0),
        _figure("gains / solve anew", per_solve, "times", stencil=stencil, grid=50, detail=where),
    ]


def step_rows(demo: Demo, effort: Effort) -> list[Row]:
    """A step of the environment with its observation, by random allowed units."""
    duration = float(demo.fires.duration_min[0])
    env = FireEnv(demo.landscape, num_simulations=FIRES, max_duration=duration, budget=BREAKS, bank_size=BANK)
    rng, took = np.random.default_rng(0), list[float]()
    _, info = env.reset(seed=0)
    ended = False
    for _ in range(effort.steps):
        if ended:
            _, info = env.reset()
        action = rng.choice(np.flatnonzero(info["action_mask"]))
        began = time.thread_time_ns()
        _, _, ended, _, info = env.step(action)
        took.append((time.thread_time_ns() - began) / 1e6)
    env.close()
    detail = f"{FIRES} fires of {demo.burned:,.0f} cells"
    return [_figure("FireEnv.step", took, "ms", stencil=32, grid=50, detail=detail, bar=1.0)]


def throughput(cases: Sequence[Case], threads: int, seconds: float) -> float:
    """Fires per second of wall time: the cases in turn for at least so long."""
    fires, began, turn = 0, time.perf_counter(), cycle(cases)
    while (took := time.perf_counter() - began) < seconds:
        case = next(turn)
        burn(case, threads)
        fires += len(case.fires.ignition)
    return fires / took


class Burner:
    """What a process owns that burns fires beside others: worlds of its own, and a barrier they all start at.

    Parameters
    ----------
    lists : cells a side, fires and minutes of each flat list of fires
    """

    def __init__(self, lists: Sequence[tuple[int, int, float]], barrier: Any) -> None:
        self._barrier = barrier
        self._cases = []
        for size, fires, minutes in lists:
            case = make_case(random_landscape(size, size), 32, fires, size)
            parts = np.array_split(case.fires.ignition, 8)  # short pieces, so that all end together
            self._cases.append([case._replace(fires=_burning(np.ascontiguousarray(part), minutes)) for part in parts])
            burn(self._cases[-1][0])

    def throughput(self, which: int, seconds: float) -> float:
        """Fires per second of this process alone on one of the lists, beginning when all processes are ready."""
        self._barrier.wait(timeout=60)
        return throughput(self._cases[which], 1, seconds)


def worker_rows(effort: Effort, workers: int, say: Callable[[str], None]) -> list[Row]:
    """Fires per second of flat lists by threads, and two threads beside two processes that share nothing.

    By the clock on the wall, since that is what is shared; other work on the machine spoils these figures.
    """
    rows: list[Row] = []
    cases = [
        _tuned(make_case(random_landscape(size, size), 32, fires, size, workers), cells)
        for size, cells, fires in effort.flat_lists
    ]
    details = [f"{len(case.fires.ignition)} fires of {burn(case).mean():,.0f} cells, wall time" for case in cases]
    repeats = min(5, effort.repeats)
    thread_counts = sorted({*(2**i for i in range(workers.bit_length())), workers})
    say(f"fires on {', '.join(map(str, thread_counts))} threads")
    for (size, _, _), case, detail in zip(effort.flat_lists, cases, details, strict=True):
        rates = [[throughput([case], threads, effort.seconds) for threads in thread_counts] for _ in range(repeats)]
        for threads, samples in zip(thread_counts, zip(*rates, strict=True), strict=True):
            name = f"fires on {threads} thread{'s' * (threads > 1)}"
            rows.append(_figure(name, samples, "per s", stencil=32, grid=size, detail=detail))
    if workers < 2:
        return rows
    say("2 threads beside 2 processes")
    barrier = multiprocessing.get_context("spawn").Barrier(2)
    lists = [
        (size, fires, float(case.fires.duration_min[0]))
        for (size, _, fires), case in zip(effort.flat_lists, cases, strict=True)
    ]
    processes = parallel.Workers(Burner, [(lists, barrier)] * 2)
    try:
        processes.call("throughput", [(0, 0.01)] * 2)  # both are there, and have loaded what they need
        for i, (size, _, _) in enumerate(effort.flat_lists):
            ratios = []
            for _ in range(repeats):  # one after the other, so that whatever slows the machine slows both
                shared = throughput([cases[i]], 2, effort.seconds)
                ratios.append(shared / sum(processes.call("throughput", [(i, effort.seconds)] * 2)))
            name = "2 threads / 2 processes"
            rows.append(
                _figure(name, ratios, "times", stencil=32, grid=size, detail=details[i], bar=0.95, at_least=True)
            )
    finally:
        processes.close()
    return rows


TIMED = "import time; {before}; began = time.process_time(); {timed}; print(time.process_time() - began)"


def _cpu_s_of_python(before: str, timed: str, **environment: str) -> float:
    """CPU seconds of a statement in a new Python, after another one."""
    ran = subprocess.run(
        [sys.executable, "-c", TIMED.format(before=before, timed=timed)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    if ran.returncode:
        raise RuntimeError(f"bench: {timed} failed in a new Python: {ran.stderr.strip().splitlines()[-1:]}")
    return float(ran.stdout)


def start_rows(effort: Effort, say: Callable[[str], None]) -> list[Row]:
    """What a first run and every later one wait for: compiling the kernels (not with `QUICK`), and the import."""
    rows = []
    if effort is not QUICK:
        what = "solve, repair, planes, gains; constant weather"
        for stencil in (16, 32):
            say(f"compiling into an empty cache, {stencil} neighbors")
            with tempfile.TemporaryDirectory() as folder:
                before, timed = "from fuelbreak.spread import warm_up", f"warm_up({stencil})"
                cold = _cpu_s_of_python(before, timed, NUMBA_CACHE_DIR=folder)
            rows.append(_figure("compile, empty cache", [cold], "s", stencil=stencil, detail=what, bar=25.0))
    say("import")
    warm = [_cpu_s_of_python("pass", "import fuelbreak") for _ in range(min(5, effort.repeats))]
    return [*rows, _figure("import fuelbreak", warm, "s", detail="CPU time, files read before", bar=1.0)]


def machine_facts() -> dict[str, Any]:
    """What figures of speed depend on."""
    import scipy

    return {
        "processor": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "cores_usable": parallel.available_cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
    }


def spread_speed(effort: Effort, say: Say) -> dict[str, Any]:
    """Speed of solve, repair, gains and steps on this machine: `machine`, `workers`, `bar_scale` and `rows` of `Row`.

    CPU time of one thread, medians over repeats, except where a row's detail says wall time. Bars in ns are scaled
    by what scipy's dijkstra takes here over what it took where they were set.
    """
    workers = parallel.available_cores()
    for i, stencil in enumerate(STENCILS):
        say("prepare", i / len(STENCILS), f"{COMPILING}, {stencil} neighbors")
        if stencil > 8:
            warm_up(stencil)
        burn(make_case(random_landscape(20, 0), stencil, 2, 0))
    say("prepare", 1.0, "")
    parts, done = 12 if effort is QUICK else 14, count()

    def tell(message: str) -> None:
        say("measure", min(next(done) / parts, 1.0), message)

    compared, par_ns = dijkstra_rows(effort, tell)
    scale = par_ns / PAR_NS
    rows = solve_rows(effort, scale, tell) + compared
    for cells in (335, 670):
        for stencil in (16, 32):
            tell(f"repair and gains, fires of {cells} cells, {stencil} neighbors")
            demo = _demo(cells, stencil)
            rows += repair_rows(demo, effort)
        rows += step_rows(demo, effort)
    rows += worker_rows(effort, workers, tell) + start_rows(effort, tell)
    say("measure", 1.0, "")
    return {"machine": machine_facts(), "workers": workers, "bar_scale": scale, "rows": rows}


# ---- speed of fire behavior: `fuelbreak bench behavior`

MILLION = 1000  # cells a side
ONE_WEATHER_BAR_MS = 60.0


def mixed_landscape(size: int, seed: int) -> Landscape:
    """Every fuel model, rock among them, on random terrain under random canopies: the hardest to guess for a core."""
    rng = np.random.default_rng(seed)
    shape = size, size
    height = rng.choice([0, 8, 15, 25], shape)
    return Landscape.from_arrays(
        rng.choice([*FUEL_MODELS, 99], shape),
        elevation_m=rng.uniform(0, 2000, shape),
        slope_deg=rng.uniform(0, 40, shape),
        aspect_deg=rng.uniform(0, 360, shape),
        canopy_cover_pct=rng.choice([0, 30, 60, 90], shape),
        canopy_height_m=height,
        canopy_base_height_m=height * 0.2,
        canopy_bulk_density_kg_m3=np.where(height > 0, 0.1, 0),
    )


def _tiled(landscape: Landscape, size: int) -> Landscape:
    """A landscape repeated until it fills size x size cells."""
    layers = {name: getattr(landscape, name) for name in LAYERS if name not in ("value", "area_of_interest")}
    times = [-(-size // side) for side in landscape.shape]
    tiled: dict[str, Any] = {name: np.tile(layer, times)[:size, :size] for name, layer in layers.items()}
    return Landscape.from_arrays(**tiled, custom_fuels=landscape.custom_fuels)


def behavior_speed(landscape: Landscape | None, repeats: int, say: Say) -> dict[str, Any]:
    """CPU time of one core for one weather on 1,000,000 cells: `machine` and `rows` of `Row`.

    Parameters
    ----------
    landscape : repeated to 1,000,000 cells; None: `mixed_landscape`
    """
    size = MILLION
    land = mixed_landscape(size, 0) if landscape is None else _tiled(landscape, size)
    rng = np.random.default_rng(1)
    speed, azimuth = (rng.uniform(*ends, land.shape).astype(np.float32) for ends in ((5, 40), (0, 360)))
    grid = WindGrid(speed, azimuth)
    cases = {
        "the design weather": Weather(),
        "crown method finney": Weather(crown_method="finney"),
        "crown rate cruz": Weather(crown_rate="cruz"),
        "a gale, 60 km/h": Weather(wind_speed_kmh=60, dead_1h_pct=3),
        "wind that differs from cell to cell": Weather(wind=grid),
        "moisture by slope, aspect and shade": Weather(sky=Sky(7, 15)),
    }
    rows = []
    for i, (detail, weather) in enumerate(cases.items()):
        say("measure", i / len(cases), detail)
        found = fire_behavior(land, weather)
        crowns = float((found.fire_type > SURFACE_FIRE).mean())
        samples = [_cpu_ns(partial(fire_behavior, land, weather)) / 1e6 for _ in range(repeats)]
        told = f"{detail}; crown fire on {crowns:.0%}"
        # The bar is for a weather that is the same everywhere.
        bar = ONE_WEATHER_BAR_MS if weather.wind is None and weather.sky is None else None
        rows.append(_figure("fire behavior, one weather", samples, "ms", grid=size, detail=told, bar=bar))
    say("measure", 1.0, "")
    return {"machine": machine_facts(), "rows": rows}


def speed_lines(facts: dict[str, Any]) -> list[str]:
    """The table of `spread_speed` or `behavior_speed`, a row per figure."""
    versions = ", ".join(f"{name} {facts['machine'][name]}" for name in ("python", "numba", "numpy", "scipy"))
    scaled = ""
    if "bar_scale" in facts:
        scaled = f"; bars in ns times {facts['bar_scale']:.2f}, scipy's speed here over the speed where they were set"
    lines = [
        f"{facts['machine']['cores_usable']} cores, {versions}; medians of CPU time unless it says wall time{scaled}",
        f"{'figure':<31}{'neighbors':>10}  {'cells':<13}{'value':>10} {'unit':<6}{'bar':>17} {'met':<4} detail",
    ]
    for row in facts["rows"]:
        bar = "" if row["bar"] is None else f"{row['bar_is']} {row['bar']:.4g}"
        met = "" if row["met"] is None else "yes" if row["met"] else "no"
        value = f"{row['figure']:,.0f}" if row["figure"] >= 1000 else f"{row['figure']:.3g}"
        lines.append(
            f"{row['name']:<31}{row['stencil'] or '':>10}  {row['grid']:<13}{value:>10} {row['unit']:<6}"
            f"{bar:>17} {met:<4} {row['detail']}".rstrip()
        )
    return lines
