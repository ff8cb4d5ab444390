"""Find the first layer whose output leaves the tolerance between two frameworks, or two files, of one ONNX graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_mlscope.bisection.difference import LayerComparison, LayerDifference
from pytest_mlscope.bisection.layers import WITHOUT_TYPES, Layer, knows_types, layers_of
from pytest_mlscope.bisection.side import Side, Tensors, batches
from pytest_mlscope.bisection.windows import Window, halves, plan_windows
from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import HostTimeout, MlscopeError
from pytest_mlscope.host import memory
from pytest_mlscope.hosts import ModelLoader
from pytest_mlscope.machine import shared_lease
from pytest_mlscope.measurements import count_rows, default_tolerance, floor_epsilons
from pytest_mlscope.recorder import Recorder

WINDOW_BYTES = 64 * 1000**2
"""Outputs held at once, of each of the two, where nothing else is said."""
HOPELESS = 3
"""So many layers, each alone, that a framework cannot give, before any it can: it cannot give any."""


@dataclass(frozen=True)
class PeakMemory:
    """Bytes of resident memory at most, shared memory included; ``None`` where unknown."""

    plugin: int | None
    plugin_since_beginning: bool
    """Whether ``plugin`` counts from the beginning of the comparison, or from that of the process."""
    candidate: int | None
    reference: int | None


@dataclass
class Bisection:
    """What was compared and found."""

    candidate: str
    """Framework, version, precision and file."""
    reference: str
    tolerance: float
    """Of the largest absolute difference in a layer, relative to the layer's largest magnitude."""
    tolerance_source: str
    rows: int
    """Compared; the first ones."""
    dataset_rows: int
    """There are."""
    layers: int
    """In both graphs."""
    without_namesake: int = 0
    """Layers that only one of the two graphs has, by name."""
    windows: int = 0
    """Loaded."""
    window_bytes: int = WINDOW_BYTES
    unknown_sizes: int = 0
    """Layers whose size could not be inferred, each with a window of its own."""
    unfused: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Framework to the options by which nodes ran as the file has them; empty for one that has none."""
    first: LayerDifference | None = None
    """The first layer that leaves the tolerance, by itself too."""
    producers: list[LayerDifference | str] = field(default_factory=list)
    """What that layer computes from, where it varies with the inputs; a text names what was not compared."""
    compared: list[LayerDifference] = field(default_factory=list)
    """Every layer compared, in order."""
    not_compared: dict[str, str] = field(default_factory=dict)
    """Layer to why not: a framework could not give it."""
    unconfirmed: list[str] = field(default_factory=list)
    """Layers that left the tolerance beside others and not alone."""
    peak_memory: PeakMemory | None = None


def bisect(
    plan: Plan,
    *,
    reference: Plan,
    loader: ModelLoader,
    file: Path | None = None,
    rows: int | None = None,
    tolerance: float | None = None,
    window_bytes: int = WINDOW_BYTES,
) -> Bisection:
    """Compare layer after layer, a window at a time, and stop at the first that leaves the tolerance.

    No order is taken for granted: an error may vanish again in a later layer, so none is skipped.

    :param reference: the same case where only another file is compared with.
    :param file: the reference's ONNX file, in place of its own.
    :param rows: of the dataset, rounded up to whole batches; one batch by default, and no more than there are.
    :param tolerance: by default that of the precision.
    :param window_bytes: of one batch's outputs, that are held at once.
    :raises CannotRun: when a framework cannot run here.
    :raises HostError: when one fails on the model as it is.
    :raises MlscopeError: when a model is not an ONNX file, the two have no layer in common, or a framework cannot give
        layers as outputs.
    """
    begins_anew = memory.reset_peak()
    # Both before the lease: downloads and new environments take minutes, for which others would wait.
    loader.prepare(plan)
    loader.prepare(reference)
    with ExitStack() as stack:
        stack.enter_context(shared_lease("machine"))
        candidate = stack.enter_context(Side(loader, plan))
        other = stack.enter_context(Side(loader, reference, file=file))
        size = plan.case.batch_size
        there = count_rows(plan)
        # Whole batches, since a last one of another size would be of another shape than was inferred.
        count = -(-min(rows or size, there) // size) * size
        # The reference may name its inputs otherwise; the rows are the same.
        given = [list(batches(side.inputs(count), size)) for side in (candidate, other)]
        shapes = {name: array.shape for name, array in given[0][0].items()}
        present = _computed(other)
        layers = layers_of(candidate.graph, candidate.path, shapes=shapes, present=present)
        if not layers:
            raise MlscopeError(
                f"{candidate.path} and {other.path} have no layer in common: no tensor has one name in both"
            )
        chosen, source = _tolerance(candidate, other, plan, reference, tolerance)
        found = Bisection(
            candidate=f"{candidate.described}, {candidate.path}",
            reference=f"{other.described}, {other.path}",
            tolerance=chosen,
            tolerance_source=source,
            rows=min(count, there),
            dataset_rows=there,
            layers=len(layers),
            without_namesake=len(_read(candidate) ^ _read(other)),
            window_bytes=window_bytes,
            unknown_sizes=sum(layer.size is None for layer in layers),
            unfused={plan.case.framework: candidate.unfused, reference.case.framework: other.unfused},
        )
        _Walk(candidate, other, list(zip(*given, strict=True)), found, loader.settings.recorder).run(
            plan_windows(layers, limit=window_bytes)
        )
        found.peak_memory = PeakMemory(memory.peak_bytes(), begins_anew, candidate.peak_memory, other.peak_memory)
    return found


def _computed(side: Side) -> frozenset[str]:
    return frozenset(output for node in side.graph.computed() for output in node.outputs if output)


def _read(side: Side) -> frozenset[str]:
    return _computed(side) & side.graph.read()


def _tolerance(candidate: Side, other: Side, plan: Plan, reference: Plan, tolerance: float | None) -> tuple[float, str]:
    if tolerance is not None:
        return tolerance, "as given"
    precisions = f"{candidate.precision} {other.precision}"
    if plan.case.framework == reference.case.framework and plan.case.version == reference.case.version:
        # One program computes both, so equal weights give equal bits: its rounding errors are no noise here.
        return floor_epsilons("framework_default", precisions), "rounding errors of one framework"
    return default_tolerance("framework_default", precisions)[1], f"default of {' and '.join(precisions.split())}"


class _Walk:
    """Goes through the windows."""

    def __init__(
        self,
        candidate: Side,
        reference: Side,
        inputs: Sequence[tuple[Tensors, Tensors]],
        found: Bisection,
        recorder: Recorder,
    ) -> None:
        self._sides = (candidate, reference)
        self._inputs = inputs
        self._found = found
        self._recorder = recorder

    def run(self, windows: Sequence[Window]) -> None:
        found = self._found
        ahead = deque(windows)
        while ahead and found.first is None:
            window = ahead.popleft()
            try:
                differences = self._compare(window)
            # Not halved: each half would wait for the whole time limit again.
            except HostTimeout:
                raise
            except MlscopeError as error:
                if len(window) > 1:
                    # Until the layer that cannot be an output is alone; the others of its window are still compared.
                    ahead.extendleft(reversed(halves(window)))
                    continue
                found.not_compared[window[0].output] = str(error)
                if not found.compared and len(found.not_compared) >= HOPELESS:
                    advice = "" if knows_types() else f"; {WITHOUT_TYPES}"
                    raise MlscopeError(f"no layer can be made an output: {error}{advice}") from None
                continue
            self._recorder.progress(
                f"{len(found.compared) + len(found.not_compared) + len(window)} of {found.layers} layers, "
                f"{window[-1].output}: {differences[-1].relative:.2g}"
            )
            for layer, difference in zip(window, differences, strict=True):
                found.compared.append(difference)
                # Alone once more: which layers are outputs decides what a framework may fuse.
                if difference.leaves(found.tolerance):
                    alone = difference if len(window) == 1 else self._compare((layer,))[0]
                    if alone.leaves(found.tolerance):
                        found.first = found.compared[-1] = alone
                        self._name_producers(layer)
                        break
                    found.unconfirmed.append(layer.output)

    def _compare(self, window: Window) -> list[LayerDifference]:
        self._found.windows += 1
        comparisons = [LayerComparison(layer) for layer in window]
        # Both are open before the first batch, so that a window that one cannot give costs no predictions.
        for side in self._sides:
            side.open(window)
        for batch in self._inputs:
            outputs, references = (side.outputs(given) for side, given in zip(self._sides, batch, strict=True))
            for layer, comparison in zip(window, comparisons, strict=True):
                comparison.update(outputs[layer.output], references[layer.output])
        return [comparison.difference() for comparison in comparisons]

    def _name_producers(self, layer: Layer) -> None:
        found = self._found
        known = {difference.output: difference for difference in found.compared}
        computed = {name for node in self._sides[0].graph.computed() for name in node.outputs}
        for name in dict.fromkeys(layer.node.inputs):
            if name in known:
                found.producers.append(known[name])
            elif name in self._sides[0].graph.inputs:
                found.producers.append(f"{name}: an input of the model, the same for both")
            elif name in found.not_compared:
                found.producers.append(f"{name}: not compared: {found.not_compared[name]}")
            # Weights and constants are left out, for they do not vary with the inputs.
            elif name in computed:
                found.producers.append(f"{name}: not compared: the reference has none of that name")
