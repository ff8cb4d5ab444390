"""The shipped postprocessing."""

from __future__ import annotations

from pytest_mlscope.components.postprocessing.base import PostprocessingStep

SHIPPED_POSTPROCESSING_STEPS: tuple[type[PostprocessingStep], ...] = ()
