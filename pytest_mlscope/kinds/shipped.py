"""Registers the kinds of measurement that are built in, through the hook that a conftest uses."""

from __future__ import annotations

import pytest

from pytest_mlscope.components import Measurement
from pytest_mlscope.kinds.accuracy import AccuracyMeasurement
from pytest_mlscope.kinds.latency import LatencyMeasurement
from pytest_mlscope.kinds.layers import LayersMeasurement
from pytest_mlscope.kinds.parity import ParityMeasurement

SHIPPED_MEASUREMENTS: tuple[Measurement, ...] = (
    AccuracyMeasurement(),
    ParityMeasurement(),
    LatencyMeasurement(),
    LayersMeasurement(),
)


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_measurements() -> list[Measurement]:
    return list(SHIPPED_MEASUREMENTS)
