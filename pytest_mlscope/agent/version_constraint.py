"""Which versions of a framework are wanted, as PEP 440 specifiers."""

from __future__ import annotations

import re
from functools import cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from pytest_mlscope.errors import MlscopeError

_LATE = "99999"


def normalised_constraint(text: str | None) -> str | None:
    """``1.20`` → ``==1.20.*``, for whoever names a version means it with its patches; ``None`` for ``*``.

    :raises MlscopeError: when it is neither a version nor specifiers.
    """
    if text is None or not text.strip() or text.strip() == "*":
        return None
    stripped = text.strip()
    try:
        version = Version(stripped)
    except InvalidVersion:
        try:
            return str(SpecifierSet(stripped))
        except InvalidSpecifier:
            raise MlscopeError(f"{text!r} is neither a version nor a constraint such as '>=1.17,<2'") from None
    # A prefix of a pre-release or a local version is not a thing that PEP 440 has.
    return f"=={stripped}" if version.is_prerelease or version.local else f"=={stripped}.*"


@cache
def can_agree(first: str | None, second: str | None) -> bool:
    """Whether some version may satisfy both; certain only where it says no, and where one pins with ``==``."""
    for one, other in ((first, second), (second, first)):
        if one in (None, "*") or other in (None, "*"):
            return True
        for specifier in SpecifierSet(str(one)):
            if specifier.operator != "==":
                continue
            if specifier.version.endswith(".*"):
                base = specifier.version[:-2]
                versions = [base, f"{base}.{_LATE}"]
            else:
                versions = [specifier.version]
            wanted = SpecifierSet(str(other))
            if not any(wanted.contains(version, prereleases=True) for version in versions):
                return False
    return True


def is_version(text: str) -> bool:
    """Whether a file name's part means a version, such as that of ``requirements-1.20.lock``."""
    return bool(re.match(r"\d", text))
