"""The shipped onnxruntime predictor with the digits model loaded, in this process."""

from __future__ import annotations

import importlib.util
from typing import Any

from benchmarks.fresh_process import DIGITS, ROOT
from pytest_mlscope.host.predictor import LoadRequest, TensorDescription


def digits_model(batch_size: int) -> Any:
    """A loaded model, as a host has it: fp32, on one thread."""
    spec = importlib.util.spec_from_file_location("predictor", ROOT / "frameworks" / "onnxruntime" / "predictor.py")
    if spec is None or spec.loader is None:
        raise SystemExit("the onnxruntime predictor cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FrameworkPredictor().load(
        LoadRequest(
            files={"model": str(DIGITS / "digits.onnx")},
            device="CPUExecutionProvider",
            precision="fp32",
            threads=1,
            batch_size=batch_size,
            inputs=[TensorDescription("image", "float32", [None, 1, 8, 8])],
            outputs=["logits"],
            options={},
        )
    )
