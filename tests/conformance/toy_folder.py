"""A framework folder that keeps every promise, and how to break them one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FEATURES, CLASSES, ROWS = 16, 4, 60

FRAMEWORK = """\
schema: 1
name: toy
description: A linear classifier in NumPy
files: {model: an .npz with weight (in out) and bias (out)}
devices: {cpu: cpu}
precisions: {cpu: [fp32]}
layers: true
self_test: toy.mlscope.yml
"""

PREDICTOR = """\
import hashlib, os, signal, threading, time

import numpy

from pytest_mlscope.host.predictor import Bound, Layer, LoadedModel, Predictor, Unsupported

kept_for_ever = []


class Model(LoadedModel):
    returns_new_arrays = True

    def __init__(self, request, weight, bias):
        self.weight, self.bias, self.asked = weight, bias, request
        self.resolved = {"precision": "fp32", "threads": request.threads}

    def predict(self, inputs):
        (x,) = inputs.values()
        if x.dtype != numpy.float32:
            raise ValueError("input 'x' is {}; the model wants float32".format(x.dtype))
        if x.shape[1:] != (len(self.weight),):
            raise ValueError("input 'x' has shape {}; the model wants {} features".format(x.shape, len(self.weight)))
        scores = x.dot(self.weight) + self.bias
        return {self.asked.outputs[0]: scores}

    def bind(self, inputs):
        latest = {}

        def run():
            latest.update(self.predict(inputs))

        return Bound(run, lambda: latest, "ndarray.dot")

    def layers(self, inputs, runs):
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            self.predict(inputs)
            times.append(time.perf_counter() - began)
        (x,) = inputs.values()
        return [Layer("scores", "Linear", sorted(times)[runs // 2], [len(x), len(self.bias)])]


class FrameworkPredictor(Predictor):
    def version(self):
        return "1.0"

    def load(self, request):
        if request.precision != "fp32":
            raise Unsupported("the toy computes in fp32 alone")
        path = request.files["model"]
        names = [each.name for each in request.inputs]
        if names != ["x"] or len(request.outputs) != 1:
            raise ValueError("{}: takes x and gives one output, not {} and {}".format(path, names, request.outputs))
        try:
            with numpy.load(path) as arrays:
                weight, bias = arrays["weight"], arrays["bias"]
        except Exception as error:
            raise ValueError("{}: {}".format(path, error))
        return Model(request, weight, bias)
"""

MANIFEST = """\
schema: 1
name: toy-linear
version: "1.0"
task: classification
frameworks:
  toy: {files: {model: {path: weights.npz}}}
inputs: [{name: x, dtype: float32, shape: [batch, 16]}]
outputs: [{name: scores, shape: [batch, 4]}]
dataset: {source: npz, path: rows.npz, label: labels}
metrics: [top1]
expect: {accuracy: {top1: {min: 0.9}}}
"""


def write_toy(folder: Path, *changes: tuple[str, str], description: str = "", manifest: str = "") -> Path:
    """Write the folder, with texts of ``predictor.py`` replaced, lines added to ``framework.yml`` and a line of the
    manifest put in place of ``expect``.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    weight = draw.standard_normal((FEATURES, CLASSES), dtype=np.float32)
    bias = draw.standard_normal(CLASSES, dtype=np.float32)
    rows = draw.standard_normal((ROWS, FEATURES), dtype=np.float32)
    np.savez(folder / "weights.npz", weight=weight, bias=bias)
    np.savez(folder / "rows.npz", x=rows, labels=(rows @ weight + bias).argmax(axis=1))
    source = PREDICTOR
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    (folder / "predictor.py").write_text(source)
    (folder / "framework.yml").write_text(FRAMEWORK + description)
    text = MANIFEST
    if manifest:
        text = text.replace("expect: {accuracy: {top1: {min: 0.9}}}", manifest)
    (folder / "toy.mlscope.yml").write_text(text)
    return folder
