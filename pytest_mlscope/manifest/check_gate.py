"""Checks of ``gate``."""

from __future__ import annotations

from typing import get_args

from pytest_mlscope.components import asked
from pytest_mlscope.documents import Path, dotted, field_names
from pytest_mlscope.manifest.check_components import metric_names
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.kinds import kinds_made
from pytest_mlscope.manifest.schema.gate import AcceptedRegression, GatedQuantity
from pytest_mlscope.manifest.schema.section import Section

_QUANTITIES: tuple[GatedQuantity, ...] = get_args(GatedQuantity)


def _check_policy(findings: Findings, path: Path, policy: Section) -> None:
    if not policy.model_fields_set and findings.is_whole(*findings.place(path)):
        findings.about(path, f"is empty; required: at least one of {', '.join(field_names(type(policy)))}")


def _check_is_compared(findings: Findings, path: Path, quantity: GatedQuantity, *, key: bool) -> bool:
    """Whether tests of the kind that compares a quantity are made; nothing is said where that is not known."""
    content, measurements = findings.content, findings.registry.measurements
    if not all(findings.is_whole(name) for name in ("dataset", "metrics", "expect", "frameworks", "matrix", "kinds")):
        return True
    made = kinds_made(content, findings.registry, findings.further_bounds.kinds, baseline=True)
    measurement = next((each for each in measurements.values() if quantity in each.expects), None)
    if measurement is None or measurement.name in made:
        return True
    kind = measurement.name
    lack = asked(measurement, "lacking", content, baseline=True)
    why = f"the manifest does not have {lack}" if lack else f"kinds leaves out {kind!r}"
    message = f"{dotted(findings.place(path))} is never used, since {why}"
    (findings.at_key if key else findings.at)(path, message)
    return False


def _check_accepted(findings: Findings, path: Path, accepted: AcceptedRegression) -> None:
    gate, quantity = findings.content.gate, accepted.quantity
    if not _check_is_compared(findings, (*path, "quantity"), quantity, key=False):
        return
    if accepted.metric is not None:
        names = findings.metrics(metric_names(findings))
        if quantity != "accuracy":
            findings.about((*path, "metric"), f"is for quantity accuracy, not {quantity}")
        elif names is not None:
            findings.one_of((*path, "metric"), "the manifest's metrics", accepted.metric, names)
    if accepted.at_most is not None and quantity == "parity":
        findings.about((*path, "at_most"), "is not for parity, whose tolerances are those of expect.parity")
    if quantity != "accuracy" and getattr(gate, quantity).on_regression != "fail":
        policy = f"gate.{quantity}.on_regression is {getattr(gate, quantity).on_regression}"
        findings.about(path, f"accepts what does not fail, since {policy}; take one of them out")


def check_gate(findings: Findings) -> None:
    """Everything under ``gate`` but the selectors."""
    gate = findings.content.gate
    names = findings.metrics(metric_names(findings))
    for quantity in _QUANTITIES:
        path: Path = ("gate", quantity)
        if quantity not in gate.model_fields_set or not _check_is_compared(findings, path, quantity, key=True):
            continue
        if quantity != "accuracy":
            _check_policy(findings, path, getattr(gate, quantity))
            continue
        for metric, policy in gate.accuracy.items():
            if names is not None:
                findings.one_of((*path, metric), "the manifest's metrics", metric, names, key=True)
            _check_policy(findings, (*path, metric), policy)
    for index, accepted in enumerate(gate.accepted):
        _check_accepted(findings, ("gate", "accepted", index), accepted)
