"""Latency: one measured window of a case, with profilers around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from pytest_mlscope.cases import Plan
from pytest_mlscope.components import MeasuredWindow, Profiler, Reading, asked, checked_readings, raised
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts import HostPool, Ready, ReadyModel
from pytest_mlscope.machine import machine_facts
from pytest_mlscope.measurements.latency.doubts import Doubt, machine_doubts, told
from pytest_mlscope.measurements.latency.restarts import restart_warnings, summarise_restarts
from pytest_mlscope.measurements.latency.result import Latency
from pytest_mlscope.measurements.latency.timed import Timed
from pytest_mlscope.measurements.rows.first_rows import first_rows, open_shapes

if TYPE_CHECKING:
    from pluggy import HookRelay

Readings = dict[str, Sequence[Reading]]
T = TypeVar("T")


def rows_in_a_sample(plan: Plan) -> int:
    """Rows whose prediction is one latency sample: a batch, a query of ``multi_stream``, or a queue of batches. For
    ``server``, the largest batch that queries are answered in.
    """
    return int(asked(plan.scenario, "rows", plan.case.batch_size))


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
            # Those that did start must be stopped, or they would measure on through the rest of the run.
            self._close()
            raise
        return self

    def _close(self) -> MlscopeError | None:
        """Stop every profiler, whatever becomes of the others; returns the first one's failure."""
        failure: MlscopeError | None = None
        for name, profiler in self._started:
            try:
                self.readings[name] = checked_readings(
                    self._guarded(name, profiler.stop), where=f"profiler {name}", what="stop"
                )
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
        timed = _in_scenario(model, inputs)
    doubts = [*timed.doubts, *machine_doubts(machine_facts(), threads=plan.case.threads, cpus=model.host.started.cpus)]
    return _Measured(replace(timed.latency, shapes=open_shapes(plan, inputs)), window.readings, doubts)


def time_in_scenario(model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Latency:
    """Time a loaded model in its case's scenario; the device must be ours alone.

    :param inputs: :func:`rows_in_a_sample` rows. Raises as :func:`measure_latency`.
    """
    timed = _in_scenario(model, inputs)
    return replace(timed.latency, warnings=tuple(told([timed.doubts])))


def _in_scenario(model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Timed:
    scenario = model.plan.scenario
    try:
        timed: object = scenario.measure(model, inputs)
    except MlscopeError:
        raise
    except Exception as error:  # a plugin's scenario can raise anything
        raise MlscopeError(f"{model.case.id}: scenario {scenario.name!r} {raised(error)}") from error
    if not isinstance(timed, Timed):
        raise MlscopeError(f"{model.case.id}: scenario {scenario.name!r} returned {timed!r:.80}; expected a Timed")
    # A plugin's figures go into reports, where a wrong type would be found too late.
    checked_readings(timed.latency.figures, where=f"scenario {scenario.name}", what="measure")
    return timed


def measure_latency(
    plan: Plan,
    ready: Ready,
    *,
    hook: HookRelay,
    profilers: Sequence[type[Profiler]],
    restarts: int = 1,
) -> tuple[Latency, Readings]:
    """Time a case; the device must be ours alone, also while it loads.

    :param ready: loads the model.
    :param restarts: in how many processes; with more than one, each of them is fresh. What is returned is the window of
        the process with the middle median: its percentiles are those of one program, which a mixture's would not be.
    :raises HostError: when the framework fails, or the timed path does not predict.
    :raises DatasetError: when the inputs cannot be made.
    """
    measured: list[_Measured] = []
    if restarts == 1:
        measured.append(_measure_once(ready(plan), hook, profilers))
    else:
        for _ in range(restarts):
            # Of its own: a warm host of the run would be the same process each time.
            pool = HostPool()
            try:
                measured.append(_measure_once(ready(plan, pool=pool), hook, profilers))
            finally:
                pool.close()
    warnings = told([each.doubts for each in measured])
    if restarts == 1:
        return replace(measured[0].latency, warnings=tuple(warnings)), measured[0].readings
    facts = summarise_restarts([each.latency for each in measured])
    shown = measured[facts.shown]
    warnings += restart_warnings(facts)
    return replace(shown.latency, warnings=tuple(warnings), restarts=facts), shown.readings
