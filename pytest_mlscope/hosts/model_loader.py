"""The loader: what turns a case into a model that is ready to predict on this machine, or says why it cannot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakKeyDictionary

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from pytest_mlscope.artifacts import Artifact, materialise
from pytest_mlscope.cases import Plan
from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.deadline import Deadline
from pytest_mlscope.environments import Environment, create_environment, find_environment, framework_state, get_emulator
from pytest_mlscope.errors import (
    ArtifactError,
    CannotRun,
    EnvironmentCreationError,
    HostError,
    HostTimeout,
    MlscopeError,
    NoEnvironment,
)
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.hosts.environment_verification import verify_environment
from pytest_mlscope.hosts.load_requests import load_request
from pytest_mlscope.hosts.onnx_batches import file_mistakes
from pytest_mlscope.hosts.pool import HostPool
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.hosts.replies import Loaded
from pytest_mlscope.machine import affinity_of, why_absent
from pytest_mlscope.manifest import ModelFile, place_of, specifiers
from pytest_mlscope.settings import Settings

_WITH_EMULATOR = "pytest --mlscope --mlscope-provision --mlscope-hardware {}"


def _device(plan: Plan) -> str:
    target, description = plan.target, plan.framework_folder.description
    # What the machine lacks comes first: it is one reason for all frameworks.
    if absent := why_absent(target):
        raise CannotRun(f"not on this machine ({absent})", subject=plan.case.hardware)
    device = target.device_of(description)
    if device is None:
        offered = ", ".join(description.devices)
        raise CannotRun(f"{plan.case.framework} has no device for {plan.case.hardware}; it has: {offered}")
    precisions = target.precisions_of(description)
    if plan.case.precision not in precisions:
        offered = ", ".join(precisions) or "nothing"
        raise CannotRun(f"{plan.case.framework} on {plan.case.hardware} offers {offered}, not {plan.case.precision}")
    return device


def _check_device(plan: Plan, device: str, host: HostClient) -> None:
    """Of a framework that does not tell what its build offers, only loading a model shows."""
    devices = host.started.devices
    if devices is not None and device not in devices:
        offered = ", ".join(devices) or "nothing"
        raise CannotRun(
            f"{host.name} {host.version} here has no {device}; it has: {offered}", subject=plan.case.hardware
        )


def _constraint(plan: Plan) -> str | None:
    """The PEP 440 specifiers of the case's version; ``None`` where any will do."""
    return specifiers(plan.case.version) or None if plan.case.version is not None else None


def _check_version(plan: Plan, version: str) -> None:
    """Of a framework that is no distribution, only its predictor knows the version."""
    folder = plan.framework_folder
    constraint = _constraint(plan)
    for wanted, whose in ((folder.description.version, "framework.yml"), (constraint, "the manifest")):
        if wanted is None or wanted == "*":
            continue
        try:
            fits = SpecifierSet(wanted).contains(version, prereleases=True)
        except InvalidVersion:
            raise CannotRun(f"{folder.name} calls its version {version!r}, which {whose} cannot compare") from None
        if not fits:
            raise CannotRun(f"{folder.name} {version}, the version here, does not satisfy {wanted!r} of {whose}")


def _require_time(deadline: Deadline, plan: Plan) -> None:
    """:raises HostTimeout: when none is left: no host need be started to find that out."""
    if deadline.left() <= 0:
        raise HostTimeout(
            f"{plan.case.framework}: loading the model: the case's limit of {deadline.limit:g} s is used up "
            "(--mlscope-timeout sets the limit)"
        )


@contextmanager
def _loading() -> Iterator[None]:
    """A manifest may expect predictions to fail (xfail), but never that a model does not load."""
    try:
        yield
    except HostError as error:
        error.loading = True
        raise


class Ready(Protocol):
    """:meth:`ModelLoader.ready` with the deadline of a case."""

    def __call__(self, plan: Plan, *, pool: HostPool | None = None) -> ReadyModel:
        """Load the model."""


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
        # Weak, because the pool ends hosts and says nothing here.
        self._loaded: WeakKeyDictionary[HostClient, tuple[str, Loaded]] = WeakKeyDictionary()
        self._environments: dict[tuple[str, str | None, str | None], Environment] = {}
        self._not_made: dict[tuple[str, str | None, str | None], str] = {}
        """Why an environment could not be made: the next case need not wait minutes for the same answer."""

    def environment(self, plan: Plan) -> Environment:
        """The interpreter the case's framework runs in, made when settings allow.

        :raises CannotRun: when there is none.
        :raises EnvironmentCreationError: when making it failed.
        """
        folder = plan.framework_folder
        constraint = _constraint(plan)
        target = plan.target
        architecture = target.architecture if target.emulated else None
        key = (str(folder.path), constraint, architecture)
        known = self._environments.get(key)
        # It may have been removed since.
        if known is not None and known.python.exists():
            return known
        if key in self._not_made:
            raise EnvironmentCreationError(self._not_made[key])
        try:
            if architecture is not None:
                environment = self._emulated(plan, folder, constraint, architecture)
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

    def _emulated(self, plan: Plan, folder: FrameworkFolder, constraint: str | None, architecture: str) -> Environment:
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
            command = _WITH_EMULATOR.format(plan.case.hardware)
            raise CannotRun(missing.detail, subject=missing.subject, command=command) from None

    def _artifacts(self, plan: Plan) -> dict[str, Artifact]:
        return {role: self._artifact(plan, role, file) for role, file in plan.files.items()}

    def _artifact(self, plan: Plan, role: str, file: ModelFile) -> Artifact:
        try:
            return materialise(
                file, base=plan.manifest.folder, home=self.settings.home, recorder=self.settings.recorder
            )
        except ArtifactError as error:
            entry = plan.entry
            own = any(role in files for name, files in entry.precision_files.items() if name == plan.case.precision)
            where = ("precision_files", plan.case.precision) if own else ("files",)
            path = ("frameworks", plan.case.framework, *where, role, "path")
            error.say_where(place_of(plan.manifest, path))
            raise

    def _check_batches(self, plan: Plan, artifacts: Mapping[str, Artifact]) -> None:
        """:raises MlscopeError: when a file says that the batch is not where the manifest has it."""
        for artifact in artifacts.values():
            for path, mistake in file_mistakes(plan.manifest.content, plan.entry, artifact.path):
                raise MlscopeError(f"{place_of(plan.manifest, path)}: {mistake}")

    def prepare(self, plan: Plan) -> None:
        """Make or fetch everything the case needs, without loading it. Raises as :meth:`ready`.

        It may take minutes, so it comes before a lease, for which others wait.
        """
        _device(plan)
        affinity_of(plan, chosen=self.settings.affinity)
        self.environment(plan)
        self._artifacts(plan)

    def deadline(self) -> Deadline:
        """That of a case which begins now."""
        return Deadline.after(self.settings.timeout)

    def _host(self, plan: Plan, pool: HostPool, deadline: Deadline, *, wait: bool = True) -> HostClient:
        return pool.get(
            self.environment(plan),
            threads=plan.case.threads if isinstance(plan.case.threads, int) else None,
            device=_device(plan),
            timeout=deadline,
            affinity=affinity_of(plan, chosen=self.settings.affinity),
            wait=wait,
        )

    def start_host(self, plan: Plan, pool: HostPool, deadline: Deadline) -> HostClient:
        """A host for the case from the pool; one that must be started is not waited for.

        :raises CannotRun: when hardware or framework are not available here.
        """
        return self._host(plan, pool, deadline, wait=False)

    def ready(self, plan: Plan, *, pool: HostPool | None = None, deadline: Deadline | None = None) -> ReadyModel:
        """Load the case's model in a host; one that is loaded there already is used as it is.

        :param pool: the hosts to choose from, this loader's warm ones when absent.
        :param deadline: of the case that this is part of; its time begins now when absent.
        :raises CannotRun: when hardware, framework or precision are not available here.
        :raises ArtifactError: when a file is missing or not what the manifest says.
        :raises HostError: when the framework fails to load it.
        :raises HostTimeout: when it has no time left.
        """
        device = _device(plan)
        environment = self.environment(plan)
        artifacts = self._artifacts(plan)
        # The clock starts here: downloads and new environments do not use up the time of the case.
        deadline = deadline or self.deadline()
        pool = pool or self._pool
        _require_time(deadline, plan)
        with _loading():
            host = self._host(plan, pool, deadline)
        # Where a distribution has the version, find_environment has compared it.
        if not environment.version:
            _check_version(plan, host.version)
        _check_device(plan, device, host)
        files = {role: artifact.path for role, artifact in artifacts.items()}
        dynamic_batch = environment.framework.description.dynamic_batch
        request = load_request(plan, files, device=device, dynamic_batch=dynamic_batch)
        # A file that changed on disk is another model under the same path.
        identity = {**request.header(), "sha256": {role: artifact.sha256 for role, artifact in artifacts.items()}}
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        loaded = self._loaded.get(host)
        if loaded is None or loaded[0] != key:
            # If loading fails, the host no longer holds the old model either.
            self._loaded.pop(host, None)
            # Before the host is recycled: what the file itself shows to be wrong needs no framework.
            self._check_batches(plan, artifacts)
            with _loading():
                host = pool.recycle(host, timeout=deadline)
                reply = host.load(request, timeout=deadline)
            loaded = self._loaded[host] = (key, reply)
        return ReadyModel(
            plan=plan,
            host=host,
            environment=environment,
            artifacts=artifacts,
            device=device,
            resolved=loaded[1].resolved,
            load_seconds=loaded[1].seconds,
            deadline=deadline,
        )

    def load_anew(self, host: HostClient) -> None:
        """What is loaded there now is not used as it is: profiling, say, left it slower."""
        self._loaded.pop(host, None)

    def close(self) -> None:
        """End all hosts."""
        self._pool.close()
