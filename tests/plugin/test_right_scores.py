"""Numbers that metrics give must be those of the rows they were given."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_mlscope.errors import DatasetError
from pytest_mlscope.measurements.rows.labels import LabelReader
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
REGISTER = """
import pytest

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_metrics():
    return [AreaUnderCurve]
"""


def _documented() -> str:
    return str(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[-1]) + REGISTER


def _two_classes(suite: Suite, rows: int = 900) -> None:
    """Write binary data that the model ranks well, not perfectly."""
    generator = np.random.default_rng(1)
    features = generator.standard_normal((rows, 4)).astype(np.float32)
    scores = features @ np.load(suite.folder / "weights.npy")
    powers = np.exp(scores)
    own = powers[:, 1] / powers.sum(axis=1)
    labels = (own + 0.2 * generator.standard_normal(rows) > 0.4).astype(np.int64)
    np.savez(suite.folder / "rows.npz", features=features, labels=labels)


def test_a_metric_that_keeps_what_it_is_given_gives_the_number_of_all_rows(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    _two_classes(suite)
    pytester.makeconftest(_documented())
    suite.manifest(metrics="[auc]", expect="{}", matrix="{batch_size: [1, 32]}")
    manifest = suite.folder / "linear.mlscope.yml"
    manifest.write_text(manifest.read_text().replace(", postprocess: [{step: softmax, axis: -1}]", ""))
    scores = np.load(suite.folder / "rows.npz")["features"] @ np.load(suite.folder / "weights.npy")
    labels = np.load(suite.folder / "rows.npz")["labels"]
    right = float((scores[labels == 1, 1][:, None] > scores[labels == 0, 1]).mean())
    run("-k", "accuracy").stdout.fnmatch_lines([f"*{right:.4f}*"] * 2)


def test_a_metric_cannot_change_what_the_next_one_reads(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from pytest_mlscope import per_sample_metric

        def spoil(outputs, labels):
            outputs[:] = 0
            return labels * 0

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_register_metrics():
            return [per_sample_metric("spoil", spoil)]
        """
    )
    suite.manifest(metrics="[spoil, top1]", expect="{}")
    result = run("-k", "accuracy")
    result.assert_outcomes(failed=1)
    assert "metric spoil: assignment destination is read-only" in " ".join(result.stdout.str().split())


def test_that_no_row_has_a_prediction_is_not_hidden_by_a_metric(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(_documented().replace("def result(self):", "def result(self):\n        1 / len(self.labels)"))
    suite.framework("broken", predict="raise ValueError('nothing works')")
    suite.manifest(metrics="[auc]", expect="{}", frameworks=("broken",))
    result = run("-k", "accuracy")
    assert "none of the 40 rows has a prediction" in " ".join(result.stdout.str().split())


def test_a_model_that_gives_only_nan_fails(suite: Suite, run: Run) -> None:
    suite.framework("broken", predict="x = x * numpy.nan")
    suite.manifest(expect="{}", frameworks=("broken",))
    result = run("-k", "accuracy")
    result.assert_outcomes(failed=1)
    assert "the model gave NaN for every value of every row" in " ".join(result.stdout.str().split())


def test_the_time_of_a_model_that_gives_only_nan_says_so(suite: Suite, run: Run) -> None:
    suite.framework("broken", predict="x = x * numpy.nan")
    suite.manifest(expect="{}", frameworks=("broken",))
    result = run("-k", "latency")
    assert "the model gives only NaN for the rows that are timed" in " ".join(result.stdout.str().split())


@pytest.mark.parametrize("values", [["180", "2", "180"], np.array([180, 2, 180]), np.array([[180], [2], [180]])])
def test_stated_names_that_are_numerals_win_in_every_source(values: object) -> None:
    reader = LabelReader("label", ["2", "180"])
    assert reader(values, np.arange(3)).tolist() == [1, 0, 1]  # type: ignore[arg-type]


def test_class_numbers_stay_what_they_are_beside_names_that_are_words() -> None:
    assert LabelReader("label", ["cat", "dog"])(np.array([1, 0]), np.arange(2)).tolist() == [1, 0]


def test_an_integer_is_a_name_where_one_class_is_called_by_another_ones_number() -> None:
    reader = LabelReader("label", ["background", "0", "1"])
    assert reader(np.array([1, 0]), np.arange(2)).tolist() == [2, 1]
    with pytest.raises(DatasetError, match="row 0: '2' is not one of the 3 class names"):
        reader(np.array([2]), np.arange(1))


@pytest.mark.parametrize("names", [["0", "1", "2"], ["2", "1", "0"], ["a", "b", "c"], None])
@pytest.mark.parametrize("source", ["csv", "csv_int", "npz", "npz_int", "parquet", "parquet_int"])
def test_sources_agree_on_labels_written_as_numbers(
    suite: Suite, run: Run, source: str, names: list[str] | None
) -> None:
    kind, _, is_integer = source.partition("_")
    rows = np.load(suite.folder / "rows.npz")
    features, numbers = rows["features"], rows["labels"]
    # So that names in reverse order are right for the same rows.
    values = 2 - numbers if names == ["2", "1", "0"] else numbers
    labels = values if is_integer else values.astype(str)
    dataset = f"{{source: {kind}, path: data.{kind}, label: labels"
    if kind == "npz":
        np.savez(suite.folder / "data.npz", features=features, labels=labels)
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.table({"features": features.tolist(), "labels": labels.tolist()})
        parquet.write_table(table, suite.folder / "data.parquet")
    else:
        lines = [",".join(map(str, [*row, label])) for row, label in zip(features.tolist(), labels)]
        (suite.folder / "data.csv").write_text("\n".join(["a,b,c,d,labels", *lines]))
        dataset += ", columns: {features: [a, b, c, d]}, dtypes: {features: float32"
        dataset += ", labels: int64}" if is_integer else "}"
    manifest = suite.manifest(expect="{}")
    text = manifest.read_text().replace("{source: npz, path: rows.npz, label: labels", dataset)
    stated = "" if names is None else f", labels: [{', '.join(map(repr, names))}]"
    steps = "postprocess: [{step: softmax, axis: -1}]"
    cast = "shape: [batch, 4], preprocess: [{step: cast, dtype: float32}]"
    manifest.write_text(text.replace(steps, steps + stated).replace("shape: [batch, 4]", cast))
    output = " ".join(run("-k", "accuracy").stdout.str().split())
    if is_integer or names in (["0", "1", "2"], ["2", "1", "0"]):
        assert " 0.9000 " in output
    elif names is None:
        assert "label column 'labels' holds numbers as text" in output
    else:
        assert "is not one of the 3 class names" in output


def test_outputs_with_other_names_for_the_classes_do_not_share_labels(suite: Suite, run: Run) -> None:
    predict = """
        return {"scores": x.dot(self.weights), "other": x.dot(self.weights)}
    """
    suite.framework("toy", predict=predict)
    manifest = suite.manifest(expect="{}", metrics="[{metric: top1, output: scores}, {metric: top1, output: other}]")
    steps = "postprocess: [{step: softmax, axis: -1}]"
    other = ", labels: [a, b, c]}, {name: other, labels: [c, b, a]"
    manifest.write_text(manifest.read_text().replace(steps, steps + other))
    result = run("-k", "accuracy")
    result.assert_outcomes(failed=1)
    assert "'scores' and 'other', whose `labels` differ" in " ".join(result.stdout.str().split())


@pytest.mark.parametrize("method", ["update", "count_errors", "result", "start"])
def test_a_metric_that_lacks_a_method_is_one_line_at_collection(
    suite: Suite, run: Run, pytester: pytest.Pytester, method: str
) -> None:
    pytester.makeconftest(_documented().replace(f"def {method}(", "def other("))
    suite.manifest(metrics="[auc]", expect="{}")
    result = run()
    text = " ".join(result.stdout.str().split() + result.stderr.str().split())
    assert f"lacks the method {method}" in text or re.search(rf"abstract method '?{method}\b", text)
    assert "Traceback" not in text
    assert result.ret != 0
    assert "passed" not in text


def test_a_dataset_that_lacks_a_method_is_one_line_at_collection(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        """
        import pytest
        from pytest_mlscope import Dataset

        class Mine(Dataset):
            name = "mine"

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_register_datasets():
            return [Mine]
        """
    )
    suite.manifest()
    result = run()
    text = " ".join(result.stdout.str().split() + result.stderr.str().split())
    assert "pytest_mlscope_register_datasets: Mine lacks the method open; add it to the class" in text
    assert "Traceback" not in text
    assert result.ret != 0


@pytest.mark.parametrize(
    ("holds", "top1"),
    [("scores", "0.9000"), ("ranking", "0.1250"), (None, "state `holds: scores` or `holds: ranking`")],
)
def test_integers_of_many_bits_are_what_the_manifest_says(suite: Suite, run: Run, holds: str | None, top1: str) -> None:
    # Three different numbers that are not negative: each row could be a ranking of a thousand classes.
    predict = """
        scores = x.dot(self.weights)
        ranks = scores.argsort(axis=1).argsort(axis=1)
        return {"scores": (ranks * 7 + 1).astype("int32")}
    """
    suite.framework("toy", predict=predict)
    manifest = suite.manifest(expect="{}")
    stated = f", holds: {holds}" if holds else ""
    manifest.write_text(manifest.read_text().replace(", postprocess: [{step: softmax, axis: -1}]", stated))
    result = run("-k", "accuracy")
    assert top1 in " ".join(result.stdout.str().split())
    result.assert_outcomes(**({"passed": 1} if holds else {"failed": 1}))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("postprocess: [{step: softmax}], holds: ranking", "which has no scores for the step 'softmax' to read"),
        ("holds: ranking, labels: [a, b, c]", "class number 15 is none of the 3 classes that `labels` names"),
        ("holds: classes", "is the text 'classes'; allowed: scores, ranking"),
    ],
)
def test_a_ranking_is_one_of_the_classes(suite: Suite, run: Run, output: str, said: str) -> None:
    predict = """
        ranks = x.dot(self.weights).argsort(axis=1)
        return {"scores": ranks * 7 + 1}
    """
    suite.framework("toy", predict=predict)
    manifest = suite.manifest(expect="{}")
    manifest.write_text(manifest.read_text().replace("postprocess: [{step: softmax, axis: -1}]", output))
    result = run("-k", "accuracy")
    assert said in " ".join(result.stdout.str().split())
    assert result.ret != 0
