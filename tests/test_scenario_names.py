"""A scenario is named where it is defined; elsewhere, its object says what is special about it."""

from __future__ import annotations

import ast
from pathlib import Path

from pytest_mlscope.kinds import SHIPPED_MEASUREMENTS
from pytest_mlscope.measurements.latency.scenarios import SHIPPED_SCENARIOS

PACKAGE = Path(__file__).parents[1] / "pytest_mlscope"
ROOMS = ("reports", "gate", "cli", "expectations", "session", "cases", "api")
NAMES = frozenset(scenario.name for scenario in SHIPPED_SCENARIOS)
ALLOWED = {"cases/case.py": "the default of a dimension"}


def named(path: Path, names: frozenset[str]) -> list[int]:
    """Lines with a text that is one of the names, or with an attribute of that name."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Constant) and node.value in names)
        or (isinstance(node, ast.Attribute) and node.attr in names)
    ]


def test_no_room_above_the_scenarios_names_one() -> None:
    found = {
        str(path.relative_to(PACKAGE)): lines
        for room in ROOMS
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if (lines := named(path, NAMES))
    }
    assert found.keys() == ALLOWED.keys(), found


def test_the_tables_name_no_kind_of_measurement() -> None:
    kinds = frozenset(kind.name for kind in SHIPPED_MEASUREMENTS)
    # A comparison's record has a field for each kind that is compared.
    views = [path for path in (PACKAGE / "reports").glob("*.py") if path.name != "comparison_table.py"]
    assert not {path.name: lines for path in views if (lines := named(path, kinds))}
