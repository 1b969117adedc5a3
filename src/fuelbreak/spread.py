"""Fire spread: arrival times of many fires, for one plan (`spread`) or for many growing plans (`Ensemble`).

Allocates, checks and calls the kernels. Fire growth is minimum travel time on a 16-direction grid (Finney 2002,
Canadian Journal of Forest Research 32:1420-1424), with the grid's own error on an ellipse calibrated away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fuelbreak import _kernels, parallel
from fuelbreak._kernels import PAD, Burning, World
from fuelbreak.behavior import FireBehavior, fire_behavior
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import Fires, Weather

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
T = TypeVar("T", bound=np.generic)

STENCILS = (16,)
# Share of the homogeneous correction that is applied. All of it over-burns mixed fuels, where the front picks the
# favored directions: +7.4 % against -0.4 % area at 0.7 on ten mixed landscapes, the ones 0.7 was chosen on.
STRENGTH = 0.7
VALUE_STEPS = 2**20  # values are whole multiples of max / 2**20, so that their sums are exact in any order
BANK_LIMIT_BYTES = 1 << 30  # base states of the fire bank are kept up to here, and solved again at reset beyond
MAX_BUFFER_CELLS = 25


@lru_cache(maxsize=1)
def _calibration() -> tuple[F8, F8, F8, F8]:
    """Length-to-width and angle axes and the two tables made by benchmarks/calibrate_stencil.py."""
    text = files("fuelbreak").joinpath("stencil_calibration.csv").read_text()
    rows = np.loadtxt(text.splitlines(), delimiter=",", skiprows=1)
    length_to_width, angle = np.unique(rows[:, 0]), np.unique(rows[:, 1])
    shape = (len(length_to_width), len(angle))
    return length_to_width, angle, rows[:, 2].reshape(shape), rows[:, 3].reshape(shape)


def calibrated(spread_rate: F8, length_to_width: F8, heading_deg: F8, *, strength: float = STRENGTH) -> tuple[F8, F8]:
    """Head rate and eccentricity to give the 16-direction grid so that it burns the wanted ellipse.

    Parameters
    ----------
    spread_rate : head rate of spread, any unit
    length_to_width : of the fire's ellipse, >= 1
    heading_deg : direction of spread, degrees clockwise from grid north
    strength : share of the correction that is applied
    """
    lw_axis, angle_axis, log_rate, log_rear = _calibration()
    folded = np.abs((heading_deg + 45.0) % 90.0 - 45.0)
    lw = np.clip(length_to_width, lw_axis[0], lw_axis[-1])
    i = np.clip(np.searchsorted(lw_axis, lw, side="right") - 1, 0, len(lw_axis) - 2)
    j = np.clip(np.searchsorted(angle_axis, folded, side="right") - 1, 0, len(angle_axis) - 2)
    u = (lw - lw_axis[i]) / (lw_axis[i + 1] - lw_axis[i])
    v = (folded - angle_axis[j]) / (angle_axis[j + 1] - angle_axis[j])

    def between(table: F8) -> F8:
        low = table[i, j] * (1 - v) + table[i, j + 1] * v
        high = table[i + 1, j] * (1 - v) + table[i + 1, j + 1] * v
        return np.asarray(low * (1 - u) + high * u)

    rear = 1 - np.sqrt(length_to_width**2 - 1) / length_to_width
    rear = np.minimum(rear * np.exp(strength * between(log_rear)), 1.0)
    return spread_rate * np.exp(strength * between(log_rate)), 1 - rear


def cell_fields(behavior: FireBehavior, cell_size_m: float) -> F4:
    """Slowness of spread of every cell: (H, W, 3) f4 of A, Bx, By in min per cell, x east, y north.

    An ellipse that grows from its rear focus has slowness A - B.d along the unit vector d, with A = 1 / (R (1 - e)) and
    B = A e u, where R is the head rate in cells per min, e the eccentricity and u the heading. Cells where nothing
    spreads hold infinity, 0, 0.
    """
    spreads = behavior.spread_rate_m_min > 0
    rate = behavior.spread_rate_m_min[spreads].astype(np.float64) / cell_size_m
    heading_deg = behavior.spread_direction_deg[spreads].astype(np.float64)
    rate, e = calibrated(rate, behavior.length_to_width[spreads].astype(np.float64), heading_deg)
    heading = np.deg2rad(heading_deg)
    slowness = 1 / (rate * (1 - e))
    fields = np.zeros((*spreads.shape, 3), np.float32)
    fields[..., 0] = np.inf
    fields[spreads] = np.stack([slowness, slowness * e * np.sin(heading), slowness * e * np.cos(heading)], axis=1)
    return fields


def exact_value(landscape: Landscape) -> F8:
    """Loss of each cell when it burns (H, W): the value at risk inside the area of interest, 0 outside.

    Rounded to 2**20 steps of the largest value: sums are then exact in float64, whatever their order, so that a repair,
    a thread count or a process never changes a loss in its last digit.
    """
    value = np.where(landscape.area_of_interest, landscape.value, 0.0).astype(np.float64)
    top = value.max()
    if top <= 0:
        return value
    step = 2.0 ** np.ceil(np.log2(top)) / VALUE_STEPS
    return np.asarray(np.rint(value / step) * step)


def _padded(array: npt.NDArray[T], fill: float) -> npt.NDArray[T]:
    return np.pad(array, PAD, constant_values=fill).ravel()


def make_world(landscape: Landscape, weathers: Sequence[Weather], *, stencil: int = 16) -> World:
    """What all fires on a landscape share, ready for the kernels: spread fields of K weathers, closed cells, values."""
    if stencil not in STENCILS:
        raise InputError(f"stencil: {stencil} neighbors are not offered; use {', '.join(map(str, STENCILS))}")
    _check_memory(landscape, len(weathers), 0)
    rows, cols = landscape.shape[0] + 2 * PAD, landscape.shape[1] + 2 * PAD
    spread = np.zeros((len(weathers), rows, cols, 4), np.float32)
    spread[..., 0] = np.inf
    bucket_min = np.empty(len(weathers), np.float32)
    pattern = np.empty(len(weathers), np.int32)
    patterns: dict[bytes, int] = {}
    closed: list[npt.NDArray[np.uint8]] = []
    for i, weather in enumerate(weathers):
        behavior = fire_behavior(landscape, weather)
        spread[i, PAD:-PAD, PAD:-PAD, :3] = cell_fields(behavior, landscape.cell_size_m)
        rate = behavior.spread_rate_m_min
        if not np.isfinite(rate).all():
            raise InputError(
                f"weather {i}: the rate of spread is not finite on {int((~np.isfinite(rate)).sum())} cells"
            )
        # Half the usual time between neighbors: few re-settled cells, few empty buckets.
        typical = 0.5 * landscape.cell_size_m / np.median(rate[rate > 0]) if (rate > 0).any() else 1.0
        bucket_min[i] = np.clip(typical, 0.02, 20.0)
        shut = _padded(np.where(rate > 0, 0, _kernels.CLOSED).astype(np.uint8), int(_kernels.CLOSED))
        pattern[i] = patterns.setdefault(shut.tobytes(), len(patterns))
        if pattern[i] == len(closed):
            closed.append(shut)
    closed_patterns = np.stack(closed).astype(np.uint8)
    open_dirs = np.zeros(closed_patterns.shape, np.uint32)
    for i in range(len(closed)):
        _kernels.all_open_bits(closed_patterns[i], open_dirs[i], rows, cols)
    marks = np.full(landscape.shape, _kernels.EDGE)
    marks[1:-1, 1:-1] = 0
    marks[landscape.area_of_interest] |= _kernels.INTEREST
    return World(
        spread.reshape(len(weathers), rows * cols, 4),
        bucket_min,
        pattern,
        closed_patterns,
        open_dirs,
        _padded(exact_value(landscape), 0.0),
        _padded(marks, 0),
        cols,
    )


def check_fires(landscape: Landscape, fires: Fires) -> None:
    """Refuse fires that start outside the grid or on a cell that cannot burn, by name and before anything runs."""
    rows, cols = landscape.shape
    row, col = fires.ignitions[:, 0], fires.ignitions[:, 1]
    outside = np.flatnonzero((row < 0) | (row >= rows) | (col < 0) | (col >= cols))
    if len(outside):
        i = outside[0]
        raise InputError(
            f"fires: ignition {i} at row {row[i]}, column {col[i]} lies outside the {rows} x {cols} landscape "
            f"({len(outside)} such); move or drop it"
        )
    bare = np.flatnonzero(~landscape.burnable[row, col])
    if len(bare):
        i = bare[0]
        code = landscape.fuel_model[row[i], col[i]]
        raise InputError(
            f"fires: ignition {i} at row {row[i]}, column {col[i]} is on nonburnable fuel {code} "
            f"({len(bare)} such); move or drop it"
        )


def _padded_cell(cell: I8, cols: int) -> I8:
    """Padded index of flat row-major cells."""
    return (cell // cols + PAD) * (cols + 2 * PAD) + cell % cols + PAD


def _burning(landscape: Landscape, fires: Fires) -> Burning:
    cols = landscape.shape[1]
    cell = fires.ignitions[:, 0] * cols + fires.ignitions[:, 1]
    return Burning(_padded_cell(cell, cols).astype(np.int32), fires.weather_index, fires.duration_min)


def _treat_world(world: World, cells: I8) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """Closed cells and open directions (G, C) once the padded `cells` are firebreaks."""
    closed, open_dirs = world.closed.copy(), world.open_dirs.copy()
    for shut, bits in zip(closed, open_dirs, strict=True):
        for cell in cells:
            _kernels.close_cell(shut, bits, cell, world.width)
    return closed, open_dirs


@dataclass(frozen=True, eq=False)
class SpreadResult:
    """What n fires did on one landscape under one plan.

    burned_cells : (n,) i8 cells burned by each fire, buffer included
    loss : (n,) f8 value burned inside the area of interest
    reached_edge : (n,) bool, whether the fire came to the grid's outermost ring
    burned_interest : (n,) bool, whether it burned any of the area of interest
    cells_solved : cells settled in all, the cost of the call
    """

    landscape: Landscape
    fires: Fires
    burned_cells: I8
    loss: F8
    reached_edge: npt.NDArray[np.bool_]
    burned_interest: npt.NDArray[np.bool_]
    cells_solved: int
    _counts: I8
    _total_weight: int
    _world: World
    _closed: npt.NDArray[np.uint8]
    _open_dirs: npt.NDArray[np.uint32]

    @property
    def burned_area_ha(self) -> F8:
        """Area burned by each fire, hectares (n,)."""
        return np.asarray(self.burned_cells * self.landscape.hectares_per_cell)

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
        return _cropped(self._counts / self._total_weight, self.landscape.shape).astype(np.float32)

    def arrival_min(self, i: int) -> F4:
        """Minutes from ignition until fire i burns each cell (H, W) f4, infinity where it does not.

        Solved anew at each call (the same bits each time): n fires need no n maps.
        """
        return self._solve(i)[0]

    def _solve(self, i: int) -> tuple[F4, npt.NDArray[np.int8]]:
        cells = len(self._world.value)
        arrival = np.full(cells, np.inf, np.float32)
        parent = np.full(cells, _kernels.UNBURNED, np.int8)
        burning = _burning(self.landscape, self.fires)
        weather = self.fires.weather_index[i]
        pattern = self._world.pattern[weather]
        _kernels.solve_one(
            self._world,
            self._closed[pattern],
            self._open_dirs[pattern],
            burning.ignition[i],
            weather,
            self.fires.duration_min[i],
            arrival,
            parent,
            _kernels.make_scratch(cells),
        )
        return _cropped(arrival, self.landscape.shape), _cropped(parent, self.landscape.shape)


def _cropped(padded: npt.NDArray[T], shape: tuple[int, int]) -> npt.NDArray[T]:
    """Take the padding off the last axis of a flat padded array."""
    grid = padded.reshape(*padded.shape[:-1], shape[0] + 2 * PAD, shape[1] + 2 * PAD)
    return np.ascontiguousarray(grid[..., PAD:-PAD, PAD:-PAD])


def _exact_weights(weight: F8) -> I8:
    """Weights as whole numbers in proportion, so that weighted counts do not depend on the order of the fires."""
    if weight.min() == weight.max():
        return np.ones(len(weight), np.int64)
    return np.asarray(np.rint(weight / weight.max() * VALUE_STEPS), np.int64)


def _world_size(landscape: Landscape, fires: Fires) -> tuple[int, int, int]:
    """Padded width, padded cells and weathers that a world for these must have."""
    rows, cols = landscape.shape
    return cols + 2 * PAD, (rows + 2 * PAD) * (cols + 2 * PAD), len(fires.weather)


def spread(
    landscape: Landscape,
    fires: Fires,
    plan: Plan | None = None,
    *,
    stencil: int = 16,
    workers: int | None = None,
    world: World | None = None,
) -> SpreadResult:
    """Burn every fire on the landscape, with the plan's firebreaks in place, and say what burned.

    Parameters
    ----------
    plan : firebreaks in place; None for the untreated landscape
    stencil : neighbors of a cell, 16
    workers : threads; None uses every available core; the result is the same, bit for bit, for any number
    world : `make_world(landscape, fires.weather)` if it is at hand, so that it is not made again

    Raises
    ------
    InputError : an ignition outside the grid or on a nonburnable cell; a plan of another grid
    """
    check_fires(landscape, fires)
    workers = min(parallel.checked_workers(workers), len(fires))
    if plan is not None and plan.shape != landscape.shape:
        raise InputError(
            f"plan: it is for a grid of {plan.shape[0]} x {plan.shape[1]} cells, the landscape has "
            f"{landscape.shape[0]} x {landscape.shape[1]}; make the plan on this landscape"
        )
    if world is None:
        world = make_world(landscape, fires.weather, stencil=stencil)
    elif (world.width, len(world.value), len(world.pattern)) != _world_size(landscape, fires):
        raise InputError("world: it was made for another landscape or another bank of weathers; leave it out")
    treated = np.empty(0, np.int64) if plan is None else _padded_cell(plan.cells, landscape.shape[1])
    closed, open_dirs = _treat_world(world, treated)
    burning, weight = _burning(landscape, fires), _exact_weights(fires.weight)
    n, cells = len(fires), len(world.value)
    counts = np.zeros((workers, cells), np.int64)
    burned, settled = np.zeros(n, np.int64), np.zeros(n, np.int64)
    loss, met = np.zeros(n), np.zeros(n, np.uint8)
    counter = np.zeros(1, np.int64)

    def work(worker: int) -> None:
        _kernels.burn_statistics(
            world,
            closed,
            open_dirs,
            burning,
            weight,
            counts[worker],
            burned,
            loss,
            met,
            settled,
            counter,
            _kernels.make_scratch(cells),
        )

    parallel.run_threads(work, workers)
    return SpreadResult(
        landscape,
        fires,
        burned,
        loss,
        (met & _kernels.EDGE) > 0,
        (met & _kernels.INTEREST) > 0,
        int(settled.sum()),
        counts.sum(axis=0),
        int(weight.sum()),
        world,
        closed,
        open_dirs,
    )


def expected_fire_length_cells(landscape: Landscape, weathers: Sequence[Weather], duration_min: float) -> int:
    """How far a fire runs, in cells: the mean head rate over burnable cells and weathers, times the duration.

    No farther than the landscape is long.
    """
    rates = [
        fire_behavior(landscape, weather).spread_rate_m_min[landscape.burnable].mean(dtype=np.float64)
        for weather in weathers
    ]
    length = float(np.mean(rates)) * duration_min / landscape.cell_size_m if any(rates) else 0.0
    return int(np.ceil(min(length, max(landscape.shape))))


def settle_buffer(
    make: Callable[[int], Landscape], weathers: Sequence[Weather], duration_min: float, buffer_cells: int | None = None
) -> Landscape:
    """A landscape with a buffer in which fires ignite and spread but nothing is treated and nothing counts.

    Without it the map's edge would be a free fuel break. The default width is one expected fire length, at most 25
    cells, and at most a quarter of a map that has nothing around it, so that half its width is left.

    Parameters
    ----------
    make : gives the landscape with a buffer of so many cells
    buffer_cells : the width wanted; None for the default
    """
    if buffer_cells is not None:
        return make(buffer_cells)
    try:
        widest = make(MAX_BUFFER_CELLS)
    except InputError:  # too small a map for this ring, which nobody asked for; anything else is refused again here
        widest = make(0)
    buffer_cells = min(MAX_BUFFER_CELLS, expected_fire_length_cells(widest, weathers, duration_min))
    quarter = min(widest.shape) // 4
    if buffer_cells > quarter and make(0).shape == widest.shape:  # the ring comes off the map's own edge
        buffer_cells = quarter
    return make(buffer_cells)


def warm_up() -> None:
    """Compile every kernel, or load it from the cache: tens of seconds once, then well under one."""
    landscape = Landscape.from_arrays(fuel_model=np.full((5, 5), 1, np.int16))
    fires = Fires(ignitions=[(0, 0), (4, 4)], weather=Weather(), duration_min=30.0)
    spread(landscape, fires, workers=1)
    ensemble = Ensemble(landscape, fires)
    ensemble.reset(0, np.arange(2))
    ensemble.treat(np.array([12]))
    ensemble.planes()


def _check_memory(landscape: Landscape, weathers: int, fires: int) -> None:
    """Refuse a run whose spread fields and fire states cannot fit into memory, before it starts."""
    import psutil

    # Spread fields are four f4 a weather, fire states f4 and i1 a fire.
    needed = landscape.fuel_model.size * (16 * weathers + 5 * fires)
    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise InputError(
            f"memory: {fires} fires in {weathers} weathers on {landscape.shape[0]} x {landscape.shape[1]} cells need "
            f"{needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free; use fewer fires or a smaller window"
        )


class Ensemble:
    """E episodes that each grow a plan of their own on the same landscape, judged by S fires each.

    The one mutable thing in fuelbreak: arrival f4 and parent i1 (E, S, C) of all fires, brought up to date by exact
    repair whenever an episode treats a cell, bit for bit what a fresh solve would give.

    Parameters
    ----------
    fires : the bank; each episode's fires are taken from it at `reset`
    episodes : E
    fires_per_episode : S; every fire of the bank if left out
    workers : threads, None for every available core; results do not depend on it
    """

    def __init__(
        self,
        landscape: Landscape,
        fires: Fires,
        *,
        episodes: int = 1,
        fires_per_episode: int | None = None,
        stencil: int = 16,
        workers: int | None = 1,
    ) -> None:
        check_fires(landscape, fires)
        self.landscape, self.fires = landscape, fires
        self.episodes = episodes
        self.fires_per_episode = len(fires) if fires_per_episode is None else fires_per_episode
        if episodes < 1 or not 1 <= self.fires_per_episode <= len(fires):
            raise InputError(
                f"fires: {episodes} episodes of {self.fires_per_episode} fires are wanted of a bank of {len(fires)}; "
                "give at least one episode and from one fire up to the bank's number"
            )
        _check_memory(landscape, len(fires.weather), episodes * self.fires_per_episode)
        self.world = make_world(landscape, fires.weather, stencil=stencil)
        self._workers = parallel.checked_workers(workers)
        self._burning = _burning(landscape, fires)
        shape = (episodes, self.fires_per_episode)
        cells = len(self.world.value)
        self._scratch = [_kernels.make_scratch(cells) for _ in range(self._workers)]
        self._arrival = np.full((*shape, cells), np.inf, np.float32)
        self._parent = np.full((*shape, cells), _kernels.UNBURNED, np.int8)
        self._loss = np.zeros(shape)
        self._settled = np.zeros(shape, np.int64)
        self._closed = np.broadcast_to(self.world.closed, (episodes, *self.world.closed.shape)).copy()
        self._open_dirs = np.broadcast_to(self.world.open_dirs, (episodes, *self.world.open_dirs.shape)).copy()
        self._ignition, self._weather = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        self._duration, self._weight = np.ones(shape, np.float32), np.ones(shape)
        parts = -(-self._workers // episodes)  # threads that share one episode
        self._planes = np.zeros((episodes, parts, _kernels.PLANES, cells))
        self.cells_solved = 0
        # Base states are worth their memory when episodes come back to them.
        self._base: tuple[F4, npt.NDArray[np.int8], F8] | None = None
        if self.fires_per_episode < len(fires) and len(fires) * cells * 5 <= BANK_LIMIT_BYTES:
            self._base = (
                np.empty((len(fires), cells), np.float32),
                np.empty((len(fires), cells), np.int8),
                np.empty(len(fires)),
            )
            self._solve(np.arange(len(fires)), *self._base)

    def _solve(self, which: I8, arrival: F4, parent: npt.NDArray[np.int8], loss: F8) -> None:
        """Write the untreated states of fires of the bank."""
        settled, counter = np.zeros(len(which), np.int64), np.zeros(1, np.int64)
        fires = self._burning
        burning = Burning(fires.ignition[which], fires.weather[which], fires.duration_min[which])

        def work(worker: int) -> None:
            _kernels.solve_states(
                self.world,
                self.world.closed,
                self.world.open_dirs,
                burning,
                arrival,
                parent,
                loss,
                settled,
                counter,
                self._scratch[worker],
            )

        parallel.run_threads(work, self._workers)
        self.cells_solved += int(settled.sum())

    def reset(self, episode: int, which: I8) -> None:
        """Start an episode anew: no breaks, and the bank's fires `which` (S,)."""
        if self._base is None:
            self._solve(which, self._arrival[episode], self._parent[episode], self._loss[episode])
        else:
            arrival, parent, loss = self._base
            np.take(arrival, which, axis=0, out=self._arrival[episode])
            np.take(parent, which, axis=0, out=self._parent[episode])
            np.take(loss, which, out=self._loss[episode])
        self._closed[episode], self._open_dirs[episode] = self.world.closed, self.world.open_dirs
        self._ignition[episode], self._weather[episode] = self._burning.ignition[which], self._burning.weather[which]
        self._duration[episode], self._weight[episode] = self._burning.duration_min[which], self.fires.weight[which]

    def treat(self, cells: I8) -> None:
        """Put a firebreak on cell `cells[e]` (flat; -1 for none) in each episode e and bring its fires up to date."""
        rows, cols = self.landscape.shape
        cells = np.asarray(cells)
        if cells.shape != (self.episodes,) or cells.dtype.kind != "i" or cells.min() < -1 or cells.max() >= rows * cols:
            raise InputError(
                f"treat: give one flat cell from 0 to {rows * cols - 1}, or -1 for none, for each of "
                f"{self.episodes} episodes, not {cells}"
            )
        padded = np.where(cells >= 0, _padded_cell(np.maximum(cells, 0), cols), -1)
        for e in np.flatnonzero(padded >= 0):
            for shut, bits in zip(self._closed[e], self._open_dirs[e], strict=True):
                _kernels.close_cell(shut, bits, padded[e], self.world.width)
        counter = np.zeros(1, np.int64)
        before = int(self._settled.sum())

        def work(worker: int) -> None:
            _kernels.repair_states(
                self.world,
                self._closed,
                self._open_dirs,
                padded,
                self._ignition,
                self._weather,
                self._duration,
                self._arrival,
                self._parent,
                self._loss,
                self._settled,
                counter,
                self._scratch[worker],
            )

        parallel.run_threads(work, self._workers)
        self.cells_solved += int(self._settled.sum()) - before

    def losses(self) -> F8:
        """Expected loss of each episode (E,): the weighted mean over its fires."""
        return np.asarray((self._loss * self._weight).sum(axis=1) / self._weight.sum(axis=1))

    def planes(self) -> F8:
        """Means over each episode's fires (E, 7, H, W) f8, in the order of `PLANE_NAMES`."""
        counter = np.zeros(1, np.int64)

        def work(worker: int) -> None:
            _kernels.sum_planes(
                self.world,
                self._weight,
                self._duration,
                self._arrival,
                self._parent,
                self._planes,
                counter,
                self._scratch[worker],
            )

        parallel.run_threads(work, self._workers)
        planes = (
            _cropped(self._planes.sum(axis=1), self.landscape.shape) / self._weight.sum(axis=1)[:, None, None, None]
        )
        planes[:, 2:] /= 1024.0
        return np.asarray(planes)

    def arrival_min(self, episode: int, fire: int) -> F4:
        """Arrival time of one fire of an episode, min (H, W) f4, infinity where unburned."""
        return _cropped(self._arrival[episode, fire], self.landscape.shape)


PLANE_NAMES = (
    "burn_probability",  # share of the fires that burn the cell
    "downstream_value",  # mean value that burns through the cell, the cell included (downstream protection value)
    "earliness",  # mean of 1 - arrival / duration, 0 where unburned
    "toward_north",  # mean of how far north fire was heading as it entered, 0 to 1
    "toward_east",
    "toward_south",
    "toward_west",
)
