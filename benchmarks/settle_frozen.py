"""Settle the registered ids and write their golden returns, tests/data/golden_returns.csv. Only for a new version.

    python benchmarks/settle_frozen.py

Prints a row of `fuelbreak.env.FROZEN` for each id, to be copied there: a duration at which the mean fire burns 17 % of
the burnable cells or so, and the digests of what is frozen. Once they stand there, writes the returns.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from test_golden import GOLDEN, POLICIES, SEEDS, golden_return

from fuelbreak.env import FROZEN, frozen_world, scenarios_digest
from fuelbreak.generate import landscape_digest
from fuelbreak.leaderboard import SHARE
from fuelbreak.simulate import settle_duration
from fuelbreak.spread import calibration_digest

if __name__ == "__main__":
    wrong = False
    for env_id, spec in FROZEN.items():
        land, season, fires = frozen_world(env_id)
        settled = spec._replace(
            duration_min=settle_duration(land, season, spec.seed, SHARE),
            landscape=landscape_digest(land),
            scenarios=scenarios_digest(fires),
            calibration=calibration_digest(),
        )
        print(f'    "{env_id}": Frozen{tuple(settled)},'.replace("'", '"'))
        wrong |= settled != spec
    if wrong:
        sys.exit("copy these rows to FROZEN and run again (digests are those of the duration that stood there)")
    with GOLDEN.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["env_id", "policy", "seed", "return"])
        for env_id in FROZEN:
            for policy in POLICIES:
                for seed in SEEDS[env_id]:
                    writer.writerow([env_id, policy, seed, repr(golden_return(env_id, policy, seed))])
