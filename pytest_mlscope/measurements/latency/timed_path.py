"""Whether a timed path predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import HostError
from pytest_mlscope.hosts import ReadyModel, TimedPath
from pytest_mlscope.measurements.latency.doubts import Doubt
from pytest_mlscope.measurements.parity.comparison import OutputComparison, default_tolerance


def check_timed_path(ready: ReadyModel, path: TimedPath) -> list[Doubt]:
    """The timed path must give what plain prediction gives: a fast path that predicts nothing is no measurement.

    :returns: a doubt where the model differs from itself, so that the two could not be compared, or gives only NaN.
    :raises HostError: when it does not.
    """
    predicted = ready.manifest_outputs(path.predicted)
    bound = ready.manifest_outputs(path.bound)
    timed = _compared(ready, bound, predicted)
    if not (timed.mismatch or timed.violations):
        # Agreement of NaN with NaN is no proof that the model computes.
        if all(array.size and array.dtype.kind == "f" and np.isnan(array).all() for array in predicted.values()):
            return [Doubt("nan", 1.0, "the model gives only NaN for the rows that are timed")]
        return []
    largest = "" if timed.max_abs is None else f"largest difference {timed.max_abs:.3g}"
    detail = timed.mismatch or largest or f"{timed.violations:,} elements differ"
    # The host predicts once more where the two differ: a random model cannot agree with anything.
    if path.again and not timed.mismatch:
        again = _compared(ready, ready.manifest_outputs(path.again), predicted)
        if again.violations and not _gives_nothing(bound, predicted):
            size = f" by up to {again.max_abs:.3g}" if again.max_abs is not None else ""
            text = (
                f"the model differs from itself{size} when it predicts the same rows twice, so that the timed call "
                "path could not be compared with prediction"
            )
            return [Doubt("random", again.max_abs or 0.0, text)]
    raise HostError(
        f"{ready.host.name}: the timed call path does not give what prediction gives ({detail}); its time means "
        "nothing; mend bind() of the predictor"
    )


def _compared(
    ready: ReadyModel, outputs: Mapping[str, NDArray[Any]], predicted: Mapping[str, NDArray[Any]]
) -> OutputComparison:
    comparison = OutputComparison(*default_tolerance(ready.case.precision, ready.resolved.get("precision")))
    for name, reference in predicted.items():
        comparison.update(name, outputs[name], reference, ranked=False)
    return comparison


def _gives_nothing(bound: Mapping[str, NDArray[Any]], predicted: Mapping[str, NDArray[Any]]) -> bool:
    """Whether an output is one value throughout in the timed path alone, such as memory that nothing was written to."""
    return any(_is_constant(bound[name]) and not _is_constant(array) for name, array in predicted.items())


def _is_constant(array: NDArray[Any]) -> bool:
    values = array.ravel()
    return bool(values.size == 0 or np.all(values == values[0]))
