"""Prediction batch by batch: both ways of keeping outputs keep the same, whatever the predictor returns."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.host.batches import predict_batches
from pytest_mlscope.host.frames import Arena

ROWS, BATCH_SIZE = 23, 4

Predict = Callable[[dict[str, np.ndarray]], Any]


def _kept(predict: Predict, *, returns_new_arrays: bool) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    arena = Arena(os.memfd_create("outputs"))
    rows = {"x": np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2)}
    reply = predict_batches(predict, rows, BATCH_SIZE, False, arena, str, returns_new_arrays=returns_new_arrays)
    return reply["errors"], {name: np.array(array) for name, array in arena.read(reply["tensors"]).items()}


def _double(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"y": inputs["x"] * 2, "rows": inputs["x"].sum(axis=1)}


def _raise(inputs: dict[str, np.ndarray]) -> Any:
    raise RuntimeError("no")


FAULTS: dict[str, Predict] = {
    "raises": _raise,
    "one row short": lambda inputs: {name: array[:-1] for name, array in _double(inputs).items()},
    "one row more": lambda inputs: {
        name: np.resize(array, (5, *array.shape[1:])) for name, array in _double(inputs).items()
    },
    "wider": lambda inputs: {**_double(inputs), "y": np.zeros((BATCH_SIZE, 3), np.float32)},
    "another dtype": lambda inputs: {**_double(inputs), "y": inputs["x"].astype(np.float64)},
    "a list": lambda inputs: {**_double(inputs), "y": inputs["x"].tolist()},
    "an output missing": lambda inputs: {"y": inputs["x"]},
    "nothing": lambda inputs: None,
}


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.integers(0, ROWS // BATCH_SIZE), st.sampled_from(sorted(FAULTS)), max_size=4))
def test_copying_all_outputs_at_once_keeps_what_copying_each_does(faults: dict[int, str]) -> None:
    """A short batch and a long one together have the right number of rows: they must still be told from good ones."""

    def predict(inputs: dict[str, np.ndarray]) -> Any:
        number = int(inputs["x"][0, 0]) // (2 * BATCH_SIZE)
        return FAULTS[faults[number]](inputs) if number in faults else _double(inputs)

    # The first batch says what the rest should look like: with another first, other batches are wrong.
    errors, kept = _kept(predict, returns_new_arrays=True)
    expected_errors, expected = _kept(predict, returns_new_arrays=False)
    assert errors == expected_errors
    failed = {row for error in errors for row in range(error["start"], error["stop"])}
    good = [row for row in range(ROWS) if row not in failed]
    assert kept.keys() == expected.keys()
    for name in kept:
        np.testing.assert_array_equal(kept[name][good], expected[name][good])
    if 0 not in faults:
        assert sorted({error["start"] // BATCH_SIZE for error in errors}) == sorted(faults)


@pytest.mark.parametrize("returns_new_arrays", [True, False])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_rows_without_an_element_are_predicted(returns_new_arrays: bool, batch_size: int) -> None:
    arena = Arena(os.memfd_create("outputs"))
    rows = {"x": np.zeros((3, 0), np.float32)}
    reply = predict_batches(
        lambda inputs: {"same": inputs["x"], "sum": inputs["x"].sum(axis=1)},
        rows,
        batch_size,
        False,
        arena,
        str,
        returns_new_arrays=returns_new_arrays,
    )
    assert reply["errors"] == []
    assert {name: array.shape for name, array in arena.read(reply["tensors"]).items()} == {"same": (3, 0), "sum": (3,)}


def test_a_predictor_that_hands_out_one_buffer_is_copied_in_time() -> None:
    buffer = np.zeros((BATCH_SIZE, 2), np.float32)

    def predict(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        buffer[: len(inputs["x"])] = inputs["x"]
        return {"y": buffer[: len(inputs["x"])]}

    errors, kept = _kept(predict, returns_new_arrays=False)
    assert errors == []
    np.testing.assert_array_equal(kept["y"], np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2))


def test_a_keyboard_interrupt_ends_the_chunk() -> None:
    def predict(inputs: dict[str, np.ndarray]) -> Any:
        raise KeyboardInterrupt

    for new in (True, False):
        with pytest.raises(KeyboardInterrupt):
            _kept(predict, returns_new_arrays=new)
