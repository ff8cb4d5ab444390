"""The table of latencies: columns of every latency, and those that the scenarios among them add."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pytest_mlscope import quantities as readable
from pytest_mlscope.columns import ABSENT, Column, numbers
from pytest_mlscope.measurements import Latency, ShownScenario, shown_scenarios
from pytest_mlscope.records import EvaluationRecord
from pytest_mlscope.statistics import minimum_samples

_BOUNDED = 85
"""Importance of a percentile that the manifest bounds: more than of those that are only told."""
_NOWHERE_KNOWN = 20
_IMPORTANCE = {"p50": 100, "p99": 75, "p90": 60, "p95": 55, "p99.9": 25}
_TOO_FEW = "n<N: the percentile needs at least N calls"
_BETWEEN = "between: spread of the medians of fresh processes, relative; ± p50 is within one"


def latency_columns(latencies: Sequence[Latency], records: Sequence[EvaluationRecord]) -> list[Column]:
    """A cell a latency; the records are theirs."""

    def column(
        title: str, show: Callable[[float], str], value: Callable[[Latency], float | None], importance: int
    ) -> Column:
        return numbers(title, map(value, latencies), show, importance=importance)

    columns = [*_shape_columns(latencies), *_percentile_columns(latencies, records)]
    columns.append(column("± p50", readable.share, lambda latency: latency.relative_error, 65))
    if any(latency.restarts for latency in latencies):
        columns.append(replace(column("between", readable.share, _spread, 52), note=_BETWEEN))
    columns.append(column("samples/s", readable.number, lambda latency: latency.throughput, 70))
    columns += _scenario_columns(latencies, records)
    columns.append(column("load", readable.seconds, lambda latency: latency.load_seconds, 40))
    columns.append(column("peak memory", readable.memory, lambda latency: latency.peak_memory, 45))
    columns.append(column("calls", readable.number, lambda latency: latency.n, 30))
    return columns


def _spread(latency: Latency) -> float | None:
    return latency.restarts.spread if latency.restarts else None


def _shape_columns(latencies: Sequence[Latency]) -> list[Column]:
    """The shapes of the inputs that were timed, where a manifest leaves them open."""
    shapes = [_shapes(latency) for latency in latencies]
    note = "shape: of the timed inputs; another shape has another latency"
    return [Column("shape", shapes, "left", importance=90, note=note)] if any(shapes) else []


def _shapes(latency: Latency) -> str:
    texts = []
    for name, shapes in latency.shapes.items():
        first = "×".join(map(str, shapes[0]))
        texts.append(f"{name} {first}" if len(shapes) == 1 else f"{name} {first} and {len(shapes) - 1} more")
    return ", ".join(texts)


def _percentile_columns(latencies: Sequence[Latency], records: Sequence[EvaluationRecord]) -> list[Column]:
    bounded = {check.name for record in records for check in record.checks}
    for _, scenario, places in _by_scenario(records):
        bounded |= scenario.bounded([latencies[place] for place in places])
    columns = []
    for name in dict.fromkeys(name for latency in latencies for name in latency.percentiles):
        importance = _IMPORTANCE.get(name, 50)
        if name in bounded:
            importance = _BOUNDED
        elif name != "p50" and all(latency.percentiles.get(name) is None for latency in latencies):
            if name == "p99.9":
                continue  # a sample rarely is that large
            importance = _NOWHERE_KNOWN
        cells = [_percentile(latency, name) for latency in latencies]
        columns.append(Column(name, cells, importance=importance, note=_TOO_FEW, note_mark="n<"))
    return columns


def _percentile(latency: Latency, name: str) -> str:
    value = latency.percentiles.get(name)
    if value is not None:
        return readable.seconds(value)
    # More calls would not help: the percentile belongs to a query without an answer.
    return ABSENT if latency.unanswered else f"n<{minimum_samples(float(name.removeprefix('p'))):,}"


def _by_scenario(records: Sequence[EvaluationRecord]) -> Iterator[tuple[str, type[ShownScenario], list[int]]]:
    """Each scenario with the places of its rows."""
    places: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        if record.case:
            places.setdefault(record.case.scenario, []).append(place)
    for name, scenario in shown_scenarios(places).items():
        yield name, scenario, places[name]


def _scenario_columns(latencies: Sequence[Latency], records: Sequence[EvaluationRecord]) -> list[Column]:
    """Columns of one title are one column, be they of several scenarios."""
    found: dict[str, Column] = {}
    for _, scenario, places in _by_scenario(records):
        for column in scenario.columns([latencies[place] for place in places]):
            same = found.get(column.title)
            cells = list(same.cells) if same else [ABSENT] * len(records)
            for place, cell in zip(places, column.cells):
                cells[place] = cell
            found[column.title] = replace(same or column, cells=cells)
    return list(found.values())


def scenario_notes(latencies: Sequence[Latency], records: Sequence[EvaluationRecord]) -> list[str]:
    """What the latencies of each scenario are latencies of, and what else it has to say."""
    return [
        f"{name}: {line}"
        for name, scenario, places in _by_scenario(records)
        for line in scenario.notes([latencies[place] for place in places])
    ]
