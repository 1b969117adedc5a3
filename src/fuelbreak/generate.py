"""Landscapes and seasons made by rules from a seed: to compare planners on and to learn from. Not for decisions."""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, slope_aspect
from fuelbreak.scenarios import Season, Weather, fire_season

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

CELL_SIZE_M = 30.0
LARGEST = 2000
WATER, ROCK, ROAD, FIELD = 98, 99, 91, 93
# Land is made with a ring this wide and then cut out, so that a buffer up to here changes nothing inside.
RING = 25
COARSE = 200  # nodes a side at most where ways are looked for
# Somewhere in UTM zone 11, so that GIS files can be written.
CRS, LEFT, TOP = "EPSG:32611", 600_000.0, 5_200_000.0


class _Region(NamedTuple):
    """What grows in a region: fuel models of Scott and Burgan (2005) from dry to moist ground.

    Of each its share and the mean canopy cover above it (%, 0 where no trees stand); where crowns begin, as a share of
    the trees' height; the crowns' bulk density at full cover (kg/m3).
    """

    models: tuple[int, ...]
    shares: tuple[float, ...]
    cover_pct: tuple[float, ...]
    crown_base: float
    full_density: float


REGIONS = {
    "steppe": _Region((101, 102, 104, 121, 122), (0.2, 0.3, 0.1, 0.2, 0.2), (0, 0, 0, 0, 0), 0, 0),
    "chaparral": _Region((102, 122, 145, 147, 142), (0.2, 0.2, 0.3, 0.2, 0.1), (0, 0, 0, 0, 15), 0.3, 0.1),
    "dry conifer": _Region((104, 102, 122, 165, 188), (0.15, 0.3, 0.2, 0.2, 0.15), (0, 18, 20, 45, 50), 0.2, 0.2),
    "boreal": _Region((102, 164, 165, 189, 103), (0.1, 0.3, 0.3, 0.2, 0.1), (0, 30, 45, 50, 0), 0.06, 0.35),
    "humid pine": _Region((104, 123, 163, 148, 188), (0.15, 0.25, 0.25, 0.15, 0.2), (0, 15, 35, 0, 50), 0.25, 0.2),
    "wildland-urban edge": _Region((101, 102, 122, 162, 189), (0.2, 0.3, 0.2, 0.15, 0.15), (0, 0, 0, 35, 50), 0.2, 0.2),
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
    """Make a landscape by rules: terrain of noise, fuels of one of six regions, barriers, values at risk.

    Relief is anything from a plain to mountains. Fuels lie in patches, drier ones on slopes that face the sun and on
    ridges. Rivers follow valleys, roads avoid steep ground, both with gaps; lakes, rock or fields fill some places; a
    few landscapes have no barrier at all. In about half of them all cells are worth 1, in the others settlements and
    some patches are worth up to 20. The same numbers give the same landscape, 30 m cells; a buffer of up to 25 cells
    shows more land around and changes nothing inside.

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
    whole = all(isinstance(size, int | np.integer) and not isinstance(size, bool) for size in sizes)
    if not whole or min(rows, cols) < 4 or buffer_cells < 0 or max(rows, cols) + 2 * buffer_cells > LARGEST:
        raise InputError(
            f"generated landscape: {rows} rows x {cols} columns with a buffer of {buffer_cells} cells cannot be made; "
            f"give 4 x 4 to {LARGEST} x {LARGEST} in all"
        )
    rng = _generator(seed, 0, "landscape")
    ring = max(RING, buffer_cells)
    inside = np.zeros((rows + 2 * ring, cols + 2 * ring), bool)
    inside[ring : ring + rows, ring : ring + cols] = True
    name = list(REGIONS)[int(rng.integers(len(REGIONS)))]
    region, elevation = REGIONS[name], _terrain(rng, inside.shape)
    elevation, barrier, town = _barriers(rng, elevation, inside, name == "wildland-urban edge")
    slope, aspect = slope_aspect(elevation, CELL_SIZE_M)
    belt = _belts(rng, elevation, barrier == WATER, region.shares)
    barrier, value = _settle(rng, barrier, town, inside)
    if np.count_nonzero(barrier[inside]) > 0.4 * rows * cols:
        barrier[:] = 0  # a river as wide as the map
    stand, age = _ranks(_noise(rng, inside.shape, 2.5)), _ranks(_noise(rng, inside.shape, 4.0))
    cover = np.array(region.cover_pct)[belt] * np.where(barrier > 0, 0, 0.6 + 0.8 * stand)
    height = np.where(cover > 0, 5 + 20 * age, 0)
    layers: dict[str, Any] = {
        "fuel_model": np.where(barrier > 0, barrier, np.array(region.models)[belt]),
        "elevation_m": elevation,
        "slope_deg": slope,
        "aspect_deg": aspect,
        "canopy_cover_pct": np.round(cover),
        "canopy_height_m": np.round(height, 1),
        "canopy_base_height_m": np.round(height * region.crown_base * (0.5 + stand), 1),
        "canopy_bulk_density_kg_m3": np.round(0.01 * cover * region.full_density, 2),
        "value": value,
        "area_of_interest": inside,
    }
    edge = ring - buffer_cells
    part = np.s_[edge : inside.shape[0] - edge, edge : inside.shape[1] - edge]
    left, top = LEFT - CELL_SIZE_M * buffer_cells, TOP + CELL_SIZE_M * buffer_cells
    return Landscape.from_arrays(
        **{layer: values[part] for layer, values in layers.items()},
        cell_size_m=CELL_SIZE_M,
        crs=CRS,
        transform=(CELL_SIZE_M, 0.0, left, 0.0, -CELL_SIZE_M, top),
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


def landscape_digest(landscape: Landscape) -> str:
    """Sixteen hex digits that name a landscape's fuels, terrain and values, the same on any machine.

    Last digits of floats are left out: elevation and value count in tenths.
    """
    content = hashlib.sha256(landscape.fuel_model.tobytes())
    for layer in (landscape.elevation_m, landscape.value):
        content.update(np.rint(10 * layer.astype(np.float64)).astype(np.int64).tobytes())
    return content.hexdigest()[:16]


def _noise(rng: np.random.Generator, shape: tuple[int, ...], cells: float) -> F8:
    """Smooth noise whose features are so many cells wide (H, W), of variance 1."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.normal(size=shape), cells, mode="reflect")
    return np.asarray((field - field.mean()) / max(field.std(), 1e-12))


def _ranks(field: F8) -> F8:
    """Each cell's place among all by its number, 0 to 1 (H, W)."""
    ranks = np.empty(field.size)
    ranks[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size)
    return (ranks / max(1, field.size - 1)).reshape(field.shape)


def _above_around(elevation: F8, cells: float) -> F8:
    """How high each cell stands above the land around it, in standard deviations (H, W)."""
    from scipy.ndimage import gaussian_filter

    height = elevation - gaussian_filter(elevation, cells, mode="nearest")
    return np.asarray(height / max(height.std(), 1e-12))


def _terrain(rng: np.random.Generator, shape: tuple[int, ...]) -> F8:
    """Elevation, m (H, W): hills of a power-law spectrum and ridges along the creases of another, as steep as drawn."""
    size = [1 << math.ceil(math.log2(side * 1.25)) for side in shape]  # the transform would wrap around the map's own
    row, col = np.meshgrid(np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1]), indexing="ij")
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 2.2)  # ranges run one way
    along = (np.cos(turn) * row + np.sin(turn) * col) * stretch
    across = np.cos(turn) * col - np.sin(turn) * row
    frequency = np.maximum(np.hypot(along, across), 1 / rng.uniform(50, 140))  # no swells longer than 1.5 to 4 km

    def swells(steep: float) -> F8:
        spectrum = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
        field = np.fft.irfft2(spectrum * frequency**-steep, s=size, axes=(0, 1))[: shape[0], : shape[1]]
        return np.asarray((field - field.mean()) / max(field.std(), 1e-12))

    # Amplitudes fall with the frequency to the power of 2 or so: of 1.5 a land is all gravel, of 3 all dunes.
    field = swells(rng.uniform(1.9, 2.4)) - rng.uniform(0.0, 2.0) * np.abs(swells(rng.uniform(2.2, 2.6)))
    wanted = float(rng.choice([rng.uniform(0.7, 3), rng.uniform(5, 12), rng.uniform(13, 24)]))  # mean slope, degrees
    steepness = np.hypot(*np.gradient(field, CELL_SIZE_M)).mean()
    field *= np.tan(np.radians(wanted)) / max(steepness, 1e-12)
    return np.asarray(np.round(np.clip(field - field.min() + rng.uniform(200, 1500), 0, 8000), 1))


def _ways(rng: np.random.Generator, cost: F8, root: I8, sources: int) -> list[I8]:
    """Cheapest ways to a root cell from cells on the map's sides, each up to where it joins another: (n, 2) each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    step = math.ceil(max(cost.shape) / COARSE)
    coarse = cost[::step, ::step]
    node, width = np.arange(coarse.size).reshape(coarse.shape), coarse.shape[1]
    edges = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = node[: len(node) - down, max(0, -right) : width - max(0, right)].ravel()
        two = one + down * width + right
        edges.append((math.hypot(down, right) * (coarse.flat[one] + coarse.flat[two]), one, two))
    length, ones, twos = (np.concatenate(part) for part in zip(*edges, strict=True))
    graph = coo_array((length, (ones, twos)), shape=(coarse.size, coarse.size)).tocsr()
    first = int(node[root[0] // step, root[1] // step])
    toward = dijkstra(graph, directed=False, indices=first, return_predecessors=True)[1]
    sides = [node[0], node[:, -1], node[-1], node[:, 0]]
    start, met, ways = int(rng.integers(4)), {first}, []
    for side in (sides[(start + turn) % 4] for turn in (0, 2, 1, 3)[:sources]):
        some = rng.choice(side, 5)
        at = int(some[np.argmin(coarse.flat[some])])  # a valley's mouth, or where the ground is even
        way = [at]
        while at not in met:
            met.add(at)
            at = int(toward[at])
            way.append(at)
        corners = np.stack(np.divmod(np.array(way), width), axis=1) * step
        between = corners[:-1, None] + np.diff(corners, axis=0)[:, None] * np.arange(step)[:, None] // step
        ways.append(np.concatenate([between.reshape(-1, 2), corners[-1:]]))
    return ways


def _draw(rng: np.random.Generator, barrier: I8, way: I8, code: int, wide: bool) -> None:
    """Draw a way one or two cells wide, with gaps that fire may pass."""
    gap = np.zeros(len(way), bool)
    at = int(rng.integers(2, 15))
    while at < len(way):
        gap[at : at + int(rng.integers(1, 5))] = True
        at += int(rng.integers(8, 25))
    rows, cols = way[~gap].T  # cells that touch at corners are closed: fire does not pass between two of them
    barrier[rows, cols] = code
    if wide:
        barrier[rows, np.minimum(cols + 1, barrier.shape[1] - 1)] = code


def _barriers(
    rng: np.random.Generator, elevation: F8, inside: npt.NDArray[np.bool_], farmed: bool
) -> tuple[F8, I8, I8 | None]:
    """Terrain with deeper valleys (H, W); water, rock, fields and roads, 0 where none (H, W); where roads meet."""
    from scipy.ndimage import distance_transform_edt

    barrier = np.zeros(elevation.shape, np.int64)
    if rng.random() < 0.15:
        return elevation, barrier, None
    wanted, size = rng.uniform(0.025, 0.095), int(inside.sum())
    some = rng.choice(np.argwhere(inside), 8)
    if rng.random() < 0.65:
        low = _ranks(elevation) + 0.15 * _noise(rng, elevation.shape, 3.0)
        root = some[np.argmin(low[tuple(some.T)])]
        wide = bool(rng.random() < 0.4)
        ways = _ways(rng, np.exp(7 * low), root, int(rng.integers(2, 5)))
        river = np.zeros(elevation.shape, bool)
        river[tuple(np.concatenate(ways).T)] = True
        valley = np.exp(-distance_transform_edt(~river) / rng.uniform(3, 8))
        elevation = np.round(np.maximum(elevation - rng.uniform(0.2, 0.8) * elevation.std() * valley, 0), 1)
        for i, way in enumerate(ways):
            _draw(rng, barrier, way, WATER, wide and i < 2)
    slope = slope_aspect(elevation, CELL_SIZE_M)[0]
    town = None
    if rng.random() < 0.65 and np.count_nonzero(barrier[inside]) < wanted * size:
        town = some[np.argmin(slope[tuple(some.T)])]
        cost = 1 + slope / 4 + 4 * _ranks(_noise(rng, elevation.shape, 5.0)) + 6 * (barrier > 0)
        for way in _ways(rng, cost, town, int(rng.integers(2, 4))):
            _draw(rng, barrier, way, ROAD, False)
    kind = FIELD if farmed else int(rng.choice([WATER, ROCK]))
    above, patch = _above_around(elevation, 6.0), _noise(rng, elevation.shape, 2.0)
    if kind == FIELD:  # blocks along the grid, on even ground
        side = int(rng.integers(4, 8))
        blocks = rng.normal(size=(elevation.shape[0] // side + 1, elevation.shape[1] // side + 1))
        likely = np.kron(blocks, np.ones((side, side)))[: elevation.shape[0], : elevation.shape[1]] - slope / 8
    else:
        likely = 0.8 * patch + (0.05 * slope + 0.7 * above if kind == ROCK else -above - slope / 6)
    left = wanted - np.count_nonzero(barrier[inside]) / size
    if left > 0:
        barrier[(likely > np.quantile(likely[inside], 1 - left)) & (barrier == 0)] = kind
    return elevation, barrier, town


def _belts(rng: np.random.Generator, elevation: F8, water: npt.NDArray[np.bool_], shares: tuple[float, ...]) -> I8:
    """Which of a region's fuels grows in each cell (H, W), by how dry the ground is: 0 on the driest.

    Patches of two sizes, slopes that face south, ridges, the height; banks of rivers and lakes are moist.
    """
    from scipy.ndimage import gaussian_filter

    shape = elevation.shape
    slope, aspect = slope_aspect(elevation, CELL_SIZE_M)
    sunny = np.where(aspect >= 0, -np.cos(np.radians(aspect)), 0.0) * np.minimum(slope / 15, 1)
    patches = np.exp(rng.uniform(1.0, math.log(max(9.0, min(shape) / 8))))  # small ones in one land, wide in another
    dry = _noise(rng, shape, patches) + rng.uniform(0.15, 0.5) * _noise(rng, shape, 1.2)
    dry = dry + rng.uniform(0.3, 1.2) * sunny + rng.uniform(0.0, 0.5) * _above_around(elevation, 6.0)
    dry = dry + rng.uniform(0.0, 1.5) * (_ranks(elevation) - 0.5) - 4 * gaussian_filter(water.astype(float), 2.0)
    upto = np.cumsum(rng.dirichlet(np.array(shares) * 12))[:-1]
    return np.asarray(np.searchsorted(upto, 1 - _ranks(dry), side="right"))


def _settle(
    rng: np.random.Generator, barrier: I8, town: I8 | None, inside: npt.NDArray[np.bool_]
) -> tuple[I8, npt.NDArray[np.float32]]:
    """Barriers with paved ground, and each cell's loss when it burns (H, W): houses near roads, patches of worth."""
    from scipy.ndimage import distance_transform_edt

    value = np.ones(barrier.shape)
    if rng.random() < 0.5:
        return barrier, value.astype(np.float32)
    value *= float(rng.choice([1.0, 0.2]))
    places = np.argwhere(inside)
    near_road = 0.0 if town is None else np.exp(-distance_transform_edt(barrier != ROAD) / 4)
    row, col = np.indices(barrier.shape)
    across = math.sqrt(inside.sum())
    for i in range(int(rng.integers(1, 5))):
        middle = town if i == 0 and town is not None else places[rng.integers(len(places))]
        wide = max(1.0, rng.uniform(0.04, 0.11) * across)
        crowd = np.exp(-((row - middle[0]) ** 2 + (col - middle[1]) ** 2) / (2 * wide**2)) * (0.6 + 0.4 * near_road)
        built = crowd * rng.uniform(0.6, 1.4) + 0.12 * _noise(rng, barrier.shape, 0.8) > 0.3
        value = np.where(built, np.maximum(value, rng.uniform(6, 20) * np.clip(crowd, 0.25, 1)), value)
        barrier = np.where(built & (crowd > 0.5) & (rng.random(barrier.shape) < 0.12), ROAD, barrier)
    for _ in range(int(rng.integers(0, 3))):
        middle, wide = places[rng.integers(len(places))], max(1.0, rng.uniform(0.04, 0.09) * across)
        blob = ((row - middle[0]) ** 2 + (col - middle[1]) ** 2) / wide**2 + 0.5 * _noise(rng, barrier.shape, 2.0)
        value = np.where(blob < 1, np.maximum(value, rng.uniform(3, 10)), value)
    return barrier, np.round(np.minimum(value, 20.0), 1).astype(np.float32)
