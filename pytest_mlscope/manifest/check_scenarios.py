"""Making the scenarios, and checking what a scenario that is asked for must be told."""

from __future__ import annotations

from pydantic import ValidationError

from pytest_mlscope.components import Scenario, asked
from pytest_mlscope.documents import Path
from pytest_mlscope.manifest.check_components import make_component
from pytest_mlscope.manifest.findings import Findings


def _by_default(scenario: type[Scenario]) -> Scenario | None:
    try:
        return scenario()
    except ValidationError:
        return None


def make_scenarios(findings: Findings) -> dict[str, Scenario]:
    """Every registered scenario, with the settings under ``scenarios`` or its defaults.

    What ``matrix`` asks for must be registered, and have what it cannot do without.
    """
    known = findings.registry.scenarios
    made: dict[str, Scenario | None] = {}
    for name, settings in findings.content.scenarios.items():
        if findings.one_of(("scenarios", name), "scenario", name, list(known), key=True):
            made[name] = make_component(findings, ("scenarios", name), known[name], settings)
    # The name of one that is stated may be mistyped, or its settings wrong: then nothing lacks.
    are_known = findings.is_whole("scenarios") and all(name in known for name in findings.content.scenarios)
    wrong = {name for name, scenario in made.items() if scenario is None}
    for name, kind in known.items():
        if name not in made:
            made[name] = _by_default(kind)
    for path, name in _asked_for(findings):
        if not findings.one_of(path, "scenario", name, list(known)) or name in wrong or not are_known:
            continue
        scenario = made[name]
        lacks = f"settings under scenarios.{name}" if scenario is None else asked(scenario, "lacking")
        if lacks:
            findings.at(path, f"scenario {name!r} needs {lacks}")
    return {name: scenario for name, scenario in made.items() if scenario is not None}


def _asked_for(findings: Findings) -> list[tuple[Path, str]]:
    matrix = findings.content.matrix
    asked: list[tuple[Path, str]] = [
        (("matrix", "scenario", index), name) for index, name in enumerate(matrix.scenario)
    ]
    for index, entry in enumerate(matrix.include):
        if entry.scenario is not None:
            asked.append((("matrix", "include", index, "scenario"), entry.scenario))
    return asked
