"""Finds the interpreter that a framework runs in: the current one, else a provisioned environment."""

from __future__ import annotations

import platform
import shlex
import sys
from pathlib import Path

from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.environments.installed_distributions import installed_version
from pytest_mlscope.environments.interpreters import python_fits
from pytest_mlscope.environments.lock_file import locked_version
from pytest_mlscope.environments.provisioned import environments_for
from pytest_mlscope.environments.recipe import EnvironmentRecipe, environment_recipe
from pytest_mlscope.environments.system_libraries import missing_libraries
from pytest_mlscope.errors import CannotRun, NoEnvironment
from pytest_mlscope.machine import machine_architecture
from pytest_mlscope.manifest import normalised


def _unsatisfied(folder: FrameworkFolder, version: str, constraint: str | None) -> str | None:
    """The constraint that a version does not satisfy, and whose it is; ``None`` where it satisfies both."""
    if not folder.accepts(version):
        return f"{folder.description.version!r} of framework.yml"
    if not folder.accepts(version, constraint):
        return f"{constraint!r}, the version asked for"
    return None


def _current(folder: FrameworkFolder, constraint: str | None) -> Environment | str:
    """The current interpreter, or why it cannot be used."""
    description = folder.description
    if description.environment.interpreter:
        return f"it runs in the Python of its own Debian packages, {description.environment.interpreter}"
    python = platform.python_version()
    if not python_fits(python, description.python):
        return f"Python {python} here does not satisfy {description.python!r}"
    if not description.distributions:
        return Environment(folder, Path(sys.executable), "", "current", None)
    installed = installed_version(description.distributions)
    if installed is None:
        return f"{description.distributions[0]} is not installed here"
    distribution, version = installed
    unsatisfied = _unsatisfied(folder, version, constraint)
    if unsatisfied:
        return f"{distribution} {version}, installed here, does not satisfy {unsatisfied}"
    return Environment(folder, Path(sys.executable), version, "current", None)


def _provisioned(recipe: EnvironmentRecipe, constraint: str | None, home: Path) -> Environment | str | None:
    """A provisioned environment, or why the newest cannot be used, or ``None`` when there is none."""
    distributions = recipe.folder.description.distributions
    reason = None
    # Not only the newest: it may be half-made, and an older one complete.
    for environment in environments_for(recipe, home):
        fault = environment.fault(distributions)
        if fault is None:
            version = environment.version(distributions) or ""
            unsatisfied = _unsatisfied(recipe.folder, version, constraint) if distributions else None
            if unsatisfied is None:
                return environment.as_environment(recipe, version)
            fault = f"has {version}, which does not satisfy {unsatisfied}"
        reason = reason or f"the environment {environment.path} {fault}"
    return reason


def _without_recipe(folder: FrameworkFolder, detail: str, constraint: str | None) -> NoEnvironment:
    """Why making an environment would not help either."""
    description = folder.description
    command = None
    if description.distributions and not folder.lock.is_file():
        wanted = ",".join(part for part in (description.version, constraint) if part and part != "*")
        command = f"pip install '{description.distributions[0]}{wanted}'"
    return NoEnvironment(detail, subject=folder.name, command=command)


def _why_hopeless(recipe: EnvironmentRecipe) -> str | None:
    """Why making the environment would fail, if that can be known beforehand."""
    folder = recipe.folder
    version = locked_version(folder, recipe.requirements) if recipe.requirements and not recipe.constraint else None
    if version and not folder.accepts(version):
        return (
            f"requirements.lock pins {version}, which does not satisfy {folder.description.version!r} of framework.yml"
        )
    return missing_libraries(folder.description.system_libraries) if not recipe.is_foreign else None


def find_environment(
    folder: FrameworkFolder, *, constraint: str | None = None, architecture: str | None = None, home: Path
) -> Environment:
    """The interpreter for a framework: the current one where the framework is installed in a version that satisfies
    ``framework.yml`` and the constraint, else a complete provisioned environment made from what the folder pins.

    Nothing is imported or started.

    :param constraint: the manifest's version or PEP 440 specifiers; ``None`` or ``*`` for any.
    :param architecture: as ``platform.machine()`` names it; by default this machine's. For another, only a provisioned
        environment can be used; it runs under the emulator that it was made with.
    :param home: the cache, as of :func:`pytest_mlscope.machine.cache_folder.cache_home`.
    :raises NoEnvironment: with every reason, and the command that helps where one does.
    :raises FrameworkError: when ``framework.yml`` or a lock is wrong.
    """
    wanted = normalised(constraint)
    if architecture in (None, machine_architecture()):
        current = _current(folder, wanted)
        if isinstance(current, Environment):
            return current
    else:
        current = f"this machine is {machine_architecture()}, not {architecture}"
    try:
        recipe = environment_recipe(folder, constraint=wanted, architecture=architecture)
        provisioned = _provisioned(recipe, wanted, home)
    except CannotRun as error:
        raise _without_recipe(folder, f"{current}; {error.reason}", wanted) from None
    if isinstance(provisioned, Environment):
        return provisioned
    # Last, since it starts processes, and an environment that is there needs no answer.
    hopeless = _why_hopeless(recipe)
    if hopeless:
        raise NoEnvironment(f"{current}; {hopeless}", subject=folder.name)
    detail = f"{current}; {provisioned}" if provisioned else current
    command = f"mlscope env create {shlex.quote(f'{folder.name}{_asked(recipe, wanted)}')}"
    raise NoEnvironment(detail, subject=folder.name, command=command, can_be_made=True)


def _asked(recipe: EnvironmentRecipe, constraint: str | None) -> str:
    """The constraint where it leads to a different environment from the one that the folder's own lock makes."""
    return constraint or "" if recipe.constraint or recipe.requirements != recipe.folder.lock else ""
