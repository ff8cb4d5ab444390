"""One query of several rows after the other. Source: MLPerf Inference Rules, "MultiStream"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.latency.shown_scenario import ShownScenario
from pytest_mlscope.measurements.latency.timed import Timed, closed_loop


class MultiStream(ShownScenario):
    """Queries of several rows, the next one when the last one is done."""

    name = "multi_stream"
    sample = "query"

    samples_per_query: int = Field(default=8, gt=0, le=2**20)
    """Rows in a query, predicted in batches of the case's batch size."""

    def rows(self, batch_size: int) -> int:
        return self.samples_per_query

    def measure(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Timed:
        return closed_loop(model, inputs, sample=self.sample)
