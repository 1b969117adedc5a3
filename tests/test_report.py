"""What is handed over: verdicts that mean something, warnings where they are seen, maps that can be read."""

from __future__ import annotations

import numpy as np
import pytest

from fuelbreak import report
from fuelbreak.evaluate import CAVEAT, NO_BREAKS, Scores
from fuelbreak.landscape import Landscape, Plan


def scores(edge: float = 0.0) -> Scores:
    """Plan a against its twin, one worse by far, one better by far and one better by a hair on every fire."""
    loss = np.random.default_rng(0).lognormal(3, 1, 200)
    shares = {NO_BREAKS: 1.0, "a": 0.7, "twin": 0.7, "worse": 0.8, "better": 0.5, "hair": 0.7 - 1e-5}
    return Scores(tuple(shares), np.stack([share * loss for share in shares.values()]), np.ones(200), {}, "", edge)


def test_verdicts():
    rows = {row["against"]: row for row in report.differences(scores())}
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    none = "no clear difference"
    assert verdicts == {"twin": none, "worse": "more", "better": "less", "hair": none}
    assert rows["hair"]["high"] < 0  # clear to the last digit, and yet 0.0 points
    assert rows["worse"]["mean"] == pytest.approx(0.1)
    assert "a - better: -20.0 points (-20.0 to -20.0): less" in report.score_lines(scores())


def test_an_interval_that_touches_zero_is_no_clear_difference():
    loss = np.array([[10.0, 10.0, 10.0, 10.0], [5, 5, 5, 5], [5, 5, 5, 8]])
    judged = Scores((NO_BREAKS, "a", "b"), loss, np.ones(4), {}, "", 0.0)
    assert judged.difference("a", "b")[:2] == (pytest.approx(0.075), 0.0)
    assert report.differences(judged)[0]["verdict"] == "no clear difference"


def test_the_edge_is_warned_of_above_the_table():
    first, second, *_ = report.score_lines(scores(0.2))
    assert first.startswith("Warning: 20% of the fires")
    assert "--buffer" in first
    assert "--duration" in first
    assert second.startswith("plan ")
    assert not any("edge" in line for line in report.score_lines(scores(0.05)))


def test_facts_for_programs():
    facts = report.score_facts(scores(0.2))
    assert facts["caveat"] == CAVEAT
    assert facts["reached_edge_share"] == 0.2
    assert [row["plan"] for row in facts["scores"]] == [NO_BREAKS, "a", "twin", "worse", "better", "hair"]
    assert {row["against"] for row in facts["differences"]} == {"twin", "worse", "better", "hair"}


def map_of(landscape: Landscape, probability: np.ndarray, plan: Plan):
    return report.plan_figure(landscape, probability, probability, plan, "title")


def test_one_color_means_one_probability_on_any_slope_and_the_color_bar_says_so():
    rng = np.random.default_rng(0)
    fuel = np.full((20, 30), 1, np.int16)
    fuel[0] = 99
    land = Landscape.from_arrays(
        fuel_model=fuel, slope_deg=rng.uniform(0, 60, fuel.shape), aspect_deg=rng.uniform(0, 360, fuel.shape)
    )
    probability = rng.uniform(0, 0.4, fuel.shape).astype(np.float32)
    probability[5:10] = 0.25
    probability[10:15] = 0.005  # below 2 % of the largest
    figure = map_of(land, probability, Plan.from_cells(land, [(2, 2)]))
    picture, bar = np.asarray(figure.axes[0].images[0].get_array()), figure.axes[-1]
    same = picture[5:10].reshape(-1, 3)
    assert (same / same.max(axis=0)).min() >= 0.85 - 1e-6
    hue = same / same.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(hue, np.broadcast_to(hue[:1], hue.shape), atol=1e-9)
    assert np.ptp(picture[10:15], axis=2).max() < 1e-9  # gray, whatever the slope
    assert picture[10:15].min() >= 0.7 - 1e-6
    mapped = bar._colorbar.mappable
    color = np.array(mapped.to_rgba(0.25)[:3])
    np.testing.assert_allclose(hue[0], color / color.sum(), atol=1e-9)
    assert np.ptp(mapped.to_rgba(0.005)[:3]) == 0
    assert bar.get_ylim()[1] == pytest.approx(probability.max())


@pytest.mark.parametrize(("side", "layers"), [(50, 0), (300, 2)])
def test_breaks_on_a_large_raster_are_drawn_large_enough(side, layers):
    land = Landscape.from_arrays(fuel_model=np.full((side, side), 1, np.int16))
    figure = map_of(land, np.full(land.shape, 0.1, np.float32), Plan.from_cells(land, [(10, 40)]))
    markers = figure.axes[1].collections
    assert len(markers) == layers
    if layers:  # a white halo below, the breaks above
        assert markers[1].get_offsets()[0].tolist() == pytest.approx([40.5 * 0.03, (side - 10.5) * 0.03])
        assert np.sqrt(markers[1].get_sizes()[0]) * report.MAP_DPI / 72 >= 4  # points to pixels
        assert figure.axes[1].get_xlim() == pytest.approx((0, side * 0.03))


def test_the_frame_is_named_where_there_is_one():
    fuel = np.full((20, 20), 1, np.int16)
    inside = np.zeros(fuel.shape, bool)
    inside[4:16, 4:16] = True
    flat = np.full(fuel.shape, 0.1, np.float32)
    for land, frames in (
        (Landscape.from_arrays(fuel_model=fuel), 0),
        (Landscape.from_arrays(fuel_model=fuel, area_of_interest=inside), 1),
    ):
        figure = map_of(land, flat, Plan.from_cells(land, [(8, 8)]))
        assert len(figure.axes[0].patches) == frames
        assert ("frame: area of interest" in figure.get_suptitle()) == bool(frames)
