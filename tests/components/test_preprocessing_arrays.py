"""Steps on arrays: cast, scale, normalise, layout, reshape, crop, pad, color."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from pytest_mlscope.components.preprocessing import SHIPPED_PREPROCESSING_STEPS
from pytest_mlscope.components.preprocessing.array_step import ArrayStep
from pytest_mlscope.components.preprocessing.cast import Cast
from pytest_mlscope.components.preprocessing.color import Color
from pytest_mlscope.components.preprocessing.crop import Crop
from pytest_mlscope.components.preprocessing.layout import Layout
from pytest_mlscope.components.preprocessing.normalise import Normalise
from pytest_mlscope.components.preprocessing.pad import Pad
from pytest_mlscope.components.preprocessing.reshape import Reshape
from pytest_mlscope.components.preprocessing.scale import Scale
from pytest_mlscope.errors import PreprocessingError


def _images(count: int = 3, height: int = 5, width: int = 7, dtype: str = "uint8") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(dtype)


@pytest.mark.parametrize(
    ("step", "batch"),
    [
        (Cast(dtype="float32"), _images()),
        (Scale(factor=0.5, offset=-1), _images(dtype="float32")),
        (Normalise(mean=[1, 2, 3], std=[4, 5, 6], axis=-1), _images(dtype="float32")),
        (Normalise(mean=0.5, std=2), _images(dtype="float64")),
        (Layout(source="HWC", target="CHW"), _images()),
        (Reshape(shape=[-1]), _images()),
        (Crop(width=3, height=4, position="bottom_left"), _images()),
        (Crop(fraction=0.5), _images()),
        (Pad(width=9, height=9, value=128), _images()),
        (Color(source="RGB", target="L"), _images()),
        (Color(source="BGR", target="RGB"), _images()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ArrayStep) else "",
)
def test_a_batch_gives_what_its_samples_give(step: ArrayStep, batch: np.ndarray[Any, Any]) -> None:
    """Whole batches take another path than samples, and must give the same values and dtype."""
    before = batch.copy()
    together = step.apply_batch(batch)
    one_by_one = np.stack([step.apply(sample) for sample in batch])
    np.testing.assert_array_equal(together, one_by_one)
    assert together.dtype == one_by_one.dtype
    np.testing.assert_array_equal(batch, before)  # the dataset's memory is never written to


@given(
    hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.sampled_from(["int8", "uint8", "int16", "uint32", "int64", "uint64"]),
)
def test_cast_to_integers_keeps_the_value_or_refuses(values: np.ndarray[Any, Any], dtype: Any) -> None:
    """numpy's own cast wraps around or is undefined for what does not fit: a silently wrong input."""
    step = Cast(dtype=dtype)
    limits = np.iinfo(dtype)
    fits = all(np.isfinite(value) and limits.min <= int(value) <= limits.max for value in values)
    if fits:
        assert [int(each) for each in step.apply(values)] == [int(value) for value in values]
    else:
        with pytest.raises(PreprocessingError, match=r"step 'cast': values from .* do not fit"):
            step.apply(values)


@given(hnp.arrays(np.int64, st.integers(1, 8)), st.sampled_from(["int8", "uint8", "int32", "uint64"]))
def test_cast_between_integers_keeps_the_value_or_refuses(values: np.ndarray[Any, Any], dtype: Any) -> None:
    limits = np.iinfo(dtype)
    try:
        cast = Cast(dtype=dtype).apply(values)
    except PreprocessingError:
        assert any(not limits.min <= int(value) <= limits.max for value in values)
    else:
        assert cast.tolist() == values.tolist()


def test_cast_refuses_a_float_overflow() -> None:
    with pytest.raises(PreprocessingError, match="do not fit float16"):
        Cast(dtype="float16").apply(np.array([1e6], dtype=np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("step", [Scale(factor=1 / 255, offset=0.1), Normalise(mean=[0.5], std=[0.25], axis=0)])
def test_floating_dtypes_stay_what_they_are(step: ArrayStep, dtype: str) -> None:
    assert step.apply(np.ones((1, 2, 2), dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("step", [Scale(factor=2), Normalise(mean=1, std=1)])
def test_integers_are_not_promoted_silently(step: ArrayStep) -> None:
    with pytest.raises(PreprocessingError, match=f"step '{step.name}': needs a floating-point dtype, not uint8"):
        step.apply(np.ones((2, 2), dtype=np.uint8))


def test_normalise_by_channel_matches_the_formula() -> None:
    image = _images(1, dtype="float32")[0]
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    expected = (image - np.array(mean, np.float32)) / np.array(std, np.float32)
    np.testing.assert_array_equal(Normalise(mean=mean, std=std, axis=-1).apply(image), expected)
    channels_first = Normalise(mean=mean, std=std, axis=0).apply(image.transpose(2, 0, 1))
    np.testing.assert_array_equal(channels_first, expected.transpose(2, 0, 1))


def test_normalise_names_the_channels_it_was_given_and_found() -> None:
    step = Normalise(mean=[1, 2, 3], std=1, axis=0)
    with pytest.raises(PreprocessingError, match="3 channels given, but dimension 0 of a sample of shape 5×7×3 has 5"):
        step.apply(_images(1, dtype="float32")[0])


@given(
    st.permutations("ABCD").flatmap(lambda letters: st.tuples(st.just("".join(letters)), st.permutations(letters))),
    st.integers(1, 3),
)
def test_layout_moves_each_element_with_its_dimensions(layouts: tuple[str, list[str]], batch: int) -> None:
    """An element's place is named by its dimensions' letters, whatever their order."""
    source, target = layouts[0], "".join(layouts[1])
    sizes = {"A": 2, "B": 3, "C": 4, "D": 5}
    array = np.arange(batch * 120).reshape(batch, *(sizes[letter] for letter in source))
    moved = Layout(source=source, target=target).apply_batch(array)
    np.testing.assert_array_equal(moved, np.einsum(f"n{source.lower()}->n{target.lower()}", array))


def test_layout_adds_and_removes_dimensions_of_size_one() -> None:
    grey = np.arange(12).reshape(3, 4)
    added = Layout(source="HW", target="CHW").apply(grey)
    assert added.shape == (1, 3, 4)
    np.testing.assert_array_equal(Layout(source="CHW", target="HW").apply(added), grey)
    assert Layout(source="HW", target="WHC").apply(grey).shape == (4, 3, 1)
    with pytest.raises(PreprocessingError, match="cannot remove dimension C of size 3"):
        Layout(source="HWC", target="HW").apply(_images(1)[0])
    with pytest.raises(PreprocessingError, match="HWC does not describe a sample of shape 3×4"):
        Layout(source="HWC", target="CHW").apply(grey)


@pytest.mark.parametrize(
    ("position", "row", "column"),
    [("center", 1, 1), ("top_left", 0, 0), ("top_right", 0, 3), ("bottom_left", 3, 0), ("bottom_right", 3, 3)],
)
def test_crop_and_pad_place_what_they_cut_or_keep(position: Any, row: int, column: int) -> None:
    image = np.arange(36, dtype=np.uint8).reshape(6, 6)
    cut = Crop(width=3, height=3, position=position).apply(image)
    assert cut[0, 0] == image[row, column]
    back = Pad(width=6, height=6, value=0, position=position).apply(cut)
    np.testing.assert_array_equal(back[row : row + 3, column : column + 3], cut)
    assert back.sum() == cut.sum()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Crop(width=8, height=2), r"cannot cut 8×2 \(width × height\) out of an image of 7×5"),
        (Pad(width=6, height=9, value=0), r"an image of 7×5 \(width × height\) does not fit on 6×9"),
        (Pad(width=9, height=9, value=256), "value 256.0 does not fit uint8"),
        (Pad(width=9, height=9, value=0.5), "value 0.5 does not fit uint8"),
        (Reshape(shape=[4, -1]), r"a sample of shape 5×7×3 cannot take shape \[4, -1\]"),
        (Color(source="L", target="RGB"), "an image in L has shape H×W, not 5×7×3"),
    ],
)
def test_what_does_not_fit_names_the_step_and_the_sizes(step: ArrayStep, message: str) -> None:
    with pytest.raises(PreprocessingError, match=f"step '{step.name}': {message}"):
        step.apply(_images(1)[0])


@pytest.mark.parametrize("step", [Cast(dtype="uint8"), Crop(fraction=0.5), Reshape(shape=[-1])])
def test_encoded_bytes_ask_for_a_decode_step(step: ArrayStep) -> None:
    with pytest.raises(PreprocessingError, match="needs an array, not bytes; put a decode step first"):
        step.apply(b"\xff\xd8")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("normalise", {"mean": [1, 2], "std": [1, 2]}, "axis is needed"),
        ("normalise", {"mean": 1, "std": 1, "axis": 0}, "axis has no meaning"),
        ("normalise", {"mean": [1, 2], "std": [1], "axis": 0}, "different numbers of channels"),
        ("normalise", {"mean": [1.0], "std": [0.0], "axis": 0}, "std must not be zero"),
        ("layout", {"source": "NHWC", "target": "NCHW"}, "leave N out"),
        ("layout", {"source": "HHC", "target": "CH"}, "names a dimension twice"),
        ("crop", {"width": 3}, "give either width and height, or fraction"),
        ("crop", {"width": 3, "height": 3, "fraction": 0.5}, "give either width and height, or fraction"),
        ("reshape", {"shape": [-1, -1]}, "one of them may be -1"),
        ("cast", {"dtype": "float"}, "float16"),
        ("scale", {"factor": float("nan")}, "finite"),
        ("normalise", {"mean": float("nan"), "std": 1.0}, "finite"),
        ("normalise", {"mean": [0.0, 0.0], "std": [1.0, float("inf")], "axis": 0}, "finite"),
        ("pad", {"width": 3, "height": 3, "value": float("nan")}, "finite"),
    ],
)
def test_impossible_parameters_are_refused_early(name: str, parameters: dict[str, Any], message: str) -> None:
    step = next(step for step in SHIPPED_PREPROCESSING_STEPS if step.name == name)
    with pytest.raises(ValidationError, match=message):
        step(**parameters)


def test_grey_is_pillows_grey() -> None:
    """The step's fixed point is documented as Pillow's, so that a pipeline may convert before or after."""
    image = pytest.importorskip("PIL.Image")
    pixels = _images(1, 64, 64)[0]
    expected = np.asarray(image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(Color(source="RGB", target="L").apply(pixels), expected)
