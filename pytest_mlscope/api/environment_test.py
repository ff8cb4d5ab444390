"""A new environment counts as complete only once its predictor gives the right answers there."""

from __future__ import annotations

from pathlib import Path

from pytest_mlscope.cases import Plan, expand
from pytest_mlscope.components import build_registry, self_test_manifest
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import CannotRun, EnvironmentCreationError, HostError, MlscopeError
from pytest_mlscope.expectations import accuracy_checks
from pytest_mlscope.hosts import ModelLoader, verify_environment
from pytest_mlscope.kinds import plugin_manager
from pytest_mlscope.manifest import load_manifest
from pytest_mlscope.measurements import measure_accuracy
from pytest_mlscope.recorder import Recorder
from pytest_mlscope.settings import Settings


class _LoaderOfOne(ModelLoader):
    """Runs every case in one environment, which a search would not find yet."""

    def __init__(self, environment: Environment, settings: Settings) -> None:
        super().__init__(settings)
        self._only = environment

    def environment(self, plan: Plan) -> Environment:
        return self._only


def _plan(path: Path, environment: Environment, project: Path | None) -> Plan:
    """Of the framework's first case, on a CPU where it has one.

    :raises MlscopeError: when the manifest is wrong or has none.
    """
    registry = build_registry(plugin_manager().hook, project=project)
    name = environment.framework.name
    manifest = load_manifest(path, registry)
    cases = [case for case in expand(manifest) if case.framework == name]
    if not cases:
        raise EnvironmentCreationError(f"{path} has no case for {name}; add {name} to its frameworks")
    # Every machine has a CPU, whatever else the manifest names first.
    return Plan.of(manifest, next((case for case in cases if case.hardware == "cpu"), cases[0]))


def _accuracy_mistakes(plan: Plan, environment: Environment, settings: Settings) -> str:
    """What the manifest expects of the accuracy and does not get, empty where it gets it."""
    loader = _LoaderOfOne(environment, settings)
    try:
        accuracy = measure_accuracy(loader.ready(plan))
    finally:
        loader.close()
    return "; ".join(check.message for check in accuracy_checks(accuracy, plan) if not check.passed)


def self_test(environment: Environment, *, project: Path | None, home: Path, recorder: Recorder) -> str:
    """Load the predictor, then evaluate the accuracy that ``self_test`` of ``framework.yml`` names.

    :param project: the user's project root, whose assets come first.
    :param home: the cache, as of :func:`pytest_mlscope.machine.cache_folder.cache_home`.
    :param recorder: told where the test cannot be made on this machine.
    :return: the framework's version as the framework states it.
    :raises EnvironmentCreationError: when it does not load, the manifest does not fit, or its ``expect`` does not hold.
    """
    version = verify_environment(environment)
    folder = environment.framework
    try:
        path = self_test_manifest(folder, project)
        if path is None:
            return version
        plan = _plan(path, environment, project)
        mistakes = _accuracy_mistakes(plan, environment, Settings(home=home, recorder=recorder))
    except CannotRun as error:
        recorder.progress(f"{folder.name}: the self-test cannot be made here: {error}")
        return version
    except MlscopeError as error:
        detail = f"\n{error.output}" if isinstance(error, HostError) and error.output else ""
        raise EnvironmentCreationError(f"{folder.name}: the self-test failed: {error}{detail}") from None
    if mistakes:
        raise EnvironmentCreationError(f"{folder.name}: the self-test failed: {path}, case {plan.case.id}: {mistakes}")
    recorder.progress(f"{folder.name}: the self-test passed: {path.name}")
    return version
