"""What is OpenCV's own: Caffe models, and a thread count of the process."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.predictor import TensorDescription, Unsupported
from tests.frameworks.perceptron_models import Array

pytestmark = pytest.mark.frameworks

PROTOTXT = """
name: "perceptron"
input: "features"
input_shape { dim: 1 dim: 16 }
layer { name: "first" type: "InnerProduct" bottom: "features" top: "first" inner_product_param { num_output: 32 } }
layer { name: "relu" type: "ReLU" bottom: "first" top: "first" }
layer { name: "scores" type: "InnerProduct" bottom: "first" top: "scores" inner_product_param { num_output: 10 } }
"""


def varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def chunk(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: Array) -> bytes:
    """caffe.proto: BlobProto { shape = 7 { dim = 1 }, data = 5 }, both packed."""
    shape = chunk(1, b"".join(varint(size) for size in values.shape))
    return chunk(7, shape) + chunk(5, struct.pack(f"<{values.size}f", *values.ravel()))


def layer(name: str, kind: str, blobs: Iterable[Array]) -> bytes:
    """caffe.proto: NetParameter { layer = 100 }, LayerParameter { name = 1, type = 2, blobs = 7 }."""
    content = chunk(1, name.encode()) + chunk(2, kind.encode()) + b"".join(chunk(7, blob(values)) for values in blobs)
    return chunk(100, content)


@pytest.fixture
def subject(release: Callable[[str], Any]) -> Any:
    return release("opencv-dnn")


def test_a_caffe_model_predicts(subject: Any, perceptron: Any, batch: Any, tmp_path: Path) -> None:
    weights = layer("first", "InnerProduct", [perceptron.w1.T, perceptron.b1])
    weights += layer("scores", "InnerProduct", [perceptron.w2.T, perceptron.b2])
    (tmp_path / "perceptron.caffemodel").write_bytes(weights)
    (tmp_path / "perceptron.prototxt").write_text(PROTOTXT)
    model = subject.load(
        files={
            "model": str(tmp_path / "perceptron.caffemodel"),
            "prototxt": str(tmp_path / "perceptron.prototxt"),
        },
        inputs=[TensorDescription("features", "float32", [None, 16])],
    )
    for size in (1, 4):
        answer = model.predict({"features": batch(size)})["scores"]
        np.testing.assert_allclose(answer, perceptron(batch(size)), rtol=1e-5, atol=1e-5)


def test_the_processes_threads_are_set(subject: Any) -> None:
    cv2 = pytest.importorskip("cv2")
    for threads in (1, 2):
        assert subject.load(threads=threads).resolved["threads"] == threads
        assert cv2.getNumThreads() == threads


@pytest.mark.parametrize("switch", [True, False])
def test_fusion_and_winograd_can_be_switched(subject: Any, perceptron: Any, batch: Any, switch: bool) -> None:
    model = subject.load(options={"fusion": switch, "winograd": switch})
    answer = model.predict({"features": batch(4)})["scores"]
    np.testing.assert_allclose(answer, perceptron(batch(4)), rtol=1e-5, atol=1e-5)


def test_a_quantised_file_is_not_fp32(subject: Any) -> None:
    digits = Path(__file__).parents[2] / "model_suites" / "digits"
    request: dict[str, Any] = {
        "files": {"model": str(digits / "digits-int8.onnx")},
        "inputs": [TensorDescription("image", "float32", [None, 1, 8, 8])],
        "outputs": ["logits"],
    }
    with pytest.raises(Unsupported, match=r"digits-int8\.onnx: holds int8 .*, not fp32"):
        subject.load(**request)
    request["files"] = {"model": str(digits / "digits-fp16.onnx")}
    assert subject.load(**request).resolved["precision"] == "fp32"
