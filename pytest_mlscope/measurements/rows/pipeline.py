"""The pre-processing of one input: its steps, over many rows at once where they can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components import Column, PreprocessingStep
from pytest_mlscope.errors import CannotRun, MlscopeError

Samples = NDArray[Any] | list[Any]
"""One stacked array, or one sample a row."""


class Pipeline:
    """Runs steps over a column. Rows are stacked as soon as a step can take them all at once."""

    def __init__(self, steps: Sequence[PreprocessingStep]) -> None:
        self._steps = tuple(steps)
        self._whole_batch = [type(step).apply_batch is not PreprocessingStep.apply_batch for step in self._steps]

    @property
    def changes_nothing(self) -> bool:
        """Whether there are no steps."""
        return not self._steps

    def __call__(self, column: Column) -> tuple[Samples, dict[int, str]]:
        """Process the rows of a column.

        :returns: the processed rows, as one C-contiguous array ``(rows, …)`` where they have one shape and dtype and
            as a list of samples elsewhere; and, by position in the column, what went wrong with rows that failed:
            those are not among the processed.
        :raises CannotRun: when a step's library is missing.
        """
        samples: Samples = column if isinstance(column, np.ndarray) and column.dtype != object else list(column)
        alive = list(range(len(samples)))
        failed: dict[int, str] = {}
        for step, whole_batch in zip(self._steps, self._whole_batch):
            if whole_batch:
                samples = _stacked(samples)
                if isinstance(samples, np.ndarray) and len(samples):
                    try:
                        samples = step.apply_batch(samples)
                        continue
                    except CannotRun:
                        raise
                    except Exception:  # noqa: S110  # found again below, row by row, where it is known whose it is
                        pass
            samples, alive = _row_by_row(step, samples, alive, failed)
        return _owned(_stacked(samples), column), failed


def _row_by_row(
    step: PreprocessingStep, samples: Samples, alive: list[int], failed: dict[int, str]
) -> tuple[list[Any], list[int]]:
    processed, still_alive = [], []
    for position, sample in zip(alive, samples):
        try:
            processed.append(step.apply(sample))
        # A missing library or too little memory is not the fault of one row.
        except (CannotRun, MemoryError):
            raise
        except MlscopeError as error:
            failed[position] = str(error)
        except Exception as error:  # a step from elsewhere may raise anything: it is that row's failure
            failed[position] = f"step {step.name!r}: {type(error).__name__}: {error}"
        else:
            still_alive.append(position)
    return processed, still_alive


def _stacked(samples: Samples) -> Samples:
    if isinstance(samples, np.ndarray):
        return samples
    # numpy would make fixed-width text of them, and drop NUL bytes at the end of a file.
    if not samples or isinstance(samples[0], (bytes, str)):
        return samples
    arrays = [np.asarray(sample) for sample in samples]
    first = arrays[0]
    if first.dtype == object or any(array.shape != first.shape or array.dtype != first.dtype for array in arrays):
        return samples
    return np.stack(arrays)


def _owned(samples: Samples, column: Column) -> Samples:
    """C-contiguous, and no view of the dataset's memory: a mapped file is read here, not while predicting."""
    if not isinstance(samples, np.ndarray):
        return samples
    if isinstance(column, np.ndarray) and np.may_share_memory(samples, column):
        return np.array(samples, order="C")
    return np.ascontiguousarray(samples)
