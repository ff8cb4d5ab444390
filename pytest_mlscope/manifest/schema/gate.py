"""What fails when the model is compared with a baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pytest_mlscope.manifest.quantities import Day, Percentage, PositivePercentage
from pytest_mlscope.manifest.schema.matrix import CaseSelector
from pytest_mlscope.manifest.schema.section import Section

OnRegression = Literal["fail", "warn", "ignore"]
GatedQuantity = Literal["latency", "peak_memory", "load_time", "accuracy", "parity"]


class RatioPolicy(Section):
    """What a difference of latency, peak memory or load time means when the model is compared with a baseline."""

    smallest_effect: PositivePercentage | None = None
    """Smallest difference that matters, such as ``5%``."""
    on_regression: OnRegression = "fail"
    """``fail`` the test, only ``warn`` in the table, or ``ignore`` the quantity: it is not compared then."""


class MetricPolicy(Section):
    """What a difference of one metric means when the model is compared with a baseline."""

    loss: Percentage = 0.0
    """Largest loss that is accepted, of the baseline's value, such as ``0.5%``."""
    on_regression: OnRegression = "fail"
    """``fail`` the test, only ``warn`` in the table, or ``ignore`` the metric: it is not compared then."""


class OutputsPolicy(Section):
    """What a difference of raw outputs means when the model is compared with a baseline."""

    on_regression: OnRegression = "fail"
    """``fail`` the test, only ``warn`` in the table, or ``ignore`` the outputs: they are not compared then."""


class AcceptedRegression(Section):
    """A regression that is known, and does not fail until a day."""

    quantity: GatedQuantity
    """What regressed."""
    metric: str | None = None
    """Which metric, of ``accuracy``; all when absent."""
    when: CaseSelector | None = None
    """The cases it applies to; all when absent."""
    reason: str = Field(min_length=1)
    """Why it is accepted; shown in the report."""
    until: Day
    """The last day, such as ``2027-01-31``; after it the acceptance itself fails the tests it applies to."""
    at_most: PositivePercentage | None = None
    """Largest regression that is accepted, relative to the baseline's value, such as ``12%``; any when absent. Of a
    top1 of 0.8, ``5%`` accepts 0.76."""


class GatePolicy(Section):
    """What fails when the model is compared with a baseline, by ``--mlscope-against``."""

    latency: RatioPolicy = Field(default_factory=RatioPolicy)
    """Latency."""
    peak_memory: RatioPolicy = Field(default_factory=RatioPolicy)
    """Peak memory of the predictor host."""
    load_time: RatioPolicy = Field(default_factory=RatioPolicy)
    """Time to load the model."""
    accuracy: dict[str, MetricPolicy] = Field(default_factory=dict)
    """Metric name to its policy; the first metric's holds for predictions that are compared row by row too."""
    parity: OutputsPolicy = Field(default_factory=OutputsPolicy)
    """Raw outputs."""
    accepted: list[AcceptedRegression] = Field(default_factory=list, max_length=1_000)
    """Known regressions."""
