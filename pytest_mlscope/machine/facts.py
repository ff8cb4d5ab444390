"""What machine this is: facts that explain a measurement, each ``"not available"`` where the system does not tell."""

from __future__ import annotations

import copy
import os
import platform
from functools import cache
from pathlib import Path
from typing import Literal, TypedDict

from pytest_mlscope.host.sensors import cpu_quota
from pytest_mlscope.machine.nvidia_gpus import nvidia_gpus
from pytest_mlscope.record_fields import Bytes, Finite

NotAvailable = Literal["not available"]
NOT_AVAILABLE: NotAvailable = "not available"

_CPUINFO = Path("/proc/cpuinfo")
_CPU = Path("/sys/devices/system/cpu")


# What other systems, and Debian, call them.
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "ppc64el": "ppc64le"}


def machine_architecture() -> str:
    """Instruction set of this machine's processor under the kernel's name for it: ``x86_64``, ``aarch64``, …"""
    name = platform.machine().lower()
    return _ARCHITECTURES.get(name, name) or NOT_AVAILABLE


class MachineFacts(TypedDict):
    """Facts of a machine; what the system does not tell is "not available"."""

    hostname: str
    """Name of the machine."""
    system: str
    """Operating system."""
    kernel: str
    """Release of the operating system's kernel."""
    architecture: str
    """Instruction set, such as x86_64."""
    cpu_model: str
    """The processor as it names itself."""
    cpu_identity: str
    """Vendor, family, model, stepping and microcode, or Arm's implementer and part."""
    cpu_flags: list[str] | NotAvailable
    """Instruction set extensions, sorted."""
    logical_cores: int | NotAvailable
    """Hardware threads."""
    physical_cores: int | NotAvailable
    """Cores."""
    usable_cores: int | NotAvailable
    """Hardware threads that the pytest process was allowed to run on."""
    cpu_quota: Finite | None
    """CPUs' worth of time that control groups (a container's CPU limit) let the pytest process have; ``None`` without a
    limit."""
    memory_bytes: Bytes | NotAvailable
    """Installed memory in bytes."""
    governor: str
    """Frequency governor of the first core."""
    turbo: bool | NotAvailable
    """Whether the processor may exceed its base frequency."""
    virtual_machine: bool | NotAvailable
    """Whether the processor tells that it is a guest's."""
    gpus: list[str] | NotAvailable
    """Names of the NVIDIA GPUs that programs may use."""


def machine_facts() -> MachineFacts:
    """Facts of this machine; read once a process, in a few milliseconds."""
    # A copy, so that no caller changes what the others read.
    return copy.deepcopy(_facts())


@cache
def _facts() -> MachineFacts:
    import psutil

    cpuinfo = _first_processor(_CPUINFO)
    flags = sorted((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split())
    return {
        "hostname": platform.node() or NOT_AVAILABLE,
        "system": platform.system() or NOT_AVAILABLE,
        "kernel": platform.release() or NOT_AVAILABLE,
        "architecture": machine_architecture(),
        "cpu_model": cpuinfo.get("model name") or platform.processor() or NOT_AVAILABLE,
        "cpu_identity": _identity(cpuinfo),
        "cpu_flags": flags or NOT_AVAILABLE,
        "logical_cores": psutil.cpu_count() or NOT_AVAILABLE,
        "physical_cores": psutil.cpu_count(logical=False) or NOT_AVAILABLE,
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else NOT_AVAILABLE,
        "cpu_quota": cpu_quota(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "governor": _line(_CPU / "cpu0/cpufreq/scaling_governor") or NOT_AVAILABLE,
        "turbo": _turbo(),
        # The kernel shows this flag to x86 guests; its absence elsewhere proves nothing.
        "virtual_machine": "hypervisor" in flags if "fpu" in flags else NOT_AVAILABLE,
        "gpus": list(nvidia_gpus()[0]) or NOT_AVAILABLE,
    }


def _first_processor(path: Path) -> dict[str, str]:
    """The first block of ``/proc/cpuinfo``; the others, hundreds on some machines, only repeat it."""
    fields: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.strip():
                    break
                name, _, value = line.partition(":")
                fields[name.strip()] = value.strip()
    except OSError:
        return {}
    return fields


def _identity(cpuinfo: dict[str, str]) -> str:
    keys = ("vendor_id", "cpu family", "model", "stepping", "microcode", "CPU implementer", "CPU part", "CPU revision")
    return ", ".join(f"{key} {cpuinfo[key]}" for key in keys if cpuinfo.get(key)) or NOT_AVAILABLE


def _turbo() -> bool | NotAvailable:
    no_turbo = _line(_CPU / "intel_pstate/no_turbo")
    if no_turbo in ("0", "1"):
        return no_turbo == "0"
    boost = _line(_CPU / "cpufreq/boost")
    return boost == "1" if boost in ("0", "1") else NOT_AVAILABLE


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
