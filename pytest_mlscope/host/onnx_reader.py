"""Fields of an ONNX file, which is a protobuf message, read without the onnx package and without its weights.

The wire format is that of https://protobuf.dev/programming-guides/encoding/. Weights are skipped, not read, so that a
hostile file costs time alone, and bounded time.
"""

import os
from typing import Any, BinaryIO, Iterator, Tuple

MAX_FIELDS = 20000000
"""A file with more fields outside its weights is refused; real files have far fewer."""

_WINDOW_BYTES = 1 << 14
"""What is read at once, since most fields are short."""


class NotOnnx(ValueError):
    """The file is not an ONNX file, or a malformed one."""


class FileBytes(object):
    """An open file's bytes, read when they are looked at, since files may be larger than memory.

    They are not mapped: what another program cuts off a mapped file is a SIGBUS, which ends the process.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()
        self._size = os.fstat(self._descriptor).st_size
        self._start = 0
        self._window = b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: slice) -> bytes:
        """From a first to a past-last place, both given. :raises NotOnnx: when they are no longer there."""
        at, past = place.start - self._start, place.stop - self._start
        if at >= 0 and past <= len(self._window):
            return self._window[at:past]
        start = place.start
        count = max(min(place.stop, self._size) - start, 0)
        window = b""
        while len(window) < count:
            # The system reads 2 GiB at once at the most.
            read = os.pread(self._descriptor, max(count, _WINDOW_BYTES) - len(window), start + len(window))
            if not read:
                raise NotOnnx("was cut short by another program while it was read")
            window += read
        if count <= _WINDOW_BYTES:
            self._start, self._window = start, window
        return window[:count]


class Reader(object):
    """Fields of protobuf messages in a buffer."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._fields = 0

    def text(self, start: int, end: int, limit: int = 64) -> str:
        """A name; one longer than any that matters is cut."""
        return bytes(self._data[start : min(end, start + limit)]).decode("utf-8", "replace")

    def name(self, start: int, end: int) -> int:
        """What stands for a tensor's name; never 0."""
        # A hash in place of the text, so that a million weights take little memory whatever their names' length.
        return hash(bytes(self._data[start : min(end, start + 1024)])) or 1

    def varint(self, start: int, end: int) -> Tuple[int, int]:
        """The number at a place, and the place after it."""
        value = 0
        # Ten bytes hold 64 bits; a longer varint is malformed.
        last = min(end, start + 10)
        content = self._data[start:last]
        if content and content[0] < 0x80:
            return content[0], start + 1
        for place, byte in enumerate(content):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, start + place + 1
        if last == end:
            raise NotOnnx("is cut short at byte {}".format(end))
        raise NotOnnx("is malformed at byte {}".format(last))

    def fields(self, start: int, end: int) -> Iterator[Tuple[int, int, int, int]]:
        """Number, wire type, and then a number and 0, or first and past-last byte, of each field of a message."""
        while start < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise NotOnnx("has more than {} fields".format(MAX_FIELDS))
            key, start = self.varint(start, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, start = self.varint(start, end)
                yield number, wire, value, 0
                continue
            if wire == 2:
                size, start = self.varint(start, end)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise NotOnnx("is malformed at byte {}".format(start))
            if size > end - start:
                raise NotOnnx("is cut short: a field at byte {} has {} bytes".format(start, size))
            yield number, wire, start, start + size
            start += size
