"""How far the fire-spread grids are from what they stand for: burned area, shape and arrival times.

Two judges. On a homogeneous landscape the truth is an ellipse and what a grid burns is the hull of `step / minutes`: a
closed form (`calibrate_stencil.hull_reach`). On a mixed landscape the truth is a semi-Lagrangian solve on a grid 4
times finer (`reference`): each fine cell takes the best of all points on the lines between adjacent ring neighbors.

The grids are solved here by a plain heap in float64 (`arrival_times`), not by the product's kernels: arrival times do
not depend on the queue, so they are the same to rounding. The corrections are the product's, `spread.corrected_fields`.

    python benchmarks/accuracy.py          scores and docs/images/accuracy.png, about 3 minutes of CPU time
    python benchmarks/accuracy.py --more   scores on 189 landscapes instead, about 5 minutes
    python benchmarks/accuracy.py --plans  the loss that plans avoid, by grid and by reference, about 3 minutes
    python benchmarks/accuracy.py --fit    the two numbers per stencil in spread.py, about 3 minutes
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from calibrate_stencil import eccentricity, ellipse_reach, hull_reach
from numba import njit
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from fuelbreak.behavior import fire_behavior
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.planners import random, sequential_dpv, static_dpv
from fuelbreak.scenarios import Fires, Weather, fire_season
from fuelbreak.spread import (
    MIXED_STRENGTH,
    SLOWER_GAIN,
    corrected_fields,
    exact_value,
    homogeneous_correction,
    settle_buffer,
    spread,
)

F8 = npt.NDArray[np.float64]

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "accuracy.png"
PAD = 3
BALL_CELLS = 8  # the reference's start, see `reference`
BALL_FINER = 4
SIDES_AND_CORNERS = [(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]
KNIGHTS = [(-2, 1), (-1, 2), (1, 2), (2, 1), (2, -1), (1, -2), (-1, -2), (-2, -1)]
ONE_THREE = [(-3, 1), (-1, 3), (1, 3), (3, 1), (3, -1), (1, -3), (-1, -3), (-3, -1)]
TWO_THREE = [(-3, 2), (-2, 3), (2, 3), (3, 2), (3, -2), (2, -3), (-2, -3), (-3, -2)]
STEPS = np.array(SIDES_AND_CORNERS + KNIGHTS + ONE_THREE + TWO_THREE)


def crossed_cells(row: int, col: int) -> tuple[list[tuple[int, int, float]], list[tuple[int, int]]]:
    """Cells that a step crosses, each with its share of the length, and the two cells beside a corner it passes."""
    half = Fraction(1, 2)
    cuts = {Fraction(0), Fraction(1)}
    cuts |= {t for extent in (row, col) if extent for n in range(-3, 3) if 0 < (t := (n + half) / extent) < 1}
    ordered = sorted(cuts)
    cells = []
    for start, end in pairwise(ordered):
        middle = (start + end) / 2
        cells.append((int((row * middle + half) // 1), int((col * middle + half) // 1), float(end - start)))
    flanks = []
    for t in ordered[1:-1]:
        r, c = row * t - half, col * t - half
        if r.denominator == 1 and c.denominator == 1:
            around = {(int(r) + i, int(c) + j) for i in (0, 1) for j in (0, 1)}
            flanks += sorted(around - {cell[:2] for cell in cells})
    return cells, flanks


_CROSSED = [crossed_cells(int(r), int(c)) for r, c in STEPS]
CROSS = np.zeros((32, 6, 2), np.int64)
SHARE = np.zeros((32, 6))
FLANK = np.zeros((32, 2, 2), np.int64)
HAS_FLANK = np.array([bool(flanks) for _, flanks in _CROSSED])
for _k, (_cells, _flanks) in enumerate(_CROSSED):
    for _i, (_r, _c, _share) in enumerate(_cells):
        CROSS[_k, _i], SHARE[_k, _i] = (_r, _c), _share
    if _flanks:
        FLANK[_k] = _flanks
EAST, NORTH = STEPS[:, 1].astype(float), -STEPS[:, 0].astype(float)
LENGTH = np.hypot(EAST, NORTH)


@njit(cache=True)
def open_directions(closed, width, directions):
    """One bit for each direction in which fire may leave a cell (C,): no crossed cell closed, no sealed corner."""
    bits = np.zeros(len(closed), np.uint32)
    edge = PAD * width + PAD
    for cell in range(edge, len(closed) - edge):
        if closed[cell]:
            continue
        for k in range(directions):
            shut = False
            for i in range(6):
                if SHARE[k, i] > 0 and closed[cell + CROSS[k, i, 0] * width + CROSS[k, i, 1]]:
                    shut = True
            if HAS_FLANK[k]:
                one = closed[cell + FLANK[k, 0, 0] * width + FLANK[k, 0, 1]]
                two = closed[cell + FLANK[k, 1, 0] * width + FLANK[k, 1, 1]]
                shut = shut or (one and two)
            if not shut:
                bits[cell] |= np.uint32(1) << np.uint32(k)
    return bits


@njit(cache=True)
def push(keys, cells, size, key, cell):
    """Put an entry on a binary heap of `size` entries."""
    hole = size
    while hole > 0 and keys[(hole - 1) // 2] > key:
        keys[hole], cells[hole] = keys[(hole - 1) // 2], cells[(hole - 1) // 2]
        hole = (hole - 1) // 2
    keys[hole], cells[hole] = key, cell


@njit(cache=True)
def drop_first(keys, cells, size):
    """Take the first entry off a binary heap of `size` entries."""
    key, cell = keys[size - 1], cells[size - 1]
    hole = 0
    while 2 * hole + 1 < size - 1:
        child = 2 * hole + 1
        if child + 1 < size - 1 and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[hole], cells[hole] = keys[child], cells[child]
        hole = child
    keys[hole], cells[hole] = key, cell


@njit(cache=True)
def edge(field, cell, k, width):
    """Mean A along the edge from `cell` in direction k, and the integral of B.v over it."""
    a = east = north = 0.0
    for i in range(6):
        share = SHARE[k, i]
        if share > 0:
            at = cell + CROSS[k, i, 0] * width + CROSS[k, i, 1]
            a += share * field[at, 0]
            east += share * field[at, 1]
            north += share * field[at, 2]
    return a, east * EAST[k] + north * NORTH[k]


@njit(cache=True)
def solve(field, bits, width, arrival, directions, ring, limit):
    """Lower `arrival` (C,) to its fixed point from its finite entries; returns how often a cell was expanded.

    ring : directions in order of angle for the two-point update, or empty for edges alone
    """
    two_point = len(ring) > 0
    place = np.zeros(32, np.int64)
    for i in range(len(ring)):
        place[ring[i]] = i
    room = 1024 + len(arrival)
    keys, cells = np.empty(room), np.empty(room, np.int64)
    size = pops = 0
    for cell in range(len(arrival)):
        if arrival[cell] < np.inf:
            push(keys, cells, size, arrival[cell], cell)
            size += 1
    while size > 0:
        time, cell = keys[0], cells[0]
        drop_first(keys, cells, size)
        size -= 1
        if time != arrival[cell]:
            continue
        pops += 1
        for k in range(directions):
            if (bits[cell] >> np.uint32(k)) & np.uint32(1) == 0:
                continue
            end = cell + STEPS[k, 0] * width + STEPS[k, 1]
            if arrival[end] < time and not two_point:
                continue
            a, gain = edge(field, cell, k, width)
            best = time + a * LENGTH[k] - gain
            if two_point:
                for side in (-1, 1):
                    m = ring[(place[k] + side) % len(ring)]
                    other = end - STEPS[m, 0] * width - STEPS[m, 1]
                    if other < 0 or other >= len(arrival) or arrival[other] == np.inf:
                        continue
                    if (bits[other] >> np.uint32(m)) & np.uint32(1) == 0:
                        continue
                    a_other, gain_other = edge(field, other, m, width)
                    # Along the line from `other` to `cell`: f(s) = rise * s + a * sqrt(h^2 + s^2), s from the foot.
                    dx, dy = EAST[k] - EAST[m], NORTH[k] - NORTH[m]
                    span = np.sqrt(dx * dx + dy * dy)
                    h = abs(EAST[m] * NORTH[k] - EAST[k] * NORTH[m]) / span
                    start = (EAST[m] * dx + NORTH[m] * dy) / span
                    low, high = arrival[other] - gain_other, time - gain
                    rise, mean = (high - low) / span, 0.5 * (a + a_other)
                    if abs(rise) >= mean:
                        continue
                    s = -rise * h / np.sqrt(mean * mean - rise * rise)
                    share = (s - start) / span
                    if share <= 0 or share >= 1:
                        continue
                    slowness = share * a + (1 - share) * a_other
                    new = share * high + (1 - share) * low + slowness * np.sqrt(h * h + s * s)
                    best = min(best, new)
            if best < arrival[end] - 1e-9 and best <= limit:
                arrival[end] = best
                if size == len(keys):
                    keys, cells = np.append(keys, np.empty(size)), np.append(cells, np.empty(size, np.int64))
                push(keys, cells, size, best, end)
                size += 1
    return pops


def slowness_field(rate, length_to_width, heading_deg):
    """A, Bx, By of each cell (..., 3), min per cell, from head rate in cells per min, shape and heading."""
    e = np.sqrt(length_to_width**2 - 1) / length_to_width
    a = 1 / (rate * (1 - e))
    heading = np.deg2rad(heading_deg)
    return np.stack([a, a * e * np.sin(heading), a * e * np.cos(heading)], axis=-1)


def _ring(directions):
    return np.array(sorted(range(directions), key=lambda k: np.arctan2(EAST[k], NORTH[k])))


def _solved(field, closed, first, directions, ring, limit):
    """Arrival (H, W) from `first` (H, W), the times known at the start; pads and crops."""
    rows, cols = closed.shape
    padded = np.zeros((rows + 2 * PAD, cols + 2 * PAD, 3))
    padded[PAD:-PAD, PAD:-PAD] = field
    shut = np.pad(closed, PAD, constant_values=True).ravel()
    arrival = np.pad(first, PAD, constant_values=np.inf).ravel()
    width = cols + 2 * PAD
    bits = open_directions(shut, width, directions)
    pops = solve(padded.reshape(-1, 3), bits, width, arrival, directions, ring, limit)
    return arrival.reshape(rows + 2 * PAD, width)[PAD:-PAD, PAD:-PAD], pops


def arrival_times(field, closed, ignition, directions, *, two_point=False, limit=np.inf):
    """Minutes from the ignition to each cell (H, W) on a grid of 8, 16 or 32 directions, inf where not reached."""
    first = np.full(closed.shape, np.inf)
    first[ignition] = 0.0
    ring = _ring(directions) if two_point else np.empty(0, np.int64)
    return _solved(field, closed, first, directions, ring, limit)[0]


def reference(field, closed, ignition, *, times=4, limit=np.inf):
    """Semi-Lagrangian arrival times on a grid `times` finer, (H * times, W * times), minutes.

    A point source costs a grid most of its error in the first cells, so the fire starts as a ball: the exact ellipse in
    the ignition cell, solved on a grid `BALL_FINER` times finer still until it is `BALL_CELLS` cells long.
    """
    rows, cols = closed.shape
    low = np.maximum(np.array(ignition) - BALL_CELLS, 0)
    high = np.minimum(np.array(ignition) + BALL_CELLS + 1, (rows, cols))
    near = np.s_[low[0] : high[0], low[1] : high[1]]
    at = (ignition[0] - low[0], ignition[1] - low[1])
    finer = times * BALL_FINER
    ball = _semi_lagrangian(field[near], closed[near], _ellipse(field[near], at, finer), finer, limit)
    inside = np.zeros(ball.shape, bool)
    inside[2 * finer : -2 * finer, 2 * finer : -2 * finer] = True
    ball[ball > ball[~inside].min()] = np.inf
    # The center of a fine cell is a corner of the ball's cells: the mean of the four around it.
    half = BALL_FINER // 2
    fine_rows, fine_cols = ball.shape[0] // BALL_FINER, ball.shape[1] // BALL_FINER
    blocks = ball.reshape(fine_rows, BALL_FINER, fine_cols, BALL_FINER)
    middle = blocks[:, half - 1 : half + 1, :, half - 1 : half + 1].mean(axis=(1, 3))
    first = np.full((rows * times, cols * times), np.inf)
    first[low[0] * times : high[0] * times, low[1] * times : high[1] * times] = middle
    return _semi_lagrangian(field, closed, first, times, limit)


def _ellipse(field, ignition, times):
    """Exact arrival times in the fine cells of the ignition cell (H * times, W * times), inf elsewhere."""
    first = np.full((field.shape[0] * times, field.shape[1] * times), np.inf)
    along = (np.arange(times) + 0.5) / times - 0.5
    north, east = -along[:, None], along[None, :]
    a, bx, by = field[ignition]
    row, col = ignition[0] * times, ignition[1] * times
    first[row : row + times, col : col + times] = a * np.hypot(north, east) - bx * east - by * north
    return first


def _semi_lagrangian(field, closed, first, times, limit):
    fine = np.repeat(np.repeat(field / times, times, axis=0), times, axis=1)
    shut = np.repeat(np.repeat(closed, times, axis=0), times, axis=1)
    return _solved(fine, shut, first, 32, _ring(32), limit)[0]


# ---------------------------------------------------------------------------------------------------------------------
# Landscapes: head rate (cells per min), length-to-width, heading (degrees) and closed cells, each (H, W).

SIZE = 150
NONBURNABLE = 0.03


class Mixed(NamedTuple):
    """A landscape of known fire behavior in each cell; (H, W) arrays."""

    name: str
    rate: F8
    length_to_width: F8
    heading_deg: F8
    closed: npt.NDArray[np.bool_]


def noise(rng: np.random.Generator, cells: float) -> F8:
    """Correlated standard normal noise (SIZE, SIZE); `cells` is the smoothing's standard deviation."""
    rough = rng.standard_normal((SIZE, SIZE))
    smooth = gaussian_filter(rough, cells, mode="wrap") if cells > 0 else rough
    return np.asarray((smooth - smooth.mean()) / smooth.std())


def some_closed(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """3 % nonburnable cells in small clumps."""
    clumps = noise(rng, rng.uniform(0, 1.5))
    return np.asarray(clumps > np.quantile(clumps, 1 - NONBURNABLE))


def drawn_shape(normal: F8) -> F8:
    """Length-to-width from a standard normal: median 2.5, 1.4 to 5.7."""
    return np.asarray(np.clip(1 + 1.5 * np.exp(0.5 * normal), 1.4, 5.7))


def lognormal(rng: np.random.Generator) -> tuple[F8, F8, F8]:
    """Correlated log-normal rates; shape and heading vary on their own."""
    cells = rng.uniform(1.5, 8)
    rate = np.exp(rng.uniform(0.4, 0.9) * noise(rng, cells))
    shape = drawn_shape(noise(rng, cells))
    return rate, shape, rng.uniform(0, 360) + 25 * noise(rng, rng.uniform(4, 10))


def patchwork(rng: np.random.Generator) -> tuple[F8, F8, F8]:
    """Patches of six fuels with sharp edges, 5 to 15 cells wide; one wind, or one that turns over the land."""
    patches = int(SIZE**2 / rng.uniform(5, 15) ** 2)
    centers = rng.uniform(0, SIZE, (patches, 2))
    where = np.stack(np.mgrid[:SIZE, :SIZE], axis=-1).reshape(-1, 2)
    fuel = rng.integers(0, 6, patches)[cKDTree(centers).query(where)[1]].reshape(SIZE, SIZE)
    rate = rng.permutation(np.geomspace(0.2, 2.0, 6))[fuel]
    shape = drawn_shape(rng.permutation(np.linspace(-1.4, 1.4, 6)))[fuel]
    turning = rng.choice([0.0, 10.0])
    return rate, shape, rng.uniform(0, 360) + turning * (rng.standard_normal(6)[fuel] + noise(rng, 8))


def terrain(rng: np.random.Generator) -> tuple[F8, F8, F8]:
    """Wind and slope added as vectors over smooth hills; rate and shape follow from their sum."""
    height = noise(rng, rng.uniform(6, 14))
    north, east = np.gradient(height)
    slope = rng.uniform(2, 5) / np.hypot(north, east).mean()
    wind, to = rng.uniform(3, 7), rng.uniform(0, 2 * np.pi)
    push_east, push_north = wind * np.sin(to) + slope * east, wind * np.cos(to) - slope * north
    factor = np.hypot(push_east, push_north)
    rate = 0.2 * np.exp(0.3 * noise(rng, 3)) * (1 + factor)
    return rate, np.clip(1.1 + 0.3 * factor, 1.1, 5.7), np.rad2deg(np.arctan2(push_east, push_north))


def speckle(rng: np.random.Generator) -> tuple[F8, F8, F8]:
    """Every cell on its own: rates and shapes without any correlation, one wind."""
    rate = np.exp(0.6 * noise(rng, 0))
    return rate, drawn_shape(noise(rng, 0)), rng.uniform(0, 360) + 10 * noise(rng, 10)


def calm_plain(rng: np.random.Generator) -> tuple[F8, F8, F8]:
    """Nearly homogeneous: rates vary by up to 15 % and headings by 5 degrees over long distances, one shape."""
    rate = np.exp(rng.uniform(0.02, 0.15) * noise(rng, 15))
    shape = np.full((SIZE, SIZE), rng.uniform(1.5, 4.0))
    return rate, shape, rng.uniform(0, 360) + rng.uniform(0, 5) * noise(rng, 15)


KINDS = {"lognormal": lognormal, "patchwork": patchwork, "terrain": terrain, "speckle": speckle, "plain": calm_plain}


def drawn(kind: str, seed: int) -> Mixed:
    """One landscape of a kind."""
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    rate, shape, heading = KINDS[kind](rng)
    return Mixed(f"{kind} {seed}", rate, shape, heading % 360, some_closed(rng))


def from_behavior(name: str, landscape: Landscape, weather: Weather) -> Mixed:
    """What the product's fire behavior makes of a landscape."""
    behavior = fire_behavior(landscape, weather)
    closed = behavior.spread_rate_m_min <= 0
    rate = np.where(closed, 1.0, behavior.spread_rate_m_min).astype(float) / landscape.cell_size_m
    return Mixed(
        name,
        rate,
        np.maximum(behavior.length_to_width.astype(float), 1.0),
        behavior.spread_direction_deg.astype(float),
        closed,
    )


def demo(seed: int) -> Mixed:
    """A demo landscape in one weather."""
    rng = np.random.default_rng([seed, 99])
    weather = Weather(wind_speed_kmh=rng.uniform(20, 60), wind_from_deg=rng.uniform(0, 360))
    return from_behavior(f"demo {seed}", Landscape.demo(SIZE, SIZE, seed=seed), weather)


def montana(number: int) -> Mixed | None:
    """A window of the real landscape in one weather; None where the file is absent."""
    root = Path(os.environ.get("FUELBREAK_SHARED", Path(__file__).parents[2] / "shared"))
    path = root / "data" / "landfire_montana" / "landscape_8band.tif"
    if not path.is_file():
        return None
    rng = np.random.default_rng([number, 98])
    window = (20 + 165 * (number // 3), 10 + 165 * (number % 3), SIZE, SIZE)
    weather = Weather(wind_speed_kmh=rng.uniform(25, 70), wind_from_deg=rng.uniform(0, 360))
    return from_behavior(f"montana {number}", Landscape.open(path, window=window), weather)


# ---------------------------------------------------------------------------------------------------------------------
# Fires, their references, and what a grid makes of them.


class Burned(NamedTuple):
    """One fire and its reference: duration, area (cells), share burned and arrival of each cell (H, W)."""

    ignition: tuple[int, int]
    minutes: float
    area: float
    share: F8
    arrival: F8


def slowness_of(land: Mixed) -> F8:
    """The uncorrected field of a landscape (H, W, 3)."""
    return slowness_field(land.rate, land.length_to_width, land.heading_deg)


def corrected(land: Mixed, stencil: int, strength: float | None = None, gain: float | None = None) -> F8:
    """The product's field (H, W, 3)."""
    rate = np.where(land.closed, 0.0, land.rate)
    field = corrected_fields(
        rate, land.length_to_width, land.heading_deg, stencil=stencil, strength=strength, gain=gain
    )
    return np.where(land.closed[..., None], 1.0, field).astype(float)


def scaled(land: Mixed, stencil: int, strength: float) -> F8:
    """The field with the same share of the homogeneous correction everywhere (H, W, 3)."""
    log_rate, log_rear = homogeneous_correction(land.length_to_width, land.heading_deg, stencil)
    shape = land.length_to_width
    rear = np.minimum((1 - np.sqrt(shape**2 - 1) / shape) * np.exp(strength * log_rear), 1.0)
    e = 1 - rear
    return slowness_field(land.rate * np.exp(strength * log_rate), 1 / np.sqrt(1 - e**2), land.heading_deg)


def burn_references(land: Mixed, seed: Sequence[int], *, fires: int = 4) -> list[Burned]:
    """Fires of 500 to 2500 cells in the middle of a landscape with their references."""
    rng = np.random.default_rng(seed)
    field = slowness_of(land)
    heading = np.deg2rad(land.heading_deg[~land.closed])
    north, east = np.cos(heading).mean(), np.sin(heading).mean()
    upwind = SIZE / 2 + 0.2 * SIZE * np.array([north, -east]) / np.hypot(north, east)
    edge = np.ones(land.closed.shape, bool)
    edge[12:-12, 12:-12] = False
    found: list[Burned] = []
    for _ in range(60):
        if len(found) == fires:
            break
        row, col = np.clip(np.rint(upwind + rng.uniform(-25, 25, 2)), 16, SIZE - 17).astype(int).tolist()
        wanted = int(np.exp(rng.uniform(*np.log((500, 2500)))))
        if land.closed[row, col]:
            continue
        rough = arrival_times(field, land.closed, (row, col), 32)
        minutes = min(np.sort(rough.ravel())[wanted], rough[edge].min())
        if not np.isfinite(minutes) or (rough <= minutes).sum() < 350:
            continue
        times = reference(field, land.closed, (row, col), limit=minutes)
        blocks = times.reshape(SIZE, 4, SIZE, 4)
        share = (blocks <= minutes).mean(axis=(1, 3))
        if share[[0, -1]].any() or share[:, [0, -1]].any():
            continue
        found.append(
            Burned(
                (row, col),
                float(minutes),
                float(share.sum()),
                share,
                blocks[:, 1:3, :, 1:3].mean(axis=(1, 3)),
            )
        )
    return found


class Score(NamedTuple):
    """What a grid makes of the fires of a landscape, in percent: of the area, of the area, of the fire's duration."""

    area: float
    difference: float
    arrival: float
    each_area: list[float]


def score(land: Mixed, fires: list[Burned], field: F8, stencil: int, *, two_point: bool = False) -> Score:
    """Area error and symmetric difference summed over the fires, arrival RMSE averaged over them."""
    burned, different, rms, each = 0.0, 0.0, [], []
    for fire in fires:
        arrival = arrival_times(
            field, land.closed, fire.ignition, stencil, two_point=two_point, limit=1.5 * fire.minutes
        )
        mine = arrival <= fire.minutes
        burned += mine.sum()
        different += np.abs(mine - fire.share).sum()
        both = np.isfinite(arrival) & (fire.arrival <= fire.minutes)
        late = arrival[both] - fire.arrival[both]
        rms.append(100 * np.sqrt((late**2).mean()) / fire.minutes)
        each.append(100 * (mine.sum() / fire.area - 1))
    area = sum(fire.area for fire in fires)
    return Score(100 * (burned / area - 1), 100 * different / area, float(np.mean(rms)), each)


def fit_landscapes() -> list[Mixed]:
    """What the corrections' strengths are chosen on."""
    made = [drawn(kind, seed) for kind in ("lognormal", "patchwork", "terrain", "plain") for seed in range(1, 7)]
    return made + [demo(seed) for seed in range(1, 7)]


def score_landscapes() -> list[Mixed]:
    """What they are judged on: other seeds of those kinds, uncorrelated rates, and real terrain, fuels and weather."""
    made = [drawn(kind, seed) for kind in ("lognormal", "patchwork", "terrain", "plain") for seed in range(201, 206)]
    made += [drawn("speckle", seed) for seed in range(201, 204)] + [demo(seed) for seed in range(201, 206)]
    return made + real_landscapes()


def more_landscapes() -> list[Mixed]:
    """Thirty of each kind with other seeds again, and the real ones, which get other fires: how often a grid errs."""
    made = [drawn(kind, seed) for kind in ("lognormal", "patchwork", "terrain", "plain") for seed in range(301, 331)]
    made += [drawn("speckle", seed) for seed in range(301, 331)] + [demo(seed) for seed in range(301, 331)]
    return made + real_landscapes()


def real_landscapes() -> list[Mixed]:
    """Nine windows of the real landscape; none where its file is absent."""
    return [land for number in range(9) if (land := montana(number)) is not None]


def fit() -> None:
    """Choose strength and gain of each stencil by the areas burned on the fit landscapes."""
    lands = fit_landscapes()
    fires = [burn_references(land, [i, 7]) for i, land in enumerate(lands)]

    def badness(stencil: int, strength: float, gain: float) -> float:
        total = 0.0
        for land, some in zip(lands, fires, strict=True):
            field = corrected(land, stencil, strength, gain)
            burned = [
                (arrival_times(field, land.closed, f.ignition, stencil, limit=f.minutes) <= f.minutes).sum()
                for f in some
            ]
            areas = [f.area for f in some]
            total += np.log(sum(burned) / sum(areas)) ** 2 + 0.25 * np.mean(np.log(np.array(burned) / areas) ** 2)
        return total / len(lands)

    for stencil in (8, 16, 32):
        best = minimize(
            lambda x, stencil=stencil: badness(stencil, *x),
            [0.65, 0.4],
            method="Nelder-Mead",
            options={
                "maxfev": 40,
                "xatol": 0.005,
                "fatol": 1e-6,
                "initial_simplex": [[0.65, 0.4], [0.85, 0.4], [0.65, 0.6]],
            },
        )
        print(
            f"stencil {stencil}: strength {best.x[0]:.3f}, gain {best.x[1]:.3f}, badness {1e4 * best.fun:.1f}",
            flush=True,
        )


def schemes(land: Mixed) -> dict[str, tuple[F8, int, bool]]:
    """Field, directions and whether two-point, of everything that is compared."""
    raw = slowness_of(land)
    return {
        "16 raw": (raw, 16, False),
        "16 all of it": (scaled(land, 16, 1.0), 16, False),
        "16 x 0.7": (scaled(land, 16, 0.7), 16, False),
        "16": (corrected(land, 16), 16, False),
        "32 raw": (raw, 32, False),
        "32 all of it": (scaled(land, 32, 1.0), 32, False),
        "32 x 0.85": (scaled(land, 32, 0.85), 32, False),
        "32": (corrected(land, 32), 32, False),
        "16 two-point": (raw, 16, True),
        "32 two-point": (raw, 32, True),
    }


def summary(scores: Sequence[Score]) -> str:
    """One line on the scores of several landscapes."""
    area = np.array([one.area for one in scores])
    fire = np.concatenate([one.each_area for one in scores])
    return (
        f"area {area.mean():+6.2f} % [{area.min():+6.1f}, {area.max():+6.1f}]  sd {area.std():4.1f}  "
        f"beyond 8 %: {(np.abs(area) > 8).sum()}, 12 %: {(np.abs(area) > 12).sum()}  "
        f"single fires [{fire.min():+6.1f}, {fire.max():+6.1f}]  "
        f"difference {np.mean([one.difference for one in scores]):4.1f} %  "
        f"arrival RMSE {np.mean([one.arrival for one in scores]):4.2f} %"
    )


def judge(name: str, lands: list[Mixed], offset: int) -> tuple[list[str], dict[str, list[Score]]]:
    """Score every scheme on every landscape and print the table."""
    print(f"\n{name}: area error, symmetric difference (% of area), arrival RMSE (% of duration), against 4x")
    kinds, results, cpu, burned = [], {}, {}, 0.0
    for i, land in enumerate(lands):
        fires = burn_references(land, [offset + i, 7])
        if not fires:
            print(f"{land.name:14s} no fire of 350 cells fits")
            continue
        kinds.append(land.name.split()[0])
        burned += sum(fire.area for fire in fires)
        for scheme, (field, stencil, two_point) in schemes(land).items():
            start = time.process_time()
            results.setdefault(scheme, []).append(score(land, fires, field, stencil, two_point=two_point))
            cpu[scheme] = cpu.get(scheme, 0.0) + time.process_time() - start
        shape = np.average(land.length_to_width, weights=sum(fire.share for fire in fires))
        row = "   ".join(
            f"{scheme}: {one.area:+6.1f} {one.difference:5.1f} {one.arrival:5.2f}"
            for scheme in ("16", "32")
            for one in results[scheme][-1:]
        )
        print(
            f"{land.name:14s} {len(fires)} fires, {burned_cells(fires):5.0f} cells, L/W {shape:.2f}   {row}", flush=True
        )
    for scheme, scores in results.items():
        print(f"{scheme:13s} {summary(scores)}  CPU {1e9 * cpu[scheme] / burned:5.0f} ns/cell")
        for kind in dict.fromkeys(kinds):
            of_kind = [one for one, its in zip(scores, kinds, strict=True) if its == kind]
            if scheme in ("16", "32"):
                print(f"    {kind:10s} {summary(of_kind)}")
    return kinds, results


def burned_cells(fires: list[Burned]) -> float:
    """Mean area of the fires, cells."""
    return float(np.mean([fire.area for fire in fires]))


def homogeneous_error(length_to_width: float, stencil: int, strength: float = 1.0, angles: int = 46) -> tuple[F8, F8]:
    """Area error and symmetric difference (%) on a homogeneous landscape, by angle from 0 to 45 degrees (angles,)."""
    angle = np.linspace(0, 45, angles)
    shape = np.full(angles, float(length_to_width))
    log_rate, log_rear = (strength * part for part in homogeneous_correction(shape, angle, stencil))
    e = eccentricity(length_to_width)
    error, difference = np.empty(angles), np.empty(angles)
    for i, heading in enumerate(np.deg2rad(angle)):
        rear = min((1 - e) * np.exp(log_rear[i]), 1.0)
        squares = hull_reach(np.exp(log_rate[i]), 1 - rear, heading, stencil) ** 2
        wanted = ellipse_reach(e, heading) ** 2
        error[i] = 100 * (squares.sum() / wanted.sum() - 1)
        difference[i] = 100 * np.abs(squares - wanted).sum() / wanted.sum()
    return error, difference


def judge_homogeneous() -> None:
    """Print the closed form's errors by length-to-width."""
    print(
        "\nhomogeneous: area error by length-to-width, mean over angle [worst angle]; symmetric difference mean, worst"
    )
    for shape in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0):
        row = []
        for stencil in (16, 32):
            error, difference = homogeneous_error(shape, stencil, angles=37)
            worst = error[np.abs(error).argmax()]
            row.append(f"{error.mean():+5.2f} [{worst:+5.2f}] {difference.mean():5.1f} {difference.max():5.1f}")
        print(f"L/W {shape:3.1f}   16: {row[0]}   32: {row[1]}", flush=True)


def draw(path: Path, kinds: list[str], results: dict[str, list[Score]]) -> None:
    """Draw the score landscapes' area errors by scheme, and the homogeneous error by length-to-width."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.2), width_ratios=(1.7, 1), layout="constrained")
    colors = {kind: f"C{i}" for i, kind in enumerate(dict.fromkeys(kinds))}
    for x, scores in enumerate(results.values()):
        scatter = np.random.default_rng(x).uniform(-0.28, 0.28, len(scores))
        area = np.array([one.area for one in scores])
        left.scatter(x + scatter, area, s=22, c=[colors[kind] for kind in kinds], alpha=0.85, linewidths=0)
        left.hlines(area.mean(), x - 0.38, x + 0.38, color="black", lw=2)
    for kind, color in colors.items():
        left.scatter([], [], c=color, s=22, label=kind)
    left.axhspan(-8, 8, color="0.92", zorder=0)
    left.axhline(0, color="0.4", lw=0.8, zorder=1)
    left.set_xticks(
        range(len(results)),
        [name.replace(" ", "\n", 1).replace("-", "\n") if " " in name else f"{name}\nas used" for name in results],
    )
    left.set_ylabel("area error on a landscape, %")
    left.set_title("Mixed landscapes that nothing was fitted on\n(black: mean; gray: within 8 %)", fontsize=10)
    left.set_ylim(top=30)
    left.legend(fontsize=8, ncols=4, loc="upper right")
    shapes = np.linspace(1, 6, 26)
    lines = ((16, 0.0, "C1", ":"), (16, 0.7, "C1", "--"), (16, 1.0, "C1", "-"))
    lines += ((32, 0.0, "C0", ":"), (32, 0.85, "C0", "--"), (32, 1.0, "C0", "-"))
    for stencil, strength, color, style in lines:
        errors = [homogeneous_error(shape, stencil, strength, angles=10)[0] for shape in shapes]
        name = f"{stencil}" if strength == 1 else f"{stencil} raw" if strength == 0 else f"{stencil} x {strength}"
        right.plot(shapes, [error.mean() for error in errors], style, color=color, label=name)
        if strength == 1:
            right.fill_between(
                shapes, [e.min() for e in errors], [e.max() for e in errors], color=color, alpha=0.3, lw=0
            )
    right.axhline(0, color="0.4", lw=0.8)
    right.set_xlabel("length-to-width of the ellipse")
    right.set_ylabel("area error, mean over wind angle, %")
    right.set_title("Homogeneous landscapes\n(closed form; band: all wind angles)", fontsize=10)
    right.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def judge_reference(lands: list[Mixed]) -> None:
    """Say how far the 4x reference is from finer ones."""
    print("\nthe reference itself: area at 8x and 16x over area at 4x")
    for land in lands:
        field = slowness_of(land)
        for fire in burn_references(land, [0, 7], fires=2):
            change = []
            for times in (8, 16):
                burned = reference(field, land.closed, fire.ignition, times=times, limit=fire.minutes) <= fire.minutes
                change.append(100 * (burned.sum() / times**2 / fire.area - 1))
            print(f"{land.name:14s} {fire.area:5.0f} cells: {change[0]:+.1f} % {change[1]:+.1f} %", flush=True)


def judge_plans(fires: int = 200) -> None:
    """Print the loss that plans avoid on held-out fires, by grid and by the reference, with breaks in place."""
    season, duration = fire_season(), 60.0
    print(f"\nloss avoided by plans for 5 % of the cells, {fires} held-out fires of {duration:g} min, in percent")
    resample = np.random.default_rng(0).integers(0, fires, (2000, fires))
    for seed in range(3):
        land = settle_buffer(
            lambda cells, seed=seed: Landscape.demo(50, 50, seed, buffer_cells=cells), season, duration
        )
        planning = Fires.draw(land, 500, 0, weather=season, duration_min=duration)
        heldout = Fires.draw(land, fires, 0, purpose="heldout", weather=season, duration_min=duration)
        plans: dict[str, Plan | None] = {"no breaks": None}
        plans |= {rule.__name__: rule(land, planning, "5%") for rule in (random, static_dpv, sequential_dpv)}
        loss = {
            16: np.stack([spread(land, heldout, plan, stencil=16).loss for plan in plans.values()]),
            32: np.stack([spread(land, heldout, plan).loss for plan in plans.values()]),
            "reference": reference_losses(land, heldout, list(plans.values())),
        }
        avoided = {judge: 1 - of[:, resample].sum(axis=2) / of[0, resample].sum(axis=1) for judge, of in loss.items()}
        for judge, of in loss.items():
            share = 100 * of.sum(axis=1) / loss["reference"][0].sum()
            print(f"demo {seed}, {judge!s:9s}: untreated loss {share[0]:5.1f} % of the reference's; avoided", end="")
            for i, name in enumerate(plans):
                if i:
                    low, high = np.quantile(100 * (avoided[judge][i] - avoided["reference"][i]), [0.025, 0.975])
                    told = f" ({low:+.1f} to {high:+.1f} against the reference)" if judge != "reference" else ""
                    print(f"  {name} {100 * (1 - share[i] / share[0]):.1f}{told}", end="")
            print(flush=True)


def reference_losses(land: Landscape, fires: Fires, plans: Sequence[Plan | None]) -> F8:
    """Loss of each fire under each plan (plans, S) by the semi-Lagrangian solve."""
    mixed = [from_behavior("", land, weather) for weather in fires.weather]
    value, losses = exact_value(land), np.empty((len(plans), len(fires)))
    for s in range(len(fires)):
        at = mixed[int(fires.weather_index[s])]
        ignition = (int(fires.ignitions[s, 0]), int(fires.ignitions[s, 1]))
        for i, plan in enumerate(plans):
            closed = at.closed if plan is None else at.closed | plan.mask
            closed = closed.copy()
            closed[ignition] = False  # a treated ignition burns
            times = reference(slowness_of(at), closed, ignition, limit=float(fires.duration_min[s]))
            blocks = times.reshape(closed.shape[0], 4, closed.shape[1], 4)
            losses[i, s] = ((blocks <= fires.duration_min[s]).mean(axis=(1, 3)) * value).sum()
    return losses


def main() -> int:
    """Fit, or print the scores and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="choose strength and gain instead of judging them")
    parser.add_argument("--more", action="store_true", help="score on 189 landscapes, without the picture")
    parser.add_argument("--plans", action="store_true", help="judge plans by the grids and by the reference")
    parser.add_argument("--plot", type=Path, default=PICTURE, help="where the picture goes")
    options = parser.parse_args()
    if options.fit:
        fit()
    elif options.plans:
        judge_plans()
    elif options.more:
        judge("more", more_landscapes(), 5000)
    else:
        print(f"strength {MIXED_STRENGTH}, gain {SLOWER_GAIN}; solved by this script's heap in float64")
        judge_homogeneous()
        judge("fit", fit_landscapes(), 0)
        kinds, scored = judge("score", score_landscapes(), 1000)
        judge_reference([drawn("lognormal", 201), drawn("patchwork", 201), demo(201)])
        draw(options.plot, kinds, scored)
    print(f"{time.process_time():.0f} s of CPU time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
