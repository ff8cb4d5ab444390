"""Reports that are read: those of earlier releases of this format, and those that are not as they should be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.measurements.evaluation import OtherMeasurement
from pytest_mlscope.records.codec import MalformedRecord
from pytest_mlscope.records.record import EvaluationRecord, from_mapping, to_mapping
from tests.reports.synthetic_evaluations import accuracy, latency, record

EARLIER = Path(__file__).with_name("report-1.json")
"""As the first release of format 1 wrote it: it lacks what was added since."""


def _earlier() -> list[EvaluationRecord]:
    return [from_mapping(entry) for entry in json.loads(EARLIER.read_text("ascii"))["evaluations"]]


def test_a_report_of_an_earlier_release_is_read() -> None:
    scored, compared, timed, skipped = _earlier()
    assert scored.accuracy is not None
    assert scored.accuracy.predictions.predicted.tolist() == [3, 1, 4]
    assert math.isnan(scored.accuracy.metrics["mae"].value)
    assert scored.accuracy.row_values == {}
    assert scored.accuracy.metrics["top1"].higher_is_better is None
    assert scored.comparison is not None
    assert scored.comparison.accuracy is not None
    assert compared.parity is not None
    assert compared.parity.max_abs == math.inf
    assert compared.comparison is not None
    assert compared.comparison.parity is not None
    assert timed.latency is not None
    assert timed.latency.restarts is not None
    assert timed.latency.samples_ns.dtype == np.int64
    assert timed.readings["psutil"][0].samples == ((0.0, 2e8), (0.1, 2.1e8))
    assert skipped.command == "mlscope env create onnxruntime"


def test_what_a_later_release_adds_is_passed_over() -> None:
    entry = to_mapping(record(latency=latency(9)))
    later = {**entry, "colour": "blue", "latency": {**entry["latency"], "jitter": 3}}
    assert to_mapping(from_mapping(later)) == entry


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"nodeid": 5}, "/nodeid: expected text, found an integer"),
        ({"outcome": "splendid"}, "/outcome: 'splendid' is none of passed, failed"),
        ({"latency": []}, "/latency: expected an object, found a list"),
        ({"latency": {"batch_size": 1}}, "/latency: lacks samples_ns"),
        ({"accuracy": {"metrics": {"a/b": {"value": "x", "n": 1}}}}, "/accuracy/metrics/a~1b/value: expected a number"),
        ({"checks": [{"name": "p50"}]}, "/checks/0: lacks measured"),
        ({"readings": {"p": [{"name": "n", "unit": "", "value": 1, "samples": [[1], [1, 2]]}]}}, "/readings/p/0"),
        ({"not_finite": 3}, "/not_finite: expected an object"),
    ],
)
def test_a_malformed_record_says_where(change: dict[str, Any], told: str) -> None:
    with pytest.raises(MalformedRecord) as caught:
        from_mapping({**to_mapping(record()), **change})
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["", "AAAA", "not base64", 5])
def test_a_damaged_array_is_malformed(data: Any) -> None:
    entry = to_mapping(record(latency=latency(9)), packed=True)
    entry["latency"]["samples_ns"]["data"] = data
    with pytest.raises(MalformedRecord, match="/latency/samples_ns: a damaged array"):
        from_mapping(entry)


def test_values_of_rows_travel_and_come_back() -> None:
    values = np.array([0.1, math.nan, 2.0])
    sent = record(accuracy=accuracy(row_values={"mae": values}))
    for packed in (True, False):
        came = from_mapping(json.loads(json.dumps(to_mapping(sent, packed=packed)))).accuracy
        assert came is not None
        assert np.array_equal(came.row_values["mae"], values, equal_nan=True)


def test_what_a_further_kind_measured_travels_and_comes_back() -> None:
    measured = OtherMeasurement({"joules": 3.5, "parts": [1, {"a": None}], "odd": math.inf})
    came = from_mapping(json.loads(json.dumps(to_mapping(record(measurements={"energy": measured})))))
    assert came.measurements == {"energy": measured}


@pytest.mark.parametrize("predicted", [[0, 2**63 + 1], [-1, 2**62 + 1], [[0.5, None]], [[1], [1, 2]], ["a", "b"], []])
def test_rows_come_back_to_the_digit(predicted: Any) -> None:
    entry = to_mapping(record(accuracy=accuracy()))
    entry["accuracy"]["predictions"]["predicted"] = predicted
    assert to_mapping(from_mapping(entry))["accuracy"]["predictions"]["predicted"] == predicted
