"""Warnings say how much and what to do; a sensor that is absent says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_mlscope.hosts.reply_reading import read_reply
from pytest_mlscope.hosts.timing_replies import Measured
from pytest_mlscope.measurements.latency.doubts import Doubt, machine_doubts, told, window_doubts

STEADY = (12_200 * np.random.default_rng(0).normal(1, 0.02, 1000)).astype(np.int64)


def _sensors(**changes: Any) -> dict[str, Any]:
    cpu_times = {"busy": 100.0, "steal": 1.0, "tick": 0.01, "cpus": 2}
    return {"clock": 3_000_000_000, "throttled": 5, "cpu_times": cpu_times, "cpu": 10.0, "wall": 50.0, **changes}


def _later(*, busy: float = 1.0, steal: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A second later, in which the host took one CPU's second, and the CPUs were busy for as long."""
    cpu_times = {"busy": 100.0 + busy, "steal": 1.0 + steal, "tick": 0.01, "cpus": 2}
    return _sensors(**{"cpu_times": cpu_times, "cpu": 11.0, "wall": 51.0, **changes})


def _reply(*sensors: dict[str, Any], samples: NDArray[np.int64] = STEADY, **changes: Any) -> Measured:
    facts: dict[str, Any] = {
        "tensors": {"samples_ns": samples},
        "call_path": "Session.run",
        "warmup_calls": 10,
        "warmup_reason": "steady",
        "warmup_seconds": 0.1,
        "window_seconds": 1.0,
        "stop_reason": "budget",
        "relative_error": 0.01,
        "peak_memory": None,
        "peak_memory_since": "window",
        "rows_per_sample": 1,
        "sensors": sensors or (_sensors(), _later()),
        "clock_step": 40e-9,
    }
    return read_reply(Measured, {**facts, **changes})


def _texts(reply: Measured) -> list[str]:
    return [doubt.text for doubt in window_doubts(reply)]


def test_a_quiet_window_has_no_doubts() -> None:
    assert _texts(_reply()) == []


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ({"busy": 1.8}, "other programs took 40% of the usable CPUs' time; stop them"),
        ({"steal": 0.4}, "the hypervisor gave 20% of the CPUs' time to other guests"),
        ({"clock": 2_400_000_000}, "the clock went from 3.00 to 2.40 GHz while calls were timed; fix its frequency"),
        ({"throttled": 8}, "the CPU was slowed down for heat 3 times while calls were timed; cool it"),
    ],
)
def test_what_happened_meanwhile_is_told(later: dict[str, Any], expected: str) -> None:
    (text,) = _texts(_reply(_sensors(), _later(**later)))
    assert text.startswith(expected)


@pytest.mark.parametrize("absent", ["clock", "throttled", "cpu_times"])
def test_an_absent_sensor_says_nothing(absent: str) -> None:
    nothing: dict[str, Any] = {absent: None}
    assert _texts(_reply(_sensors(**nothing), _later(**nothing))) == []
    assert _texts(_reply(_sensors(), _later(**nothing))) == []


def test_what_ticks_blur_is_not_called_load() -> None:
    """In 50 ms a tick of 10 ms on each CPU is a fifth of the time."""
    assert _texts(_reply(_sensors(), _later(busy=0.07, cpu=10.05, wall=50.05))) == []


def test_a_coarse_clock_is_told() -> None:
    (text,) = _texts(_reply(clock_step=1e-6))
    assert text.startswith("the clock's step of 1000 ns is 8.2% of p50; measure a larger batch")
    (text,) = _texts(_reply(clock_step=1e-6, samples=np.zeros(50, dtype=np.int64)))
    assert "within one step of the clock" in text


def test_drift_and_modes_are_told() -> None:
    (text,) = _texts(_reply(samples=(STEADY * np.linspace(1, 1.3, 1000)).astype(np.int64)))
    assert text.startswith("latency rises by 2")
    mixed = np.where(np.random.default_rng(1).random(1000) < 0.4, 1.5, 1) * STEADY
    (text,) = _texts(_reply(samples=mixed.astype(np.int64)))
    assert text.startswith("calls have two modes: 4")
    assert "take 50% longer" in text


def test_how_the_machine_is_set_up_is_told() -> None:
    unknown = {"governor": "not available", "turbo": "not available"}
    assert machine_doubts(unknown, threads=1, cpus=None) == []
    assert machine_doubts({"governor": "performance", "turbo": False}, threads=2, cpus=[0, 1]) == []
    set_up = {"governor": "powersave", "turbo": True}
    texts = [doubt.text for doubt in machine_doubts(set_up, threads=4, cpus=[0, 1])]
    assert [text.split(";")[0].split(",")[0] for text in texts] == [
        "the CPU's frequency governor is powersave",
        "turbo is on",
        "4 threads share 2 usable CPUs",
    ]


def test_of_several_processes_the_worst_is_told_once_a_kind() -> None:
    windows = [[Doubt("load", 0.2, "20% load")], [], [Doubt("load", 0.5, "50% load"), Doubt("turbo", 0.0, "turbo")]]
    assert told(windows) == ["50% load (in 2 of 3 processes)", "turbo (in 1 of 3 processes)"]
    assert told(windows[:1]) == ["20% load"]


def _throttled(times: int) -> dict[str, Any]:
    return {"quota": {"quota": 0.5, "periods": 100 + 2 * times, "throttled": times, "seconds": 0.1}}


def test_a_quota_is_blamed_and_nothing_that_it_explains() -> None:
    bumpy = np.array([100_000, 900_000] * 500, dtype=np.int64)
    sensors = _sensors(**_throttled(0)), _later(**_throttled(20))
    (text,) = _texts(_reply(*sensors, samples=bumpy, warmup_reason="budget", warmup_seconds=5.0))
    assert text == (
        "a CPU quota of 0.5 CPUs stopped the process in 50% of its periods while calls were timed (20 times); raise "
        "the container's CPU limit, or use fewer threads"
    )


def test_a_quota_that_stopped_nothing_is_not_blamed() -> None:
    assert _texts(_reply(_sensors(**_throttled(3)), _later(**_throttled(3)))) == []


def test_more_threads_than_the_quota_has_cpus_are_told() -> None:
    machine = {"governor": "performance", "turbo": False, "cpu_quota": 1.5}
    (doubt,) = machine_doubts(machine, threads=2, cpus=[0, 1])
    assert doubt.text.startswith("2 threads share a CPU quota of 1.5 CPUs;")
