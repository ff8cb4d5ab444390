"""What became of a case compared with its baseline, in words and in builtin types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypedDict, get_args

from pytest_mlscope import quantities as readable
from pytest_mlscope.errors import CannotRun, MlscopeError
from pytest_mlscope.expectations import difference_text
from pytest_mlscope.gate.accuracy_comparison import AccuracyComparison
from pytest_mlscope.gate.pairs import BASELINE, CANDIDATE, Pair
from pytest_mlscope.gate.policy import NO_POLICY, RATIOS, Policy
from pytest_mlscope.gate.rounds import Contest
from pytest_mlscope.gate.sequential import Verdict
from pytest_mlscope.manifest import GatedQuantity
from pytest_mlscope.measurements import Parity
from pytest_mlscope.records import (
    ComparedOutcome,
    Comparison,
    LatencyComparison,
    MeasuredPair,
    MetricComparison,
    Outcome,
    ParityComparison,
    PredictionsComparison,
    RatioComparison,
    Ruling,
    SavedMedians,
)

_WORST_FIRST: tuple[ComparedOutcome, ...] = get_args(ComparedOutcome)


@dataclass(frozen=True)
class _Line:
    """What is said of one quantity."""

    outcome: ComparedOutcome
    text: str
    rulings: Sequence[Ruling] = ()


def _told(against: str, lines: Sequence[_Line], rulings: Sequence[Ruling] = ()) -> Comparison:
    """The worst of several verdicts first: where a test fails, its short summary has the first line alone."""
    worst_first = sorted(lines, key=lambda line: _WORST_FIRST.index(line.outcome))
    rulings = (*rulings, *(ruling for line in worst_first for ruling in line.rulings))
    ended = dict.fromkeys(ruling.text for ruling in rulings if ruling.kind == "ended")
    messages = (*(line.text for line in worst_first), *ended)
    return Comparison(against, worst_first[0].outcome, messages, rulings=rulings)


def _ruled(
    policy: Policy,
    quantity: GatedQuantity,
    outcome: Outcome,
    text: str,
    *,
    size: float | None = None,
    metric: str | None = None,
) -> _Line:
    """A verdict under the manifest's policy; what that changes is said after it."""
    result, rulings = policy.ruled(quantity, outcome, size=size, metric=metric)
    said = [ruling.text for ruling in rulings if ruling.kind in ("accepted", "exceeded", "warned")]
    return _Line(result, "; ".join([text, *said]), rulings)


def ignored(against: str, *rulings: Ruling) -> Comparison:
    """Of quantities that the manifest's gate ignores."""
    return Comparison(against, "ignored", tuple(ruling.text for ruling in rulings), rulings=rulings)


def not_compared(against: str, reason: str, *, is_new: bool = False, command: str | None = None) -> Comparison:
    """For a case without a counterpart, or one whose counterpart fails.

    :param command: what would make it comparable, where something would.
    """
    message = f"not compared with {against}: {reason}"
    return Comparison(against, "not compared", (message,), is_new=is_new, command=command)


def why_and_command(error: MlscopeError) -> tuple[str, str | None]:
    """Why something went wrong, and the command that would help, apart where they can be.

    >>> why_and_command(CannotRun("not installed here", subject="pytorch", command="mlscope env create pytorch"))
    ('pytorch: not installed here', 'mlscope env create pytorch')
    """
    if isinstance(error, CannotRun) and error.command:
        return error.reason, error.command
    return str(error), None


def cannot_run_any_more(against: str, error: CannotRun, *, regression: bool) -> Comparison:
    """For a case that cannot run, whose counterpart can."""
    reason, command = why_and_command(error)
    if regression:
        message = f"cannot run any more, unlike {against}: {reason}"
        return Comparison(against, "regression", (message,), command=command)
    return not_compared(against, f"cannot run here any more: {reason}", command=command)


def _interval(verdict: Verdict) -> str:
    low, high = verdict.interval
    if low == 0 or math.isinf(high):
        return "too few pairs for an interval"
    return f"95% interval {low:.3f}–{high:.3f}"


def _ratio_line(quantity: str, verdict: Verdict, against: str, values: str) -> str:
    pairs = f"median of {readable.plural(verdict.pairs, 'pair')}"
    said = f"{quantity} is {verdict.ratio:.3f} times that of {against} ({pairs}, {_interval(verdict)}{values})"
    return said if verdict.outcome == "regression" else f"{said}: {verdict.outcome}"


class _Ratio(TypedDict):
    outcome: Outcome
    ratio: float
    interval: tuple[float, float] | None
    pairs: int
    p_value: float
    early: bool
    minimum_effect: float


def _of_verdict(verdict: Verdict, minimum_effect: float) -> _Ratio:
    low, high = verdict.interval
    return {
        "outcome": verdict.outcome,
        "ratio": verdict.ratio,
        "interval": None if low == 0 or math.isinf(high) else (low, high),
        "pairs": verdict.pairs,
        "p_value": verdict.p_value,
        "early": verdict.early,
        "minimum_effect": minimum_effect,
    }


def _such_as(pairs: Sequence[Pair], ratio: float) -> tuple[float, float]:
    """Seconds a call of candidate and baseline, of the neighbouring blocks whose ratio is nearest to this one.

    Medians of each side by itself would not do: their ratio is not the median of ratios.
    """
    middle = min(pairs, key=lambda pair: abs(pair.log_ratio - math.log(ratio)))
    nearest = min(middle.blocks.tolist(), key=lambda block: abs(math.log(block[1] / block[0] / ratio)))
    return nearest[1], nearest[0]


def _nearest(pairs: Sequence[tuple[float, float]], ratio: float) -> tuple[float, float]:
    """The baseline and the candidate of the pair whose ratio is nearest to this one."""
    return min(pairs, key=lambda pair: abs(math.log(pair[CANDIDATE] / pair[BASELINE] / ratio)))


_Resource = tuple[GatedQuantity, Verdict | None, float | None, Sequence[tuple[float, float]], Callable[[float], str]]
"""Quantity, verdict, effect that matters, what was measured of each pair, and how it reads."""


def latency_comparison(contest: Contest, against: str, policy: Policy = NO_POLICY) -> Comparison:
    """Of a decided contest: latency, peak memory and load time."""
    latency = contest.latency
    if contest.failed_side == CANDIDATE:
        pair = len(contest.pairs) + 1
        failed = f"failed in pair {pair} of fresh processes, beside {against}, which did not: {contest.failure}"
        return Comparison(against, "regression", (failed,))
    if contest.failure is not None or latency is None:
        if contest.failure is None:
            return not_compared(against, "nothing was measured")
        reason, command = why_and_command(contest.failure)
        return not_compared(against, reason, command=command)
    pairs = contest.pairs
    ours, theirs = _such_as(pairs, latency.ratio)
    values = f"; such as {readable.seconds(ours)} against {readable.seconds(theirs)}"
    rulings = [policy.ignored(quantity) for quantity in RATIOS if policy.ignores(quantity)]
    lines: list[_Line] = []
    if not policy.ignores("latency"):
        text = _ratio_line("latency", latency, against, values)
        lines.append(_ruled(policy, "latency", latency.outcome, text, size=latency.ratio - 1))
    compared = LatencyComparison(
        **_of_verdict(latency, contest.rules.minimum_effect),
        baseline=theirs,
        candidate=ours,
        floor=contest.rules.floor,
        seconds=contest.seconds,
        measured=tuple(MeasuredPair(pair.baseline_seconds, pair.candidate_seconds, pair.log_ratio) for pair in pairs),
    )
    resources: dict[GatedQuantity, RatioComparison] = {}
    untold: list[_Line] = []
    loads = [pair.load_seconds for pair in pairs]
    peaks = [pair.peak_memory for pair in pairs if pair.peak_memory is not None and min(pair.peak_memory) > 0]
    found: list[_Resource] = [
        ("peak_memory", contest.memory, contest.rules.memory_effect, peaks, readable.memory),
        ("load_time", contest.load_time, contest.rules.load_time_effect, loads, readable.seconds),
    ]
    for quantity, verdict, effect, measured, readable_value in found:
        if verdict is None or effect is None:
            continue
        before, now = _nearest(measured, verdict.ratio)
        resource = RatioComparison(**_of_verdict(verdict, effect), baseline=before, candidate=now)
        resources[quantity] = resource
        values = f"; such as {readable_value(now)} against {readable_value(before)}"
        text = _ratio_line(quantity.replace("_", " "), verdict, against, values)
        line = _ruled(policy, quantity, verdict.outcome, text, size=verdict.ratio - 1)
        if resource.is_told:
            lines.append(line)
        else:
            rulings += line.rulings
            # Few pairs may decide latency and leave this open, which alone makes no comparison inconclusive.
            untold.append(replace(line, outcome="pass"))
    if not (lines or untold):
        return replace(not_compared(against, "peak memory is not known"), rulings=tuple(rulings))
    return replace(
        _told(against, lines or untold, rulings),
        latency=None if policy.ignores("latency") else compared,
        peak_memory=resources.get("peak_memory"),
        load_time=resources.get("load_time"),
    )


@dataclass(frozen=True)
class SeparateRuns:
    """Latencies of two runs, each in its own time."""

    outcome: Outcome
    ratio: float
    """This run's median over the saved one's."""
    bound: float
    """Relative difference beyond which it counts."""
    p_value: float | None
    """Two-sided, of the rank-sum test over processes; ``None`` for too few of them."""
    baseline: tuple[float, ...]
    """Medians in seconds, one a process."""
    candidate: tuple[float, ...]


def separate_runs(
    verdict: SeparateRuns,
    against: str,
    *,
    minimum_effect: float,
    at_least: bool = False,
    policy: Policy = NO_POLICY,
) -> Comparison:
    """Of latencies that were not measured side by side; ``at_least``: ours may be more."""
    ours, theirs = (sorted(side)[(len(side) - 1) // 2] for side in (verdict.candidate, verdict.baseline))
    values = f"{readable.seconds(ours)} against {readable.seconds(theirs)}"
    times = f"{'at least ' if at_least else ''}{verdict.ratio:.3f} times"
    message = (
        f"latency is {times} that of {against} ({values}; separate runs, so only differences beyond "
        f"{verdict.bound * 100:.0f}% count)"
    )
    if verdict.outcome in ("inconclusive", "improved"):
        message = f"{message}: {verdict.outcome}"
    compared = LatencyComparison(
        outcome=verdict.outcome,
        ratio=verdict.ratio,
        interval=None,
        pairs=None,
        p_value=verdict.p_value,
        early=False,
        minimum_effect=minimum_effect,
        baseline=theirs,
        candidate=ours,
        separate_runs=SavedMedians(verdict.bound, verdict.baseline, verdict.candidate),
    )
    # A lower bound cannot show that a regression stays within what the manifest accepts.
    line = _ruled(policy, "latency", verdict.outcome, message, size=None if at_least else verdict.ratio - 1)
    return replace(_told(against, [line]), latency=compared)


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
    lines = [_Line(predictions.outcome, predictions.messages[0])] if predictions else []
    left_open = tuple(
        f"{name} is not compared with {against}: {why}" for name, why in metrics.items() if isinstance(why, str)
    )
    compared = {name: each for name, each in metrics.items() if not isinstance(each, str)}
    if compared and predictions and predictions.outcome == "not compared":
        # Of quantities that are no classes there are no predictions to count, and nothing is lost.
        lines = []
    for name, each in compared.items():
        text = _metric_line(name, each, against)
        lines.append(_ruled(policy, "accuracy", each.outcome, text, size=each.loss, metric=name))
    lines += [_Line("not compared", message) for message in left_open]
    told = _told(against, lines, (*(predictions.rulings if predictions else ()), *ignored_metrics))
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
    line = _ruled(policy, "accuracy", compared.outcome, message, size=compared.loss)
    return replace(_told(against, [line]), accuracy=predictions)


def parity_comparison(parity: Parity, against: str, policy: Policy = NO_POLICY) -> Comparison:
    """Of raw outputs against the baseline's."""
    if parity.mismatch:
        message = f"outputs cannot be compared with those of {against}: {parity.mismatch}"
    else:
        message = f"outputs differ from those of {against} {difference_text(parity)}"
    compared = ParityComparison(**{each.name: getattr(parity, each.name) for each in fields(parity)})
    return replace(_told(against, [_ruled(policy, "parity", compared.outcome, message)]), parity=compared)
