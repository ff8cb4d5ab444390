"""Rows selected, pre-processed and batched ahead of their use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.components.datasets.base import Column
from pytest_mlscope.components.preprocessing.cast import Cast
from pytest_mlscope.components.preprocessing.layout import Layout
from pytest_mlscope.components.preprocessing.scale import Scale
from pytest_mlscope.errors import DatasetError, PreprocessingError
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.schema.dataset import RowSample
from pytest_mlscope.measurements.rows.inputs import BatchReader, input_shift, select_rows
from pytest_mlscope.measurements.rows.pipeline import Pipeline
from pytest_mlscope.measurements.rows.prefetch import Prefetcher
from tests.measurements.given_rows import STEPS, GivenDataset, RefuseOdd, read_batches


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
    batches = read_batches(manifest(), batch_rows=batch_rows)
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


@pytest.mark.parametrize(("whole_chunks", "batch_rows"), [(True, 1), (False, 4)])
def test_rows_of_different_shapes_come_apart_where_each_is_predicted_alone(
    manifest: Callable[..., LoadedManifest], whole_chunks: bool, batch_rows: int
) -> None:
    sizes = (3, 5, 5, 9, 2, 2)
    data: dict[str, Column] = {
        "image": [np.full(size, row, np.float32) for row, size in enumerate(sizes)],
        "label": np.arange(len(sizes)),
    }
    loaded = manifest(data, steps=(), inputs=({"name": "image", "shape": ["batch", "seq"]},))
    batches = read_batches(loaded, batch_rows=batch_rows, whole_chunks=whole_chunks, one_by_one=True)
    found = [(int(row), *images.shape) for b in batches for row, images in zip(b.rows, b.inputs["image"], strict=True)]
    assert found == list(enumerate(sizes))
    for batch in batches:
        np.testing.assert_array_equal(batch.inputs["image"][:, 0], batch.rows)
        np.testing.assert_array_equal(batch.labels["label"], batch.rows)
    with pytest.raises(PreprocessingError, match=r"cannot be one batch; use batch_size 1"):
        read_batches(loaded, batch_rows=4)


def test_rows_are_prepared_elsewhere_and_the_dataset_is_closed(manifest: Callable[..., LoadedManifest]) -> None:
    read_batches(manifest(), batch_rows=8)
    assert GivenDataset.sources[0].threads == {"mlscope-inputs"}
    assert GivenDataset.sources[0].closed


def test_a_reader_can_be_read_again(manifest: Callable[..., LoadedManifest]) -> None:
    with BatchReader(manifest(), batch_rows=30) as reader:
        first, second = list(reader), list(reader)
    assert len(reader) == 100
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.inputs["image"], other.inputs["image"])


def test_the_selection_and_the_limit_are_obeyed(manifest: Callable[..., LoadedManifest]) -> None:
    loaded = manifest(dataset={"rows": "10:50", "sample": {"size": 12, "seed": 3}})
    expected = select_rows(100, "10:50", RowSample(size=12, seed=3))
    batches = read_batches(loaded, batch_rows=5)
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), expected)
    np.testing.assert_array_equal(read_batches(loaded, batch_rows=50, limit=4)[0].rows, expected[:4])
    assert GivenDataset.sources[1].taken == expected[:4].tolist()


def test_leaving_early_ends_the_thread_and_reads_no_further(manifest: Callable[..., LoadedManifest]) -> None:
    with BatchReader(manifest(rows=20_000), batch_rows=1, prefetch=2) as reader:
        for batch in reader:
            assert batch.rows[0] == 0
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "mlscope-inputs"]
    assert len(GivenDataset.sources[0].taken) < 20_000


def test_class_names_become_numbers_in_the_models_order(manifest: Callable[..., LoadedManifest]) -> None:
    """The model's own list of classes comes before the dataset's sorted one, which may differ."""
    data: dict[str, Column] = {"image": np.zeros((3, 2, 2), np.uint8), "label": ["cat", "dog", "cat"]}
    own = read_batches(manifest(data, labels=["dog", "cat"], class_names=("cat", "dog")), batch_rows=3)
    assert np.asarray(own[0].labels["label"]).tolist() == [1, 0, 1]
    datasets = read_batches(manifest(data, class_names=("cat", "dog")), batch_rows=3)
    assert np.asarray(datasets[0].labels["label"]).tolist() == [0, 1, 0]


def test_labels_are_left_unread_where_nobody_asks(manifest: Callable[..., LoadedManifest]) -> None:
    data: dict[str, Column] = {"image": np.zeros((2, 2, 2), np.uint8), "label": ["no", "class"]}
    assert read_batches(manifest(data), batch_rows=2, with_labels=False)[0].labels == {}


def test_prepared_arrays_are_not_views_of_the_dataset() -> None:
    """A mapped file would be read from disk while the model is timed, and a predictor could write into it."""
    column = np.zeros((4, 2), dtype=np.float32)
    for steps in ((), (Cast(dtype="float32"),), (Layout(source="A", target="A"),)):
        samples, _ = Pipeline(steps)(column)
        assert not np.may_share_memory(np.asarray(samples), column)


def test_a_variants_shift_is_measured_over_all_elements(manifest: Callable[..., LoadedManifest]) -> None:
    twice = (Cast(dtype="float32"), Scale(factor=1.0, offset=0.25), STEPS[2])
    shift = input_shift(manifest(variants={"twice": twice}), "twice")
    moved = np.arange(100) / 2 + 0.25
    assert shift.mean_abs == pytest.approx(moved.mean())
    assert shift.max_abs == pytest.approx(moved.max())
    assert not shift.shape_differs
    assert all(source.closed for source in GivenDataset.sources)


def test_a_shift_leaves_out_rows_that_fail(manifest: Callable[..., LoadedManifest]) -> None:
    variant = (RefuseOdd(), Cast(dtype="float32"), Scale(factor=0.0), STEPS[2])
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
