"""Mistakes in a file, as lines ``file:line:column: what is wrong; what is allowed (did you mean 'x'?)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_mlscope.documents.source import Path as DocumentPath
from pytest_mlscope.documents.source import Position
from pytest_mlscope.errors import MAX_LINE, printable
from pytest_mlscope.text import did_you_mean, meant_by, without_secrets

MAX_LINES = 100
"""Mistakes shown of one file; more get no suggestion either, for a suggestion takes time."""
_MAX_LISTED = 40
_MAX_NAME = 100


class Mistake(NamedTuple):
    """One mistake and where to look."""

    position: Position
    message: str


def one_line(text: object) -> str:
    """Any text without line breaks and other characters that would spoil a terminal, the middle of a long one cut."""
    joined = " ".join(str(text).split())
    if len(joined) > MAX_LINE:
        joined = f"{joined[: MAX_LINE // 2]} [… {len(joined) - MAX_LINE:,} characters …] {joined[-MAX_LINE // 2 :]}"
    return printable(joined)


def found(value: Any) -> str:
    """A value of a document, in words.

    >>> found("fp23"), found(None), found([1])
    ("the text 'fp23'", 'empty', 'a list')
    """
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return "a list" if isinstance(value, list | tuple) else "a mapping"


def quoted(text: str) -> str:
    """Text in quotes, shortened; a URL without its secrets."""
    text = without_secrets(text)
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def dotted(path: DocumentPath, *, whole: str = "the file") -> str:
    """A path as messages write it.

    >>> dotted(("inputs", 0, "shape"))
    'inputs[0].shape'

    :param whole: what the document is called, where the path is empty.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = (
                part
                if part and part.isprintable() and len(part) <= 60 and not set(part) & set(" .[]")
                else quoted(part)
            )
            text += f".{name}" if text else name
    return text or whole


def listed(names: Iterable[object]) -> str:
    """Names with commas, a long list cut short.

    >>> listed(["top1", "top5"])
    'top1, top5'
    """
    every = list(names)
    words = [one_line(name) for name in every[:_MAX_LISTED]]
    words = [word if len(word) <= _MAX_NAME else f"{word[: _MAX_NAME - 1]}…" for word in words]
    more = f", … {len(every) - _MAX_LISTED} more" if len(every) > _MAX_LISTED else ""
    return (", ".join(words) or "none") + more


def suggestion(word: object, names: Sequence[object]) -> str:
    """`` (did you mean 'x'?)`` where a name is close, else nothing."""
    return did_you_mean(*meant_by(word, names))


def unknown(what: str, word: object, names: Sequence[object], *, suggest: bool = True) -> str:
    """The message for a name that is not one of ``names``.

    >>> unknown("metric", "top-1", ["top1", "top5"])
    "unknown metric 'top-1'; allowed: top1, top5 (did you mean 'top1'?)"

    :param what: what is named, such as ``metric``, or ``the manifest's metrics`` for what it should be one of.
    :param suggest: whether to look for the name that was meant.
    """
    shown = quoted(word) if isinstance(word, str) else str(word)
    wrong = f"{shown} is not among {what}" if what.startswith("the ") else f"unknown {what} {shown}"
    return f"{wrong}; allowed: {listed(names)}{suggestion(word, names) if suggest else ''}"


def render(path: Path, mistakes: Iterable[Mistake]) -> str:
    """All mistakes of a file, sorted by place, one line each, the path as given."""
    # Two checks may find the same mistake.
    ordered = sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake.position)
    lines = [f"{path}:{at.line}:{at.column}: {one_line(message)}" for at, message in ordered[:MAX_LINES]]
    if len(ordered) > MAX_LINES:
        at = ordered[MAX_LINES].position
        lines.append(f"{path}:{at.line}:{at.column}: {len(ordered) - MAX_LINES} more mistakes from here on")
    return "\n".join(lines)
