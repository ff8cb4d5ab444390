"""One comparison of a measured value with what a manifest expects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One comparison with what the manifest expects."""

    name: str
    """What was compared, such as ``top1``, ``p50`` or ``parity``."""
    measured: float | None
    """The measured value, in the unit in which evaluations keep it; ``None`` where there is no number to compare."""
    bound: str
    """What was expected, readable, such as ``≥ 0.97``."""
    passed: bool
    """Whether it held."""
    message: str
    """One line that says what was measured, what was expected and over how many samples."""
