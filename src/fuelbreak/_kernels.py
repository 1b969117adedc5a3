"""Every compiled loop of fire spread: fields, solve, repair, gains, planes. Arrays in, arrays out; no dice, no I/O.

Fire growth is minimum travel time (Finney 2002): `arrival[j] = min_i fl(arrival[i] + edge(i, j))` in float32. With
positive edges and one edge expression this has a unique fixed point, so any queue, any thread count and an incremental
repair give the same bits. Parents are made unique too: of the neighbors that reach a cell at the same float32 time, the
one with the lowest direction index is the parent (but where an edge is shorter than float32 can tell at that minute, a
cell and its parent are equally early, and the order decides: parents alone, never times).

Grids are padded by `PAD` closed cells on every side, so no edge needs a bounds check. A cell's spread is three floats
`(A, Bx, By)`, slowness along the unit vector d = A - B.d in min per cell, x east, y north (see `spread.cell_fields`).
The minutes of all edges that leave a cell stand side by side (`World.minutes`), made once per weather and shared by all
fires: settling a cell reads one or two cache lines, which were asked for when the cell was put on the queue.

One source serves every case; Numba compiles it anew for each kind of argument when it first meets it:
- stencils: the open-direction masks are uint8, uint16 or uint32, for 8, 16 or 32 neighbors;
- weather: `series` is None where a fire's weather is constant, else the fire's weather in each period;
- treatment: `special` is None where breaks only close cells, else it marks the edges that cross altered cells;
- values: `World.by_flame` is None where a burned cell costs the same in any flames.

All kernels that call each other stand in this file: Numba's cache does not see edits of a callee elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, cast

import llvmlite.ir
import numba
import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I1 = npt.NDArray[np.int8]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]
U1 = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.unsignedinteger[Any]]
Function = TypeVar("Function", bound=Callable[..., Any])
Int = Any  # a whole number, Python's or numpy's
Maybe = Any  # an array, or None where there is nothing of the kind: each is compiled apart

AROUND = 3  # cells on each side that say whether a cell lies among its like
PAD = 3  # the longest edge spans three rows or columns
STENCILS: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16, 32: np.uint32}
IGNITION = np.int8(32)
UNBURNED = np.int8(-1)
BUCKETS = 1024  # circular; a label further ahead waits in the last bucket and is moved on when met
CHUNK = 32  # places for waiting cells that are handed to a bucket at once, the first for the link to the chunk before
PATIENCE = 64  # settled cells for each cell of the grid beyond which the exact heap takes over
# What a cell is, as bits: cleared by a treatment, not spreading by itself, spreading as the altered fields say.
TREATED = np.uint8(1)
CLOSED = np.uint8(2)
ALTERED = np.uint8(4)
# Marks: the grid's outermost ring, the area of interest, near the north, east, south, west side of a window where the
# map goes on.
EDGE = np.uint8(1)
INTEREST = np.uint8(2)
RIM_SIDES = (np.uint8(4), np.uint8(8), np.uint8(16), np.uint8(32))
RIM = np.uint8(sum(RIM_SIDES))

# (row step, column step) of the 32 directions, each stencil being the first part of the next: 4 sides, 4 corners,
# 8 knight's moves, 8 moves of (1, 3) and 8 of (2, 3); row 0 is north.
STEPS = np.array(
    [
        *[(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)],
        *[(-2, 1), (-1, 2), (1, 2), (2, 1), (2, -1), (1, -2), (-1, -2), (-2, -1)],
        *[(-3, 1), (-1, 3), (1, 3), (3, 1), (3, -1), (1, -3), (-1, -3), (-3, -1)],
        *[(-3, 2), (-2, 3), (2, 3), (3, 2), (3, -2), (2, -3), (-2, -3), (-3, -2)],
    ],
    dtype=np.int64,
)
STEP_ROW, STEP_COL = STEPS[:, 0].copy(), STEPS[:, 1].copy()


def _crossing(row: int, col: int) -> tuple[list[tuple[int, int]], list[float], list[tuple[int, int]]]:
    """What the straight line from the center of cell (0, 0) to that of (row, col) crosses.

    Returns the cells in order, the share of its length in each, and the two cells beside a corner that it passes.
    """
    half = Fraction(1, 2)
    lines = [(size, (line + half) / size) for size in (row, col) if size for line in range(-3, 3)]
    cuts = [t for _, t in lines if 0 < t < 1]
    ordered = sorted({Fraction(0), *cuts, Fraction(1)})
    middles = [((a + b) / 2, float(b - a)) for a, b in pairwise(ordered)]
    cells = [(int((row * t + half).__floor__()), int((col * t + half).__floor__())) for t, _ in middles]
    flanks = []
    for t in {t for t in cuts if cuts.count(t) == 2}:  # a row's and a column's line at once: a corner
        up, left = int((row * t).__floor__()), int((col * t).__floor__())
        flanks = [cell for cell in [(up + i, left + j) for i in (0, 1) for j in (0, 1)] if cell not in cells]
    return cells, [share for _, share in middles], flanks


# Between its ends an edge crosses none, two or four cells: those next to the ends first, then those in the middle;
# (0, 0) fills what is left. FLANKS: the two cells beside a corner that the edge passes, (0, 0) if it passes none.
CROSSED = np.zeros((32, 4, 2), np.int64)
FLANKS = np.zeros((32, 2, 2), np.int64)
END_SHARE, NEXT_SHARE, MIDDLE_SHARE = np.zeros((3, 32), np.float32)
for _k, (_row, _col) in enumerate(STEPS.tolist()):
    _cells, _shares, _flanks = _crossing(_row, _col)
    END_SHARE[_k] = _shares[0]
    if len(_cells) >= 4:
        CROSSED[_k, :2], NEXT_SHARE[_k] = (_cells[1], _cells[-2]), _shares[1]
    if len(_cells) == 6:
        CROSSED[_k, 2:], MIDDLE_SHARE[_k] = (_cells[2], _cells[3]), _shares[2]
    if _flanks:
        FLANKS[_k] = _flanks
FLAME_CLASS_ENDS_MM = np.array([2, 4, 6, 8, 12]) * 304.8  # feet; beyond the last is the sixth class
LENGTH = np.hypot(STEP_ROW, STEP_COL).astype(np.float32)
EAST, NORTH = STEP_COL.astype(np.float32), (-STEP_ROW).astype(np.float32)
# How much of a step leads north, east, south, west, in 1/1024 (integers, so that sums do not depend on their order).
TOWARD = np.rint(
    1024
    * np.maximum(
        np.stack([-STEP_ROW, STEP_COL, STEP_ROW, -STEP_COL], axis=1) / np.hypot(STEP_ROW, STEP_COL)[:, None],
        0,
    )
).astype(np.int64)


class World(NamedTuple):
    """What all fires and episodes share: K weathers, G patterns of closed cells, C padded cells, D directions.

    minutes f4 (K, C, D): of the edge that leaves a cell in a direction.  bucket_min f4 (K,): width of a time bucket.
    pattern i4 (K,): which pattern of closed cells a weather has.  codes u1 (G, C): TREATED, CLOSED, ALTERED bits.
    open_dirs u1, u2 or u4 (G, C): bit k set where the edge in direction k is open.
    fields None, or f4 (2, K, 3, C) where treatments may alter spread: A, Bx, By as it is and as altered. special None,
    or then like open_dirs, all 0.
    altered_codes u1 (G, C): the code of a cell once altered.  value f8 (C,): loss when the cell burns, at most.
    by_flame None, or f8 (6, C): loss by class of flame length. flames None, or then f4 (A, K, 4, C): head flame length
    (m), eccentricity times heading east and north, exponent of the rate; of cells as they are and, if A = 2, altered.
    marks u1 (C,): EDGE, INTEREST, RIM_SIDES bits.  offset i8 (D,), crossed i8 (D, 4), flanks i8 (D, 2): the steps of
    `STEPS`, `CROSSED`, `FLANKS` as differences of cell numbers.  width: cells in a padded row.
    """

    minutes: F4
    bucket_min: F4
    pattern: I4
    codes: U1
    open_dirs: Bits
    special: Maybe
    fields: Maybe
    altered_codes: U1
    value: F8
    marks: U1
    offset: I8
    crossed: I8
    flanks: I8
    width: int
    by_flame: Maybe = None
    flames: Maybe = None


class Burning(NamedTuple):
    """The fires to burn, all (S,) or (E, S): ignition i4 padded cell, weather i4, duration_min f4, row i4 of `holds`.

    series None, or i4 (..., P): the weather in each period of period_min. holds None, or u1 (rows, n / 8): bit
    place[cell], place i4 (C,), is set where a firebreak on the cell holds against the fire.
    """

    ignition: I4
    weather: I4
    duration_min: F4
    row: I4
    series: Maybe
    period_min: np.float32
    holds: Maybe
    place: Maybe


class Fire(NamedTuple):
    """One of them."""

    ignition: np.int32
    weather: np.int32
    duration_min: np.float32
    row: np.int32
    period_min: np.float32


class Masks(NamedTuple):
    """The codes of cells and the open directions of an episode, or as one fire sees them, (G, C)."""

    codes: U1
    open_dirs: Bits


class States(NamedTuple):
    """Burned cells only, of fires (S,) or (E, S): `length` of them from `start` on, by rising cell number.

    cell i4, arrival f4, parent i1 (N,); start i8, length i4, columns i4 (..., 2): the first and last column burned.
    """

    cell: I4
    arrival: F4
    parent: I1
    start: I8
    length: I4
    columns: I4


class Scratch(NamedTuple):
    """One thread's working memory; between calls heads and waits_at are 0, arrival inf, parent -1, mark 0."""

    heads: I4
    pool: I4
    waits_at: I4
    touched: I4
    seeds: I4
    log_arrival: F4
    log_parent: I1
    arrival: F4
    parent: I1
    children: I4
    downstream: F8
    bound: F8
    tree: I1
    mark: U1
    marked: I4
    own_codes: U1
    own_dirs: Bits
    own_special: Maybe
    trial_codes: U1
    trial_dirs: Bits
    trial_special: Maybe
    patience: int


LISTED = np.int32(-1)  # a cell that is about to be put in the queue


def make_pool(cells: int) -> I4:
    """Room for the buckets' cells: a chunk for each bucket and twice the cells, far more than ever wait at once.

    The first chunk is its ledger: [0] the first chunk that was given back, 0 if none; [1] the first never handed out.
    """
    pool = np.empty((1 + BUCKETS + cells // (CHUNK // 2)) * CHUNK, np.int32)
    pool[:2] = 0, CHUNK
    return pool


def make_scratch(world: World, patience: int | None = None) -> Scratch:
    """Working memory of one thread for a world; `patience` bounds what buckets settle (tests make it small)."""
    cells = len(world.value)
    return Scratch(
        heads=np.zeros(BUCKETS, np.int32),
        pool=make_pool(cells),
        waits_at=np.zeros(cells, np.int32),
        touched=np.empty(2 * cells, np.int32),  # a repair lists lost cells and those burned again
        seeds=np.empty(cells + 1, np.int32),
        log_arrival=np.empty(cells, np.float32),
        log_parent=np.empty(cells, np.int8),
        arrival=np.full(cells, np.inf, np.float32),
        parent=np.full(-(-cells // 8) * 8, UNBURNED, np.int8),  # read eight at a time
        children=np.empty(cells, np.int32),
        downstream=np.empty(cells, np.float64),
        bound=np.empty(cells, np.float64),
        tree=np.empty(cells, np.int8),
        mark=np.zeros(cells, np.uint8),
        marked=np.empty(cells, np.int32),
        own_codes=np.empty_like(world.codes),
        own_dirs=np.empty_like(world.open_dirs),
        own_special=None if world.special is None else np.empty_like(world.special),
        trial_codes=np.empty_like(world.codes),
        trial_dirs=np.empty_like(world.open_dirs),
        trial_special=None if world.special is None else np.empty_like(world.special),
        patience=PATIENCE * cells if patience is None else patience,
    )


# A kernel is called from Python; an inner function only from kernels, which spares compiling its way in from Python.
def compiled(**options: Any) -> Callable[[Function], Function]:
    """A decorator that compiles a function, without the lock of Python, and keeps the result on disk."""
    compiler: Any = njit
    return cast(Callable[[Function], Function], compiler(cache=True, nogil=True, **options))


# Reference counts of arrays are atomic and cost more than the work of an inner loop: what makes no array of its own is
# compiled without them (`_nrt`), and may then hand arrays on only to what is compiled so too.
making = compiled()
kernel = compiled(_nrt=False)
inner = compiled(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)
inlined = compiled(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)
NUMBA_CONFIG: Any = numba.config
if NUMBA_CONFIG.DISABLE_JIT:

    def take_ticket(counter: I8) -> int:
        """Return the counter's value and add one to it."""
        ticket = int(counter[0])
        counter[0] += 1
        return ticket

    def lowest_bit(bits: Int) -> int:
        """Index of the lowest bit set."""
        return (int(bits) & -int(bits)).bit_length() - 1

    def directions_of(open_dirs: Bits) -> int:
        """Neighbors of the stencil: a bit each."""
        return open_dirs.itemsize * 8

    def prefetch(array: Any, index: Int) -> None:
        """Ask for what an array holds at `index` along its first axis before it is needed."""

else:

    @intrinsic
    def take_ticket(typingctx: Any, counter: Any) -> Any:
        """Return the counter's value and add one to it, in one step that no other thread can split."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            one = context.get_constant(types.int64, 1)
            return builder.atomic_rmw("add", array.data, one, "monotonic")

        return types.int64(counter), codegen

    @intrinsic
    def lowest_bit(typingctx: Any, bits: Any) -> Any:
        """Index of the lowest bit set; `bits` is not zero."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            wide = builder.zext(args[0], llvmlite.ir.IntType(64)) if signature.args[0].bitwidth < 64 else args[0]
            return builder.cttz(wide, llvmlite.ir.Constant(llvmlite.ir.IntType(1), 1))

        return types.int64(bits), codegen

    @intrinsic
    def directions_of(typingctx: Any, open_dirs: Any) -> Any:
        """Neighbors of the stencil, a bit each, as a constant of the compiled code: loops over them are unrolled.

        `len(offset)` and `open_dirs.itemsize` are read as the code runs, and cost a third of the speed.
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant(types.int64, signature.args[0].dtype.bitwidth)

        return types.int64(open_dirs), codegen

    @intrinsic
    def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
        """Ask for what an array holds at `index` along its first axis before it is needed, without waiting for it."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows = context.make_array(signature.args[0])(context, builder, args[0])
            byte, word = llvmlite.ir.IntType(8).as_pointer(), llvmlite.ir.IntType(32)
            stride = builder.extract_value(rows.strides, 0)
            where = builder.gep(builder.bitcast(rows.data, byte), [builder.mul(args[1], stride)])
            kind = llvmlite.ir.FunctionType(llvmlite.ir.VoidType(), [byte, word, word, word])
            ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
            builder.call(ask, [where, word(0), word(3), word(1)])  # to read, to be kept, data
            return context.get_dummy_value()

        return types.void(array, types.int64), codegen


# --- fields: what is told to the grid so that it burns what it should -----------------------------------------------


class Correction(NamedTuple):
    """How to correct a grid of one stencil, see `spread.corrected_fields`.

    length_to_width f8 (L,), angle_deg f8 (N,) evenly spaced from 0: axes of log_rate, log_rear f8 (L, N), the changes
    of head rate and of 1 - eccentricity with which a homogeneous grid burns the area of the ellipse.
    strength : share of them where fuels or headings are mixed.  gain : of log rate beside slower cells.
    mixed_above, heading_weight : see `spread.MIXED_ABOVE`, `HEADING_WEIGHT`.
    slowest_min : minutes per cell from which on a cell counts as one that does not spread.
    """

    length_to_width: F8
    angle_deg: F8
    log_rate: F8
    log_rear: F8
    strength: float
    gain: float
    mixed_above: float
    heading_weight: float
    slowest_min: float


@inlined
def homogeneous(correction: Correction, length_to_width: float, heading_deg: float) -> tuple[float, float]:
    """Logarithmic changes of head rate and of 1 - eccentricity on homogeneous ground, between the table's entries."""
    shapes, angles = correction.length_to_width, correction.angle_deg
    shape = min(max(length_to_width, shapes[0]), shapes[-1])
    i = 0
    while i < len(shapes) - 2 and shape >= shapes[i + 1]:
        i += 1
    u = (shape - shapes[i]) / (shapes[i + 1] - shapes[i])
    place = abs(heading_deg - 90.0 * np.floor((heading_deg + 45.0) / 90.0)) / angles[1]
    j = min(int(place), len(angles) - 2)
    v = place - j
    a, b = correction.log_rate, correction.log_rear
    return (
        (a[i, j] * (1 - v) + a[i, j + 1] * v) * (1 - u) + (a[i + 1, j] * (1 - v) + a[i + 1, j + 1] * v) * u,
        (b[i, j] * (1 - v) + b[i, j + 1] * v) * (1 - u) + (b[i + 1, j] * (1 - v) + b[i + 1, j + 1] * v) * u,
    )


@kernel
def all_homogeneous(correction: Correction, length_to_width: F8, heading_deg: F8, log_rate: F8, log_rear: F8) -> None:
    """`homogeneous` of each of n cells, into log_rate, log_rear (n,)."""
    for i in range(len(log_rate)):
        log_rate[i], log_rear[i] = homogeneous(correction, length_to_width[i], heading_deg[i])


@making
def fill_fields(correction: Correction, rate: F8, length_to_width: F8, heading_deg: F8, fields: F4) -> None:
    """Fill `fields` (H, W, 3): A, Bx, By of each cell, corrected; infinity, 0, 0 where nothing spreads.

    rate f8 (H, W) cells per min at the head; length_to_width, heading_deg f8 (H, W). What a cell gets depends on the
    cells within AROUND of it alone, and in the last bit: a window has the fields of the whole.
    """
    rows, cols = rate.shape
    slowness = np.zeros((rows + 2, cols + 2))  # 0 where nothing spreads
    # Sums of these over the cells around, 0 where nothing spreads: whether it does, log slowness and its square, east
    # and its square, north and its square of the heading.
    parts = np.zeros((rows, 7, cols + 2 * AROUND))
    for row in range(rows):
        for col in range(cols):
            if rate[row, col] > 0:
                e = np.sqrt(length_to_width[row, col] ** 2 - 1) / length_to_width[row, col]
                slow = 1 / (rate[row, col] * (1 - e))
                heading = np.deg2rad(heading_deg[row, col])
                log, east, north = np.log(slow), np.sin(heading), np.cos(heading)
                slowness[row + 1, col + 1] = slow
                part = parts[row, :, col + AROUND]
                part[0], part[1], part[3], part[5] = 1.0, log, east, north
                part[2], part[4], part[6] = log * log, east * east, north * north
    column = np.empty((7, cols + 2 * AROUND))
    total = np.empty((7, cols))
    beside = np.empty(cols)
    for row in range(rows):
        first = max(row - AROUND, 0)
        column[:] = parts[first]
        for other in range(first + 1, min(row + AROUND + 1, rows)):
            column += parts[other]
        total[:] = column[:, :cols]
        for shift in range(1, 2 * AROUND + 1):
            total += column[:, shift : shift + cols]
        beside[:] = 0.0
        for step in range(9):
            near = slowness[row + step // 3, step % 3 : step % 3 + cols]
            own = slowness[row + 1, 1 : 1 + cols]
            for col in range(cols):
                beside[col] += (1 - own[col] / max(near[col], own[col], 1e-300)) ** 2
        for col in range(cols):
            slow = slowness[row + 1, col + 1]
            fields[row, col, 0], fields[row, col, 1], fields[row, col, 2] = np.inf, 0.0, 0.0
            if slow == 0:
                continue
            n = total[0, col]
            variance = 0.0
            for i in range(1, 7, 2):
                mean = total[i, col] / n
                weight = 1.0 if i == 1 else correction.heading_weight**2
                variance += weight * max(total[i + 1, col] / n - mean**2, 0.0)
            mixed = 1 - np.exp(-np.sqrt(variance) / correction.mixed_above)
            applied = 1 - (1 - correction.strength) * mixed
            log_rate, log_rear = homogeneous(correction, length_to_width[row, col], heading_deg[row, col])
            rear = 1 / (slow * rate[row, col])
            head = rate[row, col] * np.exp(applied * log_rate + correction.gain * beside[col] / 8)
            rear = min(rear * np.exp(applied * log_rear), 1.0)
            a = 1 / (head * rear)
            if a <= correction.slowest_min:
                b = a * (1 - rear)
                fields[row, col, 0] = a
                fields[row, col, 1] = b * parts[row, 3, col + AROUND]
                fields[row, col, 2] = b * parts[row, 5, col + AROUND]


# --- geometry: edges, masks, treatments ------------------------------------------------------------------------------


@inner
def series_of(series: Maybe, index: Any) -> Any:
    """The periods' weathers of one fire, None if weather is constant."""
    if series is None:
        return None
    return series[index]


@inner
def fire_of(fires: Burning, index: Any) -> Fire:
    """One fire: s of (S,), or (e, s) of (E, S)."""
    return Fire(
        fires.ignition[index], fires.weather[index], fires.duration_min[index], fires.row[index], fires.period_min
    )


@inner
def masks_of(special: Maybe, index: Int) -> Any:
    """The special edges of one episode or pattern, None if nothing is ever altered."""
    if special is None:
        return None
    return special[index]


@inner
def line_mean(field: F4, first: Int, n: Int, k: Int, offset: I8, crossed: I8, out: F4) -> None:
    """Means of a field (C,) along the edges in direction k of n cells in a row: exact line integrals, into out (n,)."""
    for pair in range(3):
        if (pair == 1 and k < 8) or (pair == 2 and k < 24):
            continue
        near = first if pair == 0 else first + crossed[k, 2 * pair - 2]
        far = first + offset[k] if pair == 0 else first + crossed[k, 2 * pair - 1]
        one, other = field[near : near + n], field[far : far + n]  # slices, so that the compiler takes many at a time
        share = END_SHARE[k] if pair == 0 else NEXT_SHARE[k] if pair == 1 else MIDDLE_SHARE[k]
        if pair == 0:
            for i in range(n):
                out[i] = share * (one[i] + other[i])
        else:
            for i in range(n):
                out[i] += share * (one[i] + other[i])


@making
def all_minutes(field: F4, offset: I8, crossed: I8, width: Int, minutes: F4) -> None:
    """Fill `minutes` (C, D) with every edge of a padded grid, from its fields (3, C): A, Bx, By.

    Minutes from the center of a cell to that of its neighbor; infinity where a crossed cell does not spread.
    """
    cells, n = field.shape[1], width - 2 * PAD
    slowness, east, north = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    minutes[: PAD * width] = np.inf
    minutes[cells - PAD * width :] = np.inf
    for row in range(PAD, cells // width - PAD):
        first = row * width + PAD
        minutes[first - PAD : first] = np.inf
        minutes[first + n : first + n + PAD] = np.inf
        for k in range(len(offset)):
            line_mean(field[0], first, n, k, offset, crossed, slowness)
            line_mean(field[1], first, n, k, offset, crossed, east)
            line_mean(field[2], first, n, k, offset, crossed, north)
            length, eastward, northward = LENGTH[k], EAST[k], NORTH[k]
            edges = minutes[first : first + n, k]
            for i in range(n):
                edges[i] = (slowness[i] * length - east[i] * eastward) - north[i] * northward


@inlined
def along(plain: F4, altered: F4, codes: U1, part: Int, cell: Int, k: Int, offset: I8, crossed: I8) -> Any:
    """The same mean for one edge, where some cells are as they were and some altered."""
    end = cell + offset[k]
    first = altered[part, cell] if codes[cell] & ALTERED else plain[part, cell]
    last = altered[part, end] if codes[end] & ALTERED else plain[part, end]
    total = END_SHARE[k] * (first + last)
    if k >= 8:
        a, b = cell + crossed[k, 0], cell + crossed[k, 1]
        first = altered[part, a] if codes[a] & ALTERED else plain[part, a]
        last = altered[part, b] if codes[b] & ALTERED else plain[part, b]
        total += NEXT_SHARE[k] * (first + last)
    if k >= 24:
        a, b = cell + crossed[k, 2], cell + crossed[k, 3]
        first = altered[part, a] if codes[a] & ALTERED else plain[part, a]
        last = altered[part, b] if codes[b] & ALTERED else plain[part, b]
        total += MIDDLE_SHARE[k] * (first + last)
    return total


@inner
def edge_min(plain: F4, altered: F4, codes: U1, cell: Int, k: Int, offset: I8, crossed: I8) -> Any:
    """Minutes of one edge as treated: the operations of `all_minutes` in their order, so that bits agree.

    plain, altered f4 (3, C): A, Bx, By of each cell as it is and as altered; codes u1 (C,) say which holds.
    """
    slowness = along(plain, altered, codes, 0, cell, k, offset, crossed)
    east = along(plain, altered, codes, 1, cell, k, offset, crossed)
    north = along(plain, altered, codes, 2, cell, k, offset, crossed)
    return (slowness * LENGTH[k] - east * EAST[k]) - north * NORTH[k]


@inlined
def blocks(code: Any) -> Any:
    """Whether no fire crosses a cell of this code."""
    return (code & (TREATED | CLOSED)) != 0


@inner
def open_bits(codes: U1, cell: Int, offset: I8, crossed: I8, flanks: I8) -> Any:
    """Directions in which fire may leave `cell`, as bits.

    An edge is blocked if any cell it crosses is closed, or if it passes a corner whose two flanks are both closed.
    """
    bits = np.uint32(0)
    if blocks(codes[cell]):
        return bits
    for k in range(len(offset)):
        shut = blocks(codes[cell + offset[k]])
        for m in range(4):
            shut |= blocks(codes[cell + crossed[k, m]])
        shut |= blocks(codes[cell + flanks[k, 0]]) and blocks(codes[cell + flanks[k, 1]])
        if not shut:
            bits |= np.uint32(1) << np.uint32(k)
    return bits


@inner
def special_bits(codes: U1, cell: Int, offset: I8, crossed: I8) -> Any:
    """Directions whose edge crosses an altered cell, ends included, as bits."""
    bits = np.uint32(0)
    for k in range(len(offset)):
        altered = (codes[cell] | codes[cell + offset[k]]) & ALTERED
        for m in range(4):
            altered |= codes[cell + crossed[k, m]] & ALTERED
        if altered:
            bits |= np.uint32(1) << np.uint32(k)
    return bits


@kernel
def all_open_bits(codes: U1, open_dirs: Bits, offset: I8, crossed: I8, flanks: I8, width: Int) -> None:
    """Fill `open_dirs` (C,) for a whole padded grid: all open, then shut around each cell that blocks."""
    rows, every = len(codes) // width, (np.uint64(1) << np.uint64(len(offset))) - np.uint64(1)
    open_dirs[:] = 0
    for row in range(PAD, rows - PAD):
        for cell in range(row * width + PAD, (row + 1) * width - PAD):
            open_dirs[cell] = every
    for row in range(PAD, rows - PAD):
        by_padding = row < 2 * PAD or row >= rows - 2 * PAD
        for column in range(PAD, width - PAD):
            cell = row * width + column
            if blocks(codes[cell]):
                shut_around(codes, open_dirs, cell, offset, crossed, flanks)
            elif by_padding or column < 2 * PAD or column >= width - 2 * PAD:  # the padding blocks too
                open_dirs[cell] &= open_bits(codes, cell, offset, crossed, flanks)


@inner
def shut_around(codes: U1, open_dirs: Bits, cell: Int, offset: I8, crossed: I8, flanks: I8) -> None:
    """Shut every edge that crosses a cell (C,), or passes its corner where the other flank blocks already."""
    open_dirs[cell] = 0
    for k in range(len(offset)):
        bit = np.uint32(1) << np.uint32(k)
        open_dirs[cell - offset[k]] &= ~bit
        for m in range(4):  # where nothing is crossed this is the cell itself
            open_dirs[cell - crossed[k, m]] &= ~bit
        for one in range(2):
            start = cell - flanks[k, one]
            if blocks(codes[start + flanks[k, 1 - one]]):
                open_dirs[start] &= ~bit


@inner
def refresh(world: World, codes: U1, open_dirs: Bits, special: Maybe, cell: Int) -> None:
    """Bring the edges near a cell of one pattern (C,) up to date with the codes."""
    for row in range(-PAD, PAD + 1):
        for near in range(cell + row * world.width - PAD, cell + row * world.width + PAD + 1):
            if codes[near] & CLOSED and not codes[near] & ALTERED:  # the padding, among others
                open_dirs[near] = 0
                continue
            open_dirs[near] = open_bits(codes, near, world.offset, world.crossed, world.flanks)
            if special is not None:
                special[near] = special_bits(codes, near, world.offset, world.crossed)


@inner
def shut_cell(world: World, codes: U1, open_dirs: Bits, cell: Int) -> None:
    """Make a cell of one pattern (C,) a firebreak: shut every edge that crosses it."""
    codes[cell] |= TREATED
    shut_around(codes, open_dirs, cell, world.offset, world.crossed, world.flanks)


@kernel
def treat_cell(world: World, codes: U1, open_dirs: Bits, special: Maybe, cell: Int, altered: bool) -> None:
    """Treat a cell in all patterns (G, C): clear it as a firebreak, or alter its fuel."""
    for g in range(len(codes)):
        row = masks_of(special, g)
        if altered:
            codes[g, cell] = world.altered_codes[g, cell]
            refresh(world, codes[g], open_dirs[g], row, cell)
        else:
            shut_cell(world, codes[g], open_dirs[g], cell)


@kernel
def pad_cells(cells: I8, rows: Int, cols: Int) -> bool:
    """Turn flat cells (n, m), -1 for none, into padded ones in place; False if one is not on the grid."""
    for i in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            cell = cells[i, j]
            if cell < -1 or cell >= rows * cols:
                return False
            if cell >= 0:
                cells[i, j] = (cell // cols + PAD) * (cols + 2 * PAD) + cell % cols + PAD
    return True


@kernel
def treat_episodes(world: World, codes: U1, open_dirs: Bits, special: Maybe, treated: I8, altered: bool) -> None:
    """Treat the cells treated (E, n), -1 for none, in the masks (E, G, C) of each episode."""
    for e in range(len(treated)):
        for cell in treated[e]:
            if cell >= 0:
                treat_cell(world, codes[e], open_dirs[e], masks_of(special, e), cell, altered)


@inner
def holds_against(holds: Maybe, place: Maybe, row: Int, cell: Int) -> Any:
    """Whether a firebreak on this cell holds against the fire of this row; where nothing is drawn, all do."""
    if holds is None:
        return True
    bit = place[cell]
    return (holds[row, bit >> 3] >> np.uint8(bit & 7)) & np.uint8(1) != 0


@inner
def untreat(world: World, cell: Int, wholly: bool, pattern: Int, scratch: Scratch) -> None:
    """Undo a cell's firebreak, or all that was done to it, in this thread's masks, in one pattern, or in all if -1."""
    for g in range(len(world.codes)):
        if pattern < 0 or g == pattern:
            special = masks_of(scratch.own_special, g)
            scratch.own_codes[g, cell] = world.codes[g, cell] if wholly else scratch.own_codes[g, cell] & ~TREATED
            refresh(world, scratch.own_codes[g], scratch.own_dirs[g], special, cell)


@inner
def own_masks(
    world: World,
    masks: Masks,
    special: Maybe,
    fire: Fire,
    series: Maybe,
    holds: Maybe,
    place: Maybe,
    treated: I8,
    scratch: Scratch,
) -> tuple[Masks, Maybe]:
    """Masks and special edges (G, C) as one fire sees them.

    A treated ignition cell counts as untreated for its own fire, and so does a firebreak that does not hold against it.
    Where there is neither these are the shared masks themselves, else this thread's copy.
    """
    codes = masks.codes
    ignition = np.int64(fire.ignition)
    differs = codes[0, ignition] & (TREATED | ALTERED) != 0
    if holds is not None:
        for cell in treated:
            if cell >= 0 and codes[0, cell] & TREATED and not holds_against(holds, place, fire.row, cell):
                differs = True
    if not differs:
        return masks, special
    pattern = world.pattern[fire.weather] if series is None else -1
    for g in range(len(codes)):
        if pattern < 0 or g == pattern:
            for cell in range(codes.shape[1]):
                scratch.own_codes[g, cell] = codes[g, cell]
                scratch.own_dirs[g, cell] = masks.open_dirs[g, cell]
                if special is not None:
                    scratch.own_special[g, cell] = special[g, cell]
    if codes[0, ignition] & (TREATED | ALTERED):
        untreat(world, ignition, True, pattern, scratch)
    if holds is not None:
        for cell in treated:
            if cell >= 0 and codes[0, cell] & TREATED and not holds_against(holds, place, fire.row, cell):
                untreat(world, cell, False, pattern, scratch)
    return Masks(scratch.own_codes, scratch.own_dirs), scratch.own_special


# --- flames and losses -----------------------------------------------------------------------------------------------


@inner
def flame_mm(flames: F4, cell: Int, k: Int) -> Any:
    """Flame length, mm, where fire comes to a cell in direction k; at the ignition that of the head."""
    head_mm = 1000.0 * np.float64(flames[0, cell])
    if k == IGNITION:
        return np.int64(np.rint(head_mm))
    east, north = np.float64(flames[1, cell]), np.float64(flames[2, cell])
    along = (east * EAST[k] + north * NORTH[k]) / np.sqrt(np.float64(STEP_ROW[k] ** 2 + STEP_COL[k] ** 2))
    rate = min((1.0 - np.sqrt(east * east + north * north)) / (1.0 - along), 1.0)
    return np.int64(np.rint(head_mm * rate ** np.float64(flames[3, cell])))


@inlined
def flame_class(mm: Int) -> Any:
    """Which of the six classes of flame length this is."""
    level = 0
    while level < 5 and mm > FLAME_CLASS_ENDS_MM[level]:
        level += 1
    return level


@inlined
def flame_of(world: World, flames: F4, codes: U1, fire: Fire, series: Maybe, cell: Int, k: Int, time: Any) -> Any:
    """Flame length, mm, of a cell that fire reaches at `time` in direction k, in the weather of that time.

    flames f4 (A, K, 4, C) as in `World`; codes (G, C) say which cells are altered. They may be those that all fires
    share: a fire sees other ones only where a cell is closed to it, and at its ignition, which counts as untreated.
    """
    weather = np.int64(fire.weather)
    if series is not None:
        weather = np.int64(series[period_of(time, len(series), fire.period_min)])
    altered = 0
    if k != IGNITION and codes[world.pattern[weather], cell] & ALTERED:
        altered = 1
    return flame_mm(flames[altered, weather], cell, k)


@inlined
def loss_in_flames(
    world: World, by_flame: Maybe, flames: Maybe, codes: U1, fire: Fire, series: Maybe, cell: Int, k: Int, time: Any
) -> Any:
    """`cell_loss` with the parts of the world by which it is compiled apart."""
    value = world.value[cell]
    if by_flame is None:
        return value
    if value > 0.0:  # nothing is at risk in most cells, such as those of the buffer
        value = by_flame[flame_class(flame_of(world, flames, codes, fire, series, cell, k, time)), cell]
    return value


@inlined
def cell_loss(world: World, codes: U1, fire: Fire, series: Maybe, cell: Int, k: Int, time: Any) -> Any:
    """Loss of a cell that a fire reaches at `time` in direction k; codes (G, C) as for `flame_of`."""
    return loss_in_flames(world, world.by_flame, world.flames, codes, fire, series, cell, k, time)


@inner
def states_loss(world: World, codes: U1, fire: Fire, series: Maybe, states: States, e: Int, s: Int) -> Any:
    """Loss of a fire as it is kept in `states`."""
    total = 0.0
    for i in range(states.start[e, s], states.start[e, s] + states.length[e, s]):
        total += cell_loss(
            world, codes, fire, series, np.int64(states.cell[i]), np.int64(states.parent[i]), states.arrival[i]
        )
    return total


# --- one fire: arrival times -----------------------------------------------------------------------------------------


@inlined
def plain_minutes(world: World, masks: Masks, special: Maybe, weather: Int, cell: Int, k: Int) -> Any:
    """Minutes of an edge in one weather; infinity where it is shut."""
    g = world.pattern[weather]
    if (masks.open_dirs[g, cell] >> np.uint32(k)) & np.uint32(1) == 0:
        return np.float32(np.inf)
    if special is not None:
        if (special[g, cell] >> np.uint32(k)) & np.uint32(1) != 0:
            plain, altered = world.fields[0, weather], world.fields[1, weather]
            return edge_min(plain, altered, masks.codes[g], cell, k, world.offset, world.crossed)
    return world.minutes[weather, cell, k]


@inlined
def boundary_min(period: Int, periods: Int, period_min: Any) -> Any:
    """Minute at which a period ends; the last one never does."""
    return np.float32(period + 1) * period_min if period + 1 < periods else np.float32(np.inf)


@inlined
def period_of(time: Any, periods: Int, period_min: Any) -> Any:
    """The period that holds a minute; a boundary belongs to the later one."""
    period = min(np.int64(time / period_min), periods - 1)
    while time >= boundary_min(period, periods, period_min):
        period += 1
    while period > 0 and time < np.float32(period) * period_min:
        period -= 1
    return period


@inlined
def last_alike(series: I4, period: Int) -> Any:
    """The last of the periods from this one on that have the same weather: between them nothing changes."""
    while period + 1 < len(series) and series[period + 1] == series[period]:
        period += 1
    return period


@inlined
def arrive(world: World, masks: Masks, special: Maybe, fire: Fire, series: Maybe, time: Any, cell: Int, k: Int) -> Any:
    """Minute of arrival at the neighbor in direction k of a fire that leaves `cell` at `time`; infinity if never.

    Within a series the edge is travelled at each period's pace, and a period in which it is shut is waited out; periods
    of the same weather are as one. Each operation rises with `time` in float32 too, so whoever leaves later never
    arrives earlier (first in, first out).
    """
    if series is None:
        return time + plain_minutes(world, masks, special, fire.weather, cell, k)
    left = np.float32(1.0)
    period = period_of(time, len(series), fire.period_min)
    while True:
        period = last_alike(series, period)
        minutes = plain_minutes(world, masks, special, series[period], cell, k)
        end = boundary_min(period, len(series), fire.period_min)
        if minutes < np.inf:
            new = time + left * minutes
            if new <= end:
                return new
            left = max(left - (end - time) / minutes, np.float32(0.0))
        if period + 1 == len(series) or end > fire.duration_min:
            return np.float32(np.inf)
        time = end
        period += 1


@inlined
def enqueue(heads: I4, pool: I4, waits_at: I4, cell: Int, bucket: Any, current: Any) -> bool:
    """Put a cell in its bucket; one beyond the ring is the ring's end. False if the pool is used up.

    heads i4 (BUCKETS,): the next free place in the pool of each bucket, 0 if it is empty. A bucket's places are chunks
    that each begin with the free place as it was before, so that a full chunk leads to the one it follows.
    """
    slot = min(bucket, current + (BUCKETS - 1)) & (BUCKETS - 1)
    at = np.int64(heads[slot])
    if at & (CHUNK - 1) == 0:  # empty, or its chunk is full
        chunk = np.int64(pool[0])
        if chunk > 0:
            pool[0] = pool[chunk]
        else:
            chunk = np.int64(pool[1])
            if chunk >= len(pool):
                return False
            pool[1] = chunk + CHUNK
        pool[chunk] = at
        at = chunk + 1
    pool[at] = cell
    waits_at[cell] = at  # wherever else it stands it waits no more
    heads[slot] = at + 1
    return True


@inlined
def take_bucket(
    heads: I4, pool: I4, waits_at: I4, slot: Int, minutes: F4, directions: Int, batch: I4
) -> tuple[Int, Int]:
    """Empty a bucket into `batch`; returns how many of its cells still wait there, and how many places it had."""
    n, places = np.int64(0), np.int64(0)
    at = np.int64(heads[slot])
    heads[slot] = 0
    while at > 0:
        chunk = (at - 1) & ~np.int64(CHUNK - 1)
        places += at - chunk - 1
        for place in range(chunk + 1, at):
            cell = np.uint64(pool[place])
            prefetch(minutes, cell)
            if directions == 32:
                prefetch(minutes[:, 16:], cell)
            batch[n] = cell
            n += np.int64(waits_at[cell] == place)  # without a jump: about half have moved on
        at = np.int64(pool[chunk])
        pool[chunk] = pool[0]
        pool[0] = chunk
    return n, places


@inner
def give_up(heads: I4, pool: I4, waits_at: I4) -> None:
    """Empty the queue."""
    heads[:] = 0
    waits_at[:] = 0
    pool[0] = 0
    pool[1] = CHUNK


@inner
def earliest(heads: I4, pool: I4, waits_at: I4, arrival: F4) -> Any:
    """The least time that waits in any bucket."""
    first = np.float32(np.inf)
    for slot in range(BUCKETS):
        at = np.int64(heads[slot])
        while at > 0:
            chunk = (at - 1) & ~np.int64(CHUNK - 1)
            for place in range(chunk + 1, at):
                cell = pool[place]
                if waits_at[cell] == place:
                    first = min(first, arrival[cell])
            at = np.int64(pool[chunk])
    return first


@inner
def run_buckets(
    world: World,
    masks: Masks,
    special: Maybe,
    fire: Fire,
    series: Maybe,
    arrival: F4,
    parent: I1,
    n_seeds: Int,
    n_touched: Int,
    scratch: Scratch,
) -> tuple[Int, Int, bool]:
    """Relax from `scratch.seeds` (cells with tentative times) until nothing changes; label-correcting time buckets.

    A bucket is settled as a whole, whatever comes into it meanwhile being settled next. A cell whose time falls is put
    in its new bucket and left in the old one, where it is passed over. Cells burned for the first time are appended to
    `scratch.touched`. Returns (touched, settled cells, whether it came to an end): it gives up when the buckets are so
    wide that cells are settled again and again, or the pool is used up; solve that fire by `run_heap`.
    """
    heads, pool, waits_at, touched = scratch.heads, scratch.pool, scratch.waits_at, scratch.touched
    batch = scratch.seeds  # free once the seeds are queued
    offset = world.offset
    directions = directions_of(masks.open_dirs)
    weather, duration = fire.weather, fire.duration_min
    if series is not None:
        weather = series[0]
    g = world.pattern[weather]
    per_bucket = np.float32(1.0) / world.bucket_min[weather]
    minutes, open_dirs = world.minutes[weather], masks.open_dirs[g]
    current, pending, pops, idle = np.int64(0), np.int64(0), 0, 0
    if n_seeds > 0:
        first = np.float32(np.inf)
        for i in range(n_seeds):
            first = min(first, arrival[scratch.seeds[i]])
        current = np.int64(first * per_bucket)
    for i in range(n_seeds):
        seed = np.int64(scratch.seeds[i])
        pending += 1
        if not enqueue(heads, pool, waits_at, seed, np.int64(arrival[seed] * per_bucket), current):
            give_up(heads, pool, waits_at)
            return n_touched, pops, False
    while pending > 0:
        slot = current & (BUCKETS - 1)
        n_batch, places = take_bucket(heads, pool, waits_at, slot, minutes, directions, batch)
        pending -= places
        if n_batch == 0:
            current += 1
            idle += 1
            if idle > 2 * BUCKETS:  # all that waits is far ahead, in slow fuel: go there at once
                current = np.int64(earliest(heads, pool, waits_at, arrival) * per_bucket)
                idle = 0
            continue
        for b in range(n_batch):
            cell = np.int64(batch[b])
            time = arrival[np.uint64(cell)]
            bucket = np.int64(time * per_bucket)
            if bucket > current:  # it waited here only because the ring of buckets is finite
                pending += 1
                if not enqueue(heads, pool, waits_at, cell, bucket, current):
                    give_up(heads, pool, waits_at)
                    return n_touched, pops, False
                continue
            waits_at[np.uint64(cell)] = 0
            idle = 0
            pops += 1
            # Which neighbors would burn earlier, or as early, without a jump in the code; few do.
            end_of_period = np.float32(np.inf)
            if series is not None:
                period = last_alike(series, period_of(time, len(series), fire.period_min))
                weather = series[period]
                g = world.pattern[weather]
                minutes, open_dirs = world.minutes[weather], masks.open_dirs[g]
                end_of_period = boundary_min(period, len(series), fire.period_min)
            better, late, waits = np.uint64(0), np.uint64(0), np.uint64(0)
            for k in range(directions):
                known = arrival[np.uint64(cell + offset[k])]
                new = time + minutes[cell, k]
                better |= np.uint64(new <= min(known, duration)) << np.uint64(k)
                if series is not None:
                    late |= np.uint64(new > end_of_period) << np.uint64(k)
                    waits |= np.uint64(known >= end_of_period) << np.uint64(k)
            if special is not None:
                better |= np.uint64(special[g, cell])
                late |= np.uint64(special[g, cell])
            better &= np.uint64(open_dirs[cell])
            if series is not None:
                if end_of_period <= duration:  # edges that are under way, or shut, as the weather changes
                    better |= waits & (late | ~np.uint64(open_dirs[cell]))
            while better != 0:
                k = lowest_bit(better)
                better &= better - np.uint64(1)
                end = np.uint64(cell + offset[k])
                known = arrival[end]
                if series is None and special is None:
                    new = time + minutes[cell, k]
                else:
                    new = arrive(world, masks, special, fire, series, time, cell, k)
                    if new > duration or new > known:
                        continue
                if new == known:
                    if k < parent[end] and time < known:  # an edge too short for float32 to tell makes no parent
                        parent[end] = k
                    continue
                bucket = np.int64(new * per_bucket)
                arrival[end] = new
                parent[end] = k
                if known == np.inf:
                    touched[n_touched] = end
                    n_touched += 1
                    prefetch(minutes, end)
                    if directions == 32:
                        prefetch(minutes[:, 16:], end)
                    prefetch(open_dirs, end)
                    prefetch(arrival, cell + 2 * offset[k])  # where fire runs to from there
                elif waits_at[end] > 0 and bucket == np.int64(known * per_bucket):
                    continue  # it waits in the right bucket
                pending += 1
                if not enqueue(heads, pool, waits_at, end, bucket, current):
                    give_up(heads, pool, waits_at)
                    return n_touched, pops, False
        if pops > scratch.patience:
            give_up(heads, pool, waits_at)
            return n_touched, pops, False
    return n_touched, pops, True


@inner
def run_heap(
    world: World,
    masks: Masks,
    special: Maybe,
    fire: Fire,
    series: Maybe,
    arrival: F4,
    parent: I1,
    scratch: Scratch,
) -> tuple[Int, Int]:
    """Solve one fire from nothing by an indexed binary heap: the exact fallback, with the same bits.

    Expects arrival inf and parent -1 everywhere; returns (touched, settled cells).
    """
    ignition, duration = fire.ignition, fire.duration_min
    heap, place, touched = scratch.seeds, scratch.children, scratch.touched
    place[:] = -1
    arrival[ignition] = 0.0
    parent[ignition] = IGNITION
    touched[0] = ignition
    n_touched, settled, size = 1, 0, 1
    heap[0] = ignition
    place[ignition] = 0
    while size > 0:
        cell = np.int64(heap[0])
        time = arrival[cell]
        size -= 1
        settled += 1
        place[cell] = -1
        if size > 0:  # sift the last one down from the top
            moved = heap[size]
            hole = 0
            while 2 * hole + 1 < size:
                child = 2 * hole + 1
                if child + 1 < size and arrival[heap[child + 1]] < arrival[heap[child]]:
                    child += 1
                if arrival[heap[child]] >= arrival[moved]:
                    break
                heap[hole] = heap[child]
                place[heap[hole]] = hole
                hole = child
            heap[hole] = moved
            place[moved] = hole
        for k in range(len(world.offset)):
            end = cell + world.offset[k]
            known = arrival[end]
            if known < time:
                continue
            new = arrive(world, masks, special, fire, series, time, cell, k)
            if new > duration or new > known or new == np.inf:
                continue
            if new == known:
                if k < parent[end] and time < known:  # an edge too short for float32 to tell makes no parent
                    parent[end] = k
                continue
            if known == np.inf:
                touched[n_touched] = end
                n_touched += 1
            arrival[end] = new
            parent[end] = k
            hole = place[end]
            if hole < 0:
                hole = size
                size += 1
            while hole > 0 and arrival[heap[(hole - 1) // 2]] > new:
                heap[hole] = heap[(hole - 1) // 2]
                place[heap[hole]] = hole
                hole = (hole - 1) // 2
            heap[hole] = end
            place[end] = hole
    return n_touched, settled


@inner
def solve_one(
    world: World,
    masks: Masks,
    special: Maybe,
    fire: Fire,
    series: Maybe,
    arrival: F4,
    parent: I1,
    scratch: Scratch,
) -> tuple[Int, Int]:
    """Arrival times of one fire on a fresh grid (inf, -1); the burned cells are listed in `scratch.touched`.

    Masks and special edges are those of `own_masks`. Returns (burned cells, settled cells).
    """
    ignition = fire.ignition
    arrival[ignition] = 0.0
    parent[ignition] = IGNITION
    scratch.touched[0] = ignition
    scratch.seeds[0] = ignition
    one = np.int64(1)  # a literal would be compiled apart
    n_touched, settled, done = run_buckets(world, masks, special, fire, series, arrival, parent, one, one, scratch)
    if not done:
        for i in range(n_touched):
            arrival[scratch.touched[i]] = np.inf
            parent[scratch.touched[i]] = UNBURNED
        n_touched, settled = run_heap(world, masks, special, fire, series, arrival, parent, scratch)
    return n_touched, settled


@inner
def burned_near(parent: I1, cell: Int, width: Int) -> bool:
    """Whether any cell within PAD rows and columns has burned."""
    for row in range(-PAD, PAD + 1):
        for near in range(cell + row * width - PAD, cell + row * width + PAD + 1):
            if parent[near] >= 0:
                return True
    return False


LOST = np.uint8(2)  # a bit of `Scratch.mark` while losses are compared


@inner
def changed_loss(
    world: World,
    by_flame: Maybe,
    codes_before: U1,
    codes: U1,
    fire: Fire,
    series: Maybe,
    states: States,
    e: Int,
    s: Int,
    n_lost: Int,
    arrival: F4,
    parent: I1,
    scratch: Scratch,
) -> float:
    """Loss avoided in cells of a fire that burned all along, but now by another way, at another time or in other fuel.

    Where fuel is altered, fire may come earlier to cells that were never lost; what they were is still in `states`. The
    n_lost cells in `scratch.touched` are accounted for elsewhere.
    """
    if by_flame is None:
        return 0.0
    mark, lost = scratch.mark, scratch.touched
    for i in range(n_lost):
        mark[lost[i]] |= LOST
    g = world.pattern[fire.weather]
    less = 0.0
    for i in range(states.start[e, s], states.start[e, s] + states.length[e, s]):
        cell = np.int64(states.cell[i])
        changed = parent[cell] != states.parent[i] or ((codes_before[g, cell] ^ codes[g, cell]) & ALTERED) != 0
        if series is not None:
            changed |= arrival[cell] != states.arrival[i]
        if changed and mark[cell] & LOST == 0:
            k, now = np.int64(states.parent[i]), np.int64(parent[cell])
            less += cell_loss(world, codes_before, fire, series, cell, k, states.arrival[i])
            less -= cell_loss(world, codes, fire, series, cell, now, arrival[cell])
    for i in range(n_lost):
        mark[lost[i]] &= ~LOST
    return less


@inner
def repair_one(
    world: World,
    codes_before: U1,
    masks: Masks,
    special: Maybe,
    fire: Fire,
    series: Maybe,
    states: States,
    e: Int,
    s: Int,
    treated: I8,
    arrival: F4,
    parent: I1,
    scratch: Scratch,
) -> tuple[float, Int, Int, Int, bool]:
    """Bring one fire up to date after the cells `treated` (-1: none) were treated: re-solve only what that changed.

    Masks and special edges are those of `own_masks` and already hold the treatment; codes_before (G, C) say what was
    ALTERED before it. Fire (e, s) of `states` is laid out on the grid. Bit-equal to a fresh solve. Returns the loss
    avoided, the cells settled, how many cells were lost, how many stand in `scratch.touched` (the lost, then those
    burned since; what the lost were is in `scratch.log_arrival`, `log_parent`) and whether the fire was solved anew, in
    which case `touched` lists all that burned and nothing is logged.
    """
    width, offset = world.width, world.offset
    directions, reach = directions_of(masks.open_dirs), reach_of(masks.open_dirs)
    ignition, duration = fire.ignition, fire.duration_min
    lost, seeds, waits_at = scratch.touched, scratch.seeds, scratch.waits_at
    log_parent = scratch.log_parent
    k: Int
    near: Int
    n_lost: Int = np.int64(0)
    n_seeds: Int = np.int64(0)
    # Roots: cells that are no longer reached as they were. The crossed cell lies within reach of either end of an edge.
    for cell in treated:
        if cell < 0 or cell == ignition:
            continue  # a treated ignition counts as untreated for its own fire
        for row in range(-reach, reach + 1):
            for near in range(cell + row * width - reach, cell + row * width + reach + 1):
                k = np.int64(parent[near])
                if k < 0 or k == IGNITION:
                    continue
                start = near - offset[k]
                new = arrive(world, masks, special, fire, series, arrival[start], start, k)
                if new != arrival[near]:
                    lost[n_lost] = near
                    log_parent[n_lost] = k
                    n_lost += 1
                    parent[near] = UNBURNED
    # All that burned through a root: a child is a neighbor whose parent direction points back.
    i = 0
    while i < n_lost:
        here: Int = np.int64(lost[i])
        children: Int = np.uint64(0)
        for k in range(directions):
            children |= np.uint64(parent[np.uint64(here + offset[k])] == k) << np.uint64(k)
        while children != 0:
            k = lowest_bit(children)
            children &= children - np.uint64(1)
            near = here + offset[k]
            parent[near] = UNBURNED
            lost[n_lost] = near
            log_parent[n_lost] = k
            n_lost += 1
        i += 1
    before = 0.0
    for i in range(n_lost):
        k, near = np.int64(log_parent[i]), np.int64(lost[i])
        before += cell_loss(world, codes_before, fire, series, near, k, arrival[near])
        scratch.log_arrival[i] = arrival[lost[i]]
        arrival[lost[i]] = np.inf
    if special is not None:
        # Fire may come earlier than before, too: whatever burned near the treated cells spreads once more.
        for cell in treated:
            if cell < 0:
                continue
            for row in range(-reach, reach + 1):
                for near in range(cell + row * width - reach, cell + row * width + reach + 1):
                    if parent[near] >= 0 and waits_at[near] == 0:
                        waits_at[near] = LISTED
                        seeds[n_seeds] = near
                        n_seeds += 1
    # Seeds: the best time of each lost cell from those that have one; later seeds may start from earlier ones, the
    # relaxation below lowers them all to the one fixed point.
    n_touched = n_lost
    for i in range(n_lost):
        here = np.int64(lost[i])
        best = np.float32(np.inf)
        best_k = np.int64(-1)
        burned: Int = np.uint64(0)
        for k in range(directions):
            burned |= np.uint64(parent[np.uint64(here - offset[k])] >= 0) << np.uint64(k)
        while burned != 0:
            k = lowest_bit(burned)
            burned &= burned - np.uint64(1)
            start = here - offset[k]
            new = arrive(world, masks, special, fire, series, arrival[start], start, k)
            if new <= duration and new < best:
                best = new
                best_k = k
        if best_k >= 0:
            seeds[n_seeds] = here
            n_seeds += 1
            lost[n_touched] = here
            n_touched += 1
            arrival[here] = best
            parent[here] = best_k
    if n_seeds == 0:
        return before, 0, n_lost, n_touched, False
    n_touched, settled, done = run_buckets(
        world,
        masks,
        special,
        fire,
        series,
        arrival,
        parent,
        n_seeds,
        n_touched,
        scratch,
    )
    first = n_lost
    if not done:
        before = states_loss(world, codes_before, fire, series, states, e, s)
        arrival[:] = np.inf
        parent[:] = UNBURNED
        n_touched, settled = run_heap(world, masks, special, fire, series, arrival, parent, scratch)
        first = np.int64(0)
    after = 0.0
    for i in range(first, n_touched):
        near = np.int64(lost[i])
        after += cell_loss(world, masks.codes, fire, series, near, np.int64(parent[near]), arrival[near])
    if not done:
        return before - after, settled, first, n_touched, True
    less = before - after
    if special is not None:
        less += changed_loss(
            world,
            world.by_flame,
            codes_before,
            masks.codes,
            fire,
            series,
            states,
            e,
            s,
            n_lost,
            arrival,
            parent,
            scratch,
        )
    return less, settled, n_lost, n_touched, False


# --- many fires ------------------------------------------------------------------------------------------------------


@inner
def add_flames(
    world: World,
    codes: U1,
    fire: Fire,
    series: Maybe,
    flames: F4,
    weight: Int,
    n: Int,
    by_flame: I8,
    scratch: Scratch,
) -> None:
    """Add the flames of the n touched cells of a fire that does not meet the RIM to `by_flame` (7, C)."""
    met = np.uint8(0)
    for i in range(n):
        met |= world.marks[np.uint64(scratch.touched[i])]
    if met & RIM:
        return
    for i in range(n):
        cell = np.int64(scratch.touched[i])
        k = np.int64(scratch.parent[cell])
        mm = flame_of(world, flames, codes, fire, series, cell, k, scratch.arrival[cell])
        by_flame[flame_class(mm), cell] += weight
        by_flame[6, cell] += weight * mm


@kernel
def burn_statistics(
    world: World,
    masks: Masks,
    special: Maybe,
    fires: Burning,
    treated: I8,
    weight: I8,
    counts: I8,
    burned: I8,
    loss: F8,
    marks_met: U1,
    settled: I8,
    counter: I8,
    batch: Int,
    scratch: Scratch,
    flames: Maybe,
    by_flame: Maybe,
) -> None:
    """Solve S fires and keep only sums: counts i8 (C,) of this thread, weighted; burned i8, loss f8 ... (S,).

    With flames f4 (A, K, 4, C) as in `World` also by_flame i8 (7, C) of this thread, weighted: how often each class of
    flame length came, and the sum of mm.

    The masks (G, C) hold the treatments of the cells `treated`. Fires that meet the window's RIM are not counted: they
    must be solved in a larger one. Uses the scratch grid and wipes it after each fire, so memory does not grow with the
    number of fires. Threads share `counter` and take fires from it until none is left, `batch` at a time: neighbors
    in the results lie in one cache line, over which threads would fight.
    """
    s: Int = 0
    last: Int = 0
    while True:
        if s == last:
            s = take_ticket(counter) * batch
            last = min(s + batch, len(fires.ignition))
            if s >= last:
                return
        series = series_of(fires.series, s)
        fire = fire_of(fires, s)
        own, own_special = own_masks(world, masks, special, fire, series, fires.holds, fires.place, treated, scratch)
        n, settled[s] = solve_one(world, own, own_special, fire, series, scratch.arrival, scratch.parent, scratch)
        if flames is not None:
            if by_flame is not None:
                add_flames(world, own.codes, fire, series, flames, weight[s], n, by_flame, scratch)
        total = 0.0
        met = np.uint8(0)
        for i in range(n):
            cell = np.uint64(scratch.touched[i])
            k, time = np.int64(scratch.parent[cell]), scratch.arrival[cell]
            total += cell_loss(world, own.codes, fire, series, cell, k, time)
            scratch.arrival[cell] = np.inf
            scratch.parent[cell] = UNBURNED
            met |= world.marks[cell]
            counts[cell] += weight[s]
        if met & RIM:
            for i in range(n):
                counts[np.uint64(scratch.touched[i])] -= weight[s]
        burned[s] = n
        loss[s] = total
        marks_met[s] = met
        s += 1


@inner
def store(
    lowest: Int, highest: Int, width: Int, arrival: F4, parent: I1, cells: I4, times: F4, parents: I1, columns: I4
) -> Int:
    """Write the burned cells from padded cell `lowest` to `highest`, in order, with their columns; returns how many."""
    eight = parent.view(np.int64)
    n = 0
    left, right = width, -1
    for group in range(lowest // 8, highest // 8 + 1):
        if eight[group] == -1:  # eight cells that have not burned
            continue
        for cell in range(group * 8, group * 8 + 8):
            if parent[cell] >= 0:
                cells[n] = cell
                times[n] = arrival[cell]
                parents[n] = parent[cell]
                column = cell % width
                left, right = min(left, column), max(right, column)
                n += 1
    columns[0], columns[1] = left, right
    return n


@inner
def solve_and_store(
    world: World,
    masks: Masks,
    special: Maybe,
    treated: I8,
    fires: Burning,
    states: States,
    s: Int,
    cells: I4,
    times: F4,
    parents: I1,
    scratch: Scratch,
) -> tuple[Int, Int, float]:
    """Solve fire s among the treatments in the masks; if there is room, write its burned cells.

    Returns how many there are, the cells settled, and the loss.
    """
    fire, series = fire_of(fires, s), series_of(fires.series, s)
    own, own_special = own_masks(world, masks, special, fire, series, fires.holds, fires.place, treated, scratch)
    n, settled = solve_one(world, own, own_special, fire, series, scratch.arrival, scratch.parent, scratch)
    loss = 0.0
    for i in range(n):
        cell = np.int64(scratch.touched[i])
        k, time = np.int64(scratch.parent[cell]), scratch.arrival[cell]
        loss += cell_loss(world, own.codes, fire, series, cell, k, time)
    if n <= len(cells):
        lowest, highest = scratch.touched[0], scratch.touched[0]
        for i in range(n):
            lowest, highest = min(lowest, scratch.touched[i]), max(highest, scratch.touched[i])
        columns = states.columns[s]
        store(lowest, highest, world.width, scratch.arrival, scratch.parent, cells, times, parents, columns)
    wipe(scratch.touched, n, scratch.arrival, scratch.parent)
    return n, settled, loss


@making
def solve_states(
    world: World,
    masks: Masks,
    special: Maybe,
    treated: I8,
    fires: Burning,
    states: States,
    owner: I4,
    worker: Int,
    loss: F8,
    settled: I8,
    counter: I8,
    scratch: Scratch,
) -> tuple[I4, F4, I1]:
    """Solve S fires and keep each one's burned cells in this thread's own arrays, returned.

    The masks (G, C) hold the treatments of the cells `treated`. Writes start, length and columns of `states`, who holds
    the fire's cells into owner i4 (S,), and loss f8 (S,).
    """
    cells, times, parents = np.empty(1024, np.int32), np.empty(1024, np.float32), np.empty(1024, np.int8)
    used = 0
    while True:
        s: Int = take_ticket(counter)
        if s >= len(fires.ignition):
            return cells[:used], times[:used], parents[:used]
        n, settled[s], loss[s] = solve_and_store(
            world, masks, special, treated, fires, states, s, cells[used:], times[used:], parents[used:], scratch
        )
        if used + n > len(cells):  # no room: make some, and burn the fire again
            size = max(2 * len(cells), used + n)
            more_cells, more_times = np.empty(size, np.int32), np.empty(size, np.float32)
            more_parents = np.empty(size, np.int8)
            more_cells[:used], more_times[:used], more_parents[:used] = cells[:used], times[:used], parents[:used]
            cells, times, parents = more_cells, more_times, more_parents
            solve_and_store(
                world, masks, special, treated, fires, states, s, cells[used:], times[used:], parents[used:], scratch
            )
        states.start[s], states.length[s], owner[s] = used, n, worker
        used += n


@kernel
def copy_states(bank: States, which: I8, states: States, e: Int, first: Int, room: Int) -> None:
    """Copy the fires `which` (S,) of a bank into episode e, from place `first` on.

    Each gets room for as many cells as it has burned, or for `room` cells where treatments may let it burn more.
    """
    for s in range(len(which)):
        start, n = bank.start[which[s]], np.int64(bank.length[which[s]])
        for i in range(n):
            states.cell[first + i] = bank.cell[start + i]
            states.arrival[first + i] = bank.arrival[start + i]
            states.parent[first + i] = bank.parent[start + i]
        states.start[e, s], states.length[e, s] = first, n
        states.columns[e, s, 0], states.columns[e, s, 1] = bank.columns[which[s], 0], bank.columns[which[s], 1]
        first += max(n, room)


@inlined
def reach_of(open_dirs: Bits) -> Any:
    """How many rows and columns the longest edge of the stencil spans."""
    directions = directions_of(open_dirs)
    return 1 if directions == 8 else 2 if directions == 16 else 3


@inner
def may_touch(
    world: World,
    open_dirs: Bits,
    special: Maybe,
    fire: Fire,
    series: Maybe,
    states: States,
    e: Int,
    s: Int,
    treated: I8,
) -> bool:
    """Whether treated cells, already in the masks (G, C), may change a fire: false spares laying it out.

    Exact where cells were closed in constant weather: an edge that the fire took is shut. Else any burned cell nearby
    counts.
    """
    start = states.start[e, s]
    stop = start + states.length[e, s]
    cells, parents = states.cell, states.parent
    lowest, highest = cells[start], cells[stop - 1]
    left, right = states.columns[e, s, 0], states.columns[e, s, 1]
    width, reach = world.width, reach_of(open_dirs)
    for cell in treated:
        if cell < 0:
            continue
        if cell + reach * (width + 1) < lowest or cell - reach * (width + 1) > highest:
            continue
        column = cell % width
        if column + reach < left or column - reach > right:
            continue
        low = start
        for row in range(-reach, reach + 1):
            first = cell + row * width - reach
            high = stop if row == -reach else min(stop, low + width)  # a row holds no more
            while low < high:  # for the first burned cell that is not before `first`
                middle = (low + high) >> 1
                if cells[middle] < first:
                    low = middle + 1
                else:
                    high = middle
            while low < stop and cells[low] <= first + 2 * reach:
                if special is not None:
                    return True
                if series is not None:
                    return True
                k = np.int64(parents[low])
                if k != IGNITION:
                    bits = open_dirs[world.pattern[fire.weather], cells[low] - world.offset[k]]
                    if (bits >> np.uint32(k)) & np.uint32(1) == 0:
                        return True
                low += 1
    return False


@inner
def load(states: States, e: Int, s: Int, arrival: F4, parent: I1) -> None:
    """Lay a fire's burned cells out on a grid."""
    start, stop = states.start[e, s], states.start[e, s] + states.length[e, s]
    cells, times, parents = states.cell[start:stop], states.arrival[start:stop], states.parent[start:stop]
    for i in range(len(cells)):
        cell = np.uint64(cells[i])  # unsigned: no index from the end to be looked out for
        arrival[cell] = times[i]
        parent[cell] = parents[i]


@inner
def wipe(cells: I4, n: Int, arrival: F4, parent: I1) -> None:
    """Clear n listed cells of a grid."""
    for i in range(n):
        cell = np.uint64(cells[i])
        arrival[cell] = np.inf
        parent[cell] = UNBURNED


@inner
def thin_out(states: States, e: Int, s: Int, arrival: F4, parent: I1) -> None:
    """Keep of a fire's burned cells those that still burn on a grid, as they burn there, and clear the grid."""
    start, stop = states.start[e, s], states.start[e, s] + states.length[e, s]
    cells, times, parents = states.cell[start:stop], states.arrival[start:stop], states.parent[start:stop]
    kept = np.uint64(0)
    for i in range(len(cells)):
        cell = np.uint64(cells[i])
        cells[kept] = cells[i]  # written over by the next one if it burns no more
        times[kept] = arrival[cell]
        parents[kept] = parent[cell]
        kept += np.uint64(parent[cell] >= 0)
        arrival[cell] = np.inf
        parent[cell] = UNBURNED
    states.length[e, s] = kept


@kernel
def repair_states(
    world: World,
    codes_before: U1,
    codes: U1,
    open_dirs: Bits,
    special: Maybe,
    treated: I8,
    all_treated: I8,
    fires: Burning,
    states: States,
    loss: F8,
    settled: I8,
    weight: F8,
    planes: F8,
    with_planes: U1,
    counter: I8,
    scratch: Scratch,
) -> None:
    """Bring E x S fires up to date after episode e treated the padded cells treated[e] (n,), -1 for none.

    The masks (E, G, C) already hold the treatment; all_treated (E, m) is what episode e treated so far, this included;
    codes_before (E, G, C) tell what was ALTERED before it, and are asked only where losses go by flames.
    loss, settled (E, S); settled is added to. Where with_planes (E,) is set the sums `planes` (E, parts, 7, C) follow.
    Threads share `counter`; a ticket is one part of an episode's fires.
    """
    episodes, per_episode = fires.ignition.shape
    parts = planes.shape[1]
    while True:
        ticket = take_ticket(counter)
        if ticket >= episodes * parts:
            return
        e = ticket // parts
        part = ticket - e * parts
        any_treated = False
        for cell in treated[e]:
            any_treated |= cell >= 0
        if not any_treated:
            continue
        for s in range(per_episode * part // parts, per_episode * (part + 1) // parts):
            fire = fire_of(fires, (e, s))
            series = series_of(fires.series, (e, s))
            special_here = masks_of(special, e)
            if not may_touch(world, open_dirs[e], special_here, fire, series, states, e, s, treated[e]):
                continue
            load(states, e, s, scratch.arrival, scratch.parent)
            own, own_special = own_masks(
                world,
                Masks(codes[e], open_dirs[e]),
                special_here,
                fire,
                series,
                fires.holds,
                fires.place,
                all_treated[e],
                scratch,
            )
            avoided, resolved, _, n_touched, anew = repair_one(
                world,
                codes_before[e],
                own,
                own_special,
                fire,
                series,
                states,
                e,
                s,
                treated[e],
                scratch.arrival,
                scratch.parent,
                scratch,
            )
            loss[e, s] -= avoided
            settled[e, s] += resolved
            changed = n_touched > 0 or resolved > 0
            if changed and with_planes[e]:
                add_planes(world, codes_before[e], fire, series, states, e, s, -weight[e, s], planes[e, part], scratch)
            if special is None and not anew:
                thin_out(states, e, s, scratch.arrival, scratch.parent)
            else:
                start = states.start[e, s]
                lowest, highest = states.cell[start], states.cell[start + states.length[e, s] - 1]
                for i in range(n_touched):
                    lowest, highest = min(lowest, scratch.touched[i]), max(highest, scratch.touched[i])
                states.length[e, s] = store(
                    lowest,
                    highest,
                    world.width,
                    scratch.arrival,
                    scratch.parent,
                    states.cell[start:],
                    states.arrival[start:],
                    states.parent[start:],
                    states.columns[e, s],
                )
                wipe(states.cell[start:], np.int64(states.length[e, s]), scratch.arrival, scratch.parent)
            if changed and with_planes[e]:
                add_planes(world, codes[e], fire, series, states, e, s, weight[e, s], planes[e, part], scratch)


@inner
def mark_crossed(world: World, codes: U1, states: States, e: Int, s: Int, any_flank: bool, scratch: Scratch) -> Int:
    """List the cells whose closing would shut edges that the fire took, and the value that burned through those edges.

    Writes `scratch.marked`, `mark` and `bound`; returns how many. `scratch.downstream` is that of `sum_downstream`.
    An edge past a corner is shut by one flank if the other is closed in codes (C,), those of the fire's pattern; with
    `any_flank` both are listed anyway: where patterns change by the hour, and for units that may hold both.
    """
    marked, bound = scratch.marked, scratch.bound
    n = 0
    for i in range(states.start[e, s], states.start[e, s] + states.length[e, s]):
        end = np.int64(states.cell[i])
        k = np.int64(states.parent[i])
        if k == IGNITION:
            continue
        start = end - world.offset[k]
        through = scratch.downstream[end]
        for m in range(8):
            if m == 0:
                cell = start
            elif m == 1:
                cell = end
            elif m < 6:
                if world.crossed[k, m - 2] == 0:
                    continue
                cell = start + world.crossed[k, m - 2]
            else:
                if world.flanks[k, 0] == 0:
                    continue
                if not any_flank and not blocks(codes[start + world.flanks[k, 7 - m]]):
                    continue
                cell = start + world.flanks[k, m - 6]
            if scratch.mark[cell] == 0:
                scratch.mark[cell] = 1
                marked[n] = cell
                bound[cell] = 0.0
                n += 1
            bound[cell] += through
    return n


@kernel
def gain_sums(
    world: World,
    codes: U1,
    open_dirs: Bits,
    special: Maybe,
    units: I8,
    tried: bool,
    altered: bool,
    all_treated: I8,
    fires: Burning,
    states: States,
    weight: F8,
    avoided: F8,
    bound: F8,
    settled: I8,
    counter: I8,
    scratch: Scratch,
) -> None:
    """Add up what each unit alone would avoid next, exactly: repair with it, and undo, for every fire of E x S.

    units i8 (U, n) padded cells, -1 for none; where they are not `tried` only `bound` is added up. avoided, bound f8
    (E, U) are this thread's sums over fires, weighted by whole numbers, exact in any order; bound is the value that
    burned through edges the unit would shut, no less than what a firebreak avoids (which may be below 0 where losses go
    by flames: fire that comes another way may be fiercer). settled i8 (1,) is added to. Threads
    share `counter`, a ticket is one fire.
    """
    episodes, per_episode = fires.ignition.shape
    width = world.width
    while True:
        ticket = take_ticket(counter)
        if ticket >= episodes * per_episode:
            return
        e = ticket // per_episode
        s = ticket - e * per_episode
        fire = fire_of(fires, (e, s))
        ignition = np.int64(fire.ignition)
        series = series_of(fires.series, (e, s))
        pattern = np.int64(world.pattern[fire.weather]) if series is None else -1
        own, own_special = own_masks(
            world,
            Masks(codes[e], open_dirs[e]),
            masks_of(special, e),
            fire,
            series,
            fires.holds,
            fires.place,
            all_treated[e],
            scratch,
        )
        trial_codes, trial_dirs, trial_special = scratch.trial_codes, scratch.trial_dirs, scratch.trial_special
        for g in range(len(trial_codes)):
            if tried and (pattern < 0 or g == pattern):
                for cell in range(trial_codes.shape[1]):
                    trial_codes[g, cell] = own.codes[g, cell]
                    trial_dirs[g, cell] = own.open_dirs[g, cell]
                    if special is not None:
                        trial_special[g, cell] = own_special[g, cell]
        any_flank = bool(pattern < 0 or units.shape[1] > 1)
        sum_downstream(world, codes[e], fire, series, states, e, s, scratch)
        n_marked = mark_crossed(world, own.codes[max(pattern, 0)], states, e, s, any_flank, scratch)
        load(states, e, s, scratch.arrival, scratch.parent)
        for u in range(len(units)):
            met = False
            through = 0.0
            for cell in units[u]:
                if cell < 0 or cell == ignition:
                    continue
                if scratch.mark[cell]:
                    met = True
                    through += scratch.bound[cell]
                elif special is not None:
                    met |= burned_near(scratch.parent, cell, width)
            bound[e, u] += weight[e, s] * through
            if not met or not tried:
                continue
            for cell in units[u]:
                if cell < 0 or cell == ignition:
                    continue
                if not altered and not holds_against(fires.holds, fires.place, fire.row, cell):
                    continue
                for g in range(len(trial_codes)):
                    if pattern < 0 or g == pattern:
                        if altered:
                            trial_codes[g, cell] = world.altered_codes[g, cell]
                            refresh(world, trial_codes[g], trial_dirs[g], masks_of(trial_special, g), cell)
                        else:
                            shut_cell(world, trial_codes[g], trial_dirs[g], cell)
            less, resolved, n_lost, n_touched, anew = repair_one(
                world,
                codes[e],
                Masks(trial_codes, trial_dirs),
                trial_special,
                fire,
                series,
                states,
                e,
                s,
                units[u],
                scratch.arrival,
                scratch.parent,
                scratch,
            )
            avoided[e, u] += weight[e, s] * less
            settled[0] += resolved
            if anew or special is not None:
                wipe(scratch.touched, n_touched, scratch.arrival, scratch.parent)
                load(states, e, s, scratch.arrival, scratch.parent)
            else:
                wipe(scratch.touched[n_lost:], n_touched - n_lost, scratch.arrival, scratch.parent)
                for i in range(n_lost):
                    scratch.arrival[scratch.touched[i]] = scratch.log_arrival[i]
                    scratch.parent[scratch.touched[i]] = scratch.log_parent[i]
            for cell in units[u]:
                if cell < 0:
                    continue
                for g in range(len(trial_codes)):
                    if pattern < 0 or g == pattern:
                        trial_codes[g, cell] = own.codes[g, cell]
                        for row in range(-PAD, PAD + 1):
                            for near in range(cell + row * width - PAD, cell + row * width + PAD + 1):
                                trial_dirs[g, near] = own.open_dirs[g, near]
                                if special is not None:
                                    trial_special[g, near] = own_special[g, near]
        for i in range(n_marked):
            scratch.mark[scratch.marked[i]] = 0
        start = states.start[e, s]
        wipe(states.cell[start:], np.int64(states.length[e, s]), scratch.arrival, scratch.parent)


PLANES = 7  # burned, downstream value, earliness, toward north, east, south, west


@inner
def sum_downstream(
    world: World, codes: U1, fire: Fire, series: Maybe, states: States, e: Int, s: Int, scratch: Scratch
) -> None:
    """Write the value that burned through each cell of a fire's tree, the cell included, into `scratch.downstream`.

    codes (G, C) as for `flame_of`. The tree is peeled from its leaves: a cell whose children are all summed hands its
    sum on.
    """
    children, downstream, tree, offset = scratch.children, scratch.downstream, scratch.tree, world.offset
    start = states.start[e, s]
    stop = start + states.length[e, s]
    for i in range(start, stop):
        cell = states.cell[i]
        children[cell] = 0
        k = np.int64(states.parent[i])
        downstream[cell] = cell_loss(world, codes, fire, series, cell, k, states.arrival[i])
        tree[cell] = states.parent[i]
    for i in range(start, stop):
        k = np.int64(states.parent[i])
        if k != IGNITION:
            children[states.cell[i] - offset[k]] += 1
    for i in range(start, stop):
        cell = np.int64(states.cell[i])
        while children[cell] == 0 and tree[cell] != IGNITION:
            children[cell] = -1
            up = cell - offset[np.int64(tree[cell])]
            downstream[up] += downstream[cell]
            children[up] -= 1
            cell = up


@inner
def add_planes(
    world: World,
    codes: U1,
    fire: Fire,
    series: Maybe,
    states: States,
    e: Int,
    s: Int,
    weight: float,
    planes: F8,
    scratch: Scratch,
) -> None:
    """Add one fire to the sums (7, C), or take it away with a negative weight: see `sum_planes`."""
    sum_downstream(world, codes, fire, series, states, e, s, scratch)
    duration = fire.duration_min
    for i in range(states.start[e, s], states.start[e, s] + states.length[e, s]):
        cell = np.int64(states.cell[i])
        k = np.int64(states.parent[i])
        planes[0, cell] += weight
        if duration < np.inf:
            planes[2, cell] += weight * np.floor((1.0 - states.arrival[i] / duration) * 1024.0)
        if k != IGNITION:
            planes[1, cell] += weight * scratch.downstream[cell]
            for side in range(4):
                planes[3 + side, cell] += weight * TOWARD[k, side]


@kernel
def sum_planes(
    world: World,
    codes: U1,
    fires: Burning,
    states: States,
    weight: F8,
    planes: F8,
    wanted: U1,
    counter: I8,
    scratch: Scratch,
) -> None:
    """Sums over the S fires of each episode that is wanted (E,): planes f8 (E, parts, 7, C), exact in any order.

    codes (E, G, C) are the episodes'. weight f8 (E, S) holds whole numbers. The fires of an episode are cut in `parts`
    so that threads can share one episode; the caller adds the parts up. 0 weight of fires that burned the cell; 1 value
    downstream of it in the fires' trees, the cell included (not in fires that started there: treating it would not stop
    those); 2 earliness, 1024 x (1 - arrival / duration); 3-6 how far the fire moved north, east, south, west as it
    entered, in 1/1024.
    """
    episodes, per_episode = fires.ignition.shape
    parts = planes.shape[1]
    while True:
        ticket = take_ticket(counter)
        if ticket >= episodes * parts:
            return
        e = ticket // parts
        part = ticket - e * parts
        if not wanted[e]:
            continue
        planes[e, part, :, :] = 0.0
        for s in range(per_episode * part // parts, per_episode * (part + 1) // parts):
            fire, series = fire_of(fires, (e, s)), series_of(fires.series, (e, s))
            add_planes(world, codes[e], fire, series, states, e, s, weight[e, s], planes[e, part], scratch)


@compiled(_nrt=False, error_model="numpy")  # nothing is divided by 0, and asking each time keeps loops from vectors
def observe_planes(
    planes: F8, whole: F8, untreated: F8, channels: I8, corner: I8, width: Int, out: F4, counter: I8
) -> None:
    """Write the means of `sum_planes` over a window into the channels of observations out f4 (E, K, h, w).

    whole (E,) is the sum of the fires' weights, untreated (E,) their mean loss without breaks; channels (9,) says where
    the seven planes go, -1 for none, then downstream value over the untreated loss, at most 1, and its square root.
    corner: row and column of the window in the padded grid, which is `width` cells wide. A ticket is a plane of an
    episode.
    """
    episodes, parts, several = planes.shape[:3]
    _, _, rows, cols = out.shape
    while True:
        ticket = take_ticket(counter)
        if ticket >= episodes * several:
            return
        e = ticket // several
        plane = ticket - e * several
        divisor = whole[e] if plane < 2 else whole[e] * 1024.0
        mean: Int = channels[plane]
        share: Int = channels[several] if plane == 1 else -1
        root: Int = channels[several + 1] if plane == 1 else -1
        for row in range(rows):
            first = (corner[0] + row) * width + corner[1]
            for part in range(1, parts):  # the caller does not need the parts again: they are sums of whole numbers
                for cell in range(first, first + cols):
                    planes[e, 0, plane, cell] += planes[e, part, plane, cell]
                    planes[e, part, plane, cell] = 0.0
            if mean >= 0:
                for col in range(cols):
                    out[e, mean, row, col] = planes[e, 0, plane, first + col] / divisor
            if share >= 0:
                for col in range(cols):
                    value = planes[e, 0, plane, first + col] / divisor / untreated[e]
                    out[e, share, row, col] = value if value < 1.0 else 1.0
            if root >= 0:
                for col in range(cols):
                    value = planes[e, 0, plane, first + col] / divisor / untreated[e]
                    out[e, root, row, col] = np.sqrt(value if value < 1.0 else 1.0)


@kernel
def solve_fire(
    world: World,
    masks: Masks,
    special: Maybe,
    fires: Burning,
    treated: I8,
    s: Int,
    arrival: F4,
    parent: I1,
    scratch: Scratch,
) -> Int:
    """Solve fire s (S,) onto a fresh grid, arrival f4 and parent i1 (C,); returns the burned cells."""
    series, fire = series_of(fires.series, s), fire_of(fires, s)
    own, own_special = own_masks(world, masks, special, fire, series, fires.holds, fires.place, treated, scratch)
    n, _ = solve_one(world, own, own_special, fire, series, arrival, parent, scratch)
    return n
