"""ONNX Runtime's execution providers as devices. The CPU build has one beside the CPU's own that runs no local node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.predictor import Unsupported

OTHER = "AzureExecutionProvider"


@pytest.fixture
def subject(release: Callable[[str], Any]) -> Any:
    return release("onnxruntime")


@pytest.fixture
def partial(subject: Any) -> Any:
    if OTHER not in subject.predictor.devices():
        pytest.skip(f"this machine's ONNX Runtime has no {OTHER}")
    return subject


def test_the_build_says_which_devices_it_offers(subject: Any) -> None:
    assert "CPUExecutionProvider" in subject.predictor.devices()
    assert "NoSuchExecutionProvider" not in subject.predictor.devices()


def test_nodes_left_to_the_cpu_are_refused_unless_that_was_asked_for(partial: Any, batch: Any, perceptron: Any) -> None:
    with pytest.raises(Unsupported, match=f"{OTHER} cannot run every node of .*; option cpu_fallback: true lets"):
        partial.load(device=OTHER, precision="framework_default")
    model = partial.load(device=OTHER, precision="framework_default", options={"cpu_fallback": True})
    assert model.resolved["provider"] == OTHER
    np.testing.assert_allclose(model.predict({"features": batch(2)})["scores"], perceptron(batch(2)), atol=1e-4)


def test_provider_options_are_names_and_values(subject: Any) -> None:
    with pytest.raises(ValueError, match="option provider_options: 'fast' is not NAME=VALUE"):
        subject.load(options={"provider_options": "a=b; fast"})


def test_provider_options_reach_the_provider(subject: Any) -> None:
    """ONNX Runtime hands them over, and gives back what a provider understood: the CPU's takes none."""
    module = subject.module
    assert module._provider_options({"provider_options": "device_type=HETERO:GPU,CPU; precision=FP32;"}) == {
        "device_type": "HETERO:GPU,CPU",
        "precision": "FP32",
    }
    assert module._provider_options({}) == {}
