"""Checks of where the batch is: what a shape contradicts is not guessed."""

from __future__ import annotations

from pytest_mlscope.documents import Path, dotted
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.schema.tensors import Input, Output

_BATCH_NAMES = frozenset({"batch", "batch_size", "batchsize"})
"""What can only be the batch, in lower case."""


def _check_place(findings: Findings, path: Path, entry: Input | Output) -> bool:
    """Whether the batch is a dimension of the shape, where that is stated."""
    place, shape = entry.batch_dimension, entry.shape
    if place and shape is None and entry.layout is None:
        # Else a wrong one shows only once the model has run.
        findings.about(
            (*path, "batch"),
            f"is {place}, which nothing here can confirm; add the shape, with a name for each size that varies and the "
            f"batch as dimension {place}",
        )
        return False
    if shape is None:
        shape = [*(entry.layout or "N")]
    if place is None or place < len(shape):
        return True
    if isinstance(entry, Input) and not shape:
        return False  # Said of the shape already.
    what = "layout" if entry.shape is None else "shape"
    sizes = "no dimensions" if not shape else "1 dimension" if len(shape) == 1 else f"{len(shape)} dimensions"
    allowed = "none" if not shape else f"0 to {len(shape) - 1}, or none"
    if entry.says_where_the_batch_is:
        findings.about((*path, "batch"), f"is {place}, but the {what} has {sizes}; allowed: {allowed}")
    else:
        findings.about((*path, "shape"), "is empty, which has no batch; add batch: none")
    return False


def _check_names(findings: Findings, path: Path, entry: Input | Output, batches: set[int | str]) -> None:
    """Refuse a shape that says that the batch is not where the default has it.

    :param batches: what the inputs' shapes call the batch.
    """
    shape = entry.shape
    if entry.says_where_the_batch_is or not shape or _is_batch(shape[0]):
        return
    # Of an input, the name that comes first is what is in doubt.
    known = batches if isinstance(entry, Output) else set()
    if shape[0] in known:
        return
    place = next((index for index, size in enumerate(shape) if index and (size in known or _is_batch(size))), None)
    if place is not None:
        findings.about(
            (*path, "shape", 0),
            f"is {shape[0]!r}, but {shape[place]!r} is dimension {place}; add batch: {place} beside the shape, or "
            "batch: 0",
        )
    elif known and shape[0] != 1:
        findings.about(
            (*path, "shape", 0),
            f"is {shape[0]!r}, but the batch of the inputs is {next(iter(batches))!r}; if {shape[0]!r} is the batch, "
            "say where the inputs have it (batch: 1 beside their shape); if a call has one such output however many "
            "rows it has, add batch: none beside this shape; else batch: 0",
        )


def _is_batch(size: int | str) -> bool:
    return isinstance(size, str) and size.lower() in _BATCH_NAMES


def check_batches(findings: Findings) -> None:
    """Where the batches are, and that outputs without one are asked for row by row."""
    content = findings.content
    if not findings.is_whole("inputs"):
        return
    batches = {entry.batch_extent for entry in content.inputs if entry.batch_extent is not None}
    entries: list[tuple[Path, Input | Output]] = [
        *((("inputs", index), entry) for index, entry in enumerate(content.inputs)),
        *((("outputs", index), entry) for index, entry in enumerate(content.outputs)),
    ]
    for path, entry in entries:
        if findings.is_whole(*findings.place(path)) and _check_place(findings, path, entry):
            _check_names(findings, path, entry, batches)
    if content.inputs and all(entry.batch_dimension is None for entry in content.inputs):
        findings.at_key(("inputs",), "no input has a batch; allowed: batch: none for some inputs, not for all")
    alone = next((entry for entry in content.outputs if entry.batch_dimension is None), None)
    if alone is None:
        return
    why = f"but output {alone.name!r} has no batch, so that each row has a call of its own; allowed: 1"
    for index, size in enumerate(content.matrix.batch_size):
        if size != 1:
            findings.about(("matrix", "batch_size", index), f"is {size}, {why}")
    for index, cell in enumerate(content.matrix.include):
        if cell.batch_size not in (None, 1):
            findings.about(("matrix", "include", index, "batch_size"), f"is {cell.batch_size}, {why}")
    for index, entry in enumerate(content.inputs):
        if isinstance(entry.batch_extent, int) and entry.batch_extent != 1:
            here: Path = ("inputs", index, "shape", entry.batch_dimension or 0)
            findings.at(here, f"{dotted(findings.place(here))} fixes the batch to {entry.batch_extent}, {why}")
