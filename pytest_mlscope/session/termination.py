"""SIGTERM ends a run as an interrupt does, with its reports."""

from __future__ import annotations

import signal
import threading


class Terminated(KeyboardInterrupt):
    """SIGTERM came. pytest finishes the session as after Ctrl-C."""


class TerminationPlugin:
    """Lives in the process the user started. What a program of the user's does with the signal stays as it is."""

    def __init__(self) -> None:
        self._installed = False
        self._came = False

    def pytest_sessionstart(self) -> None:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._end)
            self._installed = True

    def _end(self, _: int, __: object) -> None:
        # timeout(1) sends it twice; the second must not break off the writing of reports.
        if not self._came:
            self._came = True
            raise Terminated("SIGTERM")

    def pytest_unconfigure(self) -> None:
        if self._installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._installed = False
