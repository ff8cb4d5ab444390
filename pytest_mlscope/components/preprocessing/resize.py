"""Scale an image to another size."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_mlscope.components.preprocessing.array_step import as_array, shape_text
from pytest_mlscope.components.preprocessing.base import PreprocessingStep, Sample
from pytest_mlscope.components.preprocessing.libraries import OPENCV, PILLOW, opencv, pillow
from pytest_mlscope.errors import PreprocessingError

_PILLOW_KERNELS = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "lanczos": "LANCZOS",
    "area": "BOX",
}
_OPENCV_KERNELS = {
    "nearest": "INTER_NEAREST",
    "bilinear": "INTER_LINEAR",
    "bicubic": "INTER_CUBIC",
    "lanczos": "INTER_LANCZOS4",
    "area": "INTER_AREA",
}
_OPENCV_DTYPES = ("uint8", "uint16", "int16", "float32", "float64")


class Resize(PreprocessingStep):
    """Scale an HWC or HW image.

    ``antialias`` says whether shrinking takes every pixel into account (the kernel grows with the scale) or only those
    next to each sampling point. Pillow's ``resize`` always does; without, its ``transform`` is used. OpenCV never does,
    except with ``area``.
    """

    name: ClassVar[str] = "resize"

    width: int | None = Field(default=None, gt=0, le=2**16)
    """Pixels of the result; with ``height``."""
    height: int | None = Field(default=None, gt=0, le=2**16)
    """Pixels of the result; with ``width``."""
    shorter_side: int | None = Field(default=None, gt=0, le=2**16)
    """Pixels of the result's shorter side, in place of ``width`` and ``height``; the longer side keeps the proportion,
    rounded down, as in torchvision."""
    library: Literal["pillow", "opencv"]
    """What resizes. Pillow takes uint8 and float32, OpenCV uint8, uint16, int16, float32 and float64."""
    kernel: Literal["nearest", "bilinear", "bicubic", "lanczos", "area"]
    """How pixels are weighted."""
    antialias: bool
    """Whether shrinking takes every pixel into account."""

    @model_validator(mode="after")
    def _possible(self) -> Resize:
        sizes = (self.width is not None) + (self.height is not None)
        if (sizes, self.shorter_side is None) not in {(2, True), (0, False)}:
            raise ValueError("give either width and height, or shorter_side")
        if self.kernel == "nearest" and self.antialias:
            raise ValueError("kernel nearest reads one pixel a point and cannot antialias; set antialias: false")
        if self.kernel == "area" and not self.antialias:
            raise ValueError("kernel area averages every pixel; set antialias: true")
        if self.library == "opencv" and self.antialias and self.kernel != "area":
            raise ValueError(
                f"opencv does not antialias with kernel {self.kernel}; set antialias: false, or use kernel: area, "
                "or library: pillow"
            )
        if self.library == "pillow" and self.kernel == "lanczos" and not self.antialias:
            raise ValueError(
                "pillow always antialiases with kernel lanczos; set antialias: true, or use kernel: bilinear or "
                "bicubic, or library: opencv"
            )
        return self

    def distributions(self) -> tuple[str, ...]:
        return PILLOW if self.library == "pillow" else OPENCV

    def apply(self, sample: Sample) -> Sample:
        image = as_array(sample, self.name)
        if image.ndim not in (2, 3) or 0 in image.shape:
            raise PreprocessingError(
                f"step 'resize': needs an image of layout HWC or HW, not shape {shape_text(image.shape)}"
            )
        width, height = self._size(image.shape[1], image.shape[0])
        return (self._pillow if self.library == "pillow" else self._opencv)(image, width, height)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        if self.shorter_side is None:
            return self.width or 0, self.height or 0
        if width <= height:
            return self.shorter_side, int(self.shorter_side * height / width)
        return int(self.shorter_side * width / height), self.shorter_side

    def _pillow(self, image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
        if image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2] == 3):
            return self._pillow_plane(image, width, height)
        if image.dtype not in (np.uint8, np.float32):
            raise PreprocessingError(f"step 'resize': pillow resizes uint8 or float32, not {image.dtype}")
        if image.ndim == 2:
            return self._pillow_plane(image, width, height)
        # Channel by channel: Pillow's float32 images have one, and it weighs the colours of RGBA by their alpha.
        planes = [self._pillow_plane(image[..., channel], width, height) for channel in range(image.shape[2])]
        return np.stack(planes, axis=-1)

    def _pillow_plane(self, image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
        pil_image = pillow().Image
        kernel = getattr(pil_image.Resampling, _PILLOW_KERNELS[self.kernel])
        picture = pil_image.fromarray(np.ascontiguousarray(image))
        if self.antialias or self.kernel == "nearest":
            return np.asarray(picture.resize((width, height), kernel))
        # The matrix maps a pixel of the result to its place in the image, as Pillow's transform wants it.
        across, down = image.shape[1] / width, image.shape[0] / height
        matrix = (across, 0, 0, 0, down, 0)
        return np.asarray(picture.transform((width, height), pil_image.Transform.AFFINE, matrix, kernel))

    def _opencv(self, image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
        cv2 = opencv()
        if image.dtype.name not in _OPENCV_DTYPES:
            raise PreprocessingError(f"step 'resize': opencv resizes {', '.join(_OPENCV_DTYPES)}, not {image.dtype}")
        kernel = getattr(cv2, _OPENCV_KERNELS[self.kernel])
        try:
            resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=kernel)
        except cv2.error as error:
            raise PreprocessingError(f"step 'resize': opencv: {' '.join(str(error).split())}") from None
        # OpenCV drops a channel dimension of 1.
        return np.asarray(resized).reshape((height, width, *image.shape[2:]))
