"""Lines about work that takes long, each on a line of its own between pytest's dots and names."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_mlscope.errors import shown
from pytest_mlscope.recorder import Recorder

_CHANNEL = "mlscope_progress"


class ProgressLines(Recorder):
    """A plugin of every process that runs items; told by every room."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._interrupted: Any = None
        """What pytest says of the line that the latest of ours broke: a file, or the words before a test's outcome."""
        # Lines of pytest-xdist's workers come in a thread of their own.
        self._writing = threading.RLock()

    def progress(self, line: str) -> None:
        # A server's or a framework's words may stand in it.
        line = f"mlscope: {shown(line)}"
        worker = getattr(self._config, "workerinput", None)
        if worker is not None:
            # A worker has no terminal, and what it writes is captured.
            with contextlib.suppress(OSError, KeyError):
                worker[_CHANNEL].send(line)
            return
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            self._write(line)

    def _write(self, line: str) -> None:
        reporter = self._reporter()
        if reporter is None:
            if sys.__stderr__ is not None:
                print(line, file=sys.__stderr__, flush=True)  # progress, not a result
            return
        with self._writing:
            self._interrupted = reporter.currentfspath or self._interrupted
            reporter.ensure_newline()
            # Of dots that no file's name precedes, pytest keeps no account.
            if self._config.get_terminal_writer().width_of_current_line:
                reporter.line("")
            reporter.write_line(line)
            # What is still buffered when capturing goes on is captured.
            reporter.flush()

    def _reporter(self) -> pytest.TerminalReporter | None:
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter

    def _take_up(self) -> None:
        """Begin the line anew with what it began with, so that pytest goes on where it was."""
        begun, self._interrupted = self._interrupted, None
        reporter = self._reporter()
        # Else pytest has written something itself since, or the line had ended.
        if reporter is None or reporter.currentfspath is not None:
            return
        if isinstance(begun, Path):
            with contextlib.suppress(ValueError):  # another drive than where pytest began
                begun_as = os.path.relpath(begun, reporter.startpath)
                reporter.write(f"{begun_as} ")
                reporter.currentfspath = begun
        elif isinstance(begun, str):
            reporter.write(begun)
            reporter.currentfspath = begun

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Have the file's or the test's name before the outcome again, which would stand alone."""
        with self._writing:
            # Of pytest-xdist's workers, whose reports name theirs, each outcome has a line of its own.
            if hasattr(report, "node"):
                self._interrupted = None
            elif self._interrupted is not None and (report.when == "call" or not report.passed):
                self._take_up()
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None]:
        with self._writing:
            if isinstance(self._interrupted, Path):
                if self._config.rootpath / nodeid.split("::", maxsplit=1)[0] == self._interrupted:
                    self._take_up()
                self._interrupted = None
            return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give each worker of pytest-xdist a channel for its lines."""
        channel = node.gateway.newchannel()
        channel.setcallback(self._write)
        node.workerinput[_CHANNEL] = channel
