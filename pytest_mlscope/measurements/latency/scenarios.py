"""The scenarios that come with the package."""

from __future__ import annotations

from pytest_mlscope.components import Scenario
from pytest_mlscope.measurements.latency.multi_stream import MultiStream
from pytest_mlscope.measurements.latency.offline import Offline
from pytest_mlscope.measurements.latency.server import Server
from pytest_mlscope.measurements.latency.single_stream import SingleStream

SHIPPED_SCENARIOS: tuple[type[Scenario], ...] = (SingleStream, MultiStream, Server, Offline)
