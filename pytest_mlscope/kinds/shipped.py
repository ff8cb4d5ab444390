"""Registers the kinds of measurement that are built in, through the hook that a conftest uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mlscope.components import Measurement
from pytest_mlscope.kinds.accuracy import AccuracyMeasurement
from pytest_mlscope.kinds.latency import LatencyMeasurement
from pytest_mlscope.kinds.layers import LayersMeasurement
from pytest_mlscope.kinds.parity import ParityMeasurement
from pytest_mlscope.kinds.shown import Shown, StatedColumns

if TYPE_CHECKING:
    from pytest_mlscope.records import EvaluationRecord

SHIPPED_MEASUREMENTS: tuple[Measurement, ...] = (
    AccuracyMeasurement(),
    ParityMeasurement(),
    LatencyMeasurement(),
    LayersMeasurement(),
)


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_measurements() -> list[Measurement]:
    return list(SHIPPED_MEASUREMENTS)


def shown_kinds(records: Iterable[EvaluationRecord]) -> dict[str, Shown[Any]]:
    """What shows the results that records have, by kind, in the order in which they are read.

    Records may come from other processes, which alone know the kinds that a conftest adds: those are found by name.
    """
    shipped: dict[str, Shown[Any]] = {each.name: each for each in SHIPPED_MEASUREMENTS if isinstance(each, Shown)}
    added = sorted({name for each in records for name in each.measurements})
    return shipped | {name: StatedColumns(name) for name in added}
