"""Layers: the framework's own profile of the model, with latency where it is asked for."""

from __future__ import annotations

from pytest_mlscope.components import Measurement
from pytest_mlscope.measurements import Context, LayerProfile


class LayersMeasurement(Measurement):
    """The model layer by layer. ``--mlscope-layers`` asks for it: manifests have no tests of it."""

    name = "layers"
    times = True
    has_tests = False

    def evaluate(self, context: Context) -> LayerProfile:
        return context.evaluator.layers(context.plan)
