"""The digits manifest with cases of one's own, on onnxruntime alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fresh_process import DIGITS


def write_manifest(folder: Path, *, batch_sizes: list[int], **changes: Any) -> Path:
    """Copy the suite's manifest and files to a folder, with other batch sizes and no bounds.

    :param changes: top-level keys of the manifest to replace.
    """
    content = yaml.safe_load((DIGITS / "digits-cnn.mlscope.yml").read_text("utf-8"))
    content["frameworks"] = {"onnxruntime": content["frameworks"]["onnxruntime"]}
    content["matrix"] = {"batch_size": batch_sizes}
    content["expect"] = {}
    content.update(changes)
    for name in ("digits.onnx", "digits-heldout.npz"):
        shutil.copy(DIGITS / name, folder / name)
    manifest = folder / "digits.mlscope.yml"
    manifest.write_text(yaml.safe_dump(content, sort_keys=False))
    return manifest
