"""pytest-benchmark on ``session.run``; the environment variable CASES says how many times over."""

from __future__ import annotations

import os
from typing import Any

import pytest

from benchmarks.subjects.digits_session import image, session


@pytest.mark.parametrize("case", range(int(os.environ.get("CASES", "1"))))
def test_session_run(benchmark: Any, case: int) -> None:
    benchmark(session().run, None, {"image": image()})
