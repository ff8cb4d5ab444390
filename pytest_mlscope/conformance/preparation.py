"""From a framework folder to a model that can be tried: every step of it is a check of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_mlscope.artifacts import materialise
from pytest_mlscope.cases import Plan, expand
from pytest_mlscope.components import FrameworkFolder, build_registry, self_test_manifest
from pytest_mlscope.conformance.check_result import Fault
from pytest_mlscope.conformance.subject import Subject
from pytest_mlscope.environments import Environment, create_environment, find_environment
from pytest_mlscope.errors import CannotRun, MlscopeError
from pytest_mlscope.hosts import verify_environment
from pytest_mlscope.kinds import plugin_manager
from pytest_mlscope.manifest import load_manifest
from pytest_mlscope.settings import Settings


def check_folder(folder: FrameworkFolder) -> str:
    """``framework.yml`` is valid and fits the folder; a predictor and, where it needs one, a lock are beside it."""
    if not folder.path.is_dir():
        raise Fault(f"{folder.path} is not a folder")
    try:
        description = folder.description
    except MlscopeError as error:
        raise Fault("; ".join(str(error).splitlines())) from None
    if description.name != folder.path.resolve().name:
        raise Fault(f"name is {description.name!r}, the folder's {folder.path.resolve().name!r}; they must be equal")
    if not folder.predictor.is_file():
        raise Fault(f"{folder.predictor} is missing")
    if description.self_test is None:
        raise Fault("self_test is missing; it names the manifest by which the predictor is tried")
    # Not a fault: a lock only serves environments that we make, and the user may have one of his own.
    lacks_lock = bool(description.distributions) and not folder.lock.is_file()
    return f"valid{'; no requirements.lock, so no environment can be made' if lacks_lock else ''}"


def environment_of(folder: FrameworkFolder, settings: Settings) -> Environment:
    """The folder's environment, made where settings say so.

    :raises Fault: when there is none.
    """
    try:
        return find_environment(folder, home=settings.home)
    except CannotRun as missing:
        # Python forgets an exception's name at the end of its clause.
        reason = missing
    if not settings.provision:
        raise Fault(f"{reason} (--provision makes it)" if reason.command else str(reason))
    try:
        create_environment(folder, home=settings.home, recorder=settings.recorder, verify=verify_environment)
        return find_environment(folder, home=settings.home)
    except MlscopeError as error:
        raise Fault(str(error).splitlines()[0]) from None


def self_test_plan(folder: FrameworkFolder, project: Path, threads: int) -> Plan:
    """Of the self-test manifest: on the CPU where the framework has it, at fp32 where it offers that.

    :raises Fault: when there is no such manifest or it says nothing of this framework.
    """
    try:
        path = self_test_manifest(folder, project)
        assert path is not None  # check_folder has seen that one is named
        registry = build_registry(plugin_manager().hook, project=project)
        # The folder under test may lie anywhere, and is meant even where another of its name is found first.
        registry = replace(registry, frameworks={**registry.frameworks, folder.name: folder})
        manifest = load_manifest(path, registry)
    except MlscopeError as error:
        raise Fault("; ".join(str(error).splitlines())) from None
    cases = [case for case in expand(manifest) if case.framework == folder.name]
    if not cases:
        raise Fault(f"{path} names no model for {folder.name}")
    devices, precisions = folder.description.devices, folder.description.precisions
    # The checks' tolerances are those of fp32, and a CPU is on every machine.
    hardware = "cpu" if "cpu" in devices else next(iter(devices))
    precision = "fp32" if "fp32" in precisions[hardware] else precisions[hardware][0]
    # The cell below need not be in the matrix: what is checked is the framework, not the manifest's choice.
    preferred = next((case for case in cases if case.hardware == hardware), cases[0])
    return Plan.of(manifest, preferred).with_case(
        hardware=hardware, precision=precision, threads=threads, version=None, scenario="single_stream"
    )


def subject_of(plan: Plan, environment: Environment, settings: Settings) -> Subject:
    """The self-test's model files, and a host that has loaded them.

    :raises Fault: when it cannot be loaded.
    """
    try:
        artifacts = {
            role: materialise(file, base=plan.manifest.folder, home=settings.home, recorder=settings.recorder)
            for role, file in plan.files.items()
        }
        subject = Subject(
            plan,
            environment=environment,
            artifacts=artifacts,
            device=environment.framework.description.devices[plan.case.hardware],
            timeout=settings.timeout,
        )
        subject.ensure_loaded()
    except MlscopeError as error:
        raise Fault(str(error)) from None
    return subject
