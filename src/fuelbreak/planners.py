"""Rules that place fuel breaks without learning: plain functions with one signature, the bar for the agent.

Each takes (landscape, fires, budget) and keywords seed, max_simulations, max_seconds, and returns a Plan in order of
building. One simulation is one fire brought up to date for one plan; when a limit is reached, the rest of the budget is
placed by what is known by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, budget_units
from fuelbreak.scenarios import Fires
from fuelbreak.spread import PLANE_NAMES, Ensemble, spread

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


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
    ) -> Plan:
        """Choose fuel breaks."""


def _best(score: F8, allowed: npt.NDArray[np.bool_], n: int, preferred: I8) -> I8:
    """The n allowed cells of highest score (H, W), flat, best first; of equal ones the first in `preferred`."""
    order = np.argsort(-np.where(allowed, score, -np.inf).ravel()[preferred], kind="stable")
    return preferred[order[:n]]


def _preferred(probability: F8, downstream: F8, seed: int) -> I8:
    """All cells, flat, in the order in which they are taken where a rule is indifferent.

    By burn probability, then by downstream value, both (H, W) and untreated. Where both are alike too, often because no
    fire came there, the cells are shuffled: by their number they would make a block in the map's northwest corner.
    """
    shuffled = np.random.default_rng([seed, 1]).permutation(probability.size)
    return np.lexsort((shuffled, -downstream.ravel(), -probability.ravel())).astype(np.int64)


def _planes(ensemble: Ensemble) -> tuple[F8, F8]:
    """Burn probability and downstream value (H, W) under the ensemble's present plan."""
    planes = ensemble.planes()[0]
    return planes[PLANE_NAMES.index("burn_probability")], planes[PLANE_NAMES.index("downstream_value")]


def _plan(
    landscape: Landscape, fires: Fires, cells: I8, method: str, simulations: int, solved: int, start: float
) -> Plan:
    return Plan.from_flat(
        landscape,
        cells,
        method=method,
        simulations=simulations,
        cells_solved=solved,
        seconds=time.process_time() - start,
        chosen_on=(fires.digest, fires.origin) if simulations else (),
    )


def _check_limits(fires: Fires, max_simulations: int | None, max_seconds: float | None) -> None:
    if max_simulations is not None and max_simulations < len(fires):
        raise InputError(
            f"max_simulations: {max_simulations} cannot burn the {len(fires)} fires once; "
            f"give at least {len(fires)}, or fewer fires"
        )
    if max_seconds is not None and not max_seconds > 0:
        raise InputError(f"max_seconds: {max_seconds:g} leaves no time; give seconds above 0")


def random(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
) -> Plan:
    """Breaks on treatable cells drawn at random: what any rule has to beat."""
    start = time.process_time()
    n = budget_units(landscape, budget)
    cells = np.random.default_rng(seed).choice(np.flatnonzero(landscape.treatable), n, replace=False)
    return _plan(landscape, fires, cells.astype(np.int64), "random", 0, 0, start)


def burn_probability(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
) -> Plan:
    """Breaks on the cells that burn most often."""
    _check_limits(fires, max_simulations, max_seconds)
    start = time.process_time()
    n = budget_units(landscape, budget)
    result = spread(landscape, fires)  # no trees are kept, so downstream value is not at hand to break ties
    probability = result.burn_probability().astype(np.float64)
    cells = _best(probability, landscape.treatable, n, _preferred(probability, np.zeros(landscape.shape), seed))
    return _plan(landscape, fires, cells, "burn_probability", len(fires), result.cells_solved, start)


def static_dpv(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
) -> Plan:
    """Breaks on the cells of highest downstream protection value, computed once (Pais et al. 2021).

    The downstream protection value of a cell is the mean value that burns through it in the fires' trees; a fire that
    starts in the cell does not count there, since treating the cell would not stop it.
    """
    _check_limits(fires, max_simulations, max_seconds)
    start = time.process_time()
    n = budget_units(landscape, budget)
    ensemble = Ensemble(landscape, fires, workers=None)
    ensemble.reset(0, np.arange(len(fires)))
    probability, downstream = _planes(ensemble)
    cells = _best(downstream, landscape.treatable, n, _preferred(probability, downstream, seed))
    return _plan(landscape, fires, cells, "static_dpv", len(fires), ensemble.cells_solved, start)


def sequential_dpv(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Breaks one at a time on the cell of highest downstream protection value, fires brought up to date after each.

    `progress(done, of)` is told of every unit placed.
    """
    _check_limits(fires, max_simulations, max_seconds)
    start, wall = time.process_time(), time.perf_counter()
    n = budget_units(landscape, budget)
    ensemble = Ensemble(landscape, fires, workers=None)
    ensemble.reset(0, np.arange(len(fires)))
    simulations, allowed, cells = len(fires), landscape.treatable.copy(), np.empty(n, np.int64)
    probability, score = _planes(ensemble)
    preferred = _preferred(probability, score, seed)
    for i in range(n):
        out_of_fires = max_simulations is not None and simulations + len(fires) > max_simulations
        if out_of_fires or (max_seconds is not None and time.perf_counter() - wall > max_seconds):
            cells[i:] = _best(score, allowed, n - i, preferred)
            break
        cells[i] = _best(score, allowed, 1, preferred)[0]
        allowed.flat[cells[i]] = False
        if i + 1 < n:
            ensemble.treat(cells[i : i + 1])
            simulations += len(fires)
            _, score = _planes(ensemble)
        if progress is not None:
            progress(i + 1, n)
    return _plan(landscape, fires, cells, "sequential_dpv", simulations, ensemble.cells_solved, start)


PLANNERS: dict[str, Planner] = {
    "random": random,
    "burn_probability": burn_probability,
    "static_dpv": static_dpv,
    "sequential_dpv": sequential_dpv,
}


def planner(name: str) -> Planner:
    """A planner by name, hyphens or underscores; an unknown one is refused with the names there are."""
    key = name.replace("-", "_")
    if key not in PLANNERS:
        raise InputError(f"method: {name!r} is unknown; use one of {', '.join(PLANNERS)}")
    return PLANNERS[key]
