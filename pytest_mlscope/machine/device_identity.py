"""What an evaluation ran on, beyond its target's name: what this machine is recognised as, and its vendor's peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast
from weakref import WeakKeyDictionary

from pytest_mlscope.components import HardwareTarget, HardwareTargets, ProviderPresent
from pytest_mlscope.machine.facts import NotAvailable, machine_facts
from pytest_mlscope.machine.hardware_presence import why_absent
from pytest_mlscope.record_fields import Finite

# Looked at once a registry: each look reads files and asks drivers, and every evaluation needs it.
_RECOGNISED: WeakKeyDictionary[HardwareTargets, list[HardwareTarget]] = WeakKeyDictionary()


class PeakFacts(TypedDict):
    """A peak, by what is counted, such as fp32 or memory_bandwidth."""

    value: Finite
    """The most the vendor says it can do."""
    unit: str
    """FLOP/s, OP/s or B/s."""
    source: Mapping[str, str]
    """title and url of the vendor's document."""
    note: str | None
    """How it follows from the source; ``None`` where the source states it so."""


class HardwareIdentity(TypedDict, total=False):
    """What a target is on this machine."""

    architecture: str
    """Instruction set that the predictor ran as."""
    emulated: bool
    """Whether QEMU ran it, on a processor of another architecture."""
    cpu_model: str
    """The machine's processor as it names itself."""
    gpus: Sequence[str] | NotAvailable
    """Names of the machine's NVIDIA GPUs."""
    targets: Sequence[str]
    """Hardware targets that the machine is recognised as."""
    peaks: Mapping[str, Mapping[str, PeakFacts]]
    """Hardware target to its peaks, of those recognised that state any."""


def _recognised(targets: HardwareTargets) -> list[HardwareTarget]:
    """Targets this machine has. What a framework's build alone can tell, or only an emulator has, is not among them."""
    if targets not in _RECOGNISED:
        _RECOGNISED[targets] = [
            target
            for target in targets.usable().values()
            if not (target.emulated or isinstance(target.recognise, ProviderPresent)) and why_absent(target) is None
        ]
    return _RECOGNISED[targets]


def hardware_identity(target: HardwareTarget, targets: HardwareTargets) -> HardwareIdentity:
    """Builtin types only.

    :param target: what the evaluation ran on.
    :param targets: all there are.
    """
    facts = machine_facts()
    recognised = _recognised(targets)
    return {
        "architecture": (target.emulated and target.architecture) or facts["architecture"],
        "emulated": target.emulated,
        "cpu_model": facts["cpu_model"],
        "gpus": facts["gpus"],
        "targets": [each.name for each in recognised],
        "peaks": {
            each.name: {name: cast(PeakFacts, peak.facts()) for name, peak in each.peaks.items()}
            for each in recognised
            if each.peaks
        },
    }
