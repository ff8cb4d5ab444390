"""What a predictor host is asked to load for a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.manifest import Input, Output


@dataclass(frozen=True, kw_only=True)
class InputTensor:
    """An input as the framework's file has it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    """``None`` where dynamic."""


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """A model to load, and how."""

    files: Mapping[str, str]
    """Role to path on disk."""
    device: str
    """As the framework calls it."""
    precision: str
    threads: int | None
    """``None``: the framework's default."""
    batch_size: int
    inputs: tuple[InputTensor, ...]
    outputs: tuple[str, ...]
    input_batches: Mapping[str, int | None] = field(default_factory=dict)
    """Input to the dimension that is the batch, ``None`` for none, where that is not the first."""
    output_batches: Mapping[str, int | None] = field(default_factory=dict)
    """The same of outputs."""
    stated_batches: tuple[str, ...] | None = None
    """Outputs whose shape or batch the manifest states; ``None`` where it is not tried which dimension is the batch."""
    options: Mapping[str, Any]

    def header(self) -> dict[str, Any]:
        """As the ``load`` of ``docs/host-protocol.md`` has it: JSON."""
        return asdict(self)


def batch_in_file(tensor: Input | Output, layout: str | None) -> int | None:
    """The dimension that is the batch in a framework's file; ``None`` where there is none.

    :param layout: the file's, where it differs from the manifest's.
    """
    if tensor.batch_dimension is None or not layout or not tensor.layout:
        return tensor.batch_dimension
    return layout.index("N")


def load_request(plan: Plan, files: Mapping[str, Path], *, device: str, dynamic_batch: bool) -> LoadRequest:
    """What to load for a case, with names and layouts as the framework's file has them.

    :param files: role to path on disk.
    :param device: as the framework calls it.
    :param dynamic_batch: whether one loaded model takes any batch size.
    :raises CannotRun: when the batch is fixed at load and is not the first dimension of every input.
    """
    entry = plan.entry
    inputs = []
    places: dict[str, int | None] = {}
    for description in plan.inputs:
        # The name of an open dimension is the manifest's own; predictors only need to know that it is open.
        shape = [size if isinstance(size, int) else None for size in description.shape]
        layout = entry.input_layouts.get(description.name)
        if layout and description.layout:
            shape = [shape[description.layout.index(letter)] for letter in layout]
        name = entry.input_names.get(description.name, description.name)
        places[name] = batch_in_file(description, layout)
        inputs.append(InputTensor(name=name, dtype=description.dtype, shape=tuple(shape)))
    outputs = {
        entry.output_names.get(output.name, output.name): batch_in_file(output, entry.output_layouts.get(output.name))
        for output in plan.outputs
    }
    elsewhere = next((name for name, place in places.items() if place != 0), None)
    if elsewhere is not None and not dynamic_batch:
        raise CannotRun(
            f"it fixes the batch when it loads a model, as the first dimension of each input, and input {elsewhere!r} "
            "has it elsewhere",
            subject=plan.case.framework,
        )
    return LoadRequest(
        files={role: str(path) for role, path in files.items()},
        device=device,
        precision=plan.case.precision,
        threads=plan.case.threads if isinstance(plan.case.threads, int) else None,
        # Only a framework that fixes the batch at load is loaded anew for another one.
        batch_size=plan.case.batch_size if not dynamic_batch else 1,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        input_batches={name: place for name, place in places.items() if place != 0},
        output_batches={name: place for name, place in outputs.items() if place != 0},
        # Of these the manifest says where the batch is, and is believed where the host cannot try it.
        stated_batches=tuple(
            entry.output_names.get(output.name, output.name)
            for output in plan.outputs
            if output.shape is not None or output.layout is not None or "batch" in output.model_fields_set
        ),
        options=dict(entry.options),
    )
