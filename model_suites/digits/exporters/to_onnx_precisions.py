"""Write ``digits-int8.onnx`` and ``digits-fp16.onnx`` from ``digits.onnx``: ``python exporters/to_onnx_precisions.py``.

Both take ``image`` and answer ``logits`` in float32, with the same shapes as ``digits.onnx``. In the first, weights (a
scale a channel) and activations are int8, as QuantizeLinear and DequantizeLinear nodes state, calibrated on the rows
that the network was trained on (rows 0:1347 of scikit-learn's digits). In the second, weights and computation are
float16 between two Cast nodes.

Needs, and the committed files were made with: onnxruntime 1.31.1, onnx 1.23.2, scikit-learn 1.9.1, numpy 2.4.6.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from sklearn.datasets import load_digits

FOLDER = Path(__file__).resolve().parents[1]
SOURCE = FOLDER / "digits.onnx"
TRAINING_ROWS = 1347


class TrainingRows(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no type hints
    """The training images in one batch, (1347, 1, 8, 8) in 0…1."""

    def __init__(self) -> None:
        images = load_digits().images[:TRAINING_ROWS].astype(np.float32) / np.float32(16)
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = iter([{"image": images[:, np.newaxis]}])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def write(model: onnx.ModelProto, path: Path) -> None:
    """Check and save, without what tells where and when it was made."""
    model.producer_name, model.producer_version = "to_onnx_precisions.py", ""
    del model.metadata_props[:]
    checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content)
    print(f"{path.name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def write_int8(path: Path) -> None:
    """Static quantisation, QDQ, weights symmetric and by channel."""
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder, "prepared.onnx"), Path(folder, "quantised.onnx")
        quant_pre_process(SOURCE, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            TrainingRows(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"WeightSymmetric": True},
        )
        model = onnx.load(quantised)
    model.ir_version = 8
    write(model, path)


def write_fp16(path: Path) -> None:
    """The same graph with float16 weights, between a Cast of its input and a Cast of its output."""
    model = onnx.load(SOURCE)
    graph = model.graph
    for weight in graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))
    for node in graph.node:
        node.input[:] = ["image_fp16" if name == "image" else name for name in node.input]
        node.output[:] = ["logits_fp16" if name == "logits" else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", ["image"], ["image_fp16"], "narrow", to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", ["logits_fp16"], ["logits"], "widen", to=TensorProto.FLOAT))
    write(model, path)


if __name__ == "__main__":
    write_int8(FOLDER / "digits-int8.onnx")
    write_fp16(FOLDER / "digits-fp16.onnx")
