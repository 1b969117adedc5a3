"""Rasters and vectors: files to plain arrays and headers, and back. Nothing else here touches GIS libraries."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fuelbreak.errors import InputError

Window = tuple[int, int, int, int]  # first row, first column, rows, columns
Transform = tuple[float, float, float, float, float, float]  # x = a col + b row + c, y = d col + e row + f

# FlamMap's order of bands; the last three may be missing together.
BAND_ORDER = (
    "elevation_m",
    "slope_deg",
    "aspect_deg",
    "fuel_model",
    "canopy_cover_pct",
    "canopy_height_m",
    "canopy_base_height_m",
    "canopy_bulk_density_kg_m3",
)
REQUIRED_BANDS = 5

# How layers are called in LANDFIRE file names and band descriptions, by FlamMap, and in plain words. The more special
# name comes first: what matched it is not looked at again.
_LAYER_NAMES = {
    "fbfm40": r"F40|FBFM ?40|FUEL ?MODELS? ?40",
    "fbfm13": r"F13|FBFM ?13|FUEL ?MODELS? ?13",
    "fuel_model": r"FUEL ?MODELS?|FUELS?|FBFM",
    "slope_pct": r"SLPP|SLOPE ?(?:P|PCT|PERCENT)",
    "slope_deg": r"SLPD|SLP|SLOPE(?: ?D| ?DEG| ?DEGREES)?",
    "elevation_m": r"ELEV|ELEVATION|DEM",
    "aspect_deg": r"ASP|ASPECT",
    "canopy_base_height_m": r"CBH|CANOPY BASE HEIGHT",
    "canopy_bulk_density_kg_m3": r"CBD|CANOPY BULK DENSITY",
    "canopy_height_m": r"CH|CANOPY HEIGHT",
    "canopy_cover_pct": r"CC|CANOPY COVER",
}
_NICE_NAMES = {
    "fuel_model": "fuel model (F40 or F13)",
    "elevation_m": "elevation (Elev)",
    "slope_deg": "slope (SlpD or SlpP)",
    "aspect_deg": "aspect (Asp)",
    "canopy_cover_pct": "canopy cover (CC)",
    "canopy_height_m": "canopy height (CH)",
    "canopy_base_height_m": "canopy base height (CBH)",
    "canopy_bulk_density_kg_m3": "canopy bulk density (CBD)",
}

# LANDFIRE stores whole numbers: heights in meters x 10, bulk density in kg/m3 x 100 (landfire.gov, canopy fuel layers).
_LANDFIRE_SCALE = {"canopy_height_m": 0.1, "canopy_base_height_m": 0.1, "canopy_bulk_density_kg_m3": 0.01}

# The tag that names the unit of a band, and its names, as GDAL's LCP driver gives them.
_UNIT_TAGS = {
    "elevation_m": "ELEVATION_UNIT_NAME",
    "slope_deg": "SLOPE_UNIT_NAME",
    "aspect_deg": "ASPECT_UNIT_NAME",
    "canopy_cover_pct": "CANOPY_COV_UNIT_NAME",
    "canopy_height_m": "CANOPY_HT_UNIT_NAME",
    "canopy_base_height_m": "CBH_UNIT_NAME",
    "canopy_bulk_density_kg_m3": "CBD_UNIT_NAME",
}
_KG_M3_PER_LB_FT3 = 16.01846337
_UNIT_SCALES = {
    "elevation_m": {"Meters": 1.0, "Feet": 0.3048},
    "slope_deg": {"Degrees": 1.0, "Percent": 1.0},
    "aspect_deg": {"Azimuth degrees": 1.0},
    "canopy_cover_pct": {"Percent": 1.0},
    "canopy_height_m": {"Meters": 1.0, "Feet": 0.3048, "Meters x 10": 0.1, "Feet x 10": 0.03048},
    "canopy_base_height_m": {"Meters": 1.0, "Feet": 0.3048, "Meters x 10": 0.1, "Feet x 10": 0.03048},
    "canopy_bulk_density_kg_m3": {
        "kg/m^3": 1.0,
        "kg/m^3 x 100": 0.01,
        "lb/ft^3": _KG_M3_PER_LB_FT3,
        "lb/ft^3 x 1000": _KG_M3_PER_LB_FT3 / 1000,
    },
}

NODATA = -9999
# Multi-band landscapes use -9999, LANDFIRE's single layers 32767, older products -32768; not all of them declare it.
_NODATA_VALUES = (-9999, 32767, -32768)
# What rasters of whole numbers hold, and what their cells should say; 32767 is a number there as any other.
_CODES = {
    "fuel breaks": "give 1 for a fuel break (or its order of building) and 0 elsewhere",
    "treatment units": "give each cell the number of its unit, and 0 elsewhere",
}
VECTOR_FILES = (".gpkg", ".geojson", ".json", ".shp", ".fgb")


class RasterHeader(NamedTuple):
    """Where a raster lies, and what was found while reading it.

    Attributes
    ----------
    shape : rows and columns of the part that was read
    cell_size_m : side of a cell
    crs : WKT, or None
    transform : (a, b, c, d, e, f) of the part that was read: x = a col + b row + c, y = d col + e row + f
    raster_shape, origin : rows and columns of the whole raster, and the first row and column that were read
    notes : what the user should know, one sentence each
    """

    shape: tuple[int, int]
    cell_size_m: float
    crs: str | None
    transform: Transform
    raster_shape: tuple[int, int]
    origin: tuple[int, int]
    notes: tuple[str, ...]


class LandscapeRaster(NamedTuple):
    """The layers of a landscape as read, none with a gap, and where they had one.

    Attributes
    ----------
    layers : (H, W) by name, in SI units: fuel_model int16, the rest float32; no data is 0 (aspect: -1, flat)
    gaps : (H, W) bool by name, where a layer holds no data; only layers that have such cells
    header : where the raster lies
    """

    layers: dict[str, npt.NDArray[Any]]
    gaps: dict[str, npt.NDArray[np.bool_]]
    header: RasterHeader


class _Source(NamedTuple):
    """One band of one file that holds a layer, and what to call it in a message."""

    path: Path
    band: int
    slope_is_percent: bool = False


def read_landscape(
    path: str | os.PathLike[str], fuel_model: str = "fbfm40", window: Window | None = None
) -> LandscapeRaster:
    """Read a landscape from a multi-band raster or from a folder of single layers.

    A GeoTIFF of 8 bands (or the first 5) or an .lcp is read by its band descriptions if it has them, as LANDFIRE's
    product service writes them, else in FlamMap's order. In a folder each .tif or .asc is recognised by its name:
    Elev, SlpD or SlpP (percent), Asp, F40 or F13, CC, CH, CBH, CBD, or in words like fuel_model.tif. Canopy height
    and base height are stored as meters x 10 and bulk density as kg/m3 x 100, unless unit tags say otherwise.

    No data is -9999, 32767, -32768, what the file declares, and anything not finite.

    Parameters
    ----------
    fuel_model : 'fbfm40' or 'fbfm13', which fuel layer to take where both are there
    window : (first row, first column, rows, columns); only its part inside the raster is read

    Raises
    ------
    InputError : missing, unreadable or truncated files, layers on different grids, missing layers, cells
        that are not square meters on a plane
    """
    if fuel_model not in ("fbfm40", "fbfm13"):
        raise InputError(f"fuel model system {fuel_model!r} is not known; give fbfm40 or fbfm13")
    place = Path(path)
    if not place.exists():
        raise InputError(f"{place}: no such file or folder; give a landscape raster or a folder of layers")
    sources, notes = _sources_in_folder(place, fuel_model) if place.is_dir() else _sources_in_file(place, fuel_model)

    first: Path | None = None
    header: RasterHeader | None = None
    layers: dict[str, npt.NDArray[Any]] = {}
    gaps: dict[str, npt.NDArray[np.bool_]] = {}
    for layer in BAND_ORDER:
        if layer not in sources:
            continue
        source = sources[layer]
        with _opened(source.path) as dataset:
            here = _header(dataset, source.path, window)
            if header is None or first is None:
                header, first = here, source.path
            _refuse_other_grid(header, first, here, source.path)
            stored, holes = _read_band(dataset, source, layer, here)
            if layer == "fuel_model":
                layers[layer] = _as_fuel(stored, holes, source, here)
            else:
                layers[layer] = _in_si(stored, holes, layer, source, dataset.tags(source.band), here)
            if layer == "aspect_deg":
                layers[layer][holes] = -1
                # gdaldem writes no data as the aspect of flat ground.
                holes &= (layers["slope_deg"] > 0) | gaps.get("slope_deg", np.False_)
            if holes.any():
                gaps[layer] = holes
    assert header is not None  # _sources_in_... refuse when a required layer is absent
    for layer in BAND_ORDER[REQUIRED_BANDS:]:
        layers.setdefault(layer, np.zeros(header.shape, np.float32))
    return LandscapeRaster(layers, gaps, header._replace(notes=tuple(notes)))


def read_break_raster(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.int32], RasterHeader]:
    """Read fuel breaks from a single-band raster: nonzero whole numbers are breaks, 0 and no data are not.

    Returns
    -------
    (H, W) int32, values as in the file (1 everywhere, or the order of building), and the header
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: no such file; give a raster of fuel breaks")
    with _opened(place) as dataset:
        _refuse_bands(dataset, place, "fuel breaks")
        header = _header(dataset, place, None)
        return _read_whole_numbers(dataset, place, "fuel breaks", header), header


def read_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the tags of a raster file, such as `write_raster` gave it."""
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: no such file; give a raster")
    with _opened(place) as dataset:
        return dict(dataset.tags())


def write_raster(
    path: str | os.PathLike[str],
    array: npt.NDArray[Any],
    *,
    crs: str | None,
    transform: Transform | None,
    nodata: float | None = None,
    tags: Mapping[str, object] | None = None,
    description: str | Sequence[str] = "",
) -> None:
    """Write an (H, W) array, or several (bands, H, W), as a compressed GeoTIFF, whole or not at all.

    Parameters
    ----------
    array : whole numbers and bool become int16, everything else float32; a value that is not finite is written as
        no data (`nodata`, or -9999 where none is given)
    crs : WKT or 'EPSG:...'
    transform : (a, b, c, d, e, f)
    tags, description : of the file, and of its one band or of each

    Raises
    ------
    InputError : no coordinate reference system, values that do not fit, a place that cannot be written to
    """
    import rasterio
    from rasterio.crs import CRS
    from rasterio.transform import Affine

    place = Path(path)
    wkt, grid = _checked_georeference(place, crs, transform)
    given = np.asarray(array)
    if given.ndim not in (2, 3) or given.dtype.kind not in "biuf":
        raise InputError(f"{place}: cannot write an array of shape {given.shape} as a raster; give rows x columns")
    given = given.reshape(-1, *given.shape[-2:])
    descriptions = [description] if isinstance(description, str) else list(description)
    if given.dtype.kind == "f":
        finite = np.isfinite(given)
        if not finite.all() and nodata is None:
            nodata = NODATA
        out = np.where(finite, given, NODATA if nodata is None else nodata).astype(np.float32)
    else:
        if given.size and (given.max() > 32767 or given.min() < -32768):
            raise InputError(f"{place}: whole numbers beyond 32767 do not fit an int16 raster; write them as float32")
        out = given.astype(np.int16)
    with (
        atomic_path(place) as temporary,
        rasterio.Env(GDAL_PAM_ENABLED="NO"),
        rasterio.open(
            temporary,
            "w",
            driver="GTiff",
            height=out.shape[1],
            width=out.shape[2],
            count=len(out),
            dtype=out.dtype.name,
            crs=CRS.from_wkt(wkt),
            transform=Affine(*grid),
            nodata=nodata,
            compress="deflate",
            BIGTIFF="IF_SAFER",
        ) as dataset,
    ):
        dataset.write(out)
        for band, text in enumerate(descriptions, 1):
            if text:
                dataset.set_band_description(band, text)
        dataset.update_tags(**{key: str(value) for key, value in (tags or {}).items()})


def write_breaks(
    path: str | os.PathLike[str],
    cells: npt.NDArray[np.integer],
    fields: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    crs: str | None,
    transform: Transform | None,
    tags: Mapping[str, object] | None = None,
) -> None:
    """Write fuel breaks as a GeoPackage with one square polygon per treated cell, whole or not at all.

    Parameters
    ----------
    path : the .gpkg to write; its layer is called `breaks`
    cells : (n, 2) row and column of each cell, in order of building
    fields : further columns by name, (n,) each; `rank` (1 is built first) and `area_ha` are always there
    crs, transform, tags : as in `write_raster`
    """
    import shapely

    place = Path(path)
    wkt, grid = _checked_georeference(place, crs, transform)
    row_col = np.asarray(cells).reshape(-1, 2)
    columns: dict[str, npt.NDArray[Any]] = {
        "rank": np.arange(1, len(row_col) + 1),
        "area_ha": np.full(len(row_col), abs(grid[0] * grid[4] - grid[1] * grid[3]) / 10_000),
    }
    for name, values in (fields or {}).items():
        column = np.asarray(values)
        if column.shape != (len(row_col),):
            raise InputError(
                f"{place}: column {name} has shape {column.shape}; give one value for each of the {len(row_col)} breaks"
            )
        columns[name] = column
    corners = row_col[:, None] + np.array([(0, 0), (1, 0), (1, 1), (0, 1)])  # counterclockwise from the upper left
    squares = shapely.polygons(np.stack(_coordinates(grid, corners[..., 0], corners[..., 1]), axis=-1))
    told = {key: str(value) for key, value in (tags or {}).items()}
    _write_layer(place, "breaks", "Polygon", squares, columns, wkt, told)


class FireSet(NamedTuple):
    """Fires as `write_fire_set` saves them, to be burned again; S fires.

    Attributes
    ----------
    row_col : (S, 2) int64 of the ignitions, in the grid they are read for, inside it or not
    weather_index : (S,) or (S, P) int32, weather of the bank, in each period if there are several
    duration_min, weight, number : (S,)
    origin, period_min : as in `Fires`
    weathers : digest of the bank of weathers
    """

    row_col: npt.NDArray[np.int64]
    weather_index: npt.NDArray[np.int32]
    duration_min: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float64]
    number: npt.NDArray[np.int64]
    origin: str
    period_min: float
    weathers: str


def write_fire_set(
    path: str | os.PathLike[str],
    fires: FireSet,
    fields: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    crs: str | None,
    transform: Transform | None,
    tags: Mapping[str, object] | None = None,
) -> None:
    """Write fires as a GeoPackage of points, one at the center of each cell that ignites, whole or not at all.

    Parameters
    ----------
    path : the .gpkg to write; its layer is called `ignitions`
    fields : further columns by name, (S,) each
    crs, transform, tags : as in `write_raster`
    """
    import shapely

    place = Path(path)
    wkt, grid = _checked_georeference(place, crs, transform)
    index = fires.weather_index.reshape(len(fires.row_col), -1)
    columns = {
        "fire": fires.number,
        "row": fires.row_col[:, 0],
        "col": fires.row_col[:, 1],
        "weathers": np.array([",".join(map(str, row)) for row in index.tolist()], object),
        "duration_min": fires.duration_min.astype(np.float64),
        "weight": fires.weight,
        **(fields or {}),
    }
    points = shapely.points(*_coordinates(grid, *(fires.row_col.T + 0.5)))
    told = {key: str(value) for key, value in (tags or {}).items()}
    told |= {_ORIGIN: fires.origin, _PERIOD: repr(float(fires.period_min)), _WEATHERS: fires.weathers}
    _write_layer(place, "ignitions", "Point", points, columns, wkt, told)


_ORIGIN, _PERIOD, _WEATHERS = "FUELBREAK_ORIGIN", "FUELBREAK_PERIOD_MIN", "FUELBREAK_WEATHERS"


def read_vector_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the tags of a vector file, such as `write_fire_set` gave it."""
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: no such file; give a GeoPackage, GeoJSON or shapefile")
    try:
        return dict(pyogrio.read_info(place, layer=0).get("dataset_metadata") or {})
    except (DataSourceError, DataLayerError) as error:
        raise InputError(f"{place}: is no readable vector file ({error}); give a GeoPackage or GeoJSON") from None


def read_fire_set(path: str | os.PathLike[str], *, crs: str | None, transform: Transform | None) -> FireSet:
    """Read fires as `write_fire_set` saved them, on the grid of a landscape.

    Raises
    ------
    InputError : no such file, or not one of these
    """
    place = Path(path)
    wkt, grid = _checked_georeference(place, crs, transform)
    told, points, columns = _read_vectors(place, wkt)
    wanted = ("fire", "weathers", "duration_min", "weight")
    if _WEATHERS not in told or any(name not in columns for name in wanted) or not len(points):
        raise InputError(f"{place}: is no set of fires saved by fuelbreak simulate --out; give its fires.gpkg")
    texts = [str(text).split(",") for text in columns["weathers"]]
    try:
        index = np.array([[int(part) for part in text] for text in texts], np.int32)
        period = float(told[_PERIOD])
        numbers = np.array([columns[name] for name in ("fire", "duration_min", "weight")], np.float64)
        if not np.isfinite(numbers[[0, 2]]).all() or np.isnan(numbers).any() or any(p is None for p in points):
            raise ValueError
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{place}: its columns, points or tags were changed; save the fires again") from None
    return FireSet(
        _cells_of(grid, points),
        index[:, 0] if index.shape[1] == 1 else index,
        columns["duration_min"].astype(np.float32),
        columns["weight"].astype(np.float64),
        columns["fire"].astype(np.int64),
        told.get(_ORIGIN, "given"),
        period,
        told[_WEATHERS],
    )


def write_perimeters(
    path: str | os.PathLike[str],
    burned: Iterable[npt.NDArray[np.bool_]],
    fields: Mapping[str, npt.NDArray[Any]],
    *,
    crs: str | None,
    transform: Transform | None,
) -> None:
    """Write the perimeters of fires as a GeoPackage, a multipolygon for each fire, whole or not at all.

    Parameters
    ----------
    path : the .gpkg to write; its layer is called `perimeters`
    burned : (H, W) bool of each fire
    fields : columns by name, one value for each fire
    crs, transform : as in `write_raster`
    """
    import shapely
    from rasterio.features import shapes
    from rasterio.transform import Affine

    place = Path(path)
    wkt, grid = _checked_georeference(place, crs, transform)
    outlines = []
    for cells in burned:
        parts = shapes(cells.astype(np.uint8), mask=cells, connectivity=4, transform=Affine(*grid))
        outlines.append(shapely.MultiPolygon([shapely.geometry.shape(part) for part, _ in parts]))
    _write_layer(place, "perimeters", "MultiPolygon", np.array(outlines, object), fields, wkt)


def _coordinates(transform: Transform, row: npt.NDArray[Any], col: npt.NDArray[Any]) -> tuple[Any, Any]:
    a, b, c, d, e, f = transform
    return a * col + b * row + c, d * col + e * row + f


def _cells_of(transform: Transform, points: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Row and column of the cell that each point lies in (n, 2), inside the grid or not."""
    import shapely

    a, b, c, d, e, f = transform
    x, y = shapely.get_x(points) - c, shapely.get_y(points) - f
    area = a * e - b * d
    row_col = np.stack([(a * y - d * x) / area, (e * x - b * y) / area], axis=-1)
    return np.asarray(np.floor(np.clip(row_col, -1, 2**31)), np.int64)


def _write_layer(
    place: Path,
    layer: str,
    kind: str,
    geometry: npt.NDArray[Any],
    columns: Mapping[str, npt.NDArray[Any]],
    wkt: str,
    told: Mapping[str, str] | None = None,
) -> None:
    """Write geometries with their columns as the one layer of a GeoPackage."""
    import pyogrio.raw
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    values = [column.astype(object) if column.dtype.kind in "UO" else column for column in columns.values()]
    with atomic_path(place) as temporary:
        try:
            pyogrio.raw.write(
                str(temporary),
                np.array(shapely.to_wkb(geometry), object),
                values,
                list(columns),
                layer=layer,
                driver="GPKG",
                geometry_type=kind,
                crs=wkt,
                dataset_metadata=dict(told) if told else None,
            )
        except (DataSourceError, DataLayerError) as error:
            raise OSError(str(error)) from error


# ---------------------------------------------------------------------------------------------------------------------
# What is brought onto a landscape's grid.


class Places(NamedTuple):
    """Points and polygons on the grid of a landscape.

    Attributes
    ----------
    cells : (n, 2) int64 row and column of each point inside the grid
    columns : (n,) by name, of those points
    outside : how many points lie outside
    covered : (H, W) bool, cells whose center lies in a polygon, or that hold one smaller than a cell; None where the
        file has no polygon
    """

    cells: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[Any]]
    outside: int
    covered: npt.NDArray[np.bool_] | None


def read_places(
    path: str | os.PathLike[str], *, crs: str | None, transform: Transform | None, shape: tuple[int, int]
) -> Places:
    """Read points and polygons from a vector file (GeoPackage, GeoJSON, shapefile) onto a landscape's grid.

    Coordinates of another system are transformed. Of a file with several layers the first is read.

    Raises
    ------
    InputError : not readable, no coordinate system, lines, nothing on the grid
    """
    import shapely
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    place = Path(path)
    wkt, grid = _checked_georeference(place, crs, transform)
    _, geometry, columns = _read_vectors(place, wkt)
    parts, owner, kind = _parts(place, geometry, (0, 3), "points or polygons")
    cells = _cells_of(grid, parts[kind == 0])
    inside = ((cells >= 0) & (cells < shape)).all(axis=1)
    covered = None
    if (kind == 3).any():
        areas = parts[kind == 3]
        covered = rasterize(areas, out_shape=shape, transform=Affine(*grid), dtype=np.uint8).astype(bool)
        # One smaller than a cell may hold no cell's center, and counts for the cell it lies in all the same.
        small = areas[shapely.area(areas) < abs(grid[0] * grid[4])]
        for row, col in _cells_of(grid, shapely.point_on_surface(small)).tolist():
            if 0 <= row < shape[0] and 0 <= col < shape[1]:
                covered[row, col] = True
    if not inside.any() and (covered is None or not covered.any()):
        raise InputError(f"{place}: none of its {len(parts)} points and polygons lies on the map; give those that do")
    kept = {name: values[owner[kind == 0][inside]] for name, values in columns.items()}
    return Places(cells[inside], kept, int((~inside).sum()), covered)


def _parts(
    place: Path, geometry: npt.NDArray[Any], kinds: Sequence[int], wanted: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The single parts of geometries, which geometry each is of, and its kind (0 point, 1 line, 3 polygon)."""
    import shapely

    keep = np.flatnonzero([each is not None and not each.is_empty for each in geometry])
    parts, owner = shapely.get_parts(geometry[keep], return_index=True)
    parts, piece = shapely.get_parts(parts, return_index=True)  # a collection may hold what has parts again
    kind = shapely.get_type_id(parts)
    other = ~np.isin(kind, kinds)
    if other.any():
        raise InputError(f"{place}: holds a {parts[other][0].geom_type}; give {wanted}")
    return parts, keep[owner[piece]], kind


def _read_vectors(
    place: Path, wkt: str, *, layer: str | None = None, reproject: bool = True
) -> tuple[dict[str, str], npt.NDArray[Any], dict[str, npt.NDArray[Any]]]:
    """Tags, geometries in the coordinate system `wkt`, and columns of a vector file's layer of that name or its first.

    Another coordinate system is refused unless `reproject`.
    """
    import pyogrio.raw
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError
    from rasterio.crs import CRS

    told = read_vector_tags(place)
    try:
        layers = pyogrio.list_layers(place)[:, 0].tolist()
        first = layers[0] if layers else None
        meta, _, geometry, values = pyogrio.raw.read(place, layer=layer if layer in layers else first)
        geometry = shapely.from_wkb(geometry)
    except (DataSourceError, DataLayerError, shapely.errors.ShapelyError) as error:
        raise InputError(f"{place}: is no readable vector file ({error}); give a GeoPackage or GeoJSON") from None
    if meta["crs"] is None:
        raise InputError(f"{place}: has no coordinate system; give it one with ogr2ogr -a_srs")
    theirs = CRS.from_user_input(meta["crs"])
    if theirs != CRS.from_wkt(wkt):
        if not reproject:
            _refuse_other_crs(place, theirs.to_wkt(), wkt)

        def moved(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            if theirs.is_geographic and (np.abs(xy) > (360, 90)).any():
                raise InputError(
                    f"{place}: {xy[(np.abs(xy) > (360, 90)).any(axis=1)][0]} is no longitude and latitude; name the "
                    "system that its coordinates are in with ogr2ogr -a_srs"
                )
            return _moved(place, theirs.to_wkt(), wkt, xy)

        geometry = shapely.transform(geometry, moved)
    return told, np.atleast_1d(geometry), dict(zip(meta["fields"].tolist(), values, strict=True))


def _moved(place: Path, crs: str, to_crs: str, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coordinates (n, 2) in another coordinate system; `place` is the file that is brought over."""
    from rasterio._err import CPLE_BaseError  # what rasterio lets through has no public name
    from rasterio.warp import transform as warp

    try:
        moved = np.column_stack(warp(crs, to_crs, xy[:, 0], xy[:, 1]))
    except CPLE_BaseError:
        moved = np.full(xy.shape, np.inf)
    if not np.isfinite(moved).all():
        raise InputError(
            f"{place}: cannot be brought over: {crs_name(crs)} and {crs_name(to_crs)} do not both reach where it lies; "
            "cut it to the landscape first, with gdalwarp -te or ogr2ogr -clipsrc"
        )
    return moved


def read_aligned(
    path: str | os.PathLike[str], *, crs: str | None, transform: Transform | None, shape: tuple[int, int], what: str
) -> npt.NDArray[np.float32]:
    """Read a raster of one band onto a landscape's grid: (H, W) float32, nan where it has no data.

    A raster on another grid or in another coordinate system is resampled bilinearly.

    Parameters
    ----------
    crs, transform, shape : of the landscape; without CRS the raster must be on the landscape's very grid
    what : the raster holds, for messages
    """
    (layer,), _ = _read_plain([Path(path)], what, crs)
    return _resampled([layer], crs, transform, shape)[0]


def read_aligned_wind(
    speed: str | os.PathLike[str],
    direction: str | os.PathLike[str],
    *,
    crs: str | None,
    transform: Transform | None,
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Read rasters of wind speed and of where wind comes from onto a landscape's grid, as WindNinja writes them.

    Wind is resampled as a vector, and turned from north of its own coordinate system to the landscape's.

    Returns
    -------
    (H, W) float32 speed, in the unit of the file, and degrees clockwise from grid north

    Raises
    ------
    InputError : rasters on two grids, a direction beyond 0 to 360, a negative speed, cells without wind
    """
    paths = [Path(speed), Path(direction)]
    (speeds, from_deg), place = _read_plain(paths, "wind", crs)
    for layer, path, high, unit in ((speeds, paths[0], 500, "km/h or mph"), (from_deg, paths[1], 360, "degrees")):
        with np.errstate(invalid="ignore"):
            bad = (layer.values < 0) | (layer.values > high)
        if bad.any():
            row, col = np.argwhere(bad)[0]
            raise InputError(
                f"{path}: wind is {layer.values[row, col]:g} at row {row}, column {col} ({np.count_nonzero(bad)} cells "
                f"out of range); give 0 to {high} {unit}"
            )
    azimuth = np.radians(from_deg.values)
    vector = [speeds._replace(values=speeds.values * turn(azimuth)) for turn in (np.sin, np.cos)]
    east, north = _resampled(vector, crs, transform, shape)
    missing = ~np.isfinite(east)
    if missing.any():
        row, col = np.argwhere(missing)[0]
        raise InputError(
            f"{place}: no wind on {np.count_nonzero(missing)} of the landscape's cells, first row {row}, column {col}; "
            "give wind rasters that cover the landscape and its buffer"
        )
    turned = 0.0
    if crs is not None and transform is not None:
        turned = true_north_deg(crs, transform, shape)
        if speeds.crs.is_projected:
            turned -= true_north_deg(speeds.crs.to_wkt(), speeds.transform, speeds.values.shape)
        turned = 0.0 if speeds.crs.to_wkt() == crs else turned
    azimuth = np.degrees(np.arctan2(east, north)) + turned
    return np.hypot(east, north).astype(np.float32), np.asarray(azimuth % 360, np.float32)


class _Plain(NamedTuple):
    """One band, nan where there is no data, and where it lies."""

    values: npt.NDArray[np.float32]
    crs: Any
    transform: Transform
    path: Path


def _read_plain(paths: list[Path], what: str, crs: str | None) -> tuple[list[_Plain], Path]:
    """The one band of each of some files on one grid; where they name no coordinate system, the landscape's."""
    from rasterio.crs import CRS

    layers: list[_Plain] = []
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a raster of {what}")
        with _opened(path) as dataset:
            _refuse_bands(dataset, path, what)
            header = _whole(dataset)
            stored, gaps = _read_band(dataset, _Source(path, 1), what, header)
            theirs = dataset.crs or (None if crs is None else CRS.from_wkt(crs))
            layers.append(_Plain(np.where(gaps, np.nan, stored).astype(np.float32), theirs, header.transform, path))
    first = layers[0]
    for layer in layers[1:]:
        if layer.values.shape != first.values.shape or not same_place(layer.transform, first.transform):
            raise InputError(f"{first.path} and {layer.path} lie on different grids; put both on one with gdalwarp")
    return layers, first.path


def _resampled(
    layers: list[_Plain], crs: str | None, transform: Transform | None, shape: tuple[int, int]
) -> list[npt.NDArray[np.float32]]:
    """Bands brought onto a grid, nan where they do not reach."""
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    out = []
    for layer in layers:
        if layer.values.shape == shape and (transform is None or same_place(layer.transform, transform)):
            out.append(layer.values)
            continue
        if crs is None or transform is None:
            raise InputError(
                f"{layer.path}: has {layer.values.shape[0]} x {layer.values.shape[1]} cells, the landscape "
                f"{shape[0]} x {shape[1]} and no coordinate system to bring them together; give one with --crs"
            )
        given, theirs, ours = Affine(*layer.transform), layer.crs, Affine(*transform)
        # To the bit where cells lie on cells, as in a window of the same grid.
        same_size = theirs.to_wkt() == crs and np.allclose(layer.transform[:2], transform[:2], rtol=1e-9)
        onto = np.full(shape, np.nan, np.float32)
        reproject(
            layer.values,
            onto,
            src_transform=given,
            src_crs=theirs,
            src_nodata=np.nan,
            dst_transform=ours,
            dst_crs=crs,
            dst_nodata=np.nan,
            resampling=Resampling.nearest if same_size else Resampling.bilinear,
        )
        if not np.isfinite(onto).any():
            raise InputError(f"{layer.path}: does not reach the landscape; give a raster that covers it")
        out.append(onto)
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Plans and treatment units from elsewhere.


class BreakCells(NamedTuple):
    """Fuel breaks of a file on the grid of a landscape, in order of building; n cells.

    Attributes
    ----------
    cells : (n,) int64 flat, row-major on the landscape's grid, each once
    unit : (n,) int64 rank of the unit that each cell belongs to: 1 is built first, and none is left out
    cost : (units,) float64 by rank, nan where the file has none for a unit; None where it has none at all
    tags : of the raster or GeoPackage
    """

    cells: npt.NDArray[np.int64]
    unit: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64] | None
    tags: dict[str, str]


class UnitTable(NamedTuple):
    """Treatment units of a file on the grid of a landscape: U units of at most n cells.

    Attributes
    ----------
    cells : (U, n) int64 flat, row-major on the landscape's grid, padded with -1; no cell is in two units
    number : (U,) int64 as in the file
    cost : (U,) float64, nan where the file has none
    must, excluded : (U,) bool, units that are treated in any case, or never
    kind, owner, access : (U,) str as object, '' where the file has none
    """

    cells: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]
    must: npt.NDArray[np.bool_]
    excluded: npt.NDArray[np.bool_]
    kind: npt.NDArray[np.object_]
    owner: npt.NDArray[np.object_]
    access: npt.NDArray[np.object_]


def read_breaks(
    path: str | os.PathLike[str],
    *,
    crs: str | None,
    transform: Transform | None,
    shape: tuple[int, int],
    reproject: bool = False,
) -> BreakCells:
    """Read fuel breaks that were planned here or elsewhere onto a landscape's grid.

    A raster holds the rank of building of each treated cell, 0 or no data elsewhere; cells of equal rank are one unit.
    Where every treated cell is 1 there is no order: then each cell is a unit of its own, by rows.

    In a vector file (GeoPackage, GeoJSON, shapefile) each feature is a unit: of the cells whose center lies in its
    polygons, that its lines pass through, that its points lie in. Features are built by their column `rank`, if there
    is one, those of equal rank and all others as they stand in the file; a cell under several belongs to the first
    built. `cost` is kept. Squares as `write_breaks` writes them, which have `area_ha` too, are read as a raster is:
    those of equal rank are one unit, and their costs are added. Of several layers `breaks` is read, or the first.

    A .csv is Cell2Fire's file of firebreak cells: a header (Year Number,Cell Numbers), then rows of a year and the
    numbers of cells, which count from 1 along the rows of the map. It has no grid, so it must be made for this one.
    Each cell is a unit, in the order of the file.

    Parameters
    ----------
    crs, transform, shape : of the landscape
    reproject : bring a raster on another grid (by nearest neighbor), or a file in another coordinate system, over
        instead of refusing it; what is lost is told by a warning

    Raises
    ------
    InputError : no such file or not readable, another grid or coordinate system, numbers that are no ranks or cells,
        no fuel break on the landscape
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: no such file; give a raster, GeoPackage, GeoJSON, shapefile or csv of fuel breaks")
    what = "fuel breaks"
    if place.suffix.lower() == ".csv":
        cells = _read_cell_numbers(place, shape)
        return BreakCells(cells, np.arange(1, len(cells) + 1), None, {})
    if place.suffix.lower() not in VECTOR_FILES:
        ranks = _read_codes(place, what, crs, transform, shape, reproject).ravel()
        if ranks.max() == 1:
            ranks = np.cumsum(ranks) * ranks
        return BreakCells(*_in_order(ranks)[:2], None, read_tags(place))
    tags, geometry, columns, grid = _read_features(place, "breaks", crs, transform, reproject)
    rank = _order_of_building(place, columns, geometry)
    lowest, _ = _covered(place, what, geometry, rank, grid, shape)
    cells, unit, kept = _in_order(lowest.ravel())
    cost = np.bincount(rank, weights=_costs(place, columns, len(geometry))).astype(np.float64)[kept]
    return BreakCells(cells, unit, None if np.isnan(cost).all() else cost, tags)


def read_units(
    path: str | os.PathLike[str],
    *,
    crs: str | None,
    transform: Transform | None,
    shape: tuple[int, int],
    reproject: bool = False,
) -> UnitTable:
    """Read treatment units, the pieces of land that are treated whole or not at all, onto a landscape's grid.

    A raster holds the number of its unit in each cell, 0 or no data where there is none. In a vector file (GeoPackage,
    GeoJSON, shapefile) each feature is a unit, of cells as in `read_breaks`; a cell under several belongs to the first
    in the file. Columns, all optional: `unit` or `id` (its number; else 1 for the first feature of the file and so on),
    `cost`, `must` or `must_treat`, `exclude` or `excluded` (0 or 1, true or false), `kind`, `owner`, `access`. Of
    several layers `units` is read, or the first. Units without a cell of the landscape are left out, and told by a
    warning.

    Parameters
    ----------
    crs, transform, shape, reproject : as in `read_breaks`

    Raises
    ------
    InputError : no such file or not readable, another grid or coordinate system, columns of other things than they
        should hold, no unit on the landscape
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: no such file; give a raster, GeoPackage, GeoJSON or shapefile of treatment units")
    what = "treatment units"
    if place.suffix.lower() not in VECTOR_FILES:
        cells, unit, number = _in_order(_read_codes(place, what, crs, transform, shape, reproject).ravel())
        n, kept = len(number), np.arange(len(number))
        columns: dict[str, npt.NDArray[Any]] = {}
    else:
        _, geometry, columns, grid = _read_features(place, "units", crs, transform, reproject)
        n = len(geometry)
        numbers = _unit_numbers(place, columns, n)
        lowest, several = _covered(place, what, geometry, np.arange(1, n + 1), grid, shape)
        if several:
            warnings.warn(
                f"{place}: {several} cells lie in several units; each goes to the first of them in the file",
                stacklevel=2,
            )
        cells, unit, kept = _in_order(lowest.ravel())
        kept -= 1
        number = numbers[kept]
    must, excluded = (
        _flags(place, columns, names, n)[kept] for names in (("must", "must_treat"), ("exclude", "excluded"))
    )
    if (must & excluded).any():
        raise InputError(
            f"{place}: unit {number[must & excluded][0]} is to be treated in any case and excluded; choose one of both"
        )
    start = np.concatenate([[0], np.cumsum(np.bincount(unit)[1:])])
    table = np.full((len(number), int(np.diff(start).max())), -1, np.int64)
    table[unit - 1, np.arange(len(cells)) - start[unit - 1]] = cells
    kind, owner, access = (_texts(columns, name, n)[kept] for name in ("kind", "owner", "access"))
    return UnitTable(table, number, _costs(place, columns, n)[kept], must, excluded, kind, owner, access)


def _in_order(
    codes: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cells that are not 0, by their code and then by rows, the rank of each one's code from 1, and the codes."""
    cells = np.flatnonzero(codes)
    cells = cells[np.argsort(codes[cells], kind="stable")]
    kept, rank = np.unique(codes[cells].astype(np.int64), return_inverse=True)
    return cells, rank + 1, kept


def _refuse_none(place: Path, what: str, shape: tuple[int, int], why: str = "") -> NoReturn:
    raise InputError(
        f"{place}: holds no {what[:-1]} (0 of {shape[0] * shape[1]} cells){why}; give a file of {what} on the landscape"
    )


def _read_codes(
    place: Path, what: str, crs: str | None, transform: Transform | None, shape: tuple[int, int], reproject: bool
) -> npt.NDArray[np.int32]:
    """Whole numbers of a raster on the landscape's grid (H, W), 0 where there are none; at least one is above 0."""
    with _opened(place) as dataset:
        _refuse_bands(dataset, place, what)
        _refuse_no_georeference(dataset, place)
        header = _whole(dataset)
        values = _read_whole_numbers(dataset, place, what, header)
    below = values < 0
    if below.any():
        raise InputError(f"{place}: {values[below][0]} at {_first_cell(below, header)} is below 0; {_CODES[what]}")
    if not values.any():
        _refuse_none(place, what, shape)
    ours = None if crs is None else normalize_crs(crs)
    theirs = header.crs or ours
    if ours is not None and theirs is not None and not same_crs(theirs, ours):
        if not reproject:
            _refuse_other_crs(place, theirs, ours)
    elif values.shape == shape and (transform is None or same_place(transform, header.transform)):
        return values
    elif not reproject:
        raise InputError(
            f"{place}: its grid of {_grid_name(values.shape, header.transform)} is not the landscape's, "
            f"{_grid_name(shape, transform)}; give the --window and --buffer it was made with, "
            "or add --reproject to bring it over by nearest neighbor"
        )
    wkt, grid = _checked_georeference(place, crs, transform, "the file cannot be brought over")
    return _nearest(place, what, values, (theirs or wkt, header.transform), (wkt, grid), shape)


def _grid_name(shape: tuple[int, ...], transform: Transform | None) -> str:
    """Say of how many cells, of what size and where a grid is."""
    text = f"{shape[0]} x {shape[1]} cells"
    if transform is None:
        return text
    a, b, c, d, e, f = transform
    size = f"{abs(a):.10g}" if abs(abs(a) - abs(e)) < 1e-4 * abs(a) else f"{abs(a):.10g} x {abs(e):.10g}"
    return f"{text} of {size} m{' (rotated)' * bool(b or d)} with its corner at {c:.10g}, {f:.10g}"


def _nearest(
    place: Path,
    what: str,
    values: npt.NDArray[np.int32],
    theirs: tuple[str, Transform],
    ours: tuple[str, Transform],
    shape: tuple[int, int],
) -> npt.NDArray[np.int32]:
    """Whole numbers brought onto a grid by nearest neighbor; what is lost is told, and refused if nothing is left."""
    row, col = np.nonzero(values)
    cells = _cells_under(place, row, col, theirs, ours)
    inside = ((cells >= 0) & (cells < shape)).all(axis=1)
    lost = f"{np.count_nonzero(~inside)} of its {len(row)} cells of {what} have their center outside the landscape"
    onto = np.zeros(shape, np.int32)
    for top in range(0, shape[0], 64):
        # The very cell that each center lies in: GDAL's warp may be an eighth of a cell off.
        rows, cols = np.indices(onto[top : top + 64].shape).reshape(2, -1)
        rows += top
        cells = _cells_under(place, rows, cols, ours, theirs)
        on = ((cells >= 0) & (cells < values.shape)).all(axis=1)
        onto[rows[on], cols[on]] = values[tuple(cells[on].T)]
    if not onto.any():
        _refuse_none(place, what, shape, f": {lost}" + ", the rest fall between its centers" * bool(inside.any()))
    if not inside.all():
        warnings.warn(f"{place}: {lost}; what lies there is left out", stacklevel=4)
    gone = np.setdiff1d(values[row[inside], col[inside]], onto)
    if len(gone):
        warnings.warn(
            f"{place}: {len(gone)} of its numbers, first {gone[0]}, are the nearest of no cell of the landscape; they "
            "are left out",
            stacklevel=4,
        )
    return onto


def _cells_under(
    place: Path,
    row: npt.NDArray[np.integer],
    col: npt.NDArray[np.integer],
    grid: tuple[str, Transform],
    other: tuple[str, Transform],
) -> npt.NDArray[np.int64]:
    """Row and column (n, 2) of the cell of another grid, inside it or not, that the center of each cell lies in."""
    import shapely

    xy = np.column_stack(_coordinates(grid[1], row + 0.5, col + 0.5))
    return _cells_of(other[1], shapely.points(_moved(place, grid[0], other[0], xy)))


def _read_features(
    place: Path, layer: str, crs: str | None, transform: Transform | None, reproject: bool
) -> tuple[dict[str, str], npt.NDArray[Any], dict[str, npt.NDArray[Any]], Transform]:
    """Tags, geometries, columns by name in lower case, and the landscape's transform."""
    wkt, grid = _checked_georeference(place, crs, transform, "the file cannot be laid on it")
    tags, geometry, columns = _read_vectors(place, wkt, layer=layer, reproject=reproject)
    return tags, geometry, {name.lower(): values for name, values in columns.items()}, grid


def _covered(
    place: Path,
    what: str,
    geometry: npt.NDArray[Any],
    number: npt.NDArray[np.int64],
    grid: Transform,
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.int32], int]:
    """The lowest number of the features on each cell (H, W), 0 where there is none, and how many cells have several.

    Features that hold no cell, or none for themselves, are told; none at all is refused.
    """
    import shapely
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    parts, owner, kind = _parts(place, geometry, (0, 1, 3), "points, lines or polygons")
    known = np.isfinite(shapely.bounds(parts)).all(axis=1)
    parts, owner, kind = parts[known], owner[known], kind[known]
    none = np.iinfo(np.int32).max
    lowest, highest = np.full(shape, none, np.int32), np.zeros(shape, np.int32)
    order = np.argsort(number[owner], kind="stable")
    for of_kind, touched in ((kind == 3, False), (kind == 1, True)):
        last = order[of_kind[order]]
        if len(last):  # the last that is drawn is what stays
            drawing = {"out_shape": shape, "transform": Affine(*grid), "all_touched": touched, "dtype": np.int32}
            first = last[::-1]
            drawn = rasterize(zip(parts[first], number[owner[first]].tolist(), strict=True), fill=none, **drawing)
            lowest = np.minimum(lowest, drawn)
            drawn = rasterize(zip(parts[last], number[owner[last]].tolist(), strict=True), **drawing)
            highest = np.maximum(highest, drawn)
    cells = _cells_of(grid, parts[kind == 0])
    on = ((cells >= 0) & (cells < shape)).all(axis=1)
    np.minimum.at(lowest, tuple(cells[on].T), number[owner[kind == 0][on]])
    np.maximum.at(highest, tuple(cells[on].T), number[owner[kind == 0][on]])
    lowest[highest == 0] = 0

    (left, right), (top, bottom) = _coordinates(grid, np.array([0, shape[0]]), np.array([0, shape[1]]))
    reach = shapely.intersects(parts, shapely.box(left, bottom, right, top))
    near = np.isin(np.arange(len(geometry)), owner[reach])
    outside = int(np.count_nonzero(~near))
    without = int(np.count_nonzero(near & ~np.isin(number, lowest)))
    lost = f"of its {len(geometry)} features {outside} lie outside the landscape"
    if without:
        lost += f" and {without} hold no center of a cell, or none that is not in another"
    if not lowest.any():
        _refuse_none(place, what, shape, f": {lost}" if len(geometry) else "")
    if outside or without:
        advice = "; draw strips narrower than a cell as lines" if without else ""
        warnings.warn(f"{place}: {lost}, and are left out{advice}", stacklevel=3)
    return lowest, int(np.count_nonzero(lowest != highest))


def _order_of_building(
    place: Path, columns: Mapping[str, npt.NDArray[Any]], geometry: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """When each feature is built (n,): 1 is first; the same for squares of one unit, as `write_breaks` writes them."""
    import shapely

    n = len(geometry)
    rank = _numbers(place, columns, ("rank",), n)
    if np.isnan(rank).all():
        return np.arange(1, n + 1)
    bad = ~((rank >= 1) & (rank == np.floor(rank)) & (rank < 2**31))
    if bad.any():
        raise InputError(
            f"{place}: its column rank is {_shown(rank[bad][0])} in feature {int(np.argmax(bad)) + 1}; give each its "
            "order of building, a whole number from 1, or leave the column out"
        )
    ours = "area_ha" in columns and bool((shapely.get_num_coordinates(geometry) == 5).all())
    if ours and (rank != 1).any():
        return np.unique(rank, return_inverse=True)[1] + 1
    built = np.empty(n, np.int64)
    built[np.argsort(rank, kind="stable")] = np.arange(1, n + 1)
    return built


def _unit_numbers(place: Path, columns: Mapping[str, npt.NDArray[Any]], n: int) -> npt.NDArray[np.int64]:
    """The number of each feature's unit (n,), each once."""
    for name in ("unit", "id"):
        given = _texts(columns, name, n).tolist()
        if not any(given):
            continue
        bad = [row for row, text in enumerate(given) if not re.fullmatch("[1-9][0-9]{0,14}", text)]
        first = {text: row for row, text in reversed([*enumerate(given)])}
        again = [row for row, text in enumerate(given) if first[text] != row]
        if not bad and not again:
            return np.array(given, np.int64)
        row = (bad or again)[0]
        wrong = f"{given[row][:40] or 'empty'} in feature {row + 1}{'' if bad else ', as in one before'}"
        if name == "unit":
            raise InputError(
                f"{place}: its column unit is {wrong}; give each feature a whole number from 1 of its own, and a unit "
                "of several pieces one feature of them all"
            )
        # GIS programs make a column id of their own accord, so it may hold anything.
        warnings.warn(f"{place}: its column id is {wrong}; its units are numbered as they stand there", stacklevel=3)
    return np.arange(1, n + 1)


def _numbers(
    place: Path, columns: Mapping[str, npt.NDArray[Any]], names: tuple[str, ...], n: int
) -> npt.NDArray[np.float64]:
    """The first of some columns that is there, as numbers (n,); nan where it is empty or there is none."""
    out = np.full(n, np.nan)
    name = next((name for name in names if name in columns), None)
    if name is None:
        return out
    for row, value in enumerate(columns[name].tolist()):
        try:
            out[row] = np.nan if value is None or value == "" else float(value)
        except (TypeError, ValueError):
            raise InputError(
                f"{place}: its column {name} is {str(value)[:40]!r} in feature {row + 1}, which is no number; mend it "
                "there, or leave the column out"
            ) from None
    return out


def _costs(place: Path, columns: Mapping[str, npt.NDArray[Any]], n: int) -> npt.NDArray[np.float64]:
    cost = _numbers(place, columns, ("cost",), n)
    bad = (cost < 0) | np.isinf(cost)
    if bad.any():
        raise InputError(
            f"{place}: its column cost is {cost[bad][0]:g} in feature {int(np.argmax(bad)) + 1}; give 0 or more, or "
            "leave it empty"
        )
    return cost


_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def _flags(
    place: Path, columns: Mapping[str, npt.NDArray[Any]], names: tuple[str, ...], n: int
) -> npt.NDArray[np.bool_]:
    """The first of some columns that is there, as true or false (n,); false where it is empty or there is none."""
    for name in names:
        if name in columns:
            texts = _texts(columns, name, n)
            for row, text in enumerate(texts):
                if text.lower() not in _FLAGS:
                    raise InputError(
                        f"{place}: its column {name} is {text[:40]!r} in feature {row + 1}; give 0 or 1, true or false"
                    )
            return np.array([_FLAGS[text.lower()] for text in texts], bool)
    return np.zeros(n, bool)


def _texts(columns: Mapping[str, npt.NDArray[Any]], name: str, n: int) -> npt.NDArray[np.object_]:
    """A column as text (n,), '' where it is empty or there is none."""
    out = np.full(n, "", object)
    if name in columns:
        for row, value in enumerate(columns[name].tolist()):
            out[row] = "" if value is None or value != value else _shown(value).strip()
    return out


def _shown(value: object) -> str:
    """A value as a person would write it: whole numbers without a point, and nothing where there is none."""
    if isinstance(value, float):
        return "empty" if np.isnan(value) else f"{value:.15g}"
    return str(value)


def _read_cell_numbers(place: Path, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Flat cells of Cell2Fire's csv of firebreak cells, each once, in the order of the file."""
    like = "give Cell2Fire's file of firebreak cells: Year Number,Cell Numbers, then rows such as 1,12,13,14"
    try:
        lines = place.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror}); {like}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: is no text (byte {error.start} is not UTF-8); {like}") from error
    if not any(line.strip() for line in lines):
        raise InputError(f"{place}: is empty; {like}")
    if "cell" not in lines[0].lower():  # Cell2Fire passes over the first line, whatever stands there
        raise InputError(f"{place}, line 1: {lines[0][:40]!r} is no header that names cells; {like}")
    numbers = []
    for line, text in enumerate(lines[1:], start=2):
        # Spreadsheets fill rows up with empty fields, and write whole numbers as 12.0.
        fields = [field.strip(' "') for field in text.rstrip(", ").split(",")]
        for field in fields if fields != [""] else []:
            if not re.fullmatch(r"[0-9]{1,18}(\.0*)?", field):
                raise InputError(f"{place}, line {line}: {field[:40]!r} is no year or number of a cell; {like}")
        numbers += [int(field.split(".")[0]) for field in fields[1:]]
    cells = np.array(list(dict.fromkeys(numbers)), np.int64)
    if not len(cells):
        _refuse_none(place, "fuel breaks", shape)
    beyond = cells[(cells < 1) | (cells > shape[0] * shape[1])]
    if len(beyond):
        named = ", ".join(map(str, beyond[:5])) + ", ..." * (len(beyond) > 5)
        raise InputError(
            f"{place}: {len(beyond)} of its {len(cells)} cells are none of the landscape's {shape[0]} x {shape[1]}, "
            f"which count from 1 to {shape[0] * shape[1]}: {named}; give the --window and --buffer it was made with"
        )
    return cells - 1


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and put the file in its place when all went well; else leave nothing.

    Raises
    ------
    InputError : the place cannot be written to, or writing failed
    """
    place = Path(path)
    hidden: Path | None = None
    try:
        # A folder of its own beside the target, for what GIS libraries put beside the file they write.
        hidden = Path(tempfile.mkdtemp(prefix=".fuelbreak-", dir=place.parent))
        yield hidden / place.name
        os.replace(hidden / place.name, place)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{place}: cannot be written ({reason}); choose a folder you may write to") from error
    finally:
        if hidden is not None:
            shutil.rmtree(hidden, ignore_errors=True)


def check_output_folder(path: str | os.PathLike[str]) -> Path:
    """Make sure that a folder is there and can be written to, before any work is done for it.

    Raises
    ------
    InputError : it is a file, lies below a file, or cannot be written to
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output folder {folder} is a file; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Writing is the only test that holds for every user, file system and access rule.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"output folder {folder} cannot be written to ({reason}); choose another one") from None
    return folder


def normalize_crs(text: str) -> str:
    """Return a coordinate reference system given as 'EPSG:32611', '32611' or WKT as WKT.

    Raises
    ------
    InputError : nonsense, or a system that does not count in meters on a plane
    """
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    given = str(text).strip()
    try:
        crs = CRS.from_user_input(f"EPSG:{given}" if given.isdigit() else given)
    except CRSError:
        raise InputError(f"coordinate reference system {given[:60]!r} is not known; give one like EPSG:32611") from None
    if not _counts_meters(crs):
        raise InputError(
            f"coordinate reference system {given[:60]!r} does not count in meters; give a projected one in meters, "
            "like UTM (EPSG:326 and the zone, for example EPSG:32611)"
        )
    return str(crs.to_wkt())


def crs_name(wkt: str) -> str:
    """Name a coordinate reference system shortly, such as 'WGS 84 / UTM zone 11N (EPSG:32611)'."""
    from rasterio.crs import CRS

    crs = CRS.from_wkt(wkt)
    found = re.search(r'"([^"]*)"', wkt)  # well-known text begins with the kind of system and its name
    name, authority = found[1] if found else "unnamed", crs.to_authority()
    return name if authority is None else f"{name} ({':'.join(authority)})"


def same_crs(one: str, other: str) -> bool:
    """Say whether two coordinate reference systems, as WKT, are the same, however they are written."""
    from rasterio.crs import CRS

    return one == other or bool(CRS.from_wkt(one) == CRS.from_wkt(other))


def same_place(one: Transform, other: Transform) -> bool:
    """Say whether two transforms put their cells in the same place, to a thousandth of a cell."""
    return bool(np.allclose(one, other, rtol=1e-9, atol=1e-3 * abs(one[0])))


def center_lon_lat(crs: str, transform: Transform, shape: tuple[int, int]) -> tuple[float, float]:
    """Longitude and latitude of the center of a grid, degrees; arguments as for `true_north_deg`."""
    from rasterio.warp import transform as warp

    a, b, c, d, e, f = transform
    row, col = shape[0] / 2, shape[1] / 2
    (lon,), (lat,) = warp(crs, "EPSG:4326", [a * col + b * row + c], [d * col + e * row + f])
    return float(lon), float(lat)


def true_north_deg(crs: str, transform: Transform, shape: tuple[int, int]) -> float:
    """Find true north at the center of a grid: degrees clockwise from grid north, above 0 where it lies east of it.

    The negative of what surveyors call grid convergence.

    Parameters
    ----------
    crs : WKT
    transform : (a, b, c, d, e, f) of the grid
    shape : rows and columns
    """
    from rasterio.warp import transform as warp

    lon, lat = center_lon_lat(crs, transform, shape)
    step = 1e-3 if lat < 89 else -1e-3  # some hundred meters along the meridian
    (there_x,), (there_y,) = warp("EPSG:4326", crs, [lon], [lat + step])
    (here_x,), (here_y,) = warp("EPSG:4326", crs, [lon], [lat])  # to and fro, so that no datum shift is left
    return float(np.degrees(np.arctan2((there_x - here_x) * np.sign(step), (there_y - here_y) * np.sign(step))))


def reproject(
    array: npt.NDArray[Any],
    *,
    from_crs: str,
    from_transform: Transform,
    to_crs: str,
    cell_size_m: float,
) -> tuple[npt.NDArray[np.float32], Transform]:
    """Put a smooth (H, W) field on a square grid in another coordinate reference system, by cubic splines.

    Returns
    -------
    float32 array, NaN where the field does not reach, and its transform
    """
    from rasterio.crs import CRS
    from rasterio.transform import Affine, array_bounds
    from rasterio.warp import Resampling, calculate_default_transform
    from rasterio.warp import reproject as warp

    source = np.asarray(array, np.float32)
    height, width = source.shape
    grid = Affine(*from_transform)
    here, there = CRS.from_user_input(from_crs), CRS.from_user_input(to_crs)
    new_grid, new_width, new_height = calculate_default_transform(
        here, there, width, height, *array_bounds(height, width, grid), resolution=cell_size_m
    )
    out = np.full((new_height, new_width), np.nan, np.float32)
    warp(
        source,
        out,
        src_transform=grid,
        src_crs=here,
        dst_transform=new_grid,
        dst_crs=there,
        dst_nodata=np.nan,
        resampling=Resampling.cubic_spline,
    )
    return out, _six(new_grid)


def _sources_in_file(path: Path, fuel_model: str) -> tuple[dict[str, _Source], list[str]]:
    """Say which band of a multi-band file holds which layer: by description, else in FlamMap's order."""
    with _opened(path) as dataset:
        count, descriptions = dataset.count, dataset.descriptions
    if count < REQUIRED_BANDS:
        raise InputError(
            f"{path}: has {count} band{'s' * (count > 1)}, a landscape has 8 (or the first 5: elevation, slope, "
            "aspect, fuel model, canopy cover); for single-layer rasters give their folder"
        )
    found = [(f"band {band}", _Source(path, band), text or "") for band, text in enumerate(descriptions, start=1)]
    if any(_layers_named(text) for _, _, text in found):
        sources, _ = _choose(path, found, fuel_model)
        return sources, _absent_canopy(sources)
    if count in (6, 7):
        raise InputError(
            f"{path}: has {count} bands without descriptions; give 8 in FlamMap's order, the first 5 of them, "
            "or describe each band (gdal_edit.py, or LANDFIRE names such as CBH)"
        )
    wanted = BAND_ORDER if count >= 8 else BAND_ORDER[:REQUIRED_BANDS]
    sources = {layer: _Source(path, band) for band, layer in enumerate(wanted, start=1)}
    return sources, _absent_canopy(sources)


def _sources_in_folder(folder: Path, fuel_model: str) -> tuple[dict[str, _Source], list[str]]:
    """Say which single-layer raster of a folder holds which layer, by its name."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".tif", ".tiff", ".asc"))
    if not files:
        raise InputError(f"{folder}: holds no .tif or .asc raster; give a folder of LANDFIRE layers or a raster file")
    sources, ignored = _choose(folder, [(file.name, _Source(file, 1), file.stem) for file in files], fuel_model)
    for source in sources.values():
        with _opened(source.path) as dataset:
            if dataset.count != 1:
                raise InputError(
                    f"{source.path}: has {dataset.count} bands, but a folder is read as single layers; "
                    "give the file itself as the landscape, or move it elsewhere"
                )
    notes = [f"files not used: {', '.join(ignored)}"] if ignored else []
    return sources, notes + _absent_canopy(sources)


def _choose(path: Path, found: list[tuple[str, _Source, str]], fuel_model: str) -> tuple[dict[str, _Source], list[str]]:
    """Match names to layers, take the wanted fuel layer and slope, and refuse what is double or missing."""
    named: dict[str, tuple[str, _Source]] = {}
    ignored = []
    for title, source, text in found:
        layers = _layers_named(text)
        if len(layers) > 1:
            raise InputError(f"{path}: {title} ({text}) could be {' or '.join(layers)}; rename it after one layer")
        if not layers:
            ignored.append(title)
        elif layers[0] in named:
            raise InputError(f"{path}: {named[layers[0]][0]} and {title} both hold {layers[0]}; keep only one of them")
        else:
            named[layers[0]] = title, source
    other = {"fbfm40": "fbfm13", "fbfm13": "fbfm40"}[fuel_model]
    if fuel_model in named and "fuel_model" in named:
        raise InputError(
            f"{path}: {named[fuel_model][0]} and {named['fuel_model'][0]} both hold {fuel_model}; keep only one of them"
        )
    if fuel_model not in named and "fuel_model" not in named and other in named:
        raise InputError(f"{path}: has no {fuel_model} layer but {named[other][0]}; choose fuel model system {other}")
    if "slope_pct" in named and "slope_deg" in named:
        named.pop("slope_pct")  # the same slope twice; degrees are what is wanted
    sources = {layer: source for layer, (_, source) in named.items() if layer in BAND_ORDER}
    if fuel_model in named:
        sources["fuel_model"] = named[fuel_model][1]
    if "slope_pct" in named:
        sources["slope_deg"] = named["slope_pct"][1]._replace(slope_is_percent=True)
    absent = [_NICE_NAMES[layer] for layer in BAND_ORDER[:REQUIRED_BANDS] if layer not in sources]
    if absent:
        raise InputError(
            f"{path}: no layer named as {', '.join(absent)}; add it, or name it as LANDFIRE does (found: "
            f"{', '.join(title for title, _, _ in found[:12])})"
        )
    return sources, ignored


def _layers_named(text: str) -> list[str]:
    """Name the layers that a file name or band description speaks of, such as 'LF2022_CC_CONUS' or 'US_240FBFM40'."""
    words = []
    for word in re.split(r"[^A-Z0-9]+", text.upper()):
        # LANDFIRE glues version numbers in front of a layer's name (240CBD) and years behind it (SLPD2020).
        bare = re.sub(r"^\d+(?=[A-Z])", "", re.sub(r"(?<=[A-Z])(?:19|20)\d\d$", "", word))
        words.append(bare)
    rest = " ".join(words)
    found = []
    for layer, pattern in _LAYER_NAMES.items():
        shorter = re.sub(rf"\b(?:{pattern})\b", "#", rest)
        if shorter != rest:
            found.append(layer)
        rest = shorter
    return found


def _absent_canopy(sources: Mapping[str, _Source]) -> list[str]:
    absent = [_NICE_NAMES[layer] for layer in BAND_ORDER[REQUIRED_BANDS:] if layer not in sources]
    return [f"no {', '.join(absent)}: taken as 0, so no crown fire"] if absent else []


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a raster, and say in one line what is wrong with a file that cannot be read."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # _header refuses it
            dataset = rasterio.open(path)
    except RasterioError as error:
        raise InputError(
            f"{path}: cannot be read as a raster, or is cut short; give a GeoTIFF, .asc or .lcp file ({_reason(error)})"
        ) from None
    with dataset:
        try:
            yield dataset
        except RasterioError as error:
            raise InputError(f"{path}: is damaged or cut short ({_reason(error)}); copy or download it again") from None


def _reason(error: BaseException) -> str:
    """Say the first cause of a GDAL error in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(getattr(error, "errmsg", error)).split())[:160]


def _header(dataset: Any, path: Path, window: Window | None) -> RasterHeader:
    """Read where a raster lies, refuse grids that are not square meters on a plane, and clip the window to it."""
    a, b, c, d, e, f = _six(dataset.transform)
    _refuse_no_georeference(dataset, path)
    crs = dataset.crs
    if (crs and not _counts_meters(crs)) or (not crs and abs(a) < 0.1):
        what = "has no coordinate reference system and cells so small that they seem to be degrees"
        if crs:
            what = "is in degrees" if crs.is_geographic else "does not count in meters"
        raise InputError(f"{path}: {what}; reproject it with: {_gdalwarp(dataset, path, new_crs=True)}")
    slack = 1e-4 * abs(a)
    if abs(b) > slack or abs(d) > slack:
        raise InputError(f"{path}: is rotated; reproject it with: {_gdalwarp(dataset, path)}")
    if a <= 0 or abs(a + e) > slack:
        what = f"has cells of {abs(a):g} m x {abs(e):g} m" if abs(abs(a) - abs(e)) > slack else "is not north up"
        raise InputError(f"{path}: {what}; make them square, row 0 north, with: {_gdalwarp(dataset, path)}")
    top, left, bottom, right = 0, 0, dataset.height, dataset.width
    if window is not None:
        row, col, rows, cols = window
        top, left = max(0, row), max(0, col)
        bottom, right = min(dataset.height, row + rows), min(dataset.width, col + cols)
        if top >= bottom or left >= right:
            raise InputError(
                f"{path}: window {row},{col},{rows},{cols} (row, column, rows, columns) lies outside its "
                f"{dataset.height} rows x {dataset.width} columns"
            )
    return RasterHeader(
        shape=(bottom - top, right - left),
        cell_size_m=a,
        crs=str(crs.to_wkt()) if crs else None,
        transform=(a, b, c + a * left + b * top, d, e, f + d * left + e * top),
        raster_shape=(dataset.height, dataset.width),
        origin=(top, left),
        notes=(),
    )


def _refuse_no_georeference(dataset: Any, path: Path) -> None:
    if dataset.transform.is_identity:
        raise InputError(
            f"{path}: has no georeference, so the size of its cells is unknown; "
            "give it one with gdal_edit.py -a_srs ... -a_ullr ..."
        )


def _refuse_bands(dataset: Any, path: Path, what: str) -> None:
    if dataset.count != 1:
        raise InputError(f"{path}: has {dataset.count} bands; give a raster of {what} with one band")


def _whole(dataset: Any) -> RasterHeader:
    """Where a raster lies, whatever its grid; `_header` refuses what a landscape cannot be."""
    shape = (dataset.height, dataset.width)
    wkt = str(dataset.crs.to_wkt()) if dataset.crs else None
    return RasterHeader(shape, abs(dataset.transform.a), wkt, _six(dataset.transform), shape, (0, 0), ())


def _counts_meters(crs: Any) -> bool:
    return bool(crs.is_projected) and abs(float(crs.linear_units_factor[1]) - 1) < 1e-9


def _gdalwarp(dataset: Any, path: Path, *, new_crs: bool = False) -> str:
    """Give the command that makes a raster usable; fuel models are codes, so nearest neighbor."""
    from rasterio.warp import transform

    target = ""
    if new_crs:
        zone = "EPSG:326NN (NN is your UTM zone)"
        if dataset.crs:
            left, bottom, right, top = dataset.bounds
            (lon,), (lat,) = transform(dataset.crs, "EPSG:4326", [(left + right) / 2], [(bottom + top) / 2])
            if abs(lon) <= 180 and abs(lat) <= 84:
                zone = f"EPSG:{326 if lat >= 0 else 327}{min(int((lon + 180) // 6) + 1, 60):02d}"
        target = f"-t_srs {zone} "
    return f"gdalwarp {target}-tr 30 30 -r near {path.name} reprojected.tif"


def _six(transform: Any) -> Transform:
    a, b, c, d, e, f = (float(number) for number in tuple(transform)[:6])
    return a, b, c, d, e, f


def _refuse_other_grid(header: RasterHeader, first: Path, here: RasterHeader, path: Path) -> None:
    if header.raster_shape != here.raster_shape:
        what = "have {} rows x {} columns and {} x {}".format(*header.raster_shape, *here.raster_shape)
    elif not same_place(header.transform, here.transform):
        what = f"lie on different grids ({header.transform} and {here.transform})"
    elif (header.crs is None) != (here.crs is None) or (
        header.crs is not None and here.crs is not None and not same_crs(header.crs, here.crs)
    ):
        what = "have different coordinate reference systems"
    else:
        return
    raise InputError(f"{first} and {path} {what}; put all layers on one grid with gdalwarp")


def _refuse_other_crs(place: Path, theirs: str, ours: str) -> NoReturn:
    raise InputError(
        f"{place}: its coordinate system {crs_name(theirs)} is not the landscape's, {crs_name(ours)}; "
        "add --reproject to bring it over, or give a file in the landscape's"
    )


def _read_band(
    dataset: Any, source: _Source, layer: str, header: RasterHeader
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Read one band as stored, and where it holds no data."""
    from rasterio.windows import Window as RasterioWindow

    (row, col), (rows, cols) = header.origin, header.shape
    stored = dataset.read(source.band, window=RasterioWindow(col, row, cols, rows))
    if stored.dtype.kind not in "iuf":
        raise InputError(f"{source.path}: band {source.band} holds {stored.dtype}, not plain numbers")
    gaps = ~np.isfinite(stored) if stored.dtype.kind == "f" else np.zeros(stored.shape, bool)
    for value in _NODATA_VALUES:
        if value < 0 or layer not in _CODES:
            gaps |= stored == value
    declared = dataset.nodatavals[source.band - 1]
    # 0 is a height, a slope or a cover, and -1 a flat cell, whatever the file declares.
    if (
        declared is not None
        and not np.isnan(declared)
        and declared != 0
        and not (layer == "aspect_deg" and declared == -1)
    ):
        gaps |= stored == stored.dtype.type(declared)
    return stored, gaps


def _read_whole_numbers(dataset: Any, path: Path, what: str, header: RasterHeader) -> npt.NDArray[np.int32]:
    """Read the one band of whole numbers, 0 where it holds no data; `what` as in `_CODES`."""
    stored, gaps = _read_band(dataset, _Source(path, 1), what, header)
    values = np.where(gaps, 0, stored)
    bad = (values != np.trunc(values)) | (np.abs(values.astype(float)) >= 2**31)
    if bad.any():
        raise InputError(
            f"{path}: {values[bad][0]:g} at {_first_cell(bad, header)} is not a whole number below {2**31}; "
            f"{_CODES[what]}"
        )
    return values.astype(np.int32)


def _as_fuel(
    stored: npt.NDArray[Any], gaps: npt.NDArray[np.bool_], source: _Source, header: RasterHeader
) -> npt.NDArray[np.int16]:
    """Return fuel models as int16, 0 where there is no data; which codes exist is not this room's business."""
    values = np.where(gaps, 0, stored)
    bad = (values != np.trunc(values)) | (np.abs(values.astype(float)) > 32767)
    if bad.any():
        raise InputError(
            f"{source.path}: band {source.band} holds {values[bad][0]:g} at {_first_cell(bad, header)}, which is not "
            f"the code of a fuel model ({np.count_nonzero(bad)} such cells); give whole numbers such as 101 (GR1)"
        )
    return values.astype(np.int16)


def _in_si(
    stored: npt.NDArray[Any],
    gaps: npt.NDArray[np.bool_],
    layer: str,
    source: _Source,
    tags: Mapping[str, str],
    header: RasterHeader,
) -> npt.NDArray[np.float32]:
    """Return a stored layer in SI units (slope in degrees), 0 where there is no data."""
    unit = tags.get(_UNIT_TAGS[layer])
    scale = _LANDFIRE_SCALE.get(layer, 1.0)
    if unit is not None:
        if unit not in _UNIT_SCALES[layer]:
            raise InputError(
                f"{source.path}: band {source.band} holds {layer} as {unit!r}; convert it to "
                f"{' or '.join(_UNIT_SCALES[layer])}"
            )
        scale = _UNIT_SCALES[layer][unit]
    elif layer in _LANDFIRE_SCALE and stored.dtype.kind == "f":
        fractions = ~gaps & (stored != np.trunc(stored))
        if fractions.any():
            # Fractions mean meters or kg/m3, or a resampled LANDFIRE layer: a factor of 10 or 100 is not to be guessed.
            raise InputError(
                f"{source.path}: band {source.band} holds {layer} with fractions ({stored[fractions][0]:g} at "
                f"{_first_cell(fractions, header)}); store it as LANDFIRE does, whole numbers of the value x "
                f"{round(1 / scale)} (gdal_calc.py --type Int16)"
            )
    values = np.where(gaps, 0, stored).astype(np.float64) * scale
    if source.slope_is_percent or (unit == "Percent" and layer == "slope_deg"):
        values = np.degrees(np.arctan(values / 100))
    return values.astype(np.float32)


def _first_cell(where: npt.NDArray[np.bool_], header: RasterHeader) -> str:
    """Say where in the whole raster the first true cell is."""
    row, col = np.unravel_index(int(np.argmax(where)), where.shape)
    return f"row {row + header.origin[0]}, column {col + header.origin[1]}"


def _checked_georeference(
    place: Path, crs: str | None, transform: Transform | None, so: str = "no GIS file can be written"
) -> tuple[str, Transform]:
    if crs is None:
        raise InputError(
            f"{place}: the landscape has no coordinate reference system, so {so}; "
            "give one with --crs, for example --crs EPSG:32611"
        )
    if transform is None:
        raise InputError(
            f"{place}: the landscape has no transform, so {so}; "
            "open it from a georeferenced raster, or give transform=(cell, 0, left, 0, -cell, top)"
        )
    return normalize_crs(crs), _six(transform)
