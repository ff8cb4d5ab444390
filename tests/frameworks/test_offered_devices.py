"""What a framework says its build offers here, in the words of its ``framework.yml``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.frameworks.perceptron_models import BUILDERS


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_what_is_offered_is_what_loads(release: Callable[[str], Any], name: str) -> None:
    """A device that is offered must not be refused for its absence, nor one that is not offered be taken."""
    subject = release(name)
    offered = subject.predictor.devices()
    if offered is None:
        return
    assert subject.devices["cpu"] in offered
    for device in subject.devices.values():
        if device in offered:
            subject.load(device=device)
        else:
            with pytest.raises(Exception, match=r"(?i)no |finds|has no"):
                subject.load(device=device)
