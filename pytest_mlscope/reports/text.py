"""Text that a terminal can show: its own encoding, one line, no control characters."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len

_ASCII = {
    "µ": "u",
    "≥": ">=",
    "≤": "<=",
    "±": "+/-",
    "×": "x",
    "·": "-",
    "–": "-",
    "—": "-",
    "\u2011": "-",
    "−": "-",
    "…": "...",
    "≠": "!=",
    "≈": "~",
    "→": "->",
    "’": "'",
    "Δ": "d",
    "\u00a0": " ",
}


class TerminalText:
    """Fits any text to a terminal's encoding: ``µ`` becomes ``u`` and ``≥`` becomes ``>=`` where it has none.

    What reaches it may come from a framework's output or a file's name: control and invisible formatting characters,
    with which such text could move the cursor or hide, become ``?``; line breaks become spaces.

    >>> TerminalText("ascii")("5 µs\\n≥ 3")
    '5 us >= 3'
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def __call__(self, text: str) -> str:
        line = " ".join(text.split())
        if line.isascii() and line.isprintable():
            return line
        return "".join(self._character(character) for character in line)

    def _character(self, character: str) -> str:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn"):
            return "?"
        try:
            character.encode(self._encoding)
        except UnicodeEncodeError:
            return _ASCII.get(character, "?")
        return character

    def shorten(self, text: str, width: int) -> str:
        """Leave out the middle of a text that is wider than ``width`` cells."""
        if cell_len(text) <= width:
            return text
        mark = self("…")
        room = width - cell_len(mark)
        if room < 2:
            return _take(text, width)
        start = _take(text, (room + 1) // 2)
        end = _take(text[::-1], room - cell_len(start))[::-1]
        return f"{start}{mark}{end}"


def wrap(text: str, width: int, *, first: str = "", following: str = "") -> list[str]:
    """Break a line at spaces into lines of at most ``width`` cells; only words longer than a line are cut.

    :param first: what the first line starts with.
    :param following: what each further line starts with.

    >>> wrap("one two three", 9, following="  ")
    ['one two', '  three']
    """
    lines: list[str] = []
    line, room_used = first, False
    for word in text.split():
        rest = word
        while True:
            joined = f"{line} {rest}" if room_used else f"{line}{rest}"
            if cell_len(joined) <= width:
                line, room_used = joined, True
                break
            if room_used:
                lines.append(line)
                line, room_used = following, False
                continue
            head = _take(rest, max(width - cell_len(line), 2))
            lines.append(f"{line}{head}")
            line, rest = following, rest[len(head) :]
            if not rest:
                break
    return [*lines, line] if room_used else lines


def _take(text: str, width: int) -> str:
    """As much of the start of a text as fits into ``width`` cells."""
    used = 0
    for index, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:index]
    return text
