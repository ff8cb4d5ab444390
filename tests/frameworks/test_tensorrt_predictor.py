"""TensorRT's predictor: its own part on a stand-in for TensorRT and the driver, the digits where there is a GPU."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun
from pytest_mlscope.host.predictor import LoadedModel, LoadRequest, TensorDescription, Unsupported
from tests.frameworks.digits_reference import reference_logits
from tests.frameworks.hosted import DIGITS, Hosted, heldout
from tests.frameworks.perceptron_models import import_predictor
from tests.frameworks.tensorrt_stand_in import Driver, stand_in

MODEL = {"type": "FLOAT", "dims": [-1, 3]}


class Machine:
    """A machine with TensorRT, and a model's file on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._path = folder / "model.onnx"
        self.driver = Driver()
        self.tensorrt: Any = None
        self.predictor: Any = None

    def start(self, driver: Driver | None = None, *, fault: str = "") -> Any:
        self.driver = driver or Driver()
        self.tensorrt = stand_in(self.driver, fault=fault)
        self._monkeypatch.setitem(sys.modules, "tensorrt", self.tensorrt)
        self._monkeypatch.setattr(ctypes, "CDLL", lambda name: self.driver)
        self.predictor = import_predictor("tensorrt").FrameworkPredictor()
        return self.predictor

    def load(self, model: Any = MODEL, **changes: Any) -> LoadedModel:
        if self.predictor is None:
            self.start()
        self._path.write_text(json.dumps(model) if isinstance(model, dict) else model)
        values: dict[str, Any] = {
            "files": {"model": str(self._path)},
            "device": "cuda",
            "precision": "fp32",
            "threads": 1,
            "batch_size": 4,
            "inputs": [TensorDescription("features", "float32", [None, 3])],
            "outputs": ["scores"],
            "options": {},
        }
        loaded: LoadedModel = self.predictor.load(LoadRequest(**{**values, **changes}))
        return loaded


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def batch(rows: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.arange(rows * 3, dtype=dtype).reshape(rows, 3)


def test_a_device_is_asked_of_the_driver(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT's Builder and Runtime can be made where there is none."""

    def not_found(name: str) -> Any:
        raise OSError(name)

    predictor = machine.start()
    monkeypatch.setattr(ctypes, "CDLL", not_found)
    assert predictor.devices() == []
    with pytest.raises(Unsupported, match=r"no NVIDIA driver here: libcuda\.so\.1 is not found"):
        machine.load()


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (Driver(status=100), "driver does not start: no CUDA-capable device is detected"),
        (Driver(gpus=0), "driver has no GPU: it lists none"),
    ],
)
def test_a_driver_without_a_gpu_is_no_device(machine: Machine, driver: Driver, message: str) -> None:
    predictor = machine.start(driver)
    assert predictor.devices() == []
    assert message in predictor.build_information()["device"]
    with pytest.raises(Unsupported, match=message):
        machine.load()


def test_the_device_and_versions_are_told(machine: Machine) -> None:
    predictor = machine.start()
    assert predictor.devices() == ["cuda"]
    assert predictor.version() == "11.4.0.106"
    assert predictor.build_information() == {"device": "Stand-in GPU", "driver_cuda": "13.1"}


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_batches_up_to_the_cases_are_predicted(machine: Machine, rows: int) -> None:
    model = machine.load()
    for size in (rows, 1, rows):
        scores = model.predict({"features": batch(size)})["scores"]
        np.testing.assert_array_equal(scores, 2 * batch(size) + 1)
        assert scores.dtype == np.float32


def test_a_larger_batch_is_an_error_of_one_line(machine: Machine) -> None:
    model = machine.load()
    with pytest.raises(RuntimeError, match=r"^model\.onnx: input 'features': shape \[5, 3\] is outside the profile$"):
        model.predict({"features": batch(5)})
    np.testing.assert_array_equal(model.predict({"features": batch(2)})["scores"], 2 * batch(2) + 1)


def test_the_engine_is_fastest_at_the_cases_batch(machine: Machine) -> None:
    machine.load(batch_size=32)
    assert machine.tensorrt.configs[-1].profiles == [{"features": ((1, 3), (32, 3), (32, 3))}]


def test_sizes_the_file_leaves_open_are_the_manifests(machine: Machine) -> None:
    machine.load({**MODEL, "dims": [-1, -1]}, batch_size=2)
    assert machine.tensorrt.configs[-1].profiles == [{"features": ((1, 3), (2, 3), (2, 3))}]
    with pytest.raises(Unsupported, match=r"model\.onnx: dimension 1 of input 'features' is dynamic"):
        machine.load({**MODEL, "dims": [-1, -1]}, inputs=[TensorDescription("features", "float32", [None, None])])


def test_fixed_sizes_need_no_profile(machine: Machine) -> None:
    model = machine.load({**MODEL, "dims": [2, 3]})
    assert machine.tensorrt.configs[-1].profiles == []
    np.testing.assert_array_equal(model.predict({"features": batch(2)})["scores"], 2 * batch(2) + 1)


def test_a_bound_batch_stays_on_the_device_whatever_else_is_predicted(machine: Machine) -> None:
    model = machine.load()
    bound = model.bind({"features": batch(4)})
    model.predict({"features": -batch(4)})
    machine.driver.calls.clear()
    for _ in range(3):
        bound.run()
    assert machine.driver.calls == ["enqueueV3", "cuStreamSynchronize"] * 3
    np.testing.assert_array_equal(bound.outputs()["scores"], 2 * batch(4) + 1)


def test_unloading_frees_the_devices_memory(machine: Machine) -> None:
    model = machine.load()
    for size in (1, 4, 2):
        model.predict({"features": batch(size)})
    bound = model.bind({"features": batch(4)})
    assert len(machine.driver.memory) == 4, "inputs and outputs of the model and of the bound batch, grown in place"
    del bound
    model.unload()
    assert not machine.driver.memory
    assert not machine.driver.streams


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        (MODEL, "fp32"),
        ({**MODEL, "type": "HALF"}, "fp16"),
        ({**MODEL, "answer": "BF16"}, "bf16"),
        ({**MODEL, "quantised": True}, "int8"),
    ],
)
def test_the_precision_is_the_files(machine: Machine, model: dict[str, Any], precision: str) -> None:
    for asked in {"fp32", "fp16", "bf16", "int8"} - {precision}:
        with pytest.raises(Unsupported, match=rf"model\.onnx is {precision} \(.*\), not {asked}"):
            machine.load(model, precision=asked)
    assert machine.load(model, precision=precision).resolved["precision"] == precision
    assert machine.load(model, precision="framework_default").resolved["precision"] == precision


def test_16_bit_outputs_are_read(machine: Machine) -> None:
    """numpy has no bfloat16, and every bfloat16 is a float32."""
    for model, precision, dtype in (
        ({**MODEL, "type": "HALF"}, "fp16", np.float16),
        ({**MODEL, "answer": "BF16"}, "bf16", np.float32),
    ):
        features = batch(3, np.float16 if precision == "fp16" else np.float32)
        scores = machine.load(model, precision=precision).predict({"features": features})["scores"]
        assert scores.dtype == dtype
        np.testing.assert_array_equal(scores, 2 * features + 1)


def test_inputs_numpy_lacks_are_unsupported(machine: Machine) -> None:
    with pytest.raises(Unsupported, match="'features' is BF16, which numpy lacks"):
        machine.load({**MODEL, "type": "BF16"}, precision="bf16")


@pytest.mark.parametrize(("precision", "is_allowed"), [("fp32", False), ("framework_default", True)])
def test_tensorfloat_32_is_left_to_the_default_alone(machine: Machine, precision: str, is_allowed: bool) -> None:
    assert machine.load(precision=precision).resolved["tf32"] is is_allowed
    assert machine.tensorrt.configs[-1].get_flag("TF32") is is_allowed


def test_layers_are_timed_by_the_profiler_and_described_by_the_inspector(machine: Machine) -> None:
    layers = machine.load().layers({"features": batch(2)}, 5)
    assert [(layer.name, layer.kind, layer.seconds, layer.shape) for layer in layers] == [
        ("double", "PointWise", 0.00025, [2, 3]),
        ("reformat", "unknown", None, None),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cpu"}, "no device cpu"),
        ({"threads": 2}, "by one thread, and 2 were asked for"),
    ],
)
def test_what_tensorrt_lacks_is_unsupported(machine: Machine, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        machine.load(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [TensorDescription("pixels", "float32", [None, 3])]}, "no input 'pixels'; the model has features"),
        ({"inputs": []}, "input features is not given"),
        ({"outputs": ["logits"]}, "no output 'logits'; the model has scores"),
    ],
)
def test_names_are_checked_at_load(machine: Machine, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"model\.onnx: {message}"):
        machine.load(**changes)


@pytest.mark.parametrize("level", [6, -1, "3", True, 1.5])
def test_another_optimization_level_is_refused(machine: Machine, level: Any) -> None:
    with pytest.raises(ValueError, match=r"builder_optimization_level: .* is not one of 0 to 5"):
        machine.load(options={"builder_optimization_level": level})
    assert machine.load(options={"builder_optimization_level": 5}).resolved["builder_optimization_level"] == 5


def test_wrong_inputs_are_refused(machine: Machine) -> None:
    model = machine.load()
    with pytest.raises(ValueError, match=r"inputs \[\] given; the model has \['features'\]"):
        model.predict({})
    for attempt in (model.predict, model.bind):
        with pytest.raises(ValueError, match="'features' is float64; the model wants float32"):
            attempt({"features": batch(2, np.float64)})


def test_a_file_that_is_no_onnx_is_named(machine: Machine) -> None:
    with pytest.raises(RuntimeError, match=r"^model\.onnx: not an ONNX file that TensorRT can read: Failed to parse"):
        machine.load("garbage")


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("builder", Unsupported, r"11\.4\.0\.106 cannot use this GPU and driver: CUDA initialization failure with"),
        ("engine", RuntimeError, r"^model\.onnx: no engine: no kernel for it$"),
    ],
)
def test_what_tensorrt_logs_is_the_reason(machine: Machine, fault: str, error: type[Exception], message: str) -> None:
    machine.start(fault=fault)
    with pytest.raises(error, match=message):
        machine.load()


@pytest.fixture
def hosted() -> Any:
    hosted = Hosted("tensorrt")
    yield hosted
    hosted.host.close()


@pytest.mark.frameworks
@pytest.mark.parametrize("batch_size", [1, 32])
def test_digits_are_read_as_by_numpy(hosted: Hosted, batch_size: int) -> None:
    image = ("image", "float32", (None, 1, 8, 8))
    files = {"model": DIGITS / "digits.onnx"}
    try:
        hosted.load(files, device="cuda", inputs=[image], outputs=["logits"], batch_size=batch_size)
    except CannotRun as reason:
        pytest.skip(str(reason))
    images, _ = heldout()
    logits = hosted.predict_tensors({"image": images}, batch_size=batch_size, pad=True)["logits"]
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    layers = hosted.profile({"image": images[:batch_size]}, runs=3)
    assert sum(layer.seconds or 0 for layer in layers) > 0
