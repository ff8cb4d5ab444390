"""What became of a case compared with its baseline, in words and in builtin types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypedDict

from pytest_mlscope import quantities as readable
from pytest_mlscope.expectations.parity_text import difference_text
from pytest_mlscope.gate.accuracy_comparison import AccuracyComparison
from pytest_mlscope.gate.pairs import CANDIDATE, Pair
from pytest_mlscope.gate.rounds import LOAD_TIME_EFFECT, MEMORY_EFFECT, Contest
from pytest_mlscope.gate.sequential import Verdict
from pytest_mlscope.measurements.results import Parity
from pytest_mlscope.records.comparison import (
    ComparedOutcome,
    Comparison,
    LatencyComparison,
    MeasuredPair,
    MetricComparison,
    Outcome,
    ParityComparison,
    PredictionsComparison,
    RatioComparison,
    SavedMedians,
)

_WORST_FIRST: tuple[ComparedOutcome, ...] = ("regression", "inconclusive", "improved", "pass", "not compared")


def not_compared(against: str, reason: str, *, is_new: bool = False) -> Comparison:
    """For a case without a counterpart, or one whose counterpart fails."""
    return Comparison(against, "not compared", (f"not compared with {against}: {reason}",), is_new=is_new)


def cannot_run_any_more(against: str, reason: str, *, regression: bool) -> Comparison:
    """For a case that cannot run, whose counterpart can."""
    if regression:
        return Comparison(against, "regression", (f"cannot run any more, unlike {against}: {reason}",))
    return not_compared(against, f"cannot run here any more: {reason}")


def _interval(verdict: Verdict) -> str:
    low, high = verdict.interval
    if low == 0 or math.isinf(high):
        return "too few pairs for an interval"
    return f"95 % interval {low:.3f}–{high:.3f}"


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


def latency_comparison(contest: Contest, against: str) -> Comparison:
    """Of a decided contest: latency, peak memory and load time."""
    latency = contest.latency
    if contest.failed_side == CANDIDATE:
        pair = len(contest.pairs) + 1
        failed = f"failed in pair {pair} of fresh processes, beside {against}, which did not: {contest.failure}"
        return Comparison(against, "regression", (failed,))
    if contest.failure is not None or latency is None:
        return not_compared(against, str(contest.failure or "nothing was measured"))
    pairs = contest.pairs
    ours, theirs = _such_as(pairs, latency.ratio)
    values = f"; such as {readable.seconds(ours)} against {readable.seconds(theirs)}"
    said: list[tuple[ComparedOutcome, str]] = [(latency.outcome, _ratio_line("latency", latency, against, values))]
    compared = LatencyComparison(
        **_of_verdict(latency, contest.rules.minimum_effect),
        floor=contest.rules.floor,
        seconds=contest.seconds,
        measured=tuple(MeasuredPair(pair.baseline_seconds, pair.candidate_seconds, pair.log_ratio) for pair in pairs),
    )
    resources: dict[str, RatioComparison | None] = {"peak memory": None, "load time": None}
    for quantity, verdict, effect in (
        ("peak memory", contest.memory, MEMORY_EFFECT),
        ("load time", contest.load_time, LOAD_TIME_EFFECT),
    ):
        if verdict is None:
            continue
        resource = resources[quantity] = RatioComparison(**_of_verdict(verdict, effect))
        if resource.is_told:
            said.append((verdict.outcome, _ratio_line(quantity, verdict, against, "")))
    # Where a test fails, its short summary has the first line alone.
    said.sort(key=lambda each: _WORST_FIRST.index(each[0]))
    return Comparison(
        against,
        said[0][0],
        tuple(message for _, message in said),
        latency=compared,
        peak_memory=resources["peak memory"],
        load_time=resources["load time"],
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


def separate_runs(verdict: SeparateRuns, against: str, *, minimum_effect: float, at_least: bool = False) -> Comparison:
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
        separate_runs=SavedMedians(verdict.bound, verdict.baseline, verdict.candidate),
    )
    return Comparison(against, verdict.outcome, (message,), latency=compared)


def _metric_line(name: str, compared: MetricComparison, against: str) -> str:
    said = (
        f"{name} is {compared.candidate:.6g}, {compared.baseline:.6g} in {against} ({compared.test} over "
        f"{readable.plural(compared.rows, 'row')}, one-sided p = {compared.p_value:.2g}): {compared.outcome}"
    )
    left_out = readable.plural(compared.left_out, "row")
    return f"{said}; {left_out} of only one side left out" if compared.left_out else said


def with_metrics(predictions: Comparison, metrics: Mapping[str, MetricComparison | str], against: str) -> Comparison:
    """Predictions' comparison and the manifest's own metrics': the worst of them is the outcome."""
    said: list[tuple[ComparedOutcome, str]] = [(predictions.outcome, message) for message in predictions.messages]
    left_open = tuple(
        f"{name} is not compared with {against}: {why}" for name, why in metrics.items() if isinstance(why, str)
    )
    compared = {name: each for name, each in metrics.items() if not isinstance(each, str)}
    if compared and predictions.outcome == "not compared":
        # Of quantities that are no classes there are no predictions to count, and nothing is lost.
        said = []
    said += [(each.outcome, _metric_line(name, each, against)) for name, each in compared.items()]
    said += [("not compared", message) for message in left_open]
    said.sort(key=lambda each: _WORST_FIRST.index(each[0]))
    return replace(
        predictions,
        outcome=said[0][0],
        messages=tuple(message for _, message in said),
        metrics=compared,
        left_open=left_open,
    )


def accuracy_comparison(compared: AccuracyComparison | str, against: str) -> Comparison:
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
    )
    return Comparison(against, compared.outcome, (message,), accuracy=predictions)


def parity_comparison(parity: Parity, against: str) -> Comparison:
    """Of raw outputs against the baseline's."""
    if parity.mismatch:
        message = f"outputs cannot be compared with those of {against}: {parity.mismatch}"
    else:
        message = f"outputs differ from those of {against} {difference_text(parity)}"
    compared = ParityComparison(**{each.name: getattr(parity, each.name) for each in fields(parity)})
    return Comparison(against, compared.outcome, (message,), parity=compared)
