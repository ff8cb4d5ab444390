"""One of the two that are compared: a framework with an ONNX file, in a host of its own."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.bisection.extended_file import ExtendedFile
from pytest_mlscope.bisection.onnx_graph import OnnxGraph, read_graph
from pytest_mlscope.bisection.windows import Window
from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import CannotRun, MlscopeError, NotSupported
from pytest_mlscope.hosts import HostPool, ModelLoader, ReadyModel
from pytest_mlscope.manifest import ModelFile
from pytest_mlscope.measurements import first_rows

Tensors = dict[str, NDArray[Any]]


class Side:
    """Gives the outputs of a window of layers, batch by batch."""

    def __init__(self, loader: ModelLoader, plan: Plan, *, file: Path | None = None) -> None:
        """
        :param file: the ONNX file in place of the case's own.
        :raises CannotRun: when the framework cannot run here.
        :raises HostError: when it cannot load the model as it is.
        :raises MlscopeError: when there is not an ONNX file.
        """
        self._loader = loader
        self._plan = plan
        self._has_own_file = file is None
        # Not the loader's: there, two files of one framework share a host, and each load ends the other's model.
        self._pool = HostPool(limit=1)
        self._ready: ReadyModel | None = None
        self._extended: ExtendedFile | None = None
        self.peak_memory: int | None = None
        """Bytes, of the host since it started; ``None`` where unknown."""
        self.unfused = dict(plan.framework_folder.description.unfused)
        """The options by which nodes run as the file has them."""
        try:
            # Without what is added, so that what is wrong with the model itself is said as such.
            own = loader.ready(plan, pool=self._pool)
            self._role, self.path = _onnx_file(own)
            if file is not None:
                self.path = file
            self.graph: OnnxGraph = read_graph(self.path)
            self._extended = ExtendedFile(self.path, self.graph)
            self.precision = str(own.resolved.get("precision") or plan.case.precision)
            self.described = f"{own.host.name} {own.host.version} {self.precision}"
        # Nobody closes an object that was never made.
        except BaseException:
            self.close()
            raise

    def inputs(self, rows: int) -> Tensors:
        """The first rows of the dataset as the file takes them. Raises as :func:`first_rows`."""
        return first_rows(self._loader.ready(self._plan, pool=self._pool), rows)

    def open(self, window: Window) -> None:
        """Load the model with the window's layers as its outputs.

        :raises MlscopeError: when the framework cannot.
        """
        if self._extended is None:
            raise RuntimeError("open after close")
        path = self._extended.with_outputs(window)
        try:
            self._ready = self._loader.ready(self._with_outputs(path, window), pool=self._pool)
        except NotSupported as error:
            # The message below is for a file that was given: its precision is the caller's choice, not the manifest's.
            if self._has_own_file or error.holds is None:
                raise
            held = "another" if error.holds == "framework_default" else error.holds
            precision = self._plan.case.precision
            raise CannotRun(
                f"{error.detail}; files are read at the case's precision, {precision}, and the layers of a file at "
                f"{held} cannot be compared with those of one at {precision}",
                subject=error.subject,
            ) from None

    def outputs(self, batch: Tensors) -> Tensors:
        """The window's layers, in place until the next but one call. Raises as :meth:`open`."""
        ready = self._ready
        if ready is None:
            raise RuntimeError("outputs before open")
        layers = ready.host.outputs(batch, timeout=ready.deadline)
        if layers.peak_memory is not None:
            # Kept here, since a host may be replaced from window to window.
            self.peak_memory = max(self.peak_memory or 0, layers.peak_memory)
        return layers.tensors

    def _with_outputs(self, path: Path, window: Window) -> Plan:
        files = {**self._plan.files, self._role: ModelFile(path=str(path))}
        return self._plan.with_outputs([layer.output for layer in window], files=files, options=self.unfused)

    def close(self) -> None:
        """End the host and remove what was written."""
        self._pool.close()
        if self._extended is not None:
            self._extended.close()
            self._extended = None

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _onnx_file(ready: ReadyModel) -> tuple[str, Path]:
    """Role and path of the ONNX file among a case's files."""
    problems = []
    for role, artifact in sorted(ready.artifacts.items()):
        try:
            read_graph(artifact.path)
        except MlscopeError as error:
            problems.append(str(error))
        else:
            return role, artifact.path
    raise MlscopeError(f"{ready.case.framework}: bisect takes ONNX models, and {'; '.join(problems)}")


def batches(inputs: Tensors, size: int) -> list[Tensors]:
    """Whole batches of all rows."""
    rows = len(next(iter(inputs.values())))
    return [
        {name: np.ascontiguousarray(array[start : start + size]) for name, array in inputs.items()}
        for start in range(0, rows, size)
    ]
