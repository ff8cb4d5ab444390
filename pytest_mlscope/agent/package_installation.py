"""Installs a framework's lock into an environment, with whatever this machine has for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pytest_mlscope.agent.child_output import Outcome, run_tool
from pytest_mlscope.agent.interpreters import Interpreter, find_interpreter, how_to_get
from pytest_mlscope.agent.lock_file import locked_requirements
from pytest_mlscope.agent.package_installer import PackageInstaller, VenvAndPip, find_uv
from pytest_mlscope.agent.provisioned_environment import ProvisionedEnvironment, delete_tree
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.errors import EnvironmentCreationError

InstallerChoice = Literal["auto", "uv", "pip"]
Progress = Callable[[str], None]

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
    ("No matching distribution found", "No solution found"): "a package of the lock is not to be had for this Python",
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


def _cause(outcome: Outcome) -> str:
    printed = "\n".join(outcome.tail)
    for signs, cause in _CAUSES.items():
        if any(sign in printed for sign in signs):
            return cause
    return f"exit status {outcome.returncode}"


def with_output(message: str, outcome: Outcome) -> str:
    return "\n".join([message, *(f"    {line}" for line in outcome.tail)])


def _run(
    installer: PackageInstaller,
    environment: ProvisionedEnvironment,
    folder: FrameworkFolder,
    interpreter: Interpreter,
    lock_descriptor: int,
    progress: Progress,
) -> Outcome:
    """Make the environment and install the lock; how the last command ended."""

    def tell(line: str) -> None:
        if installer.meaningful(line):
            progress(f"{folder.name}: {line.strip()}")

    def run(command: list[str]) -> Outcome:
        return run_tool(
            command,
            folder=environment.path.parent,
            variables=installer.variables(),
            inherit=[lock_descriptor],
            line=tell,
        )

    made = run(installer.make(interpreter, environment.path))
    return made if made.returncode else run(installer.install(environment.path, folder.lock.resolve()))


def install_lock(
    environment: ProvisionedEnvironment,
    folder: FrameworkFolder,
    interpreter: Interpreter,
    installers: list[PackageInstaller],
    lock_descriptor: int,
    progress: Progress,
) -> PackageInstaller:
    """Make the environment and install the lock with the first installer that can; returns which.

    :param lock_descriptor: the tools inherit it, so that one left running by a killed process still holds the lock.
    :raises EnvironmentCreationError: when the last one failed too.
    """
    count = len(locked_requirements(folder))
    for installer in installers:
        progress(
            f"{folder.name}: installing {count} packages with {installer.name} for Python {interpreter.version} "
            f"into {environment.path}"
        )
        outcome = _run(installer, environment, folder, interpreter, lock_descriptor, progress)
        if outcome.returncode == 0:
            return installer
        cause = _cause(outcome)
        message = f"{folder.name}: installing with {installer.name} failed: {cause}"
        if cause == _DISK_FULL or installer is installers[-1]:
            break
        progress(f"{message}; trying again with pip")
        delete_tree(environment)
    raise EnvironmentCreationError(with_output(message, outcome))
