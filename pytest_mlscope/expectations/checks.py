"""Compares an evaluation with what its manifest expects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from pytest_mlscope import quantities as readable
from pytest_mlscope.cases import Plan
from pytest_mlscope.components import Check, Scenario, asked
from pytest_mlscope.documents import field_names
from pytest_mlscope.expectations.parity_text import difference_text, from_itself, tolerance_text
from pytest_mlscope.manifest import Bound, LatencyExpectation
from pytest_mlscope.measurements import Accuracy, Latency, OutputParity, Parity
from pytest_mlscope.statistics import minimum_samples


def _bound_text(bound: Bound, shown: Callable[[float], str] = "{:g}".format) -> str:
    parts = [f"≥ {shown(bound.min)}"] if bound.min is not None else []
    parts += [f"≤ {shown(bound.max)}"] if bound.max is not None else []
    return " and ".join(parts)


def _within(value: float, bound: Bound) -> bool:
    # NaN compares false with everything, and so is never within.
    return (bound.min is None or value >= bound.min) and (bound.max is None or value <= bound.max) and value == value


def accuracy_checks(accuracy: Accuracy, plan: Plan) -> Iterator[Check]:
    """Errors, and every metric that the manifest bounds."""
    expected = plan.expectation
    if accuracy.errors:
        message = (
            f"{accuracy.errors:,} of {accuracy.n:,} rows have no prediction (expected ≤ {expected.errors:,}); "
            f"first error: {accuracy.failures[0].message}"
        )
        passed = accuracy.errors <= expected.errors
        yield Check("errors", float(accuracy.errors), f"≤ {expected.errors}", passed, message)
    for name, bound in expected.accuracy.items():
        metric = accuracy.metrics[name]
        interval = f", 95% interval {metric.interval[0]:.4f}–{metric.interval[1]:.4f}" if metric.interval else ""
        errors = f", {accuracy.errors:,} of them errors" if accuracy.errors else ""
        text = _bound_text(bound)
        chance = ""
        if metric.chance is not None and metric.is_chance:
            chance = f"; no better than chance ({metric.chance:.4f}); check the order of the labels and the steps"
        message = f"{name} is {metric.value:.4f} (expected {text}) over {accuracy.n:,} rows{errors}{interval}{chance}"
        yield Check(name, metric.value, text, _within(metric.value, bound), message)


def parity_checks(parity: Parity, plan: Plan) -> Iterator[Check]:
    """Every tolerance and agreement."""
    if parity.mismatch:
        text = tolerance_text(parity)
        yield Check("parity", None, text, False, f"cannot be compared with {parity.reference}: {parity.mismatch}")
        return
    if any(output.bounded for output in parity.outputs) or not parity.outputs or parity.violations:
        message = f"outputs differ from {parity.reference} {difference_text(parity)}"
        yield Check("parity", parity.max_abs, tolerance_text(parity), parity.within_tolerance, message)
    stated, expected = plan.expectation.parity, plan.parity_expected
    # The default is for outputs with classes alone.
    has_classes = parity.top1_agreement is not None or (stated is not None and stated.top1_agreement is not None)
    if expected is not None and expected.top1_agreement is not None and has_classes:
        yield _agreement("top-1 agreement", parity.top1_agreement, expected.top1_agreement, parity, parity.outputs[:1])
    if expected is not None and expected.cosine is not None:
        # An output that is zero everywhere in both has no angle, and none is needed.
        lacking = [output for output in parity.outputs if output.cosine is None and output.max_abs != 0]
        cosine = None if lacking else parity.cosine
        yield _agreement("cosine", cosine, expected.cosine, parity, lacking or parity.outputs)


def _agreement(name: str, value: float | None, least: float, parity: Parity, outputs: Sequence[OutputParity]) -> Check:
    text = f"≥ {least:g}"
    names = ", ".join(repr(output.name) for output in outputs)
    if value is None:
        message = f"{name} with {parity.reference} is not known (expected {text}): output {names} has none"
    else:
        message = (
            f"{name} with {parity.reference} is {readable.score(value)} (expected {text}) over {parity.n:,} rows"
            f"{from_itself(parity)}"
        )
    return Check(name.replace("-", "").replace(" ", "_"), value, text, value is not None and value >= least, message)


_MARGIN = 1.2
"""How much longer than the samples themselves a window should last: calls vary, and some time goes between them."""


def _needed_time(scenario: Scenario, latency: Latency, samples: int) -> str:
    """Which setting gives so many samples, and at which value, as far as this run's pace tells."""
    setting: str
    a_sample: float | None
    setting, a_sample = asked(scenario, "pace", latency)
    if a_sample is None:
        return setting
    seconds = samples * a_sample * _MARGIN
    # Two digits, rounded up, as a manifest writes them.
    digits = 1 - math.floor(math.log10(seconds)) if seconds > 0 else 0
    rounded = math.ceil(seconds * 10.0**digits) / 10.0**digits
    return f"{setting} to {readable.seconds(rounded)}"


def latency_checks(latency: Latency, plan: Plan) -> Iterator[Check]:
    """Every bound of a time, a rate or memory, in a stable order."""
    expected = plan.expectation
    n = len(latency.samples_ns)
    yield from asked(plan.scenario, "checks", latency)
    for name, attribute in field_names(LatencyExpectation).items():
        limit = getattr(expected.latency, attribute) if expected.latency else None
        if limit is None:
            continue
        value = latency.percentiles[name]
        text = f"≤ {readable.seconds(limit)}"
        if value is None and latency.unanswered:
            missing = f"{latency.unanswered:,} of {n + latency.unanswered:,} queries had no answer"
            yield Check(name, None, text, False, f"{name} is not known: {missing} (expected {text})")
        elif value is None:
            needed = minimum_samples(float(name[1:]))
            message = (
                f"{name} is not known: {n:,} samples, {needed:,} needed (expected {text}); "
                f"raise {_needed_time(plan.scenario, latency, needed)}"
            )
            yield Check(name, None, text, False, message)
        else:
            message = f"{name} is {readable.seconds(value)} (expected {text}) over {n:,} samples"
            yield Check(name, value, text, value <= limit, message)
    if expected.throughput is not None:
        text = f"{_bound_text(expected.throughput, readable.number)} samples/s"
        passed = _within(latency.throughput, expected.throughput)
        message = f"throughput is {readable.number(latency.throughput)} samples/s (expected {text})"
        yield Check("throughput", latency.throughput, text, passed, message)
    if expected.peak_memory is not None:
        text = f"≤ {readable.memory(expected.peak_memory)}"
        measured = latency.peak_memory
        shown = "not available" if measured is None else readable.memory(measured)
        message = f"the host's peak memory is {shown} (expected {text})"
        passed = measured is not None and measured <= expected.peak_memory
        yield Check("peak_memory", None if measured is None else float(measured), text, passed, message)
    if expected.load_time is not None:
        text = f"≤ {readable.seconds(expected.load_time)}"
        message = f"loading took {readable.seconds(latency.load_seconds)} (expected {text})"
        yield Check("load_time", latency.load_seconds, text, latency.load_seconds <= expected.load_time, message)
