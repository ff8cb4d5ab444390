"""Real models in real frameworks: the altered layer is found, whatever the window, and what fails is named."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.api.evaluation import load_alone
from pytest_mlscope.bisection.difference import LayerDifference
from pytest_mlscope.bisection.search import Bisection, bisect
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.cli.main import main
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts.model_loader import ModelLoader
from pytest_mlscope.machine.cache_folder import cache_home
from pytest_mlscope.settings import Settings

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # after importorskip

SUITES = Path(__file__).parents[2] / "model_suites"
DIGITS = SUITES / "digits" / "digits-cnn.mlscope.yml"
SQUEEZENET = SUITES / "onnx_classics" / "squeezenet.mlscope.yml"
Alter = Callable[[Path, str], Path]


@pytest.fixture
def loader() -> Iterator[ModelLoader]:
    made = ModelLoader(Settings(home=cache_home()))
    yield made
    made.close()


@pytest.fixture
def alter(tmp_path: Path) -> Alter:
    """A copy of an ONNX file with one weight of one initialiser changed."""

    def write(path: Path, name: str) -> Path:
        model = onnx.load(path)
        (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        values = numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.1
        weight.CopyFrom(numpy_helper.from_array(values, name))
        altered = tmp_path / "altered.onnx"
        onnx.save(model, altered)
        return altered

    return write


def plan_of(path: Path, framework: str, batch_size: int = 1) -> Plan:
    manifest = load_alone(path)
    cases = expand(manifest)
    chosen = next(case for case in cases if (case.framework, case.batch_size) == (framework, batch_size))
    return Plan.of(manifest, chosen)


def first(found: Bisection) -> LayerDifference:
    assert found.first is not None
    return found.first


@pytest.mark.slow
@pytest.mark.parametrize("window_bytes", [1, 3000, 10**8])
def test_an_altered_layer_is_found(loader: ModelLoader, alter: Alter, window_bytes: int) -> None:
    """With one altered weight, the layer that takes it is named, and what it computes from is within the tolerance."""
    altered = alter(DIGITS.with_name("digits.onnx"), "conv2.weight")
    plan = plan_of(DIGITS, "onnxruntime")
    found = bisect(plan, reference=plan, loader=loader, file=altered, rows=3, window_bytes=window_bytes)
    layer = first(found)
    assert (layer.node, layer.op_type, layer.shape) == ("conv2", "Conv", (1, 32, 4, 4))
    assert layer.max_abs > 0
    (producer,) = found.producers
    assert isinstance(producer, LayerDifference)
    assert (producer.output, producer.max_abs) == ("p1", 0.0)
    assert found.rows == 3
    assert found.unfused == {"onnxruntime": {"graph_optimization": "disable"}}
    peak = found.peak_memory
    assert peak is not None
    assert all(size is None or size > 10**6 for size in (peak.plugin, peak.candidate, peak.reference))


@pytest.mark.slow
def test_the_first_layer_is_computed_from_the_input(loader: ModelLoader, alter: Alter) -> None:
    altered = alter(DIGITS.with_name("digits.onnx"), "conv1.bias")
    plan = plan_of(DIGITS, "onnxruntime", 32)
    found = bisect(plan, reference=plan, loader=loader, file=altered, rows=33)
    assert first(found).node == "conv1"
    assert found.producers == ["image: an input of the model, the same for both"]
    assert found.rows == 64


def test_the_same_file_has_no_such_layer(loader: ModelLoader) -> None:
    plan = plan_of(DIGITS, "onnxruntime")
    found = bisect(plan, reference=plan, loader=loader, file=DIGITS.with_name("digits.onnx"))
    assert found.first is None
    assert [difference.max_abs for difference in found.compared] == [0.0] * 8


def test_a_tolerance_of_ones_own(loader: ModelLoader, alter: Alter) -> None:
    altered = alter(DIGITS.with_name("digits.onnx"), "conv2.weight")
    plan = plan_of(DIGITS, "onnxruntime")
    found = bisect(plan, reference=plan, loader=loader, file=altered, tolerance=10.0)
    assert found.first is None
    assert found.tolerance_source == "as given"


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["openvino", "opencv-dnn"])
def test_frameworks_that_agree_and_one_that_has_other_weights(
    loader: ModelLoader, alter: Alter, framework: str
) -> None:
    pytest.importorskip({"opencv-dnn": "cv2"}.get(framework, framework))
    reference, plan = plan_of(DIGITS, "onnxruntime"), plan_of(DIGITS, framework)
    found = bisect(plan, reference=reference, loader=loader)
    assert found.first is None
    assert len(found.compared) == 8
    assert not found.not_compared
    altered = alter(DIGITS.with_name("digits.onnx"), "dense.bias")
    assert first(bisect(plan, reference=reference, loader=loader, file=altered)).output == "logits"


@pytest.mark.slow
def test_a_classic_in_windows(loader: ModelLoader, alter: Alter) -> None:
    """A real network is compared window by window, and every size is inferred."""
    plan = plan_of(SQUEEZENET, "onnxruntime")
    loader.prepare(plan)
    original = loader.ready(plan).artifacts["model"].path
    altered = alter(original, "fire5/expand3x3_w_0")
    found = bisect(plan, reference=plan, loader=loader, file=altered, window_bytes=8_000_000)
    layer = first(found)
    assert (layer.op_type, layer.shape) == ("Conv", (1, 128, 27, 27))
    assert found.windows > 2
    assert found.unknown_sizes == 0


def test_without_the_onnx_package_each_layer_has_a_window(
    loader: ModelLoader, alter: Alter, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = alter(DIGITS.with_name("digits.onnx"), "conv2.weight")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    plan = plan_of(DIGITS, "onnxruntime")
    found = bisect(plan, reference=plan, loader=loader, file=altered)
    assert first(found).node == "conv2"
    assert found.unknown_sizes == found.layers == 8
    assert found.windows == 4


def test_opencv_needs_the_onnx_package(loader: ModelLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV reads no output without its type, and says so in its own words, of a file the user has never seen."""
    pytest.importorskip("cv2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MlscopeError, match=r"copy-3-of-digits\.onnx: .*the onnx package: pip install 'pytest-mlscope\["
    ):
        bisect(plan_of(DIGITS, "opencv-dnn"), reference=plan_of(DIGITS, "onnxruntime"), loader=loader)


def test_a_file_of_another_precision_is_no_counterpart(loader: ModelLoader) -> None:
    plan = plan_of(DIGITS, "onnxruntime")
    with pytest.raises(
        MlscopeError, match=r"holds int8 .*read at the case's precision, fp32, .*at int8 cannot be"
    ) as caught:
        bisect(plan, reference=plan, loader=loader, file=DIGITS.with_name("digits-int8.onnx"))
    assert "ask for" not in str(caught.value)


PREDICTOR = """\
import onnxruntime
from pytest_mlscope.host.predictor import LoadedModel, Predictor

class Model(LoadedModel):
    def __init__(self, request):
        self.session = onnxruntime.InferenceSession(request.files["model"], providers=["CPUExecutionProvider"])
        self.outputs = list(request.outputs)
        self.resolved = {"precision": "fp32", "threads": None}

    def predict(self, inputs):
        return dict(zip(self.outputs, self.session.run(self.outputs, inputs)))

class FrameworkPredictor(Predictor):
    def version(self):
        return "1.0"

    def load(self, request):
        CHECK
        return Model(request)
"""
MANIFEST = """\
schema: 1
name: small
version: "1.0"
task: classification
frameworks:
  toy: {files: {model: {path: small.onnx}}}
  limited: {files: {model: {path: small.onnx}}}
inputs: [{name: x, dtype: float32, shape: [batch, 4]}]
outputs: [{name: y}]
dataset: {source: random, count: 8, seed: 0}
kinds: [latency]
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A project with a model of four nodes, whose difference vanishes in the third, and two toy frameworks."""
    folder = tmp_path / "project"

    def write_model(name: str, scale: float) -> Path:
        nodes = [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("Relu", ["scaled"], ["positive"]),
            helper.make_node("Mul", ["positive", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "x"], ["y"]),
        ]
        ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", 4]) for end in "xy"]
        weights = [
            numpy_helper.from_array(np.full(4, value, np.float32), weight)
            for weight, value in (("scale", scale), ("zero", 0.0))
        ]
        model = helper.make_model(helper.make_graph(nodes, "graph", ends[:1], ends[1:], weights), ir_version=8)
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", 13))
        onnx.save(model, folder / name)
        return folder / name

    def make(check: str = "pass") -> Path:
        for name, refusal in (("toy", "pass"), ("limited", check)):
            framework = folder / "frameworks" / name
            framework.mkdir(parents=True)
            (framework / "framework.yml").write_text(
                f"schema: 1\nname: {name}\ndescription: a toy\ndevices: {{cpu: cpu}}\nprecisions: {{cpu: [fp32]}}\n"
            )
            (framework / "predictor.py").write_text(PREDICTOR.replace("CHECK", refusal))
        write_model("small.onnx", 1.0)
        write_model("other.onnx", 2.0)
        (folder / "small.mlscope.yml").write_text(dedent(MANIFEST))
        monkeypatch.chdir(folder)
        return folder / "small.mlscope.yml"

    return make


def test_an_error_that_vanishes_again_is_found(loader: ModelLoader, small: Callable[..., Path]) -> None:
    manifest = small()
    plan = plan_of(manifest, "toy")
    found = bisect(plan, reference=plan, loader=loader, file=manifest.with_name("other.onnx"), window_bytes=1)
    assert first(found).output == "scaled"


def test_weights_in_a_file_of_their_own_come_along(loader: ModelLoader, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "digits.onnx"
    outside.parent.mkdir()
    onnx.save(
        onnx.load(DIGITS.with_name("digits.onnx")),
        outside,
        save_as_external_data=True,
        location="digits.weights",
        size_threshold=0,
    )
    plan = plan_of(DIGITS, "onnxruntime")
    found = bisect(plan, reference=plan, loader=loader, file=outside)
    assert found.first is None
    assert len(found.compared) == 8


@pytest.mark.slow
def test_a_framework_that_takes_few_outputs_gets_smaller_windows(
    loader: ModelLoader, small: Callable[..., Path]
) -> None:
    manifest = small("if len(request.outputs) > 1: raise RuntimeError('one output alone')")
    found = bisect(plan_of(manifest, "limited"), reference=plan_of(manifest, "toy"), loader=loader)
    assert found.first is None
    assert [difference.output for difference in found.compared] == ["scaled", "positive", "nothing", "y"]


def test_a_layer_that_cannot_be_given_is_named(loader: ModelLoader, small: Callable[..., Path]) -> None:
    manifest = small("if 'positive' in request.outputs: raise RuntimeError('fused away')")
    found = bisect(plan_of(manifest, "limited"), reference=plan_of(manifest, "toy"), loader=loader)
    assert list(found.not_compared) == ["positive"]
    assert "fused away" in found.not_compared["positive"]
    assert len(found.compared) == 3


def test_a_framework_that_gives_no_layer_is_named(loader: ModelLoader, small: Callable[..., Path]) -> None:
    manifest = small("if request.outputs != ['y']: raise RuntimeError('only y')")
    with pytest.raises(MlscopeError, match=r"^no layer can be made an output: limited: .*only y$"):
        bisect(plan_of(manifest, "limited"), reference=plan_of(manifest, "toy"), loader=loader)


def test_a_model_that_is_broken_as_it_is(loader: ModelLoader, small: Callable[..., Path]) -> None:
    manifest = small("raise RuntimeError('no such kernel')")
    with pytest.raises(MlscopeError, match=r"limited: loading the model: .*no such kernel"):
        bisect(plan_of(manifest, "limited"), reference=plan_of(manifest, "toy"), loader=loader)


@pytest.mark.slow
def test_the_command_prints_the_layer_and_the_memory(
    alter: Alter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    altered = alter(DIGITS.with_name("digits.onnx"), "conv2.weight")
    written = tmp_path / "found.json"
    arguments = ["--case", "onnxruntime-cpu-b1", "--against-file", str(altered), "--json", str(written)]
    assert main(["bisect", str(DIGITS), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "Conv output 'c2' of node 'conv2' [1, 32, 4, 4]: max abs" in printed
    assert "MaxPool output 'p1' of node 'pool1'" in printed
    assert "onnxruntime: graph optimisation off (graph_optimization: disable)" in printed
    assert "peak memory: this process" in printed
    document: dict[str, Any] = json.loads(written.read_text())
    assert document["first"]["node"] == "conv2"


@pytest.mark.slow
def test_the_command_says_that_all_is_equal(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(DIGITS.with_name("digits.onnx"))
    assert main(["bisect", str(DIGITS), "--case", "onnxruntime-cpu-b1", "--against-file", file]) == 0
    printed = capsys.readouterr().out
    assert "\nall 8 layers are equal on 1 row; --rows compares more, of 450\n" in printed
    assert "only one of the two has" not in printed
    assert "max abs" not in printed
    assert "; 1 window of at most" in printed


@pytest.mark.slow
def test_layers_that_only_one_file_has_are_counted_and_rows_end_with_the_dataset(
    small: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = small()
    model = onnx.load("small.onnx")
    model.graph.node[1].output[0] = model.graph.node[2].input[0] = "renamed"
    onnx.save(model, "renamed.onnx")
    arguments = ["--case", "toy", "--against-file", "renamed.onnx", "--rows", "1000"]
    assert main(["bisect", str(manifest), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "over 8 rows\n" in printed
    assert "\nall 3 layers are equal on 8 rows\n" in printed
    assert "not compared: 2 layers whose name only one of the two has" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to compare with: give --reference FRAMEWORK, --against-file FILE, or both"),
        (["--reference", "toy"], "toy is what the case runs on; compare it with another framework, or a file"),
        (["--reference", "openvin"], "no framework named 'openvin'"),
        (["--against-file", "absent.onnx"], "absent.onnx: cannot be read: No such file"),
        (["--against-file", "small.mlscope.yml"], "small.mlscope.yml: is not an ONNX file"),
        (["--against-file", "other.onnx", "--case", "zoy"], "no case 'zoy'; there: toy"),
    ],
    ids=["nothing", "itself", "framework", "absent", "not ONNX", "case"],
)
def test_mistakes_are_one_line(
    small: Callable[..., Path], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    manifest = small()
    status = 1 if "--against-file" in arguments and "--case" not in arguments else 4
    assert main(["bisect", str(manifest), "--case", "toy", *arguments]) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_graphs_without_a_common_layer(loader: ModelLoader, small: Callable[..., Path]) -> None:
    manifest = small()
    plan = plan_of(manifest, "toy")
    with pytest.raises(MlscopeError, match="have no layer in common"):
        bisect(plan, reference=plan, loader=loader, file=DIGITS.with_name("digits.onnx"))
