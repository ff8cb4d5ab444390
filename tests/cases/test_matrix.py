"""The matrix's cases: which there are, in which order, under which ids."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.errors import ManifestError
from pytest_mlscope.manifest.loaded import LoadedManifest

Make = Callable[..., LoadedManifest]


def ids(manifest: LoadedManifest) -> list[str]:
    return [case.id for case in expand(manifest)]


def test_a_dimension_with_one_value_stays_out_of_the_id(make: Make) -> None:
    assert ids(make()) == ["onnxruntime"]
    assert ids(make(matrix={"batch_size": [1, 8]})) == ["onnxruntime-b1", "onnxruntime-b8"]


def test_every_dimension_that_varies_is_in_the_id(make: Make) -> None:
    manifest = make(
        ("a", "onnxruntime"),
        preprocessing_variants={"nearest": {"x": []}},
        matrix={
            "hardware": ["cpu", "cuda"],
            "precision": ["fp32", "fp16"],
            "threads": [1, "framework_default"],
            "batch_size": [1, 8],
            "scenario": ["single_stream", "offline"],
        },
    )
    found = ids(manifest)
    assert len(found) == 2**7
    assert found[0] == "a-cpu-fp32-stated-t1-b1-single_stream"
    assert found[1] == "a-cpu-fp32-stated-t1-b1-offline"
    assert found[-1] == "onnxruntime-cuda-fp16-nearest-tdefault-b8-offline"


def test_a_framework_s_cases_stand_together(make: Make) -> None:
    """So that its host stays warm."""
    cases = expand(make(("b", "a"), matrix={"hardware": ["cpu", "cuda"], "batch_size": [8, 1]}))
    assert [framework for framework, _ in itertools.groupby(cases, key=lambda case: case.framework)] == ["b", "a"]


def test_include_counts_for_what_varies_and_takes_first_values(make: Make) -> None:
    manifest = make(matrix={"batch_size": [4], "include": [{"framework": "onnxruntime", "threads": 2}]})
    assert ids(manifest) == ["onnxruntime-t1", "onnxruntime-t2"]
    assert expand(manifest)[1].batch_size == 4


def test_exclude_does_not_change_ids(make: Make) -> None:
    """An id that changed whenever another case is excluded could not be compared from run to run."""
    matrix: dict[str, Any] = {"batch_size": [1, 8], "exclude": [{"batch_size": 8}]}
    assert ids(make(matrix=matrix)) == ["onnxruntime-b1"]


def test_include_brings_back_what_was_excluded(make: Make) -> None:
    matrix = {
        "batch_size": [1, 8],
        "threads": [1, 2],
        "exclude": [{"batch_size": 8}],
        "include": [{"framework": "onnxruntime", "batch_size": 8, "threads": 2}],
    }
    assert ids(make(matrix=matrix)) == ["onnxruntime-t1-b1", "onnxruntime-t2-b1", "onnxruntime-t2-b8"]


def test_a_batch_fixed_by_the_shapes_is_the_batch_size(make: Make) -> None:
    manifest = make(inputs=[{"name": "x", "shape": [16, 4]}])
    assert [case.batch_size for case in expand(manifest)] == [16]


def _some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


DIMENSIONS: dict[str, list[Any]] = {
    "hardware": ["cpu", "cuda", "npu"],
    "precision": ["fp32", "fp16", "bf16", "int8", "framework_default"],
    "threads": [1, 2, 3, "framework_default"],
    "batch_size": [1, 2, 3, 11],
    "scenario": ["single_stream", "offline"],
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cases_are_the_product_less_what_is_excluded(make: Make, data: st.DataObject) -> None:
    """Against the product written out plainly; ids that clashed would make pytest rename tests behind our back."""
    frameworks = data.draw(_some(["a", "a-b", "b", "onnxruntime"]))
    matrix = {name: data.draw(_some(values)) for name, values in DIMENSIONS.items()}
    selector = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in (matrix | {"framework": frameworks}).items()}
    ).filter(bool)
    exclude = data.draw(st.lists(selector, max_size=3))
    try:
        manifest = make(tuple(frameworks), matrix={**matrix, "exclude": exclude})
    except ManifestError as error:
        assert "leaves no case" in str(error)  # noqa: PT017  # another mistake would be a wrong example
        return
    names = ("framework", *DIMENSIONS)
    product = itertools.product(frameworks, *matrix.values())
    expected = [
        cell
        for cell in (dict(zip(names, values)) for values in product)
        if not any(all(cell[name] == value for name, value in wanted.items()) for wanted in exclude)
    ]
    cases = expand(manifest)
    assert [{name: getattr(case, name) for name in names} for case in cases] == expected
    assert len({case.id for case in cases}) == len(cases)


def test_a_hundred_thousand_cases(make: Make) -> None:
    """Of the size collection is built for; ids stay unique and in order."""
    numbers = list(range(1, 318))
    cases = expand(
        make(matrix={"threads": numbers, "batch_size": numbers, "exclude": [{"threads": 5, "batch_size": 7}]})
    )
    assert len(cases) == 317 * 317 - 1
    assert len({case.id for case in cases}) == len(cases)
    assert cases[-1].id == "onnxruntime-t317-b317"
