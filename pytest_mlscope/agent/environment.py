"""A framework environment: the Python interpreter that a framework runs in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_mlscope.components.framework import FrameworkFolder


@dataclass(frozen=True)
class Environment:
    """An interpreter in which a framework is installed."""

    framework: FrameworkFolder
    python: Path
    version: str
    """The framework's version as its distribution states it; empty for a framework without a distribution, whose
    predictor knows."""
    kind: Literal["current", "provisioned"]
    lock_hash: str | None
    """Of the lock that a provisioned environment was made from; ``None`` for the current interpreter."""
