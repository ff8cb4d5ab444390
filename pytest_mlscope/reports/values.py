"""What reports read out of a record's provenance."""

from __future__ import annotations

from pytest_mlscope.records import EvaluationRecord


def framework_version(record: EvaluationRecord) -> str | None:
    """The framework's version as the framework stated it."""
    if record.provenance is None or "framework" not in record.provenance:
        return None
    version = record.provenance["framework"].get("version")
    return version if isinstance(version, str) else None


def resolved_precision(record: EvaluationRecord) -> str | None:
    """What the precision came to, as the framework's predictor read it back."""
    if record.provenance is None or "resolved" not in record.provenance:
        return None
    precision = record.provenance["resolved"].get("precision")
    return precision if isinstance(precision, str) else None
