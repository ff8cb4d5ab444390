"""A new environment's predictor must give the right answers: a linear layer in NumPy, in this interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_mlscope.api.environment_test import self_test
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.self_test import self_test_manifest
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.errors import EnvironmentCreationError, FrameworkError
from tests.recorders import Told

FRAMEWORK = """\
schema: 1
name: linear
description: a linear layer
devices: {cpu: CPU}
precisions: {cpu: [fp32]}
self_test: check/linear.mlscope.yml
"""
PREDICTOR = """\
import numpy

from pytest_mlscope.host.predictor import LoadedModel, Predictor


class Linear(LoadedModel):
    def __init__(self, weight, request):
        self.weight = weight
        self.resolved = {"precision": "fp32", "threads": request.threads}

    def predict(self, inputs):
        return {"y": inputs["x"] @ self.weight}


class FrameworkPredictor(Predictor):
    def version(self):
        return "1.2"

    def load(self, request):
        return Linear(numpy.load(request.files["model"]), request)
"""
MANIFEST = """\
schema: 1
name: linear
version: "1"
task: image_classification
description: which of three inputs is the largest
license: Apache-2.0
frameworks:
  FRAMEWORK: {files: {model: {path: weight.npy}}}
inputs: [{name: x, dtype: float32, shape: [batch, 3]}]
outputs: [{name: y, shape: [batch, 3]}]
dataset: {source: npz, path: rows.npz, inputs: {x: x}, label: label}
metrics: [top1]
expect: {accuracy: {top1: {min: 0.9}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "frameworks" / "linear"
    folder.mkdir(parents=True)
    (folder / "framework.yml").write_text(FRAMEWORK)
    (folder / "predictor.py").write_text(PREDICTOR)
    suite = tmp_path / "model_suites" / "check"
    suite.mkdir(parents=True)
    (suite / "linear.mlscope.yml").write_text(MANIFEST.replace("FRAMEWORK", "linear"))
    np.save(suite / "weight.npy", np.eye(3, dtype=np.float32))
    rows = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    np.savez(suite / "rows.npz", x=rows, label=rows.argmax(1))
    return tmp_path


def run(project: Path) -> tuple[str, list[str]]:
    """The version and what was told."""
    told = Told()
    folder = FrameworkFolder(project / "frameworks" / "linear")
    environment = Environment(folder, Path(sys.executable), "", "provisioned", None)
    return self_test(environment, project=project, home=project / "home", recorder=told), told.lines


def failure(project: Path) -> str:
    with pytest.raises(EnvironmentCreationError) as caught:
        run(project)
    return str(caught.value)


def test_right_answers(project: Path) -> None:
    assert run(project) == ("1.2", ["linear: the self-test passed: linear.mlscope.yml"])


def test_wrong_answers(project: Path) -> None:
    suite = project / "model_suites" / "check"
    np.save(suite / "weight.npy", np.eye(3, dtype=np.float32)[[1, 0, 2]])
    message = failure(project)
    assert message.startswith(f"linear: the self-test failed: {suite}/linear.mlscope.yml, case linear: ")
    assert "top1" in message
    assert "0.25" in message


def test_a_model_that_does_not_load(project: Path) -> None:
    (project / "model_suites" / "check" / "weight.npy").write_bytes(b"no array")
    assert failure(project).startswith("linear: the self-test failed: linear: loading the model: ")


def test_a_predictor_that_does_not_load(project: Path) -> None:
    (project / "frameworks" / "linear" / "predictor.py").write_text("import nothing_of_this_name")
    assert "nothing_of_this_name" in failure(project)


def test_a_manifest_without_the_framework(project: Path) -> None:
    path = project / "model_suites" / "check" / "linear.mlscope.yml"
    path.write_text(MANIFEST.replace("FRAMEWORK", "onnxruntime"))
    assert failure(project) == (
        f"linear: the self-test failed: {path} has no case for linear; add linear to its frameworks"
    )


def test_no_manifest_there(project: Path) -> None:
    (project / "model_suites" / "check" / "linear.mlscope.yml").unlink()
    message = failure(project)
    assert "framework.yml: self_test names 'check/linear.mlscope.yml', which is in none of: " in message
    assert str(project / "model_suites") in message


def test_a_device_that_this_machine_lacks(project: Path) -> None:
    """Whether it is right cannot be told here, and is said; that it loads can."""
    path = project / "frameworks" / "linear" / "framework.yml"
    path.write_text(FRAMEWORK.replace("cpu", "cpu_ppc64le"))
    manifest = project / "model_suites" / "check" / "linear.mlscope.yml"
    manifest.write_text(manifest.read_text() + "matrix: {hardware: [cpu_ppc64le]}\n")
    version, told = run(project)
    assert version == "1.2"
    assert len(told) == 1
    assert told[0].startswith("linear: the self-test cannot be made here: cpu_ppc64le: ")


def test_which_manifest(project: Path) -> None:
    """One in the framework's own folder comes first; no ``self_test`` is none."""
    folder = project / "frameworks" / "linear"
    suite = project / "model_suites" / "check" / "linear.mlscope.yml"
    assert self_test_manifest(FrameworkFolder(folder), project) == suite
    with pytest.raises(FrameworkError):
        self_test_manifest(FrameworkFolder(folder), None)
    own = folder / "check" / "linear.mlscope.yml"
    own.parent.mkdir()
    own.touch()
    assert self_test_manifest(FrameworkFolder(folder), project) == own
    (folder / "framework.yml").write_text(FRAMEWORK.replace("self_test", "#"))
    assert self_test_manifest(FrameworkFolder(folder), project) is None
