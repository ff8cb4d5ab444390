"""From a manifest's matrix to its cases."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

from pytest_mlscope.cases.case import Case
from pytest_mlscope.manifest.dimensions import (
    NAMES,
    Dimensions,
    dimensions_of,
    excluded_cells,
    included_cell,
)
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.schema import Manifest


def component(dimension: str, value: object) -> str:
    """How a dimension's value is written in an id."""
    if dimension == "threads":
        return "tdefault" if value == "framework_default" else f"t{value}"
    return f"b{value}" if dimension == "batch_size" else str(value)


def varying(content: Manifest) -> frozenset[str]:
    """The dimensions with several values over the whole matrix, ``include`` considered, and the framework."""
    dimensions = dimensions_of(content)
    included = [included_cell(entry, dimensions) for entry in content.matrix.include]
    several = (
        name
        for index, name in enumerate(NAMES)
        if len({*dimensions.values[index], *(cell[index] for cell in included)}) > 1
    )
    return frozenset(("framework", *several))


def case_id(case: Case, shown: Collection[str]) -> str:
    """The id of a case when only some dimensions are shown."""
    return "-".join(component(name, getattr(case, name)) for name in NAMES if name in shown)


_OUTER = NAMES.index("threads")
"""Dimensions before this one are gone through in the outer loop of :func:`expand`."""


def _written(content: Manifest, dimensions: Dimensions) -> list[dict[Any, str]]:
    """For each dimension, how its values stand in an id, with the dash before them."""
    shown = varying(content)
    written: list[dict[Any, str]] = []
    for index, name in enumerate(NAMES):
        values = [*dimensions.values[index], *(getattr(entry, name) for entry in content.matrix.include)]
        dash = "" if name == "framework" else "-"
        written.append({value: f"{dash}{component(name, value)}" if name in shown else "" for value in values})
    return written


def expand(manifest: LoadedManifest) -> list[Case]:
    """All cases of a manifest: the product of its dimensions, less ``exclude``, plus ``include``.

    Cases of one framework stand together, so that its host stays warm. An id depends on the manifest alone.
    """
    content = manifest.content
    dimensions = dimensions_of(content)
    written = _written(content, dimensions)
    excluded_outer = excluded_cells(content, before=_OUTER)
    excluded_inner = excluded_cells(content, among=_OUTER)
    # Ids are put together from halves, which makes the inner loop twice as fast.
    inner = [
        (*values, "".join(map(dict.__getitem__, written[_OUTER:], values)))
        for values in itertools.product(*dimensions.values[_OUTER:])
    ]
    cases: list[Case] = []
    for outer in itertools.product(*dimensions.values[:_OUTER]):
        framework, hardware, precision, variant = outer
        if outer in excluded_outer:
            continue
        start = "".join(map(dict.__getitem__, written, outer))
        here = [end for end in inner if (*outer, *end) not in excluded_inner] if excluded_inner else inner
        cases += [
            Case(framework, hardware, precision, threads, batch_size, scenario, variant, start + end, manifest=manifest)
            for threads, batch_size, scenario, end in here
        ]
    for entry in content.matrix.include:
        cell = included_cell(entry, dimensions)
        framework, hardware, precision, variant, threads, batch_size, scenario = cell
        name = "".join(map(dict.__getitem__, written, cell))
        cases.append(
            Case(framework, hardware, precision, threads, batch_size, scenario, variant, name, manifest=manifest)
        )
    return cases
