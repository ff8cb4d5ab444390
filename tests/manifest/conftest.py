from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mlscope.components.registry import Registry
from pytest_mlscope.errors import ManifestError
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.manifest.loaded import LoadedManifest
from tests.manifest import manifest_samples


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return manifest_samples.make_registry(tmp_path_factory.mktemp("frameworks"))


@pytest.fixture
def load(registry: Registry, tmp_path: Path) -> Callable[[str], LoadedManifest]:
    """Load a manifest from its text."""

    def load(text: str) -> LoadedManifest:
        path = tmp_path / "model.mlscope.yml"
        path.write_text(text, "utf-8")
        return load_manifest(path, registry)

    return load


@pytest.fixture
def mistakes(load: Callable[[str], LoadedManifest], tmp_path: Path) -> Callable[[str], list[str]]:
    """The mistakes in a manifest's text, as ``line:column: message``; none for a valid one."""

    def mistakes(text: str) -> list[str]:
        try:
            load(text)
        except ManifestError as error:
            prefix = f"{tmp_path / 'model.mlscope.yml'}:"
            lines = str(error).split("\n")
            assert all(line.startswith(prefix) for line in lines)
            return [line.removeprefix(prefix) for line in lines]
        return []

    return mistakes
