"""Which cases there are, how some of them are named, and how their latency is measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pytest_mlscope.components import Precision
from pytest_mlscope.manifest.quantities import CpuList, Duration
from pytest_mlscope.manifest.schema.section import Section, VersionText
from pytest_mlscope.option_values import MOST_RESTARTS


class CaseSelector(Section):
    """Which cases something applies to: those that agree with every key given."""

    framework: str | None = None
    """Framework."""
    version: VersionText | None = None
    """Version of the framework, as its ``version`` states it."""
    hardware: str | None = None
    """Hardware target."""
    precision: Precision | None = None
    """Precision."""
    threads: int | Literal["framework_default"] | None = None
    """Threads."""
    batch_size: int | None = None
    """Batch size."""
    scenario: str | None = None
    """Scenario."""
    preprocessing: str | None = None
    """Pre-processing variant; ``stated`` for the inputs' own steps."""


class MatrixEntry(Section):
    """One further combination for ``include``: missing keys take the first value of their dimension."""

    framework: str
    """Framework; one of the manifest's."""
    version: VersionText | None = None
    """Version of the framework, as its ``version`` states it."""
    hardware: str | None = None
    """Hardware target."""
    precision: Precision | None = None
    """Precision."""
    threads: int | Literal["framework_default"] | None = None
    """Threads."""
    batch_size: int | None = Field(default=None, gt=0, le=2**20)
    """Batch size."""
    scenario: str | None = None
    """Scenario."""
    preprocessing: str | None = None
    """Pre-processing variant; ``stated`` for the inputs' own steps."""


def _fp32() -> list[Precision]:
    return ["fp32"]


def _one_thread() -> list[int | Literal["framework_default"]]:
    return [1]


class Matrix(Section):
    """The dimensions whose product, over the frameworks, gives the cases."""

    hardware: list[str] = Field(default_factory=lambda: ["cpu"], min_length=1, max_length=256)
    """Hardware targets."""
    precision: list[Precision] = Field(default_factory=_fp32, min_length=1, max_length=64)
    """Precisions; what a framework would choose by itself must be asked for as ``framework_default``."""
    threads: list[int | Literal["framework_default"]] = Field(
        default_factory=_one_thread, min_length=1, max_length=200_000
    )
    """Numbers of threads a framework computes with."""
    batch_size: list[int] = Field(default_factory=lambda: [1], min_length=1, max_length=200_000)
    """Batch sizes; the one the inputs' shapes fix, where they do, unless given."""
    scenario: list[str] = Field(default_factory=lambda: ["single_stream"], min_length=1, max_length=64)
    """How load arrives: names of scenarios, those of the package MLPerf's."""
    include: list[MatrixEntry] = Field(default_factory=list, max_length=10_000)
    """Combinations to add to the product."""
    exclude: list[CaseSelector] = Field(default_factory=list, max_length=1_000)
    """Combinations to take out of the product, before ``include`` adds any."""


class Measurement(Section):
    """How latency is measured."""

    budget: Duration = 1.0
    """Longest measured window; it ends sooner when the median is known well enough."""
    relative_error: float = Field(default=0.01, gt=0, lt=1)
    """Half-width of the median's 95 % confidence interval, relative to it, at which measuring stops."""
    warmup_budget: Duration = 1.0
    """Longest warm-up; it ends sooner when the latency is steady."""
    restarts: int = Field(default=1, ge=1, le=MOST_RESTARTS)
    """In how many fresh predictor hosts the latency is measured; with more than one, the middle median counts."""
    affinity: CpuList | None = None
    """CPUs the predictor host is pinned to, such as ``0-3,6``; when absent it runs where pytest does."""
