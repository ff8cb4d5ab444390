"""Reads what a framework's ``requirements.lock`` pins."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pytest_mlscope.components.framework import FrameworkFolder


def requirements_in(text: str) -> Iterator[Requirement]:
    """The requirements of a lock's text, in its order."""
    for line in text.replace("\\\n", " ").splitlines():
        # Comments, hashes and pip's own options are none of a requirement.
        content = line.split(" #")[0].split(" --")[0].strip()
        if not content or content.startswith(("#", "-")):
            continue
        try:
            yield Requirement(content)
        except InvalidRequirement:
            continue  # A URL or a path: pip and uv know it, and it pins no version that could be read here.


def locked_requirements(folder: FrameworkFolder) -> list[Requirement]:
    """The requirements of the lock, in its order; none when there is no lock."""
    return list(requirements_in(folder.lock.read_text("utf-8"))) if folder.lock.is_file() else []


def locked_version(folder: FrameworkFolder) -> str | None:
    """The framework's version that the lock pins with ``==``; ``None`` when it pins none.

    Where it pins several, the one whose environment marker holds for the running interpreter.
    """
    wanted = [canonicalize_name(name) for name in folder.description.distributions]
    pins = [
        (wanted.index(canonicalize_name(requirement.name)), not _holds(requirement), specifier.version)
        for requirement in locked_requirements(folder)
        if canonicalize_name(requirement.name) in wanted
        for specifier in requirement.specifier
        if specifier.operator == "=="
    ]
    return min(pins)[2] if pins else None


def _holds(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()
