"""Evaluates cases, part by part, on this process's loader."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mlscope.cases import Plan
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import BaselineError, MlscopeError, Refused
from pytest_mlscope.hosts import HostPool, ModelLoader, ReadyModel, verify_environment
from pytest_mlscope.machine import exclusive_lease, shared_lease
from pytest_mlscope.measurements.accuracy.accuracy import measure_accuracy, with_input_shift
from pytest_mlscope.measurements.latency.latency import Readings, measure_latency
from pytest_mlscope.measurements.layers.layers import profile_layers
from pytest_mlscope.measurements.parity.parity import ReferenceOutputs, compare_outputs, measure_parity
from pytest_mlscope.measurements.parity.self_difference import with_self_difference
from pytest_mlscope.measurements.parity.tolerance import Tolerances
from pytest_mlscope.measurements.provenance import provenance
from pytest_mlscope.measurements.provenance_facts import Provenance
from pytest_mlscope.measurements.results import Accuracy, Latency, LayerProfile, Parity
from pytest_mlscope.settings import Settings

if TYPE_CHECKING:
    from pluggy import HookRelay


T = TypeVar("T")

KEPT_RESULTS = 64
"""Results kept for other tests of the same case: one evaluation serves them all."""


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
        self._references = ReferenceOutputs(self.loader.ready)
        self._tolerances = Tolerances(self.loader)
        self._results: OrderedDict[tuple[object, ...], Any] = OrderedDict()

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
            return provenance(
                self.loader.ready(plan),
                command_line=self.settings.command_line,
                restarts=self.settings.restarts or plan.measurement.restarts,
            )

        return self.once("provenance", plan, gather)

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
            yield self.loader.ready(plan)

    def accuracy(self, plan: Plan) -> Accuracy:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_accuracy`."""

        def evaluate() -> Accuracy:
            self.loader.prepare(plan)
            with shared_lease("machine", recorder=self.settings.recorder):
                ready = self.loader.ready(plan)
                return with_self_difference(with_input_shift(measure_accuracy(ready), ready), ready)

        return self.once("accuracy", plan, evaluate)

    def parity(self, plan: Plan) -> Parity:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_parity`."""

        def evaluate() -> Parity:
            self.loader.prepare(plan)
            with shared_lease("machine", recorder=self.settings.recorder):
                return measure_parity(plan, self.loader.ready, self._references, self._tolerances)

        return self.once("parity", plan, evaluate)

    def parity_with(self, plan: Plan, other: Plan) -> Parity:
        """The case's raw outputs against another case's. Raises as :func:`compare_outputs`."""
        self.loader.prepare(plan)
        try:
            self.loader.prepare(other)
        except MlscopeError as error:
            raise BaselineError(str(error)) from None
        with shared_lease("machine", recorder=self.settings.recorder):
            return compare_outputs(plan, other, self.loader.ready, self._tolerances)

    def latency(self, plan: Plan, *, hook: HookRelay) -> tuple[Latency, Readings]:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_latency`."""

        def ready(pool: HostPool | None) -> ReadyModel:
            return self.loader.ready(plan, pool=pool)

        def evaluate() -> tuple[Latency, Readings]:
            profilers = tuple(plan.manifest.registry.profilers.values())
            _refuse_emulated_time(plan)
            self.loader.prepare(plan)
            restarts = self.settings.restarts or plan.measurement.restarts
            # It takes the lease itself, so that each host is loaded only once the machine is ours.
            return measure_latency(
                ready, hook=hook, profilers=profilers, restarts=restarts, recorder=self.settings.recorder
            )

        return self.once("latency", plan, evaluate)

    def layers(self, plan: Plan) -> LayerProfile:
        """Raises as :meth:`ModelLoader.ready` and :func:`profile_layers`."""

        def evaluate() -> LayerProfile:
            _refuse_emulated_time(plan)
            self.loader.prepare(plan)
            with exclusive_lease("machine", recorder=self.settings.recorder):
                ready = self.loader.ready(plan)
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
