"""What the shipped suites consist of is complete, unaltered and small."""

from __future__ import annotations

import hashlib
import textwrap
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pytest_mlscope.components import shipped
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.components.registry import Registry
from pytest_mlscope.kinds.shipped import SHIPPED_MEASUREMENTS
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.measurements.latency.scenarios import SHIPPED_SCENARIOS

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = REPOSITORY / "model_suites"
MANIFESTS = sorted(SUITES.rglob("*.mlscope.yml"))
IDS = [path.name.removesuffix(".mlscope.yml") for path in MANIFESTS]
CLASS_NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
FIRST_HELDOUT_ROW = 1347


@pytest.fixture(scope="module")
def registry() -> Registry:
    folders = [FrameworkFolder(path.parent) for path in (REPOSITORY / "frameworks").glob("*/framework.yml")]
    return Registry(
        measurements={each.name: each for each in SHIPPED_MEASUREMENTS},
        scenarios={scenario.name: scenario for scenario in SHIPPED_SCENARIOS},
        frameworks={folder.name: folder for folder in folders},
        hardware_targets=HardwareTargets(
            {target.name: target for target in shipped.pytest_mlscope_register_hardware_targets(project=REPOSITORY)}
        ),
        datasets={kind.name: kind for kind in shipped.pytest_mlscope_register_datasets()},
        metrics={kind.name: kind for kind in shipped.pytest_mlscope_register_metrics()},
        preprocessing_steps={kind.name: kind for kind in shipped.pytest_mlscope_register_preprocessing_steps()},
        postprocessing_steps={kind.name: kind for kind in shipped.pytest_mlscope_register_postprocessing_steps()},
    )


def _stated_files(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "path" in node and "sha256" in node:
            yield node
        for value in node.values():
            yield from _stated_files(value)


def _locate(path: str, folder: Path) -> Path:
    if not path.startswith("package://"):
        return folder / path
    package, _, inside = path.removeprefix("package://").partition("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / inside


def test_there_are_thirteen_manifests() -> None:
    assert len(MANIFESTS) == 13


@pytest.mark.parametrize("path", MANIFESTS, ids=IDS)
def test_manifest_loads_with_the_shipped_components(path: Path, registry: Registry) -> None:
    assert load_manifest(path, registry).content.frameworks


@pytest.mark.parametrize("path", MANIFESTS, ids=IDS)
def test_files_are_what_the_manifest_says(path: Path) -> None:
    """The nine classics' graphs come from the onnx package: a release that changes one shows here first."""
    stated = list(_stated_files(yaml.safe_load(path.read_text("utf-8"))))
    assert stated
    for entry in stated:
        content = _locate(entry["path"], path.parent).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], entry["path"]
        assert len(content) == entry.get("size", len(content)), entry["path"]


def test_assets_are_small() -> None:
    """A clone and a wheel stay light: no file of 1 MB, no suite of 1.5 MB."""
    for suite in (path for path in SUITES.iterdir() if path.is_dir()):
        sizes = [path.stat().st_size for path in suite.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert max(sizes) < 1_000_000, suite.name
        assert sum(sizes) < 1_500_000, suite.name


def test_heldout_rows_are_scikit_learns() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    with np.load(SUITES / "digits" / "digits-heldout.npz", allow_pickle=False) as heldout:
        assert heldout["images"].dtype == np.uint8
        assert heldout["labels"].dtype == np.int64
        np.testing.assert_array_equal(heldout["images"], digits.images[FIRST_HELDOUT_ROW:])
        np.testing.assert_array_equal(heldout["labels"], digits.target[FIRST_HELDOUT_ROW:])


def test_assets_hold_no_path_of_the_machine_that_made_them() -> None:
    """torch.export keeps source locations unless told not to."""
    for name in ("digits.pt2", "digits-savedmodel.zip"):
        with zipfile.ZipFile(SUITES / "digits" / name) as archive:
            for member in archive.namelist():
                assert b"make_digits" not in archive.read(member), f"{name}: {member}"


def test_image_folder_holds_every_heldout_row_once() -> None:
    images = SUITES / "preprocessing" / "images"
    assert sorted(path.name for path in images.iterdir()) == sorted(CLASS_NAMES)
    rows = sorted(int(path.stem) for path in images.glob("*/*.jpg"))
    assert rows == list(range(FIRST_HELDOUT_ROW, FIRST_HELDOUT_ROW + 450))


def test_image_folder_files_each_row_under_its_class() -> None:
    with np.load(SUITES / "digits" / "digits-heldout.npz", allow_pickle=False) as heldout:
        labels = heldout["labels"]
    for path in (SUITES / "preprocessing" / "images").glob("*/*.jpg"):
        assert path.parent.name == CLASS_NAMES[labels[int(path.stem) - FIRST_HELDOUT_ROW]], path.name


def test_photographs_are_64_by_64_rgb_jpegs() -> None:
    image = pytest.importorskip("PIL.Image")
    for path in (SUITES / "preprocessing" / "images").glob("*/*.jpg"):
        with image.open(path) as photograph:
            assert (photograph.format, photograph.size, photograph.mode) == ("JPEG", (64, 64), "RGB"), path.name


def test_every_preprocessing_variant_differs_from_the_stated_recipe(registry: Registry) -> None:
    manifest = load_manifest(SUITES / "preprocessing" / "digits-jpeg.mlscope.yml", registry)
    recipes = [inputs["image"] for inputs in manifest.preprocessing.values()]
    assert len(recipes) >= 9
    assert all(recipe != other for number, recipe in enumerate(recipes) for other in recipes[:number])


def test_the_documented_manifest_loads(registry: Registry, tmp_path: Path) -> None:
    """The example under "Add a suite" is one to copy."""
    text = (REPOSITORY / "docs" / "suites.md").read_text("utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    path = tmp_path / "iris.mlscope.yml"
    path.write_text(textwrap.dedent(example), "utf-8")
    assert load_manifest(path, registry).content.name == "iris-classifier"
