"""No message is a protocol: what code needs to know of an error is a field of it, so any sentence may be reworded."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pytest_mlscope"

PARSING = frozenset(
    {
        *("startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition", "replace", "split"),
        *("find", "index", "match", "search", "fullmatch", "findall"),
    }
)
SENTENCES = frozenset({"message", "reason", "told", "detail", "warning", "note", "longrepr"})
"""Names of variables and attributes that hold a sentence of ours."""

ALLOWED = {
    "conformance/error_checks.py": "it checks what a predictor's message names",
    "measurements/rows/manifest_errors.py": "the manifest is not named twice; until errors carry paths",
    "session/item_records.py": "our name goes from pytest's short summary",
}
"""Files that may, and why."""


def _is_sentence(node: ast.AST) -> bool:
    """``str(error)``, ``error.reason``, ``record["reason"]`` and the like."""
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id == "str" and len(node.args) == 1
        return named and _is_error(node.args[0])
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value in SENTENCES
    if isinstance(node, ast.Attribute):
        return node.attr in SENTENCES
    return isinstance(node, ast.Name) and node.id in SENTENCES


def _is_error(node: ast.AST) -> bool:
    return _is_sentence(node) or (isinstance(node, ast.Name) and node.id in ("error", "missing", "trouble", "failure"))


def parsed(tree: ast.AST) -> Iterator[int]:
    """Lines on which a sentence is taken apart or looked into."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PARSING:
            if node.func.attr == "split" and not node.args:
                continue  # " ".join(text.split()) only makes one line of it
            on_text = _is_sentence(node.func.value)
            by_regex = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
            if on_text or (by_regex and any(map(_is_sentence, node.args))):
                yield node.lineno
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            yield from [node.lineno] if _is_sentence(node.comparators[0]) else []


def test_nothing_parses_our_own_messages() -> None:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        lines = sorted(set(parsed(ast.parse(path.read_text("utf-8")))))
        if lines:
            found[path.relative_to(PACKAGE).as_posix()] = lines
    assert {place: lines for place, lines in found.items() if place not in ALLOWED} == {}
    # An exception that is not needed any more must not hide the next one.
    assert set(ALLOWED) <= set(found)


def test_the_test_sees_what_it_looks_for() -> None:
    for source in (
        "error.reason.rpartition(x)",
        "str(error).startswith(x)",
        "record['reason'].split(x)",
        "re.search(x, message)",
        "'no such file' in str(error)",
    ):
        assert list(parsed(ast.parse(source))) == [1], source
    assert not list(parsed(ast.parse("name.startswith(x); re.match(x, text); a in b")))
