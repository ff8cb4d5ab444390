"""Installs wheels for a Python that this machine may be unable to run: that of an environment's Debian packages."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from pytest_mlscope.environments.child_variables import child_variables
from pytest_mlscope.environments.interpreters import Interpreter
from pytest_mlscope.environments.package_installer import InstallerName, PackageInstaller, Uv, VenvAndPip, find_uv
from pytest_mlscope.environments.pip_configuration import is_true, pip_configuration
from pytest_mlscope.errors import EnvironmentCreationError

_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17, "ppc64le": 17}
"""Minor version of the first glibc that wheels of an architecture are made for (PEP 600)."""
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_UVS_OWN = (17, *range(28, 41))
"""The glibc versions that uv has a platform for, beside 28 and 17."""


def wheel_platforms(architecture: str, glibc: str) -> list[str]:
    """The platform tags of wheels that run there, the newest first.

    >>> wheel_platforms("aarch64", "2.17-1")
    ['manylinux_2_17_aarch64', 'manylinux2014_aarch64', 'linux_aarch64']

    :param glibc: Debian's version of it, such as ``2.31-13+deb11u11``.
    :raises EnvironmentCreationError: for an architecture or a version that wheels are not made for.
    """
    match = re.match(r"2\.(\d+)", glibc)
    if match is None or architecture not in _OLDEST_GLIBC:
        raise EnvironmentCreationError(f"there are no wheels for {architecture} with glibc {glibc}")
    tags = []
    for minor in range(int(match[1]), _OLDEST_GLIBC[architecture] - 1, -1):
        tags.append(f"manylinux_2_{minor}_{architecture}")
        if minor in _LEGACY:
            tags.append(f"{_LEGACY[minor]}_{architecture}")
    return [*tags, f"linux_{architecture}"]


def _newest(architecture: str, glibc: str) -> int:
    """Minor version of the newest glibc whose wheels run there. Raises as :func:`wheel_platforms`."""
    return int(wheel_platforms(architecture, glibc)[0].split("_")[2])


class _Foreign:
    """What both tools have in common."""

    def __init__(self, *, series: str, architecture: str, glibc: str, folder: Path) -> None:
        """
        :param series: the Python's, such as ``3.9``.
        :param folder: where its packages go.
        """
        self._series = series
        self._architecture = architecture
        self._platforms = wheel_platforms(architecture, glibc)
        self._folder = folder

    def make(self, interpreter: Interpreter, environment: Path) -> list[str]:
        return []  # The Debian packages are the environment.

    def resolve(self, environment: Path, wanted: Path, lock: Path) -> list[str]:
        return []

    def _target(self) -> list[str]:
        # pip takes another platform only where nothing has to be built.
        return ["--target", str(self._folder), "--python-version", self._series, "--only-binary", ":all:"]

    @staticmethod
    def _pins(lock: Path, preferences: Path | None, *, closed: bool) -> list[str]:
        # Markers are evaluated for the Python that runs the tool, so dependencies are those of the lock alone.
        further = ["--no-deps"] if closed else []
        return [*further, *(["-c", str(preferences)] if preferences else []), "-r", str(lock)]


class ForeignPip(_Foreign):
    """The pip beside this interpreter."""

    name: InstallerName = "pip"

    def install(
        self, environment: Path, lock: Path, *, preferences: Path | None = None, closed: bool = True
    ) -> list[str]:
        options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--implementation", "cp"]
        for tag in self._platforms:
            options += ["--platform", tag]
        pins = self._pins(lock, preferences, closed=closed)
        # This machine's pip: the other Python may need an emulator, or be unable to run here at all.
        return [sys.executable, "-I", "-m", "pip", "install", *options, *self._target(), *pins]

    def variables(self) -> dict[str, str]:
        return {**child_variables(), "NO_COLOR": "1"}

    def meaningful(self, line: str) -> bool:
        return VenvAndPip().meaningful(line)


class ForeignUv(_Foreign):
    """uv, which has no platform for every architecture."""

    name: InstallerName = "uv"

    def __init__(self, uv: Uv, *, series: str, architecture: str, glibc: str, folder: Path) -> None:
        super().__init__(series=series, architecture=architecture, glibc=glibc, folder=folder)
        self._uv = uv
        # The newest that uv has and this glibc still runs: wheels for an older glibc run on a newer one.
        newest = _newest(architecture, glibc)
        self._platform = f"{architecture}-manylinux_2_{max(minor for minor in _UVS_OWN if minor <= newest)}"

    def install(
        self, environment: Path, lock: Path, *, preferences: Path | None = None, closed: bool = True
    ) -> list[str]:
        options = ["--verify-hashes", "--python", sys.executable, "--python-platform", self._platform]
        if is_true(pip_configuration().get("no-index", "")):
            options.append("--no-index")
        pins = self._pins(lock, preferences, closed=closed)
        return [*self._uv.command, "pip", "install", *options, *self._target(), *pins]

    def variables(self) -> dict[str, str]:
        return self._uv.variables()

    def meaningful(self, line: str) -> bool:
        return self._uv.meaningful(line)


def foreign_installer(*, series: str, architecture: str, glibc: str, folder: Path) -> PackageInstaller:
    """pip where it is beside this interpreter, else uv. Parameters as of :class:`_Foreign`.

    :raises EnvironmentCreationError: when neither is here, or there are no such wheels.
    """
    if importlib.util.find_spec("pip"):
        # pip first: it takes any platform tag, while uv has no platform for ppc64le.
        return ForeignPip(series=series, architecture=architecture, glibc=glibc, folder=folder)
    uv = find_uv()
    if uv is None or architecture not in ("x86_64", "aarch64") or _newest(architecture, glibc) < min(_UVS_OWN):
        raise EnvironmentCreationError(
            f"wheels for Python {series} on {architecture} with glibc {glibc} take pip; python -m ensurepip, or "
            "install pip beside pytest"
        )
    return ForeignUv(uv, series=series, architecture=architecture, glibc=glibc, folder=folder)
