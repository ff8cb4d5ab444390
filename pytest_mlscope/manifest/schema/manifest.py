"""The model manifest, schema 1: what each key is and which values it takes on its own.

What depends on several keys at once, or on what plugins registered, is checked in the ``check_*`` modules of the room.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pytest_mlscope.manifest.schema.dataset import DatasetEntry, MetricEntry
from pytest_mlscope.manifest.schema.expectations import Expectation, ExpectationOverride
from pytest_mlscope.manifest.schema.frameworks import FrameworkEntry
from pytest_mlscope.manifest.schema.gate import GatePolicy
from pytest_mlscope.manifest.schema.matrix import Matrix, Measurement
from pytest_mlscope.manifest.schema.section import Section
from pytest_mlscope.manifest.schema.tensors import Input, Output, StepEntry


class Reference(Section):
    """Where a model or a published figure comes from."""

    title: str = Field(min_length=1)
    """Title of a paper, page or table."""
    url: str | None = None
    """Where to read it."""


class Manifest(Section):
    """A model manifest."""

    schema_version: Literal[1] = Field(alias="schema")
    """Version of the manifest's schema."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)
    """Name of the model, in lower case."""
    version: str = Field(min_length=1)
    """Version of the model, as text: ``"1.0"``."""
    task: str = Field(min_length=1)
    """What the model does, such as ``image_classification`` or ``tabular_regression``."""
    description: str = ""
    """What the model is, for readers."""
    license: str | None = None
    """Licence of the model, best as an SPDX identifier."""
    references: list[Reference] = Field(default_factory=list, max_length=1_000)
    """Where the model and published figures come from."""
    kinds: list[str] | None = Field(default=None, min_length=1)
    """Which tests to make; by default every kind the manifest has what it takes for."""
    frameworks: dict[str, FrameworkEntry] = Field(min_length=1, max_length=256)
    """Framework name to the model in that framework's format."""
    inputs: list[Input] = Field(min_length=1, max_length=256)
    """The model's inputs."""
    outputs: list[Output] = Field(min_length=1, max_length=256)
    """The model's outputs."""
    preprocessing_variants: dict[str, dict[str, list[StepEntry]]] = Field(default_factory=dict, max_length=1_000)
    """Other ways to pre-process: variant name to input name to steps. Each becomes cases of its own, beside the
    inputs' own steps, which go by the name ``stated``."""
    dataset: DatasetEntry | None = None
    """What the model is evaluated on; needed for accuracy."""
    metrics: list[str | MetricEntry] = Field(default_factory=list, max_length=256)
    """Metrics to compute: a name, or ``metric: NAME`` with its parameters."""
    expect: Expectation = Field(default_factory=Expectation)
    """What must hold for every case."""
    expect_overrides: list[ExpectationOverride] = Field(default_factory=list, max_length=1_000)
    """What must hold for some cases instead."""
    matrix: Matrix = Field(default_factory=Matrix)
    """What to evaluate the model on."""
    scenarios: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=64)
    """Scenario name to what that scenario needs to be told: rates, bounds and sizes."""
    measurement: Measurement = Field(default_factory=Measurement)
    """How long latency is measured, and how exactly."""
    gate: GatePolicy = Field(default_factory=GatePolicy)
    """What fails when the model is compared with a baseline."""
