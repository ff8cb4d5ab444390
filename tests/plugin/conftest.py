"""Fixtures that write a small suite and run pytest on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Runs in this process forget what they import; extension modules do not survive being imported twice.
import scipy.stats  # noqa: F401

import pytest_mlscope.session.run_plugin  # noqa: F401
from tests.plugin.linear_suite import Suite


@pytest.fixture
def suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Suite:
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    return Suite(pytester.path)


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    def run_mlscope(*arguments: str | Path, **options: Any) -> pytest.RunResult:
        return pytester.runpytest_inprocess("--mlscope", *map(str, arguments), **options)

    return run_mlscope
