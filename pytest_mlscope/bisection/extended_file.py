"""Copies of an ONNX file whose graph has further outputs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from pytest_mlscope.bisection.layers import Layer
from pytest_mlscope.bisection.onnx_graph import OnnxGraph, field, number_field
from pytest_mlscope.bisection.windows import Window
from pytest_mlscope.errors import ArtifactError, MlscopeError


class ExtendedFile:
    """A temporary folder with one copy at a time. Copied by the kernel, so that no weight passes through this process.

    What is added stands at the end of the file as a second ``ModelProto.graph``: readers merge the parts of a message
    that occurs twice (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
    """

    def __init__(self, source: Path, graph: OnnxGraph) -> None:
        """:raises MlscopeError: when its weights lie elsewhere than beside it, or cannot be brought."""
        self._source = source
        self._outputs = frozenset(graph.outputs)
        self._folder = Path(tempfile.mkdtemp(prefix="mlscope-bisect-"))
        self._made = 0
        self._latest: Path | None = None
        try:
            # An ONNX file names its weights relative to its own folder, so the copy needs them beside it.
            for name in graph.external_files:
                # A model file is not trusted: linked or copied as named, it could write outside the temporary folder.
                if Path(name).is_absolute() or ".." in Path(name).parts:
                    raise MlscopeError(f"{source}: has weights in {name!r}, which is not in its folder")
                _bring(source.parent / name, self._folder / name)
        except MlscopeError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise ArtifactError(f"{source}: its file of weights cannot be copied: {error.strerror}") from None

    def with_outputs(self, window: Window) -> Path:
        """A copy that gives the window's layers too; the one before is gone.

        :raises ArtifactError: when there is no room.
        """
        if self._latest is not None:
            # One copy at a time: a large model times its windows would fill the disk.
            self._latest.unlink(missing_ok=True)
        self._made += 1
        path = self._latest = self._folder / f"copy-{self._made}-of-{self._source.name}"
        added = b"".join(field(12, _value_info(layer)) for layer in window if layer.output not in self._outputs)
        try:
            shutil.copyfile(self._source, path)
            with path.open("ab") as stream:
                stream.write(field(7, added) if added else b"")
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be written: {error.strerror}") from None
        return path

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> ExtendedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _value_info(layer: Layer) -> bytes:
    """A ValueInfoProto: some readers need its shape, and none may be wrong, so a type of unknown rank is left out."""
    value = field(1, layer.output.encode())
    if layer.type is None:
        return value
    sizes = (number_field(1, size) if size is not None else b"" for size in layer.type.shape)
    shape = b"".join(field(1, size) for size in sizes)
    return value + field(2, field(1, number_field(1, layer.type.element_type) + field(2, shape)))


def _bring(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    # A link costs nothing; between file systems there is none.
    with contextlib.suppress(OSError):
        os.link(source, destination)
        return
    shutil.copyfile(source, destination)
