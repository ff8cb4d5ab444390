"""Model suites: those of the project, of installed packages, and those shipped."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.assets import search_path
from pytest_mlscope.errors import MlscopeError, WrongUse
from pytest_mlscope.text import none_named


@dataclass(frozen=True)
class SuiteFolder:
    """A suite, and where it is."""

    name: str
    folder: Path
    manifests: int
    """How many it has."""


def suites_here(project: Path) -> dict[str, SuiteFolder]:
    """Suites by name, of two with one name the first."""
    suites: dict[str, SuiteFolder] = {}
    for root in search_path("model_suites", project=project):
        for folder in sorted(root.iterdir()):
            manifests = sum(1 for _ in folder.rglob("*.mlscope.yml")) if folder.is_dir() else 0
            if manifests:
                suites.setdefault(folder.name, SuiteFolder(folder.name, folder, manifests))
    return dict(sorted(suites.items()))


def suite_folder(name: str, project: Path) -> Path:
    """Where a suite is. :raises WrongUse: when there is none of that name."""
    suites = suites_here(project)
    if name not in suites:
        raise WrongUse(none_named("suite", name, suites))
    return suites[name].folder


def copy_suite(name: str, destination: Path, project: Path) -> None:
    """Copy a suite, to change it.

    :raises WrongUse: when there is no such suite, or something is at the destination already.
    :raises MlscopeError: when it cannot be written.
    """
    source = suite_folder(name, project)
    # exists() does not see a link that leads nowhere.
    if destination.exists() or destination.is_symlink():
        raise WrongUse(f"{destination}: is there already; name a folder that is not")
    if destination.resolve().is_relative_to(source.resolve()):
        raise WrongUse(f"{destination}: is inside {source}, which would be copied into itself; name another folder")
    try:
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    except (OSError, shutil.Error) as error:
        raise MlscopeError(f"{destination}: cannot be written: {' '.join(str(error).split())}") from None
