"""What a comparison says in words."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
import pytest

from pytest_mlscope.components.check import Check
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.gate.pairs import BASELINE, Pair, SideError
from pytest_mlscope.gate.ratio_comparison import latency_comparison
from pytest_mlscope.gate.rounds import Contest, Rules
from pytest_mlscope.gate.sequential import Verdict
from pytest_mlscope.option_values import STRICT_PARTS, StrictPart
from pytest_mlscope.records.comparison import Comparison
from pytest_mlscope.reports.reasons import failures
from tests.reports.synthetic_evaluations import record


def _pair(blocks: list[tuple[float, float]]) -> Pair:
    medians = np.array(blocks)
    baseline, candidate = np.median(medians, axis=0)
    ratio = float(np.median(np.log(medians[:, 1] / medians[:, 0])))
    return Pair(float(baseline), float(candidate), ratio, medians, (1.0, 1.0), None)


def _verdict(outcome: Any, ratio: float) -> Verdict:
    return Verdict(outcome=outcome, ratio=ratio, interval=(0.0, float("inf")), pairs=3, p_value=0.01, early=False)


def _contest(**verdicts: Any) -> Contest:
    # Of each side's medians by itself the candidate's is the smaller, and yet the median of ratios is 1.1.
    drifting = [(5e-6, 5.5e-6), (9.1e-6, 10e-6), (10e-6, 11e-6), (20e-6, 8e-6)]
    pairs = [_pair(drifting) for _ in range(3)]
    case = cast(Any, None)
    return Contest(case, case, Rules(), pairs=pairs, **verdicts)


def test_absolute_values_have_the_ratio_that_is_told() -> None:
    contest = _contest(latency=_verdict("regression", 1.1))
    message = latency_comparison(contest, "main").messages[0]
    assert "median of 3 pairs" in message
    shown = re.search(r"such as ([\d.]+) µs against ([\d.]+) µs", message)
    assert shown is not None
    assert abs(float(shown[1]) / float(shown[2]) - 1.1) < 0.01


def test_what_got_worse_is_told_first() -> None:
    contest = _contest(latency=_verdict("pass", 1.0), load_time=_verdict("regression", 2.0))
    compared = latency_comparison(contest, "main")
    assert compared.outcome == "regression"
    worse, same = compared.messages
    assert worse.startswith("load time is 2.000 times")
    assert same.endswith(": pass")


def _judged(*, ratios: list[float], memory: list[float], loads: list[float]) -> Contest:
    """What a contest says after pairs with these ratios, ten of which take all of its time."""
    pairs = [
        Pair(1e-3, ratio * 1e-3, float(np.log(ratio)), np.ones((1, 2)), (1.0, load), (100_000_000, int(1e8 * peak)))
        for ratio, peak, load in zip(ratios, memory, loads, strict=True)
    ]
    case = cast(Any, None)
    contest = Contest(case, case, Rules(seconds=20.0))
    for pair in pairs:
        contest.seconds += 2.0
        contest.pairs.append(pair)
        contest.judge(level=0.008, family=1)
        if contest.decided:
            break
    return contest


SAME = [1.001, 0.999, 1.002, 0.998, 1.0, 1.001, 0.999, 1.0, 1.001, 0.999]


def test_memory_that_looks_worse_is_measured_on_until_it_is_decided() -> None:
    """Five pairs say that latency passes, and cannot say whether 7 % more memory is chance."""
    contest = _judged(ratios=SAME, memory=[1.07 * ratio for ratio in SAME], loads=SAME)
    assert contest.latency is not None
    assert contest.memory is not None
    assert (contest.latency.outcome, contest.latency.pairs) == ("pass", 5)
    assert (contest.memory.outcome, contest.memory.pairs) == ("regression", 9)
    assert latency_comparison(contest, "main").outcome == "regression"


def test_memory_and_load_time_that_look_no_worse_take_no_further_pairs() -> None:
    noisy = [0.6, 1.5, 0.7, 1.4, 1.02, 0.9, 1.2, 0.8, 1.1, 1.0]
    contest = _judged(ratios=SAME, memory=SAME, loads=noisy)
    assert len(contest.pairs) == 5
    assert contest.load_time is not None
    assert contest.load_time.outcome == "inconclusive"
    compared = latency_comparison(contest, "main")
    assert (compared.outcome, len(compared.messages)) == ("pass", 1)


def test_load_time_that_looks_worse_to_the_end_is_told_as_inconclusive() -> None:
    noisy = [2.0, 0.5, 1.5, 0.7, 1.5, 1.5, 0.6, 1.5, 1.5, 0.7]
    contest = _judged(ratios=SAME, memory=SAME, loads=noisy)
    compared = latency_comparison(contest, "main")
    assert compared.outcome == "inconclusive"
    assert compared.messages[0].startswith("load time is 1.5")


def test_a_regression_of_latency_is_told_at_once() -> None:
    contest = _judged(ratios=[1.3, 1.31, 1.32], memory=[1.07] * 3, loads=[1.12] * 3)
    assert contest.decided
    assert latency_comparison(contest, "main").messages[0].startswith("latency is 1.310")


def test_a_baseline_that_fails_once_latency_is_decided_takes_nothing_back() -> None:
    contest = _judged(ratios=SAME[:5], memory=[1.07] * 5, loads=SAME[:5])
    contest.fail(SideError(BASELINE, MlscopeError("gone")))
    assert contest.decided
    assert latency_comparison(contest, "main").outcome == "pass"


def test_a_failure_tells_every_quantity_that_got_worse() -> None:
    worse = ("latency is 2 times", "load time is 3 times")
    failed = record(
        outcome="failed",
        reason="\n".join(("p50 is 2 s", *worse)),
        checks=[Check("p50", 2.0, "≤ 1 s", passed=False, message="p50 is 2 s")],
        comparison=Comparison("main", "regression", worse, failed_with=worse),
    )
    (failure,) = failures([failed])
    assert [line for line, _ in failure.lines] == ["p50 is 2 s", "latency is 2 times", "load time is 3 times"]


LINE, OPEN = "the line", "ap is not compared"


@pytest.mark.parametrize(
    ("comparison", "parts"),
    [
        (Comparison("main", "inconclusive", (LINE,)), {"inconclusive"}),
        (Comparison("main", "not compared", (LINE,)), {"not-compared"}),
        (Comparison("main", "not compared", (LINE,), is_new=True), {"new"}),
        (Comparison("main", "regression", (LINE,)), {"new", "inconclusive", "not-compared", "cannot-run"}),
        (Comparison("main", "pass", (LINE,)), set()),
    ],
)
def test_each_part_of_strictness_fails_what_it_names(comparison: Comparison, parts: set[StrictPart]) -> None:
    assert {part for part in STRICT_PARTS if comparison.failures({part})} == parts
    assert bool(comparison.failures(())) == (comparison.outcome == "regression")


def test_a_metric_left_open_fails_as_what_is_not_compared() -> None:
    comparison = Comparison("main", "inconclusive", (LINE, OPEN), left_open=(OPEN,))
    assert comparison.failures({"not-compared"}) == (OPEN,)
    assert comparison.failures({"inconclusive"}) == (LINE, OPEN)
    assert comparison.failures({"new"}) == ()
