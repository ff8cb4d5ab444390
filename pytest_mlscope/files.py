"""Writing files that readers never see half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path, mode: str = "w", *, encoding: str | None = "utf-8") -> Iterator[IO[Any]]:
    """A file to write that takes the place of ``path`` when the block ends; when it raises, ``path`` stays as it is.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "figures.txt"
    >>> with replacing(path) as file:
    ...     _ = file.write("42")
    >>> path.read_text()
    '42'

    :param encoding: of text; ``None`` for bytes.
    :raises OSError: when it cannot be written; nothing is left behind then.
    """
    # In the same folder, since only there a rename is one step. Two processes never write the same one.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open(mode, encoding=encoding) as file:
            yield file
            file.flush()
            # Without it, a machine that goes down soon after may keep the new name with old or no content.
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        # Gone already when it was renamed.
        unfinished.unlink(missing_ok=True)
