"""The median that ``pytest_mlscope.evaluate`` reports for the digits model."""

from __future__ import annotations

import json

import pytest_mlscope
from benchmarks.fresh_process import DIGITS


def main() -> None:
    evaluation = pytest_mlscope.evaluate(
        DIGITS / "digits-cnn.mlscope.yml", framework="onnxruntime", batch_size=1, kinds=["latency"]
    )
    latency = evaluation.latency
    assert latency is not None
    print(json.dumps({"median": latency.p50, "call_path": latency.call_path, "stop_reason": latency.stop_reason}))


if __name__ == "__main__":
    main()
