"""What makes files of models from others."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import get_args

import pytest

from pytest_mlscope.artifacts import random_onnx_weights
from pytest_mlscope.artifacts.builders import BUILDERS
from pytest_mlscope.manifest.schema.frameworks import BuildStep
from tests.artifacts.materialiser import CONTENT, SHA256, WRONG, Materialiser


def test_every_builder_of_the_manifest_is_there() -> None:
    assert set(BUILDERS) == set(get_args(BuildStep.model_fields["builder"].annotation))


def test_frameworks_find_the_suffix_they_go_by() -> None:
    names = {name: builder.name(Path("models/light.v2.onnx")) for name, builder in BUILDERS.items()}
    assert names == {
        "random_onnx_weights": "light.v2.onnx",
        "caffe_prototxt": "light.v2.prototxt",
        "caffe_weights": "light.v2.caffemodel",
    }


def test_all_code_that_decides_is_counted() -> None:
    """A file that another version of the code made must not be taken for this one's."""
    names = {path.name for path in BUILDERS["caffe_weights"].code}
    assert names == {
        "random_onnx_weights.py",
        "__init__.py",
        "files.py",
        "operators.py",
        "pooling.py",
        "translation.py",
    }
    assert len({builder.code_sha256 for builder in BUILDERS.values()}) == 2


class TestBuilds:
    @pytest.fixture
    def builds(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Seeds that were built, by a builder that writes the seed after the source."""
        seeds: list[int] = []

        def build(source: Path, destination: Path, *, seed: int) -> None:
            seeds.append(seed)
            destination.write_bytes(source.read_bytes() + str(seed).encode())

        monkeypatch.setattr(random_onnx_weights, "build", build)
        return seeds

    def test_built_once_a_source_and_seed(self, get: Materialiser, builds: list[int]) -> None:
        """Another seed or other bytes of the source are another file."""
        (get.base / "model.onnx").write_bytes(CONTENT)
        step = {"builder": "random_onnx_weights", "seed": 7}
        built = get("model.onnx", sha256=SHA256, build=step)
        assert built.path.read_bytes() == CONTENT + b"7"
        assert built.sha256 == hashlib.sha256(CONTENT + b"7").hexdigest()
        assert get("model.onnx", build=step) == built
        assert builds == [7]
        get("model.onnx", build={**step, "seed": 8})
        (get.base / "model.onnx").write_bytes(b"another")
        get("model.onnx", build=step)
        assert builds == [7, 8, 7]
        record = json.loads(built.path.with_name("model.onnx.json").read_text())
        assert (record["sha256"], record["source_sha256"], record["seed"]) == (built.sha256, SHA256, 7)

    def test_the_source_is_checked_first(self, get: Materialiser, builds: list[int]) -> None:
        """A source with another sha256 is not built from."""
        (get.base / "model.onnx").write_bytes(CONTENT)
        get.error("model.onnx", sha256=WRONG, build={"builder": "random_onnx_weights"})
        assert builds == []

    def test_a_built_file_that_was_changed_is_built_again(self, get: Materialiser, builds: list[int]) -> None:
        (get.base / "model.onnx").write_bytes(CONTENT)
        built = get("model.onnx", build={"builder": "random_onnx_weights"})
        built.path.write_bytes(b"tampered")
        assert get("model.onnx", build={"builder": "random_onnx_weights"}).sha256 == built.sha256
        assert builds == [0, 0]

    def test_a_build_that_was_cut_short(self, get: Materialiser, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk leaves nothing that the next use could take for the model."""
        (get.base / "model.onnx").write_bytes(CONTENT)

        def build(source: Path, destination: Path, *, seed: int) -> None:
            destination.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(random_onnx_weights, "build", build)
        message = get.error("model.onnx", build={"builder": "random_onnx_weights"})
        assert "cannot be written: No space left on device: free some space" in message
        assert not [path for path in get.home.rglob("*") if path.is_file() and path.name != ".lock"]
