"""The shipped post-processing steps."""

from __future__ import annotations

from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.components.postprocessing.classes import Argmax, Threshold, TopK
from pytest_mlscope.components.postprocessing.scores import Sigmoid, Softmax

SHIPPED_POSTPROCESSING_STEPS: tuple[type[PostprocessingStep], ...] = (Softmax, Sigmoid, Argmax, TopK, Threshold)
