"""One batch after the other. Source: MLPerf Inference Rules, "SingleStream", there of one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.latency.shown_scenario import ShownScenario
from pytest_mlscope.measurements.latency.timed import Timed, closed_loop


class SingleStream(ShownScenario):
    """One batch of the case's size after the other."""

    name = "single_stream"

    def measure(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Timed:
        return closed_loop(model, inputs, sample=self.sample)
