"""What ``--mlscope`` turns on."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mlscope.kinds import register_shipped
from pytest_mlscope.reports import ProgressLines
from pytest_mlscope.session.controller import Controller, reports_of
from pytest_mlscope.session.items.run_state import RUN_STATE, RunState
from pytest_mlscope.session.options import strictness
from pytest_mlscope.session.termination import TerminationPlugin
from pytest_mlscope.session.worker import RECORDER, Worker, affinity_of_run
from pytest_mlscope.text import closest, did_you_mean


class RegistryWatch:
    """Forgets what hooks registered whenever a plugin or conftest joins."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def pytest_plugin_registered(self, plugin: Any, manager: pytest.PytestPluginManager) -> None:
        self._state.manifests.forget_registries()
        self._warn_of_unknown_hooks(plugin, manager)

    def _warn_of_unknown_hooks(self, plugin: Any, manager: pytest.PytestPluginManager) -> None:
        """A hook's name with a typo is never called, and ``optionalhook`` keeps pytest from saying so."""
        ours = [name for name in dir(plugin) if name.startswith("pytest_mlscope_")]
        known = {name for name, caller in vars(manager.hook).items() if caller.has_spec()}
        for name in ours:
            if name in known or manager.parse_hookimpl_opts(plugin, name) is None:
                continue
            hint = did_you_mean(closest(name, known))
            where = getattr(plugin, "__file__", None) or manager.get_name(plugin)
            warning = pytest.PytestConfigWarning(
                f"{where}: pytest-mlscope has no hook {name!r}{hint}; it is never called"
            )
            config: Any = manager.get_plugin("pytestconfig")
            config.issue_config_time_warning(warning, stacklevel=2)


def enable(config: pytest.Config) -> None:
    """Register everything that ``--mlscope`` turns on. :raises pytest.UsageError: when an option cannot be obeyed."""
    # Called for their errors: a wrong option ends the run before anything is collected.
    affinity_of_run(config)
    strictness(config)
    state = config.stash[RUN_STATE] = RunState(config)
    register_shipped(config.pluginmanager)
    config.pluginmanager.register(RegistryWatch(state), "mlscope-registry-watch")
    config.stash[RECORDER] = ProgressLines(config)
    config.pluginmanager.register(config.stash[RECORDER], "mlscope-progress")
    config.pluginmanager.register(Worker(), "mlscope-worker")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config, reports_of(config)), "mlscope-controller")
        config.pluginmanager.register(TerminationPlugin(), "mlscope-termination")
