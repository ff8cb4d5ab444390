"""Reads what a framework's ``requirements.lock`` pins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pytest_mlscope.components import FrameworkFolder


def requirements_in(text: str) -> Iterator[Requirement]:
    """The requirements of a lock's text, in its order."""
    # A backslash continues a line: hashes stand on lines of their own.
    for line in text.replace("\\\n", " ").splitlines():
        # Comments, hashes and pip's own options are none of a requirement.
        content = line.split(" #")[0].split(" --")[0].strip()
        if not content or content.startswith(("#", "-")):
            continue
        try:
            yield Requirement(content)
        except InvalidRequirement:
            continue  # A URL or a path: pip and uv know it, and it pins no version that could be read here.


def locked_requirements(lock: Path) -> list[Requirement]:
    """The requirements of a lock, in its order; none when there is no such file."""
    return list(requirements_in(lock.read_text("utf-8"))) if lock.is_file() else []


def locked_version(folder: FrameworkFolder, lock: Path | None = None) -> str | None:
    """The framework's version that its lock pins with ``==``; ``None`` when it pins none.

    Where it pins several, the one whose environment marker holds for the running interpreter.

    :param lock: another lock of the folder than ``requirements.lock``.
    """
    wanted = [canonicalize_name(name) for name in folder.description.distributions]
    pins = [
        (wanted.index(canonicalize_name(requirement.name)), not _holds(requirement), specifier.version)
        for requirement in locked_requirements(lock or folder.lock)
        if canonicalize_name(requirement.name) in wanted
        for specifier in requirement.specifier
        if specifier.operator == "=="
    ]
    # Least is a pin of the distribution named first, and of its pins one whose marker holds.
    return min(pins)[2] if pins else None


def _holds(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()
