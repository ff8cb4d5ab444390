"""Makes a framework environment from its lock."""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_mlscope.agent.cache import describe_os_error, environments_folder, writable_folder
from pytest_mlscope.agent.child_output import run_tool
from pytest_mlscope.agent.child_variables import child_variables
from pytest_mlscope.agent.environment import Environment
from pytest_mlscope.agent.file_lock import file_lock
from pytest_mlscope.agent.installed_distributions import installed_versions
from pytest_mlscope.agent.interpreters import Interpreter, python_fits
from pytest_mlscope.agent.lock_file import locked_version
from pytest_mlscope.agent.package_installation import (
    InstallerChoice,
    Progress,
    choose_installers,
    install_lock,
    with_output,
)
from pytest_mlscope.agent.package_installer import PackageInstaller
from pytest_mlscope.agent.provisioned_environment import (
    MARKER,
    MARKER_SCHEMA,
    ProvisionedEnvironment,
    delete_tree,
    environment_key,
)
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.errors import EnvironmentCreationError

_SMOKE = "import sys, numpy; sys.stdout.write(numpy.__version__)"


def _check(environment: ProvisionedEnvironment, folder: FrameworkFolder) -> tuple[str, dict[str, str]]:
    """The framework's version and all versions in a filled environment."""
    packages = installed_versions([environment.site_packages])
    names = folder.description.distributions
    version = next((packages[name] for name in map(canonicalize_name, names) if name in packages), None)
    if names and version is None:
        raise EnvironmentCreationError(f"{folder.lock}: installs none of {', '.join(names)}, of framework.yml")
    if version and not folder.accepts(version):
        raise EnvironmentCreationError(
            f"{folder.lock}: installs {names[0]} {version}, and framework.yml wants {folder.description.version!r}"
        )
    outcome = run_tool(
        [environment.python, "-I", "-c", _SMOKE],
        folder=environment.path,
        variables=child_variables(),
        line=lambda _: None,
    )
    if outcome.returncode:
        message = f"{folder.name}: numpy cannot be imported in {environment.path}; does {folder.lock} pin it?"
        raise EnvironmentCreationError(with_output(message, outcome))
    return version or "", packages


def _write_marker(environment: ProvisionedEnvironment, content: dict[str, object]) -> None:
    unfinished = environment.path / f"{MARKER}.part"
    with unfinished.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(environment.path / MARKER)


def create_environment(
    folder: FrameworkFolder,
    *,
    home: Path,
    progress: Progress,
    verify: Callable[[Environment], str] | None = None,
    force: bool = False,
    installer: InstallerChoice = "auto",
) -> Environment:
    """Make the framework's environment, or wait for another process that is making it, or return the one there is.

    :param home: the cache, as of :func:`pytest_mlscope.agent.cache.cache_home`.
    :param progress: called with one line at a time.
    :param verify: called before the environment counts as complete; returns the framework's version as the
        framework states it, or raises an :class:`~pytest_mlscope.errors.MlscopeError`.
    :param force: make it anew where it is complete.
    :param installer: ``auto`` for uv where there is one, falling back to venv and pip.
    :raises EnvironmentCreationError: one line, then the tool's last lines where a tool failed.
    :raises FrameworkError: when ``framework.yml`` is wrong.
    """
    description = folder.description
    if not description.distributions and python_fits(platform.python_version(), description.python):
        progress(f"{folder.name}: needs no environment of its own")
        return Environment(folder, Path(sys.executable), "", "current", None)
    if not folder.lock.is_file():
        raise EnvironmentCreationError(f"{folder.lock}: not there; it pins what the environment is made of")
    locked = locked_version(folder)
    if locked and not folder.accepts(locked):
        raise EnvironmentCreationError(
            f"{folder.lock}: pins {description.distributions[0]} {locked}, and framework.yml wants "
            f"{description.version!r}"
        )
    interpreter, installers = choose_installers(folder, installer)
    root = writable_folder(environments_folder(home), error_type=EnvironmentCreationError)
    series = ".".join(interpreter.version.split(".")[:2])
    environment = ProvisionedEnvironment(
        root / environment_key(folder, interpreter.version), folder.name, folder.lock_hash, series
    )

    def waiting() -> None:
        progress(f"{folder.name}: waiting for another process that is making {environment.path}")

    try:
        with file_lock(environment.lock_path, waiting=waiting) as descriptor:
            if not force and environment.fault(description.distributions) is None:
                progress(f"{folder.name}: ready in {environment.path}")
            else:
                _make(environment, folder, interpreter, installers, descriptor, progress, verify)
    except OSError as error:
        # Of a program that does not start it is the program's path that tells.
        place = f" ({error.filename})" if error.filename else ""
        raise EnvironmentCreationError(
            f"{environment.path}: cannot be made: {describe_os_error(error)}{place}"
        ) from None
    made = ProvisionedEnvironment(environment.path, folder.name, folder.lock_hash, series)
    version = made.version(description.distributions) or ""
    return Environment(folder, made.python, version, "provisioned", folder.lock_hash)


def _make(
    environment: ProvisionedEnvironment,
    folder: FrameworkFolder,
    interpreter: Interpreter,
    installers: list[PackageInstaller],
    lock_descriptor: int,
    progress: Progress,
    verify: Callable[[Environment], str] | None,
) -> None:
    if environment.path.exists():
        progress(f"{folder.name}: removing what is left of {environment.path}")
        delete_tree(environment)
    # At its final place from the start, since an environment holds its own path in many files; the marker, written
    # last, is what makes it complete.
    try:
        installer = install_lock(environment, folder, interpreter, installers, lock_descriptor, progress)
        version, packages = _check(environment, folder)
        if verify:
            stated = verify(Environment(folder, environment.python, version, "provisioned", folder.lock_hash))
            progress(f"{folder.name}: {stated} loads")
        _write_marker(
            environment,
            {
                "schema": MARKER_SCHEMA,
                "framework": folder.name,
                "version": version,
                "lock_hash": folder.lock_hash,
                "python": interpreter.version,
                "base_python": str(interpreter.path),
                "platform": sysconfig.get_platform(),
                "installer": installer.name,
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "packages": packages,
            },
        )
    except BaseException:
        with suppress(OSError):  # Without a marker it is half-made anyway, and the first error is the one to tell.
            delete_tree(environment)
        raise
    progress(f"{folder.name}: {version or 'environment'} ready in {environment.path}")
