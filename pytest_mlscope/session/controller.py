"""The controller's part: gather records as items finish, see that none is missing, and write the reports."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_mlscope.components import ReportWriter, raised
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.quantities import plural
from pytest_mlscope.records import EvaluationRecord, RecordMappings, from_mapping, make_record
from pytest_mlscope.reports import SHIPPED_REPORTS, FileReport, run_facts, write_summary
from pytest_mlscope.session.items.module import SUFFIX

RECORD_ATTRIBUTE = "mlscope_record"
WORKER_MISTAKE = "mlscope_usage_error"
"""Key of ``workeroutput`` under which a worker says what is wrong with the command line."""


_RUN_NO_TEST = (
    *("collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test"),
    *("help", "markers", "cacheshow"),
)
"""Options of pytest, as ``config`` names them, with which it only shows something."""


def runs_no_test(config: pytest.Config) -> bool:
    """Whether pytest was asked to show something instead of running tests."""
    return any(config.getoption(name, None) not in (None, False) for name in _RUN_NO_TEST)


def reports_of(config: pytest.Config) -> list[FileReport]:
    """The reports that the command line asks for.

    :raises pytest.UsageError: when one cannot be written where it should.
    """
    # A run that only lists tests must leave an earlier report alone.
    if runs_no_test(config):
        return []
    reports: list[FileReport] = []
    for shipped in SHIPPED_REPORTS:
        if path := config.getoption(shipped.destination):
            try:
                reports.append(shipped.load()(Path(config.invocation_params.dir, path)))
            except MlscopeError as error:
                for each in reports:
                    each.close()
                raise pytest.UsageError(f"{shipped.option}: {error}") from None
    return reports


class Controller:
    """Lives in the process the user started, with or without xdist."""

    def __init__(self, config: pytest.Config, reports: Sequence[FileReport]) -> None:
        self._config = config
        self._started = time.time()
        self._reports = reports
        self._records: dict[str, EvaluationRecord] = {}
        self._expected: set[str] = set()
        self._reported: set[str] = set()
        self._lines: list[str] = []
        self._troubles: list[str] = []
        self._mistaken = False
        self._each = config.getoption("dist", "no") == "each"
        """Whether every worker runs every item: as many results, of as many machines or interpreters."""

    def _name(self, nodeid: str, node: Any) -> str:
        """What an item is called in the reports: with its worker, where each of several has a result for it."""
        return f"{nodeid}@{node.gateway.id}" if self._each and node is not None else nodeid

    def pytest_mlscope_register_report_writers(self) -> list[ReportWriter]:
        return list(self._reports)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._expected.update(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:
        self._expected.update(self._name(nodeid, node) for nodeid in ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        mistake = getattr(node, "workeroutput", {}).get(WORKER_MISTAKE)
        if mistake is not None:
            self._mistaken = True
            self._trouble(mistake)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = self._name(report.nodeid, getattr(report, "node", None))
        self._reported.add(name)
        travelled = getattr(report, RECORD_ATTRIBUTE, None)
        record = None if travelled is None else from_mapping(travelled)
        if record is None and _died_with_its_worker(report) and name not in self._records:
            record = _record_of_the_dead(report)
        if record is None:
            return
        record = self._records[name] = replace(record, nodeid=name)
        for each in self._reports:
            try:
                each.append(record)
            except MlscopeError as error:
                self._trouble(str(error))

    def _trouble(self, line: str) -> None:
        if line not in self._troubles:
            self._troubles.append(line)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        config = self._config
        if runs_no_test(config):
            return
        finished_well = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        missing = sorted(self._expected - self._reported)
        # After an interrupt, or with -x, some items are bound to have no result.
        if finished_well and missing:
            shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            self._trouble(f"{len(missing)} of {len(self._expected)} collected items have no result: {shown}")
        if exitstatus == pytest.ExitCode.OK and not self._reported:
            self._trouble("no item was run, though pytest would call this a success")
        elif exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._see_that_something_was_compared()
        if self._troubles and finished_well:
            exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._records:
            interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
            run = run_facts(config, self._started, time.time(), int(exitstatus), interrupted)
            self._write_reports(run.to_mapping(), RecordMappings(list(self._records.values())))
        else:
            # An earlier run's report is worth more than one of nothing.
            self._lines += [
                f"{each.title}: not written, for no model was evaluated: {each.path}" for each in self._reports
            ]
        if self._mistaken:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif self._troubles and finished_well:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _see_that_something_was_compared(self) -> None:
        """A gate that compared nothing has let everything through."""
        against = self._config.getoption("mlscope_against")
        if against is None or any(each.comparison and each.comparison.is_verdict for each in self._records.values()):
            return
        tests = plural(len(self._reported), "test")
        self._trouble(f"--mlscope-against {against}: nothing was compared in {tests}, so the run fails")

    def pytest_unconfigure(self) -> None:
        # Wrong options and the like end a run before any report is written.
        for each in self._reports:
            each.close()

    def _report_writers(self) -> list[ReportWriter]:
        hook_name = "pytest_mlscope_register_report_writers"
        try:
            registered = getattr(self._config.hook, hook_name)()
        except Exception as error:  # a third party's mistake must not lose what is built in
            self._trouble(f"{hook_name}: {raised(error)}")
            return self.pytest_mlscope_register_report_writers()
        writers: list[ReportWriter] = []
        for returned in registered:
            if not isinstance(returned, list | tuple):
                self._trouble(f"{hook_name}: returned {returned!r}; expected a list")
                continue
            for writer in returned:
                if isinstance(writer, ReportWriter):
                    writers.append(writer)
                else:
                    self._trouble(f"{hook_name}: returned {writer!r}; expected ReportWriters")
        return writers

    def _write_reports(self, run: dict[str, Any], evaluations: RecordMappings) -> None:
        for writer in self._report_writers():
            where = f"report writer {getattr(writer, 'name', type(writer).__name__)}"
            try:
                line = writer.write(run, evaluations)
            except MlscopeError as error:
                self._trouble(str(error))
            except Exception as error:  # a third party's report must not lose the others
                self._trouble(f"{where}: {raised(error)}")
            else:
                self._tell(line, where)
        where = "pytest_mlscope_write_reports"
        try:
            lines = self._config.hook.pytest_mlscope_write_reports(run=run, evaluations=evaluations)
        except Exception as error:  # likewise
            self._trouble(f"{where}: {raised(error)}")
        else:
            for line in lines:
                self._tell(line, where)

    def _tell(self, line: object, where: str) -> None:
        if isinstance(line, str):
            self._lines.extend([line] if line else [])
        elif line is not None:
            self._trouble(f"{where}: returned {line!r}; expected one line of text or None")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._records:
            write_summary(terminalreporter, list(self._records.values()), verbose=self._config.get_verbosity())
        for line in self._lines:
            terminalreporter.write_line(line)
        for line in self._troubles:
            terminalreporter.write_line(f"ERROR: {line}", red=True)


def _died_with_its_worker(report: pytest.TestReport) -> bool:
    """Of an item whose process died there is one report, which xdist makes up in the controller."""
    in_phase = report.when in ("setup", "call", "teardown")
    return report.failed and not in_phase and report.nodeid.partition("::")[0].endswith(SUFFIX)


def _record_of_the_dead(report: pytest.TestReport) -> EvaluationRecord:
    test = report.nodeid.partition("::")[2].partition("[")[0]
    return make_record(
        None,
        nodeid=report.nodeid,
        kind=test.removeprefix("test_"),
        plan=None,  # the controller collects nothing, so it knows no cases
        outcome="failed",
        reason=str(report.longrepr),
        checks=(),
        seconds=report.duration,
    )
