"""What the checks across keys work on, and where they put the mistakes they find."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pytest_mlscope.components import Registry
from pytest_mlscope.documents import MAX_LINES, Mistake, Path, Source, dotted, unknown
from pytest_mlscope.manifest.further_bounds import FurtherBounds
from pytest_mlscope.manifest.partial import PartialManifest
from pytest_mlscope.manifest.schema.manifest import Manifest


class Findings:
    """The valid parts of a manifest under check. Paths are those in ``content``."""

    def __init__(
        self,
        source: Source,
        partial: PartialManifest,
        registry: Registry,
        further_bounds: FurtherBounds,
    ) -> None:
        """:param further_bounds: what is expected of kinds of measurement that plugins added."""
        self.further_bounds = further_bounds
        self.registry = registry
        self.content: Manifest = partial.content
        self.mistakes: list[Mistake] = []
        self._source = source
        self._partial = partial

    def is_whole(self, *path: str | int) -> bool:
        """Whether a part of the manifest is there as the user meant it, so that something can be said to lack in it."""
        return self._partial.is_whole(*path)

    def has_all_entries(self, *path: str | int) -> bool:
        """Whether the names of a mapping's or list's entries are known, so that others can be called unknown."""
        return self._partial.has_all_entries(*path)

    @property
    def frameworks(self) -> list[str] | None:
        """What may be named as a framework of the manifest; ``None`` when that is not known."""
        return self._referable(("frameworks",), list(self.content.frameworks), self.registry.frameworks)

    def metrics(self, names: list[str]) -> list[str] | None:
        """What may be named as a metric of the manifest, which calls its metrics ``names``."""
        return self._referable(("metrics",), names, self.registry.metrics)

    def hardware(self, names: list[str]) -> list[str] | None:
        """What may be named as hardware of the matrix, which has ``names``."""
        return self._referable(("matrix", "hardware"), names, self.registry.hardware_targets)

    def _referable(self, path: Path, names: list[str], known: Collection[str]) -> list[str] | None:
        # A name mistyped where it is declared is one mistake; its right use elsewhere is not another.
        mistyped = any(name not in known for name in names)
        return list(dict.fromkeys([*names, *(known if mistyped else ())])) if self.has_all_entries(*path) else None

    def place(self, path: Path) -> Path:
        """The path in the document."""
        return self._partial.original(path)

    def at_document(self, path: Path, message: str, *, key: bool = False) -> None:
        """Something is wrong at a path of the document itself."""
        where = self._source.key_position(path) if key else self._source.position(path)
        self.mistakes.append(Mistake(where, message))

    def at(self, path: Path, message: str) -> None:
        """Something is wrong with a value."""
        self.at_document(self.place(path), message)

    def about(self, path: Path, message: str) -> None:
        """Something is wrong with a value, which the message names first."""
        self.at(path, f"{dotted(self.place(path))} {message}")

    def at_key(self, path: Path, message: str) -> None:
        """Something is wrong with a key."""
        self.at_document(self.place(path), message, key=True)

    def one_of(self, path: Path, what: str, word: object, names: Sequence[object], *, key: bool = False) -> bool:
        """Say so unless a value, or the key, is one of ``names``."""
        if word in names:
            return True
        # Further lines are not shown, and looking for a similar name takes time.
        suggest = len(self.mistakes) < MAX_LINES
        (self.at_key if key else self.at)(path, unknown(what, word, names, suggest=suggest))
        return False

    def distinct(self, path: Path, what: str, values: Iterable[object], *tail: str | int) -> None:
        """Every item of a list is there once; ``tail`` leads from an item to the value compared."""
        seen: set[tuple[type, object]] = set()
        for index, value in enumerate(values):
            # To Python 1 and True are equal, to a manifest they are not.
            if (type(value), value) in seen:
                self.at((*path, index, *tail), f"duplicate {what} {value!r:.80}; allowed: each once")
            seen.add((type(value), value))
