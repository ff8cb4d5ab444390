"""Image folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pytest_mlscope.components.datasets.base import DataSource
from pytest_mlscope.components.datasets.image_folder import ImageFolder
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.measurements.rows.labels import LabelReader


def _write(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())


def _all(source: DataSource) -> Any:
    return source.take(np.arange(len(source)), source.columns)


def test_classes_are_sub_folders_in_sorted_order(tmp_path: Path) -> None:
    _write(
        tmp_path, "dog/2.png", "cat/b.JPG", "cat/a.jpeg", "cat/more/c.png", "cat/notes.txt", ".hidden/x.png", "top.png"
    )
    (tmp_path / "images" / "empty").mkdir()
    source = ImageFolder(path="images").open(tmp_path, [])
    assert _all(source) == {
        "image": [b"cat/a.jpeg", b"cat/b.JPG", b"cat/more/c.png", b"dog/2.png"],
        "label": ["cat", "cat", "cat", "dog"],
        "path": ["cat/a.jpeg", "cat/b.JPG", "cat/more/c.png", "dog/2.png"],
    }
    assert source.class_names == ("cat", "dog")


def test_folders_named_by_numbers_are_class_numbers(tmp_path: Path) -> None:
    """Sorted as text, 10 would come before 2 and every label from there on would be wrong."""
    _write(tmp_path, *(f"{number}/x.png" for number in range(11)))
    source = ImageFolder(path="images").open(tmp_path, [])
    taken = _all(source)
    reader = LabelReader("label", source.class_names, stated=False)
    numbers = reader(taken["label"], np.arange(11))
    assert [int(path.split("/")[0]) for path in taken["path"]] == numbers.tolist()


def test_stated_names_win_over_folders_named_by_numbers(tmp_path: Path) -> None:
    _write(tmp_path, "2/x.png", "180/x.png")
    taken = _all(ImageFolder(path="images").open(tmp_path, []))
    assert taken["path"] == ["180/x.png", "2/x.png"]
    assert LabelReader("label", ["2", "180"])(taken["label"], np.arange(2)).tolist() == [1, 0]


def test_labels_can_come_from_a_csv(tmp_path: Path) -> None:
    _write(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "labels.csv").write_text("file,label\nc.png,dog\na.png,cat\n")
    source = ImageFolder(path="images", labels_csv="labels.csv").open(tmp_path, [])
    assert _all(source)["path"] == ["c.png", "a.png"]
    assert _all(source)["label"] == ["dog", "cat"]
    assert source.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("file,lable\na.png,cat\n", "no column 'label'; did you mean 'lable'"),
        ("file,label\na.png,cat\nz.png,cat\n", "row 1: no file 'z.png'"),
        ("file,label\na.png,cat\n../secret.png,cat\n", r"row 1: '../secret.png' lies outside the dataset's folder"),
        ("file,label\n/etc/hostname,cat\n", "row 0: '/etc/hostname' lies outside"),
        ("file,label\na.png,\n", r"row 0 \(line 2\): needs a file and a label"),
        ("file,label\n", "no images listed in labels.csv"),
    ],
)
def test_mistakes_in_the_csv_name_the_row(tmp_path: Path, lines: str, message: str) -> None:
    _write(tmp_path, "a.png")
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "labels.csv").write_text(lines)
    with pytest.raises(DatasetError, match=message):
        ImageFolder(path="images", labels_csv="labels.csv").open(tmp_path, [])


@pytest.mark.parametrize("kind", ["file outside", "folder outside", "folder inside"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, kind: str) -> None:
    """A downloaded dataset must not read other files of the user's, nor silently lose rows."""
    _write(tmp_path, "cat/a.png")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(b"x")
    target = {"file outside": "outside/secret.png", "folder outside": "outside", "folder inside": "images"}[kind]
    (tmp_path / "images" / "cat" / "link.png").symlink_to(tmp_path / target)
    with pytest.raises(DatasetError, match=r"link\.png: is a link to a folder or out of the dataset's folder"):
        ImageFolder(path="images").open(tmp_path, [])


def test_links_within_the_folder_are_files(tmp_path: Path) -> None:
    _write(tmp_path, "cat/a.png")
    (tmp_path / "images" / "cat" / "b.png").symlink_to(tmp_path / "images" / "cat" / "a.png")
    assert _all(ImageFolder(path="images").open(tmp_path, []))["image"] == [b"cat/a.png"] * 2


def test_only_the_extensions_asked_for_are_images(tmp_path: Path) -> None:
    _write(tmp_path, "cat/a.png", "cat/b.npy")
    assert _all(ImageFolder(path="images", extensions=["npy"]).open(tmp_path, []))["path"] == ["cat/b.npy"]
    with pytest.raises(ValidationError, match="without the dot"):
        ImageFolder(path="images", extensions=[".npy"])


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="images: no such folder of images"):
        ImageFolder(path="images").open(tmp_path, [])
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="no images in sub-folders, one a class"):
        ImageFolder(path="images").open(tmp_path, [])


def test_a_file_that_went_away_is_named_with_its_row(tmp_path: Path) -> None:
    _write(tmp_path, "cat/a.png", "cat/b.png")
    source = ImageFolder(path="images").open(tmp_path, [])
    (tmp_path / "images" / "cat" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"b\.png: row 1 cannot be read: No such file"):
        _all(source)
