"""The leaderboard: courses that stay what they are, runs that can be stopped, means with honest intervals."""

from __future__ import annotations

import numpy as np
import pytest

from fuelbreak import cli, leaderboard, planners, report
from fuelbreak.errors import InputError
from fuelbreak.landscape import budget_units
from fuelbreak.scenarios import Fires
from fuelbreak.spread import spread

FEW = {name: planners.PLANNERS[name] for name in ("random", "static_dpv", "sequential_dpv", "swap_search")}


def test_the_courses_are_frozen():
    """Each is the landscape that its row of the table names, and its fires burn what a course's fires should."""
    table = leaderboard.specs()
    assert [spec.size for spec in table] == [*leaderboard.SIZES, *leaderboard.SIZES]
    assert [spec.half for spec in table] == ["dev"] * 20 + ["test"] * 20
    assert len({spec.seed for spec in table}) == 40
    for half in ("dev", "test"):
        for course in leaderboard.courses(half):  # a digest that differs is refused
            low, high = leaderboard.SHARES
            fires = Fires.draw(
                course.landscape, 200, 9, purpose="validate", weather=course.season, duration_min=course.duration_min
            )
            share = spread(course.landscape, fires).burned_cells.mean() / course.landscape.burnable.sum()
            assert low < share < high


def test_a_course_that_changed_is_refused(monkeypatch):
    first = leaderboard.specs()[0]
    monkeypatch.setattr(leaderboard, "specs", lambda: (first._replace(seed=first.seed + 1),))
    with pytest.raises(InputError, match="dev-01 is no longer the landscape of version 1"):
        list(leaderboard.courses("dev"))


def test_simulations_are_kept_to_and_a_stopped_run_goes_on(tmp_path, monkeypatch):
    levels = (200, 1000)
    rows, shares = leaderboard.run("dev", tmp_path, methods=FEW, levels=levels, sizes=(20,))
    assert [course[0]["course"] for course in rows] == [f"dev-0{i}" for i in range(1, 6)]
    for course in rows:
        for row in course:
            assert row["simulations"] <= row["level"]
            assert row["units"] > 0
            assert row["low"] <= row["loss_avoided"] <= row["high"]
    (tmp_path / "dev-03.npz").unlink()
    made = []
    real = leaderboard.run_course
    monkeypatch.setattr(
        leaderboard, "run_course", lambda course, *more: made.append(course.name) or real(course, *more)
    )
    again, same = leaderboard.run("dev", tmp_path, methods=FEW, levels=levels, sizes=(20,))
    assert made == ["dev-03"]
    for one, two in zip(rows, again, strict=True):
        for row, other in zip(one, two, strict=True):
            assert {**row, "seconds": 0} == {**other, "seconds": 0}
    np.testing.assert_array_equal(np.stack(shares), np.stack(same))
    # Other levels are another run, and so is another agent behind the same names.
    leaderboard.run("dev", tmp_path, methods=FEW, levels=(100,), sizes=(20,))
    assert len(made) == 6
    for agents, of in (("one", 11), ("one", 11), ("two", 16)):
        leaderboard.run("dev", tmp_path, methods=FEW, levels=(100,), sizes=(20,), agents=agents)
        assert len(made) == of


def test_swap_search_stands_beside_its_start():
    course = next(leaderboard.courses("dev"))
    rows, shares = leaderboard.run_course(course, FEW, (1000,))
    methods = [row["method"] for row in rows]
    assert methods == ["random", "static_dpv", "sequential_dpv", leaderboard.SWAP_START, "swap_search"]
    assert shares.shape == (5, 4001)
    np.testing.assert_allclose(shares[:, 0], [row["loss_avoided"] for row in rows])


def test_fires_for_a_method_use_what_it_may_burn():
    n = budget_units(next(leaderboard.courses("dev")).landscape, leaderboard.BUDGET)
    for method in planners.PLANNERS:
        for level in leaderboard.LEVELS:
            size = leaderboard.fires_for(method, n, level)
            assert 50 <= size <= min(level, 2000)
    assert leaderboard.fires_for("static_dpv", n, 1000) == 1000
    assert leaderboard.fires_for("sequential_dpv", 100, 10_000) == pytest.approx(100, abs=2)


def made_up(courses: int, spread_of: float, gain: float) -> tuple[list, list]:
    """Courses of known loss avoided: sequential DPV by chance of the course, swaps a gain above."""
    rng = np.random.default_rng(0)
    rows, shares = [], []
    for i in range(courses):
        base = 0.4 + spread_of * rng.normal()
        noise = np.concatenate([[0.0], 0.01 * rng.normal(size=4000)])
        told = {"course": f"c{i}", "simulations": 10, "cells_solved": 20, "seconds": 0.5, "level": 100}
        rows.append([told | {"method": "sequential_dpv"}, told | {"method": "swap_search"}])
        shares.append(np.stack([base + noise, base + gain + noise]))
    return rows, shares


def test_means_are_over_courses_and_their_intervals_over_courses_and_fires():
    rows, shares = made_up(20, 0.1, 0.03)
    table = {row["method"]: row for row in leaderboard.summary(rows, shares)}
    mean = np.mean([share[0, 0] for share in shares])
    one, two = table["sequential_dpv"], table["swap_search"]
    assert one["loss_avoided"] == pytest.approx(mean)
    width = 2 * 1.96 * np.std([share[0, 0] for share in shares]) / np.sqrt(20)
    assert one["high"] - one["low"] == pytest.approx(width, rel=0.15)
    assert one["over_sequential"] == one["over_sequential_low"] == 0
    for end in ("", "_low", "_high"):  # courses differ, the gain does not: paired
        assert two["over_sequential" + end] == pytest.approx(0.03)
    assert leaderboard.difference(rows, shares, "swap_search", "sequential_dpv", 100) == pytest.approx((0.03,) * 3)
    alone = leaderboard.summary(rows[:1], shares[:1])[0]  # one course: fires alone
    assert alone["high"] - alone["low"] == pytest.approx(2 * 1.96 * 0.01, rel=0.1)


def test_the_command_writes_tables_and_a_figure(tmp_path, capsys):
    out = tmp_path / "board"
    few = ("--methods", "random,static-dpv,sequential_dpv,swap-search", "--levels", "200", "--sizes", "20")
    assert cli.main(["leaderboard", "dev", *few, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "5 dev landscapes" in told
    assert "sequential_dpv - static_dpv, 200: " in told
    assert "swap_search - swap_search, its start, 200: " in told
    for name in ("courses.csv", "summary.csv", "leaderboard.json", "leaderboard.png", "dev-01.npz"):
        assert (out / name).stat().st_size > 0
    figure = report.leaderboard_figure(leaderboard.summary(*made_up(3, 0.1, 0.02)), "title")
    assert len(figure.axes) == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("final",), "'final' is no half; use dev or test"),
        (("dev", "--methods", "magic"), "'magic' is unknown"),
        (("dev", "--levels", "many"), "--levels: 'many'"),
        (("dev", "--levels", "10"), "from 50 on"),
        (("dev", "--sizes", "33"), "no course of dev is of those sizes"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments, reason, tmp_path, capsys):
    assert cli.main(["leaderboard", *arguments, "--out", str(tmp_path / "x")]) == 2
    assert reason in capsys.readouterr().err
