"""Registers everything built in, through the same hooks a conftest uses. Imported only under ``--mlscope``.

Last, because the conftest of the rootdir is registered before them, and pluggy asks whoever came last first.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mlscope.assets import search_path
from pytest_mlscope.components.datasets import SHIPPED_DATASETS
from pytest_mlscope.components.datasets.base import Dataset
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.hardware import HardwareFile
from pytest_mlscope.components.metrics import SHIPPED_METRICS
from pytest_mlscope.components.metrics.base import Metric
from pytest_mlscope.components.postprocessing import SHIPPED_POSTPROCESSING_STEPS
from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.components.preprocessing import SHIPPED_PREPROCESSING_STEPS
from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.profilers import SHIPPED_PROFILERS
from pytest_mlscope.components.profilers.base import Profiler


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_frameworks(project: Path | None) -> list[FrameworkFolder]:
    return [
        FrameworkFolder(description.parent)
        for folder in search_path("frameworks", project=project)
        for description in sorted(folder.glob("*/framework.yml"))
    ]


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_hardware_targets(project: Path | None) -> list[HardwareFile]:
    return [
        HardwareFile(path)
        for folder in search_path("hardware", project=project)
        for path in sorted(folder.glob("*.yml"))
    ]


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_datasets() -> list[type[Dataset]]:
    return list(SHIPPED_DATASETS)


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_metrics() -> list[type[Metric]]:
    return list(SHIPPED_METRICS)


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_preprocessing_steps() -> list[type[PreprocessingStep]]:
    return list(SHIPPED_PREPROCESSING_STEPS)


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_postprocessing_steps() -> list[type[PostprocessingStep]]:
    return list(SHIPPED_POSTPROCESSING_STEPS)


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_profilers() -> list[type[Profiler]]:
    return list(SHIPPED_PROFILERS)
