"""Settle the leaderboard's courses and write src/fuelbreak/leaderboard_courses.csv. Only for a new version."""

import csv
from pathlib import Path

from fuelbreak.leaderboard import Spec, make_specs

PLACE = Path(__file__).parent.parent / "src/fuelbreak/leaderboard_courses.csv"

if __name__ == "__main__":
    with PLACE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Spec._fields)
        for spec in make_specs():
            print(*spec)
            writer.writerow(spec)
