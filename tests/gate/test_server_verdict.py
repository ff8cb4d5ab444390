"""What the verdict says of a searched rate, and how it writes numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_mlscope.expectations.checks import latency_checks
from pytest_mlscope.manifest.schema.manifest import Manifest
from pytest_mlscope.measurements.latency.result import RateTrial, ServerRun
from pytest_mlscope.measurements.latency.server import Server
from tests.reports import synthetic_evaluations as synthetic


def trial(qps: float, met: bool, *, confirming: bool = False) -> RateTrial:
    return RateTrial(qps=qps, confirming=confirming, queries=1000, latency=0.194, unanswered=0, met=met)


def server(
    *trials: RateTrial, latency: float = 0.194, budget_ended: float | None = None, arrival_error: float = 0.00002
) -> ServerRun:
    return ServerRun(
        qps=291_185.0,
        scheduled_qps=291_000.0,
        achieved_qps=290_000.0,
        queries=582_535,
        unanswered=0,
        kept=True,
        percentile=99.0,
        latency_bound=0.005,
        latency=latency,
        queued={},
        arrival_error=arrival_error,
        batch_sizes=(1, 2),
        mean_batch=1.5,
        seed=0,
        trials=trials,
        budget_ended=budget_ended,
    )


def messages(run: ServerRun) -> dict[str, str]:
    latency, case = synthetic.latency(server=run), synthetic.case(scenario="server")
    return {check.name: check.message for check in latency_checks(latency, case)}


FAILED = trial(291_185.0, False, confirming=True)
MEASURED = "p99 at 291,185 queries/s is 194 ms (expected ≤ 5.00 ms) over 582,535 queries"


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            server(trial(112_763.0, True), trial(50_000.0, True), FAILED, budget_ended=20.0),
            "; search_budget (20.0 s) ended before a rate was confirmed; short trials met the bound up to 112,763 "
            "queries/s; raise scenarios.server.search_budget",
        ),
        (
            server(trial(112_763.0, True), FAILED),
            "; short trials met the bound up to 112,763 queries/s, but no whole run did",
        ),
        (
            server(trial(112_763.0, False), FAILED, budget_ended=5.0),
            "; no rate that meets the bound was found within scenarios.server.search_budget (5.00 s)",
        ),
        (server(trial(112_763.0, False), FAILED), "; no rate that meets the bound was found"),
        (server(), ""),
    ],
)
def test_why_no_rate_was_found(run: ServerRun, said: str) -> None:
    assert messages(run)["latency_bound"] == MEASURED + said


def test_arrivals_that_were_late_themselves_are_told() -> None:
    said = (
        "; arrivals were noticed late by 3.67 ms (p99) with nothing under way: the machine was busy with something else"
    )
    assert messages(server(arrival_error=0.003673))["latency_bound"] == MEASURED + said
    assert messages(server(arrival_error=0.003673, latency=0.0049))["latency_bound"].endswith("582,535 queries")
    assert messages(server(arrival_error=0.0024))["latency_bound"] == MEASURED


def test_a_rate_that_was_confirmed_needs_no_reason() -> None:
    found = server(trial(112_763.0, True), trial(291_185.0, True, confirming=True), latency=0.004)
    assert messages(found) == {
        "rate": "the rate of 291,185 queries/s was searched in 2 trials and is kept: 290,000 answers/s to 582,535 "
        "queries",
        "latency_bound": "p99 at 291,185 queries/s is 4.00 ms (expected ≤ 5.00 ms) over 582,535 queries",
    }


def test_numbers_have_one_form() -> None:
    """Thousands are separated and times have the unit that fits, in verdicts as in notes."""
    manifest = synthetic.manifest()
    expect: dict[str, Any] = {"latency": {"p50": "1 ms"}, "throughput": {"min": 2_000_000}}
    stated = manifest.content.model_dump(by_alias=True, exclude_unset=True)
    content = Manifest.model_validate({**stated, "expect": expect})
    plan = replace(synthetic.case(), manifest=replace(manifest, content=content))
    measured = synthetic.latency(99_885, throughput=1_234_567.8)
    said = [check.message for check in latency_checks(measured, plan)]
    assert said[0].endswith("(expected ≤ 1.00 ms) over 99,885 samples")
    assert said[1] == "throughput is 1,234,568 samples/s (expected ≥ 2,000,000 samples/s)"
    assert "99% of arrivals noticed within 20.0 µs" in Server.notes([synthetic.latency(server=server())])
