"""The ``evaluation`` fixture: a case's parts, evaluated when first read, and their outcome in pytest's terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import pytest
from packaging.specifiers import SpecifierSet

from pytest_mlscope.cases import Case, Plan, known_measurement
from pytest_mlscope.components import Check, Measurement, Reading, asked
from pytest_mlscope.errors import CannotRun, HostError, MlscopeError, Refused, shown
from pytest_mlscope.gate import Gate
from pytest_mlscope.kinds import checked, described, evaluated
from pytest_mlscope.manifest import SUFFIX, specifiers
from pytest_mlscope.measurements import Accuracy, Context, Evaluation, Evaluator, Latency, LayerProfile, Parity
from pytest_mlscope.records import Comparison
from pytest_mlscope.session.items.run_state import run_state

T = TypeVar("T")


def item_case(item: pytest.Item) -> Case | None:
    """The case an item is parametrized with."""
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("mlscope_case") if callspec is not None else None
    return case if isinstance(case, Case) else None


def gated_plans(session: pytest.Session, kind: str) -> list[Plan]:
    """Those of the cases whose manifests' own items of this kind are to run."""
    chosen = (item for item in session.items if item.path.name.endswith(SUFFIX) and item.get_closest_marker(kind))
    cases = [case for item in chosen if (case := item_case(item)) is not None]
    return list(map(run_state(session.config).manifests.plan, cases))


def failure_name(case: Case) -> str:
    """What a line of a failure begins with."""
    return f"{case.model} on {case.framework}"


class CaseEvaluation:
    """What one test item asks of its case. A case that cannot run skips the test, one that fails fails it."""

    def __init__(self, item: pytest.Item, plan: Plan, evaluator: Evaluator, *, gate: Gate | None = None) -> None:
        self.plan = plan
        self.checks: Sequence[Check] = ()
        self.comparison: Comparison | None = None
        """With the baseline; ``None`` where the run has none."""
        self._gate = gate
        self._item = item
        self._evaluator = evaluator
        self._readings: dict[str, Sequence[Reading]] = {}
        self._further: dict[str, tuple[Measurement, Any]] = {}
        """Results of kinds of measurement that plugins added."""
        self._announced = False
        self._cannot_run: CannotRun | None = None
        self._raised: BaseException | None = None
        self._trouble: MlscopeError | None = None
        """What ended the latest evaluation that failed."""
        self._unmeasured: Evaluation | None = None
        """Of an item that only compares with the baseline."""

    def _failure(self, error: MlscopeError) -> BaseException:
        if isinstance(error, HostError) and error.output:
            self._item.add_report_section("call", "predictor host", error.output)
        return pytest.fail.Exception(str(error), pytrace=False)

    def _guarded(self, evaluate: Callable[[], T]) -> T:
        try:
            return evaluate()
        except MlscopeError as error:
            trouble = self._trouble = error
        # Outside the handler: the reader needs the reason once, not as an exception during another.
        tolerated = isinstance(trouble, CannotRun) and "cannot-run" not in self._evaluator.settings.strict
        if isinstance(trouble, Refused) or tolerated:
            raised: BaseException = pytest.skip.Exception(str(trouble))
        else:
            raised = self._failure(trouble)
        if isinstance(trouble, CannotRun):
            self._cannot_run, self._raised = trouble, raised
        raise raised

    def cannot_run(self, raised: BaseException | None) -> CannotRun | None:
        """The error behind what a test raised; ``None`` where it ended for another reason."""
        return self._cannot_run if raised is not None and raised is self._raised else None

    @property
    def case(self) -> Case:
        """The item's case."""
        return self.plan.case

    @cached_property
    def accuracy(self) -> Accuracy:
        """The manifest's metrics over its dataset; ``accuracy["top1"]`` is one's value."""
        if not self.plan.manifest.metrics:
            pytest.fail(f"{self.plan.manifest.path}: has no metrics, so there is no accuracy", pytrace=False)
        return self._guarded(lambda: self._evaluator.accuracy(self.plan))

    @cached_property
    def parity(self) -> Parity:
        """The raw outputs against the reference framework's."""
        return self._guarded(lambda: self._evaluator.parity(self.plan))

    @cached_property
    def latency(self) -> Latency:
        """A measured window; ``latency.p50`` is in seconds."""
        latency, readings = self._guarded(lambda: self._evaluator.latency(self.plan, hook=self._item.ihook))
        self._readings.update(readings)
        return latency

    @cached_property
    def layers(self) -> LayerProfile:
        """The framework's own profile of the model, layer by layer; ``layers.not_available`` says why there is none."""
        return self._guarded(lambda: self._evaluator.layers(self.plan))

    def result(self) -> Evaluation | None:
        """Everything evaluated so far; ``None`` when nothing was."""
        parts: dict[str, Any] = {kind: vars(self).get(kind) for kind in ("accuracy", "parity", "latency", "layers")}
        if not any(part is not None for part in parts.values()) and not self._further:
            return self._unmeasured
        key, facts = self._evaluator.provenance(self.plan)
        further = {name: described(kind, result) for name, (kind, result) in self._further.items()}
        return Evaluation(
            plan=self.plan,
            key=key,
            provenance=facts,
            readings=dict(self._readings),
            measurements=further,
            **parts,
        )

    def measured(self, kind: str) -> Any:
        """The result of a kind of measurement by its name: of the package's, as the property of that name."""
        measurement = self._guarded(lambda: known_measurement(self.plan.manifest, kind))
        return self._result_of(measurement)

    def _result_of(self, measurement: Measurement) -> Any:
        if isinstance(getattr(type(self), measurement.name, None), cached_property):
            return getattr(self, measurement.name)
        if measurement.name not in self._further:
            context = Context(self.plan, self._evaluator, self._item.ihook, alone=measurement.times)
            result = self._guarded(lambda: evaluated(measurement, context))
            self._further[measurement.name] = (measurement, result)
        return self._further[measurement.name][1]

    def announce(self) -> Evaluation | None:
        """Call ``pytest_mlscope_evaluation_made``, once an item; returns the evaluation."""
        evaluation = self._guarded(self.result)
        if evaluation is not None and not self._announced:
            self._announced = True
            self._item.ihook.pytest_mlscope_evaluation_made(evaluation=evaluation)
        return evaluation

    def _expect_failure(self, kind: str) -> None:
        """Mark the test as one whose failure is known, if the manifest says so.

        That is a failure of predictions or of what is expected of them. A model that is missing, changed or cannot be
        loaded is another one, which would go unseen for as long as the mark stands.
        """
        expected = self.plan.entry.xfail
        if expected is None or (expected.kinds is not None and kind not in expected.kinds):
            return
        loader = self._evaluator.loader
        version = self._guarded(lambda: loader.environment(self.plan).version or loader.ready(self.plan).host.version)
        if expected.version is None or SpecifierSet(specifiers(expected.version)).contains(version, prereleases=True):
            self._item.add_marker(pytest.mark.xfail(reason=expected.reason, strict=expected.strict))

    def _compare(self, measurement: Measurement, evaluation: Evaluation) -> Comparison | None:
        """This kind against the baseline; ``None`` when the run has none."""
        gate = self._gate
        if gate is None:
            return None
        plans = gated_plans(self._item.session, measurement.name)
        # Who runs which item is not known beforehand where workers share them.
        companions = () if hasattr(self._item.config, "workerinput") else plans
        comparison: Comparison = self._guarded(
            lambda: asked(measurement, "compare", evaluation, gate, companions=companions, family=len(plans))
        )
        return comparison

    def _compared_badly(self) -> list[str]:
        """The lines with which the comparison fails the test."""
        if self.comparison is None:
            return []
        failed = self.comparison.failures(self._evaluator.settings.strict)
        self.comparison = replace(self.comparison, failed_with=failed)
        return [self._advised(message) for message in failed]

    def _advised(self, message: str) -> str:
        command = self.comparison.command_for(message) if self.comparison is not None else None
        return f"{message}; to enable: {command}" if command else message

    def _evaluated(self, measurement: Measurement) -> Evaluation | None:
        """What a kind's test is about."""
        if self._guarded(lambda: asked(measurement, "only_compares", self.plan)):
            if self._gate is None:
                # Nothing would be looked at, which is no pass.
                pytest.skip(f"{measurement.name} of this case only compares with a baseline; the run has none")
            key, facts = self._guarded(lambda: self._evaluator.provenance(self.plan))
            self._unmeasured = Evaluation(plan=self.plan, key=key, provenance=facts)
            return self.announce()
        self._result_of(measurement)
        if measurement.name == "latency" and self._evaluator.settings.layers:
            _ = self.layers
        return self.announce()

    def _compare_without_evaluation(self, kind: str) -> None:
        """A case that cannot run, although the baseline's can, does not go unmentioned."""
        gate, reason = self._gate, self._cannot_run
        if gate is None or reason is None or isinstance(reason, Refused):
            return
        self.comparison = self._guarded(lambda: gate.cannot_run(self.plan, kind, reason))
        # Where the test fails already, because its case cannot run, that line says the same.
        is_said = self.comparison is not None and self.comparison.outcome != "regression"
        if is_said and isinstance(self._raised, pytest.fail.Exception):
            return
        if failures := self._compared_badly():
            self._fail(failures)

    def _fail(self, messages: Sequence[str]) -> None:
        name = failure_name(self.plan.case)
        pytest.fail(shown("\n".join(f"{name}: {message}" for message in messages)), pytrace=False)

    def check(self, kind: str) -> None:
        """Evaluate one kind and fail the test when the manifest's expectations do not hold, or when the baseline was
        better.
        """
        measurement = self._guarded(lambda: known_measurement(self.plan.manifest, kind))
        try:
            evaluation = self._evaluated(measurement)
        except (pytest.skip.Exception, pytest.fail.Exception) as error:
            outcome = error
        else:
            self._expect_failure(kind)
            self._judge(measurement, evaluation)
            return
        # Outside the handler, as above.
        trouble = self._trouble
        if isinstance(trouble, HostError) and not trouble.loading:
            self._expect_failure(kind)
        self._compare_without_evaluation(kind)
        raise outcome

    def _judge(self, measurement: Measurement, evaluation: Evaluation | None) -> None:
        if evaluation is None:
            return
        if self._unmeasured is None:
            result = self._result_of(measurement)
            self.checks = self._guarded(lambda: checked(measurement, evaluation, result))
        self.comparison = self._compare(measurement, evaluation)
        failed = [check.message for check in self.checks if not check.passed]
        failed += self._compared_badly()
        if failed:
            self._fail(failed)
        if self._unmeasured is not None and self.comparison is not None and self.comparison.outcome == "not compared":
            # Nothing was checked, which is no pass.
            pytest.skip(shown("\n".join(map(self._advised, self.comparison.messages))))
