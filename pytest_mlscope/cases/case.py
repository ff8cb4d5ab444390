"""A case: one cell of model × framework × version × hardware × precision × threads × batch size × scenario."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_mlscope.manifest.dimensions import STATED
from pytest_mlscope.manifest.loaded import LoadedManifest

__all__ = ["STATED", "Case", "Threads"]

Threads = int | Literal["framework_default"]


@dataclass(frozen=True, slots=True)
class Case:
    """One cell. ``id`` is what stands in brackets in a test's name: only dimensions with several values."""

    framework: str
    hardware: str = "cpu"
    precision: str = "fp32"
    threads: Threads = 1
    batch_size: int = 1
    scenario: str = "single_stream"
    preprocessing: str = STATED
    version: str | None = None
    """Of the framework, as the manifest states it; ``None`` where it states none."""
    id: str = field(default="", compare=False)
    manifest: LoadedManifest = field(compare=False, repr=False, kw_only=True)
