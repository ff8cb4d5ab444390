"""Image files in a folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.datasets.columns import require_columns
from pytest_mlscope.components.datasets.files import FilePath, dataset_file
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.ordinary_files import read_ordinary

_MOST_BYTES = 2**30
_MOST_LEVELS = 64
_EXTENSIONS = ["jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm"]


class _ImageFolderSource(DataSource):
    def __init__(self, folder: Path, files: Sequence[str], labels: Sequence[str]) -> None:
        self._folder = folder
        self._files = files
        self._labels = labels
        # Sorted: the order in which a folder lists its files differs between file systems.
        self._class_names = tuple(sorted(set(labels)))

    @property
    def columns(self) -> tuple[str, ...]:
        return ("image", "label", "path")

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._class_names

    def as_numbers(self, column: str, dtype: str) -> str:
        return "call the classes here as `labels` does, or take `labels` out"

    def __len__(self) -> int:
        return len(self._files)

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        require_columns(str(self._folder), columns, self.columns)
        taken: dict[str, Column] = {}
        for column in columns:
            if column == "image":
                taken[column] = [self._read(int(row)) for row in rows]
            elif column == "path":
                taken[column] = [self._files[row] for row in rows]
            else:
                taken[column] = [self._labels[row] for row in rows]
        return taken

    def _read(self, row: int) -> bytes:
        path = self._folder / self._files[row]
        try:
            # One byte more tells a file that is too large from one that just fits.
            image = read_ordinary(path, most=_MOST_BYTES + 1)
        except OSError as error:
            raise DatasetError(f"{path}: row {row} cannot be read: {error.strerror}") from None
        if len(image) > _MOST_BYTES:
            raise DatasetError(f"{path}: row {row} cannot be read: it has more than {_MOST_BYTES:,} bytes")
        return image


class ImageFolder(Dataset):
    """Encoded image files, in sorted order. Columns: ``image`` (the file's bytes), ``label``, ``path``.

    The classes are the sub-folders, or the labels in ``labels_csv``. They are matched by name with the output's
    ``labels``. Where it has none, they are numbered in sorted order, or class numbers if all of them are whole numbers.
    A symbolic link that leads out of the folder is an error.
    """

    name: ClassVar[str] = "image_folder"

    path: FilePath
    """The folder, relative to the manifest."""
    labels_csv: FilePath | None = None
    """A CSV file with the columns ``file`` (relative to the folder) and ``label``, relative to the manifest; its
    lines are the rows, in its order."""
    extensions: list[str] = Field(default_factory=lambda: list(_EXTENSIONS), min_length=1)
    """Which files are images, by extension in lower case; other files are passed over."""

    @field_validator("extensions")
    @classmethod
    def _plain(cls, value: list[str]) -> list[str]:
        for extension in value:
            if extension.startswith(".") or extension != extension.lower():
                raise ValueError(f"{extension!r} must be in lower case, without the dot, such as 'jpg'")
        return value

    def needed(self, base: Path) -> Sequence[Path]:
        return [base / self.path, *([] if self.labels_csv is None else [base / self.labels_csv])]

    def files(self, base: Path) -> Sequence[Path]:
        source = self.open(base, ())
        listing = [] if self.labels_csv is None else [base / self.labels_csv]
        return [
            *listing,
            *(base / self.path / str(name) for name in source.take(np.arange(len(source)), ["path"])["path"]),
        ]

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        folder = base / self.path
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder of images")
        root = folder.resolve()
        if self.labels_csv is not None:
            listing = dataset_file(self.labels_csv, base, sha256=None)
            pairs = list(_listed(listing, root))
        else:
            pairs = [
                (file, entry.name)
                for entry in sorted(_entries(folder, root), key=lambda each: each.name)
                if entry.is_dir()
                for file in self._images(folder, entry.name, root)
            ]
        if not pairs:
            where = "listed in " + str(self.labels_csv) if self.labels_csv else "in sub-folders, one a class"
            raise DatasetError(f"{folder}: no images {where}; extensions: {', '.join(self.extensions)}")
        return _ImageFolderSource(folder, [file for file, _ in pairs], [label for _, label in pairs])

    def _images(self, folder: Path, below: str, root: Path) -> Iterator[str]:
        # Python's own limit of recursion would be a traceback.
        if below.count("/") >= _MOST_LEVELS:
            raise DatasetError(f"{folder}: has folders more than {_MOST_LEVELS} levels deep")
        for entry in sorted(_entries(folder / below, root), key=lambda each: each.name):
            inside = f"{below}/{entry.name}"
            if entry.is_dir():
                yield from self._images(folder, inside, root)
            elif not entry.is_file() and not entry.is_symlink():
                raise DatasetError(f"{entry.path}: is not an ordinary file; a dataset is read from ordinary files")
            elif entry.name.rpartition(".")[2].lower() in self.extensions:
                yield inside


def _entries(folder: Path, root: Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, hidden entries left out.

    :raises DatasetError: for a link that leads out of ``root``, or to a folder: that could go in circles.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink() and (entry.is_dir() or not Path(entry.path).resolve().is_relative_to(root)):
                    raise DatasetError(f"{entry.path}: is a link to a folder or out of the dataset's folder")
                yield entry
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except ValueError:  # a NUL character in the path
        return False


def _listed(listing: Path, root: Path) -> Iterator[tuple[str, str]]:
    try:
        with listing.open(encoding="utf-8-sig", newline="") as stream:
            reader: Any = csv.DictReader(stream)
            require_columns(str(listing), ("file", "label"), reader.fieldnames or ())
            for row, line in enumerate(reader):
                file, label = line["file"], line["label"]
                if not file or not label:
                    raise DatasetError(f"{listing}: row {row} (line {reader.line_num}): needs a file and a label")
                # Resolved, so that neither ".." nor a link leads to other files of the machine.
                target = (root / file).resolve()
                if not target.is_relative_to(root):
                    raise DatasetError(f"{listing}: row {row}: {file!r} lies outside the dataset's folder")
                if not _is_file(target):
                    raise DatasetError(f"{listing}: row {row}: no file {file!r} in {root}")
                yield file, label
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{listing}: cannot be read: {error}") from None
