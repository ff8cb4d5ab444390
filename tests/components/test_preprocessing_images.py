"""Decoding and resizing with Pillow and OpenCV."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pytest_mlscope.components.preprocessing.decode import Decode
from pytest_mlscope.components.preprocessing.resize import Resize
from pytest_mlscope.errors import PreprocessingError

pil_image = pytest.importorskip("PIL.Image")
cv2 = pytest.importorskip("cv2")

LIBRARIES = ("pillow", "opencv")


def _photograph() -> np.ndarray[Any, Any]:
    """Smooth, with distinct channels, so that JPEG keeps it and swapped channels show."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.stack([rows * 5, columns * 4, (rows + columns) * 2], axis=-1).astype(np.uint8)


def _encoded(pixels: np.ndarray[Any, Any], kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    pil_image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("library", LIBRARIES)
def test_png_decodes_exactly_in_every_mode(library: Any) -> None:
    pixels = _photograph()
    data = _encoded(pixels, "PNG")
    np.testing.assert_array_equal(Decode(library=library, mode="RGB", exif_orientation=False).apply(data), pixels)
    np.testing.assert_array_equal(
        Decode(library=library, mode="BGR", exif_orientation=False).apply(data), pixels[..., ::-1]
    )
    grey = Decode(library=library, mode="L", exif_orientation=False).apply(data)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert grey.shape == (48, 64)
    assert np.abs(grey - luma).max() <= 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_jpeg_decodes_closely(library: Any) -> None:
    """JPEG loses: every pixel comes back within 12 of 255, at quality 95."""
    pixels = _photograph()
    decoded = Decode(library=library, mode="RGB", exif_orientation=False).apply(
        _encoded(pixels, "JPEG", quality=95, subsampling=0)
    )
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - pixels).max() <= 12


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("exif_orientation", "shape"), [(True, (64, 48, 3)), (False, (48, 64, 3))])
def test_exif_orientation_is_obeyed_only_when_asked(library: Any, exif_orientation: bool, shape: Any) -> None:
    exif = pil_image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = _encoded(_photograph(), "JPEG", exif=exif)
    assert Decode(library=library, mode="RGB", exif_orientation=exif_orientation).apply(data).shape == shape


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40], ids=["empty", "text", "broken"])
def test_bytes_that_are_no_image_are_refused(library: Any, data: bytes) -> None:
    with pytest.raises(PreprocessingError, match="step 'decode'"):
        Decode(library=library, mode="RGB", exif_orientation=False).apply(data)


def test_a_truncated_jpeg_is_refused_by_pillow() -> None:
    data = _encoded(_photograph(), "JPEG")
    with pytest.raises(PreprocessingError, match=r"(?i)truncated"):
        Decode(library="pillow", mode="RGB", exif_orientation=False).apply(data[: len(data) // 2])


def test_a_decompression_bomb_is_refused_by_pillow() -> None:
    """A few bytes that claim to be a huge image must not take the machine's memory."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(b"\0" * 100)
    data += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    with pytest.raises(PreprocessingError, match="exceeds limit"):
        Decode(library="pillow", mode="RGB", exif_orientation=False).apply(data)


def test_sixteen_bit_images_are_refused_by_pillow() -> None:
    """Pillow would clip them to white."""
    data = _encoded(np.full((4, 4), 1000, dtype=np.uint16), "PNG")
    with pytest.raises(PreprocessingError, match="more than 8 bits"):
        Decode(library="pillow", mode="RGB", exif_orientation=False).apply(data)


def test_an_array_is_not_decoded_again() -> None:
    with pytest.raises(PreprocessingError, match="not ndarray; is it decoded already"):
        Decode(library="pillow", mode="RGB", exif_orientation=False).apply(_photograph())


_POSSIBLE = [
    ("pillow", "nearest", False),
    ("pillow", "bilinear", True),
    ("pillow", "bilinear", False),
    ("pillow", "bicubic", True),
    ("pillow", "bicubic", False),
    ("pillow", "lanczos", True),
    ("pillow", "area", True),
    ("opencv", "nearest", False),
    ("opencv", "bilinear", False),
    ("opencv", "bicubic", False),
    ("opencv", "lanczos", False),
    ("opencv", "area", True),
]


@pytest.mark.parametrize(("library", "kernel", "antialias"), _POSSIBLE)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)], ids=str)
def test_every_resize_gives_the_size_asked_for(
    library: Any, kernel: Any, antialias: bool, dtype: str, channels: tuple[int, ...]
) -> None:
    """Smooth content comes out smooth: the top-left pixel stays near the top left, the mean stays."""
    image = np.broadcast_to(np.linspace(0, 200, 60).reshape((60, 1) + (1,) * len(channels)), (60, 40, *channels))
    step = Resize(width=20, height=30, library=library, kernel=kernel, antialias=antialias)
    resized = step.apply(image.astype(dtype))
    assert resized.shape == (30, 20, *channels)
    assert resized.dtype == dtype
    assert abs(resized.mean() - image.mean()) < 3
    assert resized.reshape(30, -1)[0].mean() < resized.reshape(30, -1)[-1].mean()


@pytest.mark.parametrize(("library", "kernel", "antialias"), _POSSIBLE)
def test_antialias_says_whether_every_pixel_counts(library: Any, kernel: Any, antialias: bool) -> None:
    """One bright column in nine must dim a ninth-size image everywhere or be missed or hit outright."""
    stripes = np.zeros((90, 90), dtype=np.float32)
    stripes[:, ::9] = 90.0
    step = Resize(width=10, height=10, library=library, kernel=kernel, antialias=antialias)
    center = step.apply(stripes)[3:7, 3:7]
    assert (abs(center.mean() - 10.0) < 2.5) == antialias


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((100, 50), (200, 100)), ((50, 100), (100, 200)), ((53, 80), (100, 150)), ((7, 7), (100, 100))],
)
def test_the_longer_side_keeps_the_proportion(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    step = Resize(shorter_side=100, library="opencv", kernel="bilinear", antialias=False)
    assert step.apply(np.zeros(shape, dtype=np.uint8)).shape == expected


@pytest.mark.parametrize(
    ("library", "kernel", "antialias", "message"),
    [
        ("pillow", "nearest", True, "cannot antialias; set antialias: false"),
        ("opencv", "nearest", True, "cannot antialias; set antialias: false"),
        ("opencv", "bilinear", True, "opencv does not antialias with kernel bilinear"),
        ("opencv", "lanczos", True, "opencv does not antialias with kernel lanczos"),
        ("opencv", "area", False, "set antialias: true"),
        ("pillow", "lanczos", False, "pillow always antialiases with kernel lanczos"),
    ],
)
def test_impossible_resizes_are_refused_with_what_to_do(
    library: Any, kernel: Any, antialias: bool, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Resize(width=2, height=2, library=library, kernel=kernel, antialias=antialias)


@pytest.mark.parametrize("sizes", [{}, {"width": 3}, {"width": 3, "height": 3, "shorter_side": 3}])
def test_a_resize_has_one_size(sizes: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="either width and height, or shorter_side"):
        Resize(library="pillow", kernel="nearest", antialias=False, **sizes)


@pytest.mark.parametrize(("library", "dtype"), [("pillow", "float64"), ("pillow", "int16"), ("opencv", "int64")])
def test_dtypes_a_library_cannot_resize_are_refused(library: Any, dtype: str) -> None:
    step = Resize(width=2, height=2, library=library, kernel="nearest", antialias=False)
    with pytest.raises(PreprocessingError, match=f"step 'resize': {library} resizes .* not {dtype}"):
        step.apply(np.zeros((4, 4), dtype=dtype))
