"""How the results of a kind of measurement are shown: each kind says it, and reports lay it out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, get_args

from pytest_mlscope.columns import ABSENT, Column, View
from pytest_mlscope.measurements import OtherMeasurement
from pytest_mlscope.quantities import heading, measured
from pytest_mlscope.record_fields import Unit
from pytest_mlscope.records import EvaluationRecord, fields_of, parsed

P = TypeVar("P")


class Shown(ABC, Generic[P]):
    """What the summary and JUnit show of one kind of measurement."""

    told_by_others: ClassVar[tuple[str, ...]] = ()
    """Fields that do not tell two results apart, because others do: wall times, and arrays whose figures are fields."""

    @abstractmethod
    def result_in(self, record: EvaluationRecord) -> P | None:
        """The result that a record has; ``None`` where it has none."""

    def apart(self, result: P) -> object:
        """Results for which this differs stand in tables of their own. By default all share one."""
        return None

    @abstractmethod
    def view(self, results: Sequence[P], records: Sequence[EvaluationRecord]) -> View:
        """How results are shown, a row each.

        :param records: that have them, in the same order.
        """

    @abstractmethod
    def properties(self, result: P) -> Mapping[str, object]:
        """Name to value of what is a property of a test case in JUnit: with all digits, ``None`` for no property."""


class StatedColumns(Shown[OtherMeasurement]):
    """A kind that a plugin or a conftest added: its columns travel with its results, for it may not be known here."""

    def __init__(self, name: str) -> None:
        self._name = name

    def result_in(self, record: EvaluationRecord) -> OtherMeasurement | None:
        return record.measurements.get(self._name)

    def view(self, results: Sequence[OtherMeasurement], records: Sequence[EvaluationRecord]) -> View:
        stated = {column.field: column for each in results for column in each.columns}
        return View(
            [
                Column(
                    heading(column.title, column.unit),
                    [_cell(each.values.get(column.field), column.unit) for each in results],
                )
                for column in stated.values()
            ]
        )

    def properties(self, result: OtherMeasurement) -> Mapping[str, object]:
        return {f"{self._name}.{column.field}": result.values.get(column.field) for column in result.columns}


def _cell(value: object, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return measured(value, unit)
    return ABSENT if value is None else str(value)


def field_properties(result: Any, names: Iterable[str]) -> dict[str, object]:
    """Fields of a result under names that tell their units: seconds in milliseconds, memory in bytes."""
    hints = {field.name: field.hint for field in fields_of(type(result))}
    found: dict[str, object] = {}
    for name in names:
        found |= _with_unit(name, getattr(result, name), hints[name])
    return found


def _with_unit(name: str, value: Any, hint: Any) -> dict[str, object]:
    kind, marks, _, _ = parsed(hint)
    if isinstance(value, Mapping):
        element = get_args(kind)[1]
        return {key: each for inner, one in value.items() for key, each in _with_unit(inner, one, element).items()}
    units = [mark.name for mark in marks if isinstance(mark, Unit)]
    if units == ["s"]:
        return {f"{name.removesuffix('_seconds')}_ms": None if value is None else value * 1e3}
    return {f"{name}_bytes" if units == ["B"] else name: value}
