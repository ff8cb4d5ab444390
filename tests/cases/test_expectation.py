"""Overrides of what must hold apply to the cases they name, the last one first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_mlscope.cases.expectation import expectation_for
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.schema.expectations import Bound


def test_overrides_apply_key_by_key(make: Callable[..., LoadedManifest]) -> None:
    manifest = make(
        ("a", "onnxruntime"),
        expect={
            "parity": {"reference": "onnxruntime", "abs": 1e-4, "rel": 1e-3},
            "latency": {"p50": "5 ms", "p90": "6 ms"},
            "throughput": {"min": 10, "max": 99},
            "load_time": "2 s",
        },
        expect_overrides=[
            {"when": {"framework": "a"}, "latency": {"p50": "7 ms", "p90": "9 ms"}, "throughput": {"min": 5}},
            {"when": {"framework": "a", "batch_size": 8}, "latency": {"p50": None}, "load_time": None},
            {"when": {"batch_size": 8}, "parity": {"max": 0.5}, "peak_memory": "1 GB"},
        ],
        matrix={"batch_size": [1, 8]},
    )
    a1, a8, o1, o8 = (expectation_for(manifest.content, case) for case in expand(manifest))
    assert o1 == manifest.content.expect
    assert a1.latency is not None
    assert (a1.latency.p50, a1.latency.p90) == pytest.approx((7e-3, 9e-3))
    assert a1.throughput == Bound(min=5, max=99)
    assert a8.latency is not None
    assert a8.latency.p50 is None
    assert a8.latency.p90 == pytest.approx(9e-3)
    assert (a8.load_time, a8.peak_memory) == (None, 10**9)
    assert o8.parity is not None
    assert (o8.parity.abs, o8.parity.rel) == (0.5, 1e-3)
    assert o8.latency == manifest.content.expect.latency


def test_accuracy_bounds_are_overridden_by_metric() -> None:
    from pytest_mlscope.manifest.overrides import overridden
    from pytest_mlscope.manifest.schema.expectations import Expectation, ExpectationOverride
    from pytest_mlscope.manifest.schema.matrix import CaseSelector

    base = Expectation(accuracy={"top1": Bound(min=0.9), "top5": Bound(min=0.99)})
    override = ExpectationOverride(
        when=CaseSelector(threads=1), accuracy={"top1": Bound(max=0.95), "f1": Bound(min=0.5)}
    )
    assert overridden(base, override).accuracy == {
        "top1": Bound(min=0.9, max=0.95),
        "top5": Bound(min=0.99),
        "f1": Bound(min=0.5),
    }
