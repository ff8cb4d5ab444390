"""The shipped preprocessing."""

from __future__ import annotations

from pytest_mlscope.components.preprocessing.base import PreprocessingStep

SHIPPED_PREPROCESSING_STEPS: tuple[type[PreprocessingStep], ...] = ()
