"""Every shipped folder keeps what predictors promise, in whatever environment it has here."""

from __future__ import annotations

import pytest

from pytest_mlscope.agent.cache import cache_home
from pytest_mlscope.agent.environment_search import find_environment
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.conformance import check
from pytest_mlscope.errors import CannotRun
from tests.frameworks.perceptron_models import FRAMEWORKS

NAMES = sorted(path.parent.name for path in FRAMEWORKS.glob("*/framework.yml"))


@pytest.mark.frameworks
@pytest.mark.parametrize("name", NAMES)
def test_the_framework_keeps_its_promises(name: str) -> None:
    folder = FrameworkFolder(FRAMEWORKS / name)
    try:
        find_environment(folder, home=cache_home())
    except CannotRun as missing:
        # One that can be made is missing; one that cannot be is this machine's affair.
        pytest.skip(str(missing) if missing.command else f"this machine cannot run it: {missing}")
    faults = [finding for finding in check(folder.path, project=FRAMEWORKS.parent) if finding.status == "fault"]
    assert not faults, "\n".join(f"{finding.name}: {finding.reason}" for finding in faults)
