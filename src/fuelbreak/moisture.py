"""Moisture of fine dead fuel from temperature, humidity, season, time of day, slope, aspect and shade.

Fosberg and Deeming (1971, RM-207) in the tables of Rothermel (1983, INT-143), as Behave and the field guides have them:
a reference moisture from the air, and a correction from 0 to 6 points for where the sun stands on the ground.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F4 = npt.NDArray[np.float32]

# Rows: temperature 10-29, 30-49, 50-69, 70-89, 90-109, 110 F and more. Columns: humidity 0-4, 5-9 ... 95-99, 100 %.
_REFERENCE_PCT = np.array(
    [
        [1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 8, 9, 9, 10, 11, 12, 12, 13, 13, 14],
        [1, 2, 2, 3, 4, 5, 5, 6, 7, 7, 7, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13],
        [1, 2, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 11, 12, 12, 12, 13],
        [1, 1, 2, 2, 3, 4, 5, 5, 6, 7, 7, 8, 8, 8, 9, 10, 10, 11, 12, 12, 13],
        [1, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7, 8, 8, 8, 9, 10, 10, 11, 12, 12, 13],
        [1, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7, 8, 8, 8, 9, 10, 10, 11, 12, 12, 12],
    ]
)
# A block of twelve rows for each season: May to July; February to April and August to October; November to January.
# Rows: exposed north 0-30 %, north 31 % and more, east, south, west likewise; shaded north, east, south, west.
# Columns: 8-10, 10-12, 12-14, 14-16, 16-18 hours, 18 hours to sunset, in each the place below, level with and above
# the weather station (by 1,000 feet or more).
_CORRECTIONS = """
234 111 001 001 111 234
344 122 112 112 122 344
223 111 001 001 112 344
122 001 001 112 234 456
233 111 001 001 111 233
233 112 011 011 112 233
234 112 001 001 011 233
456 234 112 001 001 122
455 345 334 334 345 455
445 345 334 344 345 456
445 345 334 334 345 455
456 345 334 334 345 445

345 123 112 112 123 345
345 334 234 234 334 345
345 123 111 112 123 345
334 111 111 123 345 346
345 122 111 111 123 345
345 122 011 011 122 345
345 123 111 111 123 345
456 345 123 111 111 334
456 455 345 345 455 456
456 345 345 345 456 456
456 345 345 345 345 456
456 456 345 345 345 456

456 345 234 234 345 456
456 456 456 456 456 456
456 344 233 233 345 456
456 234 223 344 456 456
456 345 233 223 344 456
456 233 112 112 233 456
456 345 233 233 344 456
456 456 344 223 234 456
456 456 456 456 456 456
456 456 456 456 456 456
456 456 456 456 456 456
456 456 456 456 456 456
"""
_CORRECTION_PCT = np.array(
    [list("".join(line.split())) for line in _CORRECTIONS.split("\n") if line], np.uint8
).reshape(3, 12, 6, 3)
_SEASON_OF_MONTH = np.array([2, 1, 1, 1, 0, 0, 0, 1, 1, 1, 2, 2])
LARGEST_CORRECTION_PCT = int(_CORRECTION_PCT.max())
_STEEP_DEG = math.degrees(math.atan(0.305))  # the steep rows are of 31 whole percent and more
_SHADED = 0.5
_FAR_ABOVE_M = 1000 * 0.3048
_FIRST_HOUR, _LAST_HOUR = 8, 20  # of the tables; the last column ends at sunset


def reference_moisture_pct(temperature_c: npt.ArrayLike, humidity_pct: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Moisture of fine dead fuel in the air as it is, before sun and terrain; Rothermel 1983 table A, percent.

    Parameters
    ----------
    temperature_c : any shape; colder than 10 F counts as the table's coldest row
    humidity_pct : relative humidity, of the same shape

    Returns
    -------
    float64 of that shape, 1 to 14
    """
    fahrenheit = np.rint(np.asarray(temperature_c, np.float64) * 1.8 + 32)
    row = np.clip((fahrenheit - 10) // 20, 0, 5).astype(np.int64)
    column = np.clip(np.rint(np.asarray(humidity_pct, np.float64)) // 5, 0, 20).astype(np.int64)
    return np.asarray(_REFERENCE_PCT[row, column], np.float64)


def correction_pct(
    month: int, hour: float, slope_deg: F4, aspect_deg: F4, shade: F4, above_station_m: F4
) -> npt.NDArray[np.uint8]:
    """Points that slope, aspect, shade and height add to the reference moisture; Rothermel 1983 tables B to D.

    The tables reach from 8 hours to sunset. At night, for which they have nothing, ground counts as shaded, in the
    nearest hour that they have: 4 to 6 points.

    Parameters
    ----------
    month, hour : 1 to 12, and local time of day, 0 to 24
    slope_deg, aspect_deg : of the ground, arrays of one shape; the azimuth it faces, -1 (flat) counts as north
    shade : share of the sun that crowns and clouds keep off, 0 to 1; half and more is shaded
    above_station_m : height above the weather station, below where negative

    Returns
    -------
    uint8 of that shape, 0 to 6 percent
    """
    block = _CORRECTION_PCT[_SEASON_OF_MONTH[month - 1]]
    by_day = _FIRST_HOUR <= hour < _LAST_HOUR
    nearest = 0 if hour % 24 < _FIRST_HOUR else 5
    column = int(hour - _FIRST_HOUR) // 2 if by_day else nearest
    # Small whole numbers throughout: this is asked of every cell in every weather.
    one = np.uint8(1)
    east, south, west = ((aspect_deg >= edge).view(np.uint8) for edge in (45, 135, 225))
    quarter = (east + south + west) * (aspect_deg < 315)
    steep = slope_deg > np.float32(_STEEP_DEG)
    shaded = (shade >= _SHADED) | (not by_day)
    row = np.where(shaded, np.uint8(8) + quarter, np.uint8(2) * quarter + steep)
    height = one + (above_station_m >= _FAR_ABOVE_M) - (above_station_m <= -_FAR_ABOVE_M).view(np.uint8)
    points: npt.NDArray[np.uint8] = np.take(block[:, column], np.uint8(3) * row + height, mode="clip")
    return points
