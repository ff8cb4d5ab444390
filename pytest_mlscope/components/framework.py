"""A framework folder: ``framework.yml``, ``predictor.py`` and ``requirements.lock``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pytest_mlscope.errors import FrameworkError


class FrameworkDescription(BaseModel):
    """The content of ``framework.yml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str
    distributions: list[str] = Field(default_factory=list)
    """PyPI distributions any of which provides the framework; the first is the one named in messages.
    Empty for a framework that needs nothing but numpy: it is always there."""
    version: str = "*"
    """Versions the predictor works with (PEP 440 specifiers), ``*`` for any."""
    python: str = ">=3.6"
    """Python versions the framework environment may have (PEP 440 specifiers)."""
    files: dict[str, str] = Field(default_factory=lambda: {"model": "the model file"})
    """Roles of the files a model consists of and what each is."""
    optional_files: dict[str, str] = Field(default_factory=dict)
    """Further roles, of files that only some formats of model have."""
    devices: dict[str, str]
    """Hardware target name to what the framework calls that device."""
    precisions: dict[str, list[str]]
    """Hardware target name to the precisions the predictor offers there."""
    thread_scope: Literal["process", "model"] = "model"
    """``process``: the framework fixes threads and device once a process, so each pair has a host of its own."""
    dynamic_batch: bool = True
    """Whether one loaded model takes any batch size where the model declares a dynamic batch dimension."""
    options: dict[str, str] = Field(default_factory=dict)
    """Names of the options a manifest may set and what each does."""

    @field_validator("version", "python")
    @classmethod
    def _specifiers(cls, value: str) -> str:
        if value != "*":
            try:
                SpecifierSet(value)
            except InvalidSpecifier:
                raise ValueError(f"{value!r} is not a PEP 440 version constraint such as '>=1.17,<2'") from None
        return value


@dataclass(frozen=True)
class FrameworkFolder:
    """A framework, as a folder on disk."""

    path: Path

    @property
    def predictor(self) -> Path:
        return self.path / "predictor.py"

    @property
    def lock(self) -> Path:
        return self.path / "requirements.lock"

    @cached_property
    def lock_hash(self) -> str:
        """First 12 hexadecimal digits of the sha256 of the lock; of nothing when there is none."""
        content = self.lock.read_bytes() if self.lock.is_file() else b""
        return hashlib.sha256(content).hexdigest()[:12]

    @cached_property
    def description(self) -> FrameworkDescription:
        """:raises FrameworkError: when ``framework.yml`` is missing or wrong, with one line per mistake."""
        source = self.path / "framework.yml"
        try:
            data: Any = yaml.safe_load(source.read_text("utf-8"))
            return FrameworkDescription.model_validate(data)
        except OSError as error:
            raise FrameworkError(f"{source}: cannot be read: {error.strerror}") from None
        except yaml.YAMLError as error:
            raise FrameworkError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
        except ValidationError as error:
            lines = [
                f"{source}: {'.'.join(str(part) for part in mistake['loc']) or 'top level'}: {mistake['msg']}"
                for mistake in error.errors()
            ]
            raise FrameworkError("\n".join(lines)) from None

    @property
    def name(self) -> str:
        return self.description.name

    def accepts(self, version: str, constraint: str | None = None) -> bool:
        """Whether a framework version satisfies ``framework.yml`` and a manifest's further constraint."""
        for specifiers in (self.description.version, constraint):
            if specifiers and specifiers != "*" and not SpecifierSet(specifiers).contains(version, prereleases=True):
                return False
        return True
