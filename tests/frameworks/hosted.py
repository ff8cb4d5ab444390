"""A predictor in its provisioned environment, for frameworks whose Python is not the tests' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.environments.search import find_environment
from pytest_mlscope.environments.state import framework_state
from pytest_mlscope.errors import CannotRun, PredictorError
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.hosts.load_requests import InputTensor, LoadRequest
from pytest_mlscope.hosts.replies import Layer
from pytest_mlscope.hosts.timing_replies import Measured
from pytest_mlscope.machine.cache_folder import cache_home
from tests.frameworks.perceptron_models import FRAMEWORKS

DIGITS = Path(__file__).parents[2] / "model_suites" / "digits"
TIMEOUT = 120.0


def environment_or_skip(folder: FrameworkFolder) -> Environment:
    """Where the framework is; a skip says whether it is only missing, or cannot be had on this machine."""
    try:
        return find_environment(folder, home=cache_home())
    except CannotRun as missing:
        state = framework_state(folder, cache_home())
        cannot = f"this machine cannot run {folder.name}: {state.reason}"
        pytest.skip(cannot if state.status == "cannot" else str(missing))


class Hosted:
    """One framework's host."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        folder = FrameworkFolder(FRAMEWORKS / name)
        environment = environment_or_skip(folder)
        self.description = folder.description
        self.threads = threads
        self.host = HostClient(environment, threads=threads, timeout=TIMEOUT)

    def load(
        self,
        files: Mapping[str, Path],
        *,
        inputs: Sequence[tuple[str, str, Sequence[int | None]]],
        outputs: Sequence[str],
        precision: str = "fp32",
        batch_size: int = 1,
        device: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """What loading resolved to; raises what the host raises."""
        request = LoadRequest(
            files={role: str(path) for role, path in files.items()},
            device=device or self.description.devices["cpu"],
            precision=precision,
            threads=self.threads,
            batch_size=batch_size,
            inputs=tuple(InputTensor(name=name, dtype=dtype, shape=tuple(shape)) for name, dtype, shape in inputs),
            outputs=tuple(outputs),
            options=dict(options or {}),
        )
        return self.host.load(request, timeout=TIMEOUT).resolved

    def predict_tensors(
        self, tensors: Mapping[str, npt.NDArray[Any]], *, batch_size: int, pad: bool = False
    ) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name. :raises PredictorError: when a batch fails."""
        predicted = self.host.predict(tensors, batch_size=batch_size, pad=pad, timeout=TIMEOUT)
        if predicted.errors:
            raise PredictorError(str(predicted.errors))
        return {name: np.array(array) for name, array in predicted.tensors.items()}

    def measure(self, tensors: Mapping[str, npt.NDArray[Any]], *, batch_size: int, seconds: float = 0.01) -> Measured:
        """A short window of the timed path."""
        return self.host.measure(
            tensors,
            batch_size=batch_size,
            budget=seconds,
            relative_error=0.5,
            warmup_budget=seconds,
            timeout=TIMEOUT,
        )

    def profile(self, tensors: Mapping[str, npt.NDArray[Any]], *, runs: int) -> Sequence[Layer]:
        """The layers of a profile."""
        return self.host.layers(tensors, runs=runs, timeout=TIMEOUT).layers


def heldout() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The held-out digits as the model takes them, (450, 1, 8, 8) in 0…1, and their classes (450,)."""
    with np.load(DIGITS / "digits-heldout.npz") as data:
        return (data["images"].reshape(-1, 1, 8, 8) / 16).astype(np.float32), data["labels"]
