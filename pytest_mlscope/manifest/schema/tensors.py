"""The model's inputs and outputs, and the steps before and after them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pytest_mlscope.components import Holds
from pytest_mlscope.manifest.schema.section import OpenSection, Section

DType = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
]


class StepEntry(OpenSection):
    """One pre- or post-processing step: its name and, as further keys, its parameters."""

    step: str = Field(min_length=1)
    """Name of the step."""


BatchPlace = Annotated[int, Field(ge=0, lt=16)] | Literal["none"]
"""The dimension that is the batch, counted from 0."""


class Tensor(Section):
    """What inputs and outputs have in common."""

    @property
    def batch_dimension(self) -> int | None:
        """Where the batch is; ``None`` where there is none."""
        place: BatchPlace = getattr(self, "batch", 0)
        return None if place == "none" else place

    @property
    def says_where_the_batch_is(self) -> bool:
        """Whether the manifest itself does, rather than the default."""
        return "batch" in self.model_fields_set

    def row_sizes(self) -> list[int | str]:
        """The shape of one row: that of the tensor without its batch. Empty where none is stated."""
        shape: list[int | str] = list(getattr(self, "shape", None) or [])
        place = self.batch_dimension
        return shape if place is None else shape[:place] + shape[place + 1 :]

    @property
    def batch_extent(self) -> int | str | None:
        """The batch's size or name in the shape; ``None`` where there is none."""
        shape: list[int | str] = getattr(self, "shape", None) or []
        place = self.batch_dimension
        return shape[place] if place is not None and place < len(shape) else None


class Input(Tensor):
    """One input of the model."""

    name: str = Field(min_length=1)
    """Name of the input, as the model's files name it unless ``input_names`` says otherwise."""
    dtype: DType = "float32"
    """Element type of the tensor the model takes."""
    layout: str | None = Field(default=None, pattern=r"^[A-Z]{1,8}$")
    """One letter a dimension, such as ``NCHW``; ``N`` is the batch."""
    shape: list[int | str] = Field(max_length=16)
    """Sizes; a name such as ``batch`` stands for a dynamic dimension. The batch is among them, where there is one."""
    batch: BatchPlace = 0
    """Which dimension of the shape is the batch, from 0; ``none`` for an input that a call has one of, such as a
    threshold: all rows of a batch must have it alike."""
    preprocess: list[StepEntry] = Field(default_factory=list, max_length=64)
    """Steps from a row of the dataset to the tensor, in order."""


class Output(Tensor):
    """One output of the model."""

    name: str = Field(min_length=1)
    """Name of the output, as the model's files name it unless ``output_names`` says otherwise."""
    layout: str | None = Field(default=None, pattern=r"^[A-Z]{1,8}$")
    """One letter a dimension, such as ``NCHW``; ``N`` is the batch. What steps, metrics and parity read has it."""
    shape: list[int | str] | None = Field(default=None, max_length=16)
    """Sizes, with names for dynamic dimensions, as for inputs."""
    batch: BatchPlace = 0
    """Which dimension is the batch, from 0; ``none`` for an output that a call has one of, such as a scalar or a list
    as long as what was found: each row has a call of its own then, and the batch size is 1."""
    postprocess: list[StepEntry] = Field(default_factory=list, max_length=64)
    """Steps from the raw output to what metrics read, in order."""
    holds: Holds | None = None
    """What a row of several integers is: ``scores``, one a class, or a ``ranking``: class numbers, best first."""
    labels: list[str] | str | None = None
    """Class names in index order, or the relative path of a text file with one a line."""
