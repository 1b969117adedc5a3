"""Speed of exact greedy and of the judge, beside the bars they are held to.

    python benchmarks/planning_speed.py

Fires last as long as makes the mean fire burn 10 to 25 % of the burnable cells, as on the leaderboard, and on the demo
60 minutes and 8 hours.
"""

from __future__ import annotations

import time

from fuelbreak import Fires, Landscape, planners
from fuelbreak.evaluate import budget_curve, evaluate
from fuelbreak.leaderboard import courses
from fuelbreak.scenarios import Season, fire_season
from fuelbreak.spread import spread, warm_up

GREEDY_BAR_S, JUDGE_BAR_S = 60.0, 20.0


def timed(call):
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    warm_up()
    season = Season(fire_season())
    lands = [("demo", Landscape.demo(50, 50, 0, buffer_cells=15), season, minutes) for minutes in (60.0, 480.0)]
    lands += [(c.name, c.landscape, c.season, c.duration_min) for c in courses("dev", sizes=(50,))]
    print(f"greedy, every unit exact, 50 x 50, 5 %, 200 fires (bar {GREEDY_BAR_S:g} s)")
    for name, land, weather, minutes in lands:
        fires = Fires.draw(land, 200, 0, weather=weather, duration_min=minutes)
        share = spread(land, fires).burned_cells.mean() / land.burnable.sum()
        plan, wall, cpu = timed(lambda land=land, fires=fires: planners.greedy(land, fires, "5%"))
        print(
            f"  {name}, {minutes:g} min, fires burn {share:.0%}: {wall:.1f} s ({cpu:.1f} s CPU), "
            f"{plan.simulations:,} simulations"
        )
    print(f"judge, 2000 held-out fires x 10 plans, 100 x 100 (bar {JUDGE_BAR_S:g} s); with 5 scenarios; curves too")
    lands = [("demo", Landscape.demo(100, 100, 0, buffer_cells=15), season, minutes) for minutes in (60.0, 480.0)]
    lands += [(c.name, c.landscape, c.season, c.duration_min) for c in courses("dev", sizes=(100,))]
    for name, land, weather, minutes in lands:
        fires = Fires.draw(land, 200, 0, weather=weather, duration_min=minutes)
        plans = {"dpv": planners.sequential_dpv(land, fires, "5%"), "static": planners.static_dpv(land, fires, "5%")}
        plans |= {f"random {i}": planners.random(land, fires, "5%", seed=i) for i in range(8)}
        heldout = Fires.draw(land, 2000, 0, purpose="heldout", weather=weather, duration_min=minutes)

        def judged(land=land, plans=plans, heldout=heldout, scenarios=None):
            return evaluate(plans, land, heldout, scenarios=scenarios).table()

        _, plain, _ = timed(lambda judged=judged: judged(scenarios={}))
        _, whole, _ = timed(judged)
        _, curves, _ = timed(lambda land=land, plans=plans, heldout=heldout: budget_curve(plans, land, heldout))
        print(f"  {name}, {minutes:g} min: {plain:.1f} s; with scenarios {whole:.1f} s; curves {curves:.1f} s")
