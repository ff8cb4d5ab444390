"""Loading a manifest, or saying everything that is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pytest_mlscope.components import Registry
from pytest_mlscope.documents import Mistake, Position, placed, read_bytes, read_source, render, source_mistakes
from pytest_mlscope.errors import ManifestError, MlscopeError
from pytest_mlscope.manifest.check_components import make_dataset, make_metrics, make_postprocessing, make_preprocessing
from pytest_mlscope.manifest.check_expectations import check_expectations
from pytest_mlscope.manifest.check_frameworks import check_frameworks
from pytest_mlscope.manifest.check_further_bounds import check_further_bounds
from pytest_mlscope.manifest.check_gate import check_gate
from pytest_mlscope.manifest.check_matrix import check_matrix, check_overrides
from pytest_mlscope.manifest.check_scenarios import make_scenarios
from pytest_mlscope.manifest.check_tensors import check_tensors
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.further_bounds import without_further_bounds
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.partial import PartialManifest

SUFFIX = ".mlscope.yml"


def _read(path: Path) -> bytes:
    name = path.name
    if not name.endswith(SUFFIX) or name == SUFFIX:
        message = f"the file is called {name!r}; allowed: NAME{SUFFIX}"
        raise ManifestError(render(path, [Mistake(Position(1, 1), message)]))
    try:
        return read_bytes(path)
    except MlscopeError as error:
        raise ManifestError(str(error)) from None


def load_manifest(path: Path, registry: Registry) -> LoadedManifest:
    """Read and check a manifest, and make the components it names.

    :param path: the file, called ``NAME.mlscope.yml``; messages show it as it is given.
    :raises ManifestError: with one line for each mistake in the file.
    """
    raw = _read(path)
    source = read_source(raw)
    mistakes = source_mistakes(source)
    if not isinstance(source.data, dict):
        raise ManifestError(render(path, mistakes))
    data, further_bounds = without_further_bounds(source.data, registry)
    partial = PartialManifest(data, {mistake.path for mistake in source.mistakes if mistake.path is not None})
    mistakes += placed(source, partial.mistakes)
    findings = Findings(source, partial, registry, further_bounds)
    check_frameworks(findings)
    labels = check_tensors(findings, path.parent)
    preprocessing = make_preprocessing(findings)
    postprocessing = make_postprocessing(findings)
    dataset = make_dataset(findings)
    metrics = make_metrics(findings, postprocessing)
    check_matrix(findings)
    check_overrides(findings)
    scenarios = make_scenarios(findings)
    check_further_bounds(findings)
    check_expectations(findings)
    check_gate(findings)
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
        scenarios=scenarios,
        further_bounds=further_bounds,
    )
