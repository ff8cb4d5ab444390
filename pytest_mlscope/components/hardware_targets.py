"""All hardware targets by name, each read and joined with what it extends when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_mlscope.components.hardware import HardwareFile, HardwareTarget
from pytest_mlscope.documents import unknown
from pytest_mlscope.errors import HardwareError


class HardwareTargets(Mapping[str, HardwareTarget]):
    """Names are known without reading a file."""

    def __init__(self, registered: Mapping[str, HardwareFile | HardwareTarget]) -> None:
        self._registered = registered
        self._resolved: dict[str, HardwareTarget | HardwareError] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._registered)

    def __len__(self) -> int:
        return len(self._registered)

    def __contains__(self, name: object) -> bool:
        return name in self._registered

    def __getitem__(self, name: str) -> HardwareTarget:
        """:raises KeyError: for a name that is not registered.
        :raises HardwareError: when its file, or that of a target it extends, is wrong.
        """
        if name not in self._resolved:
            try:
                self._resolved[name] = self._resolve(name, ())
            except HardwareError as error:
                # The error is kept, too: each case of a suite asks again.
                self._resolved[name] = error
        resolved = self._resolved[name]
        if isinstance(resolved, HardwareError):
            raise resolved
        return resolved

    def _resolve(self, name: str, extending: tuple[str, ...]) -> HardwareTarget:
        entry = self._registered[name]
        target = entry.target if isinstance(entry, HardwareFile) else entry
        parent = target.extends
        if parent is None:
            return target
        place = entry.place_of("extends") if isinstance(entry, HardwareFile) else f"hardware target {name!r}"
        way = (*extending, name)
        if parent in way:
            raise HardwareError(f"{place}: extends itself: {' → '.join((*way, parent))}")
        if parent not in self._registered:
            others = [other for other in self._registered if other != name]
            raise HardwareError(f"{place}: {unknown('hardware', parent, others)}")
        try:
            return target.extending(self._resolve(parent, way))
        except HardwareError as error:
            lines = [f"{place}: extends {parent!r}, which cannot be used: {line}" for line in str(error).splitlines()]
        raise HardwareError("\n".join(lines))

    # As an object, not by what it holds: it is a key where things are remembered of it.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def usable(self) -> dict[str, HardwareTarget]:
        """Those whose files are right. All files are read."""
        found = {}
        for name in self._registered:
            try:
                found[name] = self[name]
            except HardwareError:
                continue  # It is told to those who name it.
        return found
