"""Decode an image file's bytes."""

from __future__ import annotations

import io
import warnings
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.preprocessing.base import PreprocessingStep, Sample
from pytest_mlscope.components.preprocessing.color import ColorMode
from pytest_mlscope.components.preprocessing.libraries import OPENCV, PILLOW, opencv, pillow
from pytest_mlscope.errors import PreprocessingError

# Pillow would also try formats that start other programs, such as EPS.
_PILLOW_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


class Decode(PreprocessingStep):
    """Decode a JPEG, PNG, BMP, GIF, WebP, TIFF or PPM file to uint8: HWC for RGB and BGR, HW for L (grey).

    Libraries decode the same JPEG to slightly different pixels. Alpha is dropped; images of more than 8 bits a channel
    are refused. OpenCV fills up the rest of a truncated JPEG where Pillow refuses it.
    """

    name: ClassVar[str] = "decode"

    library: Literal["pillow", "opencv"]
    """What decodes."""
    mode: ColorMode
    """The colour mode wanted."""
    exif_orientation: bool
    """Whether to turn the image as its EXIF data say."""

    def distributions(self) -> tuple[str, ...]:
        return PILLOW if self.library == "pillow" else OPENCV

    def apply(self, sample: Sample) -> Sample:
        if not isinstance(sample, (bytes, bytearray, memoryview)):
            raise PreprocessingError(
                f"step 'decode': needs an encoded image as bytes, not {type(sample).__name__}; is it decoded already?"
            )
        data = bytes(sample)
        return self._pillow(data) if self.library == "pillow" else self._opencv(data)

    def _pillow(self, data: bytes) -> NDArray[np.uint8]:
        pil = pillow()
        try:
            with warnings.catch_warnings():
                # A small file may say that it has any number of pixels; Pillow warns from 89 million on.
                warnings.simplefilter("error", pil.Image.DecompressionBombWarning)
                image: Any = pil.Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
                # Pillow's modes of 16 and 32 bits; converting them to 8 would cut values off.
                if image.mode.startswith(("I", "F")):
                    raise PreprocessingError("step 'decode': the image has more than 8 bits a channel")
                image.load()
                if self.exif_orientation:
                    image = pil.ImageOps.exif_transpose(image)
                image = image.convert("L" if self.mode == "L" else "RGB")
        except pil.Image.UnidentifiedImageError:
            raise PreprocessingError(f"step 'decode': {len(data)} bytes that pillow cannot read as an image") from None
        except PreprocessingError:
            raise
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others
            raise PreprocessingError(f"step 'decode': pillow: {error or type(error).__name__}") from None
        pixels = np.asarray(image, dtype=np.uint8)
        return np.ascontiguousarray(pixels[..., ::-1]) if self.mode == "BGR" else pixels

    def _opencv(self, data: bytes) -> NDArray[np.uint8]:
        cv2 = opencv()
        flags = cv2.IMREAD_GRAYSCALE if self.mode == "L" else cv2.IMREAD_COLOR
        # OpenCV turns by EXIF unless told not to.
        flags |= 0 if self.exif_orientation else cv2.IMREAD_IGNORE_ORIENTATION
        try:
            pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags) if data else None
        except cv2.error as error:
            raise PreprocessingError(f"step 'decode': opencv: {' '.join(str(error).split())}") from None
        if pixels is None:
            raise PreprocessingError(f"step 'decode': {len(data)} bytes that opencv cannot read as an image")
        decoded: NDArray[np.uint8] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if self.mode == "RGB" else pixels
        return decoded
