"""Damaged files, as the user sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_mlscope.errors import DatasetError, MlscopeError


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what a library raises inside into a :class:`DatasetError` of one line.

    What zipfile, numpy and pyarrow raise on a damaged file is anything from ``BadZipFile`` to ``IndexError``.
    """
    try:
        yield
    except (MlscopeError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{what}: cannot be read: {reason}") from None
