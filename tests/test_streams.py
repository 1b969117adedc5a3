"""Text files of weather and fuel: read right, in each unit, and refused by name, line and remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fuelbreak import streams
from fuelbreak.behavior import fire_behavior
from fuelbreak.errors import InputError
from fuelbreak.fuels import FUEL_MODELS
from fuelbreak.landscape import Landscape
from fuelbreak.moisture import reference_moisture_pct
from fuelbreak.scenarios import Fires, Weather, stream_season
from fuelbreak.spread import spread
from fuelbreak.streams import MPH_TO_KMH, WIND_10M_OVER_20FT

HOURS = range(24)


def temperature_c(hour: int) -> float:
    """The stated day: 10 C before dawn, 30 C at three in the afternoon."""
    return 20 + 10 * math.cos(2 * math.pi * (hour - 15) / 24)


def humidity_pct(hour: int) -> float:
    """75 % before dawn, 15 % at three in the afternoon."""
    return 45 - 30 * math.cos(2 * math.pi * (hour - 15) / 24)


def wind_mph(hour: int) -> int:
    return 4 + hour % 9


def wxs(path: Path, units: str = "English", change: Callable[[list[str]], None] | None = None) -> Path:
    """A day as FlamMap's weather stream."""
    lines = [f"RAWS_ELEVATION: {3281 if units == 'English' else 1000}", f"RAWS_UNITS: {units}", "RAWS: 24"]
    for hour in HOURS:
        temperature, speed = temperature_c(hour), wind_mph(hour) * 1.0
        if units == "English":
            temperature = temperature * 1.8 + 32
        else:
            speed *= MPH_TO_KMH * WIND_10M_OVER_20FT
        numbers = f"{temperature:.3f} {humidity_pct(hour):.3f} 0 {speed:.4f} {10 * hour} {hour}"
        lines.append(f"2024 7 20 {hour:02d}00 {numbers}")
    if change is not None:
        change(lines)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def fw21(path: Path, units: str = "English", change: Callable[[list[str]], None] | None = None) -> Path:
    """The same day as an FW21 csv."""
    english = units == "English"
    names = ("F", "in", "mph") if english else ("C", "mm", "kph")
    lines = [
        f"StationID,DateTime,Temperature({names[0]}),RelativeHumidity(%),Precipitation({names[1]}),"
        f"WindSpeed({names[2]}),WindAzimuth(degrees),SolarRadiation(W/m2)"
    ]
    for hour in HOURS:
        temperature = temperature_c(hour) * 1.8 + 32 if english else temperature_c(hour)
        speed = wind_mph(hour) * (1.0 if english else MPH_TO_KMH)
        lines.append(
            f"241513,2024-07-20T{hour:02d}:00:00-06:00,{temperature:.3f},{humidity_pct(hour):.3f},0,{speed:.4f},"
            f"{10 * hour},0"
        )
    if change is not None:
        change(lines)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


WRITERS = [(wxs, "English"), (wxs, "Metric"), (fw21, "English"), (fw21, "Metric")]


@pytest.mark.parametrize(("write", "units"), WRITERS)
def test_a_day_is_read_alike_from_each_format_and_unit(write: Callable[..., Path], units: str, tmp_path: Path) -> None:
    stream = streams.read_stream(write(tmp_path / "day.wxs", units))
    assert stream.time[0] == np.datetime64("2024-07-20T00:00")
    assert len(stream.time) == 24
    assert not stream.utc
    np.testing.assert_allclose(stream.temperature_c, [temperature_c(hour) for hour in HOURS], atol=1e-3)
    np.testing.assert_allclose(stream.humidity_pct, [humidity_pct(hour) for hour in HOURS], atol=1e-3)
    speeds = [wind_mph(hour) * MPH_TO_KMH * WIND_10M_OVER_20FT for hour in HOURS]
    np.testing.assert_allclose(stream.wind_speed_kmh, speeds, rtol=1e-4)
    np.testing.assert_array_equal(stream.wind_from_deg, [10 * hour for hour in HOURS])
    assert not stream.rain_mm.any()
    if write is wxs:
        assert stream.elevation_m == pytest.approx(1000, abs=0.1)
        np.testing.assert_array_equal(stream.cloud_pct, HOURS)


@pytest.mark.parametrize(("write", "units"), WRITERS)
def test_a_day_becomes_24_weathers_and_fires_that_burn_in_them(
    write: Callable[..., Path], units: str, tmp_path: Path
) -> None:
    season = stream_season(streams.read_stream(write(tmp_path / "day.wxs", units)), Weather(live_herb_pct=70))
    assert len(season.weathers) == 24
    (note,) = stream_season(streams.read_stream(tmp_path / "day.wxs"), humidity_pct=9).notes[:1]
    assert "it has humidity or fuel moisture of its own; 9 % is not used" in note
    for hour, weather in enumerate(season.weathers):
        assert weather.wind_speed_kmh == pytest.approx(wind_mph(hour) * MPH_TO_KMH * WIND_10M_OVER_20FT, rel=1e-4)
        assert weather.wind_from_deg == pytest.approx(10 * hour, abs=1e-9)
        assert weather.dead_1h_pct == reference_moisture_pct(temperature_c(hour), humidity_pct(hour))
        assert weather.sky is not None
        assert (weather.sky.month, weather.sky.hour) == (7, hour)
        assert weather.live_herb_pct == 70
    ones = np.ones((30, 30))
    land = Landscape.from_arrays(102 * ones, slope_deg=10 * ones, aspect_deg=180 * ones)
    rates = [fire_behavior(land, weather).spread_rate_m_min.mean() for weather in season.weathers]
    assert 11 <= int(np.argmax(rates)) <= 17
    fires = Fires.draw(land, 200, 0, weather=season, duration_min=30)
    assert len(np.unique(fires.weather_index)) == 24
    assert spread(land, fires).burned_cells.min() >= 1


def test_the_station_file_of_missoula_gives_wind_and_temperature(shared_data: Path) -> None:
    stream = streams.read_stream(shared_data / "weather_missoula" / "KMSO_2018-06-20.csv")
    assert np.isnan(stream.humidity_pct).all()
    assert stream.longitude_deg == pytest.approx(-114.09, abs=0.05)
    with pytest.raises(InputError, match=r"no relative humidity.*--humidity"):
        stream_season(stream)
    season = stream_season(stream, humidity_pct=25)
    assert len(season.weathers) == 24
    assert len({weather.wind_speed_kmh for weather in season.weathers}) > 12
    dry = stream_season(stream, humidity_pct=5).weathers
    assert all(a.dead_1h_pct < b.dead_1h_pct for a, b in zip(dry, season.weathers, strict=True))


def test_a_percentile_is_a_weather_for_each_wind_direction_by_how_often_it_blows(tmp_path: Path) -> None:
    stream = streams.read_stream(wxs(tmp_path / "day.wxs"))
    bank = stream_season(stream, pick="percentile", weathers=8, percentile=100, burn_period=(0, 24)).weathers
    assert len(bank) == 6  # directions from 0 to 230 degrees
    assert sum(weather.weight for weather in bank) == 24
    assert {weather.wind_from_deg for weather in bank} == {0, 45, 90, 135, 180, 225}
    north = [hour for hour in HOURS if 10 * hour <= 22.5]
    assert bank[0].weight == len(north)
    assert bank[0].wind_speed_kmh == pytest.approx(max(map(wind_mph, north)) * MPH_TO_KMH * WIND_10M_OVER_20FT)
    for period, hour in (((20, 24), 20), ((2, 6), 5), ((0, 24), 14)):
        some = stream_season(stream, pick="percentile", burn_period=period).weathers
        assert {weather.sky.hour for weather in some if weather.sky} == {hour}, "the hour nearest the driest, 14"
    driest = min(float(reference_moisture_pct(temperature_c(hour), humidity_pct(hour))) for hour in HOURS)
    assert {weather.dead_1h_pct for weather in bank} == {driest}


def test_burn_periods_are_a_days_hours_one_after_the_other(tmp_path: Path) -> None:
    def add_day(lines: list[str]) -> None:
        lines[2] = "RAWS: 48"
        lines += [line.replace("2024 7 20", "2024 7 21") for line in lines[3:]]

    season = stream_season(streams.read_stream(wxs(tmp_path / "day.wxs", change=add_day)), pick="burn_periods")
    assert season.series is not None
    np.testing.assert_array_equal(season.series, np.arange(16).reshape(2, 8))
    assert [weather.sky.hour for weather in season.weathers[:8] if weather.sky] == list(range(10, 18))
    land = Landscape.from_arrays(np.full((20, 20), 102))
    assert Fires.draw(land, 50, 0, weather=season, duration_min=240).is_series


def set_line(number: int, text: str) -> Callable[[list[str]], None]:
    def change(lines: list[str]) -> None:
        lines[number - 1] = text

    return change


def drop(first: int, last: int) -> Callable[[list[str]], None]:
    def change(lines: list[str]) -> None:
        del lines[first - 1 : last]
        lines[:] = [line for line in lines if not line.startswith("RAWS: ")]

    return change


def rename(old: str, new: str) -> Callable[[list[str]], None]:
    def change(lines: list[str]) -> None:
        lines[0] = lines[0].replace(old, new)

    return change


@pytest.mark.parametrize(
    ("write", "change", "says"),
    [
        (wxs, set_line(2, ""), r"day.wxs, line 1: no line says RAWS_UNITS: English or RAWS_UNITS: Metric; write"),
        (wxs, set_line(2, "RAWS_UNITS: Imperial"), r"line 2: RAWS_UNITS is 'Imperial'; give English or Metric"),
        (wxs, set_line(3, "RAWS: 23"), r"line 3: RAWS is 23 but 24 observations follow; correct one"),
        (wxs, set_line(9, "2024 7 20 0500 60 40 0 5 361 0"), r"line 9: wind_from_deg is 361; give 0 to 360 degrees"),
        (wxs, set_line(9, "2024 7 20 0500 60 140 0 5 3 0"), r"line 9: humidity_pct is 140; give 0 to 100 percent"),
        (wxs, set_line(9, "2024 7 20 0500 60 40 0 5 3"), r"line 9: 9 numbers; give 10: year, month"),
        (wxs, set_line(9, "2024 7 20 0570 60 40 0 5 3 0"), r"line 9: year 2024, month 7, day 20, time 570 is no date"),
        (wxs, set_line(9, "2024 7 20 0500 warm 40 0 5 3 0"), r"line 9: temperature is 'warm', not a number; mend it"),
        (
            wxs,
            set_line(9, "2024 7 20 0400 60 40 0 5 3 0"),
            r"line 9: 2024-07-20 04:00 follows .*put the observations in",
        ),
        (wxs, drop(9, 12), r"line 8: a gap: 2024-07-20 09:00 follows 2024-07-20 04:00, 5 hours later.*fill in what"),
        (fw21, rename("Temperature(F)", "Temperature"), r"line 1: column Temperature names no unit .*Temperature\(C\)"),
        (
            fw21,
            rename("RelativeHumidity(%)", "Humid"),
            r"line 1: no column RelativeHumidity\(%\); an FW21 stream needs",
        ),
        (
            fw21,
            set_line(5, "241513,2024-07-20T03:00:00,60,,0,5,90,0"),
            r"line 5: RelativeHumidity is missing; fill it in",
        ),
        (fw21, set_line(5, "241513,yesterday,60,40,0,5,90,0"), r"line 5: 'yesterday' is no date and time; write it as"),
        (fw21, set_line(5, "241513,2024-07-20T03:00:00,60,40,0,5"), r"line 5: 6 cells where the header has 8; mend"),
        (fw21, set_line(5, "7,2024-07-20T03:00:00,60,40,0,5,90,0"), r"observations of 2 stations .*keep one"),
        (fw21, drop(5, 9), r"line 5: a gap: .* 6 hours later"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said_with_file_line_and_remedy(
    write: Callable[..., Path], change: Callable[[list[str]], None], says: str, tmp_path: Path
) -> None:
    name = "day.wxs" if write is wxs else "day.csv"
    with pytest.raises(InputError, match=says) as refusal:
        streams.read_stream(write(tmp_path / name, change=change))
    assert str(tmp_path / name) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_offset_of_nothing_is_utc_and_any_other_is_a_local_clock(tmp_path: Path) -> None:
    def change(to: str) -> Callable[[list[str]], None]:
        def apply(lines: list[str]) -> None:
            lines[:] = [line.replace("-06:00", to) for line in lines]

        return apply

    told = {
        to: streams.read_stream(fw21(tmp_path / "a.csv", change=change(to))).utc for to in ("Z", "+00:00", "-07:00")
    }
    assert told == {"Z": True, "+00:00": True, "-07:00": False}


def test_a_moisture_that_is_there_in_part_is_refused(tmp_path: Path) -> None:
    def add(lines: list[str]) -> None:
        lines[:] = [lines[0] + ",HerbLFM(%)"] + [
            line + (",100" if i != 7 else ",-999") for i, line in enumerate(lines[1:])
        ]

    with pytest.raises(InputError, match=r"line 9: live_herb_pct is missing where other lines have it; fill it in"):
        streams.read_stream(fw21(tmp_path / "a.csv", change=add))


def test_a_stray_quote_and_a_column_of_another_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 1: no column DateTime; call the column of times that"):
        streams.read_stream(fw21(tmp_path / "a.csv", change=rename("DateTime", "DateTime(UTC)")))
    text = "acres\n1\n" + '"' + "9" * 140_000 + "\n"
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(InputError, match=r"b.csv, line \d+: .*look for a stray quote there"):
        streams.read_fire_sizes(tmp_path / "b.csv")


def test_seasons_may_lie_months_apart(tmp_path: Path) -> None:
    def add_year(lines: list[str]) -> None:
        lines[2] = "RAWS: 48"
        lines += [line.replace("2024", "2025") for line in lines[3:]]

    stream = streams.read_stream(wxs(tmp_path / "day.wxs", change=add_year))
    assert stream.notes == ("day.wxs: 2 seasons, with more than 30 days between them",)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.wxs", None, "cannot be read .*give a weather stream"),
        ("a.wxs", "", "is empty; give a weather stream"),
        ("a.txt", "hello\n", "line 1: neither a weather stream"),
    ],
)
def test_what_is_no_stream_is_refused(name: str, text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says):
        streams.read_stream(tmp_path / name)


# ---- fuel moistures


def test_moistures_by_fuel_model(tmp_path: Path) -> None:
    file = tmp_path / "a.fms"
    file.write_text("FUEL_MOISTURES_DATA: 2\n0 5 6 7 60 90\n102 3 4 5 40 80 12\n")
    rows = streams.read_fms(file)
    assert rows == ((0, 5, 6, 7, 60, 90), (102, 3, 4, 5, 40, 80))
    weather = Weather(by_fuel=rows)
    found = fire_behavior(Landscape.from_arrays([[101, 102]]), weather).spread_rate_m_min[0]
    own = Weather(dead_1h_pct=3, dead_10h_pct=4, dead_100h_pct=5, live_herb_pct=40, live_woody_pct=80)
    assert found[0] == fire_behavior(Landscape.from_arrays([[101]]), Weather(dead_100h_pct=7)).spread_rate_m_min[0, 0]
    assert found[1] == fire_behavior(Landscape.from_arrays([[102]]), own).spread_rate_m_min[0, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 5 6 7 60 301\n", "line 1: live_woody_pct of fuel model 0 is 301; give 1 to 300 percent of dry weight"),
        ("0 0.5 6 7 60 90\n", "line 1: dead_1h_pct of fuel model 0 is 0.5; give 1 to 300"),
        ("0 5 6 7 60\n", "line 1: 5 numbers; give 6: fuel model"),
        ("0 5 6 7 60 90\n0 5 6 7 60 90\n", "line 2: fuel model 0 stands there twice; leave one row out"),
        ("1.5 5 6 7 60 90\n", "line 1: fuel model 1.5; give a whole number"),
        ("0 5 6 7 60 90\n120 5 6 7 60 90\n", "line 2: fuel model 120 is unknown; leave the row out, or describe"),
        ("1002 5 6 7 60 90\n", "line 1: fuel model 1002 is unknown"),
        ("FUEL_MOISTURES_DATA: 3\n0 5 6 7 60 90\n", "line 1: FUEL_MOISTURES_DATA is 3 but 1 rows follow"),
        ("# nothing\n", "has no row of moistures"),
    ],
)
def test_wrong_moistures_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.fms").write_text(text)
    with pytest.raises(InputError, match=says):
        streams.read_fms(tmp_path / "a.fms")


# ---- custom fuel models

ENGLISH = "ENGLISH\n41 OWN {} dynamic 2000 1800 1500 2.1 40 8000 8000 Own grass and shrub\n"


def test_gs4_written_as_a_custom_model_is_gs4(tmp_path: Path) -> None:
    gs4 = FUEL_MODELS[124]
    per_acre = [load / streams.TONS_PER_ACRE_TO_LB_PER_FT2 for load in gs4.loads_lb_ft2]
    savs = [gs4.savs_per_ft[i] for i in (0, 3, 4)]
    text = " ".join(f"{number:.9g}" for number in per_acre)
    tail = f"dynamic {' '.join(f'{sav:g}' for sav in savs)} {gs4.depth_ft:g} {gs4.extinction_pct:g} 8000 8000"
    english = tmp_path / "a.fmd"
    english.write_text(f"ENGLISH\n41 OWN {text} {tail} Own grass\n")
    (own,) = streams.read_fmd(english)
    assert (own.symbol, own.name, own.system, own.dynamic) == ("OWN", "Own grass", "custom", True)
    assert own.loads_lb_ft2 == pytest.approx(gs4.loads_lb_ft2, rel=1e-8)
    assert own.savs_per_ft == gs4.savs_per_ft
    land = Landscape.from_arrays([[124, 41]], custom_fuels=(own,))
    rates = fire_behavior(land, Weather()).spread_rate_m_min[0]
    assert rates[1] == pytest.approx(rates[0], rel=1e-6)

    # The same in tonnes/ha, 1/cm, cm and kJ/kg.
    loads = [load / streams.TONNES_PER_HA_TO_LB_PER_FT2 for load in gs4.loads_lb_ft2]
    metric = tmp_path / "b.fmd"
    numbers = " ".join(f"{number:.9g}" for number in loads)
    ratios = " ".join(f"{sav / 30.48:.9g}" for sav in savs)
    metric.write_text(
        f"METRIC\n41 OWN {numbers} dynamic {ratios} {gs4.depth_ft * 30.48:.9g} {gs4.extinction_pct:g} 18608 18608 Own\n"
    )
    (same,) = streams.read_fmd(metric)
    assert same.savs_per_ft == pytest.approx(gs4.savs_per_ft, rel=1e-6)
    again = fire_behavior(Landscape.from_arrays([[41]], custom_fuels=(same,)), Weather()).spread_rate_m_min[0, 0]
    assert again == pytest.approx(rates[0], rel=1e-5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ENGLISH.format("1 1 0 1 2").removeprefix("ENGLISH\n"), "line 1: no line says ENGLISH .* or METRIC"),
        (ENGLISH.format("0 1 0 1 2"), "line 2: 1-h load is 0; give dead fine fuel"),
        (ENGLISH.format("1 1 0 1 2").replace("41", "124"), "line 2: fuel model 124 is a standard model"),
        (ENGLISH.format("1 1 0 1 2").replace("41", "99"), "line 2: fuel model 99 does not burn"),
        (ENGLISH.format("1 1 0 1 2").replace("2000", "2"), "line 2: surface-to-volume ratio of the 1-h load is 2"),
        (ENGLISH.format("1 1 0 1 2").replace(" 40 ", " 400 "), "line 2: moisture of extinction is 400; give 1 to 100"),
        (ENGLISH.format("1 1 0 1"), "line 2: .* columns; give number, code, 5 loads|not a number"),
        ("ENGLISH\n", "has no fuel model"),
    ],
)
def test_wrong_fuel_models_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.fmd").write_text(text)
    with pytest.raises(InputError, match=says):
        streams.read_fmd(tmp_path / "a.fmd")


# ---- past fires


def test_fire_sizes_in_acres_and_hectares(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('YEAR,FIRE_SIZE\n2010,10\n2011,\n2012,"1,000"\n')
    sizes, notes = streams.read_fire_sizes(tmp_path / "a.csv")
    np.testing.assert_allclose(sizes, [4.0468564224, 404.68564224])
    assert notes == ("a.csv: 1 rows have no size and are left out",)
    (tmp_path / "a.csv").write_text("size_ha\n7\n")
    assert streams.read_fire_sizes(tmp_path / "a.csv").sizes_ha.tolist() == [7]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("year\n2010\n", "line 1: no column gives a size; give one of size_ha"),
        ("acres,size_ha\n1,2\n", "line 1: columns acres and size_ha both give a size"),
        ("acres\nmany\n", "line 2: acres is 'many', not a number"),
        ("acres\n-1\n", "line 2: acres is -1; give a size above 0"),
        ("acres\n", "has no fire; give one fire a row"),
    ],
)
def test_wrong_fire_sizes_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        streams.read_fire_sizes(tmp_path / "a.csv")
