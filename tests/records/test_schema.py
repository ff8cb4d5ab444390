"""What is made of the records' classes is what they say: the shipped schema and the documentation."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from pytest_mlscope.records.record import FORMAT
from pytest_mlscope.records.report import report_schema
from tests.records.regenerate import DOCS, SCHEMA, documented, schema_text

REMEDY = "python -m tests.records.regenerate"


def test_the_shipped_schema_is_made_of_the_classes() -> None:
    assert SCHEMA.read_text("utf-8") == schema_text(), REMEDY


def test_the_documented_keys_types_units_and_meanings_are_those_of_the_classes() -> None:
    text = DOCS.read_text("utf-8")
    assert text == documented(text), REMEDY


def test_the_schema_is_one_and_names_its_version() -> None:
    schema = report_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f":{FORMAT}")
