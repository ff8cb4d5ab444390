"""The shipped pre-processing steps."""

from __future__ import annotations

from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.preprocessing.cast import Cast
from pytest_mlscope.components.preprocessing.color import Color
from pytest_mlscope.components.preprocessing.crop import Crop
from pytest_mlscope.components.preprocessing.decode import Decode
from pytest_mlscope.components.preprocessing.layout import Layout
from pytest_mlscope.components.preprocessing.normalise import Normalise
from pytest_mlscope.components.preprocessing.pad import Pad
from pytest_mlscope.components.preprocessing.reshape import Reshape
from pytest_mlscope.components.preprocessing.resize import Resize
from pytest_mlscope.components.preprocessing.scale import Scale

SHIPPED_PREPROCESSING_STEPS: tuple[type[PreprocessingStep], ...] = (
    Decode,
    Color,
    Resize,
    Crop,
    Pad,
    Cast,
    Scale,
    Normalise,
    Layout,
    Reshape,
)
