"""What each framework could run in on this machine, and which environments in the cache are whose."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.environments.interpreters import find_interpreter, how_to_get
from pytest_mlscope.environments.lock_file import locked_version
from pytest_mlscope.environments.provisioned import ProvisionedEnvironment, list_environments
from pytest_mlscope.environments.recipe import EnvironmentRecipe, environment_recipe
from pytest_mlscope.environments.search import find_environment
from pytest_mlscope.errors import CannotRun, FrameworkError, NoEnvironment
from pytest_mlscope.machine import machine_architecture

Status = Literal["current", "ready", "can be made", "cannot"]


@dataclass(frozen=True)
class FrameworkState:
    """What evaluating with a framework would run in now."""

    status: Status
    reason: str
    """Why it cannot; empty otherwise."""
    version: str
    """Of what is there; else what the lock pins; empty where neither is known."""
    python: str
    """Of what is there, or would be built on, such as ``3.11.7``; empty where there is none."""
    environment: ProvisionedEnvironment | None = None
    """The one that is ready."""


def _belongs(environment: ProvisionedEnvironment, folder: FrameworkFolder) -> bool:
    """Whether it was made from what the folder pins now."""
    marker = environment.marker or {}
    architecture = str(marker.get("architecture") or machine_architecture())
    try:
        recipe = environment_recipe(folder, constraint=marker.get("constraint"), architecture=architecture)
        # Each lock by itself: an environment made from one is the folder's, whatever was asked for since.
        locks = folder.path.glob("requirements-*.lock")
        others = [EnvironmentRecipe(folder, architecture, lock, None, recipe.debian_path) for lock in locks]
    except (CannotRun, FrameworkError):
        return False
    return any(environment.path.name == recipe.key(environment.python_series) for recipe in (recipe, *others))


def environments_of(folder: FrameworkFolder, home: Path) -> list[ProvisionedEnvironment]:
    """Every environment made from what the folder pins now, whatever its version, architecture and state."""
    named = [environment for environment in list_environments(home) if environment.framework == folder.name]
    return [environment for environment in named if _belongs(environment, folder)]


def framework_state(folder: FrameworkFolder, home: Path) -> FrameworkState:
    """What the framework could run in on this machine, as found without importing or starting it.

    :raises FrameworkError: when ``framework.yml`` is wrong.
    """
    description = folder.description
    locked = locked_version(folder) or ""
    try:
        found = find_environment(folder, home=home)
    except NoEnvironment as missing:
        if not missing.can_be_made:
            advice = f"; to enable: {missing.command}" if missing.command else ""
            return FrameworkState("cannot", f"{missing.detail}{advice}", locked, "")
        debian_python = environment_recipe(folder).debian_interpreter
        if debian_python:
            return FrameworkState("can be made", "", locked, debian_python.rpartition("python")[2])
        base = find_interpreter(description.python)
        if base is None:
            advice = f"no Python {description.python} here; get one with: {how_to_get(description.python)}"
            return FrameworkState("cannot", advice, locked, "")
        return FrameworkState("can be made", "", locked, base.version)
    if found.kind == "current":
        return FrameworkState("current", "", found.version, platform.python_version())
    # ENVIRONMENT/bin/python
    path = found.python.parents[1]
    made = next(environment for environment in list_environments(home) if environment.path == path)
    marker = made.marker or {}
    return FrameworkState("ready", "", found.version or str(marker.get("version", "")), str(marker.get("python")), made)
