"""Samples a second of an accuracy evaluation. Arguments: a manifest and the batch size."""

from __future__ import annotations

import json
import sys

import pytest_mlscope


def main(manifest: str, batch_size: int) -> None:
    evaluation = pytest_mlscope.evaluate(manifest, framework="onnxruntime", batch_size=batch_size, kinds=["accuracy"])
    accuracy = evaluation.accuracy
    assert accuracy is not None
    assert accuracy.errors == 0
    print(json.dumps({"samples_per_second": accuracy.samples_per_second, "top1": accuracy["top1"]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
