"""What is to be small: mean, tail and worst scenario of losses; losses from area and values."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape
from fuelbreak.objective import Objective, ValueLayer, conditional_value_at_risk, with_values
from fuelbreak.scenarios import Fires, Weather
from fuelbreak.spread import spread

# No loss below the numbers that have all their digits: a share of one is not told to nine.
losses = st.lists(st.tuples(st.floats(0, 1e6, allow_subnormal=False), st.floats(0.01, 10)), min_size=1, max_size=30)


def naive_cvar(loss, weight, tail: float) -> float:
    """The mean of the worst share, in fractions: the worst fires until their weight is that share, the last in part."""
    left = whole = Fraction(tail) * sum(map(Fraction, weight))
    lost = Fraction(0)
    for each, most in sorted(zip(loss, weight, strict=True), reverse=True):
        taken = min(Fraction(most), left)
        lost, left = lost + taken * Fraction(each), left - taken
    return float(lost / whole)


def test_cvar_of_a_fair_die():
    """Worst sixth of a die is 6, worst third 5.5, worst quarter (6 + 6 + 5) / 3."""
    die, even = np.arange(1.0, 7), np.ones(6)
    for tail, expected in ((1 / 6, 6.0), (1 / 3, 5.5), (0.25, 17 / 3), (1.0, 3.5), (0.01, 6.0)):
        assert conditional_value_at_risk(die, even, tail) == pytest.approx(expected)


@example([(0.0, 15.5), (488.0, 0.015625)], 1.0)
@given(losses, st.floats(0.05, 1))
def test_cvar_is_the_mean_of_the_worst_share(pairs, tail):
    loss, weight = (np.array(each) for each in zip(*pairs, strict=True))
    found = conditional_value_at_risk(loss, weight, tail)
    assert found == pytest.approx(naive_cvar(loss, weight, tail), rel=1e-9)
    assert found >= (loss * weight).sum() / weight.sum() * (1 - 1e-9)
    assert found <= loss.max() * (1 + 1e-9)


def test_an_objective_is_a_share_of_what_is_lost_without_breaks():
    before, after, even = np.array([10.0, 20, 30, 40]), np.array([10.0, 20, 30, 20]), np.ones(4)
    assert Objective().value(after, even, before) == pytest.approx(0.8)
    assert Objective(cvar=1.0, tail=0.25).value(after, even, before) == pytest.approx(30 / 40)
    assert Objective(cvar=0.5, tail=0.25).value(after, even, before) == pytest.approx(
        (0.5 * 20 + 0.5 * 30) / (0.5 * 25 + 0.5 * 40)
    )
    worst = Objective(scenario=np.array([0, 0, 1, 1]))
    assert worst.value(after, even, before) == 1.0  # nothing is avoided in the first scenario
    assert Objective().value(0 * after, even, 0 * before) == 0.0


@given(losses, st.floats(0, 1), st.floats(0.1, 1))
def test_the_focus_is_the_slope_of_the_objective(pairs, cvar, tail):
    """Lower each fire's loss a little: the objective falls in proportion to the focus."""
    loss, weight = (np.array(each) for each in zip(*pairs, strict=True))
    loss = np.unique(np.round(loss)) + 1  # well apart, so that a little changes no order
    weight = weight[: len(loss)]
    aim = Objective(cvar=cvar, tail=tail)
    focus = aim.focus(loss, weight, loss)
    whole = aim.value(loss, weight, loss)
    for i in range(len(loss)):
        less = loss.copy()
        less[i] -= 1e-3
        fall = whole - aim.value(less, weight, loss)
        slope = focus[i] / (focus * loss).sum()
        assert fall == pytest.approx(1e-3 * slope, rel=1e-3, abs=1e-12)


def test_fires_of_scenarios_that_fare_better_do_not_count():
    before = np.full(6, 10.0)
    after = np.array([5.0, 5, 8, 8, 9, 1])
    aim = Objective(scenario=np.array([0, 0, 1, 1, 2, 2]))
    focus = aim.focus(after, np.ones(6), before)
    assert (focus[2:4] > 0).all()
    assert (focus[[0, 1, 4, 5]] == 0).all()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"cvar": 1.1}, "cvar"), ({"cvar": -0.1}, "cvar"), ({"tail": 0.0}, "tail"), ({"tail": float("nan")}, "tail")],
)
def test_an_objective_that_is_none_is_refused(wrong, reason):
    with pytest.raises(InputError, match=reason):
        Objective(**wrong)


# ---- losses from area and values


def plain() -> tuple[Landscape, Fires]:
    land = Landscape.from_arrays(fuel_model=np.full((12, 15), 1, np.int16))
    return land, Fires([(6, 2), (3, 9)], Weather(wind_speed_kmh=20, wind_from_deg=260), 25)


def test_burned_area_alone_is_hectares():
    land, fires = plain()
    valued = with_values(land, [], area_weight=1.0)
    np.testing.assert_allclose(spread(valued, fires).loss, spread(land, fires).burned_area_ha, rtol=1e-5)


def test_values_lost_in_any_flame_are_their_sum():
    land, fires = plain()
    houses = np.random.default_rng(0).integers(0, 5, land.shape).astype(np.float32)
    valued = with_values(land, [ValueLayer(houses, weight=2.0)], area_weight=3.0)
    result = spread(valued, fires)
    for i in range(2):
        burned = np.isfinite(result.arrival_min(i))
        expected = 2 * houses[burned].sum() + 3 * burned.sum() * land.hectares_per_cell
        assert result.loss[i] == pytest.approx(expected, rel=1e-5)


def test_a_response_function_takes_its_share_by_flame_length():
    """Flames told apart by the classes that `spread` sums: each fire alone, cell by cell."""
    land, fires = plain()
    value = np.full(land.shape, 10.0, np.float32)
    response = (0.0, 10.0, 30.0, 60.0, 90.0, 100.0)
    valued = with_values(land, [ValueLayer(value, response)], area_weight=0.5)
    for i in range(2):
        one = fires.take(np.array([i]))
        flames = spread(land, one, flame_lengths=True).flame_length_classes()
        burned = np.isfinite(flames).all(axis=0)
        lost = (np.nan_to_num(flames) * (np.array(response)[:, None, None] / 100 * value)).sum(axis=0)
        expected = lost[burned].sum() + 0.5 * burned.sum() * land.hectares_per_cell
        assert spread(valued, one).loss[0] == pytest.approx(expected, rel=1e-5)
        assert len(np.unique(flames.argmax(axis=0)[burned])) > 1


@pytest.mark.parametrize(
    ("layers", "area", "reason"),
    [
        ([ValueLayer(np.zeros((12, 15), np.float32))], 0.0, "nothing in the area of interest"),
        ([ValueLayer(np.zeros((3, 3), np.float32))], 1.0, "12 x 15"),
        ([ValueLayer(np.full((12, 15), -1.0, np.float32))], 1.0, "0 or more"),
        ([ValueLayer(np.full((12, 15), np.nan, np.float32))], 1.0, "0 or more"),
        ([], -1.0, "area_weight"),
    ],
)
def test_values_that_are_none_are_refused(layers, area, reason):
    with pytest.raises(InputError, match=reason):
        with_values(plain()[0], layers, area_weight=area)


def test_a_response_that_is_none_is_refused():
    for response in ((100.0,) * 5, (0, 0, 0, 0, 0, 101.0), (0, 0, 0, 0, 0, -1.0)):
        with pytest.raises(InputError, match="six percentages"):
            ValueLayer(np.ones((2, 2), np.float32), response)
    with pytest.raises(InputError, match="weight"):
        ValueLayer(np.ones((2, 2), np.float32), weight=-1.0)
