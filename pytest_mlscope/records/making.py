"""From an evaluation to its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pytest_mlscope.cases import Plan
from pytest_mlscope.components import Check
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.measurements import KEPT_ROW_ELEMENTS, Accuracy, Evaluation, Predictions
from pytest_mlscope.records.comparison import Comparison
from pytest_mlscope.records.record import CaseRecord, EvaluationRecord, TestOutcome

KEPT_ELEMENTS = 2**21
"""Predictions and values of rows with more elements than this are left out of records, which then say so: at that size
they are a dataset of their own (a segmentation mask per row), not a line of a report."""


def make_record(
    evaluation: Evaluation | None,
    *,
    nodeid: str,
    kind: str,
    plan: Plan | None,
    outcome: TestOutcome,
    reason: str | None,
    checks: Sequence[Check],
    seconds: float,
    comparison: Comparison | None = None,
    cannot_run: CannotRun | None = None,
) -> EvaluationRecord:
    """The record of one test item.

    :param evaluation: ``None`` where nothing was measured.
    :param kind: ``accuracy``, ``parity``, ``latency``, or ``test`` for a hand-written one.
    :param plan: taken from the evaluation when ``None``.
    :param reason: why it was skipped, failed or was expected to fail, in words.
    :param cannot_run: why it was skipped or failed, where that was this error: it knows more than the words.
    :param seconds: wall time of the item.
    :param comparison: with the baseline, where the run has one.
    """
    plan = plan or (evaluation.plan if evaluation else None)
    # A bound that does not hold is another reason, even where there is no comparison either.
    is_skipped_for_it = outcome == "skipped" and comparison is not None and comparison.outcome == "not compared"
    skipped_for = comparison if is_skipped_for_it else None
    record = EvaluationRecord(
        nodeid=nodeid,
        kind=kind,
        outcome=outcome,
        reason=_reason(reason, cannot_run, skipped_for),
        subject=cannot_run.subject if cannot_run else None,
        command=cannot_run.command if cannot_run else _command(comparison, skipped_for),
        seconds=seconds,
        case=CaseRecord.of(plan) if plan else None,
        checks=tuple(checks),
        comparison=comparison,
    )
    if evaluation is None:
        return record
    return replace(
        record,
        key=evaluation.key,
        provenance=evaluation.provenance,
        accuracy=_kept(evaluation.accuracy, evaluation.plan) if evaluation.accuracy else None,
        parity=evaluation.parity,
        latency=evaluation.latency,
        layers=evaluation.layers,
        readings=evaluation.readings,
        measurements=evaluation.measurements,
    )


def _reason(reason: str | None, cannot_run: CannotRun | None, skipped_for: Comparison | None) -> str | None:
    """Without the command, which is a field of its own."""
    if cannot_run:
        return cannot_run.reason
    if reason is not None and skipped_for and skipped_for.command:
        return "\n".join(skipped_for.messages)
    return reason


def _command(comparison: Comparison | None, skipped_for: Comparison | None) -> str | None:
    """What would make the comparison possible, where that it is not is why the test did not pass."""
    is_why = skipped_for is not None or (comparison is not None and bool(comparison.failed_with))
    return comparison.command if comparison is not None and is_why else None


def _kept(accuracy: Accuracy, plan: Plan) -> Accuracy:
    target = plan.manifest.registry.hardware_targets.get(plan.case.hardware)
    emulated = target is not None and target.emulated
    values = {name: each for name, each in accuracy.row_values.items() if each.size <= KEPT_ELEMENTS}
    return replace(
        accuracy,
        # How long an emulator took says nothing of the processor that it plays.
        seconds=None if emulated else accuracy.seconds,
        predictions=_kept_predictions(accuracy.predictions),
        row_values=values,
    )


def _kept_predictions(predictions: Predictions) -> Predictions:
    arrays = {"rows": predictions.rows, "labels": predictions.labels, "predicted": predictions.predicted}
    omitted = predictions.omitted
    for name, values in arrays.items():
        size = int(np.size(values))
        if values.shape[1:] == (0,):
            omitted = f"{name} has over {KEPT_ROW_ELEMENTS:,} elements a row"
        elif size > KEPT_ELEMENTS:
            omitted = f"{name} has {size:,} elements; up to {KEPT_ELEMENTS:,} are kept"
            arrays[name] = values[:0].reshape(0, 0)
    return Predictions(arrays["rows"], arrays["labels"], arrays["predicted"], omitted)
