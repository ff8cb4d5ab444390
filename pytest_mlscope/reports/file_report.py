"""What a report of the package is: a file of a run, asked for by an option."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pytest_mlscope.components import ReportWriter
from pytest_mlscope.records import EvaluationRecord


class FileReport(ReportWriter):
    """A report in a file. One is made as the run begins, so that a wrong path is known before anything is measured."""

    title: ClassVar[str]
    """As the summary names it, such as ``JSON report``."""

    def __init__(self, path: Path) -> None:
        """:raises MlscopeError: when the path is not writable, or something else than such a report stands there."""
        self.path = path

    def append(self, record: EvaluationRecord) -> None:
        """Told of every record as it is made. By default nothing is kept before the end.

        :raises MlscopeError: when the record cannot be kept.
        """

    def close(self) -> None:
        """End a run that writes no report."""
