"""A framework environment: the Python interpreter that a framework runs in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_mlscope.components import FrameworkFolder


@dataclass(frozen=True)
class Environment:
    """An interpreter in which a framework is installed."""

    framework: FrameworkFolder
    python: Path
    """What runs it: an interpreter, or a script that starts one with the libraries, or the emulator, it needs."""
    version: str
    """The framework's version as its distribution states it; empty for a framework without a distribution, whose
    predictor knows."""
    kind: Literal["current", "provisioned"]
    lock_hash: str | None
    """Of all that a provisioned environment was made from; ``None`` for the current interpreter."""
    library_path: tuple[Path, ...] = ()
    """Folders in which shared libraries are looked for before the system's own."""
