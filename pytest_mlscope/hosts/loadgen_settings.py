"""How a predictor host is asked to run MLPerf's LoadGen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class LoadGenSettings:
    """A run of LoadGen."""

    scenario: str
    batch_size: int
    dynamic: bool
    """Whether batches may be smaller."""
    samples_per_query: int
    qps: float
    """Queries a second of ``server``."""
    latency_bound: float | None
    """Seconds."""
    percentile: float
    seconds: float
    """For which it lasts at least, and"""
    queries: int
    """how many it makes at least, within the"""
    limit: float
    """in seconds."""
    seed: int
    warmup_budget: float
    """Seconds."""
    folder: Path
    """Where its logs go, and"""
    empty_folder: Path
    """those of the run with nothing to predict."""

    def header(self) -> dict[str, Any]:
        """As the ``loadgen`` of ``docs/host-protocol.md`` has it: JSON."""
        folders = {"folder": str(self.folder.absolute()), "empty_folder": str(self.empty_folder.absolute())}
        return {**asdict(self), **folders}
