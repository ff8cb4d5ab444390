"""The shipped datasets."""

from __future__ import annotations

from pytest_mlscope.components.datasets.base import Dataset
from pytest_mlscope.components.datasets.sklearn_bundled import Sklearn

SHIPPED_DATASETS: tuple[type[Dataset], ...] = (Sklearn,)
