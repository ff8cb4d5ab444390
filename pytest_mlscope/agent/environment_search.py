"""Finds the interpreter that a framework runs in: the current one, else a provisioned environment."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from pytest_mlscope.agent.environment import Environment
from pytest_mlscope.agent.installed_distributions import installed_version
from pytest_mlscope.agent.interpreters import python_fits
from pytest_mlscope.agent.lock_file import locked_version
from pytest_mlscope.agent.provisioned_environment import environments_for
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.errors import CannotRun


def _unsatisfied(folder: FrameworkFolder, version: str, constraint: str | None) -> str | None:
    """The constraint that a version does not satisfy and whose it is; ``None`` when it satisfies both."""
    if not folder.accepts(version):
        return f"{folder.description.version!r} of framework.yml"
    if not folder.accepts(version, constraint):
        return f"{constraint!r} of the manifest"
    return None


def _current(folder: FrameworkFolder, constraint: str | None) -> Environment | str:
    """The current interpreter, or why it will not do."""
    description = folder.description
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


def _provisioned(folder: FrameworkFolder, constraint: str | None, home: Path) -> Environment | str | None:
    """A provisioned environment, why the newest will not do, or ``None`` when none was ever made."""
    description = folder.description
    reason = None
    for environment in environments_for(folder, home):
        fault = environment.fault(description.distributions)
        if fault is None:
            version = environment.version(description.distributions) or ""
            unsatisfied = _unsatisfied(folder, version, constraint) if description.distributions else None
            if unsatisfied is None:
                return Environment(folder, environment.python, version, "provisioned", folder.lock_hash)
            fault = f"has {version}, which does not satisfy {unsatisfied}"
        reason = reason or f"the environment {environment.path} {fault}"
    return reason


def _without_provisioning(folder: FrameworkFolder, constraint: str | None) -> CannotRun | None:
    """Why making an environment would not help either; ``None`` where it would."""
    description = folder.description
    if not folder.lock.is_file():
        command = None
        if description.distributions:
            wanted = ",".join(part for part in (description.version, constraint) if part and part != "*")
            command = f"pip install '{description.distributions[0]}{wanted}'"
        return CannotRun("its folder has no requirements.lock to make an environment from", command=command)
    version = locked_version(folder)
    unsatisfied = _unsatisfied(folder, version, constraint) if version else None
    if unsatisfied:
        return CannotRun(f"nor does {version}, which requirements.lock pins, satisfy {unsatisfied}")
    return None


def find_environment(folder: FrameworkFolder, *, constraint: str | None = None, home: Path) -> Environment:
    """The interpreter for a framework: the current one where the framework is installed in a version that satisfies
    ``framework.yml`` and the constraint, else a complete provisioned environment made from the framework's lock.

    Nothing is imported or started.

    :param constraint: the manifest's PEP 440 specifiers; ``None`` or ``*`` for any.
    :param home: the cache, as of :func:`pytest_mlscope.agent.cache.cache_home`.
    :raises CannotRun: with every reason, and the command that helps where one does.
    :raises FrameworkError: when ``framework.yml`` is wrong.
    """
    current = _current(folder, constraint)
    if isinstance(current, Environment):
        return current
    provisioned = _provisioned(folder, constraint, home)
    if isinstance(provisioned, Environment):
        return provisioned
    reason = f"{folder.name}: {current}"
    hopeless = _without_provisioning(folder, constraint)
    if hopeless:
        raise CannotRun(f"{reason}; {hopeless.reason}", command=hopeless.command)
    if provisioned:
        reason += f"; {provisioned}"
    raise CannotRun(reason, command=f"mlscope env create {folder.name}")
