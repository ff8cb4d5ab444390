"""The journal: each record on disk as soon as it exists, so that a killed run loses nothing it measured."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
from io import FileIO
from pathlib import Path

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.ordinary_files import why_not_ordinary
from pytest_mlscope.records import EvaluationRecord, MalformedRecord, from_mapping, to_mapping


class Journal:
    """``PATH.partial``: one record a line, whole lines only; gone once the report at ``PATH`` is complete.

    Opening it at the session's start shows early that the report will be writable. The journal of an earlier run that
    was killed is kept as ``PATH.partial.1``, ``.2`` and so on.

    :raises MlscopeError: when the folder or file cannot be written, or another run is writing the same report.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve()
        self.path = path.with_name(f"{path.name}.partial")
        self.records = 0
        """How many records were given to :meth:`append`."""
        self._unwritten: list[bytes] = []
        self._torn = False
        if path.is_dir():
            raise MlscopeError(f"{path}: is a folder; give the path of a file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and (wrong := why_not_ordinary(self.path.stat().st_mode)):
                raise MlscopeError(f"{self.path}: {wrong.removeprefix('it ')}; remove it, or give another path")
            self._file = self._open()
        except OSError as error:
            raise MlscopeError(f"{path}: cannot be written: {error.strerror or error}") from None

    @property
    def unwritten(self) -> int:
        """How many records are not on disk."""
        return len(self._unwritten)

    def _open(self) -> FileIO:
        # Without a buffer: what Python still held would be lost with a killed process.
        file = self.path.open("ab", buffering=0)
        try:
            _lock(file, self.path)
            # Under the lock, content can only be from a run that has ended.
            if file.tell() == 0:
                return file
            for number in itertools.count(1):
                kept = self.path.with_name(f"{self.path.name}.{number}")
                if not kept.exists():
                    break
            self.path.rename(kept)
        except BaseException:
            file.close()
            raise
        # An open file keeps its renamed path, so this run needs a new one.
        file.close()
        return self._open()

    def append(self, record: EvaluationRecord) -> None:
        """Write one record, after those that could not be written before.

        :raises MlscopeError: when it cannot be written; the journal stays usable.
        """
        self.records += 1
        line = json.dumps(to_mapping(record, packed=True), allow_nan=False, separators=(",", ":"))
        self._unwritten.append(line.encode("ascii") + b"\n")
        try:
            self._write()
        except OSError as error:
            raise MlscopeError(
                f"{self.path}: cannot be written: {error.strerror or error}; "
                "results are still in memory and the report is written at the end of the run"
            ) from None

    def _write(self) -> None:
        while self._unwritten:
            end = os.fstat(self._file.fileno()).st_size
            # A line that could neither be finished nor taken back must not swallow the next one.
            rest = memoryview(b"\n" * self._torn + self._unwritten[0])
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                # A full disk takes part of a line. Taking it back needs no space.
                self._torn = True
                with contextlib.suppress(OSError):
                    self._file.truncate(end)
                    self._torn = False
                raise
            self._torn = False
            del self._unwritten[0]

    def close(self, success: bool) -> None:
        """Close it, and remove it when the report is complete or when it holds nothing. Further calls do nothing."""
        if self._file.closed:
            return
        with contextlib.suppress(OSError):
            # There may be space again.
            self._write()
        if success or not os.fstat(self._file.fileno()).st_size:
            self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._file.close()


def read_journal(path: Path) -> list[EvaluationRecord]:
    """The records of a journal that a killed run left; a line that was cut short is passed over.

    :raises MlscopeError: when it cannot be read, or holds something else than records.
    """
    records: list[EvaluationRecord] = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                try:
                    records.append(from_mapping(entry))
                except MalformedRecord as error:
                    raise MlscopeError(f"{path}: line {number} is no record ({error})") from None
    except OSError as error:
        raise MlscopeError(f"{path}: cannot be read: {error.strerror or error}") from None
    return records


def _lock(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MlscopeError(f"{path}: another run is writing this report; give each run a path of its own") from None
    except OSError as error:
        # Some network file systems have no locks; there two runs must be kept apart by their paths.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
