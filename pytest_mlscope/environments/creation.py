"""Makes the environment a framework needs, unless it is there."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.environments.debian.root import python_series
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.environments.interpreters import python_fits
from pytest_mlscope.environments.lock_file import locked_version
from pytest_mlscope.environments.making import BasePython, EnvironmentMaking, Verify
from pytest_mlscope.environments.package_installation import InstallerChoice, choose_installers
from pytest_mlscope.environments.provisioned import ProvisionedEnvironment
from pytest_mlscope.environments.recipe import EnvironmentRecipe, environment_recipe
from pytest_mlscope.environments.system_libraries import missing_libraries
from pytest_mlscope.errors import CannotRun, EnvironmentCreationError
from pytest_mlscope.machine import describe_os_error, environments_folder, file_lock, writable_folder
from pytest_mlscope.recorder import Recorder


def _recipe(folder: FrameworkFolder, constraint: str | None, architecture: str | None) -> EnvironmentRecipe:
    """What to make. :raises EnvironmentCreationError: where it is clear beforehand that it cannot be."""
    try:
        recipe = environment_recipe(folder, constraint=constraint, architecture=architecture)
    except CannotRun as error:
        raise EnvironmentCreationError(f"{folder.name}: {error.reason}") from None
    locked = locked_version(folder, recipe.requirements) if recipe.requirements and not recipe.constraint else None
    if locked and not folder.accepts(locked):
        raise EnvironmentCreationError(
            f"{recipe.requirements}: pins {folder.description.distributions[0]} {locked}, and framework.yml wants "
            f"{folder.description.version!r}"
        )
    # A foreign environment brings its own: this machine's libraries are of another architecture.
    missing = missing_libraries(folder.description.system_libraries) if not recipe.is_foreign else None
    if missing:
        raise EnvironmentCreationError(f"{folder.name}: {missing}")
    return recipe


def create_environment(
    folder: FrameworkFolder,
    *,
    home: Path,
    recorder: Recorder,
    constraint: str | None = None,
    architecture: str | None = None,
    emulator: Sequence[str] = (),
    verify: Verify | None = None,
    force: bool = False,
    installer: InstallerChoice = "auto",
) -> Environment:
    """Make the framework's environment, or wait for another process that is making it, or return the one there is.

    :param home: the cache, as of :func:`pytest_mlscope.machine.cache_folder.cache_home`.
    :param recorder: told what is done.
    :param constraint: a version or PEP 440 specifiers. What no lock of the folder satisfies is resolved, and the
        resolution kept in the environment.
    :param architecture: as ``platform.machine()``, which it is by default.
    :param emulator: the words that run a program of that architecture, such as ``qemu-aarch64-static``.
    :param verify: called before the environment counts as complete; returns the framework's version as the
        framework states it, or raises an :class:`~pytest_mlscope.errors.MlscopeError`.
    :param force: make it anew where it is complete.
    :param installer: ``auto`` for uv where there is one, falling back to venv and pip.
    :raises EnvironmentCreationError: one line, then the tool's last lines where a tool failed.
    :raises FrameworkError: when ``framework.yml`` or a lock is wrong.
    """
    description = folder.description
    needs_nothing = not description.distributions and not description.environment.model_fields_set
    if needs_nothing and architecture is None and python_fits(platform.python_version(), description.python):
        recorder.progress(f"{folder.name}: needs no environment of its own")
        return Environment(folder, Path(sys.executable), "", "current", None)
    recipe = _recipe(folder, constraint, architecture)
    debian_interpreter = recipe.debian_interpreter
    if debian_interpreter is not None:
        base, series = None, python_series(debian_interpreter)
    else:
        base = BasePython(*choose_installers(folder, installer))
        series = ".".join(base.interpreter.version.split(".")[:2])
    root = writable_folder(environments_folder(home), error_type=EnvironmentCreationError)
    environment = ProvisionedEnvironment(root / recipe.key(series), folder.name, recipe.hash, series)

    def waiting() -> None:
        recorder.waiting(f"{folder.name}: waiting for another process that is making {environment.path}")

    try:
        with file_lock(environment.lock_path, waiting=waiting) as descriptor:
            # Looked at under the lock: whoever held it before may have just made the environment.
            if not force and environment.fault(description.distributions, emulator=emulator) is None:
                recorder.progress(f"{folder.name}: ready in {environment.path}")
            else:
                EnvironmentMaking(environment, recipe, base, emulator, descriptor, home, recorder, verify).run()
    except OSError as error:
        # Of a program that does not start it is the program's path that tells.
        place = f" ({error.filename})" if error.filename else ""
        raise EnvironmentCreationError(
            f"{environment.path}: cannot be made: {describe_os_error(error)}{place}"
        ) from None
    # A new object, since the one above may have read the marker when there was none, and keeps what it read.
    made = ProvisionedEnvironment(environment.path, folder.name, recipe.hash, series)
    return made.as_environment(recipe, made.version(description.distributions) or "")
