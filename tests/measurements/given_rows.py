"""A dataset of rows that a test gives, and a step that fails on some of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.preprocessing.cast import Cast
from pytest_mlscope.components.preprocessing.layout import Layout
from pytest_mlscope.components.preprocessing.scale import Scale
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.measurements.rows.inputs import BatchReader, PreparedBatch

NDRows = NDArray[np.int64]


STEPS = (Cast(dtype="float32"), Scale(factor=0.5), Layout(source="HW", target="CHW"))


class GivenSource(DataSource):
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


class GivenDataset(Dataset):
    """A dataset whose source the test holds on to."""

    name: ClassVar[str] = "given"
    sources: ClassVar[list[GivenSource]] = []
    made: ClassVar[Callable[[], GivenSource]]

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        GivenDataset.sources.append(GivenDataset.made())
        return GivenDataset.sources[-1]


class RefuseOdd(PreprocessingStep):
    name: ClassVar[str] = "refuse_odd"

    def apply(self, sample: Any) -> Any:
        if int(np.asarray(sample).flat[0]) % 2:
            raise ValueError("odd")
        return sample


def read_batches(loaded: LoadedManifest, **options: Any) -> list[PreparedBatch]:
    with BatchReader(loaded, **options) as reader:
        return list(reader)


def labels_of(batches: list[PreparedBatch]) -> NDArray[Any]:
    return np.concatenate([batch.labels["label"] for batch in batches])
