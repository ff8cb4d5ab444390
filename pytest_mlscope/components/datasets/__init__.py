"""The shipped datasets."""

from __future__ import annotations

from pytest_mlscope.components.datasets.base import Dataset
from pytest_mlscope.components.datasets.csv_table import Csv
from pytest_mlscope.components.datasets.image_folder import ImageFolder
from pytest_mlscope.components.datasets.npy import Npy
from pytest_mlscope.components.datasets.npz import Npz
from pytest_mlscope.components.datasets.parquet import Parquet
from pytest_mlscope.components.datasets.random_rows import Random
from pytest_mlscope.components.datasets.sklearn_bundled import Sklearn

SHIPPED_DATASETS: tuple[type[Dataset], ...] = (Sklearn, ImageFolder, Npz, Npy, Csv, Parquet, Random)
