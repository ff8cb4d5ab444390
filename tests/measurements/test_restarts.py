"""Several processes: the middle one is shown, and one that is slow for its whole life moves nothing but a warning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.measurements.latency.restarts import restart_warnings, summarise_restarts
from pytest_mlscope.measurements.latency.result import Latency, Restarts
from tests.reports.synthetic_evaluations import latency


def _of(medians: list[int]) -> Restarts:
    return summarise_restarts([_steady(median) for median in medians])


def _steady(median_ns: int) -> Latency:
    return latency(samples_ns=np.full(20, median_ns))


medians = st.lists(st.integers(1_000, 10**8), min_size=1, max_size=9)


@given(medians)
def test_the_middle_process_is_shown(values: list[int]) -> None:
    restarts = _of(values)
    assert restarts.processes[restarts.shown].median * 1e9 == pytest.approx(sorted(values)[(len(values) - 1) // 2])
    assert restarts.fastest <= restarts.processes[restarts.shown].median <= restarts.slowest


@given(medians, st.integers(2, 50))
def test_the_spread_has_no_unit_and_no_order(values: list[int], scale: int) -> None:
    spread = _of(values).spread
    assert (spread is None) == (len(values) < 3)
    if spread is not None:
        assert spread >= 0
        assert _of([scale * value for value in values[::-1]]).spread == pytest.approx(spread)


@given(st.lists(st.integers(1_000, 10**8), min_size=3, max_size=9))
def test_the_spread_is_scipys_median_absolute_deviation(values: list[int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = 1.4826 * stats.median_abs_deviation(values) / np.median(values)
    assert _of(values).spread == pytest.approx(expected)


def test_a_slow_process_moves_neither_the_median_nor_the_spread_and_is_told() -> None:
    usual = _of([12_000, 12_100, 12_200, 12_300, 12_400])
    unlucky = _of([12_000, 12_100, 12_200, 12_300, 18_300])
    assert unlucky.processes[unlucky.shown] == usual.processes[usual.shown]
    assert unlucky.spread == usual.spread
    assert restart_warnings(usual) == []
    (warning,) = restart_warnings(unlucky)
    assert warning.startswith("1 of 5 processes ran up to 50% slower than the middle one for their whole life")
