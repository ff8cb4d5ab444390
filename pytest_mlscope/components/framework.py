"""A framework folder: ``framework.yml``, ``predictor.py`` and ``requirements.lock``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pytest_mlscope.documents import (
    KeyMistake,
    dotted,
    quoted,
    read_bytes,
    read_document,
    read_source,
    suggestion,
    unknown,
)
from pytest_mlscope.errors import FrameworkError, MlscopeError

Precision = Literal["fp32", "fp16", "bf16", "int8", "framework_default"]

_NAME = r"^[a-z][a-z0-9_-]*$"
_HARDWARE_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ROLE_OR_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


class EnvironmentDescription(BaseModel):
    """What the framework environment is made of beyond its Python packages.

    Debian packages are those of ``debian-ARCHITECTURE.lock``; they are unpacked into the environment's own ``debian``
    folder, so nothing is installed on the machine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    interpreter: str | None = None
    """The Python to run, by its path among the Debian packages; absent: one of this machine that fits ``python``."""
    library_path: list[str] = Field(default_factory=list)
    """Folders of the Debian packages in which the predictor host looks for shared libraries, in order."""
    links: dict[str, str] = Field(default_factory=dict)
    """Symbolic links to make: path in ``site-packages`` to the path among the Debian packages it leads to."""


class FrameworkDescription(BaseModel):
    """The content of ``framework.yml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=_NAME)
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
    precisions: dict[str, list[Precision]]
    """Hardware target name to the precisions the predictor offers there."""
    thread_scope: Literal["process", "model"] = "model"
    """``process``: the framework fixes threads and device once a process, so each pair has a host of its own."""
    dynamic_batch: bool = True
    """Whether one loaded model takes any batch size where the model declares a dynamic batch dimension."""
    options: dict[str, str] = Field(default_factory=dict)
    """Names of the options a manifest may set and what each does."""
    unfused: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Options, with values, by which the framework runs a graph's nodes as the file has them."""
    layers: bool = False
    """Whether the predictor returns a per-layer profile."""
    self_test: str | None = None
    """A manifest with which a new environment and ``mlscope framework check`` try the predictor: a path relative to
    this folder, or ``SUITE/FILE`` of a model suite that is found."""
    environment: EnvironmentDescription = Field(default_factory=EnvironmentDescription)
    """What the framework environment is made of beyond its Python packages."""
    system_libraries: dict[str, str] = Field(default_factory=dict)
    """Shared libraries that the machine itself must have, by soname, and how to get each."""

    @field_validator("version", "python")
    @classmethod
    def _specifiers(cls, value: str) -> str:
        if value != "*":
            try:
                SpecifierSet(value)
            except InvalidSpecifier:
                raise ValueError(f"{value!r} is not a PEP 440 version constraint such as '>=1.17,<2'") from None
        return value


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _between_keys(data: Mapping[str, Any]) -> Iterator[KeyMistake]:
    """What is wrong with names, and between ``devices`` and ``precisions``, ``files`` and ``optional_files``."""
    devices, precisions = _mapping(data, "devices"), _mapping(data, "precisions")
    for hardware in devices:
        if not _HARDWARE_NAME.fullmatch(hardware):
            allowed = "a hardware target: a lower-case letter, then lower-case letters, digits and '_'"
            yield KeyMistake(
                ("devices", hardware), f"devices has the name {quoted(hardware)}; allowed: {allowed}", True
            )
        elif hardware not in precisions and isinstance(data.get("precisions"), dict):
            hint = suggestion(hardware, [other for other in precisions if other not in devices])
            message = f"missing key {hardware!r}; precisions requires it, since devices has it{hint}"
            yield KeyMistake(("precisions",), message)
    # Values may be of any type here: this looks at the raw document, before the schema has refused anything.
    for hardware, values in precisions.items():
        here = ("precisions", hardware)
        if hardware not in devices and isinstance(data.get("devices"), dict):
            yield KeyMistake(here, unknown("the file's devices", hardware, list(devices)), True)
        if values == []:
            yield KeyMistake(here, f"{dotted(here)} is empty; required: at least one precision")
        for index, value in enumerate(values if isinstance(values, list) else ()):
            if value in values[:index]:
                yield KeyMistake((*here, index), f"duplicate precision {value!r}; allowed: each once")
    for section in ("files", "optional_files", "options"):
        for name in _mapping(data, section):
            if not _ROLE_OR_OPTION.fullmatch(name):
                allowed = "a letter, then letters, digits, '.', '_' and '-'"
                yield KeyMistake((section, name), f"{section} has the name {quoted(name)}; allowed: {allowed}", True)
    for role in _mapping(data, "optional_files"):
        if role in _mapping(data, "files"):
            yield KeyMistake(("optional_files", role), f"{quoted(role)} is among files; allowed: in one of both", True)
    # An option that there is not would be refused when bisecting, long after the file was written.
    for name in _mapping(data, "unfused"):
        if name not in _mapping(data, "options"):
            yield KeyMistake(
                ("unfused", name), unknown("the file's options", name, list(_mapping(data, "options"))), True
            )
    # Checked here, since an empty mapping is of the right type.
    for section in ("files", "devices", "precisions"):
        if data.get(section) == {}:
            yield KeyMistake((section,), f"{section} is empty; required: at least one entry")


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

    @property
    def source(self) -> Path:
        return self.path / "framework.yml"

    @cached_property
    def description(self) -> FrameworkDescription:
        """:raises FrameworkError: when ``framework.yml`` is missing or wrong, with one line for each mistake."""
        try:
            return read_document(self.source, FrameworkDescription, check=_between_keys)
        except MlscopeError as error:
            raise FrameworkError(str(error)) from None

    @cached_property
    def name(self) -> str:
        """As ``framework.yml`` says, be the rest of it right or wrong; else the folder's, so that both can be named."""
        try:
            # Not by the description, which is refused as a whole for any mistake in it.
            data = read_source(read_bytes(self.source)).data
        except MlscopeError:
            return self.path.name
        name = data.get("name") if isinstance(data, dict) else None
        return name if isinstance(name, str) and re.search(_NAME, name) else self.path.name

    def accepts(self, version: str, constraint: str | None = None) -> bool:
        """Whether a framework version satisfies ``framework.yml`` and a manifest's further constraint."""
        for specifiers in (self.description.version, constraint):
            # A build that is installed is judged by its number; PEP 440 would leave out development builds.
            if specifiers and specifiers != "*" and not SpecifierSet(specifiers).contains(version, prereleases=True):
                return False
        return True
