"""The standard fuel models, and which codes burn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fuelbreak import fuels


def test_there_are_the_13_and_the_40() -> None:
    systems = [model.system for model in fuels.FUEL_MODELS.values()]
    assert (systems.count("FBFM13"), systems.count("FBFM40")) == (13, 40)
    assert all(code == model.code for code, model in fuels.FUEL_MODELS.items())


@pytest.mark.parametrize(
    ("code", "tons_per_acre", "savs", "depth_ft", "extinction_pct", "heat", "dynamic"),
    [
        # Scott and Burgan (2005), table 7
        (106, (0.10, 0, 0, 3.40, 0), (2200, 0, 0, 2000, 0), 1.5, 40, 9000, True),
        (124, (1.90, 0.30, 0.10, 3.40, 7.10), (1800, 109, 30, 1600, 1600), 2.1, 40, 8000, True),
        (145, (3.60, 2.10, 0, 0, 2.90), (750, 109, 0, 0, 1600), 6.0, 15, 8000, False),
        (165, (4.00, 4.00, 3.00, 0, 3.00), (1500, 109, 30, 0, 750), 1.0, 25, 8000, False),
        (204, (5.25, 3.50, 5.25, 0, 0), (2000, 109, 30, 0, 0), 2.7, 25, 8000, False),
        # Anderson (1982), table 1, which rounds to 0.01 tons/acre; live fuel woody
        (4, (5.01, 4.01, 2.00, 0, 5.01), (2000, 109, 30, 0, 1500), 6.0, 20, 8000, False),
        (13, (7.01, 23.04, 28.05, 0, 0), (1500, 109, 30, 0, 0), 3.0, 25, 8000, False),
    ],
)
def test_published_values(
    code: int,
    tons_per_acre: tuple[float, ...],
    savs: tuple[float, ...],
    depth_ft: float,
    extinction_pct: float,
    heat: float,
    dynamic: bool,
) -> None:
    model = fuels.FUEL_MODELS[code]
    loads = np.array(model.loads_lb_ft2) / fuels.TONS_PER_ACRE_TO_LB_PER_FT2
    np.testing.assert_allclose(loads, tons_per_acre, atol=0.006)
    assert model.savs_per_ft == savs
    assert (model.depth_ft, model.extinction_pct, model.dead_heat_btu_lb) == (depth_ft, extinction_pct, heat)
    assert model.dynamic is dynamic


def test_a_class_has_a_sav_exactly_where_it_has_a_load() -> None:
    for model in fuels.FUEL_MODELS.values():
        assert [load > 0 for load in model.loads_lb_ft2] == [sav > 0 for sav in model.savs_per_ft]
        assert not model.dynamic or model.loads_lb_ft2[3] > 0


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        fuels.FUEL_MODELS[1] = fuels.FUEL_MODELS[2]  # type: ignore[index]  # that it is refused is the point
    with pytest.raises(dataclasses.FrozenInstanceError):
        fuels.FUEL_MODELS[1].depth_ft = 2.0  # type: ignore[misc]  # that it is refused is the point


def test_burnable() -> None:
    codes = np.array([[0, 1, 13, 14], [90, 91, 99, 101], [110, 204, 205, -9999]], dtype=np.int16)
    expected = [[False, True, True, False], [False, False, False, True], [False, True, False, False]]
    assert fuels.burnable(codes).tolist() == expected
    assert fuels.BREAK_CODE in fuels.NONBURNABLE_CODES


def test_unknown_codes_are_named_once_and_in_order() -> None:
    codes = np.array([[205, 0, 95, 101], [-9999, 205, 14, 8]], dtype=np.int16)
    unknown = fuels.unknown_codes(codes)
    assert unknown.tolist() == [-9999, 14, 205]
    assert unknown.dtype == np.int16
    assert fuels.unknown_codes(codes[:1, 1:]).size == 0


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (4, "FM4 Chaparral"),
        (188, "TL8 Long-needle litter"),
        (98, "NB8 open water"),
        (95, "nonburnable"),
        (0, "no data"),
        (14, "unknown fuel model 14"),
    ],
)
def test_name_of(code: int, name: str) -> None:
    assert fuels.name_of(code) == name
