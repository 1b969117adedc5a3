"""Each command in process on small input: the files it writes are opened; what is wrong is refused in one line."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pyogrio.raw
import pytest
import rasterio
from rasterio.transform import Affine
from test_streams import wxs

from fuelbreak import Fires, Landscape, __version__, parallel, policy
from fuelbreak.cli import DEMO_LARGEST_BUFFER, _heading, main
from fuelbreak.errors import InputError
from fuelbreak.evaluate import CAVEAT
from fuelbreak.problem import Problem
from fuelbreak.scenarios import fire_season
from fuelbreak.spread import spread

SHAPE = (24, 20)
GRID = Affine(30, 0, 500_000, 0, -30, 5_000_000)
QUICK = ("--simulations", "30", "--heldout", "40", "--duration", "30")
TINY_RUN = {
    "grid_size": 12,
    "buffer_cells": 4,
    "num_weathers": 4,
    "budget": 4,
    "num_parallel_envs": 2,
    "parallel_method": "sequential",
    "max_workers": 1,
    "torch_threads": 1,
    "memory_simulations": 10,
    "fire_simulation_max_duration": 20,
    "fire_bank_size": 30,
    "planning_simulations": 30,
    "validation_simulations": 20,
    "heldout_simulations": 40,
    "num_episodes": 4,
    "demonstration_episodes": 2,
    "pretrain_steps": 3,
    "n_step": 1,
    "batch_size": 8,
    "buffer_size": 64,
    "network_width": 4,
    "start": None,
    "validation_frequency": 1,
    "checkpoint_frequency": 1,
}


def bands(fuel: np.ndarray | None = None) -> np.ndarray:
    """Eight bands in FlamMap's order, as they are stored: grass and shrub with rock in it, on rolling ground."""
    rng = np.random.default_rng(0)
    stack = np.zeros((8, *SHAPE), np.int16)
    stack[0] = 1000 + rng.integers(0, 50, SHAPE)
    stack[1] = rng.integers(0, 20, SHAPE)
    stack[2] = rng.integers(0, 360, SHAPE)
    stack[3] = rng.choice([102, 122, 142, 99], SHAPE, p=[0.4, 0.3, 0.2, 0.1]) if fuel is None else fuel
    return stack


def write_tif(path: Path, stack: np.ndarray, crs: str | None = "EPSG:32611", transform: Affine = GRID) -> Path:
    height, width = stack.shape[1:]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=len(stack),
        dtype="int16",
        crs=crs,
        transform=transform,
    ) as file:
        file.write(stack)
    return path


@pytest.fixture(scope="module")
def tif(tmp_path_factory) -> str:
    return str(write_tif(tmp_path_factory.mktemp("land") / "land.tif", bands()))


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def assert_is_a_picture(path: Path) -> None:
    from matplotlib.image import imread

    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = imread(path)
    assert min(pixels.shape[:2]) > 200
    assert pixels[..., :3].std() > 0.05, "a blank picture"
    assert len(np.unique((pixels[..., :3] * 255).astype(int).reshape(-1, 3), axis=0)) > 50


def check_plan_folder(folder: Path, method: str, shape: tuple[int, int] | None, units: int | None) -> np.ndarray:
    with rasterio.open(folder / "plan.tif") as file:
        ranks, transform = file.read(1), file.transform
        assert file.crs is not None
        assert file.tags()["method"] == method
        assert file.tags()["caveat"] == CAVEAT
    if shape is not None:
        assert ranks.shape == shape
    placed = np.sort(ranks[ranks > 0])
    np.testing.assert_array_equal(placed, np.arange(1, len(placed) + 1))
    assert units is None or len(placed) == units
    meta, _, geometry, columns = pyogrio.raw.read(folder / "plan.gpkg", layer="breaks")
    assert len(geometry) == len(placed)
    at = dict(zip(meta["fields"], columns, strict=True))
    assert sorted(at["rank"]) == placed.tolist()
    assert set(at["kind"]) == {"firebreak"}
    np.testing.assert_allclose(at["area_ha"], abs(transform.a * transform.e) / 1e4)
    maps = {}
    for word in ("before", "after"):
        with rasterio.open(folder / f"burn_probability_{word}.tif") as file:
            maps[word] = file.read(1)
            assert file.transform == transform
        assert maps[word].shape == ranks.shape
        assert 0 <= maps[word].min() < maps[word].max() <= 1
    assert maps["after"].sum() < maps["before"].sum()
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["plan"] for row in rows[:2]] == ["no breaks", method]
    assert int(rows[1]["units"]) == len(placed)
    assert "settings" in json.loads((folder / "config.json").read_text())
    assert_is_a_picture(folder / "map.png")
    return ranks


# ---- commands


def test_demo(tmp_path, capsys):
    code, out, err = run(capsys, "demo", "--out", tmp_path / "maps")
    assert code == 0, err
    check_plan_folder(tmp_path / "maps", "sequential_dpv", None, None)
    for word in ("no breaks", "random", "burn_probability", "static_dpv", "sequential_dpv", "suppression", "demo 50"):
        assert word in out
    assert "compiling" in err
    assert out.splitlines()[1] == "area of interest 50 x 50 cells, 225 ha; buffer 15 cells, fires of 60 min"


@pytest.mark.parametrize("method", ["burn-probability", "static_dpv"])
def test_plan_by_another_rule(tif, tmp_path, capsys, method):
    out_folder = tmp_path / "plan"
    code, out, err = run(
        capsys, "plan", tif, "--method", method, "--budget", "5", *QUICK, "--out", out_folder, "--json"
    )
    assert code == 0, err
    answer = json.loads(out)
    assert answer["folder"] == str(out_folder)
    name = method.replace("-", "_")
    table = {row["plan"]: row for row in answer["scores"]}
    rules = {"no breaks", "random", "burn_probability", "static_dpv", "sequential_dpv", name}
    assert set(table) == rules | {"another plan"}
    assert table[name]["units"] == 5
    assert answer["caveat"] == CAVEAT
    assert 0 <= answer["reached_edge_share"] <= 1
    random = next(row for row in answer["differences"] if row["against"] == "random")
    assert random["plan"] == name
    assert random["mean"] == pytest.approx(table[name]["loss_avoided"] - table["random"]["loss_avoided"])
    check_plan_folder(out_folder, name, SHAPE, 5)


def test_plan_in_a_window_tells_what_was_settled_and_evaluate_judges_it_again(tif, tmp_path, capsys, monkeypatch):
    where = ("--window", "6,5,12,10", "--buffer", "3", "--duration", "60", "--wind-speed", "40", "--dead-1h", "7")
    folder = tmp_path / "plan"
    code, out, err = run(
        capsys, "plan", tif, *where, "--budget", "10%", "--simulations", "40", "--heldout", "80", "--out", folder
    )
    assert code == 0, err
    ranks = check_plan_folder(folder, "sequential_dpv", (18, 16), None)
    assert (ranks[:3] == 0).all()  # nothing is built in the buffer
    assert (ranks[:, :3] == 0).all()
    inside = bands()[3][6:18, 5:15] != 99
    assert (ranks > 0).sum() == int(np.floor(0.1 * inside.sum() + 0.5))
    assert "plan, maps and scores" in out
    assert "area of interest 12 x 10 cells, 11 ha; buffer 3 cells, fires of 60 min" in out
    settings = json.loads((folder / "config.json").read_text())["settings"]
    wanted = {"window": "6,5,12,10", "buffer_cells": 3, "duration_min": 60, "grid": [18, 16], "wind_speed_kmh": 40}
    wanted |= {"area_of_interest": [3, 3, 12, 10], "dead_100h_pct": 10, "num_weathers": 16, "seed": 0}
    assert wanted.items() <= settings.items()
    code, out, err = run(
        capsys, "evaluate", tif, folder / "plan.tif", *where, "--heldout", "80", "--workers", "1", "--json"
    )
    assert code == 0, err
    with (folder / "scores.csv").open(newline="") as file:
        before = {row["plan"]: float(row["loss_avoided"]) for row in csv.DictReader(file)}
    rows = json.loads(out)["scores"]
    assert [row["plan"] for row in rows] == ["no breaks", "plan/plan"]
    assert rows[1]["loss_avoided"] == pytest.approx(before["sequential_dpv"], abs=1e-5)
    # Without a flag it is judged as it was made.
    code, out, err = run(capsys, "evaluate", tif, folder / "plan.tif", "--heldout", "80", "--json")
    assert code == 0, err
    assert json.loads(out)["scores"] == rows
    assert err.count("note: ") == 1
    for told in ("window 6,5,12,10", "buffer_cells 3", "duration_min 60", "wind_speed_kmh 40", "dead_1h_pct 7"):
        assert told in err
    # An option goes before the plan's tags.
    code, out, err = run(
        capsys, "evaluate", tif, folder / "plan.tif", "--heldout", "80", "--duration", "20", "--dead-1h", "9", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["scores"][0]["mean_loss"] < 0.8 * rows[0]["mean_loss"]
    assert "duration_min" not in err
    assert "dead_1h" not in err
    monkeypatch.chdir(folder)
    code, out, _ = run(capsys, "evaluate", tif, "plan.tif", "--heldout", "80")
    assert code == 0
    assert out.splitlines()[1] == "area of interest 12 x 10 cells, 11 ha; buffer 3 cells, fires of 60 min"
    assert "plan/plan " in out
    with rasterio.open(folder / "plan.tif", "r+") as file:
        file.update_tags(buffer_cells="wide")
    assert "tag buffer_cells is 'wide'" in refused(capsys, "evaluate", tif, folder / "plan.tif")


def test_a_plan_made_with_crs_is_judged_without_a_flag(bad, tmp_path, capsys):
    folder = tmp_path / "made"
    assert run(capsys, "plan", bad["no crs"], "--crs", "EPSG:32611", *QUICK, "--out", folder)[0] == 0
    code, out, err = run(capsys, "evaluate", bad["no crs"], folder / "plan.tif", "--heldout", "40", "--json")
    assert code == 0, err
    assert "crs EPSG:32611" in err
    with (folder / "scores.csv").open(newline="") as file:
        before = next(row for row in csv.DictReader(file) if row["plan"] == "sequential_dpv")
    assert json.loads(out)["scores"][1]["loss_avoided"] == pytest.approx(float(before["loss_avoided"]), abs=1e-5)


def test_units_where_no_planning_fire_burned_are_told(tif, tmp_path, capsys):
    many = ("--simulations", "2", "--heldout", "40", "--duration", "10", "--buffer", "0", "--budget", "150")
    code, out, _ = run(capsys, "plan", tif, *many, "--out", tmp_path / "many")
    assert code == 0
    land = Landscape.open(tif)
    with rasterio.open(tmp_path / "many" / "plan.tif") as file:
        treated = file.read(1) > 0
    burned = spread(land, Fires.draw(land, 2, 0, weather=fire_season(), duration_min=10)).burn_probability() > 0
    idle = int((treated & ~burned).sum())
    assert idle > 0
    assert f"note: {idle} of 150 cells lie where no planning fire burned; raise --simulations or lower --budget" in out
    _, out, _ = run(capsys, "plan", tif, *QUICK, "--budget", "2", "--out", tmp_path / "few")
    assert "no planning fire" not in out


def test_a_plan_that_suits_its_own_fires_alone_is_told(tif, tmp_path, capsys):
    asked = ("--heldout", "100", "--duration", "30", "--buffer", "0", "--budget", "60", "--method", "lines")
    for simulations, fitted in ((4, True), (600, False)):
        folder = tmp_path / str(simulations)
        code, out, _ = run(capsys, "plan", tif, *asked, "--simulations", str(simulations), "--out", folder)
        assert code == 0
        with (folder / "scores.csv").open(newline="") as file:
            row = next(row for row in csv.DictReader(file) if row["plan"] == "lines")
        own, others = float(row["training_loss_avoided"]), float(row["loss_avoided"])
        assert (own - others > 0.2) == fitted
        assert (f"note: lines avoids {own:.0%} of the loss of the 4 fires" in out) == fitted
        assert ("suits those few alone" in out) == fitted


def test_a_real_landscape_burns_eight_hours_and_it_is_said(tif, capsys):
    code, _, err = run(capsys, "simulate", tif, "-n", "3")
    assert code == 0
    assert "480 minutes (8 h)" in err
    _, _, err = run(capsys, "simulate", tif, "-n", "3", "--duration", "30")
    assert "480 minutes" not in err


def test_simulate(tif, tmp_path, capsys):
    arguments = ("simulate", tif, "-n", "50", "--duration", "20", "--buffer", "0", "--json")
    code, out, err = run(capsys, *arguments, "--workers", "2", "--out", tmp_path / "maps")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["fires"] == 50
    assert 0.09 <= summary["median_area_ha"] <= summary["largest_area_ha"] <= 24 * 20 * 0.09
    with rasterio.open(tmp_path / "maps" / "burn_probability.tif") as file:
        probability = file.read(1)
    assert probability.sum() * 0.09 == pytest.approx(summary["mean_area_ha"], rel=1e-4)
    again = json.loads(run(capsys, *arguments, "--workers", "1")[1])
    timing = {"seconds", "fires_per_second"}
    assert {k: v for k, v in again.items() if k not in timing} == {k: v for k, v in summary.items() if k not in timing}
    code, out, _ = run(capsys, "simulate", "-n", "20")
    assert code == 0
    assert "20 fires of 60 min" in out
    parallel.use_at_most(None)
    cores = parallel.available_cores()
    code, out, _ = run(capsys, "simulate", tif, "-n", "20", "--duration", "20", "--workers", "3000")
    assert code == 0
    assert f"on {cores} thread" in out
    _, out, _ = run(capsys, "simulate", tif, "-n", "20", "--duration", "20", "--workers", "1")
    assert "on 1 thread\n" in out


def test_landscape_info(tif, capsys):
    code, out, err = run(capsys, "landscape", "info", tif, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["rows"], facts["cols"], facts["cell_size_m"]) == (*SHAPE, 30)
    assert facts["burnable_cells"] == int((bands()[3] != 99).sum())
    assert set(facts["fuel_models"]) == {"99", "102", "122", "142"}
    code, out, _ = run(capsys, "landscape", "info", tif, "--window", "2,3,5,6")
    assert code == 0
    assert "rows: 5" in out
    assert "crs: WGS 84 / UTM zone 11N (EPSG:32611)" in out
    assert "wind and aspect are taken from grid north; true north lies 0.0 degrees" in out
    code, out, _ = run(capsys, "landscape", "info", tif, "--window", "6,5,4,5", "--buffer", "3", "--json")
    assert code == 0
    facts = json.loads(out)
    assert (facts["rows"], facts["cols"], facts["area_of_interest"]) == (10, 11, [3, 3, 4, 5])
    assert facts["treatable_cells"] == int((bands()[3][6:10, 5:10] != 99).sum()) < facts["burnable_cells"]


def test_landscape_info_leaves_out_what_holds_no_data(bad, tmp_path, capsys):
    stack = bands()
    stack[0] += 100
    stack[1] += 3
    stack[:, :4, :4] = -9999
    holes = write_tif(tmp_path / "holes.tif", stack)
    code, out, _ = run(capsys, "landscape", "info", holes, "--json")
    assert code == 0
    facts = json.loads(out)
    whole = bands()
    whole[:, :4, :4] = whole[:, 10:14, 10:14]
    assert facts["elevation_m"] == pytest.approx([100 + whole[0].min(), 100 + whole[0].max()])
    assert facts["slope_deg"] == pytest.approx([3 + whole[1].min(), 3 + whole[1].max()])
    code, out, _ = run(capsys, "landscape", "info", bad["no crs"], "--json")
    assert (json.loads(out)["crs"], json.loads(out)["true_north_deg"]) == (None, None)
    code, out, _ = run(capsys, "landscape", "info", bad["no crs"], "--crs", "EPSG:32612", "--json")
    assert json.loads(out)["crs"] == "WGS 84 / UTM zone 12N (EPSG:32612)"


def test_version_and_help(capsys):
    assert run(capsys, "version") == (0, f"{__version__}\n", "")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "sure we are" in out
    for command in ("demo", "plan", "evaluate", "simulate", "train"):
        code, out, _ = run(capsys, command, "--help")
        assert code == 0
        assert command in out
    code, _, _ = run(capsys)
    assert code == 2
    for command, defaults in {
        ("demo",): ["runs/demo-TIME", "every core"],
        ("plan",): ["one fire length, at most 25", "480, demo 60", "every core", "runs/plan-TIME", "the whole raster"],
        ("evaluate",): ["What no option says is taken from the first plan's tags", "480, demo 60"],
        ("train",): ["[default: (demo)]"],
        ("bench", "parallel"): ["runs/bench-TIME"],
    }.items():
        _, out, _ = run(capsys, *command, "--help")
        text = " ".join(out.replace("│", " ").split())
        for default in defaults:
            assert default in text


def test_train_writes_a_run_that_plans_elsewhere(tif, tmp_path, capsys):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY_RUN))
    code, out, err = run(capsys, "train", "--config", config, "--out", tmp_path / "runs", "--json")
    assert code == 0, err
    answer = json.loads(out)
    folder = Path(answer["folder"])
    assert folder.parent == tmp_path / "runs"
    assert {row["plan"] for row in answer["scores"]} >= {"agent", "random", "static_dpv", "sequential_dpv"}
    check_plan_folder(folder, "agent", None, 4)
    assert_is_a_picture(folder / "training.png")
    with (folder / "metrics.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    settings = json.loads((folder / "config.json").read_text())["settings"]
    assert TINY_RUN.items() <= settings.items()
    there = tmp_path / "there"
    code, out, err = run(
        capsys, "plan", tif, "--method", "agent", "--agent", folder, "--budget", "4", *QUICK, "--out", there
    )
    assert code == 0, err
    check_plan_folder(there, "agent", SHAPE, 4)


def test_fine_tuning_is_judged_beside_the_agent_it_went_on_from(tmp_path, capsys):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY_RUN))
    asked = "train", "--from", "pretrained", "--config", config, "--out", tmp_path / "runs", "--json"
    code, out, err = run(capsys, *asked)
    assert (code, out) == (2, "")
    assert "network_width = 4: the agent to go on from (pretrained) is 32 wide" in err
    assert not list((tmp_path / "runs").iterdir())
    config.write_text(json.dumps(TINY_RUN | {"network_width": 32}))
    code, out, err = run(capsys, *asked)
    assert code == 0, err
    answer = json.loads(out)
    scores = {row["plan"]: row for row in answer["scores"]}
    assert scores["agent before"]["units"] == scores["agent"]["units"] == 4
    assert any(row["against"] == "agent before" for row in answer["differences"])
    folder = Path(answer["folder"])
    # Kept, and the very weights that ship.
    assert policy.load_agent(folder / "start.safetensors").digest == policy.load_agent("pretrained").digest


def test_show_config_prints_every_setting_and_runs_nothing(tmp_path, capsys):
    config = tmp_path / "four.json"
    config.write_text('{"num_parallel_envs": 8, "fire_simulation_max_duration": 30}')
    code, out, err = run(capsys, "train", "--config", config, "--seed", "7", "--show-config")
    assert (code, err) == (0, "")
    settings = json.loads(out)
    assert (settings["num_parallel_envs"], settings["fire_simulation_max_duration"], settings["seed"]) == (8, 30, 7)
    assert (settings["parallel_method"], settings["start"]) == ("multiprocessing", "pretrained")
    code, out, err = run(capsys, "train", "--config", config, "--from", "nothing", "--show-config")
    assert (code, err, json.loads(out)["start"]) == (0, "", None)
    assert list(tmp_path.iterdir()) == [config]


def test_bench_writes_figures_and_numbers(tmp_path, capsys):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY_RUN | {"max_workers": 2}))
    code, out, err = run(
        capsys, "bench", "parallel", "--config", config, "--seconds", "0.3", "--out", tmp_path / "bench", "--json"
    )
    assert code == 0, err
    rows = json.loads(out)
    methods = ["sequential", "threading", "multiprocessing", "nested", "ray"]
    works = {work: [row for row in rows if row["work"] == work] for work in ("environment steps", "whole fires")}
    assert [row["method"] for row in works["environment steps"]][:5] == methods
    assert [row["method"] for row in works["whole fires"]][:2] == ["sequential", "threading"][: len(rows)]
    for same in works.values():
        for row in same:
            assert row["simulations_per_second"] > 0
            assert row["peak_memory_mb"] > 10
            assert row["speedup"] == pytest.approx(row["simulations_per_second"] / same[0]["simulations_per_second"])
            assert row["efficiency"] == pytest.approx(row["speedup"] / row["cores"])
            assert (row["ms_per_step"] is None) == (row["work"] == "whole fires")
    assert json.loads((tmp_path / "bench" / "parallel.json").read_text()) == rows
    assert_is_a_picture(tmp_path / "bench" / "parallel.png")


def test_configure_writes_a_configuration_with_its_reasons(tmp_path, capsys):
    config, out = tmp_path / "tiny.json", tmp_path / "mine.json"
    config.write_text(json.dumps({key: value for key, value in TINY_RUN.items() if key != "num_parallel_envs"}))
    asked = ("configure", "--config", config, "--seconds", 5, "--out", out)
    code, text, err = run(capsys, *asked, "--sweep", "--json")
    assert code == 0, err
    told, written = json.loads(text), json.loads(out.read_text())
    assert told["reasons"] == written["reasons"]
    for group in ("torch_threads", "num_parallel_envs, batch_size", "parallel_method, max_workers"):
        chosen, _, measured = written["reasons"][group].partition(" - environment steps/s measured: ")
        assert chosen == " ".join(str(written[name]) for name in group.split(", "))
        assert chosen + ": " in measured  # it was measured itself
    assert written["batch_size"] == 4 * written["num_parallel_envs"]
    assert written["grid_size"] == TINY_RUN["grid_size"]  # the rest is as it was
    assert 0 < told["chosen_in_sweep"] <= told["best_in_sweep"]
    assert told["network"] + told["fires"] + told["waiting"] == pytest.approx(1)
    code, text, err = run(capsys, "train", "--config", out, "--show-config")
    assert code == 0, err
    assert json.loads(text) == written
    code, _, err = run(capsys, *asked)
    assert code == 2
    assert "exists; give another name" in err
    assert json.loads(out.read_text()) == written


def test_a_warning_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(TINY_RUN | {"parallel_method": "threading", "max_workers": 2}))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = run(capsys, "train", "--config", config, "--out", tmp_path / "runs")
    assert code == 0, err
    told = [line for line in err.splitlines() if "warning" in line.lower()]
    assert told == ["warning: threading: 2 threads share one core; fewer would be as fast"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_simulation_ends_in_one_line(number, tmp_path):
    # Whoever runs the tests in the background has had SIGINT ignored, which a child takes over.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from fuelbreak.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "simulate", "demo", "-n", "3000000", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "burn" in line:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert list((tmp_path / "out").iterdir()) == []


# ---- what is refused


def refused(capsys, *arguments: str) -> str:
    """The one line on stderr of a refusal."""
    code, out, err = run(capsys, *arguments)
    assert code == 2, (out, err)
    assert out == ""
    assert err.startswith("error: "), err
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


@pytest.fixture
def bad(tmp_path, tif) -> dict[str, str]:
    """Input files that cannot be used, by what is wrong with them."""
    files = {"missing": tmp_path / "nowhere.tif"}
    whole = Path(tif).read_bytes()
    files["truncated"] = tmp_path / "truncated.tif"
    files["truncated"].write_bytes(whole[: len(whole) // 2])
    files["no raster"] = tmp_path / "letter.tif"
    files["no raster"].write_text("Dear fire, ...")
    folder = files["sizes"] = tmp_path / "layers"
    folder.mkdir()
    for name, layer in zip(("Elev", "SlpD", "Asp", "F40", "CC"), bands(), strict=False):
        write_tif(folder / f"LC22_{name}_230.tif", layer[None, :-2] if name == "Asp" else layer[None])
    fuel = bands()[3].copy()
    fuel[7, 3] = 77
    files["code"] = write_tif(tmp_path / "code.tif", bands(fuel))
    files["rock"] = write_tif(tmp_path / "rock.tif", bands(np.full(SHAPE, 99)))
    files["no crs"] = write_tif(tmp_path / "nocrs.tif", bands(), crs=None)
    files["degrees"] = write_tif(tmp_path / "degrees.tif", bands(), crs="EPSG:4326")
    return {name: str(path) for name, path in files.items()}


@pytest.mark.parametrize(
    ("thing", "names", "remedy"),
    [
        ("missing", "nowhere.tif: no such file", "give a landscape raster"),
        ("truncated", "truncated.tif", "again"),
        ("no raster", "letter.tif", "give"),
        ("sizes", "LC22_Asp_230.tif", "grid"),
        ("code", "unknown fuel model 77 in 1 cells, first at row 7, column 3", "use codes of the 13 or the 40"),
        ("rock", "no cell is burnable", "check the fuel model"),
        ("no crs", "nocrs.tif", "--crs EPSG:32611"),
        ("degrees", "degrees.tif", "gdalwarp"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "simulate", "train"])
def test_a_landscape_that_cannot_be_used(bad, tmp_path, capsys, command, thing, names, remedy):
    arguments = ("train", "--landscape", bad[thing]) if command == "train" else (command, bad[thing])
    line = refused(capsys, *arguments, "--out", tmp_path / "out")
    assert names in line
    assert remedy in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["plan", "train"])
@pytest.mark.parametrize(
    ("budget", "names"),
    [("0", "budget 0 buys no"), ("0%", "budget 0% buys no"), ("100000", "can be treated"), ("101%", "101%"),
     ("-3", "budget -3"), ("much", "'much' is not a number")],
)  # fmt: skip
def test_a_budget_that_buys_nothing_or_too_much(tif, tmp_path, capsys, command, budget, names):
    arguments = ("train", "--landscape", tif) if command == "train" else ("plan", tif)
    line = refused(capsys, *arguments, "--budget", budget, "--out", tmp_path / "out")
    assert names in line
    assert "give a fraction like 0.05" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "names", "remedy"),
    [
        (
            ("--method", "magic-wand"),
            "'magic-wand'",
            "random, burn_probability, static_dpv, sequential_dpv, betweenness",
        ),
        (("--agent", "no/run"), "sequential_dpv asks no agent", "take --method agent"),
        (("--method", "agent", "--agent", "no/run"), "no/run", "give"),
        (("--window", "1,2,3"), "'1,2,3'", "four whole numbers"),
        (("--window", "a,b,c,d"), "'a,b,c,d'", "four whole numbers"),
        (("--window", "0,0,0,5"), "is empty", "rows, columns"),
        (("--window", "20,0,10,10"), "window 20,0,10,10", "24 rows x 20 columns"),
        (("--window=-1,0,5,5",), "window -1,0,5,5", "24 rows x 20 columns"),
        (("--buffer", "-1"), "--buffer: -1", "0 or more"),
        (("--buffer", "12"), "buffer of 12", "at most 9"),
        (("--duration", "0"), "--duration: 0", "above 0"),
        (("--duration", "nan"), "--duration: nan", "above 0"),
        (("--wind-speed", "500"), "wind_speed_kmh is 500", "0 to 200"),
        (("--wind-from", "400"), "wind_from_deg is 400", "0 to 360"),
        (("--dead-1h", "0"), "dead_1h_pct is 0", "1 to 300"),
        (("--dead-1h", "301"), "dead_1h_pct is 301", "1 to 300"),
        (("--fuel-model", "fbfm99"), "'fbfm99'", "fbfm40 or fbfm13"),
        (("--workers", "0"), "workers: 0", "at least 1"),
        (("--crs", "EPSG:1"), "'EPSG:1'", "EPSG:32611"),
        (("--simulations", "0"), "--simulations", "1"),
        (("--simulations", str(10**11)), "cannot draw 100000000000 fires", "below 2^31"),
        (("--heldout", str(10**11)), "cannot draw 100000000000 fires", "below 2^31"),
        (("--seed", "-1"), "--seed", "0"),
        (("--colour", "red"), "--colour", "o such option"),
    ],
)
def test_options_that_make_no_sense(tif, tmp_path, capsys, arguments, names, remedy):
    line = refused(capsys, "plan", tif, *arguments, "--out", tmp_path / "out")
    assert names in line
    assert remedy in line
    assert not (tmp_path / "out").exists()


def test_more_fires_than_memory_holds_are_refused_before_anything_is_made(tif, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    line = refused(capsys, "simulate", tif, "--fires", 10**7, "--out", tmp_path / "out")
    assert "memory: 10,000,000 fires need 1.9 GiB, 0.9 GiB are free; draw fewer" in line
    assert not (tmp_path / "out").exists()


def test_a_fire_without_end_is_no_error(tif, capsys):
    code, out, err = run(capsys, "simulate", tif, "-n", "4", "--duration", "inf", "--json")
    assert code == 0, err
    assert json.loads(out)["fires"] == 4


def test_the_wettest_fuel_is_no_error(tif, capsys):
    assert run(capsys, "simulate", tif, "-n", "2", "--dead-1h", "299")[0] == 0


def test_a_demo_buffer_beyond_its_terrain_names_the_widest_that_works(tmp_path, capsys):
    line = refused(capsys, "plan", "demo", "--buffer", "100000", "--out", tmp_path / "out")
    assert f"give at most {DEMO_LARGEST_BUFFER}" in line
    assert "-" not in line.replace("--buffer", "")
    Landscape.demo(50, 50, buffer_cells=DEMO_LARGEST_BUFFER)
    with pytest.raises(InputError):
        Landscape.demo(50, 50, buffer_cells=DEMO_LARGEST_BUFFER + 1)


def test_the_demo_takes_no_window(tmp_path, capsys):
    line = refused(capsys, "plan", "demo", "--window", "0,0,5,5", "--out", tmp_path / "out")
    assert "--window" in line
    assert "demo" in line


def test_a_folder_that_cannot_be_written_to(tif, tmp_path, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("I am a file")
    for arguments in (
        ("plan", tif),
        ("demo",),
        ("simulate", tif, "-n", "5"),
        ("train", "--landscape", tif),
        ("bench", "parallel"),
    ):
        for place in (blocker, blocker / "below"):
            line = refused(capsys, *arguments, "--out", place)
            assert str(place) in line
            assert "choose another" in line
    assert blocker.read_text() == "I am a file"
    assert list(tmp_path.iterdir()) == [blocker]


@pytest.mark.parametrize("command", [("train",), ("bench", "parallel"), ("bench", "parallel", "--cpu-test")])
@pytest.mark.parametrize(
    ("text", "names", "remedy"),
    [
        ('{"num_paralel_envs": 4}', "unknown key 'num_paralel_envs'", "did you mean 'num_parallel_envs'"),
        ('{"learnin_rate": 1}', "unknown key 'learnin_rate'", "did you mean 'learning_rate'"),
        ('{"zzzz": 1}', "unknown key 'zzzz'", "valid keys"),
        ('{"num_episodes": -1}', "num_episodes = -1", "greater than or equal to 0"),
        ('{"num_parallel_envs": "many"}', "num_parallel_envs = 'many'", "integer"),
        ('{"parallel_method": "quantum"}', "parallel_method = 'quantum'", "threading"),
        ('{"budget": true}', "budget = True", "share"),
        ('{"network_width": 2}', "network_width = 2", "greater than or equal to 4"),
        ('{"memory_simulations": 99, "fire_bank_size": 10}', "memory_simulations = 99", "fire_bank_size = 10"),
        ("{num_episodes: 3}", "not valid JSON", "mend it there"),
        ("", "not valid JSON", "mend it there"),
        ("[1, 2]", "JSON object", "keys and values"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path, capsys, command, text, names, remedy):
    config = tmp_path / "settings.json"
    config.write_text(text)
    line = refused(capsys, *command, "--config", config, "--out", tmp_path / "out")
    assert str(config) in line
    assert names in line
    assert remedy in line
    assert not (tmp_path / "out").exists()


def test_a_configuration_that_is_not_there(tmp_path, capsys):
    for place in (tmp_path / "none.json", tmp_path):
        line = refused(capsys, "train", "--config", place, "--out", tmp_path / "out")
        assert str(place) in line
        assert "give a JSON file" in line


def test_a_run_that_cannot_be_resumed(tmp_path, capsys):
    assert "config.json" in refused(capsys, "train", "--resume", tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"settings": {}}')
    assert "start the run anew" in refused(capsys, "train", "--resume", tmp_path)
    (tmp_path / "config.json").write_text('{"num_episodes": 3}')
    assert "not that of a run" in refused(capsys, "train", "--resume", tmp_path)


def test_plans_that_cannot_be_judged(tif, tmp_path, capsys):
    wide = np.zeros((1, 9, 9), np.int16)
    wide[0, 4, 4] = 1
    other = write_tif(tmp_path / "other.tif", wide)
    assert "--window" in refused(capsys, "evaluate", tif, other, "--buffer", "0")
    assert "no such file" in refused(capsys, "evaluate", tif, tmp_path / "none.tif", "--buffer", "0")
    rock = write_tif(tmp_path / "plan.tif", np.ones((1, *SHAPE), np.int16))
    assert "nonburnable" in refused(capsys, "evaluate", tif, rock, "--buffer", "0")
    assert "given twice" in refused(capsys, "evaluate", tif, rock, rock, "--buffer", "0")
    (tmp_path / "elsewhere").mkdir()
    namesake = write_tif(tmp_path / "elsewhere" / "other.tif", wide)
    assert "same name" in refused(capsys, "evaluate", tif, other, namesake, "--buffer", "0")


def test_a_plan_that_lies_elsewhere_is_not_judged(tif, tmp_path, capsys):
    one = np.zeros((1, *SHAPE), np.int16)
    one[0, 12, 10] = bands()[3][12, 10] != 99
    assert one.any()
    fits = write_tif(tmp_path / "fits.tif", one)
    code, _, err = run(capsys, "evaluate", tif, fits, "--buffer", "0", "--heldout", "20", "--duration", "10")
    assert code == 0
    assert "note" not in err
    shifted = write_tif(tmp_path / "shifted.tif", one, transform=Affine(30, 0, 500_000, 0, -30, 4_999_970))
    line = refused(capsys, "evaluate", tif, shifted, "--buffer", "0")
    assert "500000, 4999970" in line
    assert "500000, 5000000" in line
    elsewhere = write_tif(tmp_path / "elsewhere.tif", one, crs="EPSG:32612")
    line = refused(capsys, "evaluate", tif, elsewhere, "--buffer", "0")
    assert "EPSG:32612" in line
    assert "EPSG:32611" in line


# ---- weather, ignitions, outputs


def test_what_simulate_hands_over_can_be_burned_again(tif, tmp_path, capsys):
    out = tmp_path / "o"
    options = ("-n", "60", "--duration", "40", "--buffer", "0", "--json")
    code, first, err = run(
        capsys, "simulate", tif, *options, "--out", out, "--perimeters", "3", "--arrival-times", "2"
    )  # fmt: skip
    assert code == 0, err
    assert {path.name for path in out.iterdir()} == {
        "burn_probability.tif", "flame_lengths.tif", "fires.gpkg", "perimeters.gpkg", "arrival_min_0.tif",
        "arrival_min_1.tif",
    }  # fmt: skip
    with rasterio.open(out / "flame_lengths.tif") as file:
        assert file.count == 8
        assert "denominator is the fires that burn the cell" in file.tags()["meaning"]
        assert file.tags()["duration_min"] == "40.0"
        flames = file.read(masked=True)
    with rasterio.open(out / "burn_probability.tif") as file:
        probability = file.read(1)
    np.testing.assert_array_equal(flames[0].data, probability)
    burns = probability > 0
    np.testing.assert_allclose(flames[2:].sum(axis=0)[burns], 1, atol=1e-5)
    assert flames[1].mask[~burns].all()
    meta, _, _, columns = pyogrio.raw.read(out / "perimeters.gpkg")
    fire = dict(zip(meta["fields"], columns, strict=True))
    assert fire["fire"].tolist() == [0, 1, 2]
    with rasterio.open(out / "arrival_min_1.tif") as file:
        arrival = file.read(1, masked=True)
    assert arrival.count() * 0.09 == pytest.approx(fire["burned_ha"][1])
    assert arrival.max() <= 40
    code, again, err = run(capsys, "simulate", tif, "--fire-set", out / "fires.gpkg", "--json")
    assert code == 0, err
    timing = {"seconds", "fires_per_second"}
    one, other = ({k: v for k, v in json.loads(text).items() if k not in timing} for text in (first, again))
    assert one == other
    for options, says in (
        (("--wind-speed", "9"), "burned in other weathers"),
        (("--duration", "30"), "--duration: the fires of"),
        (("--compare-sizes", "x.csv"), "--compare-sizes: it draws fires of its own"),
    ):
        assert says in refused(capsys, "simulate", tif, *options, "--fire-set", out / "fires.gpkg")
    assert "none.gpkg: no such file" in refused(capsys, "simulate", tif, "--fire-set", "none.gpkg")


def test_us_units_go_in_and_come_out(tif, tmp_path, capsys):
    options = ("simulate", tif, "-n", "40", "--duration", "30", "--json")
    metric = json.loads(run(capsys, *options, "--wind-speed", str(10 * 1.609344 * 1.15))[1])
    code, text, err = run(capsys, *options, "--wind-speed", "10", "--units", "us", "--out", tmp_path / "o")
    assert code == 0, err
    us = json.loads(text)
    assert us["mean_area_acres"] == pytest.approx(metric["mean_area_ha"] / 0.40468564224)
    with rasterio.open(tmp_path / "o" / "flame_lengths.tif") as file:
        assert file.descriptions[1] == "mean flame length where the cell burns, ft"
    _, text, _ = run(capsys, "landscape", "info", tif, "--units", "us", "--json")
    acres = 24 * 20 * 0.09 / 0.40468564224
    assert f"24 x 20 cells, {acres:,.0f} acres; buffer 0 cells" in _heading(Landscape.open(tif), Problem(units="us"))
    assert json.loads(text)["elevation_ft"][0] == pytest.approx(1000 / 0.3048)
    for command in ("demo", "plan", "evaluate", "simulate", "train"):
        assert "--units" in run(capsys, command, "--help")[1]


def test_a_plan_in_a_recorded_season_is_judged_in_that_season_again(tif, tmp_path, capsys):
    record = wxs(tmp_path / "day.wxs")
    (tmp_path / "a.fms").write_text("0 5 6 7 60 90\n102 5 7 9 45 80\n")
    (tmp_path / "a.fmd").write_text("METRIC\n41 OWN 1 0 0 0 0 static 60 50 50 30 25 18600 18600 Own litter\n")
    density = np.zeros((1, *SHAPE), np.int16)
    density[0, 5:15] = 1
    options = (
        "--weather", record, "--pick", "percentile", "--percentile", "90", "--burn-period", "9,18",
        "--moisture", tmp_path / "a.fms", "--custom-fuels", tmp_path / "a.fmd", "--crown-method", "finney",
        "--no-wind-limit", "--ignitions", write_tif(tmp_path / "density.tif", density), "--units", "us",
    )  # fmt: skip
    wind = write_tif(tmp_path / "wind.tif", np.full((1, *SHAPE), 10, np.int16))
    out = tmp_path / "plan"
    code, _, err = run(capsys, "plan", tif, *options, "--budget", "4", *QUICK, "--out", out, "--json")
    assert code == 0, err
    assert "day.wxs: 90th percentile of" in err
    code, text, err = run(capsys, "evaluate", tif, out / "plan.tif", "--heldout", "40", "--json")
    assert code == 0, err
    with (out / "scores.csv").open() as file:
        judged = {row["plan"]: row for row in csv.DictReader(file)}
    again = {row["plan"]: row for row in json.loads(text)["scores"]}
    assert again["plan/plan"]["loss_avoided"] == pytest.approx(
        float(judged["sequential_dpv"]["loss_avoided"]), rel=1e-5
    )
    assert f"weather_stream {record}" in err
    assert "wind_limit False" in err
    # What an option says replaces what the plan was made with, or is refused; nothing is passed over.
    line = refused(capsys, "evaluate", tif, out / "plan.tif", "--wind-speed", "60")
    assert "--wind-speed: the weather record says that already (--weather); leave it out" in line
    for change in (("--percentile", "60"), ("--burn-period", "1,5"), ("--wind-raster", f"{wind},{wind}")):
        code, text, err = run(capsys, "evaluate", tif, out / "plan.tif", *change, "--heldout", "40", "--json")
        assert code == 0, err
        other = {row["plan"]: row for row in json.loads(text)["scores"]}
        assert other["plan/plan"]["loss_avoided"] != again["plan/plan"]["loss_avoided"]


def test_wind_rasters_and_past_sizes(tif, tmp_path, capsys):
    for name, value in (("speed", 15), ("direction", 200)):
        write_tif(tmp_path / f"{name}.tif", np.full((1, *SHAPE), value, np.int16))
    (tmp_path / "past.csv").write_text("acres\n" + "\n".join(str(size) for size in range(1, 40)) + "\n")
    code, text, err = run(
        capsys, "simulate", tif, "-n", "40", "--duration", "30",
        "--wind-raster", f"{tmp_path / 'speed.tif'},{tmp_path / 'direction.tif'}",
        "--compare-sizes", tmp_path / "past.csv", "--out", tmp_path / "o",
    )  # fmt: skip
    assert code == 0, err
    assert "fit the 39 past fires best" in text
    assert_is_a_picture(tmp_path / "o" / "sizes.png")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--units", "furlongs"), "--units: 'furlongs' is unknown; use metric or us"),
        (("--wind-from", "361"), "wind_from_deg is 361; give 0 to 360 degrees from north"),
        (("--foliar", "301"), "foliar_pct is 301 %; give 1 to 300 percent"),
        (("--weather", "none.wxs"), "none.wxs: cannot be read"),
        (("--pick", "hours"), "--pick: it says what to take from a record; give one with --weather FILE"),
        (("--weather", "WXS", "--wind-speed", "9"), "--wind-speed: the weather record say"),
        (("--weather", "WXS", "--wind-raster", "a,b"), "both say what wind there is; give one of them"),
        (("--wind-raster", "one.tif"), "give two files for each weather"),
        (("--weather", "WXS", "--pick", "days"), "--pick: 'days': Input should be 'hours', 'percentile' or"),
        (("--weather", "WXS", "--burn-period", "9-18"), "--burn-period: "),
        (("--weather", "WXS", "--percentile", "90"), "--percentile: it is for --pick percentile; add that"),
        (("--units", "us", "--wind-speed", "120"), "--wind-speed: 120 mph; give 0 to 108 mph (at 20 ft)"),
        (("--crown-method", "canadian"), "--crown-method: 'canadian': Input should be 'scott_reinhardt'"),
        (("--ignitions", "none.gpkg"), "none.gpkg: no such file; give a GeoPackage"),
        (("--custom-fuels", "none.fmd"), "none.fmd: cannot be read"),
        (("--perimeters", "3"), "--perimeters, --arrival-times: they need a folder to be written to; give --out"),
        (("--compare-sizes", "none.csv"), "none.csv: cannot be read"),
        (("--fire-set", "none.gpkg"), "-n: the fires of none.gpkg have their own; leave it or --fire-set out"),
        (("--stencil", "7", "--out", "o"), "stencil: 7 neighbors are not offered; use 8, 16, 32"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(tif, tmp_path, capsys, options, says):
    record = str(wxs(tmp_path / "day.wxs"))
    given = [record if option == "WXS" else option for option in options]
    assert says in refused(capsys, "simulate", tif, "-n", "5", *given)
    assert {path.name for path in tmp_path.iterdir()} == {"day.wxs"}
