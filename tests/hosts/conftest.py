"""A toy framework, and hosts that end with the test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.hosts.client import HostClient
from tests.hosts.toy_host import FRAMEWORK, PREDICTOR, MakeEnvironment


@pytest.fixture
def toy(tmp_path: Path) -> MakeEnvironment:
    def make(*, predict: str = "pass", load: str = "pass", thread_scope: str = "model") -> Environment:
        folder = tmp_path / "toy"
        folder.mkdir(exist_ok=True)
        (folder / "framework.yml").write_text(FRAMEWORK.format(thread_scope=thread_scope))
        source = PREDICTOR.format(predict=indent(dedent(predict), " " * 8), load=indent(dedent(load), " " * 8))
        (folder / "predictor.py").write_text(source)
        return Environment(
            framework=FrameworkFolder(folder),
            python=Path(sys.executable),
            version="1.2.3",
            kind="current",
            lock_hash=None,
        )

    return make


@pytest.fixture
def start() -> Iterator[Callable[..., HostClient]]:
    hosts: list[HostClient] = []

    def started(environment: Environment, *, threads: int | None = None, timeout: float = 60.0) -> HostClient:
        hosts.append(HostClient(environment, threads=threads, timeout=timeout))
        return hosts[-1]

    yield started
    for host in hosts:
        host.kill()
