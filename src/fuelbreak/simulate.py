"""Simulate: Monte-Carlo fires on one landscape, the class of the parallelization analysis this software came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fuelbreak import parallel
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import AnyWeather, Fires, Purpose, Season, Weather, checked_bank, fire_season
from fuelbreak.spread import Fields, SpreadResult, settle_buffer, spread


def demo_landscape(
    size: int = 50, seed: int = 0, weathers: Sequence[Weather] | None = None, duration_min: float = 60.0
) -> Landscape:
    """The demo landscape: `size` x `size` cells of interest with the default buffer around them."""
    bank = fire_season() if weathers is None else weathers
    return settle_buffer(lambda n: Landscape.demo(size, size, seed, buffer_cells=n), bank, duration_min)


class Simulate:
    """Many fires on one landscape, on one core or on many, with the same result bit for bit.

    Parameters
    ----------
    landscape : None is the demo landscape, that of the environments: 50 x 50 cells of interest with a buffer around
        them, so that maps have the shape of the buffered grid, `self.landscape.shape`
    weather : one Weather, a bank, or a Season; `fire_season()` if None
    seed : of the fires; run k of `run_many_simulations` starts the same fires every time it is called
    stencil : as for `spread`
    """

    def __init__(
        self,
        landscape: Landscape | None = None,
        weather: AnyWeather | None = None,
        seed: int = 0,
        *,
        stencil: int = 32,
    ) -> None:
        self.season = fire_season() if weather is None else weather
        self.weather = checked_bank(self.season)
        self.landscape = demo_landscape(weathers=self.weather) if landscape is None else landscape
        self.seed = seed
        self._workers = 1
        self._drawn: tuple[tuple[int, float, Purpose], Fires] | None = None
        self._fields = Fields(self.landscape, self.weather, stencil=stencil)
        if self._fields.fits_whole:
            self._fields.world()  # now, so that every run takes as long as the next

    @property
    def workers(self) -> int:
        """How many threads burn fires: 1 is the sequential fallback."""
        return self._workers

    def set_parallel_simulations(self, enabled: bool = True, max_workers: int | None = None) -> None:
        """Burn fires on several cores.

        Parameters
        ----------
        enabled : False returns to the sequential fallback
        max_workers : threads; None takes every available core, since all fires stand in one flat list. Inside one of
            several parallel environments use `parallel.nested_workers()`, a quarter of the cores.
        """
        self._workers = parallel.checked_workers(max_workers) if enabled else 1

    def run_many_simulations(
        self, n: int, max_duration: float = 60, plan: Plan | None = None, *, purpose: Purpose = "train"
    ) -> SpreadResult:
        """Burn n fires for at most `max_duration` minutes each, with the plan's firebreaks in place.

        Returns the result of `spread`: arrival times, burned cells, burn probability, losses.
        """
        asked = n, max_duration, purpose
        if self._drawn is None or self._drawn[0] != asked:  # as often the same fires burn again, under another plan
            fires = Fires.draw(
                self.landscape, n, self.seed, purpose=purpose, weather=self.season, duration_min=max_duration
            )
            self._drawn = asked, fires
        return spread(self.landscape, self._drawn[1], plan, workers=self._workers, fields=self._fields)


HOURS_TRIED = (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 36, 48)
ROUNDS = 3  # each halves the step about the best duration, at last to about 5 %
FITS_WELL = 0.15  # Kolmogorov-Smirnov distance up to which two lists of sizes are alike enough to plan with
AT_EDGE = 0.05  # share of fires at the map's edge above which their sizes are cut short


@dataclass(frozen=True, eq=False)
class SizeFit:
    """Sizes of simulated fires beside those of past fires, for several durations.

    Parameters
    ----------
    past_ha : (m,) sizes of past fires, none smaller than a cell
    durations_min : (d,) durations tried, rising
    simulated_ha : (d, n) sizes of the same n fires at each duration
    distance : (d,) largest difference between the shares of fires larger than any size (Kolmogorov-Smirnov), 0 to 1
    at_edge : (d,) share of the fires that reached the map's edge
    """

    past_ha: npt.NDArray[np.float64]
    durations_min: npt.NDArray[np.float64]
    simulated_ha: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]
    at_edge: npt.NDArray[np.float64]

    @property
    def best(self) -> int:
        """Which duration fits best."""
        return int(np.argmin(self.distance))

    @property
    def best_duration_min(self) -> float:
        """The duration that fits best, minutes."""
        return float(self.durations_min[self.best])

    def verdict(self, unit: str = "ha", per_ha: float = 1.0) -> str:
        """What to do, in a sentence or two, with sizes in some unit."""
        best, minutes = self.best, self.best_duration_min
        said = (
            f"fires of {minutes:g} min fit the {len(self.past_ha)} past fires best (Kolmogorov-Smirnov distance "
            f"{self.distance[best]:.2f}; median {per_ha * np.median(self.simulated_ha[best]):.3g} {unit}, "
            f"past {per_ha * np.median(self.past_ha):.3g} {unit}); use --duration {minutes:g}"
        )
        if self.distance[best] > FITS_WELL:
            said += "; no one duration gives sizes as uneven as those of the past, so take the fit as rough"
        if self.at_edge[best] > AT_EDGE:
            said += (
                f"; {self.at_edge[best]:.0%} of these fires reach the map's edge, which cuts their sizes short: give a "
                "larger raster or buffer"
            )
        return said


def compare_sizes(
    landscape: Landscape,
    season: AnyWeather,
    past_ha: npt.ArrayLike,
    *,
    n: int = 1000,
    seed: int = 0,
    stencil: int = 32,
    say: Callable[[str, float, str], None] | None = None,
) -> SizeFit:
    """Burn the same fires for half an hour to two days and say which duration gives the sizes of past fires.

    Past fires smaller than a cell count as one cell, the smallest a simulated fire can be. After `HOURS_TRIED`,
    durations on both sides of the best are tried, halfway to its neighbors, `ROUNDS` times.

    Parameters
    ----------
    past_ha : sizes of past fires, hectares
    n, seed : of the simulated fires
    stencil : as for `spread`
    say : told of progress: stage, share done, message
    """
    from scipy.stats import ks_2samp

    past = np.maximum(np.asarray(past_ha, np.float64), landscape.hectares_per_cell)
    if past.ndim != 1 or not len(past) or not np.isfinite(past).all():
        raise InputError("past fires: give a list of sizes in hectares")
    fields = Fields(landscape, checked_bank(season), stencil=stencil)
    tried: dict[float, tuple[npt.NDArray[np.float64], float, float]] = {}
    longest = np.inf
    if isinstance(season, Season) and season.series is not None:
        longest = season.series.shape[1] * season.period_min

    def burn(minutes: float) -> None:
        if minutes > longest or minutes in tried:
            return
        if say is not None:
            say("compare sizes", len(tried) / (len(HOURS_TRIED) + 2 * ROUNDS), f"fires of {minutes:g} min")
        fires = Fires.draw(landscape, n, seed, weather=season, duration_min=minutes)
        burned = spread(landscape, fires, fields=fields)
        distance = float(ks_2samp(past, burned.burned_area_ha, method="asymp").statistic)
        tried[minutes] = burned.burned_area_ha, distance, float(burned.reached_edge.mean())

    for hours in HOURS_TRIED:
        burn(60.0 * hours)
    if not tried:  # burn periods shorter than half an hour
        burn(longest)
    for _ in range(ROUNDS):
        durations = sorted(tried)
        best = min(range(len(durations)), key=lambda i: tried[durations[i]][1])
        for beside in (best - 1, best + 1):
            if 0 <= beside < len(durations):
                burn(5.0 * round(np.sqrt(durations[best] * durations[beside]) / 5))
    durations = sorted(tried)
    sizes, distance, at_edge = zip(*(tried[each] for each in durations), strict=True)
    if say is not None:
        say("compare sizes", 1.0, "")
    return SizeFit(past, np.array(durations), np.array(sizes), np.array(distance), np.array(at_edge))


def settle_duration(
    landscape: Landscape, season: Season, seed: int, share: float, *, fires: int = 300, halvings: int = 12
) -> float:
    """Minutes, a round number, after which a mean fire without breaks has burned such a share of the burnable cells."""

    def burned(minutes: float) -> float:
        drawn = Fires.draw(landscape, fires, seed, purpose="validate", weather=season, duration_min=minutes)
        return float(spread(landscape, drawn).burned_cells.mean() / landscape.burnable.sum())

    low, high = 5.0, 20_000.0
    for _ in range(halvings):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if burned(middle) < share else (low, middle)
    digits = 1 - math.floor(math.log10(high))
    return round(high, digits)
