"""The gate: compares cases with their baseline."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import BaselineError, CannotRun, MlscopeError, NoCounterpart, NotInBaseline, NotSupported
from pytest_mlscope.gate.accuracy_verdict import accuracy_verdict
from pytest_mlscope.gate.baseline import REPLACED, Baseline
from pytest_mlscope.gate.comparison import cannot_run_any_more, ignored, not_compared
from pytest_mlscope.gate.floors import floor_for
from pytest_mlscope.gate.policy import RATIOS, Policy
from pytest_mlscope.gate.prediction_comparison import parity_comparison
from pytest_mlscope.gate.ratio_comparison import latency_comparison
from pytest_mlscope.gate.rounds import Contest, Rules, run_rounds
from pytest_mlscope.machine import exclusive_lease
from pytest_mlscope.measurements import (
    Evaluation,
    Evaluator,
    data_differ,
    data_identity,
    reference_plan,
    rows_in_a_sample,
)
from pytest_mlscope.quantities import plural
from pytest_mlscope.records import Comparison


def _remarked(comparison: Comparison, plan: Plan, counterpart: Plan) -> Comparison:
    other = [(getattr(counterpart.case, name), getattr(plan.case, name)) for name in REPLACED]
    said = [f"{theirs} there, {ours} here" for theirs, ours in other if theirs != ours]
    return replace(comparison, remark="; ".join(said)) if said else comparison


class Gate(ABC):
    """One a process. Never raises for a baseline that cannot be compared with: the comparison says why."""

    @abstractmethod
    def accuracy(self, evaluation: Evaluation, *, family: int) -> Comparison:
        """Predictions of the same rows. :param family: how many accuracies the run compares."""

    @abstractmethod
    def parity(self, evaluation: Evaluation) -> Comparison:
        """Raw outputs on the same rows.

        :raises MlscopeError: when the case itself fails.
        """

    @abstractmethod
    def cannot_compare(self, kind: str) -> Comparison:
        """Of a kind of measurement that has no comparison."""

    def forget(self, plan: Plan) -> None:  # noqa: B027  # most keep nothing
        """Compare the case anew when it is asked for again."""

    @abstractmethod
    def cannot_run(self, plan: Plan, kind: str, reason: CannotRun) -> Comparison | None:
        """Of a case without an evaluation; ``None`` where the baseline has none either."""

    @abstractmethod
    def latency(self, evaluation: Evaluation, companions: Sequence[Plan], *, family: int) -> Comparison:
        """Latency, and what comes with it.

        :param companions: further cases that will be asked for in this process.
        :param family: how many latencies the run compares in all.
        """


class SideBySideGate(Gate):
    """Measures the baseline in this run. Latencies of cases that run in the same frameworks share their restarts."""

    def __init__(
        self,
        baseline: Baseline,
        evaluator: Evaluator,
        *,
        minimum_effect: float | None,
        seconds: float,
    ) -> None:
        self.baseline = baseline
        self._evaluator = evaluator
        self._minimum_effect = minimum_effect
        self._seconds = seconds
        self._recorder = evaluator.settings.recorder
        self._contests: dict[Plan, Contest | Comparison] = {}

    def _no_counterpart(self, error: MlscopeError) -> Comparison:
        is_new = isinstance(error, NotInBaseline)
        cause = error.cause if isinstance(error, BaselineError) and error.cause is not None else error
        reason, command = self.baseline.why_and_command(cause)
        return not_compared(self.baseline.label, reason, is_new=is_new, command=command)

    def cannot_compare(self, kind: str) -> Comparison:
        return not_compared(self.baseline.label, f"{kind} has no comparison")

    def accuracy(self, evaluation: Evaluation, *, family: int) -> Comparison:
        plan = evaluation.plan
        against = self.baseline.label
        try:
            counterpart = self.baseline.counterpart(plan)
            baseline = self._evaluator.accuracy(counterpart)
        except MlscopeError as error:
            return self._no_counterpart(error)
        data = [data_identity(each.manifest) for each in (counterpart, plan)]
        if differ := data_differ(*(None if each is None else each.sha256 for each in data)):
            return not_compared(against, differ)
        compared = accuracy_verdict(baseline, self._evaluator.accuracy(plan), plan, against, family=family)
        return _remarked(compared, plan, counterpart)

    def parity(self, evaluation: Evaluation) -> Comparison:
        plan = evaluation.plan
        against = self.baseline.label
        policy = Policy.of(plan)
        if policy.ignores("parity"):
            return ignored(against, policy.ignored("parity"))
        try:
            counterpart = self.baseline.counterpart(plan)
        except MlscopeError as error:
            return self._no_counterpart(error)
        try:
            compared = parity_comparison(self._evaluator.parity_with(plan, counterpart), against, policy)
        except BaselineError as error:
            return self._no_counterpart(error)
        return _remarked(compared, plan, counterpart)

    def cannot_run(self, plan: Plan, kind: str, reason: CannotRun) -> Comparison | None:
        """A predictor that takes the baseline's files and not ours is a regression."""
        loader = self._evaluator.loader
        try:
            counterpart = self.baseline.counterpart(plan)
            deadline = loader.deadline()
            loader.ready(counterpart, deadline=deadline)
            if kind == "parity" and not plan.is_parity_reference:
                loader.ready(reference_plan(counterpart), deadline=deadline)
        except MlscopeError:
            return None
        regression = isinstance(reason, NotSupported) and self.baseline.other_files
        compared = cannot_run_any_more(self.baseline.label, reason, regression=regression)
        return _remarked(compared, plan, counterpart)

    def latency(self, evaluation: Evaluation, companions: Sequence[Plan], *, family: int) -> Comparison:
        """Peak memory and load time too; companions are measured in the same rounds."""
        plan = evaluation.plan
        policy = Policy.of(plan, minimum_effect=self._minimum_effect)
        if plan not in self._contests:
            self._measure([plan, *(other for other in companions if other not in self._contests)], family)
        contest = self._contests[plan]
        if isinstance(contest, Comparison):
            return contest
        return _remarked(latency_comparison(contest, self.baseline.label, policy), plan, contest.baseline)

    def forget(self, plan: Plan) -> None:
        self._contests.pop(plan, None)
        with contextlib.suppress(MlscopeError):
            self._evaluator.forget(self.baseline.counterpart(plan))

    def _measure(self, plans: Sequence[Plan], family: int) -> None:
        home = self._evaluator.settings.home
        loader = self._evaluator.loader
        contests: list[Contest] = []
        for plan in plans:
            if plan in self._contests:
                continue
            policy = Policy.of(plan, minimum_effect=self._minimum_effect)
            if all(map(policy.ignores, RATIOS)):
                self._contests[plan] = ignored(self.baseline.label, *map(policy.ignored, RATIOS))
                continue
            try:
                counterpart = self.baseline.counterpart(plan)
                theirs, ours = rows_in_a_sample(counterpart), rows_in_a_sample(plan)
                if theirs != ours:
                    raise NoCounterpart(f"a query has {plural(theirs, 'row')} there and {ours} here")
                loader.prepare(counterpart)
                loader.prepare(plan)
            except MlscopeError as error:
                self._contests[plan] = self._no_counterpart(error)
                continue
            effects = {name: None if policy.ignores(name) else policy.smallest_effect(name) for name in RATIOS}
            rules = Rules(
                minimum_effect=policy.smallest_effect("latency"),
                seconds=self._seconds,
                floor=floor_for(plan.case, home=home),
                memory_effect=effects["peak_memory"],
                load_time_effect=effects["load_time"],
            )
            contest = self._contests[plan] = Contest(counterpart, plan, rules)
            contests.append(contest)
        if contests:
            self._recorder.progress(f"comparing with {self.baseline.label}: {plural(len(contests), 'case')}")
            with exclusive_lease("machine", recorder=self._recorder):
                run_rounds(contests, loader, family=family)
