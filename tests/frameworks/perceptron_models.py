"""A two-layer perceptron whose weights are known, so that NumPy tells what every framework has to answer."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_mlscope.host.predictor import LoadedModel, LoadRequest, Predictor, TensorDescription

FRAMEWORKS = Path(__file__).parents[2] / "frameworks"
FEATURES, HIDDEN, CLASSES = 16, 32, 10
THREADS = 2
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Perceptron:
    """``relu(x @ w1 + b1) @ w2 + b2``, from input ``features`` (N, 16) to output ``scores`` (N, 10)."""

    w1: Array
    b1: Array
    w2: Array
    b2: Array

    def __call__(self, x: Array) -> Array:
        scores: Array = np.maximum(x @ self.w1 + self.b1, 0) @ self.w2 + self.b2
        return scores


def _onnx(perceptron: Perceptron, folder: Path) -> dict[str, str]:
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "w1", "b1"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "w2", "b2"], ["scores"]),
        ],
        "perceptron",
        [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(getattr(perceptron, name), name) for name in ("w1", "b1", "w2", "b2")],
    )
    path = folder / "perceptron.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return {"model": str(path)}


def torch_module(perceptron: Perceptron) -> Any:
    torch = pytest.importorskip("torch")

    class Module(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is not there when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(FEATURES, HIDDEN)
            self.second = torch.nn.Linear(HIDDEN, CLASSES)
            with torch.no_grad():
                self.first.weight.copy_(torch.tensor(perceptron.w1.T))
                self.first.bias.copy_(torch.tensor(perceptron.b1))
                self.second.weight.copy_(torch.tensor(perceptron.w2.T))
                self.second.bias.copy_(torch.tensor(perceptron.b2))

        def forward(self, features: Any) -> Any:
            return self.second(torch.relu(self.first(features)))

    return Module().eval()


def _torch(perceptron: Perceptron, folder: Path) -> dict[str, str]:
    torch = pytest.importorskip("torch")

    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        torch_module(perceptron), (torch.zeros(2, FEATURES),), dynamic_shapes={"features": {0: batch}}
    )
    path = folder / "perceptron.pt2"
    torch.export.save(exported, str(path))
    return {"model": str(path)}


def _tensorflow(perceptron: Perceptron, folder: Path) -> dict[str, str]:
    tf = pytest.importorskip("tensorflow")

    # What the predictor sets too, and TensorFlow fixes at its first computation, which is the export below.
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    module = tf.Module()
    for name in ("w1", "b1", "w2", "b2"):
        setattr(module, name, tf.Variable(getattr(perceptron, name), name=name))

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="features")])  # type: ignore[untyped-decorator]  # likewise
    def call(features: Any) -> dict[str, Any]:
        return {"scores": tf.nn.relu(features @ module.w1 + module.b1) @ module.w2 + module.b2}

    saved = folder / "saved"
    tf.saved_model.save(module, str(saved), signatures={"serving_default": call})
    path = folder / "perceptron.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(saved.rglob("*")):
            archive.write(file, file.relative_to(saved))
    return {"model": str(path)}


BUILDERS: Mapping[str, Callable[[Perceptron, Path], dict[str, str]]] = {
    "onnxruntime": _onnx,
    "openvino": _onnx,
    "opencv-dnn": _onnx,
    "pytorch": _torch,
    "tensorflow": _tensorflow,
}
MODULES = {"pytorch": "torch", "opencv-dnn": "cv2"}


@dataclass
class Subject:
    """A framework under test: its predictor and the perceptron's files in its format."""

    name: str
    predictor: Predictor
    module: ModuleType
    files: dict[str, str]
    devices: Mapping[str, str]
    loaded: list[LoadedModel] = field(default_factory=list)

    def load(self, **changes: Any) -> LoadedModel:
        values: dict[str, Any] = {
            "files": self.files,
            "device": self.devices["cpu"],
            "precision": "fp32",
            "threads": THREADS,
            "batch_size": 4,
            "inputs": [TensorDescription("features", "float32", [None, FEATURES])],
            "outputs": ["scores"],
            "options": {},
        }
        model = self.predictor.load(LoadRequest(**{**values, **changes}))
        self.loaded.append(model)
        return model


def import_predictor(name: str) -> ModuleType:
    path = FRAMEWORKS / name / "predictor.py"
    spec = importlib.util.spec_from_file_location(f"predictor_{name.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
