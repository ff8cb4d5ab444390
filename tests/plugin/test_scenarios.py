"""Every scenario through pytest: what is measured, what fails, what a manifest may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

SLEEP = "time.sleep(0.002)"


def latencies(suite: Suite) -> dict[str, Any]:
    report = json.loads((suite.folder / "report.json").read_text())
    return {entry["case"]["scenario"]: entry["latency"] for entry in report["evaluations"] if entry["latency"]}


@pytest.mark.slow
def test_all_four_are_measured(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict=SLEEP)
    suite.manifest(
        matrix="{scenario: [single_stream, multi_stream, server, offline], batch_size: [4]}",
        extra="scenarios: {multi_stream: {samples_per_query: 6}, server: {target_qps: 100, duration: 200 ms}}\n",
    )
    result = run("-m", "latency", "--mlscope-json", "report.json")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "*multi_stream: latency of a query of 6 rows*",
            "*offline: latency of a queue of 64 rows*",
            "*server: latency from a query's scheduled arrival*",
        ]
    )
    measured = latencies(suite)
    # Six rows in batches of four are two predictions.
    assert min(measured["multi_stream"]["samples_ns"]) >= 4_000_000
    assert min(measured["offline"]["samples_ns"]) >= 16 * 2_000_000
    server = measured["server"]["server"]
    assert server["batch_sizes"] == [1, 2, 4]
    assert (server["qps"], server["unanswered"], server["trials"]) == (100, 0, [])
    assert len(measured["server"]["samples_ns"]) == server["queries"]
    assert [measured[name]["server"] for name in ("single_stream", "multi_stream", "offline")] == [None] * 3


def test_a_rate_that_cannot_be_kept_fails_without_any_expectation(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict=SLEEP)
    suite.manifest(
        matrix="{scenario: [server]}",
        extra="scenarios: {server: {target_qps: 4000, duration: 200 ms, time_limit: 400 ms}}\n",
    )
    result = run("-m", "latency", "--mlscope-json", "report.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*the rate of 4,000 queries/s cannot be kept: * of * queries had no answer at scenarios.server.time_limit*"]
    )
    server = latencies(suite)["server"]
    assert server["server"]["unanswered"] > 0
    # What had no answer was the slowest of all.
    assert server["percentiles"]["p99"] is None


@pytest.mark.slow
def test_a_queue_that_grows_fails_though_all_is_answered_in_the_end(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict=SLEEP)
    suite.manifest(
        matrix="{scenario: [server]}",
        extra="scenarios: {server: {target_qps: 1500, duration: 450 ms, time_limit: 60 s}}\n",
    )
    result = run("-m", "latency", "--mlscope-json", "report.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the rate of 1,500 queries/s cannot be kept: over * queries the queue grew*"])
    assert latencies(suite)["server"]["server"]["unanswered"] == 0


def test_a_bound_at_a_percentile_that_is_not_known_fails(suite: Suite, run: Run) -> None:
    suite.manifest(
        matrix="{scenario: [server]}",
        extra="scenarios: {server: {target_qps: 50, latency_bound: 10 s, duration: 100 ms, time_limit: 200 ms}}\n",
    )
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*p99 at 50 queries/s is not known (expected ≤ 10.0 s): * queries, 662 needed*"])


@pytest.mark.slow
def test_the_highest_rate_is_searched(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict=SLEEP)
    suite.manifest(
        matrix="{scenario: [server]}",
        extra="scenarios: {server: {latency_bound: 200 ms, percentile: 90, duration: 200 ms, search_budget: 3 s}}\n",
    )
    result = run("-m", "latency", "--mlscope-json", "report.json")
    server = latencies(suite)["server"]["server"]
    *trials, last = server["trials"]
    assert not trials[0]["confirming"]
    assert last["confirming"]
    assert (last["qps"], last["met"], last["queries"]) == (server["qps"], server["met"], server["queries"])
    assert 0 < server["qps"] < 500
    # Whether the machine let the last run through decides the verdict, and nothing else does.
    result.assert_outcomes(**{"passed" if server["met"] else "failed": 1})
    result.stdout.fnmatch_lines(["*server: the rate was searched: 1 case, * trial* (in JSON)*"])


@pytest.mark.slow
def test_a_bound_that_no_rate_meets_fails_and_says_so(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict=SLEEP)
    suite.manifest(
        matrix="{scenario: [server]}",
        extra="scenarios: {server: {latency_bound: 1 us, percentile: 50, duration: 50 ms, search_budget: 500 ms}}\n",
    )
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*p50 at * queries/s is * (expected ≤ 1.00 µs)*no rate that meets the bound was found*"]
    )


@pytest.mark.slow
def test_a_fixed_batch_is_filled_up(suite: Suite, run: Run) -> None:
    """The model refuses any batch but its own."""
    folder = suite.framework("toy", predict="if len(x) != 4:\n    raise ValueError(f'{len(x)} rows')")
    (folder / "framework.yml").write_text((folder / "framework.yml").read_text() + "dynamic_batch: false\n")
    suite.manifest(
        matrix="{scenario: [multi_stream, server], batch_size: [4]}",
        extra="scenarios: {multi_stream: {samples_per_query: 6}, server: {target_qps: 500, duration: 200 ms}}\n",
    )
    result = run("-m", "latency", "--mlscope-json", "report.json")
    result.assert_outcomes(passed=2)
    assert latencies(suite)["server"]["server"]["batch_sizes"] == [4]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("", "*:12:21:*scenario 'server' needs scenarios.server.target_qps, or scenarios.server.latency_bound*"),
        ("scenarios: {server: {target_qps: 0}}\n", "*target_qps*0*"),
        ("scenarios: {server: {target_qps: 10, percentile: 100}}\n", "*percentile*100*"),
        ("scenarios: {server: {target_qps: 10, duration: 5 s, time_limit: 1 s}}\n", "*time_limit is below duration*"),
        ("scenarios: {multi_stream: {samples_per_query: 0}}\n", "*samples_per_query*0*"),
        ("scenarios: {serving: {}}\n", "*serving*server*"),
    ],
)
def test_mistakes_are_one_line(suite: Suite, run: Run, extra: str, said: str) -> None:
    suite.manifest(matrix="{scenario: [server]}", extra=extra)
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


@pytest.mark.slow
@pytest.mark.parametrize("target_qps", [100, 4000], ids=["kept", "too high"])
def test_server_is_measured_in_several_processes(suite: Suite, run: Run, target_qps: int) -> None:
    suite.framework("toy", predict=SLEEP)
    server = f"{{target_qps: {target_qps}, duration: 200 ms, time_limit: 400 ms}}"
    suite.manifest(matrix="{scenario: [server]}", extra=f"scenarios: {{server: {server}}}\n")
    run("-m", "latency", "--mlscope-json", "report.json", "--mlscope-restarts", "3")
    latency = latencies(suite)["server"]
    restarts = latency["restarts"]
    assert len(restarts["processes"]) == 3
    # Of a rate that is too high most queries have no answer, so that their median is not known.
    known = [process["median"] is not None for process in restarts["processes"]]
    assert known == [target_qps == 100] * 3
    assert (restarts["spread"] is not None) == (target_qps == 100)
    assert (latency["percentiles"]["p50"] is not None) == (target_qps == 100)
