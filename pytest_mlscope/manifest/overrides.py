"""Applying ``expect_overrides`` to ``expect``."""

from __future__ import annotations

from typing import TypeVar

from pytest_mlscope.manifest.schema.expectations import (
    Bound,
    Expectation,
    ExpectationOverride,
    LatencyExpectation,
    ParityExpectation,
    ParityTolerance,
)

_Section = TypeVar("_Section", Bound, LatencyExpectation)


def _merged(base: _Section | None, override: _Section | None) -> _Section | None:
    if base is None or override is None:
        return override
    return base.model_copy(update={name: getattr(override, name) for name in override.model_fields_set})


def _parity(base: ParityExpectation, override: ParityTolerance) -> ParityExpectation:
    names = override.model_fields_set
    changes: dict[str, object] = {name: getattr(override, name) for name in names - {"max"}}
    if "max" in names:
        changes["abs"] = override.max
    elif names:
        # An agreement alone takes the place of the elements' tolerance.
        changes |= {"abs": None, "rel": None, "outputs": {}}
    return base.model_copy(update=changes)


def overridden(expectation: Expectation, override: ExpectationOverride) -> Expectation:
    """``expectation`` with each key the override gives replaced; an empty value takes a bound away."""
    given = override.model_fields_set
    changes: dict[str, object] = {name: getattr(override, name) for name in given & {"peak_memory", "load_time"}}
    if "latency" in given:
        changes["latency"] = _merged(expectation.latency, override.latency)
    if "throughput" in given:
        changes["throughput"] = _merged(expectation.throughput, override.throughput)
    if override.accuracy:
        accuracy = dict(expectation.accuracy)
        for metric, bound in override.accuracy.items():
            accuracy[metric] = _merged(accuracy.get(metric), bound) or bound
        changes["accuracy"] = accuracy
    if override.parity is not None and expectation.parity is not None:
        changes["parity"] = _parity(expectation.parity, override.parity)
    return expectation.model_copy(update=changes)
