"""What an ONNX graph becomes answers in Caffe as the graph does in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.artifacts.builders import BUILDERS
from tests.frameworks.hosted import Hosted

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

pytestmark = pytest.mark.frameworks

node = helper.make_node


def draw(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).standard_normal(shape, dtype=np.float32)


POOLINGS = [
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": pads, "size": size}
    for pads in ([0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1])
    for size in (7, 8)
] + [
    {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1], "size": 6},
    {"kernel_shape": [7, 7], "strides": [1, 1], "pads": [0, 0, 1, 1], "size": 6},
    {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 0, 1], "size": 9},
]
OPERATORS: dict[str, tuple[list[Any], dict[str, Any], list[int]]] = {
    "conv": (
        [node("Conv", ["x", "w", "b"], ["y"], strides=[2, 1], pads=[2, 1, 2, 1], dilations=[2, 1], group=2)],
        {"w": draw(6, 2, 3, 3), "b": draw(6)},
        [2, 4, 9, 8],
    ),
    "gemm": ([node("Gemm", ["x", "w", "b"], ["y"])], {"w": draw(5, 7), "b": draw(7)}, [3, 5]),
    "gemm transposed": ([node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"w": draw(7, 5), "b": draw(7)}, [3, 5]),
    "batch normalisation": (
        [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-2)],
        {"s": draw(4), "b": draw(4), "m": draw(4), "v": np.square(draw(4))},
        [2, 4, 3, 3],
    ),
    "scale and shift": (
        [
            node("Unsqueeze", ["s"], ["u"], axes=[1, 2]),
            node("Mul", ["x", "u"], ["p"]),
            node("Add", ["c", "p"], ["y"]),
        ],
        {"s": draw(4), "c": draw(1, 4, 1, 1)},
        [2, 4, 3, 3],
    ),
    "sum": (
        [node("Relu", ["x"], ["r"]), node("Sum", ["x", "r", "x"], ["y"])],
        {},
        [2, 4, 3, 3],
    ),
    "concatenation": (
        [node("Relu", ["x"], ["r"]), node("Concat", ["x", "r"], ["y"], axis=1)],
        {},
        [2, 4, 3, 3],
    ),
    "local response normalisation": (
        [node("LRN", ["x"], ["y"], size=3, alpha=0.5, beta=0.75, bias=2.0)],
        {},
        [2, 5, 3, 3],
    ),
    "softmax": ([node("Softmax", ["x"], ["y"])], {}, [2, 5]),
    "flatten": ([node("Flatten", ["x"], ["f"]), node("Relu", ["f"], ["y"])], {}, [2, 5, 3, 3]),
    "global average": ([node("GlobalAveragePool", ["x"], ["y"])], {}, [2, 5, 4, 3]),
    "dropout": ([node("Relu", ["x"], ["r"]), node("Dropout", ["r"], ["y"])], {}, [2, 5]),
    "channel shuffle": (
        [
            node("Reshape", ["x", "apart"], ["a"]),
            node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3, 4]),
            node("Reshape", ["t", "together"], ["y"]),
        ],
        {"apart": np.array([2, 3, 2, 4, 5]), "together": np.array([2, 6, 4, 5])},
        [2, 6, 4, 5],
    ),
}


@pytest.fixture(scope="module")
def caffe() -> Iterator[Hosted]:
    hosted = Hosted("caffe")
    yield hosted
    hosted.host.close()


def check(caffe: Hosted, folder: Path, nodes: list[Any], weights: dict[str, Any], shape: list[int]) -> None:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    source = folder / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=8), source)
    files = {"prototxt": folder / "graph.prototxt", "model": folder / "graph.caffemodel"}
    BUILDERS["caffe_prototxt"].build(source, files["prototxt"], seed=0)
    BUILDERS["caffe_weights"].build(source, files["model"], seed=0)
    x = draw(*shape)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(["y"], {"x": x})
    caffe.load(files, inputs=[("x", "float32", shape)], outputs=["y"])
    np.testing.assert_allclose(caffe.predict_tensors({"x": x}, batch_size=shape[0])["y"], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(caffe: Hosted, tmp_path: Path, name: str) -> None:
    check(caffe, tmp_path, *OPERATORS[name])


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: f"{pooling['size']}-{pooling['pads']}")
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "AveragePool with its padding"])
def test_poolings(caffe: Hosted, tmp_path: Path, kind: str, pooling: dict[str, Any]) -> None:
    """Windows that reach beyond the image, and how many there are, are what frameworks disagree on."""
    attributes = {name: value for name, value in pooling.items() if name != "size"}
    if kind.endswith("its padding"):
        attributes["count_include_pad"] = 1
    operator = node(kind.split()[0], ["x"], ["y"], **attributes)
    check(caffe, tmp_path, [operator], {}, [2, 3, pooling["size"], pooling["size"]])
