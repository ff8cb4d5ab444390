"""The rows a model is evaluated on, and the metrics computed of them."""

from __future__ import annotations

from pydantic import Field

from pytest_mlscope.manifest.schema.section import OpenSection, Section


class RowSample(Section):
    """A random subset of rows, drawn without replacement from ``rows``."""

    size: int = Field(gt=0, le=2**40)
    """How many rows to draw."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the draw."""


class DatasetEntry(OpenSection):
    """The rows a model is evaluated on; further keys are the source's parameters."""

    source: str = Field(min_length=1)
    """Name of the kind of dataset."""
    rows: str | None = Field(default=None, pattern=r"^[0-9]{0,18}:[0-9]{0,18}$")
    """A slice ``first:past_last`` of the rows, as in Python, without negative numbers."""
    sample: RowSample | None = None
    """A random subset of the rows; all of them when absent."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Input name to column; an input that is not named reads the column of its own name."""
    label: str | None = None
    """The column with the expected result: class numbers, class names, or target values."""


class MetricEntry(OpenSection):
    """One metric; further keys are its parameters."""

    metric: str = Field(min_length=1)
    """Name of the metric."""
    output: str | None = None
    """The output it reads; needed where a model has several."""
    label: str | None = None
    """The dataset's column it compares with; the dataset's own ``label`` when absent."""
