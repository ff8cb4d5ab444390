"""Framework environments in the cache: what is on disk, whether complete or half-made."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import sysconfig
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_mlscope.agent.cache import describe_os_error, environments_folder
from pytest_mlscope.agent.file_lock import file_lock
from pytest_mlscope.agent.installed_distributions import installed_version
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.errors import MlscopeError

MARKER = "mlscope-environment.json"
"""Written last: a folder without it is half-made."""
MARKER_SCHEMA = 1

_KEY = re.compile(r"(?P<framework>[a-z][a-z0-9_-]*)-(?P<lock>[0-9a-f]{12})-py(?P<python>\d+\.\d+)-(?P<platform>.+)")


def environment_key(folder: FrameworkFolder, python_version: str) -> str:
    """Folder name of an environment: ``NAME-LOCKHASH-pyX.Y-PLATFORM``.

    The platform is part of it because a home folder may be shared by machines of several kinds.
    """
    major, minor = python_version.split(".")[:2]
    return f"{folder.name}-{folder.lock_hash}-py{major}.{minor}-{sysconfig.get_platform()}"


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
    def site_packages(self) -> Path:
        return self.path / "lib" / f"python{self.python_series}" / "site-packages"

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
        return content if isinstance(content, dict) and content.get("schema") == MARKER_SCHEMA else None

    def fault(self, distributions: list[str]) -> str | None:
        """Why it cannot be used, ``None`` when it can."""
        if self.marker is None:
            return "is half-made"
        if not os.access(self.python, os.X_OK):
            return "has lost its Python"
        if distributions and self.version(distributions) is None:
            return f"has lost {distributions[0]}"
        return None

    def version(self, distributions: list[str]) -> str | None:
        """The framework's version, from the metadata installed there; empty for a framework without distributions."""
        if not distributions:
            return ""
        found = installed_version(distributions, [self.site_packages])
        return found[1] if found else None

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


def environments_for(folder: FrameworkFolder, home: Path) -> list[ProvisionedEnvironment]:
    """Environments made from this framework's lock for this platform, newest Python first."""
    fitting = [
        environment
        for environment in list_environments(home)
        if environment.framework == folder.name
        and environment.path.name == environment_key(folder, environment.python_series)
    ]
    return sorted(fitting, key=lambda e: tuple(int(part) for part in e.python_series.split(".")), reverse=True)


def delete_tree(environment: ProvisionedEnvironment) -> None:
    """Delete the folder, the marker first, so that an interrupted deletion leaves nothing that looks complete."""
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
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there: {', '.join(sorted({e.framework for e in known}))}"
        folder = environments_folder(home)
        raise MlscopeError(f"no environment named {name!r} in {folder}; {hint if known else 'there is none at all'}")
    for environment in chosen:
        try:
            with file_lock(environment.lock_path):
                delete_tree(environment)
        except OSError as error:
            raise MlscopeError(f"{environment.path}: cannot be removed: {describe_os_error(error)}") from None
    return [environment.path for environment in chosen]
