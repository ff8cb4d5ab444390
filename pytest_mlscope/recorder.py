"""What goes on, for whoever watches: every room may tell it, and only views show it."""

from __future__ import annotations

from typing import TextIO

from pytest_mlscope.errors import shown


class Recorder:
    """Takes what a room tells. This one shows nothing; a view overrides :meth:`progress`.

    Spans belong here too, once there are any: ``hosts/clock_anchor.py`` puts a host's times and these on one line.

    >>> class Kept(Recorder):
    ...     def __init__(self):
    ...         self.lines = []
    ...
    ...     def progress(self, line):
    ...         self.lines.append(line)
    >>> kept = Kept()
    >>> kept.progress("round 2 of 3")
    >>> kept.waiting("waiting for another process")
    >>> kept.lines
    ['round 2 of 3', 'waiting for another process']
    """

    def progress(self, line: str) -> None:
        """One line about work that takes long; a server's or a framework's words may stand in it."""

    def waiting(self, line: str) -> None:
        """One line, once, when another process has held what is needed here for a while."""
        self.progress(line)

    def about(self, subject: str) -> Recorder:
        """One whose lines begin with what they are about."""
        return _Subject(self, subject)


class _Subject(Recorder):
    def __init__(self, whole: Recorder, subject: str) -> None:
        self._whole = whole
        self._subject = subject

    def progress(self, line: str) -> None:
        self._whole.progress(f"{self._subject}: {line}")

    def waiting(self, line: str) -> None:
        self._whole.waiting(f"{self._subject}: {line}")


class ConsoleRecorder(Recorder):
    """Writes each line to a stream, at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def progress(self, line: str) -> None:
        print(shown(line), file=self._stream, flush=True)


SILENT = Recorder()
"""Shows nothing."""
