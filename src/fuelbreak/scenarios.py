"""Weather and fires: who ignites where, when and in what weather. Every draw about the world is made here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape

Purpose = Literal["train", "validate", "heldout"]
PURPOSES: tuple[Purpose, ...] = ("train", "validate", "heldout")

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
            value = getattr(self, field.name)
            if not np.isfinite(value):
                raise InputError(f"weather: {field.name} is {value}; give a finite number")
            object.__setattr__(self, field.name, float(value))
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
