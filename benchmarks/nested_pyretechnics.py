"""Our step against the nested design: environments in processes, each with a pool of pyretechnics fires.

A step is one break in each of 4 environments, judged by 50 fires of 60 minutes each on the same 50 x 50 cells of 30 m:
200 fires. Theirs burns them anew, as a nested design does: 4 processes, in each a pool of `max(1, cores // 4)` workers.
So that not only the nesting is compared, one flat pool of all cores is measured too. Ours brings them up to date.

pyretechnics pins an old numpy, so it gets an environment of its own:

    python3 -m venv theirs && theirs/bin/pip install pyretechnics
    .venv/bin/python benchmarks/nested_pyretechnics.py --theirs theirs/bin/python [--seconds 10] [--json FILE]

Without --theirs only ours is measured. Both engines burn the demo landscape of seed 0 without a buffer, so exactly the
same 50 x 50 cells, with the same weather, ignitions and breaks; how much they burn is told, so that one sees that they
do the same work. Theirs is spared what it can be: processes, pools and inputs are made once, the fuel map once for ten
fires, no input is looked up twice, one layer is asked back, and its own numerical defaults are kept.

Wall time, so other work on the machine shows: medians, beside the slowest and fastest repeat; the last column is our
slowest repeat over their fastest step. A minute and a half at 10 seconds for each way.
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
CELL_M = 30.0
REPEATS = 5
NONBURNABLE = 91
TASK = 10  # fires that a worker of theirs takes at a time
STRIDE = 77  # shares no divisor with BUDGET: their few steps fall evenly over an episode

Cell = tuple[int, int]

# ---- theirs; knows nothing of fuelbreak

cubes: dict = {}
shape = (1, SIZE, SIZE)


def load_cubes(path: str) -> None:
    """Make the inputs of pyretechnics, once in each process that burns."""
    from pyretechnics.space_time_cube import SpaceTimeCube

    with np.load(path) as problem:
        for name in problem.files:
            if name not in ("ignitions", "plans"):
                cubes[name] = SpaceTimeCube(shape, problem[name])


def with_breaks(breaks: list[Cell], spared: Cell | None = None) -> dict:
    """The inputs with breaks in place, but not where a fire starts."""
    from pyretechnics.space_time_cube import SpaceTimeCube

    fuel = cubes["fuel_model"].base.copy()
    for cell in breaks:
        if cell != spared:
            fuel[cell] = NONBURNABLE
    return cubes | {"fuel_model": SpaceTimeCube(shape, fuel)}


def burn_some(breaks: list[Cell], ignitions: list[Cell]) -> list[int]:
    """Cells that each fire burns with the breaks in place."""
    from pyretechnics.eulerian_level_set import SpreadState, spread_fire_with_phi_field

    everywhere, burned = with_breaks(breaks), []
    never = dict.fromkeys(cubes, 0.0)  # nothing changes with time, so nothing is looked up again
    for ignition in ignitions:
        result = spread_fire_with_phi_field(
            with_breaks(breaks, ignition) if ignition in breaks else everywhere,
            SpreadState(shape).ignite_cell(ignition),
            (MINUTES, CELL_M, CELL_M),
            start_time=0.0,
            max_duration=MINUTES,
            cube_refresh_rates=never,
        )
        burned.append(int((result["spread_state"].get_full_matrices(["fire_type"])["fire_type"] > 0).sum()))
    return burned


def burn_all(pool: ProcessPoolExecutor, breaks: list[list[Cell]], ignitions: list[list[Cell]]) -> list[list[int]]:
    """Cells that the fires of some environments burn, by a pool."""
    tasks = [(i, first) for i, cells in enumerate(ignitions) for first in range(0, len(cells), TASK)]
    found = pool.map(
        burn_some, [breaks[i] for i, _ in tasks], [ignitions[i][first : first + TASK] for i, first in tasks]
    )
    burned: list[list[int]] = [[] for _ in ignitions]
    for (i, _), cells in zip(tasks, found, strict=True):
        burned[i] += cells
    return burned


def environment(pipe, path: str, ignitions: list[Cell], workers: int) -> None:
    """One environment: its own pool, kept alive between steps."""
    with ProcessPoolExecutor(workers, initializer=load_cubes, initargs=(path,)) as pool:
        while (breaks := pipe.recv()) is not None:
            pipe.send(burn_all(pool, [breaks], [ignitions])[0])


def measure_theirs(path: str, seconds: float) -> dict:
    """Steps per second of both pools, which take turns so that other work on the machine hits both."""
    from importlib.metadata import version

    import pyretechnics.eulerian_level_set as engine

    if not engine.__file__.endswith((".so", ".pyd")):
        sys.exit("pyretechnics is not compiled here; install its wheel")
    with np.load(path) as problem:
        ignitions = [[tuple(cell) for cell in cells] for cells in problem["ignitions"].tolist()]
        plans = [[tuple(cell) for cell in cells] for cells in problem["plans"].tolist()]
    cores = len(os.sched_getaffinity(0))
    workers = max(1, cores // 4)
    pipes, processes = [], []
    for cells in ignitions:
        here, there = multiprocessing.Pipe()
        processes.append(multiprocessing.Process(target=environment, args=(there, path, cells, workers)))
        processes[-1].start()
        pipes.append(here)

    def nested(breaks: list[list[Cell]]) -> list[list[int]]:
        for pipe, cells in zip(pipes, breaks, strict=True):
            pipe.send(cells)
        return [pipe.recv() for pipe in pipes]

    with ProcessPoolExecutor(cores, initializer=load_cubes, initargs=(path,)) as pool:
        ways = {"nested": nested, "flat": lambda breaks: burn_all(pool, breaks, ignitions)}
        untreated = [way([[] for _ in plans]) for way in ways.values()]  # warm, too
        assert untreated[0] == untreated[1]
        last, steps, end = np.mean(untreated[0], axis=1), 0, time.perf_counter() + 2 * seconds
        rates: dict[str, list[float]] = {name: [] for name in ways}
        while time.perf_counter() < end or steps < 3:
            placed = steps * STRIDE % BUDGET + 1
            for name, way in ways.items():
                began = time.perf_counter()
                loss = np.mean(way([plan[:placed] for plan in plans]), axis=1)
                reward = last - loss
                rates[name].append(1 / (time.perf_counter() - began))
            assert reward.shape == (ENVIRONMENTS,)
            last, steps = loss, steps + 1
        treated = nested(plans)
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(None)
        process.join()
    return {
        "rates": rates,
        "workers": workers,
        "untreated": np.ravel(untreated[0]).tolist(),
        "treated": np.ravel(treated).tolist(),
        "version": f"pyretechnics {version('pyretechnics')}, numpy {np.__version__}",
    }


# ---- ours


def save_problem(save: Path, land, weather, fires, cells) -> None:
    """The problem as pyretechnics wants it: rows go north, shares for percents, rise over run."""
    layers = {
        "slope": np.tan(np.deg2rad(land.slope_deg)),
        "aspect": np.where(land.aspect_deg < 0, 0, land.aspect_deg),
        "fuel_model": land.fuel_model,
        "canopy_cover": land.canopy_cover_pct / 100,
        "canopy_height": land.canopy_height_m,
        "canopy_base_height": land.canopy_base_height_m,
        "canopy_bulk_density": land.canopy_bulk_density_kg_m3,
    }
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
    ignitions = fires.ignitions.reshape(ENVIRONMENTS, FIRES, 2).copy()
    plans = np.stack(np.divmod(cells.T, SIZE), axis=-1)
    for places in (ignitions, plans):
        places[..., 0] = SIZE - 1 - places[..., 0]
    np.savez(
        save,
        ignitions=ignitions,
        plans=plans,
        **{name: np.ascontiguousarray(layer[::-1], np.float32) for name, layer in layers.items()},
        **{name: np.float32(value) for name, value in constant.items()},
    )


def measure_ours(seconds: float, save: Path) -> dict:
    """Steps per second of each way, and the problem, saved for pyretechnics."""
    from fuelbreak import parallel
    from fuelbreak.env import VectorizedFireEnv
    from fuelbreak.landscape import Landscape, Plan
    from fuelbreak.scenarios import Fires, Weather
    from fuelbreak.spread import Ensemble, Fields, spread

    land, weather = Landscape.demo(SIZE, SIZE, 0), Weather()
    fires = Fires.draw(land, ENVIRONMENTS * FIRES, 0, weather=weather, duration_min=MINUTES)
    fields, rng = Fields(land, fires.weather), np.random.default_rng(0)
    treatable = np.flatnonzero(land.treatable)
    cells = np.stack([rng.permutation(treatable)[:BUDGET] for _ in range(ENVIRONMENTS)], axis=1)
    save_problem(save, land, weather, fires, cells)
    parts = [fires.take(np.arange(e * FIRES, (e + 1) * FIRES)) for e in range(ENVIRONMENTS)]

    def burn_anew(placed: int, workers: int) -> list:
        plans = [Plan.from_flat(land, cells[:placed, e]) for e in range(ENVIRONMENTS)]
        return [
            spread(land, part, plan, workers=workers, fields=fields) for part, plan in zip(parts, plans, strict=True)
        ]

    rates: dict[str, list[float]] = {}

    def measure(name: str, step, restart) -> None:
        """Steps per second of each repeat; an episode's restart every BUDGET steps is counted in."""
        rates[name] = []
        restart()
        step(0)  # warm
        for _ in range(REPEATS):
            restart()
            steps, began = 0, time.perf_counter()
            while time.perf_counter() - began < seconds / REPEATS:
                step(steps % BUDGET)
                steps += 1
                if steps % BUDGET == 0:
                    restart()
            rates[name].append(steps / (time.perf_counter() - began))

    last = np.zeros(ENVIRONMENTS)
    threads = sorted({1, parallel.available_cores()})
    treated = [result.burned_cells for result in burn_anew(BUDGET, 1)]
    for workers in threads:
        ensemble = Ensemble(land, fires, episodes=ENVIRONMENTS, fires_per_episode=FIRES, workers=workers, fields=fields)

        def restart(ensemble=ensemble) -> None:
            for i in range(ENVIRONMENTS):
                ensemble.reset(i, np.arange(i * FIRES, (i + 1) * FIRES))
            last[:] = ensemble.losses()

        def repair(i: int, ensemble=ensemble) -> None:
            ensemble.treat(cells[i])
            loss = ensemble.losses()
            reward = last - loss
            last[:] = loss
            assert reward.shape == (ENVIRONMENTS,)

        measure(f"ours: repair + reward, {told_threads(workers)}", repair, restart)
        restart()
        for i in range(BUDGET):
            repair(i)
        # A value of 1 everywhere makes the loss the mean of burned cells; repaired is what burns anew, to the bit.
        assert last.tolist() == [float(np.mean(burned)) for burned in treated]
    for method in ("sequential", "threading", "multiprocessing"):
        env = VectorizedFireEnv(
            ENVIRONMENTS,
            method,
            landscape=land,
            weather=weather,
            num_simulations=FIRES,
            max_duration=MINUTES,
            budget=BUDGET,
            bank_size=len(fires),
        )
        unit = np.full(SIZE * SIZE, -1)
        unit[env.unit_cell] = np.arange(len(env.unit_cell))
        units = unit[cells]
        measure(f"ours: whole environment step, {method}", lambda i, env=env, u=units: env.step(u[i]), env.reset)
        env.close()
    for workers in threads:
        last[:] = 0

        def anew(i: int, workers=workers) -> None:
            loss = np.array([result.mean_loss for result in burn_anew(i + 1, workers)])
            reward = last - loss
            last[:] = loss
            assert reward.shape == (ENVIRONMENTS,)

        # Whole episodes, or as evenly over one as theirs: longer plans leave less to burn.
        measure(
            f"ours: all fires anew + reward, {told_threads(workers)}", lambda i: anew(i * STRIDE % BUDGET), lambda: None
        )
    untreated = spread(land, fires, fields=fields).burned_cells
    return {
        "rates": rates,
        "untreated": untreated.tolist(),
        "treated": np.ravel(treated).tolist(),
        "version": f"fuelbreak, numpy {np.__version__}",
    }


def told_threads(workers: int) -> str:
    return f"{workers} thread{'s' * (workers > 1)}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--theirs", type=Path, help="Python of an environment with pyretechnics")
    options.add_argument("--seconds", type=float, default=10.0, help="how long each way is measured")
    options.add_argument("--json", type=Path, help="where to write every repeat and the cells each fire burned")
    options.add_argument("--burn", help=argparse.SUPPRESS)  # the other role: a saved problem
    given = options.parse_args()
    if given.burn:
        print(json.dumps(measure_theirs(given.burn, given.seconds)))
        return
    theirs = None
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder, "problem.npz")
        ours = measure_ours(given.seconds, problem)
        if given.theirs:
            ran = subprocess.run(
                [given.theirs, Path(__file__).resolve(), "--burn", problem, "--seconds", str(given.seconds)],
                capture_output=True,
                text=True,
            )
            if ran.returncode:
                sys.exit(f"{given.theirs}: pyretechnics failed: {' '.join(ran.stderr.strip().splitlines()[-1:])}")
            theirs = json.loads(ran.stdout)
    tell(ours, theirs)
    if given.json:
        given.json.write_text(json.dumps({"ours": ours, "theirs": theirs}))


def tell(ours: dict, theirs: dict | None) -> None:
    print(
        f"steps per second of {ENVIRONMENTS} x {FIRES} fires of {MINUTES:g} min on {SIZE} x {SIZE} cells of "
        f"{CELL_M:g} m; wall time; {len(os.sched_getaffinity(0))} cores"
    )
    print(f"ours: {ours['version']}" + (f"; theirs: {theirs['version']}" if theirs else ""))
    for when in ("untreated", "treated"):
        breaks = "no breaks" if when == "untreated" else f"{BUDGET} breaks"
        line = f"mean fire with {breaks}: ours {np.mean(ours[when]):.1f} cells"
        if theirs:
            alike = np.corrcoef(ours[when], theirs[when])[0, 1]
            line += f", theirs {np.mean(theirs[when]):.1f}; correlation of the {len(ours[when])} sizes {alike:.3f}"
        print(line)
    rows = dict(ours["rates"])
    if theirs:
        nested, flat = theirs["rates"]["nested"], theirs["rates"]["flat"]
        many = f"{theirs['workers']} worker{'s' * (theirs['workers'] > 1)}"
        rows = {f"theirs: nested, {many} in each of {ENVIRONMENTS}": nested, "theirs: one flat pool": flat} | rows
    print(
        f"{'':<46}{'median':>9}{'slowest':>9}{'fastest':>9}"
        + (f"{'x nested':>10}{'x flat':>9}{'x worst':>9}" * bool(theirs))
    )
    for name, each in rows.items():
        digits = 0 if np.median(each) >= 100 else 2
        line = f"{name:<46}" + "".join(f"{figure:>9,.{digits}f}" for figure in (np.median(each), min(each), max(each)))
        if theirs and each is not nested and each is not flat:
            times = (
                np.median(each) / np.median(nested),
                np.median(each) / np.median(flat),
                min(each) / max(*nested, *flat),
            )
            line += "{:>10,.0f}{:>9,.0f}{:>9,.0f}".format(*times)
        print(line)
    if theirs is None:
        print("give --theirs to measure pyretechnics beside it; the file's first lines say how to install it")


if __name__ == "__main__":
    main()
