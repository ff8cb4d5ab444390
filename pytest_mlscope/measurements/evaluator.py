"""Evaluates cases, part by part, on this process's loader."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mlscope.cases.case import Case
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.errors import BaselineError, MlscopeError, Refused
from pytest_mlscope.hosts.environment_verification import verify_environment
from pytest_mlscope.hosts.model_loader import ModelLoader
from pytest_mlscope.hosts.pool import HostPool
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.machine.lease import exclusive_lease, shared_lease
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


def _refuse_emulated_time(case: Case) -> None:
    """:raises Refused: for a case on an emulated processor."""
    if case.manifest.registry.hardware_targets[case.hardware].emulated:
        raise Refused("timings under emulation mean nothing", subject=case.hardware)


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

    def _once(self, kind: str, case: Case, evaluate: Callable[[], T]) -> T:
        key = (kind, case.manifest.path, case.manifest.sha256, case)
        if key not in self._results:
            while len(self._results) >= KEPT_RESULTS:
                self._results.popitem(last=False)
            self._results[key] = evaluate()
        self._results.move_to_end(key)
        result: T = self._results[key]
        return result

    def forget(self, case: Case) -> None:
        """Evaluate the case anew when it is asked for again."""
        for key in [key for key in self._results if key[-1] == case]:
            del self._results[key]

    def provenance(self, case: Case) -> tuple[str, Provenance]:
        """Key and facts of the case as loaded now. Raises as :meth:`ModelLoader.ready`."""

        def gather() -> tuple[str, Provenance]:
            return provenance(
                self.loader.ready(case),
                command_line=self.settings.command_line,
                restarts=self.settings.restarts or case.manifest.content.measurement.restarts,
            )

        return self._once("provenance", case, gather)

    def accuracy(self, case: Case) -> Accuracy:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_accuracy`."""

        def evaluate() -> Accuracy:
            self.loader.prepare(case)
            with shared_lease("machine", recorder=self.settings.recorder):
                ready = self.loader.ready(case)
                return with_self_difference(with_input_shift(measure_accuracy(ready), ready), ready)

        return self._once("accuracy", case, evaluate)

    def parity(self, case: Case) -> Parity:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_parity`."""

        def evaluate() -> Parity:
            self.loader.prepare(case)
            with shared_lease("machine", recorder=self.settings.recorder):
                return measure_parity(case, self.loader.ready, self._references, self._tolerances)

        return self._once("parity", case, evaluate)

    def parity_with(self, case: Case, other: Case) -> Parity:
        """The case's raw outputs against another case's. Raises as :func:`compare_outputs`."""
        self.loader.prepare(case)
        try:
            self.loader.prepare(other)
        except MlscopeError as error:
            raise BaselineError(str(error)) from None
        with shared_lease("machine", recorder=self.settings.recorder):
            return compare_outputs(case, other, self.loader.ready, self._tolerances)

    def latency(self, case: Case, *, hook: HookRelay) -> tuple[Latency, Readings]:
        """Raises as :meth:`ModelLoader.ready` and :func:`measure_latency`."""

        def ready(pool: HostPool | None) -> ReadyModel:
            return self.loader.ready(case, pool=pool)

        def evaluate() -> tuple[Latency, Readings]:
            profilers = tuple(case.manifest.registry.profilers.values())
            _refuse_emulated_time(case)
            self.loader.prepare(case)
            restarts = self.settings.restarts or case.manifest.content.measurement.restarts
            return measure_latency(
                ready, hook=hook, profilers=profilers, restarts=restarts, recorder=self.settings.recorder
            )

        return self._once("latency", case, evaluate)

    def layers(self, case: Case) -> LayerProfile:
        """Raises as :meth:`ModelLoader.ready` and :func:`profile_layers`."""

        def evaluate() -> LayerProfile:
            _refuse_emulated_time(case)
            self.loader.prepare(case)
            with exclusive_lease("machine", recorder=self.settings.recorder):
                ready = self.loader.ready(case)
                # Asked for afterwards, it would have the model loaded anew for it alone.
                self.provenance(case)
                try:
                    return profile_layers(ready)
                finally:
                    self.loader.load_anew(ready.host)

        return self._once("layers", case, evaluate)

    def close(self) -> None:
        """End all hosts and free what is kept."""
        self._references.close()
        self.loader.close()
