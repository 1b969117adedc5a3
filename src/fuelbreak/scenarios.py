"""Weather and fires: who ignites where, when and in what weather. Every draw about the world is made here."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from fuelbreak import parallel
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape
from fuelbreak.moisture import reference_moisture_pct
from fuelbreak.streams import MPH_TO_KMH, WIND_10M_OVER_20FT, WeatherStream

Purpose = Literal["train", "validate", "heldout"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
CrownMethod = Literal["scott_reinhardt", "finney", "rothermel"]
CrownRate = Literal["rothermel", "cruz"]
Pick = Literal["hours", "percentile", "burn_periods"]
T = TypeVar("T", bound=np.generic)
BYTES_PER_DRAW = 200  # of memory for each fire while they are drawn, most of it for words, bits and numbers
DRAWS_PER_FIRE = 4  # 64-bit words kept for each fire, so that fire i is the same however many are drawn
TICKS_PER_MIN = 64  # ends of periods are whole ticks below SERIES_END_MIN, so float32 holds each of them exactly
SERIES_END_MIN = 2**17
HOLDING_BLOCK = 2**20  # draws mixed at once: 8 MB an array
SPLITMIX64_STEP = np.uint64(0x9E3779B97F4A7C15)

DRIEST_HOUR = 14  # of a day, for fine fuel


@dataclass(frozen=True)
class Sky:
    """When and under what sky a weather holds, so that fine dead fuel dries by each cell's slope, aspect and shade.

    Parameters
    ----------
    month, hour : 1 to 12; local time of day, 0 to 24
    cloud_pct : share of the sky that clouds cover
    station_elevation_m : where temperature and humidity were measured; None: at each cell's own height
    """

    month: int
    hour: float
    cloud_pct: float = 0.0
    station_elevation_m: float | None = None

    def __post_init__(self) -> None:
        if self.month not in range(1, 13):
            raise InputError(f"weather: month is {self.month!r}; give 1 to 12")
        height = 0.0 if self.station_elevation_m is None else self.station_elevation_m
        for name, value, low, high in (
            ("hour", self.hour, 0, 24),
            ("cloud_pct", self.cloud_pct, 0, 100),
            ("station_elevation_m", height, -500, 9000),
        ):
            if not (isinstance(value, int | float | np.number) and low <= value <= high):
                raise InputError(f"weather: {name} is {value!r}; give {low} to {high}")


@dataclass(frozen=True, eq=False)
class WindGrid:
    """Wind that differs from cell to cell, such as WindNinja makes it, on the landscape's grid.

    Parameters
    ----------
    speed_kmh : (H, W) float32, wind at 10 m in the open
    from_deg : (H, W) float32, grid azimuth it comes from, 0-360
    """

    speed_kmh: npt.NDArray[np.float32]
    from_deg: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, high, unit in (("speed_kmh", 200, "km/h (at 10 m)"), ("from_deg", 360, "degrees from north")):
            given = np.ascontiguousarray(getattr(self, name), np.float32)
            if given.ndim != 2 or given.size == 0:
                raise InputError(f"wind grid: {name} has shape {given.shape}; give rows x columns")
            bad = ~((given >= 0) & (given <= high))
            if bad.any():
                row, col = np.argwhere(bad)[0]
                raise InputError(
                    f"wind grid: {name} is {given[row, col]:g} at row {row}, column {col} ({np.count_nonzero(bad)} "
                    f"cells out of range); give 0 to {high} {unit}"
                )
            given.setflags(write=False)
            object.__setattr__(self, name, given)
        if self.speed_kmh.shape != self.from_deg.shape:
            raise InputError(
                f"wind grid: speed_kmh is {self.speed_kmh.shape}, from_deg {self.from_deg.shape}; give both on one grid"
            )

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that name exactly this wind."""
        content = hashlib.sha256(repr(self.speed_kmh.shape).encode())
        content.update(self.speed_kmh.tobytes())
        content.update(self.from_deg.tobytes())
        return content.hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WindGrid) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Weather:
    """One weather, constant while it lasts: wind, fuel moisture, and how crown fire is worked out in it.

    Parameters
    ----------
    wind_speed_kmh : wind at 10 m in the open, km/h
    wind_from_deg : grid azimuth the wind comes from, degrees clockwise from grid north, 0-360
    dead_1h_pct, dead_10h_pct, dead_100h_pct : dead fuel moisture, percent of oven-dry weight
    live_herb_pct, live_woody_pct : live fuel moisture, percent
    foliar_pct : moisture of the tree crowns' foliage, percent
    weight : how often this weather occurs, relative to the others of its bank
    sky : with a sky, 1-h moisture is the reference moisture of Rothermel (1983), to which each cell's slope, aspect and
        shade add 0 to 6 points; None: the same in every cell
    by_fuel : rows (fuel model, 1-h, 10-h, 100-h, live herbaceous, live woody) of percent, as in an .fms file, for fuel
        models whose moisture is their own; a row of model 0 stands for all that have none
    wind : wind that differs from cell to cell; it takes the place of speed and direction
    crown_method : "scott_reinhardt" (2001), as Behave; "finney" (1998), as FARSITE and FlamMap; "rothermel" (1991), as
        Behave's run of that name; see `fire_behavior`
    crown_rate : rate of a fully active crown fire, "rothermel" (1991) or "cruz" (2005)
    wind_limit : whether the effective wind is held at 0.9 times reaction intensity (Rothermel 1972 eq. 87)
    """

    wind_speed_kmh: float = 25.0
    wind_from_deg: float = 225.0
    dead_1h_pct: float = 5.0
    dead_10h_pct: float = 6.0
    dead_100h_pct: float = 8.0
    live_herb_pct: float = 60.0
    live_woody_pct: float = 90.0
    foliar_pct: float = 100.0
    weight: float = 1.0
    sky: Sky | None = None
    by_fuel: tuple[tuple[int, float, float, float, float, float], ...] = ()
    wind: WindGrid | None = None
    crown_method: CrownMethod = "scott_reinhardt"
    crown_rate: CrownRate = "rothermel"
    wind_limit: bool = True

    def __post_init__(self) -> None:
        for name in (*DESIGN, "weight"):
            given = getattr(self, name)
            try:
                value = float(given)
            except (TypeError, ValueError, OverflowError):
                value = math.nan
            if not math.isfinite(value):
                raise InputError(f"weather: {name} is {given!r}; give a finite number")
            object.__setattr__(self, name, value)
        if not 0 <= self.wind_speed_kmh <= 200:
            raise InputError(f"weather: wind_speed_kmh is {self.wind_speed_kmh:g}; give 0 to 200 km/h (at 10 m)")
        if not 0 <= self.wind_from_deg <= 360:
            raise InputError(f"weather: wind_from_deg is {self.wind_from_deg:g}; give 0 to 360 degrees from north")
        if not 0 < self.weight <= 1e9:
            raise InputError(f"weather: weight is {self.weight:g}; give a number above 0")
        for name in MOISTURES:
            if not 1 <= getattr(self, name) <= 300:
                raise InputError(f"weather: {name} is {getattr(self, name):g} %; give 1 to 300 percent of dry weight")
        object.__setattr__(self, "by_fuel", _checked_rows(self.by_fuel))
        if self.sky is not None and not isinstance(self.sky, Sky):
            raise InputError(f"weather: sky is {self.sky!r}; give a Sky")
        if self.wind is not None and not isinstance(self.wind, WindGrid):
            raise InputError(f"weather: wind is {self.wind!r}; give a WindGrid")
        for name, known in (("crown_method", get_args(CrownMethod)), ("crown_rate", get_args(CrownRate))):
            if getattr(self, name) not in known:
                raise InputError(f"weather: {name} is {getattr(self, name)!r}; give one of {', '.join(known)}")

    @classmethod
    def us(cls, *, wind_speed_20ft_mph: float, **rest: Any) -> Weather:
        """Weather from a 20-ft wind in miles per hour; every other argument as in `Weather`."""
        return cls(wind_speed_kmh=wind_speed_20ft_mph * MPH_TO_KMH * WIND_10M_OVER_20FT, **rest)

    def in_window(self, row: int, col: int, rows: int, cols: int) -> Weather:
        """The same weather over a window of its grid."""
        if self.wind is None:
            return self
        here = np.s_[row : row + rows, col : col + cols]
        return replace(self, wind=WindGrid(self.wind.speed_kmh[here], self.wind.from_deg[here]))

    def content(self) -> tuple[Any, ...]:
        """All that tells this weather from another, for digests: eight numbers, and what is not as by default."""
        more = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in DESIGN}
        told = [
            (name, value.digest if isinstance(value, WindGrid) else value)
            for name, value in more.items()
            if value != type(self).__dataclass_fields__[name].default
        ]
        return *(getattr(self, name) for name in DESIGN), *told


DESIGN = tuple(field.name for field in fields(Weather)[:8])
"""The eight numbers of a weather that is the same everywhere."""
MOISTURES = tuple(name for name in DESIGN if name.endswith("_pct"))


def _checked_rows(rows: Any) -> tuple[tuple[int, float, float, float, float, float], ...]:
    """Moistures by fuel model, each once."""
    wanted = "by_fuel must be rows of fuel model, 1-h, 10-h, 100-h, live herbaceous and live woody moisture"
    checked = []
    try:
        for code, *percents in rows:
            numbers = [float(percent) for percent in percents]
            if len(numbers) != 5 or int(code) != code:
                raise ValueError
            checked.append((int(code), *numbers))
    except (TypeError, ValueError):
        raise InputError(f"weather: {wanted}") from None
    for code, *numbers in checked:
        for name, percent in zip(MOISTURES, numbers, strict=False):
            if not 1 <= percent <= 300:
                raise InputError(
                    f"weather: {name} of fuel model {code} is {percent:g} %; give 1 to 300 percent of dry weight"
                )
    codes = [row[0] for row in checked]
    if len(set(codes)) < len(codes):
        twice = next(code for code in codes if codes.count(code) > 1)
        raise InputError(f"weather: by_fuel has fuel model {twice} twice; leave one row out")
    return tuple(checked)  # type: ignore[arg-type]  # each has six numbers, as was just checked


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


@dataclass(frozen=True, eq=False)
class Season:
    """A fire season to draw fires from: a bank of K weathers, how they follow each other, and where fires start.

    Parameters
    ----------
    weathers : the bank; each occurs in proportion to its weight
    series : (N, P) int32 weathers of the bank, a row for each burn period, equally likely; None for constant weather
    period_min : minutes of a period of a series
    density : (H, W) how likely fires start in each cell, relative to the others, nan as 0; None: the same in all
        burnable cells
    notes : what the user should know of how it was made, one sentence each
    """

    weathers: tuple[Weather, ...]
    series: npt.NDArray[np.int32] | None = None
    period_min: float = 60.0
    density: npt.NDArray[np.floating[Any]] | None = None
    notes: tuple[str, ...] = ()


AnyWeather = Weather | Sequence[Weather] | Season


def checked_bank(weather: AnyWeather) -> tuple[Weather, ...]:
    """One weather, several, or a season, as a bank."""
    if isinstance(weather, Season):
        return checked_bank(weather.weathers)
    bank = (weather,) if isinstance(weather, Weather) else tuple(weather) if isinstance(weather, Sequence) else ()
    if not bank or not all(isinstance(member, Weather) for member in bank):
        raise InputError("fires: weather must be a Weather or a list of Weather, or a Season")
    return bank


def mean_over(weathers: Sequence[Weather], values: Sequence[Any]) -> Any:
    """Mean of one value or array for each weather of a bank, by how often each occurs."""
    often = [weather.weight for weather in weathers]
    if len(set(often)) == 1:  # to the bits of a plain mean
        return np.mean(values, axis=0)
    return np.average(np.asarray(values), axis=0, weights=often)


def stream_season(
    stream: WeatherStream,
    design: Weather | None = None,
    *,
    pick: Pick = "hours",
    weathers: int | None = None,
    percentile: float = 97.0,
    burn_period: tuple[int, int] | None = None,
    humidity_pct: float | None = None,
    longitude_deg: float | None = None,
    true_north_deg: float = 0.0,
    seed: int = 0,
) -> Season:
    """Make a weather station's record into a bank of weathers.

    Observations are averaged by the clock hour (wind as a vector for its direction, by its speed for its speed). Hours
    with rain are passed over. Fine dead fuel moisture is the stream's own where it has it, else that of Rothermel's
    (1983) tables, with each cell's correction for slope, aspect and shade.

    Parameters
    ----------
    stream : as `streams.read_stream` reads it
    design : all that the stream does not have: 10-h, 100-h, live and foliar moisture, moisture by fuel model, crown
        method; the default `Weather()` if None
    pick : "hours": each hour is a weather; "percentile": one weather for each wind direction, weighted by how often the
        wind comes from there, with the wind speed of that percentile and moistures as low as 100 less it;
        "burn_periods": a fire lives through the hours of one day's burn period, one after the other
    weathers : how many hours, wind directions or burn periods to take, drawn by the seed where there are more hours or
        days; 24 hours, 16 directions, or 16 burn periods if None
    percentile : 50 to 100, for "percentile"
    burn_period : first hour and the hour it ends, local time; all day for "hours", else 10 to 18
    humidity_pct : relative humidity where the stream has none
    longitude_deg : of the landscape, for the local time of a stream in UTC that does not say where it stands
    true_north_deg : where true north lies from grid north, degrees clockwise; station wind is turned by it

    Raises
    ------
    InputError : no humidity, no hour in the burn period, a choice that does not exist
    """
    design = Weather() if design is None else design
    if pick not in get_args(Pick):
        raise InputError(f"weather: pick is {pick!r}; give one of {', '.join(get_args(Pick))}")
    if weathers is not None and weathers < 1:
        raise InputError(f"weather: a season needs at least one weather, not {weathers}")
    if not 50 <= percentile <= 100:
        raise InputError(f"weather: percentile is {percentile:g}; give 50 to 100")
    first, last = ((0, 24) if pick == "hours" else (10, 18)) if burn_period is None else burn_period
    if not 0 <= first < last <= 24:
        raise InputError(f"weather: a burn period from {first} to {last} hours cannot be; give 0 to 24, start first")
    hours = _hourly(stream, humidity_pct, longitude_deg)
    by_day = (hours.hour >= first) & (hours.hour < last)
    when = f"from {first} to {last} hours"
    if not by_day.any():
        raise InputError(f"{stream.source}: it has no observation {when}; give another burn period")
    dry = by_day & (hours.rain_mm == 0)
    if not dry.any():
        raise InputError(f"{stream.source}: it rains in every hour {when}; give another burn period or stream")
    wet = int(by_day.sum() - dry.sum())
    notes = list(stream.notes) + [f"{wet} hours with rain were passed over"] * (wet > 0)
    if humidity_pct is not None and ("dead_1h_pct" in stream.moistures or not np.isnan(stream.humidity_pct).any()):
        notes.append(f"{stream.source}: it has humidity or fuel moisture of its own; {humidity_pct:g} % is not used")
    if pick == "percentile":
        bank = _percentile_bank(hours, np.flatnonzero(dry), design, percentile, weathers or 16, true_north_deg)
        speeds = ", ".join(f"{weather.wind_speed_kmh:.0f}" for weather in bank)
        notes.append(
            f"{stream.source}: {percentile:g}th percentile of {dry.sum()} hours {when}: wind {speeds} km/h from "
            f"{len(bank)} directions, reference 1-h moisture {bank[0].dead_1h_pct:.0f} %"
        )
        return Season(bank, notes=tuple(notes))
    if pick == "hours":
        chosen = _some(np.flatnonzero(dry), weathers or 24, seed)
        notes.append(f"{stream.source}: {len(chosen)} weathers, drawn from {dry.sum()} hours {when}")
        return Season(tuple(_hour(hours, i, design, true_north_deg) for i in chosen.tolist()), notes=tuple(notes))
    days = [np.flatnonzero(dry & (hours.day == day)) for day in np.unique(hours.day[dry])]
    whole = [day for day in days if len(day) == last - first]
    if not whole:
        raise InputError(f"{stream.source}: no day has every hour {when} without rain; give a shorter burn period")
    some = _some(np.arange(len(whole)), weathers or 16, seed)
    chosen = np.concatenate([whole[i] for i in some])
    notes.append(f"{stream.source}: {len(some)} burn periods {when}, drawn from {len(whole)} whole days")
    series = np.arange(len(chosen), dtype=np.int32).reshape(len(some), last - first)
    bank = tuple(_hour(hours, i, design, true_north_deg) for i in chosen.tolist())
    return Season(bank, series, 60.0, notes=tuple(notes))


class _Hours(NamedTuple):
    """A stream by the clock hour, local time; (n,) arrays."""

    day: npt.NDArray[np.datetime64]
    month: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    reference_pct: npt.NDArray[np.float64]
    wind_speed_kmh: npt.NDArray[np.float64]
    wind_from_deg: npt.NDArray[np.float64]
    rain_mm: npt.NDArray[np.float64]
    cloud_pct: npt.NDArray[np.float64]
    moistures: dict[str, npt.NDArray[np.float64]]
    elevation_m: float | None


def _hourly(stream: WeatherStream, humidity_pct: float | None, longitude_deg: float | None) -> _Hours:
    longitude = stream.longitude_deg if stream.longitude_deg is not None else longitude_deg
    if stream.utc and longitude is None:
        raise InputError(
            f"{stream.source}: its times are UTC and it does not say where it stands; give the landscape a coordinate "
            "system (--crs), or write local times"
        )
    shift = round(longitude / 15) if stream.utc and longitude is not None else 0
    time = stream.time + np.timedelta64(60 * shift, "m")
    humidity = stream.humidity_pct
    if humidity_pct is not None and not 0 <= humidity_pct <= 100:
        raise InputError(f"weather: humidity is {humidity_pct:g} %; give 0 to 100")
    if np.isnan(humidity).any() and "dead_1h_pct" not in stream.moistures:
        if humidity_pct is None:
            raise InputError(
                f"{stream.source}: it has no relative humidity, which fine dead fuel moisture needs; give one with "
                "--humidity (humidity_pct)"
            )
        humidity = np.where(np.isnan(humidity), humidity_pct, humidity)
    hour, index = np.unique(time.astype("datetime64[h]"), return_inverse=True)
    count = np.bincount(index)

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.bincount(index, values) / count)

    heading = np.radians(stream.wind_from_deg)
    east, north = mean(stream.wind_speed_kmh * np.sin(heading)), mean(stream.wind_speed_kmh * np.cos(heading))
    day = hour.astype("datetime64[D]")
    return _Hours(
        day,
        hour.astype("datetime64[M]").astype(np.int64) % 12 + 1,
        (hour - day).astype(np.int64),
        reference_moisture_pct(mean(stream.temperature_c), mean(np.nan_to_num(humidity))),
        mean(stream.wind_speed_kmh),
        np.degrees(np.arctan2(east, north)) % 360,
        np.asarray(np.bincount(index, np.nan_to_num(stream.rain_mm)), np.float64),
        mean(np.nan_to_num(stream.cloud_pct)),
        {name: mean(values) for name, values in stream.moistures.items()},
        stream.elevation_m,
    )


def _some(candidates: npt.NDArray[np.int64], most: int, seed: int) -> npt.NDArray[np.int64]:
    """At most so many of the candidates, drawn by the seed, in their order."""
    words = np.random.Philox(key=np.array([_seed_word(seed), len(PURPOSES)], np.uint64)).random_raw(len(candidates))
    return np.sort(candidates[np.argsort(words, kind="stable")[:most]])


def _with_moisture(design: Weather, sky: Sky | None, moistures: Mapping[str, Any], **wind: Any) -> Weather:
    """The design weather with what a stream says; 1-h moisture is that of every fuel model."""
    fine = moistures["dead_1h_pct"]
    rows = tuple((row[0], fine, *row[2:]) for row in design.by_fuel)
    return replace(design, sky=sky, by_fuel=rows, **moistures, **wind)


def _hour(hours: _Hours, i: int, design: Weather, true_north_deg: float) -> Weather:
    moistures = {name: float(values[i]) for name, values in hours.moistures.items()}
    sky = None
    if "dead_1h_pct" not in moistures:
        moistures["dead_1h_pct"] = float(hours.reference_pct[i])
        sky = Sky(int(hours.month[i]), float(hours.hour[i]), float(hours.cloud_pct[i]), hours.elevation_m)
    return _with_moisture(
        design,
        sky,
        moistures,
        wind_speed_kmh=float(hours.wind_speed_kmh[i]),
        wind_from_deg=float((hours.wind_from_deg[i] + true_north_deg) % 360),
    )


def _percentile_bank(
    hours: _Hours, which: npt.NDArray[np.int64], design: Weather, percentile: float, sectors: int, true_north_deg: float
) -> tuple[Weather, ...]:
    """A weather for each sector from which wind comes, by how often it does."""
    moistures = {name: float(np.percentile(each[which], 100 - percentile)) for name, each in hours.moistures.items()}
    sky = None
    if "dead_1h_pct" not in moistures:
        moistures["dead_1h_pct"] = float(np.percentile(hours.reference_pct[which], 100 - percentile))
        month = int(np.bincount(hours.month[which]).argmax())
        in_period = np.unique(hours.hour[which])
        driest = in_period[np.argmin(np.abs(in_period - DRIEST_HOUR))]
        sky = Sky(month, float(driest), 0.0, hours.elevation_m)
    windy = which[hours.wind_speed_kmh[which] > 0]
    if not len(windy):
        return (_with_moisture(design, sky, moistures, wind_speed_kmh=0.0, wind_from_deg=0.0),)
    width = 360 / sectors
    sector = ((hours.wind_from_deg[windy] + width / 2) // width).astype(np.int64) % sectors
    bank = []
    for each in np.unique(sector).tolist():
        speed = hours.wind_speed_kmh[windy[sector == each]]
        bank.append(
            _with_moisture(
                design,
                sky,
                moistures,
                weight=float(len(speed)),
                wind_speed_kmh=float(np.percentile(speed, percentile)),
                wind_from_deg=float((each * width + true_north_deg) % 360),
            )
        )
    return tuple(bank)


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


def _seed_word(seed: int) -> int:
    """Seed as 64 bits."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"fires: seed is {seed}; give a whole number from 0")
    return int(seed) % 2**64


def _checked_period(period_min: float) -> float:
    try:
        period = float(period_min)
    except (TypeError, ValueError, OverflowError):
        period = math.nan
    if not (math.isfinite(period) and period > 0):
        raise InputError(f"fires: period_min is {period_min!r}; give finite minutes above 0")
    return period


def _check_series(periods: int, period: float, duration: npt.NDArray[np.float32]) -> None:
    """Refuse a series whose periods do not end on exact float32 minutes, or that ends before its fires do."""
    end = periods * period
    if end >= SERIES_END_MIN:
        raise InputError(
            f"fires: a series of {periods} periods of period_min {period:g} ends after {end:g} minutes; "
            f"give fewer or shorter periods, less than {SERIES_END_MIN} minutes in all"
        )
    if period * TICKS_PER_MIN != int(period * TICKS_PER_MIN):
        near = max(1, round(period * TICKS_PER_MIN)) / TICKS_PER_MIN
        raise InputError(
            f"fires: period_min is {period!r}, no whole number of 1/{TICKS_PER_MIN} minutes, so the ends of "
            f"periods would be rounded; give {near!r}"
        )
    if duration.max() > end:
        raise InputError(
            f"fires: duration_min is {duration.max():g} but the weather series ends after {end:g} minutes "
            f"({periods} periods of {period:g}); give more periods, or at most {end:g} minutes"
        )


@dataclass(frozen=True, eq=False, init=False)
class Fires:
    """A set of S fires: where each ignites, in which weather of the bank, for how long.

    A fire's weather is constant, or a series: period p of P covers the minutes from p * period_min, included, to
    (p + 1) * period_min, excluded, after its ignition. A series that never changes is kept as constant weather.

    Parameters
    ----------
    ignitions : (S, 2) row and column of each ignition
    weather : one Weather, or a sequence of K: the bank
    duration_min : minutes each fire may spread, one number or (S,); inf burns all that can be reached; no longer than
        a series of weathers
    weather_index : (S,) which weather of the bank each fire has, or (S, P) which it has in each period; 0 if left out
    weight : (S,) how much each fire counts; 1 if left out
    origin : where the set comes from, "purpose:seed" for drawn fires; fires of one origin overlap
    period_min : minutes of a period of a series, a whole number of 1/64; without a series it has no meaning
    number : (S,) which fire of its origin each is, for the draws of `holding`; 0 to S - 1 if left out
    """

    ignitions: npt.NDArray[np.int64]
    weather: tuple[Weather, ...]
    duration_min: npt.NDArray[np.float32]
    weather_index: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float64]
    origin: str
    period_min: float
    number: npt.NDArray[np.int64]

    def __init__(
        self,
        ignitions: npt.ArrayLike,
        weather: Weather | Sequence[Weather],
        duration_min: npt.ArrayLike = 60.0,
        weather_index: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
        origin: str = "given",
        period_min: float = 60.0,
        number: npt.ArrayLike | None = None,
    ) -> None:
        bank = checked_bank(weather)
        wanted = "ignitions must be a list of (row, column) pairs of whole numbers with at least one pair"
        ignitions = _numbers(ignitions, np.int64, wanted)
        if ignitions.ndim != 2 or ignitions.shape[1] != 2 or len(ignitions) == 0:
            raise InputError(f"fires: {wanted}")
        n = len(ignitions)
        duration = _numbers(duration_min, np.float32, f"duration_min must be minutes above 0, one number or {n}")
        if duration.shape not in ((), (n,)):
            raise InputError(f"fires: duration_min has shape {duration.shape}; give one number or {n}")
        duration = np.broadcast_to(duration, (n,)).copy()
        wanted = f"weather_index must be {n} whole numbers from 0 to {len(bank) - 1}, or {n} rows of them, one a period"
        index = np.zeros(n, np.int32) if weather_index is None else _numbers(weather_index, np.int32, wanted)
        if not (duration > 0).all():
            raise InputError(f"fires: duration_min is {duration.min():g}; give minutes above 0")
        if index.shape[:1] != (n,) or index.ndim > 2 or index.size == 0 or index.min() < 0 or index.max() >= len(bank):
            raise InputError(f"fires: {wanted}")
        period = _checked_period(period_min)
        if index.ndim == 2:
            _check_series(index.shape[1], period, duration)
            index = np.ascontiguousarray(index[:, 0] if (index == index[:, :1]).all() else index)
        wanted = f"weight must be {n} finite numbers, none negative, not all zero, each 1e100 at most, 1e-100 together"
        weights = np.ones(n) if weight is None else _numbers(weight, np.float64, wanted)
        if weights.shape != (n,) or not ((weights >= 0) & (weights <= 1e100)).all() or not weights.sum() >= 1e-100:
            raise InputError(f"fires: {wanted}")
        wanted = f"number must be {n} whole numbers from 0"
        numbers = np.arange(n, dtype=np.int64) if number is None else _numbers(number, np.int64, wanted)
        if numbers.shape != (n,) or numbers.min() < 0:
            raise InputError(f"fires: {wanted}")
        for name, array in {
            "ignitions": ignitions,
            "duration_min": duration,
            "weather_index": index,
            "weight": weights,
            "number": numbers,
        }.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "weather", bank)
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "period_min", period)

    def __len__(self) -> int:
        return len(self.ignitions)

    @property
    def is_series(self) -> bool:
        """Whether the weather of some fire changes from period to period."""
        return self.weather_index.ndim == 2

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that name exactly these fires, whatever their numbers and origin."""
        content = hashlib.sha256(repr([weather.content() for weather in self.weather]).encode())
        for array in (self.ignitions, self.weather_index, self.duration_min, self.weight):
            content.update(np.ascontiguousarray(array).tobytes())
        if self.is_series:
            content.update(f"{self.weather_index.shape[1]} periods of {self.period_min!r}".encode())
        return content.hexdigest()[:16]

    def take(self, index: npt.NDArray[np.int64]) -> Fires:
        """Those fires of the set, in that order, with the same bank of weathers and their own numbers."""
        return Fires(
            self.ignitions[index],
            self.weather,
            self.duration_min[index],
            self.weather_index[index],
            self.weight[index],
            self.origin,
            self.period_min,
            self.number[index],
        )

    def weighed(self, weight: npt.NDArray[np.float64]) -> Fires:
        """The same fires with other weights (S,)."""
        return Fires(
            self.ignitions,
            self.weather,
            self.duration_min,
            self.weather_index,
            weight,
            self.origin,
            self.period_min,
            self.number,
        )

    def in_weathers(self, bank: Sequence[Weather]) -> Fires:
        """The same fires in another bank of as many weathers, each in the place of one of theirs."""
        if len(bank) != len(self.weather):
            raise InputError(f"fires: a bank of {len(bank)} weathers cannot take the place of {len(self.weather)}")
        return Fires(
            self.ignitions,
            tuple(bank),
            self.duration_min,
            self.weather_index,
            self.weight,
            self.origin,
            self.period_min,
            self.number,
        )

    def part(self, first: int, last: int) -> Fires:
        """The fires from `first` up to `last`: the same arrays in part, which need no check again."""
        part = object.__new__(Fires)
        for name in ("ignitions", "duration_min", "weather_index", "weight", "number"):
            object.__setattr__(part, name, getattr(self, name)[first:last])
        for name in ("weather", "origin", "period_min"):
            object.__setattr__(part, name, getattr(self, name))
        return part

    @classmethod
    def draw(
        cls,
        landscape: Landscape,
        n: int,
        seed: int = 0,
        *,
        purpose: Purpose = "train",
        weather: AnyWeather | None = None,
        duration_min: float = 60.0,
        series: npt.ArrayLike | None = None,
        period_min: float = 60.0,
        density: npt.ArrayLike | None = None,
    ) -> Fires:
        """Draw n fires: where each ignites, and its weather, in proportion to the weights of the bank.

        Draws are counter-based (Philox keyed by seed and purpose; fire i always has block i), so fire i is the same for
        any n and any number of workers, and the purposes' streams never meet, whatever the seeds. Two fires may by
        chance start in the same cell in the same weather, as in nature.

        Parameters
        ----------
        purpose : "train", "validate" or "heldout"
        weather : one Weather, a bank, a Season, or None for `fire_season()`
        duration_min : minutes each fire may spread
        series : (N, P) weathers of the bank, a row for each series to draw from, equally likely; None for constant
            weather, or for that of a Season
        period_min : minutes of a period of a series
        density : (H, W) how likely fires start in each cell, relative to the others, nan as 0; None: that of a Season,
            or the same in all burnable cells
        """
        if purpose not in PURPOSES:
            raise InputError(f"fires: unknown purpose {purpose!r}; use one of {', '.join(PURPOSES)}")
        check_draw(n)
        key = np.array([_seed_word(seed), PURPOSES.index(purpose)], dtype=np.uint64)
        bank = fire_season() if weather is None else checked_bank(weather)
        if isinstance(weather, Season):
            density = weather.density if density is None else density
            if series is None:
                series, period_min = weather.series, weather.period_min
        choices = np.arange(len(bank), dtype=np.int32) if series is None else _checked_choices(series, len(bank))
        often = np.array([each.weight for each in bank]) if series is None else np.ones(len(choices))
        burnable, likely = _ignitable(landscape, density)
        words = np.random.Philox(key=key).random_raw(DRAWS_PER_FIRE * n).reshape(n, DRAWS_PER_FIRE)
        uniform = (words >> np.uint64(11)) * 2.0**-53
        cell = burnable[_drawn(uniform[:, 0], likely)]
        return cls(
            np.stack(np.divmod(cell, landscape.shape[1]), axis=1),
            bank,
            duration_min,
            choices[_drawn(uniform[:, 1], often)],
            origin=f"{purpose}:{seed}",
            period_min=period_min,
        )


def pooled(sets: Sequence[Fires]) -> tuple[Fires, npt.NDArray[np.int64]]:
    """One set of several sets of fires of the same origin and kind of weather, and which set each came from (S,)."""
    first, at = sets[0], np.cumsum([0, *(len(each.weather) for each in sets)])
    together = Fires(
        np.concatenate([each.ignitions for each in sets]),
        tuple(weather for each in sets for weather in each.weather),
        np.concatenate([each.duration_min for each in sets]),
        np.concatenate([each.weather_index + shift for each, shift in zip(sets, at, strict=False)]),
        np.concatenate([each.weight for each in sets]),
        first.origin,
        first.period_min,
        np.concatenate([each.number for each in sets]),
    )
    return together, np.repeat(np.arange(len(sets)), [len(each) for each in sets])


def stressed(fires: Fires) -> dict[str, Fires]:
    """The same fires from the same places in weather that no plan was made for, as when the wind turns.

    Wind from 45 degrees to the left and right of where it came from, wind a quarter faster (200 km/h at the most), and
    dead fuel two points drier (1 % at the least), each alone.
    """

    def turned(weather: Weather, by_deg: float) -> Weather:
        wind = weather.wind
        if wind is not None:
            wind = WindGrid(wind.speed_kmh, (wind.from_deg + np.float32(by_deg)) % 360)
        return replace(weather, wind_from_deg=(weather.wind_from_deg + by_deg) % 360, wind=wind)

    def faster(weather: Weather) -> Weather:
        wind = weather.wind
        if wind is not None:
            wind = WindGrid(np.minimum(wind.speed_kmh * np.float32(1.25), 200), wind.from_deg)
        return replace(weather, wind_speed_kmh=min(1.25 * weather.wind_speed_kmh, 200.0), wind=wind)

    def drier(weather: Weather) -> Weather:
        dead = {name: max(getattr(weather, name) - 2.0, 1.0) for name in MOISTURES if name.startswith("dead")}
        rows = tuple(
            (code, max(one - 2.0, 1.0), max(ten - 2.0, 1.0), max(hundred - 2.0, 1.0), herb, woody)
            for code, one, ten, hundred, herb, woody in weather.by_fuel
        )
        return replace(weather, **dead, by_fuel=rows)

    return {
        "wind -45 deg": fires.in_weathers([turned(weather, -45.0) for weather in fires.weather]),
        "wind +45 deg": fires.in_weathers([turned(weather, 45.0) for weather in fires.weather]),
        "wind +25 %": fires.in_weathers([faster(weather) for weather in fires.weather]),
        "dead moisture -2": fires.in_weathers([drier(weather) for weather in fires.weather]),
    }


def _ignitable(
    landscape: Landscape, density: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Flat cells where fires may start, and how likely each is."""
    if density is None:
        cells = np.flatnonzero(landscape.burnable)
        return cells, np.ones(len(cells))
    wanted = f"ignition density must be {landscape.shape[0]} x {landscape.shape[1]} finite numbers, none negative"
    likely = np.nan_to_num(_numbers(density, np.float64, wanted), nan=0.0, posinf=np.inf)
    if likely.shape != landscape.shape or not ((likely >= 0) & (likely < 1e300)).all():
        raise InputError(f"fires: {wanted}")
    cells = np.flatnonzero(landscape.burnable & (likely > 0))
    if not len(cells):
        raise InputError("fires: the ignition density is 0 on every burnable cell; give another density or landscape")
    return cells, likely.flat[cells] / likely.max()


def _drawn(uniform: npt.NDArray[Any], weight: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Numbers from 0 in proportion to weights above 0, from numbers in [0, 1)."""
    if (weight == weight[0]).all():
        return (uniform * len(weight)).astype(np.int64)
    up_to = np.cumsum(weight)
    return np.asarray(np.minimum(np.searchsorted(up_to, uniform * up_to[-1], side="right"), len(weight) - 1))


def check_draw(n: int) -> None:
    """Refuse a number of fires that cannot be drawn or would not fit into memory."""
    if not isinstance(n, int | np.integer) or not 1 <= n < 2**31:
        raise InputError(f"fires: cannot draw {n} fires; ask for a whole number, at least 1 and below 2^31")
    parallel.refuse_beyond_memory(BYTES_PER_DRAW * n, f"{n:,} fires", "draw fewer")


def _checked_choices(series: npt.ArrayLike, weathers: int) -> npt.NDArray[np.int32]:
    """Series to draw from, (N, P)."""
    wanted = f"series must be rows of whole numbers from 0 to {weathers - 1}, all rows as long, one number a period"
    rows = _numbers(series, np.int32, wanted)
    if rows.ndim != 2 or rows.size == 0 or rows.min() < 0 or rows.max() >= weathers:
        raise InputError(f"fires: {wanted}")
    return rows


def holding(
    fires: Fires, cells: npt.ArrayLike, hold_probability: npt.ArrayLike, seed: int = 0
) -> npt.NDArray[np.bool_]:
    """Draw whether a firebreak on each cell would hold against each fire.

    Draws are counter-based: that of a fire and a cell depends on the seed, the fire's number and the cell alone, so it
    is the same in any subset and any order, and a break that holds at some probability holds at every higher one.

    Parameters
    ----------
    cells : (n,) flat row-major cell numbers
    hold_probability : (n,) or (S, n), 0 to 1, how likely a break on each cell holds, against every or against each fire
    seed : 0 or more; fires of one number draw alike in all origins, so give each origin its own if that matters

    Returns
    -------
    (S, n) bool
    """
    wanted = "cells of breaks must be a list of flat cell numbers, whole numbers from 0"
    flat = _numbers(cells, np.int64, wanted)
    if flat.ndim != 1 or (flat < 0).any():
        raise InputError(f"fires: {wanted}")
    shape = (len(fires), len(flat))
    wanted = f"hold_probability must be {shape[1]} numbers from 0 to 1, one a cell, or {shape[0]} rows, one a fire"
    chance = _numbers(hold_probability, np.float64, wanted)
    if chance.shape not in (shape[1:], shape) or not ((chance >= 0) & (chance <= 1)).all():
        raise InputError(f"fires: {wanted}")
    chance = np.broadcast_to(chance, shape)
    # Streams within streams: the seed starts one with a word for each fire, which starts one with a word for each cell.
    start = _mix(np.array([_seed_word(seed)], np.uint64) + SPLITMIX64_STEP)
    start_of_fire = _mix(start + (fires.number.astype(np.uint64) + np.uint64(1)) * SPLITMIX64_STEP)
    offset_of_cell = (flat.astype(np.uint64) + np.uint64(1)) * SPLITMIX64_STEP
    holds = np.empty(shape, bool)
    block = max(1, HOLDING_BLOCK // max(1, shape[1]))
    for first in range(0, shape[0], block):
        part = slice(first, first + block)
        words = _mix(start_of_fire[part, None] + offset_of_cell)
        holds[part] = (words >> np.uint64(11)) * 2.0**-53 < chance[part]
    return holds


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit words one to one, by SplitMix64's finalizer.

    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, OOPSLA, with Stafford's variant 13.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
