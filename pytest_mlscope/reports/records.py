"""Records as mappings: packed as they travel, or as the JSON report has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from pytest_mlscope.records.making import make_record
from pytest_mlscope.records.record import TestOutcome, from_mapping, to_mapping

__all__ = ["ExpandedRecords", "TestOutcome", "expand_record", "split_command", "to_record", "was_compared"]

_COMMAND = "; to enable: "


def to_record(*positional: Any, **named: Any) -> dict[str, Any]:
    """As :func:`make_record`, packed."""
    return to_mapping(make_record(*positional, **named), packed=True)


def split_command(text: str) -> tuple[str, str | None]:
    """The reason in a :class:`CannotRun`'s text, and the command that would help."""
    why, separator, command = text.rpartition(_COMMAND)
    return (why, command) if separator and "\n" not in command else (text, None)


def was_compared(record: Mapping[str, Any]) -> bool:
    """Whether anything of the test was compared with a baseline."""
    comparison = record["comparison"]
    return comparison is not None and comparison["outcome"] not in ("not compared", "ignored")


def expand_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as the JSON report holds it: arrays as lists. A record that is expanded already comes out equal."""
    return to_mapping(from_mapping(record))


class ExpandedRecords(Sequence[Mapping[str, Any]]):
    """Records, each expanded when it is looked at: raw samples of a whole run need not be in memory as lists."""

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> ExpandedRecords: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | ExpandedRecords:
        if isinstance(index, slice):
            return ExpandedRecords(self._records[index])
        return expand_record(self._records[index])

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(expand_record, self._records)
