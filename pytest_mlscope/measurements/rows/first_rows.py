"""The rows that are timed and profiled: always the first ones, so that every framework works on the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.measurements.rows.deadline import within
from pytest_mlscope.measurements.rows.inputs import as_batch
from pytest_mlscope.measurements.rows.manifest_errors import naming
from pytest_mlscope.measurements.rows.prepared_rows import PreparedRows, RowPreparer


def count_rows(plan: Plan) -> int:
    """How many rows of the dataset the case is evaluated on.

    :raises DatasetError: when it cannot be opened.
    """
    with RowPreparer(plan.manifest, preprocessing=plan.case.preprocessing, with_labels=False) as preparer:
        return len(preparer.rows)


def first_rows(ready: ReadyModel, rows: int) -> dict[str, NDArray[Any]]:
    """The first rows of the dataset, pre-processed, as the framework takes them; repeated when there are fewer.

    :raises DatasetError: when one cannot be made.
    """
    plan = ready.plan

    def read() -> PreparedRows:
        with RowPreparer(plan.manifest, preprocessing=plan.case.preprocessing, with_labels=False) as preparer:
            return preparer.read(preparer.rows[:rows])

    prepared = within(ready.deadline, str(plan.manifest.path), read)
    if prepared.failed:
        raise DatasetError(f"{plan.manifest.path}: an input to time cannot be made: {prepared.failed[0].message}")
    inputs = {}
    for name, samples in prepared.inputs.items():
        with naming(plan.manifest):
            array = as_batch(name, samples)
        inputs[name] = np.resize(array, (rows, *array.shape[1:])) if len(array) < rows else array
    return ready.framework_inputs(inputs)
