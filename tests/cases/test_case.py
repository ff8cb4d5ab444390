"""A case is a value: it can be hashed, compared, and sent to another machine and back."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest.dimensions import NAMES
from pytest_mlscope.manifest.loaded import LoadedManifest

Make = Callable[..., LoadedManifest]

TEXT = st.text()
CASES = st.builds(
    Case,
    framework=TEXT,
    hardware=TEXT,
    precision=TEXT,
    threads=st.integers() | st.just("framework_default"),
    batch_size=st.integers(),
    scenario=TEXT,
    preprocessing=TEXT,
    version=st.none() | TEXT,
    id=TEXT,
    model=TEXT,
    manifest=TEXT,
    manifest_sha256=TEXT,
)


@given(CASES)
def test_a_case_is_the_same_after_a_journey(case: Case) -> None:
    for travelled in (Case.from_dict(json.loads(json.dumps(case.to_dict()))), pickle.loads(pickle.dumps(case))):
        assert travelled == case
        assert travelled.id == case.id
        assert hash(travelled) == hash(case)


@given(CASES, st.sampled_from([*NAMES, "model", "manifest", "manifest_sha256"]))
def test_a_case_differs_in_each_dimension_and_in_its_manifest(case: Case, name: str) -> None:
    value = getattr(case, name)
    other: Any = 7 if value is None or value == "framework_default" else value + type(value)(1)
    changed = dataclasses.replace(case, **{name: other})
    assert changed != case
    assert (changed.cell == case.cell) == (name not in NAMES)


def test_cases_of_a_manifest_know_where_they_are_from(make: Make) -> None:
    manifest = make(("a", "b"))
    assert {(case.model, case.manifest, case.manifest_sha256) for case in expand(manifest)} == {
        (manifest.content.name, str(manifest.path), manifest.sha256)
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threads": "two"}, r"a case has threads 'two'; expected a whole number or 'framework_default'"),
        ({"batch_size": True}, r"a case has batch_size True; expected a whole number"),
        ({"version": 1.2}, r"a case has version 1\.2; expected text or None"),
        ({"model": None}, r"a case has model None; expected text"),
        ({"shape": "224"}, r"a case has an unknown key 'shape'"),
    ],
)
def test_what_is_no_case_is_told(changes: dict[str, Any], said: str) -> None:
    whole = Case("toy", model="m", manifest="m.mlscope.yml", manifest_sha256="0").to_dict()
    with pytest.raises(MlscopeError, match=f"^{said}$"):
        Case.from_dict({**whole, **changes})
    with pytest.raises(MlscopeError, match=r"^a case lacks 'precision'$"):
        Case.from_dict({name: value for name, value in whole.items() if name != "precision"})
