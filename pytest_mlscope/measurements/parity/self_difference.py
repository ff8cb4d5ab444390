"""Whether a model gives the same twice: one that does not cannot agree with anything."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.measurements.parity.comparison import OutputComparison
from pytest_mlscope.measurements.parity.raw_outputs import RawOutputs, predict_raw
from pytest_mlscope.measurements.parity.tolerance import NOISE_ROWS, Tolerance


def difference_from_itself(ready: ReadyModel, tolerances: Mapping[str, Tolerance], *, rows: int) -> float | None:
    """Largest difference of two predictions of the same rows in one process; ``None`` within the tolerance.

    :raises HostError: when it fails.
    """
    comparisons = {name: OutputComparison(tolerance.abs, tolerance.rel) for name, tolerance in tolerances.items()}
    with RawOutputs() as outputs:
        for chunk in predict_raw(ready, rows=min(rows, NOISE_ROWS)):
            outputs.append(chunk)
        for chunk, first in zip(predict_raw(ready, rows=min(rows, NOISE_ROWS)), outputs, strict=True):
            for name, output in chunk.items():
                comparisons[name].update(name, output, first[name], ranked=False)
    differing = [compared for compared in comparisons.values() if compared.violations or compared.mismatch]
    return max((compared.max_abs or 0.0 for compared in differing), default=None)
