"""Plans and treatment units from elsewhere: they come onto the landscape's grid as they were meant, or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import rasterio.warp
import shapely
from rasterio.transform import Affine

from fuelbreak import formats
from fuelbreak.errors import InputError

SHAPE = (6, 8)
GRID = (30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0)
ZONE_11, ZONE_12 = "EPSG:32611", "EPSG:32612"
PLACE = {"crs": ZONE_11, "transform": GRID}
ON_GRID = {"crs": formats.normalize_crs(ZONE_11), "transform": GRID, "shape": SHAPE}
DRIVERS = {".gpkg": "GPKG", ".shp": "ESRI Shapefile", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf"}


def write_tif(path: Path, array, crs=ZONE_11, transform=GRID, **more) -> Path:
    array = np.asarray(array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(
            path,
            "w",
            driver=more.pop("driver", "GTiff"),
            height=array.shape[0],
            width=array.shape[1],
            count=1,
            dtype=array.dtype.name,
            crs=crs,
            transform=None if transform is None else Affine(*transform),
            **more,
        )
    with file:
        file.write(array, 1)
    return path


def write_vectors(path: Path, geometries, crs=ZONE_11, layer=None, append=False, moved=True, **columns) -> Path:
    """Features in coordinates of the landscape's system, stored in `crs`, with some columns."""
    geometry = np.array([None if each is None else shapely.force_2d(each) for each in geometries], object)
    if crs != ZONE_11 and moved:
        geometry = shapely.transform(geometry, lambda xy: np.column_stack(rasterio.warp.transform(ZONE_11, crs, *xy.T)))
    values = [np.array(values) if name != "text" else np.array(values, object) for name, values in columns.items()]
    values = [each.astype(object) if each.dtype.kind in "U" else each for each in values]
    more = {} if layer is None else {"layer": layer}
    pyogrio.raw.write(
        str(path),
        np.array(shapely.to_wkb(geometry), object),
        values,
        list(columns),
        driver=DRIVERS[path.suffix],
        geometry_type=geometry[0].geom_type if len({each and each.geom_type for each in geometry}) == 1 else "Unknown",
        crs=crs,
        append=append,
        **more,
    )
    return path


def at(row: float, col: float) -> tuple[float, float]:
    return GRID[2] + 30 * col, GRID[5] - 30 * row


def point(row: float, col: float) -> shapely.Point:
    return shapely.Point(at(row, col))


def line(*row_col: tuple[float, float]) -> shapely.LineString:
    return shapely.LineString([at(*each) for each in row_col])


def area(row: float, col: float, rows: float, cols: float) -> shapely.Polygon:
    return shapely.box(*at(row + rows, col), *at(row, col + cols))


def flat(*row_col: tuple[int, int]) -> list[int]:
    return [row * SHAPE[1] + col for row, col in row_col]


def read(path: Path, **more) -> tuple[list[int], list[int]]:
    breaks = formats.read_breaks(path, **{**ON_GRID, **more})
    assert breaks.cells.dtype == breaks.unit.dtype == np.int64
    return breaks.cells.tolist(), breaks.unit.tolist()


def refused(path: Path, pattern: str, reader=formats.read_breaks, **more) -> str:
    with pytest.raises(InputError, match=pattern) as caught:
        reader(path, **{**ON_GRID, **more})
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


# ---- plans of our own


def test_our_own_plans_are_read_as_they_were_written(tmp_path):
    cells = np.random.default_rng(3).permutation(48)[:20]
    ranks = np.zeros(SHAPE, np.int16)
    ranks.flat[cells] = np.arange(1, 21)
    tif, gpkg = tmp_path / "plan.tif", tmp_path / "plan.gpkg"
    formats.write_raster(tif, ranks, **PLACE, nodata=-9999, tags={"method": "greedy", "seed": 3})
    kind = {"kind": np.array(["cleared"] * 20, object)}
    formats.write_breaks(gpkg, np.column_stack(np.unravel_index(cells, SHAPE)), kind, **PLACE)
    for path in (tif, gpkg):
        assert read(path) == (cells.tolist(), list(range(1, 21)))
        assert formats.read_breaks(path, **ON_GRID).cost is None
    tags = formats.read_breaks(tif, **ON_GRID).tags
    assert (tags["method"], tags["seed"]) == ("greedy", "3")


def test_squares_of_equal_rank_are_one_unit_and_their_costs_are_added(tmp_path):
    fields = {"rank": np.array([1, 1, 2, 5]), "cost": np.array([3.0, 4.0, 5.0, np.nan])}
    formats.write_breaks(tmp_path / "a.gpkg", np.array([(4, 4), (0, 1), (0, 0), (5, 7)]), fields, **PLACE)
    breaks = formats.read_breaks(tmp_path / "a.gpkg", **ON_GRID)
    assert breaks.cells.tolist() == flat((0, 1), (4, 4), (0, 0), (5, 7))
    assert breaks.unit.tolist() == [1, 1, 2, 3]
    np.testing.assert_array_equal(breaks.cost, [7, 5, np.nan])
    fields = {"rank": np.ones(3, int)}  # no order, as in a raster of ones
    formats.write_breaks(tmp_path / "b.gpkg", np.array([(4, 4), (0, 1), (0, 0)]), fields, **PLACE)
    assert read(tmp_path / "b.gpkg") == (flat((4, 4), (0, 1), (0, 0)), [1, 2, 3])


@pytest.mark.parametrize("folder", ["landfire_montana/landscape_8band.tif", "landfire_vermont/inputs"])
def test_plans_for_real_landscapes_come_back(folder, shared_data, tmp_path):
    header = formats.read_landscape(shared_data / folder).header
    where = {"crs": header.crs, "transform": header.transform}
    cells = np.random.default_rng(0).choice(header.shape[0] * header.shape[1], 500, replace=False)
    ranks = np.zeros(header.shape, np.int16)
    ranks.flat[cells] = np.arange(1, 501)
    formats.write_raster(tmp_path / "plan.tif", ranks, **where)
    formats.write_breaks(tmp_path / "plan.gpkg", np.column_stack(np.unravel_index(cells, header.shape)), **where)
    for name in ("plan.tif", "plan.gpkg"):
        breaks = formats.read_breaks(tmp_path / name, **where, shape=header.shape)
        np.testing.assert_array_equal(breaks.cells, cells)
        np.testing.assert_array_equal(breaks.unit, np.arange(1, 501))


# ---- rasters


def test_equal_ranks_are_one_unit_and_ones_are_no_order(tmp_path):
    ranks = np.zeros(SHAPE, np.int16)
    ranks[5, 7], ranks[0, 0], ranks[2, 2:4], ranks[3, 3] = 2, 9, 4, -9999
    assert read(write_tif(tmp_path / "a.tif", ranks)) == (flat((5, 7), (2, 2), (2, 3), (0, 0)), [1, 2, 2, 3])
    # What was written as a file's no data is no break.
    assert read(write_tif(tmp_path / "b.tif", ranks, nodata=9)) == (flat((5, 7), (2, 2), (2, 3)), [1, 2, 2])
    asc = write_tif(tmp_path / "c.asc", ranks.clip(0), driver="AAIGrid")
    (tmp_path / "c.prj").unlink()  # an .asc alone has no coordinate system: the landscape's
    assert read(asc) == (flat((5, 7), (2, 2), (2, 3), (0, 0)), [1, 2, 2, 3])
    ones = write_tif(tmp_path / "d.tif", (ranks > 0).astype(np.uint8))
    assert read(ones) == (flat((0, 0), (2, 2), (2, 3), (5, 7)), [1, 2, 3, 4])
    assert read(ones, crs=None) == read(ones)
    assert read(ones, crs=None, transform=None) == read(ones)
    sevens = write_tif(tmp_path / "e.tif", (ranks > 0) * np.float32(7))
    assert read(sevens)[1] == [1, 1, 1, 1]


def test_the_32767th_break_is_one_too(tmp_path):
    ranks = np.arange(32760, 32770, dtype=np.float32).reshape(2, 5)
    path = write_tif(tmp_path / "a.tif", ranks, nodata=-9999)
    assert read(path, shape=(2, 5)) == (list(range(10)), list(range(1, 11)))


def test_rasters_that_hold_no_plan_are_refused(tmp_path):
    none = np.zeros(SHAPE, np.int16)
    path = tmp_path / "a.tif"
    refused(write_tif(path, none), r"holds no fuel break \(0 of 48 cells\)")
    none[4, 3] = -2
    refused(write_tif(path, none), r"-2 at row 4, column 3 is below 0; give 1 for a fuel break \(or its order of")
    refused(write_tif(path, none + np.float32(0.5)), r"0.5 at row 0, column 0 is not a whole number")
    refused(write_tif(path, none.astype(float) + 2**31), r"is not a whole number below 2147483648")
    formats.write_raster(path, np.ones((2, *SHAPE), np.int16), **PLACE)
    refused(path, r"has 2 bands; give a raster of fuel breaks with one")
    refused(write_tif(path, none, transform=None, crs=None), r"has no georeference")
    path.write_text("no raster")
    refused(path, r"cannot be read as a raster")
    refused(tmp_path / "b.tif", r"no such file; give a raster, GeoPackage, GeoJSON, shapefile or csv of fuel breaks")
    refused(tmp_path, r"no such file")


GRIDS = {
    "rows": ((5, 8), GRID, r"grid of 5 x 8 cells of 30 m with its corner at 500000, 5000000 is not"),
    "size": (SHAPE, (10, 0, 500_000, 0, -10, 5_000_000), r"6 x 8 cells of 10 m with its corner at 500000, 5000000"),
    "corner": (SHAPE, (30, 0, 500_015, 0, -30, 5_000_000), r"6 x 8 cells of 30 m with its corner at 500015, 5000000"),
    "oblong": (SHAPE, (30, 0, 500_000, 0, -20, 5_000_000), r"6 x 8 cells of 30 x 20 m with its corner"),
    "turned": (SHAPE, (30, 9, 500_000, 9, -30, 5_000_000), r"6 x 8 cells of 30 m \(rotated\) with its corner"),
}


@pytest.mark.parametrize(("shape", "transform", "theirs"), GRIDS.values(), ids=GRIDS)
def test_another_grid_is_refused_and_both_are_named(shape, transform, theirs, tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones(shape, np.uint8), transform=transform)
    message = refused(path, theirs)
    assert "is not the landscape's, 6 x 8 cells of 30 m with its corner at 500000, 5000000; give" in message
    assert "--reproject" in message
    assert "--window" in message
    refused(path, theirs, reader=formats.read_units)


def test_without_a_place_only_the_size_of_a_grid_is_known(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones((5, 8), np.uint8))
    refused(path, r"grid of 5 x 8 cells .* is not the landscape's, 6 x 8 cells;", crs=None, transform=None)
    refused(path, r"so the file cannot be brought over; give one with --crs", crs=None, reproject=True)


@pytest.mark.parametrize("reader", [formats.read_breaks, formats.read_units])
@pytest.mark.parametrize(
    ("crs", "name"), [(ZONE_12, r"WGS 84 / UTM zone 12N \(EPSG:32612\)"), ("EPSG:4326", r"WGS 84 \(EPSG:4326\)")]
)
def test_another_coordinate_system_is_refused_and_both_are_named(reader, crs, name, tmp_path):
    words = rf"coordinate system {name} is not the landscape's, WGS 84 / UTM zone 11N \(EPSG:32611\); add --reproject"
    # The very numbers of the landscape's grid, in another zone.
    refused(write_tif(tmp_path / "a.tif", np.ones(SHAPE, np.uint8), crs=crs), words, reader)
    for ending in DRIVERS:
        refused(write_vectors(tmp_path / f"a{ending}", [point(1.5, 2.5)], crs=crs), words, reader)


def test_a_raster_with_another_corner_is_brought_over_by_nearest_neighbor(tmp_path):
    ranks = np.zeros((9, 9), np.int32)
    ranks[4, 4], ranks[4, 5], ranks[0, 0], ranks[2, 3] = 3, 2_000_000_011, 1, 7
    moved = (30, 0, 500_000 - 70, 0, -30, 5_000_000 + 61)  # 2 and a third columns west, and a good 2 rows north
    path = write_tif(tmp_path / "a.tif", ranks, transform=moved)
    with pytest.warns(UserWarning, match=r"1 of its 4 cells of fuel breaks have their center outside the landscape; "):
        found = read(path, reproject=True)
    assert found == (flat((2, 2), (0, 1), (2, 3)), [1, 2, 3])
    ranks[0, 0] = 0
    ranks[4, 4], ranks[4, 5] = 1, 1
    ranks[2, 3] = 1
    path = write_tif(tmp_path / "b.tif", ranks, transform=moved)
    assert read(path, reproject=True) == (flat((0, 1), (2, 2), (2, 3)), [1, 2, 3])
    # On the landscape's own grid nothing is moved.
    path = write_tif(tmp_path / "c.tif", np.arange(48, dtype=np.int16).reshape(SHAPE))
    assert read(path, reproject=True) == read(path)


@pytest.mark.parametrize("crs", [ZONE_12, "EPSG:4326", "EPSG:5070"])
def test_a_raster_in_another_coordinate_system_gives_each_cell_what_its_center_lies_in(crs, tmp_path):
    left, bottom, right, top = rasterio.warp.transform_bounds(ZONE_11, crs, 499_900, 4_999_700, 500_400, 5_000_100)
    ranks = np.arange(1, 401, dtype=np.int32).reshape(20, 20)
    transform = ((right - left) / 20, 0, left, 0, (bottom - top) / 20, top)
    path = write_tif(tmp_path / "a.tif", ranks, crs=crs, transform=transform)
    with pytest.warns(UserWarning, match=r"have their center outside the landscape|are the nearest of no cell"):
        found = formats.read_units(path, **ON_GRID, reproject=True)
    row, col = np.indices(SHAPE)
    x, y = rasterio.warp.transform(ZONE_11, crs, *at((row + 0.5).ravel(), (col + 0.5).ravel()))
    cols = np.floor((np.array(x) - left) / transform[0]).astype(int)
    rows = np.floor((np.array(y) - top) / transform[4]).astype(int)
    got = np.zeros(48, np.int64)
    for number, cells in zip(found.number, found.cells, strict=True):
        got[cells[cells >= 0]] = number
    np.testing.assert_array_equal(got, ranks[rows, cols])


def test_a_raster_that_loses_all_its_breaks_is_refused_with_their_number(tmp_path):
    ones = np.ones((3, 4), np.uint8)
    far = write_tif(tmp_path / "a.tif", ones, transform=(30, 0, 600_000, 0, -30, 5_000_000))
    words = r"holds no fuel break \(0 of 48 cells\): 12 of its 12 cells of fuel breaks have their center outside"
    refused(far, words, reproject=True)
    pole = write_tif(tmp_path / "b.tif", ones, crs="EPSG:4326", transform=(1, 0, 170, 0, -1, 89))
    refused(pole, words, reproject=True)
    fine = np.zeros((30, 40), np.uint8)
    fine[0, 0] = 1  # a cell of 3 m beside each center
    path = write_tif(tmp_path / "c.tif", fine, transform=(3, 0, 500_000, 0, -3, 5_000_000))
    refused(path, r"0 of its 1 cells .* outside the landscape, the rest fall between its centers", reproject=True)
    fine[5, 5] = 2
    path = write_tif(tmp_path / "d.tif", fine, transform=(3, 0, 500_000, 0, -3, 5_000_000))
    with pytest.warns(UserWarning, match=r"1 of its numbers, first 1, are the nearest of no cell"):
        assert read(path, reproject=True) == ([0], [1])


def test_a_tall_raster_is_brought_over_to_its_last_row(tmp_path):
    ranks = np.arange(1, 301, dtype=np.int16).reshape(150, 2)
    path = write_tif(tmp_path / "a.tif", ranks, transform=(30, 0, 500_000, 0, -30, 5_000_060))
    with pytest.warns(UserWarning, match=r"^[^\n]*4 of its 300 cells of fuel breaks have their center outside"):
        breaks = formats.read_breaks(path, **{**ON_GRID, "shape": (148, 2)}, reproject=True)
    np.testing.assert_array_equal(breaks.cells, np.arange(296))
    np.testing.assert_array_equal(breaks.unit, np.arange(1, 297))


def test_what_lies_where_the_landscapes_coordinate_system_does_not_reach_is_refused(tmp_path):
    # A quarter around the world UTM has no coordinates at all.
    path = write_tif(tmp_path / "a.tif", np.ones((3, 4), np.uint8), crs="EPSG:4326", transform=(1, 0, -29, 0, -1, 1))
    words = r"cannot be brought over: WGS 84 \(EPSG:4326\) and WGS 84 / UTM zone 11N \(EPSG:32611\) do not both reach"
    refused(path, words, reproject=True)
    path = write_vectors(tmp_path / "b.gpkg", [shapely.box(-29, -1, -25, 1)], crs="EPSG:4326", moved=False)
    refused(path, words, reproject=True)
    with pytest.raises(InputError, match=words):
        formats.read_places(path, **ON_GRID)
    endless = shapely.LineString([at(1, 1), (np.inf, 5_000_000)])
    path = write_vectors(tmp_path / "c.gpkg", [endless, point(1.5, 1.5)], number=[1, 2])
    with pytest.warns(UserWarning, match=r"of its 2 features 1 lie outside"):
        assert read(path) == (flat((1, 1)), [1])


# ---- vectors


@pytest.mark.parametrize("ending", DRIVERS)
def test_areas_lines_and_points_treat_the_cells_they_should(ending, tmp_path):
    def cells(*geometry, **columns):
        return read(write_vectors(tmp_path / f"{next(names)}{ending}", geometry, **columns))

    names = iter("abcdefg")
    # Centers decide: 0.4 of a cell more on each side reaches no further one, 0.6 does.
    assert cells(area(1.6, 1.6, 1.8, 2.8), rank=[1]) == (flat((2, 2), (2, 3)), [1, 1])
    assert cells(area(1.4, 1.4, 2.2, 1.2), rank=[1]) == (flat((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)), [1] * 6)
    assert cells(line((0.1, 0.9), (1.1, 1.1)), rank=[1]) == (flat((0, 0), (0, 1), (1, 1)), [1, 1, 1])
    assert cells(point(5.99, 7.99), point(0.01, 0.01), rank=[1, 2]) == (flat((5, 7), (0, 0)), [1, 2])
    pieces = shapely.MultiPolygon([area(0, 0, 1, 1), area(3, 5, 1, 2)])
    assert cells(pieces, rank=[1]) == (flat((0, 0), (3, 5), (3, 6)), [1, 1, 1])
    hole = area(0, 0, 3, 3).difference(area(1, 1, 1, 1))
    assert flat((1, 1))[0] not in cells(hole, rank=[1])[0]
    several = shapely.MultiLineString([line((0.5, 0.5), (0.5, 1.5)), line((5.5, 0.5), (5.5, 0.6))])
    assert cells(several, rank=[1])[0] == flat((0, 0), (0, 1), (5, 0))


def test_kinds_are_mixed_and_collections_taken_apart(tmp_path):
    both = shapely.GeometryCollection([shapely.MultiPoint([at(0.5, 0.5), at(0.5, 6.5)]), line((2.5, 2.5), (2.5, 3.5))])
    path = write_vectors(tmp_path / "a.gpkg", [both, area(2, 3, 1, 2), point(0.5, 0.5)], number=[1, 2, 3])
    with pytest.warns(UserWarning, match=r"of its 3 features 0 lie outside .* and 1 hold no center of a cell, or none"):
        assert read(path) == (flat((0, 0), (0, 6), (2, 2), (2, 3), (2, 4)), [1, 1, 1, 1, 2])
    spot = shapely.LineString([at(1.5, 1.5)] * 2)
    assert read(write_vectors(tmp_path / "b.gpkg", [spot], number=[1])) == (flat((1, 1)), [1])
    high = shapely.force_3d(area(1, 1, 1, 1), 900.0)
    pyogrio.raw.write(
        str(tmp_path / "c.gpkg"),
        np.array([shapely.to_wkb(high)], object),
        [],
        [],
        driver="GPKG",
        geometry_type="Polygon Z",
        crs=ZONE_11,
    )
    assert read(tmp_path / "c.gpkg") == (flat((1, 1)), [1])


def test_lines_treat_every_cell_they_pass_through(tmp_path):
    squares = np.array([area(row, col, 1, 1) for row in range(6) for col in range(8)])
    rng = np.random.default_rng(0)
    lines = [line(*rng.uniform(-1, 8, (3, 2))) for _ in range(40)]
    for i, each in enumerate(lines):
        inside = np.flatnonzero(shapely.length(shapely.intersection(squares, each)) > 1e-6)
        if len(inside):
            path = write_vectors(tmp_path / f"{i}.gpkg", [each], number=[1])
            np.testing.assert_array_equal(formats.read_breaks(path, **ON_GRID).cells, inside)


@pytest.mark.parametrize("ending", [".gpkg", ".shp", ".geojson"])
def test_the_first_built_has_a_cell_that_several_claim(ending, tmp_path):
    areas = [area(0, 0, 1, 3), area(0, 1, 1, 3), area(0, 2, 2, 2)]
    path = write_vectors(tmp_path / f"a{ending}", areas, RANK=[30, 10, 20], Cost=[1.5, 2.5, 3.5])
    breaks = formats.read_breaks(path, **ON_GRID)
    assert breaks.cells.tolist() == flat((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (0, 0))
    assert breaks.unit.tolist() == [1, 1, 1, 2, 2, 3]
    assert breaks.cost.tolist() == [2.5, 3.5, 1.5]
    # Without ranks, and where they are equal, as they stand in the file.
    in_file = (flat((0, 0), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3)), [1, 1, 1, 2, 3, 3])
    assert read(write_vectors(tmp_path / f"b{ending}", areas, name=["a", "b", "c"])) == in_file
    assert read(write_vectors(tmp_path / f"c{ending}", areas, rank=[4, 4, 4])) == in_file
    assert read(write_vectors(tmp_path / f"d{ending}", areas, rank=[np.nan] * 3)) == in_file


def test_units_that_lose_all_their_cells_lose_their_rank_and_cost(tmp_path):
    path = write_vectors(
        tmp_path / "a.gpkg",
        [area(0, 0, 1, 1), area(0, 0, 1, 1), point(1.5, 1.5), point(-1, 3), area(3.1, 3.1, 0.2, 0.2)],
        rank=[1, 2, 3, 4, 5],
        cost=[1.0, 2, np.nan, 4, 5],
    )
    with pytest.warns(UserWarning, match=r"of its 5 features 1 lie outside the landscape and 2 hold no .* as lines"):
        breaks = formats.read_breaks(path, **ON_GRID)
    assert breaks.unit.tolist() == [1, 2]
    np.testing.assert_array_equal(breaks.cost, [1, np.nan])
    path = write_vectors(tmp_path / "b.gpkg", [point(1.5, 1.5)], cost=[np.nan])
    assert formats.read_breaks(path, **ON_GRID).cost is None


@pytest.mark.parametrize("crs", [ZONE_12, "EPSG:4326"])
@pytest.mark.parametrize("ending", DRIVERS)
def test_vectors_of_another_coordinate_system_are_brought_over(ending, crs, tmp_path):
    path = write_vectors(tmp_path / f"a{ending}", [area(1, 2, 2, 3), area(4, 0, 1, 1)], crs=crs, rank=[2, 1])
    expected = flat((4, 0), (1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4))
    assert read(path, reproject=True) == (expected, [1] + [2] * 6)
    lines = write_vectors(tmp_path / f"b{ending}", [line((3.5, -4), (3.5, 20))], crs=crs, rank=[1])
    assert read(lines, reproject=True) == (flat(*[(3, col) for col in range(8)]), [1] * 8)


def test_our_layer_is_read_of_several_or_else_the_first(tmp_path):
    path = tmp_path / "a.gpkg"
    for name, geometry in (("roads", point(0.5, 0.5)), ("breaks", point(1.5, 1.5)), ("units", point(2.5, 2.5))):
        write_vectors(path, [geometry], layer=name, append=path.exists(), number=[1])
    assert read(path)[0] == flat((1, 1))
    assert formats.read_units(path, **ON_GRID).cells.tolist() == [flat((2, 2))]
    write_vectors(tmp_path / "b.gpkg", [point(0.5, 0.5)], layer="roads", number=[1])
    write_vectors(tmp_path / "b.gpkg", [point(3.5, 3.5)], layer="trails", append=True, number=[1])
    assert read(tmp_path / "b.gpkg")[0] == flat((0, 0))


def test_vector_files_that_hold_no_plan_are_refused(tmp_path):
    out = write_vectors(tmp_path / "a.gpkg", [point(-3, 2), point(90, 2)], rank=[1, 2])
    refused(out, r"holds no fuel break \(0 of 48 cells\): of its 2 features 2 lie outside the landscape;")
    narrow = write_vectors(tmp_path / "b.gpkg", [area(1.1, 1.1, 0.2, 4)], rank=[1])
    refused(narrow, r"of its 1 features 0 lie outside the landscape and 1 hold no center of a cell")
    formats.write_breaks(tmp_path / "c.gpkg", np.zeros((0, 2), int), **PLACE)
    refused(tmp_path / "c.gpkg", r"holds no fuel break \(0 of 48 cells\); give")
    for i, (ranks, words) in enumerate(
        [
            ([1.0, 2.5], "2.5 in feature 2"),
            ([0, 1], "0 in feature 1"),
            ([1, -3], "-3 in feature 2"),
            ([1, np.nan], "empty in feature 2"),
        ]
    ):
        path = write_vectors(tmp_path / f"d{i}.gpkg", [point(1, 1), point(2, 2)], rank=ranks)
        refused(path, rf"its column rank is {words}; give each its order of building, a whole number from 1")
    path = write_vectors(tmp_path / "e.gpkg", [point(1, 1)], rank=["first"])
    refused(path, r"its column rank is 'first' in feature 1, which is no number")
    path = write_vectors(tmp_path / "f.gpkg", [point(1, 1), point(2, 2)], cost=[1.0, -3.0])
    refused(path, r"its column cost is -3 in feature 2; give 0 or more")
    path = write_vectors(tmp_path / "g.gpkg", [point(1, 1)], rank=[1])
    refused(path, r"no coordinate reference system, so the file cannot be laid on it; give one with --crs", crs=None)
    (tmp_path / "h.geojson").write_text("{")
    refused(tmp_path / "h.geojson", r"is no readable vector file")
    refused(tmp_path / "i.shp", r"no such file; give a raster, GeoPackage")


def test_text_that_is_a_number_is_one_and_features_without_geometry_are_told(tmp_path):
    path = write_vectors(tmp_path / "a.gpkg", [point(1.5, 1.5), point(2.5, 2.5), None], rank=["2", "1", "3"])
    with pytest.warns(UserWarning, match=r"of its 3 features 1 lie outside the landscape, and are left out$"):
        assert read(path) == (flat((2, 2), (1, 1)), [1, 2])


# ---- Cell2Fire


def test_firebreak_cells_of_cell2fire_count_from_1_along_the_rows(tmp_path):
    path = tmp_path / "HarvestedCells.csv"
    path.write_text("Year Number,Cell Numbers\n1,12,13,14\n")
    assert read(path) == ([11, 12, 13], [1, 2, 3])
    # As other programs write it: two years, other ends of lines, quotes, fields without a number, a cell twice.
    path.write_bytes(b'\xef\xbb\xbfYear,Ncell\r\n1,48,1,,\r\n\r\n"2","7",12.0,48\r\n')
    breaks = formats.read_breaks(path, crs=None, transform=None, shape=SHAPE)
    assert breaks.cells.tolist() == [47, 0, 6, 11]
    assert (breaks.unit.tolist(), breaks.cost, breaks.tags) == ([1, 2, 3, 4], None, {})


CELLS = {
    "nothing": ("", r"is empty; give Cell2Fire's file of firebreak cells: Year Number,Cell Numbers, then rows such as"),
    "blank": (" \n\n", r"is empty"),
    "no row": ("Year,Ncell\n", r"holds no fuel break \(0 of 48 cells\)"),
    "no cell": ("Year,Ncell\n1\n2,,\n", r"holds no fuel break \(0 of 48 cells\)"),
    "no header": ("1,12,13\n", r"line 1: '1,12,13' is no header that names cells"),
    "other table": ("year,acres\n1990,12\n", r"line 1: 'year,acres' is no header"),
    "word": ("Year,Ncell\n1,12\n1,x\n", r"line 3: 'x' is no year or number of a cell"),
    "fraction": ("Year,Ncell\n1,12.5\n", r"line 2: '12.5' is no year"),
    "negative": ("Year,Ncell\n1,-12\n", r"line 2: '-12' is no year"),
    "no year": ("Year,Ncell\n,12,13\n", r"line 2: '' is no year"),
    "beyond": (
        "Year,Ncell\n1,0,48,49,50\n",
        r"3 of its 4 cells are none of the landscape's 6 x 8, which count from 1 to 48: 0, 49, 50; give the --window",
    ),
    "far beyond": ("Year,Ncell\n1,51,52,53,54,55,56\n", r"6 of its 6 cells .*: 51, 52, 53, 54, 55, \.\.\.; give"),
}


@pytest.mark.parametrize(("text", "words"), CELLS.values(), ids=CELLS)
def test_files_of_cells_that_are_none_are_refused(text, words, tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(text)
    refused(path, words)


def test_a_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"Year,Ncell\n\xff\xfe")
    refused(tmp_path / "a.csv", r"is no text \(byte 11 is not UTF-8\)")


# ---- treatment units


def units(path: Path, **more) -> formats.UnitTable:
    return formats.read_units(path, **{**ON_GRID, **more})


def test_a_raster_of_numbers_is_a_table_of_units(tmp_path):
    labels = np.zeros(SHAPE, np.int32)
    labels[1, 1:4], labels[4:, 6], labels[0, 0], labels[5, 0] = 32767, 3, 2_000_000_011, -9999
    found = units(write_tif(tmp_path / "a.tif", labels))
    assert found.number.tolist() == [3, 32767, 2_000_000_011]
    assert found.cells.tolist() == [[*flat((4, 6), (5, 6)), -1], flat((1, 1), (1, 2), (1, 3)), [0, -1, -1]]
    assert found.cells.dtype == found.number.dtype == np.int64
    assert np.isnan(found.cost).all()
    assert found.must.dtype == found.excluded.dtype == bool
    assert not (found.must | found.excluded).any()
    assert found.kind.tolist() == found.owner.tolist() == found.access.tolist() == [""] * 3
    one = units(write_tif(tmp_path / "b.tif", (labels > 0).astype(np.uint8)))  # a single unit, unlike breaks
    assert (one.number.tolist(), one.cells.shape) == ([1], (1, 6))
    labels[2, 2] = -4
    refused(
        write_tif(tmp_path / "c.tif", labels), r"-4 at row 2, column 2 is below 0; give each cell the number", units
    )
    refused(write_tif(tmp_path / "d.tif", labels * 0), r"holds no treatment unit \(0 of 48 cells\)", units)
    refused(tmp_path / "e.tif", r"no such file; give a raster, GeoPackage, GeoJSON or shapefile of treatment", units)
    path = write_tif(tmp_path / "f.tif", labels.clip(0), transform=(30, 0, 500_030, 0, -30, 5_000_000))
    assert units(path, reproject=True).cells[0].tolist() == [*flat((4, 7), (5, 7)), -1]


@pytest.mark.parametrize("ending", [".gpkg", ".shp", ".geojson"])
def test_features_are_units_with_what_their_columns_say(ending, tmp_path):
    found = units(
        write_vectors(
            tmp_path / f"a{ending}",
            [area(0, 0, 1, 3), area(3, 1, 1, 2), area(5, 5, 1, 1)],
            unit=[70, 5, 6],
            id=[1, 2, 3],
            Cost=[1200.5, np.nan, 0.0],
            must_treat=[0, 1, 0],
            excluded=["true", "", "No"],
            kind=["thinning", None, " burn "],
            owner=["State", "A. Miller", None],
            access=[1.0, 2.5, np.nan],
        )
    )
    assert found.number.tolist() == [70, 5, 6]
    assert found.cells.tolist() == [[0, 1, 2], [*flat((3, 1), (3, 2)), -1], [*flat((5, 5)), -1, -1]]
    np.testing.assert_array_equal(found.cost, [1200.5, np.nan, 0])
    assert found.must.tolist() == [False, True, False]
    assert found.excluded.tolist() == [True, False, False]
    assert found.kind.tolist() == ["thinning", "", "burn"]
    assert found.owner.tolist() == ["State", "A. Miller", ""]
    assert found.access.tolist() == ["1", "2.5", ""]
    path = write_vectors(
        tmp_path / f"b{ending}", [point(1.5, 1.5), point(2.5, 2.5)], must=[True, False], exclude=[0, 1]
    )
    found = units(path)
    assert (found.must.tolist(), found.excluded.tolist()) == ([True, False], [False, True])
    assert found.number.tolist() == [1, 2]


def test_numbers_of_units_come_from_unit_or_id_or_their_place_in_the_file(tmp_path):
    spots = [point(1.5, 1.5), point(2.5, 2.5)]
    assert units(write_vectors(tmp_path / "a.gpkg", spots, id=[9, 4])).number.tolist() == [9, 4]
    path = write_vectors(tmp_path / "b.gpkg", spots, id=[9, 4], unit=[np.nan, np.nan])
    assert units(path).number.tolist() == [9, 4]
    assert units(write_vectors(tmp_path / "c.gpkg", spots, id=[np.nan, np.nan])).number.tolist() == [1, 2]
    for name, ids, words in (("d", [3, 3], "3 in feature 2, as in one before"), ("e", ["N7", "8"], "N7 in feature 1")):
        path = write_vectors(tmp_path / f"{name}.gpkg", spots, id=ids)
        with pytest.warns(UserWarning, match=f"its column id is {words}; its units are numbered as they stand there"):
            assert units(path).number.tolist() == [1, 2]
    for name, numbers, words in (
        ("f", [3, 3], "3 in feature 2, as in one before"),
        ("g", [0, 3], "0 in feature 1"),
        ("h", [1.5, 3], "1.5 in feature 1"),
        ("i", [1, np.nan], "empty in feature 2"),
    ):
        path = write_vectors(tmp_path / f"{name}.gpkg", spots, unit=numbers)
        refused(path, rf"its column unit is {words}; give each feature a whole number from 1 of its own", units)


def test_cells_in_several_units_go_to_the_first_and_are_told(tmp_path):
    areas = [area(0, 0, 2, 3), area(1, 1, 2, 3), area(-5, 0, 2, 2), area(0, 0, 1, 1), area(5, 7, 4, 4)]
    path = write_vectors(tmp_path / "a.gpkg", areas, cost=[1.0, 2, 3, 4, 5], unit=[11, 12, 13, 14, 15])
    with pytest.warns(UserWarning) as caught:  # noqa: PT030 both texts are compared below
        found = units(path)
    assert [str(each.message) for each in caught] == [
        f"{path}: of its 5 features 1 lie outside the landscape and 1 hold no center of a cell, or none that is not in "
        "another, and are left out; draw strips narrower than a cell as lines",
        f"{path}: 3 cells lie in several units; each goes to the first of them in the file",
    ]
    assert found.number.tolist() == [11, 12, 15]
    assert found.cost.tolist() == [1, 2, 5]
    assert found.cells[1].tolist() == [*flat((1, 3), (2, 1), (2, 2), (2, 3)), -1, -1]
    claimed = found.cells[found.cells >= 0]
    assert len(set(claimed.tolist())) == len(claimed)
    # Pieces of one unit may overlap.
    twice = shapely.MultiLineString([line((1.5, 1.5), (1.5, 3.5)), line((0.5, 2.5), (2.5, 2.5))])
    assert np.count_nonzero(units(write_vectors(tmp_path / "b.gpkg", [twice], cost=[1.0])).cells >= 0) == 5


def test_a_unit_left_out_leaves_the_others_their_place_in_the_file(tmp_path):
    path = write_vectors(tmp_path / "a.gpkg", [point(1.5, 1.5), point(-2, 1), point(2.5, 2.5)], cost=[1.0, 2, 3])
    with pytest.warns(UserWarning, match=r"of its 3 features 1 lie outside the landscape, and are left out"):
        found = units(path)
    assert (found.number.tolist(), found.cost.tolist()) == ([1, 3], [1, 3])


@pytest.mark.parametrize("crs", [ZONE_12, "EPSG:4326"])
def test_units_of_another_coordinate_system_are_brought_over(crs, tmp_path):
    path = write_vectors(tmp_path / "a.gpkg", [area(1, 2, 2, 3), area(4, 0, 1, 1)], crs=crs, unit=[8, 3])
    found = units(path, reproject=True)
    assert found.cells.tolist() == [flat((1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4)), [*flat((4, 0)), *[-1] * 5]]


def test_unit_files_that_hold_none_are_refused(tmp_path):
    spots = [point(1.5, 1.5), point(2.5, 2.5)]
    path = write_vectors(tmp_path / "a.gpkg", spots, must=["no", "perhaps"])
    refused(path, r"its column must is 'perhaps' in feature 2; give 0 or 1, true or false", units)
    path = write_vectors(tmp_path / "b.gpkg", spots, exclude=[2, 0])
    refused(path, r"its column exclude is '2' in feature 1; give 0 or 1", units)
    path = write_vectors(tmp_path / "c.gpkg", spots, must=[1, 1], exclude=[0, 1], unit=[7, 8])
    refused(path, r"unit 8 is to be treated in any case and excluded; choose one of both", units)
    path = write_vectors(tmp_path / "d.gpkg", spots, cost=["1200", "much"])
    refused(path, r"its column cost is 'much' in feature 2, which is no number", units)
    path = write_vectors(tmp_path / "e.gpkg", spots, cost=[np.inf, 1.0])
    refused(path, r"its column cost is inf in feature 1; give 0 or more", units)
    path = write_vectors(tmp_path / "f.gpkg", [point(-3, 2)], cost=[1.0])
    refused(path, r"holds no treatment unit \(0 of 48 cells\): of its 1 features 1 lie outside the landscape", units)
    path = tmp_path / "cells.csv"
    path.write_text("Year,Ncell\n1,2\n")
    refused(path, r"cannot be read as a raster", units)
