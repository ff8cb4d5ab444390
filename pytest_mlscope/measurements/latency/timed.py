"""Models bound to inputs and warm, whose calls are timed in the host: what every scenario is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components import Reading
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.latency.doubts import Doubt, warm_up_doubts, window_doubts
from pytest_mlscope.measurements.latency.result import Latency
from pytest_mlscope.measurements.latency.timed_path import check_timed_path
from pytest_mlscope.statistics import median_relative_error, supported_percentiles


@dataclass(frozen=True)
class Timed:
    """What a scenario measured, and what casts doubt on it."""

    latency: Latency
    doubts: Sequence[Doubt] = ()


def _highest_percentile(model: ReadyModel) -> float:
    """p99.9 takes ten times as long as p99: only who bounds it waits for it."""
    expected = model.plan.expectation.latency
    return 99.9 if expected is not None and expected.p99_9 is not None else 99.0


def closed_loop(model: ReadyModel, inputs: Mapping[str, NDArray[Any]], *, sample: str) -> Timed:
    """Predict the same rows again and again, each time when the last one is done, by the rules of the timed window.

    :param inputs: the rows of one sample, predicted in batches of the case's size.
    :param sample: as :attr:`Scenario.sample`.
    :raises HostError: when the framework fails, or the timed path does not predict.
    """
    case = model.case
    measured = model.measure(inputs, highest_percentile=_highest_percentile(model))
    doubts = check_timed_path(model, measured.timed_path)
    samples = measured.samples_ns
    latency = Latency(
        samples_ns=samples,
        batch_size=case.batch_size,
        percentiles=supported_percentiles(samples),
        relative_error=measured.relative_error,
        # By the calls' own time: between blocks the window also holds bookkeeping.
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
        sample=sample,
        back_to_back=True,
    )
    return Timed(latency, [*doubts, *window_doubts(measured)])


class WarmModel:
    """A loaded model with inputs bound and warm, whose calls are timed on request: for scenarios of one's own.

    A call predicts all the rows, in batches of the case's size. It is timed in the host, so no pipe is in it.

    :param inputs: as :meth:`Scenario.measure` gets them.
    :raises HostError: when the framework fails, or the timed path does not predict.
    """

    def __init__(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> None:
        self._model = model
        self._rows = len(next(iter(inputs.values())))
        self._opened = model.host.open_blocks(
            inputs,
            batch_size=model.case.batch_size,
            pad=model.pads,
            warmup_budget=model.plan.measurement.warmup_budget,
            timeout=model.deadline,
        )
        self._doubts = check_timed_path(model, self._opened.timed_path)
        self._peak_memory: int | None = None

    def time(self, calls: int) -> NDArray[np.int64]:
        """Time so many calls, each when the last one is done; nanoseconds, shape ``(calls,)``."""
        block = self._model.host.block(calls=calls, timeout=self._model.deadline)
        # Of the latest block: the kernel's peak counts from when the inputs were bound.
        self._peak_memory = block.peak_memory
        return np.array(block.samples_ns)

    def timed(
        self,
        samples_ns: NDArray[np.int64],
        *,
        sample: str,
        seconds: float | None = None,
        figures: Sequence[Reading] = (),
    ) -> Timed:
        """The result of a scenario.

        :param samples_ns: the latencies, shape ``(n,)``, in the order measured, in nanoseconds.
        :param sample: as :attr:`Scenario.sample`.
        :param seconds: in which the rows of these samples were predicted, for the throughput; the sum of the latencies
            when absent.
        :param figures: further columns of the summary and entries of the JSON report.
        :raises MlscopeError: when there is no latency, one is not above 0, or one is too large for int64.
        """
        case, opened = self._model.case, self._opened
        samples = np.asarray(samples_ns)
        if samples.ndim != 1 or samples.dtype.kind not in "iu" or not len(samples):
            raise MlscopeError(
                f"{case.id}: scenario {case.scenario!r} measured {samples.dtype} of shape {samples.shape}; "
                "expected integers of nanoseconds, above 0, shape (n,), at least one"
            )
        # As Python's integers: a large unsigned one is negative once it is an int64.
        shortest, longest = int(samples.min()), int(samples.max())
        if shortest <= 0 or longest > np.iinfo(np.int64).max:
            raise MlscopeError(
                f"{case.id}: scenario {case.scenario!r} measured {shortest if shortest <= 0 else longest} ns; "
                "expected integers of nanoseconds above 0 that int64 holds"
            )
        samples = samples.astype(np.int64)
        # As floats: int64 overflows after 292 years, which a wrong scenario reaches with a few samples.
        lasted = float(samples.sum(dtype=np.float64)) / 1e9 if seconds is None else seconds
        latency = Latency(
            samples_ns=samples,
            batch_size=case.batch_size,
            percentiles=supported_percentiles(samples),
            relative_error=median_relative_error(samples),
            throughput=self._rows * len(samples) / max(lasted, 1e-9),
            stop_reason="scenario",
            warmup_calls=opened.warmup_calls,
            warmup_seconds=opened.warmup_seconds,
            warmup_reason=opened.warmup_reason,
            window_seconds=lasted,
            call_path=opened.call_path,
            load_seconds=self._model.load_seconds,
            peak_memory=self._peak_memory,
            rows_per_query=self._rows,
            sample=sample,
            figures=tuple(figures),
        )
        return Timed(latency, [*self._doubts, *warm_up_doubts(opened)])
