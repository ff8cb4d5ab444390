"""Versions of installed distributions, read from their metadata; nothing is imported."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name


def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str] | None:
    """``None`` for a metadata folder that an interrupted installation or removal left without its content."""
    try:
        metadata = distribution.metadata
    except FileNotFoundError:
        return None
    if "Name" not in metadata or "Version" not in metadata:
        return None
    return metadata["Name"], metadata["Version"]


def installed_versions(path: Sequence[str | Path] | None = None) -> dict[str, str]:
    """Canonical distribution name to version.

    :param path: the folders to look in; by default this interpreter's ``sys.path``.
    """
    # importlib.metadata remembers a folder's listing by modification time alone, whose resolution is too coarse right
    # after an installation.
    importlib.metadata.MetadataPathFinder().invalidate_caches()
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=[str(folder) for folder in path or sys.path]):
        found = _name_and_version(distribution)
        if found:
            versions.setdefault(canonicalize_name(found[0]), found[1])
    return dict(sorted(versions.items()))


def installed_version(distributions: Iterable[str], path: Sequence[Path] | None = None) -> tuple[str, str] | None:
    """Name and version of the first of these distributions that is installed, ``None`` when none is.

    :param path: as for :func:`installed_versions`.
    """
    for name in distributions:
        found = importlib.metadata.distributions(name=name, path=[str(folder) for folder in path or sys.path])
        for distribution in found:
            stated = _name_and_version(distribution)
            if stated:
                return name, stated[1]
    return None
