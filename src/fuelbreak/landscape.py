"""The landscape a plan is made for, the budget, and the plan itself. Units and orientation are settled here, once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fuelbreak import formats, fuels
from fuelbreak.errors import InputError

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


def budget_units(landscape: Landscape, budget: float | int | str) -> int:
    """Say how many cells a budget pays for.

    Parameters
    ----------
    landscape : its treatable cells (burnable, in the area of interest) are the whole
    budget : a float in (0, 1] is a fraction of the treatable cells (rounded half up, at least 1), an int is a number
        of cells; text is read the same way, and may end in '%'

    Raises
    ------
    InputError : zero, negative, not a number, or more than there are treatable cells
    """
    available = int(np.count_nonzero(landscape.treatable))
    advice = f"give a fraction like 0.05, '5%', or a number of cells from 1 to {available}"
    text = str(budget).strip()
    percent = text.endswith("%")
    try:
        # Exact, because 0.29 of 50 cells is 14.5 to a person and 14.499999999999998 to a float.
        amount = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        raise InputError(f"budget {text!r} is not a number; {advice}") from None
    if isinstance(budget, bool | np.bool_) or not amount.is_finite() or abs(amount) > 10**12:
        raise InputError(f"budget {text} is not a number; {advice}")
    if amount <= 0:
        raise InputError(f"budget {text} buys no fuel break; {advice}")
    whole = not percent and (
        isinstance(budget, int | np.integer) or (isinstance(budget, str) and amount == int(amount) and "." not in text)
    )
    if whole:
        units = int(amount)
    else:
        fraction = amount / 100 if percent else amount
        if fraction > 1:
            hint = "" if percent else f" (for {text} cells give a whole number)"
            raise InputError(f"budget {text} is more than all {available} treatable cells{hint}; {advice}")
        units = max(1, int((fraction * available).to_integral_value(rounding=ROUND_HALF_UP)))
    if units > available:
        raise InputError(f"budget {text} is {units} cells, but only {available} can be treated; {advice}")
    return units


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
    """Give a landscape its coordinate reference system, as 'EPSG:32611' or WKT."""
    return replace(landscape, crs=formats.normalize_crs(crs))


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
    try:
        row, col, rows, cols = (_whole(number) for number in window)
    except (TypeError, ValueError):
        raise InputError(
            f"window {window!r} is not four whole numbers: first row, first column, rows, columns"
        ) from None
    where = f"{label}: {shape[0]} rows x {shape[1]} columns"
    if rows < 1 or cols < 1:
        raise InputError(f"window {row},{col},{rows},{cols} is empty; give first row, first column, rows, columns")
    if row < 0 or col < 0 or row + rows > shape[0] or col + cols > shape[1]:
        raise InputError(f"window {row},{col},{rows},{cols} (row, column, rows, columns) reaches outside {where}")
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


def _first_cell(where: npt.NDArray[np.bool_]) -> str:
    row, col = np.unravel_index(int(np.argmax(where)), where.shape)
    return f"row {row}, column {col}"


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


@dataclass(frozen=True, eq=False)
class Landscape:
    """A piece of land, cell by cell: terrain, fuels, canopy, what is at risk, and where breaks may be built.

    Every layer is an (H, W) array, row 0 north, that cannot be written to. Make one with `Landscape.open`,
    `Landscape.from_arrays` or `Landscape.demo`; change one with `dataclasses.replace`, which checks it again.

    Parameters
    ----------
    fuel_model : int16, code of a standard fuel model (1-13, 101-204) or nonburnable (0, 91-99)
    elevation_m, slope_deg, aspect_deg : float32; aspect is the azimuth the slope faces, -1 where flat
    canopy_cover_pct, canopy_height_m, canopy_base_height_m, canopy_bulk_density_kg_m3 : float32, 0 where no trees
    value : float32, the loss if the cell burns, zero or more
    area_of_interest : bool, where breaks may stand and losses count; the rest is buffer, where fires only pass
    cell_size_m : side of a cell, meters
    crs : coordinate reference system as WKT, or None
    transform : (a, b, c, d, e, f) with x = a col + b row + c and y = d col + e row + f at cell corners, or None
    label : name to print on every output
    notes : warnings found when it was opened

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

    def __post_init__(self) -> None:
        for name in LAYERS:
            object.__setattr__(self, name, _as_layer(name, getattr(self, name), self.label))
        object.__setattr__(self, "notes", tuple(self.notes))
        shape = self.fuel_model.shape
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
        unknown = fuels.unknown_codes(self.fuel_model)
        if len(unknown):
            bad = np.isin(self.fuel_model, unknown)
            raise InputError(
                f"{self.label}: unknown fuel model {', '.join(str(code) for code in unknown[:5])} in "
                f"{np.count_nonzero(bad)} cells, first at {_first_cell(bad)}; use codes of the 13 or the 40 standard "
                "models, or 91-99 for nonburnable"
            )
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
        for name in LAYERS:  # pickle forgets that an array is read-only
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
        return _frozen(fuels.burnable(self.fuel_model))

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
    ) -> Landscape:
        """Make a landscape of (H, W) arrays, row 0 north; they are copied.

        Only the fuel model is needed. Without the rest the land is flat (aspect -1) at elevation 0, has no canopy,
        value 1 in every cell, and is all area of interest. Units, types and errors as in `Landscape`.
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
            filled = np.full(fuel.shape, default, LAYER_TYPES[name]) if layer is None else layer
            layers[name] = _as_layer(name, filled, label, copy=True)
        return cls(
            fuel_model=fuel,
            **layers,
            cell_size_m=cell_size_m,
            crs=None if crs is None else formats.normalize_crs(crs),
            transform=transform,  # type: ignore[arg-type]  # any six numbers; checked and made a tuple at the door
            label=label,
        )


LAYER_TYPES: dict[str, npt.DTypeLike] = {
    "fuel_model": np.dtype(np.int16),
    **{name: np.dtype(np.float32) for name in LAYER_RANGES},
    "area_of_interest": np.dtype(np.bool_),
}
LAYERS = tuple(LAYER_TYPES)


def _frozen(array: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Plan:
    """Fuel breaks in the order of building: any first part of a plan is itself a plan.

    Parameters
    ----------
    cells : (n,) int64, flat row-major cell numbers, in order of building
    shape : rows and columns of the landscape it is for
    kind : what is built, 'firebreak' for cleared ground
    method : the planner that made it
    simulations, cells_solved, seconds : what making it cost: fires brought up to date, burned cells solved, CPU seconds
    chosen_on : digests of the sets of fires it was chosen on; these fires must not judge it

    Raises
    ------
    InputError : cells off the grid or listed twice
    """

    cells: npt.NDArray[np.int64]
    shape: tuple[int, int]
    kind: str = "firebreak"
    method: str = "given"
    simulations: int = 0
    cells_solved: int = 0
    seconds: float = 0.0
    chosen_on: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
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

    def __len__(self) -> int:
        return len(self.cells)

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
        """Return the plan of the first `n` cells; what it cost to make stays that of the whole."""
        if not 0 <= n <= len(self.cells):
            raise InputError(f"plan has {len(self.cells)} cells, so its first {n} cannot be taken; give 0 to that many")
        return replace(self, cells=self.cells[:n])

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
        width = landscape.shape[1]
        _refuse_cells(plan.cells, ~landscape.burnable.ravel()[plan.cells], width, "nonburnable already")
        outside = ~landscape.area_of_interest.ravel()[plan.cells]
        _refuse_cells(plan.cells, outside, width, "outside the area of interest")
        return plan


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
