"""The model in each framework's format: its files, versions and names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pytest_mlscope.manifest.schema.section import Section, VersionText

StatedPrecision = Literal["fp32", "fp16", "bf16", "int8"]


class BuildStep(Section):
    """How a file is made from the one at ``path``, on first use, into the artifact cache."""

    builder: Literal["random_onnx_weights", "caffe_prototxt", "caffe_weights"]
    """``random_onnx_weights``: replace constant weights of an ONNX graph by seeded random ones; ``caffe_prototxt`` and
    ``caffe_weights``: write the layers and the weights of the same graph as Caffe reads them."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the random numbers."""


class ModelFile(Section):
    """One file of a model."""

    path: str = Field(min_length=1, max_length=4096)
    """Relative path, ``package://DISTRIBUTION/path``, ``file://``, ``https://`` or any fsspec URL."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """sha256 of the file, in lower-case hexadecimal, verified before use; required for remote files."""
    size: int | None = Field(default=None, ge=0, le=2**43)
    """Bytes."""
    build: BuildStep | None = None
    """How the file that is used is made from the one at ``path``; used as it is when absent."""


class ExpectedFailure(Section):
    """Cases that are known to fail, with the reason; a case that passes all the same is a failure when ``strict``."""

    reason: str = Field(min_length=1)
    """Why they fail; shown in the report."""
    kinds: list[str] | None = Field(default=None, min_length=1)
    """The kinds of test that fail; all when absent."""
    version: VersionText | None = None
    """Framework versions it holds for (PEP 440 specifiers, or a release such as ``"1.20"``); all when absent."""
    strict: bool = True
    """Whether an unexpected pass is a failure."""


class FrameworkEntry(Section):
    """The model in one framework's format."""

    version: VersionText | Annotated[list[VersionText], Field(min_length=1, max_length=64)] | None = None
    """Framework versions to evaluate on: PEP 440 specifiers, such as ``>=1.17,<2``, or a release such as ``"1.20"``,
    for every version that begins so; a list makes cases for each."""
    files: dict[str, ModelFile] = Field(min_length=1, max_length=64)
    """The model's files, by the roles the framework's ``framework.yml`` names, such as ``model``."""
    precision_files: dict[StatedPrecision, Annotated[dict[str, ModelFile], Field(min_length=1, max_length=64)]] = Field(
        default_factory=dict
    )
    """Precision to the files, by role, that its cases use instead; a role not named keeps the one of ``files``."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Options of the predictor, by the names its ``framework.yml`` lists."""
    input_names: dict[str, str] = Field(default_factory=dict)
    """The manifest's input name to this file's, where they differ."""
    output_names: dict[str, str] = Field(default_factory=dict)
    """The manifest's output name to this file's, where they differ."""
    input_layouts: dict[str, str] = Field(default_factory=dict)
    """Input name to the layout this file wants (such as ``NHWC``), where it differs from the input's ``layout``."""
    output_layouts: dict[str, str] = Field(default_factory=dict)
    """Output name to the layout this file gives (such as ``NHWC``), where it differs from the output's ``layout``."""
    xfail: ExpectedFailure | None = None
    """Says that this framework's cases are known to fail."""

    @property
    def versions(self) -> tuple[str | None, ...]:
        """Each version to evaluate on, as written; ``None`` for whichever ``framework.yml`` takes."""
        return tuple(self.version) if isinstance(self.version, list) else (self.version,)

    def files_at(self, precision: str) -> dict[str, ModelFile]:
        """The model's files, by role, for cases of a precision."""
        own = [files for name, files in self.precision_files.items() if name == precision]
        return {**self.files, **(own[0] if own else {})}
