"""Rules by which a machine is recognised as having a hardware target."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _pattern(text: str) -> str:
    try:
        # Compiled now, so that a mistake is told with its place, not when a machine is looked at.
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression ({error})") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
"""A regular expression (Python's ``re``)."""
PciId = Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AlwaysPresent(_Rule):
    """Every machine has it."""

    rule: Literal["always"]


class CpuPresent(_Rule):
    """The processor is of the target's ``architecture``, and of this model and with these flags where given."""

    rule: Literal["cpu"]
    model: Pattern | None = None
    """Found in what the processor calls itself, letter case aside."""
    flags: list[str] = Field(default_factory=list)
    """Instruction set extensions it must have, all of them, as ``/proc/cpuinfo`` names them."""


class NvidiaGpuPresent(_Rule):
    """The NVIDIA driver answers and lists at least one GPU."""

    rule: Literal["nvml"]
    gpu: Pattern | None = None
    """Matches the whole name of every GPU that programs may use, letter case aside; absent: any GPU will do."""


class PathPresent(_Rule):
    """A device node or file exists."""

    rule: Literal["path"]
    path: str
    content: Pattern | None = None
    """Found in the file's first 4096 bytes."""


class PciDevicePresent(_Rule):
    """A PCI device with one of these identifiers is there (Linux)."""

    rule: Literal["pci"]
    vendor: PciId
    devices: list[PciId] = Field(min_length=1)


class ProviderPresent(_Rule):
    """A framework's installed build offers the device; it is asked when the predictor host starts."""

    rule: Literal["provider"]


class EmulatorPresent(_Rule):
    """Another processor's programs run here under QEMU: good for correctness alone."""

    rule: Literal["emulator"]


Recognition = Annotated[
    AlwaysPresent | CpuPresent | NvidiaGpuPresent | PathPresent | PciDevicePresent | ProviderPresent | EmulatorPresent,
    Field(discriminator="rule"),
]
