"""Fixtures that write a small suite and run pytest on it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Runs in this process forget what they import; extension modules do not survive being imported twice.
import scipy.stats  # noqa: F401

import pytest_mlscope
from tests.plugin.linear_suite import Suite

# What a run imports is imported once, not once a test.
for _module in pkgutil.walk_packages(pytest_mlscope.__path__, "pytest_mlscope."):
    if not _module.name.endswith("__main__") and ".host." not in _module.name:
        importlib.import_module(_module.name)


@pytest.fixture
def suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Suite:
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
    # Other plugins of this interpreter would take a third of a run's time. What -p names is looked up among them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p mlscope -p xdist")
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    return Suite(pytester.path)


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    def run_mlscope(*arguments: str | Path, **options: Any) -> pytest.RunResult:
        return pytester.runpytest_inprocess("--mlscope", *map(str, arguments), **options)

    return run_mlscope
