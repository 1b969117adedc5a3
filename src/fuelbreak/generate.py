"""Landscapes and seasons made by rules from a seed: to compare planners on and to learn from. Not for decisions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, slope_aspect
from fuelbreak.scenarios import Season, Weather, fire_season

F8 = npt.NDArray[np.float64]

CELL_SIZE_M = 30.0
LARGEST = 2000
WATER, ROCK, ROAD = 98, 99, 91
# Somewhere in UTM zone 11, so that GIS files can be written.
CRS, LEFT, TOP = "EPSG:32611", 600_000.0, 5_200_000.0


class _Region(NamedTuple):
    """Fuel models of Scott and Burgan (2005) from dry to moist ground, the share of each, and which have a canopy."""

    models: tuple[int, ...]
    shares: tuple[float, ...]
    timber: tuple[int, ...]


REGIONS = {
    "steppe": _Region((101, 102, 121, 122, 142), (0.2, 0.35, 0.2, 0.2, 0.05), ()),
    "chaparral": _Region((102, 122, 142, 147, 145), (0.2, 0.2, 0.15, 0.2, 0.25), ()),
    "dry conifer": _Region((102, 122, 161, 165, 188), (0.25, 0.2, 0.2, 0.2, 0.15), (161, 165, 188)),
    "moist conifer": _Region((104, 142, 164, 165, 183), (0.1, 0.1, 0.3, 0.3, 0.2), (164, 165, 183)),
    "woodland edge": _Region((101, 103, 121, 186, 161), (0.2, 0.25, 0.2, 0.15, 0.2), (186, 161)),
}


def _generator(seed: int, purpose: int, of: str) -> np.random.Generator:
    try:
        whole = int(seed)
    except (TypeError, ValueError, OverflowError):
        whole = -1
    if isinstance(seed, bool | np.bool_) or whole != seed or not 0 <= whole < 2**64:
        raise InputError(f"generated {of}: seed {seed!r}; give a whole number, 0 or more and below 2^64")
    # A word that no other draw is keyed by: that of the demo is the seed alone, those of fires end in a purpose.
    return np.random.Generator(np.random.Philox(key=np.array([whole, 2**32 + purpose], np.uint64)))


def generated_landscape(rows: int, cols: int, seed: int, *, buffer_cells: int = 0) -> Landscape:
    """Make a landscape by rules: terrain of noise, fuels of one of five regions, barriers, values at risk.

    Relief is anything from a plain to mountains. Fuels lie in patches, drier ones on slopes that face the sun and on
    ridges. Rivers follow valleys, roads cut across, both with gaps; lakes and rock fill some hollows; a few landscapes
    have no barrier at all. In about half of them all cells are worth 1, in the others settlements are worth up to 20.
    The same numbers give the same landscape, 30 m cells.

    Parameters
    ----------
    rows, cols : size of the area of interest, 4 to 2000
    seed : 0 or more
    buffer_cells : ring added around it on every side

    Raises
    ------
    InputError : another size or seed
    """
    sizes = rows, cols, buffer_cells
    whole = all(isinstance(size, int | np.integer) for size in sizes)
    if not whole or min(rows, cols) < 4 or buffer_cells < 0 or max(rows, cols) + 2 * buffer_cells > LARGEST:
        raise InputError(
            f"generated landscape: {rows} rows x {cols} columns with a buffer of {buffer_cells} cells cannot be made; "
            f"give 4 x 4 to {LARGEST} x {LARGEST} in all"
        )
    rng = _generator(seed, 0, "landscape")
    shape = rows + 2 * buffer_cells, cols + 2 * buffer_cells
    inside = np.zeros(shape, bool)
    inside[buffer_cells : buffer_cells + rows, buffer_cells : buffer_cells + cols] = True
    elevation = _terrain(rng, shape)
    slope, aspect = slope_aspect(elevation, CELL_SIZE_M)
    name = list(REGIONS)[int(rng.integers(len(REGIONS)))]
    region = REGIONS[name]
    dry = _dryness(rng, elevation, slope, aspect)
    fuel = _classes(rng, dry, region)
    barrier = _barriers(rng, elevation)
    fuel = np.where(barrier > 0, barrier, fuel)
    value = _values(rng, shape)
    fuel[shape[0] // 2, shape[1] // 2] = region.models[0]  # so that something in the area of interest burns
    timber = np.isin(fuel, region.timber)
    cover = np.clip(25 + 50 * _ranks(_noise(rng, shape, 2.5)) + 10 * rng.normal(size=shape), 10, 85)
    height = np.clip(6 + 18 * _ranks(_noise(rng, shape, 4.0)), 4, 30)
    return Landscape(
        fuel_model=fuel.astype(np.int16),
        elevation_m=elevation.astype(np.float32),
        slope_deg=slope,
        aspect_deg=aspect,
        canopy_cover_pct=np.where(timber, cover, 0).astype(np.float32),
        canopy_height_m=np.where(timber, height, 0).astype(np.float32),
        canopy_base_height_m=np.where(timber, 0.15 * height, 0).astype(np.float32),
        canopy_bulk_density_kg_m3=np.where(timber, 0.04 + 0.0015 * cover, 0).astype(np.float32),
        value=value.astype(np.float32),
        area_of_interest=inside,
        cell_size_m=CELL_SIZE_M,
        crs=Landscape.from_arrays(fuel_model=[[1]], crs=CRS).crs,
        transform=(CELL_SIZE_M, 0.0, LEFT, 0.0, -CELL_SIZE_M, TOP),
        label=f"generated {rows} x {cols}, seed {seed}: {name} (made by rules: not for decisions)",
    )


def generated_season(seed: int, *, weathers: int = 16) -> Season:
    """Make a fire season by rules: a design weather of its own, about which winds turn and gust.

    Wind of 10 to 40 km/h from anywhere; dead fuel moisture of 3 to 9 % (1-h), 1 and 3 points more for coarser fuel;
    live moisture between cured and green: 40 to 90 % herbaceous, 70 to 120 % woody.

    Raises
    ------
    InputError : no weather, or a seed that is no whole number from 0
    """
    if isinstance(weathers, bool) or not isinstance(weathers, int | np.integer) or weathers < 1:
        raise InputError(f"generated season: cannot make {weathers!r} weathers; give a whole number, 1 or more")
    rng = _generator(seed, 1, "season")
    dead = rng.uniform(3.0, 9.0)
    design = Weather(
        wind_speed_kmh=rng.uniform(10.0, 40.0),
        wind_from_deg=rng.uniform(0.0, 360.0),
        dead_1h_pct=dead,
        dead_10h_pct=dead + 1,
        dead_100h_pct=dead + 3,
        live_herb_pct=rng.uniform(40.0, 90.0),
        live_woody_pct=rng.uniform(70.0, 120.0),
        foliar_pct=rng.uniform(90.0, 110.0),
    )
    spread_deg, gusts = rng.uniform(15.0, 45.0), rng.uniform(0.15, 0.4)
    return Season(fire_season(design, weathers=weathers, direction_sd_deg=spread_deg, speed_cv=gusts))


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> F8:
    """Smooth noise whose features are so many cells wide (H, W), of variance 1."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.normal(size=shape), cells, mode="reflect")
    return np.asarray((field - field.mean()) / max(field.std(), 1e-12))


def _ranks(field: F8) -> F8:
    """Each cell's place among all by its number, 0 to 1 (H, W)."""
    ranks = np.empty(field.size)
    ranks[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size)
    return (ranks / max(1, field.size - 1)).reshape(field.shape)


def _terrain(rng: np.random.Generator, shape: tuple[int, int]) -> F8:
    """Elevation, m (H, W): noise of a power-law spectrum, folded into ridges or not, as steep as a region may be."""
    size = 1 << int(max(shape) * 1.5).bit_length()  # larger than the map, which the transform would wrap around
    row, col = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    frequency = np.maximum(np.hypot(row, col), 1 / 256)  # no swells longer than 8 km
    spectrum = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    field = np.fft.irfft2(spectrum * frequency ** -rng.uniform(1.7, 2.1), s=(size, size))[: shape[0], : shape[1]]
    field /= max(field.std(), 1e-12)
    if rng.random() < 0.5:
        field = -np.abs(field - field.mean())  # crests where the noise changes its sign
    wanted = float(rng.choice([rng.uniform(1, 4), rng.uniform(6, 14), rng.uniform(14, 26)]))  # mean slope, degrees
    steepness = np.hypot(*np.gradient(field, CELL_SIZE_M)).mean()
    field *= np.tan(np.radians(wanted)) / max(steepness, 1e-12)
    return np.asarray(np.round(np.clip(field - field.min() + rng.uniform(200, 1500), 0, 8000), 1))


def _dryness(
    rng: np.random.Generator, elevation: F8, slope: npt.NDArray[np.float32], aspect: npt.NDArray[np.float32]
) -> F8:
    """How dry the ground is (H, W), 0 to 1: patches of two sizes, slopes that face south, ridges."""
    shape = elevation.shape
    sunny = np.where(aspect >= 0, -np.cos(np.radians(aspect)), 0.0) * np.minimum(slope / 20, 1)
    field = _noise(rng, shape, rng.uniform(3, 8)) + rng.uniform(0.2, 0.7) * _noise(rng, shape, 1.2)
    field = field + rng.uniform(0.3, 1.0) * sunny + rng.uniform(0.0, 1.0) * (_ranks(elevation) - 0.5)
    return _ranks(field)


def _classes(rng: np.random.Generator, dry: F8, region: _Region) -> npt.NDArray[np.int64]:
    """Fuel model of each cell (H, W), the driest ground the first of the region."""
    shares = rng.dirichlet(np.array(region.shares) * 12)
    place = np.searchsorted(np.cumsum(shares)[:-1], 1 - dry, side="right")
    return np.array(region.models)[place]


def _barriers(rng: np.random.Generator, elevation: F8) -> npt.NDArray[np.int64]:
    """Water, rock and roads (H, W), 0 where there is none."""
    barrier = np.zeros(elevation.shape, np.int64)
    if rng.random() < 0.12:
        return barrier
    low, patches = _ranks(elevation), _noise(rng, elevation.shape, 2.5)
    filled = rng.uniform(0.0, 0.06)
    if rng.random() < 0.5:
        barrier[_ranks(patches - 1.5 * low) > 1 - filled] = WATER
    else:
        barrier[_ranks(patches + 0.8 * low) > 1 - filled] = ROCK
    for _ in range(int(rng.integers(0, 3))):
        _draw(rng, barrier, _way(rng, 6 * low), WATER)
    for _ in range(int(rng.integers(0, 3))):
        _draw(rng, barrier, _way(rng, 2 * _ranks(_noise(rng, elevation.shape, 6.0))), ROAD)
    return barrier


def _way(rng: np.random.Generator, cost: F8) -> npt.NDArray[np.int64]:
    """Cells of the cheapest way across the map, from one side to the one across (n, 2)."""
    turned = bool(rng.random() < 0.5)
    cost = np.exp(cost.T if turned else cost)
    total, came = cost[0].copy(), np.zeros(cost.shape, np.int64)
    cols = np.arange(cost.shape[1])
    for row in range(1, len(cost)):
        near = np.stack([np.roll(total, 1), total, np.roll(total, -1)])
        near[0, 0] = near[2, -1] = np.inf
        came[row] = cols + near.argmin(axis=0) - 1
        total = cost[row] + near.min(axis=0)
    at = int(np.argmin(total + rng.uniform(0, 0.5, len(total)) * total.min()))
    way = []
    for row in range(len(cost) - 1, -1, -1):
        way.append((at, row) if turned else (row, at))
        at = int(came[row, at])
    return np.array(way[::-1])


def _draw(rng: np.random.Generator, barrier: npt.NDArray[np.int64], way: npt.NDArray[np.int64], code: int) -> None:
    """Draw a way one or two cells wide, with gaps that fire may pass."""
    gap = np.zeros(len(way), bool)
    at = int(rng.integers(2, 12))
    while at < len(way):
        gap[at : at + int(rng.integers(1, 5))] = True
        at += int(rng.integers(8, 30))
    rows, cols = way[~gap].T  # cells that touch at corners are closed: fire does not pass between two of them
    barrier[rows, cols] = code
    if code == WATER and rng.random() < 0.4:
        barrier[rows, np.minimum(cols + 1, barrier.shape[1] - 1)] = code


def _values(rng: np.random.Generator, shape: tuple[int, int]) -> F8:
    """Loss of each cell when it burns (H, W)."""
    value = np.ones(shape)
    if rng.random() < 0.5:
        return value
    value *= float(rng.choice([1.0, 0.2]))
    row, col = np.indices(shape)
    for _ in range(int(rng.integers(1, 5))):
        middle, wide = rng.uniform(0.1, 0.9, 2) * shape, rng.uniform(0.03, 0.1) * max(shape)
        houses = rng.uniform(5, 20) * np.exp(-((row - middle[0]) ** 2 + (col - middle[1]) ** 2) / (2 * wide**2))
        value += np.where(rng.random(shape) < 0.7, houses, 0.0)
    return np.asarray(np.round(np.minimum(value, 20.0), 2))
