"""When LoadGen and our own loop are said to agree."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.measurements.latency.loadgen_agreement import Agreement, Arrivals, Round

seconds = st.floats(1e-6, 10.0)
sides = st.lists(st.tuples(seconds, seconds), min_size=1, max_size=15)


def _rounds(pairs: list[tuple[float, float]]) -> list[Round]:
    return [Round(ours, theirs, empty=None, valid=False) for ours, theirs in pairs]


def _server(our_gap: float, their_gap: float, *, seed: int, queries: int = 100, late_ns: int = 5_000) -> Round:
    draw = np.random.default_rng(seed)
    gaps = [draw.exponential(gap * 1e9, queries).astype(np.int64) for gap in (our_gap, their_gap)]
    late = [np.full(queries, late_ns * factor, np.int64) for factor in (1, 3)]
    both = Arrivals(gaps[0], late[0]), Arrivals(gaps[1], late[1])
    return Round(1.0, 1.0, empty=1e-5, valid=True, arrivals=both)


@given(sides, st.randoms(use_true_random=False))
def test_the_order_of_rounds_does_not_matter(pairs: list[tuple[float, float]], random_: random.Random) -> None:
    shuffled = random_.sample(pairs, len(pairs))
    assert Agreement("offline", _rounds(pairs)).ratio == Agreement("offline", _rounds(shuffled)).ratio


@given(sides, st.sampled_from([0.5, 2.0, 1024.0]))
def test_a_machine_that_changes_speed_between_rounds_changes_nothing(
    pairs: list[tuple[float, float]], factor: float
) -> None:
    """Each round's sides are neighbours; only they are compared. Powers of two are exact."""
    wandering = [(ours * factor**n, theirs * factor**n) for n, (ours, theirs) in enumerate(pairs)]
    assert Agreement("offline", _rounds(wandering)).ratio == Agreement("offline", _rounds(pairs)).ratio


@pytest.mark.parametrize(("theirs", "agrees"), [(1.02, True), (0.98, True), (1.04, False), (0.96, False)])
def test_three_per_cent_apart_is_agreement(theirs: float, agrees: bool) -> None:
    # One round that a burst of other work spoilt is no reason against it.
    rounds = _rounds([(1.0, theirs), (1.0, theirs), (1.0, 3.0 if theirs > 1 else 0.3)])
    assert Agreement("single_stream", rounds).agrees == agrees


@pytest.mark.parametrize(("their_gap", "agrees"), [(0.01, True), (0.02, False)])
def test_arrivals_of_another_distribution_are_no_agreement(their_gap: float, agrees: bool) -> None:
    agreement = Agreement("server", [_server(0.01, their_gap, seed=seed) for seed in range(10)])
    assert agreement.ratio == 1.0
    assert agreement.agrees == agrees


@pytest.mark.parametrize(("rounds", "errors"), [(6, (None, None)), (7, (5e-6, 15e-6))])
def test_how_late_arrivals_are_noticed_is_told_of_all_rounds_together(
    rounds: int, errors: tuple[float | None, float | None]
) -> None:
    """A p99 takes 662 of them."""
    agreement = Agreement("server", [_server(0.01, 0.01, seed=seed) for seed in range(rounds)])
    assert agreement.arrival_errors == pytest.approx(errors)
    facts = agreement.facts()["arrival_error_p99"]
    assert (facts["ours"], facts["loadgen"]) == agreement.arrival_errors


def test_only_of_the_server_are_there_arrivals() -> None:
    agreement = Agreement("offline", _rounds([(1.0, 1.0)]))
    assert agreement.arrivals is None
    assert agreement.facts()["arrival_error_p99"] is None
