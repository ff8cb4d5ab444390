"""What a report writer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any


class ReportWriter(ABC):
    """Writes a report of a whole run, in the controller process, after the last evaluation."""

    name: str

    @abstractmethod
    def write(self, run: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> str | None:
        """Write the report.

        :param run: facts of the run, as under ``run`` in the JSON report.
        :param evaluations: one mapping per test item, as under ``evaluations`` in the JSON report.
        :returns: one line for the terminal, such as where the report lies.
        """
