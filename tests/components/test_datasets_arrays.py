"""Datasets of arrays: npz, npy, random, and those of scikit-learn."""

from __future__ import annotations

import hashlib
import io
import math
import os
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_mlscope.components.datasets.base import DataSource, InputDescription
from pytest_mlscope.components.datasets.npy import Npy
from pytest_mlscope.components.datasets.npz import Npz
from pytest_mlscope.components.datasets.random_rows import Random
from pytest_mlscope.components.datasets.sklearn_bundled import Sklearn
from pytest_mlscope.errors import DatasetError, IntegrityError

_X = np.arange(60, dtype=np.float32).reshape(20, 3)
_Y = np.arange(20, dtype=np.int16)


def _take(source: DataSource, rows: Any, column: str) -> np.ndarray[Any, Any]:
    return np.asarray(source.take(np.asarray(rows, dtype=np.int64), [column])[column])


@pytest.fixture(params=["stored", "compressed"])
def npz(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    save = np.savez if request.param == "stored" else np.savez_compressed
    save(tmp_path / "data.npz", x=_X, y=_Y, fortran=np.asfortranarray(_X))
    return tmp_path / "data.npz"


@pytest.mark.parametrize("column", ["x", "fortran"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(steps=st.lists(st.sets(st.integers(0, 19)), max_size=3))
def test_npz_rows_are_the_arrays_rows(npz: Path, column: str, steps: list[set[int]]) -> None:
    """Whatever ascending rows are asked for, by seeking or by decompressing forward, also after going back."""
    source = Npz(path="data.npz").open(npz.parent, [])
    for rows in steps:
        np.testing.assert_array_equal(_take(source, sorted(rows), column), _X[sorted(rows)])
    source.rewind()
    np.testing.assert_array_equal(_take(source, [0, 1], column), _X[:2])
    source.close()


def test_npz_knows_its_columns_and_length(npz: Path) -> None:
    source = Npz(path="data.npz").open(npz.parent, [])
    assert source.columns == ("x", "y", "fortran")
    assert len(source) == 20
    assert _take(source, [3, 4], "y").dtype == np.int16
    source.close()


def test_a_large_compressed_array_is_not_loaded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is asked for is decompressed into memory."""
    np.savez_compressed(tmp_path / "data.npz", x=np.zeros((100_000, 64), dtype=np.float64))
    sizes = []
    read = zipfile.ZipExtFile.read

    def spy(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        data = read(self, n)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", spy)
    source = Npz(path="data.npz").open(tmp_path, [])
    assert _take(source, range(90_000, 90_010), "x").shape == (10, 64)
    assert max(sizes) <= 2**20
    source.close()


def test_npz_arrays_of_different_lengths_need_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=_X, y_train=_Y, x_test=_X[:5], y_test=_Y[:5])
    with pytest.raises(DatasetError, match=r"arrays differ in their number of rows: x_train \[20, 3\].*`columns`"):
        Npz(path="mnist.npz").open(tmp_path, [])
    source = Npz(path="mnist.npz", columns={"image": "x_test", "label": "y_test"}).open(tmp_path, [])
    assert source.columns == ("image", "label")
    assert len(source) == 5
    source.close()
    with pytest.raises(DatasetError, match="no column 'x_tst'; did you mean 'x_test'"):
        Npz(path="mnist.npz", columns={"image": "x_tst"}).open(tmp_path, [])


def test_npz_with_python_objects_is_refused(tmp_path: Path) -> None:
    """Unpickling runs code: a dataset is untrusted data."""
    np.savez(tmp_path / "data.npz", x=np.array([{}, {}], dtype=object))
    with pytest.raises(DatasetError, match="array 'x' holds Python objects"):
        Npz(path="data.npz").open(tmp_path, [])


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\x05\x06" + b"\0" * 18], ids=["empty", "text", "no members"]
)
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"data\.npz"):
        Npz(path="data.npz").open(tmp_path, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_npz_is_one_clear_error_or_harmless(npz: Path, place: float, value: int, cut: bool) -> None:
    """Whatever byte is wrong, a user gets our error and never zipfile's, numpy's or zlib's."""
    data = bytearray(npz.read_bytes())
    position = int(place * len(data))
    data[position] = value
    damaged = npz.parent / "damaged.npz"
    damaged.write_bytes(data[:position] if cut else data)
    message = "damaged.npz"
    try:
        source = Npz(path="damaged.npz").open(npz.parent, [])
        source.take(np.arange(len(source)), source.columns)
        source.close()
    except DatasetError as error:
        message = str(error)
    assert "damaged.npz" in message
    assert "\n" not in message


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", b"not numpy's format")
    with pytest.raises(DatasetError, match="array 'x': cannot be read"):
        Npz(path="data.npz").open(tmp_path, [])


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": (10**12,), "fortran_order": False, "descr": "<f8"})
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue())
    with pytest.raises(DatasetError, match="array 'x' is cut short"):
        Npz(path="data.npz").open(tmp_path, [])


def _sparse(path: Path, shape: tuple[int, ...]) -> None:
    """An array of zeros, of which the disk holds next to nothing."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": "<f4"})
        stream.truncate(stream.tell() + 4 * math.prod(shape))


def test_an_array_larger_than_memory_is_read_row_by_row(tmp_path: Path) -> None:
    _sparse(tmp_path / "x.npy", (2**30, 2**10))
    source = Npy(columns={"x": "x.npy"}).open(tmp_path, [])
    assert _take(source, [0, 1, 2**29, 2**30 - 1], "x").shape == (4, 2**10)
    source.close()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(20,), (20, 3), (20, 2, 3), (20, 0), (0, 3)], ids=str)
def test_npy_rows_are_the_arrays_rows(tmp_path: Path, order: Literal["C", "F"], shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape), dtype=">i4").reshape(shape, order=order)
    np.save(tmp_path / "x.npy", array)
    source = Npy(columns={"x": "x.npy"}).open(tmp_path, [])
    for rows in ([], [0], [2, 3, 4], [1, 2, 5, 19], range(20)):
        if len(array) or not rows:
            taken = _take(source, rows, "x")
            np.testing.assert_array_equal(taken, array[np.asarray(rows, dtype=np.int64)])
            assert taken.dtype == array.dtype
    source.close()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_file_that_is_cut_short_while_it_is_read_is_one_line(
    tmp_path: Path, kind: str, order: Literal["C", "F"]
) -> None:
    """Mapped, it would be a SIGBUS, which ends pytest without a report."""
    rows = np.ones((10_000, 64), np.float32, order=order)
    if kind == "npy":
        np.save(tmp_path / "x.npy", rows)
        source = Npy(columns={"x": "x.npy"}).open(tmp_path, [])
    else:
        np.savez(tmp_path / "x.npz", x=rows)
        source = Npz(path="x.npz").open(tmp_path, [])
    assert _take(source, [0, 9_999], "x").shape == (2, 64)
    os.truncate(tmp_path / f"x.{kind}", 4096)
    with pytest.raises(DatasetError, match=rf"x\.{kind}.* was cut short by another program while it was read"):
        _take(source, [0, 9_999], "x")
    source.close()


def test_a_header_that_promises_more_rows_than_there_are_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", _X)
    os.truncate(tmp_path / "x.npy", 128 + 40)
    with pytest.raises(DatasetError, match=r"x\.npy is cut short: its header says 240 bytes, and 40 follow"):
        Npy(columns={"x": "x.npy"}).open(tmp_path, [])


def test_files_are_verified_before_use(npz: Path) -> None:
    digest = hashlib.sha256(npz.read_bytes()).hexdigest()
    Npz(path="data.npz", sha256=digest).open(npz.parent, []).close()
    np.savez(npz, x=_X + 1)
    with pytest.raises(IntegrityError, match=f"the manifest says {digest}"):
        Npz(path="data.npz", sha256=digest).open(npz.parent, [])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"absent\.npz: no such dataset file"):
        Npz(path="absent.npz").open(tmp_path, [])
    with pytest.raises(DatasetError, match="is a folder, not a file"):
        Npz(path=".").open(tmp_path, [])


def test_npy_columns_are_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", _X)
    np.save(tmp_path / "y.npy", _Y)
    source = Npy(columns={"image": "x.npy", "label": "y.npy"}).open(tmp_path, [])
    assert (source.columns, len(source)) == (("image", "label"), 20)
    np.testing.assert_array_equal(_take(source, [1, 5, 6], "image"), _X[[1, 5, 6]])
    with pytest.raises(DatasetError, match="no column 'lable'; did you mean 'label'"):
        source.take(np.arange(1), ["lable"])
    source.close()


def test_npy_columns_are_of_one_length(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", _X)
    np.save(tmp_path / "y.npy", _Y[:3])
    with pytest.raises(DatasetError, match="differ in their number of rows: x 20, y 3"):
        Npy(columns={"x": "x.npy", "y": "y.npy"}).open(tmp_path, [])


def test_npy_refuses_objects_damage_and_unknown_digests(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    (tmp_path / "text.npy").write_text("nothing")
    for name in ("objects", "text"):
        with pytest.raises(DatasetError, match=f"{name}.npy: cannot be read"):
            Npy(columns={"x": f"{name}.npy"}).open(tmp_path, [])
    with pytest.raises(ValidationError, match="sha256 names 'y', which is not a column"):
        Npy(columns={"x": "x.npy"}, sha256={"y": "0" * 64})


@given(
    st.sampled_from([("normal", "float32"), ("uniform", "float64"), ("integers", "uint8"), ("normal", "float16")]),
    st.integers(0, 2**32 - 1),
    st.sets(st.integers(0, 3000), min_size=1, max_size=5),
)
@settings(max_examples=40)
def test_random_rows_do_not_depend_on_what_is_read_with_them(kind: tuple[Any, str], seed: int, rows: set[int]) -> None:
    """A batch size must not change a model's inputs, or cases with different batch sizes are not comparable."""
    distribution, dtype = kind
    bounds: dict[str, Any] = {} if distribution == "normal" else {"low": 0.0, "high": 9.0}
    dataset = Random(count=5000, seed=seed, distribution=distribution, **bounds)
    inputs = [InputDescription("image", dtype, (7, 5))]
    together = _take(dataset.open(Path(), inputs), sorted(rows), "image")
    one_by_one = [_take(dataset.open(Path(), inputs), [row], "image")[0] for row in sorted(rows)]
    np.testing.assert_array_equal(together, np.stack(one_by_one))
    assert together.dtype == dtype


def test_random_rows_inputs_and_seeds_differ() -> None:
    inputs = [InputDescription("a", "float32", (4,)), InputDescription("b", "float32", (4,))]
    source = Random(count=40_000).open(Path(), inputs)
    values = source.take(np.array([0, 1, 39_999]), ["a", "b"])
    other = Random(count=40_000, seed=1).open(Path(), inputs).take(np.array([0]), ["a"])
    distinct = {np.asarray(row).tobytes() for column in (*values.values(), other["a"]) for row in column}
    assert len(distinct) == 7


def test_random_values_follow_the_distribution() -> None:
    def drawn(dtype: str, **parameters: Any) -> np.ndarray[Any, Any]:
        source = Random(count=1000, **parameters).open(Path(), [InputDescription("x", dtype, (100,))])
        return _take(source, range(1000), "x")

    normal = drawn("float32")
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    uniform = drawn("float32", distribution="uniform", low=-2.0, high=4.0)
    assert uniform.min() >= -2
    assert uniform.max() < 4
    assert abs(uniform.mean() - 1) < 0.05
    assert set(drawn("int64", distribution="integers", low=3.0, high=6.0).ravel().tolist()) == {3, 4, 5}
    assert set(drawn("uint8", distribution="integers", low=0.0, high=256.0).ravel().tolist()) == set(range(256))


@pytest.mark.parametrize(
    ("parameters", "declared", "message"),
    [
        ({}, ("int64", (3,)), "input 'x' is int64; use distribution: integers"),
        ({}, ("float32", (3, None)), "has dynamic dimensions; give a sample's sizes under `shapes`"),
        ({"shapes": {"x": [4, 5]}}, ("float32", (3, None)), r"shape \[4, 5\] does not fit input 'x'"),
        ({"shapes": {"y": [4]}}, ("float32", (4,)), "shapes names 'y', which is not an input"),
        ({"distribution": "integers", "low": 0, "high": 257}, ("uint8", ()), "values from 0 to 256 do not fit"),
        ({"distribution": "integers", "low": -1, "high": 2}, ("uint8", ()), "values from -1 to 1 do not fit"),
        ({"distribution": "integers", "low": 0, "high": 3}, ("bool", ()), "values from 0 to 2 do not fit"),
    ],
)
def test_random_inputs_that_cannot_be_drawn_are_refused(
    parameters: dict[str, Any], declared: tuple[str, Any], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        Random(count=1, **parameters).open(Path(), [InputDescription("x", *declared)])


def test_random_integers_may_be_one_number() -> None:
    """Such as the token types of a text without a second sentence."""
    dataset = Random(count=2, distribution="integers", low=0, high=1)
    values = dataset.open(Path(), [InputDescription("types", "int64", (3,))]).take(np.arange(2), ["types"])
    assert np.array_equal(values["types"], np.zeros((2, 3), np.int64))


def test_random_shapes_fill_dynamic_dimensions() -> None:
    dataset = Random(count=2, shapes={"x": [3, 9]})
    assert _take(dataset.open(Path(), [InputDescription("x", "float32", (3, None))]), [0, 1], "x").shape == (2, 3, 9)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"low": 1}, "no meaning for distribution normal"),
        ({"distribution": "uniform", "low": 1, "high": 1}, "must be less than high"),
        ({"distribution": "integers", "low": 0, "high": 1.5}, "must be whole numbers"),
    ],
)
def test_random_bounds_are_checked(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Random(count=1, **parameters)


@pytest.mark.parametrize(
    ("name", "rows", "classes"),
    [("digits", 1797, 10), ("iris", 150, 3), ("wine", 178, 3), ("breast_cancer", 569, 2), ("diabetes", 442, None)],
)
def test_scikit_learns_datasets(name: str, rows: int, classes: int | None) -> None:
    source = Sklearn.model_validate({"name": name}).open(Path(), [])
    assert len(source) == rows
    assert (None if source.class_names is None else len(source.class_names)) == classes
    features = _take(source, [0, rows - 1], "data")
    if name == "digits":
        np.testing.assert_array_equal(_take(source, [0, rows - 1], "images").reshape(2, 64), features)
    else:
        named = [column for column in source.columns if column not in ("data", "target")]
        np.testing.assert_array_equal(np.stack([_take(source, [0, rows - 1], each) for each in named], 1), features)
    with pytest.raises(ValueError, match="read-only"):
        _take(source, [0], "data")[0] = 1
