"""Evaluate machine-learning models with pytest: accuracy, parity and latency across frameworks and hardware.

Names are imported on first use, because pytest imports this package in every run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pytest_mlscope.api.evaluation import evaluate
    from pytest_mlscope.components.datasets.base import Dataset, DataSource
    from pytest_mlscope.components.framework import FrameworkFolder
    from pytest_mlscope.components.hardware import HardwareTarget
    from pytest_mlscope.components.measurement import Bounds, Measurement
    from pytest_mlscope.components.metrics.base import Metric, MetricState, MetricValue, per_sample_metric
    from pytest_mlscope.components.postprocessing.base import PostprocessingStep
    from pytest_mlscope.components.preprocessing.base import PreprocessingStep
    from pytest_mlscope.components.profilers.base import MeasuredWindow, Profiler, Reading
    from pytest_mlscope.components.report_writer import ReportWriter
    from pytest_mlscope.components.scenario import Scenario
    from pytest_mlscope.expectations.check import Check
    from pytest_mlscope.manifest.quantities import Duration, MemorySize
    from pytest_mlscope.measurements.latency.timed import Timed, WarmModel
    from pytest_mlscope.measurements.results import Evaluation, MeasuredColumn
    from pytest_mlscope.session.items.marks import mlscope_cases

_HOMES = {
    "DataSource": "components.datasets.base",
    "Dataset": "components.datasets.base",
    "FrameworkFolder": "components.framework",
    "HardwareTarget": "components.hardware",
    "Metric": "components.metrics.base",
    "MetricState": "components.metrics.base",
    "MetricValue": "components.metrics.base",
    "per_sample_metric": "components.metrics.base",
    "PostprocessingStep": "components.postprocessing.base",
    "PreprocessingStep": "components.preprocessing.base",
    "MeasuredWindow": "components.profilers.base",
    "Profiler": "components.profilers.base",
    "Reading": "components.profilers.base",
    "ReportWriter": "components.report_writer",
    "Scenario": "components.scenario",
    "Bounds": "components.measurement",
    "Measurement": "components.measurement",
    "MeasuredColumn": "measurements.results",
    "Check": "expectations.check",
    "Duration": "manifest.quantities",
    "MemorySize": "manifest.quantities",
    "Timed": "measurements.latency.timed",
    "WarmModel": "measurements.latency.timed",
    "evaluate": "api.evaluate",
    "Evaluation": "measurements.results",
    "mlscope_cases": "session.items.marks",
}

__all__ = [
    "Bounds",
    "Check",
    "DataSource",
    "Dataset",
    "Duration",
    "Evaluation",
    "FrameworkFolder",
    "HardwareTarget",
    "MeasuredColumn",
    "MeasuredWindow",
    "Measurement",
    "MemorySize",
    "Metric",
    "MetricState",
    "MetricValue",
    "PostprocessingStep",
    "PreprocessingStep",
    "Profiler",
    "Reading",
    "ReportWriter",
    "Scenario",
    "Timed",
    "WarmModel",
    "evaluate",
    "mlscope_cases",
    "per_sample_metric",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
