"""The landscape a plan is made for, the budget, and the plan itself. Units and orientation are settled here, once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from fuelbreak import formats, fuels
from fuelbreak.errors import InputError

T = TypeVar("T", bound=np.generic)
Window = tuple[int, int, int, int]  # first row, first column, rows, columns
Transform = tuple[float, float, float, float, float, float]  # x = a col + b row + c, y = d col + e row + f

# What a value may be. The upper ends catch units: LANDFIRE stores heights times 10, bulk density times 100.
LAYER_RANGES = {
    "elevation_m": (-500.0, 9000.0, "meters"),
    "slope_deg": (0.0, 90.0, "degrees, not percent"),
    "aspect_deg": (-1.0, 360.0, "degrees clockwise from north the slope faces, -1 where flat"),
    "canopy_cover_pct": (0.0, 100.0, "percent"),
    "canopy_height_m": (0.0, 120.0, "meters, not meters x 10"),
    "canopy_base_height_m": (0.0, 120.0, "meters, not meters x 10"),
    "canopy_bulk_density_kg_m3": (0.0, 5.0, "kg/m3, not kg/m3 x 100"),
    "value": (0.0, 1e12, "any unit of loss, zero or more"),
}
FLAME_CLASSES = 6  # of flame length, by which losses may differ
KINDS = ("firebreak", "shaded")  # cleared ground; shaded fuelbreak


class Amount(NamedTuple):
    """A budget as it was asked for: a number, and of what: `share`, `units`, `ha` or `money`."""

    number: Decimal
    of: str


# How a budget may end, what it then counts in, and how many of that it is.
BUDGET_ENDS = (
    ("%", "share", Decimal("0.01")),
    ("ha", "ha", Decimal(1)),
    ("acres", "ha", Decimal("0.40468564224")),
    ("money", "money", Decimal(1)),
)


def parse_budget(budget: float | int | str, advice: str) -> Amount:
    """Read a budget: a float or '5%' is a share of the treatable cells, an int a number of units, or '30 ha', '$5000'.

    Raises
    ------
    InputError : zero, negative, or not a number; `advice` says what to give
    """
    text = str(budget).strip()
    number, of, per = text, "", Decimal(1)
    for end, what, each in BUDGET_ENDS:
        if text.endswith(end):
            number, of, per = text.removesuffix(end).strip(), what, each
    if text.startswith("$") and not of:
        number, of = text[1:].strip(), "money"
    if of == "money":
        number = number.removeprefix("$").replace(",", "")
    try:
        # Exact, because 0.29 of 50 cells is 14.5 to a person and 14.499999999999998 to a float.
        amount = Decimal(number)
    except InvalidOperation:
        raise InputError(f"budget {text!r} is not a number; {advice}") from None
    if isinstance(budget, bool | np.bool_) or not amount.is_finite() or abs(amount) > 10**12:
        raise InputError(f"budget {text} is not a number; {advice}")
    if amount <= 0:
        raise InputError(f"budget {text} buys no fuel break; {advice}")
    if not of:
        whole = isinstance(budget, int | np.integer) or (
            isinstance(budget, str) and amount == int(amount) and "." not in text
        )
        of = "units" if whole else "share"
    return Amount(amount * per, of)


def budget_units(landscape: Landscape, budget: float | int | str) -> int:
    """Say how many cells a budget pays for, where each cell is a unit of its own.

    Parameters
    ----------
    landscape : its treatable cells (burnable, in the area of interest) are the whole
    budget : a float in (0, 1] is a fraction of the treatable cells (rounded half up, at least 1), an int is a number
        of cells; text is read the same way, and may end in '%', 'ha' or 'acres'

    Raises
    ------
    InputError : zero, negative, not a number, or more than there are treatable cells
    """
    _, amount = prices(landscape, Units.of_cells(landscape), budget)
    return int(amount)


def prices(landscape: Landscape, units: Units, budget: float | int | str) -> tuple[npt.NDArray[np.float64], float]:
    """What each unit takes of a budget (U,), and how much there is: both in cells, units, hectares or money.

    Of one cell each and without a budget in money, units take 1 each, and the amount is a whole number.

    Parameters
    ----------
    budget : a share of the treatable cells (0.05 or '5%'), a number of units (12), hectares ('30 ha', '75 acres') or
        money ('$50000', '50000 money'; units then need a cost)

    Raises
    ------
    InputError : zero, negative, not a number, more than there is to treat, or money where units have no cost
    """
    available = int(np.count_nonzero(landscape.treatable))
    allowed = ~units.excluded
    there, thing = int(allowed.sum()), "cells" if units.single else "units"
    advice = f"give a fraction like 0.05, '5%', or a number of {thing} from 1 to {there}"
    text = str(budget).strip()
    amount = parse_budget(budget, advice)
    cells = (units.cells >= 0).sum(axis=1).astype(np.float64)
    if amount.of == "money":
        if units.cost is None:
            raise InputError(f"budget {text}: no unit has a cost; give costs, or a budget in units or hectares")
        if amount.number > Decimal(float(units.cost[allowed].sum())):
            all_cost = units.cost[allowed].sum()
            raise InputError(f"budget {text} is more than all {there} units cost, {all_cost:,.0f}; give less")
        return units.cost, float(amount.number)
    if amount.of == "ha":
        whole = int(amount.number / Decimal(landscape.hectares_per_cell) + Decimal("1e-9"))
        if whole < cells.min():
            raise InputError(
                f"budget {text} buys no fuel break: the smallest unit has "
                f"{cells.min() * landscape.hectares_per_cell:g} ha; give more"
            )
        number, price = whole, cells
    elif amount.of == "share":
        if amount.number > 1:
            hint = "" if text.endswith("%") else f" (for {text} {thing} give a whole number)"
            raise InputError(f"budget {text} is more than all {available} treatable cells{hint}; {advice}")
        number = max(1, int((amount.number * available).to_integral_value(rounding=ROUND_HALF_UP)))
        price = cells
        if number < cells.min():
            raise InputError(f"budget {text} is {number} cells, but the smallest unit has {cells.min():.0f}; give more")
        number = min(number, max(1, int(cells[allowed].sum())))  # units rarely cover all that is treatable
    else:
        number, price = int(amount.number), np.ones(len(units))
    if number > price[allowed].sum():
        most = int(price[allowed].sum())
        raise InputError(f"budget {text} is {number} {thing}, but only {most} can be treated; {advice}")
    return price, float(number)


def crop(landscape: Landscape, window: Window, buffer_cells: int = 0) -> Landscape:
    """Cut a window out of a landscape, with up to `buffer_cells` around it that are not in the area of interest.

    Parameters
    ----------
    window : (first row, first column, rows, columns) of what becomes the area of interest
    buffer_cells : width of the surrounding ring, in cells; where the landscape ends, so does the ring
    """
    row, col, rows, cols = _checked_window(window, landscape.shape, landscape.label)
    buffer = _checked_buffer(buffer_cells)
    top, left = max(0, row - buffer), max(0, col - buffer)
    bottom, right = min(landscape.shape[0], row + rows + buffer), min(landscape.shape[1], col + cols + buffer)
    inside = np.zeros((bottom - top, right - left), bool)
    inside[row - top : row - top + rows, col - left : col - left + cols] = True
    part = np.s_[top:bottom, left:right]
    changes: dict[str, Any] = {name: getattr(landscape, name)[part] for name in LAYERS}
    if landscape.transform is not None:
        a, b, c, d, e, f = landscape.transform
        changes["transform"] = (a, b, c + a * left + b * top, d, e, f + d * left + e * top)
    changes["area_of_interest"] = inside & landscape.area_of_interest[part]
    if landscape.value_by_flame is not None:
        changes["value_by_flame"] = landscape.value_by_flame[:, top:bottom, left:right]
    return replace(landscape, **changes)


def with_buffer(landscape: Landscape, cells: int) -> Landscape:
    """Take the outer ring of a landscape, `cells` wide, out of its area of interest."""
    buffer = _checked_buffer(cells)
    height, width = landscape.shape
    if buffer == 0:
        return landscape
    if 2 * buffer >= min(height, width):
        raise InputError(
            f"{landscape.label}: a buffer of {buffer} cells leaves nothing of {height} rows x {width} columns; "
            f"give at most {(min(height, width) - 1) // 2}"
        )
    inside = np.zeros(landscape.shape, bool)
    inside[buffer:-buffer, buffer:-buffer] = True
    return replace(landscape, area_of_interest=inside & landscape.area_of_interest)


def with_crs(landscape: Landscape, crs: str) -> Landscape:
    """Give a landscape that has none its coordinate reference system, as 'EPSG:32611' or WKT.

    Raises
    ------
    InputError : it has another one already; naming a new one would move it on the map, not reproject it
    """
    wanted = formats.normalize_crs(crs)
    if landscape.crs is not None and formats.normalize_crs(landscape.crs) != wanted:
        raise InputError(
            f"{landscape.label}: its coordinate system is {landscape.crs.split(',')[0]}, not {crs}; leave --crs out, "
            "or reproject the files with gdalwarp"
        )
    return replace(landscape, crs=wanted)


def shaded(
    landscape: Landscape,
    *,
    fuel_model: int | Mapping[int, int] | None = None,
    max_canopy_cover_pct: float | None = None,
    min_canopy_base_height_m: float | None = None,
    max_canopy_bulk_density_kg_m3: float | None = None,
) -> Landscape:
    """Show the landscape as it would be if every cell that can be treated were thinned and pruned to a prescription.

    There is no default prescription: the figures come from the forester. A treatment may slow fire or speed it up, as
    an open canopy lets in more wind and more grass grows under it. Cells that cannot be treated stay as they are.

    Parameters
    ----------
    fuel_model : the fuel model a treated cell gets, or a table old -> new; models not in the table stay
    max_canopy_cover_pct : canopy is thinned to this cover where there is more, percent
    min_canopy_base_height_m : trees are pruned to this height, meters, where their crowns begin lower; lower trees to
        their own height
    max_canopy_bulk_density_kg_m3 : crowns are thinned to this density where they are denser, kg/m3

    Raises
    ------
    InputError : nothing is asked for, a fuel model that is unknown or does not burn, a limit out of the layer's range
    """
    limits = {
        "canopy_cover_pct": max_canopy_cover_pct,
        "canopy_base_height_m": min_canopy_base_height_m,
        "canopy_bulk_density_kg_m3": max_canopy_bulk_density_kg_m3,
    }
    treated: dict[str, npt.NDArray[Any]] = {}
    if fuel_model is not None:
        treated["fuel_model"] = _changed_fuels(landscape, fuel_model)
    for name, limit in limits.items():
        if limit is None:
            continue
        layer = getattr(landscape, name)
        bound = np.float32(_checked_limit(landscape.label, name, limit))
        if name == "canopy_base_height_m":
            treated[name] = np.maximum(layer, np.minimum(landscape.canopy_height_m, bound))
        else:
            treated[name] = np.minimum(layer, bound)
    if not treated:
        raise InputError(
            f"{landscape.label}: a shaded fuelbreak changes fuel or canopy; give fuel_model, max_canopy_cover_pct, "
            "min_canopy_base_height_m or max_canopy_bulk_density_kg_m3"
        )
    changes: dict[str, Any] = {
        name: np.where(landscape.treatable, layer, getattr(landscape, name)) for name, layer in treated.items()
    }
    return replace(landscape, **changes)


def _changed_fuels(landscape: Landscape, fuel_model: int | Mapping[int, int]) -> npt.NDArray[np.int16]:
    """Fuel model of each cell after treatment, (H, W), every old model looked up before any is changed."""
    codes = [*fuel_model.keys(), *fuel_model.values()] if isinstance(fuel_model, Mapping) else [fuel_model]
    where = f"{landscape.label}: shaded fuelbreak:"
    if not codes:
        raise InputError(f"{where} fuel_model is an empty table; give old -> new codes, or leave it out")
    for code in codes:
        if isinstance(code, bool | np.bool_) or not isinstance(code, int | np.integer):
            raise InputError(f"{where} fuel_model {code!r} is not a code; give a whole number such as 181 (TL1)")
        if code in fuels.NONBURNABLE_CODES:
            raise InputError(
                f"{where} fuel model {code} ({fuels.name_of(int(code))}) does not burn; give models that burn, "
                "or plan firebreaks for cleared ground"
            )
        if not fuels.burnable(np.array([code]), landscape.custom_fuels)[0]:
            raise InputError(f"{where} unknown fuel model {code}; use codes of the 13 or the 40 standard models")
    if not isinstance(fuel_model, Mapping):
        return np.full(landscape.shape, fuel_model, np.int16)
    changed = landscape.fuel_model.copy()
    for old, new in fuel_model.items():
        changed[landscape.fuel_model == old] = new
    return changed


def _checked_limit(label: str, name: str, limit: float) -> float:
    """Limit of a canopy layer, within what the layer may be."""
    low, high, unit = LAYER_RANGES[name]
    try:
        number = float(limit)
    except (TypeError, ValueError):
        number = math.nan
    if not low <= number <= high:
        raise InputError(
            f"{label}: shaded fuelbreak: the limit of {name} is {limit!r}; give {low:g} to {high:g} ({unit})"
        )
    return number


def slope_aspect(elevation_m: npt.NDArray[Any], cell_size_m: float) -> tuple[npt.NDArray[np.float32], ...]:
    """Slope (degrees) and the azimuth it faces (degrees clockwise from grid north, -1 where flat) of a terrain.

    Third-order finite differences over the eight neighbors (Horn 1981, Proc. IEEE 69(1):14-47); beyond the edge the
    terrain goes on straight.

    Parameters
    ----------
    elevation_m : (H, W), at least 2 x 2, row 0 north, meters
    cell_size_m : side of a cell, meters
    """
    z = np.pad(np.asarray(elevation_m, float), 1, mode="reflect", reflect_type="odd")
    west, east = z[:, :-2], z[:, 2:]
    north, south = z[:-2], z[2:]
    rise_east = ((east - west)[:-2] + 2 * (east - west)[1:-1] + (east - west)[2:]) / (8 * cell_size_m)
    rise_north = ((north - south)[:, :-2] + 2 * (north - south)[:, 1:-1] + (north - south)[:, 2:]) / (8 * cell_size_m)
    slope = np.degrees(np.arctan(np.hypot(rise_east, rise_north)))
    aspect = np.degrees(np.arctan2(-rise_east, -rise_north)) % 360
    aspect[slope < 1e-9] = -1
    return slope.astype(np.float32), aspect.astype(np.float32)


def _checked_window(window: Window, shape: tuple[int, int], label: str) -> Window:
    row, col, rows, cols = _four_numbers(window)
    where = f"{label}: {shape[0]} rows x {shape[1]} columns"
    if row < 0 or col < 0 or row + rows > shape[0] or col + cols > shape[1]:
        raise InputError(f"window {row},{col},{rows},{cols} (row, column, rows, columns) reaches outside {where}")
    return row, col, rows, cols


def _four_numbers(window: Window) -> Window:
    try:
        row, col, rows, cols = (_whole(number) for number in window)
    except (TypeError, ValueError):
        raise InputError(
            f"window {window!r} is not four whole numbers: first row, first column, rows, columns"
        ) from None
    if rows < 1 or cols < 1:
        raise InputError(f"window {row},{col},{rows},{cols} is empty; give first row, first column, rows, columns")
    return row, col, rows, cols


def _checked_buffer(buffer_cells: int) -> int:
    try:
        buffer = _whole(buffer_cells)
    except (TypeError, ValueError):
        buffer = -1
    if buffer < 0:
        raise InputError(f"buffer {buffer_cells!r} is not a number of cells; give 0 or more")
    return buffer


def _whole(number: Any) -> int:
    if isinstance(number, bool) or int(number) != number:
        raise ValueError
    return int(number)


def _first_cell(where: npt.NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> str:
    row, col = np.unravel_index(int(np.argmax(where)), where.shape)
    return f"row {row + origin[0]}, column {col + origin[1]}"


def _unknown_fuels(
    label: str, unknown: npt.NDArray[np.integer], bad: npt.NDArray[np.bool_], origin: tuple[int, int] = (0, 0)
) -> str:
    return (
        f"{label}: unknown fuel model {', '.join(str(code) for code in unknown[:5])} in {np.count_nonzero(bad)} cells, "
        f"first at {_first_cell(bad, origin)}; use codes of the 13 or the 40 standard models or 91-99 for nonburnable, "
        "or give custom models (an .fmd file)"
    )


def _close_gaps(
    layers: dict[str, npt.NDArray[Any]], gaps: dict[str, npt.NDArray[np.bool_]], custom: tuple[fuels.FuelModel, ...]
) -> tuple[str, ...]:
    """Make burnable cells that lack a layer nonburnable, in place, and say how many cells lacked what."""
    fuel = layers["fuel_model"]
    notes = []
    if "fuel_model" in gaps:
        count = int(np.count_nonzero(gaps["fuel_model"]))
        notes.append(f"{count} cells ({count / fuel.size:.1%}) have no fuel data and are taken as nonburnable")
    burnable = fuels.burnable(fuel, custom)
    lacking = [layer for layer, holes in gaps.items() if layer != "fuel_model" and (holes & burnable).any()]
    if lacking:
        lost = burnable & np.any([gaps[layer] for layer in lacking], axis=0)
        fuel[lost] = 0
        notes.append(
            f"{np.count_nonzero(lost)} cells with a fuel model lack {', '.join(lacking)} and are taken as nonburnable"
        )
    return tuple(notes)


def _area_of_window(
    window: Window | None,
    buffer: int,
    raster_shape: tuple[int, int],
    origin: tuple[int, int],
    shape: tuple[int, int],
    label: str,
) -> npt.NDArray[np.bool_]:
    """Mark the window within the part of the raster that was read."""
    if window is None:
        return np.ones(shape, bool)
    row, col, rows, cols = _checked_window(window, raster_shape, label)
    inside = np.zeros(shape, bool)
    inside[row - origin[0] : row - origin[0] + rows, col - origin[1] : col - origin[1] + cols] = True
    return inside


def _as_layer(name: str, values: Any, label: str, *, copy: bool = False) -> npt.NDArray[Any]:
    """Return `values` as a landscape's own read-only array of the layer's type; a caller's writable one stays apart."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{label}: {name} is a masked array; fill its gaps first, with fuel model 0 for no data")
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise InputError(f"{label}: {name} is not an array of numbers; give rows x columns of numbers") from None
    if given.ndim != 2 or 0 in given.shape:
        raise InputError(f"{label}: {name} has shape {given.shape}; give a table of rows x columns, row 0 north")
    dtype = LAYER_TYPES[name]
    if given.strides == (0, 0) and given.size > 1:  # one value everywhere needs no memory of its own
        return np.broadcast_to(_as_layer(name, given[:1, :1], label, copy=True)[0, 0], given.shape)
    if not copy and given.dtype == dtype and given.base is None and not given.flags.writeable:
        return given  # already ours: frozen, and nobody holds a writable view
    if name == "area_of_interest":
        bad = (given != 0) & (given != 1)
        if bad.any():
            raise InputError(f"{label}: area_of_interest at {_first_cell(bad)} is neither 0 nor 1; give yes or no")
    elif not np.isfinite(given).all():
        bad = ~np.isfinite(given)
        raise InputError(
            f"{label}: {name} has {np.count_nonzero(bad)} cells without a number, first at {_first_cell(bad)}; "
            "fill them, or make these cells nonburnable (fuel model 0)"
        )
    elif name == "fuel_model":
        bad = (given != np.trunc(given)) | (np.abs(given.astype(float)) > 32767)
        if bad.any():
            raise InputError(
                f"{label}: fuel_model at {_first_cell(bad)} is {given[bad][0]}, not a fuel model code; "
                "give whole numbers such as 101 (GR1)"
            )
    owned: npt.NDArray[Any] = np.array(given, dtype=dtype, order="C", copy=True)
    owned.setflags(write=False)
    return owned


def _as_value_by_flame(
    values: Any, shape: tuple[int, int], label: str, *, copy: bool = False
) -> npt.NDArray[np.float32]:
    """Return `values` as a landscape's own read-only (6, H, W) of losses; a caller's writable one stays apart."""
    name = "value_by_flame"
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{label}: {name} is a masked array; fill its gaps first, with 0 where nothing is at risk")
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise InputError(
            f"{label}: {name} is not an array of numbers; give {FLAME_CLASSES} classes x rows x columns of numbers"
        ) from None
    if given.shape != (FLAME_CLASSES, *shape):
        raise InputError(
            f"{label}: {name} has shape {given.shape}; give {FLAME_CLASSES} classes of flame length x "
            f"{shape[0]} rows x {shape[1]} columns"
        )
    low, high, unit = LAYER_RANGES["value"]
    bad = ~((given >= low) & (given <= high))  # what is no number is neither
    if bad.any():
        level, row, col = np.argwhere(bad)[0]
        raise InputError(
            f"{label}: {name} is {given[level, row, col]:g} in class {level + 1} at row {row}, column {col} "
            f"({np.count_nonzero(bad)} entries out of range); give {low:g} to {high:g} ({unit})"
        )
    if not copy and given.dtype == np.float32 and given.base is None and not given.flags.writeable:
        return given  # already ours: frozen, and nobody holds a writable view
    return _frozen(np.array(given, np.float32, order="C", copy=True))


DEMO_CELL_SIZE_M = 30.0
DEMO_CRS = "EPSG:32616"
_EARTH_DEG_CRS = "EPSG:4326"


class _Terrain(NamedTuple):
    """Real terrain of the demo landscape; `ridge` is height above the surroundings in units of its own spread."""

    elevation_m: npt.NDArray[np.float32]
    slope_deg: npt.NDArray[np.float32]
    aspect_deg: npt.NDArray[np.float32]
    ridge: npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def _demo_terrain() -> tuple[_Terrain, str, Transform]:
    """Put matplotlib's sample terrain on a 30 m grid, once in a process."""
    from matplotlib import cbook
    from scipy.ndimage import gaussian_filter

    try:
        dem: Any = cbook.get_sample_data("jacksboro_fault_dem.npz")
        with dem:
            elevation = np.asarray(dem["elevation"], np.float32)
            dx, dy, west, north = (float(dem[key]) for key in ("dx", "dy", "xmin", "ymin"))
    except (OSError, KeyError) as error:
        raise InputError(
            f"demo landscape: matplotlib's sample terrain is not there ({error}); install matplotlib anew"
        ) from None
    # The file calls the latitude of its first row, the northern one, ymin.
    grid, transform = formats.reproject(
        elevation,
        from_crs=_EARTH_DEG_CRS,
        from_transform=(dx, 0.0, west, 0.0, -dy, north),
        to_crs=DEMO_CRS,
        cell_size_m=DEMO_CELL_SIZE_M,
    )
    # Meridians lean against the grid: what is left is cut to the largest upright box found by trimming the edge
    # with the greatest share of empty cells.
    top, left, bottom, right = 0, 0, *grid.shape
    empty = np.isnan(grid)
    while True:
        box = empty[top:bottom, left:right]
        shares = [box[0].mean(), box[-1].mean(), box[:, 0].mean(), box[:, -1].mean()]
        if max(shares) == 0:
            break
        worst = int(np.argmax(shares))
        top, bottom = top + (worst == 0), bottom - (worst == 1)
        left, right = left + (worst == 2), right - (worst == 3)
    elevation = np.ascontiguousarray(grid[top:bottom, left:right])
    slope, aspect = slope_aspect(elevation, DEMO_CELL_SIZE_M)
    above = elevation - gaussian_filter(elevation, 12.0)
    a, b, c, d, e, f = transform
    terrain = _Terrain(elevation, slope, aspect, np.asarray(above / above.std(), np.float32))
    return terrain, formats.normalize_crs(DEMO_CRS), (a, b, c + a * left, d, e, f + e * top)


def _demo_fuels(terrain: _Terrain, rng: np.random.Generator) -> dict[str, Any]:
    """Grow fuels and canopy by rules on a piece of terrain: dry and open uphill and sunward, timber in the shade."""
    shape = terrain.elevation_m.shape
    southward = -np.cos(np.radians(terrain.aspect_deg - 20)) * np.minimum(terrain.slope_deg / 15, 1)
    southward[terrain.aspect_deg < 0] = 0
    patch = _smooth_noise(rng, shape, 5.0)
    fine = _smooth_noise(rng, shape, 1.5)
    dry = _ranks(0.9 * southward + 0.6 * terrain.ridge + 0.8 * patch + 0.25 * fine)
    mix = _ranks(_smooth_noise(rng, shape, 3.0))

    # From the shaded draw to the sunny ridge; each belt is two fuel models mixed in patches.
    belts = (
        (0.18, 183, 188),  # timber litter, TL3 and long-needle TL8
        (0.40, 165, 161),  # timber with understory, TU5 and TU1
        (0.60, 142, 145),  # shrub, SH2 and SH5
        (0.80, 122, 121),  # grass-shrub, GS2 and GS1
        (1.01, 102, 101),  # grass, GR2 and GR1
    )
    shifts = rng.uniform(-0.04, 0.04, len(belts))
    fuel = np.zeros(shape, np.int16)
    for (upper, often, seldom), shift in zip(reversed(belts), reversed(shifts), strict=True):
        fuel[dry < upper + (shift if upper < 1 else 0)] = seldom
        fuel[(dry < upper + (shift if upper < 1 else 0)) & (mix < 0.65)] = often

    timber = (fuel >= 161) & (fuel <= 188)
    dense = np.clip(0.5 + 0.25 * patch - 0.6 * (dry - 0.2), 0, 1)
    cover = np.where(timber, 45 + 35 * dense, np.where(fuel == 142, 10, 0))
    height = np.where(cover > 0, np.where(timber, 14 + 12 * dense, 8), 0)
    base = np.where(cover > 0, np.where(timber, 1.0 + 2.5 * _ranks(fine), 1.5), 0)
    bulk_density = np.where(cover > 0, np.where(timber, 0.07 + 0.12 * dense, 0.04), 0)

    bare = _demo_barriers(terrain, rng)
    rocky = 0.6 * terrain.ridge + 0.05 * terrain.slope_deg + 1.2 * _smooth_noise(rng, shape, 1.5)
    rocks = int(rng.uniform(0.055, 0.075) * bare.size) - np.count_nonzero(bare)
    if rocks > 0:
        rocky[bare > 0] = -np.inf
        bare.flat[np.argsort(rocky, axis=None, kind="stable")[-rocks:]] = 99
    fuel[bare > 0] = bare[bare > 0]
    layers = {
        "canopy_cover_pct": cover,
        "canopy_height_m": height,
        "canopy_base_height_m": base,
        "canopy_bulk_density_kg_m3": bulk_density,
    }
    # Whole percents and tenths, as fuel maps have them, so that no last bit of a filter shows.
    steps = (1, 10, 10, 100)
    rounded = {
        name: np.where(bare > 0, 0, np.round(layer * step) / step).astype(np.float32)
        for (name, layer), step in zip(layers.items(), steps, strict=True)
    }
    return {"fuel_model": fuel, **rounded}


def _demo_barriers(terrain: _Terrain, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Lay streams (98) and roads (91) across a terrain, each with gaps: barriers that a fuel break can join."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    shape = terrain.elevation_m.shape
    height, width = shape
    bare = np.zeros(shape, np.int16)
    lines = round(0.04 * height * width / (1.2 * (height + width) / 2))
    if min(shape) < 3 or lines == 0:
        return bare
    # A coarse grid keeps the search for paths short on large landscapes.
    step = max(1, math.ceil(max(shape) / 120))
    rows, cols = np.arange(0, height, step), np.arange(0, width, step)
    elevation = terrain.elevation_m[np.ix_(rows, cols)]
    ridge = terrain.ridge[np.ix_(rows, cols)]
    node = np.arange(elevation.size).reshape(elevation.shape)
    for line in range(lines):
        stream = line % 2 == 0
        wander = _smooth_noise(rng, elevation.shape, 2.0)
        wander[[0, -1]] += 4  # a line along the map's edge would part nothing
        wander[:, [0, -1]] += 4
        starts, ends, costs = [], [], []
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            one = np.s_[: elevation.shape[0] - down, max(0, -right) : elevation.shape[1] - max(0, right)]
            two = np.s_[down:, max(0, right) : elevation.shape[1] - max(0, -right)]
            length = math.hypot(down, right)
            grade = np.abs(elevation[two] - elevation[one]) / (length * step * DEMO_CELL_SIZE_M)
            there = (ridge[one] + ridge[two]) / 2
            # Water keeps to the draws; a road keeps level.
            cost = np.exp(1.5 * there) if stream else 1 + (grade / 0.06) ** 2
            cost = length * (cost + 0.2) * np.exp(0.4 * (wander[one] + wander[two]) / 2)
            starts.append(node[one].ravel())
            ends.append(node[two].ravel())
            costs.append(cost.ravel())
        graph = coo_array(
            (np.concatenate(costs), (np.concatenate(starts), np.concatenate(ends))), shape=(node.size, node.size)
        ).tocsr()
        first, last = (node[:, 0], node[:, -1]) if rng.random() < 0.5 else (node[0], node[-1])
        begin, end = int(rng.choice(first)), int(rng.choice(last))
        _, before = dijkstra(graph, directed=False, indices=begin, return_predecessors=True)
        path = [end]
        while path[-1] != begin:
            path.append(int(before[path[-1]]))
        points = np.stack(np.unravel_index(path, elevation.shape), axis=1) * step
        cells = np.concatenate([_straight(one, two) for one, two in pairwise(points)])
        # Dry reaches and overgrown stretches of 2 to 4 cells.
        gap = np.zeros(len(cells), bool)
        for _ in range(max(1, len(cells) // 20)):
            place = int(rng.integers(len(cells)))
            gap[place : place + int(rng.integers(2, 5))] = True
        cells = cells[~gap]
        bare[cells[:, 0], cells[:, 1]] = 98 if stream else 91
    return bare


def _straight(one: npt.NDArray[np.int64], two: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Cells of the straight line from one cell to another, without the last."""
    steps = int(np.abs(two - one).max())
    return one + ((two - one) * np.arange(steps)[:, None]) // steps


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: float) -> npt.NDArray[np.float64]:
    """Noise of mean 0 and spread 1 whose patches are some `cells` wide."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal(shape), cells, mode="reflect")
    spread = float(noise.std())
    out: npt.NDArray[np.float64] = (noise - noise.mean()) / (spread if spread > 0 else 1.0)
    return out


def _ranks(field_of: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Share of the cells below each cell, 0 to 1."""
    ranks = np.empty(field_of.size)
    ranks[np.argsort(field_of, axis=None, kind="stable")] = np.arange(field_of.size)
    return (ranks / max(1, field_of.size - 1)).reshape(field_of.shape)


@dataclass(frozen=True, eq=False)
class Landscape:
    """A piece of land, cell by cell: terrain, fuels, canopy, what is at risk, and where breaks may be built.

    Every layer is an (H, W) array, row 0 north, that cannot be written to. Make one with `Landscape.open`,
    `Landscape.from_arrays` or `Landscape.demo`; change one with `dataclasses.replace`, which checks it again.

    Parameters
    ----------
    fuel_model : int16, code of a fuel model (standard: 1-13, 101-204; or of `custom_fuels`) or nonburnable (0, 91-99)
    elevation_m, slope_deg, aspect_deg : float32; aspect is the azimuth the slope faces, -1 where flat
    canopy_cover_pct, canopy_height_m, canopy_base_height_m, canopy_bulk_density_kg_m3 : float32, 0 where no trees
    value : float32, the loss if the cell burns, zero or more; where there is `value_by_flame`, its most over classes
    area_of_interest : bool, where breaks may stand and losses count; the rest is buffer, where fires only pass
    cell_size_m : side of a cell, meters
    crs : coordinate reference system as WKT, or None
    transform : (a, b, c, d, e, f) with x = a col + b row + c and y = d col + e row + f at cell corners, or None
    label : name to print on every output
    notes : warnings found when it was opened
    custom_fuels : fuel models of the user's own, as `streams.read_fmd` reads them
    value_by_flame : float32 (6, H, W), the loss if the cell burns in flames of 0-2, 2-4, 4-6, 6-8, 8-12 and over 12
        feet (`spread.FLAME_CLASS_ENDS_M`), or None where any flames take `value`. The flame is that of the direction in
        which fire comes to the cell, where a fire starts that of its head. `value` is then not what was given for it

    Raises
    ------
    InputError : layers of different shape, values that are missing or out of range, unknown fuel models, cells that
        are not square, or nothing burnable in the area of interest
    """

    fuel_model: npt.NDArray[np.int16]
    elevation_m: npt.NDArray[np.float32]
    slope_deg: npt.NDArray[np.float32]
    aspect_deg: npt.NDArray[np.float32]
    canopy_cover_pct: npt.NDArray[np.float32]
    canopy_height_m: npt.NDArray[np.float32]
    canopy_base_height_m: npt.NDArray[np.float32]
    canopy_bulk_density_kg_m3: npt.NDArray[np.float32]
    value: npt.NDArray[np.float32]
    area_of_interest: npt.NDArray[np.bool_]
    cell_size_m: float = 30.0
    crs: str | None = None
    transform: Transform | None = None
    label: str = "landscape"
    notes: tuple[str, ...] = ()
    custom_fuels: tuple[fuels.FuelModel, ...] = ()
    value_by_flame: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "custom_fuels", tuple(self.custom_fuels))
        for name in LAYERS:
            object.__setattr__(self, name, _as_layer(name, getattr(self, name), self.label))
        object.__setattr__(self, "notes", tuple(self.notes))
        shape = self.fuel_model.shape
        if self.value_by_flame is not None:
            by_flame = _as_value_by_flame(self.value_by_flame, shape, self.label)
            object.__setattr__(self, "value_by_flame", by_flame)
            object.__setattr__(self, "value", _frozen(by_flame.max(axis=0)))
        for name in LAYERS:
            if getattr(self, name).shape != shape:
                theirs = getattr(self, name).shape
                raise InputError(
                    f"{self.label}: {name} has {theirs[0]} rows x {theirs[1]} columns but fuel_model has "
                    f"{shape[0]} x {shape[1]}; give all layers on one grid"
                )
        for name, (low, high, unit) in LAYER_RANGES.items():
            layer = getattr(self, name)
            if layer.min() < low or layer.max() > high:
                bad = (layer < low) | (layer > high)
                raise InputError(
                    f"{self.label}: {name} is {layer[bad][0]:g} at {_first_cell(bad)} ({np.count_nonzero(bad)} cells "
                    f"out of range); give {low:g} to {high:g} ({unit})"
                )
        unknown = fuels.unknown_codes(self.fuel_model, self.custom_fuels)
        if len(unknown):
            raise InputError(_unknown_fuels(self.label, unknown, np.isin(self.fuel_model, unknown)))
        self._check_grid()
        if not self.burnable.any():
            raise InputError(f"{self.label}: no cell is burnable; check the fuel model layer, or take another window")
        if not self.treatable.any():
            raise InputError(f"{self.label}: the area of interest has no burnable cell; move or widen it")

    def _check_grid(self) -> None:
        try:
            size = float(self.cell_size_m)
        except (TypeError, ValueError):
            size = math.nan
        if not (math.isfinite(size) and size > 0):
            raise InputError(
                f"{self.label}: cell size {self.cell_size_m!r} is not a length; give meters, for example 30"
            )
        object.__setattr__(self, "cell_size_m", size)
        if self.transform is None:
            return
        try:
            numbers = tuple(float(number) for number in self.transform)[:6]  # an Affine has three more: 0, 0, 1
        except (TypeError, ValueError):
            numbers = ()
        if len(numbers) != 6 or not all(math.isfinite(number) for number in numbers):
            raise InputError(f"{self.label}: transform {self.transform!r} is not six numbers (a, b, c, d, e, f)")
        a, b, _, d, e, _ = numbers
        slack = 1e-4 * size
        if abs(b) > slack or abs(d) > slack or abs(a + e) > slack or abs(a - size) > slack:
            raise InputError(
                f"{self.label}: transform {numbers} does not fit square cells of {size:g} m with row 0 in the north; "
                f"give ({size:g}, 0, left, 0, {-size:g}, top), or reproject with gdalwarp -tr {size:g} {size:g}"
            )
        object.__setattr__(self, "transform", numbers)

    def __getstate__(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in (*LAYERS, "value_by_flame"):  # pickle forgets that an array is read-only
            if state[name] is not None:
                state[name].setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.fuel_model.shape[0], self.fuel_model.shape[1]

    @property
    def hectares_per_cell(self) -> float:
        """Area of one cell, hectares."""
        return self.cell_size_m**2 / 10_000

    @cached_property
    def burnable(self) -> npt.NDArray[np.bool_]:
        """Where fire can be, (H, W) bool."""
        return _frozen(fuels.burnable(self.fuel_model, self.custom_fuels))

    @cached_property
    def treatable(self) -> npt.NDArray[np.bool_]:
        """Where a break can be built: burnable and in the area of interest, (H, W) bool."""
        return _frozen(self.burnable & self.area_of_interest)

    @cached_property
    def aoi_window(self) -> Window:
        """First row, first column, rows and columns of the box around the area of interest."""
        rows = np.flatnonzero(self.area_of_interest.any(axis=1))
        cols = np.flatnonzero(self.area_of_interest.any(axis=0))
        return int(rows[0]), int(cols[0]), int(rows[-1] - rows[0] + 1), int(cols[-1] - cols[0] + 1)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        fuel_model: str = "fbfm40",
        window: Window | None = None,
        buffer_cells: int = 0,
        custom_fuels: Sequence[fuels.FuelModel] = (),
    ) -> Landscape:
        """Open a landscape raster (8-band GeoTIFF or .lcp) or a folder of LANDFIRE layers; value is 1 everywhere.

        Parameters
        ----------
        fuel_model : 'fbfm40' or 'fbfm13', which fuel layer of a folder to take
        window : (first row, first column, rows, columns) that becomes the area of interest; None is everything
        buffer_cells : width of the ring outside the area of interest, through which fires only pass; around a window
            it is as wide as the raster allows, without a window it is taken off the raster's own edge
        custom_fuels : fuel models beside the standard ones, as `streams.read_fmd` reads them from an .fmd file

        Raises
        ------
        InputError : as `formats.read_landscape` and `Landscape`, and a window outside the raster
        """
        buffer = _checked_buffer(buffer_cells)
        label = Path(path).name or str(path)
        asked = None
        if window is not None:
            row, col, rows, cols = _four_numbers(window)
            asked = (row - buffer, col - buffer, rows + 2 * buffer, cols + 2 * buffer)
        layers, gaps, header = formats.read_landscape(path, fuel_model, asked)
        custom = tuple(custom_fuels)
        unknown = fuels.unknown_codes(layers["fuel_model"], custom)
        if len(unknown):
            bad = np.isin(layers["fuel_model"], unknown)
            raise InputError(_unknown_fuels(str(path), unknown, bad, header.origin))
        notes = header.notes + _close_gaps(layers, gaps, custom)
        landscape = cls(
            **layers,
            value=np.ones(header.shape, np.float32),
            area_of_interest=_area_of_window(window, buffer, header.raster_shape, header.origin, header.shape, label),
            cell_size_m=header.cell_size_m,
            crs=header.crs,
            transform=header.transform,
            label=label,
            notes=notes,
            custom_fuels=custom,
        )
        return landscape if window is not None else with_buffer(landscape, buffer)

    @classmethod
    def demo(cls, rows: int, cols: int, seed: int = 0, *, buffer_cells: int = 0) -> Landscape:
        """Make a landscape to try things on: real terrain, fuels made by rules. Not for decisions.

        The terrain is a piece, chosen by the seed, of the Jacksboro fault in Tennessee and Kentucky (matplotlib's
        sample file, resampled once to 30 m). Grass and grass-shrub grow on ridges and slopes that face the sun, then
        shrub, then timber with its canopy on shaded slopes and in draws; roads and streams with gaps, and bare rock,
        do not burn (5 to 8 % of the cells). Value is 1 everywhere. The same numbers give the same landscape.

        Parameters
        ----------
        rows, cols : size of the area of interest
        seed : 0 or more
        buffer_cells : ring added around it on every side

        Raises
        ------
        InputError : larger than the terrain, or no size at all
        """
        buffer = _checked_buffer(buffer_cells)
        try:
            rows, cols, seed = _whole(rows), _whole(cols), _whole(seed)
        except (TypeError, ValueError):
            raise InputError(f"demo landscape: {rows!r} x {cols!r}, seed {seed!r} are not whole numbers") from None
        terrain, crs, (a, b, c, d, e, f) = _demo_terrain()
        most = tuple(size - 2 * buffer for size in terrain.elevation_m.shape)
        if not (1 <= rows <= most[0] and 1 <= cols <= most[1] and 0 <= seed < 2**64):
            raise InputError(
                f"demo landscape: {rows} rows x {cols} columns with a buffer of {buffer} cells, seed {seed} cannot be "
                f"made; give 1 x 1 to {most[0]} x {most[1]} at this buffer, and a seed of 0 or more"
            )
        height, width = rows + 2 * buffer, cols + 2 * buffer
        # Keyed by the seed alone and drawn in one fixed order, so nothing else can change it.
        rng = np.random.Generator(np.random.Philox(key=seed))
        top = int(rng.integers(terrain.elevation_m.shape[0] - height + 1))
        left = int(rng.integers(terrain.elevation_m.shape[1] - width + 1))
        here = np.s_[top : top + height, left : left + width]
        part = _Terrain(*(layer[here] for layer in terrain))
        inside = np.zeros((height, width), bool)
        inside[buffer : buffer + rows, buffer : buffer + cols] = True
        grown = _demo_fuels(part, rng)
        return cls(
            elevation_m=part.elevation_m,
            slope_deg=part.slope_deg,
            aspect_deg=part.aspect_deg,
            **grown,
            value=np.ones((height, width), np.float32),
            area_of_interest=inside,
            cell_size_m=DEMO_CELL_SIZE_M,
            crs=crs,
            transform=(a, b, c + a * left, d, e, f + e * top),
            label=f"demo {rows} x {cols}, seed {seed} (real terrain, rule-made fuels: not for decisions)",
        )

    @classmethod
    def from_arrays(
        cls,
        fuel_model: npt.ArrayLike,
        slope_deg: npt.ArrayLike | None = None,
        aspect_deg: npt.ArrayLike | None = None,
        elevation_m: npt.ArrayLike | None = None,
        canopy_cover_pct: npt.ArrayLike | None = None,
        canopy_height_m: npt.ArrayLike | None = None,
        canopy_base_height_m: npt.ArrayLike | None = None,
        canopy_bulk_density_kg_m3: npt.ArrayLike | None = None,
        value: npt.ArrayLike | None = None,
        area_of_interest: npt.ArrayLike | None = None,
        cell_size_m: float = 30.0,
        crs: str | None = None,
        transform: Sequence[float] | None = None,
        label: str = "arrays",
        custom_fuels: Sequence[fuels.FuelModel] = (),
        value_by_flame: npt.ArrayLike | None = None,
    ) -> Landscape:
        """Make a landscape of (H, W) arrays, row 0 north; they are copied.

        Only the fuel model is needed. Without the rest the land is flat (aspect -1) at elevation 0, has no canopy,
        value 1 in every cell, and is all area of interest; `value_by_flame` (6, H, W) takes the place of `value`.
        Units, types and errors as in `Landscape`.
        """
        fuel = _as_layer("fuel_model", fuel_model, label, copy=True)
        given = {
            "elevation_m": (elevation_m, 0),
            "slope_deg": (slope_deg, 0),
            "aspect_deg": (aspect_deg, -1),
            "canopy_cover_pct": (canopy_cover_pct, 0),
            "canopy_height_m": (canopy_height_m, 0),
            "canopy_base_height_m": (canopy_base_height_m, 0),
            "canopy_bulk_density_kg_m3": (canopy_bulk_density_kg_m3, 0),
            "value": (value, 1),
            "area_of_interest": (area_of_interest, 1),
        }
        layers: dict[str, Any] = {}
        for name, (layer, default) in given.items():
            filled = np.broadcast_to(np.array(default, LAYER_TYPES[name]), fuel.shape) if layer is None else layer
            layers[name] = _as_layer(name, filled, label, copy=True)
        by_flame = None
        if value_by_flame is not None:
            by_flame = _as_value_by_flame(value_by_flame, (fuel.shape[0], fuel.shape[1]), label, copy=True)
        return cls(
            fuel_model=fuel,
            **layers,
            cell_size_m=cell_size_m,
            crs=None if crs is None else formats.normalize_crs(crs),
            transform=transform,  # type: ignore[arg-type]  # any six numbers; checked and made a tuple at the door
            label=label,
            custom_fuels=tuple(custom_fuels),
            value_by_flame=by_flame,
        )


LAYER_TYPES: dict[str, npt.DTypeLike] = {
    "fuel_model": np.dtype(np.int16),
    **{name: np.dtype(np.float32) for name in LAYER_RANGES},
    "area_of_interest": np.dtype(np.bool_),
}
LAYERS = tuple(LAYER_TYPES)


def _frozen(array: npt.NDArray[T]) -> npt.NDArray[T]:
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Units:
    """What can be treated, unit by unit: single cells, segments or stands, each treated as a whole or not at all.

    Parameters
    ----------
    cells : (U, n) int64, flat row-major cells of each unit, -1 for none; a cell belongs to one unit
    shape : rows and columns of the landscape
    cost : (U,) float64, money each takes, or None where nobody said
    must : (U,) bool, what is treated first in any case; empty for no unit
    excluded : (U,) bool, what may not be treated; empty for no unit
    number : (U,) int64, the user's own numbers; empty counts from 1

    Raises
    ------
    InputError : units without a cell, cells off the grid or in two units, costs below 0, a unit both must and excluded
    """

    cells: npt.NDArray[np.int64]
    shape: tuple[int, int]
    cost: npt.NDArray[np.float64] | None = None
    must: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    excluded: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    number: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        cells = np.array(self.cells, np.int64, ndmin=2)
        height, width = self.shape
        if not len(cells) or not (cells >= 0).any(axis=1).all():
            raise InputError("units: some have no cell that can be treated; leave them out")
        flat = cells[cells >= 0]
        if flat.max() >= height * width or len(np.unique(flat)) < len(flat):
            raise InputError(f"units: cells are off the grid of {height} x {width} or belong to two units; mend them")
        settled: dict[str, Any] = {"cells": cells}
        for name, dtype in (("cost", np.float64), ("must", np.bool_), ("excluded", np.bool_), ("number", np.int64)):
            given = getattr(self, name)
            if given is not None and np.size(given) == 0:
                given = np.arange(1, len(cells) + 1) if name == "number" else np.zeros(len(cells), bool)
            if given is not None:
                settled[name] = np.array(given, dtype)
                if settled[name].shape != (len(cells),):
                    raise InputError(
                        f"units: {name} has shape {settled[name].shape}; give one for each of {len(cells)}"
                    )
        if "cost" in settled and not ((settled["cost"] >= 0) & (settled["cost"] < 1e15)).all():
            raise InputError("units: costs must be numbers from 0; give every unit one")
        both = settled["must"] & settled["excluded"]
        if both.any():
            raise InputError(f"units: {both.sum()} are to be treated and excluded both; decide for one")
        for name, array in settled.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def single(self) -> bool:
        """Whether each unit is one cell."""
        return bool(self.cells.shape[1] == 1)

    @cached_property
    def unit_of(self) -> npt.NDArray[np.int64]:
        """The unit that each cell belongs to (H W,), -1 for none."""
        owner = np.full(self.shape[0] * self.shape[1], -1, np.int64)
        for column in self.cells.T:
            owner[column[column >= 0]] = np.flatnonzero(column >= 0)
        return owner

    @classmethod
    def of_cells(
        cls,
        landscape: Landscape,
        *,
        cost: npt.ArrayLike | None = None,
        must: npt.ArrayLike | None = None,
        excluded: npt.ArrayLike | None = None,
    ) -> Units:
        """Every treatable cell as a unit of its own.

        Parameters
        ----------
        cost : (H, W) money a cell takes, or one number for all
        must, excluded : (H, W) bool; cells that cannot be treated anyway are passed over
        """
        cells = np.flatnonzero(landscape.treatable)

        layers = {"cost": cost, "must": must, "excluded": excluded}
        told: dict[str, Any] = {}
        for name, given in layers.items():
            if given is not None:
                array = np.asarray(given)
                if array.shape not in ((), landscape.shape):
                    raise InputError(
                        f"units: {name} of shape {array.shape}, landscape of {landscape.shape}; give one number a cell"
                    )
                told[name] = np.broadcast_to(array, landscape.shape).ravel()[cells]
        return cls(cells[:, None], landscape.shape, **told)

    @classmethod
    def of_groups(cls, landscape: Landscape, cells: npt.ArrayLike, **told: Any) -> Units:
        """Units of several cells each (U, n), -1 for none: what of them can be treated; `told` are the other fields.

        Raises
        ------
        InputError : no unit has a treatable cell; `Units`
        """
        groups = np.array(cells, np.int64, ndmin=2)
        inside = (groups >= 0) & landscape.treatable.ravel()[np.maximum(groups, 0)]
        kept = inside.any(axis=1)
        if not kept.any():
            raise InputError(f"units: none of {len(groups)} has a cell that can be treated on {landscape.label}")
        groups = np.where(inside, groups, -1)[kept]
        groups = -np.sort(-groups, axis=1, kind="stable")[:, : int((groups >= 0).sum(axis=1).max())]
        told = {name: None if each is None else np.asarray(each)[kept] for name, each in told.items()}
        return cls(groups, landscape.shape, **told)


@dataclass(frozen=True, eq=False)
class Plan:
    """Fuel breaks in the order of building: any first part of a plan is itself a plan.

    Parameters
    ----------
    cells : (n,) int64, flat row-major cell numbers, in order of building
    shape : rows and columns of the landscape it is for
    kind : what is built: 'firebreak', cleared ground, or 'shaded', a shaded fuelbreak: fuel and canopy are modified
        and not removed, so it is simulated with the landscape as treated (`shaded`)
    method : the planner that made it
    simulations, cells_solved, seconds : what making it cost: fires brought up to date, burned cells solved, CPU seconds
    chosen_on : digests of the sets of fires it was chosen on; these fires must not judge it
    sizes : (units,) int64, how many cells each treatment unit has, in order of building; None: each cell is a unit
    cost : (units,) float64, money each unit takes; None where nobody said

    Raises
    ------
    InputError : cells off the grid or listed twice; another kind; sizes that do not add up
    """

    cells: npt.NDArray[np.int64]
    shape: tuple[int, int]
    kind: str = "firebreak"
    method: str = "given"
    simulations: int = 0
    cells_solved: int = 0
    seconds: float = 0.0
    chosen_on: tuple[str, ...] = field(default=())
    sizes: npt.NDArray[np.int64] | None = None
    cost: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"plan: kind {self.kind!r} cannot be simulated; use 'firebreak', cleared ground, or 'shaded', "
                "a shaded fuelbreak"
            )
        cells = _whole_numbers(self.cells, 1)
        height, width = (int(size) for size in self.shape)
        _refuse_cells(cells, (cells < 0) | (cells >= height * width), width, f"off the grid of {height} x {width}")
        repeated = np.ones(len(cells), bool)
        repeated[np.unique(cells, return_index=True)[1]] = False
        _refuse_cells(cells, repeated, width, "listed more than once")
        cells.setflags(write=False)
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "shape", (height, width))
        object.__setattr__(self, "chosen_on", tuple(self.chosen_on))
        if self.sizes is not None:
            sizes = _whole_numbers(self.sizes, 1)
            if (sizes < 1).any() or sizes.sum() != len(cells):
                raise InputError(
                    f"plan: its units have {sizes.sum()} cells in all, not {len(cells)}; give one size each"
                )
            object.__setattr__(self, "sizes", sizes)
        if self.cost is not None:
            cost = np.array(self.cost, np.float64)
            if cost.shape != (self.units,) or not (cost >= 0).all():
                raise InputError(f"plan: costs of shape {cost.shape}; give one from 0 for each of {self.units} units")
            object.__setattr__(self, "cost", cost)

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def units(self) -> int:
        """How many treatment units it has."""
        return len(self.cells) if self.sizes is None else len(self.sizes)

    @property
    def unit_rank(self) -> npt.NDArray[np.int64]:
        """When each cell's unit is built (n,): 1 is first; cells of one unit share a rank."""
        sizes = np.ones(len(self.cells), np.int64) if self.sizes is None else self.sizes
        return np.repeat(np.arange(1, len(sizes) + 1), sizes)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Where breaks stand, (H, W) bool."""
        mask = np.zeros(self.shape, bool)
        mask.ravel()[self.cells] = True
        return mask

    @property
    def row_col(self) -> npt.NDArray[np.int64]:
        """Row and column of each cell in order of building, (n, 2) int64."""
        return np.stack(np.divmod(self.cells, self.shape[1]), axis=1)

    def prefix(self, n: int) -> Plan:
        """Return the plan of the first `n` units; what it cost to make stays that of the whole."""
        if not 0 <= n <= self.units:
            thing = "cells" if self.sizes is None else "units"
            raise InputError(f"plan has {self.units} {thing}, so its first {n} cannot be taken; give 0 to that many")
        sizes = None if self.sizes is None else self.sizes[:n]
        cells = n if sizes is None else int(sizes.sum())
        cost = None if self.cost is None else self.cost[:n]
        return replace(self, cells=self.cells[:cells], sizes=sizes, cost=cost)

    @classmethod
    def from_cells(cls, landscape: Landscape, cells: Iterable[tuple[int, int]], **meta: Any) -> Plan:
        """Make a plan of (row, column) pairs in order of building; `meta` are the other fields of `Plan`."""
        pairs = _whole_numbers(cells if isinstance(cells, np.ndarray) else list(cells), 2)
        height, width = landscape.shape
        off = (pairs < 0).any(axis=1) | (pairs >= (height, width)).any(axis=1)
        if off.any():
            row, col = pairs[off][0]
            raise InputError(
                f"plan: {np.count_nonzero(off)} cells are off the grid of {height} x {width}, first row {row}, "
                f"column {col}; give rows 0 to {height - 1} and columns 0 to {width - 1}"
            )
        return cls.from_flat(landscape, pairs[:, 0] * width + pairs[:, 1], **meta)

    @classmethod
    def from_flat(cls, landscape: Landscape, cells: npt.ArrayLike, **meta: Any) -> Plan:
        """Make a plan of flat row-major cell numbers in order of building; `meta` are the other fields of `Plan`.

        Raises
        ------
        InputError : cells off the grid, nonburnable, outside the area of interest or listed twice
        """
        plan = cls(cells=np.asarray(cells), shape=landscape.shape, **meta)
        plan.check_on(landscape)
        return plan

    @classmethod
    def of_units(cls, landscape: Landscape, units: Units, chosen: Sequence[int], **meta: Any) -> Plan:
        """Make a plan of treatment units, by their places in `units`, in order of building."""
        groups = units.cells[list(chosen)]
        if not units.single:
            meta["sizes"] = (groups >= 0).sum(axis=1)
        if units.cost is not None:
            meta["cost"] = units.cost[list(chosen)]
        return cls.from_flat(landscape, groups[groups >= 0], **meta)

    def check_grid(self, landscape: Landscape) -> None:
        """Refuse a landscape of another number of rows or columns."""
        if self.shape != landscape.shape:
            raise InputError(
                f"plan: it is for a grid of {self.shape[0]} x {self.shape[1]} cells, the landscape has "
                f"{landscape.shape[0]} x {landscape.shape[1]}; make the plan on this landscape"
            )

    def check_on(self, landscape: Landscape) -> None:
        """Refuse a landscape of another grid, or on which the plan has cells that cannot be treated."""
        self.check_grid(landscape)
        width = landscape.shape[1]
        _refuse_cells(self.cells, ~landscape.burnable.ravel()[self.cells], width, "nonburnable already")
        outside = ~landscape.area_of_interest.ravel()[self.cells]
        _refuse_cells(self.cells, outside, width, "outside the area of interest")


def _whole_numbers(values: Any, columns: int) -> npt.NDArray[np.int64]:
    wanted = "flat cell numbers" if columns == 1 else "(row, column) pairs"
    try:
        given = np.asarray(values)
        if given.size == 0:
            given = np.zeros((0, columns)[: columns if columns > 1 else 1], np.int64)
        if given.dtype.kind not in "iuf" or given.ndim != columns or (columns == 2 and given.shape[1] != 2):
            raise ValueError
        if given.dtype.kind == "f" and not (np.isfinite(given).all() and (given == np.trunc(given)).all()):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"plan: its cells are not a list of {wanted}; give whole numbers") from None
    return np.array(given, dtype=np.int64, copy=True)


def _refuse_cells(cells: npt.NDArray[np.int64], bad: npt.NDArray[np.bool_], width: int, why: str) -> None:
    if bad.any():
        row, col = divmod(int(cells[bad][0]), width)
        raise InputError(
            f"plan: {np.count_nonzero(bad)} of {len(cells)} cells are {why}, "
            f"first row {row}, column {col}; leave them out"
        )
