"""Fills a framework environment: packages, checks, and last the marker that makes it complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_mlscope.environments.child_output import run_tool
from pytest_mlscope.environments.child_variables import child_variables
from pytest_mlscope.environments.debian.root import check_library_path, make_links, unpack_packages, write_python
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.environments.foreign_installer import foreign_installer
from pytest_mlscope.environments.installed_distributions import installed_versions
from pytest_mlscope.environments.interpreters import Interpreter
from pytest_mlscope.environments.package_installation import install_packages, with_output
from pytest_mlscope.environments.package_installer import PackageInstaller
from pytest_mlscope.environments.provisioned import (
    MARKER,
    MARKER_SCHEMA,
    ProvisionedEnvironment,
    delete_tree,
)
from pytest_mlscope.environments.recipe import EnvironmentRecipe
from pytest_mlscope.errors import EnvironmentCreationError
from pytest_mlscope.files import replacing
from pytest_mlscope.recorder import Recorder

# The host's code needs numpy, whatever the framework itself needs.
_SMOKE = "import platform, sys, numpy; sys.stdout.write(platform.python_version())"

Verify = Callable[[Environment], str]


@dataclass(frozen=True)
class BasePython:
    """The Python of this machine that an environment is built on, and what can build on it, to be tried in turn."""

    interpreter: Interpreter
    installers: Sequence[PackageInstaller]


@dataclass(frozen=True)
class EnvironmentMaking:
    """One creation, by whoever holds the environment's lock."""

    environment: ProvisionedEnvironment
    recipe: EnvironmentRecipe
    base: BasePython | None
    """``None`` where the environment's Python is of its Debian packages."""
    emulator: Sequence[str]
    lock_descriptor: int
    home: Path
    recorder: Recorder
    verify: Verify | None

    def run(self) -> None:
        """Make it, at its final place from the start, since an environment holds its own path in many files.

        :raises MlscopeError: when it cannot be made; nothing is left of it.
        :raises OSError: when something cannot be written or started; likewise.
        """
        environment, folder = self.environment, self.recipe.folder
        if environment.path.exists():
            self._progress(f"removing what is left of {environment.path}")
            delete_tree(environment)
        try:
            installer = self._fill_on_base(self.base) if self.base else self._fill_on_debian()
            make_links(environment.path, environment.site_packages, folder.description.environment.links)
            version, python, packages = self._check()
            # Last, and before the marker: a framework that installs but does not import here is no environment.
            if self.verify:
                stated = self.verify(environment.as_environment(self.recipe, version))
                self._progress(f"{folder.name} {stated} works")
                version = version or stated
            _write_marker(environment, self._record(version, python, packages, installer))
        # After an interrupt, too: what is half-made may take gigabytes that nobody would look for.
        except BaseException:
            with suppress(OSError):  # Without a marker it is half-made anyway, and the first error is the one to tell.
                delete_tree(environment)
            raise
        self._progress(f"{version or 'environment'} ready in {environment.path}")

    def _progress(self, line: str) -> None:
        self.recorder.progress(f"{self.recipe.folder.name}: {line}")

    def _unpack(self) -> None:
        if self.recipe.debian:
            unpack_packages(
                self.recipe.debian,
                self.environment.path,
                home=self.home,
                recorder=self.recorder.about(self.recipe.folder.name),
            )

    def _fill_on_base(self, base: BasePython) -> str:
        """A virtual environment, and beside it what Debian packages there are; returns the installer's name."""
        used = install_packages(
            self.environment, self.recipe, base.interpreter, base.installers, self.lock_descriptor, self.recorder
        )
        self._unpack()
        check_library_path(self.environment.path, self.recipe.folder.description.environment.library_path)
        return used.name

    def _fill_on_debian(self) -> str:
        """The Debian packages, whose Python gets what Python packages there are; returns the installer's name."""
        recipe, environment = self.recipe, self.environment
        lock, python = recipe.debian, recipe.debian_interpreter
        if lock is None or python is None:
            raise ValueError("without a base, there is a Debian lock with a Python")
        environment.path.mkdir()
        self._unpack()
        library_path = recipe.folder.description.environment.library_path
        write_python(lock, environment.path, interpreter=python, library_path=library_path, emulator=self.emulator)
        if recipe.requirements is None:
            return "debian"
        series = environment.python_series
        installer = foreign_installer(
            series=series,
            architecture=recipe.architecture,
            glibc=lock.version("libc6") or "",
            folder=environment.site_packages,
        )
        interpreter = Interpreter(environment.python, series, makes_environments=False)
        return install_packages(environment, recipe, interpreter, [installer], self.lock_descriptor, self.recorder).name

    def _check(self) -> tuple[str, str, dict[str, str]]:
        """The framework's version, Python's, and all packages' in a filled environment."""
        environment, recipe = self.environment, self.recipe
        folder = recipe.folder
        source = recipe.requirements or recipe.debian_path
        packages = installed_versions(environment.package_folders)
        names = folder.description.distributions
        version = next((packages[name] for name in map(canonicalize_name, names) if name in packages), None)
        if names and version is None:
            raise EnvironmentCreationError(f"{source}: installs none of {', '.join(names)}, of framework.yml")
        # What was installed counts: a lock may name a URL or a path, which pin no version that can be read there.
        if version and not folder.accepts(version):
            raise EnvironmentCreationError(
                f"{source}: installs {names[0]} {version}, and framework.yml wants {folder.description.version!r}"
            )
        printed: list[str] = []
        outcome = run_tool(
            # -I: neither the current folder nor PYTHON* variables can stand in for what was installed.
            [environment.python, "-I", "-c", _SMOKE],
            folder=environment.path,
            variables=child_variables(),
            line=printed.append,
        )
        if outcome.returncode or not printed:
            message = f"{folder.name}: numpy cannot be imported in {environment.path}; does {source} pin it?"
            raise EnvironmentCreationError(with_output(message, outcome))
        return version or "", printed[-1], packages

    def _record(self, version: str, python: str, packages: dict[str, str], installer: str) -> dict[str, object]:
        recipe, requirements = self.recipe, self.environment.requirements
        debian = recipe.debian.packages if recipe.debian else ()
        return {
            "schema": MARKER_SCHEMA,
            "framework": recipe.folder.name,
            "version": version,
            "constraint": recipe.constraint,
            "lock_hash": recipe.hash,
            "resolved_sha256": (
                hashlib.sha256(requirements.read_bytes()).hexdigest() if requirements.is_file() else None
            ),
            "python": python,
            "base_python": str(self.base.interpreter.path) if self.base else recipe.debian_interpreter,
            "platform": recipe.platform,
            "architecture": recipe.architecture,
            "emulator": list(self.emulator),
            "installer": installer,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "packages": packages,
            "debian_packages": {package.name: package.version for package in debian},
        }


def _write_marker(environment: ProvisionedEnvironment, content: dict[str, object]) -> None:
    with replacing(environment.path / MARKER) as stream:
        json.dump(content, stream, indent=1)
