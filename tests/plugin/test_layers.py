"""Per-layer profiles: asked for, kept in the JSON report, and never what a later measurement is made on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_mlscope
from pytest_mlscope.errors import PredictorError
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
LAYERS = pytest_mlscope.EvaluationSettings(layers=True)

HONEST = """
    import time
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        self.predict(inputs)
        times.append(time.perf_counter() - began)
    median = sorted(times)[len(times) // 2]
    return [Layer("product", "MatMul", median, [len(inputs["features"]), 3], 12), Layer("end", "Identity", None)]
"""


def with_layers(suite: Suite, body: str, *, claimed: str = "layers: true\n", name: str = "toy") -> None:
    folder = suite.framework(name)
    with (folder / "framework.yml").open("a") as description:
        description.write(claimed)
    with (folder / "predictor.py").open("a") as predictor:
        predictor.write(
            "\nfrom pytest_mlscope.host.predictor import Layer\n"
            f"def layers(self, inputs, runs):\n{body}\n\nModel.layers = layers\n"
        )


def latency_records(folder: Path) -> list[dict[str, Any]]:
    report = json.loads((folder / "out.json").read_text())
    return [record for record in report["evaluations"] if record["kind"] == "latency"]


@pytest.mark.slow
def test_layers_are_in_the_json_report_of_latency_cases_alone(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    with_layers(suite, HONEST)
    suite.manifest(matrix="{batch_size: [1, 8]}")
    result = run("--mlscope-layers", "--mlscope-json", "out.json")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*layers: 4, in JSON*"])
    for record, size in zip(latency_records(pytester.path), (1, 8), strict=True):
        profile = record["layers"]
        product, end = profile["layers"]
        assert (product["name"], product["kind"], product["shape"], product["memory"]) == (
            "product",
            "MatMul",
            [size, 3],
            12,
        )
        assert end == {"name": "end", "kind": "Identity", "seconds": None, "shape": None, "memory": None}
        assert profile["seconds"] == product["seconds"] > 0
        assert profile["explained"] == pytest.approx(profile["seconds"] / profile["unprofiled_median"])
        assert profile["not_available"] is None
    report = json.loads((pytester.path / "out.json").read_text())
    assert all(record["layers"] is None for record in report["evaluations"] if record["kind"] == "accuracy")


def test_nothing_is_profiled_unless_it_is_asked_for(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    with_layers(suite, "    raise RuntimeError('profiled')")
    suite.manifest()
    run("--mlscope-json", "out.json").assert_outcomes(passed=2)
    assert latency_records(pytester.path)[0]["layers"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "claimed", "reason"),
    [
        ("    return []", "", "this framework has no per-layer profile"),
        ("    raise Unsupported('not for this graph')", "layers: true\n", "not for this graph"),
    ],
    ids=["not claimed", "unsupported"],
)
def test_a_framework_without_a_profile_says_so_and_its_case_passes(
    suite: Suite, run: Run, pytester: pytest.Pytester, body: str, claimed: str, reason: str
) -> None:
    with_layers(suite, body, claimed=claimed)
    suite.manifest()
    result = run("--mlscope-layers", "--mlscope-json", "out.json")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"*layers: toy: {reason} (1 case)*"])
    profile = latency_records(pytester.path)[0]["layers"]
    assert profile["not_available"] == reason
    assert profile["layers"] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("None", "layers returned None; it must return a list of Layer"),
        ("[]", "layers returned no layer"),
        ("['conv']", "an object of type str as layer 0"),
        ("[Layer('a', 'Conv', 0.0)]", "layer 0: its seconds are 0.0; they must be a positive number"),
        ("[Layer('a', 'Conv', float('nan'))]", "layer 0: its seconds are nan"),
        ("[Layer('a', 'Conv', None), Layer('', 'Conv', 1.0)]", "layer 1: its name is ''"),
        ("[Layer('a', None, 1.0)]", "layer 0: its kind is None"),
        ("[Layer('a', 'Conv', 1.0, [2, None])]", "layer 0: its shape is [2, None]"),
        ("[Layer('a', 'Conv', 1.0, [2], 1.5)]", "layer 0: its memory is 1.5"),
    ],
)
def test_a_malformed_profile_fails_the_case_with_one_line(suite: Suite, body: str, message: str) -> None:
    with_layers(suite, f"    return {body}")
    with pytest.raises(PredictorError) as error:
        pytest_mlscope.evaluate(suite.manifest(), kinds=["latency"], settings=LAYERS)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_profiled_model_is_loaded_anew_before_it_is_measured(suite: Suite, run: Run) -> None:
    """What profiling switched on, the next measurement must not see."""
    with_layers(suite, "    self.profiled = True\n    return [Layer('a', 'Conv', 1.0)]")
    folder = suite.folder / "frameworks" / "toy" / "predictor.py"
    folder.write_text(
        folder.read_text().replace("x = inputs", "assert not hasattr(self, 'profiled')\n        x = inputs")
    )
    suite.manifest(matrix="{batch_size: [1, 8]}")
    run("--mlscope-layers").assert_outcomes(passed=4)


def test_evaluate_profiles_on_request(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    with_layers(suite, HONEST)
    manifest = suite.manifest()
    monkeypatch.chdir(suite.folder)
    assert pytest_mlscope.evaluate(manifest, kinds=["latency"]).layers is None
    profile = pytest_mlscope.evaluate(manifest, kinds=["latency"], settings=LAYERS).layers
    assert profile is not None
    assert [layer.name for layer in profile.layers] == ["product", "end"]
    assert profile.runs > 0
