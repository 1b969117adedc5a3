"""The judge: no plan on the fires it was chosen on, all plans on the same fires, intervals that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from fuelbreak import planners
from fuelbreak.errors import InputError
from fuelbreak.evaluate import (
    NO_BREAKS,
    Scores,
    alternative,
    budget_curve,
    evaluate,
    selection_frequency,
)
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import Fires, Weather, WindGrid, stressed
from fuelbreak.spread import Fields, spread


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


# ---- what a plan may be


def test_plans_that_are_empty_off_the_land_or_over_the_budget_are_refused_with_cells_counted(land, plans, heldout):
    able = int(land.treatable.sum())
    empty = Plan.from_flat(land, [])
    with pytest.raises(InputError, match=f"'mine' is empty: it treats 0 of {able} treatable cells"):
        evaluate({"mine": empty}, land, heldout)
    lake = Plan(np.flatnonzero(~land.burnable)[:3], land.shape)
    with pytest.raises(InputError, match="'mine': plan: 3 of 3 cells are nonburnable already, first row"):
        evaluate({"mine": lake}, land, heldout)
    elsewhere = Plan(np.arange(3), (5, 5))
    with pytest.raises(InputError, match="'mine': plan: it is for a grid of 5 x 5 cells, the landscape has 20 x 20"):
        evaluate({"mine": elsewhere}, land, heldout)
    evaluate({"mine": plans["random"]}, land, heldout, budget=12, scenarios={})
    for budget in (11, "1%", "0.9 ha"):
        with pytest.raises(InputError, match=rf"'mine' is over the budget of {budget}: its 12 cells take 12 of "):
            evaluate({"mine": plans["random"]}, land, heldout, budget=budget)
    cost = Plan.from_flat(land, np.flatnonzero(land.treatable)[:2], cost=[300.0, 500.0])
    evaluate({"mine": cost}, land, heldout, budget="$800", scenarios={})
    with pytest.raises(InputError, match=r"over the budget of \$700: its 2 cells take 800 of 700"):
        evaluate({"mine": cost}, land, heldout, budget="$700")
    with pytest.raises(InputError, match="'mine' has no cost"):
        evaluate({"mine": plans["random"]}, land, heldout, budget="$700")


# ---- more than one figure


def test_training_fires_flatter_those_who_planned_on_them(land, train, plans, heldout):
    scores = evaluate(plans, land, heldout, training=train, scenarios={})
    rows = {row["plan"]: row for row in scores.table()}
    assert rows["random"]["training_loss_avoided"] is None  # it never saw them
    before = spread(land, train).mean_loss
    for name in ("static_dpv", "greedy", "annealing"):
        own = 1 - spread(land, train, plans[name]).mean_loss / before
        assert rows[name]["training_loss_avoided"] == pytest.approx(own)
    assert rows["annealing"]["training_loss_avoided"] > rows["annealing"]["loss_avoided"]


def test_scenarios_are_the_same_fires_in_other_weather(land, plans, heldout):
    two = {name: plans[name] for name in ("random", "sequential_dpv")}
    scores = evaluate(two, land, heldout)
    assert set(scores.scenarios) == {
        *("wind -45 deg", "wind +45 deg", "wind +25 %", "dead moisture -2", "1 cell in 10 fails")
    }
    for scenario, those in stressed(heldout).items():
        np.testing.assert_array_equal(those.ignitions, heldout.ignitions)
        judged = scores.scenarios[scenario]
        np.testing.assert_array_equal(judged.loss[0], spread(land, those).loss)
        np.testing.assert_array_equal(judged.loss[2], spread(land, those, two["sequential_dpv"]).loss)
    failing = scores.scenarios["1 cell in 10 fails"]
    np.testing.assert_array_equal(failing.loss[0], scores.loss[0])  # without breaks none fails
    assert (failing.loss[2] >= scores.loss[2]).all()
    assert failing.loss[2].sum() > scores.loss[2].sum()
    rows = scores.robustness()
    assert len(rows) == 2 * 6
    for scenario in {row["scenario"] for row in rows}:
        here = {row["plan"]: row for row in rows if row["scenario"] == scenario}
        best = max(row["loss_avoided"] for row in here.values())
        for row in here.values():
            assert row["regret"] == best - row["loss_avoided"]
    worst, share, sorry, regret = scores.worst_case("random")
    mine = [row for row in rows if row["plan"] == "random"]
    assert share == min(row["loss_avoided"] for row in mine)
    assert regret == max(row["regret"] for row in mine)
    assert {worst, sorry} <= {row["scenario"] for row in rows}


def test_weather_is_changed_as_it_says(heldout):
    changed = stressed(heldout)
    for before, left, right, fast, dry in zip(
        heldout.weather, *(those.weather for those in changed.values()), strict=True
    ):
        assert (right.wind_from_deg - before.wind_from_deg) % 360 == pytest.approx(45)
        assert (before.wind_from_deg - left.wind_from_deg) % 360 == pytest.approx(45)
        assert fast.wind_speed_kmh == pytest.approx(min(1.25 * before.wind_speed_kmh, 200))
        assert dry.dead_1h_pct == max(before.dead_1h_pct - 2, 1)
        assert dry.live_herb_pct == before.live_herb_pct
    rows = Weather(dead_1h_pct=2.0, by_fuel=((1, 2.5, 6, 7, 60, 90),), wind_speed_kmh=190)
    one = stressed(Fires([(0, 0)], rows))
    assert one["dead moisture -2"].weather[0].dead_1h_pct == 1
    assert one["dead moisture -2"].weather[0].by_fuel == ((1, 1.0, 4.0, 5.0, 60.0, 90.0),)
    assert one["wind +25 %"].weather[0].wind_speed_kmh == 200
    grid = WindGrid(np.full((2, 2), 100.0), np.array([[0, 90], [330, 350]]))
    windy = stressed(Fires([(0, 0)], Weather(wind=grid)))
    np.testing.assert_array_equal(windy["wind +45 deg"].weather[0].wind.from_deg, [[45, 135], [15, 35]])
    np.testing.assert_array_equal(windy["wind +25 %"].weather[0].wind.speed_kmh, np.full((2, 2), 125))


def test_ranks_count_the_clearly_better_and_ties_are_named():
    rng = np.random.default_rng(1)
    base = rng.lognormal(3, 1, 400)
    noisy = base * rng.uniform(0.4, 1.0, 400)
    loss = np.stack([base, 0.5 * base, noisy, noisy[::-1] * 0 + base * 0.7, 0.9 * base])
    scores = Scores((NO_BREAKS, "half", "noisy", "seven", "nine"), loss, np.ones(400), {}, "", 0.0)
    ranks = scores.ranking()
    assert ranks["half"] == (1, ())
    assert ranks["noisy"][0] == ranks["seven"][0] == 2
    assert ranks["noisy"][1] == ("seven",)
    assert ranks["seven"][1] == ("noisy",)
    assert ranks["nine"] == (4, ())
    assert [row["rank"] for row in scores.table()] == [None, 1, 2, 2, 4]


def test_the_fires_an_interval_needs_are_about_right(land, plans):
    """Ten times fewer fires say how many a narrower interval takes; with so many it is about that narrow."""
    few = Fires.draw(land, 300, 3, purpose="heldout", duration_min=40)
    one = {"plan": plans["sequential_dpv"]}
    _, low, high = evaluate(one, land, few, scenarios={}).loss_avoided("plan")
    points = 100 * (high - low) / 2 / 3
    needed = evaluate(one, land, few, scenarios={}).fires_needed("plan", points=points)
    assert needed == pytest.approx(2700, rel=0.01)
    many = Fires.draw(land, needed, 3, purpose="heldout", duration_min=40)
    _, low, high = evaluate(one, land, many, scenarios={}).loss_avoided("plan")
    assert 100 * (high - low) / 2 == pytest.approx(points, rel=0.25)
    with pytest.raises(InputError, match="interval"):
        evaluate(one, land, few, scenarios={}).fires_needed("plan", points=0)


def test_a_budget_curve_is_the_judgment_of_each_first_part(land, plans, heldout):
    two = {name: plans[name] for name in ("sequential_dpv", "random")}
    curve = budget_curve(two, land, heldout, points=4)
    assert [(row["plan"], row["units"]) for row in curve] == [(name, n) for name in two for n in (0, 3, 6, 9, 12)]
    for row in curve:
        if row["units"]:
            alone = evaluate({"part": two[row["plan"]].prefix(row["units"])}, land, heldout, scenarios={})
            assert (row["loss_avoided"], row["low"], row["high"]) == alone.loss_avoided("part")
        assert row["hectares"] == pytest.approx(row["units"] * 0.09)
    windows = monkeyed_curve(two, land, heldout)
    assert windows == curve


def monkeyed_curve(plans, land, fires):
    """The same where the landscape's fields do not fit, so that fires burn in windows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fields, "fits_whole", property(lambda self: False))
        return budget_curve(plans, land, fires, points=4)


# ---- how sure, and what else


def test_selection_frequency_counts_plans_on_resampled_fires(land, train):
    shares = selection_frequency(planners.static_dpv, land, train, 10, resamples=8, seed=5)
    assert shares.shape == land.shape
    np.testing.assert_allclose(shares.sum(), 10, rtol=1e-5)
    assert set(np.unique(np.round(shares * 8))) <= set(range(9))
    assert (shares[~land.treatable] == 0).all()
    assert 0 < np.count_nonzero(shares) < 80
    np.testing.assert_array_equal(
        shares, selection_frequency(planners.static_dpv, land, train, 10, resamples=8, seed=5)
    )
    always = selection_frequency(planners.static_dpv, land, train.take(np.zeros(1, int)), 10, resamples=3)
    assert set(np.unique(always)) == {0.0, 1.0}  # one fire cannot be resampled to another


def test_the_alternative_differs_in_half_of_its_units_and_is_the_best_of_those(land, train):
    plan = planners.sequential_dpv(land, train, 12)
    other = alternative(plan, planners.sequential_dpv, land, train, 12)
    assert other is not None
    assert len(set(other.cells) - set(plan.cells)) >= 6
    worse = planners.random(land, train, 12)
    assert spread(land, train, other).mean_loss < spread(land, train, worse).mean_loss
    assert alternative(plan, planners.sequential_dpv, land, train, int(land.treatable.sum())) is None
