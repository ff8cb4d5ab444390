"""Text in the width of the terminal."""

from __future__ import annotations

import itertools
import shutil
import sys
import textwrap

from pytest_mlscope.errors import shown

NARROWEST = 24
"""Columns; text is not folded into fewer."""


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; ``None`` where it is none, and lines stay whole for other programs."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def folded(text: str, *, width: int | None, indent: int) -> str:
    """The text in lines of at most ``width``, all but the first indented; words stay whole."""
    text = shown(text)
    if width is None or width - indent < NARROWEST:
        return text
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def folded_prose(text: str) -> str:
    """Paragraphs in the width that argparse gives to options; indented lines stay as they are."""
    width = max(shutil.get_terminal_size().columns - 2, NARROWEST)
    lines: list[str] = []
    for is_prose, group in itertools.groupby(text.splitlines(), key=lambda line: line[:1] not in ("", " ")):
        if is_prose:
            lines += textwrap.wrap(" ".join(group), width, break_long_words=False, break_on_hyphens=False)
        else:
            lines += group
    return "\n".join(lines)
