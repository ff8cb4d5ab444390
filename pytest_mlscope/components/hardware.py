"""A hardware target: what a model runs on, and how this machine is recognised as having it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_mlscope.errors import MlscopeError


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
        """:raises MlscopeError: when the file cannot be read or is wrong."""
        try:
            data: Any = yaml.safe_load(path.read_text("utf-8"))
            return cls.model_validate(data)
        except OSError as error:
            raise MlscopeError(f"{path}: cannot be read: {error.strerror}") from None
        except yaml.YAMLError as error:
            raise MlscopeError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "top level"
            raise MlscopeError(f"{path}: {place}: {first['msg']}") from None
