"""The versions of a framework that a manifest asks for: PEP 440 constraints, or bare releases such as ``1.20``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from pytest_mlscope.errors import MlscopeError

_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)*")
MOST_VERSION_CHARACTERS = 200
"""Of a version or a constraint: Python refuses numbers of 4,301 digits, and thousands of clauses take minutes."""


def is_release(version: str) -> bool:
    """Whether it is a bare release, which stands for every release that begins so."""
    return _RELEASE.fullmatch(version) is not None


def specifiers(version: str) -> str:
    """As PEP 440 specifiers; empty for any version.

    >>> specifiers("1.20"), specifiers(">=1.17,<2"), specifiers("*")
    ('==1.20.*', '>=1.17,<2', '')
    """
    if is_release(version):
        return f"=={version}.*"
    return "" if version == "*" else version


def normalised(version: str | None) -> str | None:
    """Specifiers of what a command line or a baseline asks for, one release with its patches; ``None`` for any version.

    :raises MlscopeError: when it is neither a version nor specifiers.
    """
    stripped = (version or "").strip()
    if stripped in ("", "*"):
        return None
    if len(stripped) > MOST_VERSION_CHARACTERS:
        raise MlscopeError(
            f"a version has {len(stripped)} characters; allowed: at most {MOST_VERSION_CHARACTERS}: {stripped[:40]}…"
        )
    try:
        named = Version(stripped)
    except InvalidVersion:
        try:
            return str(SpecifierSet(stripped))
        except InvalidSpecifier:
            raise MlscopeError(f"{version!r} is neither a version nor a constraint such as '>=1.17,<2'") from None
    # A prefix of a pre-release or a local version is not a thing that PEP 440 has.
    return f"=={stripped}" if named.is_prerelease or named.local else f"=={stripped}.*"


def is_valid(version: str) -> bool:
    """Whether PEP 440 understands it."""
    if len(version) > MOST_VERSION_CHARACTERS:
        return False
    try:
        SpecifierSet(specifiers(version))
    except InvalidSpecifier:
        return False
    return True


def requirement(framework: str, version: str | None) -> str:
    """Framework and version as the command line names them: ``onnxruntime==1.20``, ``onnxruntime>=1.20,<1.25``."""
    if version is None or version == "*":
        return framework
    return f"{framework}=={version}" if is_release(version) else f"{framework}{version.replace(' ', '')}"


def _candidates(clause: Specifier) -> Iterator[Version]:
    """Versions at and next to a clause's own: where several hold together, they hold at one of these."""
    version = Version(clause.version.removesuffix(".*"))
    epoch, release = f"{version.epoch}!", version.release
    yield version
    for numbers in ((*release, 0, 1), (*release[:-1], release[-1] + 1)):
        yield Version(epoch + ".".join(map(str, numbers)))


def can_hold_together(*versions: str) -> bool:
    """Whether some version satisfies all of them.

    >>> can_hold_together("1.20", ">=1.17"), can_hold_together("1.20", ">=2")
    (True, False)
    """
    clauses = SpecifierSet(",".join(filter(None, map(specifiers, versions))))
    try:
        candidates = [Version("0"), *(candidate for clause in clauses for candidate in _candidates(clause))]
    except InvalidVersion:  # ``===`` compares text, of which nothing can be said beforehand
        return True
    return any(clauses.contains(candidate, prereleases=True) for candidate in candidates)
