"""Framework environments in the cache: what is on disk, whether complete or half-made."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_mlscope.environments.debian.root import FOLDER as DEBIAN_FOLDER
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.environments.installed_distributions import installed_version
from pytest_mlscope.environments.recipe import EnvironmentRecipe
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine import describe_os_error, environments_folder, file_lock
from pytest_mlscope.text import closest

MARKER = "mlscope-environment.json"
"""Written last: a folder without it is half-made."""
MARKER_SCHEMA = 1

_KEY = re.compile(r"(?P<framework>[a-z][a-z0-9_-]*)-(?P<lock>[0-9a-f]{12})-py(?P<python>\d+\.\d+)-(?P<platform>.+)")


@dataclass(frozen=True)
class ProvisionedEnvironment:
    """One environment folder in the cache."""

    path: Path
    framework: str
    lock_hash: str
    python_series: str
    """Such as ``3.11``."""

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def runs_debian_python(self) -> bool:
        """Whether ``bin/python`` is a script that starts its packages' Python, not a virtual environment's link."""
        return self.python.is_file() and not self.python.is_symlink()

    @property
    def site_packages(self) -> Path:
        """Where Python packages are installed. Debian's Python looks there before it looks among its own."""
        if self.runs_debian_python:
            return self.path / DEBIAN_FOLDER / "usr/local/lib" / f"python{self.python_series}" / "dist-packages"
        return self.path / "lib" / f"python{self.python_series}" / "site-packages"

    @property
    def package_folders(self) -> list[Path]:
        """All folders of Python packages."""
        if self.runs_debian_python:
            return [self.site_packages, self.path / DEBIAN_FOLDER / "usr/lib/python3/dist-packages"]
        return [self.site_packages]

    @property
    def requirements(self) -> Path:
        """What a constraint was resolved to, where it was."""
        return self.path / "requirements.lock"

    @property
    def lock_path(self) -> Path:
        """Held by whoever makes or removes the environment; never deleted, since someone may be waiting on it."""
        return self.path.with_name(f".{self.path.name}.lock")

    @cached_property
    def marker(self) -> dict[str, Any] | None:
        """What was recorded when it was complete; ``None`` when it is half-made."""
        try:
            content = json.loads((self.path / MARKER).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        # Of another schema: it was made by another release, and what it lacks cannot be known.
        return content if isinstance(content, dict) and content.get("schema") == MARKER_SCHEMA else None

    def fault(self, distributions: list[str], *, emulator: Sequence[str] = ()) -> str | None:
        """Why it cannot be used, ``None`` when it can.

        :param emulator: what it must run under; any, where there is none.
        """
        if self.marker is None:
            return "is half-made"
        if emulator and self.marker.get("emulator") != list(emulator):
            return "is for another emulator"
        # bin/python is a link, which breaks when the Python that it was built on is removed.
        if not os.access(self.python, os.X_OK):
            return "has lost its Python"
        if distributions and self.version(distributions) is None:
            return f"has lost {distributions[0]}"
        return None

    def version(self, distributions: list[str]) -> str | None:
        """The framework's version, from the metadata installed there; empty for a framework without distributions."""
        if not distributions:
            return ""
        found = installed_version(distributions, self.package_folders)
        return found[1] if found else None

    def as_environment(self, recipe: EnvironmentRecipe, version: str) -> Environment:
        """As what a predictor runs in."""
        # The script that starts Debian's Python passes the folders to the loader itself.
        folders = [] if self.runs_debian_python else recipe.folder.description.environment.library_path
        library_path = tuple(self.path / DEBIAN_FOLDER / folder for folder in folders)
        return Environment(recipe.folder, self.python, version, "provisioned", recipe.hash, library_path)

    def size(self) -> int:
        """Bytes of the files in it; those that uv links from its cache are counted in full."""
        total = 0
        for folder, _, files in os.walk(self.path):
            for name in files:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - 50,000 files: speed
                except OSError:
                    continue  # Removed meanwhile.
        return total


def list_environments(home: Path) -> list[ProvisionedEnvironment]:
    """Every environment in the cache, complete or not, by name."""
    folder = environments_folder(home)
    if not folder.is_dir():
        return []
    environments = []
    for path in sorted(folder.iterdir()):
        match = _KEY.fullmatch(path.name)
        if match and path.is_dir():
            environments.append(ProvisionedEnvironment(path, match["framework"], match["lock"], match["python"]))
    return environments


def environments_for(recipe: EnvironmentRecipe, home: Path) -> list[ProvisionedEnvironment]:
    """Environments made from exactly this, newest Python first."""
    fitting = [
        environment
        for environment in list_environments(home)
        if environment.framework == recipe.folder.name
        and environment.path.name == recipe.key(environment.python_series)
    ]
    return sorted(fitting, key=lambda e: tuple(int(part) for part in e.python_series.split(".")), reverse=True)


def delete_tree(environment: ProvisionedEnvironment) -> None:
    """Delete the folder, the marker first, so that an interrupted deletion leaves nothing that looks complete."""
    # A user may keep an environment on another disk by a link; what it leads to is not ours to delete.
    if environment.path.is_symlink():
        environment.path.unlink()
        return
    (environment.path / MARKER).unlink(missing_ok=True)
    if environment.path.exists():
        shutil.rmtree(environment.path)


def remove_environment(name: str, home: Path) -> list[Path]:
    """Remove every environment of a framework, or the one whose folder has this name.

    :return: the folders removed.
    :raises MlscopeError: when nothing in the cache has that name, or a folder cannot be removed.
    """
    known = list_environments(home)
    chosen = [environment for environment in known if name in (environment.framework, environment.path.name)]
    if not chosen:
        names = sorted({environment.framework for environment in known} | {e.path.name for e in known})
        close = closest(name, names)
        hint = f"did you mean {close}?" if close else f"there: {', '.join(sorted({e.framework for e in known}))}"
        folder = environments_folder(home)
        raise MlscopeError(f"no environment named {name!r} in {folder}; {hint if known else 'there is none at all'}")
    for environment in chosen:
        try:
            with file_lock(environment.lock_path):
                delete_tree(environment)
        except OSError as error:
            raise MlscopeError(f"{environment.path}: cannot be removed: {describe_os_error(error)}") from None
    return [environment.path for environment in chosen]
