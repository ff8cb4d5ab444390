"""What ``evaluate`` says about its arguments, and about a manifest that does not fit its model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pytest_mlscope
from pytest_mlscope.cases import CaseChoice
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest import NAMES
from tests.plugin.linear_suite import Suite

_MANIFEST = """\
schema: 1
name: model
version: "1"
task: classification
frameworks: {onnxruntime: {files: {model: {path: model.onnx}}}}
inputs: [{name: x, shape: [batch, 4]}]
outputs: [{name: scores}]
matrix: {threads: [1, 2], batch_size: [1, 8]}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.mlscope.yml"
    path.write_text(_MANIFEST)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": 99}, r"model\.mlscope\.yml: no case with threads=99; name one of: 1, 2$"),
        ({"batch_size": 7}, r"no case with batch_size=7; name one of: 1, 8$"),
        ({"framework": "tflite"}, r"no case with framework='tflite'; name one of: onnxruntime$"),
        ({"kinds": ["speed"]}, "unknown kind 'speed'; allowed: accuracy, parity, latency"),
        ({"kinds": []}, "kinds is empty, so there is nothing to evaluate; allowed: accuracy, parity, latency"),
        (
            {"batch_size": [1, 8]},
            r"2 cases with batch_size=\[1, 8\], .*; name one of: onnxruntime-t1-b1, onnx",
        ),
    ],
)
def test_values_that_are_not_there(path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MlscopeError, match=message):
        pytest_mlscope.evaluate(path, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"manifest": 5}, "manifest must be a path, not 5"),
        ({"kinds": "latency"}, "kinds must be a list of kinds, of accuracy, parity, latency, not 'latency'"),
        ({"kinds": 5}, "kinds must be a list .* not 5"),
        ({"settings": {"timeout": 5}}, "settings must be an EvaluationSettings, not {'timeout': 5}"),
        ({"timeout": 5}, r"evaluate: timeout is a setting; write settings=EvaluationSettings\(timeout=…\)"),
        ({"framwork": "toy"}, r"evaluate: unknown 'framwork' \(did you mean 'framework'\?\); allowed: framework, "),
        ({"plugins": 5}, r"plugins must be a list of objects or modules with pytest_mlscope_\* hooks, not 5"),
        ({"plugins": "conftest"}, "plugins must be a list .* not 'conftest'"),
        ({"plugins": ["conftest"]}, r"plugins: 'conftest' has no pytest_mlscope_\* hook"),
    ],
)
def test_arguments_of_another_type(path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        pytest_mlscope.evaluate(**{"manifest": path, **arguments})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"restarts": 0}, MlscopeError, "restarts must be 1 to 1000, not 0"),
        ({"affinity": []}, MlscopeError, "affinity is empty, so there is no CPU to run on"),
        ({"timeout": -1}, MlscopeError, "the timeout must be a positive number of seconds, not -1"),
        ({"timeout": "x"}, TypeError, "timeout must be a number of seconds, not 'x'"),
        ({"timeout": None}, TypeError, "timeout must be a number of seconds, not None"),
        ({"restarts": "3"}, TypeError, "restarts must be a number of processes, not '3'"),
        ({"affinity": "0-3"}, TypeError, "affinity must be a list of CPU numbers, not '0-3'"),
        ({"affinity": ["0"]}, TypeError, "affinity must be a list of CPU numbers, not "),
        ({"home": 5}, TypeError, "home must be a path, not 5"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pytest_mlscope.EvaluationSettings(**settings)


def test_every_dimension_is_a_keyword() -> None:
    """Types are written once beside the names, for ``evaluate`` and ``mlscope_cases``."""
    assert tuple(CaseChoice.__annotations__) == NAMES


def test_a_metric_the_output_does_not_fit_names_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    path = Suite(tmp_path).manifest(metrics="[{metric: top_k, k: 50}]", expect="{}")
    with pytest.raises(MlscopeError, match=rf"^{re.escape(str(path))}: metric 'top_k': needs at least 50 classes"):
        pytest_mlscope.evaluate(path, kinds=["accuracy"])
