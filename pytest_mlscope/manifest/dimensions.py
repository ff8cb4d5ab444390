"""The dimensions of a manifest's matrix, and which of its cells selectors choose."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_mlscope.manifest.schema.manifest import Manifest
from pytest_mlscope.manifest.schema.matrix import CaseSelector, MatrixEntry

STATED = "stated"
"""The name of the pre-processing the manifest's inputs state themselves."""

NAMES = ("framework", "version", "hardware", "precision", "preprocessing", "threads", "batch_size", "scenario")
"""Dimensions from the one that varies slowest to the one that varies fastest."""

SHOWN = (
    *(name for name in NAMES if name not in ("framework", "version", "preprocessing")),
    "preprocessing",
)
"""Dimensions beside the framework, in the order of tables, which show what is rarely there last."""

Cell = tuple[str, str | None, str, str, str, int | Literal["framework_default"], int, str]
"""One value for each of ``NAMES``."""

OUTER = NAMES.index("threads")
"""Dimensions before this one have few values."""


@dataclass(frozen=True)
class Dimensions:
    """The values of each dimension. Their product is the matrix, save that each framework has versions of its own."""

    frameworks: tuple[tuple[str, str | None], ...]
    """Each framework with each of its versions."""
    values: tuple[tuple[Any, ...], ...]
    """In the order of ``NAMES``."""

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        return self.values[NAMES.index(name)]

    @property
    def size(self) -> int:
        """The number of cells of the product."""
        return len(self.frameworks) * math.prod(len(values) for values in self.values[2:])

    def cells(self, *, before: int = len(NAMES)) -> Iterator[tuple[Any, ...]]:
        """The product of the dimensions with an index, of at least 2, below ``before``."""
        for (framework, version), *rest in itertools.product(self.frameworks, *self.values[2:before]):
            yield (framework, version, *rest)

    def versions_of(self, framework: str) -> list[str | None]:
        """The versions of one framework, the first one first."""
        return [version for name, version in self.frameworks if name == framework]


def fixed_batch(content: Manifest) -> int | None:
    """The batch size the inputs' shapes fix, where every input fixes the same one."""
    sizes = {entry.batch_extent for entry in content.inputs if entry.batch_dimension is not None}
    size = next(iter(sizes)) if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


def dimensions_of(content: Manifest) -> Dimensions:
    """The dimensions of the product, without ``include`` and ``exclude``."""
    matrix = content.matrix
    batch_sizes = matrix.batch_size
    fixed = fixed_batch(content)
    if fixed is not None and "batch_size" not in matrix.model_fields_set:
        batch_sizes = [fixed]
    frameworks = tuple((name, version) for name, entry in content.frameworks.items() for version in entry.versions)
    return Dimensions(
        frameworks,
        (
            tuple(content.frameworks),
            tuple(dict.fromkeys(version for _, version in frameworks)),
            tuple(matrix.hardware),
            tuple(matrix.precision),
            (STATED, *content.preprocessing_variants),
            tuple(matrix.threads),
            tuple(batch_sizes),
            tuple(matrix.scenario),
        ),
    )


def included_cell(entry: MatrixEntry, dimensions: Dimensions) -> Cell:
    """The cell of an ``include`` entry; keys it leaves out take the first value of their dimension."""
    version = entry.version or next(iter(dimensions.versions_of(entry.framework)), None)
    given = (getattr(entry, name) for name in NAMES[2:])
    values = zip(given, dimensions.values[2:], strict=True)
    hardware, precision, preprocessing, threads, batch_size, scenario = (
        value if value is not None else first for value, (first, *_) in values
    )
    return (entry.framework, version, hardware, precision, preprocessing, threads, batch_size, scenario)


def criteria(selector: CaseSelector) -> dict[int, Any]:
    """What a selector asks for, by the dimension's index in ``NAMES``."""
    values = ((index, getattr(selector, name)) for index, name in enumerate(NAMES))
    return {index: value for index, value in values if value is not None}


def selects(wanted: Mapping[int, Any], cell: tuple[Any, ...]) -> bool:
    """Whether a cell, or the first few dimensions of one, agrees with ``criteria``."""
    return all(cell[index] == value for index, value in wanted.items())


class Excluded:
    """The cells that any of several selectors chooses, found in a time that hardly depends on how many they are."""

    def __init__(self, selectors: Iterable[Mapping[int, Any]]) -> None:
        """:param selectors: as :func:`criteria` gives them."""
        self._values: dict[tuple[int, ...], set[tuple[Any, ...]]] = {}
        for wanted in selectors:
            self._values.setdefault(tuple(wanted), set()).add(tuple(wanted.values()))

    def __bool__(self) -> bool:
        return bool(self._values)

    def __contains__(self, cell: tuple[Any, ...]) -> bool:
        for indices, values in self._values.items():  # noqa: SIM110  # any() with a generator takes twice as long
            if tuple([cell[index] for index in indices]) in values:
                return True
        return False


def excluded_cells(content: Manifest, *, among: int = 0, before: int = len(NAMES)) -> Excluded:
    """What ``exclude`` takes out, by the selectors whose last dimension has an index from ``among`` to ``before``."""
    selectors = map(criteria, content.matrix.exclude)
    return Excluded(wanted for wanted in selectors if among <= max(wanted, default=0) < before)


def devices_in_use(content: Manifest) -> Iterator[tuple[str, str | None, str, str]]:
    """The (framework, version, hardware, precision) combinations that have cells, each once."""
    dimensions = dimensions_of(content)
    end = NAMES.index("precision") + 1
    excluded = excluded_cells(content, before=end)
    cells = (cell for cell in dimensions.cells(before=end) if cell not in excluded)
    included = (included_cell(entry, dimensions) for entry in content.matrix.include)
    yield from dict.fromkeys((cell[0], cell[1], cell[2], cell[3]) for cell in itertools.chain(cells, included))
