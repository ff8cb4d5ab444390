"""JAX in its provisioned environment: the digits model, and programs of other shapes, types and intentions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from tests.frameworks.digits_reference import reference_logits
from tests.frameworks.hosted import TIMEOUT, heldout
from tests.frameworks.hosted_digits import HostedDigits

pytestmark = pytest.mark.frameworks

PROGRAMS = """
import sys, jax, jax.export, numpy
from jax import numpy as jnp

def save(name, function, *arguments, platforms=("cpu",), checks=(), **keywords):
    exported = jax.export.export(jax.jit(function), platforms=platforms, disabled_checks=checks)(*arguments, **keywords)
    with open(f"{sys.argv[1]}/{name}.jax", "wb") as stream:
        stream.write(exported.serialize())

batch, = jax.export.symbolic_shape("batch")
x = jax.ShapeDtypeStruct((batch, 3), numpy.float32)
save("positional", lambda a, b: (a - b, a + b), x, x)
save("dict", lambda inputs: {"sum": inputs["a"] + inputs["b"], "first": inputs["a"]}, {"a": x, "b": x})
save("nested", lambda inputs: inputs[0] + inputs[1], [x, x])
save("bf16", lambda *, x: {"y": (x.astype(jnp.bfloat16) @ jnp.ones((3, 2), jnp.bfloat16)).astype(jnp.float32)}, x=x)
save("cuda", lambda *, x: {"y": x + 1}, x=x, platforms=("cuda",))
square = jax.ShapeDtypeStruct((batch, batch), numpy.float32)
save("square", lambda *, x: {"y": x.T}, x=square)

def calls_back(*, x):
    return {"y": jax.ffi.ffi_call("xla_ffi_python_cpu_callback", jax.ShapeDtypeStruct((2, 3), jnp.float32))(x)}

fixed = jax.ShapeDtypeStruct((2, 3), numpy.float32)
allowed = [jax.export.DisabledSafetyCheck.custom_call("xla_ffi_python_cpu_callback")]
save("callback", calls_back, x=fixed, checks=allowed)
save("fixed", lambda *, x: {"y": x * 2}, x=fixed)
jax.config.update("jax_enable_x64", True)
save("int64", lambda *, x: {"y": x + 1}, x=jax.ShapeDtypeStruct((batch,), numpy.int64))
"""


@pytest.fixture(scope="module")
def jax() -> Iterator[HostedDigits]:
    hosted = HostedDigits("jax", "digits.jax")
    yield hosted
    hosted.host.close()


@pytest.fixture(scope="module")
def programs(jax: HostedDigits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    python = str(jax.host.environment.python)
    subprocess.run([python, "-c", PROGRAMS, str(folder)], check=True, timeout=TIMEOUT)
    return folder


def load(jax: HostedDigits, path: Path, names: str, outputs: str, **changes: Any) -> dict[str, Any]:
    inputs = [(name, "float32", (None, 3)) for name in names.split()]
    return jax.load({"model": path}, **{"inputs": inputs, "outputs": outputs.split(), **changes})


@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(jax: HostedDigits, batch_size: int) -> None:
    jax.load_digits()
    images, labels = heldout()
    logits = jax.predict(images, batch_size=batch_size)
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_what_loading_came_to_is_told(jax: HostedDigits) -> None:
    resolved = jax.load_digits()
    assert resolved["precision"] == "fp32"
    assert resolved["threads"] == 1
    assert resolved["product_precision"] == "HIGHEST"
    assert jax.load_digits(precision="framework_default")["precision"] == "fp32"


def test_the_timed_path_is_the_compiled_program(jax: HostedDigits) -> None:
    jax.load_digits()
    images = heldout()[0][:7]
    logits, call_path = jax.timed(images, batch_size=4)
    np.testing.assert_allclose(logits, reference_logits(images[:4]), rtol=0, atol=1e-4)
    assert call_path == "jax.stages.Compiled.__call__"


def test_two_threads_are_those_of_xlas_pool() -> None:
    jax = HostedDigits("jax", "digits.jax", threads=2)
    try:
        assert jax.load_digits()["threads"] == 2
        jax.threads = 1
        with pytest.raises(PredictorError, match="already runs here on 2 threads, not on 1"):
            jax.load_digits()
    finally:
        jax.host.close()


def test_operations_are_profiled_as_xla_fused_them(jax: HostedDigits) -> None:
    jax.load_digits()
    layers = jax.layers(heldout()[0][:4])
    kinds = [layer.kind for layer in layers]
    assert sum("convolution" in kind for kind in kinds) == 2
    assert sum("dot" in kind for kind in kinds) == 1
    assert layers[-1].shape == (4, 10)
    assert layers[-1].memory == 4 * 4 * 10
    assert all((layer.seconds or 0) > 0 for layer in layers)


def test_arguments_without_names_go_by_order(jax: HostedDigits, programs: Path) -> None:
    load(jax, programs / "positional.jax", "x y", "difference sum")
    a, b = np.ones((2, 3), np.float32), np.full((2, 3), 3, np.float32)
    outputs = jax.predict_tensors({"x": a, "y": b}, batch_size=2)
    np.testing.assert_array_equal(outputs["difference"], a - b)
    np.testing.assert_array_equal(outputs["sum"], a + b)


def test_a_dict_of_arguments_has_names(jax: HostedDigits, programs: Path) -> None:
    load(jax, programs / "dict.jax", "b a", "first sum")
    a, b = np.ones((2, 3), np.float32), np.full((2, 3), 3, np.float32)
    outputs = jax.predict_tensors({"b": b, "a": a}, batch_size=2)
    np.testing.assert_array_equal(outputs["first"], a)
    np.testing.assert_array_equal(outputs["sum"], a + b)


def test_integers_of_64_bits_stay_so(jax: HostedDigits, programs: Path) -> None:
    changes = {"inputs": [("x", "int64", (None,))], "precision": "framework_default"}
    load(jax, programs / "int64.jax", "", "y", **changes)
    outputs = jax.predict_tensors({"x": np.array([2**40])}, batch_size=1)
    np.testing.assert_array_equal(outputs["y"], [2**40 + 1])


def test_a_program_that_calls_python_is_refused(jax: HostedDigits, programs: Path) -> None:
    with pytest.raises(PredictorError, match=r"callback\.jax: calls xla_ffi_python_cpu_callback, which may run any"):
        load(jax, programs / "callback.jax", "x", "y")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("bf16", "holds bf16, f32; the program is not fp32"),
        ("cuda", "exported for cuda, not for cpu"),
    ],
)
def test_other_types_and_platforms_are_unsupported(jax: HostedDigits, programs: Path, file: str, message: str) -> None:
    with pytest.raises(CannotRun, match=rf"{file}\.jax: {message}"):
        load(jax, programs / f"{file}.jax", "x", "y")


def test_other_types_run_at_the_default_precision(jax: HostedDigits, programs: Path) -> None:
    resolved = load(jax, programs / "bf16.jax", "x", "y", precision="framework_default")
    assert resolved["precision"] == "as the file states"
    assert resolved["types"] == "bf16, f32"


@pytest.mark.parametrize("changes", [{"device": "cuda"}, {"device": "tpu"}, {"precision": "int8"}])
def test_what_this_jax_lacks_is_unsupported(jax: HostedDigits, changes: dict[str, Any]) -> None:
    with pytest.raises(CannotRun):
        jax.load_digits(**changes)


@pytest.mark.parametrize(
    ("file", "names", "outputs", "message"),
    [
        ("fixed", "z", "y", "no input 'z'; the model has x"),
        ("fixed", "x", "z", "no output 'z'; the model has y"),
        ("dict", "a", "sum", "input b is not given"),
        ("positional", "x", "y z", "1 inputs asked for; the program takes 2 without names"),
        ("positional", "x y", "z", "1 outputs asked for; the program returns 2 without names"),
        ("nested", "a b", "y", "takes nested arguments"),
    ],
)
def test_names_are_checked_at_load(
    jax: HostedDigits, programs: Path, file: str, names: str, outputs: str, message: str
) -> None:
    with pytest.raises(PredictorError, match=rf"{file}\.jax: {message}"):
        load(jax, programs / f"{file}.jax", names, outputs)


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("fixed", np.zeros((2, 3)), "'x' is float64; the model wants float32"),
        ("fixed", np.zeros((1, 3), np.float32), r"fixed\.jax: input 'x' is \(1, 3\); the model takes \(2, 3\)"),
        ("square", np.zeros((2, 3), np.float32), r"square\.jax: "),
    ],
    ids=["dtype", "shape", "related sizes"],
)
def test_wrong_inputs_are_refused(jax: HostedDigits, programs: Path, file: str, array: Any, message: str) -> None:
    load(jax, programs / f"{file}.jax", "x", "y")
    with pytest.raises(PredictorError, match=message) as raised:
        jax.predict_tensors({"x": array}, batch_size=len(array))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", [0, 100, 20000])
def test_a_corrupt_file_is_named(jax: HostedDigits, tmp_path: Path, kept: int) -> None:
    corrupt = tmp_path / "corrupt.jax"
    corrupt.write_bytes(jax.files["model"].read_bytes()[:kept])
    with pytest.raises(PredictorError, match=r"corrupt\.jax: not a program") as raised:
        jax.load_digits(files={"model": corrupt})
    assert "\n" not in str(raised.value)


def test_unloading_frees_the_model(jax: HostedDigits) -> None:
    jax.load_digits()
    jax.predict(np.zeros((20000, 1, 8, 8), np.float32), batch_size=20000)
    assert jax.host.clear(timeout=TIMEOUT)
