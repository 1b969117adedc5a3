"""Runs that burn apart (parts, shards, a cluster) and are put together: the same bits as one run."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio

from fuelbreak import parallel
from fuelbreak.cli import main
from fuelbreak.errors import InputError
from fuelbreak.evaluate import evaluate
from fuelbreak.fuels import FUEL_MODELS
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import Fires, Season, Weather, fire_season
from fuelbreak.shards import Shard, landscape_digest, parse_shard, read_shards
from fuelbreak.spread import Fields, SpreadResult, burn, gather, joined, setting, spread, spread_on_ray
from fuelbreak.train import make_config, train


@pytest.fixture(autouse=True)
def every_core():
    yield
    parallel.use_at_most(None)


@pytest.fixture(scope="module")
def land() -> Landscape:
    rng = np.random.default_rng(4)
    fuel = rng.choice([1, 2, 4, 102, 145, 165, 99], size=(40, 50)).astype(np.int16)
    value = rng.integers(0, 9, fuel.shape).astype(np.float32)
    return Landscape.from_arrays(fuel_model=fuel, value=value, slope_deg=rng.uniform(0, 30, fuel.shape))


def assert_same(a: SpreadResult, b: SpreadResult) -> None:
    for name in ("burned_cells", "loss", "reached_edge", "burned_interest", "cells_solved", "too_long_share"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(a.burn_probability(), b.burn_probability())
    np.testing.assert_array_equal(a.arrival_min(3), b.arrival_min(3))
    if a._by_flame is not None:
        np.testing.assert_array_equal(a.flame_length_classes(), b.flame_length_classes())
        np.testing.assert_array_equal(a.conditional_flame_length_m(), b.conditional_flame_length_m())


def season(kind: str) -> Season | tuple[Weather, ...]:
    if kind == "constant":
        return fire_season()
    bank = (Weather(wind_from_deg=200), Weather(wind_from_deg=290, wind_speed_kmh=40))
    return Season(bank, series=np.array([[0, 1, 0, 1], [1, 1, 0, 0]]), period_min=30.0)


# ---- parts


@pytest.mark.parametrize("kind", ["constant", "series"])
@pytest.mark.parametrize("windows", [False, True])
def test_parts_in_any_order_are_the_whole(land, kind, windows):
    fires = Fires.draw(land, 60, 3, weather=season(kind), duration_min=100)
    plan = Plan.from_cells(land, [(20, c) for c in range(10, 40) if land.treatable[20, c]])
    fields = Fields(land, fires.weather, keep_bytes=1000 if windows else 2**30)
    assert fields.fits_whole != windows
    settled = setting(land, fires, plan, fields=fields, flame_lengths=True)
    whole = spread(land, fires, plan, fields=fields, flame_lengths=True)
    parts = [burn(settled, *bounds, workers=workers) for bounds, workers in (((7, 41), 2), ((41, 60), 1), ((0, 7), 3))]
    gathered = gather(settled, parts)
    if windows:  # which windows are made depends on the fires beside each other; only a warning is drawn from it
        gathered = type(gathered)(**vars(gathered) | {"too_long_share": whole.too_long_share})
        gathered = type(gathered)(**vars(gathered) | {"cells_solved": whole.cells_solved})
    assert_same(gathered, whole)
    assert whole.burned_cells.max() > 30
    assert_same(gather(settled, [joined(parts[:2]), parts[2]]), gathered) if not windows else None


def test_parts_that_do_not_hold_every_fire_once_are_refused(land):
    settled = setting(land, Fires.draw(land, 10, 0, duration_min=20))
    a, b, c = burn(settled, 0, 4), burn(settled, 4, 8), burn(settled, 8, 10)
    for parts in ([a, b], [a, c], [b, c], [a, a, b, c]):
        with pytest.raises(InputError, match=r"^parts: "):
            gather(settled, parts)


# ---- a cluster


def test_a_cluster_that_cannot_be_joined_is_refused():
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'fuelbreak[ray]'")
    for address, says in (("127.0.0.1:1", "Connection refused"), ("nonsense", "Invalid address"), ("a:b", "invalid")):
        with pytest.raises(InputError, match=rf"^--ray-address: .*{address}.*{says}.*ray start --head"):
            parallel.join_ray(address)


def test_a_cluster_gives_the_same_bits(ray_cluster, land):
    import ray

    fires = Fires.draw(land, 3500, 3, weather=fire_season(), duration_min=60)
    plans = {
        name: Plan.from_cells(land, [(row, c) for c in range(5, 45) if land.treatable[row, c]])
        for name, row in (("north", 10), ("south", 30))
    }
    fields = Fields(land, fires.weather)
    told = []
    settled = [setting(land, fires, plan, fields=fields, flame_lengths=True) for plan in (None, plans["north"])]
    results = spread_on_ray(settled, ray, lambda done, message: told.append((done, message)))
    for result, plan in zip(results, (None, plans["north"]), strict=True):
        assert_same(result, spread(land, fires, plan, flame_lengths=True))
    assert told[-1] == (1.0, "8 of 8 parts")  # of 1000 fires each
    here, there = evaluate(plans, land, fires), evaluate(plans, land, fires, ray=ray)
    np.testing.assert_array_equal(here.loss, there.loss)
    assert here.table() == there.table()
    windowed = setting(land, fires, plans["north"], fields=Fields(land, fires.weather, keep_bytes=1000))
    np.testing.assert_array_equal(spread_on_ray([windowed], ray)[0].loss, results[1].loss)


def test_a_training_on_a_cluster_is_the_same_run(ray_cluster, tmp_path):
    pytest.importorskip("torch")
    small = {
        "grid_size": 12, "buffer_cells": 4, "num_weathers": 4, "budget": 6, "num_parallel_envs": 2, "torch_threads": 1,
        "memory_simulations": 10, "fire_simulation_max_duration": 20, "fire_bank_size": 30, "planning_simulations": 30,
        "validation_simulations": 20, "heldout_simulations": 40, "num_episodes": 4, "demonstration_episodes": 2,
        "pretrain_steps": 3, "n_step": 1, "batch_size": 8, "buffer_size": 64, "network_width": 4,
        "start": None, "output_dir": str(tmp_path),
    }  # fmt: skip
    here = train(make_config(small | {"parallel_method": "sequential"}))
    there = train(make_config(small | {"parallel_method": "ray", "max_workers": 2}))
    np.testing.assert_array_equal(here.plan.cells, there.plan.cells)
    np.testing.assert_array_equal(here.scores.loss, there.scores.loss)
    columns = ("loss_avoided_train", "loss_avoided_validation", "td_error")
    told = [np.genfromtxt(run.folder / "metrics.csv", delimiter=",", names=True) for run in (here, there)]
    for name in columns:
        np.testing.assert_array_equal(told[0][name], told[1][name])


def test_a_refusal_in_a_task_is_the_refusal_itself(ray_cluster):
    import ray

    def refuse(shared: str, task: int) -> None:
        raise InputError(f"{shared} {task} is refused")

    with pytest.raises(InputError, match=r"^task 0 is refused$"):
        list(parallel.run_ray(ray, refuse, "task", [(0,), (1,)]))


def test_shards_know_the_users_own_fuel_models(land):
    other = dataclasses.replace(land, custom_fuels=(dataclasses.replace(FUEL_MODELS[1], code=14),))
    assert landscape_digest(other) != landscape_digest(land)
    assert landscape_digest(dataclasses.replace(land)) == landscape_digest(land)


def test_without_ray_it_is_named(monkeypatch):
    monkeypatch.setattr(parallel, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'fuelbreak\[ray\]'"):
        parallel.join_ray()


# ---- shards


def run(capsys, *arguments) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def rasters(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.name] = file.read()
    return found


def summary(out: str) -> dict:
    told = json.loads(out)
    return {key: told[key] for key in told if key not in ("seconds", "fires_per_second", "cores_busy", "folder")}


def test_shards_of_a_simulation_merge_into_the_single_run(capsys, tmp_path):
    asked = ("simulate", "demo", "-n", 50, "--duration", 90, "--wind-speed", 35, "--seed", 4)
    code, single, err = run(capsys, *asked, "--out", tmp_path / "single", "--json")
    assert code == 0, err
    for i in (2, 3, 1):
        code, out, err = run(capsys, *asked, "--shard", f"{i}/3", "--out", tmp_path / "apart")
        assert code == 0, err
        assert out.startswith(f"shard {i} of 3: fires ")
    code, merged, err = run(capsys, "merge", tmp_path / "apart", "--out", tmp_path / "merged", "--json")
    assert code == 0, err
    assert summary(merged) == summary(single)
    ours, theirs = rasters(tmp_path / "merged"), rasters(tmp_path / "single")
    assert set(ours) == set(theirs) == {"burn_probability.tif", "flame_lengths.tif"}
    for name, raster in ours.items():
        np.testing.assert_array_equal(raster, theirs[name])
    # In files and folders, in any order, with more to write.
    files = sorted((tmp_path / "apart").glob("*.npz"))
    more = ("--perimeters", 3, "--arrival-times", 2, "--out", tmp_path / "more")
    code, out, err = run(capsys, "merge", files[2], files[0], files[1], *more)
    assert code == 0, err
    assert (tmp_path / "more" / "perimeters.gpkg").is_file()
    # The saved fires of a merged run are those of the single one.
    again = ("simulate", "demo", "--fire-set", tmp_path / "merged" / "fires.gpkg", "--out", tmp_path / "again")
    assert run(capsys, *again)[0] == 0
    np.testing.assert_array_equal(rasters(tmp_path / "again")["burn_probability.tif"], theirs["burn_probability.tif"])


def test_shards_of_an_evaluation_merge_into_the_single_one(capsys, tmp_path):
    made = tmp_path / "made"
    assert run(capsys, "plan", "demo", "--simulations", 20, "--heldout", 20, "--out", made)[0] == 0
    asked = ("evaluate", "demo", made / "plan.tif", "--heldout", 31)
    code, single, err = run(capsys, *asked, "--json")
    assert code == 0, err
    for i in (1, 2):
        code, _, err = run(capsys, *asked, "--shard", f"{i}/2", "--out", tmp_path / "apart")
        assert code == 0, err
    code, merged, err = run(capsys, "merge", tmp_path / "apart", "--json")
    assert code == 0, err
    assert json.loads(merged) == json.loads(single)
    code, _, err = run(capsys, "merge", tmp_path / "apart", "--out", tmp_path / "x")
    assert (code, (tmp_path / "x").exists()) == (2, False)
    assert "which writes no maps" in err


def test_cluster_from_the_command_line(capsys, ray_cluster, tmp_path):
    asked = ("simulate", "demo", "-n", 40, "--json")
    here, there = run(capsys, *asked), run(capsys, *asked, "--method", "ray")
    assert (here[0], there[0]) == (0, 0), there[2]
    assert summary(here[1]) == summary(there[1])


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "a/b", "1/3/4", "-1/3", "1/0"])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(InputError, match=r"^--shard: .* is not i/n with i from 1 to n"):
        parse_shard(text)


@pytest.mark.parametrize(("fires", "of"), [(10, 3), (7, 7), (1000, 13)])
def test_shards_hold_every_fire_once_in_equal_shares(fires, of):
    bounds = [Shard(i, of).bounds(fires) for i in range(1, of + 1)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == fires
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    sizes = [last - first for first, last in bounds]
    assert max(sizes) - min(sizes) <= 1
    with pytest.raises(InputError, match="cannot be cut in"):
        Shard(1, fires + 1).bounds(fires)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--shard", "1/2"), "give --out FOLDER"),
        (("--shard", "3/2", "--out", "OUT"), "is not i/n"),
        (("--shard", "1/99", "--out", "OUT"), "20 fires cannot be cut in 99 parts"),
        (("--shard", "1/2", "--method", "ray", "--out", "OUT"), "leave out one of"),
        (("--shard", "1/2", "--perimeters", "2", "--out", "OUT"), "give them there"),
        (("--shard", "1/2", "--compare-sizes", "sizes.csv", "--out", "OUT"), "it is not done apart"),
        (("--method", "dask"), "'dask' is unknown; use threading or ray"),
        (("--ray-address", "auto"), "it is for --method ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(capsys, tmp_path, options, says):
    options = [str(tmp_path / "x") if option == "OUT" else option for option in options]
    code, out, err = run(capsys, "simulate", "demo", "-n", 20, *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 or "1/99" in options  # refused when the fires are known, after a note of the run
    assert says in err
    assert not list(tmp_path.glob("x/*.npz"))


def test_shards_that_do_not_fit_together_are_refused(capsys, tmp_path):
    def shard(folder: str, i: int, *more) -> Path:
        asked = ("simulate", "demo", "-n", 20, *more, "--shard", f"{i}/2", "--out", tmp_path / folder)
        assert run(capsys, *asked)[0] == 0
        return tmp_path / folder / f"shard-{i}-of-2.npz"

    def refused(*arguments, says: str) -> None:
        out = tmp_path / "merged"
        code, _, err = run(capsys, "merge", *arguments, "--out", out)
        assert code == 2
        assert says in err.splitlines()[-1], err
        assert not list(out.glob("*"))

    first, second = shard("a", 1), shard("a", 2)
    other, same = shard("b", 2, "--seed", 1), shard("c", 1)
    refused(first, says="of 2 shards 2 is missing")
    refused(first, second, same, says="shard 1 is also")
    refused(first, other, says="arguments is")
    refused(tmp_path, says="there are no shards in this folder")
    refused(tmp_path / "none.npz", says="cannot be read")
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, x=1)
    refused(wrong, says="not a whole shard of this version")
    whole = first.read_bytes()
    for broken in (b"", whole[:2000]):
        wrong.write_bytes(broken)
        refused(wrong, second, says="not a whole shard of this version")
    code, _, err = run(capsys, "merge", first, second, first, "--out", tmp_path / "twice")
    assert code == 0, err  # the very same file once more is no harm


def test_a_shard_with_a_byte_changed_is_read_or_refused_in_one_line(tmp_path):
    assert main(["simulate", "demo", "-n", "20", "--shard", "1/1", "--out", str(tmp_path)]) == 0
    path = tmp_path / "shard-1-of-1.npz"
    whole, refusals = path.read_bytes(), 0
    directory = whole.index(b"PK\x01\x02")  # of the archive: every byte; before it every seventh
    for at in (*range(0, directory, 7), *range(directory, len(whole))):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        try:
            read_shards([path])  # a byte of the container's own, such as a date, harms nothing
        except InputError:
            refusals += 1
    assert refusals > len(whole) // 7


# ---- a cluster that loses a machine; last, since ray joins one cluster at a time


@pytest.mark.slow
def test_a_machine_that_is_lost_half_way_changes_nothing(land, tmp_path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'fuelbreak[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    def slow_part(folder: str, task: int) -> tuple[int, int]:
        """A task long enough to lose its machine meanwhile; leaves word of where it ran."""
        node = ray.get_runtime_context().get_node_id()
        Path(folder, f"{task}-{node}-{time.monotonic_ns()}").touch()
        time.sleep(0.4)
        return task, task**2

    ray.shutdown()  # the cluster of other tests
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=2)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        cluster.wait_for_nodes()
        assert parallel.ray_cores(parallel.join_ray(cluster.address)) == 3

        def lose() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if sum(f"-{second.node_id}-" in path.name for path in tmp_path.iterdir()) >= 3:
                    cluster.remove_node(second, allow_graceful=False)
                    return
                time.sleep(0.02)

        thief = threading.Thread(target=lose)
        thief.start()
        results = list(parallel.run_ray(ray, slow_part, str(tmp_path), [(i,) for i in range(12)]))
        thief.join()
        assert results == [(i, i**2) for i in range(12)]
        tasks = [path.name.split("-")[0] for path in tmp_path.iterdir()]
        assert len(tasks) > 12  # some were lost with the machine, and done again
        # And real fires, while a new machine comes and goes.
        third = cluster.add_node(num_cpus=2)
        fires = Fires.draw(land, 40_000, 5, weather=fire_season(), duration_min=120)
        expected = spread(land, fires)
        settled = setting(land, fires)
        lost: list[float] = []

        def say(done: float, message: str) -> None:
            if not lost and done > 0.25:
                lost.append(done)
                cluster.remove_node(third, allow_graceful=False)

        assert_same(spread_on_ray([settled], ray, say)[0], expected)
        assert lost
        assert lost[0] < 0.9
    finally:
        ray.shutdown()
        cluster.shutdown()
