"""The loader: what turns a case into a model that is ready to predict on this machine, or says why it cannot."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from pytest_mlscope.artifacts.artifact import Artifact, materialise
from pytest_mlscope.cases.case import Case
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.creation import create_environment
from pytest_mlscope.environments.emulator import get_emulator
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.environments.framework_state import framework_state
from pytest_mlscope.environments.search import find_environment
from pytest_mlscope.errors import ArtifactError, CannotRun, EnvironmentCreationError, HostError, NoEnvironment
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.hosts.environment_verification import verify_environment
from pytest_mlscope.hosts.load_request import load_request
from pytest_mlscope.hosts.pool import HostPool
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.hosts.replies import Loaded
from pytest_mlscope.machine.affinity import affinity_of
from pytest_mlscope.machine.hardware_presence import why_absent
from pytest_mlscope.manifest.place import place_of
from pytest_mlscope.manifest.schema import ModelFile
from pytest_mlscope.manifest.versions import specifiers
from pytest_mlscope.settings import Settings

_WITH_EMULATOR = "pytest --mlscope --mlscope-provision --mlscope-hardware {}"


def _device(case: Case) -> str:
    registry = case.manifest.registry
    target = registry.hardware_targets[case.hardware]
    description = registry.frameworks[case.framework].description
    # What the machine lacks comes first: it is one reason for all frameworks.
    if absent := why_absent(target):
        raise CannotRun(f"not on this machine ({absent})", subject=case.hardware)
    device = target.device_of(description)
    if device is None:
        offered = ", ".join(description.devices)
        raise CannotRun(f"{case.framework} has no device for {case.hardware}; it has: {offered}")
    precisions = target.precisions_of(description)
    if case.precision not in precisions:
        offered = ", ".join(precisions) or "nothing"
        raise CannotRun(f"{case.framework} on {case.hardware} offers {offered}, not {case.precision}")
    return device


def _check_device(case: Case, device: str, host: HostClient) -> None:
    """Of a framework that does not tell what its build offers, only loading a model shows."""
    devices = host.started.devices
    if devices is not None and device not in devices:
        offered = ", ".join(devices) or "nothing"
        raise CannotRun(f"{host.name} {host.version} here has no {device}; it has: {offered}", subject=case.hardware)


def _constraint(case: Case) -> str | None:
    """The PEP 440 specifiers of the case's version; ``None`` where any will do."""
    return specifiers(case.version) or None if case.version is not None else None


def _check_version(case: Case, version: str) -> None:
    """Of a framework that is no distribution, only its predictor knows the version."""
    folder = case.manifest.registry.frameworks[case.framework]
    constraint = _constraint(case)
    for wanted, whose in ((folder.description.version, "framework.yml"), (constraint, "the manifest")):
        if wanted is None or wanted == "*":
            continue
        try:
            fits = SpecifierSet(wanted).contains(version, prereleases=True)
        except InvalidVersion:
            raise CannotRun(f"{folder.name} calls its version {version!r}, which {whose} cannot compare") from None
        if not fits:
            raise CannotRun(f"{folder.name} {version}, the version here, does not satisfy {wanted!r} of {whose}")


class ModelLoader:
    """Owns the warm hosts of this process."""

    def __init__(
        self,
        settings: Settings,
        *,
        verify: Callable[[Environment], str] = verify_environment,
    ) -> None:
        """
        :param verify: as of :func:`~pytest_mlscope.environments.creation.create_environment`.
        """
        self.settings = settings
        self._verify = verify
        self._pool = HostPool()
        self._loaded: WeakKeyDictionary[HostClient, tuple[str, Loaded]] = WeakKeyDictionary()
        self._environments: dict[tuple[str, str | None, str | None], Environment] = {}
        self._not_made: dict[tuple[str, str | None, str | None], str] = {}
        """Why an environment could not be made: the next case need not wait minutes for the same answer."""

    def environment(self, case: Case) -> Environment:
        """The interpreter the case's framework runs in, made when settings allow.

        :raises CannotRun: when there is none.
        :raises EnvironmentCreationError: when making it failed.
        """
        folder = case.manifest.registry.frameworks[case.framework]
        constraint = _constraint(case)
        target = case.manifest.registry.hardware_targets[case.hardware]
        architecture = target.architecture if target.emulated else None
        key = (str(folder.path), constraint, architecture)
        known = self._environments.get(key)
        if known is not None and known.python.exists():
            return known
        if key in self._not_made:
            raise EnvironmentCreationError(self._not_made[key])
        try:
            if architecture is not None:
                environment = self._emulated(case, folder, constraint, architecture)
            else:
                environment = self._native(folder, constraint)
        except EnvironmentCreationError as error:
            self._not_made[key] = str(error)
            raise
        self._environments[key] = environment
        return environment

    def _native(self, folder: FrameworkFolder, constraint: str | None) -> Environment:
        home = self.settings.home
        try:
            return find_environment(folder, constraint=constraint, home=home)
        except NoEnvironment as missing:
            # Where there is no lock, only the user can install it, in an environment that is not ours to change.
            if not self.settings.provision or not missing.can_be_made:
                raise
        state = framework_state(folder, home)
        if state.status == "cannot":
            # Not a creation that failed: this machine lacks what it takes.
            raise CannotRun(state.reason, subject=folder.name)
        create_environment(
            folder, constraint=constraint, home=home, recorder=self.settings.recorder, verify=self._verify
        )
        return find_environment(folder, constraint=constraint, home=home)

    def _emulated(self, case: Case, folder: FrameworkFolder, constraint: str | None, architecture: str) -> Environment:
        home = self.settings.home
        if self.settings.provision:
            emulator = get_emulator(architecture, home=home, recorder=self.settings.recorder)
            return create_environment(
                folder,
                constraint=constraint,
                architecture=architecture,
                emulator=[str(emulator)],
                home=home,
                recorder=self.settings.recorder,
                verify=self._verify,
            )
        try:
            return find_environment(folder, constraint=constraint, architecture=architecture, home=home)
        except NoEnvironment as missing:
            command = _WITH_EMULATOR.format(case.hardware)
            raise CannotRun(missing.detail, subject=missing.subject, command=command) from None

    def _artifacts(self, case: Case) -> dict[str, Artifact]:
        return {
            role: self._artifact(case, role, file)
            for role, file in case.manifest.content.frameworks[case.framework].files_at(case.precision).items()
        }

    def _artifact(self, case: Case, role: str, file: ModelFile) -> Artifact:
        try:
            return materialise(
                file, base=case.manifest.folder, home=self.settings.home, recorder=self.settings.recorder
            )
        except ArtifactError as error:
            entry = case.manifest.content.frameworks[case.framework]
            own = any(role in files for name, files in entry.precision_files.items() if name == case.precision)
            where = ("precision_files", case.precision) if own else ("files",)
            path = ("frameworks", case.framework, *where, role, "path")
            error.args = (f"{place_of(case.manifest, path)}: {error}",)
            raise

    def prepare(self, case: Case) -> None:
        """Make or fetch everything the case needs, without loading it. Raises as :meth:`ready`.

        It may take minutes, so it comes before a lease, for which others wait.
        """
        _device(case)
        affinity_of(case, chosen=self.settings.affinity)
        self.environment(case)
        self._artifacts(case)

    def _host(self, case: Case, pool: HostPool, *, wait: bool = True) -> HostClient:
        return pool.get(
            self.environment(case),
            threads=case.threads if isinstance(case.threads, int) else None,
            device=_device(case),
            timeout=self.settings.timeout,
            affinity=affinity_of(case, chosen=self.settings.affinity),
            wait=wait,
        )

    def start_host(self, case: Case, pool: HostPool) -> HostClient:
        """A host for the case from the pool; one that must be started is not waited for.

        :raises CannotRun: when hardware or framework are not available here.
        """
        return self._host(case, pool, wait=False)

    def ready(self, case: Case, *, pool: HostPool | None = None) -> ReadyModel:
        """Load the case's model in a host; one that is loaded there already is used as it is.

        :param pool: the hosts to choose from, this loader's warm ones when absent.
        :raises CannotRun: when hardware, framework or precision are not available here.
        :raises ArtifactError: when a file is missing or not what the manifest says.
        :raises HostError: when the framework fails to load it.
        """
        device = _device(case)
        environment = self.environment(case)
        artifacts = self._artifacts(case)
        timeout = self.settings.timeout
        deadline = time.monotonic() + timeout
        pool = pool or self._pool
        host = self._host(case, pool)
        if not environment.version:
            _check_version(case, host.version)
        _check_device(case, device, host)
        files = {role: artifact.path for role, artifact in artifacts.items()}
        dynamic_batch = environment.framework.description.dynamic_batch
        request = load_request(case, files, device=device, dynamic_batch=dynamic_batch)
        identity = {**request.header(), "sha256": {role: artifact.sha256 for role, artifact in artifacts.items()}}
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        loaded = self._loaded.get(host)
        if loaded is None or loaded[0] != key:
            self._loaded.pop(host, None)
            try:
                host = pool.recycle(host, timeout=max(deadline - time.monotonic(), 0.1))
                reply = host.load(request, timeout=max(deadline - time.monotonic(), 0.1))
            except HostError as error:
                error.loading = True
                raise
            loaded = self._loaded[host] = (key, reply)
        return ReadyModel(
            case=case,
            host=host,
            environment=environment,
            artifacts=artifacts,
            device=device,
            resolved=loaded[1].resolved,
            load_seconds=loaded[1].seconds,
            deadline=deadline,
            timeout=timeout,
        )

    def load_anew(self, host: HostClient) -> None:
        """What is loaded there now is not used as it is: profiling, say, left it slower."""
        self._loaded.pop(host, None)

    def close(self) -> None:
        """End all hosts."""
        self._pool.close()
