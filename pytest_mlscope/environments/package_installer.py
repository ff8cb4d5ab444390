"""Makes virtual environments and installs into them: with uv, or with ``venv`` and pip."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, Protocol

from pytest_mlscope.environments.child_variables import child_variables
from pytest_mlscope.environments.interpreters import Interpreter
from pytest_mlscope.environments.pip_configuration import is_true, pip_configuration, uv_variables

InstallerName = Literal["uv", "pip"]


class PackageInstaller(Protocol):
    """What makes and fills an environment, as commands to run."""

    name: InstallerName

    def make(self, interpreter: Interpreter, environment: Path) -> list[str]:
        """The command that makes an empty environment; empty where there is nothing to make."""
        ...

    def install(
        self, environment: Path, lock: Path, *, preferences: Path | None = None, closed: bool = True
    ) -> list[str]:
        """The command that installs a lock into it.

        :param preferences: pins that hold for whatever else is installed.
        :param closed: whether the lock names all that it needs.
        """
        ...

    def resolve(self, environment: Path, wanted: Path, lock: Path) -> list[str]:
        """The command that pins what is wanted, and all it needs, in ``lock``, keeping the pins there where it can;
        empty for a tool that only resolves while it installs.
        """
        ...

    def variables(self) -> dict[str, str]:
        """The environment variables to run both with."""
        ...

    def meaningful(self, line: str) -> bool:
        """Whether a line of output tells the user how far it is."""
        ...


class Uv:
    """uv: ten times faster, and needs nothing of the interpreter."""

    name: InstallerName = "uv"

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def resolve(self, environment: Path, wanted: Path, lock: Path) -> list[str]:
        # No header and no annotations: the file's bytes are hashed, and a header names this machine's paths.
        options = ["--python", str(environment / "bin" / "python"), "--no-header", "--no-annotate", "--quiet"]
        if is_true(pip_configuration().get("no-index", "")):
            options.append("--no-index")
        return [*self.command, "pip", "compile", *options, str(wanted), "--output-file", str(lock)]

    def make(self, interpreter: Interpreter, environment: Path) -> list[str]:
        # Without these uv takes a project's settings from the current folder, and may download another Python.
        options = ["--no-project", "--no-python-downloads", "--python", str(interpreter.path)]
        return [*self.command, "venv", *options, str(environment)]

    def install(
        self, environment: Path, lock: Path, *, preferences: Path | None = None, closed: bool = True
    ) -> list[str]:
        # uv 0.5.0 does not verify the hashes of a lock unless told to; later releases do.
        options = ["--verify-hashes", "--python", str(environment / "bin" / "python"), "-r", str(lock)]
        options += ["-c", str(preferences)] if preferences else []
        if is_true(pip_configuration().get("no-index", "")):
            options.append("--no-index")
        return [*self.command, "pip", "install", *options]

    def variables(self) -> dict[str, str]:
        variables = child_variables()
        return {**variables, **uv_variables(pip_configuration(), variables), "NO_COLOR": "1"}

    def meaningful(self, line: str) -> bool:
        words = ("Resolved", "Prepared", "Installed", "Downloading", "Building", "Built", "warning:", "error:")
        return line.lstrip().startswith(words)


class VenvAndPip:
    """The standard library's ``venv``, and the pip that comes with it."""

    name: InstallerName = "pip"

    def resolve(self, environment: Path, wanted: Path, lock: Path) -> list[str]:
        return []

    def make(self, interpreter: Interpreter, environment: Path) -> list[str]:
        # -I: a file called venv.py in the current folder would run instead.
        return [str(interpreter.path), "-I", "-m", "venv", str(environment)]

    def install(
        self, environment: Path, lock: Path, *, preferences: Path | None = None, closed: bool = True
    ) -> list[str]:
        python = str(environment / "bin" / "python")
        # Nobody is there to answer a question, and output is passed on line by line.
        options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "-r", str(lock)]
        options += ["-c", str(preferences)] if preferences else []
        return [python, "-I", "-m", "pip", "install", *options]

    def variables(self) -> dict[str, str]:
        return {**child_variables(), "NO_COLOR": "1"}

    def meaningful(self, line: str) -> bool:
        words = ("Collecting", "Processing", "Downloading", "Building", "Installing", "Successfully", "ERROR")
        return line.lstrip().startswith(words)


def find_uv() -> Uv | None:
    """The uv beside this interpreter, else of this interpreter, else on PATH; ``None`` when none runs."""
    # First the one beside this interpreter: it is part of the user's environment, the one on PATH of the machine.
    commands = [[str(Path(sys.executable).parent / "uv")]]
    if importlib.util.find_spec("uv"):
        commands.append([sys.executable, "-m", "uv"])
    on_path = shutil.which("uv")
    if on_path:
        commands.append([on_path])
    for command in commands:
        try:
            subprocess.run(
                [*command, "--version"],
                capture_output=True,
                timeout=20,
                check=True,
                env=child_variables(),
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            continue  # A shim of pyenv is there for every tool that any of its versions has.
        return Uv(command)
    return None
