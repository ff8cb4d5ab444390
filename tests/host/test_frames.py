"""The wire format: what goes in comes out, and what is malformed is refused rather than believed."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pytest_mlscope.host.frames import Arena, ProtocolError, parse_header, read_frame, write_frame

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
DTYPES = st.one_of(
    hnp.floating_dtypes(endianness="<"),
    hnp.integer_dtypes(endianness="<"),
    hnp.unsigned_integer_dtypes(endianness="<"),
    hnp.boolean_dtypes(),
    hnp.unicode_string_dtypes(endianness="<", max_len=5),
)


@pytest.fixture
def descriptor() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_a_frame_arrives_as_it_was_sent(header: dict[str, object]) -> None:
    """Headers carry paths and messages in any script: nothing may be lost on the way."""
    read, write = os.pipe()
    try:
        write_frame(write, header)
        assert read_frame(read) == header
    finally:
        os.close(read)
        os.close(write)


@given(
    st.dictionaries(
        st.text(min_size=1),
        DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))),
        max_size=4,
    )
)
def test_tensors_arrive_bit_for_bit(tensors: dict[str, NDArray[np.generic]]) -> None:
    """A dtype, a NaN payload or an empty dimension changed on the way would change what a model is asked."""
    with tempfile.TemporaryFile() as file:
        places = Arena(file.fileno()).write(tensors)
        received = Arena(file.fileno()).read(places)
        assert list(received) == list(tensors)
        for name, sent in tensors.items():
            assert received[name].dtype == sent.dtype
            assert received[name].shape == sent.shape
            assert received[name].tobytes() == sent.tobytes()


def test_an_arena_grows_and_is_mapped_anew(descriptor: int) -> None:
    writer, reader = Arena(descriptor), Arena(descriptor)
    for size in (1, 100_000, 3_000_000, 10):
        array = np.arange(size, dtype=np.int64)
        assert np.array_equal(reader.read(writer.write({"x": array}))["x"], array)


def test_tensors_are_aligned(descriptor: int) -> None:
    """Frameworks copy unaligned inputs, which would be timed as theirs."""
    places = Arena(descriptor).write({"a": np.zeros(3, np.uint8), "b": np.zeros(5), "c": np.zeros(1)})
    assert [place["offset"] % 64 for place in places] == [0, 0, 0]


def test_a_place_outside_the_arena_is_refused(descriptor: int) -> None:
    place = {"name": "x", "dtype": "<f8", "shape": [1 << 40], "offset": 0}
    with pytest.raises(ProtocolError, match="outside its arena"):
        Arena(descriptor).view(place)


def test_objects_are_refused(descriptor: int) -> None:
    with pytest.raises(ProtocolError, match="Python objects"):
        Arena(descriptor).write({"x": np.array([None])})


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b"{", b"null"])
def test_a_header_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_header(body)


def test_an_absurd_length_is_refused_before_anything_is_read() -> None:
    """A framework that prints into the pipe must not make the reader wait for gigabytes."""
    read, write = os.pipe()
    try:
        os.write(write, struct.pack(">I", 0xFFFFFFFF))
        with pytest.raises(ProtocolError, match="over the limit"):
            read_frame(read)
    finally:
        os.close(read)
        os.close(write)


def test_a_frame_cut_short_is_the_end() -> None:
    read, write = os.pipe()
    os.write(write, struct.pack(">I", 10) + b"{")
    os.close(write)
    try:
        with pytest.raises(EOFError):
            read_frame(read)
    finally:
        os.close(read)
