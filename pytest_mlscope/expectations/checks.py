"""Compares an evaluation with what its manifest expects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from pytest_mlscope import quantities as readable
from pytest_mlscope.cases import Plan
from pytest_mlscope.documents import field_names
from pytest_mlscope.expectations.check import Check
from pytest_mlscope.expectations.parity_text import difference_text, from_itself, tolerance_text
from pytest_mlscope.manifest import Bound, LatencyExpectation
from pytest_mlscope.measurements import Accuracy, Latency, OutputParity, Parity, ServerRun
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


def _unconfirmed(server: ServerRun) -> str:
    """Why a search found no rate; empty where it found one."""
    if not server.trials or server.met:
        return ""
    met = [trial.qps for trial in server.trials if trial.met and not trial.confirming]
    if not met:
        within = ""
        if server.budget_ended is not None:
            within = f" within scenarios.server.search_budget ({readable.seconds(server.budget_ended)})"
        return f"; no rate that meets the bound was found{within}"
    trials = f"short trials met the bound up to {readable.number(max(met))} queries/s"
    if server.budget_ended is None:
        return f"; {trials}, but no whole run did"
    return (
        f"; search_budget ({readable.seconds(server.budget_ended)}) ended before a rate was confirmed; {trials}; "
        "raise scenarios.server.search_budget"
    )


def _late(server: ServerRun) -> str:
    """Whether the load itself came too late for the bound, which is no fault of the model's."""
    bound, error = server.latency_bound, server.arrival_error
    # Below half of the bound, the load is not the larger part of what went wrong.
    if bound is None or error is None or server.latency is None or server.latency <= bound or error < bound / 2:
        return ""
    return (
        f"; arrivals were noticed late by {readable.seconds(error)} (p99) with nothing under way: the machine was busy "
        "with something else"
    )


def _server(server: ServerRun) -> Iterator[Check]:
    """A rate that is not kept fails whatever the manifest expects: its latencies grow for as long as it lasts."""
    name = f"p{server.percentile:g}"
    rate = f"{readable.number(server.qps)} queries/s"
    found = "" if not server.trials else f" was searched in {readable.plural(len(server.trials), 'trial')} and"
    answered = f"{readable.number(server.achieved_qps)} answers/s"
    if server.kept:
        message = f"the rate of {rate}{found} is kept: {answered} to {server.queries:,} queries"
    elif server.unanswered:
        message = (
            f"the rate of {rate} cannot be kept: {server.unanswered:,} of {server.queries:,} queries had no answer at "
            f"scenarios.server.time_limit; {answered}"
        )
    else:
        message = f"the rate of {rate} cannot be kept: over {server.queries:,} queries the queue grew; {answered}"
    yield Check("rate", server.achieved_qps, f"{rate} kept", server.kept, message)
    if server.latency_bound is None:
        return
    text = f"≤ {readable.seconds(server.latency_bound)}"
    none_found = _unconfirmed(server)
    if server.latency is None:
        needed = minimum_samples(server.percentile)
        why = (
            f"{server.unanswered:,} of {server.queries:,} queries had no answer"
            if server.unanswered
            else f"{server.queries:,} queries, {needed:,} needed; raise scenarios.server.time_limit"
        )
        message = f"{name} at {rate} is not known (expected {text}): {why}{none_found}"
        yield Check("latency_bound", None, text, False, message)
        return
    shown = readable.seconds(server.latency)
    message = (
        f"{name} at {rate} is {shown} (expected {text}) over {server.queries:,} queries{none_found}{_late(server)}"
    )
    yield Check("latency_bound", server.latency, text, server.latency <= server.latency_bound, message)


_MARGIN = 1.2
"""How much longer than the samples themselves a window should last: calls vary, and some time goes between them."""


def _needed_time(latency: Latency, samples: int) -> str:
    """Which setting gives so many samples, and at which value, as far as this run's pace tells."""
    server, n = latency.server, len(latency.samples_ns)
    if server is None:
        setting, a_sample = "measurement.budget", latency.window_seconds / n if n else None
    else:
        setting, a_sample = "scenarios.server.duration", 1 / server.qps if server.qps > 0 else None
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
    if latency.server is not None:
        yield from _server(latency.server)
    for name, attribute in field_names(LatencyExpectation).items():
        limit = getattr(expected.latency, attribute) if expected.latency else None
        if limit is None:
            continue
        value = latency.percentiles[name]
        text = f"≤ {readable.seconds(limit)}"
        if value is None and latency.server is not None and latency.server.unanswered:
            missing = f"{latency.server.unanswered:,} of {latency.server.queries:,} queries had no answer"
            yield Check(name, None, text, False, f"{name} is not known: {missing} (expected {text})")
        elif value is None:
            needed = minimum_samples(float(name[1:]))
            message = (
                f"{name} is not known: {n:,} samples, {needed:,} needed (expected {text}); "
                f"raise {_needed_time(latency, needed)}"
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
