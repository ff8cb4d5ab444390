"""As much of a manifest as is valid, so that one mistake does not hide the next.

What a mistake makes unusable is taken out of a copy of the document, which is validated again, until it is valid.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pytest_mlscope.manifest.schema import Manifest
from pytest_mlscope.manifest.schema_mistakes import SchemaMistake, schema_mistakes
from pytest_mlscope.manifest.source import MAX_DEPTH, Path

_STAND_INS: dict[str, Any] = {
    "schema": 1,
    "name": "stand-in",
    "version": "0",
    "task": "stand-in",
    "frameworks": {"stand-in": {"files": {"model": {"path": "stand-in"}}}},
    "inputs": [{"name": "stand-in", "shape": ["batch"]}],
    "outputs": [{"name": "stand-in"}],
}
_EMPTY: dict[str, Any] = {"frameworks": {}, "inputs": [], "outputs": []}


class PartialManifest:
    """The valid parts of a document."""

    def __init__(self, data: dict[str, Any], removed: set[Path]) -> None:
        """:param removed: paths that are known to be wrong already; nothing more is said about them."""
        self.removed = set(removed)
        """Paths of the document that are not in ``content``."""
        self.mistakes: list[SchemaMistake] = []
        self._unknown_keys: set[Path] = set()
        self._data = data
        self.content = self._validate()

    def is_whole(self, *path: str | int) -> bool:
        """Whether nothing at, above or below a path was taken out."""
        return not any(gone[: len(path)] == path[: len(gone)] for gone in self.removed)

    def has_all_entries(self, *path: str | int) -> bool:
        """Whether no entry of a mapping or list is missing, whatever is missing inside them."""
        return not any(
            gone == path[: len(gone)] or (len(gone) == len(path) + 1 and gone[:-1] == path) for gone in self.removed
        )

    def original(self, path: Path) -> Path:
        """The path in the document of a path in ``content``, whose lists may be shorter."""
        result: Path = ()
        for part in path:
            if isinstance(part, int):
                gone = {p[-1] for p in self.removed if len(p) == len(result) + 1 and p[:-1] == result}
                index = -1
                for _ in range(part + 1):
                    index += 1
                    while index in gone:
                        index += 1
                part = index
            result += (part,)
        return result

    def _pruned(self, data: Any, path: Path) -> Any:
        if not self.removed and not self._unknown_keys:
            return data
        if isinstance(data, dict):
            return {k: self._pruned(v, (*path, k)) for k, v in data.items() if not self._is_out((*path, k))}
        if isinstance(data, list):
            return [self._pruned(v, (*path, i)) for i, v in enumerate(data) if not self._is_out((*path, i))]
        return data

    def _is_out(self, path: Path) -> bool:
        return path in self.removed or path in self._unknown_keys

    def _validate(self) -> Manifest:
        stood_in: set[str] = set()
        # Each round takes out at least one more level, so this ends.
        for _ in range(MAX_DEPTH * 2):
            document = self._pruned(self._data, ())
            document |= {name: _STAND_INS[name] for name in stood_in}
            try:
                content = Manifest.model_validate(document)
            except ValidationError as error:
                for mistake in schema_mistakes(error, model=Manifest, data=document, place=self.original):
                    self._take_out(mistake, stood_in)
                continue
            return content.model_copy(update={name: _EMPTY[name] for name in stood_in & _EMPTY.keys()})
        raise RuntimeError("a manifest without its mistakes is still not valid")

    def _take_out(self, mistake: SchemaMistake, stood_in: set[str]) -> None:
        path = mistake.path
        already_said = any(gone[: len(path)] == path for gone in self.removed)
        if not already_said and not mistake.silent:
            self.mistakes.append(mistake)
        if mistake.kind == "unknown key":
            self._unknown_keys.add(path)
            return
        self.removed.add(path)
        # What holds something that it cannot do without goes too.
        if mistake.kind == "missing":
            if len(path) > 1:
                self.removed.add(path[:-1])
            else:
                stood_in.add(str(path[0]))
