"""What an ONNX file's own names say of where the batch is, where the manifest says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_mlscope.documents import Path as DocumentPath
from pytest_mlscope.host.onnx_reader import NotOnnx
from pytest_mlscope.host.onnx_signature import TensorSignature, onnx_signature
from pytest_mlscope.manifest import FrameworkEntry, Manifest

_MADE_UP = re.compile(r"unk|dyn|dim|sym|\d|[:/.]", re.IGNORECASE)
"""Names that exporters invent, for each tensor another, say nothing."""


def file_mistakes(content: Manifest, entry: FrameworkEntry, file: Path) -> Iterator[tuple[DocumentPath, str]]:
    """As :func:`batch_mistakes`, of a file; nothing of one that is not ONNX."""
    if file.suffix != ".onnx":
        return
    try:
        inputs, outputs, _ = onnx_signature(str(file))
    except (NotOnnx, OSError):
        return
    yield from batch_mistakes(content, entry, file, inputs, outputs)


def batch_mistakes(
    content: Manifest,
    entry: FrameworkEntry,
    file: Path,
    inputs: Sequence[TensorSignature],
    outputs: Sequence[TensorSignature],
) -> Iterator[tuple[DocumentPath, str]]:
    """Tensors without the batch that the manifest takes for their first dimension: path in the manifest, what is wrong.

    Sizes that happen to agree would make rows of what are none.
    """
    there = {each.name: each for each in inputs}
    batches: set[str | None] = set()
    for index, stated in enumerate(content.inputs):
        found = there.get(entry.input_names.get(stated.name, stated.name))
        if found is None or found.shape is None or stated.batch_dimension is None:
            continue
        if not found.shape:
            yield ("inputs", index), f"input {found.name!r} is a scalar in {file}; add shape: [] and batch: none"
        elif stated.batch_dimension < len(found.shape):
            place = stated.batch_dimension
            size = found.shape[place]
            if size is None:
                batches.add(found.symbols[place])
            elif size != 1 and isinstance(stated.batch_extent, str) and stated.layout is None:
                # Else a short last batch fails, and a latency of whole batches does not.
                yield (
                    ("inputs", index, "shape", place),
                    f"input {found.name!r} has a batch of {size} in {file}, and {stated.batch_extent!r} here means any "
                    f"size; write {size}",
                )
    there = {each.name: each for each in outputs}
    theirs = [there.get(entry.output_names.get(stated.name, stated.name)) for stated in content.outputs]
    firsts = [each.symbols[0] if each is not None and each.symbols else None for each in theirs]
    # Where one output has the inputs' name for the batch, the file's names can be trusted for the others, too.
    agree = any(first is not None and first in batches for first in firsts)
    for index, (stated_output, there_output) in enumerate(zip(content.outputs, theirs, strict=True)):
        if there_output is None or there_output.shape is None or stated_output.batch_dimension is None:
            continue
        where: DocumentPath = ("outputs", index)
        what = f"output {there_output.name!r}"
        if not there_output.shape:
            yield where, f"{what} is a scalar in {file}; add batch: none"
            continue
        if stated_output.says_where_the_batch_is or stated_output.layout is not None or not batches - {None}:
            continue
        first, size = firsts[index], there_output.shape[0]
        batch = next(each for each in batches if each is not None)
        one = "add batch: none if a call has one such output however many rows it has, or batch: 0"
        # A size of 1 says nothing: it is what an export with one row leaves behind.
        if size is not None and size != 1:
            yield where, f"{what} has {size} as its first dimension in {file}, whatever the batch {batch!r} is; {one}"
        elif first is None or first in batches:
            continue
        elif first and batch in there_output.symbols:
            place = there_output.symbols.index(batch)
            yield where, f"{what} has the batch {batch!r} as dimension {place} in {file}; add batch: {place}"
        elif agree or not any(_MADE_UP.search(name) for name in (first, *filter(None, batches))):
            yield where, f"{what} has {first!r} as its first dimension in {file}, and the batch is {batch!r}; {one}"
