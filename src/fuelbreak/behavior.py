"""How a fire behaves in each cell of a landscape in one weather: Rothermel surface fire and crown fire.

Inside, the equations stand in the units they are published in (feet, pounds, Btu, minutes); SI comes in and goes out.
What depends on the fuel model and the weather alone is computed once per fuel model (`_fuel_table`); what depends on
the cell is array arithmetic over blocks of cells.

Sources, by the short names used below: Rothermel 1972 (INT-115), Albini 1976 (GTR-INT-30), Andrews 2012 (RMRS-GTR-266),
Andrews 2018 (RMRS-GTR-371), Rothermel 1991 (INT-438), Van Wagner 1977, Finney 1998 (RMRS-RP-4), Scott and Reinhardt
2001 (RMRS-RP-29), Cruz et al. 2005; "Behave" is the Missoula fire laboratory's public-domain program, whose choices are
the defaults here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.fuels import FUEL_MODELS
from fuelbreak.landscape import Landscape
from fuelbreak.scenarios import WIND_10M_OVER_20FT, Weather

FloatArray = npt.NDArray[Any]  # float64 for terms of the fuel table, float32 for cells
CrownMethod = Literal["scott_reinhardt", "finney"]
CrownRate = Literal["rothermel", "cruz"]

NO_FIRE, SURFACE_FIRE, PASSIVE_CROWN_FIRE, ACTIVE_CROWN_FIRE = range(4)

FT_PER_M = 1 / 0.3048
FT_MIN_PER_KMH = 1000 * FT_PER_M / 60
FT_MIN_PER_MPH = 88.0
BTU_LB_PER_KJ_KG = 1 / 2.326
LB_FT2_PER_KG_M2 = 2.2046226218 * 0.3048**2
KW_M_PER_BTU_FT_S = (
    1.05505585262 / 0.3048
)  # Behave's own factor is 0.08 % larger: its crown fires start that much later

PARTICLE_DENSITY_LB_FT3 = 32.0  # Albini 1976 p. 91, all standard models
TOTAL_MINERAL_FRACTION = 0.0555  # Albini 1976 p. 91
EFFECTIVE_MINERAL_FRACTION = 0.010  # Albini 1976 p. 91
MAX_LENGTH_TO_WIDTH = 8.0  # Behave
MIN_CANOPY_BASE_M = 0.1  # Behave: a base on the ground would need no fire to ignite
MIN_FOLIAR_PCT = 30.0  # Behave
CROWN_HEAT_BTU_LB = {"scott_reinhardt": 8000.0, "finney": 18000.0 * BTU_LB_PER_KJ_KG}  # Behave; Finney 1998
CROWN_FUEL_MODEL = 10  # Rothermel 1991 predicts crown fire from this model ...
CROWN_WIND_ADJUSTMENT = 0.4  # ... with this wind adjustment ...
CROWN_RATE_FACTOR = 3.34  # ... times this

_DEAD, _LIVE = slice(0, 4), slice(4, 6)  # size classes: dead 1-h, 10-h, 100-h, cured herb | live herb, live woody
_BLOCK_CELLS = 1 << 15  # temporaries of a block stay in the processor's cache


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
    crown_method: CrownMethod = "scott_reinhardt",
    crown_rate: CrownRate = "rothermel",
    wind_limit: bool = True,
) -> FireBehavior:
    """Say how fast, which way and how fiercely a fire burns in every cell of a landscape in one weather.

    Surface fire is Rothermel (1972) with Albini's (1976) changes as in Andrews (2018); a crown fire starts by Van
    Wagner (1977) and spreads by Rothermel (1991) or Cruz et al. (2005). A cell that does not burn, or whose dead fuel
    is at or above its moisture of extinction, has rate, intensity and flame length 0, type 0 and length-to-width 1.

    Parameters
    ----------
    landscape : fuel models, terrain and canopy, (H, W)
    weather : wind and fuel moisture, the same in every cell
    crown_method : "scott_reinhardt" (2001), as Behave: a passive crown fire is faster than the surface fire below it,
        and crown spread ignores slope; "finney" (1998), as FARSITE and FlamMap: a passive crown fire keeps the surface
        fire's rate, and crown spread feels the slope
    crown_rate : rate of a fully active crown fire, "rothermel" (1991) or "cruz" (2005; dead 1-h moisture stands for
        fine dead fuel moisture)
    wind_limit : whether the effective wind is held at 0.9 times reaction intensity (Rothermel 1972 eq. 87)

    Returns
    -------
    FireBehavior of (H, W) arrays

    Raises
    ------
    InputError
        for a crown method or crown rate that does not exist
    """
    for name, value, known in (
        ("crown_method", crown_method, get_args(CrownMethod)),
        ("crown_rate", crown_rate, get_args(CrownRate)),
    ):
        if value not in known:
            raise InputError(f"fire behavior: {name} is {value!r}; give one of {', '.join(known)}")
    table = _fuel_table(weather, wind_limit)
    rows = _table_rows(landscape.fuel_model).ravel()
    bands = [
        band.ravel()
        for band in (
            landscape.slope_deg,
            landscape.aspect_deg,
            landscape.canopy_cover_pct,
            landscape.canopy_height_m,
            landscape.canopy_base_height_m,
            landscape.canopy_bulk_density_kg_m3,
        )
    ]
    blocks = []
    for start in range(0, rows.size, _BLOCK_CELLS):
        block = slice(start, start + _BLOCK_CELLS)
        cells = _read_cells(rows[block], *(band[block] for band in bands))
        blocks.append(_behavior_of_cells(table, cells, weather, crown_method, crown_rate))
    shape = landscape.fuel_model.shape
    names = [field.name for field in fields(FireBehavior)]
    return FireBehavior(**{n: np.concatenate([getattr(b, n) for b in blocks]).reshape(shape) for n in names})


# ---------------------------------------------------------------------------------------------------------------------
# Terms of a fuel bed in a weather, one row per fuel model. Arrays are (models, classes) or (models,), float64.


@dataclass(frozen=True)
class _FuelTable:
    """Terms of the spread equation that depend on fuel model and weather alone; (models + 1,) float32.

    The last row stands for everything nonburnable: its rate is 0 and so is all that follows from it.
    """

    base_rate_ft_min: FloatArray
    heat_per_area_btu_ft2: FloatArray
    slope_coefficient: FloatArray
    slope_factor_limit: FloatArray
    wind_coefficient: FloatArray
    wind_exponent: FloatArray
    combined_factor_limit: FloatArray
    open_wind_adjustment: FloatArray


def _fuel_table(weather: Weather, wind_limit: bool) -> _FuelTable:
    models = list(FUEL_MODELS.values())
    loads = np.array([m.loads_lb_ft2 for m in models])
    savs = np.array([m.savs_per_ft for m in models])[:, [0, 1, 2, 3, 3, 4]]  # cured grass keeps its SAV
    depth = np.array([m.depth_ft for m in models])
    dead_heat = np.array([m.dead_heat_btu_lb for m in models])
    live_heat = np.array([m.live_heat_btu_lb for m in models])
    dead_extinction = np.array([m.extinction_pct for m in models]) / 100
    dynamic = np.array([m.dynamic for m in models])
    dead_1h, live_herb = weather.dead_1h_pct, weather.live_herb_pct
    percents = [dead_1h, weather.dead_10h_pct, weather.dead_100h_pct, dead_1h, live_herb, weather.live_woody_pct]
    moistures = np.array(percents) / 100  # cured grass is as moist as 1-h fuel

    loads = _loads_after_curing(loads, dynamic, live_herb / 100)
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
    # Rothermel 1972 eq. 58, Albini 1976 p. 17, Btu/ft2/min. Behave would let live fuel burn on alone where dead fuel
    # cannot; here fire needs dead fuel below its extinction.
    reaction_intensity = reaction_velocity * heat * _mineral_damping()
    burns = dead_moisture < dead_extinction
    reaction_intensity[~burns] = 0.0

    heat_sink = _heat_sink(weights, dead_weight, live_weight, savs, moistures, bulk_density)
    base_rate = (
        reaction_intensity * _propagating_flux_ratio(bed_sav, packing_ratio) / heat_sink
    )  # Rothermel 1972 eq. 52
    wind_coefficient, wind_exponent = _wind_terms(bed_sav, relative_packing)
    limit_ft_min = np.where(burns, 0.9 * reaction_intensity if wind_limit else np.inf, 0.0)  # Rothermel 1972 eq. 87

    def column(terms: FloatArray, nonburnable: float) -> npt.NDArray[np.float32]:
        return np.append(terms, nonburnable).astype(np.float32)

    return _FuelTable(
        base_rate_ft_min=column(base_rate, 0.0),
        heat_per_area_btu_ft2=column(reaction_intensity * _residence_time_min(bed_sav), 0.0),
        slope_coefficient=column(5.275 * packing_ratio**-0.3, 0.0),  # Rothermel 1972 eq. 51, 80
        slope_factor_limit=column(limit_ft_min, 0.0),  # Behave holds the slope factor at the number of the wind limit
        wind_coefficient=column(wind_coefficient, 1.0),
        wind_exponent=column(wind_exponent, 1.0),
        combined_factor_limit=column(wind_coefficient * limit_ft_min**wind_exponent, 0.0),
        open_wind_adjustment=column(_unsheltered_wind_adjustment(depth), 0.0),
    )


def _by_category(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum over the dead and over the live classes."""
    return values[:, _DEAD].sum(1), values[:, _LIVE].sum(1)


def _loads_after_curing(loads: FloatArray, dynamic: npt.NDArray[np.bool_], live_herb: float) -> FloatArray:
    """Move cured grass to dead fuel; Burgan 1979 in Scott and Burgan 2005, with Behave's rounded coefficients."""
    cured = 1.0 if live_herb < 0.30 else min(max(1.333 - 1.11 * live_herb, 0.0), 1.0)
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
    fine_dead_moisture = (fine_dead * moistures[_DEAD]).sum(1) / fine_dead.sum(1)
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
# Cells. Arrays are (cells,) float32.


def _table_rows(codes: npt.NDArray[np.int16]) -> npt.NDArray[np.intp]:
    """Find each cell's row of the fuel table; a landscape has refused unknown codes, so the rest is nonburnable."""
    row_of_code = np.full(1 << 16, len(FUEL_MODELS), dtype=np.intp)
    row_of_code[list(FUEL_MODELS)] = np.arange(len(FUEL_MODELS))
    return row_of_code[codes.view(np.uint16)]


@dataclass(frozen=True)
class _Cells:
    """What the equations need to know of a block of cells; (cells,) arrays."""

    row: npt.NDArray[np.intp]
    slope_squared: FloatArray
    up_east: FloatArray
    up_north: FloatArray
    canopy_cover: FloatArray
    canopy_height_m: FloatArray
    canopy_base_m: FloatArray
    canopy_bulk_density_kg_m3: FloatArray

    def at(self, index: npt.NDArray[np.intp]) -> _Cells:
        return _Cells(*(getattr(self, field.name)[index] for field in fields(self)))


def _read_cells(
    rows: npt.NDArray[np.intp],
    slope_deg: FloatArray,
    aspect_deg: FloatArray,
    canopy_cover_pct: FloatArray,
    canopy_height_m: FloatArray,
    canopy_base_height_m: FloatArray,
    canopy_bulk_density_kg_m3: FloatArray,
) -> _Cells:
    upslope = np.radians(np.maximum(aspect_deg, 0.0) + 180.0)  # on "flat" cells (-1) as FlamMap: facing north
    return _Cells(
        row=rows,
        slope_squared=np.tan(np.radians(slope_deg)) ** 2,
        up_east=np.sin(upslope),
        up_north=np.cos(upslope),
        canopy_cover=canopy_cover_pct / 100.0,
        canopy_height_m=canopy_height_m,
        canopy_base_m=canopy_base_height_m,
        canopy_bulk_density_kg_m3=canopy_bulk_density_kg_m3,
    )


def _behavior_of_cells(
    table: _FuelTable, cells: _Cells, weather: Weather, crown_method: CrownMethod, crown_rate: CrownRate
) -> FireBehavior:
    wind_20ft = _wind_20ft_ft_min(weather)
    wind_to = math.radians(weather.wind_from_deg + 180.0)
    factor, direction = _combined_factor(table, cells, _wind_adjustment(table, cells) * wind_20ft, wind_to)
    rate = table.base_rate_ft_min[cells.row] * (1.0 + factor)
    intensity = rate * table.heat_per_area_btu_ft2[cells.row] / 60.0  # Byram 1959
    flame = 0.45 * intensity**0.46  # ft; Byram 1959, Albini 1976
    ratio = _length_to_width(_effective_wind_mph(table, cells, factor))
    fire_type = np.where(rate > 0, np.uint8(SURFACE_FIRE), np.uint8(NO_FIRE))
    direction[rate == 0] = 0.0

    torching = np.flatnonzero(_reaches_crown(cells, intensity, weather.foliar_pct))
    if torching.size:
        crown = _scott_reinhardt_crown_fire if crown_method == "scott_reinhardt" else _finney_crown_fire
        rate[torching], intensity[torching], active = crown(
            table, cells.at(torching), weather, crown_rate, rate[torching], intensity[torching]
        )
        flame[torching] = 0.2 * intensity[torching] ** (2.0 / 3.0)  # ft; Thomas 1963 in Rothermel 1991
        fire_type[torching] = np.where(active, np.uint8(ACTIVE_CROWN_FIRE), np.uint8(PASSIVE_CROWN_FIRE))
        if crown_method == "scott_reinhardt":
            ratio[torching[active]] = _crown_length_to_width(wind_20ft / FT_MIN_PER_MPH)
    return FireBehavior(
        spread_rate_m_min=_single(rate / FT_PER_M),
        spread_direction_deg=_single(direction),
        length_to_width=_single(ratio),
        fireline_intensity_kw_m=_single(intensity * KW_M_PER_BTU_FT_S),
        flame_length_m=_single(flame / FT_PER_M),
        fire_type=fire_type,
    )


def _single(values: FloatArray) -> npt.NDArray[np.float32]:
    return values.astype(np.float32, copy=False)


def _wind_20ft_ft_min(weather: Weather) -> float:
    return weather.wind_speed_kmh / WIND_10M_OVER_20FT * FT_MIN_PER_KMH


def _wind_adjustment(table: _FuelTable, cells: _Cells) -> FloatArray:
    """Midflame wind over 20-ft wind, under trees or in the open; Andrews 2012 eq. 2 and 6, sheltering as Behave."""
    height_ft = np.maximum(cells.canopy_height_m * FT_PER_M, 1.0)
    crown_ratio = np.clip(1.0 - cells.canopy_base_m / (height_ft / FT_PER_M), 0.0, 1.0)
    crown_fill = crown_ratio * cells.canopy_cover / 3.0  # crowns as cones
    sheltered = (crown_fill >= 0.05) & (height_ft >= 6.0)
    under_trees = 0.555 / (
        np.sqrt(np.maximum(crown_fill, 0.05) * height_ft) * np.log((20.0 + 0.36 * height_ft) / (0.13 * height_ft))
    )
    return np.where(sheltered, under_trees, table.open_wind_adjustment[cells.row])


def _combined_factor(
    table: _FuelTable, cells: _Cells, midflame_ft_min: FloatArray, wind_to: float
) -> tuple[FloatArray, FloatArray]:
    """Add wind and slope as vectors: their joint factor, held at the wind limit, and its azimuth in degrees.

    Slope factor Rothermel 1972 eq. 51, wind factor eq. 47, vectors as in Andrews 2018.
    """
    row = cells.row
    slope = np.minimum(table.slope_coefficient[row] * cells.slope_squared, table.slope_factor_limit[row])
    wind = table.wind_coefficient[row] * midflame_ft_min ** table.wind_exponent[row]
    east = slope * cells.up_east + wind * math.sin(wind_to)
    north = slope * cells.up_north + wind * math.cos(wind_to)
    factor = np.minimum(np.sqrt(east * east + north * north), table.combined_factor_limit[row])
    return factor, np.degrees(np.arctan2(east, north)) % 360.0


def _effective_wind_mph(table: _FuelTable, cells: _Cells, factor: FloatArray) -> FloatArray:
    """Give the midflame wind that alone would spread the fire as fast; inverse of Rothermel 1972 eq. 47."""
    row = cells.row
    return (factor / table.wind_coefficient[row]) ** (1.0 / table.wind_exponent[row]) / FT_MIN_PER_MPH


def _length_to_width(effective_wind_mph: FloatArray) -> FloatArray:
    """Ellipse of a surface fire; Anderson 1983 as Behave has it, less 0.397 so that a calm fire is a circle."""
    u = np.minimum(effective_wind_mph, 30.0)  # past the cap, and exp cannot overflow
    return np.clip(0.936 * np.exp(0.1147 * u) + 0.461 * np.exp(-0.0692 * u) - 0.397, 1.0, MAX_LENGTH_TO_WIDTH)


def _crown_length_to_width(wind_20ft_mph: float) -> float:
    return min(1.0 + 0.125 * wind_20ft_mph, MAX_LENGTH_TO_WIDTH)  # Rothermel 1991 eq. 10


# ---------------------------------------------------------------------------------------------------------------------
# Crown fire, in the cells where the surface fire reaches the crowns.


def _critical_surface_intensity(canopy_base_m: FloatArray, foliar_pct: float) -> FloatArray:
    """Surface fireline intensity that ignites the crowns, Btu/ft/s; Van Wagner 1977 eq. 4."""
    heat = 460.0 + 25.9 * max(foliar_pct, MIN_FOLIAR_PCT)
    return (0.010 * np.maximum(canopy_base_m, MIN_CANOPY_BASE_M) * heat) ** 1.5 / KW_M_PER_BTU_FT_S


def _reaches_crown(cells: _Cells, surface_intensity: FloatArray, foliar_pct: float) -> npt.NDArray[np.bool_]:
    has_canopy = (cells.canopy_cover > 0) & (cells.canopy_height_m > 0) & (cells.canopy_bulk_density_kg_m3 > 0)
    critical = _critical_surface_intensity(cells.canopy_base_m, foliar_pct)
    return has_canopy & (surface_intensity > 0) & (surface_intensity >= critical)


def _critical_active_rate(cells: _Cells) -> FloatArray:
    return 3.0 / cells.canopy_bulk_density_kg_m3 * FT_PER_M  # ft/min; Van Wagner 1977


def _canopy_load(cells: _Cells) -> FloatArray:
    depth_m = np.maximum(cells.canopy_height_m - cells.canopy_base_m, 0.0)
    load: FloatArray = cells.canopy_bulk_density_kg_m3 * depth_m * LB_FT2_PER_KG_M2
    return load


def _crown_fuel(cells: _Cells, *, on_slope: bool) -> _Cells:
    """Put Rothermel's (1991) crown fuel, model 10, in the cells, on their slope or on the flat."""
    rows = np.full_like(cells.row, list(FUEL_MODELS).index(CROWN_FUEL_MODEL))
    slope_squared = cells.slope_squared if on_slope else np.zeros_like(cells.slope_squared)
    return replace(cells, row=rows, slope_squared=slope_squared)


def _rothermel_active_rate(table: _FuelTable, crown_fuel: _Cells, weather: Weather) -> FloatArray:
    """Spread rate of a fully active crown fire, ft/min; Rothermel 1991."""
    midflame = np.full_like(crown_fuel.slope_squared, CROWN_WIND_ADJUSTMENT * _wind_20ft_ft_min(weather))
    factor, _ = _combined_factor(table, crown_fuel, midflame, math.radians(weather.wind_from_deg + 180.0))
    return CROWN_RATE_FACTOR * table.base_rate_ft_min[crown_fuel.row] * (1.0 + factor)


def _rothermel_wind_for_rate(table: _FuelTable, crown_fuel: _Cells, rate: FloatArray) -> FloatArray:
    """20-ft wind in ft/min at which Rothermel's (1991) crown fire reaches a rate; Scott and Reinhardt 2001 eq. 20."""
    row = crown_fuel.row
    calm_rate = CROWN_RATE_FACTOR * table.base_rate_ft_min[row]
    factor = np.divide(rate, calm_rate, out=np.ones_like(rate), where=calm_rate > 0) - 1.0
    midflame = (np.maximum(factor, 0.0) / table.wind_coefficient[row]) ** (1.0 / table.wind_exponent[row])
    return midflame / CROWN_WIND_ADJUSTMENT


def _cruz_coefficient(cells: _Cells, weather: Weather) -> FloatArray:
    """Active rate in ft/min over 10-m wind in km/h to the 0.9; Cruz et al. 2005.

    The rate knows wind but no slope, so it is used where it exceeds that of the surface fire.
    """
    return 11.02 * cells.canopy_bulk_density_kg_m3**0.19 * math.exp(-0.17 * weather.dead_1h_pct) * FT_PER_M


def _scott_reinhardt_crown_fire(
    table: _FuelTable,
    cells: _Cells,
    weather: Weather,
    crown_rate: CrownRate,
    surface_rate: FloatArray,
    surface_intensity: FloatArray,
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Rate (ft/min), intensity (Btu/ft/s) and whether active, by Scott and Reinhardt 2001 as Behave runs it."""
    critical_rate = _critical_active_rate(cells)
    if crown_rate == "rothermel":
        crown_fuel = _crown_fuel(cells, on_slope=False)
        active_rate = _rothermel_active_rate(table, crown_fuel, weather)
        crowning_wind = _rothermel_wind_for_rate(table, crown_fuel, critical_rate)
    else:
        coefficient = _cruz_coefficient(cells, weather)
        active_rate = np.maximum(coefficient * weather.wind_speed_kmh**0.9, surface_rate)
        crowning_wind = (critical_rate / coefficient) ** (1 / 0.9) / WIND_10M_OVER_20FT * FT_MIN_PER_KMH
    active = active_rate >= critical_rate

    # Crown fraction burned grows from 0 at the rate that ignites the crowns to 1 at the rate at which they carry fire.
    heat_per_area = table.heat_per_area_btu_ft2[cells.row]
    igniting_rate = 60.0 * _critical_surface_intensity(cells.canopy_base_m, weather.foliar_pct) / heat_per_area
    wind_to = math.radians(weather.wind_from_deg + 180.0)
    crowning_factor, _ = _combined_factor(table, cells, _wind_adjustment(table, cells) * crowning_wind, wind_to)
    span = table.base_rate_ft_min[cells.row] * (1.0 + crowning_factor) - igniting_rate
    burned = np.divide(surface_rate - igniting_rate, span, out=np.zeros_like(span), where=span > 1e-7)
    burned = np.where(active, 1.0, np.clip(burned, 0.0, 1.0)).astype(np.float32)
    burned[active_rate <= 0] = 0.0  # weather in which the crown fuel itself carries no fire

    rate = surface_rate + burned * (active_rate - surface_rate)
    intensity = rate * (heat_per_area + burned * _canopy_load(cells) * CROWN_HEAT_BTU_LB["scott_reinhardt"]) / 60.0
    return rate, intensity, active


def _finney_crown_fire(
    table: _FuelTable,
    cells: _Cells,
    weather: Weather,
    crown_rate: CrownRate,
    surface_rate: FloatArray,
    surface_intensity: FloatArray,
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Rate (ft/min), intensity (Btu/ft/s) and whether active, by Finney 1998 as FARSITE and FlamMap run it."""
    critical_rate = _critical_active_rate(cells)
    if crown_rate == "rothermel":
        active_rate = _rothermel_active_rate(table, _crown_fuel(cells, on_slope=True), weather)
    else:
        active_rate = np.maximum(_cruz_coefficient(cells, weather) * weather.wind_speed_kmh**0.9, surface_rate)
    critical_intensity = _critical_surface_intensity(cells.canopy_base_m, weather.foliar_pct)
    igniting_rate = surface_rate * critical_intensity / surface_intensity
    span = 0.9 * (critical_rate - igniting_rate)
    exponent = np.divide(surface_rate - igniting_rate, span, out=np.full_like(span, np.inf), where=span > 0)
    burned = 1.0 - 0.1**exponent
    crown_rate_ft_min = surface_rate + burned * (active_rate - surface_rate)
    active = crown_rate_ft_min >= critical_rate

    rate = np.where(active, crown_rate_ft_min, surface_rate)
    heat_per_area = table.heat_per_area_btu_ft2[cells.row]
    intensity = rate * (heat_per_area + burned * _canopy_load(cells) * CROWN_HEAT_BTU_LB["finney"]) / 60.0
    return rate, intensity, active
