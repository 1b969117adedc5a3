"""Rules and searches that place fuel breaks without learning: plain functions with one signature, the agent's bar.

Each takes (landscape, fires, budget) and the keywords of `Planner`, and returns a Plan in order of building. One
simulation is one fire brought up to date for one plan, so trying m units on S fires takes m S of them; when a limit is
reached, the rest of the budget is placed by what is known by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, Units, prices
from fuelbreak.objective import Objective
from fuelbreak.scenarios import Fires
from fuelbreak.spread import PLANE_NAMES, Ensemble, Trees, spread

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]

SLACK = 1e-9  # share of a budget that a sum of its parts may seem to be over


class Planner(Protocol):
    """What every planner looks like."""

    def __call__(
        self,
        landscape: Landscape,
        fires: Fires,
        budget: float | str,
        *,
        seed: int = 0,
        max_simulations: int | None = None,
        max_seconds: float | None = None,
        units: Units | None = None,
        objective: Objective | None = None,
        progress: Progress | None = None,
    ) -> Plan:
        """Choose fuel breaks.

        Parameters
        ----------
        budget : as `landscape.prices` reads it: share, number of units, hectares or money
        max_simulations, max_seconds : limits, for what is worth more the longer it runs; at least one round of the
            fires where the planner burns any
        units : what can be treated; None: every treatable cell is a unit
        objective : what is to be small; None: the mean loss
        progress : told how much is done, and of how much
        """


class Job:
    """What a planner works on and with: its units and budget, its fires, and what it has used of them."""

    def __init__(
        self,
        landscape: Landscape,
        fires: Fires,
        budget: float | str,
        seed: int,
        max_simulations: int | None,
        max_seconds: float | None,
        units: Units | None,
        objective: Objective | None,
        progress: Progress | None,
        *,
        burns: bool = True,
    ) -> None:
        if burns and max_simulations is not None and max_simulations < len(fires):
            raise InputError(
                f"max_simulations: {max_simulations} cannot burn the {len(fires)} fires once; "
                f"give at least {len(fires)}, or fewer fires"
            )
        if max_seconds is not None and not max_seconds > 0:
            raise InputError(f"max_seconds: {max_seconds:g} leaves no time; give seconds above 0")
        self.cpu, self.wall = time.process_time(), time.perf_counter()
        self.landscape, self.fires, self.seed = landscape, fires, seed
        self.units = Units.of_cells(landscape) if units is None else units
        if self.units.shape != landscape.shape:
            raise InputError(f"units: they are for a grid of {self.units.shape}, the landscape has {landscape.shape}")
        self.objective = Objective() if objective is None else objective
        if self.objective.scenario is not None and len(self.objective.scenario) != len(fires):
            raise InputError(f"objective: its scenarios are of {len(self.objective.scenario)} fires, not {len(fires)}")
        self.price, self.left = prices(landscape, self.units, budget)
        self.amount = self.left
        self.max_simulations, self.max_seconds = max_simulations, max_seconds
        self.progress, self.placed_share = progress, 0.0
        self.simulations = self.solved = 0
        self.untreated = np.empty(0)
        self.ensemble: Ensemble | None = None
        self.parts, self.part = 1, 0  # in how many parts fires burn, and the one that burns now:
        self.which = np.arange(len(fires))  # of all fires these
        self.chosen: list[int] = []
        self.open = ~self.units.excluded
        must = np.flatnonzero(self.units.must)
        if self.price[must].sum() > self.left * (1 + SLACK):
            raise InputError(
                f"budget {budget}: the {len(must)} units that must be treated take {self.price[must].sum():g} of "
                f"{self.left:g}; raise the budget"
            )
        for unit in must:
            self.spend(int(unit))
        if not self.chosen and not self.affordable().any():
            raise InputError(f"budget {budget} buys none of the {len(self.units)} units; raise it")
        self.rank = np.arange(len(self.units))

    @cached_property
    def centers(self) -> tuple[F8, F8]:
        """Row and column of the middle of each unit (U,)."""
        inside = self.units.cells >= 0
        row, col = np.divmod(np.maximum(self.units.cells, 0), self.units.shape[1])
        n = inside.sum(axis=1)
        return (row * inside).sum(axis=1) / n, (col * inside).sum(axis=1) / n

    # what is spent

    def affordable(self) -> npt.NDArray[np.bool_]:
        """Units that may still be treated and paid for (U,)."""
        return self.open & (self.price <= self.left + SLACK * self.amount)

    def spend(self, unit: int) -> None:
        """Choose a unit and pay for it."""
        self.chosen.append(unit)
        self.open[unit] = False
        self.left -= self.price[unit]

    def take_back(self, unit: int) -> None:
        """Choose a unit no more."""
        self.chosen.remove(unit)
        self.open[unit] = True
        self.left += self.price[unit]

    def order(self, score: F8) -> I8:
        """Affordable units, the most score for their price first; of equal ones those of lower rank."""
        allowed = np.flatnonzero(self.affordable())
        per_price = score[allowed] / np.maximum(self.price[allowed], SLACK)
        return allowed[np.lexsort((self.rank[allowed], -per_price))]

    def fill(self, score: F8) -> None:
        """Spend what is left by a score as it is."""
        for unit in self.order(score):
            if self.price[unit] <= self.left + SLACK * self.amount:
                self.spend(int(unit))
        self.tell()

    def tell(self, share: float = 1.0) -> None:
        """Say how much of the budget is spent, in units where they are alike; spent whole, such a share is done."""
        if self.progress is not None:
            each = float(self.price.mean())
            of = max(round(self.amount / each), 1)
            done, of = min(round((self.amount - self.left) / each), of), round(of / share)
            self.placed_share = done / of
            self.progress(done, of)

    def tell_search(self, moves: int, most: int) -> None:
        """Say how far a search is: of its limit, or where it has none of the most moves it may make, if any."""
        if self.max_simulations is not None:
            moves, most = min(self.simulations, self.max_simulations), self.max_simulations
        elif self.max_seconds is not None:
            most = max(1, round(self.max_seconds))
            moves = min(round(time.perf_counter() - self.wall), most)
        if self.progress is not None and most:
            self.progress(max(moves, round(self.placed_share * most)), most)

    def movable(self) -> list[int]:
        """The units chosen so far that need not be treated, in their order."""
        return [unit for unit in self.chosen if not self.units.must[unit]]

    # fires

    def room(self, rounds: int = 1) -> bool:
        """Whether the fires may be burned so many times more."""
        if self.max_simulations is not None and self.simulations + rounds * len(self.which) > self.max_simulations:
            return False
        return self.max_seconds is None or time.perf_counter() - self.wall < self.max_seconds

    def rounds_left(self, share: float, round_s: float) -> int:
        """How many more rounds of the fires, of so many seconds each, fit into a share of the limits."""
        left = float(2**31)
        if self.max_simulations is not None:
            left = min(left, (share * self.max_simulations - self.simulations) / len(self.which))
        if self.max_seconds is not None and round_s > 0:
            left = min(left, (share * self.max_seconds - (time.perf_counter() - self.wall)) / round_s)
        return max(0, int(left))

    def burn(self, parts: int = 1) -> None:
        """Burn the fires on the untreated landscape; then treat what must be.

        Parameters
        ----------
        parts : above 1, fires are brought up to date a part at a time, another with each `go_on`
        """
        self.parts, self.part = parts, 0
        self._take_part()
        self.ensemble = Ensemble(self.landscape, self.fires, fires_per_episode=len(self.which), workers=None)
        self.ensemble.reset(0, self.which)
        self.simulations += len(self.fires)
        self.untreated = self.ensemble.untreated_losses()
        self.focus()
        probability, downstream = self.planes()
        self.settle_rank(probability, downstream)
        if self.chosen and self.room():
            self.treat(self.chosen)

    def _take_part(self) -> None:
        """Settle which fires burn: all, or of those that count every so-manieth."""
        if self.parts > 1:
            counting = np.flatnonzero(self.fires.weight > 0)
            self.which = counting[self.part :: self.parts][: len(counting) // self.parts]

    def settle_rank(self, probability: F8, downstream: F8) -> None:
        """Which units are taken first where a rule is indifferent."""
        place = np.empty(probability.size, np.int64)
        place[_preferred(probability, downstream, self.seed)] = np.arange(probability.size)
        cells = self.units.cells
        self.rank = np.where(cells >= 0, place[np.maximum(cells, 0)], place.size).min(axis=1)

    @property
    def burning(self) -> Ensemble:
        """The fires, once they burn."""
        assert self.ensemble is not None
        return self.ensemble

    def focus(self) -> None:
        """Weigh fires by what counts for the objective now."""
        self.weight = self.fires.weight[self.which]
        if not self.objective.is_mean:
            aim = self.objective.of(self.which)
            self.weight = aim.focus(self.losses(), self.weight, self.untreated[self.which])
            self.burning.weigh(0, self.weight)

    def rebuild(self, chosen: Sequence[int]) -> None:
        """Bring the fires up to date with these units and no others."""
        cells = self.units.cells[list(chosen)]
        self.burning.reset(0, self.which, cells[cells >= 0] if chosen else None)
        self.simulations += len(self.which)
        self.focus()

    def go_on(self, chosen: Sequence[int]) -> None:
        """Bring the fires up to date with these units too; the next part of them with all units, if they are parted."""
        if self.parts == 1:
            self.treat(chosen)
        else:
            self.next_part()

    def next_part(self) -> None:
        """Burn the next part of the fires with the units chosen so far."""
        self.part = (self.part + 1) % self.parts
        self._take_part()
        self.rebuild(self.chosen)

    def treat(self, chosen: Sequence[int]) -> None:
        """Bring the fires up to date with these units too."""
        cells = self.units.cells[list(chosen)]
        self.burning.treat(cells[cells >= 0][None])
        self.simulations += len(self.which)
        self.focus()

    def losses(self) -> F8:
        """Loss now of each fire that burns (S,)."""
        return np.asarray(self.burning.fire_losses()[0])

    def value(self) -> float:
        """The objective now: a share of what it is without breaks."""
        aim, which = self.objective.of(self.which), self.which
        return aim.value(self.losses(), self.fires.weight[which], self.untreated[which])

    def planes(self) -> tuple[F8, F8]:
        """Burn probability and downstream value (H, W) as things stand."""
        planes = self.burning.planes()[0]
        return planes[PLANE_NAMES.index("burn_probability")], planes[PLANE_NAMES.index("downstream_value")]

    def score(self, plane: F8) -> F8:
        """The largest number of a plane (H, W) in each unit (U,)."""
        cells = self.units.cells
        return np.asarray(np.where(cells >= 0, plane.ravel()[np.maximum(cells, 0)], -np.inf).max(axis=1))

    def dpv(self) -> F8:
        """Downstream protection value of each unit (U,): that of its best cell, as things stand."""
        return self.score(self.planes()[1])

    def bounds(self) -> F8:
        """What each unit avoids at the most (U,), as things stand; costs no simulation."""
        return np.asarray(self.burning.bounds(self.units.cells)[0])

    def gains(self, tried: I8) -> F8:
        """What each of some units avoids, exactly."""
        self.simulations += len(tried) * len(self.which)
        return np.asarray(self.burning.gains(self.units.cells[tried]).avoided[0])

    def gain_of(self, groups: Sequence[Sequence[int]]) -> F8:
        """What each of some groups of units avoids, treated together, exactly."""
        cells = [self.units.cells[list(group)] for group in groups]
        cells = [each[each >= 0] for each in cells]
        padded = np.full((len(cells), max(map(len, cells))), -1, np.int64)
        for row, each in zip(padded, cells, strict=True):
            row[: len(each)] = each
        self.simulations += len(groups) * len(self.which)
        return np.asarray(self.burning.gains(padded).avoided[0])

    def best_gain(
        self, *, above: float = 0.0, most: int | None = None, per_price: bool = True, reserve: int = 0
    ) -> tuple[int, float] | None:
        """The affordable unit that gains most for its price, and its gain; None if none has more than `above`.

        As if every unit were tried: one whose bound is below the best gain so far cannot be better.

        Parameters
        ----------
        above : gain (for its price) that has to be beaten
        most : try no more than so many units, those of the highest bounds
        per_price : whether the price counts
        reserve : rounds of the fires to leave of `max_simulations`
        """
        divisor = np.maximum(self.price, SLACK) if per_price else np.ones(len(self.price))
        bound = self.bounds() / divisor
        order = np.flatnonzero(self.affordable() & (bound > above))
        order = order[np.lexsort((self.rank[order], -bound[order]))][:most]
        best, reached, at, chunk = None, above, 0, 8
        while at < len(order) and bound[order[at]] >= reached:
            if self.max_simulations is not None:
                chunk = min(chunk, (self.max_simulations - self.simulations) // len(self.which) - reserve)
            if chunk < 1 or not self.room():
                break
            some = order[at : at + chunk]
            some = some[bound[some] >= reached]
            gain = self.gains(some)
            first = np.lexsort((self.rank[some], -gain / divisor[some]))[0]
            found, ratio = int(some[first]), float(gain[first] / divisor[some[first]])
            if ratio > reached or (best is not None and ratio == reached and self.rank[found] < self.rank[best[0]]):
                best, reached = (found, float(gain[first])), ratio
            at += len(some)
            chunk *= 2
        return best

    def plan(self, method: str) -> Plan:
        """The units chosen so far as a plan, with what it cost."""
        solved = self.solved + (0 if self.ensemble is None else self.ensemble.cells_solved)
        return Plan.of_units(
            self.landscape,
            self.units,
            self.chosen,
            method=method,
            simulations=self.simulations,
            cells_solved=solved,
            seconds=time.process_time() - self.cpu,
            chosen_on=(self.fires.digest, self.fires.origin) if self.simulations else (),
        )


def _preferred(probability: F8, downstream: F8, seed: int) -> I8:
    """All cells, flat, in the order in which they are taken where a rule is indifferent.

    By burn probability, then by downstream value, both (H, W) and untreated. Where both are alike too, often because no
    fire came there, the cells are shuffled: by their number they would make a block in the map's northwest corner.
    """
    shuffled = np.random.default_rng([seed, 1]).permutation(probability.size)
    return np.lexsort((shuffled, -downstream.ravel(), -probability.ravel())).astype(np.int64)


def random(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks on units drawn at random: what any rule has to beat."""
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress, burns=False)
    # With its own numbers, so that a plan of cells is that of earlier versions.
    n = len(job.affordable().nonzero()[0])
    if job.units.single and (job.price == 1).all():
        n = round(job.left)
    for unit in np.random.default_rng(seed).choice(np.flatnonzero(job.open), n, replace=False):
        if job.price[unit] <= job.left + SLACK * job.amount:
            job.spend(int(unit))
    return job.plan("random")


def burn_probability(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks where it burns most often; of larger units, where most area burns for their price."""
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    result = spread(landscape, fires)  # no trees are kept, so downstream value is not at hand to break ties
    job.simulations, job.solved = len(fires), result.cells_solved
    probability = result.burn_probability().astype(np.float64)
    job.settle_rank(probability, np.zeros(landscape.shape))
    cells = job.units.cells
    job.fill(np.where(cells >= 0, probability.ravel()[np.maximum(cells, 0)], 0.0).sum(axis=1))
    return job.plan("burn_probability")


def static_dpv(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks on the cells of highest downstream protection value, computed once (Pais et al. 2021).

    The downstream protection value of a cell is the mean value that burns through it in the fires' trees; a fire that
    starts in the cell does not count there, since treating the cell would not stop it. A unit has that of its best
    cell.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    job.fill(job.dpv())
    return job.plan("static_dpv")


def sequential_dpv(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks one at a time on the unit of highest downstream protection value, fires brought up to date after each."""
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    _one_by_one(job)
    return job.plan("sequential_dpv")


def _one_by_one(job: Job) -> None:
    """Spend what is left by downstream protection value, the fires brought up to date after each unit."""
    score = job.dpv()
    while len(order := job.order(score)):
        if not job.room():
            job.fill(score)
            return
        job.spend(int(order[0]))
        if job.affordable().any():
            job.treat(job.chosen[-1:])
            score = job.dpv()
        job.tell()


def betweenness(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks on the cells through which most pairs of burned cells are joined in the fires' trees.

    Betweenness of a cell in one fire's tree: how many cells lie before it on the way from the ignition, times how many
    burn through it (Freeman 1977, Sociometry 40:35-41, for a directed tree). Computed once, summed over fires.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    trees = job.burning.trees()
    job.fill(job.score(tree_betweenness(trees, job.weight, landscape.shape)))
    return job.plan("betweenness")


def tree_betweenness(trees: Trees, weight: F8, shape: tuple[int, int]) -> F8:
    """Weighted sum over fires of each cell's betweenness in the fire's tree (H, W)."""
    cells = shape[0] * shape[1]
    key = trees.fire * cells + trees.cell  # rising
    lit = trees.parent < 0
    up = np.where(lit, np.arange(len(key)), np.searchsorted(key, trees.fire * cells + trees.parent))
    # Cells before each, by hops that double: the sum of a hop and of the hop from where it leads.
    depth, jump = (~lit).astype(np.int64), up
    while (jump != jump[jump]).any():
        depth, jump = depth + depth[jump], jump[jump]
    size = np.ones(len(key), np.int64)  # cells that burn through each, itself included
    order = np.argsort(-depth, kind="stable")
    ends = np.searchsorted(-depth[order], -np.arange(depth.max(initial=0), 0, -1), side="right")
    first = 0
    for last in ends:  # the deepest cells hand on first
        level = order[first:last]
        np.add.at(size, up[level], size[level])
        first = last
    between = weight[trees.fire] * depth * (size - 1)
    return np.asarray(np.bincount(trees.cell, between, minlength=cells), np.float64).reshape(shape)


def domirank(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks on the cells that dominate the graph of how fire spreads (DomiRank centrality).

    The graph joins neighbors by how often fire went from one to the other, either way, in units of its busiest edge.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    graph = spread_graph(job.burning.trees(), job.weight, landscape.shape)
    job.fill(job.score(domirank_centrality(graph).reshape(landscape.shape)))
    return job.plan("domirank")


def spread_graph(trees: Trees, weight: F8, shape: tuple[int, int]) -> Any:
    """How often fire went between two cells, either way, over the most (H W, H W): a symmetric scipy sparse array."""
    from scipy.sparse import coo_array

    went, cells = trees.parent >= 0, shape[0] * shape[1]
    often = coo_array(
        (weight[trees.fire[went]], (trees.parent[went], trees.cell[went])), shape=(cells, cells), dtype=np.float64
    ).tocsr()
    both = often + often.T
    return both / max(both.max(), 1e-300)


def domirank_centrality(graph: Any) -> F8:
    """DomiRank centrality of the nodes of a symmetric sparse graph (N, N): (N,).

    Gamma = sigma (sigma A + I)^-1 A 1 (Engsig, Tejedor, Moreno, Foufoula-Georgiou and Kasmi 2024, Nature
    Communications 15:56, equation 4 with theta 1), where sigma = -(1 - 1 / N^1.5) / lambda_N, close to the strongest
    competition for which it is defined, and lambda_N is the least eigenvalue of A.
    """
    from scipy.sparse import eye_array
    from scipy.sparse.linalg import eigsh, spsolve

    n = graph.shape[0]
    some = np.flatnonzero(graph.sum(axis=1) > 0)  # others are 0
    gamma = np.zeros(n)
    if not len(some):
        return gamma
    inner = graph[some][:, some].tocsc()
    if len(some) < 50:
        least = float(np.linalg.eigvalsh(inner.toarray())[0])
    else:
        start = np.cos(np.arange(len(some)) * 2.4)  # any fixed vector, so that the digits are the same each time
        least = float(eigsh(inner, k=1, which="SA", v0=start, return_eigenvectors=False)[0])
    sigma = -(1 - 1 / len(some) ** 1.5) / least
    gamma[some] = sigma * spsolve((sigma * inner + eye_array(len(some))).tocsc(), inner.sum(axis=1))
    return gamma


def greedy(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks one at a time on the unit whose exact gain for its price is greatest, as if each were tried on every fire.

    A unit is passed over only where the value that burned through the edges it would shut is less than the best gain
    found, so it could not be better; for firebreaks that always holds.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    while job.affordable().any():
        best = job.best_gain() if job.room() else None
        if best is None:  # nothing alone avoids anything, or a limit is reached
            job.fill(job.bounds())
            break
        job.spend(best[0])
        job.tell()
        if not job.affordable().any() or not job.room():
            job.fill(job.bounds())
            break
        job.treat([best[0]])
    return job.plan("greedy")


def swap_search(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
    start: Plan | str = "sequential_dpv",
) -> Plan:
    """Another plan improved by swaps: a unit out, the one that then gains most in, while that lowers the objective.

    Parameters
    ----------
    start : the plan to improve, or the planner that makes it, with at most three quarters of the simulations
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    _start_from(job, start, budget)
    improve(job, (1,), _best_gains(job), np.random.default_rng([job.seed, 2]))
    return job.plan("swap_search")


def segment_swap(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
    start: Plan | str = "lines",
) -> Plan:
    """Another plan improved by segments: two to four neighboring units out, as many put back by what they then gain.

    `start` as for `swap_search`.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    _start_from(job, start, budget)
    improve(job, (2, 3, 4), _best_gains(job), np.random.default_rng([job.seed, 2]))
    return job.plan("segment_swap")


def _start_from(job: Job, start: Plan | str, budget: float | str) -> None:
    """Choose the units of a plan, and bring the fires up to date with them."""
    if isinstance(start, str):
        limit = None if job.max_simulations is None else int(job.max_simulations * START_SHARE)
        plan = planner(start)(
            job.landscape,
            job.fires,
            budget,
            seed=job.seed,
            max_simulations=None if limit is None else max(limit, len(job.fires)),
            max_seconds=None if job.max_seconds is None else job.max_seconds * START_SHARE,
            units=job.units,
            objective=job.objective,
        )
        job.simulations, job.solved = plan.simulations, plan.cells_solved
    else:
        plan = start
        plan.check_on(job.landscape)
    of = job.units.unit_of[plan.cells]
    chosen = np.unique(of, return_index=True)
    given = [int(unit) for unit in chosen[0][np.argsort(chosen[1])]]
    if (of < 0).any() or (job.units.cells[given] >= 0).sum() != len(plan.cells):
        raise InputError(f"start: {(of < 0).sum()} of its {len(plan.cells)} cells are in no unit; give a plan of units")
    for unit in given:
        if job.open[unit]:
            if job.price[unit] > job.left + SLACK * job.amount:
                raise InputError(f"start: its {len(given)} units are more than the budget {budget} pays for")
            job.spend(unit)
    if not job.room(3):  # nothing is left to search with
        return
    must = [unit for unit in job.chosen if job.units.must[unit]]
    chosen_all, job.chosen = job.chosen, must
    job.burn()
    job.chosen = chosen_all
    job.rebuild(job.chosen)


Place = Callable[[Sequence[int], float], list[int]]


def _best_gains(job: Job) -> Place:
    """Put in what then gains most; one for one, only what avoids more than what was taken out."""

    def place(out: Sequence[int], own: float) -> list[int]:
        put: list[int] = []
        while len(put) < len(out) and job.room(2):
            found = job.best_gain(above=max(own, 0.0), most=TRIED, per_price=False, reserve=1)
            if found is None:
                break
            job.spend(found[0])
            job.treat(found[:1])
            put.append(found[0])
        return put

    return place


def improve(
    job: Job,
    sizes: Sequence[int],
    place: Place,
    rng: np.random.Generator,
    *,
    patience: int = 1,
    most_moves: int | None = None,
) -> None:
    """Take units out and put others in, as long as that lowers the objective and limits allow.

    Parameters
    ----------
    sizes : how many neighbors are taken out at once: one of these
    place : treats others, given those that are out and, of one alone, what it avoided; returns them
    patience : moves in a row, for each unit that can move, that may change nothing
    most_moves : ends it, whatever they change
    """
    if job.ensemble is None:
        return
    row, col = job.centers
    best, current = job.value(), job.losses()
    queue: list[int] = []
    moves = failed = 0
    while job.room(4) and (most_moves is None or moves < most_moves):
        movable = job.movable()
        if failed >= patience * len(movable):
            break
        if not queue:
            queue = rng.permutation(movable).tolist()
        unit = queue.pop()
        if unit not in job.chosen:
            continue
        near = np.argsort(np.hypot(row[movable] - row[unit], col[movable] - col[unit]), kind="stable")
        out = [movable[i] for i in near[: int(rng.choice(sizes))]]
        before = job.left, job.open.copy(), list(job.chosen)
        for each in out:
            job.take_back(each)
        job.rebuild(job.chosen)
        # What they avoid, in the weights that count now: swapped one for one, another has to avoid more.
        own = float(((job.losses() - current) * job.weight).sum() / job.weight.sum()) if len(out) == 1 else 0.0
        put = place(out, own)
        moves += 1
        value = job.value() if put else np.inf
        if value < best - 1e-12:
            best, current, failed = value, job.losses(), 0
            places = iter(put)
            job.chosen = [next(places, -1) if each in out else each for each in before[2]]
            job.chosen = [each for each in job.chosen if each >= 0] + list(places)
            if job.affordable().any():  # no more of them gained anything, or a limit is reached
                known = len(job.chosen)
                job.fill(job.bounds())
                if job.room():
                    job.treat(job.chosen[known:])
                    best, current = job.value(), job.losses()
        else:
            job.left, job.open, job.chosen = before
            failed += 1
        job.tell_search(moves, most_moves or 0)


TRIED = 4  # units tried for each one taken out, those of the highest bounds
START_SHARE = 0.75  # of the simulations and seconds, for the plan that a search starts from


def annealing(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Simulated annealing from sequential DPV: one unit swapped at a time, worse plans kept ever more rarely.

    A unit goes out at random; another comes in, a neighbor of it or one drawn by the value that burned through its
    edges. Without a limit it makes 20 moves for each unit of the plan, 1000 at least. The best plan met is returned.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    _start_from(job, "sequential_dpv", budget)
    _anneal(job)
    return job.plan("annealing")


MOVES_PER_UNIT, FEWEST_MOVES = 20, 1000
HOT, COLD = 2.0, 0.02  # temperatures, in what a unit of the starting plan avoids on average


def _anneal(job: Job) -> None:
    if job.ensemble is None:
        return
    rng = np.random.default_rng([job.seed, 3])
    row, col = job.centers
    moves = max(MOVES_PER_UNIT * len(job.chosen), FEWEST_MOVES)
    if job.max_simulations is not None:
        moves = min(moves, (job.max_simulations - job.simulations) // len(job.fires))
    value = best = job.value()
    best_chosen, likely = list(job.chosen), job.bounds()
    typical = max((1 - value) / len(job.chosen), 1e-9)
    for move in range(moves):
        if not job.room():
            break
        out = int(rng.choice(job.movable() or [-1]))
        if out < 0:
            break
        before = job.left, job.open.copy(), list(job.chosen)
        job.take_back(out)
        allowed = job.affordable()
        allowed[out] = False
        near = allowed & (np.hypot(row - row[out], col - col[out]) < 1.5)
        if near.any() and rng.random() < 0.5:
            new = int(rng.choice(np.flatnonzero(near)))
        elif (likely * allowed).sum() > 0:
            new = int(rng.choice(len(likely), p=likely * allowed / (likely * allowed).sum()))
        else:
            job.left, job.open, job.chosen = before
            continue
        job.spend(new)
        job.chosen = [new if unit == out else unit for unit in before[2]]
        job.rebuild(job.chosen)
        after = job.value()
        temperature = typical * HOT * (COLD / HOT) ** (move / max(moves - 1, 1))
        if after <= value or rng.random() < np.exp((value - after) / temperature):
            value, likely = after, job.bounds()
            if value < best:
                best, best_chosen = value, list(job.chosen)
        else:
            job.left, job.open, job.chosen = before
        if job.progress is not None:
            job.progress(move + 1, moves)
    job.chosen = best_chosen


def lines(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks in straight segments that join barriers: what does not burn, and breaks that stand already.

    Segments run through the cells of highest downstream protection value in eight orientations. Those that lie across
    most of the value that burns through, and across most of it for their price, are tried exactly, and the best for its
    price is built, again and again. What is left at the end is placed by sequential DPV.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    while job.affordable().any() and job.room(2):
        segments, across = _segments(job)
        price = np.array([job.price[segment].sum() for segment in segments])
        # Whether a few cells in the hottest place or a longer line does more for its price, fires have to say.
        tried = np.concatenate([np.argsort(-across / price, kind="stable")[:TRIED], np.argsort(-across, kind="stable")])
        tried = np.array(list(dict.fromkeys(tried[: 2 * TRIED].tolist())), np.int64)
        if max_simulations is not None:
            tried = tried[: (max_simulations - job.simulations) // len(fires) - 1]
        if not len(tried):
            break
        gain = job.gain_of([segments[i] for i in tried]) / price[tried]
        if gain.max() <= 0:
            break
        best = segments[tried[int(np.argmax(gain))]]
        for unit in best:
            job.spend(unit)
        job.treat(best)
        job.tell()
    _one_by_one(job)
    return job.plan("lines")


def cells_and_lines(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
    tried: int = 8,
) -> Plan:
    """Breaks one after another, a unit or a straight segment of them, whichever avoids most for its price.

    As many units of the highest bounds and segments (as `lines` makes them) are tried exactly each time as `tried`
    says, half of it the segments across most value for their price. Greedy takes units alone, so a line that pays only
    when it is closed is never begun; `lines` takes segments alone, and leaves places where one cell does it.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    while job.affordable().any() and job.room(2):
        bound = job.bounds()
        order = np.flatnonzero(job.affordable() & (bound > 0))
        ratio = bound[order] / np.maximum(job.price[order], SLACK)
        order = order[np.lexsort((job.rank[order], -ratio))][:tried]
        segments, across = _segments(job)
        price = np.array([job.price[segment].sum() for segment in segments])
        wide = [*np.argsort(-across / price, kind="stable")[: tried // 2], *np.argsort(-across, kind="stable")]
        runs = [segments[i] for i in dict.fromkeys(int(i) for i in wide)][:tried]
        # Turn about, so that a limit of simulations cuts both.
        candidates = [each for pair in zip_longest([[int(unit)] for unit in order], runs) for each in pair if each]
        if max_simulations is not None:
            candidates = candidates[: max(1, (max_simulations - job.simulations) // len(fires) - 1)]
        if not candidates:
            break
        found = job.gain_of(candidates) / np.array([max(job.price[each].sum(), SLACK) for each in candidates])
        if found.max() <= 0:
            break
        best = candidates[int(np.argmax(found))]
        for unit in best:
            job.spend(unit)
        job.treat(best)
        job.tell()
    _one_by_one(job)
    return job.plan("cells_and_lines")


SEEDS, ORIENTATIONS, REACH_CELLS = 24, 8, 12


def _segments(job: Job) -> tuple[list[list[int]], F8]:
    """Straight runs of units that end at a barrier on one side at least, or any runs if there are none.

    And how much value burns across each: downstream value of its middle cells, by how far fire moves across the run.
    """
    rows, cols = job.landscape.shape
    barrier = ~job.landscape.burnable
    for unit in job.chosen:
        cells = job.units.cells[unit]
        barrier.flat[cells[cells >= 0]] = True
    planes = job.burning.planes()[0]
    down, right = _directions(planes)
    value = planes[PLANE_NAMES.index("downstream_value")] / np.maximum(np.hypot(down, right), SLACK)
    affordable, most = job.affordable(), job.left + SLACK * job.amount
    joined: list[tuple[list[int], float]] = []
    loose: list[tuple[list[int], float]] = []
    seeds = job.order(job.dpv())[:SEEDS]
    for turn in range(ORIENTATIONS):
        angle = np.pi * turn / ORIENTATIONS
        south, east = np.sin(angle), np.cos(angle)
        crossed = (value * np.abs(down * east - right * south)).ravel()
        per_step = np.array([south, east]) / max(abs(south), abs(east))
        steps = np.rint(np.arange(1, REACH_CELLS + 1)[:, None] * per_step).astype(np.int64).tolist()
        for seed in seeds:
            row0, col0 = divmod(int(job.units.cells[seed, 0]), cols)
            arms, ends = [], []
            for way in (1, -1):
                arm: list[int] = []
                end = False
                for down_by, right_by in steps:
                    row, col = row0 + way * down_by, col0 + way * right_by
                    if not (0 <= row < rows and 0 <= col < cols):
                        break
                    if barrier[row, col]:
                        end = True
                        break
                    unit = int(job.units.unit_of[row * cols + col])
                    if unit < 0 or not affordable[unit]:
                        break
                    arm.append(unit)
                arms.append(arm)
                ends.append(end)
            for parts in ((0,), (1,), (0, 1)):
                segment = list(dict.fromkeys([int(seed), *(unit for part in parts for unit in arms[part])]))
                if job.price[segment].sum() <= most:
                    cells = job.units.cells[segment]
                    run = segment, float(crossed[cells[cells >= 0]].sum())
                    (joined if any(ends[part] for part in parts) else loose).append(run)
    found = joined or loose
    return [segment for segment, _ in found], np.array([across for _, across in found])


def _directions(planes: F8) -> tuple[F8, F8]:
    """How far fire moves south and east as it enters each cell (H, W), on average, by the planes (7, H, W)."""
    north, east, south, west = (
        planes[PLANE_NAMES.index(f"toward_{side}")] for side in ("north", "east", "south", "west")
    )
    return south - north, east - west


def travel_routes(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Breaks across the major routes of fire, strip by strip downwind, as FlamMap's treatment optimization does it.

    The map is cut into strips across the fires' mean direction. From the upwind strip on, a block of cells is put
    across the route that carries most value through the strip, fires are brought up to date, and so on until the
    strip's share of the budget is spent. In the manner of Finney (2007, International Journal of Wildland Fire
    16:702-711), who blocks the routes of one fire front in one weather; here they are those of all fires.
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    _block_routes(job)
    _one_by_one(job)
    return job.plan("travel_routes")


STRIP_CELLS, BLOCK_CELLS = 10, 5  # depth of a strip along the wind; width of a block across the route


def _block_routes(job: Job) -> None:
    down, right = (float(part.sum()) for part in _directions(job.burning.planes()[0]))
    length = np.hypot(down, right)
    if length == 0:
        return
    down, right = down / length, right / length
    row, col = job.centers
    along = row * down + col * right
    strips = max(1, int(np.ceil((along[job.open].max() - along[job.open].min()) / STRIP_CELLS)))
    which = np.clip((along - along[job.open].min()) // STRIP_CELLS, 0, strips - 1)
    share = job.left / strips
    rows, cols = job.landscape.shape
    for strip in range(strips):
        keep = job.left - share
        while job.room():
            score = np.where(which == strip, job.dpv(), -np.inf)
            order = job.order(score)
            order = order[score[order] > 0]
            if not len(order) or job.left - job.price[order[0]] < keep - SLACK * job.amount:
                break
            middle = int(order[0])
            block = [middle]
            job.spend(middle)
            for step in sorted(range(-(BLOCK_CELLS // 2), BLOCK_CELLS // 2 + 1), key=abs)[1:]:
                at = round(row[middle] + step * right), round(col[middle] - step * down)
                unit = int(job.units.unit_of[at[0] * cols + at[1]]) if 0 <= at[0] < rows and 0 <= at[1] < cols else -1
                if unit >= 0 and job.affordable()[unit] and job.left - job.price[unit] >= keep - SLACK * job.amount:
                    job.spend(unit)
                    block.append(unit)
            job.treat(block)
            job.tell()


PLANNERS: dict[str, Planner] = {
    each.__name__: each
    for each in (
        random,
        burn_probability,
        static_dpv,
        sequential_dpv,
        betweenness,
        domirank,
        greedy,
        swap_search,
        segment_swap,
        annealing,
        lines,
        cells_and_lines,
        travel_routes,
    )
}


# What a plan is set against where it is handed over: rules that take a moment.
RULES = ("random", "burn_probability", "static_dpv", "sequential_dpv")


def planner(name: str) -> Planner:
    """A planner by name, hyphens or underscores; an unknown one is refused with the names there are."""
    key = name.replace("-", "_")
    if key not in PLANNERS:
        raise InputError(f"method: {name!r} is unknown; use one of {', '.join(PLANNERS)}")
    return PLANNERS[key]
