"""Tensors with the batch elsewhere than first, or without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

RETURN = """
y = x.dot(self.weights)
return {"scores": y, "found": numpy.argwhere(y > 0.5), "mean": y.mean(), "late": y.T}
"""
ALL = "{name: scores}, {name: found, shape: [n, 2], batch: none}, {name: mean, batch: none}, {name: late, batch: 1}"
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
        ("{name: found, shape: [n, 2]}", "add batch: none beside the shape if a call has one such output"),
        ("{name: mean, shape: []}", "is empty, which has no batch; add batch: none"),
        ("{name: late, shape: [a, b], batch: 2}", "is 2, but the shape has 2 dimensions; allowed: 0 to 1, or none"),
    ],
)
def test_what_is_not_declared_is_not_guessed(suite: Suite, run: Run, outputs: str, said: str) -> None:
    name = outputs[len("{name: ") :].split(",")[0].rstrip("}")
    _manifest(suite, outputs, metrics="[]")
    suite.framework("toy", predict=RETURN.replace("return {", "all = {") + f"return {{{name!r}: all[{name!r}]}}")
    result = run("-k", "latency")
    assert said in _text(result)
    assert result.ret != 0
