"""Checks of ``inputs`` and ``outputs``: names, shapes, layouts, class names."""

from __future__ import annotations

import math
import re
from pathlib import Path as FilePath

from pytest_mlscope.documents import Path, found, quoted
from pytest_mlscope.manifest.check_batches import check_batches
from pytest_mlscope.manifest.check_frameworks import local_path_mistake
from pytest_mlscope.manifest.dimensions import dimensions_of
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.schema.tensors import Input, Output
from pytest_mlscope.ordinary_files import LFS_ADVICE, LFS_POINTER, read_ordinary

MAX_DIMENSION = 2**31
MAX_TENSOR_BYTES = 2**34
MAX_LABELS_BYTES = 2**20
_DIMENSION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _item_size(dtype: str) -> int:
    return 1 if dtype == "bool" else int(re.sub(r"\D", "", dtype)) // 8


def _check_sizes(findings: Findings, path: Path, shape: list[int | str]) -> bool:
    is_right = True
    for index, size in enumerate(shape):
        if isinstance(size, int) and not 0 < size <= MAX_DIMENSION:
            findings.about((*path, index), f"is {found(size)}; allowed: a size from 1 to {MAX_DIMENSION}")
            is_right = False
        elif isinstance(size, str) and not _DIMENSION_NAME.fullmatch(size):
            allowed = "a whole number, or a name of letters, digits and '_' for a dynamic dimension"
            findings.about((*path, index), f"is {found(size)}; allowed: {allowed}")
            is_right = False
    return is_right


def _check_input(findings: Findings, path: Path, entry: Input, largest_batch: int) -> None:
    shape = entry.shape
    here = (*path, "shape")
    if not findings.is_whole(*findings.place(here)):
        return
    if not shape and entry.batch_dimension is not None:
        findings.about(
            here, "is empty; required: the batch as the first dimension, such as [batch, 4], or batch: none beside it"
        )
        return
    if _check_sizes(findings, here, shape):
        extent = entry.batch_extent
        samples = 1 if entry.batch_dimension is None else extent if isinstance(extent, int) else largest_batch
        size = _item_size(entry.dtype) * samples * math.prod(n for n in entry.row_sizes() if isinstance(n, int))
        if size > MAX_TENSOR_BYTES:
            findings.about(here, f"makes a batch of {size} bytes; allowed: at most {MAX_TENSOR_BYTES}")
    batch = entry.batch_extent
    for index, named in enumerate(shape):
        if isinstance(named, str) and named == batch and index != entry.batch_dimension:
            findings.about((*here, index), f"is the batch {named!r} again; allowed: another name or a size")
    _check_layout(findings, path, entry)


def _check_layout(findings: Findings, path: Path, entry: Input | Output) -> None:
    layout, shape, place = entry.layout, entry.shape, entry.batch_dimension
    if layout is None:
        return
    if shape is not None and len(layout) != len(shape):
        findings.about(
            (*path, "layout"),
            f"is {quoted(layout)}, but the shape has {len(shape)} dimensions; allowed: a letter for each",
        )
    elif len(set(layout)) != len(layout):
        findings.about((*path, "layout"), f"is {quoted(layout)}; allowed: each letter once")
    elif place is None and "N" in layout:
        findings.about((*path, "layout"), f"is {quoted(layout)}, but `batch` is none; allowed: no N")
    elif place is not None and layout.find("N") != place:
        where = "first" if place == 0 else f"as dimension {place}, as `batch` says"
        findings.about((*path, "layout"), f"is {quoted(layout)}; allowed: the batch N {where}")


def _check_fixed_batch(findings: Findings) -> None:
    content = findings.content
    if not findings.is_whole("inputs"):
        return
    batched = [(index, entry) for index, entry in enumerate(content.inputs) if entry.batch_dimension is not None]
    fixed = [(index, entry.batch_extent) for index, entry in batched]
    sizes = [(index, size) for index, size in fixed if isinstance(size, int) and size > 0]
    if not sizes:
        return
    first, batch = sizes[0]
    for index, size in sizes[1:]:
        if size != batch:
            findings.about(
                ("inputs", index, "shape", content.inputs[index].batch_dimension or 0),
                f"fixes the batch to {size}, and inputs[{first}] fixes it to {batch}; allowed: the same in all inputs",
            )
            return
    why = (
        f"but inputs[{first}].shape fixes the batch to {batch}; allowed: {batch}, or a name such as batch in the shape"
    )
    if "batch_size" in content.matrix.model_fields_set:
        for index, size in enumerate(content.matrix.batch_size):
            if size != batch:
                findings.about(("matrix", "batch_size", index), f"is {size}, {why}")
    elif len(sizes) < len(batched) and batch != 1 and findings.is_whole("matrix"):
        findings.about(
            ("inputs", first, "shape", content.inputs[first].batch_dimension or 0),
            f"fixes the batch to {batch}, but matrix.batch_size is 1 by default",
        )
    for index, entry in enumerate(content.matrix.include):
        if entry.batch_size is not None and entry.batch_size != batch:
            findings.about(("matrix", "include", index, "batch_size"), f"is {entry.batch_size}, {why}")


def _read_labels(findings: Findings, path: Path, name: str, folder: FilePath) -> list[str] | None:
    problem = "is a URL; allowed: a path relative to the manifest" if "://" in name else local_path_mistake(name)
    if problem or not name:
        findings.about(path, problem or "is empty; allowed: the path of a text file")
        return None
    file = folder / name
    try:
        if not file.exists():
            findings.about(path, f"names the file {quoted(name)}, which does not exist in the manifest's folder")
            return None
        # One byte more than allowed shows that the file is too large.
        raw = read_ordinary(file, most=MAX_LABELS_BYTES + 1)
        text = raw.decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        findings.about(path, f"names the file {quoted(name)}, which cannot be read: {error.strerror}")
        return None
    except UnicodeDecodeError as error:
        findings.about(path, f"names the file {quoted(name)}, which is not UTF-8 at byte {error.start}")
        return None
    if raw.startswith(LFS_POINTER):
        findings.about(path, f"names the file {quoted(name)}, which {LFS_ADVICE}")
        return None
    if len(raw) > MAX_LABELS_BYTES:
        findings.about(path, f"names the file {quoted(name)}, which is too large; allowed: {MAX_LABELS_BYTES} bytes")
        return None
    # Not splitlines(), which would cut a name at rare separators such as U+2028.
    labels = [line.strip() for line in text.rstrip().split("\n")]
    seen: dict[str, int] = {}
    for number, label in enumerate(labels, start=1):
        if not label or label in seen:
            what = f"repeats {quoted(label)} of line {seen[label]}" if label else "is empty"
            findings.about(
                path, f"names the file {quoted(name)}, whose line {number} {what}; allowed: one class name a line"
            )
            return None
        seen[label] = number
    return labels


def _labels_of(findings: Findings, path: Path, entry: Output, folder: FilePath) -> tuple[str, ...] | None:
    here = (*path, "labels")
    if entry.labels is None or not findings.is_whole(*findings.place(here)):
        return None
    if isinstance(entry.labels, str):
        labels = _read_labels(findings, here, entry.labels, folder)
        if labels is None:
            return None
    else:
        labels = entry.labels
        if not labels:
            findings.about(here, "is empty; required: a name for every class")
            return None
        findings.distinct(here, "label", labels)
    if entry.shape is not None and len(entry.row_sizes()) == 1:
        classes = entry.row_sizes()[0]
        if isinstance(classes, int) and classes != len(labels):
            names = "1 name" if len(labels) == 1 else f"{len(labels)} names"
            findings.about(here, f"has {names}, but the output's shape has {classes} classes; allowed: {classes}")
    return tuple(labels)


def check_tensors(findings: Findings, folder: FilePath) -> dict[str, tuple[str, ...]]:
    """Everything about inputs and outputs but their steps; the class names by output."""
    content = findings.content
    findings.distinct(("inputs",), "input", (entry.name for entry in content.inputs), "name")
    findings.distinct(("outputs",), "output", (entry.name for entry in content.outputs), "name")
    sizes = [*dimensions_of(content)["batch_size"], *(e.batch_size for e in content.matrix.include if e.batch_size)]
    for index, entry in enumerate(content.inputs):
        _check_input(findings, ("inputs", index), entry, min(max(sizes, default=1), 2**20))
    _check_fixed_batch(findings)
    check_batches(findings)
    labels: dict[str, tuple[str, ...]] = {}
    for index, output in enumerate(content.outputs):
        path: Path = ("outputs", index)
        _check_layout(findings, path, output)
        if output.shape is not None and findings.is_whole(*findings.place((*path, "shape"))):
            _check_sizes(findings, (*path, "shape"), output.shape)
        names = _labels_of(findings, path, output, folder)
        if names is not None:
            labels[output.name] = names
    return labels
