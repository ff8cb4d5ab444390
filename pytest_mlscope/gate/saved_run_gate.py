"""Compares cases with a saved run.

Two separate runs meet the machine in two moods: on a shared machine the ratio of their medians was seen to have a
standard deviation of 15 %, and the usual rule, failing at 5 %, to alarm falsely in one of eight. So a difference counts
only beyond a bound:

- five or more processes on both sides (restarts), and enough for the test to reach its level: 10 %, or three times the
  spread between the processes where that is more, and the rank-sum test of the processes' medians must say, at 1 %
  shared among the run's comparisons, that it is no chance;
- fewer: three such standard deviations, 57 %.

What lies between is inconclusive. On other hardware nothing is compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pytest_mlscope.cases import Plan
from pytest_mlscope.components import Scenario, asked
from pytest_mlscope.errors import BaselineError, CannotRun, MlscopeError, NoCounterpart, NotInBaseline
from pytest_mlscope.gate.accuracy_verdict import accuracy_verdict
from pytest_mlscope.gate.comparison import ignored, not_compared, why_and_command
from pytest_mlscope.gate.gate import Gate
from pytest_mlscope.gate.policy import Policy
from pytest_mlscope.gate.ratio_comparison import SeparateRuns, separate_runs
from pytest_mlscope.gate.saved_run import SavedRun, contradiction, medians
from pytest_mlscope.gate.sequential import DEFAULT_FLOOR
from pytest_mlscope.machine import MachineFacts
from pytest_mlscope.measurements import Evaluation, HardwareFacts, Latency, data_differ
from pytest_mlscope.records import Comparison, EvaluationRecord, Outcome
from pytest_mlscope.statistics import rank_sum_p_value

SEPARATE_RUNS_SD = 0.15
"""Standard deviation of the log ratio of two separate runs' medians, one process each, of the same program."""
DEVIATIONS = 3
ENOUGH_PROCESSES = 5
LEVEL = 0.01


def _quota(machine: MachineFacts) -> str:
    # A run saved before quotas were recorded is taken to have had none.
    quota = machine.get("cpu_quota")
    return "none" if quota is None else f"{quota:.4g} CPUs"


def _differs(saved: HardwareFacts, now: HardwareFacts, *, accelerated: bool, timed: bool) -> str | None:
    """What differs, in words; ``None`` where the hardware is the same.

    :param timed: whether times are compared, which a CPU quota changes; it changes no prediction.
    """
    then, here = saved["machine"], now["machine"]
    pairs: list[tuple[str, object, object]] = [
        ("architecture", saved["architecture"], now["architecture"]),
        ("CPU", then["cpu_model"], here["cpu_model"]),
        ("CPU", _without_microcode(then["cpu_identity"]), _without_microcode(here["cpu_identity"])),
        ("usable cores", then["usable_cores"], here["usable_cores"]),
        ("device", saved["device"], now["device"]),
    ]
    if timed:
        pairs.append(("CPU quota", _quota(then), _quota(here)))
    if accelerated:
        pairs.append(("GPUs", saved["gpus"], now["gpus"]))
    return next((f"{name}: {was}, here {is_}" for name, was, is_ in pairs if was != is_), None)


def _without_microcode(identity: str) -> str:
    # A microcode update does not make another CPU.
    return ", ".join(part for part in identity.split(", ") if not part.startswith("microcode"))


def _other_settings(scenario: Scenario, saved: EvaluationRecord, evaluation: Evaluation) -> str | None:
    """Which setting of the scenario differs, in words; ``None`` where none does that matters."""
    # A run saved before settings were recorded does not tell.
    was, is_now = ((each or {}).get("scenario", {}) for each in (saved.provenance, evaluation.provenance))
    for name in sorted((was.keys() & is_now.keys()) - scenario.free):
        if was[name] != is_now[name]:
            setting = f"scenarios.{scenario.name}.{name} was {was[name]!r:.40} then and is {is_now[name]!r:.40} now"
            return f"{setting}, so their latencies do not compare"
    return None


def _other_shapes(then: Latency, now: Latency) -> str | None:
    """Which input had other shapes, in words; ``None`` where none had."""

    def told(shapes: Sequence[Sequence[int]]) -> str:
        return ", ".join(" × ".join(map(str, shape)) for shape in shapes)

    for name in then.shapes.keys() & now.shapes.keys():
        if then.shapes[name] != now.shapes[name]:
            was, is_now = told(then.shapes[name]), told(now.shapes[name])
            return f"input {name!r} was {was} then and is {is_now} now, so their latencies do not compare"
    return None


def judge(
    baseline: Sequence[float], candidate: Sequence[float], *, minimum_effect: float, family: int = 1
) -> SeparateRuns:
    """The verdict on two runs' medians, one a process, in any unit, all positive.

    :param minimum_effect: relative difference up to which they pass as the same.
    :param family: how many comparisons the run makes.

    >>> judge([1.0], [1.3], minimum_effect=0.03).outcome, judge([1.0], [1.7], minimum_effect=0.03).outcome
    ('inconclusive', 'regression')
    """
    ratio = float(np.median(candidate) / np.median(baseline))
    size = abs(math.log(ratio))
    p_value = None
    bound = math.expm1(DEVIATIONS * SEPARATE_RUNS_SD)
    no_chance = True
    least_p_value = 2 / math.comb(len(baseline) + len(candidate), len(baseline))
    # Few processes beside many comparisons: ranks could never tell, and would hide what is plain.
    if min(len(baseline), len(candidate)) >= ENOUGH_PROCESSES and least_p_value <= LEVEL / max(family, 1):
        # The factor makes the median absolute deviation the standard deviation of a normal distribution.
        deviations = [1.4826 * float(np.median(np.abs(x - np.median(x)))) for x in map(np.log, (baseline, candidate))]
        bound = max(DEFAULT_FLOOR, math.expm1(DEVIATIONS * math.hypot(*deviations)))
        smaller, larger = (baseline, candidate) if ratio > 1 else (candidate, baseline)
        # Doubled, because the data chose which side counts as the smaller.
        p_value = min(1.0, 2 * rank_sum_p_value(smaller, larger))
        no_chance = p_value <= LEVEL / max(family, 1)
    outcome: Outcome
    if size > math.log1p(bound) and no_chance:
        outcome = "regression" if ratio > 1 else "improved"
    else:
        outcome = "pass" if size <= math.log1p(minimum_effect) else "inconclusive"
    return SeparateRuns(outcome, ratio, bound, p_value, tuple(baseline), tuple(candidate))


class SavedRunGate(Gate):
    """Compares what this run measures with what another one wrote down."""

    def __init__(self, saved: SavedRun, *, minimum_effect: float | None) -> None:
        self._saved = saved
        self._minimum_effect = minimum_effect

    def _check_hardware(self, evaluation: Evaluation, saved: EvaluationRecord, *, timed: bool) -> None:
        target = evaluation.plan.target
        try:
            then, now = (saved.provenance or {})["hardware"], evaluation.provenance["hardware"]
            reason = _differs(then, now, accelerated=not target.is_a("cpu"), timed=timed)
        except (KeyError, TypeError, AttributeError):
            reason = "the saved run does not say what it ran on"
        if reason is not None:
            raise NoCounterpart(f"not comparable, it ran on other hardware ({reason})")

    def latency(self, evaluation: Evaluation, companions: Sequence[Plan], *, family: int) -> Comparison:
        against = self._saved.label
        latency = evaluation.latency
        policy = Policy.of(evaluation.plan, minimum_effect=self._minimum_effect)
        if policy.ignores("latency"):
            return ignored(against, policy.ignored("latency"))
        try:
            saved = self._saved.latency(evaluation.case)
            self._check_hardware(evaluation, saved, timed=True)
        except MlscopeError as error:
            return not_compared(against, str(error), is_new=isinstance(error, NotInBaseline))
        then = saved.latency
        if latency is None or then is None:
            return not_compared(against, "there is no latency to compare")
        scenario = evaluation.plan.scenario
        why = (
            asked(scenario, "incomparable", then, latency)
            or _other_settings(scenario, saved, evaluation)
            or _other_shapes(then, latency)
        )
        if why is not None:
            return not_compared(against, why)
        known = medians(latency)
        # Where calls are too few for a median, the fastest is below it: it can show a regression, and nothing else.
        values = known or (float(latency.samples_ns.min()) / 1e9,)
        baseline = medians(then)
        if min(*values, *baseline) <= 0:
            return not_compared(against, "there is no p50 to compare")
        effect = policy.smallest_effect("latency")
        verdict = judge(baseline, values, minimum_effect=effect, family=family)
        if not known and verdict.outcome != "regression":
            return not_compared(against, "there is no p50 to compare")
        return separate_runs(verdict, against, minimum_effect=effect, at_least=not known, policy=policy)

    def accuracy(self, evaluation: Evaluation, *, family: int) -> Comparison:
        against = self._saved.label
        try:
            saved = self._saved.accuracy(evaluation.case)
            self._check_hardware(evaluation, saved, timed=False)
        except MlscopeError as error:
            return not_compared(against, str(error), is_new=isinstance(error, NotInBaseline))
        ours, theirs = evaluation.accuracy, saved.accuracy
        if ours is None or theirs is None:
            return not_compared(against, "there is no accuracy to compare")
        here = evaluation.provenance.get("dataset")
        there = saved.provenance.get("dataset") if saved.provenance else None
        if differ := data_differ(there["sha256"] if there else None, here["sha256"] if here else None):
            return not_compared(against, differ)
        if wrong := contradiction(theirs, ours):
            raise BaselineError(f"{against}: contradicts itself: {wrong}; save a new one")
        return accuracy_verdict(theirs, ours, evaluation.plan, against, family=family)

    def cannot_run(self, plan: Plan, kind: str, reason: CannotRun) -> Comparison | None:
        try:
            if kind == "latency":
                self._saved.latency(plan.case)
            elif kind == "accuracy":
                self._saved.accuracy(plan.case)
            else:
                return None
        except MlscopeError:
            return None
        why, command = why_and_command(reason)
        return not_compared(self._saved.label, f"cannot run here: {why}", command=command)

    def cannot_compare(self, kind: str) -> Comparison:
        return not_compared(self._saved.label, f"{kind} has no comparison")

    def parity(self, evaluation: Evaluation) -> Comparison:
        return not_compared(self._saved.label, "a saved run keeps no raw outputs")
