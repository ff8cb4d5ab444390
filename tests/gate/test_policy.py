"""What the manifest's ``gate`` makes of verdicts."""

from __future__ import annotations

import datetime
from typing import Any, cast

import numpy as np
import pytest

from pytest_mlscope.gate.accuracy_comparison import metric_outcome, relative_loss
from pytest_mlscope.gate.pairs import Pair
from pytest_mlscope.gate.policy import NO_POLICY, Acceptance, Policy
from pytest_mlscope.gate.ratio_comparison import latency_comparison
from pytest_mlscope.gate.rounds import Contest, Rules
from pytest_mlscope.gate.sequential import Verdict
from pytest_mlscope.manifest.schema.gate import AcceptedRegression, GatePolicy

TODAY = datetime.date(2026, 5, 3)
PLACE = "m.mlscope.yml:9:7"


def _policy(gate: dict[str, Any], *accepted: dict[str, Any], minimum_effect: float | None = None) -> Policy:
    entries = [
        AcceptedRegression.model_validate({"reason": "agreed", "until": "2026-05-03", **each}) for each in accepted
    ]
    return Policy(
        GatePolicy.model_validate(gate),
        [Acceptance(entry, PLACE) for entry in entries],
        "top1",
        minimum_effect,
        TODAY,
    )


def _kinds(policy: Policy, quantity: Any, outcome: Any, size: float | None = 0.1, metric: str | None = None) -> Any:
    result, rulings = policy.ruled(quantity, outcome, size=size, metric=metric)
    return result, [ruling.kind for ruling in rulings]


@pytest.mark.parametrize("outcome", ["pass", "regression", "improved", "inconclusive"])
@pytest.mark.parametrize("quantity", ["latency", "peak_memory", "load_time", "accuracy", "parity"])
def test_without_a_policy_a_verdict_is_what_it_is(quantity: Any, outcome: Any) -> None:
    assert NO_POLICY.ruled(quantity, outcome, size=1.0) == (outcome, [])
    assert not NO_POLICY.ignores(quantity)


def test_the_smallest_effect_is_the_command_lines_then_the_manifests_then_the_default() -> None:
    gate = {"latency": {"smallest_effect": "7 %"}, "load_time": {"smallest_effect": "20%"}}
    effects = [_policy(gate).smallest_effect(name) for name in ("latency", "peak_memory", "load_time")]
    assert effects == [0.07, 0.05, 0.2]
    assert _policy(gate, minimum_effect=0.01).smallest_effect("latency") == 0.01
    assert NO_POLICY.smallest_effect("latency") == Rules().minimum_effect


def test_a_regression_may_only_warn() -> None:
    policy = _policy({"peak_memory": {"on_regression": "warn"}})
    assert _kinds(policy, "peak_memory", "regression") == ("warned", ["warned"])
    assert _kinds(policy, "peak_memory", "inconclusive") == ("inconclusive", [])
    assert _kinds(policy, "latency", "regression") == ("regression", [])


@pytest.mark.parametrize(
    ("entry", "size", "expected"),
    [
        ({}, 0.5, ("accepted", ["accepted"])),
        ({"at_most": "12 %"}, 0.12, ("accepted", ["accepted"])),
        ({"at_most": "12 %"}, 0.121, ("regression", ["exceeded"])),
        ({"at_most": "12 %"}, None, ("regression", ["exceeded"])),
        ({"at_most": "12 %"}, float("nan"), ("regression", ["exceeded"])),
        ({"until": "2026-05-02"}, 0.05, ("regression", ["ended"])),
        ({"quantity": "load_time"}, 0.05, ("regression", [])),
    ],
)
def test_a_known_regression_is_accepted_until_its_day_and_up_to_its_size(
    entry: dict[str, Any], size: float | None, expected: Any
) -> None:
    assert _kinds(_policy({}, {"quantity": "latency", **entry}), "latency", "regression", size) == expected


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0.05, "a regression of top1 by 5% of the baseline's value is accepted (up to 12%) until 2026-"),
        (0.1534, "a regression of top1 is accepted up to 12% of the baseline's value, and this one is 15.3%"),
        (0.1200001, "a regression of top1 is accepted up to 12% of the baseline's value, and this one is 12.00001%"),
        (None, "accepted up to 12% of the baseline's value, and how large this one is, is not known"),
        (float("inf"), "accepted up to 12% of the baseline's value, and how large this one is, is not known"),
    ],
)
def test_a_ruling_says_how_large_a_regression_is_and_may_be_and_of_what(size: float | None, said: str) -> None:
    policy = _policy({}, {"quantity": "accuracy", "metric": "top1", "at_most": "12%"})
    _, (ruling,) = policy.ruled("accuracy", "regression", size=size, metric="top1")
    assert said in ruling.text


def test_an_acceptance_that_nothing_needs_is_said_unless_nothing_is_known() -> None:
    policy = _policy({}, {"quantity": "latency"})
    assert _kinds(policy, "latency", "pass") == ("pass", ["not needed"])
    assert _kinds(policy, "latency", "inconclusive") == ("inconclusive", [])


def test_an_acceptance_of_a_metric_is_of_no_other() -> None:
    policy = _policy({}, {"quantity": "accuracy", "metric": "top1"})
    assert _kinds(policy, "accuracy", "regression", metric="top5") == ("regression", [])
    assert _kinds(policy, "accuracy", "regression", metric="top1") == ("accepted", ["accepted"])
    # Predictions compared row by row are the first metric's.
    assert _kinds(policy, "accuracy", "regression") == ("accepted", ["accepted"])


@pytest.mark.parametrize(
    ("worse", "better", "loss", "outcome"),
    [
        (1e-9, 1.0, 0.004, "pass"),
        (1e-9, 1.0, 0.006, "regression"),
        (0.3, 0.9, 0.006, "inconclusive"),
        (0.03, 0.99, 0.004, "pass"),
        (1.0, 1e-9, -0.2, "improved"),
        (1.0, 1.0, 0.0, "pass"),
        (1e-9, 1.0, float("inf"), "regression"),
    ],
)
def test_a_loss_up_to_what_is_accepted_passes_and_a_larger_one_never_does(
    worse: float, better: float, loss: float, outcome: str
) -> None:
    assert metric_outcome(worse, better, 0.005, loss=loss, accepted_loss=0.005) == outcome


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_without_an_accepted_loss_only_p_values_count(loss: float) -> None:
    outcomes = [metric_outcome(worse, 1.0, 0.005, loss=loss) for worse in (0.004, 0.04, 0.4)]
    assert outcomes == ["regression", "inconclusive", "pass"]


def test_a_loss_of_what_is_no_number_is_never_accepted() -> None:
    for baseline, candidate in [(0.0, -1.0), (1.0, float("nan")), (float("nan"), 1.0), (float("inf"), 1.0)]:
        assert relative_loss(baseline, candidate, higher=True) > 1
    assert relative_loss(0.0, 0.0, higher=True) == 0


def _contest(**outcomes: Any) -> Contest:
    pairs = [Pair(1e-3, 2e-3, np.log(2), np.array([[1e-3, 2e-3]]), (1.0, 2.0), (100, 200))] * 3
    case = cast(Any, None)
    verdicts: dict[str, Any] = {
        name: Verdict(outcome=outcome, ratio=2.0, interval=(0.0, float("inf")), pairs=3, p_value=0.01)
        for name, outcome in outcomes.items()
    }
    return Contest(case, case, Rules(), pairs=pairs, decided=True, **verdicts)


def test_the_worst_of_what_is_left_under_the_policy_is_the_outcome() -> None:
    contest = _contest(latency="pass", memory="regression", load_time="regression")
    gate = {"peak_memory": {"on_regression": "warn"}, "load_time": {"on_regression": "warn"}}
    compared = latency_comparison(contest, "main", _policy(gate))
    assert compared.outcome == "warned"
    assert compared.failures(("inconclusive", "not-compared")) == ()
    assert compared.messages[0].endswith("; a regression of peak memory only warns, as the manifest's gate says")
    assert compared.peak_memory is not None
    assert (compared.peak_memory.outcome, compared.peak_memory.baseline, compared.peak_memory.candidate) == (
        "regression",
        100,
        200,
    )


def test_what_is_ignored_is_not_compared_and_that_is_said() -> None:
    contest = _contest(latency="regression", memory="pass", load_time="pass")
    compared = latency_comparison(contest, "main", _policy({"latency": {"on_regression": "ignore"}}))
    assert compared.outcome == "pass"
    assert compared.latency is None
    (ruling,) = compared.rulings
    assert ruling.text == "latency is not compared: the manifest's gate ignores it"


def test_an_acceptance_past_its_day_fails_even_what_passes() -> None:
    contest = _contest(latency="pass", memory="pass", load_time="pass")
    compared = latency_comparison(contest, "main", _policy({}, {"quantity": "latency", "until": "2026-05-02"}))
    assert compared.outcome == "pass"
    ended = f"{PLACE}: a regression of latency was accepted until 2026-05-02 (agreed)"
    assert compared.failures(()) == (f"{ended}; take the entry out, or agree on another day",)
    assert compared.failures(())[0] in compared.messages


def test_a_candidate_that_fails_is_a_regression_under_any_policy() -> None:
    contest = _contest()
    contest.failed_side = 1
    policy = _policy({"load_time": {"on_regression": "ignore"}}, {"quantity": "latency"})
    assert latency_comparison(contest, "main", policy).outcome == "regression"


@pytest.mark.parametrize("effect", ["memory_effect", "load_time_effect"])
def test_what_is_ignored_takes_no_pairs_of_its_own(effect: str) -> None:
    looks_worse = [1.07, 1.2, 1.01, 1.3, 1.0, 1.2, 1.01, 1.4]
    case = cast(Any, None)
    contest = Contest(case, case, Rules(**cast(Any, {effect: None})))
    for ratio in looks_worse:
        worse = ratio if effect == "memory_effect" else 1.0
        peak = (100, int(100 * worse))
        load = 1.2 if effect == "load_time_effect" else 1.0
        contest.pairs.append(Pair(1e-3, 1e-3, 0.0, np.ones((1, 2)), (1.0, load), peak))
        contest.judge(level=0.008, family=1)
        if contest.decided:
            break
    assert (contest.memory if effect == "memory_effect" else contest.load_time) is None
    assert contest.decided
