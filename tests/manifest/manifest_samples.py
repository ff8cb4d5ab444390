"""A registry of small components, and a manifest that uses every key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.hardware import HardwareTarget
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.components.metrics.base import Metric, MetricState, MetricValue
from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.recognition import AlwaysPresent
from pytest_mlscope.components.registry import Registry
from pytest_mlscope.kinds.shipped import SHIPPED_MEASUREMENTS
from pytest_mlscope.measurements.latency.scenarios import SHIPPED_SCENARIOS


class Scale(PreprocessingStep):
    """Multiply by a factor."""

    name = "scale"
    factor: float = Field(description="What to multiply by.")

    def apply(self, sample: Any) -> Any:
        return sample * self.factor


class Resize(PreprocessingStep):
    """Resize an image."""

    name = "resize"
    size: tuple[int, int] = Field(description="Height and width.")
    kernel: Literal["nearest", "bilinear", "bicubic"] = Field(description="The resampling kernel.")

    def apply(self, sample: Any) -> Any:
        return sample


class Softmax(PostprocessingStep):
    """Softmax over an axis."""

    name = "softmax"
    axis: int = Field(default=-1, description="The axis.")

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        exponentials = np.exp(batch - batch.max(axis=self.axis, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=self.axis, keepdims=True))


class _Rows(DataSource):
    columns = ("image", "label")

    def __len__(self) -> int:
        return 4

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        return dict.fromkeys(columns, rows)


class Table(Dataset):
    """A table in a file."""

    name = "table"
    path: str = Field(description="The file.")
    separator: str = Field(default=",", description="Between columns.")

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        return _Rows()


class _Count(MetricState):
    def __init__(self, k: int) -> None:
        self._k, self._right, self._n = k, 0, 0

    def update(self, outputs: NDArray[Any], labels: NDArray[Any]) -> None:
        largest = np.argsort(outputs, axis=-1)[:, -self._k :]
        self._right += int((largest == labels[:, None]).any(-1).sum())
        self._n += len(labels)

    def count_errors(self, rows: int) -> None:
        self._n += rows

    def result(self) -> MetricValue:
        return MetricValue(self._right / self._n, self._n)


class Top1(Metric):
    """Share of rows whose label has the largest score."""

    name = "top1"

    def start(self) -> MetricState:
        return _Count(1)


class TopK(Metric):
    """Share of rows whose label is among the k largest."""

    name = "topk"
    k: int = Field(default=5, gt=0, description="How many.")

    def start(self) -> MetricState:
        return _Count(self.k)


FRAMEWORKS: dict[str, dict[str, Any]] = {
    "onnxruntime": {
        "version": ">=1.17,<3",
        "files": {"model": "the .onnx file"},
        "devices": {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"},
        "precisions": {"cpu": ["fp32"], "cuda": ["fp32", "fp16"]},
        "options": {"graph_optimization_level": "how far to optimise"},
    },
    "openvino": {
        "files": {"graph": "the .xml file", "weights": "the .bin file"},
        "devices": {"cpu": "CPU"},
        "precisions": {"cpu": ["fp32", "bf16"]},
    },
}


def make_registry(folder: Path) -> Registry:
    """Two frameworks as folders on disk, two hardware targets, and the components above."""
    frameworks = {}
    for name, description in FRAMEWORKS.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        content = {"schema": 1, "name": name, "description": name, **description}
        (place / "framework.yml").write_text(yaml.safe_dump(content), "utf-8")
        frameworks[name] = FrameworkFolder(place)
    return Registry(
        measurements={each.name: each for each in SHIPPED_MEASUREMENTS},
        scenarios={scenario.name: scenario for scenario in SHIPPED_SCENARIOS},
        frameworks=frameworks,
        hardware_targets=HardwareTargets(
            {
                name: HardwareTarget(name=name, description=name, recognise=AlwaysPresent(rule="always"))
                for name in ("cpu", "cuda")
            }
        ),
        datasets={"table": Table},
        metrics={"top1": Top1, "topk": TopK},
        preprocessing_steps={"scale": Scale, "resize": Resize},
        postprocessing_steps={"softmax": Softmax},
    )


COMPLETE = """\
schema: 1
name: digits-cnn
version: "1.0"
task: image_classification
description: A small convolutional network
license: Apache-2.0
references:
  - title: A paper
    url: https://example.org/paper
kinds: [accuracy, parity, latency]
frameworks:
  onnxruntime:
    version: ["2.1", ">=1.17,<2"]
    files:
      model:
        path: models/digits.onnx
        sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a
        size: 12345
        build:
          builder: random_onnx_weights
          seed: 7
    options:
      graph_optimization_level: all
    input_names:
      image: input_0
    output_names:
      scores: output_0
  openvino:
    files:
      graph:
        path: package://some-models/digits.xml
      weights:
        path: https://example.org/digits.bin
        sha256: 1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b
    precision_files:
      bf16:
        weights:
          path: digits-bf16.bin
    input_layouts:
      image: NHWC
    output_layouts:
      scores: NC
    xfail:
      reason: a known defect
      kinds: [parity]
      version: "<2026"
      strict: false
inputs:
  - name: image
    dtype: float32
    layout: NCHW
    shape: [batch, 1, 8, 8]
    preprocess:
      - step: scale
        factor: 0.0625
      - step: resize
        size: [8, 8]
        kernel: bilinear
outputs:
  - name: scores
    layout: NC
    shape: [batch, 3]
    postprocess:
      - step: softmax
        axis: -1
    labels: [zero, one, two]
preprocessing_variants:
  nearest:
    image:
      - step: resize
        size: [8, 8]
        kernel: nearest
dataset:
  source: table
  path: rows.csv
  separator: ";"
  rows: "0:450"
  sample:
    size: 100
    seed: 3
  inputs:
    image: pixels
  label: digit
metrics:
  - top1
  - metric: topk
    k: 2
    output: scores
expect:
  accuracy:
    top1:
      min: 0.97
      max: 1
  parity:
    reference: onnxruntime
    abs: 1e-4
    rel: 1e-3
    rows: 64
    precision: fp32
    outputs:
      scores:
        abs: 1e-3
        rel: 0
    top1_agreement: 0.99
    cosine: 0.999
    equal_nan: false
  latency:
    p50: 5 ms
    p90: 6 ms
    p95: 7 ms
    p99: 8 ms
  throughput:
    min: 100
  peak_memory: 500 MB
  load_time: 2 s
expect_overrides:
  - when:
      framework: openvino
      hardware: cpu
      precision: bf16
      threads: 2
      batch_size: 8
      scenario: offline
      preprocessing: stated
    accuracy:
      top1:
        min: 0.96
    latency:
      p50: 9 ms
    throughput:
      min: 50
    peak_memory: 600 MB
    load_time: 3 s
    parity:
      max: 0.05
      top1_agreement: 0.98
      cosine: 0.99
matrix:
  hardware: [cpu]
  precision: [fp32, bf16]
  threads: [1, 2, framework_default]
  batch_size: [1, 8]
  scenario: [single_stream, offline]
  include:
    - framework: onnxruntime
      version: ">=1.17,<2"
      hardware: cuda
      precision: fp16
      threads: 1
      batch_size: 32
      scenario: offline
      preprocessing: stated
  exclude:
    - version: "2.1"
      threads: 2
    - precision: bf16
      threads: 1
measurement:
  budget: 500 ms
  relative_error: 0.02
  warmup_budget: 1 s
gate:
  latency:
    smallest_effect: 5 %
    on_regression: fail
  peak_memory:
    smallest_effect: 10.5%
    on_regression: warn
  load_time:
    on_regression: ignore
  accuracy:
    top1:
      loss: 0.5 %
      on_regression: fail
  parity:
    on_regression: warn
  accepted:
    - quantity: accuracy
      metric: topk
      when:
        batch_size: 8
      reason: a smaller head
      until: 2027-01-31
      at_most: 2 %
"""

MINIMAL = """\
schema: 1
name: tiny
version: "1"
task: classification
frameworks:
  onnxruntime:
    files:
      model:
        path: tiny.onnx
inputs:
  - name: x
    shape: [batch, 4]
outputs:
  - name: y
"""
