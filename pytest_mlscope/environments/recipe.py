"""What a framework environment is made of: the files that pin it, and from them the name it is found by again."""

from __future__ import annotations

import hashlib
import json
import re
import sysconfig
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.environments.debian.lock import DebianLock, read_debian_lock
from pytest_mlscope.environments.debian.root import python_series
from pytest_mlscope.environments.interpreters import python_fits
from pytest_mlscope.environments.lock_file import locked_requirements, locked_version
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.machine import machine_architecture
from pytest_mlscope.manifest import can_hold_together, is_release, normalised

_PYTHON_PACKAGE = re.compile(r"python(3\.\d+)-minimal")


@dataclass(frozen=True)
class EnvironmentRecipe:
    """One framework, for one architecture, in the versions that one constraint leaves."""

    folder: FrameworkFolder
    architecture: str
    """As ``platform.machine()``."""
    requirements: Path | None
    """The lock of Python packages; ``None`` where Debian packages are all of it."""
    constraint: str | None
    """PEP 440 specifiers that the lock does not satisfy, so that it is resolved anew; else ``None``."""
    debian_path: Path | None
    """The lock of Debian packages; ``None`` where there are none."""

    @property
    def is_foreign(self) -> bool:
        """Whether it is for another architecture than this machine's."""
        return self.architecture != machine_architecture()

    @cached_property
    def debian(self) -> DebianLock | None:
        return read_debian_lock(self.debian_path) if self.debian_path else None

    @cached_property
    def debian_interpreter(self) -> str | None:
        """The Python to run by its path among the Debian packages; ``None`` for one of this machine."""
        stated = self.folder.description.environment.interpreter
        if stated is None and not self.is_foreign:
            return None
        packages = [package.name for package in self.debian.packages] if self.debian else []
        found = sorted(match[1] for name in packages if (match := _PYTHON_PACKAGE.fullmatch(name)))
        if stated is None and not found:
            raise CannotRun(f"{self.debian_path} has no Python, which a foreign architecture needs")
        interpreter = stated or f"usr/bin/python{found[-1]}"
        version = self.debian.version(f"python{python_series(interpreter)}-minimal") if self.debian else None
        wanted = self.folder.description.python
        # Debian writes EPOCH:VERSION-REVISION, and PEP 440 knows neither epoch nor revision of that kind.
        if version and not python_fits(re.split(r"[-+~]", version.partition(":")[2] or version)[0], wanted):
            raise CannotRun(f"{self.debian_path} has Python {version}, and framework.yml wants {wanted!r}")
        return interpreter

    @cached_property
    def hash(self) -> str:
        """First 12 hexadecimal digits of a sha256 over all that pins it."""
        content = self.requirements.read_bytes() if self.requirements else b""
        further: dict[str, object] = {}
        if self.debian_path:
            further["debian"] = hashlib.sha256(self.debian_path.read_bytes()).hexdigest()
            further["environment"] = self.folder.description.environment.model_dump()
        if self.constraint:
            further["constraint"] = self.constraint
        # Only then, so that the hash of a plain lock is that of its bytes alone.
        if further:
            content += b"\0" + json.dumps(further, sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()[:12]

    @property
    def platform(self) -> str:
        """Such as ``linux-x86_64``."""
        return f"linux-{self.architecture}" if self.is_foreign else sysconfig.get_platform()

    @property
    def name(self) -> str:
        """What to call it on the command line: ``onnxruntime==1.20.*``."""
        return f"{self.folder.name}{self.constraint or ''}"

    def key(self, python_version: str) -> str:
        """Folder name of the environment: ``NAME-HASH-pyX.Y-PLATFORM``.

        The platform is part of it because a home folder may be shared by machines of several kinds.
        """
        major, minor = python_version.split(".")[:2]
        return f"{self.folder.name}-{self.hash}-py{major}.{minor}-{self.platform}"


def _requirements(folder: FrameworkFolder, architecture: str, constraint: str | None) -> tuple[Path | None, str | None]:
    """The lock to install, and the constraint that it must be resolved for, if none satisfies it."""
    of_architecture = folder.path / f"requirements-{architecture}.lock"
    lock = of_architecture if of_architecture.is_file() else folder.lock
    if not lock.is_file() or (lock == of_architecture and not locked_requirements(lock)):
        return None, None
    version = locked_version(folder, lock)
    if constraint is None or version is None or folder.accepts(version, constraint):
        return lock, None
    # A folder may pin further releases, each in requirements-VERSION.lock.
    for other in sorted(folder.path.glob("requirements-*.lock"), reverse=True):
        if is_release(other.stem.partition("-")[2]):
            version = locked_version(folder, other)
            if version and folder.accepts(version, constraint):
                return other, None
    return lock, constraint


def environment_recipe(
    folder: FrameworkFolder, *, constraint: str | None = None, architecture: str | None = None
) -> EnvironmentRecipe:
    """What the framework's environment is made of.

    :param constraint: a version or PEP 440 specifiers; ``None`` or ``*`` for what ``framework.yml`` allows.
    :param architecture: as ``platform.machine()``, which it is by default. Another needs Debian packages with a Python.
    :raises CannotRun: when the folder does not have what it takes.
    :raises FrameworkError: when ``framework.yml`` or a lock is wrong.
    """
    description = folder.description
    machine = architecture or machine_architecture()
    wanted = normalised(constraint)
    requirements, unsatisfied = _requirements(folder, machine, wanted)
    if unsatisfied and not can_hold_together(description.version, unsatisfied):
        raise CannotRun(
            f"the predictor takes {description.version!r} (framework.yml), and none of these is {unsatisfied!r}"
        )
    debian = None
    # A lock for emulation by others says nothing about how this machine's own architecture is served.
    if machine != machine_architecture() or description.environment.model_fields_set:
        debian = folder.path / f"debian-{machine}.lock"
        if not debian.is_file():
            raise CannotRun(f"its folder has no {debian.name}, so there is no environment for {machine}")
    if requirements is None and debian is None:
        raise CannotRun("its folder has no requirements.lock to make an environment from")
    recipe = EnvironmentRecipe(folder, machine, requirements, unsatisfied, debian)
    # Asked for now, so that what is wrong with it shows before anything is made.
    _ = recipe.debian_interpreter
    return recipe
