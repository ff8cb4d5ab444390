"""A plan: what a case comes to, resolved from its manifest once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.expectation import bounds_for, expectation_for, parity_expected
from pytest_mlscope.cases.kinds import is_parity_reference
from pytest_mlscope.components import Bounds, FrameworkFolder, HardwareTarget, PreprocessingStep, Scenario
from pytest_mlscope.manifest import (
    Expectation,
    FrameworkEntry,
    Input,
    LoadedManifest,
    Measurement,
    ModelFile,
    Output,
    ParityExpectation,
    parity_reference,
)


@dataclass(frozen=True)
class Plan:
    """A case with its manifest, and the settings it is evaluated with.

    The settings are the manifest's until a ``with_…`` method gives a plan with others; :meth:`changes` tells which, and
    is part of an evaluation's key. Two plans are equal when case and settings are.
    """

    case: Case
    manifest: LoadedManifest = field(compare=False, repr=False)
    """As it was read; where the plan has a setting of its own, that one holds."""
    entry: FrameworkEntry = field(repr=False)
    """The manifest's entry of the case's framework."""
    outputs: tuple[Output, ...] = field(repr=False)
    measurement: Measurement = field(repr=False)
    """Budgets, percentiles and restarts."""
    scenarios: Mapping[str, Scenario] = field(repr=False)
    """Every scenario of the manifest, by name, with its settings."""

    @classmethod
    def of(cls, manifest: LoadedManifest, case: Case) -> Plan:
        """The plan of a case as its manifest states it."""
        content = manifest.content
        return cls(
            case=case,
            manifest=manifest,
            entry=content.frameworks[case.framework],
            outputs=tuple(content.outputs),
            measurement=content.measurement,
            scenarios=manifest.scenarios,
        )

    def __hash__(self) -> int:
        # Sections of a manifest hold lists, which have no hash; equal plans have equal cases.
        return hash(self.case)

    @property
    def framework_folder(self) -> FrameworkFolder:
        """The case's framework, as registered."""
        return self.manifest.registry.frameworks[self.case.framework]

    @property
    def target(self) -> HardwareTarget:
        """The case's hardware target, as registered."""
        return self.manifest.registry.hardware_targets[self.case.hardware]

    @property
    def steps(self) -> Mapping[str, tuple[PreprocessingStep, ...]]:
        """Input name to the steps of the case's variant."""
        return self.manifest.preprocessing.get(self.case.preprocessing, {})

    @cached_property
    def expectation(self) -> Expectation:
        """What must hold for the case."""
        return expectation_for(self.manifest.content, self.case)

    @cached_property
    def parity_expected(self) -> ParityExpectation | None:
        """What parity must hold for the case; ``None`` where the manifest names no reference."""
        return parity_expected(self.manifest.content, self.case)

    def bounds(self, kind: str) -> Bounds | None:
        """What must hold for the case of a kind of measurement that a plugin added; ``None`` where nothing must.

        :raises MlscopeError: when overrides that are each right contradict each other.
        """
        return bounds_for(self.manifest, self.case, kind)

    @property
    def is_parity_reference(self) -> bool:
        """Whether the case is itself what others of its manifest are compared with."""
        return is_parity_reference(self.manifest.content, self.case)

    @property
    def parity_reference(self) -> tuple[str, str | None, str, str] | None:
        """Framework, version, hardware and precision that the manifest's cases are compared with, if any."""
        return parity_reference(self.manifest.content)

    @property
    def inputs(self) -> Sequence[Input]:
        """The model's inputs, as the manifest states them."""
        return self.manifest.content.inputs

    @property
    def files(self) -> Mapping[str, ModelFile]:
        """Role to model file at the case's precision."""
        return self.entry.files_at(self.case.precision)

    def with_case(self, **dimensions: Any) -> Plan:
        """Another cell of the manifest, evaluated with the same settings.

        :param dimensions: fields of :class:`Case`.
        """
        case = replace(self.case, **dimensions)
        # An entry that was changed goes with its framework; another framework has the manifest's.
        same = case.framework == self.case.framework
        return replace(self, case=case, entry=self.entry if same else self.manifest.content.frameworks[case.framework])

    def with_budget(self, seconds: float) -> Plan:
        """Measured for so many seconds."""
        # A copy: the section is the manifest's, and other plans of it are to keep theirs.
        return replace(self, measurement=self.measurement.model_copy(update={"budget": seconds}))

    @property
    def scenario(self) -> Scenario:
        """The case's scenario."""
        return self.scenarios[self.case.scenario]

    def with_scenario(self, name: str, **settings: Any) -> Plan:
        """Other settings of a scenario.

        :param name: of the scenario.
        :param settings: its fields.
        :raises TypeError: for one that there is not.
        """
        scenario = self.scenarios[name]
        # model_copy itself takes any name without a word.
        if unknown := [each for each in settings if each not in type(scenario).model_fields]:
            raise TypeError(f"scenarios.{name} has no setting {unknown[0]!r}")
        return replace(self, scenarios={**self.scenarios, name: scenario.model_copy(update=settings)})

    def with_outputs(
        self, names: Sequence[str], *, files: Mapping[str, ModelFile], options: Mapping[str, Any] | None = None
    ) -> Plan:
        """The model with other outputs.

        :param names: of the outputs, in the file and here.
        :param files: role to the file that has those outputs.
        :param options: of the framework, beside the manifest's.
        """
        entry = self.entry.model_copy(
            update={
                "files": dict(files),
                "precision_files": {},
                "output_names": {},
                "options": {**self.entry.options, **(options or {})},
            }
        )
        # By name alone: shapes, labels and steps were those of the outputs that are replaced.
        return replace(self, entry=entry, outputs=tuple(Output(name=name) for name in names))

    def changes(self) -> dict[str, Any]:
        """Each setting that is not as the manifest states it, in builtin types; empty where all are."""
        stated = Plan.of(self.manifest, self.case)
        changed = {name: _different(getattr(self, name), getattr(stated, name)) for name in ("measurement", "entry")}
        scenarios = {
            name: _different(each, stated.scenarios[name])
            for name, each in self.scenarios.items()
            if each != stated.scenarios[name]
        }
        outputs = None if self.outputs == stated.outputs else [output.name for output in self.outputs]
        return {name: value for name, value in {**changed, "scenarios": scenarios, "outputs": outputs}.items() if value}


def _different(ours: BaseModel, theirs: BaseModel) -> dict[str, Any]:
    """The fields in which two sections differ, as the first has them."""
    found: dict[str, Any] = {}
    for name in type(ours).model_fields:
        one, other = getattr(ours, name), getattr(theirs, name)
        if one == other:
            continue
        # Down to the fields that differ, so that a key changes with these alone.
        if isinstance(one, BaseModel) and type(one) is type(other):
            found[name] = _different(one, other)
        else:
            # JSON's types, because the changes are hashed into the evaluation's key and stand in its record.
            found[name] = ours.model_dump(mode="json", exclude_unset=True, include={name})[name]
    return found
