"""The 13 and 40 standard fire behavior fuel models as one frozen table, and which codes burn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

TONS_PER_ACRE_TO_LB_PER_FT2 = 2000.0 / 43560.0  # short ton in lb, acre in ft2

# FlamMap treats 0 and everything from 90 to 99 as nonfuel; LANDFIRE uses 91, 92, 93, 98 and 99 of them.
NONBURNABLE_CODES: tuple[int, ...] = (0, *range(90, 100))
BREAK_CODE = 99  # bare ground: what a cleared cell becomes

_NONBURNABLE_NAMES = {
    0: "no data",
    91: "NB1 urban or developed",
    92: "NB2 snow or ice",
    93: "NB3 agriculture",
    98: "NB8 open water",
    99: "NB9 bare ground",
}


@dataclass(frozen=True)
class FuelModel:
    """One fuel model, in the units in which Rothermel's equations are published.

    Parameters
    ----------
    code : number of the model in a fuel raster
    symbol, name : short and full name
    system : "FBFM13" (Anderson 1982), "FBFM40" (Scott and Burgan 2005) or "custom"
    loads_lb_ft2 : oven-dry load of dead 1-h, 10-h, 100-h, live herbaceous and live woody fuel, lb/ft2
    savs_per_ft : surface-area-to-volume ratio of the same five classes, ft2/ft3; 0 where the class has no load
    depth_ft : depth of the fuel bed, ft
    extinction_pct : moisture of extinction of dead fuel, percent
    dead_heat_btu_lb, live_heat_btu_lb : low heat content of dead and of live fuel, Btu/lb
    dynamic : whether live herbaceous load moves to dead as the grass cures
    """

    code: int
    symbol: str
    name: str
    system: Literal["FBFM13", "FBFM40", "custom"]
    loads_lb_ft2: tuple[float, float, float, float, float]
    savs_per_ft: tuple[float, float, float, float, float]
    depth_ft: float
    extinction_pct: float
    dead_heat_btu_lb: float
    live_heat_btu_lb: float
    dynamic: bool


# SAV of dead 10-h and 100-h fuel, the same in every model (Albini 1976, Scott and Burgan 2005 table 7 note)
SAV_10H_PER_FT = 109.0
SAV_100H_PER_FT = 30.0

# Columns of both tables: code, symbol, D(ynamic) or S(tatic), loads of dead 1-h, 10-h, 100-h, live herbaceous and live
# woody fuel, SAV (ft2/ft3) of 1-h, herbaceous and woody fuel, depth (ft), dead moisture of extinction (%), heat content
# (Btu/lb), name. A SAV of 0 stands where the class has no load.

# Rothermel's and Albini's original models (Albini 1976, GTR-INT-30; numbered by Anderson 1982, GTR-INT-122, table 1).
# Loads in lb/ft2 as Albini gives them; Anderson's tons/acre are these, rounded. The live fuel of 4, 5, 7 and 10 is
# woody, as Behave has it, that of 2 herbaceous; the live SAV of 7 is Behave's 1,500 (pyretechnics carries 1,550).
# No model is dynamic.
_FBFM13_LB_PER_FT2 = """
1   FM1  S 0.034 0     0     0     0     3500 0    0    1    12 8000 Short grass
2   FM2  S 0.092 0.046 0.023 0.023 0     3000 1500 0    1    15 8000 Timber grass and understory
3   FM3  S 0.138 0     0     0     0     1500 0    0    2.5  25 8000 Tall grass
4   FM4  S 0.23  0.184 0.092 0     0.23  2000 0    1500 6    20 8000 Chaparral
5   FM5  S 0.046 0.023 0     0     0.092 2000 0    1500 2    20 8000 Brush
6   FM6  S 0.069 0.115 0.092 0     0     1750 0    0    2.5  25 8000 Dormant brush, hardwood slash
7   FM7  S 0.052 0.086 0.069 0     0.017 1750 0    1500 2.5  40 8000 Southern rough
8   FM8  S 0.069 0.046 0.115 0     0     2000 0    0    0.2  30 8000 Closed timber litter
9   FM9  S 0.134 0.019 0.007 0     0     2500 0    0    0.2  25 8000 Hardwood litter
10  FM10 S 0.138 0.092 0.23  0     0.092 2000 0    1500 1    25 8000 Timber litter and understory
11  FM11 S 0.069 0.207 0.253 0     0     1500 0    0    1    15 8000 Light logging slash
12  FM12 S 0.184 0.644 0.759 0     0     1500 0    0    2.3  20 8000 Medium logging slash
13  FM13 S 0.322 1.058 1.288 0     0     1500 0    0    3    25 8000 Heavy logging slash
"""

# Scott and Burgan (2005), RMRS-GTR-153, table 7. Loads in tons/acre.
_FBFM40_TONS_PER_ACRE = """
101 GR1  D 0.1   0     0     0.3   0     2200 2000 0    0.4  15 8000 Short, sparse dry climate grass
102 GR2  D 0.1   0     0     1     0     2000 1800 0    1    15 8000 Low load, dry climate grass
103 GR3  D 0.1   0.4   0     1.5   0     1500 1300 0    2    30 8000 Low load, very coarse, humid climate grass
104 GR4  D 0.25  0     0     1.9   0     2000 1800 0    2    15 8000 Moderate load, dry climate grass
105 GR5  D 0.4   0     0     2.5   0     1800 1600 0    1.5  40 8000 Low load, humid climate grass
106 GR6  D 0.1   0     0     3.4   0     2200 2000 0    1.5  40 9000 Moderate load, humid climate grass
107 GR7  D 1     0     0     5.4   0     2000 1800 0    3    15 8000 High load, dry climate grass
108 GR8  D 0.5   1     0     7.3   0     1500 1300 0    4    30 8000 High load, very coarse, humid climate grass
109 GR9  D 1     1     0     9     0     1800 1600 0    5    40 8000 Very high load, humid climate grass
121 GS1  D 0.2   0     0     0.5   0.65  2000 1800 1800 0.9  15 8000 Low load, dry climate grass-shrub
122 GS2  D 0.5   0.5   0     0.6   1     2000 1800 1800 1.5  15 8000 Moderate load, dry climate grass-shrub
123 GS3  D 0.3   0.25  0     1.45  1.25  1800 1600 1600 1.8  40 8000 Moderate load, humid climate grass-shrub
124 GS4  D 1.9   0.3   0.1   3.4   7.1   1800 1600 1600 2.1  40 8000 High load, humid climate grass-shrub
141 SH1  D 0.25  0.25  0     0.15  1.3   2000 1800 1600 1    15 8000 Low load, dry climate shrub
142 SH2  S 1.35  2.4   0.75  0     3.85  2000 0    1600 1    15 8000 Moderate load, dry climate shrub
143 SH3  S 0.45  3     0     0     6.2   1600 0    1400 2.4  40 8000 Moderate load, humid climate shrub
144 SH4  S 0.85  1.15  0.2   0     2.55  2000 0    1600 3    30 8000 Low load, humid climate timber-shrub
145 SH5  S 3.6   2.1   0     0     2.9   750  0    1600 6    15 8000 High load, dry climate shrub
146 SH6  S 2.9   1.45  0     0     1.4   750  0    1600 2    30 8000 Low load, humid climate shrub
147 SH7  S 3.5   5.3   2.2   0     3.4   750  0    1600 6    15 8000 Very high load, dry climate shrub
148 SH8  S 2.05  3.4   0.85  0     4.35  750  0    1600 3    40 8000 High load, humid climate shrub
149 SH9  D 4.5   2.45  0     1.55  7     750  1800 1500 4.4  40 8000 Very high load, humid climate shrub
161 TU1  D 0.2   0.9   1.5   0.2   0.9   2000 1800 1600 0.6  20 8000 Light load, dry climate timber-grass-shrub
162 TU2  S 0.95  1.8   1.25  0     0.2   2000 0    1600 1    30 8000 Moderate load, humid climate timber-shrub
163 TU3  D 1.1   0.15  0.25  0.65  1.1   1800 1600 1400 1.3  30 8000 Moderate load, humid climate timber-grass-shrub
164 TU4  S 4.5   0     0     0     2     2300 0    2000 0.5  12 8000 Dwarf conifer with understory
165 TU5  S 4     4     3     0     3     1500 0    750  1    25 8000 Very high load, dry climate timber-shrub
181 TL1  S 1     2.2   3.6   0     0     2000 0    0    0.2  30 8000 Low load, compact conifer litter
182 TL2  S 1.4   2.3   2.2   0     0     2000 0    0    0.2  25 8000 Low load broadleaf litter
183 TL3  S 0.5   2.2   2.8   0     0     2000 0    0    0.3  20 8000 Moderate load conifer litter
184 TL4  S 0.5   1.5   4.2   0     0     2000 0    0    0.4  25 8000 Small downed logs
185 TL5  S 1.15  2.5   4.4   0     0     2000 0    0    0.6  25 8000 High load conifer litter
186 TL6  S 2.4   1.2   1.2   0     0     2000 0    0    0.3  25 8000 Moderate load broadleaf litter
187 TL7  S 0.3   1.4   8.1   0     0     2000 0    0    0.4  25 8000 Large downed logs
188 TL8  S 5.8   1.4   1.1   0     0     1800 0    0    0.3  35 8000 Long-needle litter
189 TL9  S 6.65  3.3   4.15  0     0     1800 0    0    0.6  35 8000 Very high load broadleaf litter
201 SB1  S 1.5   3     11    0     0     2000 0    0    1    25 8000 Low load activity fuel
202 SB2  S 4.5   4.25  4     0     0     2000 0    0    1    25 8000 Moderate load activity fuel or low load blowdown
203 SB3  S 5.5   2.75  3     0     0     2000 0    0    1.2  25 8000 High load activity fuel or moderate load blowdown
204 SB4  S 5.25  3.5   5.25  0     0     2000 0    0    2.7  25 8000 High load blowdown
"""


def _read_table(table: str, system: Literal["FBFM13", "FBFM40"], load_to_lb_per_ft2: float) -> dict[int, FuelModel]:
    models = {}
    for line in table.strip().splitlines():
        code, symbol, kind, *numbers, name = line.split(maxsplit=14)
        h1, h10, h100, herb, woody, sav_1h, sav_herb, sav_woody, depth, extinction, heat = map(float, numbers)
        sav_10h, sav_100h = SAV_10H_PER_FT * (h10 > 0), SAV_100H_PER_FT * (h100 > 0)
        k = load_to_lb_per_ft2
        models[int(code)] = FuelModel(
            code=int(code),
            symbol=symbol,
            name=name,
            system=system,
            loads_lb_ft2=(h1 * k, h10 * k, h100 * k, herb * k, woody * k),
            savs_per_ft=(sav_1h, sav_10h, sav_100h, sav_herb, sav_woody),
            depth_ft=depth,
            extinction_pct=extinction,
            dead_heat_btu_lb=heat,
            live_heat_btu_lb=heat,
            dynamic=kind == "D",
        )
    return models


FUEL_MODELS: Mapping[int, FuelModel] = MappingProxyType(
    _read_table(_FBFM13_LB_PER_FT2, "FBFM13", 1.0)
    | _read_table(_FBFM40_TONS_PER_ACRE, "FBFM40", TONS_PER_ACRE_TO_LB_PER_FT2)
)
"""Every standard fuel model by its code, in order of code."""


def burnable(codes: npt.NDArray[np.integer], custom: Sequence[FuelModel] = ()) -> npt.NDArray[np.bool_]:
    """Say which cells carry a fuel model and so can burn.

    Parameters
    ----------
    codes : integer array of any shape, fuel model codes
    custom : fuel models beside the standard ones

    Returns
    -------
    bool array of the same shape; False for the nonburnable codes and for codes nobody knows
    """
    return np.isin(codes, np.array([*FUEL_MODELS, *(model.code for model in custom)], dtype=np.int16))


def unknown_codes(codes: npt.NDArray[np.integer], custom: Sequence[FuelModel] = ()) -> npt.NDArray[np.integer]:
    """Name the codes present that are neither a fuel model nor nonburnable.

    Parameters
    ----------
    codes : integer array of any shape, fuel model codes
    custom : fuel models beside the standard ones

    Returns
    -------
    sorted array of the codes, without repeats, of the dtype of `codes`
    """
    present = np.unique(codes)
    return present[~np.isin(present, np.array([*NONBURNABLE_CODES, *FUEL_MODELS, *(m.code for m in custom)], np.int16))]


def name_of(code: int, custom: Sequence[FuelModel] = ()) -> str:
    """Give a fuel model code the name a forester reads, such as "TL8 Long-needle litter"."""
    for model in custom:
        if model.code == code:
            return f"{model.symbol} {model.name}".strip()
    if code in FUEL_MODELS:
        return f"{FUEL_MODELS[code].symbol} {FUEL_MODELS[code].name}"
    if code in NONBURNABLE_CODES:
        return _NONBURNABLE_NAMES.get(code, "nonburnable")
    return f"unknown fuel model {code}"
