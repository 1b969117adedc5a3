"""The spread kernels against their slow twins: equal bits on random landscapes, no leaks, exact repair."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fuelbreak import _kernels
from fuelbreak._kernels import PAD

SIZE = (12, 14)


def padded(array: np.ndarray, fill: float) -> np.ndarray:
    return np.pad(array, [(PAD, PAD), (PAD, PAD)] + [(0, 0)] * (array.ndim - 2), constant_values=fill)


def random_world(rng: np.random.Generator, size=SIZE, weathers=2, closed_share=0.1):
    """A landscape of correlated rates with K weathers, some cells closed in all and a few in one weather only."""
    rows, cols = size
    fields = np.zeros((weathers, rows, cols, 4), np.float32)
    shut = np.zeros((weathers, rows, cols), bool)
    always = rng.random(size) < closed_share
    for k in range(weathers):
        rate = np.exp(rng.normal(-1.5, 0.7, size))
        lw = rng.uniform(1, 5, size)
        e = np.sqrt(lw**2 - 1) / lw
        heading = rng.uniform(0, 2 * np.pi)
        a = 1 / (rate * (1 - e))
        fields[k, ..., 0], fields[k, ..., 1], fields[k, ..., 2] = a, a * e * np.sin(heading), a * e * np.cos(heading)
        shut[k] = always | (rng.random(size) < 0.04)
    closed = np.stack([padded(np.where(s, 2, 0).astype(np.uint8), 2) for s in shut])
    full_rows, width = closed.shape[1:]
    closed = closed.reshape(weathers, -1)
    open_dirs = np.zeros(closed.shape, np.uint32)
    for k in range(weathers):
        _kernels.all_open_bits(closed[k], open_dirs[k], full_rows, width)
    value = padded(rng.integers(0, 8, size).astype(np.float64), 0).ravel()
    marks = padded(np.zeros(size, np.uint8), 0).ravel()
    spread = np.stack([padded(f, 0) for f in fields]).reshape(weathers, -1, 4)
    world = _kernels.World(
        spread,
        np.full(weathers, 0.7, np.float32),
        np.arange(weathers, dtype=np.int32),
        closed,
        open_dirs,
        value,
        marks,
        width,
    )
    return world, fields, shut


def flat(world, row: int, col: int) -> int:
    return (row + PAD) * world.width + col + PAD


def unpadded(world, array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, world.width)[PAD:-PAD, PAD:-PAD]


def fresh(world, closed, open_dirs, ignition, weather, duration, pool=None):
    cells = len(world.value)
    arrival, parent = np.full(cells, np.inf, np.float32), np.full(cells, -1, np.int8)
    scratch = _kernels.make_scratch(cells, pool)
    n, _ = _kernels.solve_one(
        world, closed[weather], open_dirs[weather], ignition, weather, np.float32(duration), arrival, parent, scratch
    )
    assert sorted(scratch.touched[:n]) == list(np.flatnonzero(np.isfinite(arrival)))
    return arrival, parent


def test_direction_tables_are_the_geometry_of_straight_lines():
    for k, (row, col) in enumerate(_kernels.STEPS):
        cells, corners = naive.GEOMETRY[(int(row), int(col))]
        middle = {(r, c) for r, c, _ in cells} - {(0, 0), (row, col)}
        expected = {tuple(_kernels.MIDDLE_1[k]), tuple(_kernels.MIDDLE_2[k])} - {(0, 0), (row, col)}
        assert middle == expected
        assert [share for *_, share in cells] == ([1 / 4] * 4 if k >= 8 else [1 / 2] * 2)
        assert len(corners) == (1 if 4 <= k < 8 else 0)
        assert _kernels.QUARTER_LENGTH[k] == np.float32(np.hypot(row, col) / 4)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), duration=st.sampled_from([5.0, 20.0, 60.0, np.inf]))
def test_solve_is_its_slow_twin_bit_for_bit(seed, duration):
    rng = np.random.default_rng(seed)
    world, fields, shut = random_world(rng)
    weather = int(rng.integers(2))
    row, col = (int(i) for i in np.argwhere(~shut[weather])[rng.integers((~shut[weather]).sum())])
    arrival, parent = fresh(world, world.closed, world.open_dirs, flat(world, row, col), weather, duration)
    expected = naive.arrival_times(fields[weather], shut[weather], (row, col), duration)
    np.testing.assert_array_equal(unpadded(world, arrival).view(np.uint32), expected.view(np.uint32))
    assert (np.isfinite(arrival) == (parent >= 0)).all()


@pytest.mark.parametrize("seed", range(40))
def test_the_heap_fallback_gives_the_same_bits_and_parents(seed):
    rng = np.random.default_rng(seed)
    world, _, shut = random_world(rng, size=(25, 25))
    row, col = (int(i) for i in np.argwhere(~shut[0])[rng.integers((~shut[0]).sum())])
    ignition = flat(world, row, col)
    arrival, parent = fresh(world, world.closed, world.open_dirs, ignition, 0, 100.0)
    small_arrival, small_parent = fresh(world, world.closed, world.open_dirs, ignition, 0, 100.0, pool=3)
    np.testing.assert_array_equal(arrival, small_arrival)
    np.testing.assert_array_equal(parent, small_parent)


def test_the_bucket_width_does_not_change_a_bit():
    rng = np.random.default_rng(3)
    world, _, shut = random_world(rng, size=(30, 30))
    row, col = (int(i) for i in np.argwhere(~shut[0])[5])
    results = []
    for width in (0.003, 0.3, 30.0, 1e6):
        narrow = world._replace(bucket_min=np.full(2, width, np.float32))
        results.append(fresh(narrow, world.closed, world.open_dirs, flat(world, row, col), 0, 200.0))
    for arrival, parent in results[1:]:
        np.testing.assert_array_equal(arrival, results[0][0])
        np.testing.assert_array_equal(parent, results[0][1])


@pytest.mark.parametrize("seed", range(300))
def test_no_leaks_the_burned_set_at_infinite_time_is_the_four_connected_component(seed):
    rng = np.random.default_rng(seed)
    world, _, shut = random_world(rng, size=(30, 33), weathers=1, closed_share=rng.uniform(0.2, 0.5))
    row, col = (int(i) for i in np.argwhere(~shut[0])[rng.integers((~shut[0]).sum())])
    arrival, _ = fresh(world, world.closed, world.open_dirs, flat(world, row, col), 0, np.inf)
    labels, _ = ndimage.label(~shut[0])
    np.testing.assert_array_equal(np.isfinite(unpadded(world, arrival)), labels == labels[row, col])


def test_a_diagonal_break_one_cell_thick_seals():
    rng = np.random.default_rng(0)
    world, _, _ = random_world(rng, size=(20, 20), weathers=1, closed_share=0.0)
    closed = padded(np.where(np.eye(20, dtype=bool), 2, 0).astype(np.uint8), 2).reshape(1, -1)
    open_dirs = np.zeros(closed.shape, np.uint32)
    _kernels.all_open_bits(closed[0], open_dirs[0], 24, world.width)
    arrival, _ = fresh(world, closed, open_dirs, flat(world, 3, 15), 0, np.inf)
    np.testing.assert_array_equal(np.isfinite(unpadded(world, arrival)), np.triu(np.ones((20, 20), bool), 1))


@pytest.mark.parametrize("seed", range(60))
def test_repair_is_a_fresh_solve_bit_for_bit(seed):
    """Breaks placed one after another, ignition cells among them: arrival, parent and loss after each."""
    rng = np.random.default_rng(seed)
    world, _, shut = random_world(rng, size=(16, 18), closed_share=0.05)
    closed, open_dirs = world.closed.copy(), world.open_dirs.copy()
    scratch = _kernels.make_scratch(len(world.value), None if seed % 4 else 40)
    free = np.argwhere(~(shut[0] | shut[1]))
    fires = []
    for row, col in free[rng.choice(len(free), 6, replace=False)]:
        weather = int(rng.integers(2))
        duration = float(rng.choice([15.0, 60.0, np.inf]))
        ignition = flat(world, int(row), int(col))
        arrival, parent = fresh(world, closed, open_dirs, ignition, weather, duration)
        fires.append([ignition, weather, np.float32(duration), arrival, parent, _kernels.loss_of(world.value, arrival)])
    order = [fires[0][0], *(flat(world, int(r), int(c)) for r, c in free[rng.choice(len(free), 40, replace=False)])]
    for cell in dict.fromkeys(order):
        for k in range(2):
            _kernels.close_cell(closed[k], open_dirs[k], cell, world.width)
        for fire in fires:
            ignition, weather, duration, arrival, parent, loss = fire
            avoided, _ = _kernels.repair_one(
                world, closed[weather], open_dirs[weather], ignition, weather, duration, cell, arrival, parent, scratch
            )
            fire[5] = loss - avoided
            new_arrival, new_parent = fresh(world, closed, open_dirs, ignition, weather, duration)
            np.testing.assert_array_equal(arrival, new_arrival)
            np.testing.assert_array_equal(parent, new_parent)
            assert fire[5] == _kernels.loss_of(world.value, new_arrival)
    for k in range(2):  # the masks kept step by step are those made from nothing
        rebuilt = np.zeros_like(open_dirs[k])
        _kernels.all_open_bits(closed[k], rebuilt, closed.shape[1] // world.width, world.width)
        np.testing.assert_array_equal(rebuilt, open_dirs[k])


def test_a_treated_ignition_cell_still_burns_as_if_untreated():
    rng = np.random.default_rng(8)
    world, fields, shut = random_world(rng, weathers=1, closed_share=0.05)
    row, col = (int(i) for i in np.argwhere(~shut[0])[30])
    ignition = flat(world, row, col)
    closed, open_dirs = world.closed.copy(), world.open_dirs.copy()
    for cell in (ignition, ignition + 1, ignition - world.width):
        _kernels.close_cell(closed[0], open_dirs[0], cell, world.width)
    arrival, _ = fresh(world, closed, open_dirs, ignition, 0, 80.0)
    treated = unpadded(world, closed[0]) != 0
    expected = naive.arrival_times(fields[0], treated, (row, col), 80.0, treated_ignition=True)
    np.testing.assert_array_equal(unpadded(world, arrival), expected)
    assert np.isfinite(arrival).sum() > 1


@pytest.mark.parametrize("seed", range(20))
def test_downstream_value_is_its_slow_twin(seed):
    rng = np.random.default_rng(seed)
    world, _, shut = random_world(rng, weathers=1)
    row, col = (int(i) for i in np.argwhere(~shut[0])[rng.integers((~shut[0]).sum())])
    arrival, parent = fresh(world, world.closed, world.open_dirs, flat(world, row, col), 0, 60.0)
    planes = np.zeros((_kernels.PLANES, len(arrival)))
    scratch = _kernels.make_scratch(len(arrival))
    _kernels.add_planes(world, np.float32(60.0), arrival, parent, 1.0, planes, scratch)
    grid, codes = unpadded(world, arrival), unpadded(world, parent)
    parents = {
        (int(r), int(c)): (int(r - _kernels.STEPS[codes[r, c]][0]), int(c - _kernels.STEPS[codes[r, c]][1]))
        for r, c in np.argwhere(codes >= 0)
        if codes[r, c] != _kernels.IGNITION
    }
    expected = naive.downstream_value(grid, parents, unpadded(world, world.value), (row, col))
    np.testing.assert_array_equal(unpadded(world, planes[1]), expected)
    np.testing.assert_array_equal(unpadded(world, planes[0]), np.isfinite(grid))
