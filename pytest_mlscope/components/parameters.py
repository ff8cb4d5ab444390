"""The base of everything a manifest parametrizes: a pydantic model with a ``name`` by which manifests call it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Holds = Literal["scores", "ranking"]
"""What the numbers of a row are: a score for each class, or class numbers, best first."""


class Component(BaseModel):
    """A named thing with validated, immutable parameters (the fields), as written in a manifest.

    Subclasses set ``name``. Unknown keys and wrong types are errors, reported at their place in the manifest.
    """

    # Strict: without it pydantic takes "8" for 8 and 1 for true, and a slip would go unseen.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: ClassVar[str]

    def distributions(self) -> tuple[str, ...]:
        """Installed distributions whose version can change what this gives, such as ``("Pillow",)``: they are part of
        an evaluation's key. Those that a component's module imports at its top are found without being named.
        """
        return ()
