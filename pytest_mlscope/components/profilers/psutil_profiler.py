"""CPU, threads and memory of the predictor host, as the operating system counts them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mlscope.components.profilers.base import MeasuredWindow, Profiler, Reading
from pytest_mlscope.components.profilers.sampling import Sampler, Samples, summarise

if TYPE_CHECKING:
    import psutil

_INTERVAL = 0.05
# Finding child processes walks over every process of the machine: too dear to do each time.
_CHILDREN_EVERY = 20


def _may_have_children(pid: int) -> bool:
    """Whether it is worth looking for child processes; the kernel's own lists, where there are any, cost little."""
    try:
        lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return not lists or any(each.read_bytes() for each in lists)
    except OSError:
        return True


class PsutilProfiler(Profiler):
    """Samples the host and its child processes every 50 ms: CPU time (100 % is one core), threads, resident memory.

    CPU is counted from sample to sample; the kernel keeps it in ticks of 10 ms, so single samples are coarse. Memory
    that processes share is counted once for each.

    Its peak is not the latency's ``peak_memory``, which the kernel keeps of the host alone and from when the inputs are
    bound: this one is of more processes, begins earlier, and sees nothing between samples.
    """

    name = "psutil"

    def __init__(self) -> None:
        self._sampler: Sampler | None = None
        self._absent = "the window was too short to sample"
        self._cpu: Samples = []
        self._cpu_spent = 0.0
        self._cpu_seconds = 0.0
        self._threads: Samples = []
        self._memory: Samples = []

    def start(self, window: MeasuredWindow) -> None:
        import psutil

        try:
            self._host = psutil.Process(window.host_pid)
        except psutil.Error as error:
            self._absent = str(error)
            return
        self._processes = [self._host]
        self._calls = 0
        self._before: tuple[float, dict[int, float]] | None = None
        # Kept, since psutil is imported only here, and the thread needs its class.
        self._gone = psutil.Error
        self._sampler = Sampler(self._sample, interval=_INTERVAL, name="mlscope-psutil")

    def _sample(self, seconds: float) -> bool:
        if self._calls % _CHILDREN_EVERY == 0 and _may_have_children(self._host.pid):
            self._processes = [self._host, *self._children()]
        self._calls += 1
        cpu_seconds: dict[int, float] = {}
        threads, memory = 0, 0
        for process in self._processes:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    threads += process.num_threads()
                    memory += process.memory_info().rss
                cpu_seconds[process.pid] = times.user + times.system
            except self._gone:
                # A child may end at any time; without the host there is nothing left to watch.
                if process is self._host:
                    return False
        self._threads.append((seconds, float(threads)))
        self._memory.append((seconds, float(memory)))
        self._add_cpu(seconds, cpu_seconds)
        return True

    def _add_cpu(self, seconds: float, cpu_seconds: dict[int, float]) -> None:
        if self._before is None:
            self._before = (seconds, cpu_seconds)
            return
        began, used_before = self._before
        if seconds - began < _INTERVAL / 2 and self._cpu:
            return  # a tick is a large part of so short a time
        # A process that ended or began in between has no difference.
        spent = sum(cpu_seconds[pid] - used for pid, used in used_before.items() if pid in cpu_seconds)
        self._cpu.append((seconds, 100.0 * spent / (seconds - began)))
        self._cpu_spent += spent
        self._cpu_seconds += seconds - began
        self._before = (seconds, cpu_seconds)

    def _children(self) -> list[psutil.Process]:
        try:
            return self._host.children(recursive=True)
        except self._gone:
            return []

    def _mean_cpu(self) -> float | None:
        """Over the whole window: samples differ in length."""
        return 100.0 * self._cpu_spent / self._cpu_seconds if self._cpu_seconds else None

    def stop(self) -> Sequence[Reading]:
        if self._sampler is not None:
            self._sampler.stop()
        return [
            *summarise("cpu", "%", self._cpu, absent=self._absent, mean=self._mean_cpu()),
            # The peak alone: a mean number of threads means nothing.
            summarise("threads", "", self._threads, absent=self._absent)[1],
            *summarise("tree rss", "B", self._memory, absent=self._absent),
        ]
