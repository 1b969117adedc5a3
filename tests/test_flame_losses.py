"""Losses by flame length: what a burned cell costs goes by the way that fire comes to it, in every sum there is."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from functools import partial

import numpy as np
import pytest
from naive import downstream_value, flame_class, flame_mm

from fuelbreak import _kernels
from fuelbreak.behavior import fire_behavior
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, crop, shaded, with_buffer
from fuelbreak.objective import ValueLayer, with_values
from fuelbreak.planners import greedy
from fuelbreak.scenarios import Fires, Weather, fire_season
from fuelbreak.shards import landscape_digest
from fuelbreak.spread import PLANE_NAMES, exact_value
from fuelbreak.spread import Ensemble as AnyEnsemble
from fuelbreak.spread import Fields as AnyFields
from fuelbreak.spread import spread as spread_any

SHAPE = (25, 23)
# Of the fewest directions, so that four more versions of each kernel compile in a moment; planners use the most.
spread, Ensemble, Fields = (partial(each, stencil=8) for each in (spread_any, AnyEnsemble, AnyFields))


def forest(**more) -> Landscape:
    """Grass, brush and timber with rock, in which fire backs, flanks, torches and crowns; losses are whole numbers."""
    rng = np.random.default_rng(8)
    height, inside = rng.choice([0, 12, 25], SHAPE), np.zeros(SHAPE, bool)
    inside[2:23, 3:21] = True
    return Landscape.from_arrays(
        fuel_model=rng.choice([102, 122, 145, 165, 188, 99], SHAPE, p=[0.3, 0.2, 0.1, 0.2, 0.15, 0.05]),
        slope_deg=rng.uniform(0, 30, SHAPE),
        aspect_deg=rng.uniform(0, 360, SHAPE),
        canopy_cover_pct=rng.choice([20, 60], SHAPE),
        canopy_height_m=height,
        canopy_base_height_m=height * 0.15,
        canopy_bulk_density_kg_m3=rng.choice([0.05, 0.2], SHAPE),
        area_of_interest=inside,
        **{"value_by_flame": rng.integers(0, 50, (6, *SHAPE)) * (rng.random(SHAPE) < 0.7)} | more,
    )


@pytest.fixture(scope="module")
def land() -> Landscape:
    return forest()


@pytest.fixture(scope="module")
def treated(land) -> Landscape:
    return shaded(land, fuel_model=101, max_canopy_bulk_density_kg_m3=0.01)


BANK = fire_season(weathers=4)


def some_fires(landscape: Landscape, n: int, seed: int, *, hourly: bool = False) -> Fires:
    series = [[0, 1, 2], [3, 1, 0]] if hourly else None
    drawn = Fires.draw(landscape, n, seed, weather=BANK, duration_min=45, series=series, period_min=15)
    return dataclasses.replace(drawn, weight=2.0 ** (np.arange(n) % 3))  # as whole numbers, in gains, they are the same


def slow_losses(result, i: int, plan: Plan | None = None, treated: Landscape | None = None) -> np.ndarray:
    """Loss of each cell (H, W) that a fire burns, worked out from its map and the behavior of fire in each cell."""
    land, fires = result.landscape, result.fires
    altered = np.zeros(land.shape, bool) if plan is None or plan.kind != "shaded" else plan.mask
    times, parents = result._solve(i)
    loss = np.zeros(land.shape)
    for row, col in np.argwhere(np.isfinite(times) & land.area_of_interest):
        index = fires.weather_index[i]
        if fires.is_series:
            index = index[min(int(times[row, col] // fires.period_min), len(index) - 1)]
        starts = parents[row, col] == _kernels.IGNITION
        found = behavior_of(treated if altered[row, col] and not starts else land, fires.weather[int(index)])
        mm = flame_mm(
            float(found.flame_length_m[row, col]),
            float(found.length_to_width[row, col]),
            float(found.spread_direction_deg[row, col]),
            0.46 if found.fire_type[row, col] == 1 else 2 / 3,
            None if starts else tuple(map(int, _kernels.STEPS[parents[row, col]])),
        )
        loss[row, col] = land.value_by_flame[flame_class(mm), row, col]
    return loss


KNOWN = {}


def behavior_of(landscape: Landscape, weather: Weather):
    """The same numbers are asked for in every cell: they are worked out once."""
    key = id(landscape), weather
    if key not in KNOWN:
        KNOWN[key] = landscape, fire_behavior(landscape, weather)
    return KNOWN[key][1]


# ---- a known answer


def test_a_cell_that_fire_backs_into_is_lost_by_its_low_flames_and_one_that_it_heads_into_by_its_high_ones():
    fuel = np.full((3, 5), 99, np.int16)
    fuel[1] = 1  # a strip of short grass from west to east
    cost = np.array([1, 10, 100, 1000, 10_000, 100_000])
    land = Landscape.from_arrays(fuel_model=fuel, value_by_flame=np.broadcast_to(cost[:, None, None], (6, 3, 5)))
    weather = Weather(wind_speed_kmh=25, wind_from_deg=270)
    found = fire_behavior(land, weather)
    head, shape = float(found.flame_length_m[1, 2]), float(found.length_to_width[1, 2])
    eccentricity = np.sqrt(shape**2 - 1) / shape
    back = head * ((1 - eccentricity) / (1 + eccentricity)) ** 0.46  # Byram's flame goes with rate to the 0.46
    assert 4 < head / 0.3048 < 6
    assert back / 0.3048 < 2
    fires = Fires([(1, 2)], weather, np.inf)
    result = spread(land, fires)
    assert result.burned_cells.tolist() == [5]
    assert result.loss.tolist() == [3 * 100 + 2 * 1]  # where it starts and ahead, two cells; behind, two cells
    ensemble = Ensemble(land, fires)
    ensemble.reset(0, np.arange(1))
    downstream = ensemble.planes()[0, PLANE_NAMES.index("downstream_value"), 1]
    assert downstream.tolist() == [1, 2, 0, 200, 100]
    gains = ensemble.gains(np.array([5, 6, 8, 9]))
    assert gains.avoided.tolist() == [[1, 2, 200, 100]]
    assert (gains.bound >= gains.avoided).all()
    ensemble.treat(np.array([9]))
    assert ensemble.fire_losses().tolist() == [[202]]


def test_a_break_that_turns_fire_around_may_cost_more_than_none():
    """Fire that would back into the cell is sent around it, and comes with the wind."""
    fuel = np.full((9, 9), 1, np.int16)
    value = np.zeros((6, 9, 9))
    value[:, 4, 4] = [0, 1, 2, 3, 4, 5]  # one hut, where low flames do nothing
    land = Landscape.from_arrays(fuel_model=fuel, value_by_flame=value)
    weather = Weather(wind_speed_kmh=25, wind_from_deg=270)
    fires = Fires([(4, 5)], weather, np.inf)
    assert spread(land, fires).loss.tolist() == [0]
    around = [(3, 3), (3, 4), (3, 5), (5, 3), (5, 4), (5, 5), (4, 5)]  # all but its west; the start burns all the same
    plan = Plan.from_cells(land, [cell for cell in around if cell != (4, 5)] + [(4, 5)])
    shut = spread(land, fires, plan)
    assert shut.burned_cells.tolist() == [81 - 6]
    assert shut.loss.tolist() == [0]  # it still backs into the hut from where it starts
    ensemble = Ensemble(land, Fires([(3, 5)], weather, np.inf), hold=None)
    ensemble.reset(0, np.arange(1))
    before = ensemble.fire_losses()[0, 0]
    unit = np.array([[row * 9 + col for row, col in around if (row, col) != (3, 5)]])
    gains = ensemble.gains(unit)
    ensemble.treat(unit)
    after = ensemble.fire_losses()[0, 0]
    assert gains.avoided[0, 0] == before - after
    assert after > before
    assert gains.avoided[0, 0] <= gains.bound[0, 0]


# ---- against slow twins


@pytest.mark.parametrize("hourly", [False, True])
@pytest.mark.parametrize("kind", [None, "firebreak", "shaded"])
def test_the_loss_of_a_fire_is_the_sum_over_its_cells_by_the_flames_that_came(land, treated, kind, hourly):
    fires, plan = some_fires(land, 25, 1, hourly=hourly), None
    if kind is not None:
        lit = fires.ignitions[:2] @ np.array([land.shape[1], 1])  # treated ignitions, too
        cells = np.unique(np.concatenate([np.flatnonzero(land.treatable)[::5], lit[land.treatable.ravel()[lit]]]))
        plan = Plan.from_flat(land, cells, kind=kind)
    result = spread(land, fires, plan, shaded=treated, workers=2)
    expected = [slow_losses(result, i, plan, treated).sum() for i in range(len(fires))]
    np.testing.assert_array_equal(result.loss, expected)
    # And that is not what the highest or the lowest flames would cost.
    maps = np.stack([np.isfinite(result.arrival_min(i)) for i in range(len(fires))])
    inside = land.value_by_flame * land.area_of_interest
    assert (result.loss <= (maps * inside.max(axis=0)).sum(axis=(1, 2))).all()
    assert result.loss.sum() < 0.9 * (maps * inside.max(axis=0)).sum()
    assert result.loss.sum() > 1.1 * (maps * inside.min(axis=0)).sum()


CASES = {
    "firebreaks": ("firebreak", False, False, False),
    "hours": ("firebreak", True, False, False),
    "may fail": ("firebreak", False, True, False),
    "shaded": ("shaded", False, False, True),
    "shaded, hours": ("shaded", True, False, True),
}


@pytest.mark.parametrize("case", list(CASES))
def test_treating_step_by_step_is_burning_anew_in_bits(land, treated, case):
    """Losses after each step; gains as differences; planes as slow sums over the trees."""
    kind, hourly, may_fail, alters = CASES[case]
    fires = some_fires(land, 20, 2, hourly=hourly)
    told = {"shaded": treated if alters else None, "hold": half if may_fail else None, "hold_seed": 3}
    ensemble = Ensemble(land, fires, workers=1, **told)
    ensemble.reset(0, np.arange(20))
    np.testing.assert_array_equal(ensemble.fire_losses()[0], spread(land, fires, **told).loss)
    rng = np.random.default_rng(0)
    cells = rng.permutation(np.flatnonzero(land.treatable))[:24]
    lit = int(fires.ignitions[0] @ np.array([land.shape[1], 1]))
    if land.treatable.ravel()[lit]:
        cells[1] = lit
    cells = cells[np.sort(np.unique(cells, return_index=True)[1])]
    ensemble.planes()  # kept up to date from here on
    changed = 0
    for i, cell in enumerate(cells):
        before = ensemble.losses()[0]
        gains = ensemble.gains(cells[i : i + 3], kind)
        ensemble.treat(np.array([cell]), kind)
        assert before - ensemble.losses()[0] == pytest.approx(gains.avoided[0, 0], abs=1e-9)
        if kind == "firebreak":
            assert (gains.bound >= gains.avoided - 1e-9).all()
        plan = Plan.from_flat(land, cells[: i + 1], kind=kind)
        result = spread(land, fires, plan, **told)
        np.testing.assert_array_equal(ensemble.fire_losses()[0], result.loss)
        assert ensemble.losses()[0] == result.mean_loss
        changed += abs(gains.avoided[0, 0]) > 0
    assert changed > 5
    kept = ensemble.planes()
    ensemble._with_planes[:] = 0
    np.testing.assert_array_equal(kept, ensemble.planes())
    weight, total = fires.weight / fires.weight.sum(), np.zeros(land.shape)
    for i in range(20):
        times, parents = result._solve(i)
        came_from = {
            (int(row), int(col)): tuple(int(x) for x in np.array([row, col]) - _kernels.STEPS[parents[row, col]])
            for row, col in np.argwhere((parents >= 0) & (parents != _kernels.IGNITION))
        }
        losses = slow_losses(result, i, plan, treated)
        total += weight[i] * downstream_value(times, came_from, losses, tuple(fires.ignitions[i].tolist()))
    np.testing.assert_allclose(kept[0, PLANE_NAMES.index("downstream_value")], total, rtol=1e-9, atol=1e-9)


def half(flame_m: np.ndarray) -> np.ndarray:
    return np.full(flame_m.shape, 0.5)


def test_fuel_that_is_altered_twice_or_cleared_afterward_is_followed(land, treated):
    """A shaded cell treated again changes nothing; a firebreak on it, or beside it, starts from its own flames."""
    fires = some_fires(land, 20, 4)
    ensemble = Ensemble(land, fires, shaded=treated)
    ensemble.reset(0, np.arange(20))
    ensemble.planes()
    cells = np.flatnonzero(land.treatable)[::4]
    ensemble.treat(cells[None], "shaded")
    once = ensemble.fire_losses()
    ensemble.treat(cells[None], "shaded")
    np.testing.assert_array_equal(ensemble.fire_losses(), once)
    some = cells[::3]
    gains = ensemble.gains(some)
    for unit, avoided in zip(some[:10], gains.avoided[0, :10], strict=True):
        other = Ensemble(land, fires, shaded=treated)
        other.reset(0, np.arange(20))
        other.treat(cells[None], "shaded")
        before = other.losses()[0]
        other.treat(np.array([unit]))
        assert before - other.losses()[0] == pytest.approx(avoided, abs=1e-9)
    ensemble.treat(some[None])
    kept = ensemble.planes()
    ensemble._with_planes[:] = 0
    np.testing.assert_array_equal(kept, ensemble.planes())


def test_a_shaded_fuelbreak_that_changes_flames_alone_changes_losses(land):
    """Its fire spreads as before, so that nothing is lost and burned again; only what its flames cost is another."""
    rng = np.random.default_rng(0)
    land = dataclasses.replace(land, canopy_bulk_density_kg_m3=np.full(SHAPE, 0.2, np.float32))
    thinned = shaded(land, max_canopy_bulk_density_kg_m3=0.15)
    weather = Weather(wind_speed_kmh=40)
    before, after = fire_behavior(land, weather), fire_behavior(thinned, weather)
    alike = (before.spread_rate_m_min == after.spread_rate_m_min) & (before.flame_length_m != after.flame_length_m)
    fires = Fires.draw(land, 20, 1, weather=weather, duration_min=60)
    ensemble = Ensemble(land, fires, shaded=thinned)
    ensemble.reset(0, np.arange(20))
    cells = rng.permutation(np.flatnonzero(land.treatable & (alike | (before.fire_type > 1))))[:40]
    for i, cell in enumerate(cells):
        ensemble.treat(np.array([cell]), "shaded")
        result = spread(land, fires, Plan.from_flat(land, cells[: i + 1], kind="shaded"), shaded=thinned)
        np.testing.assert_array_equal(ensemble.fire_losses()[0], result.loss)


def test_cells_that_burn_earlier_by_the_same_way_cost_what_they_cost_at_that_hour():
    """Fast fuel laid through slow fuel: what lies beyond burns earlier, in another hour's wind, though never lost."""
    rng = np.random.default_rng(2)
    shape = (8, 60)
    fuel = np.full(shape, 2)
    fuel[:7, 8:12] = 99  # rock with a lane of compact litter in it: fire is sooner around than through
    fuel[1, 8:12] = 181
    land = Landscape.from_arrays(fuel_model=fuel, value_by_flame=rng.integers(0, 50, (6, *shape)))
    fast = shaded(land, fuel_model=104)
    bank = [Weather(wind_speed_kmh=2, wind_from_deg=270), Weather(wind_speed_kmh=30, wind_from_deg=250)]
    fires = Fires(
        [(2, 6), (1, 4)], bank, 600, weather_index=np.tile(np.arange(120) % 2, (2, 1)).astype(np.int32), period_min=5
    )
    ensemble = Ensemble(land, fires, shaded=fast)
    ensemble.reset(0, np.arange(2))
    cells, kept_way = [60 + col for col in range(8, 12)], 0
    for i, cell in enumerate(cells):
        before = ensemble.trees()
        ensemble.treat(np.array([cell]), "shaded")
        after = ensemble.trees()
        result = spread(land, fires, Plan.from_flat(land, cells[: i + 1], kind="shaded"), shaded=fast)
        np.testing.assert_array_equal(ensemble.fire_losses()[0], result.loss)
        one, two = (
            dict(zip(zip(t.fire, t.cell, t.parent, strict=True), t.arrival_min // 5, strict=True))
            for t in (before, after)
        )
        kept_way += sum(two.get(key, hour) != hour for key, hour in one.items())
    assert kept_way > 0


# ---- the same bits


@pytest.mark.parametrize("alters", [False, True])
def test_six_equal_classes_are_the_plain_value_in_bits(alters):
    value = np.random.default_rng(3).uniform(0, 7, SHAPE).astype(np.float32)
    plain = dataclasses.replace(forest(), value=value, value_by_flame=None)
    equal = dataclasses.replace(plain, value_by_flame=np.stack([value] * 6))
    np.testing.assert_array_equal(exact_value(plain), exact_value(equal))
    kind = "shaded" if alters else "firebreak"
    seen = []
    for land in (plain, equal):
        fires = some_fires(land, 30, 5)
        other = shaded(land, fuel_model=101) if alters else None
        ensemble = Ensemble(land, fires, shaded=other)
        ensemble.reset(0, np.arange(30))
        cells = np.flatnonzero(land.treatable)[::9]
        told = [ensemble.gains(cells, kind), ensemble.planes()]
        ensemble.treat(cells[None, :12], kind)
        told += [ensemble.fire_losses(), ensemble.planes(), ensemble.bounds(cells)]
        plan = Plan.from_flat(land, cells, kind=kind)
        result = spread(land, fires, plan, shaded=other, flame_lengths=True)
        seen.append([*told[0], *told[1:], result.loss, result.burned_cells, result.flame_length_classes()])
    for one, two in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, two)


def test_any_number_of_workers_gives_the_same_bits(land, treated):
    fires, cells, seen = some_fires(land, 40, 6), np.flatnonzero(land.treatable)[::7], []
    for workers in (1, 2, 3):
        ensemble = Ensemble(land, fires, episodes=2, fires_per_episode=25, workers=workers, shaded=treated)
        for e in (0, 1):
            ensemble.reset(e, np.arange(25) + 15 * e)
        ensemble.planes()
        ensemble.treat(np.stack([cells[:6], cells[6:12]]), "shaded")
        ensemble.treat(np.stack([cells[12:15], cells[15:18]]))
        result = spread(land, fires, Plan.from_flat(land, cells), workers=workers)
        gains = ensemble.gains(cells)
        seen.append((ensemble.fire_losses(), ensemble.planes(), *gains, result.loss))
    for other in seen[1:]:
        for mine, theirs in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["firebreak", "shaded"])
def test_windows_have_the_bits_of_the_whole(land, treated, kind, monkeypatch):
    fires = some_fires(land, 40, 7)
    plan = Plan.from_flat(land, np.flatnonzero(land.treatable)[::6], kind=kind)
    whole = spread(land, fires, plan, shaded=treated)
    monkeypatch.setattr(sys.modules["fuelbreak.spread"], "FIRST_MARGIN", 2)
    monkeypatch.setattr(sys.modules["fuelbreak.spread"], "USUAL_WINDOW", 1)
    fields = Fields(land, fires.weather, keep_bytes=1, shaded=treated)
    assert not fields.fits_whole
    parts = spread(land, fires, plan, fields=fields, workers=2)
    np.testing.assert_array_equal(parts.loss, whole.loss)
    np.testing.assert_array_equal(parts.arrival_min(3), whole.arrival_min(3))
    assert whole.loss.sum() > 0


def test_planners_work_on_losses_by_flame_length(land):
    fires = some_fires(land, 30, 8)
    plan = greedy(land, fires, 6)
    assert spread(land, fires, plan).mean_loss < spread(land, fires).mean_loss


# ---- the landscape that holds them


def test_value_is_the_most_over_classes_and_nothing_can_be_written(land):
    given = np.array(land.value_by_flame)
    mine = forest(value_by_flame=given, value=np.full(SHAPE, 3.0))
    assert mine.value_by_flame is not given
    assert given.flags.writeable
    given[:] = 9
    for one in (mine, pickle.loads(pickle.dumps(mine)), dataclasses.replace(mine, label="again")):
        np.testing.assert_array_equal(one.value_by_flame, land.value_by_flame)
        np.testing.assert_array_equal(one.value, land.value_by_flame.max(axis=0))
        assert one.value_by_flame.dtype == one.value.dtype == np.float32
        assert one.value_by_flame.shape == (6, *SHAPE)
        for layer in (one.value, one.value_by_flame):
            with pytest.raises(ValueError, match="read-only"):
                layer[..., 0, 0] = 1
    assert forest(value_by_flame=None).value_by_flame is None


def test_losses_by_flame_length_are_cut_with_the_landscape(land):
    part = crop(land, (5, 6, 9, 8), buffer_cells=2)
    np.testing.assert_array_equal(part.value_by_flame, land.value_by_flame[:, 3:16, 4:16])
    np.testing.assert_array_equal(part.value, land.value[3:16, 4:16])
    np.testing.assert_array_equal(with_buffer(land, 3).value_by_flame, land.value_by_flame)
    np.testing.assert_array_equal(shaded(land, fuel_model=101).value_by_flame, land.value_by_flame)


def test_losses_by_flame_length_tell_landscapes_apart(land):
    other = np.array(land.value_by_flame)
    row, col = np.argwhere(land.value > 0)[0]
    other[:, row, col] = other[::-1, row, col]  # the most is the same
    turned = dataclasses.replace(land, value_by_flame=other)
    np.testing.assert_array_equal(turned.value, land.value)
    plain = dataclasses.replace(land, value_by_flame=None)
    assert len({landscape_digest(each) for each in (land, turned, plain)}) == 3
    assert landscape_digest(land) == landscape_digest(pickle.loads(pickle.dumps(land)))


def test_values_with_responses_become_losses_by_flame_length_and_plain_ones_take_them_off(land):
    hut = ValueLayer(np.ones(SHAPE), (0, 20, 40, 60, 80, 100))
    answered = with_values(land, [hut])
    np.testing.assert_allclose(answered.value_by_flame[:, 0, 0], np.arange(6) / 5)
    plain = with_values(answered, [ValueLayer(np.full(SHAPE, 2.0))])
    assert plain.value_by_flame is None
    assert (plain.value == 2).all()


def with_one(number: float) -> np.ndarray:
    losses = np.ones((6, *SHAPE))
    losses[2, 3, 4] = number
    return losses


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.ones(SHAPE), r"value_by_flame has shape \(25, 23\); give 6 classes of flame length x 25 rows x 23 columns"),
        (np.ones((5, *SHAPE)), r"value_by_flame has shape \(5, 25, 23\); give 6 classes"),
        (np.ones((6, 23, 25)), r"value_by_flame has shape \(6, 23, 25\); give 6 classes"),
        (
            with_one(np.nan),
            r"value_by_flame is nan in class 3 at row 3, column 4 \(1 entries out of range\); give 0 to",
        ),
        (with_one(np.inf), "value_by_flame is inf in class 3"),
        (with_one(-0.5), "value_by_flame is -0.5 in class 3 at row 3, column 4"),
        (with_one(2e12), r"value_by_flame is 2e\+12 in class 3 .*; give 0 to 1e\+12"),
        ("much", "value_by_flame is not an array of numbers"),
        ([[1, 2], [3]], "value_by_flame is not an array of numbers"),
        (np.ma.ones((6, *SHAPE)), "value_by_flame is a masked array"),
    ],
)
def test_losses_by_flame_length_that_cannot_be_are_refused(given, says):
    with pytest.raises(InputError, match=says) as refused:
        forest(value_by_flame=given)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match=says):
        dataclasses.replace(forest(), value_by_flame=given)
