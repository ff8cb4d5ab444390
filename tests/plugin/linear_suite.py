"""A small suite with a framework of its own that needs nothing but numpy, so that a run takes a second."""

from __future__ import annotations

import hashlib
from pathlib import Path
from textwrap import dedent, indent

import numpy as np

ROWS = 40
CLASSES = 3

FRAMEWORK = """\
schema: 1
name: {name}
description: A linear classifier in numpy
devices: {{cpu: cpu}}
precisions: {{cpu: [fp32]}}
"""
PREDICTOR = """\
import ctypes, os, sys, time
import numpy
from pytest_mlscope.host.predictor import LoadedModel, Predictor, Unsupported

class Model(LoadedModel):
    def __init__(self, request):
        self.weights = numpy.load(request.files["model"])
        self.resolved = {{"precision": request.precision, "threads": request.threads}}

    def predict(self, inputs):
        x = inputs["features"]
{predict}
        return {{"scores": x.dot(self.weights)}}

class FrameworkPredictor(Predictor):
    def version(self):
        return "1.0"

    def load(self, request):
{load}
        return Model(request)
"""


class Suite:
    """Writes frameworks, data and manifests into pytester's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        generator = np.random.default_rng(0)
        weights = generator.standard_normal((4, CLASSES)).astype(np.float32)
        features = generator.standard_normal((ROWS, 4)).astype(np.float32)
        labels = (features @ weights).argmax(axis=1)
        labels[:4] = (labels[:4] + 1) % CLASSES  # so that top-1 is 0.9, not a suspicious 1
        np.save(folder / "weights.npy", weights)
        np.savez(folder / "rows.npz", features=features, labels=labels)
        self.framework("toy")

    def framework(self, name: str, *, predict: str = "pass", load: str = "pass", parent: str = "frameworks") -> Path:
        """Add a framework folder to the project."""
        path = self.folder / parent / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "framework.yml").write_text(FRAMEWORK.format(name=name))
        source = PREDICTOR.format(predict=indent(dedent(predict), " " * 8), load=indent(dedent(load), " " * 8))
        (path / "predictor.py").write_text(source)
        return path

    @property
    def weights_sha256(self) -> str:
        return hashlib.sha256((self.folder / "weights.npy").read_bytes()).hexdigest()

    def manifest(
        self,
        *,
        name: str = "linear",
        frameworks: tuple[str, ...] = ("toy",),
        expect: str = "{accuracy: {top1: {min: 0.85}}}",
        matrix: str = "{}",
        extra: str = "",
        sha256: str | None = None,
        entry: str = "",
        metrics: str = "[top1]",
    ) -> Path:
        """Write ``NAME.mlscope.yml``."""
        model = f"{{path: weights.npy, sha256: {sha256 or self.weights_sha256}}}"
        entries = "".join(f"  {each}: {{files: {{model: {model}}}{entry}}}\n" for each in frameworks)
        path = self.folder / f"{name}.mlscope.yml"
        path.write_text(
            "schema: 1\n"
            f"name: {name}\n"
            'version: "1.0"\n'
            "task: classification\n"
            f"frameworks:\n{entries}"
            "inputs: [{name: features, dtype: float32, shape: [batch, 4]}]\n"
            "outputs: [{name: scores, postprocess: [{step: softmax, axis: -1}]}]\n"
            "dataset: {source: npz, path: rows.npz, label: labels}\n"
            f"metrics: {metrics}\n"
            f"expect: {expect}\n"
            f"matrix: {matrix}\n"
            "measurement: {budget: 20 ms, warmup_budget: 20 ms, relative_error: 0.5}\n"
            f"{extra}"
        )
        return path
