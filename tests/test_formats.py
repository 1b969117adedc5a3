"""Files in, files out: what is read is what was stored, in SI units; what cannot be used is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.warp
import shapely
from pyogrio.raw import read as read_vector
from rasterio.transform import Affine

from fuelbreak import formats
from fuelbreak.errors import InputError

SHAPE = (6, 8)
GRID = Affine(30, 0, 500_000, 0, -30, 5_000_000)
NAMES = ("Elev", "SlpD", "Asp", "F40", "CC", "CH", "CBH", "CBD")
STORED = {"Elev": 1200, "SlpD": 20, "Asp": 225, "F40": 102, "CC": 45, "CH": 185, "CBH": 12, "CBD": 13}


def stored_layers() -> dict[str, np.ndarray]:
    return {name: np.full(SHAPE, value, np.int16) for name, value in STORED.items()}


def write_bands(path: Path, bands: list[np.ndarray], names=(), crs="EPSG:32611", transform=GRID, nodata=-9999, **more):
    stack = np.stack(bands)
    with rasterio.open(
        path,
        "w",
        driver=more.pop("driver", "GTiff"),
        height=stack.shape[1],
        width=stack.shape[2],
        count=len(stack),
        dtype=stack.dtype.name,
        crs=crs,
        transform=transform,
        nodata=nodata,
        **more,
    ) as file:
        file.write(stack)
        for band, name in enumerate(names, start=1):
            file.set_band_description(band, name)
    return path


def write_folder(folder: Path, layers: dict[str, np.ndarray], pattern="LC22_{}_230.tif", **more) -> Path:
    folder.mkdir(exist_ok=True)
    for name, layer in layers.items():
        write_bands(folder / pattern.format(name), [layer], **more)
    return folder


def assert_si(layers: dict[str, np.ndarray], slope=20.0) -> None:
    expected = {
        "elevation_m": 1200,
        "slope_deg": slope,
        "aspect_deg": 225,
        "fuel_model": 102,
        "canopy_cover_pct": 45,
        "canopy_height_m": 18.5,
        "canopy_base_height_m": 1.2,
        "canopy_bulk_density_kg_m3": 0.13,
    }
    assert set(layers) == set(expected)
    for name, value in expected.items():
        assert layers[name].shape == SHAPE
        assert layers[name].dtype == (np.int16 if name == "fuel_model" else np.float32)
        np.testing.assert_allclose(layers[name], value, rtol=1e-6)


# ---- multi-band files


def test_bands_without_names_are_read_in_flammap_order(tmp_path):
    layers, gaps, header = formats.read_landscape(write_bands(tmp_path / "a.tif", list(stored_layers().values())))
    assert_si(layers)
    assert gaps == {}
    assert header.shape == header.raster_shape == SHAPE
    assert header.cell_size_m == 30
    assert header.transform == tuple(GRID)[:6]
    assert rasterio.crs.CRS.from_wkt(header.crs).to_epsg() == 32611


def test_bands_with_landfire_names_are_read_by_name_whatever_their_order(tmp_path):
    # WindNinja's default order of layers puts CBD before CBH.
    order = ["F40", "CBD", "CBH", "Asp", "Elev", "CH", "SlpD", "CC"]
    names = [f"LF2022_{'FBFM40' if name == 'F40' else name}_CONUS" for name in order]
    stored = stored_layers()
    path = write_bands(tmp_path / "lfps.tif", [stored[name] for name in order], names)
    assert_si(formats.read_landscape(path).layers)


def test_five_bands_are_enough_and_the_missing_canopy_is_said(tmp_path):
    layers, _, header = formats.read_landscape(write_bands(tmp_path / "a.tif", list(stored_layers().values())[:5]))
    assert layers["canopy_height_m"].max() == layers["canopy_bulk_density_kg_m3"].max() == 0
    assert len(header.notes) == 1
    assert "canopy base height (CBH)" in header.notes[0]


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ("LF2022_CC_CONUS", "canopy_cover_pct"),
        ("US_240FBFM40", "fbfm40"),
        ("LC22_F13_230", "fbfm13"),
        ("US_SLPD2020", "slope_deg"),
        ("LC20_SlpP_220", "slope_pct"),
        ("slope percent", "slope_pct"),
        ("Fuel models", "fuel_model"),
        ("fuel_model", "fuel_model"),
        ("fuel_model_13", "fbfm13"),
        ("Canopy base height", "canopy_base_height_m"),
        ("140CBD", "canopy_bulk_density_kg_m3"),
        ("CH", "canopy_height_m"),
        ("elevation", "elevation_m"),
    ],
)
def test_layer_names(text, layer):
    assert formats._layers_named(text) == [layer]


@pytest.mark.parametrize("text", ["LC22_EVT_230", "chaparral", "Band 1", "accessible", ""])
def test_other_names_are_no_layers(text):
    assert formats._layers_named(text) == []


def test_an_lcp_file_gives_the_values_of_the_tif_it_was_made_of(tmp_path):
    stored = stored_layers()
    stored["CH"][0, 0] = 250
    tif = write_bands(tmp_path / "a.tif", list(stored.values()))
    units = {"CANOPY_HT_UNIT": "METERS_X_10", "CBH_UNIT": "METERS_X_10", "CBD_UNIT": "KG_PER_CUBIC_METER_X_100"}
    rasterio.shutil.copy(tif, tmp_path / "a.lcp", driver="LCP", LATITUDE="45", SLOPE_UNIT="DEGREES", **units)
    one, two = formats.read_landscape(tif), formats.read_landscape(tmp_path / "a.lcp")
    for name, layer in one.layers.items():
        np.testing.assert_array_equal(layer, two.layers[name])


def test_units_in_an_lcp_header_are_heeded(tmp_path):
    stored = stored_layers()
    stored["SlpD"][:] = 100  # percent
    stored["CH"][:] = 60  # feet
    tif = write_bands(tmp_path / "a.tif", list(stored.values()))
    units = {"CANOPY_HT_UNIT": "FEET", "CBH_UNIT": "METERS", "CBD_UNIT": "POUND_PER_CUBIC_FOOT_X_1000"}
    rasterio.shutil.copy(tif, tmp_path / "a.lcp", driver="LCP", LATITUDE="45", SLOPE_UNIT="PERCENT", **units)
    layers = formats.read_landscape(tmp_path / "a.lcp").layers
    np.testing.assert_allclose(layers["slope_deg"], 45)
    np.testing.assert_allclose(layers["canopy_height_m"], 18.288, rtol=1e-6)
    np.testing.assert_allclose(layers["canopy_base_height_m"], 12)
    np.testing.assert_allclose(layers["canopy_bulk_density_kg_m3"], 0.013 * 16.018463, rtol=1e-6)


def test_units_that_are_not_understood_are_refused(tmp_path):
    tif = write_bands(tmp_path / "a.tif", list(stored_layers().values()))
    rasterio.shutil.copy(tif, tmp_path / "a.lcp", driver="LCP", LATITUDE="45", CANOPY_COV_UNIT="CATEGORIES")
    with pytest.raises(InputError, match=r"Categories \(0-4\).*convert it to Percent"):
        formats.read_landscape(tmp_path / "a.lcp")


# ---- folders


@pytest.mark.parametrize("pattern", ["LC22_{}_230.tif", "us_{}.TIF"])
def test_a_folder_of_landfire_layers(tmp_path, pattern):
    folder = write_folder(tmp_path / "in", stored_layers(), pattern)
    (folder / "readme.txt").write_text("not a raster")
    layers, _, header = formats.read_landscape(folder)
    assert_si(layers)
    assert header.notes == ()


def test_a_folder_of_asc_files_in_plain_words(tmp_path):
    words = ["elevation", "slope", "aspect", "fuel_model", "canopy_cover", "canopy_height", "canopy_base_height"]
    layers = dict(zip([*words, "canopy_bulk_density"], stored_layers().values(), strict=True))
    folder = write_folder(tmp_path / "in", layers, "{}.asc", driver="AAIGrid", crs=None)
    for side in folder.glob("*.xml"):
        side.unlink()
    result = formats.read_landscape(folder)
    assert_si(result.layers)
    assert result.header.crs is None


def test_percent_slope_becomes_degrees(tmp_path):
    layers = stored_layers()
    layers["SlpP"] = layers.pop("SlpD")
    layers["SlpP"][:] = 100
    assert_si(formats.read_landscape(write_folder(tmp_path / "in", layers)).layers, slope=45)


def test_the_fuel_system_is_chosen(tmp_path):
    folder = write_folder(tmp_path / "in", {**stored_layers(), "F13": np.full(SHAPE, 2, np.int16)})
    assert (formats.read_landscape(folder, "fbfm13").layers["fuel_model"] == 2).all()
    assert (formats.read_landscape(folder, "fbfm40").layers["fuel_model"] == 102).all()
    (folder / "LC22_F13_230.tif").unlink()
    with pytest.raises(InputError, match=r"no fbfm13 layer but LC22_F40_230.tif; choose fuel model system fbfm40"):
        formats.read_landscape(folder, "fbfm13")
    with pytest.raises(InputError, match=r"'anderson' is not known; give fbfm40 or fbfm13"):
        formats.read_landscape(folder, "anderson")


def test_files_that_are_no_layer_are_named(tmp_path):
    folder = write_folder(tmp_path / "in", {**stored_layers(), "EVT": np.zeros(SHAPE, np.int16)})
    assert formats.read_landscape(folder).header.notes == ("files not used: LC22_EVT_230.tif",)


# ---- no data


@pytest.mark.parametrize(("nodata", "value"), [(-9999, -9999), (None, -9999), (32767, 32767), (None, -32768), (77, 77)])
def test_no_data_is_marked_and_never_a_value(tmp_path, nodata, value):
    stored = stored_layers()
    for name, layer in stored.items():
        layer[2, NAMES.index(name)] = value
    layers, gaps, _ = formats.read_landscape(write_bands(tmp_path / "a.tif", list(stored.values()), nodata=nodata))
    assert list(gaps) == list(formats.BAND_ORDER)
    for column, name in enumerate(formats.BAND_ORDER):
        assert np.argwhere(gaps[name]).tolist() == [[2, column]]
        assert layers[name][2, column] == (-1 if name == "aspect_deg" else 0)


def test_not_a_number_is_no_data(tmp_path):
    stored = {name: layer.astype(np.float32) for name, layer in stored_layers().items()}
    stored["Elev"][1, 1] = np.nan
    stored["F40"][3, 3] = np.nan
    layers, gaps, _ = formats.read_landscape(write_bands(tmp_path / "a.tif", list(stored.values()), nodata=np.nan))
    assert gaps["elevation_m"].sum() == gaps["fuel_model"].sum() == 1
    assert layers["fuel_model"][3, 3] == 0
    assert all(np.isfinite(layer).all() for layer in layers.values())


def test_zero_is_a_height_even_where_the_file_declares_it_no_data(tmp_path):
    stored = stored_layers()
    for name in ("CC", "CH", "CBH", "CBD"):
        stored[name][:, :4] = 0
    assert formats.read_landscape(write_bands(tmp_path / "a.tif", list(stored.values()), nodata=0)).gaps == {}


def test_flat_ground_needs_no_aspect(tmp_path):
    stored = stored_layers()
    stored["SlpD"][0] = 0
    stored["Asp"][0] = -9999
    stored["Asp"][1, 0] = -1
    stored["Asp"][1, 1] = -9999  # on a slope: a gap
    layers, gaps, _ = formats.read_landscape(write_bands(tmp_path / "a.tif", list(stored.values())))
    assert (layers["aspect_deg"][0] == -1).all()
    assert layers["aspect_deg"][1, 0] == -1
    assert np.argwhere(gaps["aspect_deg"]).tolist() == [[1, 1]]


# ---- windows


def test_a_window_is_clipped_to_the_raster_and_moves_the_transform(tmp_path):
    stored = stored_layers()
    stored["Elev"][:] = np.arange(48).reshape(SHAPE)
    path = write_bands(tmp_path / "a.tif", list(stored.values()))
    layers, _, header = formats.read_landscape(path, window=(-2, 5, 5, 10))
    np.testing.assert_array_equal(layers["elevation_m"], stored["Elev"][:3, 5:])
    assert (header.shape, header.origin, header.raster_shape) == ((3, 3), (0, 5), SHAPE)
    assert header.transform == (30, 0, 500_150, 0, -30, 5_000_000)
    with pytest.raises(InputError, match=r"window 6,0,2,2 .* lies outside its 6 rows x 8 columns"):
        formats.read_landscape(path, window=(6, 0, 2, 2))


# ---- refusals


def refused(path: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=pattern) as caught:
        formats.read_landscape(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_files_that_are_no_rasters(tmp_path):
    refused(tmp_path / "nowhere.tif", "nowhere.tif: no such file or folder")
    (tmp_path / "text.tif").write_text("hello")
    refused(tmp_path / "text.tif", "text.tif: cannot be read as a raster")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no .tif or .asc raster")


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("kept", [0.999, 0.5, 0.05])
def test_a_truncated_file_is_noticed(tmp_path, compress, kept):
    rng = np.random.default_rng(1)
    bands = [
        np.full((300, 300), value, np.int16) + rng.integers(0, 2, (300, 300), np.int16) for value in STORED.values()
    ]
    path = write_bands(tmp_path / "a.tif", bands, compress=compress)
    formats.read_landscape(path)  # whole, it reads
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    refused(path, "a.tif: .*cut short")


def test_a_truncated_asc_file_is_noticed(tmp_path):
    folder = write_folder(tmp_path / "in", stored_layers(), "{}.asc", driver="AAIGrid")
    text = (folder / "CH.asc").read_text()
    (folder / "CH.asc").write_text(text[: -len(text) // 4])
    refused(folder, "CH.asc: .*cut short")


def test_layers_on_different_grids_are_both_named(tmp_path):
    folder = write_folder(tmp_path / "in", stored_layers())
    cc = folder / "LC22_CC_230.tif"
    both = "LC22_Elev_230.tif and .*LC22_CC_230.tif "
    write_bands(cc, [np.zeros((6, 7), np.int16)])
    refused(folder, both + "have 6 rows x 8 columns and 6 x 7")
    write_bands(cc, [np.zeros(SHAPE, np.int16)], transform=Affine(30, 0, 500_030, 0, -30, 5_000_000))
    refused(folder, both + "lie on different grids")
    write_bands(cc, [np.zeros(SHAPE, np.int16)], crs="EPSG:32612")
    refused(folder, both + "have different coordinate reference systems")
    write_bands(cc, [np.zeros(SHAPE, np.int16)], crs=None)
    refused(folder, both + "have different coordinate reference systems")


def test_grids_that_are_not_square_meters_are_refused_with_the_remedy(tmp_path):
    bands = list(stored_layers().values())
    path = tmp_path / "a.tif"
    write_bands(path, bands, crs="EPSG:4326", transform=Affine(0.0003, 0, -114.2, 0, -0.0003, 46.8))
    refused(path, r"is in degrees; reproject it with: gdalwarp -t_srs EPSG:32611 -tr 30 30 -r near a.tif")
    write_bands(path, bands, crs="EPSG:2926", transform=Affine(100, 0, 1_000_000, 0, -100, 400_000))
    refused(path, r"does not count in meters; reproject it with: gdalwarp -t_srs EPSG:32610 ")
    write_bands(path, bands, crs=None, transform=Affine(0.0003, 0, -114.2, 0, -0.0003, 46.8))
    refused(path, "seem to be degrees; reproject it with: gdalwarp -t_srs EPSG:326NN")
    write_bands(path, bands, transform=Affine(30, 0, 500_000, 0, -20, 5_000_000))
    refused(path, "has cells of 30 m x 20 m; .*gdalwarp -tr 30 30")
    write_bands(path, bands, transform=Affine(30, 0, 500_000, 0, 30, 5_000_000))
    refused(path, "is not north up; .*gdalwarp")
    write_bands(path, bands, transform=Affine(29, 5, 500_000, 5, -29, 5_000_000))
    refused(path, "is rotated; .*gdalwarp")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write_bands(path, bands, crs=None, transform=Affine.identity())
    refused(path, "has no georeference")


def test_missing_and_double_layers_are_named(tmp_path):
    folder = write_folder(tmp_path / "in", stored_layers())
    shutil.copy(folder / "LC22_CC_230.tif", folder / "LC20_CC_200.tif")
    refused(folder, "LC20_CC_200.tif and LC22_CC_230.tif both hold canopy_cover_pct; keep only one")
    (folder / "LC20_CC_200.tif").rename(folder / "CC_CH.tif")
    refused(folder, "CC_CH.tif .* could be canopy_height_m or canopy_cover_pct; rename it")
    (folder / "CC_CH.tif").unlink()
    (folder / "LC22_F40_230.tif").unlink()
    refused(folder, r"no layer named as fuel model \(F40 or F13\); add it")
    layers = list(stored_layers().values())
    refused(write_bands(tmp_path / "four.tif", layers[:4]), "four.tif: has 4 bands, a landscape has 8")
    refused(write_bands(tmp_path / "seven.tif", layers[:7]), "seven.tif: has 7 bands without descriptions")
    refused(write_bands(tmp_path / "part.tif", layers, [*NAMES[:3], "x", *NAMES[4:]]), "no layer named as fuel model")
    write_bands(tmp_path / "in" / "F40.tif", layers[:2])
    refused(folder, "F40.tif: has 2 bands, but a folder is read as single layers")


def test_values_that_are_no_codes_or_of_doubtful_unit_are_refused(tmp_path):
    stored = {name: layer.astype(np.float32) for name, layer in stored_layers().items()}
    stored["F40"][4, 2] = 101.5
    path = write_bands(tmp_path / "a.tif", list(stored.values()))
    refused(path, r"band 4 holds 101.5 at row 4, column 2, which is not the code of a fuel model \(1 such cells\)")
    stored["F40"][4, 2] = 101
    stored["CBD"][1, 2] = 0.13
    refused(write_bands(path, list(stored.values())), "with fractions .0.13 at row 1, column 2.*value x 100")


# ---- writing


@pytest.mark.parametrize("dtype", [np.float32, np.int16, bool])
def test_a_raster_comes_back_as_it_was_written(tmp_path, dtype):
    array = (np.arange(48).reshape(SHAPE) % 7).astype(dtype)
    path = tmp_path / "out.tif"
    formats.write_raster(
        path, array, crs="EPSG:32611", transform=tuple(GRID)[:6], tags={"seed": 3}, description="burn probability"
    )
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), array)
        assert file.dtypes == ("float32" if dtype is np.float32 else "int16",)
        assert (file.crs.to_epsg(), file.transform) == (32611, GRID)
        assert file.tags()["seed"] == "3"
    assert formats.read_tags(path)["seed"] == "3"
    with rasterio.open(path) as file:
        assert file.descriptions == ("burn probability",)
        assert file.compression.name == "deflate"
    assert os.listdir(tmp_path) == ["out.tif"]


def test_what_is_not_finite_is_written_as_no_data(tmp_path):
    formats.write_raster(
        tmp_path / "a.tif", np.array([[1.0, np.inf], [np.nan, 4]]), crs="EPSG:32611", transform=tuple(GRID)[:6]
    )
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.nodata == -9999
        assert file.read(1).tolist() == [[1, -9999], [-9999, 4]]


def test_breaks_come_back_as_squares_in_order_of_building(tmp_path):
    path = tmp_path / "plan.gpkg"
    cells = np.array([[5, 7], [0, 0], [2, 3]])
    fields = {"kind": np.array(["firebreak"] * 3), "gain": np.array([0.5, 0.25, 0.125])}
    formats.write_breaks(path, cells, fields, crs="EPSG:32611", transform=tuple(GRID)[:6])
    meta, _, geometry, columns = read_vector(path, layer="breaks")
    table = dict(zip(meta["fields"], columns, strict=True))
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["kind"].tolist() == ["firebreak"] * 3
    np.testing.assert_allclose(table["area_ha"], 0.09)
    np.testing.assert_array_equal(table["gain"], fields["gain"])
    assert rasterio.crs.CRS.from_user_input(meta["crs"]).to_epsg() == 32611
    assert meta["geometry_type"] == "Polygon"
    for (row, col), wkb in zip(cells, geometry, strict=True):
        assert len(wkb) == 93
        ring = np.frombuffer(wkb, "<f8", offset=13).reshape(5, 2)
        assert ring[0].tolist() == ring[4].tolist()
        (left, bottom), (right, top) = ring.min(axis=0), ring.max(axis=0)
        assert (left, top) == (500_000 + 30 * col, 5_000_000 - 30 * row)
        assert (right - left, top - bottom) == (30, 30)
        twice_area = np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1])
        assert twice_area == pytest.approx(2 * 900)  # positive: counterclockwise
    assert os.listdir(tmp_path) == ["plan.gpkg"]


def test_a_plan_of_no_breaks_is_an_empty_layer(tmp_path):
    formats.write_breaks(tmp_path / "a.gpkg", np.zeros((0, 2), int), crs="EPSG:32611", transform=tuple(GRID)[:6])
    meta, _, geometry, _ = read_vector(tmp_path / "a.gpkg", layer="breaks")
    assert len(geometry) == 0
    assert list(meta["fields"]) == ["rank", "area_ha"]


def test_a_break_column_of_the_wrong_length_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"column gain has shape \(2,\); give one value for each of the 3 breaks"):
        formats.write_breaks(
            tmp_path / "a.gpkg",
            np.eye(3, 2, dtype=int),
            {"gain": np.zeros(2)},
            crs="EPSG:32611",
            transform=(30, 0, 0, 0, -30, 0),
        )
    assert os.listdir(tmp_path) == []


def test_break_rasters_are_read(tmp_path):
    ranks = np.zeros(SHAPE, np.int16)
    ranks[2, 3], ranks[4, 4], ranks[0, 0] = 1, 2, -9999
    path = write_bands(tmp_path / "breaks.tif", [ranks])
    values, header = formats.read_break_raster(path)
    assert "seed" not in formats.read_tags(path)
    assert np.argwhere(values).tolist() == [[2, 3], [4, 4]]
    assert values[4, 4] == 2
    assert header.shape == SHAPE
    write_bands(path, [ranks, ranks])
    with pytest.raises(InputError, match=r"has 2 bands"):
        formats.read_break_raster(path)
    write_bands(path, [np.full(SHAPE, 0.5, np.float32)])
    with pytest.raises(InputError, match=r"0.5 at row 0, column 0 is not a whole number"):
        formats.read_break_raster(path)
    with pytest.raises(InputError, match=r"no such file"):
        formats.read_break_raster(tmp_path / "nowhere.tif")


def test_without_crs_or_place_nothing_is_written(tmp_path):
    array = np.zeros(SHAPE)
    with pytest.raises(InputError, match=r"no coordinate reference system.*--crs"):
        formats.write_raster(tmp_path / "a.tif", array, crs=None, transform=tuple(GRID)[:6])
    with pytest.raises(InputError, match=r"no coordinate reference system.*--crs"):
        formats.write_breaks(tmp_path / "a.gpkg", np.zeros((1, 2), int), crs=None, transform=tuple(GRID)[:6])
    with pytest.raises(InputError, match=r"has no transform"):
        formats.write_raster(tmp_path / "a.tif", array, crs="EPSG:32611", transform=None)
    with pytest.raises(InputError, match=r"cannot be written .*No such file"):
        formats.write_raster(tmp_path / "no" / "a.tif", array, crs="EPSG:32611", transform=tuple(GRID)[:6])
    with pytest.raises(InputError, match=r"do not fit an int16 raster"):
        formats.write_raster(tmp_path / "a.tif", np.full(SHAPE, 40_000), crs="EPSG:32611", transform=tuple(GRID)[:6])
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    old = tmp_path / "a.txt"
    old.write_text("old")
    failed = pytest.raises(KeyboardInterrupt)
    with failed, formats.atomic_path(old) as temporary:  # half a file
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert old.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
    with formats.atomic_path(old) as temporary:
        temporary.write_text("new")
    assert old.read_text() == "new"
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(InputError, match=r"folder.tif: cannot be written"):
        formats.write_raster(tmp_path / "folder.tif", np.zeros(SHAPE), crs="EPSG:32611", transform=tuple(GRID)[:6])
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "folder.tif"]


def test_output_folders(tmp_path):
    assert formats.check_output_folder(tmp_path / "new" / "deep").is_dir()
    formats.check_output_folder(tmp_path / "new" / "deep")  # again is fine
    assert os.listdir(tmp_path / "new" / "deep") == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"is a file; choose another name"):
        formats.check_output_folder(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be written to .*choose another one"):
        formats.check_output_folder(tmp_path / "file" / "below")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"Permission denied"):
        formats.check_output_folder(tmp_path / "locked")


def test_coordinate_reference_systems():
    wkt = formats.normalize_crs("EPSG:32611")
    assert wkt.startswith("PROJCS")
    assert formats.normalize_crs("32611") == formats.normalize_crs(wkt) == wkt
    for text in ("nonsense", "", "EPSG:999999"):
        with pytest.raises(InputError, match=r"is not known; give one like EPSG:32611"):
            formats.normalize_crs(text)
    for text in ("EPSG:4326", "EPSG:2926"):  # degrees; US survey feet
        with pytest.raises(InputError, match=r"does not count in meters"):
            formats.normalize_crs(text)


def test_coordinate_reference_systems_have_short_names():
    assert formats.crs_name(formats.normalize_crs("EPSG:32611")) == "WGS 84 / UTM zone 11N (EPSG:32611)"
    own = formats.normalize_crs("+proj=tmerc +lon_0=-113.123 +lat_0=1 +ellps=GRS80 +units=m")
    assert "EPSG" not in formats.crs_name(own)
    assert len(formats.crs_name(own)) < 40


def test_the_same_system_written_otherwise_is_the_same():
    wkt = formats.normalize_crs("EPSG:32611")
    assert formats.same_crs(wkt, rasterio.crs.CRS.from_epsg(32611).to_wkt(version="WKT2_2019"))
    assert not formats.same_crs(wkt, formats.normalize_crs("EPSG:32612"))


@pytest.mark.parametrize(
    ("epsg", "easting", "northing"),
    [
        (32611, 300_000, 5_200_000),
        (32611, 740_000, 4_000_000),
        (32611, 500_000, 5_000_000),
        (32733, 700_000, 7_000_000),
    ],
)
def test_true_north_leans_as_the_meridians_of_utm_do(epsg, easting, northing):
    grid = (30.0, 0.0, easting - 15 * 40, 0.0, -30.0, northing + 15 * 20)
    found = formats.true_north_deg(formats.normalize_crs(f"EPSG:{epsg}"), grid, (20, 40))
    (lon,), (lat,) = rasterio.warp.transform(f"EPSG:{epsg}", "EPSG:4326", [easting], [northing])
    central = {32611: -117, 32733: 15}[epsg]
    # Grid convergence of a transverse Mercator projection on the sphere (Snyder 1987, USGS PP 1395).
    convergence = np.degrees(np.arctan(np.tan(np.radians(lon - central)) * np.sin(np.radians(lat))))
    assert found == pytest.approx(-convergence, abs=0.01)
    if easting == 300_000:
        assert found > 1  # west of the central meridian, true north lies east of grid north


# ---- real data


def test_the_montana_landscape(shared_data):
    path = shared_data / "landfire_montana" / "landscape_8band.tif"
    layers, gaps, header = formats.read_landscape(path)
    with rasterio.open(path) as file:
        stored = file.read()
    assert header.shape == (515, 502)
    assert gaps == {}
    np.testing.assert_array_equal(layers["fuel_model"], stored[3])
    np.testing.assert_allclose(layers["canopy_base_height_m"], stored[6] / 10, rtol=1e-6)
    np.testing.assert_allclose(layers["canopy_bulk_density_kg_m3"], stored[7] / 100, rtol=1e-6)
    assert layers["slope_deg"].max() == 63


def test_the_vermont_layers(shared_data):
    folder = shared_data / "landfire_vermont" / "inputs"
    layers, gaps, header = formats.read_landscape(folder)
    assert header.shape == (613, 549)
    assert {name: int(where.sum()) for name, where in gaps.items()} == dict.fromkeys(formats.BAND_ORDER, 108586)
    assert layers["slope_deg"].max() == pytest.approx(np.degrees(np.arctan(1.09)))
    assert set(np.unique(formats.read_landscape(folder, "fbfm13").layers["fuel_model"])) <= {
        *range(14),
        *range(91, 100),
    }
    assert layers["fuel_model"].max() == 189


# ---- on a landscape's grid

PLACE = {"crs": "EPSG:32611", "transform": tuple(GRID)[:6]}
ON_GRID = {**PLACE, "crs": formats.normalize_crs("EPSG:32611"), "shape": SHAPE}


def write_geojson(path: Path, *geometries: dict, weights=None) -> Path:
    """Features in longitude and latitude, from coordinates of the grid's system."""
    features = [
        {
            "type": "Feature",
            "properties": {"weight": 1.0 if weights is None else weights[i]},
            "geometry": rasterio.warp.transform_geom("EPSG:32611", "EPSG:4326", geometry),
        }
        for i, geometry in enumerate(geometries)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def point(row: float, col: float) -> dict:
    x, y = GRID * (col, row)
    return {"type": "Point", "coordinates": (x, y)}


def square(row: int, col: int, rows: int, cols: int) -> dict:
    corners = [(row, col), (row + rows, col), (row + rows, col + cols), (row, col + cols), (row, col)]
    return {"type": "Polygon", "coordinates": [[GRID * (c, r) for r, c in corners]]}


def test_several_bands_with_their_descriptions(tmp_path):
    stack = np.arange(2 * 48, dtype=np.float32).reshape(2, *SHAPE)
    stack[1, 0, 0] = np.nan
    formats.write_raster(tmp_path / "a.tif", stack, **PLACE, description=["one", "two"])
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.descriptions == ("one", "two")
        found = file.read(masked=True)
    assert found.mask.sum() == 1
    np.testing.assert_array_equal(found[0].data, stack[0])


def test_points_and_polygons_of_another_system_come_onto_the_grid(tmp_path):
    points = [point(0.5, 0.5), point(2.4, 3.6), point(2.6, 3.4), point(-3, 2)]
    places = formats.read_places(write_geojson(tmp_path / "a.geojson", *points, weights=[1, 2, 3, 4]), **ON_GRID)
    assert places.cells.tolist() == [[0, 0], [2, 3], [2, 3]]
    assert places.columns["weight"].tolist() == [1, 2, 3]
    assert places.outside == 1
    assert places.covered is None
    both = write_geojson(tmp_path / "b.geojson", square(1, 2, 3, 4), point(5.5, 7.5))
    places = formats.read_places(both, **ON_GRID)
    expected = np.zeros(SHAPE, bool)
    expected[1:4, 2:6] = True
    np.testing.assert_array_equal(places.covered, expected)
    assert places.cells.tolist() == [[5, 7]]
    x, y = GRID * (4.1, 3.1)
    speck = {"type": "Polygon", "coordinates": [[(x, y), (x, y - 3), (x + 3, y - 3), (x, y)]]}
    places = formats.read_places(write_geojson(tmp_path / "c.geojson", speck, square(0, 0, 1, 2)), **ON_GRID)
    assert np.argwhere(places.covered).tolist() == [[0, 0], [0, 1], [3, 4]]


def test_places_that_are_none_are_refused(tmp_path):
    x, y = GRID * (1, 1)
    line = {"type": "LineString", "coordinates": [(x, y), (x + 30, y)]}
    with pytest.raises(InputError, match=r"holds a LineString; give points or polygons"):
        formats.read_places(write_geojson(tmp_path / "a.geojson", line), **ON_GRID)
    with pytest.raises(InputError, match=r"none of its 1 points and polygons lies on the map"):
        formats.read_places(write_geojson(tmp_path / "b.geojson", point(900, 1)), **ON_GRID)
    with pytest.raises(InputError, match=r"no such file; give a GeoPackage"):
        formats.read_places(tmp_path / "c.gpkg", **ON_GRID)
    bad = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": point(1, 1)}]}
    (tmp_path / "e.geojson").write_text(json.dumps(bad))  # meters, where GeoJSON has degrees
    with pytest.raises(InputError, match=r"e.geojson: .* is no longitude and latitude; name the system"):
        formats.read_places(tmp_path / "e.geojson", **ON_GRID)
    (tmp_path / "d.gpkg").write_text("no database")
    with pytest.raises(InputError, match=r"d.gpkg: is no readable vector file"):
        formats.read_places(tmp_path / "d.gpkg", **ON_GRID)


def test_a_raster_on_another_grid_is_resampled_and_one_on_the_same_is_taken_to_the_bit(tmp_path):
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    values[2, 2] = -9999
    same = formats.read_aligned(write_bands(tmp_path / "a.tif", [values]), **ON_GRID, what="density")
    assert np.isnan(same[2, 2])
    np.testing.assert_array_equal(np.nan_to_num(same, nan=-9999), values)
    # A larger raster of the same cells: the window, to the bit.
    wide = np.random.default_rng(1).random((SHAPE[0] + 4, SHAPE[1] + 6), np.float32)
    shifted = GRID @ Affine.translation(-3, -2)
    window = formats.read_aligned(write_bands(tmp_path / "b.tif", [wide], transform=shifted), **ON_GRID, what="density")
    np.testing.assert_array_equal(window, wide[2:-2, 3:-3])
    # Cells three times as large that rise by one a meter to the east: bilinear gives the plane back.
    coarse = GRID @ Affine.translation(-6, -6) @ Affine.scale(3)
    rising = np.broadcast_to(np.arange(8, dtype=np.float32), (8, 8)).copy()
    found = formats.read_aligned(write_bands(tmp_path / "c.tif", [rising], transform=coarse), **ON_GRID, what="density")
    expected = (np.arange(SHAPE[1]) + 0.5 + 6) / 3 - 0.5
    np.testing.assert_allclose(found, np.broadcast_to(expected, SHAPE), atol=1e-4)
    far = GRID @ Affine.translation(5000, 0)
    with pytest.raises(InputError, match=r"does not reach the landscape"):
        formats.read_aligned(write_bands(tmp_path / "d.tif", [values], transform=far), **ON_GRID, what="density")
    with pytest.raises(InputError, match=r"has 2 bands; give a raster of density with one"):
        formats.read_aligned(write_bands(tmp_path / "e.tif", [values, values]), **ON_GRID, what="density")


def test_wind_is_resampled_as_a_vector_across_north(tmp_path):
    coarse = GRID @ Affine.translation(-6, -6) @ Affine.scale(3)
    shape = (8, 8)
    azimuth = np.where(np.indices(shape).sum(0) % 2 == 0, 350, 10).astype(np.float32)
    speed = write_bands(tmp_path / "s.tif", [np.full(shape, 20, np.float32)], transform=coarse)
    direction = write_bands(tmp_path / "d.tif", [azimuth], transform=coarse)
    found, from_deg = formats.read_aligned_wind(speed, direction, **ON_GRID)
    assert ((from_deg >= 350) | (from_deg <= 10)).all(), "the mean of 350 and 10 degrees is north, not south"
    assert (found <= 20.001).all()
    assert (found > 19).all()


def test_wind_of_another_system_is_turned_by_the_angle_between_their_norths(tmp_path):
    """From zone 12 to zone 11, half a zone off each: grid norths differ by what their meridians do."""
    crs = formats.normalize_crs("EPSG:32612")
    (x,), (y,) = rasterio.warp.transform("EPSG:32611", "EPSG:32612", [500_120], [4_999_910])
    there = Affine(100, 0, x - 1000, 0, -100, y + 1000)
    speed = write_bands(tmp_path / "s.tif", [np.full((20, 20), 20, np.float32)], crs=crs, transform=there)
    direction = write_bands(tmp_path / "d.tif", [np.full((20, 20), 90, np.float32)], crs=crs, transform=there)
    _, from_deg = formats.read_aligned_wind(speed, direction, **ON_GRID)
    between = formats.true_north_deg(ON_GRID["crs"], tuple(GRID)[:6], SHAPE) - formats.true_north_deg(
        crs, tuple(there)[:6], (20, 20)
    )
    assert abs(between) > 4
    np.testing.assert_allclose(from_deg, 90 + between, atol=1e-3)


def test_wind_that_cannot_be_is_refused_by_file_and_cell(tmp_path):
    good = np.full(SHAPE, 20, np.float32)
    speed = write_bands(tmp_path / "s.tif", [good])
    for name, values, says in (
        (
            "a",
            np.where(np.indices(SHAPE)[0] == 3, 361, good),
            r"a.tif: wind is 361 at row 3, column 0 \(8 cells out of",
        ),
        ("b", np.where(np.indices(SHAPE)[1] == 2, -9999, good), r"no wind on 6 of the landscape's cells, first row 0,"),
    ):
        bad = write_bands(tmp_path / f"{name}.tif", [values.astype(np.float32)])
        with pytest.raises(InputError, match=says):
            formats.read_aligned_wind(speed, bad, **ON_GRID)
    with pytest.raises(InputError, match=r"s.tif: wind is -1 at row 0"):
        formats.read_aligned_wind(write_bands(tmp_path / "s.tif", [good - 21]), speed, **ON_GRID)
    other = write_bands(tmp_path / "o.tif", [good], transform=GRID @ Affine.translation(1, 0))
    with pytest.raises(InputError, match=r"lie on different grids"):
        formats.read_aligned_wind(write_bands(tmp_path / "s.tif", [good]), other, **ON_GRID)


def test_perimeters_enclose_what_burned_holes_and_islands_too(tmp_path):
    burned = np.zeros((2, *SHAPE), bool)
    burned[0, 1:5, 1:6] = True
    burned[0, 2:4, 3] = False  # a hole
    burned[1, 0, 0] = burned[1, 1, 1] = True  # they touch at a corner alone
    formats.write_perimeters(tmp_path / "a.gpkg", burned, {"fire": np.array([4, 7])}, **PLACE)
    meta, _, geometry, values = read_vector(tmp_path / "a.gpkg")
    assert meta["fields"].tolist() == ["fire"]
    assert values[0].tolist() == [4, 7]
    shapes = shapely.from_wkb(geometry)
    assert [shape.area for shape in shapes] == [18 * 900, 2 * 900]
    assert all(shape.is_valid for shape in shapes)
    assert len(shapely.get_parts(shapes[1])) == 2
    assert shapes[0].bounds == (500_030, 4_999_850, 500_180, 4_999_970)


@pytest.mark.parametrize("series", [False, True])
def test_a_set_of_fires_is_read_as_it_was_written(series, tmp_path):
    index = np.array([[0, 3], [2, 2], [1, 0]], np.int32)
    fires = formats.FireSet(
        np.array([[0, 0], [5, 7], [2, 3]]),
        index if series else index[:, 0],
        np.array([30, 60.5, np.inf], np.float32),
        np.array([1, 0.1, 3]),
        np.array([0, 5, 2]),
        "heldout:7",
        15.0,
        "0123456789abcdef",
    )
    formats.write_fire_set(tmp_path / "a.gpkg", fires, {"burned_ha": np.ones(3)}, **PLACE)
    again = formats.read_fire_set(tmp_path / "a.gpkg", **PLACE)
    for one, other in zip(fires, again, strict=True):
        np.testing.assert_array_equal(one, other)
    # On the same map cut two rows lower and three columns to the right.
    moved = formats.read_fire_set(
        tmp_path / "a.gpkg", crs="EPSG:32611", transform=tuple(GRID @ Affine.translation(3, 2))[:6]
    )
    assert moved.row_col.tolist() == [[-1, -1], [3, 4], [0, 0]]
    formats.write_breaks(tmp_path / "b.gpkg", np.zeros((1, 2), int), **PLACE)
    with pytest.raises(InputError, match=r"is no set of fires saved by fuelbreak"):
        formats.read_fire_set(tmp_path / "b.gpkg", **PLACE)
