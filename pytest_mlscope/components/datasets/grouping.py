"""Several columns of a table read as one vector column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from pytest_mlscope.components.datasets.columns import require_columns

ColumnGroups = dict[str, Annotated[list[str], Field(min_length=1)]]
"""Name of a vector column to the table's columns it is made of, in order."""


class Grouping:
    """Which of a table's columns make up which of the dataset's.

    :raises DatasetError: when a group names a column the table has not.
    """

    def __init__(self, title: str, table: Iterable[str], groups: Mapping[str, list[str]]) -> None:
        self._title = title
        table = list(table)
        self._parts = {name: [name] for name in table} | {name: list(parts) for name, parts in groups.items()}
        self._vectors = frozenset(groups)
        for parts in groups.values():
            require_columns(title, parts, table)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._parts)

    def is_vector(self, column: str) -> bool:
        return column in self._vectors

    def parts(self, column: str) -> list[str]:
        """The table's columns behind one of the dataset's. :raises DatasetError: when there is no such column."""
        if column not in self._parts:
            require_columns(self._title, [column], self._parts)
        return self._parts[column]
