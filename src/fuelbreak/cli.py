"""The command line: flags in, one clear line out. Each command is a thin skin over the library call of its name.

Progress goes to stderr, results to stdout. A wrong input ends in one line and exit code 2.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import typer

from fuelbreak import __version__, bench, leaderboard, parallel, planners, policy, report, streams
from fuelbreak import train as training
from fuelbreak.errors import InputError
from fuelbreak.evaluate import (
    alternative,
    budget_curve,
    selection_frequency,
    settings,
    stress_scenarios,
    training_scores,
)
from fuelbreak.evaluate import evaluate as judge
from fuelbreak.evaluate import scores as judge_of
from fuelbreak.formats import (
    VECTOR_FILES,
    atomic_path,
    check_output_folder,
    crs_name,
    read_aligned,
    read_breaks,
    read_tags,
    read_units,
    read_vector_tags,
    true_north_deg,
)
from fuelbreak.landscape import Landscape, Plan, Units, prices
from fuelbreak.objective import Objective
from fuelbreak.planners import Planner
from fuelbreak.policy import PRETRAINED
from fuelbreak.pretrain import PretrainConfig
from fuelbreak.pretrain import pretrain as train_anywhere
from fuelbreak.problem import DEMO_LARGEST_BUFFER, REAL_DURATION_MIN, Days, Problem, make_problem, saved_fires
from fuelbreak.scenarios import DESIGN, Fires, Season, Weather, check_draw, pooled, stressed
from fuelbreak.shards import Shard, Shards, landscape_digest, parse_shard, read_shards, write_shard
from fuelbreak.simulate import compare_sizes
from fuelbreak.spread import (
    Fields,
    Part,
    Setting,
    SpreadResult,
    burn,
    gather,
    joined,
    range_warning,
    setting,
    spread,
    spread_on_ray,
    warm_up,
    warm_up_whole_fires,
)
from fuelbreak.streams import MPH_TO_KMH, WIND_10M_OVER_20FT
from fuelbreak.train import Say, TrainConfig

DEMO = "demo"
COMPILING = "compiling fire kernels (once for this machine and version; later runs load them)"

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
Budget = Annotated[
    str, typer.Option(help="share of the treatable cells (5% or 0.05), a number of units, '30 ha' or '$50000'")
]
Interval = Annotated[
    float,
    typer.Option(help="percentage points either side that an interval should have, to say how many fires it takes"),
]
Seed = Annotated[int, typer.Option(min=0, help="of fires and of chance in planners")]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="threads", show_default="every core")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
FireSet = Annotated[
    Path | None, typer.Option("--fire-set", help="fires.gpkg of an earlier simulation: those very fires, again")
]
SpeedFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="file for all figures; none is written without")
]
Method = Annotated[str, typer.Option("--method", help="threading, or ray: on a cluster")]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", help="cluster to join, host:port or auto", show_default="one on this machine"),
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="burn only the i-th of n parts, into --out; then merge")
]
DURATION_TAG = "duration_min"


def _flag(flag: str, text: str, default: str | None = None, panel: str = "Weather") -> Any:
    return typer.Option(flag, help=text, show_default=default or False, rich_help_panel=panel)


def _option(flag: str, kind: Any, text: str, default: str | None = None, panel: str = "Weather") -> Any:
    return Annotated[kind, _flag(flag, text, default, panel)]


_LAND, _FIRE, _RISK = "Landscape", "Fires", "Values at risk"
# What is asked before any fire burns, by the name of its setting in `Problem`; None stands for that one's default.
ASKED: dict[str, Any] = {
    "window": _option(
        "--window", str | None, "area of interest: row,column,rows,columns", "the whole raster", panel=_LAND
    ),
    "buffer_cells": _option(
        "--buffer", int | None, "cells around the area of interest", "one fire length, at most 25", panel=_LAND
    ),
    "crs": _option("--crs", str | None, "coordinate system where the landscape has none, e.g. EPSG:32611", panel=_LAND),
    "fuel_model": _option("--fuel-model", str | None, "fbfm40 or fbfm13", "fbfm40", panel=_LAND),
    "custom_fuels": _option("--custom-fuels", str | None, ".fmd file of further fuel models", panel=_LAND),
    "units": _option("--units", str | None, "metric, or us: 20-ft wind in mph, acres, feet", "metric", panel=_LAND),
    "wind_speed_kmh": _option(
        "--wind-speed", float | None, "design wind: km/h at 10 m in the open (us: mph at 20 ft)", "25 km/h"
    ),
    "wind_from_deg": _option("--wind-from", float | None, "where it comes from, degrees from grid north", "225"),
    "dead_1h_pct": _option("--dead-1h", float | None, "1-h dead fuel moisture, %", "5"),
    "dead_10h_pct": _option("--dead-10h", float | None, "10-h dead fuel moisture, %", "1-h + 1"),
    "dead_100h_pct": _option("--dead-100h", float | None, "100-h dead fuel moisture, %", "1-h + 3"),
    "live_herb_pct": _option("--live-herb", float | None, "live herbaceous moisture, %", "60"),
    "live_woody_pct": _option("--live-woody", float | None, "live woody moisture, %", "90"),
    "foliar_pct": _option("--foliar", float | None, "foliar moisture, %", "100"),
    "moisture_file": _option("--moisture", str | None, ".fms file: moistures by fuel model"),
    "weather_stream": _option(
        "--weather", str | None, "station record (.wxs, FW21 csv, WindNinja csv) in place of the design wind"
    ),
    "weather_pick": _option(
        "--pick", str | None, "what it becomes: hours, percentile (by wind direction) or burn_periods", "hours"
    ),
    "weather_percentile": _option("--percentile", float | None, "of wind and dryness, for --pick percentile", "97"),
    "burn_period": _option(
        "--burn-period", str | None, "hours of the day to take, such as 10,18", "all for hours, else 10,18"
    ),
    "humidity_pct": _option("--humidity", float | None, "relative humidity where the record has none, %"),
    "num_weathers": _option(
        "--weathers", int | None, "weathers in the season: about the design, hours, directions or burn periods", "16"
    ),
    "wind_rasters": _option(
        "--wind-raster", list[str] | None, "SPEED,DIRECTION: two raster files; repeat for several weathers"
    ),
    "crown_method": _option(
        "--crown-method", str | None, "scott_reinhardt (Behave), finney (FlamMap) or rothermel", "scott_reinhardt"
    ),
    "crown_rate": _option("--crown-rate", str | None, "active crown fire: rothermel or cruz", "rothermel"),
    "wind_limit": _option("--wind-limit/--no-wind-limit", bool | None, "hold effective wind as Behave does", "on"),
    "values": _option(
        "--values", list[str] | None, "raster of values at risk; repeat for several", "burned area", panel=_RISK
    ),
    "responses": _option(
        "--response",
        list[str] | None,
        "percent lost in flames of 0-2,2-4,4-6,6-8,8-12,12+ ft; one for each --values",
        "all is lost",
        panel=_RISK,
    ),
    "value_weights": _option(
        "--value-weight", list[float] | None, "what a unit of each --values counts", "1", panel=_RISK
    ),
    "area_weight": _option(
        "--area-weight", float | None, "what a hectare burned counts beside values", "0", panel=_RISK
    ),
    "ignitions": _option(
        "--ignitions", str | None, "where fires start: density raster, points or polygons", "everywhere", panel=_FIRE
    ),
    "fire_simulation_max_duration": _option(
        "--duration", float | None, "minutes each fire may spread", "480, demo 60", panel=_FIRE
    ),
}
FLAGS = {name: option.__metadata__[0].default.split("/")[0] for name, option in ASKED.items()}  # typer keeps it there


def asks(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command those options of `ASKED`; it gets the ones that were used, by setting, as `asked`."""

    def give(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            asked = {name: value for name in names if (value := given.pop(name)) is not None}
            command(asked=asked, **given)

        # typer reads a command's options from its signature.
        own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "asked"]
        more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names]
        every = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        every += [each.replace(annotation=ASKED[each.name]) for each in more]
        run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]  # what inspect looks for first
        run.__annotations__ = {each.name: each.annotation for each in every}
        return run

    return give


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with _plain_warnings(), _ended_like_interrupted():
        return _main(arguments)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show a warning as one line for people."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"warning: {' '.join(str(message).split())}", file=sys.stderr
        )
        yield


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Take SIGTERM, with which batch queues end a job, like Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # outside the main thread: whoever owns it decides
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _main(arguments: Sequence[str] | None) -> int:
    try:
        # typer takes an interruption itself, and returns its exit code.
        if app(args=None if arguments is None else list(arguments), standalone_mode=False) == 130:
            raise KeyboardInterrupt
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
        print(f"interrupted; go on with: {stopped.go_on}", file=sys.stderr)
        return 130
    except parallel.WorkerLost as lost:
        print(f"error: {lost}", file=sys.stderr)
        return 1
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


def _settings(thing: str, asked: Mapping[str, Any], units: str = "metric") -> dict[str, Any]:
    """Options as settings of a `Problem`: units (metric unless said) settled, what hangs together put together."""
    settings = dict(asked)
    if "window" in settings:
        settings["window"] = _window(settings["window"])
    settings["landscape"] = None if thing == DEMO else thing
    units = settings.get("units", units)
    if units not in ("metric", "us"):
        raise InputError(f"--units: {units!r} is unknown; use metric or us")
    if "wind_speed_kmh" in settings and units == "us":
        in_kmh, mph = MPH_TO_KMH * WIND_10M_OVER_20FT, settings["wind_speed_kmh"]
        if not 0 <= mph <= 200 / in_kmh:
            raise InputError(f"--wind-speed: {mph:g} mph; give 0 to {int(200 / in_kmh)} mph (at 20 ft)")
        settings["wind_speed_kmh"] = mph * in_kmh
    if "dead_1h_pct" in settings:
        for name, points in (("dead_10h_pct", 1), ("dead_100h_pct", 3)):
            settings.setdefault(name, min(settings["dead_1h_pct"] + points, 300.0))
    if "wind_rasters" in settings:
        settings["wind_rasters"] = ",".join(settings["wind_rasters"]).split(",")
    return settings


# Options that say what to take from a record, and those whose place a source of weather takes.
OF_A_RECORD = ("weather_pick", "weather_percentile", "burn_period", "humidity_pct")
TAKEN = {
    "weather_stream": ("wind_speed_kmh", "wind_from_deg", "dead_1h_pct"),
    "wind_rasters": ("wind_speed_kmh", "wind_from_deg"),
}


def _kept(made: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Earlier settings that options leave standing: a new source of weather replaces the old one with all its own."""
    gone = set(asked)
    if asked.keys() & TAKEN.keys():
        gone |= {*TAKEN, *OF_A_RECORD, "num_weathers"}
    return {name: value for name, value in made.items() if name not in gone}


def _refuse_idle(settings: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse options that would change nothing."""
    for source, taken in TAKEN.items():
        if settings.get(source) is not None:
            for name in taken:
                if name in asked:
                    of = "record says" if source == "weather_stream" else "rasters say"
                    raise InputError(f"{FLAGS[name]}: the weather {of} that already ({FLAGS[source]}); leave it out")
    if settings.get("weather_stream") is None:
        for name in OF_A_RECORD:
            if name in asked:
                raise InputError(f"{FLAGS[name]}: it says what to take from a record; give one with --weather FILE")
    if "weather_percentile" in asked and settings.get("weather_pick", "hours") != "percentile":
        raise InputError("--percentile: it is for --pick percentile; add that, or leave it out")


def _problem(thing: str, asked: Mapping[str, Any], made: Mapping[str, Any] | None = None) -> Problem:
    """The problem that options ask; where they say nothing, as a plan was made."""
    made = _kept(made or {}, asked)
    settings = made | _settings(thing, asked, made.get("units", "metric"))
    _refuse_idle(settings, asked)
    if settings.get("fuel_model", "fbfm40") not in ("fbfm40", "fbfm13"):
        raise InputError(f"--fuel-model: {settings['fuel_model']!r} is unknown; use fbfm40 or fbfm13")
    buffer = settings.get("buffer_cells")
    if buffer is not None and buffer < 0:
        raise InputError(f"--buffer: {buffer} cells cannot be; give 0 or more")
    if thing == DEMO and buffer is not None and buffer > DEMO_LARGEST_BUFFER:
        raise InputError(
            f"--buffer: {buffer} cells are more than the demo's terrain has around its 50 x 50; "
            f"give at most {DEMO_LARGEST_BUFFER}"
        )
    duration = settings.get("fire_simulation_max_duration")
    if duration is not None and not duration > 0:
        raise InputError(f"--duration: {duration:g} minutes; give minutes above 0")
    Weather(**{name: settings[name] for name in DESIGN if name in settings})  # says best what cannot be
    return make_problem(Problem, settings, "command line", FLAGS)


def _opened(problem: Problem, days: Days = "all") -> tuple[Landscape, Season]:
    """The landscape and its season."""
    landscape = problem.open()
    return landscape, problem.season(landscape, days)


def _scenarios(problem: Problem, land: Landscape, judging: Fires) -> dict[str, Fires]:
    """What plans are judged in beside the weather they were made for: other weather, and breaks that may fail."""
    unseen, season = None, problem.unseen_season(land)
    if season is not None and len(judging) > 1:
        seed = int(judging.origin.partition(":")[2]) if judging.origin.startswith("heldout:") else 0
        unseen = Fires.draw(
            land,
            len(judging),
            seed,
            purpose="heldout",
            weather=season,
            duration_min=problem.fire_simulation_max_duration,
        )
    return stress_scenarios(judging, unseen)


def _tell(landscape: Landscape, season: Season, default_min: float | None) -> None:
    """Say what was settled for the user; called once nothing is left to refuse, so that a refusal stands alone.

    default_min : how long fires spread, where nobody said so
    """
    for note in (*landscape.notes, *season.notes):
        print(f"note: {note}", file=sys.stderr)
    if default_min is not None:
        print(
            f"fires spread for {default_min:g} minutes ({default_min / 60:g} h), "
            f"{'the default on a real landscape' if default_min == REAL_DURATION_MIN else 'as long as a burn period'}; "
            "--duration changes it",
            file=sys.stderr,
        )


def _circumstances(land: Landscape, problem: Problem, seed: int) -> dict[str, Any]:
    """All that `evaluate` needs to judge a plan again as it was made, as settled: for config.json and raster tags."""
    return {
        "software": f"fuelbreak {__version__}",
        **problem.told(),
        "buffer_cells": _buffer_cells(land),
        "seed": seed,
    }


def _heading(land: Landscape, problem: Problem) -> str:
    _, _, rows, cols = land.aoi_window
    duration_min = problem.fire_simulation_max_duration
    unit, per_ha = report.area_unit(problem.units)
    area = land.area_of_interest.sum() * land.hectares_per_cell * per_ha
    return (
        f"{land.label}\n"
        f"area of interest {rows} x {cols} cells, {area:,.0f} {unit}; buffer {_buffer_cells(land)} cells, "
        f"fires of {duration_min:g} min"
    )


def _buffer_cells(land: Landscape) -> int:
    """Width of the widest side of the ring around the area of interest."""
    row, col, rows, cols = land.aoi_window
    return max(row, col, land.shape[0] - row - rows, land.shape[1] - col - cols)


def _check_interval(points: float) -> None:
    if not 0 < points <= 100:
        raise InputError(f"--interval: {points:g} percentage points; give above 0, such as 1")


def _named(out: Path | None, stem: str) -> Path:
    """The folder asked for, or a new one named by the time."""
    return Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}" if out is None else out


class Aims(NamedTuple):
    """How a plan is asked for, beside the problem: by which method, within which limits, of which units."""

    method: str = "sequential_dpv"
    budget: str = "5%"
    simulations: int = 500
    heldout: int = 2000
    agent: str = PRETRAINED
    max_simulations: int | None = None
    max_seconds: float | None = None
    treatments: Path | None = None
    cost: str | None = None
    exclude: Path | None = None
    must_treat: Path | None = None
    reproject: bool = False
    robust: str | None = None
    cvar: float = 0.0
    resamples: int | None = None
    interval: float = 1.0


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="folder for the maps", show_default="runs/demo-TIME")] = None,
    units: Annotated[str, typer.Option(help="metric, or us: acres and feet")] = "metric",
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Plan breaks on the demo landscape by sequential DPV, judge them on held-out fires, write the maps."""
    parallel.use_at_most(workers)
    _plan(DEMO, {"units": units}, Aims(), _named(out, "demo"), seed, as_json)


_TREAT, _SEARCH = "Treatment units", "Planner"
RESAMPLED, SOON_S = 20, 20.0
FITTED = 0.2  # loss avoided on the fires of the plan above that on held-out ones: more fires are called for


@app.command()
@asks(*ASKED)
def plan(
    landscape: Thing,
    asked: dict[str, Any],
    method: Annotated[
        str, typer.Option(help=f"{', '.join(planners.PLANNERS)}, agent, or agent+search")
    ] = "sequential_dpv",
    budget: Budget = "5%",
    simulations: Annotated[int, typer.Option(min=1, help="fires the plan is chosen on")] = 500,
    heldout: Annotated[int, typer.Option(min=2, help="fires that judge it")] = 2000,
    agent: Annotated[
        str, typer.Option(help="pretrained, a run's folder or a .safetensors file, for --method agent and agent+search")
    ] = PRETRAINED,
    max_simulations: Annotated[
        int | None, _flag("--max-simulations", "fires each planner may burn in all", panel=_SEARCH)
    ] = None,
    max_seconds: Annotated[float | None, _flag("--max-seconds", "seconds each planner may take", panel=_SEARCH)] = None,
    robust: Annotated[
        str | None, _flag("--robust", "plan for other weather too: worst (case) or cvar", panel=_SEARCH)
    ] = None,
    cvar: Annotated[
        float, _flag("--cvar", "share of the worst tenth of the fires beside the mean, 0 to 1", "0", _SEARCH)
    ] = 0.0,
    treatments: Annotated[
        Path | None, _flag("--treatments", "label raster, polygons or lines: one unit each", "every cell", _TREAT)
    ] = None,
    cost: Annotated[str | None, _flag("--cost", "money per hectare: a number or a raster", panel=_TREAT)] = None,
    exclude: Annotated[
        Path | None, _flag("--exclude", "raster or polygons where nothing is treated", panel=_TREAT)
    ] = None,
    must_treat: Annotated[
        Path | None, _flag("--must-treat", "raster or polygons treated in any case", panel=_TREAT)
    ] = None,
    reproject: Annotated[bool, _flag("--reproject", "bring these files to the landscape's grid", panel=_TREAT)] = False,
    resamples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="sets of fires to plan on anew, for how sure each cell is and an alternative",
            show_default=f"{RESAMPLED}, if a plan takes less than {SOON_S:g} s",
        ),
    ] = None,
    interval: Interval = 1.0,
    out: Annotated[Path | None, typer.Option(help="folder for the plan", show_default="runs/plan-TIME")] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Place fuel breaks on a landscape by a planner, judge them on held-out fires, hand over GIS files."""
    parallel.use_at_most(workers)
    asked_method, method = method, method.replace("-", "_").replace("+", "_")
    if method not in (*planners.PLANNERS, *policy.AGENTS):
        known = ", ".join((*planners.PLANNERS, "agent", "agent+search"))
        raise InputError(f"--method: {asked_method!r} is unknown; use one of {known}")
    if method not in policy.AGENTS and agent != PRETRAINED:
        raise InputError(f"--agent: {method} asks no agent; leave it out, or take --method agent")
    if robust not in (None, "worst", "cvar"):
        raise InputError(f"--robust: {robust!r} is unknown; use worst or cvar")
    if not 0 <= cvar <= 1:
        raise InputError(f"--cvar: {cvar:g} is no share; give 0 (the mean alone) to 1 (the worst fires alone)")
    _check_interval(interval)
    if robust is not None and cvar:
        raise InputError("--cvar: --robust says already what counts; leave one of them out")
    aims = Aims(
        method,
        budget,
        simulations,
        heldout,
        agent,
        max_simulations,
        max_seconds,
        treatments,
        cost,
        exclude,
        must_treat,
        reproject,
        robust,
        cvar,
        resamples,
        interval,
    )
    _plan(landscape, asked, aims, _named(out, "plan"), seed, as_json)


def _agent(method: str, where: str) -> Planner:
    """A trained agent as a planner."""
    training.check_torch()
    return partial(policy.AGENTS[method], network=policy.load_agent(where))  # type: ignore[call-arg]  # agents alone have it


def _units(land: Landscape, aims: Aims) -> Units | None:
    """Treatment units as asked for; None where every treatable cell is one and costs nothing."""
    place: dict[str, Any] = {
        "crs": land.crs,
        "transform": land.transform,
        "shape": land.shape,
        "reproject": aims.reproject,
    }
    masks = {
        name: None if path is None else _covered(path, place)
        for name, path in (("excluded", aims.exclude), ("must", aims.must_treat))
    }
    per_cell = None if aims.cost is None else _cost(land, aims.cost) * land.hectares_per_cell
    if aims.treatments is None:
        if per_cell is None and all(mask is None for mask in masks.values()):
            return None
        return Units.of_cells(land, cost=per_cell, **masks)
    table = read_units(aims.treatments, **place)
    inside = table.cells >= 0
    flat = np.maximum(table.cells, 0)
    cost = table.cost
    if per_cell is not None:
        of_cells = (per_cell.ravel()[flat] * inside).sum(axis=1)
        cost = np.where(np.isnan(cost), of_cells, cost)
    if np.isnan(cost).any() and not np.isnan(cost).all():
        raise InputError(
            f"{aims.treatments}: {np.isnan(cost).sum()} of {len(cost)} units have no cost and the others do; "
            "give each one, or --cost for those without"
        )
    flags = {"must": table.must, "excluded": table.excluded}
    for name, mask in masks.items():
        if mask is not None:  # a unit that the mask touches is excluded whole, and treated if it is mostly inside
            touched = (mask.ravel()[flat] & inside).sum(axis=1)
            flags[name] = flags[name] | (touched > 0 if name == "excluded" else 2 * touched > inside.sum(axis=1))
    return Units.of_groups(land, table.cells, cost=None if np.isnan(cost).all() else cost, number=table.number, **flags)


def _covered(path: Path, place: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Cells that a raster marks or features cover (H, W)."""
    breaks = read_breaks(path, **place)
    covered = np.zeros(place["shape"], bool)
    covered.flat[breaks.cells] = True
    return covered


def _cost(land: Landscape, given: str) -> npt.NDArray[np.float64]:
    """Money per hectare in each cell (H, W), from a number or a raster."""
    try:
        cost = np.full(land.shape, float(given))
    except ValueError:
        cost = read_aligned(given, crs=land.crs, transform=land.transform, shape=land.shape, what="cost").astype(float)
    bad = ~(cost >= 0) & land.treatable
    if bad.any():
        raise InputError(f"--cost: {given}: {bad.sum()} treatable cells have no cost of 0 or more; mend the raster")
    return np.asarray(np.nan_to_num(cost))


def _planning(land: Landscape, fires: Fires, robust: str | None, cvar: float) -> tuple[Fires, Objective | None]:
    """The fires to plan on and what is to be small: where it is robust, the same fires in other weather too."""
    if robust is None:
        return fires, Objective(cvar=cvar) if cvar else None
    together, scenario = pooled([fires, *stressed(fires).values()])
    return together, Objective(scenario=scenario) if robust == "worst" else Objective(cvar=1.0)


def _plan(
    thing: str,
    asked: Mapping[str, Any],
    aims: Aims,
    out: Path,
    seed: int,
    as_json: bool,
) -> None:
    problem = _problem(thing, asked)
    land, season = _opened(problem, "kept")
    duration_min = problem.fire_simulation_max_duration
    report.check_can_write_gis(land)
    units, method, budget = _units(land, aims), aims.method, aims.budget
    prices(land, Units.of_cells(land) if units is None else units, budget)
    check_draw(max(aims.simulations, aims.heldout))
    by: Planner = planners.planner(method) if method not in policy.AGENTS else _agent(method, aims.agent)
    drawn = Fires.draw(land, aims.simulations, seed, weather=season, duration_min=duration_min)
    fires, objective = _planning(land, drawn, aims.robust, aims.cvar)
    folder = check_output_folder(out)
    quiet = problem.is_demo or "fire_simulation_max_duration" in asked
    _tell(land, season, None if quiet else problem.fire_simulation_max_duration)
    how: dict[str, Any] = {"seed": seed, "units": units, "objective": objective}
    limits: dict[str, Any] = {"max_simulations": aims.max_simulations, "max_seconds": aims.max_seconds}
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        warm_up()
        plans: dict[str, Plan] = {}
        # The chosen method first, then the rules it is set against, which may take no more.
        for name in dict.fromkeys((method, *planners.RULES)):
            say("plan", 0.0, name)
            plans[name] = (by if name == method else planners.planner(name))(
                land,
                fires,
                budget,
                progress=partial(_tell_plan, say, name),
                **how,
                **limits,
            )
        chosen = plans[method]
        resamples = aims.resamples
        if resamples is None:
            resamples = RESAMPLED if chosen.seconds < SOON_S else 0
        say("judge", 0.0, f"on {aims.heldout} held-out fires")
        judging = Fires.draw(land, aims.heldout, seed, purpose="heldout", weather=season, duration_min=duration_min)
        scenarios = _scenarios(problem, land, judging)
        others: dict[str, Plan] = {}
        frequency = None
        if resamples:
            say("how sure", 0.0, "planning on resampled fires")
            frequency = selection_frequency(
                by,
                land,
                fires,
                budget,
                resamples=resamples,
                **how,
                **limits,
                say=lambda done, message: say("how sure", done, message),
            )
            other = alternative(chosen, by, land, fires, budget, **how, **limits)
            others = {} if other is None else {ALTERNATIVE: other}
        first = {method: chosen, **plans, **others}
        scores = judge(
            first,
            land,
            judging,
            training=fires,
            scenarios=scenarios,
            say=lambda done, _: say("judge", done, f"{aims.heldout} held-out fires, {1 + len(scenarios)} scenarios"),
        )
        curve = budget_curve(first, land, judging)
        burned = spread(land, fires).burn_probability().flat[chosen.cells] > 0
        idle = int((~burned).sum()) if chosen.chosen_on else 0
        say("write", 0.0, "maps")
        tags = _circumstances(land, problem, seed)
        tags |= {"budget": budget, "simulations": aims.simulations} | {
            name: value for name, value in (("robust", aims.robust), ("cvar", aims.cvar or None)) if value is not None
        }
        settings = {
            "landscape": thing,
            "label": land.label,
            **{name: str(value) if isinstance(value, Path) else value for name, value in aims._asdict().items()},
            "budget_units": chosen.units,
            "grid": land.shape,
            "area_of_interest": land.aoi_window,
            **tags,
            "planning_fires": f"{fires.origin} digest {fires.digest}",
            "heldout_fires": f"{judging.origin} digest {judging.digest}",
            "workers": parallel.available_cores(),
            "out": str(folder),
        }
        training.write_resolved(folder, settings)
        report.hand_over(folder, land, chosen, judging, scores, method, tags, curve)
        if frequency is not None:
            report.write_frequency(folder, land, frequency, resamples, tags)
        for other in others.values():
            report.write_plan(folder, "alternative", land, other, tags)
        say("write", 1.0, "")
    if as_json:
        facts = report.score_facts(scores, curve, aims.interval)
        print(json.dumps({"folder": str(folder), **facts, "units_where_nothing_burned": idle}))
        return
    print(_heading(land, problem))
    print("\n".join(report.score_lines(scores, curve, aims.interval)))
    if frequency is not None:
        sure = frequency.flat[chosen.cells]
        print(
            f"how sure: planned on {resamples} resampled sets of fires, {np.mean(sure >= 0.8):.0%} of its cells "
            f"are chosen at least 8 times in 10, {np.mean(sure < 0.2):.0%} less than 2 times (selection_frequency.tif)"
        )
    elif aims.resamples is None:
        print(
            f"note: the plan took {chosen.seconds:.0f} s; --resamples {RESAMPLED}, which takes so many times that, "
            "tells how sure each cell is"
        )
    if idle:
        print(
            f"note: {idle} of {len(chosen)} cells lie where no planning fire burned; "
            "raise --simulations or lower --budget"
        )
    own, others_avoid = scores.training.get(method, 0.0), scores.loss_avoided(method)[0]
    if own - others_avoid > FITTED:
        print(
            f"note: {method} avoids {own:.0%} of the loss of the {aims.simulations} fires it was planned on and "
            f"{others_avoid:.0%} of that of others, so it suits those few alone; raise --simulations for a better plan"
        )
    print(f"plan, maps and scores: {folder}")


def _tell_plan(say: Say, name: str, done: int, of: int) -> None:
    say("plan", done / of, name)


ALTERNATIVE = "another plan"  # the best that differs in half of its units


@app.command()
@asks(*ASKED)
def evaluate(
    landscape: Thing,
    plans: Annotated[
        list[Path], typer.Argument(metavar="PLAN...", help="rasters, GIS vector files or Cell2Fire csv files of breaks")
    ],
    asked: dict[str, Any],
    heldout: Annotated[int | None, typer.Option(min=2, help="fires that judge", show_default="2000")] = None,
    fires: FireSet = None,
    budget: Annotated[
        str | None, typer.Option(help="refuse plans over it: 5%, a number of cells, '30 ha', '$50000'")
    ] = None,
    reproject: Annotated[bool, typer.Option(help="bring plans of other grids to the landscape's")] = False,
    interval: Interval = 1.0,
    method: Method = "threading",
    ray_address: RayAddress = None,
    shard: ShardOption = None,
    out: Annotated[Path | None, typer.Option(help="folder for tables and a picture, or the shard")] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Judge plans on held-out fires, as paired differences with 95 % intervals, in the planned weather and in other.

    What no option says is taken from the first plan's tags, if fuelbreak wrote it: so a plan is judged as it was made.
    """
    parallel.use_at_most(workers)
    apart = _apart(method, ray_address, shard, out)
    _evaluate(landscape, plans, asked, heldout, fires, budget, reproject, interval, seed, as_json, apart, out)


def _evaluate(
    landscape: str,
    plans: list[Path],
    asked: Mapping[str, Any],
    heldout: int | None,
    fires: Path | None,
    budget: str | None,
    reproject: bool,
    interval: float,
    seed: int,
    as_json: bool,
    apart: Apart,
    out: Path | None,
) -> None:
    _check_interval(interval)
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
    _refuse_beside_fires(fires, asked, heldout=heldout)
    heldout = HELDOUT if heldout is None else heldout
    # Saved fires know best what they burned in; of the plan its grid still holds.
    tags, source = _tags(plans[0]), plans[0]
    if fires is not None:
        tags, source = tags | read_vector_tags(fires), fires
    settled = _settings(landscape, asked).keys()
    was = {name: value for name, value in _kept(_made_with(source, tags), asked).items() if name not in settled}
    problem = _problem(landscape, asked, was)
    land, season = _opened(problem, "all" if fires is not None else "kept")
    chosen = {name: _read_plan(land, path, reproject) for name, path in given.items()}
    if fires is not None:
        judging = saved_fires(fires, land, season)
    else:
        duration_min = problem.fire_simulation_max_duration
        judging = Fires.draw(land, heldout, seed, purpose="heldout", weather=season, duration_min=duration_min)
    quiet = problem.is_demo or "fire_simulation_max_duration" in settled | was.keys() or fires is not None
    _tell(land, season, None if quiet else problem.fire_simulation_max_duration)
    told = problem.told()
    said = [
        f"{name} {told[name]:g}" if isinstance(told[name], float) else f"{name} {told[name]}"
        for name in (DURATION_TAG if name == "fire_simulation_max_duration" else name for name in was)
        if name in ("buffer_cells", DURATION_TAG) or told.get(name) not in (None, Problem.model_fields[name].default)
    ]
    if said:
        print(f"note: judged as {source} was made: {', '.join(said)}; options change it", file=sys.stderr)
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        warm_up_whole_fires()
        say("judge", 0.0, f"on {len(judging)} held-out fires")
        told = {
            "landscape": landscape,
            "plans": [str(path) for path in plans],
            "asked": dict(asked),
            "heldout": None if fires is not None else heldout,
            "fires": None if fires is None else str(fires),
            "budget": budget,
            "reproject": reproject,
            "interval": interval,
            "seed": seed,
        }
        scenarios = _scenarios(problem, land, judging)
        judged = settings(chosen, land, judging, scenarios=scenarios, budget=budget)
        burned = _burned(judged, apart, out, _run("evaluate", told, land, judging, chosen), say, "judge")
        if burned is None:
            return
        scores = judge_of(chosen, burned, tuple(scenarios), _own_fires(chosen, land, season, problem, given))
        say("curve", 0.0, "")
        curve = budget_curve(chosen, land, judging, say=lambda done, message: say("curve", done, message))
        written = [] if out is None else report.write_judgment(check_output_folder(out), scores, curve)
    if as_json:
        print(json.dumps(report.score_facts(scores, curve, interval)))
        return
    print(_heading(land, problem))
    print("\n".join(report.score_lines(scores, curve, interval)))
    if written:
        print(f"{', '.join(written)}: {out}")


def _own_fires(
    plans: Mapping[str, Plan], land: Landscape, season: Season, problem: Problem, given: Mapping[str, Path]
) -> dict[str, float]:
    """Loss avoided by plans of ours on the fires they were chosen on, where their tags say how to draw those."""
    found: dict[str, float] = {}
    for name, plan in plans.items():
        tags = _tags(given[name])
        origin = next((each for each in plan.chosen_on if each.startswith("train:")), None)
        if origin is None or not tags.get("simulations", "").isdigit():
            continue
        fires = Fires.draw(
            land,
            int(tags["simulations"]),
            int(origin.partition(":")[2]),
            weather=season,
            duration_min=problem.fire_simulation_max_duration,
        )
        if "robust" in tags:
            fires, _ = _planning(land, fires, tags["robust"], 0.0)
        found |= training_scores({name: plan}, land, fires)
    return found


def _tags(path: Path) -> dict[str, str]:
    """Tags of a plan's file; none where its kind holds none."""
    if path.suffix.lower() == ".csv":
        return {}
    return read_vector_tags(path) if path.suffix.lower() in VECTOR_FILES else read_tags(path)


HELDOUT, SIMULATED = 2000, 1000
A_LOOK_S = 0.5  # between two looks at how far fires are


class Apart(NamedTuple):
    """Where fires burn that do not all burn in this process: on a cluster, one shard of them, or in shards before."""

    cluster: bool = False
    ray_address: str | None = None
    shard: Shard | None = None
    shards: Shards | None = None

    @property
    def here(self) -> bool:
        """Whether they all burn in this process."""
        return self == Apart()


def _apart(method: str, ray_address: str | None, shard: str | None, out: Path | None) -> Apart:
    """Where fires are to burn, checked."""
    if method not in ("threading", "ray"):
        raise InputError(f"--method: {method!r} is unknown; use threading or ray")
    if ray_address is not None and method != "ray":
        raise InputError("--ray-address: it is for --method ray; add that, or leave it out")
    if shard is not None:
        if method == "ray":
            raise InputError("--shard: it is for batch queues without ray; leave out one of --shard, --method ray")
        if out is None:
            raise InputError("--shard: a part has to be kept for `merge`; give --out FOLDER, the same for every part")
        return Apart(shard=parse_shard(shard))
    return Apart(method == "ray", ray_address)


def _run(
    command: str, arguments: dict[str, Any], land: Landscape, fires: Fires, plans: Mapping[str, Plan]
) -> dict[str, Any]:
    """What tells a run from another, for its shards."""
    cells = {name: hashlib.sha256(plan.cells.tobytes()).hexdigest()[:16] for name, plan in plans.items()}
    return {
        "software": f"fuelbreak {__version__}",
        "command": command,
        "arguments": json.loads(json.dumps(arguments)),
        "landscape_digest": landscape_digest(land),
        "fires_digest": fires.digest,
        "plans_digest": cells,
    }


def _burned(
    settled: list[Setting], apart: Apart, out: Path | None, run: dict[str, Any], say: Say, stage: str
) -> list[SpreadResult] | None:
    """What every fire of each setting did; None if a shard of it was written in its place."""
    n = len(settled[0].fires)
    if apart.cluster:
        with parallel.ray_at(apart.ray_address) as ray:
            say(stage, 0.0, f"{n:,} fires on a cluster of {parallel.ray_cores(ray)} cores")
            return spread_on_ray(settled, ray, lambda done, message: say(stage, done, message))
    if apart.shards is not None:
        for key, value in run.items():
            if apart.shards.told[key] != value:
                raise InputError(
                    f"merge: {key} is {value!r} now and was {apart.shards.told[key]!r} when the shards were burned; "
                    "merge with the same files and version"
                )
        return [gather(each, [part]) for each, part in zip(settled, apart.shards.parts, strict=True)]
    first, last = (0, n) if apart.shard is None else apart.shard.bounds(n)
    began, chunk, done = time.perf_counter(), 2000, 0
    whole: list[Part] = []
    for i, each in enumerate(settled):
        part, at = None, first
        while at < last:
            say(stage, done / (len(settled) * (last - first)), f"{last - first:,} fires")
            look = time.perf_counter()
            new = burn(each, at, min(at + chunk, last))
            part = new if part is None else joined([part, new])
            done += min(at + chunk, last) - at
            at += chunk
            if time.perf_counter() - look < A_LOOK_S:  # so that progress costs nothing; results do not depend on it
                chunk *= 2
        assert part is not None  # there is at least one fire
        whole.append(part)
        if each.fields is not settled[min(i + 1, len(settled) - 1)].fields:
            each.fields.let_go()  # those of several scenarios need not be in memory at once
    if apart.shard is None:
        return [gather(each, [part]) for each, part in zip(settled, whole, strict=True)]
    assert out is not None  # it was asked for with the shard
    seconds = time.perf_counter() - began
    path = write_shard(check_output_folder(out), apart.shard, run, whole, seconds)
    say(stage, 1.0, "")
    print(
        f"shard {apart.shard.number} of {apart.shard.of}: fires {first + 1:,} to {last:,} of {n:,} in {seconds:.1f} s: "
        f"{path}; when all are there: fuelbreak merge {out}"
    )
    return None


@app.command()
def merge(
    shards: Annotated[list[Path], typer.Argument(metavar="SHARDS...", help="folder of shards, or shard files")],
    out: Annotated[
        Path | None, typer.Option(help="folder for the maps of a simulation", show_default="runs/simulate-TIME")
    ] = None,
    perimeters: Annotated[int, typer.Option(min=0, help="of the first so many fires")] = 0,
    arrivals: Annotated[int, typer.Option("--arrival-times", min=0, help="maps of the first so many fires")] = 0,
    as_json: AsJson = False,
) -> None:
    """Put the shards of one run together: the same result, bit for bit, as if it had run whole.

    Run it from the folder that the shards were burned from: paths are kept as they were given.
    """
    read = read_shards(shards)
    given = dict(read.told["arguments"])
    apart = Apart(shards=read)
    if read.told["command"] == "simulate":
        saved = given.pop("saved")
        _simulate(
            **given,
            saved=None if saved is None else Path(saved),
            out=_named(out, "simulate"),
            perimeters=perimeters,
            arrivals=arrivals,
            sizes=None,
            as_json=as_json,
            apart=apart,
        )
        return
    if out is not None or perimeters or arrivals:
        raise InputError("merge: these are shards of an evaluation, which writes no maps; leave out its options")
    plans, fires = [Path(path) for path in given.pop("plans")], given.pop("fires")
    fires = None if fires is None else Path(fires)
    _evaluate(**given, plans=plans, fires=fires, as_json=as_json, apart=apart, out=None)


def _refuse_beside_fires(saved: Path | None, asked: Mapping[str, Any], **numbers: int | None) -> None:
    """Refuse options about fires where saved ones burn."""
    flags = [FLAGS[name] for name in ("ignitions", "fire_simulation_max_duration") if name in asked]
    flags += [{"n": "-n"}.get(name, f"--{name}") for name, value in numbers.items() if value is not None]
    if saved is not None and flags:
        raise InputError(f"{flags[0]}: the fires of {saved} have their own; leave it or --fire-set out")


def _made_with(path: Path, tags: Mapping[str, str]) -> dict[str, Any]:
    """Settings that a plan or fires of ours were made with, from their tags; none for a file of other origin."""
    if not tags.get("software", "").startswith("fuelbreak "):
        return {}
    made = {}
    for name in ASKED:
        tag = DURATION_TAG if name == "fire_simulation_max_duration" else name
        if tag in tags:
            of = {"values": tags["values"]} if "values" in tags else {}  # what values count goes with values
            try:
                made[name] = getattr(make_problem(Problem, {**of, name: tags[tag]}, str(path), {}), name)
            except InputError:
                raise InputError(
                    f"{path}: its tag {tag} is {tags[tag]!r}, which cannot be; mend it with gdal_edit.py -mo {tag}=..."
                ) from None
    return made


def _read_plan(landscape: Landscape, path: Path, reproject: bool = False) -> Plan:
    """A plan from a raster of ranks, a vector file of breaks or a Cell2Fire csv file, on the landscape's grid."""
    breaks = read_breaks(
        path, crs=landscape.crs, transform=landscape.transform, shape=landscape.shape, reproject=reproject
    )
    sizes = np.bincount(breaks.unit - 1)
    told: dict[str, Any] = {} if (sizes == 1).all() else {"sizes": sizes}
    if breaks.cost is not None and np.isfinite(breaks.cost).all():
        told["cost"] = breaks.cost
    try:
        return Plan.from_flat(
            landscape,
            breaks.cells,
            method=path.stem,
            chosen_on=tuple(breaks.tags.get("chosen_on", "").split()),
            **told,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@app.command()
@asks(*ASKED)
def simulate(
    asked: dict[str, Any],
    landscape: Thing = DEMO,
    n: Annotated[int | None, typer.Option("-n", "--fires", min=1, help="number of fires", show_default="1000")] = None,
    saved: FireSet = None,
    stencil: Annotated[int, typer.Option(help="neighbors of a cell: 32 (most accurate), 16 or 8 (rough)")] = 32,
    out: Annotated[
        Path | None,
        typer.Option(help="folder for burn probability, flame lengths and the fires; none is written without"),
    ] = None,
    perimeters: Annotated[int, typer.Option(min=0, help="of the first so many fires, into --out")] = 0,
    arrivals: Annotated[
        int, typer.Option("--arrival-times", min=0, help="maps of the first so many fires, into --out")
    ] = 0,
    sizes: Annotated[
        Path | None, typer.Option("--compare-sizes", help="csv of past fire sizes: finds the duration that fits")
    ] = None,
    method: Method = "threading",
    ray_address: RayAddress = None,
    shard: ShardOption = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Burn many fires: sizes, burn probability, flame lengths, fires per second."""
    parallel.use_at_most(workers)
    apart = _apart(method, ray_address, shard, out)
    if shard is not None and (perimeters or arrivals):
        raise InputError("--perimeters, --arrival-times: they are written where shards are merged; give them there")
    if sizes is not None and (shard is not None or method == "ray"):
        raise InputError("--compare-sizes: it is not done apart; leave out --shard and --method ray")
    _simulate(asked, landscape, n, saved, stencil, out, perimeters, arrivals, sizes, seed, as_json, apart)


def _simulate(
    asked: Mapping[str, Any],
    landscape: str,
    n: int | None,
    saved: Path | None,
    stencil: int,
    out: Path | None,
    perimeters: int,
    arrivals: int,
    sizes: Path | None,
    seed: int,
    as_json: bool,
    apart: Apart,
) -> None:
    if out is None and (perimeters or arrivals):
        raise InputError("--perimeters, --arrival-times: they need a folder to be written to; give --out FOLDER")
    _refuse_beside_fires(saved, asked, n=n)
    if saved is not None and sizes is not None:
        raise InputError("--compare-sizes: it draws fires of its own; leave it or --fire-set out")
    n = SIMULATED if n is None else n
    Fields.check_stencil(stencil)
    was = {} if saved is None else _made_with(saved, read_vector_tags(saved))
    problem = _problem(landscape, asked, was)
    past = None if sizes is None else streams.read_fire_sizes(sizes)
    land, season = _opened(problem)
    duration_min, units = problem.fire_simulation_max_duration, problem.units
    check_draw(n)
    if out is not None:
        report.check_can_write_gis(land)
    if saved is None:
        fires = Fires.draw(land, n, seed, weather=season, duration_min=duration_min)
    else:
        fires = saved_fires(saved, land, season)
    if out is not None or past is not None:
        folder = check_output_folder(_named(out, "simulate"))
    quiet = problem.is_demo or "fire_simulation_max_duration" in asked or saved is not None
    _tell(land, season, None if quiet else problem.fire_simulation_max_duration)
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        fields = Fields(land, fires.weather, stencil=stencil)
        warm_up_whole_fires(stencil, flame_lengths=out is not None)
        told = {
            "asked": dict(asked),
            "landscape": landscape,
            "n": None if saved is not None else n,
            "saved": None if saved is None else str(saved),
            "stencil": stencil,
            "seed": seed,
        }
        settled = [setting(land, fires, fields=fields, flame_lengths=out is not None)]
        cores = parallel.CoreMonitor()
        burned = _burned(settled, apart, out, _run("simulate", told, land, fires, {}), say, "burn")
        use = cores.use()
        cores.close()
        if burned is None:
            return
        (result,) = burned
        seconds = use.seconds if apart.shards is None else apart.shards.seconds
        say("burn", 1.0, "")
        if out is not None:
            tags = _circumstances(land, problem, seed)
            if saved is not None:
                del tags["seed"]  # the fires' own stands in their origin
            report.write_burn_maps(
                folder, result, tags=tags, units=units, perimeters=perimeters, arrivals=arrivals, say=say
            )
        if past is not None:
            fit = compare_sizes(land, season, past.sizes_ha, n=n, seed=seed, stencil=stencil, say=say)
            report.sizes_figure(fit, units).savefig(folder / "sizes.png", dpi=120)
    unit, per_ha = report.area_unit(units)
    area = result.burned_area_ha * per_ha
    summary: dict[str, Any] = {
        "fires": len(fires),
        f"mean_area_{unit}": float(area.mean()),
        f"median_area_{unit}": float(np.median(area)),
        f"largest_area_{unit}": float(area.max()),
        "reached_edge_share": result.reached_edge_share,
        "range_warning": range_warning(result.too_long_share, stencil),
        "seconds": seconds,
        "fires_per_second": len(fires) / seconds,
        "cores_busy": use.busy_share if use.seconds >= 1 and apart.here else None,  # clocks tick in hundredths
    }
    if past is not None:
        summary["fitting_duration_min"] = fit.best_duration_min
    if as_json:
        print(json.dumps(summary))
        return
    print(land.label)
    lasting = f"{duration_min:g} min" if saved is None else f"the set {saved}"
    print(
        f"{len(fires):,} fires of {lasting}: mean {area.mean():,.1f} {unit}, median {np.median(area):,.1f} {unit}, "
        f"largest {area.max():,.1f} {unit}; "
        f"{result.reached_edge_share:.0%} of those in the area of interest reached the map's edge"
    )
    if summary["range_warning"] is not None:
        print(summary["range_warning"])
    where = f"{parallel.available_cores()} thread{'s' * (parallel.available_cores() > 1)}"
    if apart.cluster:
        where = "the cluster"
    if apart.shards is not None:
        print(f"{len(fires) / seconds:,.0f} fires per second of all shards' time")
    else:
        busy = "" if summary["cores_busy"] is None else f"; cores busy {summary['cores_busy']:.0%}"
        print(f"{len(fires) / seconds:,.0f} fires per second on {where}{busy}")
    if past is not None:
        for note in (*past.notes, fit.verdict(unit, per_ha)):
            print(note)
    if out is not None:
        print(f"maps and fires: {folder}")
    elif past is not None:
        print(f"sizes: {folder / 'sizes.png'}")


@app.command()
@asks(*ASKED)
def train(
    asked: dict[str, Any],
    config: Annotated[Path | None, typer.Option(help="JSON file of settings")] = None,
    landscape: Annotated[
        str | None, typer.Option(help="8-band GeoTIFF or folder of rasters", show_default="demo")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="share of the treatable cells or a number of cells")] = None,
    episodes: Annotated[int | None, typer.Option(help="episodes to train on")] = None,
    seed: Annotated[int | None, typer.Option(help="of everything drawn")] = None,
    workers: WorkersOption = None,
    out: Annotated[Path | None, typer.Option(help="folder in which the run's own folder is made")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="pretrained, a run's folder or a .safetensors file to go on from, or nothing",
            show_default=PRETRAINED,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="where the network is computed: cpu, cuda, auto", show_default="auto")
    ] = None,
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
        settings = _train_settings(
            asked,
            config,
            landscape,
            budget=budget,
            num_episodes=episodes,
            seed=seed,
            max_workers=workers,
            start=start,
            device=device,
            output_dir=None if out is None else str(out),
        )
        if start == "nothing":
            settings["start"] = None
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
    print(_heading(result.landscape, resolved))
    print("\n".join(report.score_lines(result.scores)))
    if result.steps_per_second:  # nothing was trained where a finished run is resumed
        cores = ", ".join(f"{share:.0%}" for share in result.core_use.per_core)
        print(
            f"training: {result.steps_per_second:,.0f} environment steps/s, {result.fires_per_second:,.0f} fires/s; "
            f"cores busy {result.core_use.busy_share:.0%} (each: {cores})"
        )
        print(training.bottleneck(result.core_use, result.network_s))
    print(f"run folder: {result.folder}")


@app.command()
def pretrain(
    lessons: Annotated[int, typer.Option(min=1, help="worlds to learn on")] = PretrainConfig.lessons,
    seed: Seed = 0,
    workers: WorkersOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="folder of the training; one that holds an interrupted one goes on", show_default="runs/pretrain-TIME"
        ),
    ] = None,
) -> None:
    """Train an agent for any landscape, on worlds made by rules: how the one that ships was made."""
    folder = _named(out, "pretrain")
    with _progress() as say:
        file = train_anywhere(PretrainConfig(lessons=lessons, seed=seed), folder, workers=workers, say=say)
    print(f"agent: {file}")


def _train_settings(
    asked: Mapping[str, Any], config: Path | None, landscape: str | None, **more: Any
) -> dict[str, Any]:
    """Settings of a training: of a file, if any, and of options, which go before it."""
    settings = {} if config is None else training.load_config(config)
    given = _settings(DEMO if landscape is None else landscape, asked, settings.get("units", "metric"))
    if landscape is None:
        del given["landscape"]
    given |= {name: value for name, value in more.items() if value is not None}
    settings = _kept(settings, asked) | given
    _refuse_idle(settings, asked)
    if landscape == DEMO:
        settings["landscape"] = None
    return settings


def _write_training(result: training.TrainResult, config: TrainConfig) -> None:
    tags = _circumstances(result.landscape, config, config.seed)
    curve = budget_curve(result.scores.plans, result.landscape, result.heldout)
    report.hand_over(result.folder, result.landscape, result.plan, result.heldout, result.scores, "agent", tags, curve)
    if (result.folder / "metrics.csv").is_file():
        report.training_figure(result.folder / "metrics.csv").savefig(result.folder / "training.png", dpi=120)


@landscape_app.command("info")
@asks("window", "buffer_cells", "crs", "fuel_model", "custom_fuels", "units")
def landscape_info(landscape: Thing, asked: dict[str, Any], as_json: AsJson = False) -> None:
    """Grid, fuels and what was settled when the landscape was opened."""
    problem = _problem(landscape, {"buffer_cells": 0} | asked)
    land = problem.open()
    codes, counts = np.unique(land.fuel_model, return_counts=True)
    known = land.fuel_model != 0  # 0 is no data, and what the other layers hold there is only a filling
    north = true_north_deg(land.crs, land.transform, land.shape) if land.crs and land.transform else None
    unit, per_meter = report.length_unit(problem.units)
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
        f"elevation_{unit}": [float(edge(land.elevation_m[known])) * per_meter for edge in (np.min, np.max)],
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


@app.command()
@asks(*ASKED)
def configure(
    asked: dict[str, Any],
    config: Annotated[Path | None, typer.Option(help="JSON file of settings to start from")] = None,
    landscape: Annotated[
        str | None, typer.Option(help="8-band GeoTIFF or folder of rasters", show_default="demo")
    ] = None,
    seconds: Annotated[float, typer.Option(min=5, help="how long is measured, in all")] = 60.0,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="measure every combination afterward, to check the choice")
    ] = False,
    workers: WorkersOption = None,
    out: Annotated[Path, typer.Option(help="the configuration to write")] = Path("configuration.json"),
    as_json: AsJson = False,
) -> None:
    """Measure this machine, and write the configuration with which it trains fastest, with the reason for each choice.

    Then train with it: fuelbreak train --config configuration.json
    """
    parallel.use_at_most(workers)
    if out.exists():
        raise InputError(f"--out: {out} exists; give another name, or move it away")
    settings = _train_settings(asked, config, landscape)
    resolved = training.make_config(settings, "command line" if config is None else str(config))
    training.check_torch()
    check_output_folder(out.parent)
    with _progress() as say:
        choice = bench.configure(resolved, seconds, say)
        swept = bench.sweep(choice, seconds / 10, say) if sweep else None
    with atomic_path(out) as temporary:
        temporary.write_text(choice.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    chosen, best = (swept.chosen.speed.steps_per_second, swept.best.speed.steps_per_second) if swept else (0.0, 0.0)
    if as_json:
        facts: dict[str, Any] = {"file": str(out), "reasons": choice.config.reasons, **choice.speed._asdict()}
        if swept:
            facts |= {"chosen_in_sweep": chosen, "best_in_sweep": best, "swept": swept.combinations}
        print(json.dumps(facts))
        return
    for name, reason in (choice.config.reasons or {}).items():
        print(f"{name}: {reason}")
    print(f"{bench.told(choice.config)}: {choice.speed.steps_per_second:.1f} environment steps/s")
    if swept:
        print(
            f"sweep of {swept.combinations}: the choice {chosen:.1f} steps/s, the best {best:.1f} "
            f"({bench.told(swept.best.config)}): the choice is at {chosen / best:.0%} of the best"
        )
    print(f"configuration: {out}; use it with: fuelbreak train --config {out}")


@app.command("leaderboard")
def run_leaderboard(
    half: Annotated[str, typer.Argument(help="dev, to develop on, or test, only for a dated result")] = "dev",
    methods: Annotated[
        str | None,
        typer.Option(help="planners, agent, agent+search, with commas between them", show_default="all planners"),
    ] = None,
    levels: Annotated[str, typer.Option(help="simulations a planner may use")] = "1000,10000,100000",
    sizes: Annotated[str | None, typer.Option(help="only courses of these sizes, such as 20,40")] = None,
    tiles: Annotated[
        Path | None, typer.Option(help="landscape of western Montana (8-band GeoTIFF), for tiles of it too")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder; what is done there is kept", show_default="runs/leaderboard-HALF")
    ] = None,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Every planner on the same frozen landscapes: loss avoided on held-out fires against what finding it costs.

    Twenty landscapes of 20 x 20 to 100 x 100 cells, 5 % of them treated. Stop it when you like: it goes on from there.
    """
    parallel.use_at_most(workers)
    if half not in leaderboard.SEEDS:
        raise InputError(f"leaderboard: {half!r} is no half; use {' or '.join(leaderboard.SEEDS)}")
    known = (
        tuple(planners.PLANNERS) if methods is None else tuple(methods.replace("-", "_").replace("+", "_").split(","))
    )
    chosen = {name: _agent(name, PRETRAINED) if name in policy.AGENTS else planners.planner(name) for name in known}
    numbers = {"--levels": levels, "--sizes": sizes or ""}
    read: dict[str, list[int]] = {}
    for flag, text in numbers.items():
        try:
            read[flag] = [int(part) for part in text.split(",") if part]
        except ValueError:
            raise InputError(f"{flag}: {text!r}; give whole numbers with commas between them") from None
    if not read["--levels"] or min(read["--levels"]) < leaderboard.FEWEST_FIRES:
        raise InputError(f"--levels: {levels!r}; give numbers of simulations from {leaderboard.FEWEST_FIRES} on")
    folder = check_output_folder(Path("runs") / f"leaderboard-{half}" if out is None else out)
    with _progress() as say:
        say("prepare", 0.0, COMPILING)
        warm_up()
        rows, shares = leaderboard.run(
            half,
            folder,
            methods=chosen,
            levels=read["--levels"],
            tiles=tiles,
            sizes=read["--sizes"],
            agents=policy.load_agent(PRETRAINED).digest if policy.AGENTS.keys() & chosen.keys() else "",
            say=lambda done, message: say("courses", done, message),
        )
        generated = [i for i, course in enumerate(rows) if not course[0]["course"].startswith("montana")]
        facts = leaderboard.facts([rows[i] for i in generated], [shares[i] for i in generated])
        elsewhere = [i for i in range(len(rows)) if i not in generated]
        facts["montana"] = leaderboard.summary([rows[i] for i in elsewhere], [shares[i] for i in elsewhere])
        facts |= {"half": half, "version": leaderboard.VERSION, "software": f"fuelbreak {__version__}"}
        report.write_table(folder, "courses", [row for course in rows for row in course])
        report.write_table(folder, "summary", facts["summary"])
        report.leaderboard_figure(facts["summary"], f"{half} landscapes, version {leaderboard.VERSION}").savefig(
            folder / "leaderboard.png", dpi=report.MAP_DPI
        )
        with atomic_path(folder / "leaderboard.json") as place:
            place.write_text(json.dumps(facts, indent=1))
    if as_json:
        print(json.dumps(facts))
        return
    print("\n".join(report.leaderboard_lines(facts)))
    print(f"tables and figure: {folder}")


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
            "peak_memory_mb": use.peak_memory_mb,
            "bottleneck": training.bottleneck(use, result.network_s),
            "timeline": use.timeline,
        }
        (folder / "cpu_test.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        if as_json:
            print(json.dumps(facts))
            return
        for core, share in enumerate(use.per_core):
            print(f"core {core}: {share:.0%} busy")
        print(f"process CPU time / (wall x cores - steal): {use.busy_share:.1%} over {use.seconds:.0f} s")
        print(f"{result.steps_per_second:.1f} environment steps/s, {result.fires_per_second:,.0f} fires/s")
        print(f"{facts['bottleneck']}; at most {use.peak_memory_mb:,.0f} MB held")
        print(f"plot: {folder / 'cpu_test.png'}")
        return
    with _progress() as say:
        ways = bench.parallel_methods(resolved, seconds, say)
    (folder / "parallel.json").write_text(json.dumps(ways, indent=2) + "\n", encoding="utf-8")
    report.parallel_figure(ways).savefig(folder / "parallel.png", dpi=120)
    if as_json:
        print(json.dumps(ways))
        return
    print("\n".join(bench.parallel_lines(ways, resolved)))
    print(f"plot and figures: {folder}")


@bench_app.command("spread")
def bench_spread(
    quick: Annotated[
        bool, typer.Option("--quick", help="a few seconds: rough figures, and no cold compilation")
    ] = False,
    workers: WorkersOption = None,
    to: SpeedFile = None,
) -> None:
    """Measure the kernels of fire spread on this machine, against scipy's shortest paths and against set bars."""
    parallel.use_at_most(workers)
    _check_speed_file(to)
    with _progress() as say:
        facts = bench.spread_speed(bench.QUICK if quick else bench.FULL, say)
    _speed(facts, to)


@bench_app.command("behavior")
def bench_behavior(
    landscape: Annotated[
        str | None, typer.Option(help="raster to repeat to 1,000,000 cells", show_default="random, all fuel models")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="runs of which the median is taken")] = 9,
    to: SpeedFile = None,
) -> None:
    """Measure fire behavior: CPU time of one core for one weather on 1,000,000 cells, against a set bar."""
    _check_speed_file(to)
    land = None if landscape is None else Landscape.open(landscape)
    with _progress() as say:
        facts = bench.behavior_speed(land, repeats, say)
    _speed(facts, to)


def _check_speed_file(to: Path | None) -> None:
    if to is not None:
        if to.is_dir():
            raise InputError(f"--json: {to} is a folder; name a file in it")
        check_output_folder(to.parent)


def _speed(facts: dict[str, Any], to: Path | None) -> None:
    """Print figures of speed as a table, and write them to a file."""
    if to is not None:
        with atomic_path(to) as temporary:
            temporary.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print("\n".join(bench.speed_lines(facts)))


@app.command("version")
def show_version() -> None:
    """Print the version."""
    print(__version__)
