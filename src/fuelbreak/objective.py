"""What a plan is to make small: the one definition, for planners, for the exact reference and for the judge.

The loss of a fire is the sum of the losses of the cells it burns (`Landscape.value`, or by flame length
`value_by_flame`), made here from burned area and values at risk. An objective makes one number of the losses of many
fires: their mean, the mean of the worst of them, or that of the scenario that fares worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import FLAME_CLASSES, Landscape

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ValueLayer:
    """Something of value that fire takes more or less of, by the length of its flames.

    Parameters
    ----------
    value : (H, W) what is at risk in each cell, in any unit, zero or more
    response_pct : percent of it that is lost in flames of 0-2, 2-4, 4-6, 6-8, 8-12 and over 12 feet: a response
        function as in Scott, Thompson and Calkin (2013, RMRS-GTR-315); 0 to 100, since gains from fire are not counted
    weight : how much a unit of this layer counts beside those of others
    """

    value: npt.NDArray[np.float32]
    response_pct: tuple[float, ...] = (100.0,) * FLAME_CLASSES
    weight: float = 1.0

    def __post_init__(self) -> None:
        response = tuple(float(each) for each in self.response_pct)
        if len(response) != FLAME_CLASSES or not all(0 <= each <= 100 for each in response):
            raise InputError(
                f"response: {', '.join(f'{each:g}' for each in response)} are not six percentages of loss, 0 to 100, "
                "for flames of 0-2, 2-4, 4-6, 6-8, 8-12 and over 12 feet"
            )
        if not 0 <= self.weight < 1e12:
            raise InputError(f"weight of values: {self.weight:g}; give 0 or more")
        object.__setattr__(self, "response_pct", response)


def with_values(landscape: Landscape, layers: Sequence[ValueLayer], *, area_weight: float = 0.0) -> Landscape:
    """The landscape on which a burned cell costs a weighted sum of its area and of the values in it.

    Parameters
    ----------
    layers : values at risk on the landscape's grid, in one unit or with weights that make them one
    area_weight : what a hectare burned costs beside them, whatever its flames

    Raises
    ------
    InputError : layers of another grid, below 0 or with gaps; nothing at risk in the area of interest
    """
    if not 0 <= area_weight < 1e12:
        raise InputError(f"area_weight: {area_weight:g}; give 0 or more")
    total = np.full((FLAME_CLASSES, *landscape.shape), area_weight * landscape.hectares_per_cell)
    for layer in layers:
        value = np.asarray(layer.value, np.float64)
        if value.shape != landscape.shape or not ((value >= 0) & (value < 1e12)).all():
            raise InputError(
                f"values: give {landscape.shape[0]} x {landscape.shape[1]} numbers of 0 or more, one for each cell"
            )
        total += layer.weight * np.array(layer.response_pct)[:, None, None] / 100 * value
    if not total[:, landscape.area_of_interest].any():
        raise InputError(f"values: nothing in the area of interest of {landscape.label} can be lost; give other values")
    if (total == total[0]).all():
        return replace(landscape, value=total[0].astype(np.float32), value_by_flame=None)
    return replace(landscape, value_by_flame=total.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Objective:
    """One number of the losses of many fires; plans are made to lower it.

    The mean loss by default. Otherwise (1 - cvar) mean + cvar CVaR, where CVaR, the conditional value at risk, is the
    mean of the worst `tail` of the fires (Rockafellar and Uryasev 2002, Journal of Banking and Finance 26:1443-1471,
    proposition 8: the fire at the boundary counts in part). With scenarios it is that of the scenario that fares worst
    beside what it loses without breaks.

    Parameters
    ----------
    cvar : 0 to 1, share of CVaR beside the mean
    tail : share of the fires, by weight, that count as the worst
    scenario : (S,) which scenario each fire belongs to, for the worst of them; None: all are one
    """

    cvar: float = 0.0
    tail: float = 0.1
    scenario: I8 | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.cvar <= 1:
            raise InputError(f"cvar: {self.cvar:g} is no share; give 0 (the mean alone) to 1 (the worst fires alone)")
        if not 0 < self.tail <= 1:
            raise InputError(f"tail: {self.tail:g} is no share of the fires; give above 0, such as 0.1, to 1")

    @property
    def is_mean(self) -> bool:
        """Whether it is the plain mean loss."""
        return self.cvar == 0 and self.scenario is None

    def of(self, which: I8) -> Objective:
        """The same for some of the fires alone."""
        return self if self.scenario is None else replace(self, scenario=self.scenario[which])

    def value(self, loss: F8, weight: F8, untreated: F8) -> float:
        """The objective of losses (S,) of fires with weights (S,): a share of what it is for the untreated losses (S,).

        1 is as without breaks, 0 no loss at all; 0 too where there is nothing to lose.
        """
        return self._worst(loss, weight, untreated)[1]

    def focus(self, loss: F8, weight: F8, untreated: F8) -> F8:
        """How much each fire counts (S,) where losses are these: the objective's slope, for rules that work on means.

        Plain weights for the mean; more for the fires of the tail, and none for those of scenarios that fare better.
        """
        if self.is_mean:
            return weight
        which, _ = self._worst(loss, weight, untreated)
        return self._slope(np.where(which, loss, -1.0), np.where(which, weight, 0.0))

    def _worst(self, loss: F8, weight: F8, untreated: F8) -> tuple[npt.NDArray[np.bool_], float]:
        """Which fires are of the scenario that fares worst, and its objective."""
        worst, of = -1.0, np.ones(len(loss), bool)
        for each in [0] if self.scenario is None else np.unique(self.scenario):
            which = np.ones(len(loss), bool) if self.scenario is None else self.scenario == each
            before = float((self._slope(untreated[which], weight[which]) * untreated[which]).sum())
            after = float((self._slope(loss[which], weight[which]) * loss[which]).sum())
            share = after / before if before > 0 else 0.0
            if share > worst:
                worst, of = share, which
        return of, worst

    def _slope(self, loss: F8, weight: F8) -> F8:
        """What the mixture of mean and CVaR gains by a unit of each fire's loss (S,)."""
        whole = weight.sum()
        slope = (1 - self.cvar) * weight / whole
        if self.cvar > 0:
            order = np.argsort(-loss, kind="stable")
            before = np.cumsum(weight[order]) - weight[order]
            counted = np.clip(self.tail * whole - before, 0.0, weight[order])
            slope[order] += self.cvar * counted / counted.sum()
        return np.asarray(slope)


def conditional_value_at_risk(loss: F8, weight: F8, tail: float) -> float:
    """The mean loss of the worst `tail` of fires (S,), by weight."""
    return float((Objective(cvar=1.0, tail=tail)._slope(loss, weight) * loss).sum())
