"""A queue of batches known beforehand. Source: MLPerf Inference Rules, "Offline"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.latency.shown_scenario import ShownScenario
from pytest_mlscope.measurements.latency.timed import Timed, closed_loop

QUEUED_BATCHES = 16
"""How many batches a queue holds."""


class Offline(ShownScenario):
    """A queue of 16 batches, known beforehand; the next one when the last one is done."""

    name = "offline"
    sample = "queue"
    is_rate = True

    def rows(self, batch_size: int) -> int:
        return batch_size * QUEUED_BATCHES

    def measure(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Timed:
        return closed_loop(model, inputs, sample=self.sample)
