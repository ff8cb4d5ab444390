"""What casts doubt on a timed window: a path that does not predict, a warm-up that did not settle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.agent.ready_model import ReadyModel
from pytest_mlscope.errors import HostError
from pytest_mlscope.evaluation.comparison import OutputComparison, default_tolerance


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
        detail = comparison.mismatch or f"largest difference {comparison.max_abs:.3g}"
        raise HostError(
            f"{ready.host.name}: the timed call path does not give what prediction gives ({detail}); "
            "the time is worth nothing, and the predictor needs mending"
        )


def measurement_warnings(reply: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a host's reply to ``measure`` or ``open_server``."""
    warnings = []
    if reply["warmup_reason"] != "steady":
        warnings.append(f"not steady after {reply['warmup_seconds']:.2g} s of warm-up")
    if reply["peak_memory_since"] == "start":
        warnings.append("peak memory is since the host started")
    return tuple(warnings)
