"""The rows that are timed and profiled: always the first ones, so that every framework works on the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.rows.deadline import within
from pytest_mlscope.measurements.rows.inputs import as_batch
from pytest_mlscope.measurements.rows.manifest_errors import naming
from pytest_mlscope.measurements.rows.pipeline import Samples
from pytest_mlscope.measurements.rows.prepared_rows import PreparedRows, RowPreparer

Inputs = dict[str, NDArray[Any]]


def count_rows(plan: Plan) -> int:
    """How many rows of the dataset the case is evaluated on.

    :raises DatasetError: when it cannot be opened.
    """
    with RowPreparer(plan.manifest, preprocessing=plan.case.preprocessing, with_labels=False) as preparer:
        return len(preparer.rows)


def first_rows(ready: ReadyModel, rows: int) -> dict[str, NDArray[Any]]:
    """As :func:`named_rows`, as the framework takes them."""
    return _first(ready, rows, ready.framework_inputs)


def named_rows(ready: ReadyModel, rows: int) -> dict[str, NDArray[Any]]:
    """The first rows of the dataset, pre-processed, by the manifest's names; repeated when there are fewer.

    Where rows that are predicted one by one differ in shape, each input is an array of objects: of arrays ``(1, …)``,
    one a row.

    :raises DatasetError: when one cannot be made.
    :raises PreprocessingError: when rows of one batch differ in shape.
    """
    return _first(ready, rows, dict)


def _first(ready: ReadyModel, rows: int, given: Callable[[Mapping[str, NDArray[Any]]], Inputs]) -> Inputs:
    """:param given: what makes of inputs, by the manifest's names, those that are asked for."""
    plan = ready.plan

    def read() -> PreparedRows:
        with RowPreparer(plan.manifest, preprocessing=plan.case.preprocessing, with_labels=False) as preparer:
            return preparer.read(preparer.rows[:rows])

    prepared = within(ready.deadline, str(plan.manifest.path), read)
    if prepared.failed:
        raise DatasetError(f"{plan.manifest.path}: an input to time cannot be made: {prepared.failed[0].message}")
    # Only at batch size 1 are rows of several shapes predictable; elsewhere as_batch says what is wrong.
    if plan.case.batch_size == 1 and any(_differ(samples) for samples in prepared.inputs.values()):
        alone = [
            given({name: np.asarray(each[row])[np.newaxis] for name, each in prepared.inputs.items()})
            for row in (position % len(prepared.rows) for position in range(rows))
        ]
        return {name: _objects([batch[name] for batch in alone]) for name in alone[0]}
    inputs = {}
    for name, samples in prepared.inputs.items():
        with naming(plan.manifest):
            array = as_batch(name, samples)
        # The function repeats rows, where the method of the same name would add zeros.
        inputs[name] = np.resize(array, (rows, *array.shape[1:])) if len(array) < rows else array
    return given(inputs)


def _differ(samples: Samples) -> bool:
    return not isinstance(samples, np.ndarray) and len({np.shape(sample) for sample in samples}) > 1


def _objects(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """An array of arrays, which numpy would stack where their shapes are equal."""
    objects = np.empty(len(arrays), dtype=object)
    for index, array in enumerate(arrays):
        objects[index] = array
    return objects


def open_shapes(plan: Plan, inputs: Mapping[str, NDArray[Any]]) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The shapes that calls take, each once, in their order, of inputs whose rows have no fixed shape in the manifest.

    :param inputs: as :func:`first_rows` gives them.
    """
    found = {}
    for each in plan.inputs:
        if all(isinstance(size, int) for size in each.row_sizes()):
            continue
        array = inputs[plan.entry.input_names.get(each.name, each.name)]
        whole = (min(plan.case.batch_size, len(array)), *array.shape[1:])
        found[each.name] = tuple(dict.fromkeys(a.shape for a in array)) if array.dtype == object else (whole,)
    return found
