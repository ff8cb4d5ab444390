"""The code of components that users wrote: which files it is in, and which libraries it uses."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from pytest_mlscope.artifacts import file_artifact
from pytest_mlscope.components import Component, Measurement
from pytest_mlscope.errors import ArtifactError

_OWN = "pytest_mlscope"
"""Known by the plugin's version."""
_BASES = frozenset({_OWN, "pydantic", "abc", "typing", "builtins", *sys.stdlib_module_names})


@dataclass(frozen=True, kw_only=True)
class CodeIdentity:
    """What some components' code was."""

    files: Mapping[str, str]
    """Path of each source file to its sha256: the components' own modules and what those import from beside them."""
    libraries: Mapping[str, str]
    """Version of each installed library that the files import, by the name it is imported by."""
    not_hashed: tuple[str, ...]
    """Components whose code is in no file that can be read."""


def code_identity(components: Iterable[type[Component] | type[Measurement]]) -> CodeIdentity:
    """Follow the modules of components that are not the plugin's own.

    What a function imports is followed once it is imported.
    """
    files: dict[str, str] = {}
    libraries: dict[str, str] = {}
    not_hashed: list[str] = []
    for component in components:
        # The code that runs may be inherited from a class in another file.
        for kind in component.__mro__:
            own = [] if _root(kind.__module__) in _BASES else [_namespace_of_class(kind)]
            # A class that a function of the plugin's made, around a function of the user's.
            own += [function.__globals__ for function in _enclosed(kind)]
            for namespace in own:
                found = dict(_source_files(namespace, _root(str(namespace.get("__name__"))), libraries))
                if not found:
                    not_hashed.append(f"the code of {component.name if kind is component else kind.__name__}")
                files.update(found)
    return CodeIdentity(
        files=dict(sorted(files.items())),
        libraries=dict(sorted(libraries.items())),
        not_hashed=tuple(dict.fromkeys(not_hashed)),
    )


def _root(module: str) -> str:
    return module.partition(".")[0]


def _namespace_of_class(kind: type) -> Mapping[str, Any]:
    """The variables of the module that defines it. Of several modules of one name, such as conftest files, sys.modules
    has only the last, and functions know theirs."""
    for function in _functions(kind):
        if function.__module__ == kind.__module__:
            return function.__globals__
    module = sys.modules.get(kind.__module__)
    # A class without functions of its own has only sys.modules to go by.
    return {} if module is None else vars(module)


def _functions(kind: type) -> Iterator[FunctionType]:
    for value in vars(kind).values():
        function = getattr(value, "__func__", value)
        if isinstance(function, FunctionType):
            yield function


def _enclosed(kind: type) -> Iterator[FunctionType]:
    """Functions from elsewhere that the class's own hold in their closures."""
    for function in _functions(kind):
        for cell in function.__closure__ or ():
            # A cell may be empty as yet.
            with suppress(ValueError):
                if isinstance(cell.cell_contents, FunctionType) and _root(cell.cell_contents.__module__) not in _BASES:
                    yield cell.cell_contents


def _source_files(start: Mapping[str, Any], own: str, libraries: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Path and sha256 of the file of a module, and of those that it imports from beside it; libraries are noted."""
    seen = set()
    waiting = [start]
    while waiting:
        namespace = waiting.pop()
        name, path = str(namespace.get("__name__", "")), namespace.get("__file__")
        # By identity, since several conftest files share one module name.
        if id(namespace) in seen or _root(name) in _BASES:
            continue
        seen.add(id(namespace))
        if not isinstance(path, str):
            continue
        if _is_installed(path) and _root(name) != own:
            version = getattr(sys.modules.get(_root(name)), "__version__", None)
            if isinstance(version, str):
                libraries[_root(name)] = version
            continue
        try:
            yield path, file_artifact(Path(path)).sha256
        except ArtifactError:
            continue
        modules = map(sys.modules.get, _imported(Path(path), str(namespace.get("__package__") or "")))
        waiting += [vars(module) for module in modules if module is not None]


def _imported(path: Path, package: str) -> Iterator[str]:
    """Names of all modules that a source file may import, also inside functions."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: max(len(package.split(".")) - node.level + 1, 0)] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            for name in node.names:
                # What is imported from a package may be a module of its.
                yield f"{base}.{name.name}"


@cache
def _is_installed(path: str) -> bool:
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found = Path(path)
    return bool({"site-packages", "dist-packages"} & set(found.parts)) or any(
        found.is_relative_to(place) for place in places
    )
