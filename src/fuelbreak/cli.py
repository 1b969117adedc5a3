"""The command line: flags in, one clear line out. Each command is a thin skin over the library call of its name.

Progress goes to stderr, results to stdout. A wrong input ends in one line and exit code 2.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fuelbreak import __version__, bench, parallel, planners, report
from fuelbreak import train as training
from fuelbreak.errors import InputError
from fuelbreak.evaluate import evaluate as judge
from fuelbreak.formats import check_output_folder, read_break_raster, write_raster
from fuelbreak.landscape import Landscape, Plan, budget_units, with_crs
from fuelbreak.scenarios import Fires, Weather, fire_season
from fuelbreak.simulate import Simulate
from fuelbreak.spread import settle_buffer, warm_up
from fuelbreak.train import Say, TrainConfig

DEMO = "demo"
REAL_DURATION_MIN = 480.0  # fires on a real landscape spread for eight hours unless told otherwise
DEMO_DURATION_MIN = 60.0
COMPILING = "compiling fire kernels (once for this machine and version; later runs load them)"
AGAINST = ("random", "burn_probability", "static_dpv", "sequential_dpv")

# A mistake in the options. Of click, or of the copy of it that newer typer carries: the two are not the same class.
USAGE_ERROR: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    help="Where to put fuel breaks, how much loss they avoid, and how sure we are.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
bench_app = typer.Typer(help="Measure speed.", no_args_is_help=True)
landscape_app = typer.Typer(help="Look at a landscape.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")
app.add_typer(landscape_app, name="landscape")

Thing = Annotated[str, typer.Argument(metavar="LANDSCAPE", help="8-band GeoTIFF, folder of rasters, or 'demo'")]
Window = Annotated[str | None, typer.Option(help="area of interest: row,column,rows,columns")]
Buffer = Annotated[
    int | None, typer.Option(help="cells around the area of interest [default: one fire length, max 25]")
]
Crs = Annotated[str | None, typer.Option(help="coordinate system where the landscape has none, e.g. EPSG:32611")]
Fuel = Annotated[str, typer.Option("--fuel-model", help="fbfm40 or fbfm13")]
Budget = Annotated[str, typer.Option(help="share of the treatable cells (5% or 0.05) or a number of cells")]
Seed = Annotated[int, typer.Option(min=0, help="of fires and of chance in planners")]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="threads [default: every core]")]
Duration = Annotated[
    float | None, typer.Option("--duration", help="minutes each fire may spread [default: 480, demo 60]")
]
WindSpeed = Annotated[float, typer.Option("--wind-speed", help="design wind at 10 m in the open, km/h")]
WindFrom = Annotated[float, typer.Option("--wind-from", help="where the wind comes from, degrees from grid north")]
Dead1h = Annotated[float, typer.Option("--dead-1h", help="1-h dead fuel moisture, %")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except InputError as error:
        return _refuse(str(error))
    except USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.ctx.get_help() if error.ctx else error.format_message())
            return 2
        return _refuse(error.format_message())
    except typer.Exit as error:
        return error.exit_code
    except training.Interrupted as stopped:
        folder = stopped.args[0]
        if not (folder / "checkpoint.pt").is_file():
            print(f"interrupted before the first checkpoint; {folder} holds nothing to resume", file=sys.stderr)
        else:
            print(f"interrupted; go on with: fuelbreak train --resume {folder}", file=sys.stderr)
        return 130
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _refuse(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextmanager
def _progress() -> Iterator[Say]:
    """A bar with the time left on a terminal; elsewhere a line for each stage and each tenth of it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        told: dict[str, int] = {}
        began = time.perf_counter()

        def line(stage: str, done: float, message: str) -> None:
            tenth = int(done * 10)
            if told.get(stage) != tenth:
                told[stage] = tenth
                print(
                    f"[{time.perf_counter() - began:6.1f} s] {stage} {done:4.0%} {message}", file=sys.stderr, flush=True
                )

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(24), TimeElapsedColumn(), "left", TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[message]}"), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(stage: str, done: float, message: str) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bars.update(task, completed=1.0)
                tasks[stage] = bars.add_task(stage, total=1.0, message=message)
            bars.update(tasks[stage], completed=done, message=message)

        yield bar
        for task in tasks.values():
            bars.update(task, completed=1.0)


def _window(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    parts = text.replace(" ", ",").split(",")
    try:
        row, col, rows, cols = (int(part) for part in parts if part)
    except ValueError as error:
        raise InputError(f"--window: {text!r} is not row,column,rows,columns; give four whole numbers") from error
    return row, col, rows, cols


def _weathers(wind_speed: float, wind_from: float, dead_1h: float) -> tuple[Weather, ...]:
    """The season about the design weather; 10-h and 100-h moisture follow 1-h by one and three points."""
    return fire_season(
        Weather(
            wind_speed_kmh=wind_speed,
            wind_from_deg=wind_from,
            dead_1h_pct=dead_1h,
            dead_10h_pct=dead_1h + 1,
            dead_100h_pct=dead_1h + 3,
        )
    )


def _open(
    thing: str,
    window: str | None,
    buffer: int | None,
    crs: str | None,
    fuel_model: str,
    weathers: Sequence[Weather],
    duration_min: float,
    seed: int = 0,
) -> Landscape:
    where = _window(window)

    def make(cells: int) -> Landscape:
        if thing == DEMO:
            return Landscape.demo(50, 50, seed, buffer_cells=cells)
        return Landscape.open(thing, fuel_model=fuel_model, window=where, buffer_cells=cells)

    if fuel_model not in ("fbfm40", "fbfm13"):
        raise InputError(f"--fuel-model: {fuel_model!r} is unknown; use fbfm40 or fbfm13")
    if buffer is not None and buffer < 0:
        raise InputError(f"--buffer: {buffer} cells cannot be; give 0 or more")
    if thing == DEMO and where is not None:
        raise InputError("--window: the demo landscape is made in one size; leave --window out, or give a raster")
    landscape = settle_buffer(make, weathers, duration_min, buffer)
    return landscape if crs is None else with_crs(landscape, crs)


def _tell(landscape: Landscape, thing: str, duration: float | None) -> None:
    """Say what was settled for the user; called once nothing is left to refuse, so that a refusal stands alone."""
    for note in landscape.notes:
        print(f"note: {note}", file=sys.stderr)
    if duration is None and thing != DEMO:
        print(
            f"fires spread for {REAL_DURATION_MIN:g} minutes ({REAL_DURATION_MIN / 60:g} h), the default on a real "
            "landscape; --duration changes it",
            file=sys.stderr,
        )


def _duration(thing: str, duration: float | None) -> float:
    if duration is not None:
        if not duration > 0:
            raise InputError(f"--duration: {duration:g} minutes; give minutes above 0")
        return duration
    return DEMO_DURATION_MIN if thing == DEMO else REAL_DURATION_MIN


def _named(out: Path | None, stem: str) -> Path:
    """The folder asked for, or a new one named by the time."""
    return Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}" if out is None else out


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="folder for the maps [default: runs/demo-TIME]")] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Plan breaks on the demo landscape by sequential DPV, judge them on held-out fires, write the maps."""
    plan(DEMO, out=_named(out, "demo"), seed=seed, workers=workers, as_json=as_json)


@app.command()
def plan(
    landscape: Thing,
    method: Annotated[str, typer.Option(help=f"{', '.join(planners.PLANNERS)}, or agent")] = "sequential_dpv",
    budget: Budget = "5%",
    window: Window = None,
    buffer: Buffer = None,
    crs: Crs = None,
    fuel_model: Fuel = "fbfm40",
    duration: Duration = None,
    wind_speed: WindSpeed = 25.0,
    wind_from: WindFrom = 225.0,
    dead_1h: Dead1h = 5.0,
    simulations: Annotated[int, typer.Option(min=1, help="fires the plan is chosen on")] = 500,
    heldout: Annotated[int, typer.Option(min=2, help="fires that judge it")] = 2000,
    agent: Annotated[Path | None, typer.Option(help="run folder of a trained agent, for --method agent")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the plan [default: runs/plan-TIME]")] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Place fuel breaks on a landscape by a planner, judge them on held-out fires, hand over GIS files."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in locals().items()}
    parallel.use_at_most(workers)
    method = method.replace("-", "_")
    if method != "agent":
        planners.planner(method)
    elif agent is None:
        raise InputError("--method agent: which agent? give the run folder of a training with --agent RUN_FOLDER")
    weathers, duration_min = _weathers(wind_speed, wind_from, dead_1h), _duration(landscape, duration)
    land = _open(landscape, window, buffer, crs, fuel_model, weathers, duration_min)
    report.check_can_write_gis(land)
    budget_units(land, budget)
    if agent is not None:
        training.check_torch()
    learned = None if agent is None else training.load_agent(agent)
    folder = check_output_folder(_named(out, "plan"))
    _tell(land, landscape, duration)
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        warm_up()
        fires = Fires.draw(land, simulations, seed, weather=weathers, duration_min=duration_min)
        plans: dict[str, Plan] = {}
        if learned is not None:
            plans["agent"] = training.agent_plan(learned, land, fires, budget)
            learned.close()
        # The chosen method first, then the rules it is set against.
        for name in dict.fromkeys((method, *AGAINST)):
            say("plan", 0.0, name)
            if name == "sequential_dpv":
                plans[name] = planners.sequential_dpv(
                    land, fires, budget, seed=seed, progress=lambda done, of: say("plan", done / of, "sequential_dpv")
                )
            elif name != "agent":
                plans[name] = planners.planner(name)(land, fires, budget, seed=seed)
        say("judge", 0.0, f"on {heldout} held-out fires")
        judging = Fires.draw(land, heldout, seed, purpose="heldout", weather=weathers, duration_min=duration_min)
        scores = judge({method: plans[method], **plans}, land, judging)
        say("write", 0.0, "maps")
        training.write_resolved(folder, settings)
        report.hand_over(folder, land, plans[method], judging, scores, method)
        say("write", 1.0, "")
    if as_json:
        print(json.dumps({"folder": str(folder), "scores": scores.table()}))
        return
    print(land.label)
    print("\n".join(report.score_lines(scores, AGAINST)))
    print(f"plan, maps and scores: {folder}")


@app.command()
def evaluate(
    landscape: Thing,
    plans: Annotated[list[Path], typer.Argument(metavar="PLAN...", help="plan.tif files on the same grid")],
    window: Window = None,
    buffer: Buffer = None,
    crs: Crs = None,
    fuel_model: Fuel = "fbfm40",
    duration: Duration = None,
    wind_speed: WindSpeed = 25.0,
    wind_from: WindFrom = 225.0,
    dead_1h: Dead1h = 5.0,
    heldout: Annotated[int, typer.Option(min=2, help="fires that judge")] = 2000,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Judge plans (rasters of breaks) on held-out fires, as paired differences with 95 % intervals."""
    parallel.use_at_most(workers)
    weathers, duration_min = _weathers(wind_speed, wind_from, dead_1h), _duration(landscape, duration)
    land = _open(landscape, window, buffer, crs, fuel_model, weathers, duration_min)
    given = {path.parent.name + "/" + path.stem if path.stem == "plan" else path.stem: path for path in plans}
    if len(given) != len(plans):
        raise InputError(
            "plans: two of the files have the same name; rename one, so that the table can tell them apart"
        )
    chosen = {name: _read_plan(land, path) for name, path in given.items()}
    _tell(land, landscape, duration)
    fires = Fires.draw(land, heldout, seed, purpose="heldout", weather=weathers, duration_min=duration_min)
    scores = judge(chosen, land, fires)
    if as_json:
        print(json.dumps({"scores": scores.table()}))
    else:
        print("\n".join(report.score_lines(scores, tuple(given))))


def _read_plan(landscape: Landscape, path: Path) -> Plan:
    """A plan from a raster of ranks (0 or nodata: untreated), on the landscape's grid."""
    ranks, header = read_break_raster(path)
    same_place = (
        header.transform is None or landscape.transform is None or np.allclose(header.transform, landscape.transform)
    )
    if ranks.shape != landscape.shape or not same_place:
        raise InputError(
            f"{path}: its grid of {ranks.shape[0]} x {ranks.shape[1]} cells is not the landscape's, "
            f"{landscape.shape[0]} x {landscape.shape[1]} at its place; give the --window and --buffer it was made with"
        )
    treated = np.flatnonzero(ranks > 0)
    return Plan.from_flat(landscape, treated[np.argsort(ranks.flat[treated], kind="stable")], method=path.stem)


@app.command()
def simulate(
    landscape: Thing = DEMO,
    n: Annotated[int, typer.Option("-n", "--fires", min=1, help="number of fires")] = 1000,
    window: Window = None,
    buffer: Buffer = None,
    crs: Crs = None,
    fuel_model: Fuel = "fbfm40",
    duration: Duration = None,
    wind_speed: WindSpeed = 25.0,
    wind_from: WindFrom = 225.0,
    dead_1h: Dead1h = 5.0,
    out: Annotated[Path | None, typer.Option(help="folder for burn_probability.tif; none is written without")] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Burn many fires: sizes, burn probability, fires per second."""
    parallel.checked_workers(workers)
    weathers, duration_min = _weathers(wind_speed, wind_from, dead_1h), _duration(landscape, duration)
    land = _open(landscape, window, buffer, crs, fuel_model, weathers, duration_min)
    if out is not None:
        report.check_can_write_gis(land)
        check_output_folder(out)
    _tell(land, landscape, duration)
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        warm_up()
        simulation = Simulate(land, weathers, seed)
        simulation.set_parallel_simulations(True, workers)
        say("burn", 0.0, f"{n} fires on {simulation.workers} threads")
        began = time.perf_counter()
        result = simulation.run_many_simulations(n, duration_min)
        seconds = time.perf_counter() - began
        say("burn", 1.0, "")
    area = result.burned_area_ha
    summary = {
        "fires": n,
        "mean_area_ha": float(area.mean()),
        "median_area_ha": float(np.median(area)),
        "largest_area_ha": float(area.max()),
        "reached_edge_share": result.reached_edge_share,
        "seconds": seconds,
        "fires_per_second": n / seconds,
    }
    if out is not None:
        write_raster(
            out / "burn_probability.tif",
            result.burn_probability(),
            crs=land.crs,
            transform=land.transform,
            nodata=report.NODATA,
            tags={"fires": str(n), "seed": str(seed), "duration_min": f"{duration_min:g}"},
            description="conditional burn probability",
        )
    if as_json:
        print(json.dumps(summary))
        return
    print(land.label)
    print(
        f"{n:,} fires of {duration_min:g} min: mean {summary['mean_area_ha']:,.1f} ha, median "
        f"{summary['median_area_ha']:,.1f} ha, largest {summary['largest_area_ha']:,.1f} ha; "
        f"{result.reached_edge_share:.0%} of those in the area of interest reached the map's edge"
    )
    print(f"{n / seconds:,.0f} fires per second on {simulation.workers} threads")


@app.command()
def train(
    config: Annotated[Path | None, typer.Option(help="JSON file of settings")] = None,
    landscape: Annotated[str | None, typer.Option(help="8-band GeoTIFF or folder of rasters [default: demo]")] = None,
    window: Window = None,
    buffer: Buffer = None,
    crs: Crs = None,
    fuel_model: Annotated[str | None, typer.Option("--fuel-model", help="fbfm40 or fbfm13")] = None,
    budget: Annotated[str | None, typer.Option(help="share of the treatable cells or a number of cells")] = None,
    duration: Annotated[float | None, typer.Option(help="minutes each fire may spread")] = None,
    episodes: Annotated[int | None, typer.Option(help="episodes to train on")] = None,
    seed: Annotated[int | None, typer.Option(help="of everything drawn")] = None,
    workers: WorkersOption = None,
    out: Annotated[Path | None, typer.Option(help="folder in which the run's own folder is made")] = None,
    resume: Annotated[Path | None, typer.Option(help="run folder of an interrupted run to go on with")] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="print the resolved configuration and stop")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a deep-Q agent to place fuel breaks, and judge its plan against every rule on held-out fires."""
    if resume is not None:
        resolved = training.resumed_config(resume)
    else:
        settings = {} if config is None else training.load_config(config)
        given = {
            "landscape": None if landscape == DEMO else landscape,
            "window": _window(window),
            "buffer_cells": buffer,
            "crs": crs,
            "fuel_model": fuel_model,
            "budget": budget,
            "fire_simulation_max_duration": duration,
            "num_episodes": episodes,
            "seed": seed,
            "max_workers": workers,
            "output_dir": None if out is None else str(out),
        }
        settings |= {key: value for key, value in given.items() if value is not None}
        resolved = training.make_config(settings, "command line" if config is None else str(config))
    if show_config:
        print(resolved.model_dump_json(indent=2))
        return
    training.check_torch()
    with _progress() as say:
        result = training.train(resolved, say=say, resume=resume)
        say("write", 0.0, "maps")
        _write_training(result, resolved)
        say("write", 1.0, "")
    if as_json:
        print(json.dumps({"folder": str(result.folder), "scores": result.scores.table()}))
        return
    print(result.landscape.label)
    print("\n".join(report.score_lines(result.scores, AGAINST)))
    cores = ", ".join(f"{share:.0%}" for share in result.core_use.per_core)
    print(
        f"training: {result.steps_per_second:,.0f} environment steps/s, {result.fires_per_second:,.0f} fires/s; "
        f"cores busy {result.core_use.busy_share:.0%} (each: {cores})"
    )
    print(f"run folder: {result.folder}")


def _write_training(result: training.TrainResult, config: TrainConfig) -> None:
    report.hand_over(result.folder, result.landscape, result.plan, result.heldout, result.scores, "agent")
    if (result.folder / "metrics.csv").is_file():
        report.training_figure(result.folder / "metrics.csv").savefig(result.folder / "training.png", dpi=120)


@landscape_app.command("info")
def landscape_info(
    landscape: Thing, window: Window = None, fuel_model: Fuel = "fbfm40", as_json: AsJson = False
) -> None:
    """Grid, fuels and what was settled when the landscape was opened."""
    land = _open(landscape, window, 0, None, fuel_model, (Weather(),), DEMO_DURATION_MIN)
    codes, counts = np.unique(land.fuel_model, return_counts=True)
    facts = {
        "label": land.label,
        "rows": land.shape[0],
        "cols": land.shape[1],
        "cell_size_m": land.cell_size_m,
        "crs": land.crs,
        "burnable_cells": int(land.burnable.sum()),
        "treatable_cells": int(land.treatable.sum()),
        "elevation_m": [float(land.elevation_m.min()), float(land.elevation_m.max())],
        "slope_deg": [float(land.slope_deg.min()), float(land.slope_deg.max())],
        "fuel_models": {str(code): int(count) for code, count in zip(codes, counts, strict=True)},
        "notes": list(land.notes),
    }
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name}: {value}")


@bench_app.command("parallel")
def bench_parallel(
    config: Annotated[Path | None, typer.Option(help="JSON file of settings")] = None,
    cpu_test: Annotated[bool, typer.Option("--cpu-test", help="watch every core during real training")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="how long each way of running is measured")] = 5.0,
    out: Annotated[Path | None, typer.Option(help="folder for plots and JSON [default: runs/bench-TIME]")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare sequential, threads and processes; or, with --cpu-test, watch the cores during training."""
    settings = {} if config is None else training.load_config(config)
    folder = _named(out, "bench")
    if cpu_test:
        training.check_torch()
        settings |= {"output_dir": str(folder)}
    resolved = training.make_config(settings, "command line" if config is None else str(config))
    check_output_folder(folder)
    if cpu_test:
        with _progress() as say:
            result = training.train(resolved, say=say)
        use = result.core_use
        title = f"cores during training: {use.busy_share:.0%} busy, {result.steps_per_second:.0f} steps/s"
        report.cores_figure(use, title).savefig(folder / "cpu_test.png", dpi=120)
        facts = {
            "busy_share": use.busy_share,
            "per_core": use.per_core,
            "seconds": use.seconds,
            "process_cpu_s": use.process_cpu_s,
            "steps_per_second": result.steps_per_second,
            "fires_per_second": result.fires_per_second,
        }
        (folder / "cpu_test.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        if as_json:
            print(json.dumps(facts))
            return
        for core, share in enumerate(use.per_core):
            print(f"core {core}: {share:.0%} busy")
        print(f"process CPU time / (wall x cores - steal): {use.busy_share:.1%} over {use.seconds:.0f} s")
        print(f"{result.steps_per_second:.1f} environment steps/s, {result.fires_per_second:,.0f} fires/s")
        print(f"plot: {folder / 'cpu_test.png'}")
        return
    with _progress() as say:
        rows = bench.parallel_methods(resolved, seconds, say)
    (folder / "parallel.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    report.parallel_figure(rows).savefig(folder / "parallel.png", dpi=120)
    if as_json:
        print(json.dumps(rows))
        return
    print(
        f"{resolved.num_parallel_envs} environments x {resolved.memory_simulations} fires of "
        f"{resolved.fire_simulation_max_duration:g} min; a simulation is one fire brought up to date for one plan"
    )
    print(
        f"{'method':<18}{'workers':>8}{'sims/s':>12}{'speed-up':>10}{'efficiency':>12}{'cores busy':>12}{'peak MB':>9}"
    )
    for row in rows:
        print(
            f"{row['method']:<18}{row['workers']:>8}{row['simulations_per_second']:>12,.0f}{row['speedup']:>10.2f}"
            f"{row['efficiency']:>12.0%}{row['busy_share']:>12.0%}{row['peak_memory_mb']:>9.0f}"
        )
    print(f"plot and figures: {folder}")


@app.command("version")
def show_version() -> None:
    """Print the version."""
    print(__version__)
