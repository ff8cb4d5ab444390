"""What makes a file of a model from the one a manifest names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_mlscope.artifacts import onnx_to_caffe, random_onnx_weights


class Build(Protocol):
    """Writes ``destination`` from ``source``; the same seed gives the same bytes.

    Raises ``ArtifactError`` for a source that will not do, ``CannotRun`` where a package is missing, ``OSError`` where
    the destination cannot be written.
    """

    def __call__(self, source: Path, destination: Path, *, seed: int) -> None: ...


@dataclass(frozen=True)
class Builder:
    """One of the manifest's builders."""

    build: Build
    code: Sequence[Path]
    """The files of code that decide what it makes."""
    suffix: str | None = None
    """Of the file it makes, by which frameworks go; the source's own when absent."""

    @property
    def code_sha256(self) -> str:
        """Of all its code."""
        digest = hashlib.sha256()
        for path in self.code:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def name(self, source: Path) -> str:
        """What it calls the file it makes."""
        return source.with_suffix(self.suffix).name if self.suffix else source.name


def _random_onnx_weights(source: Path, destination: Path, *, seed: int) -> None:
    random_onnx_weights.build(source, destination, seed=seed)


_RANDOM = Path(random_onnx_weights.__file__)

BUILDERS: Mapping[str, Builder] = {
    "random_onnx_weights": Builder(_random_onnx_weights, [_RANDOM]),
    "caffe_prototxt": Builder(onnx_to_caffe.build_prototxt, [_RANDOM, *onnx_to_caffe.CODE], ".prototxt"),
    "caffe_weights": Builder(onnx_to_caffe.build_caffemodel, [_RANDOM, *onnx_to_caffe.CODE], ".caffemodel"),
}
"""By the manifest's names."""
