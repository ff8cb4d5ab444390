"""Whether this machine has a hardware target."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_mlscope.components import (
    CpuPresent,
    EmulatorPresent,
    HardwareTarget,
    NvidiaGpuPresent,
    PathPresent,
    PciDevicePresent,
)
from pytest_mlscope.machine.emulation import why_no_emulation
from pytest_mlscope.machine.facts import machine_architecture, machine_facts
from pytest_mlscope.machine.nvidia_gpus import nvidia_gpus

_PCI = Path("/sys/bus/pci/devices")
_READ_BYTES = 4096


def why_absent(target: HardwareTarget) -> str | None:
    """Why this machine lacks the target; ``None`` when it has it, as far as can be told without the framework."""
    rule = target.recognise
    if isinstance(rule, EmulatorPresent):
        return why_no_emulation(target.architecture)
    here = machine_architecture()
    if target.architecture is not None and target.architecture != here:
        return f"the processor is {here}, not {target.architecture}"
    if isinstance(rule, CpuPresent):
        return _wrong_processor(rule)
    if isinstance(rule, NvidiaGpuPresent):
        return _no_gpu(rule)
    if isinstance(rule, PathPresent):
        return _no_path(rule)
    if isinstance(rule, PciDevicePresent):
        return _no_pci_device(rule)
    return None


def _wrong_processor(rule: CpuPresent) -> str | None:
    facts = machine_facts()
    model = facts["cpu_model"]
    if rule.model is not None and not re.search(rule.model, model, re.IGNORECASE):
        return f"the processor is {model!r}, which does not match {rule.model!r}"
    missing = [flag for flag in rule.flags if flag not in facts["cpu_flags"]]
    return f"the processor lacks {', '.join(missing)}" if missing else None


def _no_gpu(rule: NvidiaGpuPresent) -> str | None:
    names, reason = nvidia_gpus()
    if not names:
        return reason
    if rule.gpu is None or all(re.fullmatch(rule.gpu, name, re.IGNORECASE) for name in names):
        return None
    listed = ", ".join(dict.fromkeys(names))
    if any(re.fullmatch(rule.gpu, name, re.IGNORECASE) for name in names):
        # Which of them a framework takes first is CUDA's choice, not the driver's order.
        return f"its GPUs differ ({listed}); choose one by its UUID in CUDA_VISIBLE_DEVICES (nvidia-smi -L lists them)"
    return f"its GPU is {listed}"


def _no_path(rule: PathPresent) -> str | None:
    path = Path(rule.path)
    if rule.content is None:
        return None if path.exists() else f"{rule.path} does not exist"
    try:
        with path.open("rb") as stream:
            # Device trees, such as /proc/device-tree/model, separate and end their texts by NUL.
            text = stream.read(_READ_BYTES).decode("utf-8", "replace").replace("\0", " ").strip()
    except OSError as error:
        return f"{rule.path} cannot be read ({error.strerror})"
    return None if re.search(rule.content, text) else f"{rule.path} does not hold {rule.content!r}"


def _no_pci_device(rule: PciDevicePresent) -> str | None:
    wanted = {f"0x{device}" for device in rule.devices}
    for device in _PCI.glob("*/device"):
        try:
            is_it = device.read_text("ascii").strip() in wanted
            if is_it and device.with_name("vendor").read_text("ascii").strip() == f"0x{rule.vendor}":
                return None
        except (OSError, UnicodeDecodeError):
            continue  # It was unplugged meanwhile.
    return f"no PCI device {', '.join(f'{rule.vendor}:{device}' for device in rule.devices)}"
