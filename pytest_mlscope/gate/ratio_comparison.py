"""Latency, peak memory and load time, compared: ratios in words and in builtin types."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from pytest_mlscope import quantities as readable
from pytest_mlscope.gate.comparison import Line, not_compared, ruled, why_and_command, worst_of
from pytest_mlscope.gate.pairs import BASELINE, CANDIDATE, Pair
from pytest_mlscope.gate.policy import NO_POLICY, RATIOS, Policy
from pytest_mlscope.gate.rounds import Contest
from pytest_mlscope.gate.sequential import Verdict
from pytest_mlscope.manifest import GatedQuantity
from pytest_mlscope.records import (
    Comparison,
    LatencyComparison,
    MeasuredPair,
    Outcome,
    RatioComparison,
    SavedMedians,
)


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
    lines: list[Line] = []
    if not policy.ignores("latency"):
        text = _ratio_line("latency", latency, against, values)
        lines.append(ruled(policy, "latency", latency.outcome, text, size=latency.ratio - 1))
    compared = LatencyComparison(
        **_of_verdict(latency, contest.rules.minimum_effect),
        baseline=theirs,
        candidate=ours,
        floor=contest.rules.floor,
        seconds=contest.seconds,
        measured=tuple(MeasuredPair(pair.baseline_seconds, pair.candidate_seconds, pair.log_ratio) for pair in pairs),
    )
    resources: dict[GatedQuantity, RatioComparison] = {}
    untold: list[Line] = []
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
        line = ruled(policy, quantity, verdict.outcome, text, size=verdict.ratio - 1)
        if resource.is_told:
            lines.append(line)
        else:
            rulings += line.rulings
            # Few pairs may decide latency and leave this open, which alone makes no comparison inconclusive.
            untold.append(replace(line, outcome="pass"))
    if not (lines or untold):
        return replace(not_compared(against, "peak memory is not known"), rulings=tuple(rulings))
    return replace(
        worst_of(against, lines or untold, rulings),
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
    line = ruled(policy, "latency", verdict.outcome, message, size=None if at_least else verdict.ratio - 1)
    return replace(worst_of(against, [line]), latency=compared)
