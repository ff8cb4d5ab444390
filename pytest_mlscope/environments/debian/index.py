"""Reads a Debian archive's index: which packages a suite has and what each needs (Debian Policy, chapter 7)."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from pytest_mlscope.environments.debian.lock import DebianPackage
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.text import without_secrets


@dataclass(frozen=True)
class IndexedPackage:
    """A package with its relations."""

    package: DebianPackage
    dependencies: tuple[tuple[str, ...], ...]
    """Of each dependency the alternatives, in order. Versions are left out: a suite is consistent in itself."""
    provides: tuple[str, ...]


@dataclass(frozen=True)
class SuiteIndex:
    """What a suite has for one architecture."""

    packages: dict[str, IndexedPackage]
    snapshot: str | None
    """The suite's own date, a day later, as snapshot.debian.org writes it."""


def _deb822() -> Any:
    """python-debian's reader of control files.

    :raises MlscopeError: when it is not installed.
    """
    try:
        from debian import deb822
    except ImportError:
        raise MlscopeError(
            "reading a Debian archive's index needs python-debian; install it: pip install 'pytest-mlscope[debian]'"
        ) from None
    return deb822


def _names(relations: list[list[dict[str, Any]]]) -> tuple[tuple[str, ...], ...]:
    """``a (>= 1) | b, c:any``, as python-debian reads it → ``(("a", "b"), ("c",))``."""
    return tuple(tuple(alternative["name"] for alternative in group) for group in relations)


def parse_packages(text: str) -> dict[str, IndexedPackage]:
    """A ``Packages`` file by package name; of a name that is there twice the later, which is the newer, stands.

    :raises MlscopeError: when python-debian is not installed.
    """
    found: dict[str, IndexedPackage] = {}
    # Without apt's own parser, which only Debian's systems have.
    for fields in _deb822().Packages.iter_paragraphs(text.splitlines(), use_apt_pkg=False):
        try:
            package = DebianPackage(
                fields["Package"], fields["Version"], fields["SHA256"], int(fields["Size"]), fields["Filename"]
            )
        except (KeyError, ValueError):
            continue  # Nothing that could be downloaded and checked.
        relations = fields.relations
        # What a package only recommends is left out: Debian's policy has it run without.
        depends = [*relations["pre-depends"], *relations["depends"]]
        provides = tuple(names[0] for names in _names(relations["provides"]))
        found[package.name] = IndexedPackage(package, _names(depends), provides)
    return found


def _decompressed(name: str, content: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.decompress(content)
    try:
        import lzma
    except ImportError:
        raise MlscopeError(f"{name}: this Python was built without lzma; use another one") from None
    return lzma.decompress(content)


def _release(text: str) -> tuple[dict[str, str], datetime | None]:
    """sha256 of each index file by its name, and when the suite was last changed."""
    fields = _deb822().Release(text.splitlines())
    hashes = {entry["name"]: entry["sha256"] for entry in fields.get("SHA256", ())}
    try:
        date = parsedate_to_datetime(fields["Date"])
    except (KeyError, ValueError):
        return hashes, None
    return hashes, date if date.tzinfo else date.replace(tzinfo=UTC)


def read_index(archive: str, suite: str, architecture: str, *, fetch: Callable[[str], bytes]) -> SuiteIndex:
    """The index of a suite's main component.

    :param architecture: as Debian calls it.
    :param fetch: what is at a URL; raises an :class:`~pytest_mlscope.errors.MlscopeError`.
    :raises MlscopeError: when there is none, or its sha256 is not the one that the suite's ``Release`` file states.
    """
    base = f"{archive}/dists/{suite}"
    hashes, date = _release(fetch(f"{base}/Release").decode("utf-8", "replace"))
    # The smaller first; an archive need not have both.
    names = [f"main/binary-{architecture}/Packages.{suffix}" for suffix in ("xz", "gz")]
    name = next((name for name in names if name in hashes), None)
    if name is None:
        there = sorted({match[1] for key in hashes if (match := re.search(r"main/binary-([a-z0-9]+)/", key))})
        raise MlscopeError(
            f"{without_secrets(base)}: has nothing for {architecture}; it has: {', '.join(there) or 'nothing'}"
        )
    content = fetch(f"{base}/{name}")
    if hashlib.sha256(content).hexdigest() != hashes[name]:
        shown = without_secrets(base)
        raise MlscopeError(f"{shown}/{name}: its sha256 is not the one in {shown}/Release; try again")
    # A suite is published some hours after its date, and snapshots are of what is published.
    snapshot = (date.astimezone(UTC) + timedelta(days=1)).strftime("%Y%m%dT%H%M%SZ") if date else None
    return SuiteIndex(parse_packages(_decompressed(name, content).decode("utf-8", "replace")), snapshot)
