"""``mlscope validate``: mistakes that need no framework to be found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_mlscope.api.validation import validate_manifest
from pytest_mlscope.cli.main import main

DIGITS = Path(__file__).parents[2] / "model_suites" / "digits"
NAME = "digits-cnn.mlscope.yml"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A copy of the digits suite's first manifest, beside its files."""
    shutil.copytree(DIGITS, tmp_path / "digits", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "digits" / NAME


def changed(manifest: Path, old: str, new: str) -> list[str]:
    """What is wrong once a text of the manifest is another."""
    text = manifest.read_text("utf-8")
    assert old in text
    manifest.write_text(text.replace(old, new), "utf-8")
    mistakes = validate_manifest(manifest).mistakes
    assert all(line.startswith(f"{manifest}:") for line in mistakes), mistakes
    return [line.removeprefix(f"{manifest}:") for line in mistakes]


def test_a_right_manifest(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(manifest)]) == 0
    assert capsys.readouterr().out == f"{manifest}: no mistakes\n"


def test_missing_changed_and_pointer_files(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = manifest.parent / "digits.onnx"
    content = file.read_bytes()
    file.unlink()
    assert any("no such file" in line for line in validate_manifest(manifest).mistakes)
    file.write_bytes(content + b"\0")
    assert any("the manifest says" in line for line in validate_manifest(manifest).mistakes)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert main(["validate", str(manifest.parent)]) == 1
    assert "is a Git LFS pointer in the file's place" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("- name: image\n", "- name: picture\n", "has no input 'picture'; it has: image"),
        ("[batch, 1, 8, 8]", "[batch, 3, 8, 8]", "is [batch, 3, 8, 8], but"),
        ("[batch, 10]", "[batch, 9]", "has 10 names, but the output's shape has 9 classes"),
        ("dtype: float32\n    layout", "dtype: float64\n    layout", "is float64, but"),
        ("logits", "logit", "write its name, or map it under output_names (did you mean 'logits'?)"),
        ("{image: images}", "{image: pictures}", "'pictures'"),
        ("label: labels", "label: classes", "'classes'"),
        ("digits-heldout.npz", "digits-held-out.npz", "no such dataset file"),
    ],
)
def test_mistakes(manifest: Path, old: str, new: str, mistake: str) -> None:
    text = manifest.read_text("utf-8")
    text = text.replace("input_layouts:\n      image", "input_layouts:\n      picture") if "picture\n" in new else text
    manifest.write_text(
        text.replace("inputs: {image: images}", "inputs: {picture: images}") if "picture\n" in new else text
    )
    assert any(mistake in line for line in changed(manifest, old, new))


def test_pointers_in_place_of_data_and_labels(manifest: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (manifest.parent / "digits-heldout.npz").write_bytes(pointer)
    (manifest.parent / "names.txt").write_bytes(pointer)
    assert any("digits-heldout.npz: is a Git LFS pointer" in line for line in validate_manifest(manifest).mistakes)
    labels = 'labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'
    assert any(
        "'names.txt', which is a Git LFS pointer" in line for line in changed(manifest, labels, "labels: names.txt")
    )
