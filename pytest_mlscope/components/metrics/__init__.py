"""The shipped metrics."""

from __future__ import annotations

from pytest_mlscope.components.metrics.base import Metric
from pytest_mlscope.components.metrics.regression import MeanAbsoluteError, RootMeanSquaredError
from pytest_mlscope.components.metrics.top_k import Top1, Top5, TopK

SHIPPED_METRICS: tuple[type[Metric], ...] = (Top1, Top5, TopK, MeanAbsoluteError, RootMeanSquaredError)
