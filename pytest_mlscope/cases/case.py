"""A case: one cell of model × framework × version × hardware × precision × threads × batch size × scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest import NAMES, STATED

__all__ = ["STATED", "Case", "Threads"]

Threads = int | Literal["framework_default"]


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of one manifest's matrix: plain values, which can be hashed, kept and sent anywhere.

    Two are equal when they are the same cell of the same manifest.

    >>> case = Case("onnxruntime", threads=4, model="digits", manifest="digits.mlscope.yml", manifest_sha256="ab12")
    >>> Case.from_dict(case.to_dict()) == case
    True
    """

    framework: str
    hardware: str = "cpu"
    precision: str = "fp32"
    threads: Threads = 1
    batch_size: int = 1
    scenario: str = "single_stream"
    preprocessing: str = STATED
    version: str | None = None
    """Of the framework, as the manifest states it; ``None`` where it states none."""
    id: str = field(default="", compare=False)
    """What stands in brackets in a test's name: only dimensions with several values."""
    model: str = field(kw_only=True)
    """Its name, as the manifest states it."""
    manifest: str = field(kw_only=True)
    """The manifest's path."""
    manifest_sha256: str = field(kw_only=True)
    """Of the manifest's bytes."""

    @property
    def cell(self) -> tuple[str | int | None, ...]:
        """The value of each dimension, in the order of ``NAMES``: the case without its manifest."""
        return tuple([getattr(self, name) for name in NAMES])

    def mistake(self) -> str | None:
        """Which field holds a value of another type, in words; ``None`` where none does."""
        for name in self.__slots__:
            value = getattr(self, name)
            # To Python, True and False are whole numbers.
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if name == "threads":
                fits, expected = is_whole or value == "framework_default", "a whole number or 'framework_default'"
            elif name == "batch_size":
                fits, expected = is_whole, "a whole number"
            elif name == "version":
                fits, expected = value is None or isinstance(value, str), "text or None"
            else:
                fits, expected = isinstance(value, str), "text"
            if not fits:
                return f"{name} {value!r}; expected {expected}"
        return None

    def to_dict(self) -> dict[str, str | int | None]:
        """One key a field, as JSON takes them."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Case:
        """What :meth:`to_dict` gave.

        :raises MlscopeError: when it is not that.
        """
        names = cls.__slots__
        if lacking := [name for name in names if name not in values]:
            raise MlscopeError(f"a case lacks {lacking[0]!r}")
        if unknown := [name for name in values if name not in names]:
            raise MlscopeError(f"a case has an unknown key {unknown[0]!r}")
        case = cls(**values)
        if mistake := case.mistake():
            raise MlscopeError(f"a case has {mistake}")
        return case
