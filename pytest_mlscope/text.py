"""Names that were probably meant, and URLs as they may be shown."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_mlscope.synonyms import several, synonym

_MOST_COMPARED = 5_000
_NAMED = 4


def closest(word: object, names: Iterable[object]) -> str | None:
    """The name that was meant, where one is close or is what the word is called here; capitals do not count.

    >>> closest("onnxruntme", ["onnxruntime", "pytorch"])
    'onnxruntime'
    >>> closest("torch", ["onnxruntime", "pytorch"])
    'pytorch'
    """
    # Each comparison takes up to a tenth of a millisecond, and a table may have any number of columns.
    texts = [str(name) for name in itertools.islice(names, _MOST_COMPARED)]
    known = synonym(str(word)[:100], texts)
    if known is not None:
        return known
    close = difflib.get_close_matches(str(word)[:100], texts, n=1, cutoff=0.6)
    if not close and any(text != text.casefold() for text in (str(word)[:100], *texts)):
        folded = {text.casefold(): text for text in texts}
        lowered = difflib.get_close_matches(str(word)[:100].casefold(), list(folded), n=1, cutoff=0.6)
        close = [folded[name] for name in lowered]
    return close[0] if close else None


def did_you_mean(*names: str | None) -> str:
    """`` (did you mean 'x'?)`` for the name that was meant, or for each of several, where there is one."""
    meant = [repr(name) for name in names if name is not None]
    return f" (did you mean {' or '.join(meant)}?)" if meant else ""


def none_named(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that nothing has.

    >>> none_named("suite", "digit", ["digits"])
    "no suite named 'digit'; did you mean digits?"
    """
    names = sorted(known)
    close = closest(name, names)
    allowed = f"there: {', '.join(names)}" if names else "there is none"
    return f"no {what} named {name!r}; " + (f"did you mean {close}?" if close else allowed)


def first_few(names: Sequence[str]) -> str:
    """The names, or the first of many.

    >>> first_few(["a", "b", "c", "d", "e", "f"])
    'a, b, c, d and 2 more'
    """
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"


def with_folder_called(text: str, folder: Path, name: str) -> str:
    """Text in which the paths of files in a folder begin with a name of it.

    >>> with_folder_called("/cache/1f/m.onnx: no such file", Path("/cache/1f"), "HEAD:")
    'HEAD:m.onnx: no such file'
    """
    return text.replace(f"{folder}{os.sep}", name)


def meant_by(word: object, names: Iterable[object]) -> tuple[str, ...]:
    """The name that was meant, where one is close; several where the word may mean each of them.

    >>> meant_by("performance", ["accuracy", "latency", "throughput"])
    ('latency', 'throughput')
    """
    texts = [str(name) for name in itertools.islice(names, _MOST_COMPARED)]
    close = several(str(word)[:100], texts) or (closest(word, texts),)
    return tuple(name for name in close if name is not None)


_CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_HOST = re.compile(r"localhost|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PORT = re.compile(r"(:\d{1,5})?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
HIDDEN = "***"
_SHORTEST_SECRET = 4
"""Shorter values, such as ``1``, are in any text; to hide them would only spoil it."""


def _parts(link: str) -> tuple[str, str, str]:
    """Scheme with ``://``, user information, and what comes after it, of a URL that may be written wrongly."""
    scheme, separator, rest = link.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host = _HOST.match(authority)
    # A password may have an unescaped "/" or "@": unless the text begins with a host, the last "@" ends it.
    if "@" not in rest or (host and _PORT.fullmatch(authority, host.end())):
        return scheme + separator, "", rest
    user, _, after = rest.rpartition("@")
    return scheme + separator, user, after


def without_secrets(url: str) -> str:
    """A URL as it may be shown: without user information, and without the values of its query and fragment.

    >>> without_secrets("https://me:p@ss/word@example.com/m.onnx?token=abc&version=2")
    'https://***@example.com/m.onnx?token=***&version=***'
    """
    if "://" not in url:
        return url
    shown = []
    for link in _CHAIN.split(url):
        scheme, user, rest = _parts(link)
        before, mark, fragment = rest.partition("#")
        path, question, query = before.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&")]
        hidden = "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in pairs) if query else ""
        tail = f"{mark}{HIDDEN}" if fragment else mark
        shown.append(f"{scheme}{f'{HIDDEN}@' if user else ''}{path}{question}{hidden}{tail}")
    return "::".join(shown)


def _secrets(url: str) -> set[str]:
    found: set[str] = set()
    for link in _CHAIN.split(url):
        _, user, rest = _parts(link)
        before, _, fragment = rest.partition("#")
        query = before.partition("?")[2]
        found |= {user, *re.split(r"[:/@]", user), fragment, *(pair.partition("=")[2] for pair in query.split("&"))}
    return {
        form for value in found for form in (value, urllib.parse.unquote(value), urllib.parse.quote(value, safe=""))
    }


def scrubbed(text: str, url: str = "") -> str:
    """A message of a library without the secrets of the URL it is about, and of any other URL in it.

    >>> scrubbed("cannot open https://x.org/?key=a1b2c3: a1b2c3 is not valid", "https://x.org/?key=a1b2c3")
    'cannot open https://x.org/?key=***: *** is not valid'
    """
    # The exact URL first: it may be written in a way that the pattern for URLs does not recognise.
    text = text.replace(url, without_secrets(url)) if url else text
    text = _URL.sub(lambda found: _shown_in_text(found[0]), text)
    # The longest first: one secret may be a part of another, whose rest would stay.
    for secret in sorted(_secrets(url), key=len, reverse=True) if "://" in url else ():
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def _shown_in_text(url: str) -> str:
    # What ends the sentence is no part of the URL.
    end = len(url.rstrip(".,;:)"))
    return without_secrets(url[:end]) + url[end:]
