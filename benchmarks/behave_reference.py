"""Make the tables of Behave's numbers that the tests hold fire behavior against.

Behave is the Missoula fire laboratory's program; pyrothermel compiles it and calls it from Python. It stands in an
environment of its own, so that it is no dependency of ours:

    python -m venv behave && behave/bin/pip install pyrothermel==0.1.4
    behave/bin/python benchmarks/behave_reference.py tests/data

writes behave_surface.csv and behave_crown.csv. The `us_standard` units are needed: the `metric` preset of version 0.1.4
converts heat content twice and makes every rate 2.328 times too high.
"""

import csv
import sys
from pathlib import Path

from pyrothermel import FuelModel, MoistureScenario, PyrothermelRun

MODELS = [
    *(f"FM{i}" for i in range(1, 14)),
    *(f"GR{i}" for i in range(1, 10)),
    *(f"GS{i}" for i in range(1, 5)),
    *(f"SH{i}" for i in range(1, 10)),
    *(f"TU{i}" for i in range(1, 6)),
    *(f"TL{i}" for i in range(1, 10)),
    *(f"SB{i}" for i in range(1, 5)),
]
# dead 1-h, 10-h, 100-h, live herbaceous, live woody, percent: grass cured, half cured and green; and dead fuel so moist
# that in many models live fuel alone burns, or nothing
MOISTURES = [(3, 4, 5, 30, 60), (6, 7, 8, 60, 90), (10, 11, 12, 120, 150), (22, 24, 26, 50, 14)]
# 20-ft wind mph, wind from deg, slope deg, aspect deg, canopy cover fraction, canopy height ft, crown ratio
SITUATIONS = [
    (0, 0, 0, 0, 0, 0, 0),
    (0, 0, 30, 135, 0, 0, 0),
    (5, 225, 0, 0, 0, 0, 0),
    (15, 225, 0, 0, 0, 0, 0),
    (40, 300, 0, 0, 0, 0, 0),
    (15, 225, 0, 0, 0.5, 30, 0.5),
    (25, 180, 20, 315, 0.8, 80, 0.4),
    (10, 45, 30, 95, 0.1, 60, 0.3),
    (20, 10, 40, 200, 0, 0, 0),
]
# model, situation, canopy base height ft, canopy bulk density lb/ft3, foliar moisture %
CROWNS = [
    (model, moisture, (wind, 225, slope, 45, 0.6, height, (height - base) / height), base, density, foliar)
    for model in ("FM10", "FM5", "TU5", "TL8", "GS2", "SH5")
    for moisture in MOISTURES[:2]
    for wind in (5, 15, 30)
    for slope in (0, 20)
    for height, base, density, foliar in ((40, 3, 0.013, 100), (70, 5, 0.0037, 90), (60, 20, 0.006, 120))
]
INPUTS = [
    *("model", "dead_1h_pct", "dead_10h_pct", "dead_100h_pct", "live_herb_pct", "live_woody_pct"),
    *("wind_20ft_mph", "wind_from_deg", "slope_deg", "aspect_deg"),
    *("canopy_cover", "canopy_height_ft", "crown_ratio"),
]
RESULTS = ["spread_rate_ch_h", "fireline_intensity_btu_ft_s", "flame_length_ft"]


def behave(model, moisture, situation, foliar=100, **canopy):
    wind, wind_from, slope, aspect, cover, height, crown_ratio = situation
    return PyrothermelRun(
        FuelModel.from_existing(model, "us_standard"),
        MoistureScenario(*(m / 100 for m in moisture), foliar / 100),
        wind,
        units_preset="us_standard",
        wind_input_mode="twenty_foot",
        wind_direction=wind_from,
        slope=slope,
        aspect=aspect,
        canopy_cover=cover,
        canopy_height=height,
        canopy_ratio=crown_ratio,
        **canopy,
    )


def results(found):
    return [f"{found[name]:.6g}" for name in ("spread_rate", "fireline_intensity", "flame_length")]


def main(folder: Path) -> None:
    with (folder / "behave_surface.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*INPUTS, *RESULTS, "direction_deg"])
        for model in MODELS:
            for moisture in MOISTURES:
                for situation in SITUATIONS:
                    found = behave(model, moisture, situation).run_surface_fire_in_direction_of_max_spread()
                    table.writerow([model, *moisture, *situation, *results(found), f"{found['direction']:.6g}"])
    with (folder / "behave_crown.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*INPUTS, "canopy_base_height_ft", "canopy_bulk_density_lb_ft3", "foliar_pct", *RESULTS, "type"])
        for model, moisture, situation, base, density, foliar in CROWNS:
            run = behave(model, moisture, situation, foliar, canopy_base_height=base, canopy_bulk_density=density)
            run.run_surface_fire_in_direction_of_max_spread()
            found = run.run_crown_fire_scott_and_reinhardt()
            table.writerow([model, *moisture, *situation, base, density, foliar, *results(found), found["fire_type"]])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
