"""Rows, columns and steps that cannot be read, prepared or taken by the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from pytest_mlscope.components.datasets.base import Column
from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.preprocessing.cast import Cast
from pytest_mlscope.components.preprocessing.layout import Layout
from pytest_mlscope.errors import CannotRun, DatasetError, PreprocessingError
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.measurements.rows.inputs import BatchReader
from tests.measurements.given_rows import STEPS, GivenDataset, GivenSource, NDRows, RefuseOdd, labels_of, read_batches


def test_rows_that_fail_are_left_out_and_reported(manifest: Callable[..., LoadedManifest]) -> None:
    """A bad image is an error that is counted, not the end of an evaluation."""
    batches = read_batches(manifest(steps=(RefuseOdd(), *STEPS), rows=21), batch_rows=4)
    rows = np.concatenate([batch.rows for batch in batches])
    assert rows.tolist() == list(range(0, 21, 2))
    np.testing.assert_array_equal(np.concatenate([batch.inputs["image"] for batch in batches])[:, 0, 0, 0], rows / 2)
    np.testing.assert_array_equal(labels_of(batches), rows % 10)
    failed = [failure for batch in batches for failure in batch.failed]
    assert [failure.rows for failure in failed] == [(row,) for row in range(1, 21, 2)]
    assert {failure.message for failure in failed} == {"step 'refuse_odd': ValueError: odd"}


def test_failures_at_the_end_come_in_a_last_empty_batch(manifest: Callable[..., LoadedManifest]) -> None:
    images = np.zeros((6, 2, 2), dtype=np.uint8)
    images[3:] = 1
    data = {"image": images, "label": np.zeros(6, dtype=np.int64)}
    batches = read_batches(manifest(data, steps=(RefuseOdd(), *STEPS)), batch_rows=1)
    assert [len(batch.rows) for batch in batches] == [1, 1, 1, 0]
    assert [failure.rows for failure in batches[-1].failed] == [(3,), (4,), (5,)]


def test_steps_that_fail_every_row_are_the_manifests_mistake(manifest: Callable[..., LoadedManifest]) -> None:
    data = {"image": np.ones((5000, 2, 2), dtype=np.uint8), "label": np.zeros(5000, dtype=np.int64)}
    loaded = manifest(data, steps=(RefuseOdd(),))
    with pytest.raises(PreprocessingError, match=r"none of the first \d+ rows could be pre-processed; row 0: .*odd"):
        read_batches(loaded, batch_rows=1)
    assert len(GivenDataset.sources[0].taken) < 200  # not the whole dataset, only to say so


def test_one_input_failing_takes_the_row_out_of_the_others(manifest: Callable[..., LoadedManifest]) -> None:
    """Inputs and labels must stay aligned."""
    numbers = np.arange(6)
    other = [np.full(size, size, dtype=np.float32) for size in (3, 3, 2, 3, 3, 3)]
    other[4] = np.array(["x"])
    data: dict[str, Column] = {"left": numbers, "right": other, "label": numbers}
    inputs = [
        {"name": "left", "shape": ["batch"], "dtype": "float32"},
        {"name": "right", "shape": ["batch", "length"], "dtype": "float32"},
    ]
    loaded = manifest(data, steps=(Cast(dtype="float32"),), inputs=inputs)
    loaded.preprocessing["stated"]["left"] = (RefuseOdd(), Cast(dtype="float32"))
    batches = read_batches(loaded, batch_rows=1)
    assert [batch.rows.tolist() for batch in batches] == [[0], [2], []]
    assert [batch.inputs["right"].shape for batch in batches[:2]] == [(1, 3), (1, 2)]
    assert [batch.labels["label"] for batch in batches[:2]] == [np.array([0]), np.array([2])]
    assert sorted(failure.rows[0] for batch in batches for failure in batch.failed) == [1, 3, 4, 5]


def test_samples_of_different_shapes_need_batches_of_one(manifest: Callable[..., LoadedManifest]) -> None:
    data: dict[str, Column] = {
        "image": [np.zeros((1, size, 2), np.float32) for size in (3, 3, 4, 5)],
        "label": np.zeros(4, dtype=np.int64),
    }
    loaded = manifest(data, steps=(), inputs=[{"name": "image", "shape": ["batch", 1, "height", 2]}])
    assert [batch.inputs["image"].shape[2] for batch in read_batches(loaded, batch_rows=1)] == [3, 3, 4, 5]
    with pytest.raises(
        PreprocessingError,
        match=r"^model\.mlscope\.yml: input .image.: samples of shapes \(1, 4, 2\) and \(1, 5, 2\) cannot be one batch",
    ):
        read_batches(loaded, batch_rows=2)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            (),
            r"input 'image': the dataset gives uint8 \(2, 2\) a sample; the manifest says a batch is float32 "
            r"\(batch, 1, 2, 2\); add a cast step \(`{step: cast, dtype: float32}`\) and add steps that change the "
            r"shape",
        ),
        (
            (Layout(source="HW", target="CHW"),),
            r"the steps give uint8 \(1, 2, 2\).*; add a cast step \(`{step: cast, dtype: float32}`\)$",
        ),
        ((Cast(dtype="float32"),), r"the steps give float32 \(2, 2\).*; add steps that change the shape"),
        (
            (Cast(dtype="float64"), *STEPS[2:]),
            r"the steps give float64 \(1, 2, 2\).*says a batch is float32.*; add a cast step",
        ),
    ],
)
def test_inputs_the_model_does_not_take_are_refused(
    manifest: Callable[..., LoadedManifest], steps: Any, message: str
) -> None:
    with pytest.raises(PreprocessingError, match=message):
        read_batches(manifest(steps=steps), batch_rows=4)


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"rows": 0}, r"the dataset has no rows"),
        ({"dataset": {"rows": "200:"}}, r"rows 200: select nothing"),
        ({"dataset": {"sample": {"size": 101}}}, r"a sample of 101 rows cannot be drawn from 100 rows"),
        ({"dataset": {"inputs": {"image": "picture"}}}, r"dataset given: no column 'picture'"),
        ({"steps": ()}, r"input 'image': the dataset gives"),
        ({"steps": (RefuseOdd(), *STEPS), "dataset": {"rows": "1:2"}}, r"none of the first 1 rows"),
        ({"data": {"image": [b""], "label": ["cat"]}}, r"label column 'label' holds text"),
    ],
)
def test_errors_name_the_manifest_once(
    manifest: Callable[..., LoadedManifest], options: dict[str, Any], mistake: str
) -> None:
    """In a run of many manifests, a dataset's or a step's own words do not say which one to look at."""
    with pytest.raises((DatasetError, PreprocessingError), match=rf"^model\.mlscope\.yml: {mistake}") as caught:
        read_batches(manifest(**options), batch_rows=4)
    assert str(caught.value).count("model.mlscope.yml") == 1


def test_encoded_samples_ask_for_a_decode_step(manifest: Callable[..., LoadedManifest]) -> None:
    data: dict[str, Column] = {"image": [b"\xff", b"\xd8"], "label": np.zeros(2, dtype=np.int64)}
    with pytest.raises(PreprocessingError, match="the dataset gives bytes, not an array; add a decode step"):
        read_batches(manifest(data, steps=()), batch_rows=2)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            ["good film", "bad film"],
            r"column 'image' holds text \('good film'\), not numbers; inputs of models are numbers",
        ),
        (["1.5", "2"], r"column 'image' holds text \('1.5'\), not numbers; store the column 'image' as float32"),
    ],
)
def test_text_is_no_image(manifest: Callable[..., LoadedManifest], cells: list[str], message: str) -> None:
    data: dict[str, Column] = {"image": cells, "label": np.zeros(2, dtype=np.int64)}
    with pytest.raises(PreprocessingError, match=message):
        read_batches(manifest(data, steps=()), batch_rows=2)
    with pytest.raises(PreprocessingError, match="step 'cast': needs numbers, not the text '"):
        read_batches(manifest(data, steps=(Cast(dtype="float32"),)), batch_rows=2)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (["0", "1"], None, r"holds numbers as text \('0' in row 0\); store the column 'label' as int64"),
        (["0.5", "1"], None, r"holds numbers as text \('0.5' in row 0\); store the column 'label' as float64"),
        (["0", "1"], ["cat", "dog"], "'0' is not one of the 2 class names; if it is a class number, store the column"),
        (["cat", "dgo"], ["cat", "dog"], "row 1: 'dgo' is not one of the 2 class names; did you mean 'dog'"),
        (["cat", "dog"], None, r"holds text \('cat' in row 0\) and no class names are known; list them under"),
        ([b"cat", b"dog"], ["cat"], "labels are numbers of one shape or class names, not bytes"),
        ([np.zeros(2), np.zeros(3)], None, "labels are numbers of one shape or class names, not ndarray"),
    ],
)
def test_labels_that_are_none_are_refused(
    manifest: Callable[..., LoadedManifest], labels: list[Any], names: list[str] | None, message: str
) -> None:
    data: dict[str, Column] = {"image": np.zeros((2, 2, 2), np.uint8), "label": labels}
    with pytest.raises(DatasetError, match=message):
        read_batches(manifest(data, labels=names), batch_rows=2)


def test_columns_are_checked_before_anything_is_read(manifest: Callable[..., LoadedManifest]) -> None:
    with pytest.raises(DatasetError, match="dataset given: no column 'lable'; did you mean 'label'"):
        BatchReader(manifest(dataset={"label": "lable"}), batch_rows=1)
    with pytest.raises(DatasetError, match="no column 'pixels'"):
        BatchReader(manifest(dataset={"inputs": {"image": "pixels"}}), batch_rows=1)
    assert all(source.closed for source in GivenDataset.sources)


def test_what_goes_wrong_in_the_thread_is_raised_here(manifest: Callable[..., LoadedManifest]) -> None:
    class Broken(GivenSource):
        def take(self, rows: NDRows, columns: Sequence[str]) -> Mapping[str, Column]:
            if rows[-1] > 40:
                raise DatasetError("row 41 cannot be read")
            return super().take(rows, columns)

    loaded = manifest()
    healthy = GivenDataset.made()
    GivenDataset.made = lambda: Broken(healthy._data, None)
    seen = []

    def read() -> None:
        for batch in BatchReader(loaded, batch_rows=8):
            seen.append(int(batch.rows[0]))  # noqa: PERF401  # what came before the error is looked at

    with pytest.raises(DatasetError, match="row 41 cannot be read"):
        read()
    assert seen[:1] == [0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda rows: {"image": np.zeros((len(rows[1:]), 2, 2), np.uint8), "label": rows},
            "rows 1 to 2: column 'image' came with 1 values for 2 rows",
        ),
        (lambda rows: {"label": rows}, "dataset given, rows 1 to 2: cannot be read: 'image'"),
        (lambda rows: 1 / 0, "dataset given, rows 1 to 2: cannot be read: division by zero"),
    ],
)
def test_a_dataset_that_does_not_do_as_it_should_is_named(
    manifest: Callable[..., LoadedManifest], answer: Callable[[Any], Any], message: str
) -> None:
    """Third-party code: fewer values than rows would put labels beside other rows' images."""

    class Wrong(GivenSource):
        def take(self, rows: NDRows, columns: Sequence[str]) -> Mapping[str, Column]:
            taken: Mapping[str, Column] = answer(rows)
            return taken

    loaded = manifest(dataset={"rows": "1:3"})
    GivenDataset.made = lambda: Wrong({"image": np.zeros(100), "label": np.zeros(100)}, None)
    with pytest.raises(DatasetError, match=message):
        read_batches(loaded, batch_rows=4)


def test_a_missing_library_is_no_failed_row(manifest: Callable[..., LoadedManifest]) -> None:
    class Absent(PreprocessingStep):
        name: ClassVar[str] = "absent"

        def apply(self, sample: Any) -> Any:
            raise CannotRun("needs Pillow", command="pip install pillow")

    with pytest.raises(CannotRun, match="needs Pillow"):
        read_batches(manifest(steps=(Absent(),)), batch_rows=4)
