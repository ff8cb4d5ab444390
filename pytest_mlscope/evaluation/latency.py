"""Latency: one measured window of a case, with profilers around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.agent.host_pool import HostPool
from pytest_mlscope.agent.lease import exclusive_lease
from pytest_mlscope.agent.machine import machine_facts
from pytest_mlscope.agent.ready_model import ReadyModel
from pytest_mlscope.cases.case import Case
from pytest_mlscope.components.mistakes import checked_readings, raised
from pytest_mlscope.components.profilers.base import MeasuredWindow, Profiler, Reading
from pytest_mlscope.errors import HostError, MlscopeError
from pytest_mlscope.evaluation.comparison import OutputComparison, default_tolerance
from pytest_mlscope.evaluation.doubts import Doubt, machine_doubts, told, window_doubts
from pytest_mlscope.evaluation.first_rows import first_rows
from pytest_mlscope.evaluation.restarts import restart_warnings, summarise_restarts
from pytest_mlscope.evaluation.results import Latency
from pytest_mlscope.evaluation.statistics import supported_percentiles

if TYPE_CHECKING:
    from pluggy import HookRelay

OFFLINE_BATCHES = 16
"""How many batches an offline queue holds."""

Readings = dict[str, Sequence[Reading]]
T = TypeVar("T")


def rows_in_a_sample(case: Case) -> int:
    """Rows whose prediction is one latency sample: a batch, or a queue of them."""
    return case.batch_size * (OFFLINE_BATCHES if case.scenario == "offline" else 1)


def check_timed_path(ready: ReadyModel, tensors: dict[str, NDArray[Any]]) -> None:
    """The timed path must give what plain prediction gives: a fast path that predicts nothing is no measurement."""
    comparison = OutputComparison(*default_tolerance(ready.case.precision, ready.resolved.get("precision")))
    for name, predicted in ready.manifest_outputs(tensors, prefix="predicted:").items():
        bound = ready.manifest_outputs(tensors, prefix="bound:")[name]
        comparison.update(name, bound, predicted, ranked=False)
    if comparison.mismatch or comparison.violations:
        detail = comparison.mismatch or f"largest difference {comparison.max_abs:.3g}"
        raise HostError(
            f"{ready.host.name}: the timed call path does not give what prediction gives ({detail}); "
            "the time is worth nothing, and the predictor needs mending"
        )


class _Window:
    """Profilers and hooks around a measurement.

    :raises MlscopeError: when a profiler fails or returns something else than readings.
    """

    def __init__(self, window: MeasuredWindow, hook: HookRelay, profilers: Sequence[type[Profiler]]) -> None:
        self._window = window
        self._hook = hook
        self._profilers = [(profiler.name, self._guarded(profiler.name, profiler)) for profiler in profilers]
        self._started: list[tuple[str, Profiler]] = []
        self.readings: Readings = {}

    @staticmethod
    def _guarded(name: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:
            raise MlscopeError(f"profiler {name}: {raised(error)}") from error

    def __enter__(self) -> _Window:
        self._hook.pytest_mlscope_measured_window_opens(window=self._window)
        try:
            for name, profiler in self._profilers:
                self._guarded(name, partial(profiler.start, self._window))
                self._started.append((name, profiler))
        except BaseException:
            self._close()
            raise
        return self

    def _close(self) -> MlscopeError | None:
        """Stop every profiler, whatever becomes of the others; returns the first one's failure."""
        failure: MlscopeError | None = None
        for name, profiler in self._started:
            try:
                self.readings[name] = checked_readings(self._guarded(name, profiler.stop), profiler=name)
            except MlscopeError as error:
                failure = failure or error
        self._hook.pytest_mlscope_measured_window_closes(window=self._window)
        return failure

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        failure = self._close()
        # Why the measurement failed comes first.
        if failure is not None and error is None:
            raise failure


@dataclass(frozen=True)
class _Measured:
    """One process's window."""

    latency: Latency
    readings: Readings
    doubts: Sequence[Doubt]


def _measure_once(model: ReadyModel, hook: HookRelay, profilers: Sequence[type[Profiler]]) -> _Measured:
    case = model.case
    measurement = case.manifest.content.measurement
    inputs = first_rows(model, rows_in_a_sample(case))
    window = _Window(
        MeasuredWindow(
            host_pid=model.host.pid,
            hardware=case.hardware,
            device=model.device,
            case_id=case.id,
            lineage=case.manifest.registry.hardware_targets[case.hardware].lineage,
        ),
        hook,
        profilers,
    )
    with window:
        reply = model.host.request(
            {
                "operation": "measure",
                "batch_size": case.batch_size,
                "budget": measurement.budget,
                "relative_error": measurement.relative_error,
                "warmup_budget": measurement.warmup_budget,
            },
            inputs,
            timeout=model.remaining(),
            doing="measuring latency",
        )
    tensors = model.host.tensors(reply)
    check_timed_path(model, tensors)
    samples = np.array(tensors["samples_ns"])
    latency = Latency(
        samples_ns=samples,
        batch_size=case.batch_size,
        percentiles=supported_percentiles(samples),
        relative_error=reply["relative_error"],
        throughput=reply["rows_per_sample"] * len(samples) / (float(samples.sum()) / 1e9),
        stop_reason=reply["stop_reason"],
        warmup_calls=reply["warmup_calls"],
        warmup_seconds=reply["warmup_seconds"],
        warmup_reason=reply["warmup_reason"],
        window_seconds=reply["window_seconds"],
        call_path=reply["call_path"],
        load_seconds=model.load_seconds,
        peak_memory=reply["peak_memory"],
    )
    doubts = [
        *window_doubts(reply, samples),
        *machine_doubts(machine_facts(), threads=case.threads, cpus=model.host.cpus),
    ]
    return _Measured(latency, window.readings, doubts)


def measure_latency(
    ready: Callable[[HostPool | None], ReadyModel],
    *,
    hook: HookRelay,
    profilers: Sequence[type[Profiler]],
    restarts: int = 1,
    waiting: Callable[[], None] | None = None,
) -> tuple[Latency, Readings]:
    """Time a case alone on its device.

    :param ready: loads the model in a host of the pool given, or in a warm one; called once the device is ours, so that
        nothing is loaded while another is timed.
    :param restarts: in how many processes; with more than one, each of them is fresh. What is returned is the window of
        the process with the middle median: its percentiles are those of one program, which a mixture's would not be.
    :param waiting: called when another process holds the device for a while.
    :raises HostError: when the framework fails, or the timed path does not predict.
    :raises DatasetError: when the inputs cannot be made.
    """
    measured: list[_Measured] = []
    with exclusive_lease("machine", waiting=waiting):
        if restarts == 1:
            measured.append(_measure_once(ready(None), hook, profilers))
        else:
            for _ in range(restarts):
                pool = HostPool()
                try:
                    measured.append(_measure_once(ready(pool), hook, profilers))
                finally:
                    pool.close()
    warnings = told([each.doubts for each in measured])
    if restarts == 1:
        return replace(measured[0].latency, warnings=tuple(warnings)), measured[0].readings
    facts = summarise_restarts([each.latency for each in measured])
    shown = measured[facts.shown]
    warnings += restart_warnings(facts)
    return replace(shown.latency, warnings=tuple(warnings), restarts=facts), shown.readings
