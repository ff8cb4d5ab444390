"""The terminal summary: verdicts, and reasons for failing and for not running."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_mlscope.components.check import Check
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.records.comparison import Comparison, LatencyComparison, MeasuredPair, RatioComparison, Ruling
from pytest_mlscope.records.record import EvaluationRecord
from tests.reports.summary_lines import sections_of
from tests.reports.synthetic_evaluations import accuracy, case, latency, record


def test_framework_output_cannot_steer_the_terminal() -> None:
    reason = "broken\x1b[2J\x07 model \u202egnp.exe"
    line = sections_of([record(outcome="failed", reason=reason)])["failed"][1]
    assert line == "  broken?[2J? model ?gnp.exe"


def test_reasons_are_told_once_with_their_count_most_frequent_first() -> None:
    def skipped(framework: str, reason: str, **more: str) -> EvaluationRecord:
        cannot_run = CannotRun(reason, **more)
        return record(case(framework=framework), outcome="skipped", reason=str(cannot_run), cannot_run=cannot_run)

    assert sections_of(
        [
            skipped("opencv", "needs scikit-learn", command="pip install 'pytest-mlscope[sklearn]'"),
            skipped("pytorch", "PyTorch is not installed here"),
            skipped("opencv", "no NVIDIA driver"),
            skipped("pytorch", "no NVIDIA driver"),
            skipped("pytorch", "no NVIDIA driver"),
        ],
        width=100,
    )["could not run"] == [
        "  opencv, pytorch: no NVIDIA driver — 3 tests",
        "  PyTorch is not installed here — 1 test",
        "  opencv: needs scikit-learn — 1 test; to enable: pip install 'pytest-mlscope[sklearn]'",
    ]


def test_a_long_command_stays_one_that_can_be_copied() -> None:
    command = "mlscope env create pytorch " + " ".join(f"--option-{number}=value" for number in range(6))
    lacking = CannotRun("not installed", command=command)
    lines = sections_of([record(outcome="skipped", reason=str(lacking), cannot_run=lacking)])["could not run"]
    assert lines[0] == "  onnxruntime: not installed — 1 test"
    pasted = "\n".join(lines[1:]).replace("\\\n", " ").split("to enable:")[1]
    assert pasted.split() == command.split()


BY_HAND = "test_digits.py::test_{}[onnxruntime]"


@pytest.mark.parametrize("outcomes", [("passed", "failed"), ("failed", "passed")])
@pytest.mark.parametrize("kind", ["test", "accuracy"])
@pytest.mark.parametrize("first", [True, False])
def test_bounds_are_those_of_the_manifests_own_test(outcomes: tuple[Any, Any], kind: str, first: bool) -> None:
    """Hand-written tests share its evaluation, marked with its kind or not: one row, whichever ran first."""
    own, by_hand = outcomes
    check = Check("top1", 0.97, "≥ 0.97", own == "passed", "top1")
    records = [
        record(kind="accuracy", accuracy=accuracy(), outcome=own, checks=[check]),
        record(kind=kind, nodeid=BY_HAND.format("it"), accuracy=accuracy(), outcome=by_hand),
    ]
    lines = sections_of(records if first else records[::-1])["accuracy"]
    verdict = {"passed": "passed", "failed": "FAILED"}[own]
    assert [line.split()[-1] for line in lines if "onnxruntime" in line] == [verdict]


def test_what_only_hand_written_tests_looked_at_has_no_bounds() -> None:
    """Neither theirs nor `no bound`: the manifest may well have one, whose test was not among those that ran."""
    by_hand = [
        record(kind="test", nodeid=BY_HAND.format(outcome), accuracy=accuracy(), outcome=outcome)
        for outcome in ("passed", "failed", "xfailed")
    ]
    lines = sections_of(by_hand)["accuracy"]
    assert not any("bounds" in line for line in lines)
    assert sum("onnxruntime" in line for line in lines) == 1

    judged = record(case(batch_size=8), kind="accuracy", accuracy=accuracy())
    lines = sections_of([*by_hand, judged])["accuracy"]
    assert [line.endswith("no bound") for line in lines if "onnxruntime" in line] == [False, True]


def test_a_hand_written_test_that_failed_goes_by_its_name() -> None:
    nodeid = "suite/test_digits.py::TestSpeed::test_wrong[onnxruntime-a::b[c]]"
    for kind in ("test", "accuracy"):
        lines = sections_of([record(kind=kind, nodeid=nodeid, outcome="failed", reason="assert 1 > 2")])["failed"]
        assert lines == ["digits-cnn onnxruntime test_wrong", "  assert 1 > 2"]


def test_failures_for_one_reason_are_told_once() -> None:
    lacking = CannotRun("not installed here", command="mlscope env create pytorch")
    records = [
        record(case(framework="pytorch", batch_size=size), kind=kind, outcome="failed", cannot_run=lacking)
        for kind in ("accuracy", "latency")
        for size in (1, 32, 64)
    ][:5]
    records.append(record(outcome="failed", reason="predictor host killed by SIGSEGV"))
    told = ["  not installed here; to enable: mlscope env create pytorch"]
    other = ["digits-cnn onnxruntime latency", "  predictor host killed by SIGSEGV"]
    one_by_one = [f"digits-cnn pytorch-{size} {kind}" for kind in ("accuracy", "latency") for size in (1, 32, 64)][:5]
    assert sections_of(records)["failed"] == [*one_by_one[:3], "… and 2 more tests", *told, *other]
    assert sections_of(records, rows=None)["failed"] == [*one_by_one, *told, *other]
    # The line that says "1 more" has room for its name.
    assert sections_of([*records[:4], records[-1]])["failed"] == [*one_by_one[:4], *told, *other]


def _compared(*quantities: str, outcome: Any = "regression", reason: str | None = None) -> EvaluationRecord:
    messages = tuple(f"{quantity} is 2.000 times that of HEAD" for quantity in quantities)
    reason = reason or "\n".join(f"digits-cnn on onnxruntime: {message}" for message in messages)
    comparison = Comparison("HEAD", outcome, messages, failed_with=messages if outcome == "regression" else ())
    return record(outcome="failed", reason=reason, comparison=comparison)


def test_every_reason_for_a_failure_is_told_without_the_name_that_stands_above() -> None:
    lines = ["  latency is 2.000 times that of HEAD", "  load time is 2.000 times that of HEAD"]
    compared = _compared("latency", "load time")
    assert sections_of([compared])["failed"] == ["digits-cnn onnxruntime latency", *lines]
    bound = Check("p50", 0.02, "≤ 10 ms", passed=False, message="p50 is 20 ms (expected ≤ 10 ms)")
    both = replace(compared, checks=[bound])
    assert sections_of([both])["failed"][1:] == ["  p50 is 20 ms (expected ≤ 10 ms)", *lines]
    # Where the comparison is not why it failed, it is not one of the reasons.
    other = _compared("latency", outcome="inconclusive", reason="p50 is 20 ms")
    assert sections_of([other])["failed"][1:] == ["  p50 is 20 ms"]


def test_a_command_for_the_baseline_stands_under_no_other_failure() -> None:
    command = "mlscope env create onnxruntime==1.30"
    message = "not compared with onnxruntime 1.30: it has no environment here"
    bound = Check("p50", 0.02, "≤ 10 ms", passed=False, message="p50 is 20 ms (expected ≤ 10 ms)")
    not_why = Comparison("onnxruntime 1.30", "not compared", (message,), command=command)
    # As where --mlscope-strict makes it a failure; then the bound is another one.
    why = replace(not_why, failed_with=(message,))
    for comparison, told in ((not_why, []), (why, [f"  {message}", f"    to enable: {command}"])):
        failed = record(outcome="failed", reason=bound.message, checks=[bound], comparison=comparison)
        assert sections_of([failed])["failed"][1:] == [f"  {bound.message}", *told]
        assert (failed.command, failed.reason) == (command if told else None, bound.message)
    skipped = record(outcome="skipped", reason=f"{message}; to enable: {command}", comparison=not_why)
    assert (skipped.command, skipped.reason) == (command, message)


def test_a_command_that_makes_a_baseline_comparable_can_be_copied() -> None:
    command = "mlscope env create onnxruntime==1.30"
    message = "not compared with onnxruntime 1.30: onnxruntime 1.30 has no environment here"
    compared = record(comparison=Comparison("onnxruntime 1.30", "not compared", (message,), command=command))
    lines = sections_of([compared])["against onnxruntime 1.30"]
    assert lines[-1] == f"    to enable: {command}"
    assert lines[-2].endswith("(1 test)")


def test_each_mistake_in_a_baselines_manifest_has_its_line() -> None:
    message = "not compared with HEAD: HEAD:a.mlscope.yml:1:9: schema is wrong\nHEAD:a.mlscope.yml:4:1: unknown key"
    facts = Comparison("HEAD", "not compared", (message,), failed_with=(message,))
    compared = record(outcome="failed", reason=f"digits-cnn on onnxruntime: {message}", comparison=facts)
    sections = sections_of([compared], width=100)
    first, second = message.splitlines()
    assert sections["against HEAD"] == [
        "  NOTHING was compared, which fails the run",
        f"  {first} (1 test)",
        f"  {second}",
    ]
    assert sections["failed"][1:] == [f"  {first}", f"  {second}"]


def _side_by_side(candidate: float = 224e-6, **changes: Any) -> EvaluationRecord:
    verdict: dict[str, Any] = {"interval": None, "pairs": 3, "p_value": 0.1, "early": False, "minimum_effect": 0.03}
    facts = LatencyComparison(
        outcome="regression",
        ratio=1.04,
        **{**verdict, "interval": (1.012, 1.0931)},
        baseline=candidate / 1.04,
        candidate=candidate,
        measured=(MeasuredPair(candidate / 1.04, candidate, 0.039),),
    )
    peak = RatioComparison(outcome="regression", ratio=2.0, **verdict, baseline=1e8, candidate=2e8)
    compared = Comparison("HEAD", "regression", ("latency is worse",), latency=facts, peak_memory=peak, **changes)
    return record(latency=latency(median_ns=373_000), comparison=compared)


def test_a_comparison_shows_both_sides_and_says_why_its_latency_is_another() -> None:
    lines = sections_of([_side_by_side()], width=80)["against HEAD"]
    assert lines[2].endswith("latency      215 → 224 µs    +4.0%  +1.2% … +9.3%  regression")
    assert "100 → 200 MB" in lines[3]
    said = " ".join(" ".join(lines).split())
    assert "latency here: both sides in turns, in fresh processes; the latency table: this side by itself" in said
    assert "in a window of its own: digits-cnn onnxruntime (372 µs there)" in said
    alike = sections_of([_side_by_side(candidate=370e-6)])["against HEAD"]
    assert not [line for line in alike if "latency here" in line]


def test_what_a_policy_changed_is_told_and_an_acceptance_that_some_case_needs_is_needed() -> None:
    def ruled(kind: Any, text: str, **more: str) -> EvaluationRecord:
        return _side_by_side(rulings=(Ruling(kind, "latency", text, place="m.mlscope.yml:9:7", **more),))

    idle = ruled("not needed", "no regression of latency to accept")
    assert "no regression of latency to accept" in " ".join(sections_of([idle])["against HEAD"])
    accepted = ruled("accepted", "accepted until 2027-01-31: a larger stem")
    lines = sections_of([idle, accepted])["against HEAD"]
    assert [line.split()[-1] for line in lines[2:6]] == ["regression", "regression", "accepted", "regression"]
    assert "accepted until 2027-01-31: a larger stem" in " ".join(lines)
    assert "no regression of latency to accept" not in " ".join(lines)


@pytest.mark.parametrize(
    ("outcome", "checks", "verdict"),
    [
        ("passed", [Check("p50", 1e-5, "≤ 1 ms", True, "fine")], "passed"),
        ("passed", [], "no bound"),
        ("failed", [Check("p50", 1e-5, "≤ 1 ns", False, "slow")], "FAILED"),
        ("xfailed", [], "xfailed"),
        ("error", [], "ERROR"),
    ],
)
def test_measured_without_an_expectation_is_not_called_passed(outcome: Any, checks: list[Check], verdict: str) -> None:
    lines = sections_of([record(outcome=outcome, checks=checks, latency=latency())])["latency"]
    assert next(line for line in lines if "onnxruntime" in line).endswith(verdict)
