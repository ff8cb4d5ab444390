"""Which kinds of test a manifest has, and which of its cases each kind takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from operator import attrgetter
from typing import get_args

from pytest_mlscope.cases.case import STATED, Case
from pytest_mlscope.cases.matrix import case_id, varying
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest.dimensions import NAMES
from pytest_mlscope.manifest.kinds import kinds_made, parity_reference
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.schema import Kind, Manifest

_CONSTANT: dict[Kind, tuple[str, ...]] = {
    "accuracy": ("threads", "scenario"),
    "parity": ("threads", "scenario", "preprocessing"),
    "latency": ("preprocessing",),
}
"""Dimensions of which a kind takes one value only, and which its ids therefore leave out."""


def known_kind(kind: object) -> Kind:
    """The kind itself.

    :raises MlscopeError: when there is no such kind.
    """
    allowed: tuple[Kind, ...] = get_args(Kind)
    for each in allowed:
        if kind == each:
            return each
    raise MlscopeError(f"unknown kind {kind!r}; allowed: {', '.join(allowed)}")


def kinds_of(manifest: LoadedManifest, *, baseline: bool = False) -> tuple[Kind, ...]:
    """The kinds a manifest asks for or, when it does not say, has what it takes for.

    :param baseline: whether outputs are compared with a baseline's too.
    """
    return kinds_made(manifest.content, baseline=baseline)


def is_parity_reference(content: Manifest, case: Case) -> bool:
    """Whether a case is itself what others are compared with."""
    return (case.framework, case.version, case.hardware, case.precision) == parity_reference(content)


def cases_of_kind(manifest: LoadedManifest, cases: Sequence[Case], kind: Kind, *, baseline: bool = False) -> list[Case]:
    """The cases of one kind, in the order given, with ids of their own.

    Latency takes every case with the stated pre-processing. Accuracy and parity take one case, the first, of all that
    differ in threads and scenario only; parity the stated pre-processing, and not the reference itself, unless there is
    a ``baseline`` to hold its outputs against.
    """
    constant = _CONSTANT[kind]
    kept = [name for name in NAMES if name not in constant]
    if kind != "accuracy":
        cases = [case for case in cases if case.preprocessing == STATED]
    if kind == "parity" and not baseline:
        cases = [case for case in cases if not is_parity_reference(manifest.content, case)]
    shown = varying(manifest.content)
    if kind == "latency" and "preprocessing" not in shown:
        return list(cases)
    chosen: dict[tuple[object, ...], Case] = {}
    values = attrgetter(*kept)
    for case in cases:
        chosen.setdefault(values(case), case)
    shorter = shown - set(constant)
    taken: set[str] = set()
    result = []
    for case in chosen.values():
        # A conftest may have given a case an id of its own, or values from outside the matrix.
        new = (
            case_id(manifest.content, case, shorter)
            if case.id in ("", case_id(manifest.content, case, shown))
            else case.id
        )
        if new in taken:
            new = case_id(manifest.content, case, NAMES)
        taken.add(new)
        result.append(case if new == case.id else dataclasses.replace(case, id=new))
    return result
