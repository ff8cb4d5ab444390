"""Installs a framework's lock into an environment, with whatever this machine has for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.environments.child_output import ToolRun, run_tool
from pytest_mlscope.environments.installed_distributions import installed_versions
from pytest_mlscope.environments.interpreters import Interpreter, find_interpreter, how_to_get
from pytest_mlscope.environments.lock_file import locked_requirements
from pytest_mlscope.environments.package_installer import PackageInstaller, VenvAndPip, find_uv
from pytest_mlscope.environments.provisioned import ProvisionedEnvironment, delete_tree
from pytest_mlscope.environments.recipe import EnvironmentRecipe
from pytest_mlscope.errors import EnvironmentCreationError
from pytest_mlscope.recorder import Recorder

InstallerChoice = Literal["auto", "uv", "pip"]

_NOT_AVAILABLE = "a package of the lock is not available for this Python"
# What pip, uv and the system print, by what it means. They have no codes for it; the first sign found counts.
_CAUSES = {
    ("No space left on device", "Disk quota exceeded"): "the disk is full",
    (
        "dns error",
        "Name or service not known",
        "Temporary failure in name resolution",
        "Failed to establish a new connection",
        "Connection refused",
        "Network is unreachable",
        "client error (Connect)",
        "Read timed out",
        "operation timed out",
    ): "a package index cannot be reached",
    ("No matching distribution found", "No solution found"): _NOT_AVAILABLE,
    ("DO NOT MATCH THE HASHES", "Hash mismatch"): "a package's hash is not the one in the lock",
    ("ensurepip is not available", "No module named venv", "No module named ensurepip"): (
        "this Python has no venv; install uv, or your system's python3-venv"
    ),
}
_DISK_FULL = "the disk is full"


def choose_installers(
    folder: FrameworkFolder, installer: InstallerChoice
) -> tuple[Interpreter, list[PackageInstaller]]:
    """The interpreter to build on, and the installers to try in turn.

    :raises EnvironmentCreationError: when this machine has not what it takes.
    """
    python = folder.description.python
    uv = find_uv() if installer != "pip" else None
    if installer == "uv" and uv is None:
        raise EnvironmentCreationError(f"{folder.name}: there is no uv here; pip install uv, or let pip do it")
    # uv makes environments of any interpreter; without it the interpreter needs venv and ensurepip of its own.
    interpreter = find_interpreter(python, own_tools=uv is None)
    if interpreter is None:
        incapable = find_interpreter(python)
        if incapable:
            raise EnvironmentCreationError(
                f"{folder.name}: {incapable.path} ({incapable.version}) cannot make environments, its venv or "
                "ensurepip is missing; pip install uv, or install your system's python3-venv"
            )
        raise EnvironmentCreationError(
            f"{folder.name}: needs a Python {python}, and none was found on PATH, in ~/.pyenv or of uv; "
            f"get one with: {how_to_get(python)}"
        )
    installers: list[PackageInstaller] = [uv] if uv else []
    if installer == "pip" or (installer == "auto" and interpreter.makes_environments):
        installers.append(VenvAndPip())
    return interpreter, installers


def _cause(outcome: ToolRun) -> str:
    printed = "\n".join(outcome.tail)
    for signs, cause in _CAUSES.items():
        if any(sign in printed for sign in signs):
            return cause
    return f"exit status {outcome.returncode}"


def with_output(message: str, outcome: ToolRun) -> str:
    return "\n".join([message, *(f"    {line}" for line in outcome.tail)])


class _Installation:
    """One attempt, with one installer."""

    def __init__(
        self,
        environment: ProvisionedEnvironment,
        recipe: EnvironmentRecipe,
        interpreter: Interpreter,
        installer: PackageInstaller,
        lock_descriptor: int,
        recorder: Recorder,
    ) -> None:
        self._environment = environment
        self._recipe = recipe
        self._interpreter = interpreter
        self._installer = installer
        self._lock_descriptor = lock_descriptor
        self._recorder = recorder

    def _tell(self, line: str) -> None:
        if self._installer.meaningful(line):
            self._recorder.progress(f"{self._recipe.folder.name}: {line.strip()}")

    def _run(self, command: list[str]) -> ToolRun:
        if not command:
            return ToolRun(0, ())
        return run_tool(
            command,
            # Not the user's folder: uv reads the settings of a project that it is started in.
            folder=self._environment.path.parent,
            variables=self._installer.variables(),
            inherit=[self._lock_descriptor],
            line=self._tell,
        )

    def run(self) -> ToolRun:
        """Make the environment and install what the recipe pins; how the last command ended."""
        made = self._run(self._installer.make(self._interpreter, self._environment.path))
        lock = self._recipe.requirements
        if made.returncode or lock is None:
            return made
        if self._recipe.constraint:
            return self._resolve(lock.resolve())
        return self._run(self._installer.install(self._environment.path, lock.resolve()))

    def _resolve(self, lock: Path) -> ToolRun:
        """Pin another version of the framework, and what is in the lock, each as it is there wherever that fits."""
        path = self._environment.path
        wanted, preferences = path / "requirements.in", path / "preferences.txt"
        wanted.write_text(_wanted(self._recipe, lock), "utf-8")
        resolve = self._installer.resolve(path, wanted, self._environment.requirements)
        if resolve:
            # The folder's lock is where uv starts from: it keeps each pin of its output file that still fits.
            self._environment.requirements.write_text(lock.read_text("utf-8"), "utf-8")
            resolved = self._run(resolve)
            return (
                resolved
                if resolved.returncode
                else self._run(self._installer.install(path, self._environment.requirements))
            )
        preferences.write_text(_preferences(self._recipe, lock), "utf-8")
        outcome = self._run(self._installer.install(path, wanted, preferences=preferences, closed=False))
        if outcome.returncode:
            # pip takes constraints as strict, so that one pin that does not fit fails them all: then without any.
            outcome = self._run(self._installer.install(path, wanted, closed=False))
        if outcome.returncode == 0:
            # pip resolves while it installs, so that what it came to can only be read from what is there.
            versions = installed_versions([self._environment.site_packages])
            # venv puts pip there, and no framework needs it.
            pins = "".join(f"{name}=={version}\n" for name, version in versions.items() if name != "pip")
            self._environment.requirements.write_text(pins, "utf-8")
        return outcome


def framework_distribution(recipe: EnvironmentRecipe) -> str:
    """Canonical name of the distribution that provides the framework: the one its lock pins, else the first."""
    names = [canonicalize_name(name) for name in recipe.folder.description.distributions]
    locked = {
        canonicalize_name(r.name) for r in (locked_requirements(recipe.requirements) if recipe.requirements else ())
    }
    return next((name for name in names if name in locked), names[0])


def _wanted(recipe: EnvironmentRecipe, lock: Path) -> str:
    """The framework in the versions wanted, and in any version all else that the lock has, for only what is needed
    could be told from what a framework needs, not from what its predictor does."""
    name = framework_distribution(recipe)
    version = recipe.folder.description.version
    specifiers = ",".join(part for part in (recipe.constraint, version) if part and part != "*")
    others = [
        f"{r.name} ; {r.marker}" if r.marker else r.name
        for r in locked_requirements(lock)
        if canonicalize_name(r.name) != name
    ]
    return "\n".join([f"{name}{specifiers}", *others]) + "\n"


def _preferences(recipe: EnvironmentRecipe, lock: Path) -> str:
    name = framework_distribution(recipe)
    pins = [f"{r.name}{r.specifier}" for r in locked_requirements(lock) if canonicalize_name(r.name) != name]
    return "\n".join(pins) + "\n"


def install_packages(
    environment: ProvisionedEnvironment,
    recipe: EnvironmentRecipe,
    interpreter: Interpreter,
    installers: Sequence[PackageInstaller],
    lock_descriptor: int,
    recorder: Recorder,
) -> PackageInstaller:
    """Make the environment and install the recipe with the first installer that can; returns which.

    :param lock_descriptor: the tools inherit it, so that one left running by a killed process still holds the lock.
    :raises EnvironmentCreationError: when the last one failed too.
    """
    name = recipe.folder.name
    count = len(locked_requirements(recipe.requirements)) if recipe.requirements else 0
    what = f"{framework_distribution(recipe)}{recipe.constraint}" if recipe.constraint else f"{count} packages"
    for installer in installers:
        recorder.progress(
            f"{name}: installing {what} with {installer.name} for Python {interpreter.version} into {environment.path}"
        )
        outcome = _Installation(environment, recipe, interpreter, installer, lock_descriptor, recorder).run()
        if outcome.returncode == 0:
            return installer
        cause = _cause(outcome)
        if recipe.constraint and cause == _NOT_AVAILABLE:
            cause = f"no version that satisfies {recipe.constraint} is available for this Python"
        message = f"{recipe.name}: installing with {installer.name} failed: {cause}"
        # Another installer would only meet the same full disk.
        if cause == _DISK_FULL or installer is installers[-1]:
            break
        recorder.progress(f"{message}; trying again with pip")
        # What the first installer left could mix with what the next one installs.
        delete_tree(environment)
    raise EnvironmentCreationError(with_output(message, outcome))
