"""Predictions, metrics and raw outputs, compared, in words and in builtin types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from pytest_mlscope import quantities as readable
from pytest_mlscope.expectations import difference_text
from pytest_mlscope.gate.accuracy_comparison import AccuracyComparison
from pytest_mlscope.gate.comparison import Line, not_compared, ruled, worst_of
from pytest_mlscope.gate.policy import NO_POLICY, Policy
from pytest_mlscope.measurements import Parity
from pytest_mlscope.records import (
    Comparison,
    MetricComparison,
    ParityComparison,
    PredictionsComparison,
    Ruling,
)


def _loss_text(loss: float, accepted: float) -> str:
    if not accepted or loss <= 0:
        return ""
    return f"; a loss of {loss * 100:.2g}% of the baseline's value, of which {accepted * 100:g}% is accepted"


def _metric_line(name: str, compared: MetricComparison, against: str) -> str:
    said = (
        f"{name} is {compared.candidate:.6g}, {compared.baseline:.6g} in {against} ({compared.test} over "
        f"{readable.plural(compared.rows, 'row')}, one-sided p = {compared.p_value:.2g}): {compared.outcome}"
    )
    left_out = readable.plural(compared.left_out, "row")
    said = f"{said}; {left_out} of only one side left out" if compared.left_out else said
    return said + _loss_text(compared.loss, compared.accepted_loss)


def with_metrics(
    predictions: Comparison | None,
    metrics: Mapping[str, MetricComparison | str],
    against: str,
    policy: Policy = NO_POLICY,
    ignored_metrics: Sequence[Ruling] = (),
) -> Comparison:
    """Predictions' comparison and the manifest's own metrics': the worst of them is the outcome.

    :param predictions: ``None`` where the manifest's gate ignores them.
    :param ignored_metrics: those that it ignores.
    """
    lines = [Line(predictions.outcome, predictions.messages[0])] if predictions else []
    left_open = tuple(
        f"{name} is not compared with {against}: {why}" for name, why in metrics.items() if isinstance(why, str)
    )
    compared = {name: each for name, each in metrics.items() if not isinstance(each, str)}
    if compared and predictions and predictions.outcome == "not compared":
        # Of quantities that are no classes there are no predictions to count, and nothing is lost.
        lines = []
    for name, each in compared.items():
        text = _metric_line(name, each, against)
        lines.append(ruled(policy, "accuracy", each.outcome, text, size=each.loss, metric=name))
    lines += [Line("not compared", message) for message in left_open]
    told = worst_of(against, lines, (*(predictions.rulings if predictions else ()), *ignored_metrics))
    return replace(told, accuracy=predictions.accuracy if predictions else None, metrics=compared, left_open=left_open)


def accuracy_comparison(compared: AccuracyComparison | str, against: str, policy: Policy = NO_POLICY) -> Comparison:
    """Of predictions row by row; a text says why there is no verdict."""
    if isinstance(compared, str):
        return not_compared(against, compared)
    counts = compared.counts
    message = (
        f"of {counts.n:,} rows, {counts.only_baseline_right} that {against} had right are wrong now and "
        f"{counts.only_candidate_right} the other way round (McNemar's exact test, one-sided p = "
        f"{compared.p_value:.2g}; accuracy {counts.difference:+.4f}, {compared.changed:,} predictions changed)"
    )
    if compared.left_out:
        message += f"; {readable.plural(compared.left_out, 'row')} of only one side left out"
    message += _loss_text(compared.loss, compared.accepted_loss)
    predictions = PredictionsComparison(
        outcome=compared.outcome,
        both_right=counts.both_right,
        only_baseline_right=counts.only_baseline_right,
        only_candidate_right=counts.only_candidate_right,
        both_wrong=counts.both_wrong,
        difference=counts.difference,
        p_value=compared.p_value,
        changed=compared.changed,
        left_out=compared.left_out,
        interval=counts.interval,
        accepted_loss=compared.accepted_loss,
    )
    line = ruled(policy, "accuracy", compared.outcome, message, size=compared.loss)
    return replace(worst_of(against, [line]), accuracy=predictions)


def parity_comparison(parity: Parity, against: str, policy: Policy = NO_POLICY) -> Comparison:
    """Of raw outputs against the baseline's."""
    if parity.mismatch:
        message = f"outputs cannot be compared with those of {against}: {parity.mismatch}"
    else:
        message = f"outputs differ from those of {against} {difference_text(parity)}"
    compared = ParityComparison(**{each.name: getattr(parity, each.name) for each in fields(parity)})
    return replace(worst_of(against, [ruled(policy, "parity", compared.outcome, message)]), parity=compared)
