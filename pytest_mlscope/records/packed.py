"""Arrays as short text while a record is under way: execnet takes 64 ms for 50,000 numbers in a list, 2 ms as text."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.records.plain_values import plain

ENCODING = "zlib+base64"


def pack(values: Any, *, at: str, not_finite: dict[str, str]) -> Any:
    """An array of numbers or truth values, any shape, as a mapping ``{packed, dtype, shape, data}``.

    Integers are stored in the smallest type that holds them. Arrays of other things become plain lists.

    >>> packed = pack([1, 2, 300], at="", not_finite={})
    >>> packed["dtype"], unpack(packed).tolist()
    ('<u2', [1, 2, 300])
    """
    array = np.asarray(values)
    if array.dtype.kind in "iu" and array.size:
        array = array.astype(_smallest(int(array.min()), int(array.max())))
    elif array.dtype.kind == "f" and array.dtype.itemsize > 8:
        # Long doubles have another format on each platform.
        array = array.astype(np.float64)
    elif array.dtype.kind not in "iufb":
        return plain(array, at=at, not_finite=not_finite)
    # Workers and readers of a journal may have another byte order.
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    # The fastest level, since packed text is short-lived: the report holds lists.
    data = zlib.compress(array.tobytes(), level=1)
    return {
        "packed": ENCODING,
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "data": base64.b64encode(data).decode("ascii"),
    }


def _smallest(lowest: int, highest: int) -> np.dtype[Any]:
    # numpy's own promotion of a signed and an unsigned 64-bit type is a float, which loses digits.
    for name in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"):
        limits = np.iinfo(name)
        if limits.min <= lowest and highest <= limits.max:
            return np.dtype(name)
    raise ValueError(f"no integer type holds both {lowest} and {highest}")


def is_packed(value: object) -> bool:
    """Whether :func:`pack` made it."""
    return isinstance(value, Mapping) and value.get("packed") == ENCODING


def unpack(packed: Mapping[str, Any]) -> NDArray[Any]:
    """Undo :func:`pack`. The array is read-only.

    :raises ValueError: when it is damaged.
    """
    try:
        raw = zlib.decompress(base64.b64decode(packed["data"]))
        array: NDArray[Any] = np.frombuffer(raw, dtype=packed["dtype"]).reshape(packed["shape"])
    except (binascii.Error, zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"a damaged array ({error})") from None
    return array


def listed(values: Any, *, at: str, not_finite: dict[str, str]) -> Any:
    """An array as lists. Elements that are not finite become ``None``; ``not_finite`` says how many."""
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        return plain(array, at=at, not_finite=not_finite)
    if array.dtype.kind != "f":
        return array.tolist()
    odd = ~np.isfinite(array)
    if not odd.any():
        return array.astype(np.float64).tolist()
    count = int(odd.sum())
    not_finite[at] = f"{count} element{'s' if count != 1 else ''}"
    elements = array.astype(np.float64).astype(object)
    elements[odd] = None
    return elements.tolist()
