"""Samples a second of a bare loop: the same predictor, over the same batches, pre-processed beforehand.

Arguments: an npz with the batches' rows under ``images``, and the batch size.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time

import numpy as np

from benchmarks.fresh_process import DIGITS, ROOT
from pytest_mlscope.host.predictor import LoadRequest, TensorDescription


def main(path: str, batch_size: int) -> None:
    spec = importlib.util.spec_from_file_location("predictor", ROOT / "frameworks" / "onnxruntime" / "predictor.py")
    if spec is None or spec.loader is None:
        raise SystemExit("the onnxruntime predictor cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.FrameworkPredictor().load(
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
    with np.load(path) as data:
        images = data["images"]
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    for batch in batches[:20]:
        model.predict({"image": batch})
    start = time.perf_counter()
    outputs = [model.predict({"image": batch})["logits"] for batch in batches]
    seconds = time.perf_counter() - start
    print(json.dumps({"samples_per_second": sum(map(len, outputs)) / seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
