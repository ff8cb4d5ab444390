"""A report: a whole run's records, as ``--mlscope-json`` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from pytest_mlscope.machine import MachineFacts, NotAvailable
from pytest_mlscope.record_fields import DateTime, FiniteSeconds
from pytest_mlscope.records.codec import encode
from pytest_mlscope.records.json_schema import schema_of
from pytest_mlscope.records.record import FORMAT, EvaluationRecord


class GitFacts(TypedDict):
    """State of a git checkout."""

    commit: str
    """Commit that was checked out."""
    dirty: bool | NotAvailable
    """Whether tracked files differed from it."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Facts of a run."""

    plugin_version: str
    """Version of pytest-mlscope."""
    pytest_version: str
    """Version of pytest."""
    python: str
    """Interpreter that pytest ran in."""
    platform: str
    """Operating system and architecture on one line."""
    command_line: Sequence[str]
    """The command and its arguments."""
    folder: str
    """Folder in which it was started."""
    rootdir: str
    """pytest's root folder."""
    git: GitFacts
    """State of the root folder's git checkout, or "not available"."""
    started: DateTime
    """When it began, ISO 8601 with time zone."""
    finished: DateTime
    """When it ended, likewise."""
    seconds: FiniteSeconds
    """Wall time of the run."""
    exit_status: int
    """pytest's exit status."""
    interrupted: bool
    """Whether the run was stopped before its end."""
    machine: MachineFacts
    """Facts of a machine; what the system does not tell is "not available"."""

    def to_mapping(self) -> dict[str, Any]:
        """As under ``run`` in the JSON report."""
        mapping: dict[str, Any] = encode(self, RunRecord, at="", not_finite={}, packed=False)
        return mapping


@dataclass(frozen=True)
class Report:
    """What stands in a report."""

    schema: int
    """Version of this format."""
    run: RunRecord | None
    """Facts of the run; ``None`` in a report recovered from a killed run's journal."""
    evaluations: Sequence[EvaluationRecord]
    """One entry a test item."""


def report_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every report is valid against."""
    found = schema_of(Report)
    found["properties"]["schema"] = {"const": FORMAT, "description": "Version of this format."}
    entry = found["properties"]["evaluations"]["items"]
    entry["properties"]["not_finite"] = {
        "type": "object",
        "additionalProperties": {
            "type": "string",
            "pattern": "^(nan|-?inf|[0-9]+ elements?)$",
            "description": "What stood there.",
        },
        "description": "Numbers that JSON cannot hold: JSON Pointer within this evaluation to nan, inf or -inf, or for "
        "an array to how many of its elements are null.",
    }
    entry["required"].append("not_finite")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pytest-mlscope:evaluations:{FORMAT}",
        "title": "pytest-mlscope JSON report",
        **found,
    }
