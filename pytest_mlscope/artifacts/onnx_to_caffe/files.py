"""A Caffe net as it goes into files: a prototxt with the layers, a caffemodel with their weights.

Field numbers are those of ``caffe.proto`` (BVLC Caffe 1.0, https://github.com/BVLC/caffe); the encoding is protocol
buffers' (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

_NET_LAYER, _LAYER_NAME, _LAYER_TYPE, _LAYER_BLOBS = 100, 1, 2, 7
_BLOB_DATA, _BLOB_SHAPE, _SHAPE_DIM = 5, 7, 1


class Word(str):
    """The value of an enumeration, which a prototxt writes without quotes."""

    __slots__ = ()


@dataclass(frozen=True)
class Layer:
    """One layer. ``parameters`` are the fields of its own in ``LayerParameter``; ``blobs`` its weights, float32."""

    name: str
    kind: str
    bottoms: list[str]
    tops: list[str]
    parameters: dict[str, Any] = field(default_factory=dict)
    blobs: list[Array] = field(default_factory=list)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Word):
        # All other bytes as octal escapes, which every reader of the text format knows.
        plain = set(range(32, 127)) - set(b'"\\')
        return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in value.encode()) + '"'
    return str(value)


def _fields(message: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield f"{indent}{name} {{"
                yield from _fields(item, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{name}: {_literal(item)}"


def prototxt(name: str, layers: list[Layer]) -> str:
    """The net in protocol buffers' text format."""
    messages = [
        {"name": layer.name, "type": layer.kind, "bottom": layer.bottoms, "top": layer.tops, **layer.parameters}
        for layer in layers
    ]
    return "\n".join(_fields({"name": name, "layer": messages}, "")) + "\n"


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _chunk(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _blob(values: Array) -> bytes:
    shape = _chunk(_SHAPE_DIM, b"".join(map(_varint, values.shape)))
    # BlobProto.data is packed: one length, then the numbers, little-endian on every machine.
    return _chunk(_BLOB_SHAPE, shape) + _chunk(_BLOB_DATA, values.astype("<f4").tobytes())


def caffemodel(layers: list[Layer]) -> Iterator[bytes]:
    """A ``NetParameter`` with the weights alone, which Caffe finds by the layers' names, a layer at a time."""
    for layer in layers:
        if layer.blobs:
            head = _chunk(_LAYER_NAME, layer.name.encode()) + _chunk(_LAYER_TYPE, layer.kind.encode())
            yield _chunk(_NET_LAYER, head + b"".join(_chunk(_LAYER_BLOBS, _blob(blob)) for blob in layer.blobs))
