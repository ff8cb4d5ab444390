"""A manifest as a pytest module of real, parametrized test functions."""

from __future__ import annotations

import types
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_mlscope.cases import cases_of_kind, kinds_of
from pytest_mlscope.errors import ManifestError, MlscopeError
from pytest_mlscope.manifest import missing_files
from pytest_mlscope.session.items.parametrization import case_parameters

if TYPE_CHECKING:
    from pytest_mlscope.session.items.run_state import RunState

SUFFIX = ".mlscope.yml"


class Checkable(Protocol):
    """What the ``evaluation`` fixture gives, as far as a manifest's own tests use it."""

    def check(self, kind: str) -> None:
        """Evaluate one kind and fail the test when the manifest's expectations do not hold."""


def _evaluate_and_check(kind: str) -> Any:
    def test(mlscope_case: object, evaluation: Checkable) -> None:
        evaluation.check(kind)

    return test


def _test_function(kind: str, path: Path) -> Any:
    template = _evaluate_and_check(kind)
    # pytest names a test's file and line from its code object; the reader's file is the manifest.
    code = template.__code__.replace(co_filename=str(path), co_firstlineno=1, co_name=f"test_{kind}")
    return types.FunctionType(code, template.__globals__, f"test_{kind}", None, template.__closure__)


class ManifestModule(pytest.Module):
    """Collects ``test_accuracy``, ``test_parity`` and ``test_latency`` from a model manifest."""

    def __init__(self, *, state: RunState, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._state = state

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Every test function of the manifest, whatever a project's ini says about the names of its own functions.

        pytest would leave them out where ``python_functions`` does not fit ``test_*``, or where imported tests are not
        collected, and would call such a run a success.
        """
        for name, function in vars(self.obj).items():
            if isinstance(function, types.FunctionType):
                for item in self._genfunctions(name, function):
                    # Here and not after the run: items that -k deselects were collected all the same.
                    self._state.has_items = True
                    yield item

    def _getobj(self) -> types.ModuleType:
        try:
            manifest, cases = self._state.manifests.load(self.session, self.path)
            selected = self._state.select(cases)
            missing = missing_files(manifest, {(case.framework, case.precision) for case in selected})
            # Said once, at collection; else each item would fail with it, perhaps after minutes of others.
            if missing:
                raise ManifestError("\n".join(missing))
            module = types.ModuleType(self.path.name.removesuffix(SUFFIX))
            module.__file__ = str(self.path)
            baseline = self._state.compares_outputs
            for kind in kinds_of(manifest, baseline=baseline):
                of_kind = cases_of_kind(manifest, selected, kind, baseline=baseline)
                if not of_kind:
                    continue
                function = _test_function(kind, self.path)
                if not manifest.registry.measurements[kind].by_default:
                    # Under --strict-markers pytest refuses a mark that nobody declared.
                    self.config.addinivalue_line(
                        "markers", f"{kind}: items of a kind of measurement that a plugin added."
                    )
                function = getattr(pytest.mark, kind)(function)
                function = pytest.mark.parametrize("mlscope_case", case_parameters(of_kind))(function)
                setattr(module, function.__name__, function)
        except MlscopeError as error:
            raise self.CollectError(str(error)) from None
        return module
