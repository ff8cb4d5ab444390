"""A plugin manager where pytest itself does not run: the same hooks, with what is shipped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_mlscope import hookspecs
from pytest_mlscope.components import Registry, build_registry, shipped
from pytest_mlscope.kinds import shipped as shipped_kinds
from pytest_mlscope.measurements import shipped as shipped_scenarios


def register_shipped(manager: pytest.PytestPluginManager) -> None:
    """Register everything built in."""
    manager.register(shipped, "mlscope-shipped")
    manager.register(shipped_scenarios, "mlscope-shipped-scenarios")
    manager.register(shipped_kinds, "mlscope-shipped-kinds")


def shipped_registry() -> Registry:
    """What is registered without a project, plugins or conftest files."""
    return build_registry(plugin_manager().hook, project=None)


def plugin_manager(plugins: Sequence[object] = ()) -> pytest.PytestPluginManager:
    """:param plugins: modules or objects with ``pytest_mlscope_*`` hooks.

    :raises TypeError: for one without any, which cannot be meant.
    """
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(hookspecs)
    register_shipped(manager)
    for plugin in plugins:
        if not any(name.startswith("pytest_mlscope_") for name in dir(plugin)):
            raise TypeError(f"plugins: {plugin!r} has no pytest_mlscope_* hook; pass objects or modules with some")
        manager.register(plugin)
    return manager
