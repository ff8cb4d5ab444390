"""Datasets that could hang, take all memory, or say what no array has: refused in one line each."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.components.datasets.base import Dataset
from pytest_mlscope.components.datasets.csv_table import Csv
from pytest_mlscope.components.datasets.image_folder import ImageFolder
from pytest_mlscope.components.datasets.npy import Npy
from pytest_mlscope.components.datasets.npz import Npz
from pytest_mlscope.errors import DatasetError


def _one_file(path: str) -> Mapping[str, Dataset]:
    datasets: dict[str, Dataset] = {
        "csv": Csv(path=path),
        "csv-sha256": Csv(path=path, sha256="0" * 64),
        "npz": Npz(path=path),
        "npy": Npy(columns={"x": path}),
        "labels": ImageFolder(path=".", labels_csv=path),
    }
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return datasets
    from pytest_mlscope.components.datasets.parquet import Parquet

    return {**datasets, "parquet": Parquet(path=path)}


@pytest.mark.parametrize("kind", _one_file("x"))
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("fifo", "it is a FIFO, not an ordinary file; a dataset is read from ordinary files"),
        ("/dev/zero", "it is a device, not an ordinary file"),
        (".", "it is a folder, not a file"),
        ("a\0b", "its path has a NUL character"),
    ],
)
def test_datasets_are_ordinary_files(kind: str, path: str, said: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DatasetError) as caught:
        _one_file(path)[kind].open(tmp_path, [])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_are_ordinary_files(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"x")
    os.mkfifo(tmp_path / "cat" / "b.png")
    with pytest.raises(DatasetError, match=r"b\.png: is not an ordinary file"):
        ImageFolder(path=".").open(tmp_path, [])


def test_an_image_that_became_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    image = tmp_path / "cat" / "a.png"
    image.write_bytes(b"x")
    source = ImageFolder(path=".").open(tmp_path, [])
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(DatasetError, match="row 0 cannot be read: it is a FIFO"):
        source.take(np.array([0]), ["image"])


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    """A file of gigabytes of zeros would otherwise be one line in memory."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,")
    os.truncate(path, 2**40)  # sparse: it takes no room
    with pytest.raises(DatasetError, match=r"rows\.csv: cannot be read as CSV: a line has more than 67,108,864"):
        Csv(path="rows.csv").open(tmp_path, [])


def _npy(shape: str, *, data: bytes = b"\0" * 64) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


SHAPES = [
    "(-4, 2)",
    "(4, -1)",
    "(True, 4)",
    "(2, True)",
    "(0, 1125899906842624, 8192)",
    "(1125899906842624, 0)",
    "(1125899906842624, 1125899906842624)",
    "(4, 1125899906842624)",
    f"({'9' * 5000},)",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["npy", "stored", "compressed"])
def test_a_damaged_header_is_one_line(kind: str, shape: str, tmp_path: Path) -> None:
    content = _npy(shape)
    if kind == "npy":
        (tmp_path / "x.npy").write_bytes(content)
        dataset: Dataset = Npy(columns={"x": "x.npy"})
    else:
        compression = zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED
        with zipfile.ZipFile(tmp_path / "x.npz", "w", compression) as archive:
            archive.writestr("x.npy", content)
        dataset = Npz(path="x.npz")
    with pytest.raises(DatasetError) as caught:
        dataset.open(tmp_path, [])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "x.np"))


def test_a_header_that_claims_more_than_the_archive_holds_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 3), np.float32))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", stream.getvalue()[:-4])
    with pytest.raises(DatasetError, match="array 'x' is cut short"):
        Npz(path="x.npz").open(tmp_path, [])


def test_arrays_know_their_rows_shape_before_one_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4)))
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((2, 3, 4)))
    opened: Any = [Npy(columns={"x": "x.npy"}).open(tmp_path, []), Npz(path="x.npz").open(tmp_path, [])]
    assert [source.row_shape("x") for source in opened] == [(3, 4), (3, 4)]
    for source in opened:
        source.close()


@pytest.mark.slow
def test_a_csv_of_a_hundred_thousand_columns_is_quick(tmp_path: Path) -> None:
    """Columns are looked up, not searched for: a search for each would be ten thousand million comparisons."""
    names = [f"column_{number}" for number in range(100_000)]
    (tmp_path / "rows.csv").write_text(",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n")
    source = Csv(path="rows.csv", columns={"x": names}).open(tmp_path, [])
    taken = source.take(np.array([0]), ["x"])["x"]
    source.close()
    assert isinstance(taken, np.ndarray)
    assert taken.shape == (1, 100_000)
    with pytest.raises(DatasetError, match="no column 'colum_7'"):
        Csv(path="rows.csv", columns={"x": ["colum_7"]}).open(tmp_path, [])


def test_folders_without_an_end_are_one_line(tmp_path: Path) -> None:
    """Folders nested without end are refused before Python's stack is used up."""
    (tmp_path / "cat" / "/".join(["a"] * 300)).mkdir(parents=True)
    with pytest.raises(DatasetError, match="has folders more than 64 levels deep"):
        ImageFolder(path=".").open(tmp_path, [])
