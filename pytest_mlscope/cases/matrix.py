"""From a manifest's matrix to its cases."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

from pytest_mlscope.cases.case import Case
from pytest_mlscope.manifest.dimensions import (
    NAMES,
    OUTER,
    Dimensions,
    dimensions_of,
    excluded_cells,
    included_cell,
)
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.offers import offers
from pytest_mlscope.manifest.schema import Manifest


def component(dimension: str, value: object) -> str:
    """How a dimension's value is written in an id.

    >>> component("threads", 4), component("batch_size", 8), component("precision", "fp32")
    ('t4', 'b8', 'fp32')
    """
    if dimension == "threads":
        return "tdefault" if value == "framework_default" else f"t{value}"
    return f"b{value}" if dimension == "batch_size" else str(value)


def varying(content: Manifest) -> frozenset[str]:
    """The dimensions with several values over the whole matrix, ``include`` considered, and the framework.

    The version is among them where any framework has several; only ids of such a framework show it.
    """
    dimensions = dimensions_of(content)
    included = [included_cell(entry, dimensions) for entry in content.matrix.include]
    several = [
        name
        for index, name in enumerate(NAMES)
        if name != "version" and len({*dimensions.values[index], *(cell[index] for cell in included)}) > 1
    ]
    versions = ["version"] if len(dimensions.frameworks) > len(content.frameworks) else []
    return frozenset(("framework", *versions, *several))


def case_id(content: Manifest, case: Case, shown: Collection[str]) -> str:
    """The id of a case when only some dimensions are shown."""
    entry = content.frameworks[case.framework]
    # A conftest may have given a case another version than the framework's only one.
    if case.version is None or entry.versions == (case.version,):
        shown = [name for name in shown if name != "version"]
    return "-".join(component(name, getattr(case, name)) for name in NAMES if name in shown)


def _written(content: Manifest, dimensions: Dimensions) -> list[dict[Any, str]]:
    """For each dimension, the version being the framework's, how its values stand in an id, with the dash before."""
    shown = varying(content)
    several = {name for name, entry in content.frameworks.items() if len(entry.versions) > 1}
    written: list[dict[Any, str]] = [
        {
            (name, version): f"{name}-{component('version', version)}" if name in several else name
            for name, version in dimensions.frameworks
        }
    ]
    for index, name in enumerate(NAMES[2:], 2):
        values = [*dimensions.values[index], *(getattr(entry, name) for entry in content.matrix.include)]
        written.append({value: f"-{component(name, value)}" if name in shown else "" for value in values})
    return written


def expand(manifest: LoadedManifest) -> list[Case]:
    """All cases of a manifest: the product of its dimensions, less ``exclude``, plus ``include``.

    A framework has cases with the hardware and precisions that it offers. Cases of one framework and version stand
    together, so that its host stays warm. An id depends on the manifest alone.
    """
    content = manifest.content
    dimensions = dimensions_of(content)
    written = _written(content, dimensions)
    excluded_outer = excluded_cells(content, before=OUTER)
    excluded_inner = excluded_cells(content, among=OUTER)
    # Ids are put together from halves, which makes the inner loop twice as fast.
    inner = [
        (*values, "".join(map(dict.__getitem__, written[OUTER - 1 :], values)))
        for values in itertools.product(*dimensions.values[OUTER:])
    ]
    whose = {"model": content.name, "manifest": str(manifest.path), "manifest_sha256": manifest.sha256}
    cases: list[Case] = []
    for outer in dimensions.cells(before=OUTER):
        framework, version, hardware, precision, variant = outer
        if outer in excluded_outer or not offers(manifest.registry, framework, hardware, precision):
            continue
        start = "".join(map(dict.__getitem__, written, ((framework, version), *outer[2:])))
        here = [end for end in inner if (*outer, *end) not in excluded_inner] if excluded_inner else inner
        cases += [
            Case(
                framework,
                hardware,
                precision,
                threads,
                batch_size,
                scenario,
                variant,
                version,
                start + end,
                **whose,
            )
            for threads, batch_size, scenario, end in here
        ]
    for entry in content.matrix.include:
        cell = included_cell(entry, dimensions)
        framework, version, hardware, precision, variant, threads, batch_size, scenario = cell
        name = "".join(map(dict.__getitem__, written, ((framework, version), *cell[2:])))
        cases.append(
            Case(
                framework,
                hardware,
                precision,
                threads,
                batch_size,
                scenario,
                variant,
                version,
                name,
                **whose,
            )
        )
    return cases
