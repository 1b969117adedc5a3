"""Slow, obvious twins of the compiled kernels, written from the rules and not from the code."""

from __future__ import annotations

import heapq
import math
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


# ---------------------------------------------------------------------------------------------------------------------
# Fire behavior of one cell, in Python's own numbers, equation by equation as Andrews (2018), RMRS-GTR-371, lists them.


def _bed(model, moistures):
    """Base rate (ft/min), heat per area (Btu/ft2), coefficients of wind and slope, exponent, reaction intensity."""
    one, ten, hundred, herb_load, woody_load = model.loads_lb_ft2
    s1, s10, s100, s_herb, s_woody = model.savs_per_ft
    m1, m10, m100, m_herb, m_woody = (each / 100 for each in moistures)
    cured = 1.0 if m_herb < 0.3 else min(max(1.333 - 1.11 * m_herb, 0.0), 1.0)
    moved = herb_load * cured if model.dynamic else 0.0
    dead = [(one, s1, m1), (ten, s10, m10), (hundred, s100, m100), (moved, s_herb, m1)]
    live = [(herb_load - moved, s_herb, m_herb), (woody_load, s_woody, m_woody)]

    def mean(classes, what):
        area = sum(load * sav for load, sav, _ in classes)
        return sum(load * sav * what(load, sav, m) for load, sav, m in classes) / area if area > 0 else 0.0

    def net_load(classes):  # Albini 1976 p. 15: loads weighted by the surface area of their size bin
        area = sum(load * sav for load, sav, _ in classes)
        bins = [sum(sav >= edge for edge in (16, 48, 96, 192, 1200)) for _, sav, _ in classes]
        total = 0.0
        for (load, _, _), at in zip(classes, bins, strict=True):
            if at and area > 0:
                share = sum(w * s for (w, s, _), b in zip(classes, bins, strict=True) if b == at) / area
                total += share * load * (1 - 0.0555)
        return total

    def damping(moisture, extinction):
        r = min(moisture / extinction, 1.0)
        return 1 - 2.59 * r + 5.11 * r**2 - 3.52 * r**3 if r < 1 else 0.0

    area_dead, area_live = (sum(load * sav for load, sav, _ in each) for each in (dead, live))
    f_dead = area_dead / (area_dead + area_live)
    f_live = 1 - f_dead
    sigma = f_dead * mean(dead, lambda w, s, m: s) + f_live * mean(live, lambda w, s, m: s)
    density = sum(load for load, _, _ in dead + live) / model.depth_ft
    packing = density / 32
    relative = packing / (3.348 * sigma**-0.8189)
    extinction = model.extinction_pct / 100
    fine = [(load * math.exp(-138 / sav), m) for load, sav, m in dead if sav > 0]
    fine_live = sum(load * math.exp(-500 / sav) for load, sav, _ in live if sav > 0)
    fine_dead = sum(load for load, _ in fine)
    fine_moisture = sum(load * m for load, m in fine) / fine_dead
    live_extinction = extinction
    if fine_live > 0:
        live_extinction = max(2.9 * fine_dead / fine_live * (1 - fine_moisture / extinction) - 0.226, extinction)
    a = 133 * sigma**-0.7913
    velocity = sigma**1.5 / (495 + 0.0594 * sigma**1.5) * relative**a * math.exp(a * (1 - relative))
    heat = net_load(dead) * model.dead_heat_btu_lb * damping(mean(dead, lambda w, s, m: m), extinction)
    heat += net_load(live) * model.live_heat_btu_lb * damping(mean(live, lambda w, s, m: m), live_extinction)
    reaction = velocity * heat * 0.174 * 0.01**-0.19
    flux = math.exp((0.792 + 0.681 * math.sqrt(sigma)) * (packing + 0.1)) / (192 + 0.2595 * sigma)

    def warmth(w, s, m):
        return (250 + 1116 * m) * math.exp(-138 / s) if s > 0 else 0.0

    sink = density * (f_dead * mean(dead, warmth) + f_live * mean(live, warmth))
    exponent = 0.02526 * sigma**0.54
    wind = 7.47 * math.exp(-0.133 * sigma**0.55) * relative ** (-0.715 * math.exp(-3.59e-4 * sigma))
    slope = 5.275 * packing**-0.3
    return reaction * flux / sink, reaction * 384 / sigma, wind, exponent, slope, reaction


def _head(bed, midflame, wind_from, steepness, aspect, limited):
    """Rate (ft/min), direction (degrees) and the wind that alone would do as much (ft/min)."""
    rate, _, wind, exponent, slope, reaction = bed
    limit = 0.9 * reaction if limited else math.inf
    of_wind, of_slope = wind * midflame**exponent, min(slope * steepness**2, limit)
    to_wind, uphill = math.radians(wind_from + 180), math.radians(max(aspect, 0) + 180)
    east = of_wind * math.sin(to_wind) + of_slope * math.sin(uphill)
    north = of_wind * math.cos(to_wind) + of_slope * math.cos(uphill)
    factor = min(math.hypot(east, north), wind * limit**exponent)
    return rate * (1 + factor), math.degrees(math.atan2(east, north)) % 360, (factor / wind) ** (1 / exponent)


def fire_behavior_of_a_cell(
    model, moistures, *, wind_kmh, wind_from, slope_deg, aspect, cover_pct, height_m, base_m, density, foliar,
    crown_model, method="scott_reinhardt", crown_rate="rothermel", limited=True,
):  # fmt: skip
    """Rate m/min, direction, length-to-width, intensity kW/m, flame m, type; `crown_model` is fuel model 10."""
    feet, kw = 1 / 0.3048, 1.05505585262 / 0.3048
    bed = _bed(model, moistures)
    wind = wind_kmh / 1.15 * 1000 * feet / 60
    height = height_m * feet
    ratio = min(max(1 - base_m / height_m, 0.0), 1.0) if height_m > 0 else 0.0
    fill = ratio * cover_pct / 300
    if height >= 6 and fill >= 0.05:
        adjustment = 0.555 / (math.sqrt(fill * height) * math.log((20 + 0.36 * height) / (0.13 * height)))
    else:
        adjustment = 1.83 / math.log((20 + 0.36 * model.depth_ft) / (0.13 * model.depth_ft))
    steep = math.tan(math.radians(slope_deg))
    rate, direction, effective = _head(bed, adjustment * wind, wind_from, steep, aspect, limited)
    if rate <= 0:
        return 0.0, 0.0, 1.0, 0.0, 0.0, 0
    mph = effective / 88
    shape = 0.936 * math.exp(0.1147 * min(mph, 40)) + 0.461 * math.exp(-0.0692 * mph) - 0.397
    shape = min(max(shape, 1.0), 8.0)
    intensity = rate * bed[1] / 60
    flame, kind = 0.45 * intensity**0.46, 1
    critical = (0.010 * max(base_m, 0.1) * (460 + 25.9 * max(foliar, 30))) ** 1.5 / kw
    if min(cover_pct, height_m, density) > 0 and intensity >= critical:
        crown_bed = _bed(crown_model, moistures)
        critical_rate = 3 / density * feet
        igniting = 60 * critical / bed[1]
        steepness = steep if method == "finney" else 0.0
        calm_rate = 3.34 * crown_bed[0]
        if crown_rate == "cruz":
            cruz = 11.02 * density**0.19 * math.exp(-0.17 * moistures[0]) * feet
            active = max(cruz * wind_kmh**0.9, rate)
        else:
            active = 3.34 * _head(crown_bed, 0.4 * wind, wind_from, steepness, aspect, True)[0]
        burned, surface_rate = 1.0, rate
        if method == "finney":
            span = 0.9 * (critical_rate - igniting)
            burned = 1 - 0.1 ** ((rate - igniting) / span) if span > 0 else 1.0
            crown = rate + burned * (active - rate)
            kind = 3 if crown >= critical_rate else 2
            rate = crown if kind == 3 else rate
        else:
            kind = 3 if active >= critical_rate else 2
            if method == "scott_reinhardt" and kind == 2:
                if crown_rate == "cruz":
                    crowning = (critical_rate / cruz) ** (1 / 0.9) / 1.15 * 1000 * feet / 60
                elif calm_rate > 0:
                    crowning = (max(critical_rate / calm_rate - 1, 0) / crown_bed[2]) ** (1 / crown_bed[3]) / 0.4
                else:
                    crowning = 0.0
                at_crowning = _head(bed, adjustment * crowning, wind_from, steep, aspect, limited)[0]
                span = at_crowning - igniting
                burned = min(max((rate - igniting) / span, 0.0), 1.0) if span > 1e-7 else 0.0
            if active <= 0:
                burned = 0.0
            gain = max(burned * (active - rate), 0.0)
            rate = rate + gain
            if gain > 0:
                share = 1.0 if method == "rothermel" or kind == 3 else burned * active / rate
                longer = min(1 + 0.125 * wind / 88, 8.0)
                of_wind = share * math.sqrt(1 - 1 / longer**2)
                of_own = (1 - share) * math.sqrt(1 - 1 / shape**2)
                shape += share * (longer - shape)
                if of_wind > 0:
                    own, to_wind = math.radians(direction), math.radians(wind_from + 180)
                    east = of_own * math.sin(own) + of_wind * math.sin(to_wind)
                    north = of_own * math.cos(own) + of_wind * math.cos(to_wind)
                    direction = math.degrees(math.atan2(east, north)) % 360
        load = density * max(height_m - base_m, 0.0) * 2.2046226218 * 0.3048**2
        heat = 18000 / 2.326 if method == "finney" else 8000
        intensity = rate * (bed[1] + burned * load * heat) / 60
        flame = 0.2 * intensity ** (2 / 3)
        assert surface_rate > 0
    return rate / feet, direction, shape, intensity * kw, flame / feet, kind


def flame_mm(head_m: float, length_to_width: float, heading_deg: float, exponent: float, step: tuple[int, int] | None):
    """Flame length, mm, where fire comes to a cell by `step` (rows, columns), None where it starts.

    An ellipse that grows from its rear focus has the rate (1 - e) / (1 - e cos a) of the head's at an angle a from it.
    """
    if step is None:
        return round(1000 * head_m)
    eccentricity = math.sqrt(length_to_width**2 - 1) / length_to_width
    angle = math.radians(heading_deg) - math.atan2(step[1], -step[0])
    return 1000 * head_m * ((1 - eccentricity) / (1 - eccentricity * math.cos(angle))) ** exponent


def flame_class(mm: float) -> int:
    """Class of flame length, 0 to 5: up to 2, 4, 6, 8 and 12 feet, and beyond; flames are told in whole mm."""
    return sum(round(mm) > 304.8 * feet for feet in (2, 4, 6, 8, 12))
