"""Per-layer profiles by each framework's own profiler."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.layer_profile import described
from tests.frameworks.perceptron_models import Subject, torch_module

RUNS = 5
LAYERS = {
    "onnxruntime": {"Gemm", "FusedGemm", "Relu"},
    "openvino": {"FullyConnected", "MatMul", "Relu"},
    "opencv-dnn": {"Gemm", "InnerProduct", "ReLU"},
    "pytorch": {"aten.linear.default", "aten.relu.default"},
    "tensorflow": {"MatMul", "_MklNativeFusedMatMul", "_FusedMatMul", "AddV2", "Relu"},
}
"""Kinds some of which a perceptron's profile must hold."""


@pytest.fixture(
    params=[
        "onnxruntime",
        *(
            pytest.param(name, marks=pytest.mark.frameworks)
            for name in ("pytorch", "tensorflow", "openvino", "opencv-dnn")
        ),
    ]
)
def subject(request: pytest.FixtureRequest, release: Callable[[str], Any]) -> Any:
    return release(request.param)


def test_a_profile_names_the_layers_and_their_times(subject: Subject, batch: Any) -> None:
    """Times are compared with the clock generously: on a busy machine they are far apart."""
    model = subject.load()
    inputs = {"features": batch(2048)}
    model.predict(inputs)
    began = time.perf_counter()
    layers = model.layers(inputs, RUNS)
    wall = time.perf_counter() - began
    entries = described(layers)
    assert {entry["kind"] for entry in entries} & LAYERS[subject.name]
    assert len({(entry["name"], entry["kind"]) for entry in entries}) == len(entries)
    known = [entry["seconds"] for entry in entries if entry["seconds"] is not None]
    assert known
    # A layer's time is of one run; all runs happened within this call.
    assert 0 < sum(known) < wall


def test_shapes_are_those_of_the_batch(subject: Subject, batch: Any) -> None:
    layers = subject.load().layers({"features": batch(3)}, RUNS)
    shapes = [layer.shape for layer in layers if layer.shape is not None]
    assert all(shape[0] == 3 for shape in shapes)
    if subject.name != "tensorflow":  # its trace tells none
        assert [3, 10] in shapes


def test_the_model_predicts_as_before_and_nothing_is_left_behind(
    subject: Subject, perceptron: Any, batch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    here = set(Path.cwd().iterdir())
    model = subject.load()
    kept = set(tmp_path.iterdir())  # TensorFlow keeps the unpacked model here
    model.layers({"features": batch(4)}, RUNS)
    scores = model.predict({"features": batch(4)})["scores"]
    np.testing.assert_allclose(scores, perceptron(batch(4)), rtol=1e-5, atol=1e-5)
    assert set(tmp_path.iterdir()) == kept
    assert set(Path.cwd().iterdir()) == here


def test_a_wrong_input_is_refused_as_in_prediction(subject: Subject, batch: Any) -> None:
    model = subject.load()
    with pytest.raises(ValueError, match=r"features.*float64.*float32"):
        model.layers({"features": batch(2).astype(np.float64)}, RUNS)


@pytest.mark.frameworks
def test_torchscript_is_profiled_by_operator(
    perceptron: Any, batch: Any, release: Callable[[str], Any], tmp_path: Path
) -> None:
    """TorchScript has no graph nodes to name, so that a layer is an operator and its place."""
    subject = release("pytorch")
    torch = pytest.importorskip("torch")
    path = tmp_path / "perceptron.pt"
    torch.jit.save(torch.jit.trace(torch_module(perceptron), torch.tensor(batch(8))), str(path))
    layers = described(subject.load(files={"model": str(path)}).layers({"features": batch(8)}, RUNS))
    assert [layer["kind"] for layer in layers] == ["aten::linear", "aten::relu", "aten::linear"]
    assert [layer["name"] for layer in layers] == ["0 aten::linear", "1 aten::relu", "2 aten::linear"]
