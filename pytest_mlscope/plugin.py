"""The pytest plugin's entry point. Imported in every pytest run: everything heavy waits for ``--mlscope``."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mlscope import hookspecs
from pytest_mlscope.session import MARKERS, add_options, keep_strict_from_paths, refuse_without_mlscope

if TYPE_CHECKING:
    from pytest_mlscope.session import CaseEvaluation


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None]:
    keep_strict_from_paths(early_config, parser, args)
    return (yield)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if config.getoption("mlscope"):
        from pytest_mlscope.session import enable

        enable(config)
    else:
        refuse_without_mlscope(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("mlscope_cases") is None:
        return
    if metafunc.config.getoption("mlscope"):
        from pytest_mlscope.session import parametrize_marked

        parametrize_marked(metafunc)
    elif "mlscope_case" in metafunc.fixturenames:
        needs_option = pytest.mark.skip(reason="evaluates models: run with --mlscope")
        metafunc.parametrize("mlscope_case", [pytest.param(None, marks=needs_option, id="not-evaluated")])


@pytest.fixture
def mlscope_case(request: pytest.FixtureRequest) -> Any:
    """The item's case: what ``mlscope_cases`` parametrizes a test over. Without that mark there is none."""
    if not request.config.getoption("mlscope"):
        pytest.skip("evaluates models: run with --mlscope")
    pytest.fail(
        f'{request.node.nodeid}: decorate the test with @mlscope_cases("MODEL.mlscope.yml"), which gives it its cases',
        pytrace=False,
    )


@pytest.fixture
def evaluation(request: pytest.FixtureRequest, mlscope_case: Any) -> CaseEvaluation:
    """The evaluation of the item's case: ``accuracy``, ``parity`` and ``latency`` are evaluated when first read."""
    if not request.config.getoption("mlscope"):
        pytest.skip("evaluates models: run with --mlscope")
    from pytest_mlscope.session import evaluation_of

    return evaluation_of(request.node, mlscope_case)
