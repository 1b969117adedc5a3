"""The judge: no plan on the fires it was chosen on, all plans on the same fires, intervals that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from fuelbreak import planners
from fuelbreak.errors import InputError
from fuelbreak.evaluate import NO_BREAKS, Scores, evaluate
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import Fires
from fuelbreak.spread import spread


@pytest.fixture(scope="module")
def land() -> Landscape:
    rng = np.random.default_rng(8)
    fuel = rng.choice([1, 2, 102, 99], size=(20, 20), p=[0.3, 0.4, 0.2, 0.1]).astype(np.int16)
    return Landscape.from_arrays(fuel_model=fuel, value=rng.integers(0, 4, fuel.shape))


@pytest.fixture(scope="module")
def train(land) -> Fires:
    return Fires.draw(land, 40, 3, duration_min=40)


@pytest.fixture(scope="module")
def heldout(land) -> Fires:
    return Fires.draw(land, 150, 3, purpose="heldout", duration_min=40)


@pytest.fixture(scope="module")
def plans(land, train) -> dict[str, Plan]:
    return {name: rule(land, train, 12) for name, rule in planners.PLANNERS.items()}


def test_plans_are_not_judged_on_the_fires_they_were_chosen_on(land, train, plans):
    chosen = {"mine": plans["static_dpv"]}
    # The same fires under another name: known by their digest.
    renamed = Fires(train.ignitions, train.weather, train.duration_min, train.weather_index, origin="heldout:99")
    # Other fires of the same stream share members with them: known by their origin.
    more = Fires.draw(land, 200, 3, duration_min=40)
    assert more.digest != train.digest
    for fires in (train, renamed, more, more.take(np.arange(5, 90)), train.take(np.arange(3))):
        with pytest.raises(InputError, match=r"plan 'mine' was chosen on these fires.*heldout"):
            evaluate(chosen, land, fires)


def test_other_fires_may_judge(land, train, plans, heldout):
    evaluate(plans, land, heldout)
    evaluate(plans, land, Fires.draw(land, 50, 4, duration_min=40))
    evaluate(plans, land, Fires.draw(land, 50, 3, purpose="validate", duration_min=40))
    evaluate({"random": plans["random"]}, land, train)  # chosen on nothing
    given = Fires([(1, 1)] if land.burnable[1, 1] else np.argwhere(land.burnable)[:1], train.weather)
    other = Fires(np.argwhere(land.burnable)[5:6], train.weather)
    evaluate({"dpv": planners.static_dpv(land, given, 3)}, land, other)  # both "given", and not the same
    with pytest.raises(InputError, match="chosen on"):
        evaluate({"dpv": planners.static_dpv(land, given, 3)}, land, given)


def test_the_untreated_landscape_is_a_row_of_its_own(land, plans, heldout):
    scores = evaluate(plans, land, heldout)
    rows = scores.table()
    assert [row["plan"] for row in rows] == [NO_BREAKS, *plans]
    first = rows[0]
    assert (first["loss_avoided"], first["low"], first["high"]) == (0.0, 0.0, 0.0)
    assert (first["units"], first["simulations"], first["cells_solved"], first["seconds"]) == (0, 0, 0, 0.0)
    assert first["mean_loss"] == spread(land, heldout, stencil=32).mean_loss
    for row, (name, plan) in zip(rows[1:], plans.items(), strict=True):
        assert row["units"] == 12
        assert (row["simulations"], row["cells_solved"]) == (plan.simulations, plan.cells_solved)
        loss = spread(land, heldout, plan, stencil=32).loss
        assert row["loss_avoided"] == pytest.approx(
            1 - loss.sum() / spread(land, heldout, stencil=32).loss.sum(), abs=1e-12
        )
        assert row["low"] <= row["loss_avoided"] <= row["high"]
        np.testing.assert_array_equal(scores.loss[scores.names.index(name)], loss)
    with pytest.raises(InputError, match="kept for the untreated"):
        evaluate({NO_BREAKS: plans["random"]}, land, heldout)
    with pytest.raises(InputError, match="no plan is named 'nobody'"):
        scores.loss_avoided("nobody")


def test_differences_are_paired(land, plans, heldout):
    scores = evaluate(plans | {"twin": plans["static_dpv"]}, land, heldout)
    assert scores.difference("static_dpv", "static_dpv") == (0.0, 0.0, 0.0)
    assert scores.difference("static_dpv", "twin") == (0.0, 0.0, 0.0)
    mean, low, high = scores.difference("sequential_dpv", "random")
    assert low < mean < high
    assert mean == pytest.approx(scores.loss_avoided("sequential_dpv")[0] - scores.loss_avoided("random")[0])
    back = scores.difference("random", "sequential_dpv")
    assert back == pytest.approx((-mean, -high, -low))
    assert scores.difference("sequential_dpv", NO_BREAKS) == pytest.approx(scores.loss_avoided("sequential_dpv"))


def test_pairing_finds_a_difference_that_separate_intervals_hide():
    """Fires differ a hundredfold in size; plan a always burns 2 % less than plan b."""
    rng = np.random.default_rng(0)
    loss = rng.lognormal(3, 2, 300)
    scores = Scores((NO_BREAKS, "a", "b"), np.stack([loss, 0.7 * loss, 0.72 * loss * rng.uniform(0.99, 1.01, 300)]),
                    np.ones(300), {}, "", 0.0)  # fmt: skip
    _, low, high = scores.difference("a", "b")
    assert 0 < low < 0.02 < high < 0.03


def test_any_worker_count_and_any_repeat_gives_the_same_scores(land, plans, heldout):
    def judged(workers):
        scores = evaluate(plans, land, heldout, workers=workers)
        return scores.table(), scores.difference("sequential_dpv", "burn_probability"), scores.fires_digest

    first = judged(1)
    assert judged(1) == first
    for workers in (2, 3, None):
        assert judged(workers) == first


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """60 samples of 400 from a population whose true loss avoided is known: 95 % intervals should hold 51 or more."""
    rng = np.random.default_rng(1)
    size = rng.lognormal(2, 1.2, 200_000) * (rng.random(200_000) < 0.8)  # a fifth of the fires cost nothing
    treated = size * rng.choice([0.2, 1.0], 200_000, p=[0.3, 0.7])
    truth = 1 - treated.sum() / size.sum()
    held, widths = 0, []
    for _ in range(60):
        fires = rng.integers(0, len(size), 400)
        scores = Scores((NO_BREAKS, "a"), np.stack([size[fires], treated[fires]]), np.ones(400), {}, "", 0.0)
        _, low, high = scores.loss_avoided("a")
        held += low <= truth <= high
        widths.append(high - low)
    assert 51 <= held <= 60
    assert np.mean(widths) < 0.2  # not by being wide
    assert np.mean(widths) > 0.03


def test_weights_count_in_the_scores():
    loss = np.array([[10.0, 10.0], [0.0, 10.0]])
    for weight, avoided in (([1, 1], 0.5), ([3, 1], 0.75), ([0, 1], 0.0)):
        scores = Scores((NO_BREAKS, "a"), loss, np.array(weight, float), {}, "", 0.0)
        assert scores.loss_avoided("a")[0] == pytest.approx(avoided)
        assert scores.table()[1]["mean_loss"] == pytest.approx(10 * (1 - avoided))


def test_where_nothing_can_be_lost_nothing_is_avoided(land, heldout, plans):
    worthless = Landscape.from_arrays(fuel_model=land.fuel_model, value=np.zeros(land.shape))
    assert evaluate(plans, worthless, heldout).loss_avoided("random") == (0.0, 0.0, 0.0)


def test_a_plan_of_another_grid_is_refused(heldout, land):
    small = Landscape.from_arrays(fuel_model=np.full((5, 5), 1, np.int16))
    with pytest.raises(InputError, match="5 x 5"):
        evaluate({"small": Plan.from_cells(small, [(1, 1)])}, land, heldout)
