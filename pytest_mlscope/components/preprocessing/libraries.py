"""The optional image libraries, imported on first use."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from pytest_mlscope.errors import CannotRun

PILLOW = ("Pillow",)
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Distributions that bring the library; of OpenCV there is one of several."""
_INSTALL = "pip install 'pytest-mlscope[images]'"


@cache
def pillow() -> ModuleType:
    """The ``PIL`` package, with ``Image`` and ``ImageOps``. :raises CannotRun: when it is not installed."""
    try:
        import PIL
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise CannotRun("needs Pillow", command=_INSTALL) from None
    return PIL


@cache
def opencv() -> ModuleType:
    """The ``cv2`` module. :raises CannotRun: when it is not installed."""
    try:
        import cv2
    except ImportError:
        raise CannotRun("needs OpenCV", command=_INSTALL) from None
    module: ModuleType = cv2
    return module
