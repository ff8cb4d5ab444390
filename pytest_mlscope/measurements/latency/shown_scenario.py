"""What a scenario adds to the table of latencies, and what its latencies are latencies of."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mlscope.columns import ABSENT, Column
from pytest_mlscope.components import Scenario
from pytest_mlscope.measurements.latency.result import Latency
from pytest_mlscope.quantities import heading, measured, plural

_FIGURE = 62
"""Importance of a figure that someone had measured for its own sake: more than of those that every latency has."""


class ShownScenario(Scenario):
    """A scenario of the package. Plugins' own are shown as this class does: their figures travel with the latency."""

    @classmethod
    def columns(cls, latencies: Sequence[Latency]) -> Sequence[Column]:
        """Columns beside those of every latency, a cell for each of these: by default, the figures that were given."""
        cells: dict[tuple[str, str], list[str]] = {}
        for place, latency in enumerate(latencies):
            for figure in latency.figures:
                if figure.value is not None:
                    column = cells.setdefault((figure.name, figure.unit), [ABSENT] * len(latencies))
                    column[place] = measured(figure.value, figure.unit)
        return [Column(heading(*name), column, importance=_FIGURE) for name, column in cells.items()]

    @classmethod
    def notes(cls, latencies: Sequence[Latency]) -> Sequence[str]:
        """What stands below the table, a line each, in few words: by default, what one latency is of, if no batch."""
        rows: dict[str, set[int]] = {}
        for latency in latencies:
            if latency.sample != Scenario.sample:
                rows.setdefault(latency.sample, set()).add(latency.rows_per_query)
        return [f"latency of a {_sized(sample, _sizes(counts))}" for sample, counts in rows.items()]

    @classmethod
    def bounded(cls, latencies: Sequence[Latency]) -> set[str]:
        """Percentiles that the scenario itself bounds, such as ``p99``: their columns are kept at a narrow width."""
        return set()


def _sized(sample: str, sizes: str) -> str:
    # After several words, "of" would say the last one's size.
    return f"{sample} ({sizes})" if " " in sample else f"{sample} of {sizes}"


def _sizes(counts: set[int]) -> str:
    sizes = sorted(counts)
    return plural(sizes[0], "row") if len(sizes) == 1 else f"{sizes[0]:,}–{sizes[-1]:,} rows"
