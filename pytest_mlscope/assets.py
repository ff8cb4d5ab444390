"""Where asset folders (frameworks, hardware, model_suites, reports) are looked up.

One search path: the user's project, then installed third-party packages (entry point group ``pytest_mlscope.assets``,
whose value names a package that holds the folders), then those shipped with this package.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

ENTRY_POINT_GROUP = "pytest_mlscope.assets"
KINDS = ("frameworks", "hardware", "model_suites", "reports")


def shipped_root() -> Path:
    """The folder that holds the shipped asset folders: inside the wheel, or the checkout's root."""
    package = Path(__file__).resolve().parent
    packaged = package / "assets"
    return packaged if packaged.is_dir() else package.parent


def _third_party_roots() -> Iterator[Path]:
    # By name: the order of installed distributions is the file system's, and the first folder wins.
    for entry_point in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        # find_spec rather than entry_point.load(), which would run the package only to learn where it lies.
        spec = importlib.util.find_spec(entry_point.value)
        for location in (spec.submodule_search_locations or []) if spec else []:
            yield Path(location)


def search_path(kind: str, *, project: Path | None = None) -> list[Path]:
    """Existing folders of this kind of asset, nearest first.

    >>> [folder.name for folder in search_path("frameworks")][-1]
    'frameworks'

    :param kind: one of ``KINDS``.
    :param project: the user's project root; its own ``kind`` folder comes first.
    :raises ValueError: for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of asset {kind!r}; allowed: {', '.join(KINDS)}")
    roots = ([project] if project else []) + list(_third_party_roots()) + [shipped_root()]
    folders: list[Path] = []
    for root in roots:
        folder = (root / kind).resolve()
        # A checkout that is the user's project and the shipped root at once would otherwise list its assets twice.
        if folder.is_dir() and folder not in folders:
            folders.append(folder)
    return folders
