"""Lines about work that takes long, each on a line of its own between pytest's dots and names."""

from __future__ import annotations

import contextlib
import sys

import pytest

from pytest_mlscope.errors import shown
from pytest_mlscope.recorder import Recorder


class ProgressLines(Recorder):
    """A plugin of every process that runs items; told by every room."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._broke_in = False

    def progress(self, line: str) -> None:
        # A server's or a framework's words may stand in it.
        line = shown(line)
        reporter = self._reporter()
        if reporter is None:
            # A worker has no terminal; what it writes to its own stderr reaches the user's.
            if sys.__stderr__ is not None:
                print(f"mlscope: {line}", file=sys.__stderr__, flush=True)  # progress, not a result
            return
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            reporter.ensure_newline()
            # Of dots that no file's name precedes, pytest keeps no account.
            if self._config.get_terminal_writer().width_of_current_line:
                reporter.line("")
            reporter.write_line(f"mlscope: {line}")
            # What is still buffered when capturing goes on is captured.
            reporter.flush()
        self._broke_in = True

    def _reporter(self) -> pytest.TerminalReporter | None:
        if hasattr(self._config, "workerinput"):
            return None
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Have the file's name before the item's dot again, which would stand alone, and the next one's beside it."""
        reporter = self._reporter()
        has_dot = report.when == "call" or not report.passed
        if reporter is None or not self._broke_in or not has_dot:
            return
        self._broke_in = False
        if reporter.showfspath and not reporter.showlongtestinfo:
            reporter.write_fspath_result(report.nodeid, "")
