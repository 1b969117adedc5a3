"""How a fire behaves in each cell of a landscape in one weather: Rothermel surface fire and crown fire.

Inside, the equations stand in the units they are published in (feet, pounds, Btu, minutes); SI comes in and goes out.
What depends on the fuel model and its moisture alone is computed once (`_fuel_table`, float64); what depends on the
cell is worked out in float32 over blocks of cells (`_burn_block`): what asks and branches is compiled, each equation a
function of its own; powers, logarithms and angles are numpy's, ten times as fast as one at a time.

Sources, by the short names used below: Rothermel 1972 (INT-115), Albini 1976 (GTR-INT-30), Andrews 2012 (RMRS-GTR-266),
Andrews 2018 (RMRS-GTR-371), Rothermel 1991 (INT-438), Van Wagner 1977, Finney 1998 (RMRS-RP-4), Scott and Reinhardt
2001 (RMRS-RP-29), Cruz et al. 2005; "Behave" is the Missoula fire laboratory's public-domain program, whose choices are
the defaults here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt
from numba import njit

from fuelbreak.errors import InputError
from fuelbreak.fuels import FUEL_MODELS, FuelModel
from fuelbreak.landscape import Landscape
from fuelbreak.moisture import LARGEST_CORRECTION_PCT, correction_pct
from fuelbreak.scenarios import MOISTURES, CrownMethod, CrownRate, Sky, Weather
from fuelbreak.streams import BTU_LB_PER_KJ_KG, WIND_10M_OVER_20FT

F = TypeVar("F", bound=Callable[..., Any])
FloatArray = npt.NDArray[np.float64]  # terms of the fuel table
F4 = npt.NDArray[np.float32]  # cells
U1 = npt.NDArray[np.uint8]
Float = Any  # np.float32 in compiled code; numba knows, mypy need not

NO_FIRE, SURFACE_FIRE, PASSIVE_CROWN_FIRE, ACTIVE_CROWN_FIRE = range(4)

FT_PER_M = 1 / 0.3048
FT_MIN_PER_KMH = 1000 * FT_PER_M / 60
FT_MIN_PER_MPH = 88.0
LB_FT2_PER_KG_M2 = 2.2046226218 * 0.3048**2
KW_M_PER_BTU_FT_S = (
    1.05505585262 / 0.3048
)  # Behave's own factor is 0.08 % larger: its crown fires start that much later

PARTICLE_DENSITY_LB_FT3 = 32.0  # Albini 1976 p. 91, all standard models
TOTAL_MINERAL_FRACTION = 0.0555  # Albini 1976 p. 91
EFFECTIVE_MINERAL_FRACTION = 0.010  # Albini 1976 p. 91
MAX_LENGTH_TO_WIDTH = 8.0  # Behave
SURFACE_FLAME_EXPONENT = 0.46  # of fireline intensity; Byram 1959
CROWN_FLAME_EXPONENT = 2 / 3  # Thomas 1963 in Rothermel 1991
MIN_CANOPY_BASE_M = 0.1  # Behave: a base on the ground would need no fire to ignite
MIN_FOLIAR_PCT = 30.0  # Behave
SHELTERING_FT, SHELTERING_FILL = 6.0, 0.05  # Behave: height and share of crown in the air from which trees shelter
# Behave's for Scott and Reinhardt and for Rothermel; Finney 1998
CROWN_HEAT_BTU_LB = {"scott_reinhardt": 8000.0, "rothermel": 8000.0, "finney": 18000.0 * BTU_LB_PER_KJ_KG}
CROWN_FUEL_MODEL = 10  # Rothermel 1991 predicts crown fire from this model ...
CROWN_WIND_ADJUSTMENT = 0.4  # ... with this wind adjustment ...
CROWN_RATE_FACTOR = 3.34  # ... times this

_DEAD, _LIVE = slice(0, 4), slice(4, 6)  # size classes: dead 1-h, 10-h, 100-h, cured herb | live herb, live woody
_METHODS = get_args(CrownMethod)
_BLOCK_CELLS = 1 << 16  # more spills out of the processor's caches, fewer are mostly calls


def _compiled(function: F) -> F:
    """Compile without Python's lock, and keep the result on disk."""
    compiler: Any = njit
    return cast(F, compiler(cache=True, nogil=True, error_model="numpy")(function))


@dataclass(frozen=True)
class FireBehavior:
    """What the head of a fire does in each cell in one weather; (H, W) arrays, row 0 north.

    Parameters
    ----------
    spread_rate_m_min : float32, in the direction of maximum spread; 0 where nothing spreads
    spread_direction_deg : float32, where the head moves to, grid azimuth 0 to 360
    length_to_width : float32, of the fire's ellipse, 1 to 8; 1 where nothing spreads
    fireline_intensity_kw_m : float32
    flame_length_m : float32
    fire_type : uint8; 0 none, 1 surface, 2 passive crown, 3 active crown
    """

    spread_rate_m_min: npt.NDArray[np.float32]
    spread_direction_deg: npt.NDArray[np.float32]
    length_to_width: npt.NDArray[np.float32]
    fireline_intensity_kw_m: npt.NDArray[np.float32]
    flame_length_m: npt.NDArray[np.float32]
    fire_type: npt.NDArray[np.uint8]


def fire_behavior(
    landscape: Landscape,
    weather: Weather,
    *,
    crown_method: CrownMethod | None = None,
    crown_rate: CrownRate | None = None,
    wind_limit: bool | None = None,
) -> FireBehavior:
    """Say how fast, which way and how fiercely a fire burns in every cell of a landscape in one weather.

    Surface fire is Rothermel (1972) with Albini's (1976) changes as in Andrews (2018); a crown fire starts by Van
    Wagner (1977) and spreads by Rothermel (1991) or Cruz et al. (2005). A cell where nothing spreads, because it does
    not burn or its fuel is too moist, has rate, intensity and flame length 0, type 0 and length-to-width 1. As in
    Behave live fuel burns on alone where it is drier than its own extinction and dead fuel is not.

    Parameters
    ----------
    landscape : fuel models, terrain and canopy, (H, W)
    weather : wind and fuel moisture
    crown_method : in place of the weather's own. "scott_reinhardt" (2001), as Behave: a passive crown fire is faster
        than the surface fire below it, and crown spread ignores slope; "finney" (1998), as FARSITE and FlamMap: a
        passive crown fire keeps the surface fire's rate, and crown spread feels the slope; "rothermel" (1991), as
        Behave's run of that name: passive or active, it burns like a fully active crown fire. Where crown spread
        ignores slope, the wind leads a fire by the share of its rate that is owed to the crowns
    crown_rate : in place of the weather's own; rate of a fully active crown fire, "rothermel" (1991) or "cruz" (2005;
        dead 1-h moisture stands for fine dead fuel moisture)
    wind_limit : in place of the weather's own; whether the effective wind is held at 0.9 times reaction intensity
        (Rothermel 1972 eq. 87)

    Returns
    -------
    FireBehavior of (H, W) arrays

    Raises
    ------
    InputError
        for a crown method or crown rate that does not exist, a wind grid of another shape than the landscape
    """
    method = weather.crown_method if crown_method is None else crown_method
    active = weather.crown_rate if crown_rate is None else crown_rate
    limit = weather.wind_limit if wind_limit is None else wind_limit
    for name, value, known in (
        ("crown_method", method, _METHODS),
        ("crown_rate", active, get_args(CrownRate)),
    ):
        if value not in known:
            raise InputError(f"fire behavior: {name} is {value!r}; give one of {', '.join(known)}")
    shape = landscape.shape
    if weather.wind is not None and weather.wind.speed_kmh.shape != shape:
        theirs = weather.wind.speed_kmh.shape
        raise InputError(
            f"weather: its wind grid has {theirs[0]} x {theirs[1]} cells, the landscape {shape[0]} x {shape[1]}; "
            "make it on this landscape's grid"
        )
    moistures = tuple(getattr(weather, name) for name in MOISTURES[:5])
    table = _fuel_table(landscape.custom_fuels, moistures, weather.by_fuel, weather.sky is not None, limit)
    row_of_code = _row_of_code(landscape.custom_fuels)
    run = _Run(
        np.int32(len(FUEL_MODELS) + len(landscape.custom_fuels) + 1),
        np.float32(max(weather.foliar_pct, MIN_FOLIAR_PCT)),
        np.int64(_METHODS.index(method)),
        np.float32(CROWN_HEAT_BTU_LB[method]),
        active == "cruz",
        np.float32(KW_M_PER_BTU_FT_S),
    )
    layers = [getattr(landscape, name).ravel() for name in _Cells._fields]
    maps: list[Any] = [np.empty(shape, kind) for kind in (*[np.float32] * 5, np.uint8)]
    found = FireBehavior(*maps)
    out = [getattr(found, field.name).ravel() for field in fields(FireBehavior)]
    same = np.ones(min(_BLOCK_CELLS, landscape.fuel_model.size), np.float32)
    air = _air(np.float32(weather.wind_speed_kmh) * same, np.float32(weather.wind_from_deg) * same)
    classes = np.zeros(len(same), np.uint8)
    for start in range(0, landscape.fuel_model.size, _BLOCK_CELLS):
        block = slice(start, start + _BLOCK_CELLS)
        cells = _Cells(*(layer[block] for layer in layers))
        if weather.wind is not None:
            air = _air(weather.wind.speed_kmh.ravel()[block], weather.wind.from_deg.ravel()[block])
        if weather.sky is not None:
            classes = _moisture_classes(weather.sky, cells)
        _burn_block(table, row_of_code, cells, classes, air, run, _Found(*(array[block] for array in out)))
    return found


class _Cells(NamedTuple):
    """What the equations need to know of a block of cells; (cells,) arrays as in `Landscape`."""

    fuel_model: npt.NDArray[np.int16]
    elevation_m: F4
    slope_deg: F4
    aspect_deg: F4
    canopy_cover_pct: F4
    canopy_height_m: F4
    canopy_base_height_m: F4
    canopy_bulk_density_kg_m3: F4


class _Found(NamedTuple):
    """The maps of `FireBehavior`, for a block of cells."""

    spread_rate_m_min: F4
    spread_direction_deg: F4
    length_to_width: F4
    fireline_intensity_kw_m: F4
    flame_length_m: F4
    fire_type: U1


class _Air(NamedTuple):
    """Wind of a block of cells, or of more where it is the same in all."""

    wind: F4  # at 20 ft, ft/min
    crown_factor: F4  # the wind factor of Rothermel's (1991) crown fuel
    cruz: F4  # what wind does to the rate of Cruz et al. (2005)
    crown_shape: F4  # length-to-width of crown fire in it
    crown_eccentricity: F4
    east: F4  # unit vector to where it comes from
    north: F4


def _air(speed_kmh: F4, from_deg: F4) -> _Air:
    radians = from_deg * _RADIANS
    wind = speed_kmh * _f(FT_MIN_PER_KMH / WIND_10M_OVER_20FT)
    crown_factor = _CROWN_WIND_COEFFICIENT * (_f(CROWN_WIND_ADJUSTMENT) * wind) ** _CROWN_WIND_EXPONENT
    shape = np.minimum(_f(1) + _f(0.125 / FT_MIN_PER_MPH) * wind, _f(MAX_LENGTH_TO_WIDTH))  # Rothermel 1991 eq. 10
    eccentricity = np.sqrt(shape * shape - _f(1)) / shape
    cruz = speed_kmh ** _f(0.9)
    return _Air(wind, crown_factor, cruz, shape, eccentricity, np.sin(radians), np.cos(radians))


def _moisture_classes(sky: Sky, cells: _Cells) -> U1:
    """Points that each cell's fine dead fuel is moister than the weather says, (cells,)."""
    shade = 1 - (1 - cells.canopy_cover_pct / _f(100)) * _f(1 - sky.cloud_pct / 100)
    station = sky.station_elevation_m
    above = np.zeros_like(shade) if station is None else cells.elevation_m - _f(station)
    return correction_pct(sky.month, sky.hour, cells.slope_deg, cells.aspect_deg, shade, above)


# ---------------------------------------------------------------------------------------------------------------------
# Terms of a fuel bed, a row for each fuel model and class of moisture. Arrays are (rows, classes) or (rows,), float64.

# Columns of the table. Those from CROWN_BASE_RATE on are of Rothermel's (1991) crown fuel, as moist as the row's own.
_COLUMNS = 13
(
    BASE_RATE,
    HEAT_PER_AREA,
    SLOPE_COEFFICIENT,
    SLOPE_LIMIT,
    WIND_COEFFICIENT,
    WIND_EXPONENT,
    FACTOR_LIMIT,
    OPEN_ADJUSTMENT,
    CRUZ_RATE,
    CROWN_BASE_RATE,
    CROWN_SLOPE_LIMIT,
    CROWN_FACTOR_LIMIT,
    CROWN_SLOPE_COEFFICIENT,
) = range(_COLUMNS)
# Of the crown fuel in any moisture.
_CROWN_BED = FUEL_MODELS[CROWN_FUEL_MODEL]


@dataclass(frozen=True)
class _Bed:
    """Terms of the spread equation that depend on fuel model and moisture alone; (rows,) float64."""

    base_rate_ft_min: FloatArray
    heat_per_area_btu_ft2: FloatArray
    slope_coefficient: FloatArray
    slope_factor_limit: FloatArray
    wind_coefficient: FloatArray
    wind_exponent: FloatArray
    combined_factor_limit: FloatArray
    open_wind_adjustment: FloatArray


@lru_cache(maxsize=64)  # asked for again in each window of a large landscape
def _fuel_table(
    custom_fuels: tuple[FuelModel, ...],
    moistures_pct: tuple[float, ...],
    by_fuel: tuple[tuple[float, ...], ...],
    sky: bool,
    wind_limit: bool,
) -> F4:
    """The table that the loop over cells reads, ((M + 1) C, columns) float32: M models in C classes of moisture.

    Row c (M + 1) + m is model m with 1-h fuel c points moister; row c (M + 1) + M is what does not burn: rate 0.
    """
    models = (*FUEL_MODELS.values(), *custom_fuels)
    own = {int(row[0]): row[1:] for row in by_fuel}
    usual = own.get(0, moistures_pct)
    given = np.array([own.get(model.code, usual) for model in models], np.float64)
    classes = LARGEST_CORRECTION_PCT + 1 if sky else 1
    percents = np.tile(given, (classes, 1))
    percents[:, 0] += np.repeat(np.arange(classes), len(models))
    moistures = percents[:, [0, 1, 2, 0, 3, 4]] / 100  # cured grass is as moist as 1-h fuel
    bed = _bed(list(models) * classes, moistures, wind_limit)
    crown = _bed([_CROWN_BED] * len(moistures), moistures, wind_limit)
    table = np.zeros((classes, len(models) + 1, _COLUMNS))
    columns = (
        *(getattr(bed, each.name) for each in fields(_Bed)),
        11.02 * np.exp(-0.17 * percents[:, 0]) * FT_PER_M,  # Cruz et al. 2005, in air and canopy of 1 each
        crown.base_rate_ft_min,
        crown.slope_factor_limit,
        crown.combined_factor_limit,
        crown.slope_coefficient,
    )
    for column, values in enumerate(columns):
        table[:, :-1, column] = values.reshape(classes, len(models))
    table[:, -1, [WIND_COEFFICIENT, WIND_EXPONENT]] = 1  # what does not burn divides by them too
    return np.ascontiguousarray(table.reshape(-1, _COLUMNS), np.float32)


def _bed(models: Sequence[FuelModel], moistures: FloatArray, wind_limit: bool) -> _Bed:
    """Terms of fuel beds in their moistures, (rows, classes) fractions of dry weight."""
    loads = np.array([m.loads_lb_ft2 for m in models])
    savs = np.array([m.savs_per_ft for m in models])[:, [0, 1, 2, 3, 3, 4]]  # cured grass keeps its SAV
    depth = np.array([m.depth_ft for m in models])
    dead_heat = np.array([m.dead_heat_btu_lb for m in models])
    live_heat = np.array([m.live_heat_btu_lb for m in models])
    dead_extinction = np.array([m.extinction_pct for m in models]) / 100
    dynamic = np.array([m.dynamic for m in models])

    loads = _loads_after_curing(loads, dynamic, moistures[:, 4])
    weights, dead_weight, live_weight = _surface_area_weights(loads, savs)
    dead_sav, live_sav = _by_category(weights * savs)  # Rothermel 1972 eq. 72
    bed_sav = dead_weight * dead_sav + live_weight * live_sav  # Rothermel 1972 eq. 71
    bulk_density = loads.sum(1) / depth  # Rothermel 1972 eq. 74
    packing_ratio = bulk_density / PARTICLE_DENSITY_LB_FT3
    relative_packing = packing_ratio / _optimum_packing_ratio(bed_sav)

    dead_moisture, live_moisture = _by_category(weights * moistures)  # Rothermel 1972 eq. 66
    live_extinction = _live_moisture_of_extinction(loads, savs, moistures, dead_extinction)
    dead_load, live_load = _by_category(_size_class_weights(weights, savs) * loads * (1 - TOTAL_MINERAL_FRACTION))
    heat = dead_load * _moisture_damping(dead_moisture, dead_extinction) * dead_heat
    heat += live_load * _moisture_damping(live_moisture, live_extinction) * live_heat
    reaction_velocity = _optimum_reaction_velocity(bed_sav, relative_packing)
    # Rothermel 1972 eq. 58, Albini 1976 p. 17, Btu/ft2/min
    reaction_intensity = reaction_velocity * heat * _mineral_damping()

    heat_sink = _heat_sink(weights, dead_weight, live_weight, savs, moistures, bulk_density)
    base_rate = (
        reaction_intensity * _propagating_flux_ratio(bed_sav, packing_ratio) / heat_sink
    )  # Rothermel 1972 eq. 52
    wind_coefficient, wind_exponent = _wind_terms(bed_sav, relative_packing)
    unheld = np.where(reaction_intensity > 0, np.inf, 0.0)
    limit_ft_min = 0.9 * reaction_intensity if wind_limit else unheld  # Rothermel 1972 eq. 87
    return _Bed(
        base_rate_ft_min=base_rate,
        heat_per_area_btu_ft2=reaction_intensity * _residence_time_min(bed_sav),
        slope_coefficient=5.275 * packing_ratio**-0.3,  # Rothermel 1972 eq. 51, 80
        slope_factor_limit=limit_ft_min,  # Behave holds the slope factor at the number of the wind limit
        wind_coefficient=wind_coefficient,
        wind_exponent=wind_exponent,
        combined_factor_limit=wind_coefficient * limit_ft_min**wind_exponent,
        open_wind_adjustment=_unsheltered_wind_adjustment(depth),
    )


def _by_category(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum over the dead and over the live classes."""
    return values[:, _DEAD].sum(1), values[:, _LIVE].sum(1)


def _loads_after_curing(loads: FloatArray, dynamic: npt.NDArray[np.bool_], live_herb: FloatArray) -> FloatArray:
    """Move cured grass to dead fuel; Burgan 1979 in Scott and Burgan 2005, with Behave's rounded coefficients."""
    cured = np.where(live_herb < 0.30, 1.0, np.clip(1.333 - 1.11 * live_herb, 0.0, 1.0))
    herb, cured_herb = loads[:, 3], loads[:, 3] * np.where(dynamic, cured, 0.0)
    return np.column_stack([loads[:, :3], cured_herb, herb - cured_herb, loads[:, 4]])


def _surface_area_weights(loads: FloatArray, savs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weight classes within dead and live by surface area, and dead against live; Rothermel 1972 eq. 53-57."""
    area = loads * savs / PARTICLE_DENSITY_LB_FT3
    dead, live = _by_category(area)
    category = np.column_stack([dead] * 4 + [live] * 2)
    weights = np.divide(area, category, out=np.zeros_like(area), where=category > 0)
    return weights, dead / (dead + live), live / (dead + live)


def _size_class_weights(class_weights: FloatArray, savs: FloatArray) -> FloatArray:
    """Give each class the summed surface-area weight of its size bin within dead or live; Albini 1976 p. 15."""
    size_bin = np.digitize(savs, [16.0, 48.0, 96.0, 192.0, 1200.0])
    weights = np.zeros_like(class_weights)
    for category in (_DEAD, _LIVE):
        bins, within = size_bin[:, category], class_weights[:, category]
        same_bin = bins[:, :, None] == bins[:, None, :]
        weights[:, category] = (same_bin * within[:, None, :]).sum(2) * (bins > 0)
    return weights


def _optimum_packing_ratio(bed_sav: FloatArray) -> FloatArray:
    return 3.348 * bed_sav**-0.8189  # Rothermel 1972 eq. 37, 69


def _optimum_reaction_velocity(bed_sav: FloatArray, relative_packing: FloatArray) -> FloatArray:
    maximum = bed_sav**1.5 / (495.0 + 0.0594 * bed_sav**1.5)  # Rothermel 1972 eq. 36, 68
    a = 133.0 * bed_sav**-0.7913  # Albini 1976 p. 88
    return maximum * relative_packing**a * np.exp(a * (1.0 - relative_packing))  # Rothermel 1972 eq. 38


def _moisture_damping(moisture: FloatArray, extinction: FloatArray) -> FloatArray:
    r = np.minimum(moisture / extinction, 1.0)
    damping = 1.0 - 2.59 * r + 5.11 * r**2 - 3.52 * r**3  # Rothermel 1972 eq. 29, 64
    return np.where(r < 1.0, damping, 0.0)


def _mineral_damping() -> float:
    return min(0.174 / math.pow(EFFECTIVE_MINERAL_FRACTION, 0.19), 1.0)  # Rothermel 1972 eq. 30, 62; Albini 1976 p. 14


def _live_moisture_of_extinction(
    loads: FloatArray, savs: FloatArray, moistures: FloatArray, dead_extinction: FloatArray
) -> FloatArray:
    """Moisture above which live fuel takes no part; Rothermel 1972 eq. 88, Albini 1976 p. 16 and 89."""
    fine_dead = (loads * _exp_over_sav(-138.0, savs))[:, _DEAD]
    fine_live = (loads * _exp_over_sav(-500.0, savs))[:, _LIVE].sum(1)
    fine_dead_moisture = (fine_dead * moistures[:, _DEAD]).sum(1) / fine_dead.sum(1)
    dead_over_live = np.divide(fine_dead.sum(1), fine_live, out=np.zeros_like(fine_live), where=fine_live > 0)
    extinction = 2.9 * dead_over_live * (1.0 - fine_dead_moisture / dead_extinction) - 0.226
    floored: FloatArray = np.maximum(extinction, dead_extinction)
    return floored


def _exp_over_sav(scale: float, savs: FloatArray) -> FloatArray:
    exponent = np.divide(scale, savs, out=np.full_like(savs, -np.inf), where=savs > 0)
    return np.exp(exponent)


def _propagating_flux_ratio(bed_sav: FloatArray, packing_ratio: FloatArray) -> FloatArray:
    # Rothermel 1972 eq. 42
    return np.exp((0.792 + 0.681 * np.sqrt(bed_sav)) * (packing_ratio + 0.1)) / (192.0 + 0.2595 * bed_sav)


def _heat_sink(
    class_weights: FloatArray,
    dead_weight: FloatArray,
    live_weight: FloatArray,
    savs: FloatArray,
    moistures: FloatArray,
    bulk_density: FloatArray,
) -> FloatArray:
    """Heat to bring a volume of fuel bed to ignition, Btu/ft3; Rothermel 1972 eq. 52 (denominator), 14 and 78."""
    preignition = 250.0 + 1116.0 * moistures
    heated = class_weights * preignition * _exp_over_sav(-138.0, savs)
    dead, live = _by_category(heated)
    sink: FloatArray = bulk_density * (dead_weight * dead + live_weight * live)
    return sink


def _residence_time_min(bed_sav: FloatArray) -> FloatArray:
    return 384.0 / bed_sav  # Anderson 1969


def _wind_terms(bed_sav: FloatArray, relative_packing: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficient and exponent that give the wind factor from midflame wind in ft/min; Rothermel 1972 eq. 47-50."""
    c = 7.47 * np.exp(-0.133 * bed_sav**0.55)
    b = 0.02526 * bed_sav**0.54
    e = 0.715 * np.exp(-3.59e-4 * bed_sav)
    return c * relative_packing**-e, b


def _unsheltered_wind_adjustment(depth_ft: FloatArray) -> FloatArray:
    return 1.83 / np.log((20.0 + 0.36 * depth_ft) / (0.13 * depth_ft))  # Andrews 2012 eq. 6


# ---------------------------------------------------------------------------------------------------------------------
# Cells: float32 throughout, since a float64 constant would make float64 of all it touches.

_f = np.float32
_RADIANS = _f(math.pi / 180)
_FT_PER_M, _M_PER_FT = _f(FT_PER_M), _f(0.3048)
_CROWN_WIND_COEFFICIENT, _CROWN_WIND_EXPONENT = (
    _f(getattr(_bed([_CROWN_BED], np.full((1, 6), 0.05), True), name)[0])
    for name in ("wind_coefficient", "wind_exponent")
)
SCOTT_REINHARDT, FINNEY, ROTHERMEL = (_METHODS.index(name) for name in ("scott_reinhardt", "finney", "rothermel"))


class _Run(NamedTuple):
    """What is the same in all cells."""

    rows_per_class: Any
    foliar_pct: Float
    crown_method: Any
    crown_heat_btu_lb: Float
    cruz: Any
    kw_m_per_btu_ft_s: Float


class _Hill(NamedTuple):
    """Tangent of the slope and the unit vector downhill, x east, y north, of a block of cells."""

    tangent: F4
    east: F4
    north: F4


class _Surface(NamedTuple):
    """The surface fire on the way to its maps, of a block of cells, in feet, minutes and Btu."""

    row: npt.NDArray[np.uint32]  # of the table
    adjustment: F4  # midflame over 20-ft wind
    exponent: F4  # of the wind factor; then 1 / exponent
    power: F4  # midflame wind; then to its exponent; then effective wind to it; then effective wind
    east: F4  # joint factor of wind and slope, as a vector
    north: F4
    rate: F4
    intensity: F4


@lru_cache(maxsize=4)
def _row_of_code(custom_fuels: tuple[FuelModel, ...]) -> npt.NDArray[np.int32]:
    """Place of each fuel model code in a class of the table; a landscape has refused what is unknown."""
    models = (*FUEL_MODELS.values(), *custom_fuels)
    row_of_code = np.full(1 << 16, len(models), dtype=np.int32)
    row_of_code[[model.code for model in models]] = np.arange(len(models))
    return row_of_code


def _burn_block(
    table: F4, row_of_code: npt.NDArray[np.int32], cells: _Cells, classes: U1, air: _Air, run: _Run, found: _Found
) -> None:
    """Fire behavior of a block of cells, written into its parts of the maps."""
    n = len(cells.fuel_model)
    facing = np.maximum(cells.aspect_deg, _f(0)) * _RADIANS  # "flat" (-1) as FlamMap: facing north
    hill = _Hill(np.tan(cells.slope_deg * _RADIANS), np.sin(facing), np.cos(facing))
    surface = _Surface(np.empty(n, np.uint32), *(np.empty(n, np.float32) for _ in range(7)))

    under_trees, drag = np.empty(n, np.float32), np.empty(n, np.float32)
    _shelter(cells, under_trees, drag)
    np.divide(under_trees, np.log(drag, out=drag), out=under_trees)
    _midflame_wind(table, row_of_code, cells, classes, run, air, under_trees, surface)
    np.power(surface.power, surface.exponent, out=surface.power)
    _spread_surface(table, hill, air, surface)
    np.power(surface.power, surface.exponent, out=surface.power)
    effective_mph = np.minimum(surface.power * _f(1 / FT_MIN_PER_MPH), _f(30))  # more is past the cap, and overflows
    longer, shorter = np.exp(_f(0.1147) * effective_mph), np.exp(_f(-0.0692) * effective_mph)
    azimuth = np.arctan2(surface.east, surface.north)
    flame = surface.intensity ** _f(SURFACE_FLAME_EXPONENT)
    crowns = np.empty(n + 1, np.uint32)
    k = _map_surface(cells, run, surface, longer, shorter, azimuth, flame, found, crowns)
    if k:
        _burn_crowns(table, cells, run, hill, air, surface, crowns[:k], found)


@_compiled
def _shelter(cells: _Cells, under_trees: F4, drag: F4) -> None:
    """Wind adjustment under trees times the logarithm of what drags the wind, 0 in the open; Andrews 2012 eq. 2."""
    for i in range(len(drag)):
        height_m = cells.canopy_height_m[i]
        height_ft = height_m * _FT_PER_M
        crown_ratio = min(max(_f(1) - cells.canopy_base_height_m[i] / height_m, _f(0)), _f(1))
        fill = crown_ratio * (cells.canopy_cover_pct[i] * _f(0.01)) / _f(3)  # crowns as cones
        sheltered = (height_ft >= _f(SHELTERING_FT)) & (fill >= _f(SHELTERING_FILL))
        under_trees[i] = _f(0.555) / math.sqrt(fill * height_ft) if sheltered else _f(0)
        height_ft = max(height_ft, _f(SHELTERING_FT))
        drag[i] = (_f(20) + _f(0.36) * height_ft) / (_f(0.13) * height_ft)


@_compiled
def _midflame_wind(
    table: F4,
    row_of_code: npt.NDArray[np.int32],
    cells: _Cells,
    classes: U1,
    run: _Run,
    air: _Air,
    under_trees: F4,
    surface: _Surface,
) -> None:
    """Row of the table, wind adjustment and midflame wind of each cell."""
    for i in range(len(under_trees)):
        row = row_of_code[np.uint16(cells.fuel_model[i])] + np.int32(classes[i]) * run.rows_per_class
        in_the_open = table[row, OPEN_ADJUSTMENT]
        adjustment = max(under_trees[i], in_the_open * _f(under_trees[i] <= 0))
        surface.row[i], surface.adjustment[i] = row, adjustment
        surface.exponent[i], surface.power[i] = table[row, WIND_EXPONENT], adjustment * air.wind[i]


@_compiled
def _spread_surface(table: F4, hill: _Hill, air: _Air, surface: _Surface) -> None:
    """Wind and slope joined as vectors (Andrews 2018), rate and intensity at the head of the fire."""
    for i in range(len(surface.row)):
        row = surface.row[i]
        slope_factor = min(table[row, SLOPE_COEFFICIENT] * (hill.tangent[i] * hill.tangent[i]), table[row, SLOPE_LIMIT])
        wind_factor = table[row, WIND_COEFFICIENT] * surface.power[i]  # Rothermel 1972 eq. 47
        if table[row, BASE_RATE] <= 0:
            slope_factor = wind_factor = _f(0)
        # Both point where they come from; the fire goes the other way.
        east = -(slope_factor * hill.east[i] + wind_factor * air.east[i])
        north = -(slope_factor * hill.north[i] + wind_factor * air.north[i])
        factor = min(math.sqrt(east * east + north * north), table[row, FACTOR_LIMIT])
        surface.east[i], surface.north[i] = east, north
        # Of the wind that alone would do as much, to its exponent.
        surface.power[i], surface.exponent[i] = factor / table[row, WIND_COEFFICIENT], _f(1) / table[row, WIND_EXPONENT]
        rate = table[row, BASE_RATE] * (_f(1) + factor)
        surface.rate[i], surface.intensity[i] = rate, rate * table[row, HEAT_PER_AREA] * _f(1 / 60)  # Byram 1959


@_compiled
def _degrees(azimuth: Float) -> Float:
    """Azimuth of -pi to pi in degrees, 0 to below 360."""
    degrees = azimuth * _f(180 / math.pi)
    degrees = degrees + _f(360) if degrees < 0 else degrees
    return degrees if degrees < _f(360) else _f(0)


@_compiled
def _map_surface(
    cells: _Cells,
    run: _Run,
    surface: _Surface,
    longer: F4,
    shorter: F4,
    azimuth: F4,
    flame: F4,
    found: _Found,
    crowns: npt.NDArray[np.uint32],
) -> int:
    """Maps of the surface fire; returns how many cells' crowns it reaches, and which they are."""
    for i in range(len(flame)):
        # Anderson 1983 as Behave has it, less 0.397 so that a calm fire is a circle.
        ratio = _f(0.936) * longer[i] + _f(0.461) * shorter[i] - _f(0.397)
        found.length_to_width[i] = min(max(ratio, _f(1)), _f(MAX_LENGTH_TO_WIDTH))
        found.spread_direction_deg[i] = _degrees(azimuth[i]) if surface.rate[i] > 0 else _f(0)
        found.spread_rate_m_min[i] = surface.rate[i] * _M_PER_FT
        intensity = surface.intensity[i]
        found.fireline_intensity_kw_m[i] = intensity * run.kw_m_per_btu_ft_s
        found.flame_length_m[i] = flame[i] * _f(0.45 * 0.3048)  # Byram 1959, Albini 1976
        treed = (cells.canopy_cover_pct[i] > 0) & (cells.canopy_height_m[i] > 0)
        treed &= cells.canopy_bulk_density_kg_m3[i] > 0
        reached = intensity >= _critical_surface_intensity(cells.canopy_base_height_m[i], run)
        burns = surface.rate[i] > 0
        found.fire_type[i] = np.uint8(burns) + np.uint8(burns & treed & reached & (intensity > 0))
    k = 0
    for i in range(len(flame)):
        crowns[k] = i
        k += found.fire_type[i] >> 1
    return k


# ---------------------------------------------------------------------------------------------------------------------
# Crown fire, in the cells where the surface fire reaches the crowns.


class _Crowns(NamedTuple):
    """Crown fire on the way to its maps, of the cells `which` of a block."""

    which: npt.NDArray[np.uint32]
    cruz: F4  # rate of an active crown fire by Cruz et al. 2005 over what wind does to it
    active_rate: F4
    critical_rate: F4  # of spread, from which crowns carry fire by themselves
    igniting_rate: F4  # of the surface fire, from which crowns ignite
    crowning: F4  # what the crown fraction burned takes a power of; then that power
    adjustment: F4  # midflame wind of the surface fire over that of the crown fuel
    exponent: F4  # of the surface fire's wind factor
    intensity: F4
    east: F4  # the way that it goes, as a vector of any length
    north: F4


def _burn_crowns(
    table: F4,
    cells: _Cells,
    run: _Run,
    hill: _Hill,
    air: _Air,
    surface: _Surface,
    which: npt.NDArray[np.uint32],
    found: _Found,
) -> None:
    """Put crown fire in the place of surface fire in some cells of a block."""
    crowns = _Crowns(which, *(np.empty(len(which), np.float32) for _ in range(10)))
    if run.cruz:
        np.power(cells.canopy_bulk_density_kg_m3[which], _f(0.19), out=crowns.cruz)
    _spread_crowns(table, cells, run, hill, air, surface, crowns)
    if run.crown_method == FINNEY:
        np.power(_f(0.1), crowns.crowning, out=crowns.crowning)
    elif run.crown_method == SCOTT_REINHARDT:
        # Wind in which crowns carry fire by themselves, and the surface fire's wind factor in it.
        exponent = _f(1 / 0.9) if run.cruz else _f(1) / _CROWN_WIND_EXPONENT
        np.power(crowns.crowning, exponent, out=crowns.crowning)
        np.multiply(crowns.crowning, crowns.adjustment, out=crowns.crowning)
        np.power(crowns.crowning, crowns.exponent, out=crowns.crowning)
    _map_crowns(table, cells, run, hill, air, surface, crowns, found)
    np.power(crowns.intensity, _f(CROWN_FLAME_EXPONENT), out=crowns.intensity)
    _map_flames_and_ways(crowns, np.arctan2(crowns.east, crowns.north), found)


@_compiled
def _critical_surface_intensity(base_m: Float, run: _Run) -> Float:
    """Surface fireline intensity that ignites the crowns, Btu/ft/s; Van Wagner 1977 eq. 4."""
    heat = _f(0.010) * max(base_m, _f(MIN_CANOPY_BASE_M)) * (_f(460) + _f(25.9) * run.foliar_pct)
    return heat * math.sqrt(heat) / run.kw_m_per_btu_ft_s


@_compiled
def _joint_factor(slope_factor: Float, wind_factor: Float, hill: _Hill, air: _Air, i: int) -> Float:
    """Factor of wind and slope as vectors; Andrews 2018."""
    east = slope_factor * hill.east[i] + wind_factor * air.east[i]
    north = slope_factor * hill.north[i] + wind_factor * air.north[i]
    return math.sqrt(east * east + north * north)


@_compiled
def _spread_crowns(
    table: F4, cells: _Cells, run: _Run, hill: _Hill, air: _Air, surface: _Surface, crowns: _Crowns
) -> None:
    """Rate of a fully active crown fire, and what the crown fraction burned takes a power of."""
    for j in range(len(crowns.which)):
        i = crowns.which[j]
        row = surface.row[i]
        critical_rate = _f(3) / cells.canopy_bulk_density_kg_m3[i] * _FT_PER_M  # ft/min; Van Wagner 1977
        if run.cruz:
            # It knows wind but no slope, so it is used where it exceeds the surface fire's.
            crowns.cruz[j] *= table[row, CRUZ_RATE]
            active_rate = max(crowns.cruz[j] * air.cruz[i], surface.rate[i])
        else:
            slope_factor = _f(0)
            if run.crown_method == FINNEY:
                on_slope = table[row, CROWN_SLOPE_COEFFICIENT] * (hill.tangent[i] * hill.tangent[i])
                slope_factor = min(on_slope, table[row, CROWN_SLOPE_LIMIT])
            factor = _joint_factor(slope_factor, air.crown_factor[i], hill, air, i)
            factor = min(factor, table[row, CROWN_FACTOR_LIMIT])
            active_rate = _f(CROWN_RATE_FACTOR) * table[row, CROWN_BASE_RATE] * (_f(1) + factor)
        igniting_rate = (
            _f(60) * _critical_surface_intensity(cells.canopy_base_height_m[i], run) / table[row, HEAT_PER_AREA]
        )
        crowns.active_rate[j], crowns.critical_rate[j] = active_rate, critical_rate
        crowns.igniting_rate[j] = igniting_rate
        if run.crown_method == FINNEY:
            # Finney 1998: the fraction burned is 1 - 0.1 to this, 0.9 where the surface fire is nine tenths of the way.
            span = _f(0.9) * (critical_rate - igniting_rate)
            crowns.crowning[j] = (surface.rate[i] - igniting_rate) / span if span > 0 else _f(np.inf)
        elif run.crown_method == SCOTT_REINHARDT:
            # Scott and Reinhardt 2001 eq. 20: the wind factor, to be, in which the active rate is the critical one.
            if run.cruz:
                crowns.crowning[j] = critical_rate / crowns.cruz[j]
                crowns.adjustment[j] = surface.adjustment[i] * _f(FT_MIN_PER_KMH / WIND_10M_OVER_20FT)
            else:
                calm_rate = _f(CROWN_RATE_FACTOR) * table[row, CROWN_BASE_RATE]
                needed = max(critical_rate / calm_rate - _f(1), _f(0)) if calm_rate > 0 else _f(0)
                crowns.crowning[j] = needed / _CROWN_WIND_COEFFICIENT
                crowns.adjustment[j] = surface.adjustment[i] * _f(1 / CROWN_WIND_ADJUSTMENT)
            crowns.exponent[j] = table[row, WIND_EXPONENT]


@_compiled
def _lead_by_wind(surface: _Surface, air: _Air, crowns: _Crowns, found: _Found, i: int, j: int, share: Float) -> None:
    """Turn a fire from its own way and shape towards those of a crown fire in the wind, by a share of 0 to 1.

    Both ways count by the eccentricity of their ellipse: a circle leads nowhere.
    """
    own = found.length_to_width[i]
    found.length_to_width[i] = min(own + share * (air.crown_shape[i] - own), _f(MAX_LENGTH_TO_WIDTH))
    of_wind = share * air.crown_eccentricity[i]
    if of_wind <= 0:
        return
    east, north = surface.east[i], surface.north[i]
    strength = math.sqrt(east * east + north * north)
    of_own = _f(0)
    if strength > 0:
        of_own = (_f(1) - share) * math.sqrt(own * own - _f(1)) / (own * strength)
    crowns.east[j] = of_own * east - of_wind * air.east[i]
    crowns.north[j] = of_own * north - of_wind * air.north[i]


@_compiled
def _map_crowns(
    table: F4, cells: _Cells, run: _Run, hill: _Hill, air: _Air, surface: _Surface, crowns: _Crowns, found: _Found
) -> None:
    """Type, rate and intensity of the crown fires, and the way and shape of those that follow the wind alone.

    Behave's crown fires know wind but no slope. So they are led by the wind as far as they outrun the surface fire, and
    are never slower than it.
    """
    for j in range(len(crowns.which)):
        i = crowns.which[j]
        row = surface.row[i]
        surface_rate, active_rate = surface.rate[i], crowns.active_rate[j]
        crowns.east[j], crowns.north[j] = surface.east[i], surface.north[i]
        if run.crown_method == FINNEY:
            # A passive crown fire keeps the surface fire's rate.
            burned = _f(1) - crowns.crowning[j]
            crown_rate = surface_rate + burned * (active_rate - surface_rate)
            active = crown_rate >= crowns.critical_rate[j]
            rate = crown_rate if active else surface_rate
        else:
            active = active_rate >= crowns.critical_rate[j]
            burned = _f(1)
            if run.crown_method == SCOTT_REINHARDT and not active:
                # From 0 at the rate that ignites the crowns to 1 at the rate at which they carry fire.
                on_slope = table[row, SLOPE_COEFFICIENT] * (hill.tangent[i] * hill.tangent[i])
                wind_factor = table[row, WIND_COEFFICIENT] * crowns.crowning[j]
                factor = _joint_factor(min(on_slope, table[row, SLOPE_LIMIT]), wind_factor, hill, air, i)
                crowning_rate = table[row, BASE_RATE] * (_f(1) + min(factor, table[row, FACTOR_LIMIT]))
                igniting_rate = crowns.igniting_rate[j]
                span = crowning_rate - igniting_rate
                burned = min(max((surface_rate - igniting_rate) / span, _f(0)), _f(1)) if span > _f(1e-7) else _f(0)
            if active_rate <= 0:
                burned = _f(0)  # weather in which the crown fuel itself carries no fire
            gain = max(burned * (active_rate - surface_rate), _f(0))
            rate = surface_rate + gain
            if gain > 0:
                wind_led = _f(1) if active or run.crown_method == ROTHERMEL else burned * active_rate / rate
                _lead_by_wind(surface, air, crowns, found, i, j, wind_led)
        depth_m = max(cells.canopy_height_m[i] - cells.canopy_base_height_m[i], _f(0))
        load_lb_ft2 = cells.canopy_bulk_density_kg_m3[i] * depth_m * _f(LB_FT2_PER_KG_M2)
        intensity = rate * (table[row, HEAT_PER_AREA] + burned * load_lb_ft2 * run.crown_heat_btu_lb) * _f(1 / 60)
        crowns.intensity[j] = intensity
        found.spread_rate_m_min[i] = rate * _M_PER_FT
        found.fireline_intensity_kw_m[i] = intensity * run.kw_m_per_btu_ft_s
        found.fire_type[i] = ACTIVE_CROWN_FIRE if active else PASSIVE_CROWN_FIRE


@_compiled
def _map_flames_and_ways(crowns: _Crowns, azimuth: F4, found: _Found) -> None:
    """Flame length from intensity to its exponent (Thomas 1963 in Rothermel 1991), and direction."""
    for j in range(len(azimuth)):
        i = crowns.which[j]
        found.flame_length_m[i] = crowns.intensity[j] * _f(0.2 * 0.3048)
        found.spread_direction_deg[i] = _degrees(azimuth[j])
