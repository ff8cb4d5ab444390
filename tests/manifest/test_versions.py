"""What a manifest may say of versions, and which of it can hold together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from pytest_mlscope.manifest.versions import can_hold_together, is_valid, requirement, specifiers


def test_a_release_is_every_version_that_begins_so() -> None:
    wanted = SpecifierSet(specifiers("1.20"))
    versions = ["1.2", "1.20", "1.20.3", "1.20.0rc1", "1.21"]
    assert [version for version in versions if wanted.contains(version, True)] == ["1.20", "1.20.3", "1.20.0rc1"]
    assert specifiers("*") == ""
    assert specifiers(">=1.20") == ">=1.20"


@pytest.mark.parametrize(
    ("version", "valid"), [("1", True), ("*", True), ("~=1.4", True), ("new", False), ("1.x", False)]
)
def test_what_pep_440_understands(version: str, valid: bool) -> None:
    assert is_valid(version) is valid


@pytest.mark.parametrize(
    ("versions", "together"),
    [
        (("1.20", ">=1.20,<2"), True),
        (("1.19", ">=1.20,<2"), False),
        (("1", ">=1.20,<2"), True),
        (("2", ">=1.20,<2"), False),
        ((">=2,<1",), False),
        ((">1.7,<1.8",), True),
        (("==1.20,!=1.20.*",), False),
        (("==1.20.*,!=1.20", ">=1"), True),
        (("~=1.4.2", "<1.4.2"), False),
        (("*", "*"), True),
        (("===1.0-special",), True),
    ],
)
def test_what_holds_together(versions: tuple[str, ...], together: bool) -> None:
    assert can_hold_together(*versions) is together


RELEASES = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda numbers: ".".join(map(str, numbers)))
CLAUSES = st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), RELEASES).map("".join)


@given(st.lists(CLAUSES, min_size=1, max_size=4), RELEASES)
def test_what_a_version_satisfies_can_be_satisfied(clauses: list[str], version: str) -> None:
    constraint = ",".join(clauses)
    if SpecifierSet(constraint).contains(version, prereleases=True):
        assert can_hold_together(constraint)


def test_names_on_the_command_line() -> None:
    assert requirement("onnxruntime", None) == "onnxruntime"
    assert requirement("onnxruntime", "1.20") == "onnxruntime==1.20"
    assert requirement("onnxruntime", ">= 1.20, <2") == "onnxruntime>=1.20,<2"
