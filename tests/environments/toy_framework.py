"""A framework that is nothing but a few tiny wheels in a folder, so that environments are made in seconds, offline."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_mlscope.components.framework import FrameworkFolder

MakeFramework = Callable[..., FrameworkFolder]


def write_wheel(folder: Path, name: str, version: str, module: str, *, requires: Sequence[str] = ()) -> Path:
    """A wheel of one module, written by hand as the wheel specification has it."""
    information = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": module,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {requirement}\n" for requirement in requires),
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text)}\n"
        for path, text in files.items()
    )
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel
