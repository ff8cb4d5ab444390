"""The framework folder under test: its environment, its self-test model, and a predictor host to ask."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.artifacts.artifact import Artifact
from pytest_mlscope.cases.case import Case
from pytest_mlscope.components.framework import FrameworkDescription, FrameworkFolder
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.errors import HostError, PredictorError
from pytest_mlscope.hosts.load_request import load_request
from pytest_mlscope.hosts.process import Header, HostProcess
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.measurements.rows.first_rows import first_rows

BATCH_SIZES = (1, 2, 3, 7, 32)
"""Batch sizes that one model must take."""

Tensors = dict[str, NDArray[Any]]


class Subject:
    """Loads the self-test model as asked and predicts. A host that died is replaced, and its death remembered."""

    def __init__(
        self,
        case: Case,
        *,
        environment: Environment,
        artifacts: Mapping[str, Artifact],
        device: str,
        timeout: float,
    ) -> None:
        """:param case: of the self-test manifest, at the thread count to check.
        :param timeout: seconds any single request may take.
        """
        self.case = case
        self.environment = environment
        self.artifacts = artifacts
        self.device = device
        self.timeout = timeout
        self.deaths: list[str] = []
        """What ended a host, one line each."""
        self.load_seconds = 0.0
        self.resolved: Mapping[str, Any] = {}
        self._host: HostProcess | None = None
        self._loaded: Header | None = None
        self._rows: Tensors | None = None

    @property
    def folder(self) -> FrameworkFolder:
        return self.environment.framework

    @property
    def description(self) -> FrameworkDescription:
        return self.folder.description

    @property
    def threads(self) -> int:
        assert isinstance(self.case.threads, int)  # set so by whoever made this object
        return self.case.threads

    @property
    def host(self) -> HostProcess:
        """A live host. :raises HostError: when none comes up."""
        if self._host is None or not self._host.alive:
            self._loaded = None
            if self._host is not None:
                self._host.kill()
            scoped = self.threads if self.description.thread_scope == "process" else None
            self._host = HostProcess(self.environment, threads=scoped, timeout=self.timeout)
        return self._host

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the manifest's shapes fix; ``None`` where they fix none."""
        sizes = [each.shape[0] for each in self.case.manifest.content.inputs]
        return sizes[0] if sizes and isinstance(sizes[0], int) else None

    @property
    def batch_size(self) -> int:
        """The largest of those to check."""
        return self.fixed_batch or max(BATCH_SIZES)

    def request(self, header: Header, tensors: Tensors | None = None, *, doing: str) -> Header:
        """Ask the host. Raises as :meth:`HostProcess.request`, and remembers what killed it."""
        host = self.host
        try:
            return host.request(header, tensors, timeout=self.timeout, doing=doing)
        except HostError as error:
            self._remember(host, error)
            raise

    def _remember(self, host: HostProcess, error: HostError) -> None:
        if not host.alive:
            self.deaths.append(str(error))

    def load_header(self, *, batch_size: int = 1) -> Header:
        """The ``load`` request for the self-test model, to be changed at will."""
        case = replace(self.case, batch_size=self.fixed_batch or batch_size)
        files = {role: artifact.path for role, artifact in self.artifacts.items()}
        return load_request(case, files, device=self.device, dynamic_batch=self.description.dynamic_batch)

    def load_as(self, header: Header) -> Header:
        """Load what the request says. Raises as :meth:`HostProcess.load`."""
        host = self.host
        self._loaded = None
        try:
            reply = host.load(header, timeout=self.timeout)
        except HostError as error:
            self._remember(host, error)
            raise
        self._loaded = header
        self.resolved = reply["resolved"]
        self.load_seconds = reply["seconds"]
        return reply

    def ensure_loaded(self, *, batch_size: int = 1) -> None:
        """Load the self-test model as it should be, unless it is loaded so already."""
        header = self.load_header(batch_size=batch_size)
        # Asking for the host first: with a dead one, its model is gone.
        _ = self.host
        if self._loaded != header:
            self.load_as(header)

    def unload(self) -> int | None:
        """Unload; the host's resident memory in bytes, ``None`` where it is not known."""
        self._loaded = None
        resident: int | None = self.request({"operation": "unload"}, doing="unloading the model").get("resident")
        return resident

    def ready(self) -> ReadyModel:
        """The model as evaluation sees it."""
        return ReadyModel(
            case=self.case,
            host=self.host,
            environment=self.environment,
            artifacts=self.artifacts,
            device=self.device,
            resolved=self.resolved,
            load_seconds=self.load_seconds,
            deadline=time.monotonic() + self.timeout,
            timeout=self.timeout,
        )

    def rows(self, count: int) -> Tensors:
        """The first rows of the self-test's dataset, repeated when there are fewer, as the framework takes them.

        :raises MlscopeError: when they cannot be made.
        """
        if self._rows is None:
            self._rows = first_rows(self.ready(), max(BATCH_SIZES))
        return {name: np.resize(array, (count, *array.shape[1:])) for name, array in self._rows.items()}

    def predict(self, inputs: Tensors, *, batch_size: int, pad: bool = False) -> Tensors:
        """Outputs of all rows, by the framework's names.

        :raises PredictorError: when a batch fails.
        """
        header = {"operation": "predict", "batch_size": batch_size, "pad": pad}
        reply = self.request(header, inputs, doing="predicting")
        if reply["errors"]:
            raise PredictorError(f"{self.folder.name}: predicting: {reply['errors'][0]['message']}")
        return {name: np.array(array) for name, array in self.host.tensors(reply).items()}

    def examine(self, aspect: str, inputs: Tensors, **further: Any) -> Header:
        """Facts that only the host sees; see ``examine`` in ``docs/host-protocol.md``."""
        return self.request({"operation": "examine", "aspect": aspect, **further}, inputs, doing=f"examining {aspect}")

    @property
    def model_files(self) -> Sequence[Path]:
        return [artifact.path for artifact in self.artifacts.values()]

    @property
    def model_bytes(self) -> int:
        """Size of the model's files."""
        return sum(path.stat().st_size for path in self.model_files)

    def close(self) -> None:
        """End the host."""
        if self._host is not None:
            self._host.close()
