"""The shipped datasets."""

from __future__ import annotations

from pytest_mlscope.components.datasets.base import Dataset

SHIPPED_DATASETS: tuple[type[Dataset], ...] = ()
