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


TWO = {"onnxruntime": ["1.20", ">=1.31"]}


def test_each_version_of_a_framework_has_cases(make: Make) -> None:
    manifest = make(("a", "onnxruntime"), TWO, matrix={"batch_size": [1, 8]})
    assert ids(manifest) == [
        "a-b1",
        "a-b8",
        "onnxruntime-1.20-b1",
        "onnxruntime-1.20-b8",
        "onnxruntime->=1.31-b1",
        "onnxruntime->=1.31-b8",
    ]
    assert [case.version for case in expand(manifest)][1:4] == [None, "1.20", "1.20"]


def test_one_version_stays_out_of_the_id(make: Make) -> None:
    (case,) = expand(make(versions={"onnxruntime": ["1.20"]}))
    assert (case.id, case.version) == ("onnxruntime", "1.20")
    assert expand(make(versions={"onnxruntime": ">=1.20"}))[0].version == ">=1.20"


def test_versions_are_excluded_and_included(make: Make) -> None:
    """What is included takes its framework's first version."""
    matrix: dict[str, Any] = {
        "batch_size": [1, 8],
        "exclude": [{"version": ">=1.31", "batch_size": 8}],
        "include": [{"framework": "onnxruntime", "threads": 2}],
    }
    assert ids(make(("a", "onnxruntime"), TWO, matrix=matrix)) == [
        "a-t1-b1",
        "a-t1-b8",
        "onnxruntime-1.20-t1-b1",
        "onnxruntime-1.20-t1-b8",
        "onnxruntime->=1.31-t1-b1",
        "onnxruntime-1.20-t2-b1",
    ]
    matrix = {
        "precision": ["fp32"],
        "include": [{"framework": "onnxruntime", "version": ">=1.31", "precision": "int8"}],
    }
    assert ids(make(versions=TWO, matrix=matrix))[-1] == "onnxruntime->=1.31-int8"


def test_a_framework_has_cases_at_what_it_offers(make: Make) -> None:
    """What no machine could run makes no case: a skip for each would hide those that tell something."""
    manifest = make(("a", "modest"), matrix={"hardware": ["cpu", "cuda"], "precision": ["fp32", "int8"]})
    assert ids(manifest) == ["a-cpu-fp32", "a-cpu-int8", "a-cuda-fp32", "a-cuda-int8", "modest-cpu-fp32"]


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
    versions = data.draw(st.fixed_dictionaries({"a": st.sampled_from([None, "1", ["1.2"], ["1.2", "3", ">4"]])}))
    try:
        manifest = make(tuple(frameworks), versions, matrix={**matrix, "exclude": exclude})
    except ManifestError as error:
        assert "leaves no case" in str(error)  # noqa: PT017  # another mistake would be a wrong example
        return
    names = ("framework", "version", *DIMENSIONS)
    stated = versions["a"] if isinstance(versions["a"], list) else [versions["a"]]
    pairs = [(name, version) for name in frameworks for version in (stated if name == "a" else [None])]
    product = ((*pair, *rest) for pair, *rest in itertools.product(pairs, *matrix.values()))
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
