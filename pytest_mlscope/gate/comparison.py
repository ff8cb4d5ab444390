"""What became of a case compared with its baseline, in words and in builtin types."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pytest_mlscope import quantities as readable
from pytest_mlscope.expectations.parity_text import difference_text
from pytest_mlscope.gate.accuracy_comparison import AccuracyComparison
from pytest_mlscope.gate.metric_comparison import MetricComparison
from pytest_mlscope.gate.pairs import CANDIDATE, Pair
from pytest_mlscope.gate.rounds import LOAD_TIME_EFFECT, MEMORY_EFFECT, Contest
from pytest_mlscope.gate.sequential import Outcome, Verdict
from pytest_mlscope.measurements.results import Parity
from pytest_mlscope.option_values import StrictPart

ComparedOutcome = Literal["pass", "regression", "improved", "inconclusive", "not compared"]

_WORST_FIRST: tuple[ComparedOutcome, ...] = ("regression", "inconclusive", "improved", "pass", "not compared")


@dataclass(frozen=True)
class Comparison:
    """One kind of one case against its baseline."""

    against: str
    """What the baseline is called."""
    outcome: ComparedOutcome
    messages: tuple[str, ...]
    """One line for each quantity; why there is no comparison where there is none."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Quantity to what was measured and decided, for the JSON report."""
    remark: str | None = None
    """In what the two sides were asked for different things, in words."""
    left_open: tuple[str, ...] = ()
    """One line for each quantity that was not compared, beside others that were; also among the messages."""
    is_new: bool = False
    """Whether nothing was compared because the baseline has no such case."""

    def failures(self, strict: Collection[StrictPart]) -> tuple[str, ...]:
        """The lines with which it fails a test; none where it does not.

        :param strict: what fails beside a regression.
        """
        part: StrictPart = "not-compared"
        if self.outcome == "inconclusive":
            part = "inconclusive"
        elif self.is_new:
            part = "new"
        if self.outcome == "regression" or (part in strict and self.outcome in ("inconclusive", "not compared")):
            return self.messages
        return self.left_open if "not-compared" in strict else ()


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


def is_told(facts: Mapping[str, Any]) -> bool:
    """Whether peak memory or load time is worth a line: few pairs may decide latency and leave these open."""
    outcome = facts["outcome"]
    looks_worse: bool = facts["ratio"] > 1 + facts["minimum_effect"]
    return outcome in ("regression", "improved") or (outcome == "inconclusive" and looks_worse)


def _verdict_facts(verdict: Verdict, minimum_effect: float) -> dict[str, Any]:
    low, high = verdict.interval
    return {
        "outcome": verdict.outcome,
        "ratio": verdict.ratio,
        "interval": None if low == 0 or math.isinf(high) else [low, high],
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
    facts: dict[str, Any] = {
        "latency": {
            **_verdict_facts(latency, contest.rules.minimum_effect),
            "floor": contest.rules.floor,
            "seconds": contest.seconds,
            "measured": [
                {
                    "baseline_seconds": pair.baseline_seconds,
                    "candidate_seconds": pair.candidate_seconds,
                    "log_ratio": pair.log_ratio,
                }
                for pair in pairs
            ],
            "separate_runs": None,
        }
    }
    for quantity, verdict, effect in (
        ("peak memory", contest.memory, MEMORY_EFFECT),
        ("load time", contest.load_time, LOAD_TIME_EFFECT),
    ):
        if verdict is None:
            continue
        resource = facts[quantity.replace(" ", "_")] = _verdict_facts(verdict, effect)
        if is_told(resource):
            said.append((verdict.outcome, _ratio_line(quantity, verdict, against, "")))
    # Where a test fails, its short summary has the first line alone.
    said.sort(key=lambda each: _WORST_FIRST.index(each[0]))
    return Comparison(against, said[0][0], tuple(message for _, message in said), facts)


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
    facts = {
        "outcome": verdict.outcome,
        "ratio": verdict.ratio,
        "interval": None,
        "pairs": None,
        "p_value": verdict.p_value,
        "early": False,
        "minimum_effect": minimum_effect,
        "floor": None,
        "seconds": None,
        "measured": None,
        "separate_runs": {
            "bound": verdict.bound,
            "baseline_medians": verdict.baseline,
            "candidate_medians": verdict.candidate,
        },
    }
    return Comparison(against, verdict.outcome, (message,), {"latency": facts})


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
    outcome = said[0][0]
    facts = dict(predictions.facts)
    if "accuracy" in facts:
        facts["accuracy"] = {**facts["accuracy"], "outcome": outcome}
    return replace(
        predictions,
        outcome=outcome,
        messages=tuple(message for _, message in said),
        facts=facts,
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
    facts = {
        "accuracy": {
            "outcome": compared.outcome,
            "both_right": counts.both_right,
            "only_baseline_right": counts.only_baseline_right,
            "only_candidate_right": counts.only_candidate_right,
            "both_wrong": counts.both_wrong,
            "difference": counts.difference,
            "p_value": compared.p_value,
            "changed": compared.changed,
            "left_out": compared.left_out,
        }
    }
    return Comparison(against, compared.outcome, (message,), facts)


def parity_comparison(parity: Parity, against: str) -> Comparison:
    """Of raw outputs against the baseline's."""
    if parity.mismatch:
        message = f"outputs cannot be compared with those of {against}: {parity.mismatch}"
    else:
        message = f"outputs differ from those of {against} {difference_text(parity)}"
    facts = {
        "parity": {
            "outcome": "pass" if parity.within_tolerance else "regression",
            "max_abs": parity.max_abs,
            "max_rel": parity.max_rel,
            "cosine": parity.cosine,
            "psnr": parity.psnr,
            "top1_agreement": parity.top1_agreement,
            "top5_agreement": parity.top5_agreement,
            "violations": parity.violations,
            "elements": parity.elements,
            "n": parity.n,
            "abs_tolerance": parity.abs_tolerance,
            "rel_tolerance": parity.rel_tolerance,
            "mismatch": parity.mismatch,
        }
    }
    return Comparison(against, "pass" if parity.within_tolerance else "regression", (message,), facts)
