"""What the summary says in words: what could not run and why, what was expected to fail, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_mlscope.quantities import plural
from pytest_mlscope.records import EvaluationRecord
from pytest_mlscope.reports.rows import case_label, is_of_manifest, test_name


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
    """Test items that failed alike: one line a check that did not hold, or why it could not be checked."""

    labels: tuple[str, ...]
    lines: tuple[tuple[str, str | None], ...]
    """What is wrong, and the command that would put that right."""


def reasons(records: Sequence[EvaluationRecord], outcome: str) -> list[Reason]:
    """The distinct reasons of records of this outcome, most frequent first.

    The frameworks stand before a reason that names none of them, unless it is about the machine: then its subject
    is the hardware target.
    """
    grouped: dict[tuple[str, str | None, str | None], list[EvaluationRecord]] = {}
    for record in records:
        if record.outcome == outcome:
            text = _one_line(record.reason) or "no reason given"
            grouped.setdefault((text, record.subject, record.command), []).append(record)
    found = []
    for (text, subject, command), members in grouped.items():
        frameworks = sorted({record.case.framework for record in members if record.case})
        is_of_the_machine = subject in {record.case.hardware for record in members if record.case}
        if frameworks and not is_of_the_machine and not any(name.lower() in text.lower() for name in frameworks):
            text = f"{', '.join(frameworks)}: {text}"
        found.append(Reason(text, len(members), command))
    return sorted(found, key=lambda reason: (-reason.count, reason.text))


def failures(records: Sequence[EvaluationRecord]) -> list[Failure]:
    """What failed, each reason once, in the order of the node ids that it is first met at."""
    grouped: dict[tuple[tuple[str, str | None], ...], list[str]] = {}
    for record in sorted(records, key=lambda record: record.nodeid):
        if record.outcome not in ("failed", "error"):
            continue
        grouped.setdefault(_why_failed(record), []).append(_label(record))
    return [Failure(tuple(labels), lines) for lines, labels in grouped.items()]


def _why_failed(record: EvaluationRecord) -> tuple[tuple[str, str | None], ...]:
    """Checks that did not hold and what was worse than the baseline, else the reason's first line."""
    lines: list[tuple[str, str | None]] = [(check.message, None) for check in record.checks if not check.passed]
    for message in record.comparison.failed_with if record.comparison else ():
        *first, last = message.splitlines() or [""]
        command = record.comparison.command_for(message) if record.comparison else None
        lines += [*((line, None) for line in first), (last, command)]
    lines = lines or [(record.reason or "failed without a reason", record.command)]
    return tuple((_one_line(line) or "failed without a reason", command) for line, command in lines)


def _label(record: EvaluationRecord) -> str:
    if not record.case:
        return record.nodeid
    test = record.kind if is_of_manifest(record) else test_name(record)
    return f"{case_label(record.case)} {test}"


def _one_line(text: str | None) -> str:
    """The first line that says something."""
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
