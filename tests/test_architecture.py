"""Imports run one way: a room knows those before it on the line, and no framework is ever in the plugin's process."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_mlscope"
FRAMEWORK_MODULES = frozenset({"onnxruntime", "torch", "tensorflow", "keras", "openvino"})
OPTIONAL_MODULES = frozenset(
    {"sklearn", "PIL", "cv2", "pyarrow", "onnx", "pynvml", "scipy", "debian", "xdist", "mlperf_loadgen"}
)

# What any room may import, then the rooms from the bottom of the house to its top, then what ties them together.
FLOOR = frozenset(
    {
        "pytest_mlscope",
        "errors",
        "deadline",
        "assets",
        "settings",
        "option_values",
        "columns",
        "quantities",
        "ordinary_files",
        "output_files",
        "statistics",
        "hookspecs",
        "text",
        "synonyms",
        "files",
        "recorder",
        "record_fields",
    }
)
LINE = (
    *("documents", "components", "manifest", "cases"),
    *("machine", "artifacts", "environments", "hosts"),
    *("measurements", "expectations", "records", "kinds", "conformance", "bisection", "gate", "reports", "api"),
)
MAY_IMPORT: dict[str, frozenset[str]] = {
    **dict.fromkeys(FLOOR, frozenset({"errors"})),
    **{room: FLOOR.union(LINE[:place], {"host"}) for place, room in enumerate(LINE)},
    "session": FLOOR.union(LINE, {"host"}),
    "cli": FLOOR.union(LINE, {"host"}),
    "plugin": frozenset({"hookspecs", "session"}),
    "hookspecs": frozenset(),
    "__main__": frozenset({"cli"}),
    "errors": frozenset(),
    "settings": frozenset({"errors", "option_values", "recorder"}),
    "statistics": frozenset({"errors", "host"}),
    "output_files": frozenset({"errors", "ordinary_files"}),
    "text": frozenset({"errors", "synonyms"}),
    "host": frozenset(),
}


class Import(NamedTuple):
    """One imported module, by its full name."""

    importer: str
    imported: str
    place: str
    deferred: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def import_statements(node: ast.AST, deferred: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Import statements that run, and whether they wait for a function's call."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, deferred
        elif isinstance(child, ast.If) and is_type_checking(child):
            for statement in child.orelse:
                yield from import_statements(statement, deferred)
        else:
            waits = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from import_statements(child, deferred or waits)


@cache
def exported() -> dict[str, str]:
    """Full name, as a room or the package exports it, to the module that defines it."""
    found = {}
    for stub in sorted(PACKAGE.rglob("*.pyi")):
        package = module_name(stub)
        for statement in ast.parse(stub.read_text("utf-8"), filename=str(stub)).body:
            if isinstance(statement, ast.ImportFrom):
                assert statement.level == 1, f"{stub}:{statement.lineno}: from elsewhere"
                for name in (f"{package}.{alias.name}" for alias in statement.names):
                    found[name] = f"{package}.{statement.module}" if statement.module else name
    return found


@cache
def imports() -> tuple[Import, ...]:
    sources = sorted(PACKAGE.rglob("*.py"))
    modules = {module_name(path) for path in sources}
    found: list[Import] = []
    for path in sources:
        for statement, deferred in import_statements(ast.parse(path.read_text("utf-8"), filename=str(path))):
            place = f"{path.relative_to(ROOT)}:{statement.lineno}"
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            else:
                assert statement.level == 0, f"{place}: a relative import"
                assert statement.module is not None
                # ``from package import module`` imports the module, ``from module import name`` the module before it.
                inside = [f"{statement.module}.{alias.name}" for alias in statement.names]
                # What a room exports, it imports on first use from the module that defines it.
                names = [name if name in modules else exported().get(name, statement.module) for name in inside]
            found.extend(Import(module_name(path), name, place, deferred) for name in names)
    return tuple(found)


def own_imports() -> list[Import]:
    return [each for each in imports() if each.imported.partition(".")[0] == "pytest_mlscope"]


def room(module: str) -> str:
    """``components`` for ``pytest_mlscope.components.registry``; a module beside the rooms is one by itself."""
    return module.split(".")[1] if "." in module else module


def test_every_room_has_its_place() -> None:
    rooms = {room(module_name(path)) for path in PACKAGE.rglob("*.py")}
    assert rooms == set(MAY_IMPORT)


def test_imports_run_one_way() -> None:
    wrong = [
        f"{each.place}: {room(each.importer)} imports {each.imported}"
        for each in own_imports()
        if room(each.importer) != room(each.imported) and room(each.imported) not in MAY_IMPORT[room(each.importer)]
    ]
    assert not wrong, "\n".join(wrong)


def cross_room_imports() -> Iterator[tuple[str, ast.ImportFrom]]:
    """Where, and what, one room imports from another; for types alone too."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"), filename=str(path))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pytest_mlscope."):
                other = room(node.module)
                if (PACKAGE / other).is_dir() and other not in ("host", room(module_name(path))):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_rooms_import_only_what_another_exports() -> None:
    """Not its modules: they may be split and renamed without a word to anybody."""
    entry = "pytest_mlscope/__main__.py"
    inside = [
        f"{place}: from {node.module} import {alias.name}"
        for place, node in cross_room_imports()
        for alias in node.names
        if f"{node.module}.{alias.name}" not in exported() and not place.startswith(entry)
    ]
    assert not inside, "\n".join(inside)


def test_rooms_export_only_what_another_imports() -> None:
    wanted = {f"{node.module}.{alias.name}" for _, node in cross_room_imports() for alias in node.names}
    # The package's public names, and what third parties' tests may import.
    public = {
        f"pytest_mlscope.{room(module)}.{name.rpartition('.')[2]}"
        for name, module in exported().items()
        if name.count(".") == 1
    } | {"pytest_mlscope.conformance.CheckResult", "pytest_mlscope.conformance.check"}
    idle = [name for name in exported() if name.count(".") > 1 and name not in wanted | public]
    assert not idle, "\n".join(idle)


def test_nothing_exported_has_the_name_of_a_module() -> None:
    """The import of the module would put it in the place of what is exported."""
    modules = {module_name(path) for path in PACKAGE.rglob("*.py")}
    assert not [name for name in sorted(modules & exported().keys()) if exported()[name] != name]


def test_only_the_client_speaks_to_a_host() -> None:
    """A request as a dict, elsewhere, would bring back replies without types."""
    speaking = {
        path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py") if '"operation"' in path.read_text()
    }
    # One parameter of Caffe's has the same name.
    assert speaking == {"hosts", "host", "artifacts"}


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports inside functions count: a circle that waits for a call is one all the same."""
    graph: dict[str, set[str]] = {}
    for each in own_imports():
        if each.importer != each.imported:
            graph.setdefault(each.importer, set()).add(each.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize(
    ("modules", "deferred_too"), [(FRAMEWORK_MODULES, True), (OPTIONAL_MODULES, False)], ids=["frameworks", "optional"]
)
def test_the_package_names_no_framework_and_defers_what_is_optional(
    modules: frozenset[str], deferred_too: bool
) -> None:
    wrong = [
        f"{each.place}: {each.imported}"
        for each in imports()
        if each.imported.partition(".")[0] in modules and (deferred_too or not each.deferred)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_run_imports_no_framework() -> None:
    """What a library imports in its turn is not in our sources: only a real evaluation tells."""
    program = (
        "import sys, pytest\n"
        "options = ['--mlscope', '-pno:cacheprovider', '-k', 'accuracy and onnxruntime and b1']\n"
        "code = pytest.main([*options, sys.argv[1]])\n"
        f"print(int(code), sorted({set(FRAMEWORK_MODULES)!r} & set(sys.modules)))\n"
    )
    manifest = ROOT / "model_suites" / "digits" / "digits-cnn.mlscope.yml"
    done = subprocess.run(
        [sys.executable, "-c", program, manifest], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["0 []"], done.stdout + done.stderr


def test_api_prints_nothing() -> None:
    """A server calls it too: whoever asked is told by what it returns, and meanwhile by a recorder."""
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((PACKAGE / "api").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Name) and node.id == "print")
        or (isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr"))
    ]
    assert not printing


# What parses arguments and prints what it is given.
PRINTING = frozenset(
    {"cli", "api", "errors", "text", "quantities", "option_values", "settings", "recorder", "pytest_mlscope"}
)
CLI_EXCEPTIONS = {
    ("audit.py", "gate"): "the rates and bounds of its table are computed from the audit that api returned",
    ("bisect.py", "bisection"): "a note of its report",
    ("framework.py", "conformance"): "the checks are a room's own operation, which reports one by one",
    ("loadgen.py", "measurements"): "limits that its notes name",
    ("parsers.py", "machine"): "the cache folder that --home means",
    ("schema.py", "kinds"): "run as a module, it writes the shipped schema",
    ("schema.py", "manifest"): "likewise",
}
"""What else a module of ``cli/`` imports, and why it is no logic that a server would lack."""


def test_cli_parses_and_prints_alone() -> None:
    """What a command does is an operation of ``api/``, which a server can call."""
    found = {
        (Path(place).name, room(node.module))
        for place, node in (
            (path.name, node)
            for path in sorted((PACKAGE / "cli").glob("*.py"))
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom)
        )
        if node.module and node.module.startswith("pytest_mlscope") and room(node.module) not in PRINTING
    }
    assert found == set(CLI_EXCEPTIONS)


@pytest.mark.parametrize("path", sorted((PACKAGE / "host").glob("*.py")), ids=lambda path: path.stem)
def test_the_host_is_python_3_6(path: Path) -> None:
    """It runs in the framework's interpreter: an old one, with nothing but NumPy and the framework."""
    tree = ast.parse(path.read_text("utf-8"), filename=str(path), feature_version=(3, 6))
    # What is not in every interpreter is imported where it is asked for.
    optional = {"mlperf_loadgen"}
    too_new = {"__future__", "dataclasses", "contextvars"}
    allowed = {"numpy", "pkg_resources", *optional, *sys.stdlib_module_names} - too_new
    for statement, _ in import_statements(tree):
        names = [a.name for a in statement.names] if isinstance(statement, ast.Import) else [statement.module or ""]
        for name in names:
            assert name.startswith("pytest_mlscope.host") or name.partition(".")[0] in allowed, name
