"""Fine dead fuel moisture against Behave's own tests of its tables, and the tables' edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuelbreak.moisture import LARGEST_CORRECTION_PCT, correction_pct, reference_moisture_pct


def celsius(fahrenheit: float) -> float:
    return (fahrenheit - 32) / 1.8


def correction(month, hour, slope_pct, aspect, shade=0.0, above=0.0) -> int:
    one = [np.array([x], np.float32) for x in (np.degrees(np.arctan(slope_pct / 100)), aspect, shade, above)]
    return int(correction_pct(month, hour, *one)[0])


# testBehave.cpp of firelab/behave, testFineDeadFuelMoistureTool: the first, the second and the last of every choice.
@pytest.mark.parametrize(
    ("fahrenheit", "humidity", "month", "hour", "slope_pct", "aspect", "shade", "above_ft", "reference", "points"),
    [
        (20, 2, 6, 8.5, 10, 0, 0.0, -1500, 1, 2),
        (40, 7, 9, 10.5, 50, 90, 0.6, 0, 2, 4),
        (115, 100, 12, 18.5, 50, 270, 0.6, 1500, 12, 6),
    ],
)
def test_behave_own_tests(
    fahrenheit, humidity, month, hour, slope_pct, aspect, shade, above_ft, reference, points
) -> None:
    assert reference_moisture_pct(celsius(fahrenheit), humidity) == reference
    assert correction(month, hour, slope_pct, aspect, shade, above_ft * 0.3048) == points


# The National Wildfire Coordinating Group's fire behavior field reference (PMS 437), dead fuel moisture, tables A to D.
@pytest.mark.parametrize(
    ("month", "hour", "slope_pct", "aspect", "shade", "points"),
    [
        (7, 13, 10, 0, 0.0, 0),  # a summer noon dries every gentle slope alike
        (7, 9, 50, 270, 0.0, 5),  # the sun has not reached a steep west slope
        (7, 9, 50, 90, 0.0, 2),
        (7, 19, 50, 90, 0.0, 5),  # ... and has left a steep east slope
        (7, 15, 50, 270, 0.0, 0),
        (9, 13, 50, 0, 0.0, 3),  # a fall noon leaves steep north slopes in shade
        (12, 13, 50, 0, 0.0, 5),
        (12, 13, 50, 180, 0.0, 1),
        (7, 13, 10, 180, 0.5, 3),
    ],
)
def test_sun_and_shade(month, hour, slope_pct, aspect, shade, points) -> None:
    assert correction(month, hour, slope_pct, aspect, shade) == points


@pytest.mark.parametrize(
    ("fahrenheit", "humidity", "reference"),
    [
        (-20, 50, 8),
        (9, 3, 1),
        (29.4, 30, 5),
        (29.6, 45, 7),
        (69, 24.4, 4),
        (69, 24.6, 5),
        (110, 99, 12),
        (109, 100, 13),
    ],
)
def test_rows_and_columns_of_the_reference_table(fahrenheit: float, humidity: float, reference: int) -> None:
    assert reference_moisture_pct(celsius(fahrenheit), humidity) == reference


def test_what_is_steep_shaded_and_far_above() -> None:
    assert correction(9, 13, 30, 0) == 1
    assert correction(9, 13, 30.6, 0) == 3
    assert correction(6, 13, 10, 90, 0.49) == 0
    assert correction(6, 13, 10, 90, 0.5) == 3
    assert [correction(6, 9, 10, 0, above=each * 0.3048) for each in (-1000, -999, 999, 1000)] == [2, 3, 3, 4]
    assert correction(6, 9, 50, -1) == correction(6, 9, 50, 0)  # flat counts as north
    assert correction(6, 9, 50, 359) == correction(6, 9, 50, 44) == 4


def test_night_is_shade() -> None:
    for hour in (0, 7.9, 20, 23.5, 24):
        for aspect in (0, 90, 180, 270):
            assert correction(6, hour, 50, aspect) == correction(6, hour, 50, aspect, shade=1.0) >= 4


@given(
    st.integers(1, 12),
    st.floats(0, 24),
    st.floats(0, 80, width=32),
    st.floats(-1, 360, width=32),
    st.floats(0, 1, width=32),
)
def test_points_are_few_and_shade_never_dries(month, hour, slope_pct, aspect, shade) -> None:
    points = correction(month, hour, slope_pct, aspect, shade)
    assert 0 <= points <= LARGEST_CORRECTION_PCT == 6
    assert correction(month, hour, slope_pct, aspect, 1.0) >= points


@given(st.floats(-30, 50), st.floats(0, 99))
def test_damper_air_never_dries_and_warmer_air_never_wets(temperature: float, humidity: float) -> None:
    here = reference_moisture_pct(temperature, humidity)
    assert reference_moisture_pct(temperature, humidity + 1) >= here
    assert reference_moisture_pct(temperature + 1, humidity) <= here
