"""What a measurement of one's own may ask of a loaded model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.registry import build_registry
from pytest_mlscope.hosts.model_loader import ModelLoader
from pytest_mlscope.kinds.plugins import plugin_manager
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.settings import Settings
from tests.plugin.linear_suite import Suite


def test_a_ready_model_predicts_and_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = Suite(tmp_path)
    suite.framework("toy", predict="if x[0, 0] == 7: raise ValueError('seven')")
    manifest = load_manifest(suite.manifest(), build_registry(plugin_manager().hook, project=tmp_path))
    (case,) = expand(manifest)
    loader = ModelLoader(Settings(home=tmp_path / "home", timeout=60))
    try:
        ready = loader.ready(Plan.of(manifest, case))
        rows = {"features": np.array([[1, 0, 0, 0], [7, 0, 0, 0], [0, 1, 0, 0]], np.float32)}
        prediction = ready.predict(rows)
        scores = {part.rows.start: part.outputs["scores"] for part in prediction.parts}
        assert scores.keys() == {0, 2}
        np.testing.assert_allclose(np.concatenate(list(scores.values())), np.load(tmp_path / "weights.npy")[:2])
        failed = [(batch.start, batch.stop, batch.message) for batch in prediction.errors]
        assert failed == [(1, 2, "ValueError: seven")]
        one = {name: array[:1] for name, array in rows.items()}
        measured = ready.measure(ready.framework_inputs(one), budget=0.02, relative_error=0.5, warmup_budget=0.02)
        assert measured.samples_ns.min() > 0
        np.testing.assert_array_equal(measured.timed_path.bound["scores"], scores[0])
    finally:
        loader.close()
