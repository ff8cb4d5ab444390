"""Names that were probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: object, names: Iterable[object]) -> str | None:
    """The name that was meant, where one is close; capitals do not count.

    >>> closest("onnxruntme", ["onnxruntime", "pytorch"])
    'onnxruntime'
    """
    texts = [str(name) for name in names]
    close = difflib.get_close_matches(str(word)[:100], texts, n=1, cutoff=0.6)
    if not close and any(text != text.casefold() for text in (str(word)[:100], *texts)):
        folded = {text.casefold(): text for text in texts}
        lowered = difflib.get_close_matches(str(word)[:100].casefold(), list(folded), n=1, cutoff=0.6)
        close = [folded[name] for name in lowered]
    return close[0] if close else None


def did_you_mean(name: str | None) -> str:
    """`` (did you mean 'x'?)`` for the name that was meant, where there is one."""
    return f" (did you mean {name!r}?)" if name is not None else ""
