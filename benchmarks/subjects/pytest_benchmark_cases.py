"""pytest-benchmark on ``session.run``; the environment variable CASES says how many times over."""

from __future__ import annotations

import os
from typing import Any

import pytest

from benchmarks.subjects.digits_session import image, session


@pytest.fixture(scope="module")
def warm_session() -> Any:
    # pytest-benchmark plans its rounds by its first calls: cold ones, ten times slower, would give it a tenth of them.
    model = session()
    feed = {"image": image()}
    for _ in range(2000):
        model.run(None, feed)
    return model


@pytest.mark.parametrize("case", range(int(os.environ.get("CASES", "1"))))
def test_session_run(benchmark: Any, warm_session: Any, case: int) -> None:
    benchmark(warm_session.run, None, {"image": image()})
