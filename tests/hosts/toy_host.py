"""A framework that doubles its input, or misbehaves as it is told, and what its host is asked."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent, indent

import numpy as np

from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.hosts.load_requests import LoadRequest
from pytest_mlscope.hosts.replies import Loaded, Predicted
from pytest_mlscope.hosts.timing_replies import Measured

FRAMEWORK = """\
schema: 1
name: toy
description: Doubles its input, or misbehaves
devices: {{cpu: cpu}}
precisions: {{cpu: [fp32]}}
thread_scope: {thread_scope}
"""


PREDICTOR = """\
import ctypes, os, sys, time
from pytest_mlscope.host.predictor import LoadedModel, Predictor, Unsupported

class Model(LoadedModel):
    resolved = {{"precision": "fp32", "threads": 1}}

    def predict(self, inputs):
        x = inputs["x"]
{predict}
        return {{"y": x * 2}}

class FrameworkPredictor(Predictor):
    def version(self):
        return "1.2.3"

    def load(self, request):
{load}
        return Model()
"""


MakeEnvironment = Callable[..., Environment]


LOAD = LoadRequest(files={}, device="cpu", precision="fp32", threads=1, batch_size=1, inputs=(), outputs=(), options={})


def load(host: HostClient) -> Loaded:
    return host.load(LOAD, timeout=30.0)


def predict(
    host: HostClient, rows: int = 4, *, timeout: float = 30.0, batch_size: int = 2, pad: bool = False
) -> Predicted:
    x = np.arange(rows, dtype=np.float32)
    return host.predict({"x": x}, batch_size=batch_size, pad=pad, timeout=timeout)


def measure(host: HostClient, *, seconds: float = 0.02, relative_error: float = 0.5) -> Measured:
    x = np.ones(2, np.float32)
    return host.measure(
        {"x": x}, batch_size=2, budget=seconds, relative_error=relative_error, warmup_budget=seconds, timeout=30
    )


Start = Callable[..., HostClient]


ANSWER = """\
import json, pytest_mlscope.host.server as server
if not hasattr(sys, "answer"):
    sys.answer = server._answer
def wrong(replies, reply):
{body}
server._answer = wrong
"""


def answering(body: str) -> str:
    """A predictor's code after which the host answers with something else."""
    return ANSWER.format(body=indent(dedent(body), "    "))
