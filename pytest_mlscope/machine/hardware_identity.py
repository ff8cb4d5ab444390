"""What an evaluation ran on, beyond its target's name: what this machine is recognised as, and its vendor's peaks."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from pytest_mlscope.components.hardware import HardwareTarget
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.components.recognition import ProviderPresent
from pytest_mlscope.machine.facts import machine_facts
from pytest_mlscope.machine.hardware_presence import why_absent

_RECOGNISED: WeakKeyDictionary[HardwareTargets, list[HardwareTarget]] = WeakKeyDictionary()


def _recognised(targets: HardwareTargets) -> list[HardwareTarget]:
    """Targets this machine has. What a framework's build alone can tell, or only an emulator has, is not among them."""
    if targets not in _RECOGNISED:
        _RECOGNISED[targets] = [
            target
            for target in targets.usable().values()
            if not (target.emulated or isinstance(target.recognise, ProviderPresent)) and why_absent(target) is None
        ]
    return _RECOGNISED[targets]


def hardware_identity(target: HardwareTarget, targets: HardwareTargets) -> dict[str, Any]:
    """Builtin types only: ``architecture`` and whether it is ``emulated``, ``cpu_model``, ``gpus``, ``targets`` that
    this machine is recognised as, and the ``peaks`` of each that states any.

    :param target: what the evaluation ran on.
    :param targets: all there are.
    """
    facts = machine_facts()
    recognised = _recognised(targets)
    return {
        "architecture": target.architecture if target.emulated else facts["architecture"],
        "emulated": target.emulated,
        "cpu_model": facts["cpu_model"],
        "gpus": facts["gpus"],
        "targets": [each.name for each in recognised],
        "peaks": {
            each.name: {name: peak.facts() for name, peak in each.peaks.items()} for each in recognised if each.peaks
        },
    }
