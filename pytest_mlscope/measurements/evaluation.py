"""What running a case gives: each kind of measurement's part, and what is needed to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_mlscope.cases import Case, Plan
from pytest_mlscope.components import Reading
from pytest_mlscope.measurements.accuracy.result import Accuracy
from pytest_mlscope.measurements.latency.result import Latency
from pytest_mlscope.measurements.layers.result import LayerProfile
from pytest_mlscope.measurements.parity.result import Parity
from pytest_mlscope.measurements.provenance_facts import Provenance


@dataclass(frozen=True)
class MeasuredColumn:
    """A column of the table in which a kind of measurement is shown."""

    field: str
    """The field of ``values`` that stands in it."""
    title: str
    """Its heading."""
    unit: str = ""
    """Unit of its numbers: ``s`` and ``B`` are scaled to be readable; empty for counts, shares and text."""


@dataclass(frozen=True)
class OtherMeasurement:
    """What a kind of measurement gave that a plugin or a conftest added."""

    values: Mapping[str, Any]
    """Field to its value: numbers, text, lists and objects."""
    columns: Sequence[MeasuredColumn] = ()
    """How tables show it."""


@dataclass(frozen=True)
class Evaluation:
    """What one case gave. Parts that were not evaluated are ``None``."""

    plan: Plan
    key: str
    """Hash of everything that can change the result."""
    provenance: Provenance
    """What is needed to repeat it; see the JSON report's documentation."""
    accuracy: Accuracy | None = None
    parity: Parity | None = None
    latency: Latency | None = None
    layers: LayerProfile | None = None
    """Only where it was asked for: ``--mlscope-layers``, ``EvaluationSettings(layers=True)``."""
    readings: Mapping[str, Sequence[Reading]] = field(default_factory=dict)
    """Profiler name to what it saw in the measured window."""
    measurements: Mapping[str, OtherMeasurement] = field(default_factory=dict)
    """What further kinds of measurement gave, by their names."""

    @property
    def case(self) -> Case:
        """The plan's case."""
        return self.plan.case

    def __repr__(self) -> str:
        parts = (self.accuracy, self.parity, self.latency, self.layers)
        lines = "".join(f",\n  {part!r}" for part in parts if part is not None)
        return f"Evaluation({self.case.model} {self.case.id or self.case.framework}{lines})"
