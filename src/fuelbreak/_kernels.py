"""Every compiled loop of fire spread: solve, repair, planes. Arrays in, arrays out; no dice, no I/O.

Fire growth is minimum travel time (Finney 2002): `arrival[j] = min_i fl(arrival[i] + edge(i, j))` in float32. With
positive edges and one edge expression this has a unique fixed point, so any queue, any thread count and an incremental
repair give the same bits. Parents are made unique too: of the neighbors that reach a cell at the same float32 time, the
one with the lowest direction index is the parent.

Grids are padded by `PAD` closed cells on every side, so no edge needs a bounds check. A cell's spread is three floats
`(A, Bx, By)`, slowness along the unit vector d = A - B.d in min per cell, x east, y north (see `spread.cell_fields`).

All kernels that call each other stand in this file: Numba's cache does not see edits of a callee elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
U4 = npt.NDArray[np.uint32]
Int = int | np.integer[Any]

PAD = 2  # the longest edge spans two rows or columns
DIRECTIONS = 16
IGNITION = np.int8(32)
UNBURNED = np.int8(-1)
BUCKETS = 1024  # circular; a label further ahead waits in the last bucket and is moved on when met
TREATED = np.uint8(1)
CLOSED = np.uint8(2)
EDGE = np.uint8(1)
INTEREST = np.uint8(2)

# (row step, column step) of the 16 directions: 4 sides, 4 corners, 8 knight's moves; row 0 is north.
SIDES_AND_CORNERS = [(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]
KNIGHTS = [(-2, 1), (-1, 2), (1, 2), (2, 1), (2, -1), (1, -2), (-1, -2), (-2, -1)]
STEPS = np.array(SIDES_AND_CORNERS + KNIGHTS, dtype=np.int64)
# The two cells that an edge crosses between its ends, as steps. A knight's move crosses four cells for a quarter each;
# a side or corner move crosses its two ends for a half each, written as the same four quarters.
KNIGHTS_FIRST = [(-1, 0), (0, 1), (0, 1), (1, 0), (1, 0), (0, -1), (0, -1), (-1, 0)]
MIDDLE_1 = np.array([(0, 0)] * 8 + KNIGHTS_FIRST, dtype=np.int64)
MIDDLE_2 = STEPS - MIDDLE_1
# A quarter of the edge's length and of its eastward and northward parts, in cells.
QUARTER_LENGTH = (np.hypot(STEPS[:, 0], STEPS[:, 1]) / 4).astype(np.float32)
QUARTER_EAST = (STEPS[:, 1] / 4).astype(np.float32)
QUARTER_NORTH = (-STEPS[:, 0] / 4).astype(np.float32)
STEP_ROW, STEP_COL = STEPS[:, 0].copy(), STEPS[:, 1].copy()
MID1_ROW, MID1_COL = MIDDLE_1[:, 0].copy(), MIDDLE_1[:, 1].copy()
MID2_ROW, MID2_COL = MIDDLE_2[:, 0].copy(), MIDDLE_2[:, 1].copy()
# How much of a step leads north, east, south, west, in 1/1024 (integers, so that sums do not depend on their order).
TOWARD = np.rint(
    1024
    * np.maximum(
        np.stack([-STEP_ROW, STEP_COL, STEP_ROW, -STEP_COL], axis=1) / np.hypot(STEP_ROW, STEP_COL)[:, None],
        0,
    )
).astype(np.int64)


class World(NamedTuple):
    """What all fires and episodes share: K weathers, G patterns of closed cells, C padded cells.

    spread f4 (K, C, 4): A, Bx, By, unused; min per cell length.  bucket_min f4 (K,): width of a time bucket.
    pattern i4 (K,): which pattern of closed cells a weather has.  closed u1 (G, C): cells no fire crosses in it.
    open_dirs u4 (G, C): bit k set where the edge in direction k is open.  value f8 (C,): loss when the cell burns.
    marks u1 (C,): EDGE on the grid's outermost ring, INTEREST in the area of interest.  width: cells in a padded row.
    """

    spread: F4
    bucket_min: F4
    pattern: I4
    closed: U1
    open_dirs: U4
    value: F8
    marks: U1
    width: int


class Burning(NamedTuple):
    """The fires to solve: ignition i4 (S,) padded cell, weather i4 (S,), duration_min f4 (S,)."""

    ignition: I4
    weather: I4
    duration_min: F4


class Scratch(NamedTuple):
    """One thread's working memory; between calls heads are -1 and arrival is inf, parent -1, mark 0 everywhere."""

    heads: I4
    pool_cell: I4
    pool_time: F4
    pool_next: I4
    touched: I4
    open_dirs: U4
    arrival: F4
    parent: I1
    children: I4
    downstream: F8


def make_scratch(cells: int, pool: int | None = None) -> Scratch:
    """Working memory of one thread for grids of `cells` padded cells; `pool` bounds the queue (tests make it small)."""
    pool = 4 * cells + 1024 if pool is None else pool
    return Scratch(
        heads=np.full(BUCKETS, -1, np.int32),
        pool_cell=np.empty(pool, np.int32),
        pool_time=np.empty(pool, np.float32),
        pool_next=np.empty(pool, np.int32),
        touched=np.empty(2 * cells, np.int32),  # a repair lists lost cells and those burned again
        open_dirs=np.empty(cells, np.uint32),
        arrival=np.full(cells, np.inf, np.float32),
        parent=np.full(cells, UNBURNED, np.int8),
        children=np.empty(cells, np.int32),
        downstream=np.empty(cells, np.float64),
    )


NUMBA_CONFIG: Any = numba.config
if NUMBA_CONFIG.DISABLE_JIT:

    def take_ticket(counter: I8) -> int:
        """Return the counter's value and add one to it."""
        ticket = int(counter[0])
        counter[0] += 1
        return ticket

else:

    @intrinsic
    def take_ticket(typingctx: Any, counter: Any) -> Any:
        """Return the counter's value and add one to it, in one step that no other thread can split."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            one = context.get_constant(types.int64, 1)
            return builder.atomic_rmw("add", array.data, one, "monotonic")

        return types.int64(counter), codegen


@njit(cache=True, nogil=True, inline="always")
def edge_min(field: F4, cell: Int, k: Int, width: Int) -> Any:
    """Minutes from the center of `cell` to the center of its neighbor in direction k: the one edge expression.

    The exact line integral of the slowness over the crossed cells, each edge being four quarters.
    """
    a = cell + MID1_ROW[k] * width + MID1_COL[k]
    b = cell + MID2_ROW[k] * width + MID2_COL[k]
    c = cell + STEP_ROW[k] * width + STEP_COL[k]
    slowness = (field[cell, 0] + field[a, 0]) + (field[b, 0] + field[c, 0])
    east = (field[cell, 1] + field[a, 1]) + (field[b, 1] + field[c, 1])
    north = (field[cell, 2] + field[a, 2]) + (field[b, 2] + field[c, 2])
    return (slowness * QUARTER_LENGTH[k] - east * QUARTER_EAST[k]) - north * QUARTER_NORTH[k]


@njit(cache=True, nogil=True)
def open_bits(closed: U1, cell: Int, width: Int, as_open: Int) -> Any:
    """Directions in which fire may leave `cell`, as bits; the cell `as_open` (or -1) counts as open.

    An edge is blocked if any cell it crosses is closed, or if it passes a corner whose two flanks are both closed.
    """
    bits = np.uint32(0)
    if closed[cell] != 0 and cell != as_open:
        return bits
    for k in range(DIRECTIONS):
        end = cell + STEP_ROW[k] * width + STEP_COL[k]
        if closed[end] != 0 and end != as_open:
            continue
        if k >= 8:
            a = cell + MID1_ROW[k] * width + MID1_COL[k]
            b = cell + MID2_ROW[k] * width + MID2_COL[k]
            if (closed[a] != 0 and a != as_open) or (closed[b] != 0 and b != as_open):
                continue
        elif k >= 4:
            a = cell + STEP_ROW[k] * width
            b = cell + STEP_COL[k]
            if closed[a] != 0 and a != as_open and closed[b] != 0 and b != as_open:
                continue
        bits |= np.uint32(1) << np.uint32(k)
    return bits


@njit(cache=True, nogil=True)
def all_open_bits(closed: U1, open_dirs: U4, rows: Int, width: Int) -> None:
    """Fill `open_dirs` (C,) for a whole padded grid of `rows` rows."""
    open_dirs[:] = 0
    for row in range(PAD, rows - PAD):
        for col in range(PAD, width - PAD):
            open_dirs[row * width + col] = open_bits(closed, row * width + col, width, -1)


@njit(cache=True, nogil=True)
def close_cell(closed: U1, open_dirs: U4, cell: Int, width: Int) -> None:
    """Treat one cell as a firebreak: mark it and shut every edge that crosses it."""
    closed[cell] |= TREATED
    for row in range(-PAD, PAD + 1):
        for col in range(-PAD, PAD + 1):
            near = cell + row * width + col
            if open_dirs[near] != 0:
                open_dirs[near] = open_bits(closed, near, width, -1)


@njit(cache=True, nogil=True)
def with_open_ignition(closed: U1, open_dirs: U4, ignition: Int, width: Int, out: U4) -> U4:
    """Open directions as one fire sees them: a treated ignition cell counts as untreated for that fire.

    Returns `open_dirs` itself where the ignition is untreated, else `out`, filled.
    """
    if closed[ignition] != TREATED:
        return open_dirs
    out[:] = open_dirs
    for row in range(-PAD, PAD + 1):
        for col in range(-PAD, PAD + 1):
            near = ignition + row * width + col
            if closed[near] == 0 or near == ignition:
                out[near] = open_bits(closed, near, width, ignition)
    return out


@njit(cache=True, nogil=True)
def run_buckets(
    field: F4,
    open_dirs: U4,
    arrival: F4,
    parent: I1,
    duration: Any,
    width: Int,
    bucket_min: Any,
    seeds: I4,
    n_seeds: Int,
    scratch: Scratch,
    n_touched: Int,
) -> tuple[Int, Int]:
    """Relax from the seeds (cells with tentative times) until nothing changes; label-correcting time buckets.

    Cells burned for the first time are appended to `scratch.touched`. Returns (touched, settled cells); touched is -1
    when the bounded queue would overflow or the bucket width makes it repeat itself: solve that fire by `run_heap`.
    """
    heads, pool_cell, pool_time, pool_next = scratch.heads, scratch.pool_cell, scratch.pool_time, scratch.pool_next
    capacity = len(pool_cell)
    free, fresh, pending, pops = -1, 0, 0, 0
    patience = 64 * len(arrival)
    per_bucket = np.float32(1.0) / bucket_min
    current = np.int64(0)
    if n_seeds > 0:
        first = np.float32(np.inf)
        for i in range(n_seeds):
            first = min(first, arrival[seeds[i]])
        current = np.int64(first * per_bucket)
    overflow = n_seeds > capacity
    if not overflow:
        for i in range(n_seeds):
            slot = min(np.int64(arrival[seeds[i]] * per_bucket), current + (BUCKETS - 1)) & (BUCKETS - 1)
            pool_cell[fresh] = seeds[i]
            pool_time[fresh] = arrival[seeds[i]]
            pool_next[fresh] = heads[slot]
            heads[slot] = fresh
            fresh += 1
            pending += 1
    while pending > 0 and not overflow:
        entry = heads[current & (BUCKETS - 1)]
        if entry < 0:
            current += 1
            continue
        heads[current & (BUCKETS - 1)] = pool_next[entry]
        cell = np.int64(pool_cell[entry])
        time = pool_time[entry]
        pool_next[entry] = free
        free = entry
        pending -= 1
        if time != arrival[cell]:
            continue  # a better time came in after this entry
        bucket = np.int64(time * per_bucket)
        if bucket > current:  # it waited here only because the ring of buckets is finite
            slot = min(bucket, current + (BUCKETS - 1)) & (BUCKETS - 1)
            free = pool_next[entry]
            pool_next[entry] = heads[slot]
            heads[slot] = entry
            pending += 1
            continue
        pops += 1
        if pops > patience:
            overflow = True
        bits = open_dirs[cell]
        for k in range(DIRECTIONS):
            if (bits >> np.uint32(k)) & np.uint32(1) == 0:
                continue
            end = cell + STEP_ROW[k] * width + STEP_COL[k]
            known = arrival[end]
            if known < time:
                continue
            new = time + edge_min(field, cell, k, width)
            if new > duration or new > known:
                continue
            if new == known:
                if k < parent[end]:
                    parent[end] = k
                continue
            if known == np.inf:
                scratch.touched[n_touched] = end
                n_touched += 1
            arrival[end] = new
            parent[end] = k
            if free >= 0:
                entry = free
                free = pool_next[entry]
            elif fresh < capacity:
                entry = fresh
                fresh += 1
            else:
                overflow = True
                break
            slot = min(np.int64(new * per_bucket), current + (BUCKETS - 1)) & (BUCKETS - 1)
            pool_cell[entry] = end
            pool_time[entry] = new
            pool_next[entry] = heads[slot]
            heads[slot] = entry
            pending += 1
    if overflow:
        heads[:] = -1
        return -1, pops
    return n_touched, pops


@njit(cache=True, nogil=True)
def run_heap(
    field: F4, open_dirs: U4, arrival: F4, parent: I1, ignition: Int, duration: Any, width: Int, touched: I4
) -> tuple[Int, Int]:
    """Solve one fire from nothing by an indexed binary heap: the exact fallback, with the same bits.

    Expects arrival inf and parent -1 everywhere; returns (touched, settled cells).
    """
    heap = np.empty(len(arrival), np.int32)
    place = np.full(len(arrival), -1, np.int32)
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
        bits = open_dirs[cell]
        for k in range(DIRECTIONS):
            if (bits >> np.uint32(k)) & np.uint32(1) == 0:
                continue
            end = cell + STEP_ROW[k] * width + STEP_COL[k]
            known = arrival[end]
            if known < time:
                continue
            new = time + edge_min(field, cell, k, width)
            if new > duration or new > known:
                continue
            if new == known:
                if k < parent[end]:
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


@njit(cache=True, nogil=True)
def solve_one(
    world: World,
    closed: U1,
    open_dirs: U4,
    ignition: Int,
    weather: Int,
    duration: Any,
    arrival: F4,
    parent: I1,
    scratch: Scratch,
) -> tuple[Int, Int]:
    """Arrival times of one fire on a fresh grid (inf, -1); the burned cells are listed in `scratch.touched`.

    `closed`, `open_dirs` (C,) are those of the fire's pattern. Returns (burned cells, settled cells).
    """
    field = world.spread[weather]
    mask = with_open_ignition(closed, open_dirs, ignition, world.width, scratch.open_dirs)
    arrival[ignition] = 0.0
    parent[ignition] = IGNITION
    scratch.touched[0] = ignition
    seeds = np.empty(1, np.int32)
    seeds[0] = ignition
    n_touched, settled = run_buckets(
        field, mask, arrival, parent, duration, world.width, world.bucket_min[weather], seeds, 1, scratch, 1
    )
    if n_touched < 0:
        arrival[:] = np.inf
        parent[:] = UNBURNED
        n_touched, settled = run_heap(field, mask, arrival, parent, ignition, duration, world.width, scratch.touched)
    return n_touched, settled


@njit(cache=True, nogil=True)
def loss_of(value: F8, arrival: F4) -> float:
    """Loss of one fire: the value of all burned cells (exact in any order, see `spread.exact_value`)."""
    total = 0.0
    for cell in range(len(arrival)):
        if arrival[cell] < np.inf:
            total += value[cell]
    return total


@njit(cache=True, nogil=True)
def repair_one(
    world: World,
    closed: U1,
    open_dirs: U4,
    ignition: Int,
    weather: Int,
    duration: Any,
    cell: Int,
    arrival: F4,
    parent: I1,
    scratch: Scratch,
) -> tuple[float, Int]:
    """Bring one fire up to date after `cell` was treated: re-solve only what its path crossed.

    `closed`, `open_dirs` already hold the new firebreak. Returns (loss avoided by it, cells re-solved). Bit-equal to a
    fresh solve.
    """
    if cell == ignition:
        return 0.0, 0  # a treated ignition counts as untreated for its own fire
    width = world.width
    # Most fires never came near: look before anything else is touched.
    burned_near = False
    for row in range(-PAD, PAD + 1):
        for col in range(-PAD, PAD + 1):
            if parent[cell + row * width + col] >= 0:
                burned_near = True
    if not burned_near:
        return 0.0, 0
    mask = with_open_ignition(closed, open_dirs, ignition, width, scratch.open_dirs)
    lost = scratch.touched
    n_lost = 0
    # Roots: cells whose last step crossed an edge that is now shut. The crossed cell lies within PAD of either end.
    for row in range(-PAD, PAD + 1):
        for col in range(-PAD, PAD + 1):
            near = cell + row * width + col
            k = parent[near]
            if k < 0 or k == IGNITION:
                continue
            start = near - STEP_ROW[k] * width - STEP_COL[k]
            if (mask[start] >> np.uint32(k)) & np.uint32(1) == 0:
                lost[n_lost] = near
                n_lost += 1
    if n_lost == 0:
        return 0.0, 0
    # All that burned through a root: a child is a neighbor whose parent direction points back.
    for i in range(n_lost):
        parent[lost[i]] = UNBURNED
    i = 0
    while i < n_lost:
        here = np.int64(lost[i])
        for k in range(DIRECTIONS):
            near = here + STEP_ROW[k] * width + STEP_COL[k]
            if parent[near] == k:
                parent[near] = UNBURNED
                lost[n_lost] = near
                n_lost += 1
        i += 1
    before = 0.0
    for i in range(n_lost):
        before += world.value[lost[i]]
        arrival[lost[i]] = np.inf
    # Seeds: the best time of each lost cell from those that have one; later seeds may start from earlier ones, the
    # relaxation below lowers them all to the one fixed point.
    field = world.spread[weather]
    seeds = np.empty(n_lost, np.int32)
    n_seeds = 0
    for i in range(n_lost):
        here = np.int64(lost[i])
        best = np.float32(np.inf)
        best_k = UNBURNED
        for k in range(DIRECTIONS):
            start = here - STEP_ROW[k] * width - STEP_COL[k]
            if (mask[start] >> np.uint32(k)) & np.uint32(1) == 0 or parent[start] < 0:
                continue
            new = arrival[start] + edge_min(field, start, k, width)
            if new <= duration and new < best:
                best = new
                best_k = np.int8(k)
        if best_k >= 0:
            seeds[n_seeds] = here
            n_seeds += 1
            arrival[here] = best
            parent[here] = best_k
    n_touched, settled = run_buckets(
        field, mask, arrival, parent, duration, width, world.bucket_min[weather], seeds, n_seeds, scratch, n_lost
    )
    after = 0.0
    if n_touched < 0:
        kept = loss_of(world.value, arrival)
        for i in range(n_lost):
            if arrival[lost[i]] < np.inf:
                kept -= world.value[lost[i]]
        arrival[:] = np.inf
        parent[:] = UNBURNED
        n_touched, settled = run_heap(field, mask, arrival, parent, ignition, duration, width, scratch.touched)
        after = loss_of(world.value, arrival) - kept
    else:
        for i in range(n_lost):
            if arrival[lost[i]] < np.inf:
                after += world.value[lost[i]]
    return before - after, settled


@njit(cache=True, nogil=True)
def solve_states(
    world: World,
    closed: U1,
    open_dirs: U4,
    fires: Burning,
    arrival: F4,
    parent: I1,
    loss: F8,
    settled: I8,
    counter: I8,
    scratch: Scratch,
) -> None:
    """Solve S fires on one landscape and keep each: arrival f4, parent i1 (S, C); loss f8, settled i8 (S,).

    Threads share `counter` and take fires from it until none is left; each fire writes its own row only.
    """
    while True:
        s: Int = take_ticket(counter)
        if s >= len(fires.ignition):
            return
        weather = fires.weather[s]
        pattern = world.pattern[weather]
        arrival[s, :] = np.inf
        parent[s, :] = UNBURNED
        _, settled[s] = solve_one(
            world,
            closed[pattern],
            open_dirs[pattern],
            fires.ignition[s],
            weather,
            fires.duration_min[s],
            arrival[s],
            parent[s],
            scratch,
        )
        loss[s] = loss_of(world.value, arrival[s])


@njit(cache=True, nogil=True)
def burn_statistics(
    world: World,
    closed: U1,
    open_dirs: U4,
    fires: Burning,
    weight: I8,
    counts: I8,
    burned: I8,
    loss: F8,
    marks_met: U1,
    settled: I8,
    counter: I8,
    scratch: Scratch,
) -> None:
    """Solve S fires and keep only sums: counts i8 (C,) of this thread, weighted; burned i8, loss f8 ... (S,).

    Uses the scratch grid and wipes it after each fire, so memory does not grow with the number of fires.
    """
    while True:
        s: Int = take_ticket(counter)
        if s >= len(fires.ignition):
            return
        weather = fires.weather[s]
        pattern = world.pattern[weather]
        n, settled[s] = solve_one(
            world,
            closed[pattern],
            open_dirs[pattern],
            fires.ignition[s],
            weather,
            fires.duration_min[s],
            scratch.arrival,
            scratch.parent,
            scratch,
        )
        total = 0.0
        met = np.uint8(0)
        for i in range(n):
            cell = np.int64(scratch.touched[i])
            scratch.arrival[cell] = np.inf
            scratch.parent[cell] = UNBURNED
            counts[cell] += weight[s]
            total += world.value[cell]
            met |= world.marks[cell]
        burned[s] = n
        loss[s] = total
        marks_met[s] = met


FIRES_PER_TICKET = 8


@njit(cache=True, nogil=True)
def repair_states(
    world: World,
    closed: U1,
    open_dirs: U4,
    treated: I8,
    ignition: I4,
    weather: I4,
    duration_min: F4,
    arrival: F4,
    parent: I1,
    loss: F8,
    settled: I8,
    counter: I8,
    scratch: Scratch,
) -> None:
    """Bring E x S fires up to date after episode e treated the padded cell `treated[e]` (-1: none).

    closed u1, open_dirs u4 (E, G, C) already hold the break; ignition ... duration (E, S); arrival, parent (E, S, C);
    loss, settled (E, S), settled being added to. Threads share `counter`.
    """
    episodes, per_episode = ignition.shape
    while True:
        first = take_ticket(counter) * FIRES_PER_TICKET
        if first >= episodes * per_episode:
            return
        for task in range(first, min(first + FIRES_PER_TICKET, episodes * per_episode)):
            e = task // per_episode
            s = task - e * per_episode
            if treated[e] < 0:
                continue
            pattern = world.pattern[weather[e, s]]
            avoided, resolved = repair_one(
                world,
                closed[e, pattern],
                open_dirs[e, pattern],
                ignition[e, s],
                weather[e, s],
                duration_min[e, s],
                treated[e],
                arrival[e, s],
                parent[e, s],
                scratch,
            )
            loss[e, s] -= avoided
            settled[e, s] += resolved


PLANES = 7  # burned, downstream value, earliness, toward north, east, south, west


@njit(cache=True, nogil=True)
def add_planes(
    world: World, duration: Any, arrival: F4, parent: I1, weight: float, planes: F8, scratch: Scratch
) -> None:
    """Add one fire to the sums (7, C): see `sum_planes`."""
    width = world.width
    touched, children, downstream = scratch.touched, scratch.children, scratch.downstream
    n = 0
    for candidate in range(len(parent)):
        if parent[candidate] >= 0:
            touched[n] = candidate
            n += 1
            children[candidate] = 0
            downstream[candidate] = world.value[candidate]
    for i in range(n):
        cell = np.int64(touched[i])
        k = parent[cell]
        planes[0, cell] += weight
        if duration < np.inf:
            planes[2, cell] += weight * np.floor((1.0 - arrival[cell] / duration) * 1024.0)
        if k != IGNITION:
            children[cell - STEP_ROW[k] * width - STEP_COL[k]] += 1
            for side in range(4):
                planes[3 + side, cell] += weight * TOWARD[k, side]
    # Peel the fire's tree from its leaves: a cell whose children are all summed hands its sum on.
    for i in range(n):
        cell = np.int64(touched[i])
        while children[cell] == 0 and parent[cell] != IGNITION:
            children[cell] = -1
            planes[1, cell] += weight * downstream[cell]
            k = parent[cell]
            up = cell - STEP_ROW[k] * width - STEP_COL[k]
            downstream[up] += downstream[cell]
            children[up] -= 1
            cell = up


@njit(cache=True, nogil=True)
def sum_planes(
    world: World,
    weight: F8,
    duration_min: F4,
    arrival: F4,
    parent: I1,
    planes: F8,
    counter: I8,
    scratch: Scratch,
) -> None:
    """Sums over the S fires of each of E episodes: planes f8 (E, parts, 7, C), exact in any order.

    The fires of an episode are cut in `parts` so that threads can share one episode; the caller adds the parts up.
    0 weight of fires that burned the cell; 1 value downstream of it in the fires' trees, the cell included (not in
    fires that started there: treating it would not stop those); 2 earliness, 1024 x (1 - arrival / duration);
    3-6 how far the fire moved north, east, south, west as it entered, in 1/1024.
    """
    episodes, per_episode = duration_min.shape
    parts = planes.shape[1]
    while True:
        ticket = take_ticket(counter)
        if ticket >= episodes * parts:
            return
        e = ticket // parts
        part = ticket - e * parts
        planes[e, part, :, :] = 0.0
        for s in range(per_episode * part // parts, per_episode * (part + 1) // parts):
            add_planes(world, duration_min[e, s], arrival[e, s], parent[e, s], weight[e, s], planes[e, part], scratch)
