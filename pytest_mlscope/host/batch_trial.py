"""Whether an output's first dimension is the batch, tried with another number of rows."""

from typing import Any, Callable, Collection, Dict, List, Optional

import numpy

from pytest_mlscope.host.predictor import Tensors
from pytest_mlscope.host.returned import WrongReturn, check_outputs, check_rows


class BatchTrial(object):
    """Tries a loaded model once.

    Of a batch of 2, scores of 2 classes are as many whichever way round they are: only another number of rows tells.
    """

    def __init__(self, stated: Collection[str]) -> None:
        """:param stated: outputs of which the manifest says where their batch is."""
        self._stated = frozenset(stated)
        self._wrong: Optional[str] = None
        self._done = False

    def check(
        self,
        predict: Callable[[Tensors], Tensors],
        inputs: Tensors,
        batch_size: int,
        pad: bool,
        predicted: List[Dict[str, Any]],
    ) -> None:
        """Of rows that were predicted in batches of ``batch_size``.

        :param pad: whether the model takes no other number of rows.
        :param predicted: the stacked outputs' names and shapes.
        :raises WrongReturn: when an output's number of rows is not the call's, or may be chance and cannot be tried.
        """
        if not self._done and predicted:
            # Also when it fails: the model stays the same, and each trial costs a prediction.
            self._done = True
            try:
                self._try(predict, inputs, batch_size, pad, {each["name"]: each["shape"] for each in predicted})
            except WrongReturn as error:
                self._wrong = str(error)
        # For every later request, too: who goes on after the first must not get rows that are none.
        if self._wrong is not None:
            raise WrongReturn(self._wrong)

    def _try(
        self,
        predict: Callable[[Tensors], Tensors],
        inputs: Tensors,
        batch_size: int,
        pad: bool,
        shapes: Dict[str, List[int]],
    ) -> None:
        rows = len(next(iter(inputs.values())))
        called_with = batch_size if pad else min(batch_size, rows)
        equal = [name for name, shape in shapes.items() if called_with in shape[1:]]
        # Of a single row, both ways round hold the same values in the same order.
        if called_with == 1 or not (equal or set(shapes) - self._stated):
            return
        seen = {called_with}.union(*(shape[1:] for shape in shapes.values()))
        if not pad and self._tried(predict, inputs, seen):
            return
        for name in equal:
            if name not in self._stated:
                raise WrongReturn(
                    "output {!r} has shape {} for a batch of {}, and the model takes no other number of rows: which "
                    "dimension is the batch cannot be told; state its `shape` in the manifest".format(
                        name, [called_with] + list(shapes[name][1:]), called_with
                    )
                )

    @staticmethod
    def _tried(predict: Callable[[Tensors], Tensors], inputs: Tensors, seen: Collection[int]) -> bool:
        """Predict a number of rows that no dimension has; false where the model refuses every one."""
        # A single row comes last: a predictor may drop a dimension of 1.
        for count in [next(n for n in range(2, len(seen) + 3) if n not in seen), 1]:
            if count in seen:
                continue
            call = {name: numpy.resize(rows[:count], (count,) + rows.shape[1:]) for name, rows in inputs.items()}
            try:
                outputs = predict(call)
            except Exception:  # noqa: S112  # a model with a fixed batch takes no other
                continue
            check_outputs(outputs, "predict")
            check_rows(outputs, count)
            return True
        return False
