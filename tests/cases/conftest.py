from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.hardware import HardwareTarget
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.components.recognition import AlwaysPresent
from pytest_mlscope.components.registry import Registry
from pytest_mlscope.kinds.shipped import SHIPPED_MEASUREMENTS
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.measurements.latency.scenarios import SHIPPED_SCENARIOS

FILES = {"model": {"path": "m"}}
PRECISIONS = ["fp32", "fp16", "bf16", "int8", "framework_default"]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Four frameworks that can run anything on three hardware targets, and one that is not good at much."""
    folder = tmp_path_factory.mktemp("frameworks")
    targets = ("cpu", "cuda", "npu")
    frameworks = {}
    for name in ("a", "a-b", "b", "onnxruntime", "modest"):
        (folder / name).mkdir()
        description: dict[str, Any] = {
            "schema": 1,
            "name": name,
            "description": name,
            "devices": dict.fromkeys(targets, "device"),
            "precisions": dict.fromkeys(targets, PRECISIONS),
        }
        if name == "modest":
            description |= {"devices": {"cpu": "device"}, "precisions": {"cpu": ["fp32", "bf16"]}}
        (folder / name / "framework.yml").write_text(yaml.safe_dump(description), "utf-8")
        frameworks[name] = FrameworkFolder(folder / name)
    return Registry(
        measurements={each.name: each for each in SHIPPED_MEASUREMENTS},
        scenarios={scenario.name: scenario for scenario in SHIPPED_SCENARIOS},
        frameworks=frameworks,
        hardware_targets=HardwareTargets(
            {
                name: HardwareTarget(name=name, description=name, recognise=AlwaysPresent(rule="always"))
                for name in targets
            }
        ),
    )


@pytest.fixture(scope="session")
def make(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadedManifest]:
    """A manifest of the given frameworks and further sections."""
    path = tmp_path_factory.mktemp("manifests") / "model.mlscope.yml"

    def make(
        frameworks: tuple[str, ...] = ("onnxruntime",), versions: Mapping[str, Any] | None = None, **sections: Any
    ) -> LoadedManifest:
        document: dict[str, Any] = {
            "schema": 1,
            "name": "model",
            "version": "1",
            "task": "classification",
            "frameworks": {name: {"version": (versions or {}).get(name), "files": FILES} for name in frameworks},
            "inputs": [{"name": "x", "shape": ["batch", 4]}],
            "outputs": [{"name": "y"}],
            **sections,
        }
        path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return load_manifest(path, registry)

    return make
