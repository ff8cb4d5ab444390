"""The digits model on onnxruntime, made by hand: one thread, one row, as the suite's own case has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from benchmarks.fresh_process import DIGITS


def image(rows: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Held-out rows, pre-processed: float32, shape ``(rows, 1, 8, 8)``."""
    with np.load(DIGITS / "digits-heldout.npz") as data:
        images = data["images"]
    repeated = np.resize(images.reshape(-1, 1, 8, 8), (rows, 1, 8, 8))
    return np.ascontiguousarray(repeated, dtype=np.float32) / np.float32(16)


def session() -> Any:
    """An inference session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(DIGITS / "digits.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
    )


def bound(model: Any, rows: int = 1) -> Any:
    """An IOBinding with input and output in place."""
    binding = model.io_binding()
    binding.bind_ortvalue_input("image", onnxruntime.OrtValue.ortvalue_from_numpy(image(rows)))
    binding.bind_ortvalue_output(
        "logits", onnxruntime.OrtValue.ortvalue_from_shape_and_type([rows, 10], np.float32, "cpu", 0)
    )
    return binding
