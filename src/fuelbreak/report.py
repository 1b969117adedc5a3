"""What a run hands over: GIS files, scores, pictures."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.evaluate import CAVEAT, DESIGN_WEATHER, NO_BREAKS, Scores
from fuelbreak.formats import write_breaks, write_perimeters, write_raster
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.parallel import CoreUse
from fuelbreak.problem import save_fires
from fuelbreak.scenarios import Fires
from fuelbreak.simulate import SizeFit
from fuelbreak.spread import Fields, SpreadResult, spread
from fuelbreak.streams import FT_TO_M, HA_PER_ACRE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F4 = npt.NDArray[np.float32]
NODATA = -9999.0
EDGE_LIMIT = 0.05  # share of fires that reach the map's edge above which the edge counts as a break of its own
MAP_DPI = 150


def area_unit(units: str) -> tuple[str, float]:
    """What areas are told in, and how many of it make a hectare."""
    return ("acres", 1 / HA_PER_ACRE) if units == "us" else ("ha", 1.0)


def length_unit(units: str) -> tuple[str, float]:
    """What heights and flame lengths are told in, and how many of it make a meter."""
    return ("ft", 1 / FT_TO_M) if units == "us" else ("m", 1.0)


def check_can_write_gis(landscape: Landscape) -> None:
    """Refuse a landscape without coordinate system before any work is spent on files that cannot be written."""
    if landscape.crs is None or landscape.transform is None:
        raise InputError(
            f"{landscape.label}: the landscape has no coordinate system, so no GIS file can be written; "
            "give one with --crs, such as --crs EPSG:32611"
        )


def write_plan(folder: Path, stem: str, landscape: Landscape, plan: Plan, tags: Mapping[str, object]) -> None:
    """Write a plan as a raster of the rank of building (0 untreated) and a GeoPackage with a square for each cell."""
    check_can_write_gis(landscape)
    place: dict[str, Any] = {"crs": landscape.crs, "transform": landscape.transform}
    rank = np.zeros(landscape.shape, np.int16 if plan.units < 2**15 else np.float32)
    rank.flat[plan.cells] = plan.unit_rank
    tags = {"method": plan.method, "chosen_on": " ".join(plan.chosen_on), **tags}
    write_raster(
        folder / f"{stem}.tif",
        rank,
        **place,
        nodata=NODATA,
        tags=tags,
        description="rank of building, 0 untreated",
    )
    columns: dict[str, npt.NDArray[Any]] = {
        "rank": plan.unit_rank,
        "kind": np.array([plan.kind] * len(plan), dtype=object),
        "area_ha": np.full(len(plan), landscape.hectares_per_cell),
    }
    if plan.cost is not None:  # a cell's share of its unit's
        unit = plan.unit_rank - 1
        columns["cost"] = (plan.cost / np.bincount(unit))[unit]
    write_breaks(folder / f"{stem}.gpkg", plan.row_col, columns, **place, tags=tags)


def hand_over(
    folder: Path,
    landscape: Landscape,
    plan: Plan,
    fires: Fires,
    scores: Scores,
    name: str,
    settings: Mapping[str, object],
    curve: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write a plan's files into `folder`.

    plan.tif and plan.gpkg (`write_plan`), burn_probability_before.tif and _after.tif on the fires that judged, the
    tables and the picture of `write_judgment`, map.png.

    Parameters
    ----------
    name : of the plan in the scores
    settings : what the plan was made with, for the tags of the rasters
    curve : of `budget_curve`
    """
    check_can_write_gis(landscape)
    crs, transform = landscape.crs, landscape.transform
    tags = {
        "landscape": landscape.label,
        "fires": f"{len(fires)} {fires.origin} digest {fires.digest}",
        "caveat": CAVEAT,
        **settings,
    }
    write_plan(folder, "plan", landscape, plan, tags)
    tags["method"] = plan.method
    fields = Fields(landscape, fires.weather)
    before = spread(landscape, fires, fields=fields).burn_probability()
    after = spread(landscape, fires, plan, fields=fields).burn_probability()
    meaning = "conditional burn probability: share of the fires that burn the cell, given that one starts"
    for word, probability in (("before", before), ("after", after)):
        write_raster(
            folder / f"burn_probability_{word}.tif",
            probability,
            crs=crs,
            transform=transform,
            nodata=NODATA,
            tags=tags | {"meaning": meaning},
            description=f"burn probability {word} treatment",
        )
    write_judgment(folder, scores, curve)
    mean, low, high = scores.loss_avoided(name)
    title = (
        f"{len(plan.cells)} cells of firebreak ({name}) avoid {mean:.1%} of the expected loss "
        f"(95 % interval {low:.1%} to {high:.1%}, {len(fires)} held-out fires)"
    )
    if scores.reached_edge_share > EDGE_LIMIT:
        title += f"\n{scores.reached_edge_share:.0%} of the fires reach the map's edge, which acts as a break for them"
    plan_figure(landscape, before, after, plan, title).savefig(folder / "map.png", dpi=MAP_DPI)


def write_frequency(
    folder: Path, landscape: Landscape, frequency: F4, resamples: int, tags: Mapping[str, object]
) -> None:
    """Write how often each cell is chosen on resampled fires: selection_frequency.tif."""
    write_raster(
        folder / "selection_frequency.tif",
        frequency,
        crs=landscape.crs,
        transform=landscape.transform,
        nodata=NODATA,
        tags={"meaning": f"share of {resamples} resampled sets of fires on which the cell was chosen", **tags},
        description="selection frequency",
    )


FLAME_CLASSES_FT = ("0-2", "2-4", "4-6", "6-8", "8-12", "over 12")


def write_burn_maps(
    folder: Path,
    result: SpreadResult,
    *,
    tags: Mapping[str, object],
    units: str = "metric",
    perimeters: int = 0,
    arrivals: int = 0,
    say: Callable[[str, float, str], None] | None = None,
) -> None:
    """Write what simulated fires did into `folder`.

    burn_probability.tif; flame_lengths.tif (burn probability, conditional flame length, six classes); fires.gpkg, the
    fires themselves; on request perimeters.gpkg and arrival_min_I.tif.

    Parameters
    ----------
    result : of `spread` with flame lengths
    tags : of the rasters
    units : "us" gives flame length in feet
    perimeters, arrivals : of the first so many fires
    say : told of progress: stage, share done, message
    """
    landscape, fires = result.landscape, result.fires
    check_can_write_gis(landscape)
    place: dict[str, Any] = {"crs": landscape.crs, "transform": landscape.transform}
    files = 3 + min(arrivals, len(fires)) + (perimeters > 0)
    written = 0

    def told(name: str) -> Path:
        nonlocal written
        if say is not None:
            say("write", written / files, name)
        written += 1
        return folder / name

    tags = {"fires": f"{len(fires)} {fires.origin} digest {fires.digest}", **tags}
    probability = result.burn_probability()
    meaning = "conditional burn probability: share of the fires that burn the cell, given that one starts"
    write_raster(
        told("burn_probability.tif"),
        probability,
        **place,
        nodata=NODATA,
        tags=tags | {"meaning": meaning},
        description="conditional burn probability",
    )
    unit, per_meter = length_unit(units)
    bands = [probability, result.conditional_flame_length_m() * np.float32(per_meter), *result.flame_length_classes()]
    names = ["conditional burn probability", f"mean flame length where the cell burns, {unit}"]
    names += [f"share of flames of {each} ft where the cell burns" for each in FLAME_CLASSES_FT]
    meaning = "bands 2 to 8 are conditional: their denominator is the fires that burn the cell, not all fires"
    write_raster(
        told("flame_lengths.tif"),
        np.stack(bands),
        **place,
        nodata=NODATA,
        tags=tags | {"meaning": meaning},
        description=names,
    )
    save_fires(told("fires.gpkg"), landscape, fires, result.burned_area_ha, tags)
    if perimeters:
        some = range(min(perimeters, len(fires)))
        write_perimeters(
            told("perimeters.gpkg"),
            (np.isfinite(result.arrival_min(i)) for i in some),
            {
                "fire": fires.number[some],
                "duration_min": fires.duration_min[some].astype(np.float64),
                "burned_ha": result.burned_area_ha[some],
            },
            **place,
        )
    for i in range(min(arrivals, len(fires))):
        write_raster(
            told(f"arrival_min_{fires.number[i]}.tif"),
            result.arrival_min(i),
            **place,
            nodata=NODATA,
            tags=tags | {"fire": fires.number[i]},
            description="arrival time, minutes from ignition",
        )
    if say is not None:
        say("write", 1.0, "")


def sizes_figure(fit: SizeFit, units: str = "metric") -> Figure:
    """Sizes of past and simulated fires as shares of fires that are larger, and how well each duration fits."""
    from matplotlib.figure import Figure

    unit, per_ha = area_unit(units)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)

    def curve(sizes: npt.NDArray[np.float64], label: str, **style: Any) -> None:
        ordered = np.sort(sizes)[::-1] * per_ha
        left.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", label=label, **style)

    for i, dashes in ((0, ":"), (len(fit.durations_min) - 1, "--")):
        if i != fit.best:
            curve(fit.simulated_ha[i], f"simulated, {fit.durations_min[i]:g} min", color="0.6", lw=1.2, ls=dashes)
    curve(fit.simulated_ha[fit.best], f"simulated, {fit.best_duration_min:g} min", color="tab:red", lw=1.8)
    curve(fit.past_ha, f"{len(fit.past_ha)} past fires", color="k", lw=1.8)
    left.set(xscale="log", yscale="log", xlabel=f"fire size ({unit})", ylabel="share of fires at least as large")
    left.legend(fontsize=9)
    right.plot(fit.durations_min / 60, fit.distance, "o-", color="tab:red", label="distance to past sizes")
    right.plot(fit.durations_min / 60, fit.at_edge, "s--", color="0.5", label="share of fires at the map's edge")
    right.axvline(fit.best_duration_min / 60, color="k", lw=0.8)
    right.set(xscale="log", xlabel="duration (hours)", ylabel="0 to 1", ylim=(0, 1))
    hours = fit.durations_min / 60
    right.set_xticks(hours, [f"{hour:g}" if hour in (0.5, 1, 2, 4, 8, 16, 24, 48) else "" for hour in hours])
    right.minorticks_off()
    right.legend(fontsize=9)
    figure.suptitle(f"{fit.best_duration_min:g} minutes fit best (Kolmogorov-Smirnov {fit.distance[fit.best]:.2f})")
    return figure


def write_judgment(folder: Path, scores: Scores, curve: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Write what the judge found into `folder`: tables as CSV (and Parquet, where pyarrow is installed), and a picture.

    scores, differences, robustness, budget_curve (if there is one), scores.png. Returns the names of the files.
    """
    tables: dict[str, Sequence[Mapping[str, Any]]] = {
        "scores": [{**row, "tied_with": "; ".join(row["tied_with"])} for row in scores.table()],
        "differences": differences(scores),
        "robustness": scores.robustness(),
        "budget_curve": curve,
    }
    written = []
    for stem, rows in tables.items():
        if rows:
            written += write_table(folder, stem, rows)
    scores_figure(scores, curve).savefig(folder / "scores.png", dpi=MAP_DPI)
    return [*written, "scores.png"]


def write_table(folder: Path, stem: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write rows as CSV, and as Parquet where pyarrow is installed; returns the names of the files."""
    with (folder / f"{stem}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return [f"{stem}.csv"]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), folder / f"{stem}.parquet")
    return [f"{stem}.csv", f"{stem}.parquet"]


def differences(scores: Scores) -> list[dict[str, Any]]:
    """The first plan against each of the others, paired by fire: plan, against, mean, low, high, verdict."""
    first, *others = scores.names[1:]
    rows = []
    for other in others:
        mean, low, high = scores.difference(first, other)
        verdict = ("more" if mean > 0 else "less") if scores.is_clear(first, other) else "no clear difference"
        rows.append({"plan": first, "against": other, "mean": mean, "low": low, "high": high, "verdict": verdict})
    return rows


def score_facts(scores: Scores, curve: Sequence[Mapping[str, Any]] = (), points: float = 1.0) -> dict[str, Any]:
    """What the judge found, for a program: tables as in `write_judgment`, and what limits them."""
    return {
        "scores": scores.table(),
        "differences": differences(scores),
        "robustness": scores.robustness(),
        "budget_curve": list(curve),
        "fires": len(scores.weight),
        "fires_needed": {"points": points, "plans": _needed(scores, points)},
        "reached_edge_share": scores.reached_edge_share,
        "range_warning": scores.range_warning,
        "caveat": CAVEAT,
    }


def _needed(scores: Scores, points: float) -> dict[str, int]:
    """How many fires the first plan's figure, and its difference from each other plan, need."""
    first = scores.names[1]
    return {other: scores.fires_needed(first, other, points=points) for other in (NO_BREAKS, *scores.names[2:])}


def score_lines(scores: Scores, curve: Sequence[Mapping[str, Any]] = (), points: float = 1.0) -> list[str]:
    """What the judge found as lines of text.

    The table of scores, best first; the first plan's paired differences from the others, and ties; how plans fare if
    things go otherwise; what the first part of the first plan buys; how many fires a narrower interval takes.
    """
    lines = []
    if scores.reached_edge_share > EDGE_LIMIT:
        lines.append(
            f"Warning: {scores.reached_edge_share:.0%} of the fires in the area of interest also reach the map's outer "
            "edge, which acts as a break for them, so the figures below lean on it; "
            "give a wider --buffer, as far as the raster goes, or a shorter --duration."
        )
    if scores.range_warning is not None:
        lines.append(scores.range_warning)
    lines.append(
        f"{'plan':<18}{'units':>6}  {'loss avoided':>12}  {'95 % interval':>17}  {'own fires':>9}  "
        f"{'simulations':>11}  {'cells solved':>12}  {'CPU s':>7}"
    )
    for row in sorted(scores.table(), key=lambda row: -row["loss_avoided"]):
        interval = f"{row['low']:.1%} to {row['high']:.1%}"
        own = "" if row["training_loss_avoided"] is None else f"{row['training_loss_avoided']:.1%}"
        lines.append(
            f"{row['plan']:<18}{row['units']:>6}  {row['loss_avoided']:>12.1%}  {interval:>17}  {own:>9}  "
            f"{row['simulations']:>11,}  {row['cells_solved']:>12,}  {row['seconds']:>7.2f}"
        )
    for row in differences(scores):
        mean, low, high = (100 * row[key] for key in ("mean", "low", "high"))
        lines.append(
            f"{row['plan']} - {row['against']}: {mean:+.1f} points ({low:+.1f} to {high:+.1f}): {row['verdict']}"
        )
    told = set[frozenset[str]]()
    for name, (rank, tied) in scores.ranking().items():
        new = [other for other in tied if frozenset((name, other)) not in told]
        told |= {frozenset((name, other)) for other in new}
        if new:
            lines.append(f"rank {rank}, tied: {name} with {', '.join(new)}")
    lines += _robust_lines(scores)
    first = scores.names[1]
    steps = [row for row in curve if row["plan"] == first and row["units"]]
    if len(steps) > 1:
        half = steps[(len(steps) - 1) // 2]
        lines.append(
            f"the first {half['units']} units of {first} avoid {half['loss_avoided']:.1%}, "
            f"all {steps[-1]['units']} {steps[-1]['loss_avoided']:.1%}"
        )
    lines += _interval_lines(scores, points)
    lines.append(CAVEAT)
    return lines


def _interval_lines(scores: Scores, points: float) -> list[str]:
    """Whether more fires would make the first plan's interval as narrow as wanted."""
    first, needed = scores.names[1], _needed(scores, points)
    most = max(needed.values())
    if most <= len(scores.weight):
        return []
    what = max(needed, key=needed.__getitem__)
    thing = first if what == NO_BREAKS else f"{first} - {what}"
    return [f"an interval of +-{points:g} points for {thing} takes about {most:,} held-out fires (--heldout {most})"]


def _robust_lines(scores: Scores) -> list[str]:
    """Loss avoided by plan and scenario, the worst case of each and its regret."""
    if not scores.scenarios:
        return []
    names = (DESIGN_WEATHER, *scores.scenarios)
    wide = max(len(name) for name in names) + 2
    rows = {(row["plan"], row["scenario"]): row for row in scores.robustness()}
    plans = scores.best_first
    columns = [max(len(plan), 8) + 2 for plan in plans]
    lines = ["loss avoided if things go otherwise:"]
    lines.append(" " * wide + "".join(f"{plan:>{column}}" for plan, column in zip(plans, columns, strict=True)))
    for name in names:
        shares = "".join(
            f"{rows[plan, name]['loss_avoided']:>{column}.1%}" for plan, column in zip(plans, columns, strict=True)
        )
        lines.append(f"{name:<{wide}}{shares}")
    first = scores.names[1]
    worst, share, sorry, regret = scores.worst_case(first)
    lines.append(
        f"worst case of {first}: {worst}, {share:.1%}; "
        + (f"greatest regret: {100 * regret:.1f} points with {sorry}" if regret > 0 else "no plan here does better")
    )
    return lines


def scores_figure(scores: Scores, curve: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """What the next unit buys, and how plans fare if things go otherwise, both with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, name in enumerate(scores.best_first):
        color = f"C{i % 10}"
        rows = [row for row in curve if row["plan"] == name]
        if rows:
            units = [row["units"] for row in rows]
            left.plot(units, [100 * row["loss_avoided"] for row in rows], color=color, label=name)
            left.fill_between(
                units, [100 * row["low"] for row in rows], [100 * row["high"] for row in rows], color=color, alpha=0.15
            )
        else:
            mean, low, high = (100 * each for each in scores.loss_avoided(name))
            at = scores.plans[name].units
            left.errorbar([at], [mean], [[mean - low], [high - mean]], fmt="o", color=color, label=name)
    left.set(xlabel="units built", ylabel="loss avoided (%)", title="what the next unit buys", ylim=(0, None))
    left.legend(fontsize=8)
    names = (DESIGN_WEATHER, *scores.scenarios)
    rows_of = {(row["plan"], row["scenario"]): row for row in scores.robustness()}
    for i, plan in enumerate(scores.best_first):
        shift = (i - (len(scores.names) - 2) / 2) * 0.7 / max(len(scores.names) - 1, 1)
        means = np.array([rows_of[plan, name]["loss_avoided"] for name in names])
        low = means - [rows_of[plan, name]["low"] for name in names]
        high = np.array([rows_of[plan, name]["high"] for name in names]) - means
        right.errorbar(
            100 * means, np.arange(len(names)) + shift, xerr=100 * np.stack([low, high]), fmt="o", ms=4,
            color=f"C{i % 10}", label=plan,
        )  # fmt: skip
    right.set_yticks(range(len(names)), names)
    right.invert_yaxis()
    right.set(xlabel="loss avoided (%)", title="if things go otherwise")
    right.grid(axis="x", alpha=0.3)
    figure.suptitle(f"{len(scores.weight):,} held-out fires, 95 % intervals of their sampling", fontsize=11)
    return figure


def leaderboard_lines(facts: Mapping[str, Any]) -> list[str]:
    """The leaderboard as lines of text: at each number of simulations the methods, best first, then the claims."""
    lines = [
        f"leaderboard version {facts['version']}, {facts['courses']} {facts['half']} landscapes, 5 % treated; loss "
        "avoided on held-out fires, means with 95 % intervals over landscapes and fires"
    ]
    for level in sorted({row["level"] for row in facts["summary"]}):
        lines.append(f"up to {level:,} simulations")
        lines.append(
            f"  {'method':<24}{'loss avoided':>13}  {'95 % interval':>17}  {'over sequential DPV':>25}  "
            f"{'simulations':>11}  {'cells solved':>13}  {'CPU s':>7}"
        )
        for row in sorted(facts["summary"], key=lambda row: -row["loss_avoided"]):
            if row["level"] == level:
                interval = f"{row['low']:.1%} to {row['high']:.1%}"
                over = " to ".join(f"{100 * row[f'over_sequential_{end}']:+.1f}" for end in ("low", "high"))
                lines.append(
                    f"  {row['method']:<24}{row['loss_avoided']:>13.1%}  {interval:>17}  "
                    f"{100 * row['over_sequential']:>+9.1f} ({over:>14})  {row['simulations']:>11,.0f}  "
                    f"{row['cells_solved']:>13,.0f}  {row['seconds']:>7.2f}"
                )
    for claim in facts["claims"]:
        mean, low, high = (100 * claim[key] for key in ("mean", "low", "high"))
        lines.append(
            f"{claim['plan']} - {claim['over']}, {claim['level']:,}: {mean:+.1f} points ({low:+.1f} to {high:+.1f})"
        )
    return lines


def leaderboard_figure(summary: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Loss avoided by each method against simulations and against CPU seconds, with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    methods = list(dict.fromkeys(row["method"] for row in summary))
    for i, method in enumerate(methods):
        rows = [row for row in summary if row["method"] == method]
        share = 100 * np.array([row["loss_avoided"] for row in rows])
        reach = 100 * np.array([[row["low"] for row in rows], [row["high"] for row in rows]])
        style: dict[str, Any] = {"color": f"C{i % 10}", "marker": "os^Dv"[i // 10 * 2 + i % 2], "ms": 5, "lw": 1.2}
        for axis, key in zip(axes, ("simulations", "seconds"), strict=True):
            if not any(row["simulations"] for row in rows):  # it burns no fire: as good at any cost
                axis.axhline(share.mean(), color=f"C{i % 10}", ls="--", lw=1, label=method)
                continue
            cost = [row[key] for row in rows]
            axis.errorbar(cost, share, np.abs(reach - share), label=method, elinewidth=0.5, **style)
    for axis, label in zip(axes, ("simulations", "CPU seconds, mean over landscapes"), strict=True):
        axis.set(xscale="log", xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("loss avoided on held-out fires (%)")
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(f"{title}: 5 % treated")
    return figure


def _hillshade(landscape: Landscape) -> F4:
    """Light from the northwest, 45 degrees high (H, W), 0 to 1."""
    slope, aspect = np.deg2rad(landscape.slope_deg), np.deg2rad(np.maximum(landscape.aspect_deg, 0))
    light = np.sin(np.pi / 4) * np.cos(slope) + np.cos(np.pi / 4) * np.sin(slope) * np.cos(np.deg2rad(315) - aspect)
    return np.asarray(np.clip(light, 0, 1), np.float32)


def plan_figure(landscape: Landscape, before: F4, after: F4, plan: Plan, title: str) -> Figure:
    """Burn probability before and after, one color scale, the plan's breaks in the second.

    Color says probability wherever it is above 2 % of the largest; the relief dims it by 15 % at most. Below, where
    hardly anything burns, the bare relief shows.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows, cols = landscape.shape
    figure = Figure(figsize=(12, 0.8 + 5.6 * rows / cols), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    km = landscape.cell_size_m / 1000
    extent = (0, cols * km, 0, rows * km)
    relief = 0.85 + 0.15 * _hillshade(landscape)[..., None]
    bare_ground = np.repeat(2 * relief - 1, 3, axis=2)  # 0.7 to 1, gray
    fire = LinearSegmentedColormap.from_list(
        "fire", [(1, 0.95, 0.6), (1, 0.78, 0.25), (0.96, 0.45, 0.1), (0.8, 0.1, 0.1), (0.45, 0, 0.2)], N=300
    )
    hardly = 0.02
    colors = fire(np.linspace(0, 1, 300))
    colors[: round(hardly * 300)] = (0.93, 0.93, 0.93, 1)
    top = max(float(before.max()), 1e-6)
    scale = ScalarMappable(Normalize(0, top), ListedColormap(colors))
    for axis, probability, word in zip(axes, (before, after), ("before", "after"), strict=True):
        picture = np.where(
            (probability > hardly * top)[..., None],
            scale.to_rgba(probability)[..., :3] * relief,
            bare_ground,
        )
        picture[~landscape.burnable] = ((0.55, 0.69, 0.87) * relief)[~landscape.burnable]
        axis.imshow(picture, extent=extent)
        row, col, high, wide = landscape.aoi_window
        if (high, wide) != (rows, cols):
            axis.add_patch(
                Rectangle((col * km, (rows - row - high) * km), wide * km, high * km, fill=False, ec="0.1", lw=1.2)
            )
        axis.set_title(f"burn probability {word}" + (" the fuel breaks" if word == "before" else ", breaks in black"))
        axis.set_xlabel("km east")
    axes[0].set_ylabel("km north")
    breaks = np.zeros((rows, cols, 4))
    breaks[plan.mask] = (0, 0, 0, 1)
    axes[1].imshow(breaks, extent=extent)
    if 5.1 * MAP_DPI / cols < 4:  # cells this small, in pixels of the saved map, would be lost as specks
        axes[1].set_title("burn probability after, breaks in black, larger than they are")
        row, col = plan.row_col.T
        cell_pt = 5.1 * 72 / cols
        # As large as leaves nine tenths of the map in sight, since many large marks would hide where the breaks are.
        mark_pt = np.clip(cell_pt * np.sqrt(0.1 * rows * cols / max(len(plan), 1)), cell_pt, 3.4)
        for side_pt, color in ((1.4 * mark_pt, "w"), (mark_pt, "k")):  # one halo around neighbors, not one around each
            axes[1].scatter((col + 0.5) * km, (rows - row - 0.5) * km, s=side_pt**2, c=color, marker="s", lw=0)
        axes[1].set(xlim=extent[:2], ylim=extent[2:])
    figure.colorbar(scale, ax=axes, label="conditional burn probability", shrink=0.85)
    frame = "" if landscape.area_of_interest.all() else "; frame: area of interest"
    figure.suptitle(f"{title}\n{landscape.label}; nonburnable in blue{frame}", fontsize=11)
    return figure


def training_figure(metrics_csv: Path) -> Figure:
    """Learning curve and use of the cores, from a run's metrics.csv."""
    from matplotlib.figure import Figure

    table = np.genfromtxt(metrics_csv, delimiter=",", names=True, ndmin=1)
    figure = Figure(figsize=(9, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.plot(table["episodes"], 100 * table["loss_avoided_train"], "o-", label="episode's own fires, exploring")
    top.plot(table["episodes"], 100 * table["loss_avoided_validation"], "s-", label="validation fires")
    top.set_ylabel("loss avoided (%)")
    top.legend()
    below = np.zeros(len(table))
    for share, label in (("network", "network"), ("fires", "fires and the rest"), ("waiting", "waiting")):
        values = 100 * table[f"share_{share}"]
        bottom.fill_between(table["episodes"], below, below + values, alpha=0.5, label=label)
        below = below + values
    bottom.set_ylim(0, 105)
    bottom.set_ylabel("cores' time (%)")
    bottom.set_xlabel("episodes")
    bottom.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def cores_figure(use: CoreUse, title: str) -> Figure:
    """Busy share of each core over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axis = figure.subplots()
    seconds = [moment for moment, _ in use.timeline]
    for core in range(len(use.per_core)):
        axis.plot(seconds, [100 * shares[core] for _, shares in use.timeline], label=f"core {core}", lw=1)
    axis.set(xlabel="seconds", ylabel="busy (%)", ylim=(0, 105), title=title)
    axis.legend(loc="lower right", ncols=4)
    return figure


def parallel_figure(ways: Sequence[Mapping[str, Any]]) -> Figure:
    """Simulations per second, speed-up and efficiency of each way of running: environment steps, then whole fires."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3)
    for row, work in zip(axes, ("environment steps", "whole fires"), strict=True):
        chosen = [way for way in ways if way["work"] == work]
        for axis, key, label in zip(
            row,
            ("simulations_per_second", "speedup", "efficiency"),
            ("thousand simulations per second", "speed-up over sequential", "efficiency (speed-up per core)"),
            strict=True,
        ):
            scale = 1000 if key == "simulations_per_second" else 1
            names = [f"{way['method']} ({way['cores']})" for way in chosen]
            _bars(axis, names, [way[key] / scale for way in chosen], label)
        row[1].set_title(f"{work} (cores in brackets)")
    return figure


def _bars(axis: Axes, names: list[str], values: list[float], label: str) -> None:
    bars = axis.bar(range(len(names)), values, color="tab:orange")
    axis.bar_label(bars, fmt="{:,.2f}" if max(values) < 100 else "{:,.0f}")
    axis.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axis.set_ylabel(label)
    axis.margins(y=0.15)
