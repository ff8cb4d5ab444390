"""Properties of a record for ``--junitxml``, where CI systems pick them up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pytest_mlscope.manifest import SHOWN
from pytest_mlscope.record_fields import Unit
from pytest_mlscope.records import EvaluationRecord, fields_of, parsed
from pytest_mlscope.reports.values import framework_version, resolved_precision

SHOWN_FIELDS = {
    "accuracy": ("n", "errors"),
    "parity": ("max_abs", "max_rel", "top1_agreement", "reference", "mismatch"),
    "latency": ("percentiles", "throughput", "load_seconds", "peak_memory"),
}
"""Part of a record to those of its fields that are properties."""


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
    if record.accuracy:
        properties |= {name: metric.value for name, metric in record.accuracy.metrics.items()}
    for name, shown in SHOWN_FIELDS.items():
        if part := getattr(record, name):
            hints = {field.name: field.hint for field in fields_of(type(part))}
            for field in shown:
                properties |= _with_unit(field, getattr(part, field), hints[field])
    for kind, measured in record.measurements.items():
        properties |= {f"{kind}.{column.field}": measured.values.get(column.field) for column in measured.columns}
    return [(f"mlscope.{name}", str(value)) for name, value in properties.items() if value is not None]


def _with_unit(name: str, value: Any, hint: Any) -> dict[str, Any]:
    """Under a name that tells the unit: seconds in milliseconds, memory in bytes."""
    kind, marks, _, _ = parsed(hint)
    if isinstance(value, Mapping):
        element = get_args(kind)[1]
        return {key: each for inner, one in value.items() for key, each in _with_unit(inner, one, element).items()}
    units = [mark.name for mark in marks if isinstance(mark, Unit)]
    if units == ["s"]:
        return {f"{name.removesuffix('_seconds')}_ms": None if value is None else value * 1e3}
    return {f"{name}_bytes" if units == ["B"] else name: value}
