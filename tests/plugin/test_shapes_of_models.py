"""Models of other shapes than one image in and one score vector out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

Run = Callable[..., pytest.RunResult]

NAMES = ("short", "medium", "tall")

MANIFEST = """\
schema: 1
name: people
version: "1"
task: tabular
frameworks:
  onnxruntime:
    files: {model: {path: people.onnx}}
    input_names: {build: body}
inputs:
  - {name: build, dtype: float32, shape: [batch, 2], preprocess: [{step: cast, dtype: float32}]}
  - {name: age, dtype: int64, shape: [batch], preprocess: [{step: cast, dtype: int64}]}
outputs:
  - {name: size, shape: [batch, 3], labels: [short, medium, tall]}
  - {name: weight, shape: [batch]}
dataset:
  source: csv
  path: people.csv
  columns: {build: [height, girth]}
  dtypes: {age: int64, weight: float64}
metrics:
  - {metric: top1, output: size, label: size}
  - {metric: mean_absolute_error, output: weight, label: weight}
expect:
  accuracy: {top1: {min: 1}, mean_absolute_error: {max: 1.0e-4}}
measurement: {budget: 50 ms, warmup_budget: 50 ms}
matrix: {batch_size: [1, 7]}
"""


def two_headed_model(path: Path) -> None:
    """``size = body @ W`` and ``weight = sum(body) + age``."""
    weights = np.array([[-1, 0, 1], [0, 0.1, 0]], np.float32)
    nodes = [
        helper.make_node("MatMul", ["body", "weights"], ["size"]),
        helper.make_node("ReduceSum", ["body", "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["age"], ["years"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["sum", "years"], ["weight"]),
    ]
    graph = helper.make_graph(
        nodes,
        "people",
        [
            helper.make_tensor_value_info("body", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("age", TensorProto.INT64, ["n"]),
        ],
        [
            helper.make_tensor_value_info("size", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("weight", TensorProto.FLOAT, ["n"]),
        ],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [2, 3], weights.ravel()),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    save_model(model, path)


def test_several_inputs_and_outputs_each_with_their_column(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text labels of one output, target values of another, and an input that the file calls by another name."""
    monkeypatch.setenv("MLSCOPE_HOME", str(pytester.path / "home"))
    generator = np.random.default_rng(0)
    two_headed_model(pytester.path / "people.onnx")
    with (pytester.path / "people.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["height", "girth", "age", "size", "weight"])
        for _ in range(20):
            height, girth = (float(value) for value in generator.standard_normal(2).round(3))
            age = int(generator.integers(1, 90))
            size = NAMES[int(np.argmax([-height, 0.1 * girth, height]))]
            writer.writerow([height, girth, age, size, height + girth + age])
    pytester.makefile(".mlscope.yml", people=MANIFEST)
    result = run("--mlscope-json", "out.json")
    result.assert_outcomes(passed=4)
    evaluations = json.loads((pytester.path / "out.json").read_text())["evaluations"]
    metrics = [e["accuracy"]["metrics"] for e in evaluations if e["kind"] == "accuracy"]
    assert [m["top1"]["value"] for m in metrics] == [1.0, 1.0]
    assert all(m["mean_absolute_error"]["value"] < 1e-4 for m in metrics)


def test_a_model_that_takes_one_batch_size_gets_its_last_batch_filled_up(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 rows in batches of a fixed 7: no row is lost, none counted twice."""
    monkeypatch.setenv("MLSCOPE_HOME", str(pytester.path / "home"))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [7, 3])],
    )
    save_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), pytester.path / "same.onnx"
    )
    scores = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    np.savez(pytester.path / "rows.npz", x=scores, label=scores.argmax(axis=1))
    pytester.makefile(
        ".mlscope.yml",
        same="schema: 1\nname: same\nversion: '1'\ntask: t\n"
        "frameworks: {onnxruntime: {files: {model: {path: same.onnx}}}}\n"
        "inputs: [{name: x, shape: [7, 3]}]\noutputs: [{name: y}]\n"
        "dataset: {source: npz, path: rows.npz, label: label}\nmetrics: [top1]\n"
        "expect: {accuracy: {top1: {min: 1}}}\nmeasurement: {budget: 50 ms, warmup_budget: 50 ms}\n",
    )
    result = run("--mlscope-json", "out.json")
    result.assert_outcomes(passed=2)
    accuracy = json.loads((pytester.path / "out.json").read_text())["evaluations"][0]["accuracy"]
    assert accuracy["n"] == 20
    assert accuracy["predictions"]["rows"] == list(range(20))


def test_predictions_too_large_to_keep_are_left_out_and_it_is_said(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks of a dataset do not fit into memory; their metric does."""
    monkeypatch.setenv("MLSCOPE_HOME", str(pytester.path / "home"))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 80, 80])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 80, 80])],
    )
    save_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), pytester.path / "same.onnx"
    )
    masks = np.random.default_rng(0).standard_normal((6, 80, 80)).astype(np.float32)
    np.savez(pytester.path / "rows.npz", x=masks, label=masks)
    pytester.makefile(
        ".mlscope.yml",
        masks="schema: 1\nname: masks\nversion: '1'\ntask: t\nkinds: [accuracy]\n"
        "frameworks: {onnxruntime: {files: {model: {path: same.onnx}}}}\n"
        "inputs: [{name: x, shape: [n, 80, 80]}]\noutputs: [{name: y}]\n"
        "dataset: {source: npz, path: rows.npz, label: label}\nmetrics: [mean_absolute_error]\n"
        "expect: {accuracy: {mean_absolute_error: {max: 0}}}\n",
    )
    run("--mlscope-json", "out.json").assert_outcomes(passed=1)
    predictions = json.loads((pytester.path / "out.json").read_text())["evaluations"][0]["accuracy"]["predictions"]
    assert predictions["rows"] == list(range(6))
    assert predictions["predicted"] is None
    assert "4,096 elements a row" in predictions["omitted"]


def test_outputs_far_larger_than_inputs_come_in_pieces(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is reserved for outputs must not grow with the rows that fit into a message by their inputs."""
    monkeypatch.setenv("MLSCOPE_HOME", str(pytester.path / "home"))
    monkeypatch.setattr("pytest_mlscope.measurements.accuracy.accuracy._OUTPUT_BYTES", 4000)
    save_model(
        helper.make_model(
            helper.make_graph(
                [helper.make_node("Identity", ["x"], ["y"])],
                "same",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 100])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 100])],
            ),
            opset_imports=[helper.make_opsetid("", 13)],
            ir_version=8,
        ),
        pytester.path / "same.onnx",
    )
    scores = np.random.default_rng(0).standard_normal((200, 100)).astype(np.float32)
    np.savez(pytester.path / "rows.npz", x=scores, label=scores.argmax(axis=1))
    pytester.makefile(
        ".mlscope.yml",
        wide="schema: 1\nname: wide\nversion: '1'\ntask: t\nkinds: [accuracy]\n"
        "frameworks: {onnxruntime: {files: {model: {path: same.onnx}}}}\n"
        "inputs: [{name: x, shape: [n, 100]}]\noutputs: [{name: y}]\n"
        "dataset: {source: npz, path: rows.npz, label: label}\nmetrics: [top1]\n"
        "expect: {accuracy: {top1: {min: 1}}}\nmatrix: {batch_size: [3]}\n",
    )
    run("--mlscope-json", "out.json").assert_outcomes(passed=1)
    accuracy = json.loads((pytester.path / "out.json").read_text())["evaluations"][0]["accuracy"]
    assert accuracy["n"] == 200
    assert accuracy["predictions"]["rows"] == list(range(200))
