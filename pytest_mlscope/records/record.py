"""A record: one test item's outcome and evaluation, as it travels, is kept, and is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from pytest_mlscope.cases import Plan, Threads
from pytest_mlscope.components import Check, Reading
from pytest_mlscope.measurements import Accuracy, Latency, LayerProfile, OtherMeasurement, Parity, Provenance
from pytest_mlscope.record_fields import Positive, Seconds, Sha256
from pytest_mlscope.records.codec import MalformedRecord, decode, encode
from pytest_mlscope.records.comparison import Comparison

FORMAT = 1
"""Version of the format. Within a version fields are added, never renamed or removed; what reads a report takes those
that it lacks to have their default."""

TestOutcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "error"]


@dataclass(frozen=True)
class CaseRecord:
    """A case, as values."""

    id: str
    """What stands in brackets in the test's name."""
    model: str
    """Name of the model."""
    model_version: str
    """Version of the model."""
    task: str
    """What the model does."""
    manifest: str
    """Path of the model manifest."""
    manifest_sha256: Sha256
    """sha256 of the manifest's bytes."""
    framework: str
    """Framework that ran the model."""
    hardware: str
    """Hardware target."""
    precision: str
    """Numeric precision asked for."""
    threads: Threads
    """Compute threads, or "framework_default"."""
    batch_size: Positive
    """Samples in a batch."""
    scenario: str
    """How load arrives, such as ``single_stream``."""
    preprocessing: str
    """Pre-processing variant; "stated" for the inputs' own steps."""
    version: str | None
    """Framework version asked for, as the manifest states it; ``None`` where it states none."""

    @classmethod
    def of(cls, plan: Plan) -> CaseRecord:
        """What of a case is kept."""
        case, manifest = plan.case, plan.manifest
        return cls(
            id=case.id,
            model=manifest.content.name,
            model_version=manifest.content.version,
            task=manifest.content.task,
            manifest=str(manifest.path),
            manifest_sha256=manifest.sha256,
            framework=case.framework,
            hardware=case.hardware,
            precision=case.precision,
            threads=case.threads,
            batch_size=case.batch_size,
            scenario=case.scenario,
            preprocessing=case.preprocessing,
            version=case.version,
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """One test item."""

    nodeid: str
    """pytest's name of the test; under --dist each of pytest-xdist with its worker, as in …[toy]@gw0."""
    kind: str
    """Kind of measurement, such as accuracy, parity or latency, or test for a hand-written one."""
    outcome: TestOutcome
    """How the test ended: passed, failed, skipped, xfailed, xpassed or error."""
    reason: str | None = None
    """Why it was skipped, failed or expected to fail."""
    subject: str | None = None
    """What the reason for a skip is about, such as a hardware target or a framework."""
    command: str | None = None
    """The command that would make a skipped test run, where one would."""
    seconds: Seconds | None = None
    """Wall time of the test."""
    case: CaseRecord | None = None
    """The case; ``None`` for a test that has none."""
    checks: Sequence[Check] = ()
    """What was checked against the manifest's expectations."""
    comparison: Comparison | None = None
    """Compared with a baseline (--mlscope-against); ``None`` where the run has none."""
    key: str | None = None
    """Hash of everything that can change the result; ``None`` where nothing was measured."""
    provenance: Provenance | None = None
    """What is needed to repeat the evaluation; ``None`` where nothing was measured."""
    accuracy: Accuracy | None = None
    """Metrics over the dataset; ``None`` where none were computed."""
    parity: Parity | None = None
    """Raw outputs against the reference framework's; ``None`` where they were not compared."""
    latency: Latency | None = None
    """A measured window; ``None`` where none was measured."""
    layers: LayerProfile | None = None
    """Per-layer profile by the framework's own profiler; ``None`` where none was asked for (--mlscope-layers)."""
    readings: Mapping[str, Sequence[Reading]] = field(default_factory=dict)
    """Profiler name to what it saw in the measured window."""
    measurements: Mapping[str, OtherMeasurement] = field(default_factory=dict)
    """Name of a kind of measurement that a plugin or a conftest added to what it gave."""


def to_mapping(record: EvaluationRecord, *, packed: bool = False) -> dict[str, Any]:
    """The record as an entry of ``evaluations`` in the JSON report.

    :param packed: whether arrays are short text, as they travel from worker to controller, instead of lists.
    :returns: exactly ``None``, ``bool``, ``int``, ``float`` (finite), ``str``, ``list`` and ``dict``.
    :raises MlscopeError: when the record holds something that has no JSON form.
    """
    not_finite: dict[str, str] = {}
    entry = encode(record, EvaluationRecord, at="", not_finite=not_finite, packed=packed)
    return {**entry, "not_finite": not_finite}


def from_mapping(entry: Any) -> EvaluationRecord:
    """Undo :func:`to_mapping`, packed or not; elements of lists that are not finite come back as NaN.

    :raises MalformedRecord: when it is no such entry.
    """
    if not isinstance(entry, dict):
        raise MalformedRecord("", "expected an object")
    not_finite = entry.get("not_finite", {})
    if not isinstance(not_finite, dict):
        raise MalformedRecord("/not_finite", "expected an object")
    return decode(EvaluationRecord, entry, at="", not_finite=not_finite)


class RecordMappings(Sequence[Mapping[str, Any]]):
    """Records as in the JSON report, each made when it is looked at: a whole run's lists would fill the memory."""

    def __init__(self, records: Sequence[EvaluationRecord]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> RecordMappings: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | RecordMappings:
        if isinstance(index, slice):
            return RecordMappings(self._records[index])
        return to_mapping(self._records[index])

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(to_mapping, self._records)
