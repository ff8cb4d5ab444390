"""Whether a load request is obeyed: threads and precision, as asked or refused."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import get_args

import numpy as np

from pytest_mlscope.components import Precision
from pytest_mlscope.conformance.check_result import Fault, NotApplicable
from pytest_mlscope.conformance.subject import Subject, Tensors
from pytest_mlscope.errors import CannotRun, MlscopeError, PredictorError
from pytest_mlscope.hosts import ExaminedWork

WORK_SECONDS = 1.0
"""How long prediction is watched."""
ATTEMPTS = 3
"""Watched so often before too much CPU time is called a fault: a start-up's last work may fall into the first."""
SPARE_CORES = 0.25
"""What may be computed beside the threads asked for: Python's own work, a runtime's timers."""
SPARE_DEMAND = 0.75
"""Likewise, of cores busy and cores waited for: on a crowded machine a timer's thread waits as long as it computes."""
_WORTHWHILE_SECONDS = 0.01
_MOST_ROWS = 4096


def threads(subject: Subject) -> str:
    """``resolved["threads"]`` is what was asked, and no more cores than that are busy while it predicts."""
    _resolved_threads(subject, subject.threads)
    rows, size = _worthwhile(subject)
    asked = subject.threads
    for attempt in range(ATTEMPTS):
        seen = subject.examine(ExaminedWork, rows, seconds=WORK_SECONDS)
        busy = seen.cpu_seconds / seen.wall_seconds
        wanted = busy + (seen.waiting_seconds or 0.0) / seen.wall_seconds
        if busy <= asked + SPARE_CORES and wanted <= asked + SPARE_DEMAND:
            break
        if attempt == ATTEMPTS - 1:
            raise Fault(
                f"{asked} asked for, and while batches of {size} are predicted {busy:.2f} cores are busy (allowed "
                f"{asked + SPARE_CORES:g}) and {wanted:.2f} wanted (allowed {asked + SPARE_DEMAND:g})"
            )
    others = "unknown" if seen.os_threads is None else str(seen.os_threads)
    return (
        f"{busy:.2f} cores busy and {wanted:.2f} wanted at {asked} asked, batches of {size}; {others} OS threads"
        f"{_two(subject)}"
    )


def _resolved_threads(subject: Subject, asked: int) -> None:
    told = subject.load_as(replace(subject.load_request(batch_size=subject.batch_size), threads=asked)).resolved
    if told.get("threads") != asked:
        raise Fault(f"{asked} threads were asked for and resolved['threads'] is {told.get('threads')!r}")


def _two(subject: Subject) -> str:
    """Another number of threads must be obeyed or refused as well, where one process may change it."""
    other = 2 if subject.threads == 1 else 1
    # Such a process has fixed its pool by now, and a refusal would say nothing of the predictor.
    if subject.description.thread_scope == "process" or (os.cpu_count() or 1) < other:
        return ""
    try:
        _resolved_threads(subject, other)
    except CannotRun:
        return f"; {other} is refused"
    return f"; {other} is obeyed too"


def _worthwhile(subject: Subject) -> tuple[Tensors, int]:
    """A batch so large that computing with more threads would pay, or the largest the model takes; and its size."""
    size = subject.batch_size
    rows = subject.rows(size)
    # On too small a batch a framework may use one thread, whatever it was told, and too many would not be seen.
    while subject.fixed_batch is None and size < _MOST_ROWS:
        if subject.try_predicting(rows, batch_size=size).seconds >= _WORTHWHILE_SECONDS:
            break
        larger = {name: np.resize(array, (2 * size, *array.shape[1:])) for name, array in rows.items()}
        try:
            subject.ensure_loaded(batch_size=2 * size)
            subject.predict(larger, batch_size=2 * size)
        except (CannotRun, PredictorError):
            # Models may have a largest batch; what was loaded before takes the one before.
            subject.ensure_loaded(batch_size=size)
            break
        size, rows = 2 * size, larger
    return rows, size


def precision(subject: Subject) -> str:
    """Each precision that ``framework.yml`` offers is obeyed or refused; ``fp32`` is obeyed."""
    offered = subject.description.precisions[subject.plan.case.hardware]
    said = []
    for name in offered:
        try:
            told = subject.load_as(replace(subject.load_request(), precision=name)).resolved.get("precision")
        except CannotRun as error:
            if name == "fp32":
                raise Fault(f"fp32 is offered and refused: {error.reason}") from None
            said.append(f"{name} refused here")
            continue
        if not isinstance(told, str) or not told:
            raise Fault(f"at {name}, resolved['precision'] is {told!r}; it says what precision it came to")
        if name != "framework_default" and told != name:
            raise Fault(f"{name} was asked for and resolved['precision'] is {told!r}; obey it or raise Unsupported")
        said.append(f"{name} is {told}" if told != name else name)
    return ", ".join(said)


def precision_not_offered(subject: Subject) -> str:
    """A precision that the framework does not offer is ``Unsupported``, never another one in silence."""
    offered = subject.description.precisions[subject.plan.case.hardware]
    lacking = [name for name in reversed(get_args(Precision)) if name not in (*offered, "framework_default")]
    if not lacking:
        raise NotApplicable("every precision is offered")
    for name in lacking:
        try:
            told = subject.load_as(replace(subject.load_request(), precision=name)).resolved
        except CannotRun:
            continue
        except MlscopeError as error:
            raise Fault(f"{name}, which is not offered, must raise Unsupported; it failed with: {error}") from None
        came_to = told.get("precision")
        raise Fault(f"{name}, which is not offered, was loaded (resolved as {came_to!r}); raise Unsupported")
    return f"{', '.join(lacking)} refused"
