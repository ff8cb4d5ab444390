"""What a predictor returned, checked where something went wrong or came for the first time; each fault is one line."""

from typing import Any, Iterable, Mapping

import numpy

from pytest_mlscope.host.predictor import Bound, LoadedModel


class WrongReturn(Exception):
    """A predictor returned something else than its interface says; the message is complete without a traceback."""


def what_it_is(value: Any) -> str:
    """A value in words, for a message."""
    return "None" if value is None else "an object of type {}".format(type(value).__name__)


def check_model(model: Any) -> None:
    """:raises WrongReturn: when ``load`` returned no model."""
    if not isinstance(model, LoadedModel):
        raise WrongReturn("the predictor's load returned {}; it must return a LoadedModel".format(what_it_is(model)))


def check_bound(bound: Any) -> None:
    """:raises WrongReturn: when ``bind`` returned nothing that can be timed."""
    if not isinstance(bound, Bound):
        raise WrongReturn("the predictor's bind returned {}; it must return a Bound".format(what_it_is(bound)))


def check_rows(outputs: Mapping[str, Any], rows: int) -> None:
    """:raises WrongReturn: when an output of a call with so many rows has another number of them."""
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            raise WrongReturn(
                "output {!r} has shape {}, and the call had {}: its first dimension is not the batch; state its "
                "`batch` in the manifest".format(name, list(array.shape), "1 row" if rows == 1 else str(rows) + " rows")
            )


def check_outputs(outputs: Any, source: str, expected: Iterable[str] = ()) -> None:
    """:raises WrongReturn: when these are not arrays by name, or an expected one is not among them."""
    must = "it must return a dict of output name to numpy array"
    if not isinstance(outputs, Mapping):
        raise WrongReturn("the predictor's {} returned {}; {}".format(source, what_it_is(outputs), must))
    for name, array in outputs.items():
        if not isinstance(name, str):
            raise WrongReturn("the predictor's {} returned {!r} as a name; {}".format(source, name, must))
        # numpy itself gives its scalars for what has no dimension left.
        if not isinstance(array, (numpy.ndarray, numpy.generic)):
            raise WrongReturn(
                "the predictor's {} returned {!r} as {}; {}".format(source, name, what_it_is(array), must)
            )
    for name in expected:
        if name not in outputs:
            names = ", ".join(outputs) or "nothing"
            raise WrongReturn("the predictor's {} returned no output {!r}; it returned: {}".format(source, name, names))
