"""Which kinds of test a manifest has, and which of its cases each kind takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from operator import attrgetter

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.ids import case_id, varying
from pytest_mlscope.components import Measurement, asked
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest import NAMES, LoadedManifest, Manifest, kinds_made, parity_reference
from pytest_mlscope.text import closest, did_you_mean


def known_measurement(manifest: LoadedManifest, kind: object) -> Measurement:
    """The kind of measurement of a name.

    :raises MlscopeError: when there is none that manifests can have tests of.
    """
    known = {name: each for name, each in manifest.registry.measurements.items() if each.has_tests}
    if not isinstance(kind, str) or kind not in known:
        hint = did_you_mean(closest(kind, list(known)))
        raise MlscopeError(f"unknown kind {kind!r}; allowed: {', '.join(known)}{hint}")
    return known[kind]


def kinds_of(manifest: LoadedManifest, *, baseline: bool = False) -> tuple[str, ...]:
    """The kinds a manifest asks for or, when it does not say, has what it takes for.

    :param baseline: whether outputs are compared with a baseline's too.
    """
    return kinds_made(manifest.content, manifest.registry, manifest.further_bounds.kinds, baseline=baseline)


def is_parity_reference(content: Manifest, case: Case) -> bool:
    """Whether a case is itself what others are compared with."""
    return (case.framework, case.version, case.hardware, case.precision) == parity_reference(content)


def cases_of_kind(manifest: LoadedManifest, cases: Sequence[Case], kind: str, *, baseline: bool = False) -> list[Case]:
    """The cases of one kind, in the order given, with ids of their own.

    Of those that a kind takes, one case, the first, of all that differ only in dimensions that it ignores. With a
    ``baseline`` a kind may take more: the parity reference's outputs have something to be compared with.
    """
    measurement = manifest.registry.measurements[kind]
    constant = measurement.ignores
    if unknown := [name for name in constant if name not in NAMES]:
        raise MlscopeError(
            f"{measurement.name}: ignores names {unknown[0]!r}, which is not a dimension; allowed: {', '.join(NAMES)}"
        )
    kept = [name for name in NAMES if name not in constant]
    cases = [case for case in cases if asked(measurement, "takes", manifest.content, case, baseline=baseline)]
    shown = varying(manifest.content)
    if shown.isdisjoint(constant) and constant == ("preprocessing",):
        return cases
    chosen: dict[tuple[object, ...], Case] = {}
    values = attrgetter(*kept)
    for case in cases:
        # The first one stands for all: they differ only in what the kind ignores.
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
        # Cases that a hook added may differ in a dimension that the id does not show.
        if new in taken:
            new = case_id(manifest.content, case, NAMES)
        taken.add(new)
        result.append(case if new == case.id else dataclasses.replace(case, id=new))
    return result
