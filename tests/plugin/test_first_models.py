"""What who evaluates a first model of their own runs into, and what they are told."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.plugin.linear_suite import CLASSES, ROWS, Suite

Run = Callable[..., pytest.RunResult]


def _said(result: pytest.RunResult) -> str:
    """The summary as one line: it is folded to the terminal."""
    return " ".join(result.stdout.str().split())


def _rows(suite: Suite) -> tuple[np.ndarray, np.ndarray]:
    with np.load(suite.folder / "rows.npz") as file:
        return file["features"], file["labels"]


@pytest.fixture
def one_score(suite: Suite) -> Suite:
    """A binary classifier with one probability a row."""
    suite.framework("toy", predict="return {'scores': 1 / (1 + numpy.exp(-x.dot(self.weights[:, :1])))}")
    features, _ = _rows(suite)
    scores = features @ np.load(suite.folder / "weights.npy")[:, 0]
    labels = (scores > 0).astype(np.int64)
    labels[:4] = 1 - labels[:4]
    np.savez(suite.folder / "rows.npz", features=features, labels=labels)
    return suite


def _with_steps(suite: Suite, steps: str) -> None:
    path = suite.manifest()
    text = path.read_text().replace("[{step: softmax, axis: -1}]", steps)
    path.write_text(text)


@pytest.mark.parametrize("labels", [None, 0], ids=["both classes", "one class"])
def test_one_score_is_no_class(one_score: Suite, run: Run, labels: int | None) -> None:
    """With labels of class 0 alone, the only score would always be the best one: top-1 of 1.0."""
    if labels is not None:
        np.savez(one_score.folder / "rows.npz", features=_rows(one_score)[0], labels=np.zeros(ROWS, np.int64))
    _with_steps(one_score, "[]")
    result = run("-k", "accuracy")
    result.assert_outcomes(failed=1)
    assert "for two classes with one score, add the step threshold: `{step: threshold, at: 0.5}`" in _said(result)


def test_a_threshold_makes_it_one(one_score: Suite, run: Run) -> None:
    _with_steps(one_score, "[{step: threshold}]")
    result = run("-k", "accuracy")
    result.assert_outcomes(passed=1)
    assert "0.9000" in _said(result)


def test_labels_that_count_from_1(suite: Suite, run: Run) -> None:
    features, labels = _rows(suite)
    np.savez(suite.folder / "rows.npz", features=features, labels=labels + 1)
    path = suite.manifest()
    result = run("-k", "accuracy")
    result.assert_outcomes(failed=1)
    advice = 'labels: ["1", "2", "3"]'
    assert f"if the labels count from 1, name the classes so: `{advice}` under the output" in _said(result)
    path.write_text(path.read_text().replace("axis: -1}]}]", f"axis: -1}}], {advice}}}]"))
    result = run("-k", "accuracy")
    result.assert_outcomes(passed=1)
    assert "0.9000" in _said(result)


@pytest.mark.slow
def test_classes_in_another_order(suite: Suite, run: Run) -> None:
    features, labels = _rows(suite)
    np.savez(suite.folder / "rows.npz", features=features, labels=(labels + 1) % CLASSES)
    suite.manifest(expect="{}")
    result = run("-k", "accuracy")
    result.assert_outcomes(passed=1)
    assert "top1 is no better than chance (0.3333): labels may count from 1, or stand for classes in" in _said(result)
    suite.manifest()
    result = run("-k", "accuracy")
    result.assert_outcomes(failed=1)
    assert "; no better than chance (0.3333); check the order of the labels and the steps" in _said(result)


def test_files_that_are_not_there_are_found_at_collection(suite: Suite, run: Run) -> None:
    path = suite.manifest(frameworks=("toy", "other"))
    suite.framework("other")
    text = path.read_text()
    other = text[text.index("  other:") : text.index("inputs:")]
    path.write_text(text.replace(other, other.replace("weights.npy", "gone.npy")).replace("path: rows", "path: wors"))
    result = run("--collect-only")
    result.assert_outcomes(errors=1)
    said = result.stdout.str()
    assert f"linear.mlscope.yml:7:33: {suite.folder / 'gone.npy'}: no such file; check the manifest's path" in said
    assert f"linear.mlscope.yml:10:30: {suite.folder / 'wors.npz'}: no such dataset file" in said
    path.write_text(path.read_text().replace("path: wors", "path: rows"))
    run("--mlscope-framework", "toy", "-k", "accuracy").assert_outcomes(passed=1)


def test_a_file_url_is_found_by_its_decoded_path(suite: Suite, run: Run) -> None:
    path = suite.manifest()
    (suite.folder / "weights.npy").rename(suite.folder / "my weights.npy")
    text = path.read_text()
    path.write_text(text.replace("path: weights.npy", f"path: file://{suite.folder}/my%20weights.npy"))
    run("-m", "accuracy").assert_outcomes(passed=1)


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_a_path_that_the_locale_cannot_decode(suite: Suite, run: Run, pytester: pytest.Pytester, family: str) -> None:
    """Neither pytest's JUnit file nor ours takes lone surrogates, and a model file's path goes to a framework."""
    folder = Path(os.fsdecode(os.fsencode(str(pytester.path)) + b"/caf\xe9"))
    folder.mkdir()
    written = suite.manifest()
    text = written.read_text().replace("path: rows", "path: ../rows")
    written.unlink()
    path = folder / written.name
    path.write_text(text.replace("path: weights.npy", f"path: file://{suite.folder}/weights.npy"))
    options = ("-m", "accuracy", "--mlscope-json", "out.json", "--junitxml", "out.xml", "-o", f"junit_family={family}")
    result = run(*options)
    result.assert_outcomes(passed=1)
    nodeid = "caf\\udce9/linear.mlscope.yml::test_accuracy[toy]"
    assert json.loads((pytester.path / "out.json").read_text())["evaluations"][0]["nodeid"] == nodeid
    assert ElementTree.parse(pytester.path / "out.xml").find(".//property[@name='mlscope.top1']") is not None
    (suite.folder / "weights.npy").rename(folder / "weights.npy")
    path.write_text(text)
    result = run(*options)
    result.assert_outcomes(failed=1)
    assert "weights.npy: its path is not UTF-8, and frameworks cannot open it; rename the file or folder" in _said(
        result
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
