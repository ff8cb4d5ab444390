"""Datasets of tables: csv and parquet."""

from __future__ import annotations

import csv
import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mlscope.components.datasets.base import DataSource
from pytest_mlscope.components.datasets.csv_table import Csv
from pytest_mlscope.components.datasets.parquet import Parquet
from pytest_mlscope.errors import DatasetError, IntegrityError

_FLOWERS = "a,b,species\n1,2,setosa\n3,4.5,virginica\n\n5,6,setosa\n"


def _write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, "utf-8")
    return path


def _take(source: DataSource, rows: Any, column: str) -> Any:
    return source.take(np.asarray(list(rows), dtype=np.int64), [column])[column]


def test_csv_columns_are_text_numbers_and_vectors(tmp_path: Path) -> None:
    _write(tmp_path, _FLOWERS)
    dataset = Csv(path="table.csv", columns={"features": ["b", "a"]}, dtypes={"features": "float32", "a": "int64"})
    source = dataset.open(tmp_path, [])
    assert source.columns == ("a", "b", "species", "features")
    assert len(source) == 3  # an empty line is no row
    taken = source.take(np.array([0, 2]), ["features", "a", "species", "b"])
    np.testing.assert_array_equal(taken["features"], np.array([[2, 1], [6, 5]], dtype=np.float32))
    assert np.asarray(taken["features"]).dtype == np.float32
    assert np.asarray(taken["a"]).dtype == np.int64
    assert taken["species"] == ["setosa", "setosa"]
    assert taken["b"] == ["2", "6"]
    source.close()


def test_csv_vectors_are_float64_unless_told(tmp_path: Path) -> None:
    _write(tmp_path, _FLOWERS)
    with closing(Csv(path="table.csv", columns={"features": ["a", "b"]}).open(tmp_path, [])) as source:
        assert _take(source, [1], "features").tolist() == [[3.0, 4.5]]
        assert _take(source, [2], "features").dtype == np.float64


_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(st.tuples(_CELLS, _CELLS), min_size=1, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t"]),
    data=st.data(),
)
def test_csv_gives_back_what_was_written(
    tmp_path: Path, rows: list[tuple[str, str]], delimiter: str, data: st.DataObject
) -> None:
    """Quotes, delimiters and line breaks inside fields are where line-counting readers lose their place."""
    with (tmp_path / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([("a", "b"), *rows])
    with closing(Csv(path="table.csv", delimiter=delimiter).open(tmp_path, [])) as source:
        assert len(source) == len(rows)
        wanted = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)))
        assert _take(source, wanted, "b") == [rows[row][1] for row in wanted]
        source.rewind()
        assert _take(source, [0], "a") == [rows[0][0]]


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("a,b\n1,2\n3\n", {}, "row 1 has 1 fields, the first line 2"),
        ("a,b\n1,2\n3,x\n", {"dtypes": {"b": "float32"}}, "row 1, column 'b': 'x' is not a finite float32 number$"),
        ("a,b\n1,2\n3,300\n", {"dtypes": {"b": "uint8"}}, "row 1, column 'b': '300' is not a uint8 number"),
        ("a,b\n1,2\n3,1.5\n", {"dtypes": {"b": "int64"}}, "row 1, column 'b': '1.5' is not a int64 number"),
        ("a,b\n1,2\n3,\n", {"columns": {"f": ["a", "b"]}}, "row 1, column 'b': '' is not a finite float64 number"),
        ("a,b\n1,2\n", {"columns": {"f": ["a", "bb"]}}, "no column 'bb'; did you mean 'b'"),
        ("a,b\n1,2\n", {"dtypes": {"c": "int8"}}, "no column 'c'; columns: a, b"),
        ("a,a\n1,2\n", {}, "names 'a' twice"),
        ("", {}, "is empty; the first line names the columns"),
    ],
)
def test_csv_mistakes_name_the_row(tmp_path: Path, text: str, parameters: dict[str, Any], message: str) -> None:
    _write(tmp_path, text)

    def read() -> None:
        with closing(Csv(path="table.csv", **parameters).open(tmp_path, [])) as source:
            source.take(np.arange(len(source)), source.columns)

    with pytest.raises(DatasetError, match=message):
        read()


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity", "", "NA", "1e999", "1_000", "1,5"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_csv_takes_finite_numbers_alone(tmp_path: Path, text: str, dtype: str) -> None:
    """Such a row would be predicted, and its prediction counted, as if nothing were wrong."""
    _write(tmp_path, f'a,b\n1,2\n3,"{text}"\n')
    dataset = Csv(path="table.csv", columns={"f": ["a", "b"]}, dtypes={"f": dtype})  # type: ignore[dict-item]
    with closing(dataset.open(tmp_path, [])) as source, pytest.raises(DatasetError) as caught:
        source.take(np.arange(2), ["f"])
    assert f"row 1, column 'b': {text!r} is not a finite {dtype} number" in str(caught.value)
    assert ("`missing: [" in str(caught.value)) == (text in ("nan", "NaN", "", "NA"))


def test_csv_half_precision_does_not_overflow(tmp_path: Path) -> None:
    _write(tmp_path, "a\n70000\n")
    message = "row 0, column 'a': '70000' is not a finite float16 number"
    with (
        closing(Csv(path="table.csv", dtypes={"a": "float16"}).open(tmp_path, [])) as source,
        pytest.raises(DatasetError, match=message),
    ):
        source.take(np.arange(1), ["a"])


def test_csv_missing_values_are_declared(tmp_path: Path) -> None:
    _write(tmp_path, "a,b,c\n1,NA,x\n,4,NA\n")
    dataset = Csv(path="table.csv", columns={"f": ["a", "b"]}, missing=["", "NA"])
    with closing(dataset.open(tmp_path, [])) as source:
        taken = source.take(np.arange(2), ["f", "c"])
    np.testing.assert_array_equal(taken["f"], [[1, np.nan], [np.nan, 4]])
    assert list(taken["c"]) == ["x", "NA"]


def test_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DatasetError, match="cannot be read as CSV"):
        Csv(path="table.csv").open(tmp_path, [])


def test_csv_is_verified_before_use(tmp_path: Path) -> None:
    path = _write(tmp_path, _FLOWERS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    Csv(path="table.csv", sha256=digest).open(tmp_path, []).close()
    _write(tmp_path, _FLOWERS + "7,8,setosa\n")
    with pytest.raises(IntegrityError, match="sha256 is"):
        Csv(path="table.csv", sha256=digest).open(tmp_path, [])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """25 rows in row groups of 10."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    count = 25
    columns = {
        "a": pa.array(range(count), pa.int32()),
        "b": pa.array([row / 2 for row in range(count)], pa.float32()),
        "species": pa.array([f"s{row % 3}" for row in range(count)]).dictionary_encode(),
        "image": pa.array([{"bytes": bytes([row]), "path": f"{row}.jpg"} for row in range(count)]),
        "vector": pa.array([[row, row + 1.0] for row in range(count)], pa.list_(pa.float32())),
        "matrix": pa.array([[[row, 1], [2, 3], [4, 5]] for row in range(count)], pa.list_(pa.list_(pa.int16()))),
        "fixed": pa.array([[row] * 4 for row in range(count)], pa.list_(pa.uint8(), 4)),
        "ragged": pa.array([[1.0] * (row % 3) for row in range(count)]),
    }
    parquet.write_table(pa.table(columns), tmp_path / "table.parquet", row_group_size=10)
    return tmp_path / "table.parquet"


def test_parquet_columns(table: Path) -> None:
    """Structs are opened, lists become arrays, numbers keep their dtype, and a group is a vector in its own order."""
    source = Parquet(path="table.parquet", columns={"features": ["b", "a"]}).open(table.parent, [])
    assert len(source) == 25
    assert source.columns == (
        *("a", "b", "species", "image.bytes", "image.path", "vector", "matrix", "fixed", "ragged", "features"),
    )
    rows = [0, 8, 9, 10, 24]
    taken = source.take(np.array(rows), source.columns)
    assert np.asarray(taken["a"]).dtype == np.int32
    assert list(taken["a"]) == rows
    assert taken["species"] == [f"s{row % 3}" for row in rows]
    assert taken["image.bytes"] == [bytes([row]) for row in rows]
    np.testing.assert_array_equal(taken["vector"], np.array([[row, row + 1] for row in rows], dtype=np.float32))
    assert np.asarray(taken["matrix"]).shape == (5, 3, 2)
    assert np.asarray(taken["matrix"])[4].tolist() == [[24, 1], [2, 3], [4, 5]]
    assert np.asarray(taken["fixed"]).tolist() == [[row] * 4 for row in rows]
    assert [len(item) for item in taken["ragged"]] == [row % 3 for row in rows]
    np.testing.assert_array_equal(taken["features"], np.array([[row / 2, row] for row in rows]))
    source.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(steps=st.lists(st.sets(st.integers(0, 24), min_size=1), max_size=3))
def test_parquet_rows_across_row_groups(table: Path, steps: list[set[int]]) -> None:
    source = Parquet(path="table.parquet").open(table.parent, [])
    for rows in steps:
        assert list(_take(source, sorted(rows), "a")) == sorted(rows)
        assert np.asarray(_take(source, sorted(rows), "vector"))[:, 0].tolist() == sorted(rows)
    source.close()


def test_parquet_without_a_value_names_the_row(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": [1, 2, 3, None]}), tmp_path / "table.parquet", row_group_size=2)
    source = Parquet(path="table.parquet").open(tmp_path, [])
    assert list(_take(source, [0, 1], "a")) == [1, 2]
    with pytest.raises(DatasetError, match="row 3 has no value in column 'a'"):
        _take(source, [2], "a")


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "float32", "float64"])
def test_parquet_lists_of_different_lengths_keep_their_dtype(tmp_path: Path, dtype: str) -> None:
    """A row's dtype must not hang on the lengths of the other rows in its row group."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [[[1, 2]], [[3, 4], [5, 6]], [], [[7], [8]], [[1, 2]]]
    columns = {"flat": [[number for part in row for number in part] for row in rows], "images": rows}
    kinds = {"flat": pa.list_(pa.from_numpy_dtype(dtype)), "images": pa.list_(pa.list_(pa.from_numpy_dtype(dtype)))}
    table = pa.table({name: pa.array(column, kinds[name]) for name, column in columns.items()})
    parquet.write_table(table, tmp_path / "table.parquet", row_group_size=4)
    source = Parquet(path="table.parquet").open(tmp_path, [])
    for name, column in columns.items():
        taken = [np.asarray(sample) for sample in _take(source, list(range(len(rows))), name)]
        assert [sample.tolist() for sample in taken] == column
        assert {sample.dtype for sample in taken} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([[[1]], [[2]], [[3]], [[None]]], "row 3 has a missing value in column 'v'"),
        ([[[1]], [[2]], [[3, 4]], [[3], None]], "row 3 has a missing value in column 'v'"),
        ([[[1]], [[2]], [], [[3, None, 5]]], "row 3 has a missing value in column 'v'"),
        ([[[1]], [[2]], [[3]], [[3], [4, 5]]], "row 3 has lists of different lengths in column 'v'"),
    ],
)
def test_parquet_lists_that_are_no_array_name_the_row(tmp_path: Path, rows: Any, problem: str) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"v": pa.array(rows, pa.list_(pa.list_(pa.float32())))})
    parquet.write_table(table, tmp_path / "table.parquet", row_group_size=2)
    source = Parquet(path="table.parquet").open(tmp_path, [])
    assert np.asarray(_take(source, [0, 1], "v")).tolist() == rows[:2]
    with pytest.raises(DatasetError, match=problem):
        _take(source, [3], "v")


def test_parquet_mistakes_are_clear(table: Path) -> None:
    with pytest.raises(DatasetError, match="no column 'spezies'; did you mean 'species'"):
        _take(Parquet(path="table.parquet").open(table.parent, []), [0], "spezies")
    grouped = Parquet(path="table.parquet", columns={"f": ["a", "species"]}).open(table.parent, [])
    with pytest.raises(DatasetError, match="column 'f' groups columns that are not single numbers"):
        _take(grouped, [0], "f")
    (table.parent / "text.parquet").write_text("no table")
    with pytest.raises(DatasetError, match=r"text\.parquet: cannot be read"):
        Parquet(path="text.parquet").open(table.parent, [])


def test_a_damaged_row_group_is_one_clear_error(table: Path) -> None:
    data = bytearray(table.read_bytes())
    for position in range(4, 400):
        data[position] = 0xFF
    table.write_bytes(data)
    source = Parquet(path="table.parquet").open(table.parent, [])
    with pytest.raises(DatasetError, match="rows 0 to 9, column 'a': cannot be read"):
        _take(source, [0], "a")
