"""Lists of CPUs as the kernel writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.components.cpu_list import format_cpu_list, parse_cpu_list


@pytest.mark.parametrize(
    ("text", "cpus"), [("0", (0,)), ("0-3,6", (0, 1, 2, 3, 6)), ("6,0-1,1", (0, 1, 6)), ("2-2", (2,))]
)
def test_lists_are_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "1,", "-1", "1-", "0x1", "1 2", "3-1", "999999", "1\n"])
def test_anything_else_is_one_clear_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a list of CPUs|runs backwards"):
        parse_cpu_list(text)


def test_long_lists_are_refused_and_overlapping_ranges_are_quick() -> None:
    """A list of 700 KB, or a few hundred times every CPU there could be, must not take seconds."""
    with pytest.raises(ValueError, match="the list of CPUs has 719999 characters; allowed: at most 4096"):
        parse_cpu_list(",".join(["0-99999"] * 90_000))
    assert len(parse_cpu_list(",".join(["0-99999"] * 500))) == 100_000


@given(st.sets(st.integers(0, 300), min_size=1))
def test_what_is_written_is_read_again(cpus: set[int]) -> None:
    assert parse_cpu_list(format_cpu_list(cpus)) == tuple(sorted(cpus))
