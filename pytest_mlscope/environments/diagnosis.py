"""What is well and what is not on this machine, for everything but frameworks and hardware targets."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_mlscope.environments.interpreters import interpreters
from pytest_mlscope.environments.package_index import index_answer
from pytest_mlscope.environments.package_installer import find_uv
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine import (
    NOT_AVAILABLE,
    artifacts_folder,
    environments_folder,
    file_lock,
    leases_folder,
    machine_facts,
    revisions_folder,
    writable_folder,
)

Severity = Literal["ok", "warning", "problem"]

_LITTLE_BYTES = 5 * 10**9
"""What the largest of the shipped environments takes while it is made."""
# A thousandth of a millisecond, below which the advice calls latencies too coarse.
_COARSE_SECONDS = 1e-6
_PLACED = 3
"""Interpreters whose paths are told, too."""


@dataclass(frozen=True)
class Diagnosis:
    """One thing looked at."""

    severity: Severity
    """``problem`` where the product cannot work."""
    subject: str
    text: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""


def _interpreters() -> Iterator[Diagnosis]:
    found: dict[str, Path] = {}
    able = False
    for interpreter in interpreters():
        found.setdefault(interpreter.version, interpreter.path)
        able = able or interpreter.makes_environments
    versions = list(found)
    listed = ", ".join([*(f"{each} ({found[each]})" for each in versions[:_PLACED]), *versions[_PLACED:]])
    yield Diagnosis("ok", "interpreters", listed)
    uv = find_uv()
    if uv:
        yield Diagnosis("ok", "installer", f"uv ({' '.join(uv.command)})")
    elif able:
        yield Diagnosis("warning", "installer", "venv and pip; uv is ten times faster", "pip install uv")
    else:
        advice = "pip install uv, or install your system's python3-venv"
        yield Diagnosis("problem", "installer", "neither uv nor a Python with venv: no environment can be made", advice)


def _shown(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            # lstat: what a link leads to is counted where it is, or is not ours.
            total += path.lstat().st_size
        except OSError:
            continue  # Removed meanwhile.
    return total


def _cache(home: Path) -> Iterator[Diagnosis]:
    try:
        writable_folder(home)
    except MlscopeError as error:
        yield Diagnosis("problem", "cache", str(error))
        return
    free = shutil.disk_usage(home).free
    files = _size(artifacts_folder(home)) + _size(revisions_folder(home))
    sizes = f"environments {_shown(_size(environments_folder(home)))}, files {_shown(files)}"
    text = f"{home}: {sizes}; {_shown(free)} free"
    if free < _LITTLE_BYTES:
        advice = "`mlscope env list` shows what takes room, `mlscope cache clear` frees files"
        yield Diagnosis("warning", "cache", f"{text}, and an environment may take {_shown(_LITTLE_BYTES)}", advice)
    else:
        yield Diagnosis("ok", "cache", text)


def _index() -> Iterator[Diagnosis]:
    place, reason = index_answer()
    if reason is None:
        yield Diagnosis("ok", "package index", place)
    else:
        advice = "environments that are there still work; look at the network, or at `pip config list`"
        yield Diagnosis("warning", "package index", f"{place}: {reason}", advice)


def _leases() -> Iterator[Diagnosis]:
    try:
        folder = leases_folder()
        # Tried, since network file systems may make files and refuse to lock them.
        with tempfile.NamedTemporaryFile(dir=folder, prefix="doctor-") as probe, file_lock(Path(probe.name)):
            pass
    except MlscopeError as error:
        yield Diagnosis("problem", "device leases", str(error))
    except OSError as error:
        text = f"{folder}: files there cannot be locked: {error.strerror}"
        yield Diagnosis("problem", "device leases", text, "set MLSCOPE_LEASES to a folder on a local disk")
    else:
        yield Diagnosis("ok", "device leases", str(folder))


def _smallest_step() -> float:
    """Seconds between two readings of the clock that differ."""
    steps = []
    for _ in range(100):
        first = second = time.perf_counter_ns()
        while second == first:
            second = time.perf_counter_ns()
        steps.append(second - first)
    return min(steps) / 1e9


def _measuring() -> Iterator[Diagnosis]:
    step = _smallest_step()
    text = f"steps of {step * 1e9:.0f} ns"
    if step > _COARSE_SECONDS:
        advice = "latencies under a millisecond are too coarse here; look for a hypervisor's clock source"
        yield Diagnosis("warning", "timer", text, advice)
    else:
        yield Diagnosis("ok", "timer", text)
    facts = machine_facts()
    governor, turbo = facts["governor"], facts["turbo"]
    if governor in (NOT_AVAILABLE, "performance"):
        yield Diagnosis("ok", "CPU governor", governor)
    else:
        advice = "latencies vary with the clock; `sudo cpupower frequency-set -g performance` steadies it"
        yield Diagnosis("warning", "CPU governor", governor, advice)
    if turbo is True:
        yield Diagnosis(
            "warning", "CPU turbo", "on", "latencies vary with the temperature; turn it off in the firmware"
        )
    else:
        yield Diagnosis("ok", "CPU turbo", "off" if turbo is False else str(turbo))


def diagnose_machine(home: Path) -> Iterator[Diagnosis]:
    """Look at interpreters, installers, the cache, the package index, leases and the clock, in this order.

    :param home: the cache, as of :func:`pytest_mlscope.machine.cache_folder.cache_home`.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    yield Diagnosis("ok", "this Python", f"{version} ({sys.executable})")
    yield from _interpreters()
    yield from _cache(home)
    yield from _index()
    yield from _leases()
    yield from _measuring()
