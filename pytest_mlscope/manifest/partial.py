"""As much of a manifest as is valid, so that one mistake does not hide the next.

What a mistake makes unusable is taken out of a copy of the document, which is validated again, until it is valid.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pytest_mlscope.documents import MAX_DEPTH, Path, SchemaMistake, schema_mistakes
from pytest_mlscope.manifest.schema.manifest import Manifest

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
        self.mistakes: list[SchemaMistake] = []
        self._data = data
        self._unknown_keys: set[Path] = set()
        self._with_unknown_keys: set[Path] = set()
        self._removed: set[Path] = set()
        self._with_removed_entries: set[Path] = set()
        self._with_removed_parts: set[Path] = set()
        self._kept: dict[Path, list[int]] = {}
        for path in removed:
            self._remove(path)
        self.content = self._validate()

    def is_whole(self, *path: str | int) -> bool:
        """Whether nothing at, above or below a path was taken out."""
        return path not in self._with_removed_parts and not self._is_within_removed(path)

    def has_all_entries(self, *path: str | int) -> bool:
        """Whether no entry of a mapping or list is missing, whatever is missing inside them."""
        return path not in self._with_removed_entries and not self._is_within_removed(path)

    def original(self, path: Path) -> Path:
        """The path in the document of a path in ``content``, whose lists may be shorter."""
        result: Path = ()
        for part in path:
            if isinstance(part, int) and result in self._kept:
                kept = self._kept[result]
                part = kept[part] if part < len(kept) else part
            result += (part,)
        return result

    def _is_within_removed(self, path: Path) -> bool:
        return any(path[:length] in self._removed for length in range(len(path) + 1))

    def _remove(self, path: Path) -> None:
        self._removed.add(path)
        self._with_removed_entries.add(path[:-1])
        self._with_removed_parts.update(path[:length] for length in range(len(path) + 1))

    def _note_absent(self, path: Path) -> None:
        if not self._holds(path):
            self._remove(path)

    def _holds(self, path: Path) -> bool:
        data: Any = self._data
        for part in path[:-1]:
            data = data[part]
        return path[-1] in data

    def _pruned(self, data: Any, path: Path) -> Any:
        if path not in self._with_removed_parts and path not in self._with_unknown_keys:
            return data
        if isinstance(data, dict):
            return {k: self._pruned(v, (*path, k)) for k, v in data.items() if not self._is_out((*path, k))}
        if isinstance(data, list):
            self._kept[path] = [index for index in range(len(data)) if not self._is_out((*path, index))]
            return [self._pruned(data[index], (*path, index)) for index in self._kept[path]]
        return data

    def _is_out(self, path: Path) -> bool:
        return path in self._removed or path in self._unknown_keys

    def _validate(self) -> Manifest:
        stood_in: set[str] = set()
        # Each round takes out at least one more level, so this ends.
        for _ in range(MAX_DEPTH * 2):
            self._kept.clear()
            document = {**self._pruned(self._data, ()), **{name: _STAND_INS[name] for name in stood_in}}
            try:
                content = Manifest.model_validate(document)
            except ValidationError as error:
                for mistake in schema_mistakes(
                    error, model=Manifest, data=document, place=self.original, whole="the manifest"
                ):
                    self._take_out(mistake, stood_in)
                continue
            return content.model_copy(update={name: _EMPTY[name] for name in stood_in & _EMPTY.keys()})
        raise RuntimeError("a manifest without its mistakes is still not valid")

    def _take_out(self, mistake: SchemaMistake, stood_in: set[str]) -> None:
        path = mistake.path
        if path not in self._with_removed_parts and not mistake.silent:
            self.mistakes.append(mistake)
        if mistake.kind == "unknown key":
            self._unknown_keys.add(path)
            # An unknown key takes nothing away, but the copy without it has to be made.
            self._with_unknown_keys.update(path[:length] for length in range(len(path)))
            if mistake.proposal is not None:
                # What was meant is not there, so nothing can be said to lack it.
                self._note_absent((*path[:-1], mistake.proposal))
            return
        self._remove(path)
        # What holds something that it cannot do without goes too.
        if mistake.kind == "missing":
            if len(path) > 1:
                self._remove(path[:-1])
            else:
                stood_in.add(str(path[0]))
