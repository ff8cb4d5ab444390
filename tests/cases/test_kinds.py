"""Which kinds of test there are, and which cases each takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_mlscope.cases.kinds import cases_of_kind, kinds_of
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.cases.selection import Selection
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.measurements.parity.parity import reference_plan

Make = Callable[..., LoadedManifest]
PARITY = {"parity": {"reference": "onnxruntime"}}
MATRIX: dict[str, Any] = {
    "precision": ["fp32", "fp16"],
    "threads": [2, 1],
    "batch_size": [1, 8],
    "scenario": ["offline", "single_stream"],
}


def ids(manifest: LoadedManifest, kind: str) -> list[str]:
    return [case.id for case in cases_of_kind(manifest, expand(manifest), kind)]


def test_kinds_by_default(make: Make) -> None:
    assert kinds_of(make()) == ("latency",)
    assert kinds_of(make(expect=PARITY)) == ("latency",), "parity with itself is no test"
    assert kinds_of(make(("a", "onnxruntime"), expect=PARITY)) == ("parity", "latency")
    assert kinds_of(make(expect=PARITY, matrix={"precision": ["fp32", "fp16"]})) == ("parity", "latency")
    excluded = {"precision": ["fp32", "fp16"], "exclude": [{"precision": "fp16"}]}
    assert kinds_of(make(expect=PARITY, matrix=excluded)) == ("latency",)


def test_kinds_asked_for(make: Make) -> None:
    assert kinds_of(make(kinds=["latency"], expect={})) == ("latency",)


def test_latency_takes_every_case_of_the_stated_preprocessing(make: Make) -> None:
    manifest = make(preprocessing_variants={"nearest": {"x": []}}, matrix={"batch_size": [1, 8]})
    assert ids(manifest, "latency") == ["onnxruntime-b1", "onnxruntime-b8"]
    assert len(expand(manifest)) == 4


def test_accuracy_takes_the_first_threads_and_scenario(make: Make) -> None:
    manifest = make(preprocessing_variants={"nearest": {"x": []}}, matrix=MATRIX)
    cases = cases_of_kind(manifest, expand(manifest), "accuracy")
    assert {(case.threads, case.scenario) for case in cases} == {(2, "offline")}
    assert [case.id for case in cases][:3] == [
        "onnxruntime-fp32-stated-b1",
        "onnxruntime-fp32-stated-b8",
        "onnxruntime-fp32-nearest-b1",
    ]
    assert len({case.id for case in cases}) == len(cases) == 8


def test_accuracy_falls_back_on_what_is_not_excluded(make: Make) -> None:
    manifest = make(matrix={**MATRIX, "exclude": [{"threads": 2, "batch_size": 8}]})
    cases = cases_of_kind(manifest, expand(manifest), "accuracy")
    assert {(case.batch_size, case.threads) for case in cases} == {(1, 2), (8, 1)}
    assert len(cases) == 4


def test_parity_leaves_out_the_reference(make: Make) -> None:
    manifest = make(("a", "onnxruntime"), preprocessing_variants={"nearest": {"x": []}}, matrix=MATRIX, expect=PARITY)
    assert ids(manifest, "parity") == [
        "a-fp32-b1",
        "a-fp32-b8",
        "a-fp16-b1",
        "a-fp16-b8",
        "onnxruntime-fp16-b1",
        "onnxruntime-fp16-b8",
    ]


def test_the_first_version_of_the_reference_is_the_reference(make: Make) -> None:
    """Parity of the other one then says what the upgrade changed."""
    manifest = make(("a", "onnxruntime"), {"onnxruntime": ["1.31", "1.20"]}, expect=PARITY)
    assert ids(manifest, "parity") == ["a", "onnxruntime-1.20"]
    assert ids(manifest, "accuracy") == ["a", "onnxruntime-1.31", "onnxruntime-1.20"]
    case = cases_of_kind(manifest, expand(manifest), "parity")[1]
    reference = reference_plan(Plan.of(manifest, case)).case
    assert (reference.framework, reference.version, reference.id) == (
        "onnxruntime",
        "1.31",
        "onnxruntime==1.31 reference",
    )
    assert kinds_of(make(versions={"onnxruntime": ["1.20", "1.31"]}, expect=PARITY)) == ("parity", "latency")


@pytest.mark.parametrize("kind", ["accuracy", "parity", "latency"])
def test_cases_a_conftest_adds_keep_ids_of_their_own(make: Make, kind: str) -> None:
    manifest = make(("a",), expect={"parity": {"reference": "a"}}, matrix={**MATRIX, "precision": ["fp16"]})
    cases = expand(manifest)
    cases.append(dataclasses.replace(cases[0], batch_size=64, id="mine"))
    cases.append(dataclasses.replace(cases[0], precision="int8"))
    cases.append(dataclasses.replace(cases[0], version="1.2"))
    found = [case.id for case in cases_of_kind(manifest, cases, kind)]
    assert "mine" in found
    assert kind == "latency" or len(set(found)) == len(found)


def test_a_selection_keeps_what_it_names(make: Make) -> None:
    cases = expand(make(("a", "b"), matrix={"batch_size": [1, 8], "precision": ["fp32", "fp16"]}))
    assert [case for case in cases if Selection().matches(case)] == cases
    selection = Selection(frameworks=frozenset({"b"}), precisions=frozenset({"fp16"}), batch_sizes=frozenset({8, 9}))
    assert [case.id for case in cases if selection.matches(case)] == ["b-fp16-b8"]
    assert not any(Selection(hardware=frozenset({"cuda"})).matches(case) for case in cases)


def test_a_version_is_selected_with_its_framework(make: Make) -> None:
    cases = expand(make(("a", "onnxruntime"), {"onnxruntime": ["1.20", ">= 1.31, <2"]}))
    for name, found in (
        ("onnxruntime", ["onnxruntime-1.20", "onnxruntime->= 1.31, <2"]),
        ("onnxruntime==1.20", ["onnxruntime-1.20"]),
        ("onnxruntime>=1.31,<2", ["onnxruntime->= 1.31, <2"]),
        ("onnxruntime==1.2", []),
        ("a", ["a"]),
    ):
        selection = Selection(frameworks=frozenset({name}))
        assert [case.id for case in cases if selection.matches(case)] == found
