"""Reading values out of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mlscope.records.plain import pointer_token


def number(record: Mapping[str, Any], *keys: str | int) -> float | None:
    """The number at a place, with NaN and infinities as they were measured; ``None`` where there is none."""
    value: Any = record
    for key in keys:
        value = value[key]
        if value is None:
            break
    if value is None:
        odd = record["not_finite"].get("".join(f"/{pointer_token(str(key))}" for key in keys))
        return float(odd) if odd in ("nan", "inf", "-inf") else None
    return float(value)


def framework_version(record: Mapping[str, Any]) -> str | None:
    """The framework's version as the framework stated it."""
    framework = (record["provenance"] or {}).get("framework") or {}
    version = framework.get("version")
    return version if isinstance(version, str) else None


def resolved_precision(record: Mapping[str, Any]) -> str | None:
    """What the precision came to, as the framework's predictor read it back."""
    precision = ((record["provenance"] or {}).get("resolved") or {}).get("precision")
    return precision if isinstance(precision, str) else None
