"""Slow, obvious twins of the compiled kernels, written from the rules and not from the code."""

from __future__ import annotations

import heapq
from fractions import Fraction
from itertools import pairwise

import numpy as np

STEPS = [
    (row, col)
    for row in range(-2, 3)
    for col in range(-2, 3)
    if sorted((abs(row), abs(col))) in ([0, 1], [1, 1], [1, 2])
]


def crossed_cells(step: tuple[int, int]) -> tuple[list[tuple[int, int, Fraction]], list[tuple[tuple[int, int], ...]]]:
    """Cells that the straight line from the center of (0, 0) to the center of `step` crosses, with the share of its
    length in each, and for each cell corner that it passes exactly, the two cells beside it."""
    row, col = step
    half = Fraction(1, 2)
    cuts = {Fraction(0), Fraction(1)}
    for extent in (row, col):
        for line in range(-3, 3):
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


GEOMETRY = {step: crossed_cells(step) for step in STEPS}


def neighbors(closed: np.ndarray, row: int, col: int):
    """Open edges out of a cell: (row, col, crossed cells) for each neighbor that fire can reach in one step."""
    rows, cols = closed.shape
    for step, (cells, corners) in GEOMETRY.items():
        r, c = row + step[0], col + step[1]
        if not (0 <= r < rows and 0 <= c < cols):
            continue
        if any(closed[row + dr, col + dc] for dr, dc, _ in cells):
            continue
        if any(all(closed[row + dr, col + dc] for dr, dc in flanks) for flanks in corners):
            continue
        yield step, r, c, [(row + dr, col + dc, share) for dr, dc, share in cells]


def edge_minutes(field: np.ndarray, step: tuple[int, int], crossed: list) -> np.float32:
    """Line integral of slowness A - B.d over the crossed cells, in the product's float32 order."""
    quarters = []
    for row, col, share in crossed:
        quarters += [field[row, col]] * int(share * 4)
    assert len(quarters) == 4
    a, b, c, d = quarters
    total = (a + b) + (c + d) if max(map(abs, step)) == 2 else (a + a) + (d + d)
    length = np.float32(np.hypot(*step) / 4)
    east, north = np.float32(step[1] / 4), np.float32(-step[0] / 4)
    return np.float32(np.float32(total[0] * length - total[1] * east) - total[2] * north)


def arrival_times(
    field: np.ndarray, closed: np.ndarray, ignition: tuple[int, int], duration: float, treated_ignition: bool = False
) -> np.ndarray:
    """Dijkstra over the grid: field (H, W, 3) f4 slowness, closed (H, W) bool, minutes (H, W) f4."""
    closed = closed.copy()
    if treated_ignition:
        closed[ignition] = False
    arrival = np.full(closed.shape, np.inf, np.float32)
    arrival[ignition] = 0
    queue = [(np.float32(0), ignition)]
    while queue:
        time, (row, col) = heapq.heappop(queue)
        if time > arrival[row, col]:
            continue
        for step, r, c, crossed in neighbors(closed, row, col):
            new = np.float32(time + edge_minutes(field, step, crossed))
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
