"""Every shipped folder keeps what predictors promise, in whatever environment it has here."""

from __future__ import annotations

import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.conformance import check
from tests.frameworks.hosted import environment_or_skip
from tests.frameworks.perceptron_models import FRAMEWORKS

NAMES = sorted(path.parent.name for path in FRAMEWORKS.glob("*/framework.yml"))


@pytest.mark.frameworks
@pytest.mark.parametrize("name", NAMES)
def test_the_framework_keeps_its_promises(name: str) -> None:
    folder = FrameworkFolder(FRAMEWORKS / name)
    environment_or_skip(folder)
    faults = [finding for finding in check(folder.path, project=FRAMEWORKS.parent) if finding.status == "fault"]
    assert not faults, "\n".join(f"{finding.name}: {finding.reason}" for finding in faults)
