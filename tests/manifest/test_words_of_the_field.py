"""Who writes what a thing is called elsewhere is told what it is called here."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mlscope.components.registry import build_registry
from pytest_mlscope.errors import ManifestError
from pytest_mlscope.kinds.plugins import plugin_manager
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.text import closest

MANIFEST = """\
schema: 1
name: wine
version: "1.0"
task: tabular_classification
frameworks: {onnxruntime: {files: {model: {path: wine.onnx}}}}
inputs:
  - {name: x, dtype: float32, shape: [batch, 13], preprocess: [{step: cast, dtype: float32}]}
outputs: [{name: scores}]
dataset: {source: csv, path: wine.csv, label: label}
metrics: [top1]
matrix: {hardware: [cpu], precision: [fp32], scenario: [offline]}
"""


@pytest.mark.parametrize(
    ("right", "written", "meant"),
    [
        ("{onnxruntime:", "{onnx:", "onnxruntime"),
        ("{onnxruntime:", "{ort:", "onnxruntime"),
        ("{onnxruntime:", "{torch:", "pytorch"),
        ("{onnxruntime:", "{tf:", "tensorflow"),
        ("{onnxruntime:", "{tflite:", "litert"),
        ("hardware: [cpu]", "hardware: [gpu]", "cuda"),
        ("hardware: [cpu]", "hardware: [nvidia]", "cuda"),
        ("hardware: [cpu]", "hardware: [arm64]", "cpu_aarch64"),
        ("hardware: [cpu]", "hardware: [h100]", "nvidia_h100_pcie"),
        ("precision: [fp32]", "precision: [half]", "fp16"),
        ("precision: [fp32]", "precision: [fp-16]", "fp16"),
        ("precision: [fp32]", "precision: [float32]", "fp32"),
        ("precision: [fp32]", "precision: [bfloat16]", "bf16"),
        ("dtype: float32, shape", "dtype: fp16, shape", "float16"),
        ("dtype: float32, shape", "dtype: float, shape", "float32"),
        ("dtype: float32, shape", "dtype: double, shape", "float64"),
        ("[top1]", "[accuracy]", "top1"),
        ("[top1]", "[acc]", "top1"),
        ("[top1]", "[top-1]", "top1"),
        ("[top1]", "[rmse]", "root_mean_squared_error"),
        ("[top1]", "[MSE]", "root_mean_squared_error"),
        ("[top1]", "[mae]", "mean_absolute_error"),
        ("[offline]", "[throughput]", "offline"),
        ("[offline]", "[SingleStream]", "single_stream"),
        ("source: csv", "source: images", "image_folder"),
        ("step: cast", "step: astype", "cast"),
        ("step: cast", "step: transpose", "layout"),
    ],
)
def test_the_word_meant_is_proposed(tmp_path: Path, right: str, written: str, meant: str) -> None:
    assert MANIFEST.count(right) == 1
    path = tmp_path / "wine.mlscope.yml"
    path.write_text(MANIFEST.replace(right, written), "utf-8")
    with pytest.raises(ManifestError, match=rf"did you mean '{meant}'\?"):
        load_manifest(path, build_registry(plugin_manager().hook, project=tmp_path))


def test_a_word_without_a_counterpart_gets_no_proposal() -> None:
    assert closest("accuracy", ["fp32", "fp16"]) is None
    assert closest("", ["cpu"]) is None
    assert closest("zz", ["zz_top"]) is None


def test_a_word_for_several_names_proposes_each(tmp_path: Path) -> None:
    path = tmp_path / "wine.mlscope.yml"
    path.write_text(MANIFEST + "expect: {performance: {p50: 1 ms}}\n", "utf-8")
    with pytest.raises(ManifestError, match=r"did you mean 'latency' or 'throughput'\?"):
        load_manifest(path, build_registry(plugin_manager().hook, project=tmp_path))
