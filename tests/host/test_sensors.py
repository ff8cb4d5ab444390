"""What the host reads of its machine; the numbers are the machine's, so only what must hold anywhere is asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_mlscope.host import sensors
from pytest_mlscope.host.sensors import clock_step, read_sensors, thread_variables, usable_cpus


def test_a_reading_travels_as_json_and_never_runs_backwards() -> None:
    before, after = read_sensors(), read_sensors()
    assert json.loads(json.dumps(before)) == before
    assert after["wall"] > before["wall"]
    assert after["cpu"] >= before["cpu"]
    if before["cpu_times"] is not None:
        assert after["cpu_times"]["busy"] >= before["cpu_times"]["busy"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files by path, in place of the machine's."""
    files: dict[str, str] = {}
    monkeypatch.setattr(sensors, "_text", files.get)
    monkeypatch.setattr(sensors, "usable_cpus", lambda: [1, 2])
    return files


def test_only_usable_cpus_count(machine: dict[str, str]) -> None:
    """Of /proc/stat, only the lines of CPUs that this process may use are summed."""
    machine["/proc/stat"] = (
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 500 0 0 0 0 0 0 500 0 0\n"
        "cpu1 100 20 30 4000 500 6 7 80 11 0\ncpu2 1 0 0 0 0 0 0 2 0 0\nintr 5\n"
    )
    times: dict[str, Any] = read_sensors()["cpu_times"]
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert times == {
        "busy": pytest.approx(164 * tick),
        "steal": pytest.approx(82 * tick),
        "tick": tick,
        "cpus": 2,
    }


def test_the_clock_is_the_running_cpus(machine: dict[str, str]) -> None:
    """The CPU is field 39 of /proc/self/stat, whatever a process is called."""
    fields = " ".join(str(number) for number in range(3, 53))
    machine["/proc/self/stat"] = f"123 (python ) 3) {fields}"
    machine["/sys/devices/system/cpu/cpu39/cpufreq/scaling_cur_freq"] = "2400000"
    assert read_sensors()["clock"] == 2_400_000_000


def test_throttling_is_summed(machine: dict[str, str]) -> None:
    """Cores and packages count, of usable CPUs alone."""
    machine["/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count"] = "3"
    machine["/sys/devices/system/cpu/cpu2/thermal_throttle/package_throttle_count"] = "4"
    machine["/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"] = "50"
    assert read_sensors()["throttled"] == 7


def test_what_a_machine_does_not_tell_is_none_and_never_0(machine: dict[str, str]) -> None:
    reading = read_sensors()
    assert (reading["clock"], reading["throttled"], reading["cpu_times"]) == (None, None, None)


def test_the_clock_moves() -> None:
    assert 0 < clock_step() < 0.1


def test_thread_variables_and_cpus_are_this_processs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_variables()["OMP_NUM_THREADS"] == "3"
    assert "PATH" not in thread_variables()
    if Path("/proc").exists():
        assert usable_cpus() == sorted(os.sched_getaffinity(0))


def _group(root: Path, kind: str, lines: str, **files: str) -> None:
    """A control group's folder under ``root``, and the process's line that names it."""
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(lines)
    folder = root / "sys/fs/cgroup" / kind
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_quota_of_a_container_is_read_where_its_root_is_all_there_is_to_see(tmp_path: Path) -> None:
    _group(tmp_path, "", "0::/docker/abc\n", cpu__max="50000 100000\n")
    assert sensors.cpu_quota(str(tmp_path)) == 0.5
    assert sensors._throttling(str(tmp_path)) is None  # the kernel does not count


def test_the_least_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    stat = "usage_usec 9\nnr_periods 40\nnr_throttled {}\nthrottled_usec 1500000\n"
    lines = "0::/a/b\n"
    _group(tmp_path, "a/b", lines, cpu__max="max 100000\n", cpu__stat=stat.format(0))
    _group(tmp_path, "a", lines, cpu__max="150000 100000\n", cpu__stat=stat.format(7))
    assert sensors.cpu_quota(str(tmp_path)) == 1.5
    assert sensors._throttling(str(tmp_path)) == {"quota": 1.5, "periods": 40, "throttled": 7, "seconds": 1.5}


def test_version_1_of_control_groups_is_read(tmp_path: Path) -> None:
    files = {"cpu__cfs_quota_us": "200000\n", "cpu__cfs_period_us": "100000\n"}
    stat = "nr_periods 9\nnr_throttled 2\nthrottled_time 250000000\n"
    _group(tmp_path, "cpu,cpuacct/job", "12:pids:/x\n4:cpu,cpuacct:/job\n0::/x\n", cpu__stat=stat, **files)
    assert sensors.cpu_quota(str(tmp_path)) == 2.0
    assert sensors._throttling(str(tmp_path)) == {"quota": 2.0, "periods": 9, "throttled": 2, "seconds": 0.25}


@pytest.mark.parametrize("text", ["max 100000\n", "", "50000 0\n", "rubbish\n"])
def test_what_is_no_limit_is_none(tmp_path: Path, text: str) -> None:
    _group(tmp_path, "", "0::/\n", cpu__max=text)
    assert sensors.cpu_quota(str(tmp_path)) is None


def test_version_1_without_a_limit_is_none(tmp_path: Path) -> None:
    _group(tmp_path, "cpu", "4:cpu:/\n", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert sensors.cpu_quota(str(tmp_path)) is None
