"""What a case comes to, and what its plan is when some of it is chosen otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_mlscope
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.schema.frameworks import ModelFile

PACKAGE = Path(pytest_mlscope.__file__).parent
Make = Callable[..., LoadedManifest]


@pytest.fixture
def plan(make: Make) -> Plan:
    expect: dict[str, Any] = {"parity": {"reference": "a"}, "peak_memory": "1 GB"}
    overrides = [{"when": {"framework": "b"}, "peak_memory": "2 GB"}]
    manifest = make(
        ("a", "b"), expect=expect, expect_overrides=overrides, scenarios={"server": {"target_qps": 10, "seed": 3}}
    )
    return Plan.of(manifest, expand(manifest)[1])


def test_a_plan_is_what_the_manifest_states_for_the_case(plan: Plan) -> None:
    assert plan.case.framework == "b"
    assert plan.entry is plan.manifest.content.frameworks["b"]
    assert plan.framework_folder.name == "b"
    assert plan.target.name == "cpu"
    assert plan.expectation.peak_memory == 2e9
    assert plan.parity_expected is not None
    assert not plan.is_parity_reference
    assert plan.with_case(framework="a").is_parity_reference
    assert plan.files == {"model": ModelFile(path="m")}
    assert plan.changes() == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: plan.with_budget(0.25), {"measurement": {"budget": 0.25}}),
        (lambda plan: plan.with_scenario("server", seed=0), {"scenarios": {"server": {"seed": 0}}}),
        (
            lambda plan: plan.with_scenario("server", target_qps=20.0).with_scenario("server", duration=1.0),
            {"scenarios": {"server": {"target_qps": 20.0, "duration": 1.0}}},
        ),
        (
            lambda plan: plan.with_outputs(["inner"], files={"model": ModelFile(path="/a/model")}, options={"o": 1}),
            {"entry": {"files": {"model": {"path": "/a/model"}}, "options": {"o": 1}}, "outputs": ["inner"]},
        ),
    ],
    ids=["budget", "server", "twice", "outputs"],
)
def test_what_is_chosen_otherwise_is_told(plan: Plan, change: Callable[[Plan], Plan], told: dict[str, Any]) -> None:
    changed = change(plan)
    assert changed.changes() == told
    assert changed != plan
    assert changed == change(plan)
    assert hash(changed) == hash(plan)
    assert changed.case == plan.case
    assert changed.manifest is plan.manifest
    assert plan.changes() == {}


def test_another_cell_is_measured_with_the_same_settings(plan: Plan) -> None:
    """But what was chosen of a framework's files is that framework's alone."""
    chosen = plan.with_budget(0.25).with_outputs(["inner"], files={"model": ModelFile(path="/a/model")})
    other = chosen.with_case(framework="a", threads=4)
    assert (other.case.framework, other.case.threads, other.case.batch_size) == ("a", 4, plan.case.batch_size)
    assert other.measurement.budget == 0.25
    assert other.entry is plan.manifest.content.frameworks["a"]
    assert chosen.with_case(threads=4).entry == chosen.entry


def test_what_a_plan_does_not_know_cannot_be_chosen(plan: Plan) -> None:
    """A typo that changed nothing would be a measurement of something else."""
    with pytest.raises(TypeError, match="no setting 'sed'"):
        plan.with_scenario("server", sed=4)
    with pytest.raises(TypeError, match="'thread'"):
        plan.with_case(thread=4)


def test_settings_are_read_from_the_plan_alone() -> None:
    """What is read past it is the manifest's, whatever was chosen instead."""
    rooms = ("machine", "hosts", "measurements", "expectations", "conformance", "bisection", "gate")
    past = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for room in rooms
        for path in (PACKAGE / room).rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        # A file is checked against what the manifest says of it.
        if "plan.manifest.content" in line and "file_mistakes(" not in line
    ]
    assert not past
