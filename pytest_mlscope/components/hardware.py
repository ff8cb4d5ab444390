"""A hardware target: what a model runs on, and how this machine is recognised as having it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytest_mlscope.yaml_document.document import read_document


class AlwaysPresent(BaseModel):
    """Every machine has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    rule: Literal["always"]


class NvidiaGpuPresent(BaseModel):
    """The NVIDIA driver answers and lists at least one GPU."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    rule: Literal["nvml"]


class PathPresent(BaseModel):
    """A device node or file exists."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    rule: Literal["path"]
    path: str


Recognition = Annotated[AlwaysPresent | NvidiaGpuPresent | PathPresent, Field(discriminator="rule")]


class HardwareTarget(BaseModel):
    """The content of a hardware YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1] = Field(alias="schema", default=1)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str
    recognise: Recognition
    devices: dict[str, str] = Field(default_factory=dict)
    """Framework name to device string, for frameworks whose own folder does not name this target."""

    @classmethod
    def from_file(cls, path: Path) -> HardwareTarget:
        """:raises MlscopeError: when the file cannot be read or is wrong, with one line for each mistake."""
        return read_document(path, cls)
