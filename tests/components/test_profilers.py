"""Profilers: what they see of a process and of a GPU."""

from __future__ import annotations

import subprocess
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pytest_mlscope.components.profilers.base import MeasuredWindow, Profiler, Reading
from pytest_mlscope.components.profilers.nvml_profiler import NvmlProfiler
from pytest_mlscope.components.profilers.psutil_profiler import PsutilProfiler
from pytest_mlscope.components.profilers.sampling import Sampler

_BUSY = """
import sys, threading, time
block = bytearray(50 * 2**20)
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
while True:
    pass
"""


def _window(pid: int, hardware: str = "cpu", device: str = "CPU") -> MeasuredWindow:
    return MeasuredWindow(host_pid=pid, hardware=hardware, device=device, case_id="case")


def _by_name(readings: Sequence[Reading]) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}


@pytest.fixture
def busy() -> Iterator[int]:
    """The pid of a process with two threads, 50 MB and one busy core."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.kill()
    process.wait()
    process.stdout.close()


def _wait_for_samples(profiler: Profiler, count: int) -> None:
    enough = threading.Event()
    seen = 0
    sampler: Any = vars(profiler)["_sampler"]
    sample = sampler._sample

    def counted(seconds: float) -> bool:
        nonlocal seen
        seen += 1
        if seen >= count:
            enough.set()
        return bool(sample(seconds))

    sampler._sample = counted
    assert enough.wait(30)


def test_psutil_sees_the_hosts_cpu_threads_and_memory(busy: int) -> None:
    profiler = PsutilProfiler()
    profiler.start(_window(busy))
    _wait_for_samples(profiler, 5)
    seen = _by_name(profiler.stop())
    assert list(seen) == [
        *("cpu mean", "cpu peak", "threads peak", "tree rss mean", "tree rss peak"),
    ]
    values = {name: reading.value or 0.0 for name, reading in seen.items()}
    assert values["cpu mean"] > 0
    assert values["threads peak"] == 2
    assert 50 * 2**20 <= values["tree rss mean"] <= values["tree rss peak"] < 2**30
    samples = seen["tree rss peak"].samples
    assert len(samples) >= 5
    assert [time for time, _ in samples] == sorted(time for time, _ in samples)


def test_psutil_counts_child_processes() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_BUSY!r}])"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    try:
        parent.stdout.readline()
        profiler = PsutilProfiler()
        profiler.start(_window(parent.pid))
        _wait_for_samples(profiler, 2)
        seen = _by_name(profiler.stop())
        assert (seen["threads peak"].value or 0) >= 3
    finally:
        import psutil

        for child in psutil.Process(parent.pid).children():
            child.kill()
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_psutil_survives_a_host_that_ends(busy: int) -> None:
    """A crash in the window is the case's failure, not the profiler's."""
    import psutil

    profiler = PsutilProfiler()
    profiler.start(_window(busy))
    psutil.Process(busy).kill()
    assert _by_name(profiler.stop())["threads peak"].value == 2


def test_psutil_without_a_process_has_no_readings() -> None:
    profiler = PsutilProfiler()
    profiler.start(_window(2**22 + 1))
    readings = profiler.stop()
    assert {reading.value for reading in readings} == {None}
    assert all(reading.note.startswith("process PID not found") for reading in readings)


def test_a_sampler_samples_at_both_ends_and_stops_when_told() -> None:
    """A window shorter than the interval still has two samples, and no thread is left."""
    times: list[float] = []

    def sample(seconds: float) -> bool:
        times.append(seconds)
        return True

    sampler = Sampler(sample, interval=1000, name="test-sampler")
    sampler.stop()
    assert len(times) == 2
    assert times[0] == 0.0
    assert not [thread for thread in threading.enumerate() if thread.name == "test-sampler"]


def test_a_sensor_that_hangs_ends_the_readings_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mlscope.components.profilers.sampling.PATIENCE", 0.05)
    hanging, released = threading.Event(), threading.Event()
    times: list[float] = []

    def sample(seconds: float) -> bool:
        times.append(seconds)
        if len(times) == 2:
            hanging.set()
            released.wait()
        return True

    sampler = Sampler(sample, interval=0.001, name="test-sampler")
    hanging.wait()
    sampler.stop()
    assert len(times) == 2
    released.set()


class _NvmlError(Exception):
    pass


class _Nvml(types.ModuleType):
    """A driver with two GPUs, the second of which has no power sensor; named as nvidia-ml-py names things."""

    NVMLError = _NvmlError
    NVML_CLOCK_SM = 1

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.open = 0
        self.names = ["NVIDIA A100", "NVIDIA A100"]

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's own name
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802  # likewise
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802  # likewise
        return len(self.names)

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802  # likewise
        return self.names[handle]

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802  # likewise
        if index > 1:
            raise _NvmlError("Invalid Argument")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802  # likewise
        return {"GPU-a": 0, "GPU-b": 1}[uuid]

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802  # likewise
        if handle == 1:
            raise _NvmlError("Not Supported")
        return 71_500

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802  # likewise
        return types.SimpleNamespace(gpu=40 + handle)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802  # likewise
        return types.SimpleNamespace(used=2**30)

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> int:  # noqa: N802  # likewise
        return 1410


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> _Nvml:
    module = _Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    return module


def _profiled(device: str, hardware: str = "cuda") -> dict[str, Reading]:
    profiler = NvmlProfiler()
    profiler.start(_window(1, hardware, device))
    return _by_name(profiler.stop())


def test_nvml_readings_have_their_units(nvml: _Nvml) -> None:
    seen = _profiled("CUDAExecutionProvider")
    assert {(reading.name, reading.unit, reading.value) for reading in seen.values()} == {
        *((f"gpu power {which}", "W", 71.5) for which in ("mean", "peak")),
        *((f"gpu utilisation {which}", "%", 40.0) for which in ("mean", "peak")),
        *((f"gpu memory {which}", "B", float(2**30)) for which in ("mean", "peak")),
        *((f"gpu sm clock {which}", "MHz", 1410.0) for which in ("mean", "peak")),
    }
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("device", "visible", "utilisation"),
    [("cuda", None, 40), ("cuda:1", None, 41), ("cuda:0", "1", 41), ("cuda:1", "1,0", 40), ("cuda", "GPU-b", 41)],
)
def test_nvml_watches_the_device_the_framework_sees(
    nvml: _Nvml, monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, utilisation: int
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _profiled(device)["gpu utilisation mean"].value == utilisation


@pytest.mark.parametrize("visible", [None, "0"])
def test_no_gpu_is_taken_for_another_where_cuda_may_number_them_otherwise(
    nvml: _Nvml, monkeypatch: pytest.MonkeyPatch, visible: str | None
) -> None:
    """CUDA's number 0 is the fastest GPU, the driver's the one on the first slot: the readings would be another's."""
    nvml.names = ["NVIDIA T400", "NVIDIA A100"]
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    notes = {(reading.value, reading.note) for reading in _profiled("cuda").values()}
    assert notes == {
        (
            None,
            "the GPUs differ (NVIDIA T400, NVIDIA A100), and CUDA numbers them in an order of its own; set "
            "CUDA_DEVICE_ORDER=PCI_BUS_ID, or list UUIDs in CUDA_VISIBLE_DEVICES (nvidia-smi -L shows them)",
        )
    }
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert _profiled("cuda")["gpu utilisation mean"].value == 40
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert _profiled("cuda")["gpu utilisation mean"].value == 41


def test_one_absent_sensor_leaves_the_others(nvml: _Nvml) -> None:
    seen = _profiled("cuda:1")
    assert seen["gpu power mean"].value is None
    assert seen["gpu power mean"].note == "Not Supported"
    assert seen["gpu memory peak"].value == 2**30


@pytest.mark.parametrize(
    ("device", "visible", "note"),
    [
        ("cuda:7", None, "Invalid Argument"),
        ("cuda:1", "0", "CUDA_VISIBLE_DEVICES=0 has no device 1"),
    ],
)
def test_what_is_not_there_is_not_available(
    nvml: _Nvml, monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, note: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    seen = _profiled(device)
    assert {(reading.value, reading.note) for reading in seen.values()} == {(None, note)}
    assert nvml.open == 0


def test_nvml_has_nothing_to_say_of_other_hardware(nvml: _Nvml) -> None:
    assert _profiled("CPU", hardware="cpu") == {}
    assert nvml.open == 0


def test_without_the_library_nvml_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install 'pytest-mlscope[nvidia]'" in _profiled("cuda")["gpu power mean"].note
