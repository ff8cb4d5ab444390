"""The case that a command's ``--case`` means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mlscope.errors import MlscopeError

if TYPE_CHECKING:
    from pytest_mlscope.cases.case import Case


def choose_case(cases: list[Case], wanted: str | None, manifest: Path) -> Case:
    """By its id; without one, the first on onnxruntime or else the first.

    :raises MlscopeError: when there is no such case.
    """
    if wanted is None:
        return next((case for case in cases if case.framework == "onnxruntime"), cases[0])
    for case in cases:
        if case.id == wanted:
            return case
    there = ", ".join(case.id for case in cases[:8]) + (" …" if len(cases) > 8 else "")
    raise MlscopeError(f"{manifest}: no case {wanted!r}; there: {there}")
