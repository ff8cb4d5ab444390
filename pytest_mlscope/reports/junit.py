"""Properties of a record for ``--junitxml``, where CI systems pick them up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mlscope.manifest.dimensions import SHOWN
from pytest_mlscope.reports.values import framework_version, number, resolved_precision


def junit_properties(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """``(name, value)`` pairs to append to an item's ``user_properties``.

    Numbers keep all their digits; what was not measured, or not supported by the sample, has no property.
    """
    properties: dict[str, Any] = {"kind": record["kind"]}
    if case := record["case"]:
        properties |= {name: case[name] for name in ("model", "framework", *SHOWN)}
    properties["framework_version"] = framework_version(record)
    properties["resolved_precision"] = resolved_precision(record)
    properties["key"] = record["key"]
    if accuracy := record["accuracy"]:
        properties |= {name: number(record, "accuracy", "metrics", name, "value") for name in accuracy["metrics"]}
        properties |= {"n": accuracy["n"], "errors": accuracy["errors"]}
    if parity := record["parity"]:
        properties |= {name: number(record, "parity", name) for name in ("max_abs", "max_rel", "top1_agreement")}
        properties |= {"reference": parity["reference"], "mismatch": parity["mismatch"]}
    if latency := record["latency"]:
        for name in latency["percentiles"]:
            properties[f"{name}_ms"] = _milliseconds(number(record, "latency", "percentiles", name))
        properties["throughput"] = number(record, "latency", "throughput")
        properties["load_ms"] = _milliseconds(number(record, "latency", "load_seconds"))
        properties["peak_memory_bytes"] = latency["peak_memory"]
    return [(f"mlscope.{name}", str(value)) for name, value in properties.items() if value is not None]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
