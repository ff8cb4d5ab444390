"""What casts doubt on a latency: each a line that says how much, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.hosts import Measured, OpenedBlocks, OpenedServer, Sensors
from pytest_mlscope.measurements.latency.drift import relative_drift
from pytest_mlscope.measurements.latency.modes import two_modes

OTHER_LOAD = 0.10
"""Share of the usable CPUs' time that others may take before it is worth a line."""
STOLEN = 0.02
CLOCK_CHANGE = 0.03
CLOCK_STEP = 0.01
"""Part of the median below which the clock's step is no matter."""
GOVERNOR = "performance"
QUOTA = "quota"
_QUOTA_EXPLAINS = ("warm-up", "drift rises", "drift falls", "modes")


@dataclass(frozen=True)
class Doubt:
    """One reason to trust a window's figures less."""

    kind: str
    size: float
    """How bad: of several of a kind, the largest is told."""
    text: str


def _load(before: Sensors, after: Sensors) -> Iterator[Doubt]:
    first, last = before.cpu_times, after.cpu_times
    room = after.wall - before.wall
    # Where the number of CPUs changed meanwhile, the two readings are sums over different CPUs.
    if first is None or last is None or first.cpus != last.cpus or room <= 0:
        return
    cpus = last.cpus
    room *= cpus
    # Each counter may be a tick behind, at either end.
    blur = 2 * last.tick * cpus
    # The host's own threads are among the busy ones.
    others = last.busy - first.busy - (after.cpu - before.cpu)
    if (others - blur) / room > OTHER_LOAD:
        share = min(others / room, 1.0)
        yield Doubt(
            "load",
            share,
            f"other programs took {share * 100:.0f}% of the usable CPUs' time; stop them and measure again",
        )
    stolen = last.steal - first.steal
    if (stolen - blur) / room > STOLEN:
        share = min(stolen / room, 1.0)
        text = f"the hypervisor gave {share * 100:.0f}% of the CPUs' time to other guests; use a machine of your own"
        yield Doubt("steal", share, text)


def _quota(before: Sensors, after: Sensors) -> Iterator[Doubt]:
    first, last = before.quota, after.quota
    if first is None or last is None:
        return
    times = last.throttled - first.throttled
    if times > 0:
        periods = last.periods - first.periods
        # Between two reads of a file the kernel may have counted one and not the other.
        share = min(times / periods, 1.0) if periods > 0 else 1.0
        yield Doubt(
            QUOTA,
            share,
            f"a CPU quota of {last.quota:.3g} CPUs stopped the process in {share * 100:.0f}% of its periods while "
            f"calls were timed ({times} times); raise the container's CPU limit, or use fewer threads",
        )


def _clock(before: Sensors, after: Sensors) -> Iterator[Doubt]:
    first, last = before.clock, after.clock
    if first and last and abs(last / first - 1) > CLOCK_CHANGE:
        change = abs(last / first - 1)
        text = (
            f"the clock went from {first / 1e9:.2f} to {last / 1e9:.2f} GHz while calls were timed; fix its frequency "
            f"(governor {GOVERNOR}, turbo off)"
        )
        yield Doubt("clock", change, text)
    if before.throttled is not None and after.throttled is not None:
        times = after.throttled - before.throttled
        if times > 0:
            text = f"the CPU was slowed down for heat {times} times while calls were timed; cool it, or lower its clock"
            yield Doubt("heat", float(times), text)


def _sample(samples: NDArray[np.integer[Any]], step: float) -> Iterator[Doubt]:
    median = float(np.median(samples)) / 1e9
    if median > 0 and step / median > CLOCK_STEP:
        share = step / median
        text = f"the clock's step of {step * 1e9:.0f} ns is {share * 100:.1f}% of p50; measure a larger batch"
        yield Doubt("step", share, text)
    elif not median > 0:
        yield Doubt("step", 1.0, "most calls end within one step of the clock; measure a larger batch")
    if drift := relative_drift(samples):
        rises = "rises" if drift > 0 else "falls"
        text = (
            f"latency {rises} by {abs(drift) * 100:.0f}% from the window's beginning to its end; raise "
            "measurement.warmup_budget, or look for heat and other load"
        )
        yield Doubt(f"drift {rises}", abs(drift), text)
    if modes := two_modes(samples, step=step):
        apart = modes.slow / modes.fast - 1
        text = (
            f"calls have two modes: {modes.slow_share * 100:.0f}% take {apart * 100:.0f}% longer than the others; look "
            "for a changing clock or other load, and read p50 with p90"
        )
        yield Doubt("modes", apart, text)


def warm_up_doubts(warm: Measured | OpenedBlocks | OpenedServer) -> list[Doubt]:
    """Of how a model was warmed up."""
    doubts = []
    if warm.warmup_reason != "steady":
        seconds = warm.warmup_seconds
        text = f"not steady after {seconds:.2g} s of warm-up; raise measurement.warmup_budget"
        doubts.append(Doubt("warm-up", seconds, text))
    if warm.peak_memory_since == "start":
        doubts.append(Doubt("memory", 0.0, "peak memory is since the host started"))
    return doubts


def window_doubts(window: Measured) -> list[Doubt]:
    """Of one measured window. What the machine does not tell gives none."""
    doubts = [
        *warm_up_doubts(window),
        *counter_doubts(window.sensors),
        *_sample(window.samples_ns, window.clock_step),
    ]
    if any(doubt.kind == QUOTA for doubt in doubts):
        # A process that is stopped now and then shows these as well, and their advice would not help.
        return [doubt for doubt in doubts if doubt.kind not in _QUOTA_EXPLAINS]
    return doubts


def counter_doubts(sensors: tuple[Sensors, Sensors]) -> list[Doubt]:
    """:param sensors: read just before and just after."""
    before, after = sensors
    return [*_quota(before, after), *_load(before, after), *_clock(before, after)]


def machine_doubts(machine: Mapping[str, Any], *, threads: object, cpus: Sequence[int] | None) -> list[Doubt]:
    """Of how the machine is set up.

    :param machine: as of :func:`~pytest_mlscope.machine.facts.machine_facts`.
    :param threads: compute threads asked for; no number where it was the framework's to choose.
    :param cpus: those that the host may run on; ``None`` where unknown.
    """
    doubts = []
    governor = machine["governor"]
    # A machine that does not tell, such as most virtual ones, gives no reason to doubt.
    if governor not in (GOVERNOR, "not available"):
        doubts.append(Doubt("governor", 0.0, f"the CPU's frequency governor is {governor}; set {GOVERNOR}"))
    if machine["turbo"] is True:
        text = "turbo is on, so the clock depends on heat and on what other cores do; turn it off to compare runs"
        doubts.append(Doubt("turbo", 0.0, text))
    if isinstance(threads, int) and cpus is not None and threads > len(cpus):
        text = f"{threads} threads share {len(cpus)} usable CPUs; ask for fewer, or usable CPUs for more"
        doubts.append(Doubt("threads", threads / len(cpus), text))
    quota = machine.get("cpu_quota")
    if isinstance(threads, int) and quota is not None and threads > quota:
        who, fewer = (f"{threads} threads share", "ask for fewer, or ") if threads > 1 else ("1 thread has", "")
        text = f"{who} a CPU quota of {quota:.3g} CPUs; {fewer}raise the container's limit"
        doubts.append(Doubt("quota threads", threads / quota, text))
    return doubts


def told(windows: Sequence[Sequence[Doubt]]) -> list[str]:
    """One line a kind, the worst of all windows; of several windows, in how many."""
    by_kind: dict[str, list[Doubt]] = {}
    for window in windows:
        for doubt in window:
            by_kind.setdefault(doubt.kind, []).append(doubt)
    lines = []
    for doubts in by_kind.values():
        # One line of a kind: with restarts each process would otherwise repeat the same.
        worst = max(doubts, key=lambda doubt: doubt.size)
        some = f" (in {len(doubts)} of {len(windows)} processes)" if len(windows) > 1 else ""
        lines.append(worst.text + some)
    return lines
