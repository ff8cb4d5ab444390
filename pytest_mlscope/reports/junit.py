"""Properties of a record for ``--junitxml``, where CI systems pick them up."""

from __future__ import annotations

from typing import Any

from pytest_mlscope.kinds import shown_kinds
from pytest_mlscope.manifest import SHOWN
from pytest_mlscope.records import EvaluationRecord
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
    for shown in shown_kinds([record]).values():
        if (result := shown.result_in(record)) is not None:
            found = shown.properties(result)
            # What says which case it is, is not hidden by a metric or a figure of the same name.
            properties |= {name: value for name, value in found.items() if name not in properties}
    return [(f"mlscope.{name}", str(value)) for name, value in properties.items() if value is not None]
