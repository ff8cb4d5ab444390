"""Checks of the hardware targets a manifest names."""

from __future__ import annotations

from pytest_mlscope.components import HardwareTarget
from pytest_mlscope.documents import Path
from pytest_mlscope.errors import HardwareError
from pytest_mlscope.manifest.findings import Findings


def usable_target(findings: Findings, hardware: str) -> HardwareTarget | None:
    """The target, joined with what it extends; ``None`` for targets that are unknown or malformed."""
    try:
        return findings.registry.hardware_targets.get(hardware)
    except HardwareError:
        return None


def check_target(findings: Findings, path: Path, hardware: str) -> bool:
    """Say what is wrong with a hardware target named in a manifest; whether it can be used."""
    targets = findings.registry.hardware_targets
    if not findings.one_of(path, "hardware", hardware, list(targets)):
        return False
    try:
        _ = targets[hardware]
    except HardwareError as error:
        for line in str(error).splitlines():
            findings.at(path, f"hardware {hardware!r} cannot be used: {line}")
        return False
    return True
