"""Loading a manifest, or saying everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pytest_mlscope.components.registry import Registry
from pytest_mlscope.errors import ManifestError
from pytest_mlscope.manifest.check_components import make_dataset, make_metrics, make_postprocessing, make_preprocessing
from pytest_mlscope.manifest.check_expectations import check_expectations
from pytest_mlscope.manifest.check_frameworks import check_frameworks
from pytest_mlscope.manifest.check_matrix import check_matrix, check_overrides
from pytest_mlscope.manifest.check_tensors import check_tensors
from pytest_mlscope.manifest.diagnostics import Mistake, found, render
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.partial import PartialManifest
from pytest_mlscope.manifest.source import MAX_BYTES, Position, Source, read_source

SUFFIX = ".mlscope.yml"
_START = Position(1, 1)


def _read(path: Path) -> bytes:
    name = path.name
    if not name.endswith(SUFFIX) or name == SUFFIX:
        raise ManifestError(render(path, [Mistake(_START, f"the file is called {name!r}; allowed: NAME{SUFFIX}")]))
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise ManifestError(render(path, [Mistake(_START, message)])) from None


def _schema_mistakes(source: Source, partial: PartialManifest) -> Iterable[Mistake]:
    for path, message, kind, *_ in partial.mistakes:
        if kind == "unknown key":
            yield Mistake(source.key_position(path), message)
        else:
            yield Mistake(source.position(path[:-1] if kind == "missing" else path), message)


def load_manifest(path: Path, registry: Registry) -> LoadedManifest:
    """Read and check a manifest, and make the components it names.

    :param path: the file, called ``NAME.mlscope.yml``; messages show it as it is given.
    :raises ManifestError: with one line for each mistake in the file.
    """
    raw = _read(path)
    source = read_source(raw)
    mistakes = [Mistake(mistake.position, mistake.message) for mistake in source.mistakes]
    if source.readable and not isinstance(source.data, dict):
        message = f"the manifest is {found(source.data)}; allowed: a mapping with the key 'schema' and others"
        mistakes.append(Mistake(source.position(()), message))
    if not source.readable or not isinstance(source.data, dict):
        raise ManifestError(render(path, mistakes))
    partial = PartialManifest(source.data, {mistake.path for mistake in source.mistakes if mistake.path is not None})
    mistakes += _schema_mistakes(source, partial)
    findings = Findings(source, partial, registry)
    check_frameworks(findings)
    labels = check_tensors(findings, path.parent)
    preprocessing = make_preprocessing(findings)
    postprocessing = make_postprocessing(findings)
    dataset = make_dataset(findings)
    metrics = make_metrics(findings)
    check_matrix(findings)
    check_overrides(findings)
    check_expectations(findings)
    mistakes += findings.mistakes
    if mistakes:
        raise ManifestError(render(path, mistakes))
    return LoadedManifest(
        path=path,
        sha256=hashlib.sha256(raw).hexdigest(),
        content=partial.content,
        registry=registry,
        dataset=dataset,
        metrics=metrics,
        preprocessing=preprocessing,
        postprocessing=postprocessing,
        labels=labels,
    )
