"""The gate on ONNX Runtime and the digits model: a real slowdown, a real loss of accuracy, and neither."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DIGITS = Path(__file__).parents[2] / "model_suites" / "digits"
MANIFEST = """\
schema: 1
name: digits
version: "1.0"
task: image_classification
frameworks:
  onnxruntime:
    files: {model: {path: digits.onnx}}
inputs:
  - name: image
    dtype: float32
    layout: NCHW
    shape: [batch, 1, 8, 8]
    preprocess:
      - {step: cast, dtype: float32}
      - {step: scale, factor: 0.0625}
      - {step: layout, source: HW, target: CHW}
outputs: [{name: logits}]
dataset: {source: npz, path: digits-heldout.npz, inputs: {image: images}, label: labels}
metrics: [top1]
expect: {accuracy: {top1: {min: 0.1}}}
matrix: {batch_size: [1], precision: [fp32]}
"""
Compare = Callable[[str], dict[str, Any]]


def _project(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("digits.onnx", "digits-heldout.npz"):
        shutil.copy(DIGITS / name, folder)
    (folder / "digits.mlscope.yml").write_text(MANIFEST)
    return folder


@pytest.fixture
def compare(pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Runs the tests of a kind, of the project in pytester's folder, against an unchanged copy of it."""
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path / "home"))
    _project(pytester.path)
    before = _project(tmp_path / "before")

    def run(kind: str) -> dict[str, Any]:
        pytester.runpytest_subprocess(
            "--mlscope",
            "-k",
            kind,
            f"--mlscope-against={before}",
            "--mlscope-json=report.json",
            "-p",
            "no:cacheprovider",
        )
        (record,) = json.loads((pytester.path / "report.json").read_text())["evaluations"]
        return dict(record)

    return run


@pytest.mark.slow
def test_a_graph_that_is_not_optimised_is_slower(pytester: pytest.Pytester, compare: Compare) -> None:
    manifest = pytester.path / "digits.mlscope.yml"
    entry = "  onnxruntime:\n"
    manifest.write_text(MANIFEST.replace(entry, f"{entry}    options: {{graph_optimization: disable}}\n"))
    record = compare("latency")
    assert record["outcome"] == "failed"
    latency = record["comparison"]["latency"]
    assert latency["outcome"] == "regression"
    assert latency["ratio"] > 1.2


@pytest.mark.slow
def test_a_file_of_int8_loses_few_rows_or_none(pytester: pytest.Pytester, compare: Compare) -> None:
    shutil.copy(DIGITS / "digits-int8.onnx", pytester.path / "digits.onnx")
    (pytester.path / "digits.mlscope.yml").write_text(MANIFEST.replace("[fp32]", "[int8]"))
    record = compare("accuracy")
    assert record["comparison"]["remark"] == "fp32 there, int8 here"
    accuracy = record["comparison"]["accuracy"]
    assert accuracy["outcome"] == "pass"
    counts = [accuracy[name] for name in ("both_right", "only_baseline_right", "only_candidate_right", "both_wrong")]
    assert sum(counts) == 450
    assert counts[1] < 10


@pytest.mark.slow
def test_a_badly_calibrated_file_of_int8_is_a_regression(pytester: pytest.Pytester, compare: Compare) -> None:
    """As from calibration data of another range: activations beyond a tenth of what the model sees are clipped."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(DIGITS / "digits-int8.onnx")
    scales = [each for each in model.graph.initializer if each.name in ("r1_scale", "r2_scale")]
    assert len(scales) == 2
    for scale in scales:
        # NumPy 1 makes a float64 of a float32 scalar and an int.
        smaller = np.asarray(onnx.numpy_helper.to_array(scale) / 10, np.float32)
        scale.CopyFrom(onnx.numpy_helper.from_array(smaller, scale.name))
    onnx.save(model, pytester.path / "digits.onnx")
    (pytester.path / "digits.mlscope.yml").write_text(MANIFEST.replace("[fp32]", "[int8]"))
    record = compare("accuracy")
    assert record["outcome"] == "failed"
    accuracy = record["comparison"]["accuracy"]
    assert accuracy["outcome"] == "regression"
    assert accuracy["p_value"] < 1e-6
    assert accuracy["only_baseline_right"] > accuracy["only_candidate_right"]
