"""What else happened on the machine while calls were timed: counters read before and after, never in between."""

import os
import time
from typing import Any, Dict, List, Optional

_CPU = "/sys/devices/system/cpu"
_STEPS = 200
_THREAD_VARIABLES = ("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "NUMEXPR_", "BLIS_", "TBB_", "VECLIB_")


def usable_cpus() -> Optional[List[int]]:
    """The CPUs this process may run on, sorted; ``None`` where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))


def thread_variables() -> Dict[str, str]:
    """The environment variables by which thread pools take their size and place, as this process sees them."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_THREAD_VARIABLES)}


def _text(path: str) -> Optional[str]:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return None


def _number(path: str) -> Optional[int]:
    text = _text(path)
    return int(text) if text is not None and text.isdigit() else None


def _cpu_times(cpus: Optional[List[int]]) -> Optional[Dict[str, float]]:
    """Seconds, over these CPUs, in which they did something (``busy``) and in which a hypervisor gave them to others
    (``steal``), by /proc/stat; the kernel counts in ``tick`` seconds.
    """
    text = _text("/proc/stat")
    if text is None or cpus is None:
        return None
    wanted = {"cpu{}".format(cpu) for cpu in cpus}
    tick = 1.0 / os.sysconf("SC_CLK_TCK")
    busy = steal = 0
    seen = 0
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0] not in wanted:
            continue
        # user nice system idle iowait irq softirq steal; guests' time is in user and nice already. See proc(5).
        counts = [int(field) for field in fields[1:9]]
        seen += 1
        busy += sum(counts[:3]) + sum(counts[5:7])
        steal += sum(counts[7:8])
    return {"busy": busy * tick, "steal": steal * tick, "tick": tick, "cpus": seen} if seen else None


def _clock_hertz() -> Optional[int]:
    """Of the CPU this thread runs on: it is awake, and its clock is the one that calls run at."""
    text = _text("/proc/self/stat")
    if text is None:
        return None
    # Field 39; the name, field 2, may hold blanks and ends at the last parenthesis.
    cpu = text.rpartition(")")[2].split()[36]
    kilohertz = _number("{}/cpu{}/cpufreq/scaling_cur_freq".format(_CPU, cpu))
    return kilohertz * 1000 if kilohertz else None


def _throttled(cpus: Optional[List[int]]) -> Optional[int]:
    """How often these CPUs, or their packages, were slowed down for heat since the machine started."""
    counts = [
        _number("{}/cpu{}/thermal_throttle/{}_throttle_count".format(_CPU, cpu, what))
        for cpu in cpus or []
        for what in ("core", "package")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _cgroups(root: str = "") -> List[str]:
    """Folders of this process's control groups that can limit its CPU time: its own first, then those above it.

    Of version 2, or of version 1's ``cpu`` controller. Inside a container the path that /proc tells may be the host's,
    of which only the root can be seen. Source: the kernel's admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
    """
    folders = []  # type: List[str]
    for line in (_text(root + "/proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        elif "cpu" in controllers.split(","):
            mounts = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/" + controllers]
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for mount in mounts:
            for depth in range(len(parts), -1, -1):
                folder = "/".join([root + mount] + parts[:depth])
                if os.path.isdir(folder) and folder not in folders:
                    folders.append(folder)
    return folders


def _limit(folder: str) -> Optional[float]:
    """CPUs' worth of time that one control group may take; ``None`` where it is not limited."""
    quota, period = (_text(folder + "/cpu.max") or "").partition(" ")[::2]
    if not quota:
        quota = _text(folder + "/cpu.cfs_quota_us") or ""
        period = _text(folder + "/cpu.cfs_period_us") or ""
    # "max", and -1 in version 1, stand for no limit.
    return int(quota) / float(period) if quota.isdigit() and period.isdigit() and int(period) else None


def cpu_quota(root: str = "") -> Optional[float]:
    """CPUs' worth of time that this process's control groups let it have, the least of all; ``None`` without a limit.

    :param root: what stands before /proc and /sys.
    """
    limits = [limit for limit in map(_limit, _cgroups(root)) if limit is not None]
    return min(limits) if limits else None


def _throttling(root: str = "") -> Optional[Dict[str, Any]]:
    """How often a quota stopped this process so far; ``None`` where there is no quota or the kernel does not count.

    Keys: ``quota`` in CPUs, ``periods`` that were enforced, ``throttled``, those of them in which it was stopped, and
    ``seconds`` for which, summed over CPUs. All of the group that was stopped most.
    """
    found = None  # type: Optional[Dict[str, Any]]
    for folder in _cgroups(root):
        limit = _limit(folder)
        pairs = [line.split() for line in (_text(folder + "/cpu.stat") or "").splitlines()]
        counts = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
        # A group without a quota of its own cannot have stopped anyone, whatever its file counts.
        if limit is None or "nr_throttled" not in counts:
            continue
        # Version 1 counts in nanoseconds.
        seconds = counts.get("throttled_usec", counts.get("throttled_time", 0) / 1e3) / 1e6
        if found is None or counts["nr_throttled"] > found["throttled"]:
            found = {
                "quota": limit,
                "periods": counts.get("nr_periods", 0),
                "throttled": counts["nr_throttled"],
                "seconds": seconds,
            }
    return found


def read_sensors() -> Dict[str, Any]:
    """A reading, builtin types only; ``None`` stands for what this machine does not tell.

    Keys: ``wall`` and ``cpu`` (seconds of this process's threads), ``cpu_times``, ``clock`` in Hz, ``throttled`` (for
    heat), ``quota`` (as of a control group's).
    """
    cpus = usable_cpus()
    return {
        "clock": _clock_hertz(),
        "throttled": _throttled(cpus),
        "quota": _throttling(),
        "cpu_times": _cpu_times(cpus),
        "cpu": time.process_time(),
        "wall": time.perf_counter(),
    }


def clock_step() -> float:
    """Seconds by which the clock that times calls moves at the least, from one reading to the next that differs: its
    resolution, or what reading it costs where that is more."""
    clock = time.perf_counter
    least = float("inf")
    for _ in range(_STEPS):
        start = clock()
        now = clock()
        while now == start:
            now = clock()
        # The least of many: a longer one was interrupted.
        least = min(least, now - start)
    return least
