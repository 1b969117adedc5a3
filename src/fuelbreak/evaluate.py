"""The judge: plans on fires that nothing was tuned on, as paired differences with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import Fires
from fuelbreak.spread import Fields, Setting, SpreadResult, burn, gather, range_warning, setting, spread_on_ray

F8 = npt.NDArray[np.float64]

NO_BREAKS = "no breaks"
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
    """

    names: tuple[str, ...]
    loss: F8
    weight: F8
    plans: dict[str, Plan]
    fires_digest: str
    reached_edge_share: float
    range_warning: str | None = None

    def loss_avoided(self, name: str) -> tuple[float, float, float]:
        """Share of the untreated loss a plan avoids, 1 - sum L / sum L0: mean, low and high of its 95 % interval."""
        return self._interval(self._shares[self._row(name)])

    def difference(self, a: str, b: str) -> tuple[float, float, float]:
        """How much more loss plan a avoids than plan b on the same fires: mean, low and high of the 95 % interval."""
        shares = self._shares
        return self._interval(shares[self._row(a)] - shares[self._row(b)])

    def table(self) -> list[dict[str, Any]]:
        """One row a plan: plan, units, loss_avoided, low, high, mean_loss, simulations, cells_solved, seconds."""
        rows = []
        for i, name in enumerate(self.names):
            mean, low, high = self.loss_avoided(name)
            plan = self.plans.get(name)
            rows.append(
                {
                    "plan": name,
                    "units": 0 if plan is None else len(plan.cells),
                    "loss_avoided": mean,
                    "low": low,
                    "high": high,
                    "mean_loss": float((self.loss[i] * self.weight).sum() / self.weight.sum()),
                    "simulations": 0 if plan is None else plan.simulations,
                    "cells_solved": 0 if plan is None else plan.cells_solved,
                    "seconds": 0.0 if plan is None else plan.seconds,
                }
            )
        return rows

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
) -> Scores:
    """Judge plans on fires that none of them was chosen on.

    Parameters
    ----------
    plans : by name; "no breaks" is added
    fires : held-out fires, 2000 or more for an interval of a point or two
    stencil : neighbors of a cell; 32 are the most accurate
    workers : threads
    ray : the module, from `parallel.join_ray`, to burn on its cluster in place of threads
    say : told of progress: share done, message

    Raises
    ------
    InputError : a plan was chosen on these fires (same digest or same origin), or is for another grid
    """
    judged = settings(plans, landscape, fires, stencil=stencil)
    if ray is not None:
        return scores(plans, spread_on_ray(judged, ray, say))
    burned = []
    for each in judged:
        burned.append(gather(each, [burn(each, workers=workers)]))
        say(len(burned) / len(judged), "")
    return scores(plans, burned)


def settings(plans: Mapping[str, Plan], landscape: Landscape, fires: Fires, *, stencil: int = 32) -> list[Setting]:
    """What has to burn to judge plans, checked: the untreated landscape, then each plan on the same spread fields."""
    for name, plan in plans.items():
        if fires.digest in plan.chosen_on or (fires.origin != "given" and fires.origin in plan.chosen_on):
            raise InputError(
                f"evaluate: plan {name!r} was chosen on these fires ({fires.origin}, digest {fires.digest}); "
                "judge it on fires of purpose 'heldout'"
            )
        if name == NO_BREAKS:
            raise InputError(f"evaluate: the name {NO_BREAKS!r} is kept for the untreated landscape; rename the plan")
    fields = Fields(landscape, fires.weather, stencil=stencil)
    return [setting(landscape, fires, plan, fields=fields) for plan in (None, *plans.values())]


def scores(plans: Mapping[str, Plan], burned: Sequence[SpreadResult]) -> Scores:
    """Scores of plans from what burned in each of their `settings`."""
    untreated = burned[0]
    return Scores(
        (NO_BREAKS, *plans),
        np.stack([result.loss for result in burned]),
        untreated.fires.weight,
        dict(plans),
        untreated.fires.digest,
        untreated.reached_edge_share,
        range_warning(untreated.too_long_share, untreated.stencil),
    )
