"""What is made of the records' classes: the JSON Schema that is shipped, and the tables of ``docs/json-report.md``.

``python -m tests.records.regenerate`` writes them anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_mlscope.records.report import report_schema

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "reports" / "evaluations.schema.json"
DOCS = ROOT / "docs" / "json-report.md"

_TABLE = re.compile(r"<!-- keys: (\S*) -->\n(?:\n(?:\|.*\n)*)?")


def schema_text() -> str:
    """What the shipped schema should be."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"


def documented(text: str) -> str:
    """The documentation with every table as it should be. A table stands below ``<!-- keys: PREFIX -->``."""
    sections = _TABLE.findall(text)
    rows = list(_rows(report_schema()))

    def table(match: re.Match[str]) -> str:
        own = match[1]
        lines = [_line(path, schema) for path, schema in rows if _section(path, sections) == own]
        head = [f"<!-- keys: {own} -->", "", "| key | type | unit | meaning |", "|---|---|---|---|"]
        return "\n".join([*head, *lines, ""])

    return _TABLE.sub(table, text)


def _section(path: str, sections: list[str]) -> str:
    """The longest of those that a key stands below."""
    return max((each for each in sections if path.startswith(f"{each}." if each else "")), key=len)


def _rows(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Keys with their schemas: ``[]`` for an array's elements, ``NAME`` for a mapping's values."""
    for name, value in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, value
        yield from _rows(value, here)
    if isinstance(schema.get("items"), dict):
        yield from _rows(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _rows(schema["additionalProperties"], f"{path}.NAME")


def _line(path: str, schema: dict[str, Any]) -> str:
    text = schema.get("description", "").replace("|", "&#124;")
    return f"| `{path}` | {_type(schema)} | {_unit(schema)} | {text} |"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(choice) for choice in schema["anyOf"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    types = schema.get("type", "any")
    return " or ".join(types) if isinstance(types, list) else str(types)


def _unit(schema: dict[str, Any]) -> str:
    inner = (schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ()))
    own = schema.get("unit")
    return own or next((unit for each in inner if isinstance(each, dict) and (unit := _unit(each))), "")


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), "utf-8")
    DOCS.write_text(documented(DOCS.read_text("utf-8")), "utf-8")
