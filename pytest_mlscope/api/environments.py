"""Make, list and remove framework environments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pytest_mlscope.api.environment_test import self_test
from pytest_mlscope.api.frameworks import choose_frameworks, known_frameworks
from pytest_mlscope.environments import (
    Environment,
    ProvisionedEnvironment,
    create_environment,
    environments_of,
    framework_state,
    list_environments,
    remove_environment,
)
from pytest_mlscope.errors import FrameworkError, MlscopeError
from pytest_mlscope.machine import machine_architecture
from pytest_mlscope.recorder import SILENT, Recorder


@dataclass(frozen=True, kw_only=True)
class MadeEnvironment:
    """What came of making an environment."""

    framework: str
    environment: Environment | None
    """``None`` where it failed."""
    error: MlscopeError | None = None


def make_environments(
    names: Iterable[str],
    *,
    project: Path,
    home: Path,
    force: bool = False,
    installer: Literal["auto", "uv", "pip"] = "auto",
    recorder: Recorder = SILENT,
) -> Iterator[MadeEnvironment]:
    """Make the environments of frameworks, one after the other; one that fails does not keep the next from being made.

    :param names: as :func:`choose_frameworks` takes them.
    :param force: replace an environment that exists.
    :param installer: ``uv``, ``pip``, or ``auto``: uv where there is one.
    :raises MlscopeError: before anything is made, as :func:`choose_frameworks`.
    """
    verify = partial(self_test, project=project, home=home, recorder=recorder)
    for folder, constraint in choose_frameworks(names, project):
        try:
            made = create_environment(
                folder,
                constraint=constraint,
                home=home,
                recorder=recorder,
                verify=verify,
                force=force,
                installer=installer,
            )
        except MlscopeError as error:
            yield MadeEnvironment(framework=folder.name, environment=None, error=error)
        else:
            yield MadeEnvironment(framework=folder.name, environment=made)


@dataclass(frozen=True, kw_only=True)
class RemovedEnvironments:
    """What came of removing environments by a name."""

    paths: Sequence[Path]
    """The folders that were removed."""
    error: MlscopeError | None = None


def remove_environments(names: Iterable[str], home: Path) -> Iterator[RemovedEnvironments]:
    """Remove environments by the names of frameworks or of their folders, each name by itself."""
    for name in dict.fromkeys(names):
        try:
            yield RemovedEnvironments(paths=remove_environment(name, home))
        except MlscopeError as error:
            yield RemovedEnvironments(paths=(), error=error)


@dataclass(frozen=True, kw_only=True)
class EnvironmentEntry:
    """A framework and what it runs in, or would; or a further environment in the cache."""

    framework: str
    status: Literal["current", "ready", "can be made", "cannot", "half-made", "not used any more"]
    version: str
    """Empty where it is not known."""
    python: str
    """Such as ``3.11.7``; empty where there is none."""
    size: int | None
    """Bytes; ``None`` where there is no environment in the cache."""
    reason: str = ""
    """Why it cannot; empty otherwise."""
    constraint: str | None = None
    """What a further environment was asked for."""
    architecture: str | None = None
    """Of a further environment, where it is not the machine's."""
    folder: Path | None = None
    """In the cache."""


@dataclass(frozen=True, kw_only=True)
class Environments:
    """All that there is."""

    entries: Sequence[EnvironmentEntry]
    malformed: Mapping[str, FrameworkError]
    """Frameworks whose ``framework.yml`` is wrong."""


def _further(environment: ProvisionedEnvironment, *, used: bool) -> EnvironmentEntry:
    """An environment that is not what its framework runs in by default."""
    marker = environment.marker or {}
    architecture = marker.get("architecture", machine_architecture())
    return EnvironmentEntry(
        framework=environment.framework,
        status="not used any more" if not used else "half-made" if environment.marker is None else "ready",
        version=str(marker.get("version") or ""),
        python=str(marker.get("python") or environment.python_series),
        size=environment.size(),
        constraint=marker.get("constraint"),
        architecture=architecture if architecture != machine_architecture() else None,
        folder=environment.path,
    )


def environments_here(project: Path, home: Path) -> Environments:
    """Each framework with what it runs in by default, then its further environments, then those of no use."""
    frameworks, malformed = known_frameworks(project)
    entries = []
    used: set[Path] = set()
    for name, folder in frameworks.items():
        state = framework_state(folder, home)
        default = state.environment
        entries.append(
            EnvironmentEntry(
                framework=name,
                status=state.status,
                version=state.version,
                python=state.python,
                size=None if default is None else default.size(),
                reason=state.reason,
                folder=None if default is None else default.path,
            )
        )
        for environment in environments_of(folder, home):
            used.add(environment.path)
            if default is None or environment.path != default.path:
                entries.append(_further(environment, used=True))
    unused = [environment for environment in list_environments(home) if environment.path not in used]
    entries += [_further(environment, used=False) for environment in unused]
    return Environments(entries=entries, malformed=malformed)
