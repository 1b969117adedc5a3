"""Small cases solved for certain, so that every planner has a known gap somewhere.

`tree_bound` says what no plan can do better than; `exact` finds the best plan there is, `enumeration` by trying all.
All are about the mean loss, and simulate truly: fire goes round a break.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, Units, prices
from fuelbreak.scenarios import Fires
from fuelbreak.spread import Ensemble, crossing_cells, exact_value

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

MOST_PLANS = 2_000_000  # that `enumeration` tries
AT_ONCE = 512  # plans brought up to date side by side
SLACK = 1e-9


class Bound(NamedTuple):
    """What no plan avoids more of than, and the plan that would if fire did not go round breaks.

    avoided : share of the untreated loss; proven : whether the relaxation was solved to the end, or stopped with a
    bound that holds all the same
    """

    avoided: float
    plan: Plan
    proven: bool


def tree_bound(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    units: Units | None = None,
    max_seconds: float | None = None,
) -> Bound:
    """Bound what any plan can avoid, from the trees of the untreated fires.

    A cell burns on if no edge on its way from the ignition is shut, so at the most is avoided what lies behind shut
    edges: a covering problem, solved by HiGHS as a mixed-integer program. An edge counts as shut if one of the cells it
    crosses is treated, or, past a corner, either of the two beside it; a treated ignition shuts nothing for its fire.

    Parameters
    ----------
    max_seconds : of HiGHS; what it has by then still bounds

    Raises
    ------
    InputError : a budget that buys nothing
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    units = Units.of_cells(landscape) if units is None else units
    price, amount = prices(landscape, units, budget)
    ensemble = Ensemble(landscape, fires, workers=None)
    ensemble.reset(0, np.arange(len(fires)))
    trees, n_units = ensemble.trees(), len(units)
    weight, loss = fires.weight / fires.weight.sum(), ensemble.losses()[0]
    cells = landscape.shape[0] * landscape.shape[1]
    key = trees.fire * cells + trees.cell
    went = np.flatnonzero(trees.parent >= 0)
    column = np.full(len(key), -1)
    column[went] = n_units + np.arange(len(went))
    up = column[np.searchsorted(key, trees.fire[went] * cells + trees.parent[went])]
    crossing = crossing_cells(trees, landscape.shape)[went]
    lit = fires.ignitions[trees.fire[went]] @ np.array([landscape.shape[1], 1])
    crossing = np.where((crossing >= 0) & (crossing != lit[:, None]), units.unit_of[crossing], -1)
    row, place = np.nonzero(crossing >= 0)
    entries = np.unique(np.stack([row, crossing[row, place]], axis=1), axis=0)
    own = np.arange(len(went))
    rows = np.concatenate([own, own[up >= 0], entries[:, 0], np.full(n_units, len(went))])
    cols = np.concatenate([column[went], up[up >= 0], entries[:, 1], np.arange(n_units)])
    values = np.concatenate([np.ones(len(own)), -np.ones((up >= 0).sum() + len(entries)), price])
    n = n_units + len(went)
    matrix = coo_array((values, (rows, cols)), shape=(len(went) + 1, n)).tocsr()
    limit = np.append(np.zeros(len(went)), amount * (1 + SLACK))
    value = exact_value(landscape).ravel()[trees.cell[went]]  # by flame length: the most, so it bounds all the same
    least, most = np.zeros(n), np.ones(n)
    least[:n_units], most[:n_units] = units.must, ~units.excluded
    solved = milp(
        -np.concatenate([np.zeros(n_units), weight[trees.fire[went]] * value / max(loss, 1e-300)]),
        integrality=np.concatenate([np.ones(n_units), np.zeros(len(went))]),
        bounds=Bounds(least, most),
        constraints=LinearConstraint(matrix, ub=limit),
        options={"mip_rel_gap": 0.0} | ({} if max_seconds is None else {"time_limit": max_seconds}),
    )
    if solved.x is None:
        raise InputError(f"bound: no plan within {max_seconds} s; give more time, or a smaller case")
    chosen = np.flatnonzero(solved.x[:n_units] > 0.5)
    plan = Plan.of_units(landscape, units, chosen.tolist(), method="tree_bound", chosen_on=_chosen_on(fires))
    return Bound(min(-float(solved.mip_dual_bound), 1.0), plan, solved.status == 0)


def _chosen_on(fires: Fires) -> tuple[str, ...]:
    return fires.digest, fires.origin


class _Search:
    """The best plan so far, and what is needed to look for a better one."""

    def __init__(self, landscape: Landscape, fires: Fires, units: Units, price: F8, amount: float) -> None:
        self.landscape, self.fires, self.units, self.price = landscape, fires, units, price
        self.must = np.flatnonzero(units.must).tolist()
        self.amount = amount * (1 + SLACK) - price[self.must].sum()
        if self.amount < 0:
            raise InputError("budget: it does not pay for the units that must be treated; raise it")
        allowed = np.flatnonzero(~units.must & ~units.excluded)
        cheapest = np.sort(price[allowed])
        self.depth = int(np.searchsorted(np.cumsum(cheapest), self.amount, side="right"))
        self.ensemble = Ensemble(landscape, fires, episodes=self.depth + 1, workers=None)
        self.all = np.arange(len(fires))
        self.simulations = 0
        self.bring(0, [])
        self.best, self.chosen = self.loss(0), list[int]()
        # The likeliest first, so that a good plan soon shows that others cannot be better.
        bound = self.ensemble.bounds(units.cells, together=True)[0]
        self.order = allowed[np.argsort(-bound[allowed], kind="stable")]

    def bring(self, depth: int, chosen: list[int]) -> None:
        """Burn the fires with these units, in the episode of a depth."""
        for episode in range(self.ensemble.episodes):
            if np.isnan(self.ensemble.losses()[episode]):
                self.ensemble.reset(episode, self.all)
        self.ensemble.reset(depth, self.all)
        cells = self.units.cells[self.must + chosen]
        flat = np.full((self.ensemble.episodes, max((cells >= 0).sum(), 1)), -1)
        flat[depth, : (cells >= 0).sum()] = cells[cells >= 0]
        self.ensemble.treat(flat)
        self.simulations += len(self.fires)

    def loss(self, depth: int) -> float:
        return float(self.ensemble.losses()[depth])

    def below(self, depth: int, chosen: list[int], first: int, left: float) -> None:
        """Look through all plans that begin with these units and go on with later ones of the order."""
        later = self.order[first:]
        later = later[self.price[later] <= left]
        if not len(later):
            return
        here = self.loss(depth)
        if here - self.most(depth, later, left) >= self.best:
            return
        self.simulations += len(later) * len(self.fires)
        avoided = self.ensemble.gains(self.units.cells[later]).avoided[depth]
        found = int(np.argmax(avoided))
        if here - avoided[found] < self.best:
            self.best, self.chosen = here - float(avoided[found]), [*chosen, int(later[found])]
        for unit in later[np.argsort(-avoided, kind="stable")]:
            remains = left - self.price[unit]
            place = int(np.flatnonzero(self.order == unit)[0])
            if depth + 1 > self.depth or not (self.price[self.order[place + 1 :]] <= remains).any():
                continue
            self.bring(depth + 1, [*chosen, int(unit)])
            self.below(depth + 1, [*chosen, int(unit)], place + 1, remains)

    def most(self, depth: int, later: I8, left: float) -> float:
        """What units bought for what is left avoid at the most: a fractional knapsack of their bounds."""
        bound = self.ensemble.bounds(self.units.cells[later], together=True)[depth]
        price = self.price[later]
        by_ratio = np.argsort(-bound / np.maximum(price, SLACK), kind="stable")
        spent = np.minimum(np.maximum(left - (np.cumsum(price[by_ratio]) - price[by_ratio]), 0.0), price[by_ratio])
        share = np.where(price[by_ratio] > 0, spent / np.maximum(price[by_ratio], SLACK), 1.0)
        return float((share * bound[by_ratio]).sum())


def exact(landscape: Landscape, fires: Fires, budget: float | str, *, units: Units | None = None) -> Plan:
    """The best plan there is for these fires, by branch and bound: what no planner can beat on them.

    Plans that begin alike are left out where even the sum of what each further unit could avoid at the most would not
    beat the best found. For some dozens of units and a few of them treated; `tree_bound` bounds larger cases.

    Raises
    ------
    InputError : a budget that buys nothing, or not what must be treated
    """
    start = time.process_time()
    units = Units.of_cells(landscape) if units is None else units
    price, amount = prices(landscape, units, budget)
    search = _Search(landscape, fires, units, price, amount)
    search.below(0, [], 0, search.amount)
    return Plan.of_units(
        landscape,
        units,
        search.must + search.chosen,
        method="exact",
        simulations=search.simulations,
        cells_solved=search.ensemble.cells_solved,
        seconds=time.process_time() - start,
        chosen_on=_chosen_on(fires),
    )


def enumeration(landscape: Landscape, fires: Fires, n: int, *, units: Units | None = None) -> tuple[Plan, float]:
    """The best plan of n units, by trying all of them, and its expected loss.

    Raises
    ------
    InputError : more plans than can be tried, or no n units
    """
    units = Units.of_cells(landscape) if units is None else units
    allowed = np.flatnonzero(~units.excluded)
    plans = math.comb(len(allowed), n)
    if not 1 <= n <= len(allowed) or plans > MOST_PLANS:
        raise InputError(f"enumeration: {plans:,} plans of {n} of {len(allowed)} units; give 1 to {MOST_PLANS:,} plans")
    ensemble = Ensemble(landscape, fires, episodes=min(AT_ONCE, plans), workers=None)
    every, best = np.arange(len(fires)), np.inf
    chosen: tuple[int, ...] = ()
    for some in _batches(combinations(allowed.tolist(), n), ensemble.episodes):
        for episode in range(ensemble.episodes):
            ensemble.reset(episode, every)
        cells = units.cells[np.array(some)].reshape(len(some), -1)
        flat = np.full((ensemble.episodes, cells.shape[1]), -1)
        flat[: len(some)] = cells
        ensemble.treat(flat)
        losses = ensemble.losses()[: len(some)]
        if losses.min() < best:
            best, chosen = float(losses.min()), some[int(np.argmin(losses))]
    plan = Plan.of_units(
        landscape, units, chosen, method="enumeration", simulations=plans * len(fires), chosen_on=_chosen_on(fires)
    )
    return plan, best


def _batches(plans: Iterator[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    while some := list(islice(plans, size)):
        yield some
