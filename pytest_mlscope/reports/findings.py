"""What the summary says in words: what could not run and why, what was expected to fail, what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mlscope.gate.readable import plural
from pytest_mlscope.reports.rows import case_label


@dataclass(frozen=True)
class Reason:
    """Why some tests did not run, or were expected to fail."""

    text: str
    count: int
    command: str | None = None
    """What would make them run."""

    @property
    def line(self) -> str:
        """``pytorch: not installed here — 4 tests``."""
        return f"{self.text} — {plural(self.count, 'test')}"


@dataclass(frozen=True)
class Failure:
    """A test item that failed: one line a check that did not hold, or why it could not be checked."""

    label: str
    lines: tuple[str, ...]


def reasons(records: Sequence[Mapping[str, Any]], outcome: str) -> list[Reason]:
    """The distinct reasons of records of this outcome, most frequent first.

    Where one framework alone has a reason that does not name it, the framework stands before it.
    """
    grouped: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for record in records:
        if record["outcome"] == outcome:
            grouped.setdefault((_one_line(record["reason"]) or "no reason given", record["command"]), []).append(record)
    found = []
    for (text, command), members in grouped.items():
        frameworks = sorted({record["case"]["framework"] for record in members if record["case"]})
        if frameworks and not any(name.lower() in text.lower() for name in frameworks):
            text = f"{', '.join(frameworks)}: {text}"
        found.append(Reason(text, len(members), command))
    return sorted(found, key=lambda reason: (-reason.count, reason.text))


def failures(records: Sequence[Mapping[str, Any]]) -> list[Failure]:
    """Every record that failed, in the order of node ids."""
    found = []
    for record in sorted(records, key=lambda record: str(record["nodeid"])):
        if record["outcome"] not in ("failed", "error"):
            continue
        lines = tuple(_one_line(check["message"]) for check in record["checks"] if not check["passed"])
        if not lines:
            lines = (_one_line(record["reason"]) or "failed without a reason",)
        label = f"{case_label(record['case'])} {record['kind']}" if record["case"] else record["nodeid"]
        found.append(Failure(label, lines))
    return found


def _one_line(text: str | None) -> str:
    """The first line that says something."""
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
