"""The wire between the pytest process and a predictor host, the same code on both ends.

A message is a frame on a pipe: the length of the header (4 bytes, unsigned, big-endian), then the header, a JSON object
in UTF-8. Tensors do not pass through the pipe: the header's ``tensors`` list says where each lies in an arena, a file
both processes have mapped. See ``docs/host-protocol.md``.
"""

import contextlib
import json
import mmap
import os
import struct
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy

PROTOCOL_VERSION = 1
MAXIMUM_HEADER = 64 * 1024 * 1024
MAXIMUM_DEPTH = 100
"""Levels of lists and objects in a header. How deep ``json`` itself goes differs from Python to Python."""
_TOO_DEEP = "a header whose JSON is nested too deep"
_LENGTH = struct.Struct(">I")
_ALIGNMENT = 64


class ProtocolError(Exception):
    """The other end sent something that is not a message of this protocol."""


def write_frame(descriptor: int, header: Mapping[str, Any]) -> None:
    """Write one message.

    :raises ProtocolError: for a header above ``MAXIMUM_HEADER`` bytes, or nested deeper than Python can follow.
    :raises OSError: when the other end is gone.
    """
    try:
        body = json.dumps(header, separators=(",", ":")).encode("utf-8")
    except RecursionError:
        raise ProtocolError(_TOO_DEEP) from None
    if len(body) > MAXIMUM_HEADER:
        raise ProtocolError("a header of {} bytes is over the limit of {}".format(len(body), MAXIMUM_HEADER))
    # A pipe may take less than it is given.
    view = memoryview(_LENGTH.pack(len(body)) + body)
    while view:
        view = view[os.write(descriptor, view) :]


def read_exactly(descriptor: int, count: int) -> bytes:
    """Read that many bytes. :raises EOFError: when the other end closed first."""
    chunks: List[bytes] = []
    while count:
        chunk = os.read(descriptor, min(count, 1 << 20))
        if not chunk:
            raise EOFError("the other end closed the pipe")
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def header_length(prefix: bytes) -> int:
    """The header's length from a frame's first four bytes. :raises ProtocolError: when absurd."""
    length: int = _LENGTH.unpack(prefix)[0]
    if length > MAXIMUM_HEADER:
        raise ProtocolError("a header of {} bytes is over the limit of {}".format(length, MAXIMUM_HEADER))
    return length


def _is_deep(value: Any) -> bool:
    # Level by level: recursion would itself fail at the depth that is looked for.
    level = [value]
    for _ in range(MAXIMUM_DEPTH + 1):
        level = [value for value in level if isinstance(value, (dict, list))]
        if not level:
            return False
        level = [item for value in level for item in (value.values() if isinstance(value, dict) else value)]
    return True


def parse_header(body: bytes) -> Dict[str, Any]:
    """The header of a frame. :raises ProtocolError: when it is not a JSON object, or nested above ``MAXIMUM_DEPTH``."""
    try:
        header = json.loads(body.decode("utf-8"))
    except ValueError as error:
        raise ProtocolError("a header that is not JSON: {}".format(error)) from None
    except RecursionError:
        raise ProtocolError(_TOO_DEEP) from None
    if not isinstance(header, dict):
        raise ProtocolError("a header that is not a JSON object")
    if _is_deep(header):
        raise ProtocolError(_TOO_DEEP)
    return header


def read_frame(descriptor: int) -> Dict[str, Any]:
    """Read one message.

    :raises EOFError: when the other end closed.
    :raises ProtocolError: when it is no message.
    """
    return parse_header(read_exactly(descriptor, header_length(read_exactly(descriptor, _LENGTH.size))))


def _whole(number: Any) -> bool:
    # In Python, True is an int.
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _read_place(place: Any) -> Tuple[str, numpy.dtype, Tuple[int, ...], int]:
    """Name, dtype, shape and offset of a place. :raises ProtocolError: when it is not a tensor's place."""
    if not isinstance(place, dict):
        raise ProtocolError("a tensor's place that is not a JSON object")
    name, text, shape, offset = (place.get(key) for key in ("name", "dtype", "shape", "offset"))
    if not isinstance(name, str):
        raise ProtocolError("a tensor without a name")
    if not isinstance(shape, list) or not all(_whole(n) for n in shape):
        raise ProtocolError("tensor {!r:.80} whose shape is not a list of sizes".format(name))
    if not isinstance(offset, int) or not _whole(offset):
        raise ProtocolError("tensor {!r:.80} without an offset".format(name))
    try:
        dtype = numpy.dtype(text) if isinstance(text, str) else None
    except Exception:  # whatever numpy's parser of dtypes raises
        dtype = None
    if dtype is None or dtype.hasobject or dtype.shape:
        raise ProtocolError("tensor {!r:.80} whose dtype is not one of plain numbers or text".format(name))
    return name, dtype, tuple(shape), offset


class Arena(object):
    """A file that both ends map; one end writes tensors into it, the other reads them in place.

    :param may_shrink: whether the other end could make the file shorter, since nothing seals it. To read beyond a
        file's end is a SIGBUS, so its size is then looked at before each access.
    """

    def __init__(self, descriptor: int, may_shrink: bool = False) -> None:
        self._descriptor = descriptor
        self._may_shrink = may_shrink
        self._map: Optional[mmap.mmap] = None

    def _ensure(self, size: int, grow: bool) -> mmap.mmap:
        if self._map is not None and self._may_shrink and os.fstat(self._descriptor).st_size < len(self._map):
            self._map = None
        if self._map is None or len(self._map) < size:
            if grow:
                # Half as much again, so that rows that grow slowly do not map the file anew each time.
                size = max(size + size // 2, 1 << 16)
                # Reserving now turns "no space" into an OSError here rather than a SIGBUS at the first write.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self._descriptor, 0, size)
                else:
                    os.ftruncate(self._descriptor, size)
            else:
                actual = os.fstat(self._descriptor).st_size
                if actual < size:
                    raise ProtocolError("a tensor lies outside its arena: {} of {} bytes".format(size, actual))
                size = actual
            self._map = mmap.mmap(self._descriptor, size)
        return self._map

    def forget(self) -> None:
        """Unmap, so that what passed no longer counts as this process's memory; views of it stay valid."""
        self._map = None

    def discard(self) -> None:
        """Unmap and give the file's memory back, where the kernel can; views of it read zeros from then on.

        A hole rather than a shorter file, since a view beyond a file's end is a SIGBUS.
        """
        size = os.fstat(self._descriptor).st_size
        remove = getattr(mmap, "MADV_REMOVE", None)
        if size and remove is not None:
            with mmap.mmap(self._descriptor, size) as whole, contextlib.suppress(OSError):
                whole.madvise(remove)
        self.forget()

    def allocate(self, tensors: Mapping[str, Any]) -> List[Dict[str, Any]]:
        """Lay out tensors given as name to ``(dtype, shape)``; returns their places and makes room.

        :raises OSError: when there is no space.
        :raises ProtocolError: for a dtype that holds objects.
        """
        places: List[Dict[str, Any]] = []
        offset = 0
        for name, (dtype, shape) in tensors.items():
            dtype = numpy.dtype(dtype)
            if dtype.hasobject:
                raise ProtocolError("tensor {!r} holds Python objects; only plain numbers and text pass".format(name))
            places.append({"name": name, "dtype": dtype.str, "shape": [int(n) for n in shape], "offset": offset})
            count = 1
            for n in shape:
                count *= int(n)
            offset += -(-count * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        self._ensure(max(offset, 1), True)
        return places

    def view(self, place: Mapping[str, Any]) -> numpy.ndarray:
        """The tensor at a place, without a copy; it holds until the arena's next message.

        :raises ProtocolError: when the place lies outside the arena, or is not a tensor's place.
        """
        name, dtype, shape, offset = _read_place(place)
        # Python's integers: sizes of a hostile place would overflow numpy's product.
        count = 1
        for n in shape:
            count *= n
        if count == 0 or dtype.itemsize == 0:
            try:
                return numpy.zeros(shape, dtype)
            except (ValueError, MemoryError):
                raise ProtocolError("tensor {!r:.80} whose sizes are too large".format(name)) from None
        mapped = self._ensure(offset + count * dtype.itemsize, False)
        array: numpy.ndarray = numpy.frombuffer(mapped, dtype, count, offset)
        try:
            return array.reshape(shape)
        except ValueError:  # more dimensions than numpy has
            raise ProtocolError("tensor {!r:.80} has {} dimensions".format(name, len(shape))) from None

    def write(self, tensors: Mapping[str, numpy.ndarray]) -> List[Dict[str, Any]]:
        """Copy tensors in; returns their places. Raises as :meth:`allocate`."""
        places = self.allocate({name: (array.dtype, array.shape) for name, array in tensors.items()})
        for place, array in zip(places, tensors.values()):
            if array.size:
                self.view(place)[...] = array
        return places

    def read(self, places: List[Dict[str, Any]]) -> Dict[str, numpy.ndarray]:
        """The tensors at these places, without a copy. :raises ProtocolError: when they are not tensors' places."""
        if not isinstance(places, list):
            raise ProtocolError("a message without a list of tensors")
        tensors = {}  # type: Dict[str, numpy.ndarray]
        for place in places:
            array = self.view(place)
            if place["name"] in tensors:
                raise ProtocolError("two tensors called {!r:.80}".format(place["name"]))
            tensors[place["name"]] = array
        return tensors
