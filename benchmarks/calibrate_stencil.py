"""Make src/fuelbreak/stencil_calibration.csv: what a grid of 8, 16 or 32 directions must be told to burn an ellipse.

A fire on a homogeneous grid burns the convex hull of `step / minutes(step)`: a closed form, so no fire is simulated
here. For each length-to-width and each angle between heading and grid the head rate and the eccentricity are changed
until the hull has the ellipse's area and differs least from it. The table holds the logarithms of the two changes;
`spread.corrected_fields` applies them in full where the landscape is homogeneous and in part where it is mixed.

    python benchmarks/calibrate_stencil.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from fuelbreak._kernels import STEP_COL, STEP_ROW

TABLE = Path(__file__).parents[1] / "src" / "fuelbreak" / "stencil_calibration.csv"
LENGTH_TO_WIDTH = (1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
STENCILS = (8, 16, 32)
ANGLES_DEG = tuple(np.arange(0.0, 45.1, 5.0))
SMALL = 0.1  # price of a change: of fits that are nearly as good take the smaller, so that the table is smooth
THETA = np.arange(720) * (2 * np.pi / 720)
UNIT = np.stack([np.sin(THETA), np.cos(THETA)], axis=1)


def eccentricity(length_to_width: float) -> float:
    """Eccentricity of an ellipse."""
    return float(np.sqrt(length_to_width**2 - 1) / length_to_width)


def slowness(rate: float, e: float, heading: float, steps: np.ndarray) -> np.ndarray:
    """Minutes to make each step (n, 2: east, north) with head rate `rate`: the rear-focus ellipse."""
    a = 1 / (rate * (1 - e))
    ahead = steps @ np.array([np.sin(heading), np.cos(heading)])
    return a * (np.hypot(steps[:, 0], steps[:, 1]) - e * ahead)


def hull_reach(rate: float, e: float, heading: float, stencil: int) -> np.ndarray:
    """How far fire gets in one minute in each direction of THETA on the grid: the hull of step / minutes."""
    steps = np.stack([STEP_COL, -STEP_ROW], axis=1)[:stencil].astype(float)
    points = steps / slowness(rate, e, heading, steps)[:, None]
    i, j = np.triu_indices(len(points), 1)
    p, q = points[i], points[j]
    cross = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    keep = np.abs(cross) > 1e-12
    p, q, cross = p[keep], q[keep], cross[keep]
    along_p = (UNIT[:, None, 0] * q[:, 1] - UNIT[:, None, 1] * q[:, 0]) / cross
    along_q = (p[:, 0] * UNIT[:, None, 1] - p[:, 1] * UNIT[:, None, 0]) / cross
    minutes = np.where((along_p >= -1e-12) & (along_q >= -1e-12), along_p + along_q, np.inf)
    return 1 / minutes.min(axis=1)


def ellipse_reach(e: float, heading: float) -> np.ndarray:
    """The same for the true ellipse of head rate 1."""
    return (1 - e) / (1 - e * np.cos(THETA - heading))


def fit(length_to_width: float, angle_deg: float, stencil: int) -> tuple[float, float]:
    """Logarithmic changes of head rate and of 1 - eccentricity for one entry."""
    e, heading = eccentricity(length_to_width), np.deg2rad(angle_deg)
    wanted = ellipse_reach(e, heading)

    def changed(log_rear: float) -> tuple[float, np.ndarray]:
        reach = hull_reach(1.0, 1 - min(1.0, (1 - e) * np.exp(log_rear)), heading, stencil)
        log_rate = 0.5 * np.log((wanted**2).sum() / (reach**2).sum())
        return log_rate, reach * np.exp(log_rate)

    def difference(log_rear: float) -> float:
        log_rate, reach = changed(log_rear)
        share = np.abs(reach**2 - wanted**2).sum() / (wanted**2).sum()
        return float(share + SMALL * (log_rate**2 + log_rear**2))

    best = minimize_scalar(difference, bounds=(-2.5, -np.log(1 - e) if e > 0 else 0.0), method="bounded")
    log_rear = float(best.x) if difference(float(best.x)) < difference(0.0) else 0.0
    return changed(log_rear)[0], log_rear


def table() -> str:
    """The table as text."""
    rows = ["stencil,length_to_width,angle_deg,log_rate,log_rear"]
    for stencil, lw, angle in product(STENCILS, LENGTH_TO_WIDTH, ANGLES_DEG):
        log_rate, log_rear = fit(lw, angle, stencil)
        rows.append(f"{stencil},{lw:g},{angle:g},{log_rate:.5f},{log_rear:.5f}")
    return "\n".join(rows) + "\n"


def main() -> int:
    """Write the table, or compare it with the one in the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare with the table in the package")
    text = table()
    if parser.parse_args().check:
        same = np.allclose(
            np.loadtxt(TABLE, delimiter=",", skiprows=1),
            np.loadtxt(text.splitlines(), delimiter=",", skiprows=1),
            atol=2e-4,
        )
        print("the table in the package is this script's" if same else "the table in the package DIFFERS")
        return 0 if same else 1
    TABLE.write_text(text)
    print(f"wrote {TABLE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
