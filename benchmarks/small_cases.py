"""How far each planner is from the best plan there is, on small cases solved for certain.

    python benchmarks/small_cases.py [--cases 200]

The cases are those of tests/test_exact.py: 4 x 4 to 6 x 6 cells, 2 to 4 of them treated, 12 fires. A gap is the share
of what the best plan avoids that a planner misses, on the fires that it planned on.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from test_exact import loss_of, small_case

from fuelbreak import planners
from fuelbreak.exact import enumeration, exact, tree_bound
from fuelbreak.spread import spread

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    gaps: dict[str, list[float]] = {name: [] for name in planners.PLANNERS}
    seconds = dict.fromkeys([*planners.PLANNERS, "exact", "enumeration"], 0.0)
    best_of, equal, bounds = [], 0, []
    cases = parser.parse_args().cases
    for seed in range(cases):
        land, fires, n = small_case(seed)
        began = time.process_time()
        _, best = enumeration(land, fires, n)
        seconds["enumeration"] += time.process_time() - began
        plan = exact(land, fires, n)
        seconds["exact"] += plan.seconds
        equal += loss_of(land, fires, plan) == best
        untreated = spread(land, fires, workers=1).mean_loss
        bounds.append(tree_bound(land, fires, n).avoided - (1 - best / untreated))
        found = {}
        for name, planner in planners.PLANNERS.items():
            plan = planner(land, fires, n)
            seconds[name] += plan.seconds
            avoided = untreated - loss_of(land, fires, plan)
            found[name] = 1 - avoided / (untreated - best) if untreated > best else 0.0
            gaps[name].append(found[name])
        best_of.append(min(found.values()))
    print(f"{'planner':<20}{'mean gap':>10}{'optimal':>10}{'CPU ms':>10}")
    for name, each in sorted(gaps.items(), key=lambda item: np.mean(item[1])):
        optimal = np.mean(np.array(each) < 1e-9)
        print(f"{name:<20}{np.mean(each):>10.2%}{optimal:>10.0%}{1000 * seconds[name] / cases:>10.1f}")
    print(f"{'best of planners':<20}{np.mean(best_of):>10.2%}{np.mean(np.array(best_of) < 1e-9):>10.0%}")
    print(f"exact method equal to enumeration in {equal} of {cases} cases")
    print(f"the bound is above what can be avoided by {100 * np.mean(bounds):.1f} points of the loss on average")
    for name in ("exact", "enumeration"):
        print(f"{name}: {1000 * seconds[name] / cases:.0f} ms a case")
