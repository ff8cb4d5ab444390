"""Reading YAML with the place of every key and value.

Scalars follow the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema), so ``1e-4`` is a number and
``no`` and ``2026-11-01`` are text. Everything is built from the parser's events, without recursion, so that no file
can exhaust the interpreter's stack or memory.
"""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

MAX_BYTES = 4 * 2**20
MAX_DEPTH = 64
MAX_NODES = 300_000
"""Keys and values, each alias counted as often as it is used."""
_LARGE = 2**16
"""Bytes."""
MAX_TEXT = 16_384
"""Characters of one text: no path, name or description needs more, and every check of one stays quick."""

# libyaml, where PyYAML was built with it: several times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# All but c-printable of YAML 1.2, section 5.1; the byte order mark is taken off before.
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
# UTF-32 first, since its little-endian mark begins with that of UTF-16.
_OTHER_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")
_TAG = "tag:yaml.org,2002:"
_NESTED = "nested too deep; allowed: {} levels"
_HINTS = {
    "cannot start any token": "; indent with spaces, and quote text that starts with %, @ or `",
    "mapping values are not allowed": '; quote text that ends with a colon or has one before a space, as in "400:"',
}
_OPENED = {
    "while parsing a flow sequence": "the list",
    "while parsing a flow mapping": "the mapping",
    "while scanning a quoted scalar": "the quoted text",
}

Path = tuple[str | int, ...]


class Position(NamedTuple):
    """1-based line and column, in characters."""

    line: int
    column: int


class SourceMistake(NamedTuple):
    """Something wrong with the file as YAML. ``path`` is where schema mistakes would only repeat it."""

    position: Position
    message: str
    path: Path | None


class _UnreadableError(Exception):
    def __init__(self, position: Position, message: str) -> None:
        super().__init__(message)
        self.position = position


class _Node:
    """A mapping, a list, or what an anchor names. Other scalars have none: there may be hundreds of thousands.

    Places are the parser's own marks, since few of them are ever asked for.
    """

    __slots__ = ("closed", "data", "depth", "items", "keys", "places", "size")

    def __init__(self, data: Any) -> None:
        self.data = data
        self.keys: dict[str, Any] = {}
        # By key, or one for each item of a list.
        self.places: Any = [] if isinstance(data, list) else {}
        self.items: dict[str | int, _Node] = {}
        self.size = 1
        self.depth = 0
        self.closed = True

    def place(self, part: str | int) -> Any:
        """Where an entry's value starts; ``None`` for one that does not exist."""
        if isinstance(self.places, dict):
            return self.places.get(part)
        return self.places[part] if isinstance(part, int) and 0 <= part < len(self.places) else None


_ABSENT = Position(1, 1)


@dataclass(frozen=True)
class Source:
    """A file's plain data, and where each part of it is written."""

    data: Any
    mistakes: tuple[SourceMistake, ...]
    readable: bool
    """Whether ``data`` is the file's content, ``mistakes`` aside."""
    _root: _Node | None = field(repr=False, default=None)
    _start: Position = _ABSENT

    def position(self, path: Path) -> Position:
        """Where a value starts; of the nearest mapping or list around it when it does not exist."""
        node, position = self._root, self._start
        for part in path:
            mark = node.place(part) if node is not None else None
            if node is None or mark is None:
                break
            position, node = _mark(mark), node.items.get(part)
        return position

    def key_position(self, path: Path) -> Position:
        """Where the key of a mapping's entry starts; of the value for an item of a list."""
        node = self._root
        for part in path[:-1]:
            node = node.items.get(part) if node is not None else None
        if node is not None and path and path[-1] in node.keys:
            return _mark(node.keys[str(path[-1])])
        return self.position(path)


def _place(text: str, index: int) -> Position:
    line = text.count("\n", 0, index)
    return Position(line + 1, index - (text.rfind("\n", 0, index) + 1) + 1)


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise _UnreadableError(_ABSENT, f"the file has {len(raw)} bytes; allowed: at most {MAX_BYTES}")
    for mark, encoding in _OTHER_ENCODINGS.items():
        if raw.startswith(mark):
            raise _UnreadableError(_ABSENT, f"the file is encoded in {encoding}; allowed: UTF-8")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        place = _place(before.removeprefix("\ufeff"), len(before.removeprefix("\ufeff")))
        raise _UnreadableError(place, f"byte 0x{raw[error.start]:02x} is not UTF-8; allowed: UTF-8") from None
    text = text.removeprefix("\ufeff")
    odd = _NOT_YAML.search(text)
    if odd:
        raise _UnreadableError(
            _place(text, odd.start()),
            f"the character U+{ord(odd.group()):04X} is not allowed in YAML; "
            'allowed: printable characters, others as an escape in double quotes such as "\\x07"',
        )
    return text


def _mark(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1) if mark is not None else _ABSENT


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _begun(error: yaml.MarkedYAMLError) -> str:
    """Where what was left open begins: that it is open shows only at a later line."""
    what = _OPENED.get(error.context or "")
    if what is None or error.context_mark is None:
        return ""
    line, column = _mark(error.context_mark)
    return f" ({what} begins at {line}:{column})"


_BRACKETS = re.compile(r"""  "(?:\\.|[^"\\])*" | '[^']*' | \#[^\n]* | [\[\]{}]  """, re.VERBOSE | re.DOTALL)


def _too_deep(text: str, start: int, end: int, depth: int) -> int | None:
    """Where brackets between ``start`` and ``end``, which ``depth`` levels hold, nest deeper than ``MAX_DEPTH``.

    libyaml reads up to 1024 characters ahead. Since 0.2.6 it gives up on 1000 brackets there, before any of them
    is an event. Which bracket is the first too many, only the text tells then.
    """
    for match in _BRACKETS.finditer(text, start, end):
        if match.group() in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return match.start()
        elif match.group() in "]}":
            depth -= 1
    return None


def _build(text: str, builder: _Builder) -> None:
    loader = _LOADER(text)
    try:
        # As yaml.parse does, without a generator's step for each of the events.
        builder.take(iter(loader.get_event, None))
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in (error.problem or ""):
            mark = error.problem_mark or error.context_mark
            place = _too_deep(text, builder.read_to, mark.index + 1, builder.depth) if mark is not None else None
            where = _mark(mark) if place is None else _place(text, place)
            raise _UnreadableError(where, _NESTED.format(MAX_DEPTH)) from None
        parts = [_one_line(part) for part in (error.context, error.problem) if part]
        hint = next((hint for problem, hint in _HINTS.items() if problem in parts[-1]), "")
        raise _UnreadableError(
            _mark(error.problem_mark or error.context_mark), f"not YAML: {', '.join(parts)}{hint}{_begun(error)}"
        ) from None
    except yaml.YAMLError as error:
        raise _UnreadableError(_ABSENT, f"not YAML: {_one_line(error)}") from None
    finally:
        loader.dispose()


def _number(text: str) -> int | float | None:
    """The number a plain scalar stands for, ``None`` if it is none. :raises ValueError: when out of range."""
    if text.isdigit() and text.isascii() and len(text) < 19:
        return int(text)
    if _INT.fullmatch(text):
        # int() of over 4,300 digits raises an error of its own; 64 bits have 20.
        too_long = len(text) > 30
        value = 0 if too_long else int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
        if too_long or not -(2**63) <= value < 2**64:
            shown = f"{text[:20]}{'…' if len(text) > 20 else ''}"
            raise ValueError(f"the number {shown} does not fit in 64 bits; if it is text, put quotes around it")
        return value
    if _FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").replace(".n", "n")
                     .replace(".N", "n"))  # fmt: skip
    return None


_NOT_JUST_TEXT = frozenset("~nNtTfF+-.0123456789")
"""What null, booleans and numbers begin with."""


def _plain(text: str) -> Any:
    if text and text[0] not in _NOT_JUST_TEXT:
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    number = _number(text)
    return text if number is None else number


def is_plain_text(text: str) -> bool:
    """Whether text, written without quotes, is read as text and not as a number, a boolean or null.

    >>> is_plain_text("no"), is_plain_text("1e-4")
    (True, False)
    """
    try:
        return isinstance(_plain(text), str)
    except ValueError:
        return False


def _scalar(event: Any) -> Any:
    """:raises ValueError: when the scalar's text does not fit its tag."""
    text, tag = event.value, event.tag
    if len(text) > MAX_TEXT:
        raise ValueError(f"text has {len(text)} characters; allowed: at most {MAX_TEXT}")
    if tag is None and event.implicit[0]:
        # The text itself was searched for these already; only the escapes of quoted text can write them.
        return _plain(text)
    # Any text may become a path, and a path cannot hold a NUL.
    if "\0" in text:
        raise ValueError("text has a NUL character; allowed: any other")
    # An escape may write one; no report in UTF-8 could.
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("text has half of a surrogate pair; allowed: whole characters")
    if tag in (None, "!", f"{_TAG}str"):
        return text
    kind = tag.removeprefix(_TAG)
    if kind not in ("null", "bool", "int", "float"):
        raise ValueError(f"unknown tag {_shown(tag)}; allowed: none, for values are plain data")
    value = _plain(text)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if {"null": type(None), "bool": bool, "int": int, "float": float}[kind] is not type(value):
        raise ValueError(f"{text[:40]!r} is not of the type its tag '!!{kind}' says")
    return value


def _shown(tag: str) -> str:
    return repr(f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag)[:80]


def _kind(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"the number {value}"


class _Frame:
    __slots__ = ("is_mapping", "key", "key_mark", "mark", "node")

    def __init__(self, node: _Node, mark: Any, *, is_mapping: bool) -> None:
        self.node = node
        self.mark = mark
        self.is_mapping = is_mapping
        self.key: Any = _NO_KEY
        self.key_mark = mark


_NO_KEY = object()
_BAD_KEY = object()


class _Builder:
    def __init__(self) -> None:
        self.root: _Node | None = None
        self.start = _ABSENT
        self.mistakes: list[SourceMistake] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Node] = {}
        self._documents = 0
        self._plain = False
        """Whether the last scalar had no quotes."""
        self._last: Any = None

    @property
    def depth(self) -> int:
        """How many mappings and lists are open."""
        return len(self._stack)

    @property
    def read_to(self) -> int:
        """Index of the character after the last event."""
        return self._last.end_mark.index if self._last is not None and self._last.end_mark else 0

    def take(self, events: Iterable[Any]) -> None:
        """Build the whole of a file. Plain text and whole numbers, nearly all of a large one, go a short way."""
        stack, scalar = self._stack, yaml.ScalarEvent
        for event in events:
            self._last = event
            if type(event) is not scalar or event.anchor is not None or not stack or not event.implicit[0]:
                self._feed(event)
                continue
            text = event.value
            data: str | int
            if text and text[0] not in _NOT_JUST_TEXT and len(text) <= MAX_TEXT:
                data = text
            elif text.isdigit() and text.isascii() and len(text) < 19:
                data = int(text)
            else:
                self._feed(event)
                continue
            self._plain = True
            frame = stack[-1]
            node = frame.node
            key = frame.key
            if event.tag is not None or node.size >= MAX_NODES or key is _BAD_KEY:
                self._feed(event)
            elif not frame.is_mapping:
                node.data.append(data)
                node.places.append(event.start_mark)
                node.size += 1
                node.depth = node.depth or 1
            elif key is not _NO_KEY:
                node.keys[key] = frame.key_mark
                node.data[key] = data
                node.places[key] = event.start_mark
                node.size += 1
                node.depth = node.depth or 1
                frame.key = _NO_KEY
            else:
                self._feed(event)

    def _feed(self, event: Any) -> None:
        kind, mark = type(event), event.start_mark
        if kind is yaml.ScalarEvent:
            data = None
            try:
                data = _scalar(event)
            except ValueError as error:
                self._mistake(_mark(mark), str(error))
            self._plain = not event.style
            if event.anchor is None and self._stack:
                self._add(data, mark)
                return
            node = _Node(data)
            self._anchor(event, node)
            self._add(data, mark, node)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._open(event, _mark(mark))
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            frame = self._stack.pop()
            frame.node.closed = True
            self._add(frame.node.data, frame.mark, frame.node)
        elif kind is yaml.AliasEvent:
            self._alias(str(event.anchor), mark)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise _UnreadableError(_mark(mark), "a second document starts here; allowed: one document a file")

    def _open(self, event: Any, position: Position) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_TAG}{'map' if is_mapping else 'seq'}"):
            self._mistake(position, f"unknown tag {_shown(event.tag)}; allowed: none, for values are plain data")
        if len(self._stack) >= MAX_DEPTH:
            raise _UnreadableError(position, _NESTED.format(MAX_DEPTH))
        node = _Node({} if is_mapping else [])
        node.closed = False
        self._anchor(event, node)
        self._stack.append(_Frame(node, event.start_mark, is_mapping=is_mapping))

    def _anchor(self, event: Any, node: _Node) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _alias(self, name: str, mark: Any) -> None:
        node = self._anchors.get(name)
        if node is None:
            raise _UnreadableError(_mark(mark), f"alias *{name:.60} has no anchor &{name:.60} before it")
        if not node.closed:
            raise _UnreadableError(_mark(mark), f"alias *{name:.60} makes a cycle: it stands inside what it refers to")
        self._add(node.data, mark, node)

    def _path(self) -> Path:
        parts: list[str | int] = []
        for frame in self._stack:
            if not frame.is_mapping:
                parts.append(len(frame.node.data))
            elif isinstance(frame.key, str):
                parts.append(frame.key)
            else:
                break
        return tuple(parts)

    def _mistake(self, position: Position, message: str) -> None:
        self.mistakes.append(SourceMistake(position, message, self._path()))

    def _add(self, data: Any, mark: Any, node: _Node | None = None) -> None:
        """:param node: of data that has one."""
        if not self._stack:
            self.root, self.start = node, _mark(mark)
            return
        frame = self._stack[-1]
        parent = frame.node
        # An alias is a reference here, but a tree to whoever walks the data: ten levels of ten are ten billion.
        parent.size += 1 if node is None else node.size
        if parent.size > MAX_NODES:
            raise _UnreadableError(_mark(mark), f"too many values, aliases expanded; allowed: {MAX_NODES}")
        depth = 0 if node is None else node.depth
        if parent.depth <= depth:
            parent.depth = depth + 1
        if len(self._stack) + depth > MAX_DEPTH:
            raise _UnreadableError(_mark(mark), f"nested too deep, aliases expanded; allowed: {MAX_DEPTH} levels")
        key = frame.key
        if not frame.is_mapping:
            key = len(parent.data)
            parent.data.append(data)
            parent.places.append(mark)
        elif key is _NO_KEY:
            frame.key, frame.key_mark = self._key(frame, data, mark), mark
            return
        else:
            frame.key = _NO_KEY
            if key is _BAD_KEY:
                return
            parent.keys[key] = frame.key_mark
            parent.data[key] = data
            parent.places[key] = mark
        if node is not None:
            parent.items[key] = node

    def _key(self, frame: _Frame, key: Any, mark: Any) -> Any:
        if not isinstance(key, str):
            message = f"the key is {_kind(key)}; allowed: text, in quotes where it looks otherwise"
        elif key == "<<" and self._plain:  # in quotes it is text, as in JSON
            message = "merge keys '<<' are not part of YAML 1.2; allowed: keys written out"
        elif key in frame.node.keys:
            line = _mark(frame.node.keys[key]).line
            message = f"duplicate key {key!r:.60}; allowed: once, and line {line} has it"
        else:
            return key
        self.mistakes.append(SourceMistake(_mark(mark), message, None))
        return _BAD_KEY


@contextlib.contextmanager
def _without_collections(size: int) -> Iterator[None]:
    """Python's collector of cycles off: it would go through all that a large file becomes again and again, for nothing,
    which is half of the time."""
    pause = size >= _LARGE and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


def read_source(raw: bytes) -> Source:
    """Read a file's bytes; whatever is wrong with them ends up in ``mistakes``, nothing is raised.

    >>> source = read_source(b"schema: 1\\ntask: classification\\n")
    >>> source.data, source.position(("task",))
    ({'schema': 1, 'task': 'classification'}, Position(line=2, column=7))
    """
    builder = _Builder()
    try:
        with _without_collections(len(raw)):
            _build(_decode(raw), builder)
        if builder.root is None:
            raise _UnreadableError(_ABSENT, "the file is empty; required: a mapping with the key 'schema' and others")
    except _UnreadableError as error:
        mistakes = (*builder.mistakes, SourceMistake(error.position, str(error), None))
        return Source(None, mistakes, readable=False)
    return Source(builder.root.data, tuple(builder.mistakes), True, builder.root, builder.start)
