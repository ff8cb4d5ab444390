"""Evaluates cases, part by part, on this process's loader."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mlscope.cases import Plan
from pytest_mlscope.deadline import Deadline
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import BaselineError, MlscopeError, Refused
from pytest_mlscope.hosts import ModelLoader, Ready, ReadyModel, verify_environment
from pytest_mlscope.machine import exclusive_lease, shared_lease
from pytest_mlscope.measurements.accuracy.accuracy import measure_accuracy, with_input_shift
from pytest_mlscope.measurements.accuracy.result import Accuracy
from pytest_mlscope.measurements.latency.latency import Readings, measure_latency
from pytest_mlscope.measurements.latency.result import Latency
from pytest_mlscope.measurements.layers.layers import profile_layers
from pytest_mlscope.measurements.layers.result import LayerProfile
from pytest_mlscope.measurements.parity.parity import ReferenceOutputs, compare_outputs, measure_parity
from pytest_mlscope.measurements.parity.result import Parity
from pytest_mlscope.measurements.parity.self_difference import with_self_difference
from pytest_mlscope.measurements.parity.tolerance import Tolerances
from pytest_mlscope.measurements.provenance import provenance
from pytest_mlscope.measurements.provenance_facts import Provenance
from pytest_mlscope.settings import Settings

if TYPE_CHECKING:
    from pluggy import HookRelay


T = TypeVar("T")

KEPT_RESULTS = 64
"""Results kept for other tests of the same case: one evaluation serves them all."""

_PROVENANCE_SECONDS = 10.0
"""What reading the dataset's bytes may take in any case."""


def _refuse_emulated_time(plan: Plan) -> None:
    """:raises Refused: for a case on an emulated processor."""
    if plan.target.emulated:
        raise Refused("timings under emulation mean nothing", subject=plan.case.hardware)


class Evaluator:
    """One a process. Its hosts stay warm from case to case, and a case that several tests look at is evaluated once."""

    def __init__(
        self,
        settings: Settings,
        *,
        verify: Callable[[Environment], str] = verify_environment,
    ) -> None:
        """Parameters as of :class:`ModelLoader`."""
        self.settings = settings
        self.loader = ModelLoader(settings, verify=verify)
        self._references = ReferenceOutputs()
        self._tolerances = Tolerances()
        self._results: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self._latest: tuple[Plan, Deadline] | None = None
        """The case that was begun last, and by when it must be done."""

    def once(self, kind: str, plan: Plan, evaluate: Callable[[], T]) -> T:
        """What was evaluated of a case already, under the name of a kind of measurement, or what ``evaluate`` gives."""
        key = (kind, plan)
        if key not in self._results:
            while len(self._results) >= KEPT_RESULTS:
                self._results.popitem(last=False)
            self._results[key] = evaluate()
        self._results.move_to_end(key)
        result: T = self._results[key]
        return result

    def forget(self, plan: Plan) -> None:
        """Evaluate the case anew when it is asked for again."""
        for key in [key for key in self._results if key[-1] == plan]:
            del self._results[key]

    def provenance(self, plan: Plan) -> tuple[str, Provenance]:
        """Key and facts of the case as loaded now. Raises as :meth:`ModelLoader.ready`."""

        def gather() -> tuple[str, Provenance]:
            measured, deadline = self._latest or (None, None)
            # Part of what was measured just now, though nothing measured is thrown away for lack of a second.
            deadline = deadline.at_least(_PROVENANCE_SECONDS) if deadline and measured == plan else None
            return provenance(
                self.loader.ready(plan, deadline=deadline),
                command_line=self.settings.command_line,
                restarts=self.settings.restarts or plan.measurement.restarts,
            )

        return self.once("provenance", plan, gather)

    def _ready(self, plan: Plan) -> Ready:
        """What loads all the models of one measurement, however many they are, by one deadline.

        To be asked for once the machine is ours: what others do with it, and downloads, are not the case's time.
        """
        deadline = self.loader.deadline()
        self._latest = (plan, deadline)
        return partial(self.loader.ready, deadline=deadline)

    @contextmanager
    def loaded(self, plan: Plan, *, alone: bool) -> Iterator[ReadyModel]:
        """The case's model, with the machine ours: alone, to be timed, or shared. Raises as :meth:`ModelLoader.ready`.

        :raises Refused: to be timed on an emulated processor.
        """
        if alone:
            _refuse_emulated_time(plan)
        self.loader.prepare(plan)
        lease = exclusive_lease if alone else shared_lease
        with lease("machine", recorder=self.settings.recorder):
            yield self._ready(plan)(plan)

    def accuracy(self, plan: Plan) -> Accuracy:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_accuracy`."""

        def evaluate() -> Accuracy:
            self.loader.prepare(plan)
            with shared_lease("machine", recorder=self.settings.recorder):
                ready = self._ready(plan)(plan)
                return with_self_difference(with_input_shift(measure_accuracy(ready), ready), ready)

        return self.once("accuracy", plan, evaluate)

    def parity(self, plan: Plan) -> Parity:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_parity`."""

        def evaluate() -> Parity:
            self.loader.prepare(plan)
            with shared_lease("machine", recorder=self.settings.recorder):
                return measure_parity(plan, self._ready(plan), self._references, self._tolerances)

        return self.once("parity", plan, evaluate)

    def parity_with(self, plan: Plan, other: Plan) -> Parity:
        """The case's raw outputs against another case's. Raises as :func:`compare_outputs`."""
        self.loader.prepare(plan)
        try:
            self.loader.prepare(other)
        except MlscopeError as error:
            raise BaselineError(str(error), cause=error) from None
        with shared_lease("machine", recorder=self.settings.recorder):
            return compare_outputs(plan, other, self._ready(plan), self._tolerances)

    def latency(self, plan: Plan, *, hook: HookRelay) -> tuple[Latency, Readings]:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_latency`."""

        def evaluate() -> tuple[Latency, Readings]:
            profilers = tuple(plan.manifest.registry.profilers.values())
            _refuse_emulated_time(plan)
            self.loader.prepare(plan)
            restarts = self.settings.restarts or plan.measurement.restarts
            with exclusive_lease("machine", recorder=self.settings.recorder):
                return measure_latency(plan, self._ready(plan), hook=hook, profilers=profilers, restarts=restarts)

        return self.once("latency", plan, evaluate)

    def layers(self, plan: Plan) -> LayerProfile:
        """Raises as :meth:`ModelLoader.ready` and :func:`profile_layers`."""

        def evaluate() -> LayerProfile:
            _refuse_emulated_time(plan)
            self.loader.prepare(plan)
            with exclusive_lease("machine", recorder=self.settings.recorder):
                ready = self._ready(plan)(plan)
                # Asked for afterwards, it would have the model loaded anew for it alone.
                self.provenance(plan)
                try:
                    return profile_layers(ready)
                finally:
                    self.loader.load_anew(ready.host)

        return self.once("layers", plan, evaluate)

    def close(self) -> None:
        """End all hosts and free what is kept."""
        self._references.close()
        self.loader.close()
