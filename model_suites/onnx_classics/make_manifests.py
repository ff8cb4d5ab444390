"""Write this suite's nine manifests: ``python model_suites/onnx_classics/make_manifests.py``.

Needs onnx; the committed manifests were made with onnx 1.23.2, whose files' sha256 and size they hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import onnx

FOLDER = Path(__file__).resolve().parent
LIGHT = "backend/test/data/light"
FRAMEWORKS = ("openvino", "opencv-dnn", "mxnet", "caffe2", "cntk")
"""Besides ONNX Runtime, the reference."""

MXNET_SOFTMAX = (
    "MXNet's ONNX importer takes Softmax without axis over the last dimension; opset 9 means all but the first"
)
MXNET_AVERAGE_POOL = "MXNet's ONNX importer counts the padding in the averages of AveragePool"
MXNET_NORMALIZATION = (
    "MXNet's ONNX importer takes an epsilon of 1e-3 for BatchNormalization without one, where ONNX means 1e-5, and "
    "counts the padding in the averages of AveragePool"
)


class Classic(NamedTuple):
    """One network, and how closely the frameworks' outputs are held to agree."""

    title: str
    paper: str
    url: str
    absolute: str = "1.0e-7"
    relative: str = "1.0e-3"
    budget: str = "4 s"
    """Long enough for the eleven calls that a median needs, on a slow machine."""
    parity_fails: Mapping[str, str] = MappingProxyType({})
    """Framework to why its outputs differ."""
    tvm: bool = False
    """Whether TVM, which takes seconds to compile a network and computes slowly untuned, has an entry."""
    on_gpu: tuple[str, ...] = ()
    """Further frameworks, which run on a GPU alone."""


# Outputs are softmax probabilities near 1/1000, so the relative tolerance is the one that bites; densenet121 ends in
# logits around 0, where the absolute one does. Both are below what another input changes in each network's output.
# vgg19's long sums over Winograd convolutions differ by up to 0.3 %.
CLASSICS = {
    "bvlc_alexnet": Classic(
        "AlexNet",
        "Krizhevsky, Sutskever and Hinton (2012), ImageNet Classification with Deep Convolutional Neural Networks",
        "https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
    ),
    "densenet121": Classic(
        "DenseNet-121",
        "Huang et al. (2017), Densely Connected Convolutional Networks",
        "https://arxiv.org/abs/1608.06993",
        absolute="1.0e-4",
    ),
    "inception_v1": Classic(
        "Inception v1 (GoogLeNet)",
        "Szegedy et al. (2015), Going Deeper with Convolutions",
        "https://arxiv.org/abs/1409.4842",
        parity_fails={"mxnet": MXNET_AVERAGE_POOL},
    ),
    "inception_v2": Classic(
        "Inception v2",
        "Ioffe and Szegedy (2015), Batch Normalization: Accelerating Deep Network Training",
        "https://arxiv.org/abs/1502.03167",
        parity_fails={"mxnet": MXNET_AVERAGE_POOL},
    ),
    "resnet50": Classic(
        "ResNet-50",
        "He et al. (2016), Deep Residual Learning for Image Recognition",
        "https://arxiv.org/abs/1512.03385",
        on_gpu=("tensorrt",),
        budget="12 s",
        tvm=True,
    ),
    "shufflenet": Classic(
        "ShuffleNet v1",
        "Zhang et al. (2018), ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
        "https://arxiv.org/abs/1707.01083",
        parity_fails={"mxnet": MXNET_NORMALIZATION},
        tvm=True,
    ),
    "squeezenet": Classic(
        "SqueezeNet 1.1",
        "Iandola et al. (2016), SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        "https://arxiv.org/abs/1602.07360",
        parity_fails={"mxnet": MXNET_SOFTMAX},
        tvm=True,
    ),
    "vgg19": Classic(
        "VGG-19",
        "Simonyan and Zisserman (2015), Very Deep Convolutional Networks for Large-Scale Image Recognition",
        "https://arxiv.org/abs/1409.1556",
        absolute="1.0e-6",
        relative="1.0e-2",
        budget="24 s",
    ),
    "zfnet512": Classic(
        "ZFNet-512",
        "Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks",
        "https://arxiv.org/abs/1311.2901",
    ),
}

TEMPLATE = """\
# Written by make_manifests.py.
schema: 1
name: {name}
version: "1.0"
task: image_classification
description: >-
  {title} at 224×224 with random weights: latency and parity only, no accuracy. The graph is the one the onnx package
  ships without weights; seeded random ones are put in on first use.
license: Apache-2.0
references:
  - title: "{paper}"
    url: {url}
kinds: [parity, latency]

frameworks:
  onnxruntime:
    files:
      model: &graph
        path: package://onnx/{light}/light_{file}.onnx
        sha256: {sha256}
        size: {size}
        build: {{builder: random_onnx_weights, seed: 0}}
{frameworks}  caffe:
    files:
      prototxt:
        path: package://onnx/{light}/light_{file}.onnx
        sha256: {sha256}
        size: {size}
        build: {{builder: caffe_prototxt, seed: 0}}
      model:
        path: package://onnx/{light}/light_{file}.onnx
        sha256: {sha256}
        size: {size}
        build: {{builder: caffe_weights, seed: 0}}

inputs:
  - name: {input}
    dtype: float32
    layout: NCHW
    shape: {input_shape}

outputs:
  - name: {output}
    shape: {output_shape}

dataset:
  source: random
  count: 4
  seed: 0
  distribution: normal

expect:
  parity: {{reference: onnxruntime, abs: {absolute}, rel: {relative}, rows: 4}}

measurement:
  budget: {budget}
  relative_error: 0.02
{matrix}"""


ENTRY = """\
  {framework}:
    files:
      model: *graph
"""
TVM = """\
  tvm:
    files:
      model: *graph
    options:
      schedule: parallel
"""
XFAIL = """\
    xfail:
      reason: "{reason}"
      kinds: [parity]
"""


MATRIX = """\

matrix:
  include:
"""


def _entry(framework: str, classic: Classic) -> str:
    reason = classic.parity_fails.get(framework)
    return ENTRY.format(framework=framework) + (XFAIL.format(reason=reason) if reason else "")


def _entries(classic: Classic) -> str:
    entries = [_entry(framework, classic) for framework in (*FRAMEWORKS, *classic.on_gpu)]
    return "".join(entries) + (TVM if classic.tvm else "")


def _matrix(classic: Classic) -> str:
    cells = [f"    - {{framework: {framework}, hardware: cuda}}\n" for framework in classic.on_gpu]
    return MATRIX + "".join(cells) if cells else ""


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def main() -> None:
    for file, classic in CLASSICS.items():
        content = (Path(onnx.__file__).parent / LIGHT / f"light_{file}.onnx").read_bytes()
        graph = onnx.load_from_string(content).graph
        stored = {tensor.name for tensor in graph.initializer}
        (image,) = (value for value in graph.input if value.name not in stored)
        (output,) = graph.output
        name = file.removeprefix("bvlc_")
        manifest = TEMPLATE.format(
            **classic._asdict(),
            name=name,
            frameworks=_entries(classic),
            matrix=_matrix(classic),
            file=file,
            light=LIGHT,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            input=image.name,
            input_shape=_shape(image),
            output=output.name,
            output_shape=_shape(output),
        )
        (FOLDER / f"{name}.mlscope.yml").write_text(manifest, "utf-8")


if __name__ == "__main__":
    main()
