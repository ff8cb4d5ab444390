"""What MLPerf's LoadGen and our own loop said of the same case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.statistics import percentile_of, two_sample_test

WITHIN = 0.03
"""How far apart medians, or throughputs, may lie."""
SAME_DISTRIBUTION_FROM = 0.001
"""Probability of the Kolmogorov-Smirnov test below which arrivals are not of one distribution."""


@dataclass(frozen=True)
class Arrivals:
    """Of one run of ``server``; ns, int64."""

    gaps: NDArray[np.int64]
    late: NDArray[np.int64]
    """How long after its time the model was called, for each query that found nothing under way."""


@dataclass(frozen=True)
class Round:
    """One run of each side."""

    ours: float
    """Median latency in seconds; ``offline``: rows a second."""
    theirs: float
    empty: float | None
    """Median latency under LoadGen with nothing to predict, in seconds; ``None`` for ``offline``, one query."""
    valid: bool
    """Whether LoadGen calls its run valid by MLPerf's rules."""
    arrivals: tuple[Arrivals, Arrivals] | None = None
    """Ours and LoadGen's, of ``server``."""

    @property
    def ratio(self) -> float:
        """LoadGen's over ours."""
        return self.theirs / self.ours


@dataclass(frozen=True)
class Agreement:
    """What both said of one scenario."""

    scenario: str
    rounds: Sequence[Round]
    is_rate: bool = False
    """Whether the rounds' figures are rows a second, not latencies."""

    @property
    def ratio(self) -> float:
        """The median of the rounds'."""
        return median(each.ratio for each in self.rounds)

    def _all_arrivals(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        both = [each.arrivals for each in self.rounds if each.arrivals is not None]
        if not both:
            return None
        # Together, since one round has too few arrivals for the test, or for a p99.
        ours, theirs = (np.concatenate([getattr(side, name) for side in sides]) for sides in zip(*both, strict=True))
        return ours, theirs

    @property
    def arrivals(self) -> tuple[float, float] | None:
        """Distance and probability of the test of the gaps between arrivals, all rounds together; of ``server``."""
        gaps = self._all_arrivals("gaps")
        return None if gaps is None else two_sample_test(*gaps)

    @property
    def arrival_errors(self) -> tuple[float | None, float | None]:
        """Ours and LoadGen's, p99 in seconds over all rounds; ``None`` where too few found nothing under way."""
        late = self._all_arrivals("late")
        if late is None:
            return None, None
        ours, theirs = (percentile_of(side, 99.0) for side in late)
        return ours, theirs

    @property
    def agrees(self) -> bool:
        arrivals = self.arrivals
        # Arrivals count only in server: elsewhere nothing arrives by chance.
        return abs(self.ratio - 1) <= WITHIN and (arrivals is None or arrivals[1] >= SAME_DISTRIBUTION_FROM)

    def facts(self) -> dict[str, Any]:
        """As JSON holds it; seconds, or rows a second for ``offline``."""
        arrivals = self.arrivals
        ours, theirs = self.arrival_errors
        return {
            "scenario": self.scenario,
            "ratio": self.ratio,
            "agrees": self.agrees,
            "arrivals": None if arrivals is None else {"distance": arrivals[0], "probability": arrivals[1]},
            "arrival_error_p99": None if arrivals is None else {"ours": ours, "loadgen": theirs},
            "rounds": [
                {
                    "ours": each.ours,
                    "loadgen": each.theirs,
                    "loadgen_empty": each.empty,
                    "loadgen_valid": each.valid,
                }
                for each in self.rounds
            ],
        }
