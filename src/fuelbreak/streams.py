"""Text files of weather and fuel: station records, fuel moistures, fuel models, fire sizes; files to plain arrays."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.fuels import (
    FUEL_MODELS,
    NONBURNABLE_CODES,
    SAV_10H_PER_FT,
    SAV_100H_PER_FT,
    TONS_PER_ACRE_TO_LB_PER_FT2,
    FuelModel,
    unknown_codes,
)

F8 = npt.NDArray[np.float64]

MPH_TO_KMH = 1.609344
WIND_10M_OVER_20FT = 1.15  # Lawson and Armitage (2008): open 10 m wind over 20-ft wind
FT_TO_M = 0.3048
MM_PER_INCH = 25.4
HA_PER_ACRE = 0.40468564224
TONNES_PER_HA_TO_LB_PER_FT2 = 1000 / 0.45359237 / (10_000 / FT_TO_M**2)
BTU_LB_PER_KJ_KG = 1 / 2.326

MOISTURES = ("dead_1h_pct", "dead_10h_pct", "dead_100h_pct", "live_herb_pct", "live_woody_pct")
LONGEST_STEP_MIN = 60.0  # between two observations, and half as long again as their usual step
SEASON_BREAK_MIN = 30 * 24 * 60.0  # from here on it is the time between two fire seasons


@dataclass(frozen=True, eq=False)
class WeatherStream:
    """What a weather station observed, one value for each of n times.

    Parameters
    ----------
    source : name of the file
    time : (n,) datetime64[m], clock time as in the file
    temperature_c, humidity_pct, rain_mm, cloud_pct : (n,) float64, nan where the file has none
    wind_speed_kmh, wind_from_deg : (n,) float64, at 10 m in the open; where from, degrees clockwise from true north
    moistures : (n,) float64 by name, of dead and live fuel, percent, where the file has them
    utc : whether the times are UTC rather than local
    longitude_deg, latitude_deg, elevation_m : of the station, where the file says
    notes : what the user should know, one sentence each
    """

    source: str
    time: npt.NDArray[np.datetime64]
    temperature_c: F8
    humidity_pct: F8
    rain_mm: F8
    wind_speed_kmh: F8
    wind_from_deg: F8
    cloud_pct: F8
    moistures: dict[str, F8] = field(default_factory=dict)
    utc: bool = False
    longitude_deg: float | None = None
    latitude_deg: float | None = None
    elevation_m: float | None = None
    notes: tuple[str, ...] = ()


HELD_OUT_EVERY = 5  # of a record's days the fifth, tenth ... are kept to judge in


def split_days(stream: WeatherStream) -> tuple[WeatherStream, WeatherStream] | None:
    """A record without every fifth of its days, and those days alone; None if it has fewer than five."""
    days = stream.time.astype("datetime64[D]")
    place = np.searchsorted(np.unique(days), days)
    if place.max(initial=0) + 1 < HELD_OUT_EVERY:
        return None
    held = place % HELD_OUT_EVERY == HELD_OUT_EVERY - 1

    def part(rows: npt.NDArray[np.bool_]) -> WeatherStream:
        columns = {
            name: getattr(stream, name)[rows]
            for name in ("time", "temperature_c", "humidity_pct", "rain_mm", "wind_speed_kmh", "wind_from_deg")
        }
        moistures = {name: values[rows] for name, values in stream.moistures.items()}
        return replace(stream, **columns, cloud_pct=stream.cloud_pct[rows], moistures=moistures)

    return part(~held), part(held)


class FuelMoisture(NamedTuple):
    """Moisture of one fuel model, percent of dry weight; model 0 stands for all that have no row of their own."""

    code: int
    dead_1h_pct: float
    dead_10h_pct: float
    dead_100h_pct: float
    live_herb_pct: float
    live_woody_pct: float


class FireSizes(NamedTuple):
    """Sizes of past fires, hectares (n,) float64, and what to know of the list."""

    sizes_ha: F8
    notes: tuple[str, ...]


def _lines(path: str | Path, what: str) -> list[str]:
    place = Path(path)
    try:
        text = place.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror}); give {what}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: is no text (byte {error.start} is not UTF-8); give {what}") from error
    if not text.strip():
        raise InputError(f"{place}: is empty; give {what}")
    return text.splitlines()


def _number(text: str, path: str | Path, line: int, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {line}: {name} is {text.strip()!r}, not a number; mend it there")
    return value


def _within(value: float, low: float, high: float, path: str | Path, line: int, name: str, unit: str) -> float:
    if not low <= value <= high:
        raise InputError(f"{path}, line {line}: {name} is {value:g}; give {low:g} to {high:g} {unit}")
    return value


# ---------------------------------------------------------------------------------------------------------------------
# Weather streams.


class _Rows:
    """Observations as they are read, each checked with its line."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.line = path, 0
        self.kept: list[tuple[int, datetime, dict[str, float]]] = []

    def add(self, line: int, time: datetime, **values: float) -> None:
        for name, low, high, unit in (
            ("temperature_c", -60, 60, "degrees C"),
            ("humidity_pct", 0, 100, "percent"),
            ("rain_mm", 0, 500, "mm"),
            ("wind_speed_kmh", 0, 200, "km/h at 10 m"),
            ("wind_from_deg", 0, 360, "degrees from north"),
            ("cloud_pct", 0, 100, "percent"),
            *((name, 1, 300, "percent of dry weight") for name in MOISTURES),
        ):
            value = values.get(name, math.nan)
            if not math.isnan(value):
                _within(value, low, high, self.path, line, name, unit)
        self.kept.append((line, time, values))

    def stream(self, **rest: Any) -> WeatherStream:
        """All rows as one stream, once no time repeats and none is missing."""
        if not self.kept:
            raise InputError(f"{self.path}: has no observation; give at least one")
        time = np.array([time for _, time, _ in self.kept], "datetime64[m]")
        step = np.diff(time).astype(np.float64)
        notes = list(rest.pop("notes", ()))
        if len(step):
            usual = float(np.median(step))
            longest = max(LONGEST_STEP_MIN, 1.5 * usual)
            for i, minutes in enumerate(step.tolist()):
                line, was, now = self.kept[i + 1][0], *(str(each).replace("T", " ") for each in time[i : i + 2])
                if minutes <= 0:
                    raise InputError(
                        f"{self.path}, line {line}: {now} follows {was}; put the observations in order, each time once"
                    )
                if longest < minutes < SEASON_BREAK_MIN:
                    raise InputError(
                        f"{self.path}, line {line}: a gap: {now} follows {was}, {minutes / 60:g} hours later, "
                        f"where the usual step is {usual:g} minutes; fill in what is missing, or cut the file there"
                    )
            breaks = int((step >= SEASON_BREAK_MIN).sum())
            if breaks:
                notes.append(f"{Path(self.path).name}: {breaks + 1} seasons, with more than 30 days between them")

        def column(name: str) -> F8:
            return np.array([values.get(name, math.nan) for _, _, values in self.kept])

        names = ("temperature_c", "humidity_pct", "rain_mm", "wind_speed_kmh", "wind_from_deg", "cloud_pct")
        columns: dict[str, Any] = {name: column(name) for name in names}
        moistures = {}
        for name in MOISTURES:
            values = column(name)
            if np.isnan(values).all():
                continue
            if np.isnan(values).any():
                line = self.kept[int(np.argmax(np.isnan(values)))][0]
                raise InputError(
                    f"{self.path}, line {line}: {name} is missing where other lines have it; fill it in, or take "
                    "the column out"
                )
            moistures[name] = values
        return WeatherStream(
            Path(self.path).name,
            time,
            **columns,
            moistures=moistures,
            notes=tuple(notes),
            **rest,
        )


def read_stream(path: str | Path) -> WeatherStream:
    """Read the record of a weather station: a FlamMap stream (.wxs), an FW21 csv, or a WindNinja station csv.

    A .wxs is `RAWS_ELEVATION: x`, `RAWS_UNITS: English` (F, hundredths of an inch, mph at 20 ft, feet) or `Metric`
    (C, mm, km/h at 10 m, meters), `RAWS: n`, then n rows of year, month, day, hhmm, temperature, humidity, rain, wind
    speed, wind direction, cloud cover (FlamMap 6.2 help, "Weather Stream File"). An FW21 csv has columns by name with
    their unit, English or metric; its wind is at 20 ft, as fire weather stations have it. A station csv is that of
    WindNinja; it has no humidity. 20-ft wind is made 10-m wind by 1.15 (Lawson and Armitage 2008).

    Raises
    ------
    InputError : with file and line: a missing unit, values out of range, times out of order, a gap (a step over an hour
        and over 1.5 times the usual; 30 days or more part two seasons)
    """
    lines = _lines(path, "a weather stream (.wxs), an FW21 csv or a WindNinja station csv")
    first = next(line for line in lines if line.strip())
    if re.search(r"\bDateTime\b", first, re.IGNORECASE) and "," in first:
        return _read_fw21(path, lines)
    if "Station_Name" in first:
        return _read_station(path, lines)
    if any(line.strip().upper().startswith("RAWS") for line in lines[:20]) or str(path).lower().endswith(".wxs"):
        return _read_wxs(path, lines)
    raise InputError(
        f"{path}, line 1: neither a weather stream (.wxs with RAWS_UNITS), an FW21 csv (a column DateTime) nor a "
        f"WindNinja station csv (a column Station_Name): {first[:60]!r}; give one of these"
    )


def _read_wxs(path: str | Path, lines: list[str]) -> WeatherStream:
    header: dict[str, tuple[int, str]] = {}
    body = []
    for number, written in enumerate(lines, 1):
        text = written.strip()
        if match := re.match(r"(RAWS\w*)\s*:\s*(.*)", text, re.IGNORECASE):
            header[match[1].upper()] = (number, match[2].strip())
        elif text and not text[0].isalpha() and not text.startswith("#"):  # the line of column names may be there
            body.append((number, text.split()))
    if "RAWS_UNITS" not in header:
        raise InputError(
            f"{path}, line 1: no line says RAWS_UNITS: English or RAWS_UNITS: Metric; write the one that is true "
            "before the observations"
        )
    line, units = header["RAWS_UNITS"]
    if units.lower() not in ("english", "metric"):
        raise InputError(f"{path}, line {line}: RAWS_UNITS is {units!r}; give English or Metric")
    english = units.lower() == "english"
    elevation = None
    if "RAWS_ELEVATION" in header:
        line, text = header["RAWS_ELEVATION"]
        elevation = _number(text, path, line, "RAWS_ELEVATION") * (FT_TO_M if english else 1.0)
    if "RAWS" in header:
        line, text = header["RAWS"]
        if _number(text, path, line, "RAWS") != len(body):
            raise InputError(f"{path}, line {line}: RAWS is {text} but {len(body)} observations follow; correct one")
    rows = _Rows(path)
    names = ("year", "month", "day", "time", "temperature", "humidity", "rain", "wind speed", "wind direction", "cloud")
    for number, parts in body:
        if len(parts) != len(names):
            raise InputError(
                f"{path}, line {number}: {len(parts)} numbers; give 10: year, month, day, time, temperature, humidity, "
                "rain, wind speed, wind direction, cloud cover"
            )
        values = {name: _number(part, path, number, name) for name, part in zip(names, parts, strict=True)}
        temperature, rain, speed = values["temperature"], values["rain"], values["wind speed"]
        if english:
            temperature, rain = (temperature - 32) / 1.8, rain * MM_PER_INCH / 100
            speed *= MPH_TO_KMH * WIND_10M_OVER_20FT
        rows.add(
            number,
            _clock(path, number, *(values[name] for name in ("year", "month", "day", "time"))),
            temperature_c=temperature,
            humidity_pct=values["humidity"],
            rain_mm=rain,
            wind_speed_kmh=speed,
            wind_from_deg=values["wind direction"],
            cloud_pct=values["cloud"],
        )
    return rows.stream(elevation_m=elevation)


def _clock(path: str | Path, line: int, year: float, month: float, day: float, hhmm: float) -> datetime:
    try:
        hours, minutes = divmod(int(hhmm), 100)
        if not (0 <= hours <= 24 and 0 <= minutes < 60 and (hours < 24 or minutes == 0)):
            raise ValueError
        return datetime(int(year), int(month), int(day)) + timedelta(hours=hours, minutes=minutes)
    except (ValueError, OverflowError):
        raise InputError(
            f"{path}, line {line}: year {year:g}, month {month:g}, day {day:g}, time {hhmm:g} is no date and hour; "
            "give the hour as 0 to 2400"
        ) from None


def _table(path: str | Path, lines: list[str]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows of a csv, with line numbers; ragged rows are refused."""
    reader = csv.reader(io.StringIO("\n".join(lines)))
    header: list[str] | None = None
    rows = []
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}; look for a stray quote there") from error
        if row is None:
            break
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = [cell.strip() for cell in row]
            continue
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {reader.line_num}: {len(row)} cells where the header has {len(header)}; mend the row"
            )
        rows.append((reader.line_num, [cell.strip() for cell in row]))
    assert header is not None  # the file is not empty
    return header, rows


# FW21 columns by quantity: name without unit, and for each unit the function to ours.
_FW21: dict[str, tuple[str, dict[str, Any]]] = {
    "temperature_c": ("Temperature", {"F": lambda x: (x - 32) / 1.8, "C": lambda x: x}),
    "humidity_pct": ("RelativeHumidity", {"%": lambda x: x}),
    "rain_mm": ("Precipitation", {"in": lambda x: x * MM_PER_INCH, "mm": lambda x: x}),
    # At 20 ft in either unit: NFDRS4 takes kph for mph by the factor alone.
    "wind_speed_kmh": (
        "WindSpeed",
        {"mph": lambda x: x * MPH_TO_KMH * WIND_10M_OVER_20FT, "kph": lambda x: x * WIND_10M_OVER_20FT},
    ),
    "wind_from_deg": ("WindAzimuth", {"degrees": lambda x: x}),
    "dead_1h_pct": ("1HourDFM", {"%": lambda x: x}),
    "dead_10h_pct": ("10HourDFM", {"%": lambda x: x}),
    "dead_100h_pct": ("100HourDFM", {"%": lambda x: x}),
    "live_herb_pct": ("HerbLFM", {"%": lambda x: x}),
    "live_woody_pct": ("WoodyLFM", {"%": lambda x: x}),
}
_FW21_NEEDED = ("temperature_c", "humidity_pct", "wind_speed_kmh", "wind_from_deg")


def _read_fw21(path: str | Path, lines: list[str]) -> WeatherStream:
    header, body = _table(path, lines)
    at = {name.lower(): i for i, name in enumerate(header)}
    if "datetime" not in at:
        raise InputError(f"{path}, line 1: no column DateTime; call the column of times that, with Z for UTC")
    columns = {}
    for name, (title, units) in _FW21.items():
        found = {unit: at[f"{title}({unit})".lower()] for unit in units if f"{title}({unit})".lower() in at}
        if len(found) > 1:
            raise InputError(f"{path}, line 1: {title} is there in {' and '.join(found)}; leave one column out")
        bare = next((head for head in header if head.lower().split("(")[0] == title.lower()), None)
        wanted = " or ".join(f"{title}({unit})" for unit in units)
        if not found and bare is not None:
            raise InputError(f"{path}, line 1: column {bare} names no unit that is known; call it {wanted}")
        if not found and name in _FW21_NEEDED:
            raise InputError(f"{path}, line 1: no column {wanted}; an FW21 stream needs it")
        if found:
            unit, column = next(iter(found.items()))
            columns[name] = (column, units[unit], title)
    stations = {row[at["stationid"]] for _, row in body} if "stationid" in at else set()
    if len(stations) > 1:
        raise InputError(
            f"{path}: observations of {len(stations)} stations ({', '.join(sorted(stations)[:4])}); keep one"
        )
    rows, zones = _Rows(path), set()
    for line, row in body:
        time, zone = _iso_time(path, line, row[at["datetime"]])
        zones.add(zone)
        values = {}
        for name, (column, convert, title) in columns.items():
            missing = row[column] in ("", "NA", "NaN", "-999", "-9999")
            if missing and name in _FW21_NEEDED:
                raise InputError(f"{path}, line {line}: {title} is missing; fill it in, or cut the file there")
            values[name] = math.nan if missing else convert(_number(row[column], path, line, title))
            if name in MOISTURES and values[name] <= 0:
                values[name] = math.nan  # how the format says that there is none
        rows.add(line, time, **values)
    if len(zones) > 1:
        raise InputError(f"{path}: times in UTC and in other time zones; write all in one")
    return rows.stream(utc=zones == {"Z"})


def _iso_time(path: str | Path, line: int, text: str) -> tuple[datetime, str]:
    """Clock time and "Z" for UTC, else the empty text: an offset that is not 0 tells that the clock is local."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{path}, line {line}: {text!r} is no date and time; write it as 2018-06-21T14:00:00, with Z for UTC"
        ) from None
    return time.replace(tzinfo=None), "Z" if time.utcoffset() == timedelta(0) else ""


_SPEED_TO_KMH = {"mph": MPH_TO_KMH, "kph": 1.0, "mps": 3.6, "kts": 1.852}


def _read_station(path: str | Path, lines: list[str]) -> WeatherStream:
    header, body = _table(path, lines)
    at = {re.sub(r"\(.*", "", name).lower(): i for i, name in enumerate(header)}
    needed = ("height", "height_units", "speed", "speed_units", "direction", "temperature", "temperature_units")
    for name in (*needed, "date_time"):
        if name not in at:
            raise InputError(f"{path}, line 1: no column {name}; a WindNinja station file needs it")
    names = {row[at["station_name"]] for _, row in body}
    if len(names) > 1:
        raise InputError(f"{path}: observations of {len(names)} stations ({', '.join(sorted(names)[:4])}); keep one")
    rows, zones = _Rows(path), set()
    longitude = latitude = None
    for line, row in body:

        def unit(name: str, known: Sequence[str], row: list[str] = row, line: int = line) -> str:
            given = row[at[name]].lower()
            if given not in [each.lower() for each in known]:
                raise InputError(f"{path}, line {line}: {name} is {given!r}; give {' or '.join(known)}")
            return given

        height = _number(row[at["height"]], path, line, "Height")
        height *= FT_TO_M if unit("height_units", ("meters", "feet")) == "feet" else 1.0
        at_10m, at_20ft = abs(height / 10 - 1) < 0.02, abs(height / (20 * FT_TO_M) - 1) < 0.02
        if not (at_10m or at_20ft):
            raise InputError(f"{path}, line {line}: wind at {height:g} m; give wind at 10 m or 20 ft")
        speed = _number(row[at["speed"]], path, line, "Speed") * _SPEED_TO_KMH[unit("speed_units", list(_SPEED_TO_KMH))]
        temperature = _number(row[at["temperature"]], path, line, "Temperature")
        if unit("temperature_units", ("F", "C")) == "f":
            temperature = (temperature - 32) / 1.8
        cloud = row[at["cloud_cover"]] if "cloud_cover" in at else ""
        time, zone = _iso_time(path, line, row[at["date_time"]])
        zones.add(zone)
        rows.add(
            line,
            time,
            temperature_c=temperature,
            wind_speed_kmh=speed * (1.0 if at_10m else WIND_10M_OVER_20FT),
            wind_from_deg=_number(row[at["direction"]], path, line, "Direction"),
            cloud_pct=_number(cloud, path, line, "Cloud_Cover") if cloud else math.nan,
        )
        geographic = "coord_sys" in at and row[at["coord_sys"]].upper() == "GEOGCS"
        geographic = geographic and {"lat/ycoord", "lon/xcoord"} <= set(at)
        if geographic and longitude is None:
            latitude = _number(row[at["lat/ycoord"]], path, line, "Lat/YCoord")
            longitude = _number(row[at["lon/xcoord"]], path, line, "Lon/XCoord")
    if len(zones) > 1:
        raise InputError(f"{path}: times in UTC and in other time zones; write all in one")
    return rows.stream(utc=zones == {"Z"}, longitude_deg=longitude, latitude_deg=latitude)


# ---------------------------------------------------------------------------------------------------------------------
# Fuel.


def read_fms(path: str | Path, custom_fuels: Sequence[FuelModel] = ()) -> tuple[FuelMoisture, ...]:
    """Read fuel moistures by fuel model from an .fms file, FlamMap's "Initial Fuel Moistures".

    Rows of fuel model, 1-h, 10-h, 100-h, live herbaceous, live woody and, if there, 1000-h moisture in percent; a line
    `FUEL_MOISTURES_DATA: n` before them counts them. Model 0 stands for all models that have no row.

    Parameters
    ----------
    custom_fuels : fuel models beside the standard ones

    Raises
    ------
    InputError : with file and line: moistures outside 1 to 300 %, a model that nobody described or twice, rows of
        another length, none at all
    """
    lines = _lines(path, "a file of fuel moistures (.fms)")
    announced: tuple[int, int] | None = None
    rows: dict[int, FuelMoisture] = {}
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if match := re.match(r"FUEL_MOISTURES_DATA\s*:\s*(\S+)", text, re.IGNORECASE):
            announced = (number, int(_number(match[1], path, number, "FUEL_MOISTURES_DATA")))
            continue
        if not text or text[0].isalpha():
            continue
        parts = [_number(part, path, number, "moisture") for part in text.replace(",", " ").split()]
        if len(parts) not in (6, 7):
            raise InputError(
                f"{path}, line {number}: {len(parts)} numbers; give 6: fuel model, 1-h, 10-h, 100-h, live herbaceous "
                "and live woody moisture"
            )
        code = int(parts[0])
        if code != parts[0]:
            raise InputError(f"{path}, line {number}: fuel model {parts[0]:g}; give a whole number")
        if code != 0 and len(unknown_codes(np.array([code]), custom_fuels)):
            raise InputError(
                f"{path}, line {number}: fuel model {code} is unknown; leave the row out, or describe the model in an "
                ".fmd file (--custom-fuels)"
            )
        if code in rows:
            raise InputError(f"{path}, line {number}: fuel model {code} stands there twice; leave one row out")
        for name, percent in zip(MOISTURES, parts[1:], strict=False):
            _within(percent, 1, 300, path, number, f"{name} of fuel model {code}", "percent of dry weight")
        rows[code] = FuelMoisture(code, *parts[1:6])
    if not rows:
        raise InputError(f"{path}: has no row of moistures; give fuel model, 1-h, 10-h, 100-h, herbaceous, woody")
    if announced is not None and announced[1] != len(rows):
        raise InputError(
            f"{path}, line {announced[0]}: FUEL_MOISTURES_DATA is {announced[1]} but {len(rows)} rows follow; "
            "correct one"
        )
    return tuple(rows.values())


def read_fmd(path: str | Path) -> tuple[FuelModel, ...]:
    """Read custom fuel models from an .fmd file, FlamMap's "Custom Fuel Model File".

    A first line ENGLISH (tons/acre, 1/ft, ft, Btu/lb) or METRIC (tonnes/ha, 1/cm, cm, kJ/kg or
    J/kg), then rows of number, code, loads of 1-h, 10-h, 100-h, live herbaceous and live woody fuel, static or dynamic,
    surface-to-volume ratios of 1-h, herbaceous and woody fuel, depth, dead moisture of extinction (%), heat content of
    dead and of live fuel, name. FARSITE's older rows without code and type are static.

    Raises
    ------
    InputError : with file and line: no line of units, a number that is a standard model's or nonburnable, numbers that
        cannot be
    """
    lines = _lines(path, "a file of custom fuel models (.fmd)")
    metric: bool | None = None
    models: dict[int, FuelModel] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.upper() in ("ENGLISH", "METRIC"):
            metric = text.upper() == "METRIC"
            if models:
                raise InputError(f"{path}, line {number}: {text} stands below fuel models; put it first")
            continue
        if not text or text[0].isalpha() or text.startswith("#"):
            continue
        if metric is None:
            raise InputError(
                f"{path}, line {number}: no line says ENGLISH (tons/acre, ft) or METRIC (tonnes/ha, cm); write the one "
                "that is true first"
            )
        model = _fuel_model(path, number, text.split(), metric)
        if model.code in models:
            raise InputError(f"{path}, line {number}: fuel model {model.code} stands there twice; leave one out")
        models[model.code] = model
    if not models:
        raise InputError(f"{path}: has no fuel model; give rows as FlamMap's help describes them")
    return tuple(models.values())


def _fuel_model(path: str | Path, line: int, parts: list[str], metric: bool) -> FuelModel:
    kind = parts[7].lower() if len(parts) > 7 else ""
    if kind in ("static", "dynamic") and len(parts) >= 15:
        symbol, name = parts[1], " ".join(parts[15:])
        numbers = [parts[0], *parts[2:7], *parts[8:15]]
    elif len(parts) == 13:
        symbol, name, numbers, kind = f"FM{parts[0]}", "", parts, "static"
    else:
        raise InputError(
            f"{path}, line {line}: {len(parts)} columns; give number, code, 5 loads, static or dynamic, 3 "
            "surface-to-volume ratios, depth, moisture of extinction, heat of dead and live fuel, name"
        )
    loaded = ("1-h load", "10-h load", "100-h load", "herbaceous load", "woody load")
    heats = ("dead heat", "live heat")
    names = ("fuel model", *loaded, "1-h SAV", "herbaceous SAV", "woody SAV", "depth", "moisture of extinction", *heats)
    given = {n: _number(text, path, line, n) for n, text in zip(names, numbers, strict=True)}
    code = int(given["fuel model"])
    if code != given["fuel model"] or not 1 <= code <= 256 or code in FUEL_MODELS or code in NONBURNABLE_CODES:
        why = (
            "is a standard model"
            if code in FUEL_MODELS
            else "does not burn"
            if code in NONBURNABLE_CODES
            else "is none"
        )
        raise InputError(
            f"{path}, line {line}: fuel model {given['fuel model']:g} {why}; give another number, such as 14 to 89"
        )
    per_load = TONNES_PER_HA_TO_LB_PER_FT2 if metric else TONS_PER_ACRE_TO_LB_PER_FT2
    per_sav, per_depth = (FT_TO_M * 100, 0.01 / FT_TO_M) if metric else (1.0, 1.0)
    loads = tuple(given[what] * per_load for what in loaded)
    dead_1h, herb, woody = (given[what] * per_sav for what in ("1-h SAV", "herbaceous SAV", "woody SAV"))
    dead = (dead_1h, SAV_10H_PER_FT * (loads[1] > 0), SAV_100H_PER_FT * (loads[2] > 0))
    savs = (*dead, herb * (loads[3] > 0), woody * (loads[4] > 0))
    for what, load, sav in zip(loaded, loads, savs, strict=True):
        _within(load, 0, 5, path, line, what, "lb/ft2 (109 tons/acre)")
        if load > 0 and not 10 <= sav <= 5000:
            raise InputError(
                f"{path}, line {line}: surface-to-volume ratio of the {what} is {sav:g} per foot; give 10 to 5000"
            )
    if not loads[0] > 0:
        raise InputError(f"{path}, line {line}: 1-h load is 0; give dead fine fuel, without which nothing spreads")
    depth = _within(given["depth"] * per_depth, 0.01, 50, path, line, "depth", "ft")
    extinction = _within(given["moisture of extinction"], 1, 100, path, line, "moisture of extinction", "percent")
    heat = []
    for what in heats:
        value = given[what]
        if metric:
            value *= BTU_LB_PER_KJ_KG * (1e-3 if value > 1e6 else 1.0)
        heat.append(_within(value, 4000, 16000, path, line, what, "Btu/lb (9,300 to 37,200 kJ/kg)"))
    return FuelModel(
        code=code,
        symbol=symbol,
        name=name,
        system="custom",
        loads_lb_ft2=loads,  # type: ignore[arg-type]  # five of each
        savs_per_ft=savs,
        depth_ft=depth,
        extinction_pct=extinction,
        dead_heat_btu_lb=heat[0],
        live_heat_btu_lb=heat[1],
        dynamic=kind == "dynamic",
    )


# ---------------------------------------------------------------------------------------------------------------------
# Past fires.

# Columns of fire sizes: ours, and those of the lists of NIFC, FPA-FOD and MTBS; hectares in each unit.
_SIZE_COLUMNS = {
    **dict.fromkeys(("size_ha", "area_ha", "hectares", "ha", "poly_ha", "size_hectares"), 1.0),
    **dict.fromkeys(("km2", "area_km2", "size_km2"), 100.0),
    **dict.fromkeys(
        ("acres", "size_acres", "area_acres", "fire_size", "gis_acres", "gisacres", "burnbndac", "incidentsize"),
        HA_PER_ACRE,
    ),
}


def read_fire_sizes(path: str | Path) -> FireSizes:
    """Read the sizes of past fires from a csv with a column such as size_ha or acres.

    Known columns, upper or lower case: size_ha, area_ha, hectares, ha, poly_ha; km2, area_km2; acres, size_acres,
    area_acres, and the acres of FPA-FOD (FIRE_SIZE), NIFC (GIS_ACRES, IncidentSize) and MTBS (BurnBndAc).

    Raises
    ------
    InputError : with file and line: no such column or several, sizes that are no numbers above 0
    """
    header, body = _table(path, _lines(path, "a csv of fire sizes"))
    found = [name for name in header if name.lower() in _SIZE_COLUMNS]
    if len(found) != 1:
        what = f"columns {' and '.join(found)} both give a size" if found else "no column gives a size"
        raise InputError(f"{path}, line 1: {what}; give one of size_ha, acres, FIRE_SIZE, GIS_ACRES, BurnBndAc, km2")
    column, hectares = header.index(found[0]), _SIZE_COLUMNS[found[0].lower()]
    sizes, blank = [], 0
    for line, row in body:
        if not row[column]:
            blank += 1
            continue
        size = _number(row[column].replace(",", ""), path, line, found[0])
        if not 0 < size < 1e9:
            raise InputError(f"{path}, line {line}: {found[0]} is {size:g}; give a size above 0")
        sizes.append(size * hectares)
    if not sizes:
        raise InputError(f"{path}: has no fire; give one fire a row")
    notes = (f"{Path(path).name}: {blank} rows have no size and are left out",) if blank else ()
    return FireSizes(np.array(sizes), notes)
