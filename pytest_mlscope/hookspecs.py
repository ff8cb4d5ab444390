"""The hooks of pytest-mlscope, in pytest's own plugin manager.

A conftest implements them with ``@pytest.hookimpl(optionalhook=True)``, so that it still loads without the plugin.
Registering hooks are called when a folder's first manifest is collected, and see the conftest files that apply there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from pytest_mlscope.cases import Case
    from pytest_mlscope.components import (
        Dataset,
        FrameworkFolder,
        HardwareFile,
        HardwareTarget,
        MeasuredWindow,
        Measurement,
        Metric,
        PostprocessingStep,
        PreprocessingStep,
        Profiler,
        ReportWriter,
        Scenario,
    )
    from pytest_mlscope.manifest import Manifest
    from pytest_mlscope.measurements import Evaluation


def pytest_mlscope_register_frameworks(project: Path | None) -> list[FrameworkFolder]:
    """Frameworks to add, as folders with a ``framework.yml`` and a ``predictor.py``.

    Runs at collection, in every pytest process (controller and workers). A conftest may implement it.

    :param project: pytest's rootdir.
    """
    raise NotImplementedError


def pytest_mlscope_register_hardware_targets(project: Path | None) -> Sequence[HardwareFile | HardwareTarget]:
    """Hardware targets to add: objects, or files that are read when a manifest names their target.

    Runs at collection, in every pytest process. A conftest may implement it.

    :param project: pytest's rootdir.
    """
    raise NotImplementedError


def pytest_mlscope_register_datasets() -> list[type[Dataset]]:
    """Kinds of dataset to add. Runs at collection, in every pytest process. A conftest may implement it."""
    raise NotImplementedError


def pytest_mlscope_register_metrics() -> list[type[Metric]]:
    """Metrics to add. Runs at collection, in every pytest process. A conftest may implement it."""
    raise NotImplementedError


def pytest_mlscope_register_preprocessing_steps() -> list[type[PreprocessingStep]]:
    """Pre-processing steps to add. Runs at collection, in every pytest process. A conftest may implement it."""
    raise NotImplementedError


def pytest_mlscope_register_postprocessing_steps() -> list[type[PostprocessingStep]]:
    """Post-processing steps to add. Runs at collection, in every pytest process. A conftest may implement it."""
    raise NotImplementedError


def pytest_mlscope_register_profilers() -> list[type[Profiler]]:
    """Profilers to add; each class is made once a measured window.

    Runs at collection, in every pytest process. A conftest may implement it.
    """
    raise NotImplementedError


def pytest_mlscope_register_scenarios() -> list[type[Scenario]]:
    """Scenarios to add. Runs at collection, in every pytest process. A conftest may implement it."""
    raise NotImplementedError


def pytest_mlscope_register_measurements() -> list[Measurement]:
    """Kinds of measurement to add. Runs at collection, in every pytest process. A conftest may implement it."""
    raise NotImplementedError


def pytest_mlscope_register_report_writers() -> list[ReportWriter]:
    """Report writers to add.

    Runs at the end of the run, in the controller only. The rootdir's conftest or a plugin may implement it.
    """
    raise NotImplementedError


def pytest_mlscope_modify_cases(config: pytest.Config, manifest: Manifest, cases: list[Case]) -> None:
    """Add to, drop from or reorder a manifest's cases, in place, before they become test items.

    Runs at collection, in every pytest process, and must do the same in each. A conftest may implement it.
    """
    raise NotImplementedError


def pytest_mlscope_measured_window_opens(window: MeasuredWindow) -> None:
    """The host is about to be measured; registered profilers start right after this.

    Runs in the pytest process that runs the item. A conftest may implement it.
    """
    raise NotImplementedError


def pytest_mlscope_measured_window_closes(window: MeasuredWindow) -> None:
    """The measurement is over and registered profilers have stopped.

    Runs in the pytest process that runs the item. A conftest may implement it.
    """
    raise NotImplementedError


def pytest_mlscope_evaluation_made(evaluation: Evaluation) -> None:
    """An item has its results, before they are checked against what the manifest expects.

    Runs in the pytest process that ran the item. A conftest may implement it.
    """
    raise NotImplementedError


def pytest_mlscope_write_reports(run: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> str | None:
    """Write reports of the whole run; a returned line is shown in the summary.

    Runs at the end, interrupted runs included, in the controller only. The rootdir's conftest or a plugin may
    implement it.

    :param run: facts of the run, as under ``run`` in the JSON report.
    :param evaluations: one mapping per test item, as under ``evaluations`` in the JSON report.
    """
    raise NotImplementedError
