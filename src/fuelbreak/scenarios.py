"""Weather and fires: who ignites where, when and in what weather. Every draw about the world is made here."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cached_property
from statistics import NormalDist
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape

Purpose = Literal["train", "validate", "heldout"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
T = TypeVar("T", bound=np.generic)
DRAWS_PER_FIRE = 4  # 64-bit words kept for each fire, so that fire i is the same however many are drawn

MPH_TO_KMH = 1.609344
WIND_10M_OVER_20FT = 1.15  # Lawson and Armitage (2008): open 10 m wind over 20-ft wind


@dataclass(frozen=True)
class Weather:
    """One weather: wind, dead and live fuel moisture, held constant while it lasts.

    Parameters
    ----------
    wind_speed_kmh : wind at 10 m in the open, km/h
    wind_from_deg : grid azimuth the wind comes from, degrees clockwise from grid north, 0-360
    dead_1h_pct, dead_10h_pct, dead_100h_pct : dead fuel moisture, percent of oven-dry weight
    live_herb_pct, live_woody_pct : live fuel moisture, percent
    foliar_pct : moisture of the tree crowns' foliage, percent
    """

    wind_speed_kmh: float = 25.0
    wind_from_deg: float = 225.0
    dead_1h_pct: float = 5.0
    dead_10h_pct: float = 6.0
    dead_100h_pct: float = 8.0
    live_herb_pct: float = 60.0
    live_woody_pct: float = 90.0
    foliar_pct: float = 100.0

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            try:
                value = float(given)
            except (TypeError, ValueError):
                value = math.nan
            if not math.isfinite(value):
                raise InputError(f"weather: {field.name} is {given!r}; give a finite number")
            object.__setattr__(self, field.name, value)
        if not 0 <= self.wind_speed_kmh <= 200:
            raise InputError(f"weather: wind_speed_kmh is {self.wind_speed_kmh:g}; give 0 to 200 km/h (at 10 m)")
        if not 0 <= self.wind_from_deg <= 360:
            raise InputError(f"weather: wind_from_deg is {self.wind_from_deg:g}; give 0 to 360 degrees from north")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_pct") and not 1 <= value <= 300:
                raise InputError(f"weather: {field.name} is {value:g} %; give 1 to 300 percent of dry weight")

    @classmethod
    def us(cls, *, wind_speed_20ft_mph: float, **rest: float) -> Weather:
        """Weather from a 20-ft wind in miles per hour; every other argument as in `Weather`."""
        return cls(wind_speed_kmh=wind_speed_20ft_mph * MPH_TO_KMH * WIND_10M_OVER_20FT, **rest)


def fire_season(
    design: Weather | None = None, *, weathers: int = 16, direction_sd_deg: float = 30.0, speed_cv: float = 0.3
) -> tuple[Weather, ...]:
    """Spread one design weather into a bank of equally likely weathers, as wind turns and gusts over a season.

    Wind direction is normal about the design direction, wind speed normal about the design speed and never below zero.
    The bank is a fixed quadrature (scrambled Hammersley points through the normal quantiles), not a draw: no seed is
    involved. Speed does not go with direction: their correlation is 0.00 in a bank of 16, at most 0.2 from 4 on.

    Parameters
    ----------
    design : the weather in the middle; the default `Weather()` if None
    weathers : how many, K >= 1; one returns the design weather itself
    direction_sd_deg : standard deviation of the direction, degrees
    speed_cv : standard deviation of the speed over the design speed
    """
    design = Weather() if design is None else design
    if weathers < 1:
        raise InputError(f"weather: a season needs at least one weather, not {weathers}")
    if not (0 <= direction_sd_deg <= 180 and 0 <= speed_cv <= 2):
        raise InputError(
            f"weather: direction_sd_deg {direction_sd_deg:g} must be 0 to 180 and speed_cv {speed_cv:g} must be 0 to 2"
        )
    if weathers == 1:
        return (design,)
    quantile = NormalDist().inv_cdf
    bank = []
    bits = (weathers - 1).bit_length()
    # Ranks, so that the speeds' mean is the design's for any number of weathers.
    gustiness = np.argsort(np.argsort([_scrambled_inverse(i, bits) for i in range(weathers)]))
    for i in range(weathers):
        turn = direction_sd_deg * quantile((i + 0.5) / weathers)
        gust = 1 + speed_cv * quantile((int(gustiness[i]) + 0.5) / weathers)
        bank.append(
            replace(
                design,
                wind_from_deg=(design.wind_from_deg + turn) % 360,
                wind_speed_kmh=min(max(design.wind_speed_kmh * gust, 0.0), 200.0),
            )
        )
    return tuple(bank)


def _scrambled_inverse(i: int, bits: int) -> float:
    """Van der Corput's sequence in base 2 with every second digit flipped.

    As it is, the sequence rises with i: wind speed and direction would correlate by 0.5 in a bank of 16.
    """
    return sum((i >> digit & 1 ^ digit & 1) * 0.5 ** (digit + 1) for digit in range(bits))


def _bank(weather: Weather | Sequence[Weather]) -> tuple[Weather, ...]:
    """One weather or several, as a bank."""
    bank = (weather,) if isinstance(weather, Weather) else tuple(weather) if isinstance(weather, Sequence) else ()
    if not bank or not all(isinstance(member, Weather) for member in bank):
        raise InputError("fires: weather must be a Weather or a list of Weather")
    return bank


def _numbers(values: npt.ArrayLike, dtype: type[T], wanted: str) -> npt.NDArray[T]:
    """Values as an array of the type; what is no number, or no whole number where one is wanted, is refused."""
    try:
        given = np.asarray(values)
        with np.errstate(over="ignore", invalid="ignore"):  # a duration beyond float32 burns for ever
            numbers = given.astype(dtype)
    except (TypeError, ValueError):
        raise InputError(f"fires: {wanted}") from None
    if given.dtype.kind not in "iuf" or (np.issubdtype(dtype, np.integer) and (numbers != given).any()):
        raise InputError(f"fires: {wanted}")
    return numbers


@dataclass(frozen=True, eq=False, init=False)
class Fires:
    """A set of S fires: where each ignites, in which weather of the bank, for how long.

    Parameters
    ----------
    ignitions : (S, 2) row and column of each ignition
    weather : one Weather, or a sequence of K: the bank
    duration_min : minutes each fire may spread, one number or (S,); inf burns all that can be reached
    weather_index : (S,) which weather of the bank each fire has; 0 if left out
    weight : (S,) how much each fire counts; 1 if left out
    origin : where the set comes from, "purpose:seed" for drawn fires; fires of one origin overlap
    """

    ignitions: npt.NDArray[np.int64]
    weather: tuple[Weather, ...]
    duration_min: npt.NDArray[np.float32]
    weather_index: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float64]
    origin: str

    def __init__(
        self,
        ignitions: npt.ArrayLike,
        weather: Weather | Sequence[Weather],
        duration_min: npt.ArrayLike = 60.0,
        weather_index: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
        origin: str = "given",
    ) -> None:
        bank = _bank(weather)
        wanted = "ignitions must be a list of (row, column) pairs of whole numbers with at least one pair"
        ignitions = _numbers(ignitions, np.int64, wanted)
        if ignitions.ndim != 2 or ignitions.shape[1] != 2 or len(ignitions) == 0:
            raise InputError(f"fires: {wanted}")
        n = len(ignitions)
        duration = _numbers(duration_min, np.float32, f"duration_min must be minutes above 0, one number or {n}")
        if duration.shape not in ((), (n,)):
            raise InputError(f"fires: duration_min has shape {duration.shape}; give one number or {n}")
        duration = np.broadcast_to(duration, (n,)).copy()
        wanted = f"weather_index must be {n} whole numbers from 0 to {len(bank) - 1}"
        index = np.zeros(n, np.int32) if weather_index is None else _numbers(weather_index, np.int32, wanted)
        if not (duration > 0).all():
            raise InputError(f"fires: duration_min is {duration.min():g}; give minutes above 0")
        if index.shape != (n,) or index.min() < 0 or index.max() >= len(bank):
            raise InputError(f"fires: {wanted}")
        wanted = f"weight must be {n} finite numbers, none negative, not all zero"
        weights = np.ones(n) if weight is None else _numbers(weight, np.float64, wanted)
        if weights.shape != (n,) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
            raise InputError(f"fires: {wanted}")
        for name, array in {
            "ignitions": ignitions,
            "duration_min": duration,
            "weather_index": index,
            "weight": weights,
        }.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "weather", bank)
        object.__setattr__(self, "origin", origin)

    def __len__(self) -> int:
        return len(self.ignitions)

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that name exactly these fires."""
        content = hashlib.sha256(repr([astuple(weather) for weather in self.weather]).encode())
        for array in (self.ignitions, self.weather_index, self.duration_min, self.weight):
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()[:16]

    def take(self, index: npt.NDArray[np.int64]) -> Fires:
        """Those fires of the set, in that order, with the same bank of weathers."""
        return Fires(
            self.ignitions[index],
            self.weather,
            self.duration_min[index],
            self.weather_index[index],
            self.weight[index],
            self.origin,
        )

    @classmethod
    def draw(
        cls,
        landscape: Landscape,
        n: int,
        seed: int = 0,
        *,
        purpose: Purpose = "train",
        weather: Weather | Sequence[Weather] | None = None,
        duration_min: float = 60.0,
    ) -> Fires:
        """Draw n fires: ignition uniform over the burnable cells, weather uniform over the bank.

        Draws are counter-based (Philox keyed by seed and purpose; fire i always has block i), so fire i is the same for
        any n and any number of workers, and the purposes' streams never meet, whatever the seeds. Two fires may by
        chance start in the same cell in the same weather, as in nature.

        Parameters
        ----------
        purpose : "train", "validate" or "heldout"
        weather : one Weather, a bank, or None for `fire_season()`
        duration_min : minutes each fire may spread
        """
        if purpose not in PURPOSES:
            raise InputError(f"fires: unknown purpose {purpose!r}; use one of {', '.join(PURPOSES)}")
        if not isinstance(n, int | np.integer) or n < 1:
            raise InputError(f"fires: cannot draw {n} fires; ask for a whole number, at least 1")
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"fires: seed is {seed}; give a whole number from 0")
        bank = fire_season() if weather is None else _bank(weather)
        burnable = np.flatnonzero(landscape.burnable)
        key = np.array([seed % 2**64, PURPOSES.index(purpose)], dtype=np.uint64)
        words = np.random.Philox(key=key).random_raw(DRAWS_PER_FIRE * n).reshape(n, DRAWS_PER_FIRE)
        uniform = (words >> np.uint64(11)) * 2.0**-53
        cell = burnable[(uniform[:, 0] * len(burnable)).astype(np.int64)]
        return cls(
            np.stack(np.divmod(cell, landscape.shape[1]), axis=1),
            bank,
            duration_min,
            (uniform[:, 1] * len(bank)).astype(np.int32),
            origin=f"{purpose}:{seed}",
        )
