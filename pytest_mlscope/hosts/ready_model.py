"""A case's model, loaded in a warm host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.artifacts import Artifact
from pytest_mlscope.cases import Case, Plan
from pytest_mlscope.deadline import Deadline
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import HostError
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.hosts.replies import FailedBatch
from pytest_mlscope.hosts.timing_replies import Measured
from pytest_mlscope.manifest import FrameworkEntry, Output


def relayout(array: NDArray[Any], source: str, target: str) -> NDArray[Any]:
    """Transpose from one layout to another; contiguous.

    >>> relayout(np.zeros((1, 3, 4, 5)), "NCHW", "NHWC").shape
    (1, 4, 5, 3)
    """
    return np.ascontiguousarray(array.transpose([source.index(letter) for letter in target]))


def batch_first(layout: str) -> str:
    """The layout as rows have it, with the batch first, whether or not it has one.

    >>> batch_first("TNC"), batch_first("HWC")
    ('NTC', 'NHWC')
    """
    return "N" + layout.replace("N", "")


def _fits(actual: tuple[int, ...], stated: list[int | str]) -> bool:
    """Whether a row's shape is the stated one; a name stands for any size."""
    return len(actual) == len(stated) and all(
        isinstance(size, str) or size == n for n, size in zip(actual, stated, strict=True)
    )


def _as_called(array: NDArray[Any], output: Output) -> str:
    """The shape of the tensor that rows came from."""
    sizes = list(map(str, array.shape[1:]))
    if output.batch_dimension is not None:
        sizes.insert(output.batch_dimension, "n")
    return ", ".join(sizes)


@dataclass(frozen=True, eq=False)
class PredictedRows:
    """Neighbouring rows of a request, and their outputs by the manifest's names, shape ``(rows, …)``."""

    rows: slice
    outputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What became of the rows of a request: in their order, those with outputs, and the batches that failed."""

    parts: tuple[PredictedRows, ...]
    """One where no batch failed and all rows have outputs of one shape."""
    errors: Sequence[FailedBatch]


def _without(failed: Sequence[FailedBatch], rows: int, outputs: Mapping[str, NDArray[Any]]) -> list[PredictedRows]:
    """The rows between the batches that failed."""
    parts, start = [], 0
    for error in sorted(failed, key=lambda each: each.start):
        parts.append(slice(start, error.start))
        start = error.stop
    # After the last failure, too; the empty pieces between neighbours go below.
    parts.append(slice(start, rows))
    return [
        PredictedRows(part, {name: array[part] for name, array in outputs.items()})
        for part in parts
        if part.start < part.stop
    ]


@dataclass(frozen=True, eq=False)
class ReadyModel:
    """What predicts for a case: a host with the model loaded, under the manifest's names."""

    plan: Plan
    host: HostClient
    environment: Environment
    artifacts: Mapping[str, Artifact]
    device: str
    resolved: Mapping[str, Any]
    """What precision and threads came to, as the framework reads them back."""
    load_seconds: float
    deadline: Deadline
    """Of the case, for whatever is asked of the host."""

    @property
    def case(self) -> Case:
        """The plan's case."""
        return self.plan.case

    @property
    def _entry(self) -> FrameworkEntry:
        return self.plan.entry

    @property
    def pads(self) -> bool:
        """Whether a short last batch must be filled up, because the model takes one batch size only."""
        batched = [each for each in self.plan.inputs if each.batch_dimension is not None]
        # Inputs without a batch say nothing here; they are the same for every batch size.
        fixed = all(isinstance(each.batch_extent, int) for each in batched)
        return fixed or not self.environment.framework.description.dynamic_batch

    def framework_inputs(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Inputs by the manifest's names and layouts, as this framework's file wants them, but with the batch first:
        the host moves it.
        """
        entry = self._entry
        ready = {}
        for description in self.plan.inputs:
            array = inputs[description.name]
            layout = entry.input_layouts.get(description.name)
            if layout and description.layout and layout != description.layout:
                array = relayout(array, batch_first(description.layout), batch_first(layout))
            ready[entry.input_names.get(description.name, description.name)] = array
        return ready

    def manifest_outputs(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by the manifest's names.

        :raises HostError: when one is not among the tensors, or has another shape than the manifest says.
        """
        entry = self._entry
        outputs = {}
        for output in self.plan.outputs:
            name = entry.output_names.get(output.name, output.name)
            if name not in tensors:
                present = ", ".join(tensors) or "nothing"
                raise self._wrong(f"the predictor returned no output {name!r}; it returned: {present}")
            array = self._laid_out(tensors[name], output)
            outputs[output.name] = array
            if output.shape is not None and not _fits(array.shape[1:], output.row_sizes()):
                stated = ", ".join(map(str, output.shape))
                raise self._wrong(
                    f"output {name!r} has shape [{_as_called(array, output)}]; the manifest says [{stated}]"
                )
        return outputs

    def _laid_out(self, array: NDArray[Any], output: Output) -> NDArray[Any]:
        """In the manifest's layout, contiguous.

        :raises HostError: when it has another number of dimensions than its layout.
        """
        # Without a layout nobody knows what the dimensions are, so the file's order stands.
        if output.layout is None:
            return array
        rows_layout = batch_first(output.layout)
        if array.ndim != len(rows_layout):
            shape = _as_called(array, output)
            raise self._wrong(f"output {output.name!r} has shape [{shape}]; the manifest says {output.layout}")
        # With the batch first on both sides: the host has moved it there.
        layout = batch_first(self._entry.output_layouts.get(output.name, output.layout))
        return array if layout == rows_layout else relayout(array, layout, rows_layout)

    def _wrong(self, message: str) -> HostError:
        return HostError(f"{self.host.name}: {message}", output=self.host.output())

    def submit_predict(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Send rows to be predicted in batches of the case's size. Raises as ``HostClient``."""
        self.host.submit_predict(self.framework_inputs(inputs), batch_size=self.case.batch_size, pad=self.pads)

    def receive_predict(self, rows: int) -> Prediction:
        """The oldest prediction under way, of so many rows.

        Outputs are in place until ``DEPTH`` further submissions.
        """
        reply = self.host.receive_predict(rows, timeout=self.deadline)
        if reply.parts is not None:
            numbered = enumerate(reply.parts)
            parts = [PredictedRows(slice(*part), self.manifest_outputs(reply.part(index))) for index, part in numbered]
        # Without tensors every batch failed, and there is nothing that could be named.
        elif reply.tensors:
            parts = _without(reply.errors, rows, self.manifest_outputs(reply.tensors))
        else:
            parts = []
        return Prediction(tuple(parts), reply.errors)

    def predict(self, inputs: Mapping[str, NDArray[Any]]) -> Prediction:
        """Predict rows in batches of the case's size, by the manifest's names. Raises as ``HostClient``.

        :return: as :meth:`receive_predict`.
        """
        self.submit_predict(inputs)
        return self.receive_predict(len(next(iter(inputs.values()))))

    def measure(
        self,
        inputs: Mapping[str, NDArray[Any]],
        *,
        budget: float | None = None,
        relative_error: float | None = None,
        warmup_budget: float | None = None,
        highest_percentile: float = 99.0,
    ) -> Measured:
        """Time calls one after another, on the framework's fastest path; the device must be ours alone.

        :param inputs: by the framework's names, as :meth:`framework_inputs` gives them: of one batch of the case's
            size, or of several that are one sample.
        :param budget: seconds, and
        :param relative_error: of the median, at which the window ends, and
        :param warmup_budget: seconds; each as the manifest's ``measurement`` says when absent.
        :param highest_percentile: the window is not prolonged for one beyond it.
        Raises as ``HostClient``.
        """
        stated = self.plan.measurement
        return self.host.measure(
            inputs,
            batch_size=self.case.batch_size,
            pad=self.pads,
            budget=stated.budget if budget is None else budget,
            relative_error=stated.relative_error if relative_error is None else relative_error,
            warmup_budget=stated.warmup_budget if warmup_budget is None else warmup_budget,
            highest_percentile=highest_percentile,
            timeout=self.deadline,
        )
