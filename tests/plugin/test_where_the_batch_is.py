"""Tensors with the batch elsewhere than first, or without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

RETURN = """
y = x.dot(self.weights)
return {"scores": y, "found": numpy.argwhere(y > 0.5), "mean": y.mean(), "late": y.T}
"""
ALL = (
    "{name: scores}, {name: found, shape: [n, 2], batch: none}, {name: mean, batch: none}, "
    "{name: late, shape: [classes, batch], batch: 1}"
)
TOP1 = "{metric: top1, output: scores}"


def _manifest(suite: Suite, outputs: str, *, matrix: str = "{}", metrics: str = f"[{TOP1}]") -> Path:
    suite.framework("toy", predict=RETURN)
    manifest = suite.manifest(expect="{}", matrix=matrix, metrics=metrics)
    stated = "{name: scores, postprocess: [{step: softmax, axis: -1}]}"
    manifest.write_text(manifest.read_text().replace(stated, outputs))
    return manifest


def _compare(manifest: Path, further: str = "") -> None:
    """Add a framework ``other``, compared with ``toy``."""
    text = manifest.read_text()
    model = text[text.index("  toy: ") : text.index("inputs:")]
    text = text.replace(model, model + model.replace("  toy: ", "  other: "))
    manifest.write_text(text.replace("expect: {}", f"expect: {{parity: {{reference: toy, abs: 0}}{further}}}"))


def _add_column(suite: Suite, name: str, values: Callable[[np.ndarray], np.ndarray]) -> None:
    """Add to the rows what a function makes of the scores."""
    rows = dict(np.load(suite.folder / "rows.npz"))
    rows[name] = values(rows["features"] @ np.load(suite.folder / "weights.npy"))
    np.savez(suite.folder / "rows.npz", **rows)


def _text(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


@pytest.mark.slow
def test_tensors_without_a_batch_are_carried_through_row_by_row(suite: Suite, run: Run) -> None:
    """Accuracy, parity and the timed path see each row's whole output, whatever its shape."""
    suite.framework("other", predict=RETURN)
    manifest = _manifest(suite, ALL, metrics=f"[{TOP1}, {{metric: mean_absolute_error, output: mean, label: means}}]")
    _compare(manifest, ", accuracy: {mean_absolute_error: {max: 1.0e-6}}")
    _add_column(suite, "means", lambda scores: scores.mean(axis=1))
    result = run()
    assert "0.9000" in _text(result)
    assert result.ret == 0, _text(result)


def test_one_more_in_one_row_is_a_difference_of_parity(suite: Suite, run: Run) -> None:
    suite.framework("other", predict=RETURN.replace("y > 0.5", "y > 0.4"))
    _compare(_manifest(suite, ALL))
    result = run("-k", "parity")
    result.assert_outcomes(failed=1)
    assert "output 'found' has shape" in _text(result)


def test_several_rows_a_call_are_refused_at_collection(suite: Suite, run: Run) -> None:
    _manifest(suite, ALL, matrix="{batch_size: [1, 8]}")
    result = run()
    assert "matrix.batch_size[1] is 8, but output 'found' has no batch" in _text(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_a_batch_elsewhere_is_evaluated_in_batches(suite: Suite, run: Run) -> None:
    _add_column(suite, "target", lambda scores: scores)
    manifest = _manifest(
        suite,
        "{name: late, shape: [classes, batch], batch: 1}",
        matrix="{batch_size: [1, 7], scenario: [single_stream, offline]}",
        metrics="[{metric: mean_absolute_error, output: late, label: target}]",
    )
    bound = "expect: {accuracy: {mean_absolute_error: {max: 1.0e-6}}}"
    manifest.write_text(manifest.read_text().replace("expect: {}", bound))
    suite.framework("toy", predict="return {'late': x.dot(self.weights).T}")
    result = run()
    assert result.ret == 0, _text(result)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("{name: found}", "output 'found' has shape [0, 2], and the call had 1 row"),
        ("{name: mean}", "output 'mean' has shape [], and the call had 1 row"),
        ("{name: late, shape: [classes, batch]}", "add batch: 1 beside the shape, or batch: 0"),
        ("{name: found, shape: [n, 2]}", "if a call has one such output however many rows it has, add batch: none"),
        ("{name: mean, shape: []}", "is empty, which has no batch; add batch: none"),
        ("{name: late, shape: [a, b], batch: 2}", "is 2, but the shape has 2 dimensions; allowed: 0 to 1, or none"),
        ("{name: late, layout: CN, batch: 2}", "is 2, but the layout has 2 dimensions; allowed: 0 to 1, or none"),
    ],
)
def test_what_is_not_declared_is_not_guessed(suite: Suite, run: Run, outputs: str, said: str) -> None:
    name = outputs[len("{name: ") :].split(",")[0].rstrip("}")
    _manifest(suite, outputs, metrics="[]")
    suite.framework("toy", predict=RETURN.replace("return {", "all = {") + f"return {{{name!r}: all[{name!r}]}}")
    result = run("-k", "latency")
    assert said in _text(result)
    assert result.ret != 0


@pytest.mark.parametrize("place", [1, 5])
def test_a_batch_elsewhere_needs_the_shape_before_anything_runs(suite: Suite, run: Run, place: int) -> None:
    _manifest(suite, f"{{name: late, batch: {place}}}", metrics="[]")
    result = run("--collect-only")
    result.stdout.fnmatch_lines(
        [f"*/linear.mlscope.yml:8:*: outputs[[]0[]].batch is {place}, which nothing here can confirm; add the shape, *"]
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED


def _ragged(suite: Suite, lengths: list[int], *, matrix: str) -> None:
    """Rows of so many features, of which the model returns twice as many scores."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [[0.0] * (length - 1) + [1.0] for length in lengths]
    labels = [2 * length - 1 for length in lengths]
    features = pyarrow.array(rows, pyarrow.list_(pyarrow.float32()))
    parquet.write_table(pyarrow.table({"features": features, "labels": labels}), suite.folder / "rows.parquet")
    suite.framework("toy", predict="return {'scores': numpy.repeat(x, 2, axis=1) + numpy.arange(2 * x.shape[1]) / 100}")
    manifest = suite.manifest(expect="{latency: {p50: 1 s}}", matrix=matrix)
    text = (
        manifest.read_text().replace("path: rows.npz", "path: rows.parquet").replace("source: npz", "source: parquet")
    )
    manifest.write_text(text.replace("shape: [batch, 4]", "shape: [batch, length]"))


def test_rows_of_different_shapes_are_timed_one_by_one_in_every_scenario(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    _ragged(suite, [3, 5, 5, 2], matrix="{scenario: [single_stream, multi_stream, offline]}")
    result = run("--mlscope-json", "out.json")
    text = _text(result)
    assert result.ret == 0, text
    assert " 1.0000 " in text
    assert "features 1×3 and 2 more" in text
    evaluations = json.loads((pytester.path / "out.json").read_text())["evaluations"]
    timed = {each["case"]["scenario"]: each["latency"]["shapes"] for each in evaluations if each["latency"]}
    assert timed["single_stream"] == {"features": [[1, 3]]}
    assert timed["multi_stream"] == timed["offline"] == {"features": [[1, 3], [1, 5], [1, 2]]}


def test_rows_of_one_batch_have_one_shape(suite: Suite, run: Run) -> None:
    _ragged(suite, [3, 5, 5, 2], matrix="{batch_size: [2]}")
    result = run()
    result.assert_outcomes(failed=2)
    assert "cannot be one batch; use batch_size 1" in _text(result)


def test_a_shape_that_the_manifest_fixes_is_not_shown(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.manifest(expect="{}")
    result = run("-k", "latency", "--mlscope-json", "out.json")
    assert "shape: of the timed inputs" not in _text(result)
    evaluations = json.loads((pytester.path / "out.json").read_text())["evaluations"]
    assert evaluations[0]["latency"]["shapes"] == {}


@pytest.mark.slow
def test_a_file_without_the_batch_that_others_have_is_refused(suite: Suite, run: Run) -> None:
    """Where the sizes happen to agree, what is none of them would be taken for rows."""
    pytest.importorskip("onnxruntime")
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["scores"]),
        helper.make_node("NonZero", ["scores"], ["places"]),
        helper.make_node("Transpose", ["places"], ["found"]),
    ]
    weights = np.load(suite.folder / "weights.npy")
    graph = helper.make_graph(
        nodes,
        "found",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("found", TensorProto.INT64, ["count", 2]),
        ],
        [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "found.onnx")
    manifest = suite.manifest(expect="{}", metrics=f"[{TOP1}]")
    text = manifest.read_text().replace("weights.npy", "found.onnx").replace("  toy:", "  onnxruntime:")
    text = text.replace(f", sha256: {suite.weights_sha256}", "")
    stated = "{name: scores, postprocess: [{step: softmax, axis: -1}]}"
    manifest.write_text(text.replace(stated, "{name: scores}, {name: found}"))
    result = run()
    result.assert_outcomes(failed=2)
    assert "output 'found' has 'count' as its first dimension in" in _text(result)
    manifest.write_text(text.replace(stated, "{name: scores}, {name: found, batch: none}"))
    assert run().ret == 0


@pytest.mark.parametrize("stated", ["{name: scores}", "{name: scores, shape: [batch, 2]}"])
def test_a_square_batch_of_transposed_scores_is_refused(suite: Suite, run: Run, stated: str) -> None:
    """Two rows of two classes: only another number of rows tells which dimension is the batch."""
    suite.framework("toy", predict="return {'scores': x.dot(self.weights)[:, :2].T}")
    _add_column(suite, "labels", lambda scores: scores[:, :2].argmax(axis=1))
    manifest = suite.manifest(expect="{accuracy: {top1: {min: 0.1}}}", matrix="{batch_size: [2]}")
    manifest.write_text(
        manifest.read_text().replace("{name: scores, postprocess: [{step: softmax, axis: -1}]}", stated)
    )
    result = run("-m", "accuracy")
    assert result.ret == 1
    assert "output 'scores' has shape [2, 3], and the call had 3 rows: its first dimension is not the batch" in _text(
        result
    )


def test_a_square_batch_of_scores_is_scored(suite: Suite, run: Run) -> None:
    manifest = suite.manifest(expect="{accuracy: {top1: {min: 0.85}}}", matrix="{batch_size: [3]}")
    assert manifest.exists()
    assert run("-m", "accuracy").ret == 0
