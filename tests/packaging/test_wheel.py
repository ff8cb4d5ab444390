"""The distributions hold what the product needs, and a wheel works by itself, far from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_mlscope

ROOT = Path(__file__).parents[2]
ASSETS = ("frameworks", "hardware", "reports", "model_suites/digits")


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints; fails the test with it when the command fails."""
    inherited = ("PYTHON", "PYTEST", "MLSCOPE", "COV_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    variables |= {"MLSCOPE_HOME": str(folder / "home"), "COLUMNS": "100"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def files_of(folder: str) -> Iterator[str]:
    listing = run("git", "ls-files", "-z", "--", folder, folder=ROOT) if (ROOT / ".git").exists() else None
    for path in listing.split("\0") if listing is not None else map(str, (ROOT / folder).rglob("*")):
        if path and (ROOT / path).is_file() and "__pycache__" not in path:
            yield str((ROOT / path).relative_to(ROOT))


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of the checkout, and a wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("distributions")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("*.whl")
    return wheel


def test_the_wheel_carries_every_shipped_asset(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"pytest_mlscope/assets/{path}" for kind in ASSETS for path in files_of(kind)}
    expected |= set(files_of("pytest_mlscope"))
    assert len(expected) > 100
    assert expected <= names
    assert {"pytest_mlscope/py.typed", "pytest_mlscope/manifest/manifest.schema.json"} <= names


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    """Neither what Python leaves beside its sources, nor tests, nor the larger suites."""
    shipped = ("pytest_mlscope/", f"pytest_mlscope-{pytest_mlscope.__version__}.dist-info/")
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    strays = [
        name
        for name in names
        if not name.startswith(shipped) or "__pycache__" in name or name.endswith((".pyc", "~", ".part"))
    ]
    assert not strays
    suites = {name.split("/")[3] for name in names if name.startswith("pytest_mlscope/assets/model_suites/")}
    assert suites == {"digits"}


def test_the_sdist_has_all_that_is_committed(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(files_of(".")) <= names


@pytest.mark.installs
def test_an_installed_wheel_evaluates_the_digits_suite(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment, in a folder that has nothing: the way of a user who has never seen the repository.

    Takes the registry that pip is configured for, and most of a minute.
    """
    python = tmp_path / "environment" / "bin" / "python"
    run(sys.executable, "-m", "venv", tmp_path / "environment", folder=tmp_path)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, folder=tmp_path)
    mlscope = python.with_name("mlscope")

    where = run(python, "-c", "import pytest_mlscope; print(pytest_mlscope.__file__)", folder=tmp_path)
    assert where.startswith(str(tmp_path)), "the checkout is in the way"
    shipped = Path(run(mlscope, "suite", "path", "digits", folder=tmp_path).strip())
    assert shipped.is_relative_to(tmp_path / "environment")
    run(mlscope, "suite", "copy", "digits", "digits", folder=tmp_path)

    for suite in (shipped, tmp_path / "digits"):
        output = run(python, "-m", "pytest", "--mlscope", suite, "-k", "not latency", folder=tmp_path)
        lines = [line.split() for line in output.splitlines()]
        accuracies = [fields for fields in lines if fields[:1] == ["onnxruntime"] and "0.9844" in fields]
        assert accuracies, output
        assert all(fields[-1] == "passed" for fields in accuracies)
        assert "mlscope env create pytorch" in output
