"""The search for the highest rate, on servers whose limit is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.evaluation.rate_search import LEAST_SHARE, PRECISION, STEP_DOWN, search_rate


@dataclass(frozen=True)
class Tried:
    rate: float
    confirming: bool
    met: bool


def server(limit: float, confirmed_limit: float | None = None) -> Callable[[float, bool], Tried]:
    """Meets its bound up to a limit, which whole runs may see lower than trials."""
    lower = limit if confirmed_limit is None else confirmed_limit
    return lambda rate, confirming: Tried(rate, confirming, rate <= (lower if confirming else limit))


@given(st.floats(0.03, 0.999), st.floats(1, 1e6))
def test_the_limit_is_found_from_below(share: float, capacity: float) -> None:
    """Within the precision, confirmed, and in few attempts."""
    found, before = search_rate(server(share * capacity), capacity=capacity, budget=1e9)
    assert found.met
    assert found.confirming
    assert share * (1 - 2 * PRECISION) * capacity <= found.rate <= share * capacity
    assert len(before) <= 12


@given(st.floats(0.1, 0.9), st.floats(0.7, 0.99))
def test_a_rate_that_a_whole_run_does_not_confirm_is_not_reported(share: float, less: float) -> None:
    found, before = search_rate(server(share, share * less), capacity=1.0, budget=1e9)
    assert found.met
    assert found.confirming
    assert share * less * STEP_DOWN * (1 - 2 * PRECISION) <= found.rate <= share * less
    assert any(tried.confirming and not tried.met for tried in before) or found.rate <= share * less


def test_where_no_rate_meets_the_bound_the_search_ends_and_says_so() -> None:
    found, before = search_rate(server(0.0), capacity=1000.0, budget=1e9)
    assert not found.met
    assert found.rate < LEAST_SHARE * 1000
    assert len(before) < 10


def test_the_budget_ends_the_search_but_a_run_still_confirms() -> None:
    seconds = iter(range(1000))
    found, before = search_rate(server(900.0), capacity=1000.0, budget=3.0, clock=lambda: float(next(seconds)))
    assert found.met
    assert found.confirming
    assert len(before) == 2
