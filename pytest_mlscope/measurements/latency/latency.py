"""Latency: one measured window of a case, with profilers around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.mistakes import checked_readings, raised
from pytest_mlscope.components.profilers.base import MeasuredWindow, Profiler, Reading
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts.pool import HostPool
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.machine.facts import machine_facts
from pytest_mlscope.machine.lease import exclusive_lease
from pytest_mlscope.measurements.latency.doubts import Doubt, machine_doubts, told, window_doubts
from pytest_mlscope.measurements.latency.restarts import restart_warnings, summarise_restarts
from pytest_mlscope.measurements.latency.server_scenario import measure_server
from pytest_mlscope.measurements.latency.timed_path import check_timed_path
from pytest_mlscope.measurements.results import Latency
from pytest_mlscope.measurements.rows.first_rows import first_rows, open_shapes
from pytest_mlscope.recorder import SILENT, Recorder
from pytest_mlscope.statistics.percentiles import supported_percentiles

if TYPE_CHECKING:
    from pluggy import HookRelay

OFFLINE_BATCHES = 16
"""How many batches an offline queue holds."""

Readings = dict[str, Sequence[Reading]]
T = TypeVar("T")


def rows_in_a_sample(plan: Plan) -> int:
    """Rows whose prediction is one latency sample: a batch, a query of ``multi_stream``, or a queue of batches. For
    ``server``, the largest batch that queries are answered in.
    """
    if plan.case.scenario == "multi_stream":
        return plan.scenarios.multi_stream.samples_per_query
    return plan.case.batch_size * (OFFLINE_BATCHES if plan.case.scenario == "offline" else 1)


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
    plan = model.plan
    inputs = first_rows(model, rows_in_a_sample(plan))
    window = _Window(
        MeasuredWindow(
            host_pid=model.host.pid,
            hardware=plan.case.hardware,
            device=model.device,
            case_id=plan.case.id,
            lineage=plan.target.lineage,
        ),
        hook,
        profilers,
    )
    with window:
        latency, doubts = _in_scenario(model, inputs)
    latency = replace(latency, shapes=open_shapes(plan, inputs))
    doubts += machine_doubts(machine_facts(), threads=plan.case.threads, cpus=model.host.started.cpus)
    return _Measured(latency, window.readings, doubts)


def time_in_scenario(model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Latency:
    """Time a loaded model in its case's scenario; the device must be ours alone.

    :param inputs: :func:`rows_in_a_sample` rows. Raises as :func:`measure_latency`.
    """
    latency, doubts = _in_scenario(model, inputs)
    return replace(latency, warnings=tuple(told([doubts])))


def _in_scenario(model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> tuple[Latency, list[Doubt]]:
    return measure_server(model, inputs) if model.case.scenario == "server" else _closed_loop(model, inputs)


def _highest_percentile(plan: Plan) -> float:
    """p99.9 takes ten times as long as p99: only who bounds it waits for it."""
    expected = plan.expectation.latency
    return 99.9 if expected is not None and expected.p99_9 is not None else 99.0


def _closed_loop(model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> tuple[Latency, list[Doubt]]:
    measured = model.measure(inputs, highest_percentile=_highest_percentile(model.plan))
    doubts = check_timed_path(model, measured.timed_path)
    samples = measured.samples_ns
    latency = Latency(
        samples_ns=samples,
        batch_size=model.case.batch_size,
        percentiles=supported_percentiles(samples),
        relative_error=measured.relative_error,
        throughput=measured.rows_per_sample * len(samples) / (float(samples.sum()) / 1e9),
        stop_reason=measured.stop_reason,
        warmup_calls=measured.warmup_calls,
        warmup_seconds=measured.warmup_seconds,
        warmup_reason=measured.warmup_reason,
        window_seconds=measured.window_seconds,
        call_path=measured.call_path,
        load_seconds=model.load_seconds,
        peak_memory=measured.peak_memory,
        rows_per_query=measured.rows_per_sample,
        wanted_relative_error=model.plan.measurement.relative_error,
    )
    return latency, doubts + window_doubts(measured)


def measure_latency(
    ready: Callable[[HostPool | None], ReadyModel],
    *,
    hook: HookRelay,
    profilers: Sequence[type[Profiler]],
    restarts: int = 1,
    recorder: Recorder = SILENT,
) -> tuple[Latency, Readings]:
    """Time a case alone on its device.

    :param ready: loads the model in a host of the pool given, or in a warm one; called once the device is ours, so that
        nothing is loaded while another is timed.
    :param restarts: in how many processes; with more than one, each of them is fresh. What is returned is the window of
        the process with the middle median: its percentiles are those of one program, which a mixture's would not be.
    :param recorder: told when another process holds the device for a while.
    :raises HostError: when the framework fails, or the timed path does not predict.
    :raises DatasetError: when the inputs cannot be made.
    """
    measured: list[_Measured] = []
    with exclusive_lease("machine", recorder=recorder):
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
