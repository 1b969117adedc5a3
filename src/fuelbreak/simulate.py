"""Simulate: Monte-Carlo fires on one landscape, the class of the parallelization analysis this software came from."""

from __future__ import annotations

from collections.abc import Sequence

from fuelbreak import parallel
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import AnyWeather, Fires, Purpose, Weather, checked_bank, fire_season
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
        fires = Fires.draw(
            self.landscape, n, self.seed, purpose=purpose, weather=self.season, duration_min=max_duration
        )
        return spread(self.landscape, fires, plan, workers=self._workers, fields=self._fields)
