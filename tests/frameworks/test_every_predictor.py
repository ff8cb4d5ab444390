"""What holds for every predictor. ONNX Runtime is always here; the others run where they are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.predictor import TensorDescription, Unsupported

ABSENT_DEVICE = {
    "onnxruntime": "CUDAExecutionProvider",
    "pytorch": "cuda",
    "tensorflow": "GPU",
    "openvino": "NPU",
    "opencv-dnn": "CUDA",
}


def has_nvidia_gpu() -> bool:
    return Path("/dev/nvidiactl").exists()


@pytest.fixture(
    params=[
        "onnxruntime",
        *(
            pytest.param(name, marks=pytest.mark.frameworks)
            for name in ("pytorch", "tensorflow", "openvino", "opencv-dnn")
        ),
    ]
)
def subject(request: pytest.FixtureRequest, release: Callable[[str], Any]) -> Any:
    return release(request.param)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_one_loaded_model_answers_any_batch_size(subject: Any, perceptron: Any, batch: Any, size: int) -> None:
    model = subject.load()
    for rows in (size, size + 1, size):
        scores = model.predict({"features": batch(rows)})["scores"]
        np.testing.assert_allclose(scores, perceptron(batch(rows)), rtol=1e-5, atol=1e-5)
        assert scores.dtype == np.float32
        assert scores.flags.c_contiguous


def test_prediction_repeats_and_leaves_its_input_alone(subject: Any, batch: Any) -> None:
    """Read-only arrays, as a host may map them, are taken too."""
    model = subject.load()
    features = batch(4)
    features.flags.writeable = False
    first = model.predict({"features": features})["scores"].copy()
    second = model.predict({"features": features})["scores"]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(features, batch(4))


def test_answers_do_not_change_with_the_next_prediction(subject: Any, batch: Any) -> None:
    """A predictor must not hand out memory its framework will write to again."""
    model = subject.load()
    first = model.predict({"features": batch(4)})["scores"]
    kept = first.copy()
    model.predict({"features": -batch(4)})
    np.testing.assert_array_equal(first, kept)


def test_inputs_out_of_order_in_memory_are_taken(subject: Any, perceptron: Any, batch: Any) -> None:
    model = subject.load()
    features = np.asfortranarray(batch(4))
    np.testing.assert_allclose(
        model.predict({"features": features})["scores"], perceptron(batch(4)), rtol=1e-5, atol=1e-5
    )


def test_a_bound_batch_gives_what_predict_gives(subject: Any, batch: Any) -> None:
    model = subject.load()
    features = batch(4)
    features.flags.writeable = False
    bound = model.bind({"features": features})
    for _ in range(3):
        bound.run()
    np.testing.assert_array_equal(bound.outputs()["scores"], model.predict({"features": features})["scores"])
    assert bound.call_path


def test_a_bound_batch_survives_other_predictions(subject: Any, perceptron: Any, batch: Any) -> None:
    model = subject.load()
    bound = model.bind({"features": batch(4)})
    model.predict({"features": batch(4)})
    bound.run()
    np.testing.assert_allclose(bound.outputs()["scores"], perceptron(batch(4)), rtol=1e-5, atol=1e-5)
    assert bound.outputs()["scores"].flags.c_contiguous


def test_threads_and_precision_are_read_back(subject: Any) -> None:
    model = subject.load()
    assert model.resolved["threads"] == 2
    assert model.resolved["precision"] == "fp32"


def test_the_version_is_the_frameworks_own(subject: Any) -> None:
    assert subject.predictor.version()[0].isdigit()
    assert all(isinstance(fact, str) for fact in subject.predictor.build_information().values())


def test_an_unknown_input_is_named_with_the_ones_there_are(subject: Any) -> None:
    with pytest.raises(ValueError, match="pixels") as error:
        subject.load(inputs=[TensorDescription("pixels", "float32", [None, 16])])
    # OpenCV has no way to list a net's inputs, and says so.
    assert "OpenCV cannot list" in str(error.value) if subject.name == "opencv-dnn" else "features" in str(error.value)


def test_an_unknown_output_is_named_with_the_ones_there_are(subject: Any, batch: Any) -> None:
    """PyTorch's outputs have no names: there, the number of outputs is what can be wrong."""
    outputs = ["scores", "second"] if subject.name == "pytorch" else ["probabilities"]
    expected = "2" if subject.name == "pytorch" else "'probabilities'.*scores"
    with pytest.raises(ValueError, match=expected):
        subject.load(outputs=outputs).predict({"features": batch(1)})


def test_a_missing_input_is_refused(subject: Any) -> None:
    model = subject.load()
    with pytest.raises(ValueError, match="features"):
        model.predict({})


def test_another_dtype_is_refused(subject: Any, batch: Any) -> None:
    """Some frameworks cast in silence, which would make a parity table compare different inputs."""
    model = subject.load()
    with pytest.raises(ValueError, match=r"features.*float64.*float32"):
        model.predict({"features": batch(2).astype(np.float64)})


def test_another_shape_is_an_error_of_one_line(subject: Any) -> None:
    model = subject.load()
    for attempt in (model.predict, model.bind):
        with pytest.raises(RuntimeError, match="perceptron") as error:
            attempt({"features": np.zeros((2, 5), np.float32)})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x05\x06" + bytes(18)], ids=["empty", "garbage", "empty zip"])
def test_a_corrupt_file_is_an_error_of_one_line(subject: Any, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("broken" + Path(subject.files["model"]).suffix)
    path.write_bytes(content)
    with pytest.raises((RuntimeError, ValueError), match="broken") as error:
        subject.load(files={"model": str(path)})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


def test_a_truncated_file_is_an_error_of_one_line(subject: Any, tmp_path: Path) -> None:
    source = Path(subject.files["model"])
    path = tmp_path / ("broken" + source.suffix)
    path.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    with pytest.raises((RuntimeError, ValueError), match="broken") as error:
        subject.load(files={"model": str(path)})
    assert "\n" not in str(error.value)


def test_an_absent_device_is_unsupported(subject: Any) -> None:
    device = ABSENT_DEVICE[subject.name]
    if has_nvidia_gpu() and device not in ("NPU", "CUDA"):
        pytest.skip("this machine has an NVIDIA GPU")
    with pytest.raises(Unsupported) as error:
        subject.load(device=device)
    assert "\n" not in str(error.value)


def test_a_precision_the_framework_lacks_is_unsupported(subject: Any) -> None:
    with pytest.raises(Unsupported, match="int8"):
        subject.load(precision="int8")


def test_the_frameworks_own_precision_can_be_asked_for(subject: Any, perceptron: Any, batch: Any) -> None:
    model = subject.load(precision="framework_default")
    assert model.resolved["precision"] in ("fp32", "fp16", "bf16"), "what the default came to is recorded"
    scores = model.predict({"features": batch(3)})["scores"]
    np.testing.assert_allclose(scores, perceptron(batch(3)), rtol=0.05, atol=0.3)
    assert model.resolved["precision"]


def test_a_model_loads_again_after_it_was_unloaded(subject: Any, perceptron: Any, batch: Any) -> None:
    for _ in range(2):
        model = subject.load()
        scores = model.predict({"features": batch(2)})["scores"]
        np.testing.assert_allclose(scores, perceptron(batch(2)), rtol=1e-5, atol=1e-5)
        subject.loaded.remove(model)
        model.unload()
