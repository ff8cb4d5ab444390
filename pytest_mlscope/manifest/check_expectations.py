"""Checks of ``expect``, ``expect_overrides`` and ``kinds``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mlscope.components import asked
from pytest_mlscope.documents import Path, dotted, field_names
from pytest_mlscope.manifest.check_components import metric_names
from pytest_mlscope.manifest.check_frameworks import supports
from pytest_mlscope.manifest.check_further_bounds import overridden_further
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.kinds import kinds_made
from pytest_mlscope.manifest.overrides import overridden
from pytest_mlscope.manifest.schema.expectations import Bound, Expectation, ExpectationOverride, LatencyExpectation


def _check_bound(findings: Findings, path: Path, bound: Bound) -> None:
    if not findings.is_whole(*findings.place(path)):
        return
    if not bound.model_fields_set:
        findings.about(path, "has neither min nor max; required: one of them")
    elif bound.min is not None and bound.max is not None and bound.min > bound.max:
        findings.about(path, f"has min {bound.min} above max {bound.max}; allowed: min ≤ max")


def _check_latency(findings: Findings, path: Path, latency: LatencyExpectation | None) -> None:
    if latency is None or not findings.is_whole(*findings.place(path)):
        return
    if not latency.model_fields_set:
        findings.about(path, f"is empty; required: at least one of {', '.join(field_names(LatencyExpectation))}")
    lower: tuple[str, float] | None = None
    for name, attribute in field_names(LatencyExpectation).items():
        value = getattr(latency, attribute)
        if value is None:
            continue
        if lower is not None and value < lower[1]:
            findings.about(
                (*path, name), f"is below {lower[0]}, which a percentile cannot be; allowed: {lower[0]} or more"
            )
        lower = (name, value)


def _check_bounds(findings: Findings, path: Path, expectation: Expectation | ExpectationOverride) -> None:
    names = findings.metrics(metric_names(findings))
    for metric, bound in expectation.accuracy.items():
        here = (*path, "accuracy", metric)
        if names is not None:
            findings.one_of(here, "the manifest's metrics", metric, names, key=True)
        _check_bound(findings, here, bound)
    if expectation.throughput is not None:
        _check_bound(findings, (*path, "throughput"), expectation.throughput)
    _check_latency(findings, (*path, "latency"), expectation.latency)


def _check_parity(findings: Findings) -> None:
    parity = findings.content.expect.parity
    frameworks = findings.frameworks
    if parity is None or frameworks is None:
        return
    path: Path = ("expect", "parity", "reference")
    if findings.one_of(path, "the manifest's frameworks", parity.reference, frameworks) and (
        not supports(findings, parity.reference, "cpu", parity.precision)
    ):
        findings.about(
            path,
            f"is {parity.reference}, which does not offer {parity.precision} on cpu; allowed: a framework that does",
        )
    if findings.has_all_entries("outputs"):
        outputs = [output.name for output in findings.content.outputs]
        for name in parity.outputs:
            findings.one_of(("expect", "parity", "outputs", name), "the manifest's outputs", name, outputs, key=True)


def _check_overrides(findings: Findings) -> None:
    content = findings.content
    for index, override in enumerate(content.expect_overrides):
        path: Path = ("expect_overrides", index)
        _check_bounds(findings, path, override)
        nothing = override.model_fields_set == {"when"} and not overridden_further(findings, index)
        if nothing and findings.is_whole(*findings.place(path)):
            findings.about(path, "overrides nothing; required: a bound beside 'when'")
        if override.parity is not None:
            here = (*path, "parity")
            if not override.parity.model_fields_set and findings.is_whole(*findings.place(here)):
                findings.about(here, "is empty; required: at least one of max, top1_agreement, cosine")
            if content.expect.parity is None and findings.is_whole("expect"):
                findings.at_key(here, f"{dotted(findings.place(here))} needs expect.parity, which states the reference")
        if findings.is_whole("expect"):
            _check_result(findings, path, overridden(content.expect, override), override)


def _check_result(findings: Findings, path: Path, result: Expectation, override: ExpectationOverride) -> None:
    """An override that is right in itself may contradict what it leaves as it is."""
    bounds: list[tuple[Path, Bound, Bound | None]] = [
        (("accuracy", metric), given, result.accuracy[metric]) for metric, given in override.accuracy.items()
    ]
    if override.throughput is not None:
        bounds.append((("throughput",), override.throughput, result.throughput))
    for key, given, bound in bounds:
        if bound is None or bound.min is None or bound.max is None or len(given.model_fields_set) != 1:
            continue
        if bound.min > bound.max:
            findings.about((*path, *key), f"gives, together with expect, min {bound.min} above max {bound.max}")


def _check_names(findings: Findings) -> None:
    """Kinds of measurement that are named must be registered, and be such as have tests."""
    names = [name for name, each in findings.registry.measurements.items() if each.has_tests]
    for index, kind in enumerate(findings.content.kinds or ()):
        findings.one_of(("kinds", index), "kind", kind, names)
    for framework, entry in findings.content.frameworks.items():
        for index, kind in enumerate((entry.xfail and entry.xfail.kinds) or ()):
            findings.one_of(("frameworks", framework, "xfail", "kinds", index), "kind", kind, names)


def _check_kinds(findings: Findings) -> None:
    content = findings.content
    _check_names(findings)
    if content.kinds is not None:
        findings.distinct(("kinds",), "kind", content.kinds)
    if not all(findings.is_whole(name) for name in ("dataset", "metrics", "expect", "frameworks", "matrix", "kinds")):
        return
    for index, kind in enumerate(content.kinds or ()):
        measurement = findings.registry.measurements.get(kind)
        lack = asked(measurement, "lacking", content, baseline=False) if measurement else None
        if lack:
            findings.at(("kinds", index), f"kind {kind!r} needs {lack}, which the manifest does not have")
    made = kinds_made(content, findings.registry, findings.further_bounds.kinds)
    if content.kinds is not None:
        _check_unused(findings, ("expect",), (content.expect, findings.further_bounds.expect), made)
        for index, override in enumerate(content.expect_overrides):
            further = overridden_further(findings, index)
            _check_unused(findings, ("expect_overrides", index), (override, further), made)


def _check_unused(
    findings: Findings,
    path: Path,
    stated: tuple[Expectation | ExpectationOverride, Mapping[str, Any]],
    made: tuple[str, ...],
) -> None:
    about = {key: name for name, each in findings.registry.measurements.items() for key in each.expects}
    expectation, further = stated
    for key in sorted({*expectation.model_fields_set, *further} - {"when"}):
        kind = about.get(key, key)
        if kind not in made:
            here = (*path, key)
            findings.at_key(here, f"{dotted(findings.place(here))} is never checked, since kinds leaves out {kind!r}")


def check_expectations(findings: Findings) -> None:
    """Everything under ``expect``, ``expect_overrides`` and ``kinds``."""
    _check_bounds(findings, ("expect",), findings.content.expect)
    _check_parity(findings)
    _check_overrides(findings)
    _check_kinds(findings)
