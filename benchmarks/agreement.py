"""Print how far fire behavior agrees with Behave and FlamMap: the figures of docs/behavior.md.

    python benchmarks/agreement.py [FOLDER OF REAL LANDSCAPES]

Behave's numbers stand in tests/data and tests/test_published.py; FlamMap's lie in the folder (default ../shared/data),
and its part is left out where that is absent. A few seconds.
"""

import math
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from test_published import (  # noqa: E402  # the tests' own cases, so that both tell the same
    CROWN_TYPES,
    M_MIN_PER_CH_H,
    SURFACE_CASES,
    behave_units,
    burn_vermont,
    one_cell,
    rate_errors,
    rows_of,
    vermont_layers,
)

from fuelbreak.behavior import SURFACE_FIRE, fire_behavior  # noqa: E402
from fuelbreak.scenarios import Weather  # noqa: E402

FIVE_MPH = {"wind_speed_20ft_mph": 5, "dead_1h_pct": 6, "dead_10h_pct": 7, "dead_100h_pct": 8}


def behave() -> None:
    for code, slope, aspect, wind_from, cover, expected in SURFACE_CASES:
        found = fire_behavior(
            one_cell(code, slope, aspect, cover, 30, 15), Weather.us(wind_from_deg=wind_from, **FIVE_MPH)
        )
        rate = found.spread_rate_m_min.item() / M_MIN_PER_CH_H
        print(f"Behave's surface test: {rate:.6f} ch/h, published {expected:.6f} ({abs(rate / expected - 1):.6%} off)")
    hill = one_cell(124, math.degrees(math.atan(0.3)), 0, 50, 30, 6, 0.03)
    found = fire_behavior(hill, Weather.us(wind_from_deg=0, foliar_pct=120, **FIVE_MPH), crown_method="rothermel")
    told = "{:.6f} ch/h, {:.6f} Btu/ft/s, {:.6f} ft".format(*behave_units(found))
    print(f"Behave's crown test: {told}, published 10.259921, 1775.061222, 29.320557; type {found.fire_type.item()}")
    errors = []
    for row, landscape, weather in rows_of("behave_surface.csv"):
        names = "spread_rate_ch_h", "fireline_intensity_btu_ft_s", "flame_length_ft"
        pairs = zip(behave_units(fire_behavior(landscape, weather)), (float(row[name]) for name in names), strict=True)
        errors.append(max(abs(a / b - 1) if b else abs(a) for a, b in pairs))
    print(f"53 models: {np.mean(np.array(errors) <= 0.005):.2%} of {len(errors)} within 0.5 %, worst {max(errors):.6%}")
    errors, same = [], 0
    for row, landscape, weather in rows_of("behave_crown.csv"):
        found = fire_behavior(landscape, weather)
        errors.append(abs(behave_units(found)[0] / float(row["spread_rate_ch_h"]) - 1))
        same += found.fire_type.item() == CROWN_TYPES[row["type"]]
    within = int((np.array(errors) <= 0.005).sum())
    print(f"crown fires: type equal in {same} of {len(errors)}; rate of {within} within 0.5 %, worst {max(errors):.2%}")


def flammap(folder: Path) -> None:
    layers = vermont_layers(folder)
    degrees = np.degrees(np.arctan(layers["slope"] / 100))
    burns = layers["type"] > 0
    sloped = burns & (layers["slope"] > 0)
    for name, slope in (("slopes as they are", degrees), ("slopes in whole degrees", np.rint(degrees))):
        found = burn_vermont(layers, slope)
        median, p99 = np.percentile(rate_errors(layers, found, SURFACE_FIRE), [50, 99])
        flame = np.abs(found.flame_length_m - layers["flame"])[burns].mean()
        turn = np.abs((found.spread_direction_deg - layers["direction"] + 180) % 360 - 180)[sloped]
        same = (found.fire_type == layers["type"])[burns].mean()
        print(
            f"FlamMap, {name}: surface rate median {median:.4%}, 99th percentile {p99:.2%}; flame length {flame:.4f} m"
        )
        print(f"    type equal {same:.4%} of {burns.sum():,}; direction within 2 degrees {(turn <= 2).mean():.2%}")


if __name__ == "__main__":
    behave()
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"
    if (data / "landfire_vermont").is_dir():
        flammap(data)
    else:
        print(f"FlamMap: left out, {data} holds no landfire_vermont")
