"""Models whose tensors have the batch elsewhere, or none."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.batch_first import BatchFirst
from pytest_mlscope.host.batches import predict_batches
from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.predictor import LoadedModel
from pytest_mlscope.host.returned import WrongReturn


class _Model(LoadedModel):
    """Takes ``x`` (time, batch, 2) and a scalar ``t``; gives ``y`` (time, batch), ``sum`` () and ``found`` (n,)."""

    def predict(self, inputs: Any) -> Any:
        assert inputs["t"].shape == ()
        assert inputs["x"].flags.c_contiguous
        y = inputs["x"].sum(axis=2) * inputs["t"]
        return {"y": y, "sum": np.float32(y.sum()), "found": y[y > 10]}


PLACES: dict[str, int | None] = {"y": 1, "sum": None, "found": None}


def _model(outputs: dict[str, int | None]) -> BatchFirst:
    return BatchFirst(_Model(), {"x": 1, "t": None}, outputs)


def _inputs(rows: int) -> dict[str, np.ndarray]:
    x = np.arange(rows * 6, dtype=np.float32).reshape(rows, 3, 2)
    return {"x": x, "t": np.full(rows, 2, np.float32)}


def test_the_batch_is_moved_in_and_out() -> None:
    inputs = _inputs(1)
    outputs = _model(PLACES).predict(inputs)
    expected = inputs["x"].sum(axis=2) * 2
    np.testing.assert_array_equal(outputs["y"], expected)
    assert outputs["sum"].tolist() == [expected.sum()]
    assert outputs["found"].tolist() == [expected[expected > 10].tolist()]
    bound = _model(PLACES).bind(inputs)
    bound.run()
    np.testing.assert_array_equal(bound.outputs()["y"], expected)


def test_rows_of_one_batch_share_what_it_has_one_of() -> None:
    inputs = _inputs(3)
    model = BatchFirst(_Model(), {"x": 1, "t": None}, {"y": 1})
    np.testing.assert_array_equal(model.predict(inputs)["y"], inputs["x"].sum(axis=2) * 2)
    inputs["t"][1] = 3
    with pytest.raises(WrongReturn, match="input 't' has no batch, but rows of one batch differ in it"):
        model.predict(inputs)


def test_an_output_without_a_batch_is_one_rows() -> None:
    with pytest.raises(WrongReturn, match="output 'sum' has no batch, and the call had 2 rows"):
        _model(PLACES).predict(_inputs(2))


def test_a_batch_that_is_not_where_it_should_be_is_refused() -> None:
    with pytest.raises(WrongReturn, match="of which dimension 0 should be the batch of 2; state its"):
        _model({"y": 0}).predict(_inputs(2))


@pytest.mark.parametrize("returns_new_arrays", [True, False])
def test_rows_of_different_shapes_come_in_parts(returns_new_arrays: bool) -> None:
    inputs = {"x": np.array([[2], [2], [3], [-1], [0], [0]])}

    def predict(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        count = int(given["x"][0, 0])
        if count < 0:
            raise RuntimeError("no")
        return {"y": np.full((1, count), count), "double": given["x"] * 2}

    arena = Arena(os.memfd_create("outputs"))
    reply = predict_batches(predict, inputs, 1, False, arena, str, returns_new_arrays=returns_new_arrays)
    assert reply["errors"] == [{"start": 3, "stop": 4, "message": "no"}]
    assert reply["parts"] == [[0, 2], [2, 3], [4, 6]]
    tensors = {name: array.tolist() for name, array in arena.read(reply["tensors"]).items()}
    assert tensors == {
        "0:y": [[2, 2], [2, 2]],
        "0:double": [[4], [4]],
        "1:y": [[3, 3, 3]],
        "1:double": [[6]],
        "2:y": [[], []],
        "2:double": [[0], [0]],
    }
