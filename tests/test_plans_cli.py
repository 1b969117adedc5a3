"""Plans asked for and judged on the command line: units, costs, masks, other weather, plans from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform
from test_cli import GRID, QUICK, SHAPE, assert_is_a_picture, bands, run, write_tif

from fuelbreak import Landscape
from fuelbreak.cli import main
from fuelbreak.formats import read_breaks, read_vector_tags
from fuelbreak.problem import Problem, save_fires
from fuelbreak.scenarios import Fires, fire_season
from fuelbreak.spread import spread

FEW = (*QUICK, "--buffer", "0", "--resamples", "3")


@pytest.fixture(scope="module")
def tif(tmp_path_factory) -> str:
    return str(write_tif(tmp_path_factory.mktemp("land") / "land.tif", bands()))


def box(row: int, col: int, rows: int, cols: int) -> object:
    left, top = GRID * (col, row)
    right, bottom = GRID * (col + cols, row + rows)
    return shapely.box(left, bottom, right, top)


def write_polygons(path: Path, shapes: list, crs: str = "EPSG:32611", **columns: object) -> Path:
    pyogrio.raw.write(
        str(path),
        np.array([shapely.to_wkb(each) for each in shapes], object),
        [np.array(column) for column in columns.values()],
        list(columns),
        driver="GPKG",
        geometry_type="Polygon",
        crs=crs,
        layer="stands",
    )
    return path


@pytest.fixture
def stands(tmp_path) -> Path:
    """Forty stands of 3 x 4 cells, at 5000 each; the third must be treated, the fourth may not."""
    shapes = [box(row, col, 3, 4) for row in range(0, 24, 3) for col in range(0, 20, 4)]
    must, excluded = np.zeros(40, np.int32), np.zeros(40, np.int32)
    must[2] = excluded[3] = 1
    return write_polygons(tmp_path / "stands.gpkg", shapes, cost=np.full(40, 5000.0), must=must, excluded=excluded)


def test_stands_are_treated_whole_for_money(tif, stands, tmp_path, capsys):
    out = tmp_path / "plan"
    code, told, err = run(
        capsys, "plan", tif, "--treatments", stands, "--budget", "$21000", "--method", "greedy", *FEW, "--out", out
    )
    assert code == 0, err
    land = Landscape.open(tif)
    with rasterio.open(out / "plan.tif") as file:
        ranks = file.read(1)
        assert file.tags()["budget"] == "$21000"
    assert ranks.max() == 4
    assert (ranks[:3, 8:12][land.treatable[:3, 8:12]] == 1).all()  # the stand that must be treated, first
    assert (ranks[:3, 12:16] == 0).all()
    for rank in range(1, 5):
        row, col = np.argwhere(ranks == rank)[0]
        stand = np.s_[row // 3 * 3 : row // 3 * 3 + 3, col // 4 * 4 : col // 4 * 4 + 4]
        np.testing.assert_array_equal(ranks[stand] == rank, land.treatable[stand])
    for name in ("plan.tif", "plan.gpkg"):
        breaks = read_breaks(out / name, crs=land.crs, transform=land.transform, shape=land.shape)
        assert breaks.unit.max() == 4
        assert set(breaks.cells) == set(np.flatnonzero(ranks))
    np.testing.assert_allclose(breaks.cost, 5000.0)  # of the vector file
    code, again, err = run(capsys, "evaluate", tif, out / "plan.gpkg", "--budget", "$20000", "--json")
    assert code == 0, err
    (row,) = [row for row in json.loads(again)["scores"] if row["units"]]
    assert (row["units"], row["cost"]) == (4, pytest.approx(20000.0))
    code, _, err = run(capsys, "evaluate", tif, out / "plan.gpkg", "--budget", "$19000")
    assert code == 2
    assert "over the budget of $19000" in err
    assert "take 20000 of 19000 (money)" in err
    assert "sequential_dpv - " not in told  # greedy comes first
    assert "greedy - sequential_dpv: " in told


def test_masks_and_costs_of_cells(tif, tmp_path, capsys):
    keep_out = write_polygons(tmp_path / "out.gpkg", [box(0, 0, 24, 10)])
    wanted = write_polygons(tmp_path / "in.gpkg", [box(5, 12, 1, 3)])
    out = tmp_path / "plan"
    options = ("--exclude", keep_out, "--must-treat", wanted, "--cost", "1000", "--budget", "$900")
    code, _, err = run(capsys, "plan", tif, *options, *FEW, "--out", out)
    assert code == 0, err
    land = Landscape.open(tif)
    with rasterio.open(out / "plan.tif") as file:
        ranks = file.read(1)
    assert (ranks[:, :10] == 0).all()
    first = land.treatable[5, 12:15].sum()
    assert sorted(ranks[5, 12:15][land.treatable[5, 12:15]]) == list(range(1, first + 1))
    assert (ranks > 0).sum() == 10  # 0.09 ha a cell
    for option, reason in (
        (("--cost", "-1"), "no cost of 0 or more"),
        (("--cost", tif + "x"), "no such file"),
        (("--must-treat", wanted, "--exclude", wanted), "excluded both"),
        (("--budget", "$900"), "no unit has a cost"),
        (("--treatments", tif), "bands"),
        (("--robust", "best"), "use worst or cvar"),
        (("--robust", "worst", "--cvar", "0.5"), "leave one of them out"),
        (("--cvar", "2"), "--cvar: 2 is no share"),
        (("--max-seconds", "0"), "max_seconds"),
        (("--interval", "0"), "--interval: 0 percentage points"),
        (("--max-simulations", "3"), "cannot burn the 30 fires once"),
    ):
        code, _, err = run(capsys, "plan", tif, *FEW, "--out", tmp_path / "no", *option)
        assert code == 2, option
        assert reason in err, option
        assert not (tmp_path / "no" / "plan.tif").exists()


@pytest.mark.parametrize("robust", ["worst", "cvar"])
def test_a_robust_plan_is_planned_in_other_weather_too(tif, tmp_path, capsys, robust):
    out = tmp_path / "plan"
    code, told, err = run(capsys, "plan", tif, "--robust", robust, "--budget", "6", *FEW, "--out", out)
    assert code == 0, err
    with rasterio.open(out / "plan.tif") as file:
        assert file.tags()["robust"] == robust
    assert "worst case of sequential_dpv: " in told
    code, again, err = run(capsys, "evaluate", tif, out / "plan.tif", "--json")
    assert code == 0, err
    answer = json.loads(again)
    (row,) = [row for row in answer["scores"] if row["units"]]
    assert row["training_loss_avoided"] is not None  # its own fires, in all their weathers, drawn again
    assert {row["scenario"] for row in answer["robustness"]} == {
        *("as planned", "wind -45 deg", "wind +45 deg", "wind +25 %", "dead moisture -2"),
        *("1 cell in 10 fails", "unseen weather"),
    }


def test_what_a_plan_hands_over_beside_its_cells(tif, tmp_path, capsys):
    out = tmp_path / "plan"
    code, told, err = run(capsys, "plan", tif, "--budget", "8", *FEW, "--interval", "0.5", "--out", out)
    assert code == 0, err
    with rasterio.open(out / "selection_frequency.tif") as file:
        frequency = file.read(1)
        assert "3 resampled" in file.tags()["meaning"]
    assert frequency.sum() == pytest.approx(8, rel=1e-5)
    with rasterio.open(out / "plan.tif") as one, rasterio.open(out / "alternative.tif") as two:
        differ = (two.read(1) > 0) & (one.read(1) == 0)
    assert differ.sum() >= 4
    assert "sequential_dpv - another plan: " in told
    assert "an interval of +-0.5 points for " in told
    assert "the first 4 units of sequential_dpv avoid " in told
    for stem in ("scores", "differences", "robustness", "budget_curve"):
        lines = (out / f"{stem}.csv").read_text().splitlines()
        assert len(lines) > 2
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(out / f"{stem}.parquet")
        assert table.num_rows == len(lines) - 1
        assert table.column_names == lines[0].split(",")
    assert_is_a_picture(out / "scores.png")
    assert read_vector_tags(out / "plan.gpkg")["method"] == "sequential_dpv"


def test_without_pyarrow_there_is_csv_alone(tif, tmp_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    cells = tmp_path / "cells.csv"
    cells.write_text("Year Number,Cell Numbers\n1,30,51,72\n")
    code, told, err = run(capsys, "evaluate", tif, cells, "--heldout", "30", "--buffer", "0", "--out", tmp_path / "o")
    assert code == 0, err
    assert {path.suffix for path in (tmp_path / "o").iterdir()} == {".csv", ".png"}
    assert "scores.csv" in told


# ---- plans from elsewhere


def test_plans_of_any_kind_of_file_are_judged_alike(tif, tmp_path, capsys):
    land = Landscape.open(tif)
    cells = np.flatnonzero(land.treatable)[40:46]
    ranks = np.zeros(SHAPE, np.int16)
    ranks.flat[cells] = np.arange(1, 7)
    raster = write_tif(tmp_path / "raster.tif", ranks[None])
    squares = write_polygons(
        tmp_path / "vector.gpkg", [box(*divmod(int(cell), SHAPE[1]), 1, 1) for cell in cells], rank=np.arange(1, 7)
    )
    table = tmp_path / "table.csv"
    table.write_text("Year Number,Cell Numbers\n1," + ",".join(str(cell + 1) for cell in cells) + "\n")
    judged = ("--heldout", "60", "--duration", "30", "--buffer", "0", "--json")
    code, told, err = run(capsys, "evaluate", tif, raster, squares, table, *judged)
    assert code == 0, err
    rows = [row for row in json.loads(told)["scores"] if row["units"]]
    assert [row["plan"] for row in rows] == ["raster", "vector", "table"]
    assert {row["units"] for row in rows} == {6}
    assert len({row["loss_avoided"] for row in rows}) == 1
    fires = Fires.draw(land, 60, 0, purpose="heldout", weather=fire_season(), duration_min=30)
    from fuelbreak.landscape import Plan

    after = spread(land, fires, Plan.from_flat(land, cells)).loss.sum()
    assert rows[0]["loss_avoided"] == pytest.approx(1 - after / spread(land, fires).loss.sum())


def test_other_grids_and_coordinate_systems_are_refused_by_name_and_brought_over_on_request(tif, tmp_path, capsys):
    land = Landscape.open(tif)
    cells = np.flatnonzero(land.treatable)[40:46]
    lon_lat = []
    for cell in cells:
        x, y = np.array(box(*divmod(int(cell), SHAPE[1]), 1, 1).exterior.coords).T
        lon_lat.append(shapely.Polygon(np.column_stack(transform("EPSG:32611", "EPSG:4326", x, y))))
    other = write_polygons(tmp_path / "lonlat.gpkg", lon_lat, crs="EPSG:4326", rank=np.arange(1, 7))
    judged = ("--heldout", "40", "--duration", "30", "--buffer", "0")
    code, _, err = run(capsys, "evaluate", tif, other, *judged)
    assert code == 2
    for word in ("WGS 84", "UTM zone 11N", "--reproject", "lonlat.gpkg"):
        assert word in err
    code, told, err = run(capsys, "evaluate", tif, other, *judged, "--reproject", "--json")
    assert code == 0, err
    assert [row["units"] for row in json.loads(told)["scores"]] == [0, 6]
    ranks = np.zeros((30, 26), np.int16)
    ranks[3:27, 3:23].flat[cells] = 1
    shifted = write_tif(tmp_path / "wide.tif", ranks[None], transform=GRID @ rasterio.Affine.translation(-3, -3))
    code, _, err = run(capsys, "evaluate", tif, shifted, *judged)
    assert code == 2
    for word in ("30 x 26", "24 x 20", "--reproject"):
        assert word in err
    code, told, err = run(capsys, "evaluate", tif, shifted, *judged, "--reproject", "--json")
    assert code == 0, err
    assert [row["units"] for row in json.loads(told)["scores"]] == [0, 6]
    assert CRS.from_epsg(32611)


def test_plans_over_budget_on_nonburnable_cells_or_empty_are_refused_with_counts(tif, tmp_path, capsys):
    land = Landscape.open(tif)
    rock = np.argwhere(~land.burnable)[:3]
    ranks = np.zeros(SHAPE, np.int16)
    empty = write_tif(tmp_path / "empty.tif", ranks[None])
    ranks[tuple(rock.T)] = 1
    rocky = write_tif(tmp_path / "rocky.tif", ranks[None])
    large = np.where(land.treatable, 1, 0).astype(np.int16)
    whole = write_tif(tmp_path / "whole.tif", large[None])
    able = int(land.treatable.sum())
    for path, more, words in (
        (empty, (), ("empty.tif", f"0 of {SHAPE[0] * SHAPE[1]} cells")),
        (rocky, (), ("rocky.tif", "3 of 3 cells are nonburnable")),
        (whole, ("--budget", "5%"), ("'whole' is over the budget of 5%", f"its {able} cells")),
    ):
        code, _, err = run(capsys, "evaluate", tif, path, "--buffer", "0", *more)
        assert code == 2
        for word in words:
            assert word in err


def test_a_plan_is_not_judged_on_its_own_fires_whatever_its_file(tif, tmp_path, capsys):
    out = tmp_path / "plan"
    assert run(capsys, "plan", tif, "--budget", "5", *FEW, "--out", out)[0] == 0
    land = Landscape.open(tif)
    problem = Problem(landscape=tif, fire_simulation_max_duration=30.0, buffer_cells=0)
    fires = Fires.draw(land, 30, 0, weather=fire_season(), duration_min=30.0)
    tags = {"software": "fuelbreak 0", **problem.told(), "buffer_cells": 0}
    save_fires(tmp_path / "own.gpkg", land, fires, np.zeros(30), tags)
    for name in ("plan.tif", "plan.gpkg"):
        code, _, err = run(capsys, "evaluate", tif, out / name, "--fire-set", tmp_path / "own.gpkg")
        assert code == 2
        assert "was chosen on these fires" in err
        assert fires.digest in err


def test_values_at_risk_and_responses(tif, tmp_path, capsys):
    land = Landscape.open(tif)
    worth = np.zeros(SHAPE, np.int16)
    worth[:, 12:] = 10
    values = write_tif(tmp_path / "values.tif", worth[None])
    out = tmp_path / "plan"
    options = ("--values", values, "--response", "0,20,40,60,80,100", "--area-weight", "0.1")
    code, told, err = run(capsys, "plan", tif, *options, "--budget", "8", *FEW, "--out", out, "--json")
    assert code == 0, err
    plain = json.loads(run(capsys, "plan", tif, "--budget", "8", *FEW, "--out", tmp_path / "b", "--json")[1])
    answer = json.loads(told)
    assert answer["scores"][0]["mean_loss"] != plain["scores"][0]["mean_loss"]
    with rasterio.open(out / "plan.tif") as file:
        assert file.tags()["responses"] == "0,20,40,60,80,100"
    code, again, err = run(capsys, "evaluate", tif, out / "plan.tif", "--json", "--heldout", "40")
    assert code == 0, err
    assert json.loads(again)["scores"][0]["mean_loss"] == pytest.approx(answer["scores"][0]["mean_loss"])
    assert land.treatable.any()
    for option, reason in (
        (("--response", "1,2,3,4,5,6"), "give values too"),
        (("--values", values, "--response", "1,2"), "six percentages"),
        (("--values", values, "--response", "a,b,c,d,e,f"), "response"),
        (("--values", values, "--value-weight", "1", "--value-weight", "2"), "give one for each"),
        (("--values", str(values) + "x"), "no such file"),
    ):
        assert main(["plan", tif, *FEW, "--out", str(tmp_path / "no"), *map(str, option)]) == 2
        assert reason in capsys.readouterr().err


def test_a_plan_that_took_long_is_not_made_twenty_times_over_unless_asked(tif, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fuelbreak.cli.SOON_S", 0.0)
    out = tmp_path / "plan"
    code, told, err = run(capsys, "plan", tif, "--budget", "4", *QUICK, "--buffer", "0", "--out", out)
    assert code == 0, err
    assert "--resamples 20" in told
    assert "another plan" not in told
    assert not (out / "selection_frequency.tif").exists()
