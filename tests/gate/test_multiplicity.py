"""Holm's procedure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.gate.multiplicity import holm_levels

P_VALUES = st.lists(st.floats(0, 1), max_size=20)


def _rejected(p_values: list[float], *, family: int, level: float) -> list[bool]:
    levels = holm_levels(p_values, family=family, level=level)
    return [p <= allowed for p, allowed in zip(p_values, levels, strict=True)]


@given(P_VALUES, st.integers(0, 5), st.floats(0.001, 0.2))
def test_what_is_rejected_has_the_smallest_p_values(p_values: list[float], more: int, level: float) -> None:
    family = max(1, len(p_values) + more)
    rejected = _rejected(p_values, family=family, level=level)
    smallest_kept = min((p for p, r in zip(p_values, rejected, strict=True) if not r), default=math.inf)
    assert all(p <= smallest_kept for p, r in zip(p_values, rejected, strict=True) if r)


@given(P_VALUES, st.floats(0.001, 0.2))
def test_it_rejects_at_least_what_bonferroni_does(p_values: list[float], level: float) -> None:
    family = max(1, len(p_values))
    rejected = _rejected(p_values, family=family, level=level)
    assert all(r for p, r in zip(p_values, rejected, strict=True) if p <= level / family)


@given(P_VALUES, st.floats(0.001, 0.2))
def test_a_larger_family_rejects_no_more(p_values: list[float], level: float) -> None:
    family = max(1, len(p_values))
    small = _rejected(p_values, family=family, level=level)
    large = _rejected(p_values, family=family + 3, level=level)
    assert all(one or not other for one, other in zip(small, large, strict=True))


def test_by_hand() -> None:
    assert _rejected([0.01, 0.04, 0.02], family=3, level=0.05) == [True, True, True]
    assert _rejected([0.01, 0.04, 0.03], family=3, level=0.05) == [True, False, False]


def test_any_false_alarm_is_as_rare_as_stated() -> None:
    random = np.random.default_rng(0)
    alarmed = sum(any(_rejected(list(random.random(20)), family=20, level=0.05)) for _ in range(4000))
    assert alarmed / 4000 < 0.06


@pytest.mark.parametrize("p", [1.5, -0.1, math.nan])
def test_other_numbers_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match="not a p-value"):
        holm_levels([p], family=1, level=0.05)


def test_a_family_has_room_for_its_members() -> None:
    with pytest.raises(ValueError, match="family of 1"):
        holm_levels([0.1, 0.2], family=1, level=0.05)
