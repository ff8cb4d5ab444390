"""Parity metrics: their properties, and that taking rows in chunks changes nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from pytest_mlscope.measurements.parity.comparison import OutputComparison

Scores = NDArray[np.float64]


def compared(output: Scores, reference: Scores, *, cut: int | None = None) -> OutputComparison:
    comparison = OutputComparison(0.0, 0.0)
    parts = [slice(None)] if cut is None else [slice(0, cut), slice(cut, None)]
    for part in parts:
        comparison.update("scores", output[part], reference[part], ranked=True)
    return comparison


@st.composite
def pairs(draw: st.DrawFn, classes: int = 8) -> tuple[Scores, Scores]:
    # Whole numbers: their sums are exact, so that equal is equal.
    rows = draw(st.integers(1, 6))
    values = arrays.arrays(np.float64, (rows, classes), elements=st.integers(-1000, 1000).map(float))
    return draw(values), draw(values)


def approx(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


@given(pairs(), st.integers(0, 6))
def test_chunks_change_nothing(pair: tuple[Scores, Scores], cut: int) -> None:
    whole, parts = compared(*pair), compared(*pair, cut=cut)
    for name in ("max_abs", "max_rel", "cosine", "psnr", "top1_agreement", "top5_agreement", "root_mean_square"):
        assert getattr(parts, name) == approx(getattr(whole, name)), name


@given(pairs(), st.randoms())
def test_the_order_of_rows_changes_nothing(pair: tuple[Scores, Scores], random: Any) -> None:
    order = list(range(len(pair[0])))
    random.shuffle(order)
    one, other = compared(*pair), compared(pair[0][order], pair[1][order])
    for name in ("cosine", "psnr", "top1_agreement", "top5_agreement", "root_mean_square"):
        assert getattr(one, name) == approx(getattr(other, name)), name


@given(pairs(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_largest_difference_follows_the_unit_and_the_relative_one_has_none(
    pair: tuple[Scores, Scores], scale: float
) -> None:
    """Powers of two, so that scaling is exact."""
    once, scaled = compared(*pair), compared(*(scale * side for side in pair))
    assert once.max_abs is not None
    assert scaled.max_abs == scale * once.max_abs
    assert scaled.max_rel == once.max_rel


@given(pairs(), st.integers(-1000, 1000))
def test_the_largest_difference_does_not_know_what_both_are_shifted_by(pair: tuple[Scores, Scores], shift: int) -> None:
    assert compared(*(side + shift for side in pair)).max_abs == compared(*pair).max_abs


@given(pairs(), st.sampled_from([0.5, 3.0, 1024.0]))
def test_cosine_knows_directions_alone(pair: tuple[Scores, Scores], scale: float) -> None:
    output, reference = pair
    cosine = compared(output, reference).cosine
    assert compared(output * scale, reference).cosine == approx(cosine)
    assert compared(reference, output).cosine == approx(cosine)
    if cosine is None:
        assert not output.any() or not reference.any()
    else:
        assert -1 <= cosine <= 1
        assert compared(-output, reference).cosine == approx(-cosine)
        assert compared(output, output).cosine == approx(1.0)


@settings(deadline=None)  # the first example imports scipy
@given(pairs())
def test_cosine_agrees_with_scipy(pair: tuple[Scores, Scores]) -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    cosine = compared(*pair).cosine
    if cosine is not None:
        assert cosine == approx(1 - distance.cosine(pair[0].ravel(), pair[1].ravel()))


@given(pairs(), st.integers(-500, 500))
def test_psnr_is_of_the_range_and_the_mean_squared_error(pair: tuple[Scores, Scores], shift: int) -> None:
    output, reference = pair
    psnr = compared(output, reference).psnr
    span, error = np.ptp(reference), float(np.mean((output - reference) ** 2))
    if span == 0:
        assert psnr is None
    elif error == 0:
        assert psnr == math.inf
    else:
        assert psnr == approx(10 * math.log10(span**2 / error))
        assert compared(output + shift, reference + shift).psnr == approx(psnr)
        further = compared(reference + 2 * (output - reference), reference).psnr
        assert psnr is not None
        assert further == approx(psnr - 20 * math.log10(2))


@given(pairs())
def test_top5_is_the_overlap_of_the_five_largest(pair: tuple[Scores, Scores]) -> None:
    def five(row: Scores) -> set[int]:
        return set(sorted(range(len(row)), key=lambda place: (-row[place], place))[:5])

    shared = [len(five(one) & five(other)) / 5 for one, other in zip(*pair, strict=True)]
    assert compared(*pair).top5_agreement == approx(float(np.mean(shared)))


@given(pairs(), st.permutations(range(8)))
def test_agreement_does_not_depend_on_the_order_of_classes(pair: tuple[Scores, Scores], order: list[int]) -> None:
    # Ties are broken by place, so there must be none.
    output, reference = (scores + np.arange(8) / 16 for scores in pair)
    one, other = compared(output, reference), compared(output[:, order], reference[:, order])
    assert (one.top1_agreement, one.top5_agreement) == approx_pair(other)


def approx_pair(comparison: OutputComparison) -> tuple[Any, Any]:
    return approx(comparison.top1_agreement), approx(comparison.top5_agreement)


@given(pairs(classes=5))
def test_five_classes_have_no_top5(pair: tuple[Scores, Scores]) -> None:
    assert compared(*pair).top5_agreement is None


def test_classes_may_stand_before_dimensions_of_one() -> None:
    scores = np.random.default_rng(0).standard_normal((3, 10, 1, 1))
    comparison = compared(scores, scores)
    assert (comparison.top1_agreement, comparison.top5_agreement) == (1.0, 1.0)
    images = np.zeros((3, 10, 2, 2))
    assert compared(images, images).top1_agreement is None


def test_what_is_not_finite_counts_as_a_difference_and_not_in_sums() -> None:
    output, reference = np.array([[1.0, np.nan, 3.0]]), np.array([[1.0, 2.0, 3.0]])
    comparison = compared(output, reference)
    assert comparison.max_abs == math.inf
    assert comparison.cosine == approx(1.0)
    assert comparison.psnr == math.inf
    assert comparison.top1_agreement == 0
    nothing = compared(np.full((1, 3), np.nan), reference)
    assert (nothing.cosine, nothing.psnr, nothing.root_mean_square) == (None, None, 0.0)


def compare(output: Any, reference: Any, abs_tolerance: float = 0.0, **options: bool) -> OutputComparison:
    comparison = OutputComparison(abs_tolerance, 0.0, **options)
    comparison.update("y", np.asarray(output), np.asarray(reference), ranked=True)
    return comparison


@pytest.mark.parametrize(
    ("output", "reference"),
    [([[40001]], [[40000]]), ([[2**60 + 1]], [[2**60]]), ([[True]], [[False]]), ([["b"]], [["a"]])],
    ids=["token", "large", "boolean", "text"],
)
def test_what_is_not_a_measure_is_equal_or_wrong(output: Any, reference: Any) -> None:
    comparison = compare(output, reference, 1e9)
    assert (comparison.violations, comparison.exact) == (1, True)
    assert comparison.max_abs != 0
    assert compare(reference, reference, 1e9).violations == 0


def test_integers_have_a_tolerance_where_it_is_theirs() -> None:
    assert compare([[128]], [[127]], 1.0, exact_integers=False).violations == 0
    assert compare([[129]], [[127]], 1.0, exact_integers=False).violations == 1


def test_nothing_compared_has_no_number() -> None:
    shapes = compare(np.zeros((2, 3, 4)), np.zeros((2, 4, 3)))
    assert (shapes.max_abs, shapes.max_rel) == (None, None)
    assert shapes.mismatch == "output 'y' has shape [3, 4] a row, the reference's [4, 3]"
    assert compare([["a"]], [["a"]]).max_abs is None
    assert compare([["a"]], [[1.0]]).mismatch == "output 'y' has dtype <U1, the reference's float64"


def test_nan_is_counted_by_side() -> None:
    output, reference = [[np.nan, np.nan, 1.0, 2.0]], [[np.nan, 1.0, np.nan, 2.0]]
    alike, apart = compare(output, reference), compare(output, reference, equal_nan=False)
    for each in (alike, apart):
        assert (each.nan, each.reference_nan, each.both_nan) == (1, 1, 1)
    assert (alike.violations, apart.violations) == (2, 3)


def test_what_is_relative_to_nearly_nothing_alarms_nobody() -> None:
    assert compare([[1e-6, 1.0]], [[1e-12, 1.0]], 1e-4).max_rel == pytest.approx(0.01, rel=1e-3)
    assert compare([[1e-6, 1.0]], [[1e-12, 1.0]]).max_rel == pytest.approx(1e6, rel=1e-3)


def test_equal_vectors_have_a_cosine_of_one() -> None:
    values = np.random.default_rng(3).standard_normal((50, 999))
    assert compare(values, values).cosine == 1.0
