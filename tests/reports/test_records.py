from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from jsonschema import Draft202012Validator

from pytest_mlscope.components.check import Check
from pytest_mlscope.components.hardware import HardwareTarget
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.components.profilers.base import Reading
from pytest_mlscope.components.registry import Registry
from pytest_mlscope.errors import CannotRun, MlscopeError
from pytest_mlscope.measurements.evaluation import Evaluation
from pytest_mlscope.measurements.provenance_facts import Provenance
from pytest_mlscope.records import making
from pytest_mlscope.records.making import make_record
from pytest_mlscope.records.packed import is_packed, listed, pack, unpack
from pytest_mlscope.records.plain_values import plain
from pytest_mlscope.records.record import RecordMappings, from_mapping, to_mapping
from pytest_mlscope.reports.json_report import json_schema
from tests.reports.synthetic_evaluations import accuracy, case, full_run, latency, parity, record

ENTRY = Draft202012Validator(json_schema()["properties"]["evaluations"]["items"])

any_float = st.floats() | st.floats(width=32).map(np.float32)
any_text = st.text(st.characters(codec=None, categories=None), max_size=8)  # lone surrogates included
leaves = st.none() | st.booleans() | st.integers(1 - 2**64, 2**64 - 1) | any_float | any_text | any_text.map(Path)
anything = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(any_text, inner), max_leaves=8)
arrays = npst.arrays(
    dtype=st.sampled_from(["float16", "float32", "float64", "int8", "int64", "uint64", ">i4", "bool", "U3"]),
    shape=npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)


def packed_record(*positional: Any, **named: Any) -> dict[str, Any]:
    return to_mapping(make_record(*positional, **named), packed=True)


def _exactly_builtin(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _exactly_builtin(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_exactly_builtin, value))
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is str:
        value.encode("utf-8")
        return True
    return value is None or type(value) in (bool, int)


@settings(max_examples=60, deadline=None)
@given(
    provenance=st.dictionaries(any_text, anything, max_size=3),
    measured=any_float,
    predicted=arrays,
    reason=st.none() | any_text,
    readings=st.lists(st.tuples(st.none() | any_float, st.lists(st.tuples(any_float, any_float))), max_size=2),
)
def test_any_record_is_strict_json(
    provenance: dict[str, Any],
    measured: float,
    predicted: Any,
    reason: str | None,
    readings: list[tuple[float | None, list[tuple[float, float]]]],
) -> None:
    """execnet refuses a subclass of a builtin and kills the session, and JSON has neither NaN nor lone surrogates.

    Whatever frameworks, profilers and file names put in must come out as exactly what both can carry, valid against
    the schema, and the same again after a journey through JSON.
    """
    made = packed_record(
        Evaluation(
            case(),
            "key",
            cast(Provenance, provenance),
            accuracy=accuracy({"top1": MetricValue(measured, 3, (measured, 1.0))}, predicted=predicted),
            parity=parity(max_abs=measured),
            latency=latency(relative_error=measured),
            readings={"p/~": [Reading("r", "W", value, samples=samples) for value, samples in readings]},
        ),
        nodeid="n",
        kind="test",
        plan=None,
        outcome="passed",
        reason=reason,
        checks=[Check("top1", measured, "≥ 0.97", False, "message")],
        seconds=measured,
    )
    assert _exactly_builtin(made)
    travelled = json.loads(json.dumps(made, allow_nan=False))
    assert travelled == made
    expanded = to_mapping(from_mapping(travelled))
    assert _exactly_builtin(expanded)
    ENTRY.validate(json.loads(json.dumps(expanded, allow_nan=False)))
    assert to_mapping(from_mapping(expanded)) == expanded
    # However often it travels.
    again = to_mapping(from_mapping(travelled), packed=True)
    assert to_mapping(from_mapping(again)) == expanded


@given(arrays)
@example(np.array([-9007199254740993, 4294967296]))
def test_an_array_survives_packing(array: Any) -> None:
    """Packing picks the smallest type by itself, so that any value could be the one that does not fit."""
    not_finite: dict[str, str] = {}
    packed = json.loads(json.dumps(pack(array, at="/a", not_finite=not_finite), allow_nan=False))
    unpacked = listed(unpack(packed) if is_packed(packed) else packed, at="/a", not_finite=not_finite)
    if array.dtype.kind == "f":
        odd = int((~np.isfinite(array)).sum())
        assert not_finite.get("/a", "0").split()[0] == str(odd)
        expected = np.where(np.isfinite(array), array, 0).tolist()
        assert np.array([0 if v is None else v for v in _flat(unpacked)]).tolist() == _flat(expected)
    elif array.dtype.kind == "U":
        assert len(_flat(unpacked)) == array.size
    else:
        assert unpacked == array.tolist()


def _flat(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _flat(item)] if isinstance(value, list) else [value]


def test_not_finite_numbers_are_null_and_named() -> None:
    made = to_mapping(record(kind="parity", parity=parity(max_abs=math.inf, max_rel=math.nan)))
    assert made["parity"]["max_abs"] is None
    assert made["not_finite"] == {"/parity/max_abs": "inf", "/parity/max_rel": "nan"}
    read = from_mapping(made).parity
    assert read is not None
    assert read.max_abs == math.inf


def test_what_was_never_measured_is_not_among_the_not_finite() -> None:
    made = to_mapping(record(parity=parity(top1_agreement=None)))
    assert made["parity"]["top1_agreement"] is None
    assert made["not_finite"] == {}


def test_the_command_of_a_case_that_cannot_run_is_apart_from_the_reason() -> None:
    error = CannotRun("pytorch is not installed here", command="mlscope env create pytorch")
    made = record(outcome="skipped", cannot_run=error)
    assert made.reason == "pytorch is not installed here"
    assert made.command == "mlscope env create pytorch"


def test_under_strict_the_command_is_apart_as_well() -> None:
    error = CannotRun("pytorch is not installed here", command="mlscope env create pytorch")
    made = record(outcome="failed", cannot_run=error)
    assert (made.reason, made.command) == ("pytorch is not installed here", "mlscope env create pytorch")


def test_the_precision_wanted_of_the_median_stands_beside_the_one_reached() -> None:
    measured = to_mapping(record(latency=latency()))["latency"]
    assert (measured["relative_error"], measured["wanted_relative_error"]) == (0.0042, 0.01)


def test_a_reason_without_a_command_is_left_alone() -> None:
    made = record(outcome="skipped", reason=str(CannotRun("no NVIDIA driver")))
    assert (made.reason, made.command) == ("no NVIDIA driver", None)


def test_types_that_execnet_refuses_become_builtin() -> None:
    class Level(IntEnum):
        HIGH = 2

    value = {"path": Path("/a"), "float": np.float64(0.5), "level": Level.HIGH, "set": {"b", "a"}, 3: (np.int8(1),)}
    converted = plain(value, at="", not_finite={})
    assert converted == {"path": "/a", "float": 0.5, "level": 2, "set": ["a", "b"], "3": [1]}
    assert _exactly_builtin(converted)


def test_what_has_no_json_form_is_named_with_its_place() -> None:
    with pytest.raises(MlscopeError, match=r"/provenance/a~1b/1: the type bytes cannot be reported"):
        packed_record(
            Evaluation(case(), "key", cast(Provenance, {"a/b": [1, b"x"]})),
            nodeid="n",
            kind="test",
            plan=None,
            outcome="passed",
            reason=None,
            checks=(),
            seconds=0.0,
        )


def test_predictions_beyond_the_limit_are_left_out_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "KEPT_ELEMENTS", 4)
    made = record(accuracy=accuracy(predicted=np.zeros((3, 2))))
    predictions = to_mapping(made)["accuracy"]["predictions"]
    assert predictions["predicted"] is None
    assert predictions["omitted"] == "predicted has 6 elements; up to 4 are kept"
    assert predictions["rows"] == [0, 1, 2]
    ENTRY.validate(to_mapping(made))


def test_a_record_travels_in_less_room_than_its_samples() -> None:
    made = to_mapping(record(latency=latency(50_000, median_ns=15_000)), packed=True)
    assert len(json.dumps(made)) < 50_000 * 4


def test_mappings_of_records_are_a_sequence_that_is_made_on_the_way() -> None:
    records = full_run()
    mappings = RecordMappings(records)
    assert len(mappings) == len(records)
    assert list(mappings) == [to_mapping(each) for each in records]
    assert list(mappings[1:3]) == [mappings[1], mappings[2]]
    entry: Mapping[str, Any] = mappings[-1]
    assert entry["nodeid"] == records[-1].nodeid


def test_no_time_of_an_emulated_case_is_kept() -> None:
    """How long QEMU took says nothing of the processor it plays."""
    emulated = HardwareTarget.model_validate(
        {"name": "other", "description": "d", "architecture": "s390x", "recognise": {"rule": "emulator"}}
    )
    evaluated = case(hardware="other")
    registry = Registry(hardware_targets=HardwareTargets({"other": emulated}))
    evaluated = replace(evaluated, manifest=replace(evaluated.manifest, registry=registry))
    made = to_mapping(record(evaluated, kind="accuracy", accuracy=accuracy()))
    assert made["accuracy"]["metrics"]["top1"]["value"] == 0.9711
    assert made["accuracy"]["seconds"] is None
    assert made["accuracy"]["samples_per_second"] is None
