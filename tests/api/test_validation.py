"""``mlscope validate``: mistakes that need no framework to be found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pytest_mlscope.api.evaluation import load_of_project
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
        ("logits", "logit", "write one of these, or `output_names: {logit: logits}` in the framework"),
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


def _binary(tmp_path: Path, *, output: str = "p", shape: str = "[batch, 4]", steps: str = "[]", first: int = 0) -> Path:
    """A model with one score a row beside a map of scores, as scikit-learn's converter makes them, and 40 rows."""
    onnx = pytest.importorskip("onnx")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["p"], axes=[1]),
        helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[1]),
    ]
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(onnx.TensorProto.INT64, helper.make_tensor_type_proto(real, []))
    )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", real, ["n", 4])],
        [helper.make_tensor_value_info("p", real, ["n", 1]), helper.make_value_info("maps", maps)],
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    np.savez(tmp_path / "rows.npz", x=np.zeros((40, 4), np.float32), label=np.arange(40) // 20 + first)
    path = tmp_path / "binary.mlscope.yml"
    path.write_text(
        f"""
schema: 1
name: binary
version: "1"
task: classification
frameworks: {{onnxruntime: {{files: {{model: {{path: model.onnx}}}}}}}}
inputs: [{{name: x, dtype: float32, shape: {shape}}}]
outputs: [{{name: {output}, postprocess: {steps}}}]
dataset: {{source: npz, path: rows.npz, label: label}}
metrics: [top1]
"""
    )
    return path


def test_one_score_a_row(tmp_path: Path) -> None:
    (mistake,) = validate_manifest(_binary(tmp_path)).mistakes
    assert "the output has one a row; for two classes with one score, add the step threshold" in mistake
    assert not validate_manifest(_binary(tmp_path, steps="[{step: threshold}]")).mistakes


def test_maps_in_place_of_a_tensor(tmp_path: Path) -> None:
    (mistake,) = validate_manifest(_binary(tmp_path, output="maps")).mistakes
    assert "model.onnx is a sequence, not a tensor; export" in mistake
    assert mistake.endswith("(skl2onnx: options={'zipmap': False}), or name another output: p")


def test_a_shape_without_its_batch(tmp_path: Path) -> None:
    mistakes = validate_manifest(_binary(tmp_path, shape="[4]", steps="[{step: threshold}]")).mistakes
    assert any("has [?, 4]; the batch dimension is missing: write [batch, 4]" in mistake for mistake in mistakes)


def test_labels_far_down_that_no_class_has(manifest: Path) -> None:
    text = manifest.read_text("utf-8")
    labels = 'labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'
    assert labels in text
    kept = [line for line in text.splitlines() if labels not in line and not line.startswith("  sha256:")]
    manifest.write_text("\n".join(kept))
    with np.load(manifest.parent / "digits-heldout.npz") as file:
        arrays = dict(file)
    arrays["labels"] = np.clip(arrays["labels"], 1, 9)
    arrays["labels"][-1] = 10
    np.savez(manifest.parent / "digits-heldout.npz", **arrays)
    assert any(
        "class number 10 is a label, but the output has 10 classes, 0 to 9" in line
        for line in validate_manifest(manifest).mistakes
    )


OWN = """\
import dataclasses
import pytest
from pytest_mlscope import Measurement, Scenario, per_sample_metric

class Mine(Measurement):
    name = "mine"
    def evaluate(self, context): raise OSError

class Bursts(Scenario):
    name = "bursts"
    def measure(self, model, inputs): raise OSError

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_measurements(): return [Mine()]

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_scenarios(): return [Bursts]

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_metrics(): return [per_sample_metric("close", lambda outputs, labels: labels == 0)]
"""


@pytest.fixture
def with_own_parts(manifest: Path) -> Path:
    """A manifest that names what a conftest registers."""
    text = manifest.read_text("utf-8")
    assert "metrics: [top1, top5]" in text
    text = text.replace("metrics: [top1, top5]", "metrics: [top1, top5, close]")
    manifest.write_text(text + "kinds: [accuracy, parity, latency, mine]\nscenarios: {bursts: {}}\n", "utf-8")
    return manifest


@pytest.mark.slow
def test_what_a_conftest_registers_is_known(
    with_own_parts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (with_own_parts.parent.parent / "pytest.ini").write_text(
        "[pytest]\naddopts = -n 2 --no-such-option\ncache_dir = c\n"
    )
    conftest = with_own_parts.parent.parent / "conftest.py"
    conftest.write_text("")
    main(["validate", str(with_own_parts)])
    assert "unknown metric 'close'" in capsys.readouterr().out
    conftest.unlink()
    (with_own_parts.parent / "conftest.py").write_text(OWN)
    # As it is given, with the manifest's own name in the messages.
    monkeypatch.chdir(with_own_parts.parent.parent)
    status = main(["validate", "digits"])
    printed = capsys.readouterr()
    assert (status, "digits/digits-cnn.mlscope.yml: no mistakes" in printed.out) == (0, True), printed
    assert not (with_own_parts.parent.parent / "c").exists()


def test_commands_that_measure_know_it_too(with_own_parts: Path) -> None:
    (with_own_parts.parent / "conftest.py").write_text(OWN)
    assert "close" in load_of_project(with_own_parts).registry.metrics


@pytest.mark.parametrize(
    ("conftest", "said"),
    [
        ("import no_such_module\n", "conftest.py: raised ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)\n", "raised SystemExit: 3"),
        ("def broken(:\n", "conftest.py: raised SyntaxError"),
        (
            "def pytest_mlscope_register_metrics(): return [3]\n",
            "pytest_mlscope_register_metrics: returned 3; expected Metrics",
        ),
        (
            "def pytest_mlscope_register_metrics(): raise KeyError('odd')\n",
            "pytest_mlscope_register_metrics raised KeyError: 'odd' (conftest.py:1)",
        ),
    ],
)
def test_a_wrong_conftest_is_one_line(
    manifest: Path, capsys: pytest.CaptureFixture[str], conftest: str, said: str
) -> None:
    (manifest.parent / "conftest.py").write_text(conftest)
    assert main(["validate", str(manifest)]) == 1
    printed = capsys.readouterr()
    (line,) = [line for line in (printed.out + printed.err).splitlines() if "not checked" not in line]
    assert said in line
