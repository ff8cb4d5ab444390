"""Registers the scenarios that are built in, through the hook that a conftest uses."""

from __future__ import annotations

import pytest

from pytest_mlscope.components import Scenario
from pytest_mlscope.measurements.latency.scenarios import SHIPPED_SCENARIOS


@pytest.hookimpl(trylast=True)
def pytest_mlscope_register_scenarios() -> list[type[Scenario]]:
    return list(SHIPPED_SCENARIOS)
