"""The judge: plans on fires that nothing was tuned on, as paired differences with 95 % intervals.

And what else makes a plan defensible: how it fares in other weather, what the next unit buys, how sure each unit is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, Units, parse_budget, prices
from fuelbreak.objective import Objective, conditional_value_at_risk
from fuelbreak.planners import Planner
from fuelbreak.scenarios import Fires, stressed
from fuelbreak.spread import (
    Ensemble,
    Fields,
    HoldRule,
    Setting,
    SpreadResult,
    burn,
    gather,
    range_warning,
    setting,
    spread,
    spread_on_ray,
)

F8 = npt.NDArray[np.float64]

NO_BREAKS = "no breaks"
DESIGN_WEATHER = "as planned"
HOLDS_MOSTLY = "1 cell in 10 fails"  # what if a break does not hold: each of its cells, against each fire, by chance
TAIL = 0.1  # share of the fires that count as the worst where a table tells of them
RESAMPLES = 4000
RESAMPLE_BLOCK = 2**20  # draws held at a time: memory does not grow with the fires
CAVEAT = (
    "The interval covers the sampling of fires only, not errors of fuels, weather or the fire model; "
    "suppression is not modelled."
)


@dataclass(frozen=True, eq=False)
class Scores:
    """Losses of several plans on the same S fires.

    names : of the plans, "no breaks" first
    loss : (plans, S) f8 loss of each fire under each plan
    weight : (S,) f8 of the fires
    plans : by name, for their cost
    fires_digest : of the fires that judged
    reached_edge_share : of the fires in the area of interest, those that came to the map's edge
    range_warning : what to say if the landscape is beyond what the grid is accurate for
    training : loss avoided by plans on the fires they were chosen on, where those are known
    scenarios : scores of the same plans by the same fires in other weather, or where breaks may fail
    """

    names: tuple[str, ...]
    loss: F8
    weight: F8
    plans: dict[str, Plan]
    fires_digest: str
    reached_edge_share: float
    range_warning: str | None = None
    training: dict[str, float] = field(default_factory=dict)
    scenarios: dict[str, Scores] = field(default_factory=dict)

    def loss_avoided(self, name: str) -> tuple[float, float, float]:
        """Share of the untreated loss a plan avoids, 1 - sum L / sum L0: mean, low and high of its 95 % interval."""
        return self._interval(self._shares[self._row(name)])

    def difference(self, a: str, b: str) -> tuple[float, float, float]:
        """How much more loss plan a avoids than plan b on the same fires: mean, low and high of the 95 % interval."""
        shares = self._shares
        return self._interval(shares[self._row(a)] - shares[self._row(b)])

    def table(self) -> list[dict[str, Any]]:
        """One row a plan, in the order given.

        plan, units, cells, cost (None where unknown), loss_avoided, low, high, training_loss_avoided (None where the
        fires it was chosen on are not at hand), mean_loss, worst_tenth_loss (the mean of the worst tenth of the fires),
        rank and tied_with (see `ranking`), simulations, cells_solved, seconds.
        """
        rows, places = [], self.ranking()
        for i, name in enumerate(self.names):
            mean, low, high = self.loss_avoided(name)
            plan = self.plans.get(name)
            rank, tied = places.get(name, (None, ()))
            rows.append(
                {
                    "plan": name,
                    "units": 0 if plan is None else plan.units,
                    "cells": 0 if plan is None else len(plan),
                    "cost": None if plan is None or plan.cost is None else float(plan.cost.sum()),
                    "loss_avoided": mean,
                    "low": low,
                    "high": high,
                    "training_loss_avoided": self.training.get(name),
                    "mean_loss": float((self.loss[i] * self.weight).sum() / self.weight.sum()),
                    "worst_tenth_loss": conditional_value_at_risk(self.loss[i], self.weight, TAIL),
                    "rank": rank,
                    "tied_with": list(tied),
                    "simulations": 0 if plan is None else plan.simulations,
                    "cells_solved": 0 if plan is None else plan.cells_solved,
                    "seconds": 0.0 if plan is None else plan.seconds,
                }
            )
        return rows

    @property
    def best_first(self) -> tuple[str, ...]:
        """Names of the plans, most loss avoided first."""
        return tuple(sorted(self.names[1:], key=lambda name: -self.loss_avoided(name)[0]))

    def is_clear(self, a: str, b: str) -> bool:
        """Whether the paired difference of two plans is clear: its interval holds no 0, nor is it printed as 0.0."""
        mean, low, high = self.difference(a, b)
        return (low > 0 or high < 0) and round(100 * mean, 1) != 0

    def ranking(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Rank of each plan and the plans it is tied with, best first.

        A plan's rank is 1 and how many plans are clearly better; it is tied with those it does not clearly differ from.
        """
        ranks = {}
        for name in self.best_first:
            others = [other for other in self.best_first if other != name]
            tied = tuple(other for other in others if not self.is_clear(name, other))
            better = [other for other in others if other not in tied and self.difference(other, name)[0] > 0]
            ranks[name] = (1 + len(better), tied)
        return ranks

    def fires_needed(self, name: str, against: str = NO_BREAKS, *, points: float = 1.0) -> int:
        """About how many fires give a difference an interval of plus or minus so many percentage points.

        From the interval these fires give, as it narrows by the square root of their number.
        """
        if not 0 < points <= 100:
            raise InputError(f"interval: {points:g} percentage points; give above 0, such as 1")
        _, low, high = self.difference(name, against)
        return max(2, math.ceil(len(self.weight) * ((high - low) / 2 / (points / 100)) ** 2))

    def robustness(self) -> list[dict[str, Any]]:
        """How each plan fares in each scenario: plan, scenario, loss_avoided, low, high, regret.

        The regret is how much less it avoids than the plan that is best in the scenario.
        """
        rows = []
        for scenario, scores in {DESIGN_WEATHER: self, **self.scenarios}.items():
            shares = {name: scores.loss_avoided(name) for name in self.names[1:]}
            best = max((mean for mean, _, _ in shares.values()), default=0.0)
            for name, (mean, low, high) in shares.items():
                told = {"loss_avoided": mean, "low": low, "high": high, "regret": best - mean}
                rows.append({"plan": name, "scenario": scenario, **told})
        return rows

    def worst_case(self, name: str) -> tuple[str, float, str, float]:
        """The scenario in which a plan avoids least and that share; where its regret is greatest, and that regret."""
        rows = [row for row in self.robustness() if row["plan"] == name]
        worst, sorry = min(rows, key=lambda row: row["loss_avoided"]), max(rows, key=lambda row: row["regret"])
        return worst["scenario"], worst["loss_avoided"], sorry["scenario"], sorry["regret"]

    def resampled(self, names: Sequence[str]) -> F8:
        """Loss avoided by some plans (n, 1 + RESAMPLES): on the fires, then on the bootstrap's resamples of them."""
        return np.asarray(self._shares[[self._row(name) for name in names]])

    def _row(self, name: str) -> int:
        if name not in self.names:
            raise InputError(f"scores: no plan is named {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)

    @cached_property
    def _shares(self) -> F8:
        """Loss avoided (plans, 1 + RESAMPLES): on the fires themselves, then on bootstrap resamples of them.

        Resamples are the same for all plans and calls, so differences are paired.
        """
        n = self.loss.shape[1]
        rng = np.random.default_rng(0)
        weighted = self.loss * self.weight
        totals = [weighted.sum(axis=1, keepdims=True)]
        rows = max(1, RESAMPLE_BLOCK // n)
        for start in range(0, RESAMPLES, rows):
            drawn = rng.integers(0, n, (min(rows, RESAMPLES - start), n))
            drawn += np.arange(len(drawn))[:, None] * n
            counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
            totals.append(weighted @ counts.T)
        total = np.concatenate(totals, axis=1)
        return np.asarray((1 - total / np.where(total[0] > 0, total[0], 1.0)) * (total[0] > 0))

    @staticmethod
    def _interval(shares: F8) -> tuple[float, float, float]:
        low, high = np.quantile(shares[1:], [0.025, 0.975])
        return float(shares[0]), float(low), float(high)


def evaluate(
    plans: Mapping[str, Plan],
    landscape: Landscape,
    fires: Fires,
    *,
    stencil: int = 32,
    workers: int | None = None,
    ray: Any = None,
    say: Callable[[float, str], None] = lambda *_: None,
    training: Fires | None = None,
    scenarios: Mapping[str, Fires] | None = None,
    budget: float | str | None = None,
    units: Units | None = None,
) -> Scores:
    """Judge plans on fires that none of them was chosen on, in the weather they were made for and in other weather.

    Parameters
    ----------
    plans : by name; "no breaks" is added
    fires : held-out fires, 2000 or more for an interval of a point or two
    stencil : neighbors of a cell; 32 are the most accurate
    workers : threads
    ray : the module, from `parallel.join_ray`, to burn on its cluster in place of threads
    say : told of progress: share done, message
    training : the fires that plans were chosen on, to tell how much better they look there
    scenarios : the same number of fires in other weather; None: `scenarios.stressed`, and breaks of which one cell in
        ten fails; {} for none
    budget : what a plan may take, with the units it is counted in

    Raises
    ------
    InputError : a plan was chosen on these fires (same digest or same origin), is for another grid, is empty, has cells
        that cannot be treated, or takes more than the budget
    """
    others = stress_scenarios(fires) if scenarios is None else scenarios
    judged = settings(plans, landscape, fires, stencil=stencil, scenarios=others, budget=budget, units=units)
    told: dict[str, float] = {}
    if training is not None:
        told = training_scores(plans, landscape, training, stencil=stencil, workers=workers)
    if ray is not None:
        return scores(plans, spread_on_ray(judged, ray, say), tuple(others), told)
    burned: list[SpreadResult] = []
    for i, each in enumerate(judged):
        burned.append(gather(each, [burn(each, workers=workers)]))
        say(len(burned) / len(judged), "")
        if each.fields is not judged[min(i + 1, len(judged) - 1)].fields:
            each.fields.let_go()
    return scores(plans, burned, tuple(others), told)


def _mostly(flame_m: npt.NDArray[np.float32]) -> npt.ArrayLike:
    """A firebreak's cell holds against nine fires in ten, whatever their flames: a test, not a forecast."""
    return np.full(flame_m.shape, 0.9)


def stress_scenarios(fires: Fires, unseen: Fires | None = None) -> dict[str, Fires]:
    """Scenarios for `evaluate`: `scenarios.stressed`, failing breaks, and fires in weather no plan was made in."""
    more = {} if unseen is None else {"unseen weather": unseen}
    return stressed(fires) | {HOLDS_MOSTLY: fires} | more


def settings(
    plans: Mapping[str, Plan],
    landscape: Landscape,
    fires: Fires,
    *,
    stencil: int = 32,
    scenarios: Mapping[str, Fires] | None = None,
    budget: float | str | None = None,
    units: Units | None = None,
) -> list[Setting]:
    """What has to burn to judge plans, checked: the untreated landscape, then each plan; then so for each scenario."""
    for name, plan in plans.items():
        if fires.digest in plan.chosen_on or (fires.origin != "given" and fires.origin in plan.chosen_on):
            raise InputError(
                f"evaluate: plan {name!r} was chosen on these fires ({fires.origin}, digest {fires.digest}); "
                "judge it on fires of purpose 'heldout'"
            )
        if name == NO_BREAKS:
            raise InputError(f"evaluate: the name {NO_BREAKS!r} is kept for the untreated landscape; rename the plan")
        check_plan(name, plan, landscape, budget, units)
    every = {DESIGN_WEATHER: fires, **(scenarios or {})}
    judged: list[Setting] = []
    planned = Fields(landscape, fires.weather, stencil=stencil)
    for scenario, those in every.items():
        if len(those) != len(fires):
            raise InputError(f"evaluate: scenario {scenario!r} has {len(those)} fires; give {len(fires)}, as there are")
        same = those.weather == fires.weather
        fields = planned if same else Fields(landscape, those.weather, stencil=stencil)
        hold: HoldRule | None = _mostly if scenario == HOLDS_MOSTLY else None
        judged += [setting(landscape, those, plan, fields=fields, hold=hold) for plan in (None, *plans.values())]
    return judged


def check_plan(
    name: str, plan: Plan, landscape: Landscape, budget: float | str | None = None, units: Units | None = None
) -> None:
    """Refuse a plan that is empty, has cells that cannot be treated, or takes more than a budget."""
    able = int(landscape.treatable.sum())
    if not len(plan):
        raise InputError(
            f"evaluate: plan {name!r} is empty: it treats 0 of {able} treatable cells; give one with breaks"
        )
    try:
        plan.check_on(landscape)
    except InputError as error:
        raise InputError(f"evaluate: plan {name!r}: {error}") from None
    if budget is None:
        return
    advice = "give a share like '5%', a number of units, '30 ha' or '$50000'"
    if units is None and parse_budget(budget, advice).of == "money":
        if plan.cost is None:
            raise InputError(f"evaluate: plan {name!r} has no cost to hold against {budget}; give one in its file")
        amount, spent, thing = float(parse_budget(budget, advice).number), float(plan.cost.sum()), "money"
    else:
        units = Units.of_cells(landscape) if units is None else units
        price, amount = prices(landscape, units, budget)
        of = np.unique(units.unit_of[plan.cells])
        if (of < 0).any():
            raise InputError(
                f"evaluate: plan {name!r} has cells in no treatment unit; leave the units out, or the cells"
            )
        spent, thing = float(price[of].sum()), "units" if (price == 1).all() and not units.single else "cells"
    if spent > amount * (1 + 1e-9):
        raise InputError(
            f"evaluate: plan {name!r} is over the budget of {budget}: its {len(plan)} cells take {spent:g} of "
            f"{amount:g} ({thing}); give a larger budget, or a shorter plan"
        )


def training_scores(
    plans: Mapping[str, Plan], landscape: Landscape, training: Fires, *, stencil: int = 32, workers: int | None = None
) -> dict[str, float]:
    """Loss avoided on the fires that plans were chosen on, of those that were: how good they look to themselves."""
    fields = Fields(landscape, training.weather, stencil=stencil)
    before = spread(landscape, training, fields=fields, workers=workers).mean_loss
    return {
        name: 1 - spread(landscape, training, plan, fields=fields, workers=workers).mean_loss / before
        for name, plan in plans.items()
        if before > 0 and training.digest in plan.chosen_on
    }


def scores(
    plans: Mapping[str, Plan],
    burned: Sequence[SpreadResult],
    scenarios: Sequence[str] = (),
    training: Mapping[str, float] | None = None,
) -> Scores:
    """Scores of plans from what burned in each of their `settings`, in as many scenarios as are named."""
    size, parts = 1 + len(plans), []
    for first in range(0, size * (1 + len(scenarios)), size):
        untreated = burned[first]
        parts.append(
            Scores(
                (NO_BREAKS, *plans),
                np.stack([result.loss for result in burned[first : first + size]]),
                untreated.fires.weight,
                dict(plans),
                untreated.fires.digest,
                untreated.reached_edge_share,
                range_warning(untreated.too_long_share, untreated.stencil),
            )
        )
    return replace(parts[0], training=dict(training or {}), scenarios=dict(zip(scenarios, parts[1:], strict=True)))


def budget_curve(
    plans: Mapping[str, Plan],
    landscape: Landscape,
    fires: Fires,
    *,
    points: int = 10,
    stencil: int = 32,
    workers: int | None = None,
    say: Callable[[float, str], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """What the next unit buys: loss avoided by the first part of each plan, in so many steps up to all of it.

    Rows of plan, units, cells, hectares, cost (None where unknown), loss_avoided, low, high; each plan begins at 0.
    """
    rows: list[dict[str, Any]] = []
    ensemble: Ensemble | None = None
    fields = Fields(landscape, fires.weather, stencil=stencil)
    if fields.fits_whole:
        with suppress(InputError):  # more burned cells than memory holds: each first part is burned anew then
            ensemble = Ensemble(landscape, fires, workers=workers, fields=fields)
            ensemble.reset(0, np.arange(len(fires)))
    if ensemble is not None:
        untreated = ensemble.fire_losses()[0]
    else:
        untreated = spread(landscape, fires, fields=fields, workers=workers).loss
    for i, (name, plan) in enumerate(plans.items()):
        check_plan(name, plan, landscape)
        parts = [plan.prefix(n) for n in np.unique(np.rint(np.linspace(0, plan.units, points + 1)).astype(int))]
        losses, done = [untreated], 0
        if ensemble is not None:
            ensemble.reset(0, np.arange(len(fires)))
        for part in parts[1:]:
            if ensemble is not None:  # each first part is brought up to date from the one before
                ensemble.treat(part.cells[None, done:])
                losses.append(ensemble.fire_losses()[0])
            else:
                losses.append(spread(landscape, fires, part, fields=fields, workers=workers).loss)
            done = len(part)
        names = (NO_BREAKS, *(str(part.units) for part in parts[1:]))
        judged = Scores(names, np.stack(losses), fires.weight, {}, fires.digest, 0.0)
        for part, part_name in zip(parts, names, strict=True):
            mean, low, high = judged.loss_avoided(part_name)
            rows.append(
                {
                    "plan": name,
                    "units": part.units,
                    "cells": len(part),
                    "hectares": len(part) * landscape.hectares_per_cell,
                    "cost": None if part.cost is None else float(part.cost.sum()),
                    "loss_avoided": mean,
                    "low": low,
                    "high": high,
                }
            )
        say((i + 1) / len(plans), name)
    return rows


def selection_frequency(
    planner: Planner,
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    resamples: int = 20,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    say: Callable[[float, str], None] = lambda *_: None,
) -> npt.NDArray[np.float32]:
    """How often each cell is chosen when the planner plans on other fires of the kind (H, W): 1 is every time.

    The fires are drawn anew from themselves, with replacement (a bootstrap), and planned on, so many times.
    """
    rng, n = np.random.default_rng([seed, 4]), len(fires)
    chosen = np.zeros(landscape.shape, np.float32)
    for i in range(resamples):
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        which = np.flatnonzero(times)
        some = fires.take(which).weighed(fires.weight[which] * times[which])
        aim = objective
        if objective is not None and objective.scenario is not None:
            aim = replace(objective, scenario=objective.scenario[which])
        chosen += planner(
            landscape,
            some,
            budget,
            seed=seed,
            max_simulations=max_simulations,
            max_seconds=max_seconds,
            units=units,
            objective=aim,
        ).mask
        say((i + 1) / resamples, f"{i + 1} of {resamples} resampled sets of fires")
    return np.asarray(chosen / np.float32(max(resamples, 1)), np.float32)


def alternative(
    plan: Plan,
    planner: Planner,
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
) -> Plan | None:
    """The best plan found that differs in half of its units: what else is nearly as good, for those who decide.

    The planner plans again without one half of the plan: the first built, the last built, every second, and the others.
    The best of these on the planning fires is returned; None if no such plan can be made.
    """
    units = Units.of_cells(landscape) if units is None else units
    aim = Objective() if objective is None else objective
    of = list(dict.fromkeys(units.unit_of[plan.cells].tolist()))
    free = [unit for unit in of if unit >= 0 and not units.must[unit]]
    half = math.ceil(len(of) / 2)
    fields = Fields(landscape, fires.weather)
    untreated = spread(landscape, fires, fields=fields).loss
    best, found = np.inf, None
    for banned in (free[:half], free[-half:], free[::2], free[1::2]):
        excluded = units.excluded.copy()
        excluded[banned] = True
        try:
            other = planner(
                landscape,
                fires,
                budget,
                seed=seed,
                max_simulations=max_simulations,
                max_seconds=max_seconds,
                units=replace(units, excluded=excluded),
                objective=objective,
            )
        except InputError:  # what is left does not make a plan
            continue
        if len(set(units.unit_of[other.cells].tolist()) - set(of)) < half:
            continue
        loss = spread(landscape, fires, other, fields=fields).loss
        value = aim.value(loss, fires.weight, untreated)
        if value < best:
            best, found = value, other
    return found
