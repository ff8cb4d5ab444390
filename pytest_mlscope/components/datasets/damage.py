"""Damaged files, as the user sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

from pytest_mlscope.errors import DatasetError, MlscopeError

_MOST_BYTES = 2**60
_MOST_EMPTY_ROWS = 2**24


def check_shape(shape: tuple[int, ...], item_bytes: int) -> None:
    """See that a file's header says a shape that an array can have; NumPy takes what stands there.

    :raises ValueError: for a negative or boolean size, sizes that overflow, or rows without end that hold nothing.

    >>> check_shape((3, -1), 4)
    Traceback (most recent call last):
    ValueError: its header says the shape (3, -1), which no array has
    """
    wrong = any(isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in shape)
    if not wrong:
        # Sizes beside a zero count too: NumPy multiplies them before it sees the zero.
        wrong = prod(max(size, 1) for size in shape) * max(item_bytes, 1) > _MOST_BYTES
        empty_rows = 0 in shape[1:] or not item_bytes
        wrong = wrong or (bool(shape) and empty_rows and shape[0] > _MOST_EMPTY_ROWS)
    if wrong:
        raise ValueError(f"its header says the shape {shape!r:.80}, which no array has")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what a library raises inside into a :class:`DatasetError` of one line.

    What zipfile, numpy and pyarrow raise on a damaged file is anything from ``BadZipFile`` to ``IndexError``.
    """
    try:
        yield
    # Ours say already what is wrong, and too little memory is no damage of the file.
    except (MlscopeError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{what}: cannot be read: {reason}") from None
