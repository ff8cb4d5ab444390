"""Whether a timed path predicts."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.errors import HostError
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.measurements.parity.comparison import OutputComparison, default_tolerance


def check_timed_path(ready: ReadyModel, tensors: dict[str, NDArray[Any]]) -> None:
    """The timed path must give what plain prediction gives: a fast path that predicts nothing is no measurement.

    :param tensors: outputs as ``bound:NAME`` and ``predicted:NAME``.
    :raises HostError: when it does not.
    """
    comparison = OutputComparison(*default_tolerance(ready.case.precision, ready.resolved.get("precision")))
    for name, predicted in ready.manifest_outputs(tensors, prefix="predicted:").items():
        bound = ready.manifest_outputs(tensors, prefix="bound:")[name]
        comparison.update(name, bound, predicted, ranked=False)
    if comparison.mismatch or comparison.violations:
        largest = "" if comparison.max_abs is None else f"largest difference {comparison.max_abs:.3g}"
        detail = comparison.mismatch or largest or f"{comparison.violations:,} elements differ"
        raise HostError(
            f"{ready.host.name}: the timed call path does not give what prediction gives ({detail}); "
            "the time is worth nothing, and the predictor needs mending"
        )
