"""The landscape, the budget and the plan: what goes in is checked once, and nobody can change it afterwards."""

from __future__ import annotations

import pickle
import time
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from fuelbreak import fuels
from fuelbreak.errors import InputError
from fuelbreak.landscape import (
    LAYER_RANGES,
    LAYER_TYPES,
    LAYERS,
    Landscape,
    Plan,
    budget_units,
    crop,
    shaded,
    slope_aspect,
    with_buffer,
    with_crs,
)

GRID = (30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0)


def grass(rows: int = 6, cols: int = 8, **more) -> Landscape:
    return Landscape.from_arrays(np.full((rows, cols), 102), **more)


def write_landscape(path, shape=(20, 30), edit=None):
    rows, cols = shape
    stored = np.zeros((8, rows, cols), np.int16)
    stored[0] = 1000 + np.arange(rows * cols).reshape(shape)
    stored[1], stored[2], stored[3], stored[4] = 10, 180, 165, 50
    stored[5], stored[6], stored[7] = 200, 10, 12
    if edit:
        edit(stored)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=cols,
        count=8,
        dtype="int16",
        crs="EPSG:32611",
        transform=Affine(*GRID),
        nodata=-9999,
    ) as file:
        file.write(stored)
    return path


# ---- from arrays


def test_only_the_fuel_model_is_needed():
    land = grass()
    assert land.shape == (6, 8)
    assert (land.aspect_deg == -1).all()
    assert (land.value == 1).all()
    assert land.area_of_interest.all()
    for name in ("elevation_m", "slope_deg", "canopy_cover_pct", "canopy_height_m", "canopy_bulk_density_kg_m3"):
        assert (getattr(land, name) == 0).all()
    assert (land.cell_size_m, land.crs, land.transform, land.notes) == (30.0, None, None, ())
    assert land.hectares_per_cell == pytest.approx(0.09)
    assert land.aoi_window == (0, 0, 6, 8)


def test_every_layer_has_its_type_and_cannot_be_written():
    land = grass()
    for name in LAYERS:
        layer = getattr(land, name)
        assert layer.dtype == LAYER_TYPES[name]
        with pytest.raises(ValueError, match="read-only"):
            layer[0, 0] = 1
    for mask in (land.burnable, land.treatable):
        with pytest.raises(ValueError, match="read-only"):
            mask[0, 0] = False
    with pytest.raises(FrozenInstanceError):
        land.cell_size_m = 10  # type: ignore[misc]  # that it fails is the point


@pytest.mark.parametrize("frozen", [False, True])
def test_the_callers_arrays_stay_the_callers(frozen):
    fuel = np.full((6, 8), 102, np.int16)
    value = np.ones((6, 8), np.float32)
    inside = np.ones((6, 8), bool)
    given = (fuel, value, inside)
    for array in given:
        array.setflags(write=not frozen)
    land = Landscape.from_arrays(fuel, value=value, area_of_interest=inside)
    for mine, theirs in zip(given, (land.fuel_model, land.value, land.area_of_interest), strict=True):
        assert not np.shares_memory(mine, theirs)
        assert mine.flags.writeable is not frozen


def test_a_landscape_made_directly_copies_what_could_still_be_written():
    land = grass()
    value = np.full((6, 8), 2, np.float32)
    other = replace(land, value=value)
    assert not np.shares_memory(other.value, value)
    assert other.fuel_model is land.fuel_model  # frozen already, so shared
    assert value.flags.writeable


def test_burnable_and_treatable():
    fuel = np.full((3, 4), 102)
    fuel[0, 0], fuel[1, 1], fuel[2, 2] = 0, 91, 98
    inside = np.zeros((3, 4), bool)
    inside[1:, 1:3] = True
    land = Landscape.from_arrays(fuel, area_of_interest=inside)
    np.testing.assert_array_equal(land.burnable, fuel == 102)
    np.testing.assert_array_equal(land.treatable, (fuel == 102) & inside)
    assert land.aoi_window == (1, 1, 2, 2)


@pytest.mark.parametrize("name", list(LAYER_RANGES))
def test_values_out_of_range_are_named_with_their_place(name):
    low, high, _ = LAYER_RANGES[name]
    for edge in (low, high):
        grass(**{name: np.full((6, 8), edge)})
    for wrong in (low - 1, high * 1.01):
        layer = np.full((6, 8), low)
        layer[2, 3] = layer[4, 4] = wrong
        with pytest.raises(InputError, match=rf"{name} is .* at row 2, column 3 \(2 cells out of range\)"):
            grass(**{name: layer})
    for missing in (np.nan, np.inf):
        layer[2, 3] = missing
        with pytest.raises(InputError, match=rf"{name} has 1 cells without a number, first at row 2, column 3"):
            grass(**{name: layer})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slope_deg": np.zeros((6, 7))}, "slope_deg has 6 rows x 7 columns but fuel_model has 6 x 8"),
        ({"value": np.ones(8)}, r"value has shape \(8,\); give a table of rows x columns"),
        ({"value": [["a"] * 8] * 6}, "value is not an array of numbers"),
        ({"value": [[1, 2], [3]]}, "value is not an array of numbers"),
        ({"value": np.ma.zeros((6, 8))}, "value is a masked array"),
        ({"area_of_interest": np.full((6, 8), 2)}, "area_of_interest at row 0, column 0 is neither 0 nor 1"),
        ({"area_of_interest": np.zeros((6, 8))}, "the area of interest has no burnable cell"),
        ({"cell_size_m": 0}, "cell size 0 is not a length"),
        ({"cell_size_m": float("nan")}, "cell size nan is not a length"),
        ({"cell_size_m": "wide"}, "cell size 'wide' is not a length"),
        ({"transform": (30, 0, 0, 0, -20, 0)}, "does not fit square cells of 30 m"),
        ({"transform": (30, 1, 0, 1, -30, 0)}, "does not fit square cells of 30 m"),
        ({"transform": (30, 0, 0, 0, 30, 0)}, "does not fit square cells of 30 m with row 0 in the north"),
        ({"transform": (10, 0, 0, 0, -10, 0)}, "does not fit square cells of 30 m"),
        ({"transform": (30, 0, 0)}, "is not six numbers"),
        ({"crs": "EPSG:4326"}, "does not count in meters"),
        ({"crs": "Mars"}, "is not known"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        grass(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fuel", "message"),
    [
        (np.full((3, 3), 98), "no cell is burnable"),
        (np.array([[102, 77], [77, 102]]), "unknown fuel model 77 in 2 cells, first at row 0, column 1"),
        (np.array([[102, 50.5]]), "fuel_model at row 0, column 1 is 50.5, not a fuel model code"),
        (np.array([[102, 102 + 2**16]]), "fuel_model at row 0, column 1 is 65638, not a fuel model code"),
        (np.array([[102, -9999]]), "unknown fuel model -9999 in 1 cells"),
        (np.zeros((0, 3)), "give a table of rows x columns"),
        (np.array([[102, np.nan]]), "fuel_model has 1 cells without a number"),
    ],
)
def test_fuel_models_that_are_none_are_refused(fuel, message):
    with pytest.raises(InputError, match=message):
        Landscape.from_arrays(fuel)


def test_an_affine_and_a_crs_by_number_are_taken():
    land = grass(crs="EPSG:32611", transform=Affine(*GRID))
    assert land.transform == GRID
    assert land.crs is not None
    assert land.crs == with_crs(grass(), "32611").crs
    with pytest.raises(InputError, match="is not known"):
        with_crs(land, "nonsense")


def test_a_landscape_travels_to_another_process_unchanged_and_still_frozen():
    land = Landscape.demo(12, 15, 3)
    assert land.burnable.any()  # also with cached masks
    copy = pickle.loads(pickle.dumps(land))
    for name in LAYERS:
        np.testing.assert_array_equal(getattr(copy, name), getattr(land, name))
        assert not getattr(copy, name).flags.writeable
    assert (copy.crs, copy.transform, copy.label) == (land.crs, land.transform, land.label)
    np.testing.assert_array_equal(copy.treatable, land.treatable)


# ---- windows and buffers


def test_crop_cuts_every_layer_and_moves_the_transform():
    rng = np.random.default_rng(0)
    land = grass(20, 30, value=rng.random((20, 30)), transform=GRID)
    part = crop(land, (4, 6, 5, 7), 2)
    assert part.shape == (9, 11)
    assert part.aoi_window == (2, 2, 5, 7)
    assert part.area_of_interest.sum() == 35
    np.testing.assert_array_equal(part.value, land.value[2:11, 4:15])
    assert part.transform == (30, 0, 500_000 + 4 * 30, 0, -30, 5_000_000 - 2 * 30)
    corner = crop(land, (0, 25, 5, 5), 3)  # the ring ends where the landscape does
    assert corner.shape == (8, 8)
    assert corner.aoi_window == (0, 3, 5, 5)
    assert crop(land, (0, 0, 20, 30)).shape == land.shape


def test_with_buffer_takes_the_ring_out_of_the_area_of_interest():
    land = with_buffer(grass(20, 30), 3)
    assert land.aoi_window == (3, 3, 14, 24)
    assert land.area_of_interest.sum() == 14 * 24
    assert land.burnable.all()
    with pytest.raises(InputError, match="a buffer of 3 cells leaves nothing of 6 rows x 8 columns; give at most 2"):
        with_buffer(grass(6, 8), 3)
    for wrong in (-1, 1.5, "x"):
        with pytest.raises(InputError, match="is not a number of cells"):
            with_buffer(grass(), wrong)  # type: ignore[arg-type]  # what a person may type


def test_crop_keeps_what_was_already_outside():
    inner = crop(with_buffer(grass(20, 20), 5), (0, 0, 10, 10))
    assert inner.aoi_window == (5, 5, 5, 5)
    with pytest.raises(InputError, match="the area of interest has no burnable cell"):
        crop(with_buffer(grass(20, 20), 5), (0, 0, 5, 5))


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ((0, 0, 7, 8), "window 0,0,7,8 .* reaches outside .*6 rows x 8 columns"),
        ((-1, 0, 3, 3), "reaches outside"),
        ((9, 9, 1, 1), "reaches outside"),
        ((0, 0, 0, 3), "is empty"),
        ((0, 0, 3), "is not four whole numbers"),
        ((0, 0, 3, 2.5), "is not four whole numbers"),
        ("abcd", "is not four whole numbers"),
    ],
)
def test_windows_that_are_none_are_refused(window, message):
    with pytest.raises(InputError, match=message):
        crop(grass(), window)


# ---- opening files


def test_open_reads_a_file_with_its_place(tmp_path):
    land = Landscape.open(write_landscape(tmp_path / "hills.tif"))
    assert land.shape == (20, 30)
    assert land.label == "hills.tif"
    assert land.transform == GRID
    assert land.crs == with_crs(grass(), "EPSG:32611").crs
    assert land.elevation_m[1, 2] == 1032
    np.testing.assert_allclose(land.canopy_height_m, 20)
    assert (land.value == 1).all()
    assert land.area_of_interest.all()


def test_open_with_a_window_is_open_then_crop(tmp_path):
    path = write_landscape(tmp_path / "hills.tif")
    for window, buffer in [((5, 5, 10, 10), 0), ((5, 5, 10, 10), 3), ((0, 20, 5, 10), 4), ((0, 0, 20, 30), 50)]:
        one = Landscape.open(path, window=window, buffer_cells=buffer)
        two = crop(Landscape.open(path), window, buffer)
        assert one.transform == two.transform
        for name in LAYERS:
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_open_without_a_window_takes_the_buffer_off_the_edge(tmp_path):
    land = Landscape.open(write_landscape(tmp_path / "hills.tif"), buffer_cells=4)
    assert land.shape == (20, 30)
    assert land.aoi_window == (4, 4, 12, 22)


def test_open_refuses_windows_and_fuels_it_cannot_use(tmp_path):
    def lake(stored):
        stored[3, :5] = 98
        stored[3, 10, 12] = stored[3, 11, 3] = 300

    path = write_landscape(tmp_path / "hills.tif", edit=lake)
    with pytest.raises(InputError, match=r"hills.tif: unknown fuel model 300 in 2 cells, first at row 10, column 12"):
        Landscape.open(path)
    with pytest.raises(InputError, match="unknown fuel model 300 in 1 cells, first at row 10, column 12"):
        Landscape.open(path, window=(9, 10, 4, 4))  # counted from the file's corner, not the window's
    with pytest.raises(InputError, match="the area of interest has no burnable cell"):
        Landscape.open(path, window=(0, 0, 4, 4), buffer_cells=3)
    with pytest.raises(InputError, match="no cell is burnable"):
        Landscape.open(path, window=(0, 0, 4, 4))
    with pytest.raises(InputError, match="reaches outside"):
        Landscape.open(path, window=(0, 0, 5, 31))
    with pytest.raises(InputError, match="lies outside"):
        Landscape.open(path, window=(100, 100, 5, 5), buffer_cells=2)
    with pytest.raises(InputError, match="is empty"):
        Landscape.open(path, window=(0, 0, 0, 5), buffer_cells=2)


def test_cells_that_lack_a_layer_do_not_burn_and_are_counted(tmp_path):
    def holes(stored):
        stored[3, 0, :6] = -9999  # no fuel
        stored[0, 0, :6] = -9999  # and no elevation there either: not counted twice
        stored[4, 1, 1] = -9999
        stored[5, 1, 1] = -9999
        stored[5, 1, 2] = -9999
        stored[3, 2, 2], stored[4, 2, 2] = 98, -9999  # water needs no canopy

    land = Landscape.open(write_landscape(tmp_path / "hills.tif", edit=holes))
    expected = np.ones((20, 30), bool)
    expected[0, :6] = expected[1, 1] = expected[1, 2] = expected[2, 2] = False
    np.testing.assert_array_equal(land.burnable, expected)
    assert land.fuel_model[2, 2] == 98
    assert land.notes == (
        "6 cells (1.0%) have no fuel data and are taken as nonburnable",
        "2 cells with a fuel model lack canopy_cover_pct, canopy_height_m and are taken as nonburnable",
    )
    for name in LAYERS:
        assert np.isfinite(getattr(land, name)).all()


def test_the_montana_landscape_opens(shared_data):
    path = shared_data / "landfire_montana" / "landscape_8band.tif"
    land = Landscape.open(path, window=(100, 200, 50, 60), buffer_cells=10)
    assert land.shape == (70, 80)
    assert land.aoi_window == (10, 10, 50, 60)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(land.fuel_model, file.read(4)[90:160, 190:270])
    whole = Landscape.open(path)
    assert whole.shape == (515, 502)
    assert whole.notes == ()
    assert 0.9 < whole.burnable.mean() < 1


def test_the_vermont_landscape_opens_in_both_fuel_systems(shared_data):
    folder = shared_data / "landfire_vermont" / "inputs"
    for system, codes in (("fbfm40", range(101, 205)), ("fbfm13", range(1, 14))):
        land = Landscape.open(folder, fuel_model=system)
        assert set(np.unique(land.fuel_model[land.burnable])) <= set(codes)
        assert land.notes == ("108586 cells (32.3%) have no fuel data and are taken as nonburnable",)


# ---- shaded fuelbreaks


def forest(**more) -> Landscape:
    """Timber, shrub and grass with rock and a buffer; trees of several sizes on the first two columns."""
    fuel = np.tile([165, 183, 142, 102, 99], (4, 1))
    inside = np.ones((4, 5), bool)
    inside[3] = False
    return Landscape.from_arrays(
        fuel,
        canopy_cover_pct=np.tile([70, 30, 0, 0, 0], (4, 1)),
        canopy_height_m=np.tile([20, 2.5, 0, 0, 0], (4, 1)),
        canopy_base_height_m=np.tile([1, 0.5, 0, 0, 0], (4, 1)),
        canopy_bulk_density_kg_m3=np.tile([0.2, 0.05, 0, 0, 0], (4, 1)),
        area_of_interest=inside,
        **more,
    )


@pytest.mark.parametrize(
    ("asked", "layer", "treated"),
    [
        ({"fuel_model": 181}, "fuel_model", [181, 181, 181, 181, 99]),
        ({"fuel_model": np.int32(181)}, "fuel_model", [181, 181, 181, 181, 99]),
        ({"fuel_model": {165: 161, 142: 141, 8: 9}}, "fuel_model", [161, 183, 141, 102, 99]),
        ({"fuel_model": {165: 183, 183: 165}}, "fuel_model", [183, 165, 142, 102, 99]),  # one swap, not a chain
        ({"max_canopy_cover_pct": 40}, "canopy_cover_pct", [40, 30, 0, 0, 0]),
        ({"min_canopy_base_height_m": 4}, "canopy_base_height_m", [4, 2.5, 0, 0, 0]),  # no higher than the tree
        ({"min_canopy_base_height_m": 0.75}, "canopy_base_height_m", [1, 0.75, 0, 0, 0]),
        ({"max_canopy_bulk_density_kg_m3": 0.0625}, "canopy_bulk_density_kg_m3", [0.0625, 0.05, 0, 0, 0]),
        ({"max_canopy_cover_pct": 0}, "canopy_cover_pct", [0, 0, 0, 0, 0]),
    ],
)
def test_a_shaded_fuelbreak_changes_what_is_asked_where_it_may(asked, layer, treated):
    land = forest(cell_size_m=20, label="hills")
    after = shaded(land, **asked)
    np.testing.assert_array_equal(getattr(after, layer)[:3], np.tile(np.array(treated, LAYER_TYPES[layer]), (3, 1)))
    np.testing.assert_array_equal(getattr(after, layer)[3], getattr(land, layer)[3])  # the buffer
    for name in LAYERS:
        if name != layer:
            np.testing.assert_array_equal(getattr(after, name), getattr(land, name))
    assert not getattr(after, layer).flags.writeable
    np.testing.assert_array_equal(after.treatable, land.treatable)
    assert (after.cell_size_m, after.label) == (20, "hills")
    assert land.fuel_model[0].tolist() == [165, 183, 142, 102, 99]


def test_a_prescription_may_change_fuel_and_canopy_at_once():
    land = forest()
    asked = {
        "fuel_model": {165: 161},
        "max_canopy_cover_pct": 40,
        "min_canopy_base_height_m": 4,
        "max_canopy_bulk_density_kg_m3": 0.1,
    }
    after = shaded(land, **asked)
    for name, value in asked.items():
        alone, layer = shaded(land, **{name: value}), name.removeprefix("max_").removeprefix("min_")
        np.testing.assert_array_equal(getattr(after, layer), getattr(alone, layer))
        assert (getattr(alone, layer) != getattr(land, layer)).any()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "a shaded fuelbreak changes fuel or canopy; give fuel_model, max_canopy_cover_pct"),
        ({"fuel_model": {}}, "fuel_model is an empty table"),
        ({"fuel_model": 300}, "unknown fuel model 300; use codes of the 13 or the 40 standard models"),
        ({"fuel_model": {165: 300}}, "unknown fuel model 300"),
        ({"fuel_model": {300: 165}}, "unknown fuel model 300"),
        ({"fuel_model": -9999}, "unknown fuel model -9999"),
        ({"fuel_model": 10**30}, "unknown fuel model 10{30};"),
        ({"fuel_model": 99}, r"fuel model 99 \(NB9 bare ground\) does not burn; give models that burn"),
        ({"fuel_model": {165: 91}}, "fuel model 91 .* does not burn"),
        ({"fuel_model": {0: 165}}, "fuel model 0 .* does not burn"),
        ({"fuel_model": 161.5}, "fuel_model 161.5 is not a code"),
        ({"fuel_model": "TL1"}, "fuel_model 'TL1' is not a code"),
        ({"fuel_model": True}, "fuel_model True is not a code"),
        ({"fuel_model": {165: None}}, "fuel_model None is not a code"),
        ({"fuel_model": [165, 161]}, "is not a code"),
        ({"max_canopy_cover_pct": 101}, r"limit of canopy_cover_pct is 101; give 0 to 100 \(percent\)"),
        ({"max_canopy_cover_pct": -1}, "limit of canopy_cover_pct is -1"),
        ({"max_canopy_cover_pct": float("nan")}, "limit of canopy_cover_pct is nan"),
        ({"max_canopy_cover_pct": "half"}, "limit of canopy_cover_pct is 'half'"),
        ({"min_canopy_base_height_m": 121}, "limit of canopy_base_height_m is 121; give 0 to 120"),
        ({"max_canopy_bulk_density_kg_m3": 12}, "limit of canopy_bulk_density_kg_m3 is 12; give 0 to 5"),
    ],
)
def test_prescriptions_that_are_none_are_refused_in_one_line(asked, message):
    with pytest.raises(InputError, match=message) as caught:
        shaded(forest(label="hills"), **asked)
    assert str(caught.value).startswith("hills:")
    assert "\n" not in str(caught.value)


# ---- terrain


@pytest.mark.parametrize("toward", [0, 45, 90, 135, 180, 225, 270, 315, 200.5])
@pytest.mark.parametrize("slope", [0.5, 20, 60])
def test_a_plane_faces_where_it_falls(toward, slope):
    rows, cols = np.mgrid[:7, :9]
    east, north = cols * 30.0, -rows * 30.0
    along = east * np.sin(np.radians(toward)) + north * np.cos(np.radians(toward))
    slopes, aspects = slope_aspect(500 - np.tan(np.radians(slope)) * along, 30.0)
    np.testing.assert_allclose(slopes, slope, rtol=1e-5)
    np.testing.assert_allclose((aspects - toward + 180) % 360 - 180, 0, atol=1e-3)


def test_flat_ground_faces_nowhere():
    slopes, aspects = slope_aspect(np.full((4, 5), 123.0), 30.0)
    assert (slopes == 0).all()
    assert (aspects == -1).all()


# ---- the demo landscape


def test_the_demo_has_the_asked_shape_place_and_label():
    land = Landscape.demo(40, 50, 0)
    assert land.shape == (40, 50)
    assert land.area_of_interest.all()
    assert land.cell_size_m == 30
    assert rasterio.crs.CRS.from_wkt(land.crs).to_epsg() == 32616
    assert "not for decisions" in land.label
    buffered = Landscape.demo(40, 50, 0, buffer_cells=7)
    assert buffered.shape == (54, 64)
    assert buffered.aoi_window == (7, 7, 40, 50)


def test_the_demo_lies_in_the_county_it_says():
    from rasterio.warp import transform

    land = Landscape.demo(10, 10, 5)
    (lon,), (lat,) = transform(land.crs, "EPSG:4326", [land.transform[2]], [land.transform[5]])
    assert -84.42 < lon < -84.07
    assert 36.44 < lat < 36.74


def test_the_same_seed_gives_the_same_demo_and_another_seed_another():
    one, two, other = Landscape.demo(50, 50, 7), Landscape.demo(50, 50, 7), Landscape.demo(50, 50, 8)
    for name in LAYERS:
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.transform == two.transform != other.transform
    assert (one.fuel_model != other.fuel_model).mean() > 0.3


@pytest.mark.parametrize("seed", range(8))
def test_the_demo_is_a_mosaic_worth_a_plan(seed):
    land = Landscape.demo(60, 60, seed)
    bare = 1 - land.burnable.mean()
    assert 0.05 <= bare <= 0.085
    assert {91, 98, 99} <= set(np.unique(land.fuel_model))
    groups = {"grass": (101, 102), "grass-shrub": (121, 122), "shrub": (142, 145), "timber": (161, 165, 183, 188)}
    for codes in groups.values():
        assert np.isin(land.fuel_model, codes).mean() > 0.1
    timber = np.isin(land.fuel_model, groups["timber"])
    assert land.canopy_cover_pct[timber].min() >= 45
    assert (land.canopy_base_height_m < land.canopy_height_m)[timber].all()
    assert land.canopy_cover_pct[~land.burnable].max() == 0
    # The terrain is real: it has relief, and the slopes fit the elevations.
    assert np.ptp(land.elevation_m) > 30
    slopes, _ = slope_aspect(land.elevation_m, 30.0)
    np.testing.assert_allclose(slopes[1:-1, 1:-1], land.slope_deg[1:-1, 1:-1], atol=1e-3)


def test_grass_grows_on_the_sunny_side_of_the_demo():
    land = Landscape.demo(300, 300, 1)
    southward = -np.cos(np.radians(land.aspect_deg))
    steep = land.slope_deg > 10
    grassy, timber = steep & (land.fuel_model <= 102) & land.burnable, steep & (land.fuel_model >= 161)
    assert southward[grassy].mean() > 0.2 > -0.2 > southward[timber].mean()


def test_the_demo_is_quick():
    Landscape.demo(10, 10)
    start = time.perf_counter()
    Landscape.demo(50, 50)
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 50), (400, 700)])
def test_the_demo_comes_in_every_size(shape):
    assert Landscape.demo(*shape, 2).shape == shape


def test_a_demo_beyond_the_terrain_is_refused_with_the_largest_size():
    for arguments in [(5000, 10), (10, 5000), (0, 10), (10, -1), (10, 10, -1)]:
        with pytest.raises(InputError, match=r"cannot be made; give 1 x 1 to \d+ x \d+ at this buffer"):
            Landscape.demo(*arguments)
    with pytest.raises(InputError, match="are not whole numbers"):
        Landscape.demo(10.5, 10)  # type: ignore[arg-type]  # what a person may type
    with pytest.raises(InputError, match="with a buffer of 480 cells"):
        Landscape.demo(50, 50, buffer_cells=480)


# ---- plans


def test_a_plan_keeps_the_order_of_building():
    land = grass()
    plan = Plan.from_cells(land, [(3, 4), (0, 1), (5, 7)], method="by hand", simulations=9, chosen_on=["ab"])
    assert plan.cells.tolist() == [28, 1, 47]
    assert plan.cells.dtype == np.int64
    assert plan.row_col.tolist() == [[3, 4], [0, 1], [5, 7]]
    assert np.argwhere(plan.mask).tolist() == [[0, 1], [3, 4], [5, 7]]
    assert (plan.kind, plan.method, plan.simulations, plan.chosen_on) == ("firebreak", "by hand", 9, ("ab",))
    first = plan.prefix(2)
    assert first.cells.tolist() == [28, 1]
    assert first.method == "by hand"
    assert plan.prefix(0).mask.sum() == 0
    for wrong in (-1, 4):
        with pytest.raises(InputError, match="plan has 3 cells"):
            plan.prefix(wrong)


def test_a_plans_cells_are_its_own():
    cells = np.array([1, 2, 3])
    plan = Plan.from_flat(grass(), cells)
    cells[0] = 40
    assert plan.cells.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        plan.cells[0] = 5
    plan.mask[0, 0] = True  # a mask is a fresh array
    assert not plan.mask[0, 0]


def test_plans_of_nothing_are_allowed():
    for plan in (Plan.from_cells(grass(), []), Plan.from_flat(grass(), []), Plan.from_flat(grass(), np.array([]))):
        assert len(plan) == 0
        assert plan.row_col.shape == (0, 2)
        assert not plan.mask.any()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([(0, 0), (6, 1), (-1, 2)], "2 cells are off the grid of 6 x 8, first row 6, column 1"),
        ([(0, 8)], "1 cells are off the grid of 6 x 8, first row 0, column 8"),
        ([(1, 1), (3, 3), (2, 2)], "1 of 3 cells are nonburnable already, first row 2, column 2"),
        ([(1, 1), (5, 5), (5, 6)], "2 of 3 cells are outside the area of interest, first row 5, column 5"),
        ([(1, 1), (3, 3), (1, 1), (1, 1)], "2 of 4 cells are listed more than once, first row 1, column 1"),
        ([(1, 1.5)], "not a list of .* pairs"),
        ([1, 2, 3], "not a list of .* pairs"),
        ([(1, 2, 3)], "not a list of .* pairs"),
        ([("a", "b")], "not a list of .* pairs"),
    ],
)
def test_plans_that_cannot_be_built_are_refused(cells, message):
    fuel = np.full((6, 8), 102)
    fuel[2, 2] = 98
    inside = np.ones((6, 8), bool)
    inside[5] = False
    with pytest.raises(InputError, match=message):
        Plan.from_cells(Landscape.from_arrays(fuel, area_of_interest=inside), cells)


@pytest.mark.parametrize("kind", ["firebreak", "shaded"])
def test_a_plan_is_of_firebreaks_or_of_shaded_fuelbreaks(kind):
    plan = Plan.from_flat(grass(), [3, 1], kind=kind)
    assert (plan.kind, plan.prefix(1).kind) == (kind, kind)


@pytest.mark.parametrize("kind", ["Shaded", "fuelbreak", "", None])
def test_other_kinds_of_break_are_refused_and_both_kinds_named(kind):
    with pytest.raises(
        InputError, match=r"cannot be simulated; use 'firebreak', cleared ground, or 'shaded', a shaded"
    ):
        Plan.from_flat(grass(), [3, 1], kind=kind)


def test_flat_cells_off_the_grid_are_refused():
    for cells in ([48], [-1]):
        with pytest.raises(InputError, match="1 of 1 cells are off the grid of 6 x 8"):
            Plan.from_flat(grass(), cells)
    with pytest.raises(InputError, match="not a list of flat cell numbers"):
        Plan.from_flat(grass(), [[1, 2]])


@given(st.data())
def test_any_prefix_of_a_plan_is_the_plan_of_its_first_cells(data):
    land = Landscape.demo(9, 11, data.draw(st.integers(0, 20)))
    choices = np.flatnonzero(land.treatable).tolist()
    cells = data.draw(st.lists(st.sampled_from(choices), unique=True, max_size=20))
    n = data.draw(st.integers(0, len(cells)))
    plan = Plan.from_flat(land, cells)
    assert plan.prefix(n).cells.tolist() == cells[:n]
    assert Plan.from_cells(land, plan.row_col).cells.tolist() == cells
    assert np.flatnonzero(plan.mask).tolist() == sorted(cells)


# ---- budgets


@pytest.mark.parametrize(
    ("budget", "cells"),
    [
        (0.05, 3),  # of 50: 2.5, half up
        (0.29, 15),  # 14.5, which a float would call 14.499999999999998
        (0.001, 1),
        (1.0, 50),
        (1, 1),
        (50, 50),
        ("5%", 3),
        ("100 %", 50),
        ("0.5%", 1),
        ("40", 40),
        ("0.5", 25),
        ("1", 1),
        ("1.0", 50),
        (np.float32(0.05), 3),
        (np.int64(7), 7),
    ],
)
def test_a_budget_is_a_fraction_or_a_number(budget, cells):
    assert budget_units(grass(5, 10), budget) == cells


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (0, "buys no fuel break; .* from 1 to 50"),
        (0.0, "buys no fuel break"),
        (-3, "buys no fuel break"),
        ("-5%", "buys no fuel break"),
        (51, "budget 51 is 51 cells, but only 50 can be treated"),
        ("51", "only 50 can be treated"),
        (1.5, "more than all 50 treatable cells .for 1.5 cells give a whole number"),
        ("101%", "more than all 50 treatable cells"),
        (float("nan"), "is not a number"),
        (float("inf"), "is not a number"),
        ("1e999999", "is not a number"),
        (True, "is not a number"),
        ("some", "'some' is not a number"),
        ("", "is not a number"),
        (None, "is not a number"),
    ],
)
def test_budgets_that_cannot_be_spent_are_refused_with_figures(budget, message):
    with pytest.raises(InputError, match=message):
        budget_units(grass(5, 10), budget)


def test_a_budget_counts_treatable_cells_only():
    fuel = np.full((10, 10), 102)
    fuel[:, 5] = 98
    land = with_buffer(Landscape.from_arrays(fuel), 1)
    assert np.count_nonzero(land.treatable) == 8 * 7
    assert budget_units(land, 0.5) == 28


def test_every_demo_code_is_a_fuel_model():
    assert len(fuels.unknown_codes(Landscape.demo(100, 100, 4).fuel_model)) == 0


def test_a_layer_of_one_value_takes_no_memory_and_stays_frozen():
    fuel = np.full((300, 400), 1)
    land = Landscape.from_arrays(fuel, slope_deg=np.broadcast_to(12.0, fuel.shape))
    for name, expected in (("elevation_m", 0), ("slope_deg", 12), ("value", 1), ("aspect_deg", -1)):
        layer = getattr(land, name)
        assert layer.strides == (0, 0)
        assert not layer.flags.writeable
        assert layer.shape == fuel.shape
        assert (layer == expected).all()
    source = np.array(3.0)
    lent = Landscape.from_arrays(fuel, value=np.broadcast_to(source, fuel.shape))
    source[...] = 7
    assert (lent.value == 3).all()
    with pytest.raises(InputError, match="without a number"):
        Landscape.from_arrays(fuel, value=np.broadcast_to(np.nan, fuel.shape))
