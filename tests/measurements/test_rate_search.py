"""The search for the highest rate, on servers whose limit is known and whose clock is ours."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.measurements.latency.rate_search import LEAST_SHARE, PRECISION, SAFE_SHARE, RateSearch, search_rate

RUN, TRIAL = 2.0, 0.5


@dataclass(frozen=True)
class Tried:
    rate: float
    confirming: bool
    met: bool


@dataclass
class Server:
    """Meets its bound up to a limit, which whole runs may see lower than trials. Its runs take simulated time."""

    limit: float
    confirmed_limit: float | None = None
    stalls: int = 0
    """So many confirming runs fail whatever their rate: something else had the machine."""
    overrun: float = 1.0
    """What an attempt that is not met takes longer than it should."""
    now: float = field(default=0.0, init=False)

    def attempt(self, rate: float, confirming: bool) -> Tried:
        lower = self.limit if self.confirmed_limit is None else self.confirmed_limit
        met = rate <= (lower if confirming else self.limit)
        if confirming and self.stalls:
            self.stalls -= 1
            met = False
        self.now += (RUN if confirming else TRIAL) * (1.0 if met else self.overrun)
        return Tried(rate, confirming, met)

    def search(
        self, *, capacity: float, budget: float = 1e9, run_seconds: Callable[[float], float] = lambda rate: RUN
    ) -> RateSearch[Tried]:
        return search_rate(
            self.attempt, capacity=capacity, budget=budget, run_seconds=run_seconds, clock=lambda: self.now
        )


@given(st.floats(0.03, 0.999), st.floats(1, 1e6))
def test_the_limit_is_found_from_below(share: float, capacity: float) -> None:
    """Within the precision, confirmed, and in few attempts."""
    search = Server(share * capacity).search(capacity=capacity)
    found = search.found
    assert found.met
    assert found.confirming
    assert not search.out_of_time
    assert share * (1 - 2 * PRECISION) * capacity <= found.rate <= share * capacity
    assert len(search.attempts) <= 13


@given(st.floats(0.1, 0.9), st.floats(0.7, 0.99))
def test_a_rate_that_a_whole_run_does_not_confirm_is_not_reported(share: float, less: float) -> None:
    search = Server(share, share * less).search(capacity=1.0)
    found = search.found
    assert found.met
    assert found.confirming
    assert 0.8 * share * less * (1 - 2 * PRECISION) <= found.rate <= share * less
    assert any(tried.confirming and not tried.met for tried in search.attempts) or found.rate <= share * less


def test_after_each_run_that_fails_the_step_down_doubles() -> None:
    search = Server(900.0, 1.0).search(capacity=1000.0)
    rates = [tried.rate for tried in search.attempts if tried.confirming]
    steps = [1 - after / before for before, after in itertools.pairwise(rates)]
    assert steps[:5] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.5])
    assert not search.found.met
    assert not search.out_of_time


@pytest.mark.parametrize("overrun", [1.0, 1.4])
@pytest.mark.parametrize("budget", [4.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("less", [0.95, 0.8, 0.6, 0.51])
def test_what_trials_met_is_confirmed_at_half_of_it_at_least(
    share: float, less: float, budget: float, overrun: float
) -> None:
    """Whatever the budget; two runs, that is the first to confirm and the last, may end beyond it."""
    server = Server(share, share * less, overrun=overrun)
    search = server.search(capacity=1.0, budget=budget)
    assert search.found.met
    assert search.found.confirming
    best = max(tried.rate for tried in search.attempts if tried.met and not tried.confirming)
    assert search.found.rate >= 0.4 * best
    assert server.now <= budget + 2 * RUN * overrun


def test_the_last_run_that_time_leaves_is_well_below_what_trials_met() -> None:
    server = Server(600.0, stalls=1)
    search = server.search(capacity=1000.0, budget=5.0)
    trials = [tried for tried in search.attempts if not tried.confirming]
    first, last = (tried for tried in search.attempts if tried.confirming)
    best = max(tried.rate for tried in trials if tried.met)
    assert first.rate == best
    assert last.rate == SAFE_SHARE * best
    assert last.met


def test_time_that_ends_before_a_rate_is_confirmed_is_said() -> None:
    search = Server(600.0, stalls=2).search(capacity=1000.0, budget=5.0)
    assert not search.found.met
    assert search.out_of_time


@pytest.mark.parametrize(("budget", "seconds"), [(12.0, 11.0), (3.0, 4.5)])
def test_trials_leave_time_for_a_run_where_the_budget_has_it(budget: float, seconds: float) -> None:
    """Of the larger budget a run's length, of the smaller one a quarter."""
    server = Server(900.0)
    assert server.search(capacity=1000.0, budget=budget).found.met
    assert server.now <= seconds


def test_a_run_that_is_longer_than_the_budget_confirms_all_the_same() -> None:
    search = Server(900.0).search(capacity=1000.0, budget=2.0, run_seconds=lambda rate: 30.0)
    assert [tried.confirming for tried in search.attempts] == [False, False, False, True]
    assert search.found.met


def test_where_no_rate_meets_the_bound_the_search_ends_and_says_so() -> None:
    search = Server(0.0).search(capacity=1000.0)
    assert not search.found.met
    assert not search.out_of_time
    assert search.found.rate < LEAST_SHARE * 1000
    assert len(search.attempts) < 11
