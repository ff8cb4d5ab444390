"""Checks of ``scenarios``: what a scenario that is asked for must be told."""

from __future__ import annotations

from pytest_mlscope.manifest.findings import Findings


def check_scenarios(findings: Findings) -> None:
    """Everything under ``scenarios``, and what ``matrix.scenario`` needs of it."""
    matrix, server = findings.content.matrix, findings.content.scenarios.server
    if not findings.is_whole("scenarios", "server"):
        return
    if server.time_limit < server.duration:
        findings.about(("scenarios", "server", "time_limit"), "is below duration; allowed: duration or more")
    if server.target_qps is not None or server.latency_bound is not None:
        return
    needs = "scenarios.server.target_qps, or scenarios.server.latency_bound for the highest rate that meets it"
    for index, scenario in enumerate(matrix.scenario):
        if scenario == "server":
            findings.at(("matrix", "scenario", index), f"scenario 'server' needs {needs}")
    for index, entry in enumerate(matrix.include):
        if entry.scenario == "server":
            findings.at(("matrix", "include", index, "scenario"), f"scenario 'server' needs {needs}")
