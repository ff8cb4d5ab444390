"""Latency: one measured window of a case, with profilers around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.agent.lease import exclusive_lease
from pytest_mlscope.agent.ready_model import ReadyModel
from pytest_mlscope.components.profilers.base import MeasuredWindow, Profiler, Reading
from pytest_mlscope.errors import DatasetError, HostError
from pytest_mlscope.evaluation.comparison import DEFAULT_TOLERANCE, OutputComparison
from pytest_mlscope.evaluation.inputs import as_batch
from pytest_mlscope.evaluation.manifest_errors import naming
from pytest_mlscope.evaluation.prepared_rows import RowPreparer
from pytest_mlscope.evaluation.results import Latency
from pytest_mlscope.evaluation.statistics import supported_percentiles

if TYPE_CHECKING:
    from pluggy import HookRelay

OFFLINE_BATCHES = 16
"""How many batches an offline queue holds."""

Readings = dict[str, Sequence[Reading]]


def _bound_inputs(ready: ReadyModel) -> dict[str, NDArray[Any]]:
    """The first rows of the dataset, as many as the scenario takes; repeated when there are fewer."""
    case = ready.case
    rows = case.batch_size * (OFFLINE_BATCHES if case.scenario == "offline" else 1)
    with RowPreparer(case.manifest, preprocessing=case.preprocessing, with_labels=False) as preparer:
        prepared = preparer.read(preparer.rows[:rows])
    if prepared.failed:
        raise DatasetError(f"{case.manifest.path}: an input to time cannot be made: {prepared.failed[0].message}")
    inputs = {}
    for name, samples in prepared.inputs.items():
        with naming(case.manifest):
            array = as_batch(name, samples)
        inputs[name] = np.resize(array, (rows, *array.shape[1:])) if len(array) < rows else array
    return ready.framework_inputs(inputs)


def _did_predict(ready: ReadyModel, tensors: dict[str, NDArray[Any]]) -> None:
    """The timed path must give what plain prediction gives: a fast path that predicts nothing is no measurement."""
    tolerance = DEFAULT_TOLERANCE.get(ready.case.precision, DEFAULT_TOLERANCE["fp32"])
    comparison = OutputComparison(*tolerance)
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
    """Profilers and hooks around a measurement."""

    def __init__(self, window: MeasuredWindow, hook: HookRelay, profilers: Sequence[type[Profiler]]) -> None:
        self._window = window
        self._hook = hook
        self._profilers = [profiler() for profiler in profilers]
        self.readings: Readings = {}

    def __enter__(self) -> _Window:
        self._hook.pytest_mlscope_measured_window_opens(window=self._window)
        self._started: list[Profiler] = []
        try:
            for profiler in self._profilers:
                profiler.start(self._window)
                self._started.append(profiler)
        except BaseException:
            self._stop()
            raise
        return self

    def _stop(self) -> None:
        for profiler in self._started:
            self.readings[profiler.name] = list(profiler.stop())

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._hook.pytest_mlscope_measured_window_closes(window=self._window)


def measure_latency(
    ready: Callable[[], ReadyModel],
    *,
    hook: HookRelay,
    profilers: Sequence[type[Profiler]],
    waiting: Callable[[], None] | None = None,
) -> tuple[Latency, Readings]:
    """Time a case alone on its device.

    :param ready: loads the model; called once the device is ours, so that nothing is loaded while another is timed.
    :param waiting: called when another process holds the device for a while.
    :raises HostError: when the framework fails, or the timed path does not predict.
    :raises DatasetError: when the inputs cannot be made.
    """
    with exclusive_lease("machine", waiting=waiting):
        model = ready()
        case = model.case
        measurement = case.manifest.content.measurement
        inputs = _bound_inputs(model)
        window = _Window(
            MeasuredWindow(host_pid=model.host.pid, hardware=case.hardware, device=model.device, case_id=case.id),
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
        _did_predict(model, tensors)
        samples = np.array(tensors["samples_ns"])
    warnings = []
    if reply["warmup_reason"] != "steady":
        warnings.append(f"not steady after {reply['warmup_seconds']:.2g} s of warm-up")
    if reply["peak_memory_since"] == "start":
        warnings.append("peak memory is since the host started")
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
        warnings=tuple(warnings),
    )
    return latency, window.readings
