"""What makes files of models from others."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pytest_mlscope.artifacts.builders import BUILDERS
from pytest_mlscope.manifest.schema.frameworks import BuildStep


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
