"""Finds a Python interpreter of the version a framework needs."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from pytest_mlscope.environments.child_variables import child_variables

# Runs in any Python from 3.6 on.
_PROBE = (
    "import json, platform, sys\n"
    "try:\n    import ensurepip, venv\n    own = True\nexcept ImportError:\n    own = False\n"
    "print(json.dumps([platform.python_version(), own]))"
)
_PROBE_TIMEOUT = 20.0
_OLDEST_MINOR, _NEWEST_MINOR = 6, 25
# Later than any series' last patch release: specifiers that allow it need no patch number in a command.
_LATE_PATCH = 30


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter on this machine."""

    path: Path
    version: str
    """Such as ``3.11.7``."""
    makes_environments: bool
    """Whether its own ``venv`` and ``ensurepip`` are there; Debian ships them apart."""

    def fits(self, python: str) -> bool:
        """Whether the version satisfies the specifiers of ``framework.yml``."""
        return python_fits(self.version, python)


def python_fits(version: str, python: str) -> bool:
    """Whether a Python version satisfies PEP 440 specifiers; ``*`` is satisfied by any.

    >>> python_fits("3.11.7", ">=3.9,<3.12"), python_fits("3.6.15", "*")
    (True, True)
    """
    return python == "*" or SpecifierSet(python).contains(version.rstrip("+"), prereleases=True)


@functools.cache
def probe(path: Path) -> Interpreter | None:
    """Ask an interpreter what it is; ``None`` when it does not run."""
    if path == Path(sys.executable):
        import importlib.util

        has_tools = all(importlib.util.find_spec(module) for module in ("ensurepip", "venv"))
        return Interpreter(path, platform.python_version(), has_tools)
    try:
        answer = subprocess.run(
            # -I and -S: no site-packages, no .pth files, so that nothing of a project runs or prints here.
            [str(path), "-I", "-S", "-c", _PROBE],
            capture_output=True,
            timeout=_PROBE_TIMEOUT,
            check=True,
            env=child_variables(),
            stdin=subprocess.DEVNULL,
        )
        version, has_tools = json.loads(answer.stdout)
        # A Python built from a checkout calls itself 3.12.0+, which is not a version of PEP 440.
        Version(version.rstrip("+"))
    except (OSError, subprocess.SubprocessError, ValueError, InvalidVersion):
        return None
    return Interpreter(path, version, has_tools)


def _version_in_name(path: Path) -> tuple[int, ...]:
    """``…/3.9.18`` and ``…/cpython-3.9.18-linux`` to ``(3, 9, 18)``, for trying newer ones first."""
    for part in path.name.split("-"):
        pieces = part.split(".")
        if pieces[0].isdigit():
            return tuple(int(piece) for piece in pieces if piece.isdigit())
    return ()


def _candidates() -> Iterator[Path]:
    """Interpreters in order of preference, by full path, existing or not."""
    yield Path(sys.executable)
    # A shim of pyenv runs whichever version the current folder selects, so it is no interpreter to build on.
    on_path = [Path(entry) for entry in os.get_exec_path() if Path(entry).is_absolute() and Path(entry).name != "shims"]
    names = [f"python3.{minor}" for minor in range(_NEWEST_MINOR, _OLDEST_MINOR - 1, -1)]
    for name in [*names, "python3", "python"]:
        for folder in on_path:
            yield folder / name
    # "~" stays as it is for a user without a home folder, and there is nothing of that name.
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - never raises
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", data / "uv" / "python"))
    # One of them may have made the running interpreter, under another user's home: its neighbours are there too.
    own = Path(sys.base_prefix).resolve().parent
    neighbours = [own] if own.name == "versions" or own.parts[-2:] == ("uv", "python") else []
    for root in (pyenv, uv, *neighbours):
        for version in sorted(root.glob("*"), key=_version_in_name, reverse=True):
            yield version / "bin" / "python3"


def interpreters() -> Iterator[Interpreter]:
    """Every interpreter there is, in order of preference: the running one, on PATH, of pyenv, of uv."""
    seen: set[Path] = set()
    for path in _candidates():
        # PATH may name a folder twice, and starting an interpreter takes tens of milliseconds.
        if path in seen or not os.access(path, os.X_OK):
            continue
        seen.add(path)
        interpreter = probe(path)
        if interpreter:
            yield interpreter


def find_interpreter(python: str, *, own_tools: bool = False) -> Interpreter | None:
    """The first of :func:`interpreters` that fits.

    :param python: PEP 440 specifiers, or ``*``.
    :param own_tools: whether it must be able to make environments without uv.
    """
    for interpreter in interpreters():
        if interpreter.fits(python) and (interpreter.makes_environments or not own_tools):
            return interpreter
    return None


def how_to_get(python: str) -> str:
    """A command that installs a fitting interpreter, as far as the specifiers say which.

    >>> how_to_get(">=3.6,<3.7")
    'uv python install 3.6'
    """
    # The oldest that fits: of the newer ones nobody knows here whether they exist yet.
    for minor in range(_OLDEST_MINOR, _NEWEST_MINOR + 1):
        if python_fits(f"3.{minor}.{_LATE_PATCH}", python):
            return f"uv python install 3.{minor}"
        for patch in range(_LATE_PATCH):
            if python_fits(f"3.{minor}.{patch}", python):
                return f"uv python install 3.{minor}.{patch}"
    return "uv python install VERSION"
