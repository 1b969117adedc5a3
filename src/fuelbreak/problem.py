"""The question a user asks: a landscape, a season, how long fires burn and where they start, with each default.

One place for what every command and every training run needs to know before it burns a fire, read from options, from a
JSON file or from the tags of an earlier plan.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fuelbreak import streams
from fuelbreak.errors import InputError
from fuelbreak.formats import (
    VECTOR_FILES,
    FireSet,
    Places,
    center_lon_lat,
    read_aligned,
    read_aligned_wind,
    read_fire_set,
    read_places,
    true_north_deg,
    write_fire_set,
)
from fuelbreak.fuels import FuelModel
from fuelbreak.landscape import Landscape, with_crs
from fuelbreak.objective import ValueLayer, with_values
from fuelbreak.scenarios import (
    DESIGN,
    CrownMethod,
    CrownRate,
    Fires,
    Pick,
    Season,
    Weather,
    WindGrid,
    fire_season,
    stream_season,
)
from fuelbreak.spread import settle_buffer
from fuelbreak.streams import MPH_TO_KMH, WIND_10M_OVER_20FT

DEMO_DURATION_MIN = 60.0  # the mission's
REAL_DURATION_MIN = 480.0  # fires on a real landscape spread for eight hours unless told otherwise
SEASON_WEATHERS = 16  # about one design weather
DEMO_LARGEST_BUFFER = 461  # what the terrain of 1033 x 973 cells leaves around 50 x 50
Days = Literal["all", "kept", "heldout"]
P = TypeVar("P", bound="Problem")


def _parts(value: object) -> object:
    """Several with commas between them, as options and tags give them."""
    return value.split(",") if isinstance(value, str) else value


class Problem(BaseModel):
    """What is asked before any fire burns: the landscape, the season, where fires start and how long they spread."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")

    landscape: str | None = Field(None, description="8-band GeoTIFF or folder of rasters; null is the demo landscape")
    fuel_model: Literal["fbfm40", "fbfm13"] = Field("fbfm40", description="fuel layer to take where both are there")
    custom_fuels: str | None = Field(None, description=".fmd file of fuel models beside the standard ones")
    window: tuple[int, int, int, int] | None = Field(None, description="area of interest: row, column, rows, columns")
    grid_size: int = Field(50, ge=5, le=400, description="side of the demo landscape's area of interest, cells")
    buffer_cells: int | None = Field(
        None,
        ge=0,
        description="cells around the area of interest; null is one expected fire length, at most 25",
    )
    crs: str | None = Field(None, description="coordinate system, such as EPSG:32611, where the landscape has none")

    values: tuple[str, ...] | None = Field(
        None, description="rasters of values at risk; loss is what burns of them, in place of burned area"
    )
    responses: tuple[tuple[float, ...], ...] | None = Field(
        None,
        description="for each raster the percentages lost in flames of 0-2, 2-4, 4-6, 6-8, 8-12, over 12 feet; "
        "null is all of it in any flame",
    )
    value_weights: tuple[float, ...] | None = Field(
        None, description="what a unit of each raster counts; null is 1 each"
    )
    area_weight: float = Field(0.0, ge=0, description="what a hectare burned counts beside values")

    units: Literal["metric", "us"] = Field(
        "metric", description="of options, of what is printed and of wind rasters; us: 20-ft wind in mph, acres, feet"
    )
    wind_speed_kmh: float = Field(25.0, ge=0, le=200, description="design wind at 10 m in the open")
    wind_from_deg: float = Field(225.0, ge=0, le=360, description="where the design wind comes from, from grid north")
    dead_1h_pct: float = Field(5.0, ge=1, le=300, description="1-h dead fuel moisture")
    dead_10h_pct: float = Field(6.0, ge=1, le=300, description="10-h dead fuel moisture")
    dead_100h_pct: float = Field(8.0, ge=1, le=300, description="100-h dead fuel moisture")
    live_herb_pct: float = Field(60.0, ge=1, le=300, description="live herbaceous moisture")
    live_woody_pct: float = Field(90.0, ge=1, le=300, description="live woody moisture")
    foliar_pct: float = Field(100.0, ge=1, le=300, description="foliar moisture")
    moisture_file: str | None = Field(None, description=".fms file of moisture by fuel model, in place of those above")
    num_weathers: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="weathers in the season's bank; null is 16 about the design weather, or of a stream 24 hours, "
        "16 directions or 16 burn periods",
    )
    wind_direction_sd_deg: float = Field(30.0, ge=0, le=180, description="how far the wind turns over the season")
    wind_speed_cv: float = Field(0.3, ge=0, le=2, description="how much the wind gusts over the season")
    weather_stream: str | None = Field(
        None, description=".wxs, FW21 or WindNinja station file; its wind and fine fuel moisture make the season"
    )
    weather_pick: Pick = Field(
        "hours",
        description="what a stream becomes: one weather an hour, one a wind direction, or series of hours",
    )
    weather_percentile: float = Field(97.0, ge=50, le=100, description="of wind and dryness, for `percentile`")
    burn_period: tuple[int, int] | None = Field(
        None, description="hours of the day to take from a stream; null is all for `hours`, else 10 to 18"
    )
    humidity_pct: float | None = Field(None, ge=0, le=100, description="relative humidity where a stream has none")
    wind_rasters: tuple[str, ...] | None = Field(
        None, description="wind speed and direction rasters, two files for each weather, in place of one wind"
    )
    crown_method: CrownMethod = Field("scott_reinhardt", description="crown fire as Behave, FlamMap or Rothermel 1991")
    crown_rate: CrownRate = Field("rothermel", description="rate of a fully active crown fire")
    wind_limit: bool = Field(True, description="hold the effective wind at 0.9 times reaction intensity")

    ignitions: str | None = Field(
        None, description="raster of ignition density, or points or polygons where fires start; null is everywhere"
    )
    fire_simulation_max_duration: float = Field(
        DEMO_DURATION_MIN,
        gt=0,
        allow_inf_nan=True,
        description="minutes each fire may spread; 480 on a real landscape if left out, no longer than a burn period",
    )

    @model_validator(mode="before")
    @classmethod
    def _settle(cls, given: Any) -> Any:
        """What depends on other keys where it was left out."""
        if not isinstance(given, dict):
            return given
        settled = dict(given)
        if settled.get("fire_simulation_max_duration") is None:
            minutes = DEMO_DURATION_MIN if settled.get("landscape") is None else REAL_DURATION_MIN
            period = _parts(settled.get("burn_period"))
            if settled.get("weather_pick") == "burn_periods" and isinstance(period, list | tuple) and len(period) == 2:
                with suppress(ValueError):  # what is no number is refused by name
                    minutes = min(minutes, max(60.0 * (int(period[1]) - int(period[0])), 60.0))
            settled["fire_simulation_max_duration"] = minutes
        return settled

    @field_validator("window", "burn_period", "wind_rasters", "values", "value_weights", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        return _parts(value)

    @field_validator("responses", mode="before")
    @classmethod
    def _curves(cls, value: object) -> object:
        several = value.split(";") if isinstance(value, str) else value
        return [_parts(each) for each in several] if isinstance(several, list | tuple) else several

    @field_validator("burn_period")
    @classmethod
    def _start_first(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 0 <= value[0] < value[1] <= 24:
            raise ValueError("give hours from 0 to 24, the start first")
        return value

    @field_validator("wind_rasters")
    @classmethod
    def _pairs(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or len(value) % 2):
            raise ValueError("give two files for each weather: wind speed, wind direction")
        return value

    @model_validator(mode="after")
    def _one_wind(self: P) -> P:
        if self.weather_stream is not None and self.wind_rasters is not None:
            raise ValueError("weather_stream and wind_rasters both say what wind there is; give one of them")
        if self.wind_rasters is not None and self.num_weathers not in (None, len(self.wind_rasters) // 2):
            raise ValueError(
                f"num_weathers is {self.num_weathers} but wind_rasters name {len(self.wind_rasters) // 2} weathers; "
                "leave num_weathers out"
            )
        return self

    @model_validator(mode="after")
    def _for_each_value(self: P) -> P:
        if self.values is None:
            if self.responses is not None or self.value_weights is not None or self.area_weight:
                raise ValueError("responses, value_weights, area_weight say what values count; give values too")
            return self
        for name in ("responses", "value_weights"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.values):
                raise ValueError(f"{name} are {len(given)} and values are {len(self.values)}; give one for each")
        return self

    @property
    def is_demo(self) -> bool:
        """Whether the landscape is the demo."""
        return self.landscape is None

    def told(self) -> dict[str, Any]:
        """Every setting by name, for config.json and for tags that `evaluate` reads back; paths as they were given."""
        names = {name for name in Problem.model_fields if name != "landscape"}
        values = self.model_dump(mode="json", include=names, exclude_none=True)
        for name in ("window", "burn_period", "wind_rasters", "values", "value_weights"):
            if name in values:
                values[name] = ",".join(str(part) for part in values[name])
        if "responses" in values:
            values["responses"] = ";".join(",".join(f"{each:g}" for each in row) for row in values["responses"])
        if self.weather_stream is None and self.wind_rasters is None:
            values.setdefault("num_weathers", SEASON_WEATHERS)
        values["duration_min"] = values.pop("fire_simulation_max_duration")
        return values

    def _custom_fuels(self) -> tuple[FuelModel, ...]:
        return () if self.custom_fuels is None else streams.read_fmd(self.custom_fuels)

    def design(self) -> Weather:
        """The design weather, with its moistures by fuel model."""
        rows = () if self.moisture_file is None else streams.read_fms(self.moisture_file, self._custom_fuels())
        numbers = {name: getattr(self, name) for name in DESIGN}
        return Weather(
            **numbers,
            by_fuel=tuple(rows),
            crown_method=self.crown_method,
            crown_rate=self.crown_rate,
            wind_limit=self.wind_limit,
        )

    def season(self, landscape: Landscape, days: Days = "all") -> Season:
        """The season on a landscape: its weathers, and where fires start.

        Parameters
        ----------
        days : of a station's record, those that plans are made and judged in (`kept`: without every fifth, if it has
            as many), every fifth alone (`heldout`), or all
        """
        made = self._weathers(landscape, days)
        if self.ignitions is None:
            return made
        density, note = ignition_density(landscape, self.ignitions)
        return replace(made, density=density, notes=made.notes + ((note,) if note else ()))

    def unseen_season(self, landscape: Landscape) -> Season | None:
        """The season in weather that no plan was made in; None where all that is known was used.

        Of a record the days that `kept` leaves out; about a design weather, others of the same spread of winds.
        """
        if self.wind_rasters is not None or self.num_weathers == 1:
            return None
        if self.weather_stream is not None and streams.split_days(streams.read_stream(self.weather_stream)) is None:
            return None
        return self.season(landscape, "heldout")

    def _weathers(self, landscape: Landscape, days: Days = "all") -> Season:
        design = self.design()
        grid: dict[str, Any] = {"crs": landscape.crs, "transform": landscape.transform, "shape": landscape.shape}
        placed = landscape.crs is not None and landscape.transform is not None
        if self.weather_stream is not None:
            stream = streams.read_stream(self.weather_stream)
            split = None if days == "all" else streams.split_days(stream)
            return stream_season(
                stream if split is None else split[days == "heldout"],
                design,
                pick=self.weather_pick,
                weathers=self.num_weathers,
                percentile=self.weather_percentile,
                burn_period=self.burn_period,
                humidity_pct=self.humidity_pct,
                longitude_deg=center_lon_lat(**grid)[0] if placed else None,
                true_north_deg=true_north_deg(**grid) if placed else 0.0,
            )
        if self.weather_pick != "hours" or self.burn_period is not None or self.humidity_pct is not None:
            raise InputError(
                "weather_pick, burn_period, humidity_pct: they say what to take from a record; give one as "
                "weather_stream, or leave them out"
            )
        if self.wind_rasters is not None:
            pairs = zip(self.wind_rasters[::2], self.wind_rasters[1::2], strict=True)
            in_kmh = np.float32(MPH_TO_KMH * WIND_10M_OVER_20FT if self.units == "us" else 1.0)
            winds = []
            for speed_file, direction_file in pairs:
                speed, from_deg = read_aligned_wind(speed_file, direction_file, **grid)
                winds.append(WindGrid(speed * in_kmh, from_deg))
            return Season(tuple(replace(design, wind=wind) for wind in winds))
        weathers = SEASON_WEATHERS if self.num_weathers is None else self.num_weathers
        return Season(
            fire_season(
                design,
                # One more point, and a quadrature has none in common with the first, but for the middle of an odd one.
                weathers=weathers + (days == "heldout"),
                direction_sd_deg=self.wind_direction_sd_deg,
                speed_cv=self.wind_speed_cv,
            )
        )

    def open(self) -> Landscape:
        """The landscape with its area of interest and buffer."""
        custom = self._custom_fuels()

        def make(cells: int) -> Landscape:
            if self.landscape is None:
                return Landscape.demo(self.grid_size, self.grid_size, 0, buffer_cells=cells)
            opened = Landscape.open(
                self.landscape,
                fuel_model=self.fuel_model,
                window=self.window,
                buffer_cells=cells,
                custom_fuels=custom,
            )
            return opened if self.crs is None else with_crs(opened, self.crs)

        for flag, value in (("--custom-fuels", self.custom_fuels), ("--crs", self.crs)):
            if self.landscape is None and value is not None:
                raise InputError(f"{flag}: the demo landscape is made with its own; leave it out, or give a raster")
        if self.landscape is None and self.window is not None:
            raise InputError("--window: the demo landscape is made in one size; leave --window out, or give a raster")
        return self._valued(
            settle_buffer(
                make,
                lambda landscape: self._weathers(landscape).weathers,
                self.fire_simulation_max_duration,
                self.buffer_cells,
            )
        )

    def _valued(self, landscape: Landscape) -> Landscape:
        """The landscape with what is at risk on it."""
        if self.values is None:
            return landscape
        layers, notes = [], list(landscape.notes)
        for i, path in enumerate(self.values):
            value = read_aligned(
                path, crs=landscape.crs, transform=landscape.transform, shape=landscape.shape, what="values"
            ).astype(np.float64)
            bad = value < 0
            if bad.any():
                row, col = np.argwhere(bad)[0]
                raise InputError(
                    f"{path}: the value is {value[bad][0]:g} at row {row}, column {col}; give what can be lost, 0 or "
                    "more, for gains from fire are not counted"
                )
            missing = int(np.isnan(value).sum())
            if missing:
                notes.append(f"{path}: it has no data on {missing} of {value.size} cells; nothing is at risk there")
            more: dict[str, Any] = {}
            if self.responses is not None:
                more["response_pct"] = self.responses[i]
            if self.value_weights is not None:
                more["weight"] = self.value_weights[i]
            layers.append(ValueLayer(np.nan_to_num(value).astype(np.float32), **more))
        return replace(with_values(landscape, layers, area_weight=self.area_weight), notes=tuple(notes))


def make_problem(kind: type[P], settings: Mapping[str, Any], source: str, flags: Mapping[str, str]) -> P:
    """Check settings: an unknown or impossible key is refused with the key, the reason and the nearest valid name.

    Parameters
    ----------
    source : where the settings come from
    flags : what options call some of them
    """
    for key in settings:
        if key not in kind.model_fields:
            near = difflib.get_close_matches(key, kind.model_fields, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(kind.model_fields)}"
            raise InputError(f"{source}: unknown key {key!r}; {hint}")
    try:
        return kind(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise InputError(f"{source}: {reason}") from error
        key = str(first["loc"][0])
        name = flags[key] + ":" if key in flags else f"{source}: {key} ="
        raise InputError(f"{name} {first['input']!r}: {reason}") from error


def ignition_density(landscape: Landscape, path: str) -> tuple[npt.NDArray[np.float64], str | None]:
    """How likely fires start in each cell (H, W), from a raster, or from points and polygons; and what to tell.

    A cell counts as often as points lie in it (by their column `weight`, if there is one), and once where a polygon
    covers it.
    """
    where: dict[str, Any] = {"crs": landscape.crs, "transform": landscape.transform, "shape": landscape.shape}
    if Path(path).suffix.lower() not in VECTOR_FILES:
        density = read_aligned(path, **where, what="ignition density").astype(np.float64)
        bad = density < 0
        if bad.any():
            row, col = np.argwhere(bad)[0]
            raise InputError(
                f"{path}: ignition density is {density[bad][0]:g} at row {row}, column {col}; give 0 or more"
            )
        missing = int(np.isnan(density).sum())
        note = f"{path}: it has no data on {missing} of {density.size} cells; no fire starts there" if missing else None
    else:
        places = read_places(path, **where)
        density = np.zeros(landscape.shape)
        if places.covered is not None:
            density += places.covered
        row, col = places.cells.T
        if len(places.cells):
            np.add.at(density, (row, col), _weights(path, places))
        lost = int((~landscape.burnable[row, col]).sum())
        note = None
        if lost or places.outside:
            note = (
                f"{path}: of {len(places.cells) + places.outside} points {places.outside} lie outside the map and "
                f"{lost} on cells that do not burn; no fire starts there"
            )
    if not (landscape.burnable & (np.nan_to_num(density) > 0)).any():
        raise InputError(f"{path}: no fire can start: it is 0 on every burnable cell of the map; give another file")
    return density, note


def _weights(path: str, places: Places) -> npt.NDArray[np.float64]:
    """How much each point counts: its column `weight`, 1 where there is none."""
    given = places.columns.get("weight")
    if given is None:
        return np.ones(len(places.cells))
    weights = np.asarray(given, np.float64) if given.dtype.kind in "iuf" else np.full(len(given), np.nan)
    if not ((weights >= 0) & (weights < 1e100)).all():
        raise InputError(f"{path}: its column weight must be numbers from 0, one for each point")
    return weights


def bank_digest(weathers: Sequence[Weather]) -> str:
    """Sixteen hex digits that name exactly this bank of weathers."""
    return hashlib.sha256(repr([weather.content() for weather in weathers]).encode()).hexdigest()[:16]


def save_fires(
    path: str | Path,
    landscape: Landscape,
    fires: Fires,
    burned_ha: npt.NDArray[np.float64],
    tags: Mapping[str, object] | None = None,
) -> None:
    """Save fires as a GeoPackage of points, so that `saved_fires` burns them again exactly."""
    fire_set = FireSet(
        fires.ignitions,
        fires.weather_index,
        fires.duration_min,
        fires.weight,
        fires.number,
        fires.origin,
        fires.period_min,
        bank_digest(fires.weather),
    )
    more = {"burned_ha": burned_ha}
    write_fire_set(path, fire_set, more, crs=landscape.crs, transform=landscape.transform, tags=tags)


def saved_fires(path: str | Path, landscape: Landscape, season: Season) -> Fires:
    """Fires as `save_fires` saved them, to be burned again: the same places, weathers and durations.

    Raises
    ------
    InputError : fires outside the map, a season of other weathers
    """
    saved = read_fire_set(path, crs=landscape.crs, transform=landscape.transform)
    inside = (saved.row_col >= 0) & (saved.row_col < landscape.shape)
    outside = np.flatnonzero(~inside.all(axis=1))
    if len(outside):
        raise InputError(
            f"{path}: {len(outside)} of its {len(inside)} fires start outside the map; give the landscape, "
            "--window and --buffer they were made with"
        )
    if bank_digest(season.weathers) != saved.weathers:
        raise InputError(
            f"{path}: its fires burned in other weathers than these; give the weather options they were made with"
        )
    return Fires(
        saved.row_col,
        season.weathers,
        saved.duration_min,
        saved.weather_index,
        saved.weight,
        saved.origin,
        saved.period_min,
        saved.number,
    )
