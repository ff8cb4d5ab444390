"""Which CPUs a predictor host runs on."""

from __future__ import annotations

import os
import random
import time

import psutil

from pytest_mlscope.cases import Plan
from pytest_mlscope.components import format_cpu_list, parse_cpu_list
from pytest_mlscope.errors import CannotRun

Affinity = tuple[int, ...] | None
"""CPU numbers, sorted; ``None`` leaves a host where this process runs."""

_LOOK_SECONDS = 0.05
_TICK_SECONDS = 0.015
"""What idle times differ by for having been read between two ticks of 10 ms."""


def why_not_here(cpus: tuple[int, ...]) -> str | None:
    """Why this process cannot have a host run on these CPUs; ``None`` where it can."""
    if not hasattr(os, "sched_setaffinity"):
        return "this system cannot pin a process to CPUs"
    usable = os.sched_getaffinity(0)
    lacking = [cpu for cpu in cpus if cpu not in usable]
    if not lacking:
        return None
    return f"CPU {format_cpu_list(lacking)} is not usable here; usable: {format_cpu_list(usable)}"


def least_busy_cpu(coin: random.Random) -> Affinity:
    """The CPU that was idle most just now, one of those by chance; ``None`` where a process cannot be pinned."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    before = psutil.cpu_times(percpu=True)
    time.sleep(_LOOK_SECONDS)
    after = psutil.cpu_times(percpu=True)
    # Offline CPUs leave gaps in the numbers, and then a place in the list says nothing.
    if not usable[-1] < len(before) == len(after):
        return (coin.choice(usable),)
    idle = {cpu: after[cpu].idle - before[cpu].idle for cpu in usable}
    idlest = max(idle.values())
    # By chance: the first of equals would be the same CPU in every pair.
    return (coin.choice([cpu for cpu in usable if idle[cpu] >= idlest - _TICK_SECONDS]),)


def needs_one_cpu(plan: Plan) -> bool:
    """Whether it predicts with one thread, on a CPU."""
    return plan.case.threads == 1 and plan.target.is_a("cpu")


def affinity_of(plan: Plan, *, chosen: Affinity) -> Affinity:
    """What the run chose, else what the manifest says.

    :raises CannotRun: when this machine does not have those CPUs.
    """
    stated = plan.measurement.affinity
    cpus = chosen if chosen is not None or stated is None else parse_cpu_list(stated)
    if cpus is not None and (reason := why_not_here(cpus)):
        # Named as the one who chose calls it: a field of the manifest, or the option.
        raise CannotRun(f"measurement.affinity: {reason}" if chosen is None else f"affinity: {reason}")
    return cpus
