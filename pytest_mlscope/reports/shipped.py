"""The reports of the package and their options. Read in every pytest run: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_mlscope.reports.file_report import FileReport


@dataclass(frozen=True)
class ShippedReport:
    """A report that takes the path of its file as an option."""

    option: str
    help: str
    load: Callable[[], type[FileReport]]
    """Imports its class, once it is asked for."""

    @property
    def destination(self) -> str:
        """The option's name in ``config.getoption``.

        >>> SHIPPED_REPORTS[0].destination
        'mlscope_json'
        """
        return self.option.removeprefix("--").replace("-", "_")


def _json() -> type[FileReport]:
    from pytest_mlscope.reports.json_report import JsonReport

    return JsonReport


SHIPPED_REPORTS = (
    ShippedReport(
        "--mlscope-json",
        "Write every evaluation with its raw samples to this JSON file, interrupted runs included.",
        _json,
    ),
)
