"""A hardware target: what a model runs on, how a machine is recognised as having it, and what it could do at best."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from pytest_mlscope.components.framework import FrameworkDescription, Precision
from pytest_mlscope.components.peaks import Peak, PeakName, parse_peak, peak_unit
from pytest_mlscope.components.recognition import EmulatorPresent, Recognition
from pytest_mlscope.documents import KeyMistake, dotted, quoted, read_bytes, read_document, read_source
from pytest_mlscope.errors import HardwareError, MlscopeError

Architecture = Literal["x86_64", "aarch64", "ppc64le", "riscv64", "s390x"]


class HardwareTarget(BaseModel):
    """The content of a hardware YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1] = Field(alias="schema", default=1)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """As the file."""
    description: str
    extends: str | None = None
    """The more general target whose device names and precisions hold here too."""
    architecture: Architecture | None = None
    """Instruction set of the processor; absent: any."""
    recognise: Recognition
    devices: dict[str, str] = Field(default_factory=dict)
    """Framework name to device string, for frameworks whose own folder does not name this target."""
    precisions: dict[str, list[Precision]] = Field(default_factory=dict)
    """Framework name to the precisions it offers here, for the same frameworks."""
    peaks: dict[PeakName, Peak] = Field(default_factory=dict)

    # Private, so that no file can state it.
    _lineage: tuple[str, ...] = PrivateAttr(default=())

    @property
    def lineage(self) -> tuple[str, ...]:
        """The targets it extends, nearest first."""
        return self._lineage

    @property
    def emulated(self) -> bool:
        """Whether another processor than the machine's runs here, so that no time means anything."""
        return isinstance(self.recognise, EmulatorPresent)

    def is_a(self, name: str) -> bool:
        """Whether it is the named target or extends it."""
        return name == self.name or name in self.lineage

    def device_of(self, framework: FrameworkDescription) -> str | None:
        """What the framework calls it; ``None`` where the framework cannot run on it.

        The framework's word for the target itself comes first, then the target's, then for those it extends.
        """
        own = framework.devices.get(self.name) or self.devices.get(framework.name)
        return own or next((framework.devices[name] for name in self.lineage if name in framework.devices), None)

    def precisions_of(self, framework: FrameworkDescription) -> list[Precision]:
        """What the framework offers on it; where nobody says, what it does when left alone."""
        for stated in (framework.precisions.get(self.name), self.precisions.get(framework.name)):
            if stated:
                return stated
        inherited = (framework.precisions[name] for name in self.lineage if name in framework.precisions)
        return next(inherited, ["framework_default"])

    def extending(self, parent: HardwareTarget) -> HardwareTarget:
        """This target with what it takes over from the one it extends. Peaks are its own alone."""
        joined = self.model_copy(
            update={
                "architecture": self.architecture or parent.architecture,
                "devices": {**parent.devices, **self.devices},
                "precisions": {**parent.precisions, **self.precisions},
            }
        )
        joined._lineage = (parent.name, *parent.lineage)
        return joined

    @classmethod
    def from_file(cls, path: Path) -> HardwareTarget:
        """:raises HardwareError: when the file cannot be read or is wrong, with one line for each mistake."""
        try:
            return read_document(path, cls, check=lambda data: _between_keys(data, path.stem))
        except MlscopeError as error:
            raise HardwareError(str(error)) from None


def _between_keys(data: Mapping[str, Any], stem: str) -> Iterator[KeyMistake]:
    """What is wrong between keys, and between the name and the file's."""
    name = data.get("name")
    # Targets are known by their files' names before any of them is read.
    if isinstance(name, str) and name != stem and re.fullmatch(r"[a-z][a-z0-9_]*", name):
        yield KeyMistake(("name",), f"name is {quoted(name)}; allowed: the file's name, {quoted(stem)}")
    rule = data["recognise"].get("rule") if isinstance(data.get("recognise"), dict) else None
    if rule in ("cpu", "emulator") and "architecture" not in data:
        yield KeyMistake((), f"missing key 'architecture'; rule {rule} requires it")
    peaks = data.get("peaks")
    for key, peak in peaks.items() if isinstance(peaks, dict) else ():
        try:
            _, unit = parse_peak(peak["value"])
        except (TypeError, KeyError, ValueError):
            continue
        if unit != peak_unit(key):
            here = ("peaks", key, "value")
            yield KeyMistake(here, f"{dotted(here)} is in {unit}; allowed: {peak_unit(key)}, with k, M, G, T or P")


class HardwareFile:
    """A hardware YAML file, read when its target is asked for, so that a wrong one concerns only those who name it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem

    @cached_property
    def target(self) -> HardwareTarget:
        """Without what it extends. Raises as :meth:`HardwareTarget.from_file`."""
        return HardwareTarget.from_file(self.path)

    def place_of(self, key: str) -> str:
        """``file:line:column`` of a key's value."""
        # Read again, since only a message needs a position.
        position = read_source(read_bytes(self.path)).position((key,))
        return f"{self.path}:{position.line}:{position.column}"
