"""A record: one test item's outcome and evaluation in builtin types, as it travels from worker to controller.

It has the keys of an entry of ``evaluations`` in the JSON report; only arrays differ, which travel packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, overload

import numpy as np

from pytest_mlscope.cases.case import Case
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.expectations.check import Check
from pytest_mlscope.gate.comparison import Comparison
from pytest_mlscope.measurements.results import (
    KEPT_ROW_ELEMENTS,
    Accuracy,
    Evaluation,
    Latency,
    LayerProfile,
    Parity,
    Restarts,
    ServerRun,
)
from pytest_mlscope.reports.packed import pack, unpack
from pytest_mlscope.reports.plain import plain, pointer_token

TestOutcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "error"]

PREDICTION_ELEMENTS = 2**21
"""Predictions with more elements than this are left out of records, which then say so: at that size they are a
dataset of their own (a segmentation mask per row), not a line of a report."""

_COMMAND = "; to enable: "


def to_record(
    evaluation: Evaluation | None,
    *,
    nodeid: str,
    kind: str,
    case: Case | None,
    outcome: TestOutcome,
    reason: str | None,
    checks: Sequence[Check],
    seconds: float,
    comparison: Comparison | None = None,
    cannot_run: CannotRun | None = None,
) -> dict[str, Any]:
    """Make the record of one test item.

    :param evaluation: ``None`` where nothing was measured.
    :param kind: ``accuracy``, ``parity``, ``latency``, or ``test`` for a hand-written one.
    :param case: taken from the evaluation when ``None``.
    :param reason: why it was skipped, failed or was expected to fail, in words.
    :param cannot_run: why it was skipped or failed, where that was this error: it knows more than the words.
    :param seconds: wall time of the item.
    :param comparison: with the baseline, where the run has one.
    :returns: exactly ``None``, ``bool``, ``int``, ``float`` (finite), ``str``, ``list`` and ``dict``.
    :raises MlscopeError: when the evaluation holds something that has no JSON form.
    """
    not_finite: dict[str, str] = {}
    case = case or (evaluation.case if evaluation else None)
    record: dict[str, Any] = {
        "nodeid": nodeid,
        "kind": kind,
        "outcome": outcome,
        "reason": cannot_run.reason if cannot_run else None if reason is None else _without_outcome(reason),
        "subject": cannot_run.subject if cannot_run else None,
        "command": cannot_run.command if cannot_run else None,
        "seconds": seconds,
        "case": _case(case) if case else None,
        "checks": list(checks),
        "comparison": _comparison(comparison) if comparison else None,
        "key": evaluation.key if evaluation else None,
        "provenance": evaluation.provenance if evaluation else None,
    }
    record = plain(record, at="", not_finite=not_finite)
    parts: dict[str, Any] = {"accuracy": None, "parity": None, "latency": None, "layers": None, "readings": {}}
    if evaluation:
        if evaluation.accuracy:
            target = evaluation.case.manifest.registry.hardware_targets.get(evaluation.case.hardware)
            timed = target is None or not target.emulated
            parts["accuracy"] = _accuracy(evaluation.accuracy, not_finite, timed=timed)
        if evaluation.parity:
            parts["parity"] = plain(_parity(evaluation.parity), at="/parity", not_finite=not_finite)
        if evaluation.latency:
            wanted = evaluation.case.manifest.content.measurement.relative_error
            parts["latency"] = _latency(evaluation.latency, wanted, not_finite)
        if evaluation.layers:
            parts["layers"] = plain(_layers(evaluation.layers), at="/layers", not_finite=not_finite)
        parts["readings"] = _readings(evaluation, not_finite)
    return {**record, **parts, "not_finite": not_finite}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "against": comparison.against,
        "outcome": comparison.outcome,
        "messages": list(comparison.messages),
        "remark": comparison.remark,
        **{name: comparison.facts.get(name) for name in ("latency", "peak_memory", "load_time", "accuracy", "parity")},
    }


def was_compared(record: Mapping[str, Any]) -> bool:
    """Whether anything of the test was compared with a baseline."""
    comparison = record["comparison"]
    return comparison is not None and comparison["outcome"] != "not compared"


def _without_outcome(reason: str) -> str:
    return reason.removeprefix("Skipped: ").removeprefix("Failed: ")


def split_command(text: str) -> tuple[str, str | None]:
    """The reason in a :class:`CannotRun`'s text, and the command that would help."""
    why, separator, command = text.rpartition(_COMMAND)
    return (why, command) if separator and "\n" not in command else (text, None)


def _case(case: Case) -> dict[str, Any]:
    manifest = case.manifest
    return {
        "id": case.id,
        "model": manifest.content.name,
        "model_version": manifest.content.version,
        "task": manifest.content.task,
        "manifest": manifest.path,
        "manifest_sha256": manifest.sha256,
        "framework": case.framework,
        "hardware": case.hardware,
        "precision": case.precision,
        "threads": case.threads,
        "batch_size": case.batch_size,
        "scenario": case.scenario,
        "preprocessing": case.preprocessing,
        "version": case.version,
    }


def _accuracy(accuracy: Accuracy, not_finite: dict[str, str], *, timed: bool) -> dict[str, Any]:
    facts = {
        "metrics": accuracy.metrics,
        "n": accuracy.n,
        "errors": accuracy.errors,
        "failures": accuracy.failures,
        "seconds": accuracy.seconds if timed else None,
        "samples_per_second": accuracy.samples_per_second if timed and accuracy.seconds else None,
        "input_shift": accuracy.input_shift,
        "self_difference": accuracy.self_difference,
    }
    record: dict[str, Any] = plain(facts, at="/accuracy", not_finite=not_finite)
    predictions: dict[str, Any] = {"omitted": None}
    for name in ("rows", "labels", "predicted"):
        values = getattr(accuracy.predictions, name)
        if values.shape[1:] == (0,):
            predictions[name] = None
            predictions["omitted"] = f"{name} has over {KEPT_ROW_ELEMENTS:,} elements a row"
            continue
        size = int(np.size(values))
        if size > PREDICTION_ELEMENTS:
            predictions[name] = None
            predictions["omitted"] = f"{name} has {size:,} elements; up to {PREDICTION_ELEMENTS:,} are kept"
        else:
            predictions[name] = pack(values, at=f"/accuracy/predictions/{name}", not_finite=not_finite)
    return {**record, "predictions": predictions}


def _parity(parity: Parity) -> dict[str, Any]:
    return {
        "reference": parity.reference,
        "n": parity.n,
        "max_abs": parity.max_abs,
        "max_rel": parity.max_rel,
        "cosine": parity.cosine,
        "psnr": parity.psnr,
        "top1_agreement": parity.top1_agreement,
        "top5_agreement": parity.top5_agreement,
        "abs_tolerance": parity.abs_tolerance,
        "rel_tolerance": parity.rel_tolerance,
        "tolerance_source": parity.tolerance_source,
        "violations": parity.violations,
        "elements": parity.elements,
        "mismatch": parity.mismatch,
        "within_tolerance": parity.within_tolerance,
        "nan": parity.nan,
        "reference_nan": parity.reference_nan,
        "both_nan": parity.both_nan,
        "self_difference": parity.self_difference,
        "outputs": [asdict(output) for output in parity.outputs],
    }


def _latency(latency: Latency, wanted_relative_error: float, not_finite: dict[str, str]) -> dict[str, Any]:
    facts = {
        "batch_size": latency.batch_size,
        "percentiles": latency.percentiles,
        "relative_error": latency.relative_error,
        "wanted_relative_error": wanted_relative_error,
        "throughput": latency.throughput,
        "stop_reason": latency.stop_reason,
        "warmup_calls": latency.warmup_calls,
        "warmup_seconds": latency.warmup_seconds,
        "warmup_reason": latency.warmup_reason,
        "window_seconds": latency.window_seconds,
        "call_path": latency.call_path,
        "load_seconds": latency.load_seconds,
        "peak_memory": latency.peak_memory,
        "warnings": latency.warnings,
        "restarts": _restarts(latency.restarts) if latency.restarts else None,
        "rows_per_query": latency.rows_per_query,
        "server": _server(latency.server) if latency.server else None,
        "n": len(latency.samples_ns),
    }
    record: dict[str, Any] = plain(facts, at="/latency", not_finite=not_finite)
    samples = pack(latency.samples_ns, at="/latency/samples_ns", not_finite=not_finite)
    return {**record, "samples_ns": samples}


def _restarts(restarts: Restarts) -> dict[str, Any]:
    return {
        "processes": restarts.processes,
        "shown": restarts.shown,
        "fastest": restarts.fastest,
        "slowest": restarts.slowest,
        "spread": restarts.spread,
    }


def _server(server: ServerRun) -> dict[str, Any]:
    return {
        "qps": server.qps,
        "scheduled_qps": server.scheduled_qps,
        "achieved_qps": server.achieved_qps,
        "queries": server.queries,
        "unanswered": server.unanswered,
        "kept": server.kept,
        "met": server.met,
        "percentile": server.percentile,
        "latency_bound": server.latency_bound,
        "latency": server.latency,
        "queued": server.queued,
        "arrival_error": server.arrival_error,
        "batch_sizes": server.batch_sizes,
        "mean_batch": server.mean_batch,
        "seed": server.seed,
        "trials": server.trials,
    }


def _layers(profile: LayerProfile) -> dict[str, Any]:
    return {
        "not_available": profile.not_available,
        "runs": profile.runs,
        "unprofiled_median": profile.unprofiled_median,
        "seconds": profile.seconds,
        "explained": profile.explained,
        "layers": profile.layers,
    }


def _readings(evaluation: Evaluation, not_finite: dict[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for profiler, readings in evaluation.readings.items():
        place = f"/readings/{pointer_token(profiler)}"
        entries = []
        for index, reading in enumerate(readings):
            facts = {"name": reading.name, "unit": reading.unit, "value": reading.value, "note": reading.note}
            entry: dict[str, Any] = plain(facts, at=f"{place}/{index}", not_finite=not_finite)
            pairs = np.asarray(reading.samples, dtype=np.float64).reshape(len(reading.samples), 2)
            entry["samples"] = pack(pairs, at=f"{place}/{index}/samples", not_finite=not_finite)
            entries.append(entry)
        record[plain(profiler, at="", not_finite=not_finite)] = entries
    return record


def expand_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as the JSON report holds it: arrays as lists. A record that is expanded already comes out equal."""
    expanded = dict(record)
    not_finite: dict[str, str] = dict(record["not_finite"])
    if accuracy := record["accuracy"]:
        predictions = dict(accuracy["predictions"])
        for name in ("rows", "labels", "predicted"):
            place = f"/accuracy/predictions/{name}"
            predictions[name] = unpack(predictions[name], at=place, not_finite=not_finite)
        expanded["accuracy"] = {**accuracy, "predictions": predictions}
    if latency := record["latency"]:
        samples = unpack(latency["samples_ns"], at="/latency/samples_ns", not_finite=not_finite)
        expanded["latency"] = {**latency, "samples_ns": samples}
    expanded["readings"] = {
        profiler: [
            {
                **entry,
                "samples": unpack(
                    entry["samples"],
                    at=f"/readings/{pointer_token(profiler)}/{index}/samples",
                    not_finite=not_finite,
                ),
            }
            for index, entry in enumerate(entries)
        ]
        for profiler, entries in record["readings"].items()
    }
    expanded["not_finite"] = not_finite
    return expanded


class ExpandedRecords(Sequence[Mapping[str, Any]]):
    """Records, each expanded when it is looked at: raw samples of a whole run need not be in memory as lists."""

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> ExpandedRecords: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | ExpandedRecords:
        if isinstance(index, slice):
            return ExpandedRecords(self._records[index])
        return expand_record(self._records[index])

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(expand_record, self._records)
