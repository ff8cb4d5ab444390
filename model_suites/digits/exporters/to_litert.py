"""Write ``digits.tflite`` and ``digits-int8.tflite`` beside the manifest: ``python exporters/to_litert.py``.

Both take ``image`` (batch, 8, 8, 1) and answer ``logits`` (batch, 10) in float32, with a batch that can be resized. In
the second all operations between are int8, weights and activations, calibrated on the rows that the network was trained
on (rows 0:1347 of scikit-learn's digits).

Needs, and the committed files were made with: tensorflow-cpu 2.21.0, scikit-learn 1.9.1, numpy 2.4.6.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.datasets import load_digits

FOLDER = Path(__file__).resolve().parents[1]
TRAINING_ROWS = 1347

Array = NDArray[np.float32]


class Digits(tf.Module):  # type: ignore[misc]  # tensorflow has no type hints
    """The network in TensorFlow's own layout, NHWC."""

    def __init__(self, weights: dict[str, Array]) -> None:
        super().__init__()
        # OIHW to HWIO, and the dense weight's columns from (C, H, W) order to (H, W, C).
        self.kernel1 = tf.constant(weights["conv1.weight"].transpose(2, 3, 1, 0))
        self.kernel2 = tf.constant(weights["conv2.weight"].transpose(2, 3, 1, 0))
        dense = weights["dense.weight"].reshape(10, 32, 2, 2).transpose(2, 3, 1, 0).reshape(128, 10)
        self.dense = tf.constant(dense)
        self.biases = [tf.constant(weights[name]) for name in ("conv1.bias", "conv2.bias", "dense.bias")]

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")])  # type: ignore[untyped-decorator]  # likewise
    def serve(self, image: Any) -> dict[str, Any]:
        hidden = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(image, self.kernel1, 1, "SAME"), self.biases[0]))
        hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
        hidden = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(hidden, self.kernel2, 1, "SAME"), self.biases[1]))
        hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
        flat = tf.reshape(hidden, [-1, 128])
        return {"logits": tf.linalg.matmul(flat, self.dense) + self.biases[2]}


def calibration_rows() -> Iterator[dict[str, Array]]:
    """The training images, one at a time, (1, 8, 8, 1) in 0…1."""
    images = load_digits().images[:TRAINING_ROWS].astype(np.float32) / np.float32(16)
    for image in images:
        yield {"image": image.reshape(1, 8, 8, 1)}


def convert(module: Digits, *, quantised: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module)
    if quantised:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration_rows
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    content: bytes = converter.convert()
    return content


def main() -> None:
    with np.load(FOLDER / "digits-weights.npz") as stored:
        module = Digits(dict(stored))
    for name, quantised in (("digits.tflite", False), ("digits-int8.tflite", True)):
        content = convert(module, quantised=quantised)
        (FOLDER / name).write_bytes(content)
        print(f"path: {name}\nsha256: {hashlib.sha256(content).hexdigest()}\nsize: {len(content)}")


if __name__ == "__main__":
    main()
