"""Rows selected, pre-processed and batched ahead of their use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.metrics.top_k import Top1
from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.preprocessing.cast import Cast
from pytest_mlscope.components.preprocessing.layout import Layout
from pytest_mlscope.components.preprocessing.scale import Scale
from pytest_mlscope.components.registry import Registry
from pytest_mlscope.errors import CannotRun, DatasetError, PreprocessingError
from pytest_mlscope.evaluation.inputs import BatchReader, PreparedBatch, input_shift, select_rows
from pytest_mlscope.evaluation.pipeline import Pipeline
from pytest_mlscope.evaluation.prefetch import Prefetcher
from pytest_mlscope.manifest.loaded import BoundMetric, LoadedManifest
from pytest_mlscope.manifest.schema import Manifest, RowSample

_STEPS = (Cast(dtype="float32"), Scale(factor=0.5), Layout(source="HW", target="CHW"))


class _Source(DataSource):
    def __init__(self, data: Mapping[str, Column], class_names: tuple[str, ...] | None) -> None:
        self._data = data
        self._class_names = class_names
        self.taken: list[int] = []
        self.closed = False
        self.threads: set[str] = set()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._data)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self._class_names

    def __len__(self) -> int:
        return len(next(iter(self._data.values())))

    def take(self, rows: NDRows, columns: Sequence[str]) -> Mapping[str, Column]:
        self.threads.add(threading.current_thread().name)
        self.taken += rows.tolist()
        taken: dict[str, Column] = {}
        for column in columns:
            values = self._data[column]
            taken[column] = values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
        return taken

    def rewind(self) -> None:
        self.taken.clear()

    def close(self) -> None:
        self.closed = True


NDRows = Any


class _Given(Dataset):
    """A dataset whose source the test holds on to."""

    name: ClassVar[str] = "given"
    sources: ClassVar[list[_Source]] = []
    made: ClassVar[Callable[[], _Source]]

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        _Given.sources.append(_Given.made())
        return _Given.sources[-1]


class _RefuseOdd(PreprocessingStep):
    name: ClassVar[str] = "refuse_odd"

    def apply(self, sample: Any) -> Any:
        if int(np.asarray(sample).flat[0]) % 2:
            raise ValueError("odd")
        return sample


@pytest.fixture
def manifest() -> Iterator[Callable[..., LoadedManifest]]:
    """A manifest with one input ``image`` of 8×8 and rows filled with their own number."""

    def make(
        data: Mapping[str, Column] | None = None,
        *,
        rows: int = 100,
        steps: Sequence[PreprocessingStep] = _STEPS,
        variants: Mapping[str, Sequence[PreprocessingStep]] | None = None,
        labels: Sequence[str] | None = None,
        class_names: tuple[str, ...] | None = None,
        dataset: Mapping[str, Any] | None = None,
        inputs: Sequence[Mapping[str, Any]] = ({"name": "image", "shape": ["batch", 1, 2, 2]},),
    ) -> LoadedManifest:
        if data is None:
            numbers = np.arange(rows)
            data = {
                "image": np.broadcast_to(numbers[:, None, None], (rows, 2, 2)).astype(np.uint8),
                "label": numbers % 10,
            }
        source: Mapping[str, Column] = data
        _Given.made = lambda: _Source(source, class_names)
        content = Manifest.model_validate(
            {
                "schema": 1,
                "name": "model",
                "version": "1",
                "task": "image_classification",
                "frameworks": {"onnxruntime": {"files": {"model": {"path": "model.onnx"}}}},
                "inputs": [dict(each) for each in inputs],
                "outputs": [{"name": "scores"}],
                "dataset": {"source": "given", "label": "label", **(dataset or {})},
            }
        )
        recipes = {"stated": steps, **(variants or {})}
        return LoadedManifest(
            path=Path("model.mlscope.yml"),
            sha256="",
            content=content,
            registry=Registry(),
            dataset=_Given(),
            metrics=(BoundMetric("top1", Top1(), "scores", (dataset or {}).get("label", "label")),),
            preprocessing={
                name: {each.name: tuple(recipe) for each in content.inputs} for name, recipe in recipes.items()
            },
            postprocessing={},
            labels={} if labels is None else {"scores": tuple(labels)},
        )

    yield make
    _Given.sources.clear()


def _read(loaded: LoadedManifest, **options: Any) -> list[PreparedBatch]:
    with BatchReader(loaded, **options) as reader:
        return list(reader)


def _labels(batches: list[PreparedBatch]) -> NDArray[Any]:
    return np.concatenate([batch.labels["label"] for batch in batches])


@settings(deadline=None)
@given(
    total=st.integers(1, 50),
    first=st.none() | st.integers(0, 60),
    last=st.none() | st.integers(0, 60),
    sample=st.none() | st.tuples(st.integers(1, 60), st.integers(0, 5)),
)
def test_rows_are_pythons_slice_or_a_sample_of_it(
    total: int, first: int | None, last: int | None, sample: tuple[int, int] | None
) -> None:
    """The manifest promises Python's slice; a sample must be within it, without repeats, in order, and repeatable."""
    text = f"{'' if first is None else first}:{'' if last is None else last}"
    expected = list(range(total))[slice(first, last)]
    drawn = None if sample is None else RowSample(size=sample[0], seed=sample[1])
    if not expected or (drawn and drawn.size > len(expected)):
        with pytest.raises(DatasetError, match=r"select nothing|cannot be drawn"):
            select_rows(total, text, drawn)
        return
    rows = select_rows(total, text, drawn).tolist()
    if drawn is None:
        assert rows == expected
    else:
        assert len(set(rows)) == drawn.size
        assert set(rows) <= set(expected)
        assert rows == sorted(rows)
        assert rows == select_rows(total, text, drawn).tolist()


def test_an_empty_selection_says_what_there_is() -> None:
    with pytest.raises(DatasetError, match="rows 20:30 select nothing: the dataset has 20 rows, 0 to 19"):
        select_rows(20, "20:30", None)


@pytest.mark.parametrize("batch_rows", [1, 7, 64, 1000])
def test_batches_hold_every_row_once_whatever_their_size(
    manifest: Callable[..., LoadedManifest], batch_rows: int
) -> None:
    batches = _read(manifest(), batch_rows=batch_rows)
    assert [len(batch.rows) for batch in batches[:-1]] == [batch_rows] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), np.arange(100))
    images = np.concatenate([batch.inputs["image"] for batch in batches])
    assert images.shape == (100, 1, 2, 2)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[:, 0, 1, 1], np.arange(100) / 2)
    np.testing.assert_array_equal(
        np.concatenate([np.asarray(batch.labels["label"]) for batch in batches]), np.arange(100) % 10
    )
    assert all(batch.inputs["image"].flags.c_contiguous for batch in batches)


def test_rows_are_prepared_elsewhere_and_the_dataset_is_closed(manifest: Callable[..., LoadedManifest]) -> None:
    _read(manifest(), batch_rows=8)
    assert _Given.sources[0].threads == {"mlscope-inputs"}
    assert _Given.sources[0].closed


def test_a_reader_can_be_read_again(manifest: Callable[..., LoadedManifest]) -> None:
    with BatchReader(manifest(), batch_rows=30) as reader:
        first, second = list(reader), list(reader)
    assert len(reader) == 100
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.inputs["image"], other.inputs["image"])


def test_the_selection_and_the_limit_are_obeyed(manifest: Callable[..., LoadedManifest]) -> None:
    loaded = manifest(dataset={"rows": "10:50", "sample": {"size": 12, "seed": 3}})
    expected = select_rows(100, "10:50", RowSample(size=12, seed=3))
    batches = _read(loaded, batch_rows=5)
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), expected)
    np.testing.assert_array_equal(_read(loaded, batch_rows=50, limit=4)[0].rows, expected[:4])
    assert _Given.sources[1].taken == expected[:4].tolist()


def test_leaving_early_ends_the_thread_and_reads_no_further(manifest: Callable[..., LoadedManifest]) -> None:
    with BatchReader(manifest(rows=20_000), batch_rows=1, prefetch=2) as reader:
        for batch in reader:
            assert batch.rows[0] == 0
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "mlscope-inputs"]
    assert len(_Given.sources[0].taken) < 20_000


def test_rows_that_fail_are_left_out_and_reported(manifest: Callable[..., LoadedManifest]) -> None:
    """A bad image is an error that is counted, not the end of an evaluation."""
    batches = _read(manifest(steps=(_RefuseOdd(), *_STEPS), rows=21), batch_rows=4)
    rows = np.concatenate([batch.rows for batch in batches])
    assert rows.tolist() == list(range(0, 21, 2))
    np.testing.assert_array_equal(np.concatenate([batch.inputs["image"] for batch in batches])[:, 0, 0, 0], rows / 2)
    np.testing.assert_array_equal(_labels(batches), rows % 10)
    failed = [failure for batch in batches for failure in batch.failed]
    assert [failure.rows for failure in failed] == [(row,) for row in range(1, 21, 2)]
    assert {failure.message for failure in failed} == {"step 'refuse_odd': ValueError: odd"}


def test_failures_at_the_end_come_in_a_last_empty_batch(manifest: Callable[..., LoadedManifest]) -> None:
    images = np.zeros((6, 2, 2), dtype=np.uint8)
    images[3:] = 1
    data = {"image": images, "label": np.zeros(6, dtype=np.int64)}
    batches = _read(manifest(data, steps=(_RefuseOdd(), *_STEPS)), batch_rows=1)
    assert [len(batch.rows) for batch in batches] == [1, 1, 1, 0]
    assert [failure.rows for failure in batches[-1].failed] == [(3,), (4,), (5,)]


def test_steps_that_fail_every_row_are_the_manifests_mistake(manifest: Callable[..., LoadedManifest]) -> None:
    data = {"image": np.ones((5000, 2, 2), dtype=np.uint8), "label": np.zeros(5000, dtype=np.int64)}
    loaded = manifest(data, steps=(_RefuseOdd(),))
    with pytest.raises(PreprocessingError, match=r"none of the first \d+ rows could be pre-processed; row 0: .*odd"):
        _read(loaded, batch_rows=1)
    assert len(_Given.sources[0].taken) < 200  # not the whole dataset, only to say so


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
    loaded.preprocessing["stated"]["left"] = (_RefuseOdd(), Cast(dtype="float32"))
    batches = _read(loaded, batch_rows=1)
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
    assert [batch.inputs["image"].shape[2] for batch in _read(loaded, batch_rows=1)] == [3, 3, 4, 5]
    with pytest.raises(
        PreprocessingError,
        match=r"^model\.mlscope\.yml: input .image.: samples of shapes \(1, 4, 2\) and \(1, 5, 2\) cannot be one batch",
    ):
        _read(loaded, batch_rows=2)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            (),
            r"input 'image': the steps give uint8 \(2, 2\) a sample; the manifest says float32 \(batch, 1, 2, 2\) a "
            "batch; add a cast step and add steps that change the shape",
        ),
        ((Layout(source="HW", target="CHW"),), r"the steps give uint8 \(1, 2, 2\).*; add a cast step$"),
        ((Cast(dtype="float32"),), r"the steps give float32 \(2, 2\).*; add steps that change the shape"),
        ((Cast(dtype="float64"), *_STEPS[2:]), r"the steps give float64 \(1, 2, 2\).*says float32.*; add a cast step"),
    ],
)
def test_inputs_the_model_does_not_take_are_refused(
    manifest: Callable[..., LoadedManifest], steps: Any, message: str
) -> None:
    with pytest.raises(PreprocessingError, match=message):
        _read(manifest(steps=steps), batch_rows=4)


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"rows": 0}, r"the dataset has no rows"),
        ({"dataset": {"rows": "200:"}}, r"rows 200: select nothing"),
        ({"dataset": {"sample": {"size": 101}}}, r"a sample of 101 rows cannot be drawn from 100 rows"),
        ({"dataset": {"inputs": {"image": "picture"}}}, r"dataset given: no column 'picture'"),
        ({"steps": ()}, r"input 'image': the steps give"),
        ({"steps": (_RefuseOdd(), *_STEPS), "dataset": {"rows": "1:2"}}, r"none of the first 1 rows"),
        ({"data": {"image": [b""], "label": ["cat"]}}, r"label column 'label' holds text"),
    ],
)
def test_errors_name_the_manifest_once(
    manifest: Callable[..., LoadedManifest], options: dict[str, Any], mistake: str
) -> None:
    """In a run of many manifests, a dataset's or a step's own words do not say which one to look at."""
    with pytest.raises((DatasetError, PreprocessingError), match=rf"^model\.mlscope\.yml: {mistake}") as caught:
        _read(manifest(**options), batch_rows=4)
    assert str(caught.value).count("model.mlscope.yml") == 1


def test_encoded_samples_ask_for_a_decode_step(manifest: Callable[..., LoadedManifest]) -> None:
    data: dict[str, Column] = {"image": [b"\xff", b"\xd8"], "label": np.zeros(2, dtype=np.int64)}
    with pytest.raises(PreprocessingError, match="the steps give bytes, not an array; add a decode step"):
        _read(manifest(data, steps=()), batch_rows=2)


def test_class_names_become_numbers_in_the_models_order(manifest: Callable[..., LoadedManifest]) -> None:
    """The model's own list of classes comes before the dataset's sorted one, which may differ."""
    data: dict[str, Column] = {"image": np.zeros((3, 2, 2), np.uint8), "label": ["cat", "dog", "cat"]}
    own = _read(manifest(data, labels=["dog", "cat"], class_names=("cat", "dog")), batch_rows=3)
    assert np.asarray(own[0].labels["label"]).tolist() == [1, 0, 1]
    datasets = _read(manifest(data, class_names=("cat", "dog")), batch_rows=3)
    assert np.asarray(datasets[0].labels["label"]).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (["cat", "dgo"], ["cat", "dog"], "row 1: 'dgo' is none of the 2 class names; did you mean 'dog'"),
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
        _read(manifest(data, labels=names), batch_rows=2)


def test_columns_are_checked_before_anything_is_read(manifest: Callable[..., LoadedManifest]) -> None:
    with pytest.raises(DatasetError, match="dataset given: no column 'lable'; did you mean 'label'"):
        BatchReader(manifest(dataset={"label": "lable"}), batch_rows=1)
    with pytest.raises(DatasetError, match="no column 'pixels'"):
        BatchReader(manifest(dataset={"inputs": {"image": "pixels"}}), batch_rows=1)
    assert all(source.closed for source in _Given.sources)


def test_labels_are_left_unread_where_nobody_asks(manifest: Callable[..., LoadedManifest]) -> None:
    data: dict[str, Column] = {"image": np.zeros((2, 2, 2), np.uint8), "label": ["no", "class"]}
    assert _read(manifest(data), batch_rows=2, with_labels=False)[0].labels == {}


def test_what_goes_wrong_in_the_thread_is_raised_here(manifest: Callable[..., LoadedManifest]) -> None:
    class Broken(_Source):
        def take(self, rows: NDRows, columns: Sequence[str]) -> Mapping[str, Column]:
            if rows[-1] > 40:
                raise DatasetError("row 41 cannot be read")
            return super().take(rows, columns)

    loaded = manifest()
    healthy = _Given.made()
    _Given.made = lambda: Broken(healthy._data, None)
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

    class Wrong(_Source):
        def take(self, rows: NDRows, columns: Sequence[str]) -> Mapping[str, Column]:
            taken: Mapping[str, Column] = answer(rows)
            return taken

    loaded = manifest(dataset={"rows": "1:3"})
    _Given.made = lambda: Wrong({"image": np.zeros(100), "label": np.zeros(100)}, None)
    with pytest.raises(DatasetError, match=message):
        _read(loaded, batch_rows=4)


def test_a_missing_library_is_no_failed_row(manifest: Callable[..., LoadedManifest]) -> None:
    class Absent(PreprocessingStep):
        name: ClassVar[str] = "absent"

        def apply(self, sample: Any) -> Any:
            raise CannotRun("needs Pillow", command="pip install pillow")

    with pytest.raises(CannotRun, match="needs Pillow"):
        _read(manifest(steps=(Absent(),)), batch_rows=4)


def test_prepared_arrays_are_not_views_of_the_dataset() -> None:
    """A mapped file would be read from disk while the model is timed, and a predictor could write into it."""
    column = np.zeros((4, 2), dtype=np.float32)
    for steps in ((), (Cast(dtype="float32"),), (Layout(source="A", target="A"),)):
        samples, _ = Pipeline(steps)(column)
        assert not np.may_share_memory(np.asarray(samples), column)


def test_a_variants_shift_is_measured_over_all_elements(manifest: Callable[..., LoadedManifest]) -> None:
    twice = (Cast(dtype="float32"), Scale(factor=1.0, offset=0.25), _STEPS[2])
    shift = input_shift(manifest(variants={"twice": twice}), "twice")
    moved = np.arange(100) / 2 + 0.25
    assert shift.mean_abs == pytest.approx(moved.mean())
    assert shift.max_abs == pytest.approx(moved.max())
    assert not shift.shape_differs
    assert all(source.closed for source in _Given.sources)


def test_a_shift_leaves_out_rows_that_fail(manifest: Callable[..., LoadedManifest]) -> None:
    variant = (_RefuseOdd(), Cast(dtype="float32"), Scale(factor=0.0), _STEPS[2])
    shift = input_shift(manifest(variants={"even": variant}), "even")
    assert shift.mean_abs == pytest.approx(np.arange(0, 100, 2).mean() / 2)


def test_a_shift_between_shapes_is_no_number(manifest: Callable[..., LoadedManifest]) -> None:
    inputs = [{"name": "image", "shape": ["batch", "rows", "columns", "depth"]}]
    variant = (Cast(dtype="float32"), Layout(source="HW", target="HWC"))
    shift = input_shift(manifest(variants={"last": variant}, inputs=inputs), "last")
    assert shift.shape_differs
    assert np.isnan(shift.mean_abs)


def test_prefetching_keeps_at_most_its_depth() -> None:
    made = 0
    enough = threading.Event()

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(100):
            made += 1
            if made == 4:
                enough.set()
            yield number

    prefetcher = Prefetcher(items(), depth=3, name="test")
    # Three wait and a fourth is held for want of room.
    assert enough.wait(10)
    assert made == 4
    assert list(prefetcher) == list(range(100))
    prefetcher.close()
