"""What goes wrong is an exception of one line that names the file or tensor: no crash, no hang, no silent answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mlscope.conformance.check_result import Fault, NotApplicable
from pytest_mlscope.conformance.subject import Subject, Tensors
from pytest_mlscope.errors import CannotRun, HostCrashed, HostTimeout, PredictorError
from pytest_mlscope.hosts import LoadRequest

LONGEST_MESSAGE = 1000
UNKNOWN = "mlscope_unknown"
"""A name that no model has."""


def _attempt(subject: Subject, request: LoadRequest, inputs: Tensors, *, size: int) -> str | None:
    """The message of what loading or predicting raised; ``None`` when both went well.

    :raises Fault: when the host crashed or hung.
    """
    try:
        subject.load_as(request)
        outputs = subject.predict(inputs, batch_size=size)
    except (HostCrashed, HostTimeout) as error:
        raise Fault(f"no exception: {error}") from None
    except (CannotRun, PredictorError) as error:
        # Refused is as good as failed: both say something.
        return str(error)
    lacking = [name for name in request.outputs if name not in outputs]
    # The plugin itself refuses what lacks an output.
    return f"the predictor returned no output {lacking[0]!r}" if lacking else None


def _judge(message: str | None, *names: str) -> str:
    if message is None:
        raise Fault("answered as if nothing were wrong")
    if len(message) > LONGEST_MESSAGE:
        raise Fault(f"the message has {len(message)} characters; one line is enough: {message[:80]} …")
    if not any(name in message for name in names):
        raise Fault(f"the message names none of {', '.join(map(repr, names))}: {message}")
    return message


def _damaged(content: Callable[[bytes], bytes | None]) -> Callable[[Subject], str]:
    """A check with each of the model's files replaced in turn by what is made of its bytes; ``None``: not there."""

    def run(subject: Subject) -> str:
        said = ""
        size = subject.fixed_batch or 1
        with tempfile.TemporaryDirectory(prefix="mlscope-conformance-") as folder:
            for role, artifact in subject.artifacts.items():
                # A name that a message can only have from the path; the suffix stays, since frameworks go by it.
                damaged = Path(folder) / f"mlscope-damaged-{role}{artifact.path.suffix}"
                made = content(artifact.path.read_bytes())
                if made is not None:
                    damaged.write_bytes(made)
                request = subject.load_request()
                request = replace(request, files={**request.files, role: str(damaged)})
                try:
                    message = _attempt(subject, request, subject.rows(size), size=size)
                    said = said or _judge(message, damaged.stem)
                except Fault as fault:
                    raise Fault(f"file {role!r}: {fault}") from None
        return said

    return run


missing_file = _damaged(lambda _: None)
corrupt_file = _damaged(lambda _: b"this is no model\n" * 64)
# The head is intact, so that only a reader that checks lengths notices.
truncated_file = _damaged(lambda content: content[: len(content) * 2 // 3])


def unknown_input(subject: Subject) -> str:
    """A further input that the model does not have."""
    request = subject.load_request()
    request = replace(request, inputs=(*request.inputs, replace(request.inputs[0], name=UNKNOWN)))
    size = subject.fixed_batch or 1
    rows = subject.rows(size)
    # Data that the model could take, so that only the name is wrong.
    rows[UNKNOWN] = next(iter(rows.values())).copy()
    return _judge(_attempt(subject, request, rows, size=size), UNKNOWN)


def unknown_output(subject: Subject) -> str:
    """A further output that the model does not have."""
    request = subject.load_request()
    request = replace(request, outputs=(*request.outputs, UNKNOWN))
    size = subject.fixed_batch or 1
    return _judge(_attempt(subject, request, subject.rows(size), size=size), UNKNOWN)


def _changed_inputs(subject: Subject, change: Callable[[Any], Any]) -> str:
    size = subject.fixed_batch or 2
    # Made first: what makes the rows needs a host, too.
    inputs = {name: change(array) for name, array in subject.rows(size).items()}
    message = _attempt(subject, subject.load_request(batch_size=size), inputs, size=size)
    return _judge(message, *inputs, *(path.stem for path in subject.model_files))


def wrong_shape(subject: Subject) -> str:
    """Rows whose last dimension is twice as long as the manifest says."""
    shapes = [each.shape for each in subject.load_request().inputs]
    if any(len(shape) == 1 or shape[-1] is None for shape in shapes):
        raise NotApplicable("the last dimension of an input is dynamic, or the batch itself")
    return _changed_inputs(subject, lambda array: np.concatenate([array, array], axis=-1))


def wrong_dtype(subject: Subject) -> str:
    """Rows of another dtype, which some frameworks cast in silence."""
    return _changed_inputs(subject, lambda array: array.astype(np.float32 if array.dtype != np.float32 else np.float64))
