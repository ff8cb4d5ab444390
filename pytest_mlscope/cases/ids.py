"""The id of a case: what stands in brackets in a test's name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pytest_mlscope.cases.case import Case
from pytest_mlscope.manifest import NAMES, Dimensions, Manifest, dimensions_of, included_cell


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
        # The version belongs to a framework: two frameworks at one version each would look like two versions.
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


def id_parts(content: Manifest, dimensions: Dimensions) -> list[dict[Any, str]]:
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
        # An included cell may have a value that no dimension lists.
        values = [*dimensions.values[index], *(getattr(entry, name) for entry in content.matrix.include)]
        written.append({value: f"-{component(name, value)}" if name in shown else "" for value in values})
    return written
