"""Choosing cases of a manifest by values of their dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from pytest_mlscope.cases.case import Case, Threads
from pytest_mlscope.manifest import NAMES
from pytest_mlscope.text import closest, did_you_mean


class CaseChoice(TypedDict, total=False):
    """The keywords that choose cases: of each dimension named, one value or a list of them."""

    framework: str | Sequence[str] | None
    version: str | Sequence[str] | None
    hardware: str | Sequence[str] | None
    precision: str | Sequence[str] | None
    preprocessing: str | Sequence[str] | None
    threads: Threads | Sequence[Threads] | None
    batch_size: int | Sequence[int] | None
    scenario: str | Sequence[str] | None


def allowed_values(value: object) -> Sequence[Any]:
    """The values that one of a choice's allows.

    >>> allowed_values(8), allowed_values([1, 8])
    ((8,), [1, 8])
    """
    return value if isinstance(value, list | tuple) else (value,)


def unknown_name(names: Iterable[str]) -> str | None:
    """What is wrong with names of dimensions; ``None`` where nothing is.

    >>> unknown_name(["framework", "thread"])
    "unknown 'thread' (did you mean 'threads'?); allowed: framework, version, ..., batch_size, scenario"
    """
    for name in names:
        if name not in NAMES:
            return f"unknown {name!r}{did_you_mean(closest(name, NAMES))}; allowed: {', '.join(NAMES)}"
    return None


def agrees(case: Case, choice: Mapping[str, Any]) -> bool:
    """Whether the case has one of the values allowed of each dimension named."""
    return all(getattr(case, name) in allowed_values(value) for name, value in choice.items())
