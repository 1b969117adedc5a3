"""The command line: flags in, one clear line out. Each command is a thin skin over the library call of its name.

Progress goes to stderr, results to stdout. A wrong input ends in one line and exit code 2.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fuelbreak import __version__, bench, parallel, planners, report
from fuelbreak import train as training
from fuelbreak.errors import InputError
from fuelbreak.evaluate import evaluate as judge
from fuelbreak.formats import (
    atomic_path,
    check_output_folder,
    crs_name,
    read_break_raster,
    read_tags,
    same_crs,
    same_place,
    true_north_deg,
    write_raster,
)
from fuelbreak.landscape import Landscape, Plan, budget_units, with_crs
from fuelbreak.scenarios import Fires, Weather, check_draw, fire_season
from fuelbreak.simulate import Simulate
from fuelbreak.spread import range_warning, settle_buffer, spread, warm_up, warm_up_whole_fires
from fuelbreak.train import Say, TrainConfig

DEMO = "demo"
REAL_DURATION_MIN = 480.0  # fires on a real landscape spread for eight hours unless told otherwise
DEMO_DURATION_MIN = 60.0
DEMO_SIZE = 50
DEMO_LARGEST_BUFFER = 461  # what the terrain of 1033 x 973 cells leaves around 50 x 50
SEASON = {"num_weathers": 16, "wind_direction_sd_deg": 30.0, "wind_speed_cv": 0.3}  # as in training
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
Window = Annotated[
    str | None, typer.Option(help="area of interest: row,column,rows,columns", show_default="the whole raster")
]
Buffer = Annotated[
    int | None,
    typer.Option(help="cells around the area of interest", show_default="one fire length, at most 25"),
]
Crs = Annotated[str | None, typer.Option(help="coordinate system where the landscape has none, e.g. EPSG:32611")]
Fuel = Annotated[str, typer.Option("--fuel-model", help="fbfm40 or fbfm13")]
Budget = Annotated[str, typer.Option(help="share of the treatable cells (5% or 0.05) or a number of cells")]
Seed = Annotated[int, typer.Option(min=0, help="of fires and of chance in planners")]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="threads", show_default="every core")]
Duration = Annotated[
    float | None, typer.Option("--duration", help="minutes each fire may spread", show_default="480, demo 60")
]
WindSpeed = Annotated[float, typer.Option("--wind-speed", help="design wind at 10 m in the open, km/h")]
WindFrom = Annotated[float, typer.Option("--wind-from", help="where the wind comes from, degrees from grid north")]
Dead1h = Annotated[float, typer.Option("--dead-1h", help="1-h dead fuel moisture, %")]
AS_THE_PLAN = "as the first plan's tags say; else "
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


def _season(wind_speed: float | None, wind_from: float | None, dead_1h: float | None) -> dict[str, float]:
    """Numbers of the design weather that options give; 10-h and 100-h moisture follow 1-h by one and three points."""
    given = {"wind_speed_kmh": wind_speed, "wind_from_deg": wind_from, "dead_1h_pct": dead_1h}
    if dead_1h is not None:
        given |= {"dead_10h_pct": min(dead_1h + 1, 300.0), "dead_100h_pct": min(dead_1h + 3, 300.0)}
    return {name: value for name, value in given.items() if value is not None}


def _weathers(season: Mapping[str, float]) -> tuple[Weather, ...]:
    """The season about a design weather; what is not given is the default."""
    season = asdict(Weather()) | SEASON | dict(season)
    return fire_season(
        Weather(**{name: season[name] for name in Weather.__dataclass_fields__}),
        weathers=int(season["num_weathers"]),
        direction_sd_deg=season["wind_direction_sd_deg"],
        speed_cv=season["wind_speed_cv"],
    )


def _circumstances(
    land: Landscape,
    window: str | None,
    crs: str | None,
    fuel_model: str,
    duration_min: float,
    season: Mapping[str, float],
    seed: int,
) -> dict[str, Any]:
    """All that `evaluate` needs to judge a plan again as it was made, as settled: for config.json and raster tags."""
    where = {name: value for name, value in (("window", window), ("crs", crs)) if value is not None}
    return {
        "software": f"fuelbreak {__version__}",
        **where,
        "buffer_cells": _buffer_cells(land),
        "fuel_model": fuel_model,
        "duration_min": duration_min,
        **asdict(Weather()),
        **SEASON,
        **season,
        "seed": seed,
    }


def _buffer_cells(land: Landscape) -> int:
    """Width of the widest side of the ring around the area of interest."""
    row, col, rows, cols = land.aoi_window
    return max(row, col, land.shape[0] - row - rows, land.shape[1] - col - cols)


def _heading(land: Landscape, duration_min: float) -> str:
    _, _, rows, cols = land.aoi_window
    return (
        f"{land.label}\n"
        f"area of interest {rows} x {cols} cells, buffer {_buffer_cells(land)} cells, fires of {duration_min:g} min"
    )


def _open(
    thing: str,
    window: str | None,
    buffer: int | None,
    crs: str | None,
    fuel_model: str,
    weathers: Sequence[Weather],
    duration_min: float,
) -> Landscape:
    where = _window(window)

    def make(cells: int) -> Landscape:
        if thing == DEMO:
            return Landscape.demo(DEMO_SIZE, DEMO_SIZE, 0, buffer_cells=cells)
        return Landscape.open(thing, fuel_model=fuel_model, window=where, buffer_cells=cells)

    if fuel_model not in ("fbfm40", "fbfm13"):
        raise InputError(f"--fuel-model: {fuel_model!r} is unknown; use fbfm40 or fbfm13")
    if buffer is not None and buffer < 0:
        raise InputError(f"--buffer: {buffer} cells cannot be; give 0 or more")
    if thing == DEMO and buffer is not None and buffer > DEMO_LARGEST_BUFFER:
        raise InputError(
            f"--buffer: {buffer} cells are more than the demo's terrain has around its {DEMO_SIZE} x {DEMO_SIZE}; "
            f"give at most {DEMO_LARGEST_BUFFER}"
        )
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
    out: Annotated[Path | None, typer.Option(help="folder for the maps", show_default="runs/demo-TIME")] = None,
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
    out: Annotated[Path | None, typer.Option(help="folder for the plan", show_default="runs/plan-TIME")] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Place fuel breaks on a landscape by a planner, judge them on held-out fires, hand over GIS files."""
    parallel.use_at_most(workers)
    asked, method = method, method.replace("-", "_")
    if method not in (*planners.PLANNERS, "agent"):
        raise InputError(f"--method: {asked!r} is unknown; use one of {', '.join(planners.PLANNERS)}, agent")
    if method == "agent" and agent is None:
        raise InputError("--method agent: which agent? give the run folder of a training with --agent RUN_FOLDER")
    season, duration_min = _season(wind_speed, wind_from, dead_1h), _duration(landscape, duration)
    weathers = _weathers(season)
    land = _open(landscape, window, buffer, crs, fuel_model, weathers, duration_min)
    report.check_can_write_gis(land)
    budget_units(land, budget)
    check_draw(max(simulations, heldout))
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
        chosen = plans[method]
        burned = spread(land, fires).burn_probability().flat[chosen.cells] > 0
        idle = int((~burned).sum()) if chosen.chosen_on else 0
        say("write", 0.0, "maps")
        tags = _circumstances(land, window, crs, fuel_model, duration_min, season, seed)
        settings = {
            "landscape": landscape,
            "label": land.label,
            "method": method,
            "agent": None if agent is None else str(agent),
            "budget": budget,
            "budget_units": len(chosen),
            "grid": land.shape,
            "area_of_interest": land.aoi_window,
            **tags,
            "simulations": simulations,
            "heldout": heldout,
            "planning_fires": f"{fires.origin} digest {fires.digest}",
            "heldout_fires": f"{judging.origin} digest {judging.digest}",
            "workers": parallel.available_cores(),
            "out": str(folder),
        }
        training.write_resolved(folder, settings)
        report.hand_over(folder, land, chosen, judging, scores, method, tags)
        say("write", 1.0, "")
    if as_json:
        print(json.dumps({"folder": str(folder), **report.score_facts(scores), "units_where_nothing_burned": idle}))
        return
    print(_heading(land, duration_min))
    print("\n".join(report.score_lines(scores)))
    if idle:
        print(
            f"note: {idle} of {len(chosen)} units lie where no planning fire burned; "
            "raise --simulations or lower --budget"
        )
    print(f"plan, maps and scores: {folder}")


@app.command()
def evaluate(
    landscape: Thing,
    plans: Annotated[list[Path], typer.Argument(metavar="PLAN...", help="plan.tif files on the same grid")],
    window: Annotated[
        str | None,
        typer.Option(help="area of interest: row,column,rows,columns", show_default=f"{AS_THE_PLAN}the whole raster"),
    ] = None,
    buffer: Annotated[
        int | None,
        typer.Option(help="cells around the area of interest", show_default=f"{AS_THE_PLAN}one fire length"),
    ] = None,
    crs: Crs = None,
    fuel_model: Annotated[
        str | None, typer.Option("--fuel-model", help="fbfm40 or fbfm13", show_default=f"{AS_THE_PLAN}fbfm40")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="minutes each fire may spread", show_default=f"{AS_THE_PLAN}480, demo 60")
    ] = None,
    wind_speed: Annotated[
        float | None, typer.Option(help="design wind at 10 m in the open, km/h", show_default=f"{AS_THE_PLAN}25")
    ] = None,
    wind_from: Annotated[
        float | None,
        typer.Option(help="where the wind comes from, degrees from grid north", show_default=f"{AS_THE_PLAN}225"),
    ] = None,
    dead_1h: Annotated[
        float | None, typer.Option("--dead-1h", help="1-h dead fuel moisture, %", show_default=f"{AS_THE_PLAN}5")
    ] = None,
    heldout: Annotated[int, typer.Option(min=2, help="fires that judge")] = 2000,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Judge plans (rasters of breaks) on held-out fires, as paired differences with 95 % intervals.

    What no option says is taken from the first plan's tags, if fuelbreak wrote it: so a plan is judged as it was made.
    """
    parallel.use_at_most(workers)
    given: dict[str, Path] = {}
    for path in plans:
        name = path.resolve().parent.name + "/" + path.stem if path.stem == "plan" else path.stem
        if name in given:
            if path.resolve() == given[name].resolve():
                raise InputError(f"plans: {path} is given twice; leave one out")
            raise InputError(
                f"plans: {given[name]} and {path} have the same name; rename one, so that the table can tell them apart"
            )
        given[name] = path
    options = {
        "window": window,
        "buffer_cells": buffer,
        "crs": crs,
        "fuel_model": fuel_model,
        "duration_min": duration,
        **_season(wind_speed, wind_from, dead_1h),
    }
    was = {name: value for name, value in _made_with(plans[0]).items() if options.get(name) is None}
    settled: dict[str, Any] = options | was
    duration_min = _duration(landscape, settled["duration_min"])
    weathers = _weathers({name: settled[name] for name in {**asdict(Weather()), **SEASON} if name in settled})
    land = _open(
        landscape,
        settled["window"],
        settled["buffer_cells"],
        settled["crs"],
        settled["fuel_model"] or "fbfm40",
        weathers,
        duration_min,
    )
    chosen = {name: _read_plan(land, path) for name, path in given.items()}
    _tell(land, landscape, settled["duration_min"])
    if was:
        said = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in was.items()
        )
        print(f"note: judged as {plans[0]} was made: {said}; options change it", file=sys.stderr)
    fires = Fires.draw(land, heldout, seed, purpose="heldout", weather=weathers, duration_min=duration_min)
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        warm_up_whole_fires()
        say("judge", 0.0, f"on {heldout} held-out fires")
        scores = judge(chosen, land, fires)
    if as_json:
        print(json.dumps(report.score_facts(scores)))
        return
    print(_heading(land, duration_min))
    print("\n".join(report.score_lines(scores)))


def _made_with(path: Path) -> dict[str, Any]:
    """What a plan of ours was made with, from its tags; nothing for a raster of other origin."""
    tags = read_tags(path)
    if not tags.get("software", "").startswith("fuelbreak "):
        return {}
    made: dict[str, Any] = {name: tags[name] for name in ("window", "crs", "fuel_model") if name in tags}
    for name in ("buffer_cells", "duration_min", *asdict(Weather()), *SEASON):
        if name in tags:
            try:
                made[name] = int(tags[name]) if name in ("buffer_cells", "num_weathers") else float(tags[name])
            except ValueError:
                raise InputError(
                    f"{path}: its tag {name} is {tags[name]!r}, not a number; mend it with gdal_edit.py -mo {name}=..."
                ) from None
    return made


def _read_plan(landscape: Landscape, path: Path) -> Plan:
    """A plan from a raster of ranks (0 or nodata: untreated), on the landscape's grid."""
    ranks, header = read_break_raster(path)
    here = landscape.transform
    assert here is not None  # it was opened from a file, or is the demo
    if ranks.shape != landscape.shape or not same_place(here, header.transform):
        grids = [
            f"{rows} x {cols} cells with its corner at {place[2]:.10g}, {place[5]:.10g}"
            for (rows, cols), place in ((ranks.shape, header.transform), (landscape.shape, here))
        ]
        raise InputError(
            f"{path}: its grid of {grids[0]} is not the landscape's, {grids[1]}; "
            "give the --window and --buffer it was made with"
        )
    if header.crs is not None and landscape.crs is not None and not same_crs(header.crs, landscape.crs):
        raise InputError(
            f"{path}: its coordinate system {crs_name(header.crs)} is not the landscape's, {crs_name(landscape.crs)}; "
            "reproject it with gdalwarp -r near, or give a plan for this landscape"
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
    stencil: Annotated[int, typer.Option(help="neighbors of a cell: 32 (most accurate), 16 or 8 (rough)")] = 32,
    out: Annotated[Path | None, typer.Option(help="folder for burn_probability.tif; none is written without")] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Burn many fires: sizes, burn probability, fires per second."""
    parallel.use_at_most(workers)
    weathers, duration_min = _weathers(_season(wind_speed, wind_from, dead_1h)), _duration(landscape, duration)
    land = _open(landscape, window, buffer, crs, fuel_model, weathers, duration_min)
    check_draw(n)
    if out is not None:
        report.check_can_write_gis(land)
        check_output_folder(out)
    _tell(land, landscape, duration)
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        simulation = Simulate(land, weathers, seed, stencil=stencil)
        warm_up_whole_fires(stencil)
        simulation.set_parallel_simulations(True)
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
        "range_warning": range_warning(result.too_long_share, stencil),
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
    if summary["range_warning"] is not None:
        print(summary["range_warning"])
    print(f"{n / seconds:,.0f} fires per second on {simulation.workers} thread{'s' * (simulation.workers > 1)}")


@app.command()
def train(
    config: Annotated[Path | None, typer.Option(help="JSON file of settings")] = None,
    landscape: Annotated[
        str | None, typer.Option(help="8-band GeoTIFF or folder of rasters", show_default="demo")
    ] = None,
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
        print(json.dumps({"folder": str(result.folder), **report.score_facts(result.scores)}))
        return
    print(_heading(result.landscape, resolved.fire_simulation_max_duration))
    print("\n".join(report.score_lines(result.scores)))
    if result.steps_per_second:  # nothing was trained where a finished run is resumed
        cores = ", ".join(f"{share:.0%}" for share in result.core_use.per_core)
        print(
            f"training: {result.steps_per_second:,.0f} environment steps/s, {result.fires_per_second:,.0f} fires/s; "
            f"cores busy {result.core_use.busy_share:.0%} (each: {cores})"
        )
    print(f"run folder: {result.folder}")


def _write_training(result: training.TrainResult, config: TrainConfig) -> None:
    window = None if config.window is None else ",".join(map(str, config.window))
    season = {name: getattr(config, name) for name in {**asdict(Weather()), **SEASON}}
    duration_min = config.fire_simulation_max_duration
    tags = _circumstances(result.landscape, window, config.crs, config.fuel_model, duration_min, season, config.seed)
    report.hand_over(result.folder, result.landscape, result.plan, result.heldout, result.scores, "agent", tags)
    if (result.folder / "metrics.csv").is_file():
        report.training_figure(result.folder / "metrics.csv").savefig(result.folder / "training.png", dpi=120)


@landscape_app.command("info")
def landscape_info(
    landscape: Thing,
    window: Window = None,
    buffer: Annotated[int, typer.Option(help="cells around the area of interest")] = 0,
    crs: Crs = None,
    fuel_model: Fuel = "fbfm40",
    as_json: AsJson = False,
) -> None:
    """Grid, fuels and what was settled when the landscape was opened."""
    land = _open(landscape, window, buffer, crs, fuel_model, (Weather(),), DEMO_DURATION_MIN)
    codes, counts = np.unique(land.fuel_model, return_counts=True)
    known = land.fuel_model != 0  # 0 is no data, and what the other layers hold there is only a filling
    north = true_north_deg(land.crs, land.transform, land.shape) if land.crs and land.transform else None
    facts = {
        "label": land.label,
        "rows": land.shape[0],
        "cols": land.shape[1],
        "cell_size_m": land.cell_size_m,
        "crs": None if land.crs is None else crs_name(land.crs),
        "true_north_deg": north,
        "area_of_interest": list(land.aoi_window),
        "burnable_cells": int(land.burnable.sum()),
        "treatable_cells": int(land.treatable.sum()),
        "elevation_m": [float(land.elevation_m[known].min()), float(land.elevation_m[known].max())],
        "slope_deg": [float(land.slope_deg[known].min()), float(land.slope_deg[known].max())],
        "fuel_models": {str(code): int(count) for code, count in zip(codes, counts, strict=True)},
        "notes": list(land.notes),
    }
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name}: {value}")
    if north is not None:
        print(
            "wind and aspect are taken from grid north; true north lies "
            f"{abs(north):.1f} degrees {'east' if north > 0 else 'west'} of it here"
        )


@bench_app.command("parallel")
def bench_parallel(
    config: Annotated[Path | None, typer.Option(help="JSON file of settings")] = None,
    cpu_test: Annotated[bool, typer.Option("--cpu-test", help="watch every core during real training")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="how long each way of running is measured")] = 5.0,
    out: Annotated[Path | None, typer.Option(help="folder for plots and JSON", show_default="runs/bench-TIME")] = None,
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


@bench_app.command("spread")
def bench_spread(
    quick: Annotated[
        bool, typer.Option("--quick", help="a few seconds: rough figures, and no cold compilation")
    ] = False,
    workers: WorkersOption = None,
    to: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="file for all figures; none is written without")
    ] = None,
) -> None:
    """Measure the kernels of fire spread on this machine, against scipy's shortest paths and against set bars."""
    parallel.use_at_most(workers)
    if to is not None:
        if to.is_dir():
            raise InputError(f"--json: {to} is a folder; name a file in it")
        check_output_folder(to.parent)
    with _progress() as say:
        facts = bench.spread_speed(bench.QUICK if quick else bench.FULL, say)
    if to is not None:
        with atomic_path(to) as temporary:
            temporary.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print("\n".join(bench.speed_lines(facts)))


@app.command("version")
def show_version() -> None:
    """Print the version."""
    print(__version__)
