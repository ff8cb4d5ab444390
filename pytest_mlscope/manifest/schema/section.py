"""What every mapping of a manifest builds on."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pytest_mlscope.manifest.versions import MOST_VERSION_CHARACTERS

VersionText = Annotated[str, Field(max_length=MOST_VERSION_CHARACTERS)]
"""A version or a constraint, as text."""


class Section(BaseModel):
    """A mapping in a manifest: unknown keys and values of another type are mistakes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class OpenSection(Section):
    """A mapping whose further keys are the parameters of a named component."""

    model_config = ConfigDict(extra="allow")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the component."""
        return dict(self.__pydantic_extra__ or {})
