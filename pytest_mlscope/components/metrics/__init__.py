"""The shipped metrics."""

from __future__ import annotations

from pytest_mlscope.components.metrics.base import Metric

SHIPPED_METRICS: tuple[type[Metric], ...] = ()
