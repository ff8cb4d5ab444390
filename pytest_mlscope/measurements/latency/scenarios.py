"""The scenarios that come with the package."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_mlscope.measurements.latency.multi_stream import MultiStream
from pytest_mlscope.measurements.latency.offline import Offline
from pytest_mlscope.measurements.latency.server import Server
from pytest_mlscope.measurements.latency.shown_scenario import ShownScenario
from pytest_mlscope.measurements.latency.single_stream import SingleStream

SHIPPED_SCENARIOS: tuple[type[ShownScenario], ...] = (SingleStream, MultiStream, Offline, Server)


def shown_scenarios(names: Iterable[str]) -> dict[str, type[ShownScenario]]:
    """What shows the latencies of scenarios, in the order in which it does: those of the package, then plugins'."""
    wanted = set(names)
    shipped = {scenario.name: scenario for scenario in SHIPPED_SCENARIOS if scenario.name in wanted}
    return shipped | dict.fromkeys(sorted(wanted - shipped.keys()), ShownScenario)
