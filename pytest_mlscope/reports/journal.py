"""The journal: each record on disk as soon as it exists, so that a killed run loses nothing it measured."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pytest_mlscope.errors import MlscopeError


class Journal:
    """``PATH.partial``: one record a line, flushed; gone once the report at ``PATH`` is complete.

    Opening it at the session's start shows early that the report will be writable. The journal of an earlier run that
    was killed is kept as ``PATH.partial.1``, ``.2`` and so on.

    :raises MlscopeError: when the folder or file cannot be written, or another run is writing the same report.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve()
        self.path = path.with_name(f"{path.name}.partial")
        self._torn = False
        if path.is_dir():
            raise MlscopeError(f"{path}: is a folder; give the path of a file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
        except OSError as error:
            raise MlscopeError(f"{path}: cannot be written: {error.strerror or error}") from None

    def _open(self) -> BinaryIO:
        file = self.path.open("ab")
        try:
            _lock(file, self.path)
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
        file.close()
        return self._open()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record, packed or expanded.

        :raises MlscopeError: when it cannot be written; the journal stays usable.
        """
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
        # A line that a full disk cut short must not swallow the next one.
        line = b"\n" + line if self._torn else line
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self._torn = True
            raise MlscopeError(
                f"{self.path}: cannot be written: {error.strerror or error}; "
                "results are still in memory and the report is written at the end of the run"
            ) from None
        self._torn = False

    def close(self, success: bool) -> None:
        """Close it, and remove it when the report is complete. Further calls do nothing."""
        if self._file.closed:
            return
        if success:
            self.path.unlink(missing_ok=True)
        # What a full disk kept in the buffer was reported by append.
        with contextlib.suppress(OSError):
            self._file.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The records of a journal that a killed run left; a line that was cut short is passed over.

    :raises MlscopeError: when it cannot be read.
    """
    records: list[dict[str, Any]] = []
    try:
        with path.open("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        records.append(record)
    except OSError as error:
        raise MlscopeError(f"{path}: cannot be read: {error.strerror or error}") from None
    return records


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MlscopeError(f"{path}: another run is writing this report; give each run a path of its own") from None
    except OSError as error:
        # Some network file systems have no locks; there two runs must be kept apart by their paths.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
