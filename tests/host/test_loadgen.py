"""What is read from LoadGen's trace, and LoadGen itself where it is installed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from pytest_mlscope.host.arrivals import poisson_arrivals
from pytest_mlscope.host.loadgen import answering, cpu_awake, loadgen_settings, read_trace, run_queries
from pytest_mlscope.statistics.kolmogorov_smirnov import two_sample_test

LINE = (
    '{{"name":"Sample","cat":"default","ph":"b","pid":7,"id":{0},"ts":{1},"args":{{"sample_seq":{0},"query_seq":{2},'
    '"sample_idx":3,"issue_start_ns":{3},"complete_ns":{4}}}}},\n'
)


def test_a_query_lasts_to_its_last_sample() -> None:
    text = LINE.format(0, "158.826", 0, 200, 900) + LINE.format(1, "158.826", 0, 200, 1100)
    trace = read_trace('{"traceEvents":[\n' + LINE.format(2, "3154.5", 1, 0, 50) + text)
    assert trace.scheduled.tolist() == [158_826, 3_154_500]
    assert trace.issue_delay.tolist() == [200, 0]
    assert trace.latency.tolist() == [1100, 50]


def test_a_trace_without_queries_is_refused() -> None:
    with pytest.raises(ValueError, match="no query"):
        read_trace("{}")


def _request(scenario: str) -> dict[str, object]:
    return {
        "scenario": scenario,
        "seconds": 0.2,
        "queries": 200,
        "limit": 20.0,
        "seed": 1,
        "percentile": 99.0,
        "samples_per_query": 4 if scenario == "multi_stream" else 1,
        "qps": 1000.0,
        "latency_bound": None,
    }


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
def test_loadgen_has_every_row_answered(scenario: str, tmp_path: Path) -> None:
    loadgen = pytest.importorskip("mlperf_loadgen")
    answered: list[int] = []
    settings = loadgen_settings(loadgen, _request(scenario), 1e-4, 1)
    system = answering(loadgen, {1: lambda: answered.append(1)}, whole_queries=scenario == "multi_stream")
    trace = run_queries(loadgen, system, settings, 16, str(tmp_path))
    rows = 4 if scenario == "multi_stream" else 1
    assert len(answered) == len(trace.latency) * rows if scenario != "offline" else len(answered) >= 200
    assert (trace.latency >= trace.issue_delay).all()
    # What MLPerf's own log parser reads.
    assert ":::MLLOG" in (tmp_path / "mlperf_log_detail.txt").read_text()
    assert "MLPerf Results Summary" in (tmp_path / "mlperf_log_summary.txt").read_text()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to CPUs")
def test_the_model_stays_where_it_was_put(tmp_path: Path) -> None:
    """LoadGen's own threads may run elsewhere; afterwards everything is as before."""
    loadgen = pytest.importorskip("mlperf_loadgen")
    everywhere, slack = os.sched_getaffinity(0), Path("/proc/self/timerslack_ns").read_text()
    one = {min(everywhere)}
    seen = []
    os.sched_setaffinity(0, one)
    try:
        system = answering(loadgen, {1: lambda: seen.append(os.sched_getaffinity(0))})
        run_queries(loadgen, system, loadgen_settings(loadgen, _request("server"), 1e-4, 1), 16, str(tmp_path))
        seen.append(os.sched_getaffinity(0))
    finally:
        os.sched_setaffinity(0, everywhere)
    assert all(cpus == one for cpus in seen)
    assert Path("/proc/self/timerslack_ns").read_text() == slack


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system has no idle scheduling policy")
def test_a_cpu_is_kept_awake_by_what_yields_to_everything() -> None:
    me = psutil.Process()
    before = set(me.children())
    with cpu_awake():
        (child,) = set(me.children()) - before
        assert os.sched_getscheduler(child.pid) == os.SCHED_IDLE
        used = sum(child.cpu_times()[:2])
        deadline = time.monotonic() + 30
        while sum(child.cpu_times()[:2]) <= used:
            assert time.monotonic() < deadline, "it does not run"
            time.sleep(0.05)
    assert not child.is_running()


def test_a_cpu_that_cannot_be_kept_awake_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", os.devnull)
    before = psutil.Process().children()
    with cpu_awake():
        assert set(psutil.Process().children()) <= set(before)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system has no idle scheduling policy")
def test_what_keeps_a_cpu_awake_dies_with_its_host() -> None:
    host = psutil.Popen(
        [sys.executable, "-c", "import time, pytest_mlscope.host.loadgen as it\nwith it.cpu_awake(): time.sleep(60)"]
    )
    deadline = time.monotonic() + 30
    while not host.children():
        assert time.monotonic() < deadline, "it was not started"
        time.sleep(0.05)
    (child,) = host.children()
    host.kill()
    host.wait()
    child.wait(timeout=30)


@pytest.mark.slow
def test_its_arrivals_are_distributed_as_ours(tmp_path: Path) -> None:
    loadgen = pytest.importorskip("mlperf_loadgen")
    settings = loadgen_settings(loadgen, {**_request("server"), "seconds": 1.0}, 1e-4, 1)
    trace = run_queries(loadgen, answering(loadgen, {1: lambda: None}), settings, 16, str(tmp_path))
    ours = np.diff(poisson_arrivals(1000.0, 1.0, 1))
    assert two_sample_test(ours, np.diff(trace.scheduled))[1] > 0.001
