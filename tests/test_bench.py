"""`fuelbreak bench spread`: what it measures on is as stated, and every figure is told. Speed itself is not judged."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra

from fuelbreak import bench, parallel
from fuelbreak._kernels import PAD
from fuelbreak.cli import main


@pytest.fixture(autouse=True)
def every_core():
    yield
    parallel.use_at_most(None)


def run(capsys, *arguments) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_random_ground_is_as_stated():
    land = bench.random_landscape(200, 3)
    log_rate = np.log(land.spread_rate_m_min)
    assert log_rate.std() == pytest.approx(0.5, abs=1e-9)
    assert abs(((log_rate - log_rate.mean()) ** 3).mean()) / 0.5**3 < 0.3  # as a normal's: no skew
    # White noise behind a Gaussian filter of 3 cells: neighbors n apart correlate as exp(-n^2 / 36).
    for apart in (1, 3, 6):
        pairs = np.corrcoef(log_rate[:, :-apart].ravel(), log_rate[:, apart:].ravel())[0, 1]
        assert pairs == pytest.approx(math.exp(-(apart**2) / 36), abs=0.06)
    lw = land.length_to_width
    assert lw.min() >= 1.2
    assert lw.max() <= 5.5
    assert lw.max() > 4.5
    assert lw.min() < 1.5
    assert np.median(lw) == pytest.approx(2.5, rel=0.1)
    turn = np.exp(1j * np.deg2rad(land.heading_deg))
    off = np.rad2deg(np.angle(turn / turn.mean()))
    assert off.std() == pytest.approx(20, rel=0.1)
    for layer in (lw, off):  # smooth
        assert (layer[1:] - layer[:-1]).std() < 0.3 * layer.std()
    assert (~land.burnable).sum() == 0.03 * 200 * 200
    again, other = bench.random_landscape(200, 3), bench.random_landscape(200, 4)
    assert all(np.array_equal(a, b) for a, b in zip(land, again, strict=True))
    assert not np.array_equal(land.heading_deg, other.heading_deg)


def test_slowness_is_that_of_the_ellipse_from_its_rear_focus():
    land = bench.random_landscape(20, 0)
    a, bx, by = np.moveaxis(bench.slowness_fields(land).astype(np.float64), -1, 0)
    open_cells = land.burnable
    assert np.isinf(a[~open_cells]).all()
    heading = np.deg2rad(land.heading_deg)
    u, v = np.sin(heading), np.cos(heading)
    head_min = 30.0 / land.spread_rate_m_min
    e = np.sqrt(1 - land.length_to_width**-2.0)
    np.testing.assert_allclose((a - bx * u - by * v)[open_cells], head_min[open_cells], rtol=1e-4)
    back = (a + bx * u + by * v)[open_cells]
    np.testing.assert_allclose(back, (head_min * (1 + e) / (1 - e))[open_cells], rtol=1e-4)


@pytest.mark.parametrize("stencil", bench.STENCILS)
def test_fires_burn_as_many_cells_as_they_are_said_to(stencil):
    case = bench.make_case(bench.random_landscape(40, 1), stencil, 50, 1)
    duration = bench.duration_that_burns(200, lambda t: bench.burn(bench.with_duration(case, t)).mean())
    burned = bench.burn(bench.with_duration(case, duration))
    assert burned.mean() == pytest.approx(200, rel=0.03)
    assert burned.min() >= 1
    two = bench.make_case(bench.random_landscape(40, 1), stencil, 50, 1, threads=2)
    np.testing.assert_array_equal(bench.burn(bench.with_duration(two, duration), 2), burned)
    with pytest.raises(RuntimeError, match="no duration burns 9000 cells"):
        bench.duration_that_burns(9000, lambda t: bench.burn(bench.with_duration(case, t)).mean())


def test_another_answer_than_scipy_s_stops_the_benchmark():
    case = bench.make_case(bench.random_landscape(30, 2), 8, 1, 2)
    graph = bench.neighbor_graph(case.world)
    assert graph.shape == (900, 900)
    row, col = divmod(int(case.fires.ignition[0]), case.world.width)
    minutes = dijkstra(graph, indices=(row - PAD) * 30 + col - PAD)
    assert 0.9 * 900 < np.isfinite(minutes).sum() == bench.burn(case)[0] < 900
    bench.check_same_times(case, minutes)
    for cell, factor in ((int(np.argmax(np.where(np.isinf(minutes), 0, minutes))), 1.001), (int(minutes.argmin()), 1)):
        wrong = minutes.copy()
        wrong[cell] = wrong[cell] * factor if factor != 1 else 1.0
        with pytest.raises(RuntimeError, match=f"1 of 900 arrival times differ from scipy's, first at cell {cell}:"):
            bench.check_same_times(case, wrong)
    wrong = minutes.copy()
    wrong[np.flatnonzero(np.isinf(minutes))[0]] = 5.0
    with pytest.raises(RuntimeError, match="differ"):
        bench.check_same_times(case, wrong)


def test_greedy_breaks_are_on_the_most_burned_cell_of_the_time():
    demo = bench.Demo(*_small_demo())
    ensemble = bench.Ensemble(demo.landscape, demo.fires, fires_per_episode=20, fields=demo.fields)
    which = np.arange(20)
    cells = bench.most_burned(ensemble, which, 6)
    assert len(set(cells.tolist())) == 6
    ensemble.reset(0, which)
    left = demo.landscape.treatable.ravel().copy()
    for cell in cells:
        burned = np.mean([np.isfinite(ensemble.arrival_min(0, s)) for s in range(20)], axis=0).ravel()
        assert burned[cell] == burned[left].max() > 0
        left[cell] = False
        ensemble.treat(np.array([cell]))


def _small_demo():
    landscape, season = bench.Landscape.demo(16, 16, 0), bench.fire_season(weathers=2)
    fires = bench.Fires.draw(landscape, 20, 0, weather=season, duration_min=30.0)
    return landscape, fires, bench.Fields(landscape, season), 0.0


def expected_rows(threads: int) -> list[tuple[str, int | None, str]]:
    grids = [f"{n} x {n}" for n in (50, 200, 400)]
    rows = [("burned cell", stencil, grid) for stencil in (8, 16, 32) for grid in grids]
    rows += [("growth", stencil, grids[2]) for stencil in (8, 16, 32)]
    for grid in grids[1:]:
        names = ("scipy dijkstra, a node", "endless fire, a node", "scipy dijkstra / endless fire")
        rows += [(name, 8, grid) for name in names]
    names = ("repair, random break", "repair, most-burned break", "solve anew", "gains of 2360 units")
    per_fire_size = [(name, stencil, grids[0]) for stencil in (16, 32) for name in (*names, "gains / solve anew")]
    rows += [*per_fire_size, ("FireEnv.step", 32, grids[0])] * 2
    for grid in grids[:2]:
        rows += [(f"fires on {n} thread{'s' * (n > 1)}", 32, grid) for n in range(1, threads + 1)]
    rows += [("2 threads / 2 processes", 32, grid) for grid in grids[:2]] * (threads > 1)
    return [*rows, ("import fuelbreak", None, "")]


def test_the_quick_benchmark_tells_every_figure(tmp_path, capsys):
    to = tmp_path / "below" / "speed.json"
    code, out, err = run(capsys, "bench", "spread", "--quick", "--workers", "2", "--json", to)
    assert code == 0, err
    assert "compiling" in err
    assert [path.name for path in to.parent.iterdir()] == ["speed.json"]
    facts = json.loads(to.read_text())
    assert set(facts) == {"machine", "workers", "bar_scale", "rows"}
    assert {"cores", "python", "numba", "numpy"} <= set(facts["machine"])
    rows = facts["rows"]
    assert [(row["name"], row["stencil"], row["grid"]) for row in rows] == expected_rows(
        min(2, parallel.available_cores())
    )
    for row in rows:
        assert set(row) == set(bench.Row.__annotations__)
        assert 0 < row["lower_quartile"] <= row["figure"] <= row["upper_quartile"] < math.inf, row
        assert row["repeats"] >= 1
        if row["bar"] is None:
            assert (row["bar_is"], row["met"]) == ("", None)
        else:
            assert row["met"] == (
                row["figure"] >= row["bar"] if row["bar_is"] == "at least" else row["figure"] <= row["bar"]
            )
    by_name = {(row["name"], row["stencil"], row["grid"]): row for row in rows}
    par = by_name["scipy dijkstra, a node", 8, "200 x 200"]["figure"]
    assert facts["bar_scale"] == pytest.approx(par / 370)
    bars = {8: 80, 16: 140, 32: 290}
    for stencil, bar in bars.items():
        assert by_name["burned cell", stencil, "200 x 200"]["bar"] == pytest.approx(bar * par / 370)
        assert by_name["burned cell", stencil, "50 x 50"]["bar"] is None
        for grid, cells in (("50 x 50", 400), ("200 x 200", 8000), ("400 x 400", 20_000)):
            told = re.search(r"fires of ([\d,]+) cells", by_name["burned cell", stencil, grid]["detail"])
            assert float(told.group(1).replace(",", "")) == pytest.approx(cells, rel=0.031)
    assert {row["bar_is"] for row in rows if row["name"] == "2 threads / 2 processes"} <= {"at least"}
    lines = out.splitlines()
    assert len(lines) == 2 + len(rows)
    for line, row in zip(lines[2:], rows, strict=True):
        assert line.startswith(row["name"])
        assert row["unit"] in line
        assert row["detail"] in line


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_runs(tmp_path, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("I am a file")
    for place, remedy in ((tmp_path, "name a file"), (blocker / "speed.json", "choose another")):
        code, out, err = run(capsys, "bench", "spread", "--quick", "--json", place)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert str(place if place == tmp_path else blocker) in err
        assert remedy in err
    assert list(tmp_path.iterdir()) == [blocker]
    code, out, err = run(capsys, "bench", "spread", "--quick", "--workers", "0")
    assert (code, out) == (2, "")
    assert "workers: 0" in err


def test_the_benchmark_of_fire_behavior_tells_every_figure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "MILLION", 60)
    to = tmp_path / "speed.json"
    code, out, err = run(capsys, "bench", "behavior", "--repeats", "2", "--json", to)
    assert code == 0, err
    facts = json.loads(to.read_text())
    assert set(facts) == {"machine", "rows"}
    assert len(facts["rows"]) == 6
    for row in facts["rows"]:
        assert set(row) == set(bench.Row.__annotations__)
        assert (row["grid"], row["repeats"], row["unit"]) == ("60 x 60", 2, "ms")
        assert 0 < row["figure"] < math.inf
        assert row["bar"] == (None if "differs" in row["detail"] or "shade" in row["detail"] else 60)
        assert row["met"] == (None if row["bar"] is None else row["figure"] <= 60)
        assert row["detail"] in out
    assert "crown fire on" in out


def test_a_landscape_of_ones_own_is_repeated_to_the_size_that_is_measured():
    small = bench.mixed_landscape(7, 0)
    large = bench._tiled(small, 17)
    assert large.shape == (17, 17)
    np.testing.assert_array_equal(large.fuel_model[7:14, 7:14], small.fuel_model)
    np.testing.assert_array_equal(large.slope_deg[:7, 14:], small.slope_deg[:, :3])
