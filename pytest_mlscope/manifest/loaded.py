"""A manifest that was read, checked, and bound to the registry it was checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_mlscope.components import (
    Dataset,
    Holds,
    Metric,
    MetricState,
    PostprocessingStep,
    PreprocessingStep,
    Registry,
    Scenario,
)
from pytest_mlscope.manifest.further_bounds import FurtherBounds
from pytest_mlscope.manifest.schema.manifest import Manifest


@dataclass(frozen=True)
class BoundMetric:
    """A metric of the manifest and the output it reads."""

    name: str
    """As reported: the manifest's word for it."""
    metric: Metric
    output: str
    label: str
    """The dataset's column it compares with."""
    holds: Holds | None = None
    """What the output holds after its steps, where the manifest or a step says so."""

    def start(self) -> MetricState:
        """A fresh accumulator."""
        return self.metric.start_reading(self.holds)


@dataclass(frozen=True, eq=False)
class LoadedManifest:
    """A checked manifest with its components made."""

    path: Path
    sha256: str
    """Of the file's bytes."""
    content: Manifest
    registry: Registry = field(repr=False)
    dataset: Dataset | None
    metrics: tuple[BoundMetric, ...]
    preprocessing: dict[str, dict[str, tuple[PreprocessingStep, ...]]]
    """Variant name (``stated`` first) to input name to steps."""
    postprocessing: dict[str, tuple[PostprocessingStep, ...]]
    """Output name to steps."""
    labels: dict[str, tuple[str, ...]]
    """Output name to class names, for outputs that have them."""
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)
    """Every scenario that is registered, by name, with the manifest's settings; less those that cannot do without
    settings that it does not state."""
    further_bounds: FurtherBounds = field(default_factory=FurtherBounds)
    """What the manifest expects of kinds of measurement that plugins added."""

    @property
    def folder(self) -> Path:
        """What relative paths in the manifest are relative to."""
        return self.path.parent
