"""Our step against the nested design: environments in processes, each with a pool of pyretechnics fires.

A step is one break in each of 4 environments, judged by 50 fires of 60 minutes each on the same 50 x 50 cells of 30 m:
200 fires. Theirs burns them anew, as a nested design does: 4 processes, in each a pool of `max(1, cores // 4)` workers.
So that not only the nesting is compared, one flat pool of all cores is measured too. Ours brings them up to date.

pyretechnics pins an old numpy, so it gets an environment of its own:

    python3 -m venv theirs && theirs/bin/pip install pyretechnics
    .venv/bin/python benchmarks/nested_pyretechnics.py --theirs theirs/bin/python

Without --theirs only ours is measured. Both engines burn the same fuels, terrain, weather and ignitions; how much they
burn is told, so that one sees that they do the same work.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ENVIRONMENTS, FIRES, MINUTES, SIZE, BUDGET = 4, 50, 60.0, 50, 125
REPEATS = 5
NONBURNABLE = 91

# ---- theirs; knows nothing of fuelbreak

cubes: dict = {}
shape = (1, SIZE, SIZE)


def load_cubes(path: str) -> None:
    """Make the inputs of pyretechnics, once in each process that burns."""
    from pyretechnics.space_time_cube import SpaceTimeCube

    with np.load(path) as problem:
        for name in problem.files:
            if name != "ignitions":
                cubes[name] = SpaceTimeCube(shape, problem[name])
        cubes["fuel_plain"] = problem["fuel_model"].copy()


def burn_theirs(breaks: list[tuple[int, int]], ignition: tuple[int, int]) -> int:
    """Cells that one fire burns with the breaks in place."""
    from pyretechnics.eulerian_level_set import SpreadState, spread_fire_with_phi_field
    from pyretechnics.space_time_cube import SpaceTimeCube

    fuel = cubes["fuel_plain"].copy()
    for row, col in breaks:
        if (row, col) != ignition:
            fuel[row, col] = NONBURNABLE
    layers = {name: cube for name, cube in cubes.items() if name != "fuel_plain"}
    layers["fuel_model"] = SpaceTimeCube(shape, fuel)
    state = SpreadState(shape).ignite_cell(ignition)
    never = dict.fromkeys(layers, 0.0)  # nothing changes with time, so nothing is looked up again
    result = spread_fire_with_phi_field(
        layers, state, (MINUTES, 30.0, 30.0), start_time=0.0, max_duration=MINUTES, cube_refresh_rates=never
    )
    return int((result["spread_state"].get_full_matrices(["fire_type"])["fire_type"] > 0).sum())


def burn_many(breaks: list[tuple[int, int]], ignitions: list[tuple[int, int]]) -> list[int]:
    return [burn_theirs(breaks, ignition) for ignition in ignitions]


def environment(pipe, path: str, ignitions: list[tuple[int, int]], workers: int) -> None:
    """One environment: its own pool, kept alive between steps."""
    with ProcessPoolExecutor(workers, initializer=load_cubes, initargs=(path,)) as pool:
        shares = [ignitions[i::workers] for i in range(workers)]
        while (breaks := pipe.recv()) is not None:
            burned = pool.map(burn_many, [breaks] * workers, shares)
            pipe.send(sum(map(sum, burned)) / len(ignitions))


def measure_theirs(path: str, seconds: float) -> dict:
    with np.load(path) as problem:
        ignitions = [[tuple(map(int, cell)) for cell in cells] for cells in problem["ignitions"]]
        burnable = np.argwhere(~np.isin(problem["fuel_model"], [91, 92, 93, 98, 99, 0]))
    cores, rng, told = len(os.sched_getaffinity(0)), np.random.default_rng(0), {}
    nested = max(1, cores // 4)
    pipes, processes = [], []
    for cells in ignitions:
        ours, their_end = multiprocessing.Pipe()
        processes.append(multiprocessing.Process(target=environment, args=(their_end, path, cells, nested)))
        processes[-1].start()
        pipes.append(ours)

    def step(breaks: list[list[tuple[int, int]]]) -> list[float]:
        for pipe, cells in zip(pipes, breaks, strict=True):
            pipe.send(cells)
        return [pipe.recv() for pipe in pipes]

    told["burned_cells"] = float(np.mean(step([[] for _ in pipes])))  # warm, and untreated
    took, breaks, end = [], [[] for _ in pipes], time.perf_counter() + seconds
    while time.perf_counter() < end or len(took) < 3:
        for cells in breaks:
            cells.append(tuple(burnable[rng.integers(len(burnable))].tolist()))
        began = time.perf_counter()
        step(breaks)
        took.append(time.perf_counter() - began)
    told["nested"], told["nested_workers"] = 1 / float(np.median(took)), nested
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(None)
        process.join()
    with ProcessPoolExecutor(cores, initializer=load_cubes, initargs=(path,)) as pool:
        every = [cell for cells in ignitions for cell in cells]
        list(pool.map(burn_theirs, [[]] * 8, every[:8]))
        took, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or len(took) < 3:
            began = time.perf_counter()
            list(pool.map(burn_theirs, [breaks[0]] * len(every), every, chunksize=5))
            took.append(time.perf_counter() - began)
    return told | {"flat": 1 / float(np.median(took)), "cores": cores}


# ---- ours


def measure_ours(seconds: float, save: Path) -> dict[str, float]:
    """Steps per second of each way, and the problem as pyretechnics wants it, saved."""
    from fuelbreak import parallel
    from fuelbreak.env import VectorizedFireEnv
    from fuelbreak.landscape import Landscape, Plan
    from fuelbreak.scenarios import Fires, Weather
    from fuelbreak.spread import Ensemble, Fields, spread

    land = Landscape.demo(SIZE, SIZE, 0, buffer_cells=0)
    weather = Weather()
    fires = Fires.draw(land, ENVIRONMENTS * FIRES, 0, weather=weather, duration_min=MINUTES)
    constant = {
        "wind_speed_10m": weather.wind_speed_kmh,
        "upwind_direction": weather.wind_from_deg,
        "fuel_moisture_dead_1hr": weather.dead_1h_pct / 100,
        "fuel_moisture_dead_10hr": weather.dead_10h_pct / 100,
        "fuel_moisture_dead_100hr": weather.dead_100h_pct / 100,
        "fuel_moisture_live_herbaceous": weather.live_herb_pct / 100,
        "fuel_moisture_live_woody": weather.live_woody_pct / 100,
        "foliar_moisture": weather.foliar_pct / 100,
    }
    layers = {
        "slope": np.tan(np.deg2rad(land.slope_deg)),
        "aspect": np.where(land.aspect_deg < 0, 0, land.aspect_deg),
        "fuel_model": land.fuel_model,
        "canopy_cover": land.canopy_cover_pct / 100,
        "canopy_height": land.canopy_height_m,
        "canopy_base_height": land.canopy_base_height_m,
        "canopy_bulk_density": land.canopy_bulk_density_kg_m3,
    }
    ignitions = fires.ignitions.reshape(ENVIRONMENTS, FIRES, 2).copy()
    ignitions[..., 0] = SIZE - 1 - ignitions[..., 0]  # their rows go north
    np.savez(
        save,
        ignitions=ignitions,
        **{name: np.ascontiguousarray(layer[::-1], np.float32) for name, layer in layers.items()},
        **{name: np.float32(value) for name, value in constant.items()},
    )
    fields, rng = Fields(land, fires.weather), np.random.default_rng(0)
    treatable = np.flatnonzero(land.treatable)
    told = {"burned_cells": float(spread(land, fires, fields=fields).burned_cells.mean())}

    def rate(step, restart) -> float:
        """Median over repeats of steps per second, restarts every `BUDGET` steps included."""
        rates = []
        for _ in range(REPEATS):
            restart()
            steps, began = 0, time.perf_counter()
            while time.perf_counter() - began < seconds / REPEATS:
                step(steps % BUDGET)
                steps += 1
                if steps % BUDGET == 0:
                    restart()
            rates.append(steps / (time.perf_counter() - began))
        return float(np.median(rates))

    last = np.zeros(ENVIRONMENTS)
    cells = np.stack([rng.permutation(treatable)[:BUDGET] for _ in range(ENVIRONMENTS)], axis=1)
    for workers in sorted({1, parallel.available_cores()}):
        ensemble = Ensemble(land, fires, episodes=ENVIRONMENTS, fires_per_episode=FIRES, workers=workers, fields=fields)

        def restart(ensemble=ensemble) -> None:
            for i in range(ENVIRONMENTS):
                ensemble.reset(i, np.arange(i * FIRES, (i + 1) * FIRES))
            last[:] = ensemble.losses()

        def step(i: int, ensemble=ensemble) -> None:
            ensemble.treat(cells[i])
            loss = ensemble.losses()
            reward = last - loss
            last[:] = loss
            assert reward.shape == (ENVIRONMENTS,)

        told[f"repair + reward, {workers} thread{'s' * (workers > 1)}"] = rate(step, restart)
    plans = [[Plan.from_flat(land, cells[: i + 1, e]) for e in range(ENVIRONMENTS)] for i in range(0, BUDGET, 5)]
    parts = [fires.take(np.arange(e * FIRES, (e + 1) * FIRES)) for e in range(ENVIRONMENTS)]

    def anew(i: int) -> None:
        for part, plan in zip(parts, plans[i // 5], strict=True):
            spread(land, part, plan, fields=fields)

    told["fresh fires + reward, all cores"] = rate(anew, lambda: None)
    for method in ("sequential", "threading", "multiprocessing"):
        env = VectorizedFireEnv(
            ENVIRONMENTS, method, landscape=land, weather=weather, num_simulations=FIRES, max_duration=MINUTES,
            budget=BUDGET, bank_size=400,
        )  # fmt: skip
        flat = np.full(SIZE * SIZE, -1)
        flat[env.unit_cell] = np.arange(len(env.unit_cell))
        units = flat[cells]
        told[f"whole environment step, {method}"] = rate(lambda i, env=env: env.step(units[i]), env.reset)  # noqa: B023
        env.close()
    return told


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--theirs", type=Path, help="Python of an environment with pyretechnics")
    options.add_argument("--seconds", type=float, default=10.0, help="how long each way is measured")
    options.add_argument("--burn", help=argparse.SUPPRESS)  # the other role: a saved problem
    given = options.parse_args()
    if given.burn:
        print(json.dumps(measure_theirs(given.burn, given.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder, "problem.npz")
        ours = measure_ours(given.seconds, problem)
        theirs = None
        if given.theirs:
            ran = subprocess.run(
                [given.theirs, Path(__file__), "--burn", problem, "--seconds", str(given.seconds)],
                capture_output=True,
                text=True,
            )
            if ran.returncode:
                sys.exit(f"{given.theirs}: pyretechnics failed: {ran.stderr.strip().splitlines()[-1:]}")
            theirs = json.loads(ran.stdout)
    burned = ours.pop("burned_cells")
    print(f"steps per second of {ENVIRONMENTS} x {FIRES} fires of {MINUTES:g} min on {SIZE} x {SIZE} cells; wall time")
    lines = {}
    if theirs:
        lines[f"pyretechnics, nested, {theirs['nested_workers']} worker in each"] = theirs["nested"]
        lines[f"pyretechnics, one flat pool of {theirs['cores']} workers"] = theirs["flat"]
        print(f"mean fire without breaks: {theirs['burned_cells']:.0f} cells, ours {burned:.0f}")
    for name, figure in (lines | ours).items():
        times = (
            f"{figure / theirs['nested']:>10,.0f} x nested{figure / theirs['flat']:>10,.0f} x flat" if theirs else ""
        )
        print(f"{name:<44}{figure:>12,.{2 if figure < 100 else 0}f}{times}")
    if theirs is None:
        print("give --theirs to measure pyretechnics beside it; the file's first lines say how")


if __name__ == "__main__":
    main()
