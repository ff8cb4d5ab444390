"""A manifest's dataset, opened and pre-processed, some rows at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components import (
    NO_TEXT,
    Column,
    DataSource,
    InputDescription,
    Random,
    is_number,
    reading,
    require_columns,
)
from pytest_mlscope.errors import DatasetError, PreprocessingError
from pytest_mlscope.manifest import DatasetEntry, Input, LoadedManifest
from pytest_mlscope.measurements.accuracy.result import FailedRows
from pytest_mlscope.measurements.rows.labels import LabelReader
from pytest_mlscope.measurements.rows.manifest_errors import naming
from pytest_mlscope.measurements.rows.pipeline import Pipeline, Samples
from pytest_mlscope.measurements.rows.row_selection import select_rows

RANDOM_ROWS = 16
"""Rows there are when a manifest has no dataset."""

MOST_ROW_ELEMENTS = 2**31
"""Of a row before its steps."""

_RESHAPE = "add steps that change the shape, such as layout, resize or reshape"


@dataclass(frozen=True, slots=True)
class PreparedRows:
    """Some rows, ready. ``inputs`` hold one array, or a list of samples where shapes differ from row to row."""

    rows: NDArray[np.int64]
    inputs: dict[str, Samples]
    labels: dict[str, NDArray[Any]]
    failed: list[FailedRows]


class RowPreparer:
    """Opens a manifest's dataset and prepares rows of it. Errors name the manifest.

    :raises DatasetError: when the dataset cannot be opened or lacks a column.
    :raises CannotRun: when an optional library is missing.
    """

    def __init__(self, manifest: LoadedManifest, *, preprocessing: str, with_labels: bool = True) -> None:
        self._manifest = manifest
        with naming(manifest):
            self._open(manifest, preprocessing, with_labels)

    def _open(self, manifest: LoadedManifest, preprocessing: str, with_labels: bool) -> None:
        content = manifest.content
        # Without a dataset there is still something to time and compare: random arrays that are the inputs already.
        dataset = manifest.dataset or Random(count=RANDOM_ROWS)
        entry = content.dataset or DatasetEntry(source=Random.name)
        self._title = f"dataset {entry.source}"
        self._inputs = content.inputs
        self._columns = {each.name: entry.inputs.get(each.name, each.name) for each in content.inputs}
        label_columns = list(dict.fromkeys(bound.label for bound in manifest.metrics)) if with_labels else []
        self._pipelines = (
            _pipelines(manifest, preprocessing)
            if manifest.dataset
            else {each.name: Pipeline(()) for each in content.inputs}
        )
        stated_names = {column: _class_names(manifest, column) for column in label_columns}
        self.source: DataSource = dataset.open(manifest.folder, describe_inputs(content.inputs))
        try:
            wanted = [*self._columns.values(), *label_columns]
            require_columns(self._title, wanted, self.source.columns)
            self._check_row_shapes()
            self.rows = select_rows(len(self.source), entry.rows, entry.sample)
        # The caller has no object yet that it could close.
        except BaseException:
            self.source.close()
            raise
        # Each column once: two inputs, or an input and a label, may be read from the same one.
        self._wanted = list(dict.fromkeys(wanted))
        self._label_readers = {
            column: LabelReader(
                column,
                stated or self.source.class_names,
                stated=stated is not None,
                as_numbers=partial(self.source.as_numbers, column),
            )
            for column, stated in stated_names.items()
        }

    def _check_row_shapes(self) -> None:
        """Refuse rows that cannot be the inputs' before one is read: a header may say more than there is memory."""
        for each in self._inputs:
            column = self._columns[each.name]
            shape = self.source.row_shape(column)
            if shape is None:
                continue
            size = math.prod(shape)
            if self._pipelines[each.name].changes_nothing and not _fits(shape, each):
                raise PreprocessingError(
                    f"input {each.name!r}: a row of column {column!r} has the shape {_shape(shape)}; the manifest "
                    f"says a batch has {_shape(each.shape)}; {_shape_advice(shape, each)}"
                )
            if size > MOST_ROW_ELEMENTS:
                raise DatasetError(
                    f"{self._title}: a row of column {column!r} has {size:,} elements; allowed: at most "
                    f"{MOST_ROW_ELEMENTS:,}"
                )

    def read(self, rows: NDArray[np.int64]) -> PreparedRows:
        """Read and pre-process ascending rows that come after those read before.

        :raises DatasetError: when a row cannot be read.
        :raises PreprocessingError: when the steps do not give what the manifest says the model takes.
        """
        with naming(self._manifest):
            try:
                return self._prepare(rows)
            except MemoryError:
                raise DatasetError(
                    f"{self._title}: there is not enough memory to prepare rows {rows[0]} to {rows[-1]}"
                ) from None

    def _prepare(self, rows: NDArray[np.int64]) -> PreparedRows:
        columns = self._take(rows)
        failures: dict[int, str] = {}
        inputs: dict[str, Samples] = {}
        failed_by_input: dict[str, dict[int, str]] = {}
        for each in self._inputs:
            inputs[each.name], failed_by_input[each.name] = self._pipelines[each.name](
                columns[self._columns[each.name]]
            )
            # A row that fails for several inputs is one failure, with the message of the first input.
            failures = {**failed_by_input[each.name], **failures}
        labels = {column: read(columns[column], rows) for column, read in self._label_readers.items()}
        if failures:
            alive = np.array([position not in failures for position in range(len(rows))])
            inputs = {name: _surviving(inputs[name], failed_by_input[name], alive) for name in inputs}
            labels = {column: values[alive] for column, values in labels.items()}
            # By the dataset's numbers, before the rows that failed are dropped.
            failed = [FailedRows((int(rows[position]),), message) for position, message in sorted(failures.items())]
            rows = rows[alive]
        else:
            failed = []
        if len(rows):
            for each in self._inputs:
                self._check(each, inputs[each.name])
        return PreparedRows(rows, inputs, labels, failed)

    def _take(self, rows: NDArray[np.int64]) -> Mapping[str, Column]:
        which = f"{self._title}, rows {rows[0]} to {rows[-1]}"
        with reading(which):
            columns = self.source.take(rows, self._wanted)
            lengths = {column: len(columns[column]) for column in self._wanted}
        for column, length in lengths.items():
            # Rows that moved up would meet the labels of others.
            if length != len(rows):
                raise DatasetError(f"{which}: column {column!r} came with {length} values for {len(rows)} rows")
        return columns

    def _check(self, declared: Input, samples: Samples) -> None:
        # One stands for all of an array: they have its dtype and shape in common.
        for sample in [samples[0]] if isinstance(samples, np.ndarray) else samples:
            if not isinstance(sample, (np.ndarray, np.generic)) or sample.dtype.kind in "SU":
                raise PreprocessingError(self._not_an_array(declared, sample))
            cast = f"add a cast step (`{{step: cast, dtype: {declared.dtype}}}`)"
            wrong = [
                *([] if sample.dtype == declared.dtype else [cast]),
                *([] if _fits(sample.shape, declared) else [_shape_advice(sample.shape, declared)]),
            ]
            if wrong:
                raise PreprocessingError(
                    f"input {declared.name!r}: {self._giver(declared)} {sample.dtype} {_shape(sample.shape)} a sample; "
                    f"the manifest says a batch is {declared.dtype} {_shape(declared.shape)}; {' and '.join(wrong)}"
                )

    def _giver(self, declared: Input) -> str:
        return "the dataset gives" if self._pipelines[declared.name].changes_nothing else "the steps give"

    def _not_an_array(self, declared: Input, sample: object) -> str:
        column = self._columns[declared.name]
        if not isinstance(sample, str):
            advice = "add a decode step" if isinstance(sample, bytes) else "return an array from the last step"
            return f"input {declared.name!r}: {self._giver(declared)} {type(sample).__name__}, not an array; {advice}"
        advice = self.source.as_numbers(column, declared.dtype) if is_number(sample) else NO_TEXT
        return f"input {declared.name!r}: column {column!r} holds text ({str(sample)!r:.60}), not numbers; {advice}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.source.close()


def describe_inputs(inputs: list[Input]) -> list[InputDescription]:
    """The inputs as datasets see them: per sample, named dimensions as ``None``."""
    return [
        InputDescription(
            each.name, each.dtype, tuple(size if isinstance(size, int) else None for size in each.row_sizes())
        )
        for each in inputs
    ]


def _pipelines(manifest: LoadedManifest, preprocessing: str) -> dict[str, Pipeline]:
    try:
        steps = manifest.preprocessing[preprocessing]
    except KeyError:
        raise PreprocessingError(
            f"{manifest.path}: no pre-processing {preprocessing!r}; there are: {', '.join(manifest.preprocessing)}"
        ) from None
    return {each.name: Pipeline(steps.get(each.name, ())) for each in manifest.content.inputs}


def _class_names(manifest: LoadedManifest, column: str) -> tuple[str, ...] | None:
    """What the outputs that are compared with a column call their classes.

    :raises DatasetError: when two of them have different names: a label cannot be two classes.
    """
    outputs = [bound.output for bound in manifest.metrics if bound.label == column]
    stated = {output: manifest.labels[output] for output in outputs if output in manifest.labels}
    first = next(iter(stated), None)
    for output, names in stated.items():
        if first is not None and names != stated[first]:
            raise DatasetError(
                f"label column {column!r} is compared with the outputs {first!r} and {output!r}, whose `labels` "
                "differ; give each metric a `label` of its own"
            )
    return None if first is None else stated[first]


def _surviving(samples: Samples, failed_here: Mapping[int, str], alive: NDArray[np.bool_]) -> Samples:
    """Drop rows that failed for another input."""
    kept = [bool(is_alive) for position, is_alive in enumerate(alive) if position not in failed_here]
    if isinstance(samples, np.ndarray):
        survivors: NDArray[Any] = samples[np.array(kept, dtype=bool)]
        return survivors
    return [sample for sample, keep in zip(samples, kept) if keep]


def _fits(shape: tuple[int, ...], declared: Input) -> bool:
    """Whether a row's shape is the declared one, dynamic dimensions aside."""
    sizes = declared.row_sizes()
    return len(shape) == len(sizes) and all(
        isinstance(size, str) or size == actual for size, actual in zip(sizes, shape)
    )


def _shape_advice(shape: tuple[int, ...], declared: Input) -> str:
    """A shape that is a row's own lacks the batch: no step can help."""
    as_batch = declared.model_copy(update={"shape": ["batch", *declared.shape]})
    if _fits(shape, as_batch):
        return f"the batch dimension is missing: write `shape: [{', '.join(map(str, as_batch.shape))}]`"
    return _RESHAPE


def _shape(sizes: tuple[int, ...] | list[int | str]) -> str:
    return f"({', '.join(str(size) for size in sizes)})"
