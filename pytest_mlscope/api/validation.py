"""Checks a manifest and what it names, as far as that needs no framework."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.artifacts import check, file_artifact, package_file
from pytest_mlscope.components import SHIPPED_METRICS, SHIPPED_POSTPROCESSING_STEPS, Registry, build_registry
from pytest_mlscope.documents import Path as DocumentPath
from pytest_mlscope.documents import listed, one_line, quoted
from pytest_mlscope.errors import ArtifactError, CannotRun, ManifestError, MlscopeError, WrongUse, shown
from pytest_mlscope.host.onnx_reader import NotOnnx
from pytest_mlscope.host.onnx_signature import ELEMENT_TYPES, TensorSignature, onnx_signature
from pytest_mlscope.hosts import batch_mistakes
from pytest_mlscope.kinds import plugin_manager, project_registries
from pytest_mlscope.manifest import (
    SUFFIX,
    BoundMetric,
    DType,
    FrameworkEntry,
    Input,
    LoadedManifest,
    ModelFile,
    Output,
    files_of,
    load_manifest,
    local_path,
    place_of,
)
from pytest_mlscope.measurements import RowPreparer
from pytest_mlscope.text import closest, did_you_mean

_ROWS_AT_A_TIME = 16
# Wrong columns, steps and labels show in the first rows, and a dataset may have millions.
_SECONDS_TO_READ = 2.0
_NUMBERS = frozenset(get_args(DType))


@dataclass(frozen=True)
class Validation:
    """What is wrong with a manifest and what it names."""

    path: Path
    mistakes: tuple[str, ...]
    """One line each: ``file:line:column: what is wrong``."""
    unchecked: tuple[str, ...]
    """What was not checked, and why: remote files, and what needs a library that is missing."""


def manifests_in(paths: Sequence[Path]) -> list[Path]:
    """The manifests that paths mean: files themselves, and those in folders.

    :raises WrongUse: when a path is not there, or a folder has no manifest.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{SUFFIX}"))
            if not inside:
                raise WrongUse(f"{path}: the folder has no *{SUFFIX}")
            found += inside
        elif not path.exists():
            raise WrongUse(f"{path}: there is no such file")
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def registries_of(paths: Sequence[Path]) -> Mapping[Path, Registry | MlscopeError]:
    """For each manifest, what its project's conftest files and the installed plugins register; they are run.

    :return: an error where a hook returned something wrong.
    :raises MlscopeError: when a conftest cannot be loaded.
    """
    found = project_registries([path.parent for path in paths])
    return {path: found[path.parent] for path in paths}


def validate_manifest(path: Path, registry: Registry | None = None) -> Validation:
    """Check a manifest: its schema, the files it names, the dataset's columns, labels and first rows, and the names,
    types and shapes of inputs and outputs in its ONNX files. Nothing is downloaded and no framework is started.

    :param registry: what manifests may name; what is shipped, when absent.
    """
    try:
        manifest = load_manifest(path, registry or build_registry(plugin_manager().hook, project=Path.cwd()))
    except ManifestError as error:
        return Validation(path, tuple(str(error).splitlines()), ())
    mistakes: list[str] = []
    unchecked: list[str] = []
    outputs: dict[str, TensorSignature] = {}
    for framework, entry in manifest.content.frameworks.items():
        for where, _, file in files_of(framework, entry):
            mistakes += _file_mistakes(manifest, entry, where, file, outputs, unchecked)
    if manifest.dataset is not None:
        try:
            _read_rows(manifest, outputs)
        except CannotRun as error:
            unchecked.append(f"{place_of(manifest, ('dataset',))}: dataset: {one_line(error)}")
        except MlscopeError as error:
            text, place = one_line(error), place_of(manifest, ("dataset",))
            mistakes.append(text if text.startswith(shown(f"{manifest.path}:")) else f"{place}: {text}")
    return Validation(path, tuple(dict.fromkeys(mistakes)), tuple(dict.fromkeys(unchecked)))


def _file_mistakes(
    manifest: LoadedManifest,
    entry: FrameworkEntry,
    where: DocumentPath,
    file: ModelFile,
    signatures: dict[str, TensorSignature],
    unchecked: list[str],
) -> Iterator[str]:
    """:param signatures: gains what the file says of each of the manifest's outputs."""
    place = place_of(manifest, (*where, "path"))
    try:
        if file.path.startswith(package_file.SCHEME):
            local = package_file.package_file(file.path)
        elif (found := local_path(manifest, file)) is None:
            unchecked.append(f"{place}: {quoted(file.path)} is remote; it is checked when it is downloaded")
            return
        else:
            local = found
        artifact = file_artifact(local)
        check(artifact, sha256=file.sha256, size=file.size)
    except CannotRun as error:
        unchecked.append(f"{place}: {one_line(error)}")
        return
    except ArtifactError as error:
        yield f"{place}: {one_line(error)}"
        return
    if local.suffix != ".onnx":
        return
    try:
        inputs, outputs, optional = onnx_signature(str(local))
    except (NotOnnx, OSError) as error:
        yield f"{place}: {local}: {error}"
        return
    content = manifest.content
    for path, mistake in batch_mistakes(content, entry, local, inputs, outputs):
        yield f"{place_of(manifest, path)}: {mistake}"
    names = entry.input_names
    required = {each.name for each in inputs}
    stated = {names.get(each.name, each.name) for each in content.inputs}
    for index, each in enumerate(content.inputs):
        if names.get(each.name, each.name) not in optional:
            yield from _tensor_mistakes(manifest, local, ("inputs", index), each, names, inputs)
    for name in sorted(required - stated):
        yield f"{place_of(manifest, ('inputs',))}: {local} needs the input {quoted(name)}, which inputs does not name"
    for index, output in enumerate(content.outputs):
        yield from _tensor_mistakes(manifest, local, ("outputs", index), output, entry.output_names, outputs)
        name = entry.output_names.get(output.name, output.name)
        there = next((each for each in outputs if each.name == name), None)
        if there is not None:
            signatures[output.name] = there


def _tensor_mistakes(
    manifest: LoadedManifest,
    file: Path,
    where: DocumentPath,
    stated: Input | Output,
    names: dict[str, str],
    there: list[TensorSignature],
) -> Iterator[str]:
    what = str(where[0])[:-1]
    name = names.get(stated.name, stated.name)
    found = next((each for each in there if each.name == name), None)
    if found is None:
        known = [each.name for each in there]
        meant = closest(name, known) or (known[0] if len(known) == 1 else None)
        remedy = (
            f"; write one of these, or `{what}_names: {{{stated.name}: {meant or 'NAME'}}}` in the framework's entry"
        )
        remedy += did_you_mean(meant)
        place = place_of(manifest, (*where, "name"))
        yield f"{place}: {file} has no {what} {quoted(name)}; it has: {listed(known)}{remedy}"
        return
    if isinstance(stated, Input) and found.dtype and found.dtype != stated.dtype:
        place = place_of(manifest, (*where, "dtype"))
        yield f"{place}: {what} {quoted(name)} is {stated.dtype}, but {file} takes {found.dtype}"
    if found.shape is None and found.dtype not in ELEMENT_TYPES.values():
        place = place_of(manifest, (*where, "name"))
        others = [each.name for each in there if each.shape is not None]
        yield (
            f"{place}: {what} {quoted(name)} of {file} is a {found.dtype}, not a tensor; export the model with tensors "
            f"only (skl2onnx: options={{'zipmap': False}}), or name another {what}: {listed(others)}"
        )
    if stated.shape is None or found.shape is None:
        return
    place = place_of(manifest, (*where, "shape"))
    differ = len(stated.shape) != len(found.shape) or any(
        isinstance(ours, int) and theirs is not None and ours != theirs
        for ours, theirs in zip(stated.shape, found.shape, strict=False)
    )
    if differ:
        remedy = ""
        if len(stated.shape) + 1 == len(found.shape) and found.shape[0] is None:
            if all(isinstance(size, int) for size in stated.shape):
                remedy = f"; the batch dimension is missing: write [{', '.join(map(str, ['batch', *stated.shape]))}]"
            elif isinstance(stated.shape[0], str):
                sizes = [stated.shape[0], *("N" if size is None else str(size) for size in found.shape[1:])]
                remedy = f"; write [{', '.join(sizes)}]"
        yield f"{place}: {what} {quoted(name)} is {_shape(stated.shape)}, but {file} has {_shape(found.shape)}{remedy}"


def _shape(sizes: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in sizes)}]"


def _read_rows(manifest: LoadedManifest, outputs: Mapping[str, TensorSignature]) -> None:
    """Prepare rows, the first ones at least: the columns, the steps, the shapes and the labels must be right."""
    end = time.monotonic() + _SECONDS_TO_READ
    batched = {output.name for output in manifest.content.outputs if output.batch_dimension is not None}
    with RowPreparer(manifest, preprocessing=next(iter(manifest.preprocessing))) as preparer:
        for start in range(0, len(preparer.rows), _ROWS_AT_A_TIME):
            prepared = preparer.read(preparer.rows[start : start + _ROWS_AT_A_TIME])
            if prepared.failed:
                raise MlscopeError(f"row {prepared.failed[0].rows[0]}: {prepared.failed[0].message}")
            for bound in manifest.metrics:
                # Of an output without a batch, only a call tells the shape of a row.
                if bound.output in outputs and bound.output in batched:
                    _score_nothing(manifest, bound, outputs[bound.output], prepared.labels[bound.label])
            if time.monotonic() > end:
                break


def _score_nothing(manifest: LoadedManifest, bound: BoundMetric, output: TensorSignature, labels: NDArray[Any]) -> None:
    """Give a metric zeros of the output's shape and dtype, with true labels: that needs both to belong together."""
    steps = manifest.postprocessing[bound.output]
    sizes = (output.shape or [None])[1:]
    shipped = isinstance(bound.metric, SHIPPED_METRICS) and all(
        isinstance(s, SHIPPED_POSTPROCESSING_STEPS) for s in steps
    )
    if not shipped or output.shape is None or None in sizes or output.dtype not in _NUMBERS:
        return
    array = np.zeros((len(labels), *sizes), output.dtype)
    for step in steps:
        array = step.apply_batch(array)
    bound.metric.start().update(array, labels)
