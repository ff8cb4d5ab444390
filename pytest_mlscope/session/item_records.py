"""The record of an item, attached to its report for the controller."""

from __future__ import annotations

from functools import partial
from typing import cast

import pytest

from pytest_mlscope.documents import one_line
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.records import TestOutcome, make_record, plain_text, to_mapping
from pytest_mlscope.reports import junit_properties
from pytest_mlscope.session.case_evaluation import CaseEvaluation, failure_name, item_case
from pytest_mlscope.session.controller import RECORD_ATTRIBUTE
from pytest_mlscope.session.items.module import SUFFIX
from pytest_mlscope.session.items.run_state import run_state

CASE_EVALUATION = pytest.StashKey[CaseEvaluation]()


def _outcome(report: pytest.TestReport) -> TestOutcome:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return cast(TestOutcome, report.outcome)


def _reason(report: pytest.TestReport, raised: BaseException | None) -> str | None:
    if report.passed:
        return None
    wasxfail = getattr(report, "wasxfail", None)
    if wasxfail:
        return str(wasxfail).removeprefix("reason: ")
    if isinstance(raised, pytest.fail.Exception | pytest.skip.Exception) and raised.msg is not None:
        return raised.msg
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2])
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else report.longreprtext


def _begin_with_the_reason(report: pytest.TestReport, name: str) -> None:
    """The short summary has one line, which a manifest's own item begins with its model and framework already."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = str(crash.message).replace(name, "", 1)


def attach_record(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Give the report what was evaluated and how it ended. Reports of items without a case stay as they are."""
    case = item_case(item)
    if case is not None:
        # JUnit's older families write the file's path.
        report.location = (plain_text(report.location[0]), *report.location[1:])
    if case is None or not (report.when == "call" or (report.when == "setup" and not report.passed)):
        return
    made = item.stash.get(CASE_EVALUATION, None)
    try:
        evaluation = made.announce() if made is not None and report.when == "call" else None
    except (pytest.fail.Exception, pytest.skip.Exception):
        # The host died after the measurement: the outcome stands, and there is no provenance to record.
        evaluation = None
    plan = run_state(item.config).manifests.plan(case)
    kinds = [mark.name for mark in item.iter_markers() if mark.name in plan.manifest.registry.measurements]
    record_of = partial(
        make_record,
        nodeid=item.nodeid,
        kind=kinds[0] if kinds else "test",
        plan=plan,
        seconds=report.duration,
    )
    try:
        record = record_of(
            evaluation,
            outcome=_outcome(report),
            reason=_reason(report, call.excinfo.value if call.excinfo is not None else None),
            checks=made.checks if made is not None else (),
            comparison=made.comparison if made is not None else None,
            cannot_run=made.cannot_run(call.excinfo.value) if made is not None and call.excinfo else None,
        )
        mapping = to_mapping(record, packed=True)
    except (MlscopeError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        # A plugin's part of a result can hold anything. It costs its own item, not the whole session.
        report.outcome, report.longrepr = "failed", f"what was measured cannot be recorded: {one_line(error)}"
        record = record_of(None, outcome="failed", reason=report.longrepr, checks=())
        mapping = to_mapping(record, packed=True)
    setattr(report, RECORD_ATTRIBUTE, mapping)
    if item.path.name.endswith(SUFFIX):
        _begin_with_the_reason(report, f"{failure_name(case)}: ")
    item.user_properties.extend(junit_properties(record))
