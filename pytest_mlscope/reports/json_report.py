"""The JSON report, schema 1: every record of a run in one strict JSON file. ``docs/json-report.md`` documents it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_mlscope.assets import shipped_root
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.files import replacing
from pytest_mlscope.output_files import require_replaceable
from pytest_mlscope.quantities import plural
from pytest_mlscope.records import FORMAT, EvaluationRecord, RecordMappings
from pytest_mlscope.reports.file_report import FileReport
from pytest_mlscope.reports.journal import Journal, read_journal

REPORT_BEGINNING = r'\s*\{\s*"schema"\s*:\s*\d+\s*,\s*"run"\s*:'
"""What every report of ours begins with, laid out by another program or not."""
_WHAT = "a JSON report of --mlscope-json"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every report is valid against."""
    schema: dict[str, Any] = json.loads((shipped_root() / "reports" / "evaluations.schema.json").read_text("utf-8"))
    return schema


def write_json(path: Path, run: Mapping[str, Any] | None, evaluations: Iterable[Mapping[str, Any]]) -> None:
    """Write the report; readers see the old file or the whole new one, never a part.

    One evaluation a line and one in memory at a time, however many samples there are.

    :param run: facts of the run, as :meth:`RunRecord.to_mapping` gives them.
    :param evaluations: as :func:`to_mapping` gives them.
    :raises MlscopeError: when it cannot be written.
    """
    # A symbolic link goes on pointing to the report.
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, encoding="ascii") as file:
            file.write(f'{{"schema":{FORMAT},"run":{_dump(run)},"evaluations":[')
            for index, evaluation in enumerate(evaluations):
                file.write(",\n" if index else "\n")
                file.write(_dump(evaluation))
            file.write("\n]}\n")
    except OSError as error:
        raise MlscopeError(f"{path}: cannot be written: {error.strerror or error}") from None


def recover(journal: Path, path: Path) -> int:
    """Make a report of the journal that a killed run left; its ``run`` is null.

    :returns: the number of evaluations in it.
    :raises MlscopeError: when the journal cannot be read or the report not be written.
    """
    require_replaceable(path, beginning=REPORT_BEGINNING, what=_WHAT)
    records = read_journal(journal)
    write_json(path, None, RecordMappings(records))
    return len(records)


class JsonReport(FileReport):
    """Keeps a journal while the run goes on and writes the report at its end."""

    name = "json"
    title = "JSON report"

    def __init__(self, path: Path) -> None:
        """:raises MlscopeError: when the path is not writable, or something else than a report stands there."""
        require_replaceable(path, beginning=REPORT_BEGINNING, what=_WHAT)
        super().__init__(path)
        self._journal = Journal(path)

    def append(self, record: EvaluationRecord) -> None:
        """Keep a record safe until the report is written. :raises MlscopeError: when it cannot be."""
        self._journal.append(record)

    def write(self, run: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> str:
        """:raises MlscopeError: when the report cannot be written; the message says what is kept and what is lost."""
        try:
            write_json(self.path, run, evaluations)
        except MlscopeError as error:
            self._journal.close(success=False)
            elsewhere = self._rescue(run, evaluations) if self._journal.unwritten else None
            kept = f"the report is in {elsewhere} instead; move it from there" if elsewhere else self._kept()
            raise MlscopeError(f"{error}; {kept}") from None
        self._journal.close(success=True)
        return f"{self.title}: {self.path}"

    def _rescue(self, run: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> Path | None:
        """Where else the report could be written: a full disk is full for the journal too."""
        for folder in _other_file_systems(self.path.resolve().parent):
            with contextlib.suppress(MlscopeError, OSError):
                # A folder of our own: others may write where temporary files are.
                path = Path(tempfile.mkdtemp(prefix="mlscope-", dir=folder)) / self.path.name
                try:
                    write_json(path, run, evaluations)
                except MlscopeError:
                    path.parent.rmdir()
                    raise
                return path
        return None

    def _kept(self) -> str:
        lost, all_of_them = self._journal.unwritten, self._journal.records
        if not lost:
            return f"what was measured is in {self._journal.path}"
        if lost == all_of_them:
            return f"what was measured is lost ({plural(lost, 'evaluation')}); free space and run again"
        return (
            f"{lost:,} of {plural(all_of_them, 'evaluation')} are lost; the others are in {self._journal.path}; "
            "free space and run again"
        )

    def close(self) -> None:
        """End a run that writes no report: an earlier report stays, and so do evaluations in the journal."""
        self._journal.close(success=False)


def _other_file_systems(folder: Path) -> Iterator[Path]:
    """Folders for temporary files that are on another file system than ``folder``."""
    shared = ("/var/tmp", "/dev/shm")  # noqa: S108  # a folder of our own is made there
    for other in dict.fromkeys(map(Path, (tempfile.gettempdir(), *shared))):
        with contextlib.suppress(OSError):
            if other.stat().st_dev != folder.stat().st_dev and os.access(other, os.W_OK):
                yield other


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
