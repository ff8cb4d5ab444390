"""What holds for any text and any one change to a valid manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mlscope.components.registry import Registry
from pytest_mlscope.errors import ManifestError
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.manifest.quantities import parse_memory
from tests.manifest import manifest_samples

LINE = re.compile(r"^.+:\d+:\d+: .+")
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
LINES = manifest_samples.COMPLETE.splitlines(keepends=True)
PARSED: Any = yaml.safe_load(manifest_samples.COMPLETE)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed") / "model.mlscope.yml"


def _loads_or_says_why(path: Path, registry: Registry, content: str | bytes) -> list[str]:
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    try:
        load_manifest(path, registry)
    except ManifestError as error:
        lines = str(error).split("\n")
        assert all(LINE.match(line) and line.startswith(f"{path}:") for line in lines), lines
        assert len(set(lines)) == len(lines)
        return lines
    return []


@RELAXED
@given(st.text(max_size=100) | st.binary(max_size=100))
def test_any_text_loads_or_says_why(path: Path, registry: Registry, content: str | bytes) -> None:
    """Collection must never end in a traceback, whatever file it meets."""
    _loads_or_says_why(path, registry, content)


@RELAXED
@given(
    st.lists(
        st.tuples(st.integers(0, len(LINES) - 1), st.sampled_from("rmcditx"), st.integers(0, len(LINES) - 1)),
        max_size=6,
    )
)
def test_a_manifest_with_lines_shuffled_loads_or_says_why(
    path: Path, registry: Registry, changes: list[tuple[int, str, int]]
) -> None:
    """Files under edit are mostly right, which reaches the checks across keys that random text never does."""
    lines = list(LINES)
    for index, change, other in changes:
        if change == "r":
            lines[index] = lines[other]
        elif change == "m":
            lines[index] = lines[index].split(":")[0] + ":\n"
        elif change == "c":
            lines[index] = lines[index].partition(":")[0] + ":" + lines[other].partition(":")[2]
        elif change == "d":
            lines[index] = ""
        elif change == "i":
            lines[index] = "  " + lines[index]
        elif change == "t":
            lines[index] = lines[index][1:]
        else:
            lines[index] = lines[index].replace(" ", "", 1)
    _loads_or_says_why(path, registry, "".join(lines))


ODD: list[Any] = [None, True, 0, -1, 2**63, 1.5, float("inf"), float("nan"), "", "x", "😀"]
ODD += [[], ["x"], [[]], {}, {"x": 1}, {"": None}]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in _places(part, (*path, key)))]


PLACES = _places(PARSED)


@pytest.mark.slow
@RELAXED
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=4))
def test_odd_values_anywhere_load_or_say_why(
    path: Path, registry: Registry, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    """No value of any type at any place may reach a check that does not expect it."""
    document = yaml.safe_load(manifest_samples.COMPLETE)
    for place, value in changes:
        parent: Any = document
        try:
            for part in place[:-1]:
                parent = parent[part]
            if place:
                parent[place[-1]] = value
            else:
                document = value
        except (KeyError, IndexError, TypeError):
            continue
    _loads_or_says_why(path, registry, yaml.safe_dump(document, allow_unicode=True))


# A scalar at a random place becomes a list of lists, which no key of a manifest takes.
SCALARS = [
    (number, match.start(1) + 1)
    for number, line in enumerate(LINES, start=1)
    if (match := re.match(r"(?:.*?: |\s+- )(?=[^\s\[-])(?!.*: .*: )([^\[\n]+)\n$", line))
    and "- " not in match[1]
    and match[1][-1] != ":"
]


@RELAXED
@given(st.sampled_from(SCALARS))
def test_the_position_is_that_of_the_offending_token(path: Path, registry: Registry, place: tuple[int, int]) -> None:
    """Wherever one value is of the wrong type, exactly that place is among those named."""
    line, column = place
    text = LINES[line - 1]
    lines = [*LINES[: line - 1], text[: column - 1] + "[[]]\n", *LINES[line:]]
    found = _loads_or_says_why(path, registry, "".join(lines))
    assert any(message.startswith(f"{path}:{line}:{column}: ") for message in found), (text, found)


KEYS = [
    (number, match.start(1) + 1)
    for number, line in enumerate(LINES, start=1)
    if (match := re.match(r"[\s-]*([a-z_0-9]+):", line))
]


@RELAXED
@given(st.sampled_from(KEYS))
def test_the_position_is_that_of_the_unknown_key(path: Path, registry: Registry, place: tuple[int, int]) -> None:
    """Wherever a key is one that nothing knows, its line and column are named; no other line blames a wrong place."""
    line, column = place
    text = LINES[line - 1]
    lines = [*LINES[: line - 1], text[: column - 1] + "Zz" + text[column - 1 :], *LINES[line:]]
    found = _loads_or_says_why(path, registry, "".join(lines))
    assert any(message.startswith(f"{path}:{line}:{column}: ") for message in found), (text, found)


@pytest.mark.parametrize(
    ("text", "size"),
    [("200 MB", 200_000_000), ("1.5GiB", 3 * 2**29), ("2 TB", 2 * 10**12), ("1 kB", 1000), ("10 B", 10)],
)
def test_sizes_are_read_by_their_unit(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["200", 200, "5 mb", "5 Mbit", "-1 MB", "1e3 MB", "0 MB", "0.1 B", f"{'9' * 4000} GB"])
def test_what_is_no_size_is_refused_in_one_line(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a number with a unit; allowed units: B, kB|must be more than zero"):
        parse_memory(text)
