"""What is ONNX Runtime's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.predictor import TensorDescription, Unsupported
from tests.frameworks.perceptron_models import import_predictor

ROOT = Path(__file__).parents[2]
COUNT_THREADS = """
import os, sys
sys.path.insert(0, {root!r})
from tests.frameworks.perceptron_models import import_predictor
from pytest_mlscope.host.predictor import LoadRequest, TensorDescription
predictor = import_predictor("onnxruntime").FrameworkPredictor()
before = len(os.listdir("/proc/self/task"))
model = predictor.load(LoadRequest({files!r}, "CPUExecutionProvider", "fp32", {threads}, 1,
    [TensorDescription("features", "float32", [None, 16])], ["scores"], {{}}))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.fixture
def subject(release: Callable[[str], Any]) -> Any:
    return release("onnxruntime")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in Linux' /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_session_starts_the_threads_asked_for(subject: Any, threads: int) -> None:
    """The calling thread computes too, so a pool of n has n - 1 threads of its own."""
    program = COUNT_THREADS.format(root=str(ROOT), files=subject.files, threads=threads)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert int(done.stdout) == threads - 1


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "all"])
def test_graph_optimization_is_obeyed(subject: Any, batch: Any, perceptron: Any, level: str) -> None:
    model = subject.load(options={"graph_optimization": level})
    assert f"_{level}" in model.resolved["graph_optimization"].lower()
    np.testing.assert_allclose(model.predict({"features": batch(2)})["scores"], perceptron(batch(2)), atol=1e-4)


def test_an_unknown_optimization_is_refused_with_the_known_ones(subject: Any) -> None:
    with pytest.raises(ValueError, match=r"graph_optimization.*'most'.*disable, basic, extended, all"):
        subject.load(options={"graph_optimization": "most"})


def test_parallel_execution_takes_its_threads(subject: Any, batch: Any, perceptron: Any) -> None:
    model = subject.load(options={"execution_mode": "parallel", "inter_op_threads": 2})
    assert model.resolved["inter_op_threads"] == 2
    assert model.resolved["execution_mode"].endswith("PARALLEL")
    np.testing.assert_allclose(model.predict({"features": batch(2)})["scores"], perceptron(batch(2)), atol=1e-4)


def test_the_frameworks_default_thread_count_has_no_number(subject: Any) -> None:
    assert subject.load(threads=None).resolved["threads"] is None


DIGITS = ROOT / "model_suites" / "digits"
IMAGE = [TensorDescription("image", "float32", [None, 1, 8, 8])]


def _load_digits(subject: Any, name: str, **changes: Any) -> Any:
    return subject.load(files={"model": str(DIGITS / name)}, inputs=IMAGE, outputs=["logits"], **changes)


@pytest.mark.parametrize(
    ("name", "asked", "message", "holds"),
    [
        ("digits-int8.onnx", "fp32", r"holds int8 \(.*QuantizeLinear\), not fp32", "int8"),
        ("digits-int8.onnx", "bf16", "holds int8 .*, not bf16", "int8"),
        ("digits-fp16.onnx", "fp32", r"holds fp16 \(casts, weights\), not fp32", "fp16"),
        ("digits.onnx", "int8", r"holds fp32 .*, not int8", "fp32"),
    ],
)
def test_a_file_that_holds_another_precision_is_refused(
    subject: Any, name: str, asked: str, message: str, holds: str
) -> None:
    """ONNX Runtime computes in what the file holds: an int8 network must not be measured under the name of fp32."""
    with pytest.raises(Unsupported, match=f"{name}: {message}") as caught:
        _load_digits(subject, name, precision=asked)
    assert caught.value.holds == holds


@pytest.mark.parametrize("asked", ["int8", "framework_default"])
def test_a_quantised_file_is_int8(subject: Any, asked: str) -> None:
    model = _load_digits(subject, "digits-int8.onnx", precision=asked)
    assert model.resolved["precision"] == "int8"
    assert model.resolved["file_precision"] == "int8 (DequantizeLinear, QuantizeLinear)"
    with np.load(DIGITS / "digits-heldout.npz") as data:
        logits = model.predict({"image": (data["images"].reshape(-1, 1, 8, 8) / 16).astype(np.float32)})["logits"]
        assert (logits.argmax(1) == data["labels"]).mean() > 0.97


def test_a_quantised_file_that_is_not_optimised_computes_in_fp32(subject: Any) -> None:
    """Without the rewriting that makes integer operators, each weight is dequantised before it is used."""
    unoptimised = {"graph_optimization": "disable"}
    with pytest.raises(Unsupported, match=r"computes digits-int8\.onnx, which holds int8 .*, in fp32"):
        _load_digits(subject, "digits-int8.onnx", precision="int8", options=unoptimised)
    model = _load_digits(subject, "digits-int8.onnx", precision="framework_default", options=unoptimised)
    assert model.resolved["precision"] == "fp32"


def test_what_the_processor_makes_of_a_16_bit_file_is_read_back(subject: Any) -> None:
    """Where ONNX Runtime has no 16-bit kernels it computes in fp32, and says so nowhere but in its optimised graph."""
    resolved = _load_digits(subject, "digits-fp16.onnx", precision="framework_default").resolved
    assert resolved["file_precision"] == "fp16 (casts, weights)"
    if resolved["precision"] == "fp16":
        assert _load_digits(subject, "digits-fp16.onnx", precision="fp16").resolved["precision"] == "fp16"
    else:
        with pytest.raises(Unsupported, match="in fp32 with CPUExecutionProvider: no fp16 here"):
            _load_digits(subject, "digits-fp16.onnx", precision="fp16")


def test_a_model_with_16_bit_inputs_is_not_fp32(subject: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    half = onnx.TensorProto.FLOAT16
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "half",
        [onnx.helper.make_tensor_value_info("x", half, ["n", 4])],
        [onnx.helper.make_tensor_value_info("y", half, ["n", 4])],
    )
    path = tmp_path / "half.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    half_input = [TensorDescription("x", "float16", [None, 4])]
    with pytest.raises(Unsupported, match=r"holds fp16 \(inputs, outputs\)"):
        subject.load(files={"model": str(path)}, inputs=half_input, outputs=["y"])
    model = subject.load(files={"model": str(path)}, inputs=half_input, outputs=["y"], precision="framework_default")
    assert model.predict({"x": np.ones((2, 4), np.float16)})["y"].dtype == np.float16


def test_outputs_whose_shape_depends_on_the_data_are_bound(subject: Any, tmp_path: Path) -> None:
    """Memory is allocated at the shape the bound batch gives, an empty result included."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("NonZero", ["x"], ["y"])],
        "nonzero",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, [1, "found"])],
    )
    path = tmp_path / "nonzero.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    model = subject.load(files={"model": str(path)}, inputs=[TensorDescription("x", "float32", [None])], outputs=["y"])
    for values, expected in (([0, 2, 3], [[1, 2]]), ([0, 0, 0], [[]])):
        bound = model.bind({"x": np.array(values, np.float32)})
        bound.run()
        np.testing.assert_array_equal(bound.outputs()["y"], expected)


def _saved(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], initializers: Any = ()) -> str:
    import onnx

    graph = onnx.helper.make_graph(nodes, "small", inputs, outputs, list(initializers))
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def test_a_text_output_is_refused(subject: Any, tmp_path: Path) -> None:
    """Reading a bound text output ends the process."""
    onnx = pytest.importorskip("onnx")
    kinds, value = onnx.TensorProto, onnx.helper.make_tensor_value_info
    path = _saved(
        tmp_path / "text.onnx",
        [onnx.helper.make_node("Cast", ["x"], ["y"], to=kinds.STRING)],
        [value("x", kinds.INT64, ["n"])],
        [value("y", kinds.STRING, ["n"])],
    )
    inputs = [TensorDescription("x", "int64", [None])]
    with pytest.raises(Unsupported, match=r"output 'y' is text, which cannot be scored or timed; leave it out"):
        subject.load(files={"model": path}, inputs=inputs, outputs=["y"], precision="framework_default")


def test_an_output_of_another_shape_than_stated_is_bound(subject: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    real, value = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    path = _saved(
        tmp_path / "one.onnx",
        [
            onnx.helper.make_node("Shape", ["x"], ["size"]),
            onnx.helper.make_node("Reshape", ["x", "size"], ["same"]),
            onnx.helper.make_node("Relu", ["same"], ["y"]),
        ],
        [value("x", real, ["n"])],
        [value("y", real, [1])],
    )
    model = subject.load(files={"model": path}, inputs=[TensorDescription("x", "float32", [None])], outputs=["y"])
    given = np.arange(8, dtype=np.float32)
    bound = model.bind({"x": given})
    bound.run()
    np.testing.assert_array_equal(bound.outputs()["y"], given)


def test_an_output_that_is_no_tensor_is_refused_with_what_to_do(subject: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    real, helper = onnx.TensorProto.FLOAT, onnx.helper
    path = _saved(
        tmp_path / "sequence.onnx",
        [helper.make_node("SequenceConstruct", ["x", "x"], ["y"])],
        [helper.make_tensor_value_info("x", real, ["n"])],
        [helper.make_tensor_sequence_value_info("y", real, ["n"])],
    )
    inputs = [TensorDescription("x", "float32", [None])]
    with pytest.raises(
        Unsupported, match=r"output 'y' is seq\(tensor\(float\)\), not a tensor; .*'zipmap': False.*name another output"
    ):
        subject.load(files={"model": path}, inputs=inputs, outputs=["y"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            ["picture"],
            ["logits"],
            "no input 'picture'; the model has image: use it, or write `input_names: {picture: image}`",
        ),
        (["image"], ["y"], "no output 'y'; the model has logits: use it, or write `output_names: {y: logits}`"),
    ],
)
def test_a_name_that_the_file_does_not_have_says_what_to_write(
    subject: Any, inputs: list[str], outputs: list[str], message: str
) -> None:
    path = str(Path(__file__).parents[2] / "model_suites" / "digits" / "digits.onnx")
    described = [TensorDescription(name, "float32", [None, 1, 8, 8]) for name in inputs]
    with pytest.raises(ValueError, match=re.escape(message)):
        subject.load(files={"model": path}, inputs=described, outputs=outputs)


def test_an_input_that_is_text_is_refused_with_what_to_do(subject: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    path = _saved(
        tmp_path / "text.onnx",
        [helper.make_node("Shape", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", onnx.TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT64, [1])],
    )
    inputs = [TensorDescription("x", "float32", [None])]
    with pytest.raises(Unsupported, match=r"text\.onnx: input 'x' takes text, and a manifest's inputs are numbers"):
        subject.load(files={"model": path}, inputs=inputs, outputs=["y"])


def test_the_bits_of_float8_are_not_handed_out_as_integers(subject: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    eight, real = onnx.TensorProto.FLOAT8E4M3FN, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Cast", ["x"], ["y"], to=eight)],
        "eight",
        [onnx.helper.make_tensor_value_info("x", real, ["n", 3])],
        [onnx.helper.make_tensor_value_info("y", eight, ["n", 3])],
    )
    path = tmp_path / "eight.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9), path)
    inputs = [TensorDescription("x", "float32", [None, 3])]
    with pytest.raises(Unsupported, match=r"output 'y' is a tensor\(float8e4m3fn\).*add a Cast to float"):
        subject.load(files={"model": str(path)}, inputs=inputs, outputs=["y"], precision="framework_default")


class _Session:
    def plain(self, binding: str, options: object = 0) -> tuple[object, ...]:
        return self, binding, options

    def of_any_number(self, *arguments: object) -> tuple[object, ...]:
        return self, *arguments

    def with_keyword(self, binding: str, options: object = 0, *, more: int = 1) -> tuple[object, ...]:
        return self, binding, options, more

    def with_another(self, binding: str, options: object = 0, more: int = 1) -> tuple[object, ...]:
        return self, binding, options, more


@pytest.mark.parametrize("name", ["plain", "of_any_number", "with_keyword", "with_another"])
def test_a_timed_method_is_called_as_it_would_be_by_hand(name: str) -> None:
    method = getattr(_Session(), name)
    bound_call = import_predictor("onnxruntime")._with_arguments
    assert bound_call(method, "binding", None)() == method("binding", None)


def test_a_timed_method_that_is_no_python_code_is_called_too() -> None:
    called: list[object] = []
    import_predictor("onnxruntime")._with_arguments(called.append, "binding")()
    assert called == ["binding"]


@pytest.mark.parametrize(("given", "factor"), [([], 2.0), ([3.0], 3.0)], ids=["left out", "given"])
def test_an_initializer_with_a_default_may_be_given_or_left_out(
    tmp_path: Path, given: list[float], factor: float
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from pytest_mlscope.host.predictor import LoadRequest

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    x, t = (helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", ["n", 4]), ("t", [1])))
    y = helper.make_tensor_value_info("y", kind, ["n", 4])
    default = onnx.numpy_helper.from_array(np.array([2], np.float32), "t")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "t"], ["y"])], "g", [x, t], [y], [default])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "optional.onnx"
    onnx.save(model, str(path))
    inputs = {"x": np.ones((2, 4), np.float32), **({"t": np.array(given, np.float32)} if given else {})}
    descriptions = [TensorDescription(name, "float32", [None] * array.ndim) for name, array in inputs.items()]
    request = LoadRequest({"model": str(path)}, "CPUExecutionProvider", "fp32", 1, 1, descriptions, ["y"], {})
    loaded = import_predictor("onnxruntime").FrameworkPredictor().load(request)
    assert loaded.predict(inputs)["y"].tolist() == [[factor] * 4] * 2
