"""The frameworks of the current folder, of installed packages, and those shipped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pytest_mlscope.assets import search_path
from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.errors import FrameworkError, WrongUse
from pytest_mlscope.manifest import normalised
from pytest_mlscope.text import none_named


def known_frameworks(project: Path) -> tuple[dict[str, FrameworkFolder], dict[str, FrameworkError]]:
    """Frameworks by name, the nearest first served; and, by name, those whose ``framework.yml`` is wrong."""
    frameworks: dict[str, FrameworkFolder] = {}
    malformed: dict[str, FrameworkError] = {}
    for root in search_path("frameworks", project=project):
        for description in sorted(root.glob("*/framework.yml")):
            folder = FrameworkFolder(description.parent)
            if folder.name in frameworks or folder.name in malformed:
                continue
            try:
                frameworks[folder.description.name] = folder
            except FrameworkError as error:
                malformed[folder.name] = error
    return dict(sorted(frameworks.items())), malformed


def choose_frameworks(names: Iterable[str], project: Path) -> list[tuple[FrameworkFolder, str | None]]:
    """The frameworks meant, each with its constraint: ``onnxruntime`` or ``onnxruntime==1.20.*``.

    :raises FrameworkError: when one is malformed.
    :raises MlscopeError: when there is no such framework, or a constraint is none.
    """
    frameworks, malformed = known_frameworks(project)
    chosen: dict[tuple[str, str | None], FrameworkFolder] = {}
    for text in names:
        name = re.split(r"[=<>!~\s]", text, maxsplit=1)[0]
        if name not in frameworks:
            raise malformed.get(name) or WrongUse(none_named("framework", name, frameworks))
        chosen[name, normalised(text[len(name) :])] = frameworks[name]
    return [(folder, constraint) for (_, constraint), folder in chosen.items()]


def framework_folder(text: str, project: Path) -> FrameworkFolder:
    """A framework by its path, where the text looks like one or leads to a ``framework.yml``; else by its name.

    Raises as :func:`choose_frameworks`.
    """
    path = Path(text)
    if len(path.parts) != 1 or (path / "framework.yml").is_file():
        return FrameworkFolder(path)
    return choose_frameworks([text], project)[0][0]
