"""The manifest's ``gate`` in whole runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pytest_mlscope.reports.json_report import json_schema
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
LOOSE = "{accuracy: {top1: {min: 0.0}}}"


def _said(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


def _compared(pytester: pytest.Pytester) -> dict[str, Any]:
    document = json.loads((pytester.path / "now.json").read_text())
    Draft202012Validator(json_schema()).validate(document)
    return dict(document["evaluations"][0]["comparison"])


@pytest.fixture(params=["side by side", "saved"])
def worse(request: pytest.FixtureRequest, suite: Suite, run: Run) -> Callable[..., pytest.RunResult]:
    """Runs a model that has lost 15 of 36 rows against what it was."""
    if request.param == "saved":
        suite.manifest(expect=LOOSE)
        run("-m", "accuracy", "--mlscope-json=saved.json")
        against = "saved.json"
    else:
        suite.manifest(name="old", expect=LOOSE)
        path = suite.folder / "old.mlscope.yml"
        np.save(suite.folder / "good.npy", np.load(suite.folder / "weights.npy"))
        path.write_text(path.read_text().replace("weights.npy", "good.npy"))
        against = f"model:{path}"
    weights = np.load(suite.folder / "weights.npy")
    weights[:, 0] = -weights[:, 0]
    np.save(suite.folder / "weights.npy", weights)

    def runs(gate: str, *options: str) -> pytest.RunResult:
        suite.manifest(expect=LOOSE, extra=f"gate: {gate}\n" if gate else "")
        return run(
            "-m", "accuracy", "linear.mlscope.yml", f"--mlscope-against={against}", "--mlscope-json=now.json", *options
        )

    return runs


@pytest.mark.slow
def test_a_loss_fails_warns_is_accepted_or_is_ignored(
    worse: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = worse("")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*accuracy*0.9000 → 0.*rows*…*regression*"])
    lost = _compared(pytester)["accuracy"]
    assert lost["outcome"] == "regression"
    assert lost["interval"][0] < lost["difference"] < lost["interval"][1] < 0

    result = worse("{accuracy: {top1: {on_regression: warn}}}", "--mlscope-strict")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["*accuracy*0.9000 → 0.*warned*"])
    assert "a regression of accuracy only warns, as the manifest's gate says: linear toy" in _said(result)
    assert (_compared(pytester)["outcome"], _compared(pytester)["accuracy"]["outcome"]) == ("warned", "regression")

    result = worse("{accuracy: {top1: {loss: 90 %}}}", "--mlscope-strict")
    result.assert_outcomes(passed=1, deselected=1)
    assert "of the baseline's value, of which 90% is accepted" in _compared(pytester)["messages"][0]

    result = worse("{accuracy: {top1: {on_regression: ignore}}}", "--mlscope-strict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, deselected=1)
    assert "top1 is not compared: the manifest's gate ignores it" in _said(result)
    assert "nothing was compared in 1 test, so the run fails" in _said(result)


ACCEPTED = "{{accepted: [{{quantity: accuracy, reason: a smaller head, until: {until}{more}}}]}}"


@pytest.mark.slow
def test_a_known_regression_passes_until_its_day(
    worse: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = worse(ACCEPTED.format(until="2999-12-31", more=", when: {framework: toy}"), "--mlscope-strict")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["*accuracy*accepted*"])
    assert "% of the baseline's value is accepted until 2999-12-31: a smaller head: linear toy" in _said(result)
    (ruling,) = _compared(pytester)["rulings"]
    assert (ruling["kind"], ruling["reason"], ruling["until"]) == ("accepted", "a smaller head", "2999-12-31")

    result = worse(ACCEPTED.format(until="2999-12-31", more=", at_most: 2 %"))
    result.assert_outcomes(failed=1, deselected=1)
    assert "a regression of accuracy is accepted up to 2% of the baseline's value, and this one is " in _said(result)

    result = worse(ACCEPTED.format(until="2020-12-31", more=""))
    result.assert_outcomes(failed=1, deselected=1)
    assert "a regression of accuracy was accepted until 2020-12-31 (a smaller head); take" in _said(result)


@pytest.mark.parametrize(("until", "status"), [("2999-12-31", 0), ("2020-12-31", 1)])
def test_an_acceptance_that_nothing_needs_is_said_and_fails_once_it_has_ended(
    suite: Suite, run: Run, until: str, status: int
) -> None:
    old = suite.manifest(name="old")
    suite.manifest(extra=f"gate: {ACCEPTED.format(until=until, more='')}\n")
    result = run("-m", "accuracy", "linear.mlscope.yml", f"--mlscope-against=model:{old}")
    assert result.ret == status
    said = _said(result)
    place = "linear.mlscope.yml:1"
    if status:
        assert "a regression of accuracy was accepted until 2020-12-31" in said
    else:
        assert "no regression of accuracy to accept; take the entry out: linear toy" in said
    assert place in said


@pytest.mark.slow
def test_latency_that_is_ignored_and_load_time_that_matters_less_are_asked_of_no_pairs(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    old = suite.manifest(name="old")
    everything = "gate: {latency: {on_regression: ignore}, peak_memory: {on_regression: ignore}, load_time: "
    suite.manifest(extra=f"{everything}{{on_regression: ignore}}}}\n")
    options = ("linear.mlscope.yml", f"--mlscope-against=model:{old}", "--mlscope-json=now.json")
    result = run(*options, "-v")
    assert result.ret == pytest.ExitCode.OK, "accuracy is compared"
    assert "latency is not compared: the manifest's gate ignores it" in _said(result)
    assert "mlscope: comparing" not in result.stdout.str()
    suite.manifest(extra="gate: {latency: {smallest_effect: 60 %}, load_time: {on_regression: ignore}}\n")
    run(*options, "-m", "latency")
    compared = _compared(pytester)
    assert compared["load_time"] is None
    assert compared["latency"]["minimum_effect"] == 0.6
    assert compared["latency"]["baseline"] > 0
    run(*options, "-m", "latency", "--mlscope-minimum-effect=50")
    assert _compared(pytester)["latency"]["minimum_effect"] == 0.5
