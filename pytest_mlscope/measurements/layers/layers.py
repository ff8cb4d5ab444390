"""The per-layer profile of a case's model, by its framework's own profiler."""

from __future__ import annotations

from pytest_mlscope.errors import NotSupported
from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.layers.result import LayerProfile, ProfiledLayer
from pytest_mlscope.measurements.rows.first_rows import first_rows

RUNS = 20
"""Predictions profiled, and timed unprofiled before."""

NONE = "this framework has no per-layer profile"


def profile_layers(ready: ReadyModel) -> LayerProfile:
    """Profile a batch of the case's size. What was profiled must be loaded anew before it is measured.

    A framework or model without a profile is no error: the result says why it is empty.

    :raises PredictorError: when the framework fails, or what its predictor returns is malformed.
    :raises DatasetError: when the inputs cannot be made.
    """
    # Not even tried: rows would be read and predicted only to hear what framework.yml says already.
    if not ready.environment.framework.description.layers:
        return LayerProfile(layers=(), runs=0, unprofiled_median=None, not_available=NONE)
    try:
        inputs = first_rows(ready, ready.case.batch_size)
        profile = ready.host.layers(inputs, runs=RUNS, timeout=ready.deadline)
    # Of this model or device alone; another model of the framework may have a profile.
    except NotSupported as error:
        return LayerProfile(layers=(), runs=0, unprofiled_median=None, not_available=error.detail)
    layers = tuple(
        ProfiledLayer(name=layer.name, kind=layer.kind, seconds=layer.seconds, shape=layer.shape, memory=layer.memory)
        for layer in profile.layers
    )
    return LayerProfile(layers=layers, runs=RUNS, unprofiled_median=profile.unprofiled_median)
