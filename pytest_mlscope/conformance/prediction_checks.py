"""What a prediction gives: shapes, dtypes, any batch size, the same each time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pytest_mlscope.conformance.check_result import Fault, NotApplicable
from pytest_mlscope.conformance.subject import BATCH_SIZES, Subject, Tensors
from pytest_mlscope.errors import CannotRun, HostError, MlscopeError
from pytest_mlscope.measurements import DEFAULT_TOLERANCE, OutputComparison

Reference = Callable[[int], Tensors]
"""Gives the reference framework's outputs of that many rows, by the manifest's names."""


def shapes(subject: Subject) -> str:
    """Each output the manifest names is there, batch first, in the shape the manifest says."""
    subject.ensure_loaded()
    size = subject.fixed_batch or 3
    outputs = subject.predict(subject.rows(size), batch_size=size)
    try:
        named = subject.ready().manifest_outputs(outputs)
    except HostError as error:
        raise Fault(str(error)) from None
    for name, array in named.items():
        if array.ndim == 0 or len(array) != size:
            raise Fault(f"output {name!r} of {size} rows has shape {list(array.shape)}; the batch comes first")
    return ", ".join(f"{name} {list(array.shape)}" for name, array in named.items())


def dtypes(subject: Subject, reference: Reference) -> str:
    """At fp32 what floats is float32, and each dtype is the reference framework's where there is one."""
    subject.ensure_loaded()
    size = subject.fixed_batch or 3
    outputs = subject.ready().manifest_outputs(subject.predict(subject.rows(size), batch_size=size))
    for name, array in outputs.items():
        if subject.plan.case.precision == "fp32" and array.dtype.kind == "f" and array.dtype != np.float32:
            raise Fault(f"output {name!r} is {array.dtype}; at fp32 what floats is float32")
        # Text, objects and complex numbers cannot be compared within a tolerance.
        if array.dtype.kind not in "fiub":
            raise Fault(f"output {name!r} is {array.dtype}; outputs are plain numbers or booleans")
    try:
        # Last, since it starts a second framework, and what is wrong by itself needs none.
        expected = reference(size)
    except (NotApplicable, CannotRun) as error:
        return f"{_listed(outputs)}; no reference to compare with: {error}"
    for name, array in outputs.items():
        if array.dtype != expected[name].dtype:
            raise Fault(f"output {name!r} is {array.dtype}; the parity reference gives {expected[name].dtype}")
    return f"{_listed(outputs)}, as the parity reference"


def _listed(outputs: Tensors) -> str:
    return ", ".join(f"{name} {array.dtype}" for name, array in outputs.items())


def _difference(outputs: Tensors, expected: Tensors) -> str | None:
    """How outputs differ beyond the tolerance of fp32; ``None`` where they do not."""
    # Not bit by bit: batches of another size may take other kernels, whose sums differ in their last digits.
    comparison = OutputComparison(*DEFAULT_TOLERANCE["fp32"])
    for name, array in expected.items():
        if name not in outputs:
            return f"output {name!r} is missing"
        comparison.update(name, outputs[name], array, ranked=False)
    if comparison.mismatch:
        return comparison.mismatch
    if not comparison.violations:
        return None
    return "in its text" if comparison.max_abs is None else f"by up to {comparison.max_abs:.3g}"


def any_batch(subject: Subject) -> str:
    """Batches of several sizes give what row-by-row prediction gives; a fixed batch is honoured."""
    if subject.fixed_batch is not None:
        return _fixed_batch(subject, subject.fixed_batch)
    rows = subject.rows(max(BATCH_SIZES))
    subject.ensure_loaded(batch_size=1)
    # The yardstick: a row that is alone in its batch cannot be mixed up with another.
    singly = subject.predict(rows, batch_size=1)
    for size in BATCH_SIZES:
        subject.ensure_loaded(batch_size=size)
        inputs = {name: array[:size] for name, array in rows.items()}
        try:
            outputs = subject.predict(inputs, batch_size=size)
        except CannotRun as error:
            raise Fault(f"a batch of {size} is refused: {error.reason}") from None
        differs = _difference(outputs, {name: array[:size] for name, array in singly.items()})
        if differs:
            raise Fault(f"a batch of {size} differs from its rows predicted one by one: {differs}")
    subject.ensure_loaded(batch_size=subject.batch_size)
    sizes = ", ".join(map(str, BATCH_SIZES))
    how = "one loaded model" if subject.description.dynamic_batch else "a model loaded for each"
    return f"sizes {sizes} agree with single rows, {how}"


def _fixed_batch(subject: Subject, size: int) -> str:
    """The rows of a batch do not depend on what else is in it."""
    subject.ensure_loaded()
    rows = subject.rows(2 * size)
    whole = subject.predict(rows, batch_size=size)
    # Half a batch further on, each row has another place and other neighbours.
    shifted = {name: array[size // 2 :] for name, array in rows.items()}
    outputs = subject.predict(shifted, batch_size=size, pad=True)
    differs = _difference(outputs, {name: array[size // 2 :] for name, array in whole.items()})
    if differs:
        raise Fault(f"rows give something else at another place of a batch of {size}: {differs}")
    return f"the manifest fixes batches of {size}; rows agree at each place"


def repeated(subject: Subject) -> str:
    """The same rows twice give the same bits."""
    subject.ensure_loaded(batch_size=subject.batch_size)
    rows = subject.rows(subject.batch_size)
    first = subject.predict(rows, batch_size=subject.batch_size)
    # More than once: a result that depends on the order of threads may agree by chance.
    for _ in range(3):
        again = subject.predict(rows, batch_size=subject.batch_size)
        for name, array in first.items():
            if again[name].tobytes() != array.tobytes():
                raise Fault(f"output {name!r} differs when the same {subject.batch_size} rows are predicted again")
    return "four predictions are equal to the bit"


def survives(subject: Subject, before: Tensors) -> str:
    """After everything else the model loads again and predicts what it did at first, and no host died on the way."""
    if subject.deaths:
        raise Fault(subject.deaths[0])
    try:
        subject.load_as(subject.load_request(batch_size=subject.batch_size))
        after = subject.predict(subject.rows(subject.batch_size), batch_size=subject.batch_size)
    except MlscopeError as error:
        raise Fault(f"after the other checks the model cannot be used any more: {error}") from None
    # Within the tolerance, not to the bit: a model loaded anew may be given other kernels.
    differs = _difference(after, before)
    if differs:
        raise Fault(f"after the other checks the model predicts something else: {differs}")
    return "one host stood all checks, and predicts as at first"
