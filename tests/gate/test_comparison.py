"""What a comparison says in words."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np

from pytest_mlscope.gate.comparison import latency_comparison
from pytest_mlscope.gate.pairs import Pair
from pytest_mlscope.gate.rounds import Contest, Rules
from pytest_mlscope.gate.sequential import Verdict
from pytest_mlscope.reports.findings import failures


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


def test_a_failure_tells_every_quantity_that_got_worse() -> None:
    record = {
        "nodeid": "a.mlscope.yml::test_latency[toy]",
        "kind": "latency",
        "case": {"model": "a", "id": "toy", "framework": "toy"},
        "outcome": "failed",
        "reason": "\n".join(f"a on toy: {why}" for why in ("p50 is 2 s", "latency is 2 times", "load time is 3 times")),
        "command": None,
        "checks": [{"passed": False, "message": "p50 is 2 s"}],
        "comparison": {"outcome": "regression", "messages": ["latency is 2 times", "load time is 3 times"]},
    }
    (failure,) = failures([record])
    assert failure.lines == ("p50 is 2 s", "latency is 2 times", "load time is 3 times")
