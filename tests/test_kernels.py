"""The spread kernels against their slow twins: equal bits on random landscapes, no leaks, exact repair, exact gains."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fuelbreak import _kernels
from fuelbreak._kernels import ALTERED, PAD, TREATED
from fuelbreak.spread import build_world

SIZE = (12, 14)
PERIOD_MIN = 6.0
PERIODS = 4
# What Numba compiles apart: stencil, weather by the hour, cells that treatments alter, firebreaks that may not hold.
VARIANTS = [
    (16, False, False, False),
    (16, False, True, True),
    (16, True, False, True),
    (8, False, False, False),
    (8, True, True, True),
    (32, False, False, False),
    (32, True, True, True),
]
# And whether losses go by flame length.
VALUED = [
    *((*variant, False) for variant in VARIANTS),
    (32, False, False, False, True),
    (32, True, True, True, True),
    (16, False, True, True, True),
    (8, True, False, True, True),
]


def random_fields(rng, size, weathers, closed_share):
    """Fields (K, H, W, 3) of rough ellipses; some cells closed in all weathers and a few in one only."""
    fields = np.zeros((weathers, *size, 3), np.float32)
    always = rng.random(size) < closed_share
    for k in range(weathers):
        rate = np.exp(rng.normal(-1.2, 0.8, size))
        lw = rng.uniform(1, 5, size)
        e = np.sqrt(lw**2 - 1) / lw
        heading = rng.uniform(0, 2 * np.pi)
        a = 1 / (rate * (1 - e))
        fields[k] = np.stack([a, a * e * np.sin(heading), a * e * np.cos(heading)], axis=-1)
        fields[k][always | (rng.random(size) < 0.04)] = (np.inf, 0, 0)
    return fields


@dataclass
class Case:
    """A random world with its fires, and the naive view of it."""

    world: _kernels.World
    burning: _kernels.Burning
    fields: np.ndarray
    altered: np.ndarray | None
    size: tuple[int, int]
    stencil: int
    flames: np.ndarray | None = None  # (A, K, 4, H, W): head m, length-to-width, heading degrees, exponent
    by_flame: np.ndarray | None = None  # (6, H, W)

    def flat(self, row, col):
        return int(row + PAD) * self.world.width + int(col) + PAD

    def unpadded(self, array):
        return array[: len(self.world.value)].reshape(-1, self.world.width)[PAD:-PAD, PAD:-PAD]

    def position(self, cell):
        return cell // self.world.width - PAD, cell % self.world.width - PAD

    def as_seen_by(self, fire, codes):
        """Fields, closed cells and end of each spell of weather, as the twin needs them, for a fire under codes."""
        ignition = self.position(int(self.burning.ignition[fire]))
        fields, closed, ends, done = [], [], [], 0
        series = [self.burning.weather[fire]] if self.burning.series is None else self.burning.series[fire]
        for weather, hours in groupby(series):
            done += len(list(hours))
            ends.append(done * PERIOD_MIN if done < len(series) else np.inf)
            field = self.fields[weather].copy()
            shut = np.zeros(self.size, bool)
            for row, col in np.argwhere(codes):
                if (row, col) == ignition:
                    continue
                if codes[row, col] == ALTERED:
                    field[row, col] = self.altered[weather, row, col]
                elif self.burning.holds is None or holds(self.burning, fire, self.flat(row, col)):
                    shut[row, col] = True
            fields.append(field)
            closed.append(shut | np.isinf(field[..., 0]))
        return fields, closed, ignition, tuple(ends)


def slow_losses(case, s, arrival, parent, codes):
    """Loss of each burned cell (C,) of fire s, where codes (G, C) are the treatments."""
    loss = np.zeros(len(arrival))
    for cell in np.flatnonzero(np.isfinite(arrival)):
        row, col = case.position(cell)
        if case.by_flame is None:
            loss[cell] = case.world.value[cell]
            continue
        weather = case.burning.weather[s]
        if case.burning.series is not None:
            weather = case.burning.series[s, min(int(arrival[cell] // PERIOD_MIN), PERIODS - 1)]
        start = cell == case.burning.ignition[s]
        altered = int(bool(codes[0, cell] & ALTERED) and not start)  # a treated ignition burns as if untreated
        numbers = case.flames[altered, weather, :, row, col].tolist()
        mm = naive.flame_mm(*numbers, None if start else tuple(_kernels.STEPS[parent[cell]].tolist()))
        loss[cell] = case.by_flame[naive.flame_class(mm), row, col]
    return loss


def holds(burning, fire, cell):
    bit = int(burning.place[cell])
    return bool(burning.holds[fire, bit // 8] >> (bit % 8) & 1)


def random_case(
    rng, stencil=16, hourly=False, alters=False, may_fail=False, size=SIZE, fires=1, weathers=2, closed_share=0.1,
    duration=None, ignitions=None, by_flame=False,
):  # fmt: skip
    fields = random_fields(rng, size, weathers, closed_share)
    altered = random_fields(rng, size, weathers, closed_share) if alters else None
    value, flames, losses, padded = rng.integers(0, 8, size).astype(np.float64), None, None, None
    if by_flame:
        losses = rng.integers(0, 8, (6, *size)).astype(np.float64) * (rng.random(size) < 0.8)
        value, shape = losses.max(axis=0), (1 + alters, weathers, *size)
        flames = np.stack(
            [
                np.exp(rng.normal(0.5, 0.8, shape)),
                rng.uniform(1, 6, shape),
                rng.uniform(0, 360, shape),
                rng.choice([0.46, 2 / 3], shape),
            ],
            axis=2,
        )
        head, length_to_width, heading, exponent = np.moveaxis(flames, 2, 0)
        e, heading = np.sqrt(1 - length_to_width**-2), np.radians(heading)
        grids = np.stack([head, e * np.sin(heading), e * np.cos(heading), exponent], axis=2).astype(np.float32)
        padded = np.pad(grids, ((0, 0), (0, 0), (0, 0), (PAD, PAD), (PAD, PAD))).reshape(*grids.shape[:3], -1)
    world = build_world(
        list(fields), value, np.zeros(size, np.uint8), stencil=stencil,
        altered=None if altered is None else list(altered), bucket_min=[0.7] * weathers, by_flame=losses, flames=padded,
    )  # fmt: skip
    weather = rng.integers(weathers, size=(fires, PERIODS if hourly else 1)).astype(np.int32)
    if ignitions is None:
        ignitions = []
        for first in weather[:, 0]:
            spreading = np.argwhere(np.isfinite(fields[first, ..., 0]))
            ignitions.append(spreading[rng.integers(len(spreading))])
    durations = rng.choice([15.0, 22.0, 60.0, np.inf], fires) if duration is None else np.full(fires, duration)
    cells = len(world.value)
    ignitions = np.array([(row + PAD) * world.width + col + PAD for row, col in ignitions], np.int32)
    burning = _kernels.Burning(
        ignitions,
        weather[:, 0].copy(),
        durations.astype(np.float32),
        np.arange(fires, dtype=np.int32),
        weather if hourly else None,
        np.float32(PERIOD_MIN),
        np.packbits(rng.random((fires, cells)) < 0.7, axis=1, bitorder="little") if may_fail else None,
        np.arange(cells, dtype=np.int32) if may_fail else None,
    )
    return Case(world, burning, fields, altered, size, stencil, flames, losses)


def masks(world):
    return world.codes.copy(), world.open_dirs.copy(), None if world.special is None else world.special.copy()


NONE_TREATED = np.empty(0, np.int64)


def short_of_room(scratch, chunks):
    """The same working memory with so few chunks for the buckets that they run out."""
    return scratch._replace(pool=scratch.pool[: (1 + chunks) * _kernels.CHUNK].copy())


def fresh(case, fire=0, at=None, treated=NONE_TREATED, patience=None, world=None, chunks=None):
    """Arrival and parent of one fire, solved from nothing."""
    world = case.world if world is None else world
    codes, open_dirs, special = masks(world) if at is None else at
    scratch = _kernels.make_scratch(world, patience)
    scratch = scratch if chunks is None else short_of_room(scratch, chunks)
    arrival, parent = scratch.arrival.copy(), scratch.parent.copy()
    n = _kernels.solve_fire(
        world, _kernels.Masks(codes, open_dirs), special, case.burning, treated, fire, arrival, parent, scratch
    )
    assert sorted(scratch.touched[:n]) == list(np.flatnonzero(np.isfinite(arrival)))
    assert ((parent[: len(arrival)] >= 0) == np.isfinite(arrival)).all()
    clean(scratch)
    return arrival, parent


def clean(scratch):
    """Between calls the working memory is as it was made."""
    assert (scratch.heads == 0).all()
    assert (scratch.waits_at == 0).all()
    given_back, chunk = set(), int(scratch.pool[0])
    while chunk:
        given_back.add(chunk)
        chunk = int(scratch.pool[chunk])
    assert given_back == set(range(_kernels.CHUNK, scratch.pool[1], _kernels.CHUNK))
    assert np.isinf(scratch.arrival).all()
    assert (scratch.parent == -1).all()
    assert not scratch.mark.any()


def test_direction_tables_are_the_geometry_of_straight_lines():
    assert {tuple(map(int, step)) for step in _kernels.STEPS} == set(naive.STEPS[32])
    for stencil in (8, 16, 32):  # each stencil is the first part of the next
        assert {tuple(map(int, step)) for step in _kernels.STEPS[:stencil]} == set(naive.STEPS[stencil])
    for k, (row, col) in enumerate(_kernels.STEPS.tolist()):
        cells, corners = naive.GEOMETRY[(row, col)]
        between = [(r, c) for r, c, _ in cells[1:-1]]
        shares = [_kernels.END_SHARE[k], _kernels.NEXT_SHARE[k], _kernels.MIDDLE_SHARE[k]]
        inward = [cells[i] for i in range(len(cells) // 2)]
        assert [np.float32(float(share)) for *_, share in inward] == shares[: len(inward)]
        pairs = [tuple(map(tuple, _kernels.CROSSED[k, 2 * i : 2 * i + 2].tolist())) for i in range(len(between) // 2)]
        assert pairs == [(between[i], between[-1 - i]) for i in range(len(pairs))]
        assert {tuple(cell) for cell in _kernels.FLANKS[k].tolist()} == (set(*corners) if corners else {(0, 0)})
        assert _kernels.LENGTH[k] == np.float32(np.hypot(row, col))


@pytest.mark.parametrize(("stencil", "hourly", "alters", "may_fail"), VARIANTS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_solve_is_its_slow_twin_bit_for_bit(stencil, hourly, alters, may_fail, seed):
    """On random worlds with random treatments in place, the ignition's cell now and then among them."""
    rng = np.random.default_rng(seed)
    case = random_case(rng, stencil, hourly, alters, may_fail, size=(10, 11))
    at, codes = masks(case.world), np.zeros(case.size, np.uint8)
    treated = []
    for row, col in rng.permutation(np.argwhere(np.isfinite(case.fields[0, ..., 0])))[: rng.integers(0, 25)]:
        shaded = bool(alters and rng.random() < 0.5)
        codes[row, col] = ALTERED if shaded else TREATED
        treated.append(case.flat(row, col))
        _kernels.treat_cell(case.world, *at, treated[-1], shaded)
    arrival, _ = fresh(case, 0, at, np.array(treated, np.int64))
    fields, closed, ignition, ends = case.as_seen_by(0, codes)
    expected = naive.arrival_times(fields, closed, ignition, float(case.burning.duration_min[0]), stencil, ends)
    np.testing.assert_array_equal(case.unpadded(arrival).view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize(("stencil", "hourly", "alters", "may_fail"), VARIANTS)
def test_the_heap_fallback_and_any_bucket_width_give_the_same_bits_and_parents(stencil, hourly, alters, may_fail):
    for seed in range(20):
        case = random_case(np.random.default_rng(seed), stencil, hourly, alters, may_fail, size=(25, 25))
        arrival, parent = fresh(case)
        for other in (
            fresh(case, patience=3),
            *(fresh(case, chunks=chunks) for chunks in (0, 1, 4)),
            *(
                fresh(case, world=case.world._replace(bucket_min=np.full(2, width, np.float32)))
                for width in (0.003, 30.0, 1e6)
            ),
        ):
            np.testing.assert_array_equal(other[0], arrival)
            np.testing.assert_array_equal(other[1], parent)


@pytest.mark.parametrize("stencil", [8, 16, 32])
@pytest.mark.parametrize("width", [0.001, 0.02, 0.3])
def test_hardly_a_cell_is_settled_twice_where_buckets_are_narrow(stencil, width):
    """Neither one that waits at the ring's end before its time, nor one that has moved to an earlier bucket."""
    case = random_case(np.random.default_rng(1), stencil, size=(40, 40), fires=20, weathers=1, duration=np.inf)
    world = case.world._replace(bucket_min=np.full(1, width, np.float32))
    burned, settled = np.zeros((2, 20), np.int64)
    _kernels.burn_statistics(
        world, _kernels.Masks(world.codes, world.open_dirs), None, case.burning, NONE_TREATED, np.ones(20, np.int64),
        np.zeros(len(world.value), np.int64), burned, np.zeros(20), np.zeros(20, np.uint8), settled,
        np.zeros(1, np.int64), 3, _kernels.make_scratch(world), None, None,
    )  # fmt: skip
    assert burned.sum() > 20_000
    assert (burned <= settled).all()
    assert settled.sum() < 1.03 * burned.sum()


@pytest.mark.parametrize("stencil", [8, 16, 32])
def test_no_leaks_the_burned_set_at_infinite_time_is_the_four_connected_component(stencil):
    """1500 random landscapes of each stencil, breaks drawn by treatment and by fuel alike."""
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        case = random_case(rng, stencil, size=(22, 25), weathers=1, closed_share=rng.uniform(0.1, 0.5), duration=np.inf)
        at = masks(case.world)
        spreading = np.isfinite(case.fields[0, ..., 0])
        broken = spreading & (rng.random(case.size) < rng.uniform(0, 0.3))
        ignition = case.position(int(case.burning.ignition[0]))
        broken[ignition] = False
        for row, col in np.argwhere(broken):
            _kernels.treat_cell(case.world, *at, case.flat(row, col), False)
        arrival, _ = fresh(case, 0, at)
        labels, _ = ndimage.label(spreading & ~broken)
        np.testing.assert_array_equal(np.isfinite(case.unpadded(arrival)), labels == labels[ignition])


@pytest.mark.parametrize("stencil", [8, 16, 32])
def test_a_diagonal_break_one_cell_thick_seals(stencil):
    rng = np.random.default_rng(0)
    fields = random_fields(rng, (20, 20), 1, 0.0)
    fields[0][np.isinf(fields[0, ..., 0])] = (1.0, 0.0, 0.0)
    case = random_case(rng, stencil, size=(20, 20), weathers=1, closed_share=0.0, duration=np.inf, ignitions=[(3, 15)])
    world = build_world(list(fields), np.ones((20, 20)), np.zeros((20, 20), np.uint8), stencil=stencil)
    at = masks(world)
    for i in range(20):
        _kernels.treat_cell(world, *at, case.flat(i, i), False)
    arrival, _ = fresh(case, 0, at, world=world)
    np.testing.assert_array_equal(np.isfinite(case.unpadded(arrival)), np.triu(np.ones((20, 20), bool), 1))


def as_episode(case):
    """The fires of a case as one episode: its masks (1, G, C), its states, its fires (1, S)."""
    world, n = case.world, len(case.burning.ignition)
    empty = _kernels.States(
        np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int8), np.zeros(n, np.int64),
        np.zeros(n, np.int32), np.zeros((n, 2), np.int32),
    )  # fmt: skip
    scratch, settled = _kernels.make_scratch(world), np.zeros(n, np.int64)
    counter, owner = np.zeros(1, np.int64), np.zeros(n, np.int32)
    untreated = _kernels.Masks(world.codes, world.open_dirs), world.special, np.empty(0, np.int64)
    cells = _kernels.solve_states(
        world, *untreated, case.burning, empty, owner, 0, np.zeros(n), settled, counter, scratch
    )
    bank = empty._replace(cell=cells[0], arrival=cells[1], parent=cells[2])
    room = len(world.value)
    states = _kernels.States(
        np.empty(n * room, np.int32), np.empty(n * room, np.float32), np.empty(n * room, np.int8),
        np.zeros((1, n), np.int64), np.zeros((1, n), np.int32), np.zeros((1, n, 2), np.int32),
    )  # fmt: skip
    _kernels.copy_states(bank, np.arange(n), states, 0, 0, room)
    at = tuple(None if part is None else part[None].copy() for part in masks(world))
    burning = case.burning._replace(
        **{
            name: getattr(case.burning, name)[None].copy()
            for name in ("ignition", "weather", "duration_min", "row", "series")
            if getattr(case.burning, name) is not None
        }
    )
    return at, states, burning


def unpacked(case, states, s):
    """Arrival and parent (C,) of one fire of an episode."""
    cells = len(case.world.value)
    arrival, parent = np.full(cells, np.inf, np.float32), np.full(cells, -1, np.int8)
    some = slice(int(states.start[0, s]), int(states.start[0, s] + states.length[0, s]))
    assert (np.diff(states.cell[some]) > 0).all()
    arrival[states.cell[some]], parent[states.cell[some]] = states.arrival[some], states.parent[some]
    column = states.cell[some] % case.world.width
    assert states.columns[0, s, 0] <= column.min()
    assert states.columns[0, s, 1] >= column.max()
    return arrival, parent


def fresh_planes(case, codes, states, burning, weight, scratch):
    planes = np.zeros((1, 1, _kernels.PLANES, len(case.world.value)))
    _kernels.sum_planes(
        case.world, codes, burning, states, weight, planes, np.ones(1, np.uint8), np.zeros(1, np.int64), scratch
    )
    return planes


FIRES, STEPS, SEEDS = 6, 25, 12


@pytest.mark.parametrize(("stencil", "hourly", "alters", "may_fail", "by_flame"), VALUED)
def test_repair_is_a_fresh_solve_bit_for_bit(stencil, hourly, alters, may_fail, by_flame):
    """Treatments placed one or two at a time, ignition cells among them: times, parents, loss, planes after each.

    11 variants x 12 worlds x 25 treatments x 6 fires: 19,800 repairs.
    """
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        case = random_case(
            rng, stencil, hourly, alters, may_fail, size=(14, 16), fires=FIRES, closed_share=0.05, weathers=3,
            by_flame=by_flame,
        )  # fmt: skip
        world, at_once = case.world, 1 + seed % 2
        at, states, burning = as_episode(case)
        scratch = _kernels.make_scratch(world, None if seed % 4 else 30)
        scratch = short_of_room(scratch, 2) if seed % 4 == 1 else scratch
        weight = rng.integers(1, 5, (1, FIRES)).astype(np.float64)
        loss, settled = np.empty((1, FIRES)), np.zeros((1, FIRES), np.int64)
        for s in range(FIRES):
            loss[0, s] = slow_losses(case, s, *unpacked(case, states, s), at[0][0]).sum()
        planes = fresh_planes(case, at[0], states, burning, weight, scratch)
        spreading = np.argwhere(np.isfinite(case.fields[..., 0]).any(axis=0))
        order = [case.flat(row, col) for row, col in rng.permutation(spreading)]
        order = list(dict.fromkeys([int(case.burning.ignition[0]), *order]))
        done = np.empty((1, 0), np.int64)
        for step in range(STEPS):
            treated = np.array([order[step * at_once : (step + 1) * at_once]], np.int64)
            shaded = bool(alters and rng.random() < 0.6)
            before = at[0].copy()
            _kernels.treat_episodes(world, *at, treated, shaded)
            done = np.concatenate([done, treated], axis=1)
            _kernels.repair_states(
                world, before, *at, treated, done, burning, states, loss, settled, weight, planes, np.ones(1, np.uint8),
                np.zeros(1, np.int64), scratch,
            )  # fmt: skip
            now = tuple(None if part is None else part[0] for part in at)
            for s in range(FIRES):
                arrival, parent = unpacked(case, states, s)
                new_arrival, new_parent = fresh(case, s, now, done[0])
                np.testing.assert_array_equal(arrival.view(np.uint32), new_arrival.view(np.uint32))
                np.testing.assert_array_equal(parent, new_parent[: len(parent)])
                assert loss[0, s] == slow_losses(case, s, new_arrival, new_parent, at[0][0]).sum()
            clean(scratch)
        np.testing.assert_array_equal(planes, fresh_planes(case, at[0], states, burning, weight, scratch))
        for g in range(len(world.codes)):  # the masks kept step by step are those made from nothing
            rebuilt = np.zeros_like(world.open_dirs[g])
            _kernels.all_open_bits(at[0][0, g], rebuilt, world.offset, world.crossed, world.flanks, world.width)
            np.testing.assert_array_equal(rebuilt, at[1][0, g])


@pytest.mark.parametrize(("stencil", "hourly", "alters", "may_fail", "by_flame"), VALUED)
def test_gains_are_the_losses_avoided_by_trying_each_unit(stencil, hourly, alters, may_fail, by_flame):
    """Units of one and two cells, after some treatments, ignition cells among both; nothing is changed by trying."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        case = random_case(
            rng, stencil, hourly, alters, may_fail, size=(10, 12), fires=4, closed_share=0.05, by_flame=by_flame
        )
        world = case.world
        at, states, burning = as_episode(case)
        scratch = _kernels.make_scratch(world, 30 if seed == 2 else None)
        spreading = [
            case.flat(row, col) for row, col in rng.permutation(np.argwhere(np.isfinite(case.fields[0, ..., 0])))
        ]
        done = np.array([[int(case.burning.ignition[1]), *spreading[:6]]], np.int64)
        untouched = at[0].copy()
        weight, loss = rng.integers(1, 5, (1, 4)).astype(np.float64), np.zeros((1, 4))
        planes, none = np.zeros((1, 1, 7, len(world.value))), np.zeros(1, np.uint8)
        _kernels.treat_episodes(world, *at, done, False)
        _kernels.repair_states(
            world, untouched, *at, done, done, burning, states, loss, np.zeros((1, 4), np.int64), weight, planes, none,
            np.zeros(1, np.int64), scratch,
        )  # fmt: skip
        units = np.array(list(pairwise(spreading[6:])), np.int64)
        units[::2, 1] = -1
        beside = units[1::4, 0] + world.width + 1  # diagonal pairs: together they shut the edges between them
        units[1::4, 1] = np.where(world.codes[0, beside] == 0, beside, -1)
        before = [unpacked(case, states, s) for s in range(4)]
        now = tuple(None if part is None else part[0] for part in at)
        for shaded in {False, alters}:
            avoided, bound = np.zeros((1, len(units))), np.zeros((1, len(units)))
            _kernels.gain_sums(
                world, *at, units, True, shaded, done, burning, states, weight, avoided, bound, np.zeros(1, np.int64),
                np.zeros(1, np.int64), scratch,
            )  # fmt: skip
            clean(scratch)
            expected = np.zeros(len(units))
            for u, unit in enumerate(units):
                tried = tuple(None if part is None else part.copy() for part in now)
                for cell in unit[unit >= 0]:
                    _kernels.treat_cell(world, *tried, int(cell), shaded)
                for s in range(4):
                    after = fresh(case, s, tried, np.concatenate([done[0], unit[unit >= 0]]))
                    was = slow_losses(case, s, *before[s], now[0]).sum()
                    expected[u] += weight[0, s] * (was - slow_losses(case, s, *after, tried[0]).sum())
            np.testing.assert_array_equal(avoided[0], expected)
            if not shaded:
                assert (bound >= avoided).all()
                assert by_flame or (avoided >= 0).all()  # fire that comes another way may be fiercer
            assert np.abs(avoided).sum() > 0
        for s in range(4):
            for one, two in zip(before[s], unpacked(case, states, s), strict=True):
                np.testing.assert_array_equal(one, two)


def test_a_treated_ignition_cell_still_burns_as_if_untreated():
    rng = np.random.default_rng(8)
    case = random_case(rng, weathers=1, closed_share=0.05, duration=80.0)
    at, codes = masks(case.world), np.zeros(case.size, np.uint8)
    row, col = case.position(int(case.burning.ignition[0]))
    for r, c in ((row, col), (row, col + 1), (row - 1, col)):
        codes[r, c] = TREATED
        _kernels.treat_cell(case.world, *at, case.flat(r, c), False)
    arrival, _ = fresh(case, 0, at)
    fields, closed, ignition, _ = case.as_seen_by(0, codes)
    np.testing.assert_array_equal(case.unpadded(arrival), naive.arrival_times(fields, closed, ignition, 80.0))
    assert np.isfinite(arrival).sum() > 1


@pytest.mark.parametrize("by_flame", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_downstream_value_is_its_slow_twin(seed, by_flame):
    case = random_case(np.random.default_rng(seed), weathers=1, duration=60.0, by_flame=by_flame)
    at, states, burning = as_episode(case)
    planes = fresh_planes(case, at[0], states, burning, np.ones((1, 1)), _kernels.make_scratch(case.world))[0, 0]
    arrival, parent = unpacked(case, states, 0)
    grid, codes = case.unpadded(arrival), case.unpadded(parent)
    parents = {
        (int(r), int(c)): (int(r - _kernels.STEPS[codes[r, c]][0]), int(c - _kernels.STEPS[codes[r, c]][1]))
        for r, c in np.argwhere(codes >= 0)
        if codes[r, c] != _kernels.IGNITION
    }
    ignition = case.position(int(case.burning.ignition[0]))
    value = slow_losses(case, 0, arrival, parent, at[0][0])
    expected = naive.downstream_value(grid, parents, case.unpadded(value), ignition)
    np.testing.assert_array_equal(case.unpadded(planes[1]), expected)
    np.testing.assert_array_equal(case.unpadded(planes[0]), np.isfinite(grid))


def test_equal_hours_are_constant_weather_and_later_hours_may_be_faster_or_stop_fire():
    """One period repeated is the constant fire, bit for bit; an hour without spread is waited out."""
    field = np.zeros((1, 40, 3), np.float32)
    field[..., 0] = 1.0  # a cell a minute
    still = np.full((1, 40, 3), np.inf, np.float32)
    still[..., 1:] = 0
    fast = field / 4
    world = build_world([field, still, fast], np.ones((1, 40)), np.zeros((1, 40), np.uint8))
    series = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0]], np.int32)
    burning = _kernels.Burning(
        np.full(3, PAD * world.width + PAD, np.int32), series[:, 0].copy(), np.full(3, 22.0, np.float32),
        np.arange(3, dtype=np.int32), series, np.float32(5.5), None, None,
    )  # fmt: skip
    case = Case(world, burning, np.stack([field, still, fast]), None, (1, 40), 16)
    constant = case.unpadded(fresh(case, 0)[0])[0]
    np.testing.assert_array_equal(constant[:23], np.arange(23))
    assert np.isinf(constant[23:]).all()
    waited = case.unpadded(fresh(case, 1)[0])[0]
    np.testing.assert_array_equal(waited[:7], [0, 1, 2, 3, 4, 5, 11.5])  # half a cell is left when spread sets in again
    hurried = case.unpadded(fresh(case, 2)[0])[0]
    np.testing.assert_array_equal(hurried[5:9], [5, 5.625, 5.875, 6.125])


@pytest.mark.parametrize("stencil", [8, 16, 32])
def test_an_edge_shut_in_one_hour_sets_out_when_it_opens(stencil):
    """Past a corner: both cells beside it spread in the second hour only, so the way between them is shut till then."""
    field = np.zeros((2, 2, 2, 3), np.float32)
    field[..., 0] = 1.0
    field[0, [0, 1], [1, 0], 0] = np.inf
    world = build_world(list(field), np.ones((2, 2)), np.zeros((2, 2), np.uint8), stencil=stencil)
    burning = _kernels.Burning(
        np.array([PAD * world.width + PAD], np.int32), np.zeros(1, np.int32), np.full(1, 30, np.float32),
        np.zeros(1, np.int32), np.array([[0, 0, 1, 1]], np.int32), np.float32(2.5), None, None,
    )  # fmt: skip
    case = Case(world, burning, field, None, (2, 2), stencil)
    expected = [[0, 6], [6, 5 + np.float32(np.sqrt(2))]]
    np.testing.assert_array_equal(case.unpadded(fresh(case)[0]), np.array(expected, np.float32))


def test_fire_reaches_fuel_that_is_very_slow_without_counting_the_minutes():
    """An endless fire into fuel a million times slower: the buckets between are not walked through one by one."""
    field = np.zeros((1, 6, 40, 3), np.float32)
    field[..., 0] = 0.5
    field[:, :, 20:, 0] = 5e5
    world = build_world(list(field), np.ones((6, 40)), np.zeros((6, 40), np.uint8), bucket_min=[0.001])
    case = random_case(np.random.default_rng(0), size=(6, 40), weathers=1, duration=np.inf, ignitions=[(2, 3)])
    arrival, parent = fresh(case, world=world)
    slowly, its_parent = fresh(case, world=world, patience=1)
    np.testing.assert_array_equal(arrival, slowly)
    np.testing.assert_array_equal(parent, its_parent)
    assert np.isfinite(case.unpadded(arrival)).all()
    assert case.unpadded(arrival)[2, 39] > 9e6


@pytest.mark.parametrize("stencil", [8, 16, 32])
def test_a_unit_that_holds_both_cells_beside_a_corner_shuts_the_way_between_them(stencil):
    """Neither cell alone is crossed by the fire, nor does it shut anything; both together do."""
    field = np.full((1, 2, 2, 3), 0, np.float32)
    field[..., 0] = 1.0
    field[0, [0, 1], [1, 0], 0] = 100.0
    world = build_world(list(field), np.full((2, 2), 3.0), np.zeros((2, 2), np.uint8), stencil=stencil)
    case = random_case(np.random.default_rng(0), stencil, size=(2, 2), weathers=1, duration=5.0, ignitions=[(0, 0)])
    case.world = world
    at, states, burning = as_episode(case)
    assert states.length[0, 0] == 2
    one, other = case.flat(0, 1), case.flat(1, 0)
    units = np.array([[one, other], [one, -1], [other, -1]], np.int64)
    avoided, bound = np.zeros((1, 3)), np.zeros((1, 3))
    _kernels.gain_sums(
        world, *at, units, True, False, np.empty((1, 0), np.int64), burning, states, np.ones((1, 1)), avoided, bound,
        np.zeros(1, np.int64), np.zeros(1, np.int64), _kernels.make_scratch(world),
    )  # fmt: skip
    assert avoided.tolist() == [[3.0, 0.0, 0.0]]
    assert bound[0, 0] >= 3.0


@pytest.mark.parametrize("stencil", [8, 16, 32])
def test_of_neighbors_that_reach_a_cell_together_the_lowest_direction_is_its_parent(stencil):
    """Homogeneous ground without wind is full of ties; breaks and repair among them."""
    fields = np.zeros((1, 15, 17, 3), np.float32)
    fields[..., 0] = 1.0
    world = build_world(list(fields), np.ones((15, 17)), np.zeros((15, 17), np.uint8), stencil=stencil)
    case = random_case(
        np.random.default_rng(0), stencil, size=(15, 17), weathers=1, duration=np.inf, ignitions=[(6, 8)]
    )
    case.world = world
    at, states, burning = as_episode(case)
    scratch, loss, settled = _kernels.make_scratch(world), np.full((1, 1), 255.0), np.zeros((1, 1), np.int64)
    planes, ones = np.zeros((1, 1, 7, len(world.value))), np.ones((1, 1))
    for row, col in ((5, 8), (7, 9), (9, 4), (3, 3), (8, 12)):
        treated = np.array([[case.flat(row, col)]], np.int64)
        _kernels.treat_episodes(world, *at, treated, False)
        _kernels.repair_states(
            world, at[0], *at, treated, treated, burning, states, loss, settled, ones, planes, np.zeros(1, np.uint8),
            np.zeros(1, np.int64), scratch,
        )  # fmt: skip
        now = tuple(None if part is None else part[0] for part in at)
        arrival, parent = unpacked(case, states, 0)
        tied = 0
        for cell in np.flatnonzero(parent >= 0):
            if parent[cell] == _kernels.IGNITION:
                continue
            starts = cell - world.offset
            ways = [
                k
                for k, start in enumerate(starts)
                if at[1][0, 0, start] >> k & 1 and arrival[start] + world.minutes[0, start, k] == arrival[cell]
            ]
            assert parent[cell] == ways[0]
            tied += len(ways) > 1
        assert tied > 10
        for other in (fresh(case, 0, now, world=world), fresh(case, 0, now, world=world, patience=1)):
            np.testing.assert_array_equal(other[1][: len(parent)], parent)
