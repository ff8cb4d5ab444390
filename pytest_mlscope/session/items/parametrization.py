"""Cases as pytest parameters: their ids and marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_mlscope.cases import Case, agrees, unknown_name
from pytest_mlscope.errors import MlscopeError

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet


def case_parameters(cases: Sequence[Case]) -> list[ParameterSet]:
    """One parameter a case, marked with its framework and hardware target; marks are shared, for there may be many."""
    marks: dict[tuple[str, str | None, str], tuple[pytest.MarkDecorator, ...]] = {}
    parameters = []
    for case in cases:
        key = (case.framework, case.version, case.hardware)
        if key not in marks:
            version = {} if case.version is None else {"version": case.version}
            framework = pytest.mark.framework(name=case.framework, **version)
            marks[key] = (framework, pytest.mark.hardware(name=case.hardware))
        parameters.append(pytest.param(case, id=case.id, marks=marks[key]))
    return parameters


def parametrize_marked(metafunc: pytest.Metafunc) -> None:
    """Parametrize a hand-written test that carries ``mlscope_cases``.

    :raises pytest.Collector.CollectError: when the mark or the manifest is wrong.
    """
    from pytest_mlscope.session.items.run_state import run_state

    mark = metafunc.definition.get_closest_marker("mlscope_cases")
    assert mark is not None  # the caller looked
    where = f"{metafunc.definition.nodeid}: mlscope_cases"
    if "mlscope_case" not in metafunc.fixturenames:
        raise pytest.Collector.CollectError(f"{where}: the test must take the fixture 'evaluation'")
    if len(mark.args) != 1:
        raise pytest.Collector.CollectError(f"{where}: expected one manifest path, got {len(mark.args)} arguments")
    if not isinstance(mark.args[0], str | Path):
        raise pytest.Collector.CollectError(f"{where}: expected a manifest's path, not {mark.args[0]!r}")
    if sum(own.name == mark.name for own in metafunc.definition.own_markers) > 1:
        raise pytest.Collector.CollectError(f"{where}: stands twice on the test; write one test for each manifest")
    state = run_state(metafunc.config)
    path = metafunc.definition.path.parent / mark.args[0]
    if unknown := unknown_name(mark.kwargs):
        raise pytest.Collector.CollectError(f"{where}: {unknown}")
    try:
        _, cases = state.manifests.load(metafunc.definition.session, path)
    except MlscopeError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    chosen = [case for case in cases if agrees(case, mark.kwargs)]
    if not chosen:
        wanted = ", ".join(f"{name}={value!r}" for name, value in mark.kwargs.items())
        ids = ", ".join(case.id for case in cases[:8])
        raise pytest.Collector.CollectError(f"{where}: {path.name} has no case with {wanted}; it has: {ids}")
    selected = state.select(chosen)
    state.has_items = state.has_items or bool(selected)
    metafunc.parametrize("mlscope_case", case_parameters(selected))
