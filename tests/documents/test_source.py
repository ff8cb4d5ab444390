"""YAML is read as YAML 1.2, with positions, and no file can do harm."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.documents.source import MAX_BYTES, MAX_DEPTH, read_source


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("+3", 3),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("True", True),
        ("false", False),
        ("2026-11-01", "2026-11-01"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("~", None),
        ("Null", None),
        ("''", ""),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!float 1", 1.0),
        ("!!int '7'", 7),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    source = read_source(f"key: {text}\n".encode())
    assert source.mistakes == ()
    assert source.data == {"key": value}
    assert type(source.data["key"]) is type(value)


def test_positions_of_keys_and_values() -> None:
    source = read_source("a:\n  - ü: [1, {b: two}]\nc: &x {d: 1}\ne: *x\n".encode())
    assert source.position(("a", 0, "ü", 1, "b")) == (2, 16)
    assert source.key_position(("a", 0, "ü", 1, "b")) == (2, 13)
    assert source.key_position(("a", 0, "ü")) == (2, 5)
    assert source.position(("e",)) == (4, 4), "an alias is where it is used"
    assert source.position(("e", "d")) == (3, 11), "and what is in it where that is written"
    assert source.position(("a", 0, "absent", 3)) == (2, 5), "the mapping around what does not exist"


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("raw", "place", "message"),
    [
        (b"", (1, 1), "the file is empty"),
        (b"# only\n", (1, 1), "the file is empty"),
        (b"x" * (MAX_BYTES + 1), (1, 1), f"at most {MAX_BYTES}"),
        ("a: 1".encode("utf-16"), (1, 1), "encoded in UTF-16; allowed: UTF-8"),
        ("a: 1".encode("utf-32"), (1, 1), "encoded in UTF-32; allowed: UTF-8"),
        (b"a: 1\nb: \xff\n", (2, 4), "byte 0xff is not UTF-8"),
        (b"\xef\xbb\xbfa: \xff\n", (1, 4), "byte 0xff is not UTF-8"),
        (b"a: 1\nb: \x00\n", (2, 4), "U+0000"),
        (b"a: 1\n---\nb: 2\n", (2, 1), "a second document"),
        (b"a: [1\n", (2, 1), "not YAML"),
        (b"a: 1\nb: [x\nc: 2\n", (3, 2), " (the list begins at 2:4)"),
        (b"b: {x: 1\nc: 2\n", (2, 2), " (the mapping begins at 1:4)"),
        (b"a: 'x\nb: 1\n", (3, 1), " (the quoted text begins at 1:4)"),
        (b"a: %x\n", (1, 4), "quote text that starts with %"),
        (b"a: *b\n", (1, 4), "has no anchor"),
        (b"a: &b\n  c: [*b]\n", (2, 7), "makes a cycle"),
        (LAUGHS.encode(), (6, 20), "too many values"),
        (b"[" * 500_000, (1, MAX_DEPTH + 1), "nested too deep"),
        (b"#\n" * 9 + b"[" * 500_000, (10, MAX_DEPTH + 1), "nested too deep"),
        (b'a: [x, "]}[[", ' + b"[" * 500_000, (1, 16 + MAX_DEPTH - 2), "nested too deep"),
        (b"- " * 100_000, (1, 2 * MAX_DEPTH + 1), "nested too deep"),
        (b"{a: " * 100_000, (1, 4 * MAX_DEPTH + 1), "nested too deep"),
        (
            b"".join(
                b"a%d: &a%d [[[[[[[[[[*a%d]]]]]]]]]]\n" % (n, n, n - 1) if n else b"a0: &a0 x\n" for n in range(9)
            ),
            (8, 19),
            "nested too deep, aliases expanded",
        ),
    ],
)
def test_what_cannot_be_read(raw: bytes, place: tuple[int, int], message: str) -> None:
    source = read_source(raw)
    assert not source.readable
    assert len(source.mistakes) == 1
    assert message in source.mistakes[0].message
    assert source.mistakes[0].position == place


def test_mistakes_that_leave_the_rest_readable() -> None:
    source = read_source(
        b"a: 1\na: 2\n3: x\n[1]: y\n<<: {z: 1}\n"
        b"b: !!python/object/apply:os.system [ls]\nc: !own x\nd: !!int x\ne: 99999999999999999999\n"
        b'f: "\\0"\nok: 1\n'
    )
    assert source.readable
    assert source.data["ok"] == 1
    assert source.data["a"] == 1
    assert [(mistake.position, mistake.path) for mistake in source.mistakes] == [
        ((2, 1), None),
        ((3, 1), None),
        ((4, 1), None),
        ((5, 1), None),
        ((6, 4), ("b",)),
        ((7, 4), ("c",)),
        ((8, 4), ("d",)),
        ((9, 4), ("e",)),
        ((10, 4), ("f",)),
    ]


def test_a_byte_order_mark_is_not_content() -> None:
    source = read_source(b"\xef\xbb\xbfa: 1\n")
    assert source.data == {"a": 1}
    assert source.key_position(("a",)) == (1, 1)


@given(st.binary(max_size=200) | st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@,? \n\t1.~<\u2028\x85é"), max_size=80))
def test_any_bytes_are_read_or_refused(content: bytes | str) -> None:
    """Whatever a file holds, reading it raises nothing: a crash at collection would name no place."""
    source = read_source(content.encode() if isinstance(content, str) else content)
    assert source.readable or source.mistakes
    for mistake in source.mistakes:
        assert mistake.position.line >= 1
        assert mistake.position.column >= 1


def _values() -> st.SearchStrategy[Any]:
    # JSON writes other characters as they are, and YAML wants those that do not print to be escaped.
    text = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]) | st.sampled_from("\n\t\x01"), max_size=9)
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | text
    )
    return st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))


@given(_values())
def test_json_is_read_as_json_reads_it(value: Any) -> None:
    """YAML 1.2's core schema makes JSON a subset of YAML: the values that come out must be those that went in."""
    source = read_source(json.dumps(value, ensure_ascii=False, indent=1).encode())
    assert source.mistakes == ()
    assert source.data == value


def test_a_quoted_merge_key_is_text() -> None:
    """JSON has no merge keys, and a column may be called so."""
    source = read_source(b'{"<<": 1}')
    assert source.mistakes == ()
    assert source.data == {"<<": 1}
    assert "merge keys" in read_source(b"a: &x {b: 1}\nc:\n  <<: *x\n").mistakes[0].message
