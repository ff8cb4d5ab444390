"""A plugin manager where pytest itself does not run: the same hooks, with what is shipped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_mlscope import hookspecs
from pytest_mlscope.components import shipped


def plugin_manager(plugins: Sequence[object] = ()) -> pytest.PytestPluginManager:
    """:param plugins: modules or objects with ``pytest_mlscope_*`` hooks.

    :raises TypeError: for one without any, which cannot be meant.
    """
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(hookspecs)
    manager.register(shipped)
    for plugin in plugins:
        if not any(name.startswith("pytest_mlscope_") for name in dir(plugin)):
            raise TypeError(f"plugins: {plugin!r} has no pytest_mlscope_* hook; pass objects or modules with some")
        manager.register(plugin)
    return manager
