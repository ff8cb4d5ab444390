"""Properties of a record for ``--junitxml``, where CI systems pick them up."""

from __future__ import annotations

from typing import Any

from pytest_mlscope.manifest.dimensions import SHOWN
from pytest_mlscope.records.record import EvaluationRecord
from pytest_mlscope.reports.values import framework_version, resolved_precision


def junit_properties(record: EvaluationRecord) -> list[tuple[str, str]]:
    """``(name, value)`` pairs to append to an item's ``user_properties``.

    Numbers keep all their digits; what was not measured, or not supported by the sample, has no property.
    """
    properties: dict[str, Any] = {"kind": record.kind}
    if case := record.case:
        properties |= {name: getattr(case, name) for name in ("model", "framework", *SHOWN)}
    properties["framework_version"] = framework_version(record)
    properties["resolved_precision"] = resolved_precision(record)
    properties["key"] = record.key
    if accuracy := record.accuracy:
        properties |= {name: metric.value for name, metric in accuracy.metrics.items()}
        properties |= {"n": accuracy.n, "errors": accuracy.errors}
    if parity := record.parity:
        properties |= {name: getattr(parity, name) for name in _PARITY}
    if latency := record.latency:
        properties |= {f"{name}_ms": _milliseconds(value) for name, value in latency.percentiles.items()}
        properties["throughput"] = latency.throughput
        properties["load_ms"] = _milliseconds(latency.load_seconds)
        properties["peak_memory_bytes"] = latency.peak_memory
    for kind, measured in record.measurements.items():
        properties |= {f"{kind}.{column.field}": measured.values.get(column.field) for column in measured.columns}
    return [(f"mlscope.{name}", str(value)) for name, value in properties.items() if value is not None]


_PARITY = ("max_abs", "max_rel", "top1_agreement", "reference", "mismatch")


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
