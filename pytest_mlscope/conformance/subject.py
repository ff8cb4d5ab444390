"""The framework folder under test: its environment, its self-test model, and a predictor host to ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.artifacts import Artifact
from pytest_mlscope.cases import Plan
from pytest_mlscope.components import FrameworkDescription, FrameworkFolder
from pytest_mlscope.deadline import Deadline
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import HostError, PredictorError
from pytest_mlscope.hosts import Examined, HostClient, Loaded, LoadRequest, Predicted, ReadyModel, load_request
from pytest_mlscope.measurements import first_rows

BATCH_SIZES = (1, 2, 3, 7, 32)
"""Batch sizes that one model must take."""

Tensors = dict[str, NDArray[Any]]
E = TypeVar("E", bound=Examined)


class Subject:
    """Loads the self-test model as asked and predicts. A host that died is replaced, and its death remembered."""

    def __init__(
        self,
        plan: Plan,
        *,
        environment: Environment,
        artifacts: Mapping[str, Artifact],
        device: str,
        timeout: float,
    ) -> None:
        """:param plan: of the self-test manifest, at the thread count to check.
        :param timeout: seconds any single request may take.
        """
        self.plan = plan
        self.environment = environment
        self.artifacts = artifacts
        self.device = device
        self.timeout = timeout
        self.deaths: list[str] = []
        """What ended a host, one line each."""
        self.load_seconds = 0.0
        self.resolved: Mapping[str, Any] = {}
        self._host: HostClient | None = None
        self._loaded: LoadRequest | None = None
        self._rows: Tensors | None = None

    @property
    def folder(self) -> FrameworkFolder:
        return self.environment.framework

    @property
    def description(self) -> FrameworkDescription:
        return self.folder.description

    @property
    def threads(self) -> int:
        assert isinstance(self.plan.case.threads, int)  # set so by whoever made this object
        return self.plan.case.threads

    @property
    def host(self) -> HostClient:
        """A live host. :raises HostError: when none comes up."""
        if self._host is None or not self._host.alive:
            self._loaded = None
            if self._host is not None:
                self._host.kill()
            # Such a framework reads the number once, from the environment it starts in.
            scoped = self.threads if self.description.thread_scope == "process" else None
            self._host = HostClient(self.environment, threads=scoped, timeout=self.timeout)
        return self._host

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the manifest's shapes fix; ``None`` where they fix none."""
        sizes = [each.batch_extent for each in self.plan.inputs if each.batch_dimension is not None]
        return sizes[0] if sizes and isinstance(sizes[0], int) else None

    @property
    def batch_size(self) -> int:
        """The largest of those to check."""
        return self.fixed_batch or max(BATCH_SIZES)

    @contextmanager
    def _asked(self) -> Iterator[HostClient]:
        """The host, to be asked. Raises as :class:`HostClient`, and remembers what killed it."""
        host = self.host
        try:
            yield host
        except HostError as error:
            if not host.alive:
                self.deaths.append(str(error))
            raise

    def load_request(self, *, batch_size: int = 1) -> LoadRequest:
        """How to load the self-test model, to be changed at will."""
        plan = self.plan.with_case(batch_size=self.fixed_batch or batch_size)
        files = {role: artifact.path for role, artifact in self.artifacts.items()}
        return load_request(plan, files, device=self.device, dynamic_batch=self.description.dynamic_batch)

    def load_as(self, request: LoadRequest) -> Loaded:
        """Load what the request says. Raises as :class:`HostClient`."""
        with self._asked() as host:
            self._loaded = None
            loaded = host.load(request, timeout=self.timeout)
        self._loaded = request
        self.resolved = loaded.resolved
        self.load_seconds = loaded.seconds
        return loaded

    def ensure_loaded(self, *, batch_size: int = 1) -> None:
        """Load the self-test model as it should be, unless it is loaded so already."""
        request = self.load_request(batch_size=batch_size)
        # Asking for the host first: with a dead one, its model is gone.
        _ = self.host
        if self._loaded != request:
            self.load_as(request)

    def unload(self) -> int | None:
        """Unload; the host's resident memory in bytes, ``None`` where it is not known."""
        self._loaded = None
        with self._asked() as host:
            return host.unload(timeout=self.timeout).resident

    def ready(self) -> ReadyModel:
        """The model as evaluation sees it."""
        return ReadyModel(
            plan=self.plan,
            host=self.host,
            environment=self.environment,
            artifacts=self.artifacts,
            device=self.device,
            resolved=self.resolved,
            load_seconds=self.load_seconds,
            deadline=Deadline.after(self.timeout),
        )

    def rows(self, count: int) -> Tensors:
        """The first rows of the self-test's dataset, repeated when there are fewer, as the framework takes them.

        :raises MlscopeError: when they cannot be made.
        """
        if self._rows is None:
            self._rows = first_rows(self.ready(), max(BATCH_SIZES))
        # A new dict each time: checks add inputs of their own to it.
        return {name: np.resize(array, (count, *array.shape[1:])) for name, array in self._rows.items()}

    def predict(self, inputs: Tensors, *, batch_size: int, pad: bool = False) -> Tensors:
        """Outputs of all rows, by the framework's names.

        :raises PredictorError: when a batch fails.
        """
        predicted = self.try_predicting(inputs, batch_size=batch_size, pad=pad)
        if predicted.errors:
            raise PredictorError(f"{self.folder.name}: predicting: {predicted.errors[0].message}")
        # Copies: the arena is overwritten by the next request but one.
        return {name: np.array(array) for name, array in predicted.tensors.items()}

    def try_predicting(self, inputs: Tensors, *, batch_size: int, pad: bool = False) -> Predicted:
        """Outputs of all rows, in place, whichever batches failed."""
        with self._asked() as host:
            return host.predict(inputs, batch_size=batch_size, pad=pad, timeout=self.timeout)

    def examine(self, kind: type[E], inputs: Tensors, *, seconds: float | None = None) -> E:
        """Facts that only the host sees; see :meth:`HostClient.examine`."""
        with self._asked() as host:
            return host.examine(kind, inputs, seconds=seconds, timeout=self.timeout)

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
