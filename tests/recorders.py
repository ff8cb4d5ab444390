"""What tests are told by a room."""

from __future__ import annotations

from pytest_mlscope.recorder import Recorder


class Told(Recorder):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, line: str) -> None:
        self.lines.append(line)
