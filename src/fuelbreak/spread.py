"""Fire spread: arrival times of many fires, for one plan (`spread`) or for many growing plans (`Ensemble`).

Allocates, checks and calls the kernels. Fire growth is minimum travel time on a grid of 8, 16 or 32 directions (Finney
2002, Canadian Journal of Forest Research 32:1420-1424), with the grid's own error on an ellipse calibrated away.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from fuelbreak import _kernels, parallel
from fuelbreak._kernels import ALTERED, AROUND, CLOSED, PAD, Burning, Correction, Masks, States, World
from fuelbreak.behavior import (
    CROWN_FLAME_EXPONENT,
    SURFACE_FIRE,
    SURFACE_FLAME_EXPONENT,
    FireBehavior,
    fire_behavior,
)
from fuelbreak.errors import InputError
from fuelbreak.landscape import LAYERS, Landscape, Plan, Window
from fuelbreak.scenarios import Fires, Weather, holding, mean_over

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
U1 = npt.NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)
HoldRule = Callable[[F4], npt.ArrayLike]  # head flame length, m -> probability that a firebreak holds

SLOWEST_MIN = 1e6  # minutes per cell, two years, from which on a cell counts as one that does not spread
VALUE_STEPS = 2**20  # values are whole multiples of max / 2**20, so that their sums are exact in any order
WEIGHT_STEPS = 2**12  # weights in planes and gains are whole numbers up to here, for the same reason
FEWEST_WEIGHT_STEPS = 2**6  # coarser weights would say something else than the user did
FLAME_BYTES = 56  # of sums of flame lengths for each cell
FLAME_CLASS_ENDS_M = tuple(_kernels.FLAME_CLASS_ENDS_MM / 1000)
SCRATCH_BYTES = 80  # a thread's working memory for each cell, counts included
KEEP_BYTES = 1 << 30  # spread fields that are kept; landscapes beyond it burn in windows
FIRST_MARGIN = 32  # cells around its ignition in which a fire is first tried, doubled on each side that it reaches
USUAL_WINDOW = 20_000  # cells of the window in which a fire usually ends, for choosing what is cheaper
HOLDS_AT_ONCE = 2_000_000  # draws of holding in memory at a time, some 50 bytes each
MAX_BUFFER_CELLS = 25
OTHER_FIELDS = "fields: they were made for another landscape or another bank of weathers; leave them out"


# Share of the homogeneous correction that is applied where fuels or headings are mixed. All of it over-burns there,
# since the front picks the directions that the correction favors.
MIXED_STRENGTH = {8: 0.66, 16: 0.62, 32: 0.75}
# Logarithmic gain in rate where the cells around are slower: a long edge that crosses one is dear, so that the fire has
# fewer directions to choose from than in the open.
SLOWER_GAIN = {8: 0.14, 16: 0.46, 32: 0.38}
MIXED_ABOVE = 0.02  # standard deviation of log slowness within AROUND cells that is mixed rather than homogeneous
HEADING_WEIGHT = 4.0  # a heading that varies by one radian is as mixed as log slowness that varies by this
# Length-to-width up to which the shape of a homogeneous fire is right to a fifth of its area at the worst wind angle
# (docs/accuracy.md), and the share of cells beyond it from which to warn.
LONGEST = {8: 1.5, 16: 3.0, 32: 4.0}
LONGEST_SHARE = 0.25


@lru_cache(maxsize=3)
def _correction(stencil: int) -> Correction:
    """The table made by benchmarks/calibrate_stencil.py and how much of it is applied."""
    text = files("fuelbreak").joinpath("stencil_calibration.csv").read_text()
    rows = np.loadtxt(text.splitlines(), delimiter=",", skiprows=1)
    rows = rows[rows[:, 0] == stencil]
    length_to_width, angle = np.unique(rows[:, 1]), np.unique(rows[:, 2])
    log_rate, log_rear = (rows[:, i].reshape(len(length_to_width), len(angle)).copy() for i in (3, 4))
    numbers = MIXED_STRENGTH[stencil], SLOWER_GAIN[stencil], MIXED_ABOVE, HEADING_WEIGHT, SLOWEST_MIN
    return Correction(length_to_width, angle, log_rate, log_rear, *numbers)


def calibration_digest() -> str:
    """Sixteen hex digits that name how the grid of 32 directions is calibrated, the same on any machine."""
    *tables, strength, slower, above, heading, slowest = _correction(32)
    content = hashlib.sha256(repr((strength, slower, above, heading, slowest)).encode())
    for table in tables:
        content.update(np.rint(1e6 * table).astype(np.int64).tobytes())
    return content.hexdigest()[:16]


def homogeneous_correction(length_to_width: npt.ArrayLike, heading_deg: npt.ArrayLike, stencil: int) -> tuple[F8, F8]:
    """Logarithmic changes of head rate and of 1 - eccentricity with which a homogeneous grid burns the wanted area."""
    shape, heading = np.broadcast_arrays(np.asarray(length_to_width, np.float64), np.asarray(heading_deg, np.float64))
    log_rate, log_rear = np.empty(shape.size), np.empty(shape.size)
    flat = np.ascontiguousarray(shape.ravel()), np.ascontiguousarray(heading.ravel())
    _kernels.all_homogeneous(_correction(stencil), *flat, log_rate, log_rear)
    return log_rate.reshape(shape.shape), log_rear.reshape(shape.shape)


def corrected_fields(
    spread_rate: npt.ArrayLike,
    length_to_width: npt.ArrayLike,
    heading_deg: npt.ArrayLike,
    *,
    stencil: int = 32,
    strength: float | None = None,
    gain: float | None = None,
) -> F4:
    """Slowness of spread of every cell, corrected so that the grid burns what it should: (H, W, 3) f4 of A, Bx, By.

    An ellipse that grows from its rear focus has slowness A - B.d along the unit vector d, x east, y north, in min per
    cell, with A = 1 / (R (1 - e)) and B = A e u, where R is the head rate in cells per min, e the eccentricity and u
    the heading. Cells where nothing spreads hold infinity, 0, 0. The correction changes R and e by what is tabled for a
    homogeneous grid, by a share of that where slowness or heading vary within AROUND cells, and raises R by what the
    mean of (1 - slowness / theirs)^2 over the eight cells around is, of those that are slower: the square, since a cell
    that is a little slower shuts no edge. See docs/accuracy.md.

    Parameters
    ----------
    spread_rate : (H, W) head rate of spread, cells per min; 0 where nothing spreads
    length_to_width : (H, W), of the fire's ellipse, >= 1
    heading_deg : (H, W) direction of spread, degrees clockwise from grid north
    strength, gain : in place of MIXED_STRENGTH and SLOWER_GAIN; with strength 1 and gain 0 the homogeneous correction
    """
    correction = _correction(stencil)
    if strength is not None:
        correction = correction._replace(strength=strength)
    if gain is not None:
        correction = correction._replace(gain=gain)
    rate, shape, heading = (np.ascontiguousarray(x, np.float64) for x in (spread_rate, length_to_width, heading_deg))
    if rate.ndim != 2 or not rate.shape == shape.shape == heading.shape:
        raise InputError(
            f"fields: rate, length-to-width and heading of shapes {rate.shape}, {shape.shape} and {heading.shape}; "
            "give three grids of one shape"
        )
    fields = np.empty((*rate.shape, 3), np.float32)
    _kernels.fill_fields(correction, rate, shape, heading, fields)
    return fields


def cell_fields(behavior: FireBehavior, cell_size_m: float, stencil: int = 32) -> F4:
    """The `corrected_fields` of a landscape's fire behavior: (H, W, 3) f4."""
    return corrected_fields(
        behavior.spread_rate_m_min.astype(np.float64) / cell_size_m,
        behavior.length_to_width,
        behavior.spread_direction_deg,
        stencil=stencil,
    )


def _value_step(landscape: Landscape) -> float:
    """What values at risk are rounded to: 2**20 steps make the largest in the area of interest, or a little more."""
    top = float(landscape.value.max(where=landscape.area_of_interest, initial=0.0))
    return 2.0 ** np.ceil(np.log2(top)) / VALUE_STEPS if top > 0 else 1.0


def exact_value(landscape: Landscape) -> F8:
    """Loss of each cell when it burns (H, W): the value at risk inside the area of interest, 0 outside.

    Where losses go by flames, the most that it may be. Rounded to 2**20 steps of the largest value: sums are then exact
    in float64, whatever their order, so that a repair, a thread count or a process never changes a loss in its last
    digit.
    """
    return _rounded(landscape.value, landscape.area_of_interest, _value_step(landscape))


def _rounded(value: F4, inside: npt.NDArray[np.bool_], step: float) -> F8:
    return np.asarray(np.where(inside, np.rint(value.astype(np.float64) / step) * step, 0.0))


def _padded(array: npt.NDArray[T], fill: float) -> npt.NDArray[T]:
    return np.pad(array, PAD, constant_values=fill).ravel()


def _aligned(shape: tuple[int, ...]) -> F4:
    """An empty float32 array that starts a cache line, so that a cell's edges lie in as few lines as can be."""
    n = int(np.prod(shape))
    raw = np.empty(4 * n + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 4 * n].view(np.float32).reshape(shape)


def build_world(
    fields: Sequence[F4],
    value: F8,
    marks: npt.NDArray[np.uint8],
    *,
    stencil: int = 32,
    altered: Sequence[F4] | None = None,
    bucket_min: Sequence[float] | None = None,
    by_flame: F8 | None = None,
    flames: F4 | None = None,
    workers: int = 1,
) -> World:
    """What all fires share, ready for the kernels, from the fields of K weathers.

    Parameters
    ----------
    fields : K arrays (H, W, 3) f4 as `cell_fields` gives them: A, Bx, By; A is infinite where nothing spreads
    value, marks : (H, W) loss when a cell burns; EDGE, INTEREST and RIM bits
    altered : the fields of the landscape with every cell a shaded fuelbreak, if there are to be any
    bucket_min : width of a time bucket for each weather; any gives the same bits, some are slow
    by_flame : (6, H, W) loss by class of flame length, of which `value` is the most; None where flames do not matter
    flames : then (A, K, 4, C), padded: `Fields.flames`, A = 2 where there is an altered landscape
    """
    bits = _kernels.STENCILS[stencil]
    rows, cols = value.shape[0] + 2 * PAD, value.shape[1] + 2 * PAD
    cells, k = rows * cols, len(fields)

    def differences(steps: I8) -> I8:
        return np.ascontiguousarray(steps[:stencil, ..., 0] * cols + steps[:stencil, ..., 1])

    offset, crossed, flanks = map(differences, (_kernels.STEPS, _kernels.CROSSED, _kernels.FLANKS))
    shut, buckets = [], np.empty(k, np.float32)
    kept = None if altered is None else np.empty((2, k, 3, cells), np.float32)
    for i, field in enumerate(fields):
        as_altered = field if altered is None else altered[i]
        closed = _padded(np.where(np.isfinite(field[..., 0]), 0, CLOSED).astype(np.uint8), int(CLOSED))
        then = _padded(
            np.where(np.isfinite(as_altered[..., 0]), ALTERED, ALTERED | CLOSED).astype(np.uint8), int(CLOSED)
        )
        shut.append((closed, then))
        # Less than the usual time between neighbors: few cells settled twice, few moved to another bucket.
        some = field.reshape(-1, 3)[:: max(1, field.size // 10_000)]  # any width gives the same bits
        some = some[np.isfinite(some[:, 0])]
        typical = 0.7 * float(np.median(some[:, 0] - np.hypot(some[:, 1], some[:, 2]))) if len(some) else 1.0
        buckets[i] = np.clip(typical if bucket_min is None else bucket_min[i], 1e-4, 1e4)
    pattern, first = np.empty(k, np.int32), dict[bytes, int]()
    for i, (closed, then) in enumerate(shut):
        pattern[i] = first.setdefault(closed.tobytes() + then.tobytes() * (altered is not None), len(first))
    distinct = [shut[int(np.argmax(pattern == g))] for g in range(len(first))]
    codes, altered_codes = (np.stack(each) for each in zip(*distinct, strict=True))
    open_dirs = np.zeros(codes.shape, bits)
    minutes = _aligned((k, cells, stencil))
    counter = iter(range(k))

    def work(_worker: int) -> None:
        for i in counter:
            padded = np.zeros((3, rows, cols), np.float32)
            padded[0] = np.inf
            padded[:, PAD:-PAD, PAD:-PAD] = np.moveaxis(fields[i], -1, 0)
            flat = padded.reshape(3, cells)
            _kernels.all_minutes(flat, offset, crossed, cols, minutes[i])
            if kept is not None and altered is not None:
                kept[0, i] = flat
                padded[:, PAD:-PAD, PAD:-PAD] = np.moveaxis(altered[i], -1, 0)
                kept[1, i] = flat

    parallel.run_threads(work, min(workers, k))
    for g in range(len(codes)):
        _kernels.all_open_bits(codes[g], open_dirs[g], offset, crossed, flanks, cols)
    return World(
        minutes,
        buckets,
        pattern,
        codes,
        open_dirs,
        None if altered is None else np.zeros_like(open_dirs),
        kept,
        altered_codes,
        _padded(value, 0.0),
        _padded(marks, 0),
        offset,
        crossed,
        flanks,
        cols,
        None if by_flame is None else np.stack([_padded(each, 0.0) for each in by_flame]),
        flames,
    )


class Fields:
    """Spread fields of a landscape in a bank of K weathers: made when first asked for, kept while they fit.

    Parameters
    ----------
    stencil : neighbors of a cell: 32, 16 (a quarter faster, half the memory, less accurate) or 8 (rough)
    shaded : the landscape as it would be with every treatable cell a shaded fuelbreak (`landscape.shaded`); needed
        where a plan's kind is `shaded`
    keep_bytes : fields beyond this are let go, the least recently used first
    """

    def __init__(
        self,
        landscape: Landscape,
        weathers: Sequence[Weather],
        *,
        stencil: int = 32,
        shaded: Landscape | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.check_stencil(stencil)
        if shaded is not None and (shaded.shape, shaded.cell_size_m) != (landscape.shape, landscape.cell_size_m):
            raise InputError("shaded: it is another grid; make it of this landscape with `landscape.shaded`")
        self.landscape, self.weathers, self.stencil, self.shaded = landscape, tuple(weathers), stencil, shaded
        self.keep_bytes = keep_bytes
        self._made: OrderedDict[tuple[Window, tuple[int, ...]], World] = OrderedDict()
        self._lock = threading.Lock()
        self._step = _value_step(landscape)
        self._too_long, self._spreading = 0, 0

    @staticmethod
    def check_stencil(stencil: int) -> None:
        """Refuse a number of neighbors that is not offered."""
        if not isinstance(stencil, int | np.integer) or stencil not in _kernels.STENCILS:
            offered = ", ".join(map(str, _kernels.STENCILS))
            raise InputError(f"stencil: {stencil!r} neighbors are not offered; use {offered}")

    @property
    def whole_window(self) -> Window:
        """The window that is all of the landscape."""
        return (0, 0, *self.landscape.shape)

    @property
    def too_long(self) -> tuple[int, int]:
        """Cells made so far whose fire is longer for its width than this stencil is accurate for, and all that burn."""
        return self._too_long, self._spreading

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
        # Shared memory of a cluster comes as arrays that cannot be written. Kernels write no world, but are compiled
        # for arrays that can; another version of each would take longer to compile than many fires to burn.
        self._shipped, self._made = self._made, OrderedDict()
        for key, world in self._shipped.items():
            self._made[key] = World._make(_as_if_writable(part) for part in world)

    def world_bytes(self, cells: int, weathers: int) -> int:
        """Memory of the world of a window of so many cells in so many weathers."""
        as_it_is_and_altered = 1 if self.shaded is None else 2
        per_weather = 4 * self.stencil + (24 if self.shaded is not None else 0)
        per_cell = 16
        if self.landscape.value_by_flame is not None:
            per_weather += 16 * as_it_is_and_altered
            per_cell += 48
        return cells * (per_weather * weathers + per_cell)

    @property
    def fits_whole(self) -> bool:
        """Whether the whole landscape in all weathers is small enough to be kept; else fires burn in windows."""
        return self.world_bytes(math.prod(self.landscape.shape), len(self.weathers)) <= self.keep_bytes

    def world(
        self, window: Window | None = None, which: tuple[int, ...] | None = None, *, workers: int | None = None
    ) -> World:
        """The world of a window, all of the landscape if None, in the weathers `which` of the bank, all if None."""
        window = self.whole_window if window is None else window
        which = tuple(range(len(self.weathers))) if which is None else which
        with self._lock:
            if (window, which) in self._made:
                self._made.move_to_end((window, which))
                return self._made[window, which]
        needed = self.world_bytes(window[2] * window[3], len(which))
        what = f"the spread fields of {window[2]} x {window[3]} cells in {len(which)} weathers"
        _refuse_beyond_memory(needed, what)
        world = self._make(window, which, parallel.checked_workers(workers))
        with self._lock:
            self._made[window, which] = world
            while len(self._made) > 1 and sum(map(_world_bytes, self._made.values())) > self.keep_bytes:
                self._made.popitem(last=False)
        return world

    def let_go(self) -> None:
        """Forget what is kept; it is made again if it is asked for."""
        with self._lock:
            self._made.clear()

    def _make(self, window: Window, which: tuple[int, ...], workers: int) -> World:
        row, col, rows, cols = window
        whole = window == self.whole_window
        land = self.landscape if whole else _part(self.landscape, window)
        shaded = None if self.shaded is None else self.shaded if whole else _part(self.shaded, window)
        fields: list[F4] = [np.empty(0, np.float32)] * len(which)
        altered = None if shaded is None else list(fields)
        flames = None if land.value_by_flame is None else _no_flames(1 if shaded is None else 2, len(which), rows, cols)
        counter = iter(range(len(which)))

        def work(_worker: int) -> None:
            for i in counter:
                weather = self.weathers[which[i]].in_window(*window)
                behavior = _finite_behavior(land, weather, which[i])
                fields[i] = cell_fields(behavior, land.cell_size_m, self.stencil)
                spreads = behavior.spread_rate_m_min > 0
                too_long = spreads & (behavior.length_to_width > LONGEST[self.stencil])
                with self._lock:
                    self._too_long += int(too_long.sum())
                    self._spreading += int(spreads.sum())
                if flames is not None:
                    _write_flames(behavior, flames[0, i])
                if altered is not None and shaded is not None:
                    behavior = _finite_behavior(shaded, weather, which[i])
                    altered[i] = cell_fields(behavior, land.cell_size_m, self.stencil)
                    if flames is not None:
                        _write_flames(behavior, flames[1, i])

        parallel.run_threads(work, min(workers, len(which)))
        height, width = self.landscape.shape
        marks = np.zeros((rows, cols), np.uint8)
        inside = self.landscape.area_of_interest[row : row + rows, col : col + cols]
        marks[inside] |= _kernels.INTEREST
        at_edge = (row == 0, col + cols == width, row + rows == height, col == 0)
        # Within AROUND of a side the fields know half their neighborhood; no edge from inside the rim reaches there.
        for side, (edge, rim_bit) in enumerate(zip(at_edge, _kernels.RIM_SIDES, strict=True)):
            depth = 1 if edge else AROUND + PAD
            band = (np.s_[:depth], np.s_[:, -depth:], np.s_[-depth:], np.s_[:, :depth])[side]
            marks[band] |= np.uint8(_kernels.EDGE if edge else rim_bit)
        return build_world(
            fields,
            _rounded(land.value, inside, self._step),
            marks,
            stencil=self.stencil,
            altered=altered,
            by_flame=None if land.value_by_flame is None else _rounded(land.value_by_flame, inside, self._step),
            flames=None if flames is None else flames.reshape(*flames.shape[:3], -1),
            workers=workers,
        )

    def flames(self, window: Window, which: tuple[int, ...] | None = None, *, shaded: bool = False) -> F4:
        """What flame lengths are worked out from, in a window and the weathers `which`: (A, K, 4, C) f4, padded.

        Head flame length (m), eccentricity times heading east and north, exponent to which flame length goes with rate;
        of the landscape as it is and, if `shaded`, as treated (A = 2).
        """
        lands = [self.landscape, self.shaded] if shaded and self.shaded is not None else [self.landscape]
        which = tuple(range(len(self.weathers))) if which is None else which
        found = _no_flames(len(lands), len(which), *window[2:])
        for a, whole in enumerate(lands):
            land = whole if window == self.whole_window else _part(whole, window)
            for i, number in enumerate(which):
                _write_flames(fire_behavior(land, self.weathers[number].in_window(*window)), found[a, i])
        return found.reshape(*found.shape[:3], -1)


def _no_flames(lands: int, weathers: int, rows: int, cols: int) -> F4:
    """Room for `Fields.flames` of a window."""
    return np.zeros((lands, weathers, 4, rows + 2 * PAD, cols + 2 * PAD), np.float32)


def _write_flames(behavior: FireBehavior, out: F4) -> None:
    """Write what flame lengths are worked out from into out (4, H, W), padded."""
    inside = out[:, PAD:-PAD, PAD:-PAD]
    shape = behavior.length_to_width
    eccentricity = np.sqrt(shape * shape - 1) / shape
    heading = np.radians(behavior.spread_direction_deg)
    inside[0] = behavior.flame_length_m
    inside[1] = eccentricity * np.sin(heading)
    inside[2] = eccentricity * np.cos(heading)
    crowns = behavior.fire_type > SURFACE_FIRE
    inside[3] = np.where(crowns, np.float32(CROWN_FLAME_EXPONENT), np.float32(SURFACE_FLAME_EXPONENT))


def _as_if_writable(array: Any) -> Any:
    """The same memory under an array that may be written; whoever takes it must keep the original."""
    if not isinstance(array, np.ndarray) or array.flags.writeable or array.nbytes == 0:
        return array
    memory = (ctypes.c_byte * array.nbytes).from_address(array.ctypes.data)
    return np.frombuffer(memoryview(memory), array.dtype).reshape(array.shape)


def _part(landscape: Landscape, window: Window) -> Landscape:
    """A window of a landscape to burn in, whether or not it holds any of the area of interest."""
    row, col, rows, cols = window
    layers: dict[str, Any] = {name: getattr(landscape, name)[row : row + rows, col : col + cols] for name in LAYERS}
    layers["area_of_interest"] = np.ones((rows, cols), bool)
    if landscape.value_by_flame is not None:
        layers["value_by_flame"] = landscape.value_by_flame[:, row : row + rows, col : col + cols]
    return replace(landscape, **layers, transform=None)


def _world_bytes(world: World) -> int:
    return sum(part.nbytes for part in world if isinstance(part, np.ndarray))


def _finite_behavior(landscape: Landscape, weather: Weather, number: int) -> FireBehavior:
    behavior = fire_behavior(landscape, weather)
    for name in ("spread_rate_m_min", "spread_direction_deg", "length_to_width"):
        bad = ~np.isfinite(getattr(behavior, name))
        if bad.any():
            row, col = np.argwhere(bad)[0]
            raise InputError(
                f"weather {number}: {name} is not finite on {int(bad.sum())} cells, first row {row}, column {col}; "
                "correct the landscape or the weather there"
            )
    return behavior


def range_warning(too_long_share: float, stencil: int) -> str | None:
    """What to say of a landscape on which the grid is past its range, None if it is within."""
    if too_long_share <= LONGEST_SHARE:
        return None
    advice = "use 32 neighbors" if stencil < 32 else "take sizes and shapes with caution"
    return (
        f"Warning: on {too_long_share:.0%} of the cells fires are over {LONGEST[stencil]:g} times as long as wide, "
        f"where {stencil} neighbors no longer give their shape; {advice} (docs/accuracy.md)."
    )


def _refuse_beyond_memory(needed: float, what: str) -> None:
    remedy = "use fewer episodes, fires or weathers, a smaller window, or a smaller stencil"
    parallel.refuse_beyond_memory(needed, what, remedy)


def check_fires(landscape: Landscape, fires: Fires) -> None:
    """Refuse fires that start outside the grid or on a cell that cannot burn, by name and before anything runs."""
    rows, cols = landscape.shape
    row, col = fires.ignitions[:, 0], fires.ignitions[:, 1]
    if row.min() < 0 or col.min() < 0 or row.max() >= rows or col.max() >= cols:
        outside = np.flatnonzero((row < 0) | (row >= rows) | (col < 0) | (col >= cols))
        i = outside[0]
        raise InputError(
            f"fires: ignition {i} at row {row[i]}, column {col[i]} lies outside the {rows} x {cols} landscape "
            f"({len(outside)} such); move or drop it"
        )
    burnable = landscape.burnable.ravel().take(row * cols + col)
    if not burnable.all():
        bare = np.flatnonzero(~burnable)
        i = bare[0]
        code = landscape.fuel_model[row[i], col[i]]
        raise InputError(
            f"fires: ignition {i} at row {row[i]}, column {col[i]} is on nonburnable fuel {code} "
            f"({len(bare)} such); move or drop it"
        )


def _padded_cell(cell: I8, cols: int) -> I8:
    """Padded index of flat row-major cells."""
    return (cell // cols + PAD) * (cols + 2 * PAD) + cell % cols + PAD


def _cropped(padded: npt.NDArray[T], shape: tuple[int, int]) -> npt.NDArray[T]:
    """Take the padding off the last axis of a flat padded array."""
    cells = (shape[0] + 2 * PAD) * (shape[1] + 2 * PAD)
    grid = padded[..., :cells].reshape(*padded.shape[:-1], shape[0] + 2 * PAD, shape[1] + 2 * PAD)
    return np.ascontiguousarray(grid[..., PAD:-PAD, PAD:-PAD])


def _exact_weights(weight: F8, steps: int = VALUE_STEPS) -> I8:
    """Weights as whole numbers in proportion, so that weighted sums do not depend on the order of the fires."""
    if weight.min() == weight.max():
        return np.ones(len(weight), np.int64)
    whole = np.asarray(np.rint(weight / weight.max() * steps), np.int64)
    return np.maximum(whole, weight > 0)  # what counts a little counts, if only by one step


def _weight_steps(loss: float, landscape: Landscape) -> int:
    """How finely weights may be told apart so that sums of weighted losses, up to `loss`, stay exact in float64.

    One bit in 53 is kept free: what a unit of several cells may avoid at the most counts some cells twice.
    """
    room = 2.0**52 / max(loss / _value_step(landscape), 1.0)
    return int(np.clip(2.0 ** np.floor(np.log2(room)), FEWEST_WEIGHT_STEPS, WEIGHT_STEPS))


def _burning(fires: Fires, window: Window, index: dict[int, int] | None = None, which: I8 | None = None) -> Burning:
    """Fires as the kernels take them, in a window; `index` gives the place of a weather in the window's world."""
    chosen = slice(None) if which is None else which
    row, col = fires.ignitions[chosen].T
    cell = (row + (PAD - window[0])) * (window[3] + 2 * PAD) + (col + (PAD - window[1]))
    weather = fires.weather_index[chosen]
    if index is not None:
        weather = np.array([index[w] for w in weather.ravel().tolist()], np.int32).reshape(weather.shape)
    series = weather if weather.ndim == 2 else None
    return Burning(
        cell.astype(np.int32),
        np.ascontiguousarray(weather[:, 0]) if weather.ndim == 2 else weather,
        fires.duration_min[chosen],
        np.arange(len(cell), dtype=np.int32),
        series,
        np.float32(fires.period_min),
        None,
        None,
    )


def _with_holding(
    burning: Burning,
    landscape: Landscape,
    window: Window,
    fires: Fires,
    cells: I8,
    rule: HoldRule | None,
    seed: int,
) -> Burning:
    """The fires with the bits that say which firebreaks on flat `cells` of a window hold."""
    if rule is None:
        return burning
    part = landscape if window == (0, 0, *landscape.shape) else _part(landscape, window)
    row, col = np.divmod(cells, landscape.shape[1])
    here = (row - window[0]) * window[3] + col - window[1]
    held = len(fires) * len(cells) / 8 + 8 * len(fires.weather) * len(cells)
    _refuse_beyond_memory(held, f"which of {len(cells)} breaks hold against each of {len(fires)} fires")
    chances = np.empty((len(fires.weather), len(cells)))
    for i in np.unique(fires.weather_index).tolist():
        chances[i] = _chances(
            rule, fire_behavior(part, fires.weather[i].in_window(*window)).flame_length_m.ravel()[here]
        )
    bits = np.zeros((len(fires), -(-len(cells) // 8)), np.uint8)
    at_once = max(1, HOLDS_AT_ONCE // max(len(cells), 1))
    for first in range(0, len(fires), at_once):
        some = np.arange(first, min(first + at_once, len(fires)))
        # Of a series the day's strongest fire counts: a break is not known to be met at a calm hour.
        by_period = fires.weather_index[some].reshape(len(some), -1).T
        chance = chances[by_period[0]]
        for weather_index in by_period[1:]:
            np.minimum(chance, chances[weather_index], out=chance)
        bits[some] = np.packbits(holding(fires.take(some), cells, chance, seed), axis=1, bitorder="little")
    place = np.zeros((window[2] + 2 * PAD) * (window[3] + 2 * PAD), np.int32)
    place[_padded_cell(here, window[3])] = np.arange(len(cells))
    return burning._replace(holds=bits, place=place)


def _chances(rule: HoldRule, flame_m: F4) -> F8:
    try:
        chance = np.asarray(rule(flame_m), np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"hold: {error}; give a function from head flame length, m, to the probability that a firebreak holds"
        ) from error
    if chance.shape != flame_m.shape or not ((chance >= 0) & (chance <= 1)).all():
        raise InputError("hold: its probabilities must be one number from 0 to 1 for each flame length given")
    return chance


def _treat_world(world: World, treated: I8, kind: str) -> tuple[Masks, Any]:
    """The masks and special edges once the padded cells `treated` are firebreaks or shaded fuelbreaks."""
    special = None if world.special is None else world.special.copy()
    codes, open_dirs = world.codes.copy(), world.open_dirs.copy()
    for cell in treated:
        _kernels.treat_cell(world, codes, open_dirs, special, cell, kind == "shaded")
    return Masks(codes, open_dirs), special


def _check_plan(landscape: Landscape, plan: Plan | None, fields: Fields) -> None:
    if plan is None:
        return
    plan.check_grid(landscape)
    if plan.kind == "shaded" and fields.shaded is None:
        raise InputError(
            "plan: shaded fuelbreaks need the landscape as it is once treated; give it as `shaded` (landscape.shaded)"
        )


class _Scene(NamedTuple):
    """A window ready to burn in: its world, its masks with the plan's padded cells treated, and its fires."""

    window: Window
    world: World
    masks: Masks
    special: Any
    treated: I8
    burning: Burning
    flames: F4 | None  # as `_kernels.burn_statistics` takes them


@dataclass(frozen=True, eq=False)
class SpreadResult:
    """What n fires did on one landscape under one plan.

    burned_cells : (n,) i8 cells burned by each fire, buffer included
    loss : (n,) f8 value burned inside the area of interest, by flame length where the landscape says so
    reached_edge : (n,) bool, whether the fire came to the grid's outermost ring
    burned_interest : (n,) bool, whether it burned any of the area of interest
    cells_solved : cells settled in all, the cost of the call
    too_long_share : of the cells, those whose fire is longer for its width than the stencil is accurate for, see
        `range_warning`
    """

    landscape: Landscape
    fires: Fires
    burned_cells: I8
    loss: F8
    reached_edge: npt.NDArray[np.bool_]
    burned_interest: npt.NDArray[np.bool_]
    cells_solved: int
    too_long_share: float
    _counts: npt.NDArray[np.integer[Any]]
    _total_weight: int
    _by_flame: I8 | None
    _setting: Setting
    _margin: I8

    @property
    def burned_area_ha(self) -> F8:
        """Area burned by each fire, hectares (n,)."""
        return np.asarray(self.burned_cells * self.landscape.hectares_per_cell)

    @property
    def stencil(self) -> int:
        """Neighbors of a cell."""
        return self._setting.fields.stencil

    @property
    def mean_loss(self) -> float:
        """Expected loss of a fire, weighted."""
        return float((self.loss * self.fires.weight).sum() / self.fires.weight.sum())

    @property
    def reached_edge_share(self) -> float:
        """Of the fires that burn the area of interest, the share that also come to the outermost ring.

        Above 5 % the map's edge acts as a break for what happens inside: such a fire could as well have come from
        beyond. Fires that only singe the buffer do not count, or the share would measure the buffer's own ignitions.
        """
        return float(self.reached_edge[self.burned_interest].mean()) if self.burned_interest.any() else 0.0

    def burn_probability(self) -> F4:
        """Conditional burn probability (H, W) f4: the weighted share of these fires that burned the cell.

        Given that one such fire starts; not an annual probability.
        """
        probability = np.empty(self.landscape.shape, np.float32)
        np.divide(self._counts, self._total_weight, out=probability, casting="unsafe")
        return probability

    def flame_length_classes(self) -> F4:
        """How fiercely each cell burns when it burns: (6, H, W) f4, shares of the weight of the fires that burn it.

        The classes of flame length are 0-2, 2-4, 4-6, 6-8, 8-12 and over 12 feet (`FLAME_CLASS_ENDS_M` in meters). They
        sum to 1 where some fire burns the cell; the denominator is the fires that burn the cell, not all fires: times
        `burn_probability()` they are shares of all. A cell that no fire burns holds nan. The flame is that of the
        direction in which fire came to the cell, by the ellipse of the cell; where a fire starts, that of its head.

        Raises
        ------
        InputError : `spread` was not asked for `flame_lengths`
        """
        by_flame = self._flames()
        return np.asarray(self._over_burning(by_flame[:6]), np.float32)

    def conditional_flame_length_m(self) -> F4:
        """Mean flame length of the fires that burn each cell, m (H, W) f4, nan where none does.

        Conditional on the cell burning, as `flame_length_classes`.
        """
        return np.asarray(self._over_burning(self._flames()[6]) / 1000, np.float32)

    def _flames(self) -> I8:
        if self._by_flame is None:
            raise InputError("spread: flame lengths were not kept; give spread flame_lengths=True")
        return self._by_flame

    def _over_burning(self, sums: I8) -> F8:
        burns = self._counts > 0
        return np.asarray(np.where(burns, sums / np.maximum(self._counts, 1), np.nan))

    def arrival_min(self, i: int) -> F4:
        """Minutes from ignition until fire i burns each cell (H, W) f4, infinity where it does not.

        Solved anew at each call (the same bits each time): n fires need no n maps.
        """
        return self._solve(i)[0]

    def _solve(self, i: int) -> tuple[F4, npt.NDArray[np.int8]]:
        which = np.array([range(len(self.fires))[i]])
        margin = self._margin[which[0]].copy()
        while True:  # a window that fires shared may have been wider than this fire's own
            scene = _scene(self._setting._replace(flame_lengths=False), which, self._setting.window(which, margin), 1)
            scratch = _kernels.make_scratch(scene.world)
            arrival, parent = scratch.arrival.copy(), scratch.parent.copy()
            _kernels.solve_fire(
                scene.world, scene.masks, scene.special, scene.burning, scene.treated, 0, arrival, parent, scratch
            )
            met = int(np.bitwise_or.reduce(scene.world.marks[np.isfinite(arrival)]))
            if not met & int(_kernels.RIM):
                break
            margin[[met & int(bit) > 0 for bit in _kernels.RIM_SIDES]] *= 2
        row, col, rows, cols = scene.window
        place = (slice(row, row + rows), slice(col, col + cols))
        times = np.full(self.landscape.shape, np.inf, np.float32)
        parents = np.full(self.landscape.shape, _kernels.UNBURNED, np.int8)
        times[place], parents[place] = _cropped(arrival, (rows, cols)), _cropped(parent, (rows, cols))
        return times, parents


def spread(
    landscape: Landscape,
    fires: Fires,
    plan: Plan | None = None,
    *,
    stencil: int = 32,
    workers: int | None = None,
    shaded: Landscape | None = None,
    hold: HoldRule | None = None,
    hold_seed: int = 0,
    fields: Fields | None = None,
    flame_lengths: bool = False,
) -> SpreadResult:
    """Burn every fire on the landscape, with the plan's fuel breaks in place, and say what burned.

    Large landscapes burn in windows around the ignitions, widened until no fire comes near a window's side: the same
    result, bit for bit, in memory that does not grow with the map.

    Parameters
    ----------
    plan : fuel breaks in place; None for the untreated landscape
    stencil : neighbors of a cell: 32, 16 (a quarter faster, half the memory, less accurate) or 8 (rough)
    workers : threads; None uses every available core; the result is the same, bit for bit, for any number
    shaded : the landscape with every treatable cell a shaded fuelbreak, where the plan's kind is `shaded`
    hold : probability that a firebreak's cell holds, from the untreated head flame length there in m; whether it holds
        against a fire is drawn beforehand, the same for every plan; None: firebreaks always hold
    fields : `Fields` of this landscape and the fires' weathers if at hand, so that they are not made again; they then
        settle stencil and shaded
    flame_lengths : whether to keep flame lengths too, for `flame_length_classes` and `conditional_flame_length_m`

    Raises
    ------
    InputError : an ignition outside the grid or on a nonburnable cell; a plan of another grid; too little memory
    """
    settled = setting(
        landscape,
        fires,
        plan,
        stencil=stencil,
        workers=workers,
        shaded=shaded,
        hold=hold,
        hold_seed=hold_seed,
        fields=fields,
        flame_lengths=flame_lengths,
    )
    return gather(settled, [burn(settled, workers=workers)])


def setting(
    landscape: Landscape,
    fires: Fires,
    plan: Plan | None = None,
    *,
    stencil: int = 32,
    workers: int | None = None,
    shaded: Landscape | None = None,
    hold: HoldRule | None = None,
    hold_seed: int = 0,
    fields: Fields | None = None,
    flame_lengths: bool = False,
) -> Setting:
    """What `spread` would burn, checked: `burn` burns any part of the fires, anywhere, and `gather` joins the parts."""
    check_fires(landscape, fires)
    if fields is None:
        fields = Fields(landscape, fires.weather, stencil=stencil, shaded=shaded)
    elif fields.landscape is not landscape or fields.weathers != fires.weather:
        raise InputError(OTHER_FIELDS)
    _check_plan(landscape, plan, fields)
    workers = min(parallel.checked_workers(workers), len(fires))
    cells = math.prod(landscape.shape)
    held = fields.world_bytes(cells, len(fields.weathers)) + workers * SCRATCH_BYTES * cells
    flaming = FLAME_BYTES * cells * (1 + workers) if flame_lengths else 0
    needed = 8 * cells + 64 * len(fires) + flaming + (held if fields.fits_whole else 2 * fields.keep_bytes)
    _refuse_beyond_memory(needed, f"{len(fires)} fires on {landscape.shape[0]} x {landscape.shape[1]} cells")
    return Setting(fields, fires, plan, _exact_weights(fires.weight), hold, hold_seed, flame_lengths)


class Part(NamedTuple):
    """What the fires from `first` on did, (m,) of them; all that `gather` needs, as numbers and arrays."""

    first: int
    tally: Tally
    margin: I8  # (m, 4), see `Setting.window`
    counts: npt.NDArray[np.integer[Any]]  # (H, W) how often cells burned, by whole weights
    by_flame: I8 | None  # (7, H, W)
    too_long: tuple[int, int]  # cells of fields whose fire is too long for the stencil, and all of them


def burn(setting: Setting, first: int = 0, last: int | None = None, *, workers: int | None = None) -> Part:
    """Burn the fires from `first` up to `last`, all by default, on so many threads.

    What they do does not depend on which others burn beside them.
    """
    last = len(setting.fires) if last is None else last
    workers = min(parallel.checked_workers(workers), last - first)
    weight, dtype = setting.weight[first:last], np.int32 if setting.weight.sum() < 2**31 else np.int64
    if last - first < len(setting.fires):
        setting = setting._replace(fires=setting.fires.part(first, last))
    fields, fires = setting.fields, setting.fires
    tally = Tally.blank(len(fires))
    counts = np.zeros(fields.landscape.shape, dtype)
    by_flame = np.zeros((7, *counts.shape), np.int64) if setting.flame_lengths else None
    if fields.fits_whole:
        margin = np.broadcast_to(FIRST_MARGIN, (len(fires), 4))
        scene = _scene(setting, None, fields.whole_window, workers)
        counts += _burn(scene, None, weight, tally, by_flame, workers).astype(dtype)
    else:
        margin, waiting = _first_margins(setting, workers), np.arange(len(fires))
        while len(waiting):
            _burn_groups(setting, _groups(fires, waiting, margin), margin, weight, tally, counts, by_flame, workers)
            waiting = waiting[(tally.met[waiting] & _kernels.RIM) > 0]
            for side, bit in enumerate(_kernels.RIM_SIDES):
                margin[waiting[(tally.met[waiting] & bit) > 0], side] *= 2
    return Part(first, tally, margin, counts, by_flame, fields.too_long)


def joined(parts: Sequence[Part]) -> Part:
    """One part of several that follow each other, given in any order."""
    parts = sorted(parts, key=lambda part: part.first)
    ends = np.cumsum([parts[0].first, *(len(part.margin) for part in parts)])
    if [part.first for part in parts] != ends[:-1].tolist():
        raise InputError("parts: some fires are missing between them, or there twice")
    if len(parts) == 1:
        return parts[0]
    tally = Tally._make(np.concatenate(told) for told in zip(*(part.tally for part in parts), strict=True))
    counts, by_flame = parts[0].counts, parts[0].by_flame
    for part in parts[1:]:
        counts = counts + part.counts
        by_flame = None if by_flame is None or part.by_flame is None else by_flame + part.by_flame
    too_long = sum(part.too_long[0] for part in parts), sum(part.too_long[1] for part in parts)
    margin = np.concatenate([part.margin for part in parts])
    return Part(parts[0].first, tally, margin, counts, by_flame, too_long)


def gather(setting: Setting, parts: Sequence[Part]) -> SpreadResult:
    """Join parts that hold every fire once, in any order: the same as one run, bit for bit.

    What is told of a fire is its own; what is told of a cell is a sum of whole numbers.
    """
    whole = joined(parts)
    if whole.first or len(whole.margin) != len(setting.fires):
        raise InputError(f"parts: they do not hold each of {len(setting.fires)} fires once")
    tally, (over, of) = whole.tally, whole.too_long
    return SpreadResult(
        setting.fields.landscape,
        setting.fires,
        tally.burned,
        tally.loss,
        (tally.met & _kernels.EDGE) > 0,
        (tally.met & _kernels.INTEREST) > 0,
        int(tally.settled.sum()),
        over / max(of, 1),
        whole.counts,
        int(setting.weight.sum()),
        whole.by_flame,
        setting,
        whole.margin,
    )


# A task of a cluster burns at least so many fires, and there are up to so many tasks a core: what a task costs beside
# its fires (some ms to send it and to sum its map) is little, and a machine that is lost or slow holds up little.
TASK_FIRES = 1000
TASKS_PER_CORE = 8


def spread_on_ray(
    settings: Sequence[Setting], ray: Any, say: Callable[[float, str], None] = lambda *_: None
) -> list[SpreadResult]:
    """Burn several settings of the same number of fires on a ray cluster that was joined: as `spread` would, in bits.

    Spread fields are made once, here, and shipped, where they fit; tasks lost with a machine are done again on another.

    Parameters
    ----------
    say : told of progress: share done, message
    """
    for fields in {id(each.fields): each.fields for each in settings}.values():
        if fields.fits_whole:
            fields.world()
    n = len(settings[0].fires)
    size = max(TASK_FIRES, -(-n * len(settings) // (TASKS_PER_CORE * parallel.ray_cores(ray))))
    firsts = range(0, n, size)
    tasks = [(i, first, min(first + size, n)) for i in range(len(settings)) for first in firsts]
    # Shipped together, so that what they share is shipped once; joined as they come, so that few maps are held at once.
    whole: dict[int, Part] = {}
    results = parallel.run_ray(ray, _burn_one, list(settings), tasks, before=_warm_up_for)
    for done, ((i, _, _), part) in enumerate(zip(tasks, results, strict=True), 1):
        whole[i] = joined([whole[i], part]) if i in whole else part
        say(done / len(tasks), f"{done} of {len(tasks)} parts")
    return [gather(each, [whole[i]]) for i, each in enumerate(settings)]


def _burn_one(settings: Sequence[Setting], which: int, first: int, last: int) -> Part:
    return burn(settings[which], first, last, workers=1)


def _warm_up_for(settings: Sequence[Setting]) -> None:
    """Compile or load what a fire of these settings needs, by burning one."""
    burn(settings[0], 0, 1, workers=1)


class Setting(NamedTuple):
    """What a call of `spread` burns."""

    fields: Fields
    fires: Fires
    plan: Plan | None
    weight: I8  # of each fire, a whole number in proportion
    hold: HoldRule | None = None
    hold_seed: int = 0
    flame_lengths: bool = False

    def window(self, which: I8, margin: I8) -> Window:
        """Where to burn some fires: all of the landscape where it is kept whole, else so many cells around them.

        margin : (4,) cells to the north, east, south, west of the ignitions
        """
        if self.fields.fits_whole:
            return self.fields.whole_window
        north, east, south, west = margin.tolist()
        ignitions, (height, width) = self.fires.ignitions[which], self.fields.landscape.shape
        row, col = ignitions.min(axis=0).tolist()
        last_row, last_col = ignitions.max(axis=0).tolist()
        row, col = max(row - north, 0), max(col - west, 0)
        return row, col, min(last_row + south + 1, height) - row, min(last_col + east + 1, width) - col


class Tally(NamedTuple):
    """What is told of each fire (n,): cells burned, loss, marks met, cells settled."""

    burned: I8
    loss: F8
    met: U1
    settled: I8

    @classmethod
    def blank(cls, n: int) -> Tally:
        """Of n fires that have not burned yet."""
        return cls(np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.uint8), np.zeros(n, np.int64))


def _scene(setting: Setting, which: I8 | None, window: Window, workers: int) -> _Scene:
    """A window with the plan in place and the fires `which`, None for all."""
    fields, fires, plan = setting.fields, setting.fires, setting.plan
    some = slice(None) if which is None else which
    weathers = None if fields.fits_whole else tuple(np.unique(fires.weather_index[some]).tolist())
    world = fields.world(window, weathers, workers=workers)
    index = None if weathers is None else {weather: i for i, weather in enumerate(weathers)}
    burning = _burning(fires, window, index, which)
    width = fields.landscape.shape[1]
    cells = np.empty(0, np.int64) if plan is None else _inside(plan.cells, width, window)
    row, col = np.divmod(cells, width)
    padded = _padded_cell((row - window[0]) * window[3] + col - window[1], window[3])
    if len(cells) and plan is not None and plan.kind == "firebreak" and setting.hold is not None:
        held = fires if which is None else fires.take(which), cells, setting.hold, setting.hold_seed
        burning = _with_holding(burning, fields.landscape, window, *held)
    masks, special = _treat_world(world, padded, "firebreak" if plan is None else plan.kind)
    flames = None
    if setting.flame_lengths:
        flames = world.flames
        if flames is None:
            flames = fields.flames(window, weathers, shaded=plan is not None and plan.kind == "shaded")
    return _Scene(window, world, masks, special, padded, burning, flames)


def batch_size(fires: int, workers: int) -> int:
    """How many fires a thread takes at a time: so few that all threads end together."""
    return max(1, min(16, fires // (64 * workers)))


def _burn(scene: _Scene, which: I8 | None, weight: I8, tally: Tally, by_flame: I8 | None, workers: int) -> I8:
    """Burn the fires `which` of a scene, write their rows of `tally`, and return how often cells burned (H, W).

    by_flame : (7, H, W) of the scene, what is added up of flame lengths
    """
    here, own_weight = (tally, weight) if which is None else (Tally.blank(len(which)), weight[which])
    counter, batch = np.zeros(1, np.int64), batch_size(len(own_weight), workers)
    counts = np.zeros((workers, len(scene.world.value)), np.int64)
    flaming = None if by_flame is None else np.zeros((workers, 7, len(scene.world.value)), np.int64)

    def work(worker: int) -> None:
        _kernels.burn_statistics(
            scene.world,
            scene.masks,
            scene.special,
            scene.burning,
            scene.treated,
            own_weight,
            counts[worker],
            *here,
            counter,
            batch,
            _kernels.make_scratch(scene.world),
            scene.flames,
            None if flaming is None else flaming[worker],
        )

    parallel.run_threads(work, workers)
    if by_flame is not None and flaming is not None:
        by_flame += _cropped(flaming.sum(axis=0), scene.window[2:])
    if which is not None:
        for name in ("burned", "loss", "met"):
            getattr(tally, name)[which] = getattr(here, name)
        tally.settled[which] += here.settled
    return _cropped(counts.sum(axis=0), scene.window[2:])


def _burn_groups(
    setting: Setting,
    groups: list[I8],
    margin: I8,
    weight: I8,
    tally: Tally,
    counts: npt.NDArray[np.integer[Any]],
    by_flame: I8 | None,
    workers: int,
) -> None:
    """Burn groups of fires, each in a window of its own, on so many threads; add up how often cells burned."""
    lock, waiting = threading.Lock(), iter(groups)

    def work(_worker: int) -> None:
        while True:
            with lock:
                which = next(waiting, None)
            if which is None:
                return
            window = setting.window(which, margin[which[0]])
            row, col, rows, cols = window
            flaming = None if by_flame is None else np.zeros((7, rows, cols), np.int64)
            part = _burn(_scene(setting, which, window, 1), which, weight, tally, flaming, 1)
            with lock:
                counts[row : row + rows, col : col + cols] += part.astype(counts.dtype)
                if by_flame is not None and flaming is not None:
                    by_flame[:, row : row + rows, col : col + cols] += flaming

    parallel.run_threads(work, workers)


def _inside(cells: I8, width: int, window: Window) -> I8:
    """Those of the flat cells that lie in a window."""
    row, col = np.divmod(cells, width)
    row, col = row - window[0], col - window[1]
    return cells[(row >= 0) & (row < window[2]) & (col >= 0) & (col < window[3])]


def _first_margins(setting: Setting, workers: int) -> I8:
    """Cells to the north, east, south, west of its ignition in which each fire is first tried (n, 4).

    All of the map where so many fires burn in one weather that its fields there, once, are cheaper than windows.
    """
    fields, fires = setting.fields, setting.fires
    margin = np.full((len(fires), 4), FIRST_MARGIN)
    cells = math.prod(fields.landscape.shape)
    if fires.weather_index.ndim == 1 and workers * fields.world_bytes(cells, 1) <= fields.keep_bytes:
        many = np.bincount(fires.weather_index, minlength=len(fires.weather)) * USUAL_WINDOW > cells
        margin[many[fires.weather_index]] = max(fields.landscape.shape)
    return margin


def _groups(fires: Fires, which: I8, margin: I8) -> list[I8]:
    """Fires that can share a window: of the same weather and margins (n, 4), ignited close together."""
    close = margin[which].min(axis=1, keepdims=True)
    key = np.column_stack([fires.ignitions[which] // close, fires.weather_index[which], margin[which]])
    _, group = np.unique(key, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    cuts = np.flatnonzero(np.diff(group.ravel()[order])) + 1
    return [np.asarray(part) for part in np.split(which[order], cuts)]


def expected_fire_length_cells(landscape: Landscape, weathers: Sequence[Weather], duration_min: float) -> int:
    """How far a fire runs, in cells: the mean head rate over burnable cells and weathers, times the duration.

    No farther than the landscape is long.
    """
    rates = [
        fire_behavior(landscape, weather).spread_rate_m_min[landscape.burnable].mean(dtype=np.float64)
        for weather in weathers
    ]
    length = float(mean_over(weathers, rates)) * duration_min / landscape.cell_size_m if any(rates) else 0.0
    return int(np.ceil(min(length, max(landscape.shape))))


def settle_buffer(
    make: Callable[[int], Landscape],
    weathers: Sequence[Weather] | Callable[[Landscape], Sequence[Weather]],
    duration_min: float,
    buffer_cells: int | None = None,
) -> Landscape:
    """A landscape with a buffer in which fires ignite and spread but nothing is treated and nothing counts.

    Without it the map's edge would be a free fuel break. The default width is one expected fire length, at most 25
    cells, and at most a quarter of a map that has nothing around it, so that half its width is left.

    Parameters
    ----------
    make : gives the landscape with a buffer of so many cells
    weathers : a bank, or what gives it for a landscape
    buffer_cells : the width wanted; None for the default
    """
    if buffer_cells is not None:
        return make(buffer_cells)
    try:
        widest = make(MAX_BUFFER_CELLS)
    except InputError:  # too small a map for this ring, which nobody asked for; anything else is refused again here
        widest = make(0)
    bank = weathers(widest) if callable(weathers) else weathers
    buffer_cells = min(MAX_BUFFER_CELLS, expected_fire_length_cells(widest, bank, duration_min))
    quarter = min(widest.shape) // 4
    if buffer_cells > quarter and make(0).shape == widest.shape:  # the ring comes off the map's own edge
        buffer_cells = quarter
    return make(buffer_cells)


def warm_up(stencil: int = 32) -> None:
    """Compile the kernels for constant weather, once for a machine and version, or load them.

    What else there is compiles when it is first used.
    """
    landscape = Landscape.from_arrays(fuel_model=np.full((5, 5), 1, np.int16))
    fires = Fires(ignitions=[(0, 0), (4, 4)], weather=Weather(), duration_min=30.0)
    spread(landscape, fires, stencil=stencil, workers=1)
    ensemble = Ensemble(landscape, fires, stencil=stencil)
    ensemble.reset(0, np.arange(2))
    ensemble.observe(np.empty((1, 1, 5, 5), np.float32), [0] + [-1] * 8, (0, 0), np.ones(1))
    ensemble.treat(np.array([12]))
    ensemble.gains()


def warm_up_whole_fires(stencil: int = 32, *, flame_lengths: bool = False) -> None:
    """The same for `spread` alone."""
    landscape = Landscape.from_arrays(fuel_model=np.full((5, 5), 1, np.int16))
    fires = Fires(ignitions=[(0, 0)], weather=Weather(), duration_min=30.0)
    spread(landscape, fires, stencil=stencil, workers=1, flame_lengths=flame_lengths)


# A thread is woken for so much work of its own; results do not depend on it. All three were measured, roughly.
WAKING_NS = 100_000.0
CELL_NS, FIRE_NS, WRITTEN_NS = 250.0, 100.0, 1.5  # a cell settled, a fire looked at, a number of an observation


class Gains(NamedTuple):
    """What each unit alone would do next in each episode, means over its fires (E, U) f8.

    avoided : expected loss it avoids; bound : what it avoids at most, if it is a firebreak: the value that burned
    through the edges it would shut. Where losses go by flame length a firebreak may avoid less than 0: what burns all
    the same may burn fiercer, by another way.
    """

    avoided: F8
    bound: F8


class Trees(NamedTuple):
    """How fires came to the cells they burned, n of them, fire by fire, by rising cell number.

    fire : (n,) int64 number of the fire in its episode
    cell, parent : (n,) int64 flat cells; the parent is where fire came from, -1 where it started
    direction : (n,) int64 of the edge it took, -1 where it started
    arrival_min : (n,) float32
    """

    fire: I8
    cell: I8
    parent: I8
    direction: I8
    arrival_min: F4


def crossing_cells(trees: Trees, shape: tuple[int, int]) -> I8:
    """The cells that the edge to each burned cell crosses (n, 8), flat, -1 for none, and wherever a fire started.

    Its start, its end, up to four that it crosses, and the two beside a corner that it passes: it is shut as a
    firebreak stands on any of the first six, or on both of the last.
    """
    went = trees.direction >= 0
    k = np.where(went, trees.direction, 0)
    row, col = np.divmod(np.where(went, trees.parent, 0), shape[1])
    steps = np.stack([np.zeros((len(k), 2), np.int64), _kernels.STEPS[k]], axis=1)
    steps = np.concatenate([steps, _kernels.CROSSED[k], _kernels.FLANKS[k]], axis=1)
    there = (steps != 0).any(axis=2)
    there[:, 0] = True
    rows, cols = row[:, None] + steps[..., 0], col[:, None] + steps[..., 1]
    there &= (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1]) & went[:, None]
    return np.asarray(np.where(there, rows * shape[1] + cols, -1))


class Ensemble:
    """E episodes that each grow a plan of their own on the same landscape, judged by S fires each.

    The one mutable thing in fuelbreak: the burned cells of all fires with their arrival times and parents, brought up
    to date by exact repair whenever an episode treats a cell, bit for bit what a fresh solve would give. Memory grows
    with what burns, not with the map.

    Parameters
    ----------
    fires : the bank; each episode's fires are taken from it at `reset`
    episodes : E
    fires_per_episode : S; every fire of the bank if left out
    workers : threads, None for every available core; results do not depend on it
    shaded, hold, hold_seed, fields : as for `spread`
    """

    def __init__(
        self,
        landscape: Landscape,
        fires: Fires,
        *,
        episodes: int = 1,
        fires_per_episode: int | None = None,
        stencil: int = 32,
        workers: int | None = 1,
        shaded: Landscape | None = None,
        hold: HoldRule | None = None,
        hold_seed: int = 0,
        fields: Fields | None = None,
    ) -> None:
        check_fires(landscape, fires)
        self.landscape, self.fires = landscape, fires
        self.episodes = episodes
        self.fires_per_episode = len(fires) if fires_per_episode is None else fires_per_episode
        whole = all(isinstance(n, int | np.integer) for n in (self.episodes, self.fires_per_episode))
        if not whole or episodes < 1 or not 1 <= self.fires_per_episode <= len(fires):
            raise InputError(
                f"fires: {episodes} episodes of {self.fires_per_episode} fires are wanted of a bank of {len(fires)}; "
                "give at least one episode and from one fire up to the bank's number"
            )
        self._workers = parallel.checked_workers(workers)
        if fields is None:
            fields = Fields(landscape, fires.weather, stencil=stencil, shaded=shaded)
        elif fields.landscape is not landscape or fields.weathers != fires.weather:
            raise InputError(OTHER_FIELDS)
        parts = 1 if self._workers == 1 else -(-2 * self._workers // episodes)  # threads that share one episode
        self.world = fields.world(workers=self._workers)
        cells = len(self.world.value)
        held = self._workers * SCRATCH_BYTES + episodes * (parts * _kernels.PLANES * 8 + 5 * len(self.world.codes))
        _refuse_beyond_memory(held * cells, f"{episodes} episodes on {landscape.shape[0]} x {landscape.shape[1]} cells")
        self._scratch = [_kernels.make_scratch(self.world) for _ in range(self._workers)]
        burnable = np.flatnonzero(landscape.burnable)
        self._bank_fires = _with_holding(
            _burning(fires, fields.whole_window),
            landscape,
            fields.whole_window,
            fires,
            burnable,
            hold,
            hold_seed,
        )
        self._solved = 0
        shape = (episodes, self.fires_per_episode)
        self._bank, self._bank_loss = self._solve_bank()
        # Where treatments can let a fire burn more than it did, each has room for all cells.
        self._room = 0 if self.world.special is None else cells
        sizes = np.sort(np.maximum(self._bank.length, self._room))[::-1][: self.fires_per_episode]
        self._region = int(sizes.sum())
        _refuse_beyond_memory(9 * episodes * self._region, f"the burned cells of {episodes} x {shape[1]} fires")
        self._states = States(
            np.empty(episodes * self._region, np.int32),
            np.empty(episodes * self._region, np.float32),
            np.empty(episodes * self._region, np.int8),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int32),
            np.zeros((*shape, 2), np.int32),
        )
        self._loss = np.zeros(shape)
        self._settled = np.zeros(shape, np.int64)
        self._settled_before = self._repaired = 0  # in all, and by the last repair: what the next one may take
        self._codes = np.broadcast_to(self.world.codes, (episodes, *self.world.codes.shape)).copy()
        self._open_dirs = np.broadcast_to(self.world.open_dirs, (episodes, *self.world.open_dirs.shape)).copy()
        self._special = None if self.world.special is None else np.zeros_like(self._open_dirs)
        # The codes before the treatment under way: to know the flames there were where it alters fuel, else not asked.
        may_alter = self._special is not None and self.world.by_flame is not None
        self._codes_before = np.empty_like(self._codes) if may_alter else self._codes
        # What was treated so far, kept where breaks may not hold: the first so many of each row.
        self._treated, self._treatments = np.empty((episodes, 0), np.int64), np.zeros(episodes, np.int64)
        bank = self._bank_fires
        self._burning = Burning(
            np.zeros(shape, np.int32),
            np.zeros(shape, np.int32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int32),
            None if bank.series is None else np.zeros((*shape, bank.series.shape[1]), np.int32),
            bank.period_min,
            bank.holds,
            bank.place,
        )
        self._weight, self._whole_weight = np.ones(shape), np.ones(shape)
        self._weight_sum = np.full(episodes, np.nan)  # until an episode is reset for the first time
        steps = _weight_steps(float(np.sort(self._most_loss())[::-1][: self.fires_per_episode].sum()), landscape)
        self._weight_steps = steps
        self._exact_weight = _exact_weights(fires.weight, steps).astype(np.float64)
        self._planes = np.zeros((episodes, parts, _kernels.PLANES, cells))
        self._with_planes = np.zeros(episodes, np.uint8)  # whose sums are kept up to date

    def _most_loss(self) -> F8:
        """What each fire of the bank may cost at most, whatever is treated (n,)."""
        if self._room > 0:
            return np.full(len(self.fires), self.world.value.sum())
        if self.world.by_flame is None:
            return self._bank_loss
        parts = np.split(self._bank.cell, self._bank.start[1:])  # a break may turn a fire so that it comes fiercer
        return np.array([self.world.value[cells].sum() for cells in parts])

    def _solve_bank(self) -> tuple[States, F8]:
        """The untreated states of all fires of the bank, and their losses."""
        fires, n = self._bank_fires, len(self.fires)
        # A few fires first: what they burn says whether all of it will fit.
        tried = min(n, 32)
        untreated = Masks(self.world.codes, self.world.open_dirs), self.world.special, np.empty(0, np.int64)
        some, _ = self._solve(*untreated, fires._replace(ignition=fires.ignition[:tried]), 1)
        _refuse_beyond_memory(27.0 * float(some.length.mean()) * n, f"the burned cells of {n} fires")
        self._solved = 0  # these are solved again with the others
        return self._solve(*untreated, fires, self._workers)

    def _solve(self, masks: Masks, special: Any, treated: I8, fires: Burning, workers: int) -> tuple[States, F8]:
        """States of as many fires as have an ignition, burned anew among padded cells treated, and their losses."""
        n = len(fires.ignition)
        states = States(
            np.empty(0, np.int32),
            np.empty(0, np.float32),
            np.empty(0, np.int8),
            np.zeros(n, np.int64),
            np.zeros(n, np.int32),
            np.zeros((n, 2), np.int32),
        )
        owner, settled, loss = np.zeros(n, np.int32), np.zeros(n, np.int64), np.zeros(n)
        kept: dict[int, tuple[Any, Any, Any]] = {}  # by worker: cells, times and parents of the fires it solved
        counter = np.zeros(1, np.int64)

        def work(worker: int) -> None:
            kept[worker] = _kernels.solve_states(
                self.world,
                masks,
                special,
                treated,
                fires,
                states,
                owner,
                worker,
                loss,
                settled,
                counter,
                self._scratch[worker],
            )

        parallel.run_threads(work, workers)
        start = np.zeros(n, np.int64)
        np.cumsum(states.length[:-1], out=start[1:])
        total = int(states.length.sum())
        solved = states._replace(
            cell=np.empty(total, np.int32),
            arrival=np.empty(total, np.float32),
            parent=np.empty(total, np.int8),
            start=start,
        )
        for i in range(n):
            here, there = start[i], states.start[i]
            size = int(states.length[i])
            cell, arrival, parent = kept[owner[i]]
            solved.cell[here : here + size] = cell[there : there + size]
            solved.arrival[here : here + size] = arrival[there : there + size]
            solved.parent[here : here + size] = parent[there : there + size]
        self._solved += int(settled.sum())
        return solved, loss

    @property
    def cells_solved(self) -> int:
        """Cells settled so far, in all: by the bank, by repairs and by trying units."""
        return self._solved + int(self._settled.sum())

    def reset(self, episode: int, which: I8, standing: npt.ArrayLike | None = None) -> None:
        """Start an episode anew with the bank's fires `which` (S,).

        Parameters
        ----------
        standing : firebreaks that stand already, flat cells (n,), -1 for none: as `treat` would have it, but the fires
            are burned anew among them, which is sooner where they are many and stop most of what burns
        """
        which, n = np.asarray(which), len(self.fires)
        fits = which.shape == (self.fires_per_episode,) and which.dtype.kind == "i"
        fits = fits and isinstance(episode, int | np.integer) and 0 <= episode < self.episodes
        if not fits or which.min() < 0 or which.max() >= n or len(np.unique(which)) < len(which):
            raise InputError(
                f"reset: give an episode from 0 to {self.episodes - 1} and {self.fires_per_episode} different fires of "
                f"the bank's {n}, as whole numbers from 0"
            )
        if not self.fires.weight[which].any():
            raise InputError("reset: these fires all weigh 0, so they judge nothing; take others")
        self._codes[episode], self._open_dirs[episode] = self.world.codes, self.world.open_dirs
        if self._special is not None:
            self._special[episode] = 0
        self._treated[episode], self._treatments[episode] = -1, 0
        fires, bank = self._burning, self._bank_fires
        fires.ignition[episode], fires.weather[episode] = bank.ignition[which], bank.weather[which]
        fires.duration_min[episode], fires.row[episode] = bank.duration_min[which], which
        if fires.series is not None and bank.series is not None:
            fires.series[episode] = bank.series[which]
        self._weight[episode] = self.fires.weight[which]
        self._weight_sum[episode] = self._weight[episode].sum()
        self._whole_weight[episode] = self._exact_weight[which]
        self._with_planes[episode] = 0
        first = episode * self._region
        if standing is None:
            np.take(self._bank_loss, which, out=self._loss[episode])
            _kernels.copy_states(self._bank, which, self._states, episode, first, self._room)
            return
        treated = np.full((self.episodes, np.size(standing)), -1, np.int64)
        treated[episode] = self._padded(np.asarray(standing)[None], "standing", 1)[0]
        _kernels.treat_episodes(self.world, self._codes, self._open_dirs, self._special, treated, False)
        self._note(treated)
        mine = fires._replace(
            ignition=fires.ignition[episode],
            weather=fires.weather[episode],
            duration_min=fires.duration_min[episode],
            row=fires.row[episode],
            series=None if fires.series is None else fires.series[episode],
        )
        masks = Masks(self._codes[episode], self._open_dirs[episode])
        special = None if self._special is None else self._special[episode]
        states, self._loss[episode] = self._solve(masks, special, treated[episode], mine, self._workers)
        _kernels.copy_states(states, np.arange(len(which)), self._states, episode, first, self._room)

    def _padded(self, cells: npt.ArrayLike, what: str, leading: int | None) -> I8:
        """Flat cells (n,) or (n, m), -1 for none, as padded cells (n, m)."""
        rows, cols = self.landscape.shape
        given = np.asarray(cells)
        if given.ndim == 1:
            given = given[:, None]
        fits = given.ndim == 2 and given.dtype.kind == "i" and given.size > 0 and leading in (None, len(given))
        if fits:
            padded = given.astype(np.int64)
            fits = _kernels.pad_cells(padded, rows, cols)
        if not fits:
            of = "unit" if leading is None else f"of {leading} episodes"
            raise InputError(
                f"{what}: give flat cells from 0 to {rows * cols - 1}, or -1 for none, one or more for each {of}"
            )
        return padded

    def treat(self, cells: npt.ArrayLike, kind: str = "firebreak") -> None:
        """Treat flat cells in each episode and bring its fires up to date: (E,) or (E, n), -1 for none."""
        self._refuse_unstarted()
        altered = self._altered(kind)
        padded = self._padded(cells, "treat", self.episodes)
        if self._codes_before is not self._codes:
            self._codes_before[:] = self._codes
        _kernels.treat_episodes(self.world, self._codes, self._open_dirs, self._special, padded, altered)
        self._note(padded)
        counter = np.zeros(1, np.int64)

        def work(worker: int) -> None:
            _kernels.repair_states(
                self.world,
                self._codes_before,
                self._codes,
                self._open_dirs,
                self._special,
                padded,
                self._treated,
                self._burning,
                self._states,
                self._loss,
                self._settled,
                self._whole_weight,
                self._planes,
                self._with_planes,
                counter,
                self._scratch[worker],
            )

        parallel.run_threads(work, self._threads_for(self._repaired * CELL_NS + self._settled.size * FIRE_NS))
        if self._workers > 1:
            self._repaired = int(self._settled.sum()) - self._settled_before
            self._settled_before += self._repaired

    def _note(self, treated: I8) -> None:
        """Remember what was treated (E, n), padded cells, where breaks may not hold."""
        if self._burning.holds is not None:
            place = self._treatments[:, None] + np.arange(treated.shape[1])
            missing = int(place.max()) + 1 - self._treated.shape[1]
            if missing > 0:
                self._treated = np.pad(self._treated, ((0, 0), (0, missing)), constant_values=-1)
            np.put_along_axis(self._treated, place, treated, axis=1)
            self._treatments += treated.shape[1]

    def _threads_for(self, work_ns: float) -> int:
        """How many threads are worth waking for that much work."""
        return max(1, min(self._workers, int(work_ns / WAKING_NS)))

    def _refuse_unstarted(self) -> None:
        unstarted = np.isnan(self._weight_sum)
        if unstarted.any():
            raise InputError(f"ensemble: episode {np.argmax(unstarted)} has no fires yet; start it with `reset`")

    def _altered(self, kind: str) -> bool:
        if kind not in ("firebreak", "shaded") or (kind == "shaded" and self.world.special is None):
            raise InputError(
                f"treat: kind {kind!r} cannot be simulated; use 'firebreak', or 'shaded' with the landscape as it is "
                "once treated given as `shaded`"
            )
        return kind == "shaded"

    def gains(self, units: npt.ArrayLike | None = None, kind: str = "firebreak") -> Gains:
        """What each unit alone would avoid next, exactly and on the same fires: each is tried by repair and undone.

        Parameters
        ----------
        units : flat cells (U,), or (U, n) with -1 for none; every treatable cell if None
        """
        return self._gains(units, kind, tried=True)

    def bounds(self, units: npt.ArrayLike | None = None, *, together: bool = False) -> F8:
        """What each unit avoids at most as a firebreak (E, U): `Gains.bound`, read off the fires' trees, none tried.

        With `together` the bounds of several units may be added up to bound what they avoid together: an edge past a
        corner, which is shut only when both cells beside it are, then counts for either.
        """
        return self._gains(units, "firebreak", tried=False, together=together).bound

    def _gains(self, units: npt.ArrayLike | None, kind: str, *, tried: bool, together: bool = False) -> Gains:
        self._refuse_unstarted()
        altered = self._altered(kind)
        units = np.flatnonzero(self.landscape.treatable) if units is None else units
        padded = self._padded(units, "gains", None)
        if together:
            padded = np.pad(padded, ((0, 0), (0, 1)), constant_values=-1)  # as for units of several cells
        avoided = np.zeros((self._workers, self.episodes, len(padded)))
        bound, settled = np.zeros_like(avoided), np.zeros((self._workers, 1), np.int64)
        counter = np.zeros(1, np.int64)

        def work(worker: int) -> None:
            _kernels.gain_sums(
                self.world,
                self._codes,
                self._open_dirs,
                self._special,
                padded,
                tried,
                altered,
                self._treated,
                self._burning,
                self._states,
                self._whole_weight,
                avoided[worker],
                bound[worker],
                settled[worker],
                counter,
                self._scratch[worker],
            )

        parallel.run_threads(work, self._workers)
        self._solved += int(settled.sum())
        total = self._whole_weight.sum(axis=1)[:, None]
        return Gains(avoided.sum(axis=0) / total, bound.sum(axis=0) / total)

    def weigh(self, episode: int, weight: npt.ArrayLike) -> None:
        """Make gains, bounds and planes of an episode means by other weights of its fires (S,), until its next reset.

        So they show what counts for an objective other than the mean. `losses` keeps to the fires' own weights.
        """
        given = np.asarray(weight, np.float64)
        if given.shape != (self.fires_per_episode,) or not (given >= 0).all() or not 0 < given.max() < np.inf:
            raise InputError(f"weigh: give {self.fires_per_episode} weights from 0, not all of them 0")
        self._whole_weight[episode] = _exact_weights(given, self._weight_steps)
        self._with_planes[episode] = 0

    def untreated_losses(self) -> F8:
        """Loss of each fire of the bank without breaks (n,)."""
        return self._bank_loss.copy()

    def fire_losses(self) -> F8:
        """Loss of each fire of each episode under its plan (E, S)."""
        return self._loss.copy()

    def trees(self, episode: int = 0) -> Trees:
        """The burned cells of an episode's fires, and from which cell fire came to each."""
        states, cols = self._states, self.landscape.shape[1]
        length = states.length[episode].astype(np.int64)
        first = np.cumsum(length) - length
        fire = np.repeat(np.arange(len(length)), length)
        at = np.arange(len(fire)) + np.repeat(states.start[episode] - first, length)
        padded, code = states.cell[at].astype(np.int64), states.parent[at].astype(np.int64)
        lit = code == _kernels.IGNITION
        width = cols + 2 * _kernels.PAD

        def flat(cell: I8) -> I8:
            return (cell // width - _kernels.PAD) * cols + cell % width - _kernels.PAD

        came_from = padded - self.world.offset[np.where(lit, 0, code)]
        parent = np.where(lit, -1, flat(came_from))
        return Trees(fire, flat(padded), parent, np.where(lit, -1, code), states.arrival[at])

    def losses(self) -> F8:
        """Expected loss of each episode (E,): the weighted mean over its fires; nan before its first reset."""
        return np.asarray((self._loss * self._weight).sum(axis=1) / self._weight_sum)

    def planes(self) -> F8:
        """Means over each episode's fires (E, 7, H, W) f8, in the order of `PLANE_NAMES`.

        Summed once an episode, then kept up to date with each repair, for the fires it touches alone.
        """
        self._sum_planes()
        sums = self._planes[:, 0] if self._planes.shape[1] == 1 else self._planes.sum(axis=1)
        planes = _cropped(sums, self.landscape.shape)
        planes /= self._whole_weight.sum(axis=1)[:, None, None, None]
        planes[:, 2:] /= 1024.0
        return planes

    def observe(self, out: F4, channels: Sequence[int], corner: tuple[int, int], untreated_loss: F8) -> None:
        """Write `planes` of a window into the channels of an observation.

        Parameters
        ----------
        out : (E, K, h, w), of which the channels named are written
        channels : (9,) of the seven planes, of downstream value over the untreated loss (at most 1) and of its square
            root; -1 for none
        corner : row and column of the window on the landscape
        untreated_loss : (E,) above 0
        """
        self._sum_planes()
        at = np.array([corner[0] + _kernels.PAD, corner[1] + _kernels.PAD])
        width, counter = self.landscape.shape[1] + 2 * _kernels.PAD, np.zeros(1, np.int64)
        args = self._planes, self._whole_weight.sum(axis=1), untreated_loss, np.array(channels), at, width, out, counter
        threads = self._threads_for(len(PLANE_NAMES) * out[:, 0].size * WRITTEN_NS)
        parallel.run_threads(lambda _: _kernels.observe_planes(*args), threads)

    def _sum_planes(self) -> None:
        """Sum the planes of episodes that have begun since."""
        wanted = 1 - self._with_planes
        if not wanted.any():
            return
        counter = np.zeros(1, np.int64)

        def work(worker: int) -> None:
            _kernels.sum_planes(
                self.world,
                self._codes,
                self._burning,
                self._states,
                self._whole_weight,
                self._planes,
                wanted,
                counter,
                self._scratch[worker],
            )

        parallel.run_threads(work, self._workers)
        self._with_planes[:] = 1

    def arrival_min(self, episode: int, fire: int) -> F4:
        """Arrival time of one fire of an episode, min (H, W) f4, infinity where unburned."""
        states, arrival = self._states, np.full(len(self.world.value), np.inf, np.float32)
        start = states.start[episode, fire]
        stop = start + states.length[episode, fire]
        arrival[states.cell[start:stop]] = states.arrival[start:stop]
        return _cropped(arrival, self.landscape.shape)


PLANE_NAMES = (
    "burn_probability",  # share of the fires that burn the cell
    "downstream_value",  # mean value that burns through the cell, the cell included (downstream protection value)
    "earliness",  # mean of 1 - arrival / duration, 0 where unburned
    "toward_north",  # mean of how far north fire was heading as it entered, 0 to 1
    "toward_east",
    "toward_south",
    "toward_west",
)
