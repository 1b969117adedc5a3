"""Slow, obvious twins of the compiled kernels, written from the rules and not from the code."""

from __future__ import annotations

import heapq
from fractions import Fraction
from itertools import pairwise

import numpy as np

# The moves of each stencil, as how many rows and columns they span.
SPANS = {8: ([0, 1], [1, 1])}
SPANS[16] = (*SPANS[8], [1, 2])
SPANS[32] = (*SPANS[16], [1, 3], [2, 3])
STEPS = {
    stencil: [(row, col) for row in range(-3, 4) for col in range(-3, 4) if sorted((abs(row), abs(col))) in spans]
    for stencil, spans in SPANS.items()
}


def crossed_cells(step: tuple[int, int]) -> tuple[list[tuple[int, int, Fraction]], list[tuple[tuple[int, int], ...]]]:
    """Cells that the straight line from the center of (0, 0) to the center of `step` crosses, with the share of its
    length in each, and for each cell corner that it passes exactly, the two cells beside it."""
    row, col = step
    half = Fraction(1, 2)
    cuts = {Fraction(0), Fraction(1)}
    for extent in (row, col):
        for line in range(-4, 4):
            if extent:
                t = (line + half) / Fraction(extent)
                if 0 < t < 1:
                    cuts.add(t)
    ordered = sorted(cuts)
    cells, corners = [], []
    for start, end in pairwise(ordered):
        middle = (start + end) / 2
        cells.append((round_half(row * middle), round_half(col * middle), end - start))
    for t in ordered[1:-1]:
        y, x = row * t, col * t
        if (y - half).denominator == 1 and (x - half).denominator == 1:
            around = [(int(y + dy * half), int(x + dx * half)) for dy in (-1, 1) for dx in (-1, 1)]
            on_line = {(r, c) for r, c, _ in cells}
            corners.append(tuple(cell for cell in around if cell not in on_line))
    return cells, corners


def round_half(x: Fraction) -> int:
    return int((x + Fraction(1, 2)).__floor__())


GEOMETRY = {step: crossed_cells(step) for step in STEPS[32]}


def neighbors(closed: np.ndarray, row: int, col: int, stencil: int):
    """Open edges out of a cell: (step, row, col, crossed cells) for each neighbor that fire can reach in one step."""
    rows, cols = closed.shape
    for step in STEPS[stencil]:
        cells, corners = GEOMETRY[step]
        r, c = row + step[0], col + step[1]
        if not (0 <= r < rows and 0 <= c < cols):
            continue
        if any(closed[row + dr, col + dc] for dr, dc, _ in cells):
            continue
        if any(all(closed[row + dr, col + dc] for dr, dc in flanks) for flanks in corners):
            continue
        yield step, r, c, [(row + dr, col + dc, share) for dr, dc, share in cells]


def edge_minutes(field: np.ndarray, step: tuple[int, int], crossed: list) -> np.float32:
    """Line integral of slowness A - B.d over the crossed cells, in float32, from the ends inward."""
    total = np.zeros(3, np.float32)
    for i in range(len(crossed) // 2):
        (row, col, share), (row2, col2, share2) = crossed[i], crossed[-1 - i]
        assert share == share2
        total = total + np.float32(float(share)) * (field[row, col] + field[row2, col2])
    length = np.float32(np.hypot(*step))
    east, north = np.float32(step[1]), np.float32(-step[0])
    return np.float32(np.float32(total[0] * length - total[1] * east) - total[2] * north)


def travel(minutes: list[np.float32], ends: list[float], start: np.float32) -> np.float32:
    """When one who leaves at `start` arrives, if the whole way takes minutes[p] at the pace up to ends[p]."""
    time, left = start, np.float32(1)
    for whole, end in zip(minutes, map(np.float32, ends), strict=True):
        if time >= end:
            continue
        if np.isfinite(whole):
            if time + left * whole <= end:
                return np.float32(time + left * whole)
            left = max(np.float32(left - (end - time) / whole), np.float32(0))
        time = end
    return np.float32(np.inf)


def arrival_times(
    fields: list[np.ndarray],
    closed: list[np.ndarray],
    ignition: tuple[int, int],
    duration: float,
    stencil: int = 16,
    ends: tuple[float, ...] = (np.inf,),
) -> np.ndarray:
    """Dijkstra over the grid: for each period fields (H, W, 3) f4, closed cells (H, W) bool and the minute it ends.

    Returns minutes (H, W) f4.
    """
    arrival = np.full(closed[0].shape, np.inf, np.float32)
    arrival[ignition] = 0
    queue = [(np.float32(0), ignition)]
    while queue:
        time, (row, col) = heapq.heappop(queue)
        if time > arrival[row, col]:
            continue
        minutes: dict[tuple[int, int], list[np.float32]] = {}
        for p, (field, shut) in enumerate(zip(fields, closed, strict=True)):
            for step, r, c, crossed in neighbors(shut, row, col, stencil):
                minutes.setdefault((r, c), [np.float32(np.inf)] * len(fields))[p] = edge_minutes(field, step, crossed)
        for (r, c), by_period in minutes.items():
            new = travel(by_period, list(ends), time)
            if new <= duration and new < arrival[r, c]:
                arrival[r, c] = new
                heapq.heappush(queue, (new, (r, c)))
    return arrival


def downstream_value(
    arrival: np.ndarray, parent_cell: dict, value: np.ndarray, ignition: tuple[int, int]
) -> np.ndarray:
    """Value that burned through each cell, by walking up from every burned cell; nothing for the ignition."""
    total = np.zeros(arrival.shape)
    for cell in zip(*np.nonzero(np.isfinite(arrival)), strict=True):
        here = tuple(map(int, cell))
        while here != ignition:
            total[here] += value[cell]
            here = parent_cell[here]
    return total


def corrected_fields(
    rate: np.ndarray, length_to_width: np.ndarray, heading_deg: np.ndarray, homogeneous, strength: float, gain: float,
    mixed_above: float = 0.02, heading_weight: float = 4.0,
) -> np.ndarray:  # fmt: skip
    """A, Bx, By of each cell (H, W, 3), cell by cell as docs/accuracy.md says it; closed where the rate is 0.

    homogeneous : the table's two changes for a length-to-width and a heading
    """
    rows, cols = rate.shape
    fields = np.empty((rows, cols, 3))

    def slowness(row: int, col: int) -> float:
        e = np.sqrt(length_to_width[row, col] ** 2 - 1) / length_to_width[row, col]
        return 1 / (rate[row, col] * (1 - e))

    for row in range(rows):
        for col in range(cols):
            if rate[row, col] == 0:
                fields[row, col] = np.inf, 0, 0
                continue
            near = [
                (r, c)
                for r in range(max(row - 3, 0), min(row + 4, rows))
                for c in range(max(col - 3, 0), min(col + 4, cols))
                if rate[r, c] > 0
            ]
            turned = np.deg2rad([heading_deg[at] for at in near])
            turning = np.sin(turned).var() + np.cos(turned).var()
            spread = np.sqrt(np.log([slowness(*at) for at in near]).var() + heading_weight**2 * turning)
            share = 1 - (1 - strength) * (1 - np.exp(-spread / mixed_above))
            own = slowness(row, col)
            slower = [slowness(r, c) for r, c in near if max(abs(r - row), abs(c - col)) == 1 and slowness(r, c) > own]
            beside = sum((1 - own / theirs) ** 2 for theirs in slower) / 8
            log_rate, log_rear = homogeneous(length_to_width[row, col], heading_deg[row, col])
            e = np.sqrt(length_to_width[row, col] ** 2 - 1) / length_to_width[row, col]
            e = max(1 - (1 - e) * np.exp(share * log_rear), 0.0)
            a = 1 / (rate[row, col] * np.exp(share * log_rate + gain * beside) * (1 - e))
            heading = np.deg2rad(heading_deg[row, col])
            fields[row, col] = a, a * e * np.sin(heading), a * e * np.cos(heading)
    return fields
