"""Fixtures of a cache, a package index and a framework, all in a temporary folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from tests.environments.toy_framework import MakeFramework, write_wheel


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty cache."""
    return tmp_path / "home"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only place that pip and uv may install from; it has ``toyframework`` and ``numpy``."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    write_wheel(folder, "toyframework", "1.5.0", "__version__ = '1.5.0'")
    write_wheel(folder, "numpy", "2.0.0", "__version__ = '2.0.0'")
    # uv prefers its own variables to pip's, and whoever runs the tests may have told both.
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return folder


@pytest.fixture
def make_framework(tmp_path: Path) -> MakeFramework:
    """Write a framework folder."""

    def make(
        *,
        name: str = "toy",
        distributions: str = "[toyframework]",
        version: str = "*",
        python: str = ">=3.11",
        lock: str | None = "numpy==2.0.0\ntoyframework==1.5.0\n",
        more: str = "",
        root: Path = tmp_path / "frameworks",
    ) -> FrameworkFolder:
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "framework.yml").write_text(
            f"schema: 1\nname: {name}\ndescription: a toy\ndistributions: {distributions}\nversion: '{version}'\n"
            f"python: '{python}'\ndevices: {{cpu: CPU}}\nprecisions: {{cpu: [fp32]}}\n{more}",
            "utf-8",
        )
        if lock is not None:
            (folder / "requirements.lock").write_text(lock, "utf-8")
        return FrameworkFolder(folder)

    return make
