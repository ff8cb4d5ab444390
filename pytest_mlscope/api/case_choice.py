"""A case that is named by its id alone, as commands do."""

from __future__ import annotations

from pytest_mlscope.cases import Plan, expand
from pytest_mlscope.errors import WrongUse
from pytest_mlscope.manifest import LoadedManifest


def choose_plan(manifest: LoadedManifest, wanted: str | None) -> Plan:
    """Of the case with this id; without one, the first on onnxruntime or else the first.

    :raises WrongUse: when there is no such case.
    """
    cases = expand(manifest)
    if wanted is None:
        return Plan.of(manifest, next((case for case in cases if case.framework == "onnxruntime"), cases[0]))
    for case in cases:
        if case.id == wanted:
            return Plan.of(manifest, case)
    there = ", ".join(case.id for case in cases[:8]) + (" …" if len(cases) > 8 else "")
    raise WrongUse(f"{manifest.path}: no case {wanted!r}; there: {there}")
