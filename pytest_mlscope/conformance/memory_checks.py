"""What a predictor does with memory: its inputs', its outputs', and what it keeps after unloading."""

from __future__ import annotations

from pytest_mlscope.conformance.check_result import Fault, NotApplicable
from pytest_mlscope.conformance.subject import Subject
from pytest_mlscope.hosts import ExaminedBound, ExaminedInputs, ExaminedOutputs

CYCLES = 12
"""Times the model is loaded, predicts and is unloaded."""
SETTLING = 4
"""Cycles in which caches may fill."""
SLACK_BYTES = 1_000_000
"""A cycle may keep half the model's files, or this much where they are small: allocators and caches are not exact."""


def inputs_untouched(subject: Subject) -> str:
    """A prediction leaves its inputs alone, and takes arrays that cannot be written to."""
    subject.ensure_loaded(batch_size=subject.batch_size)
    seen = subject.examine(ExaminedInputs, subject.rows(subject.batch_size))
    if seen.written:
        raise Fault(f"a prediction writes to its input {seen.written[0]!r}; inputs are the caller's")
    if seen.read_only:
        raise Fault(f"read-only inputs are not taken: {seen.read_only}")
    return "inputs are as before, and read-only ones are taken"


def outputs_kept(subject: Subject) -> str:
    """With ``returns_new_arrays`` no later prediction, nor the inputs' next use, changes an earlier output."""
    subject.ensure_loaded(batch_size=subject.batch_size)
    # Looked at inside the host: what reaches this process is a copy in shared memory, which no prediction changes.
    seen = subject.examine(ExaminedOutputs, subject.rows(subject.batch_size))
    if not seen.claimed:
        raise NotApplicable("returns_new_arrays is not claimed")
    if seen.overwritten:
        raise Fault(
            f"output {seen.overwritten[0]!r} of an earlier prediction changed later, though returns_new_arrays is "
            "claimed; return a copy, or do not claim it"
        )
    return "earlier outputs stay as they were"


def bound_batch(subject: Subject) -> str:
    """What is bound for timing predicts, as prediction does, and names the framework's function."""
    subject.ensure_loaded(batch_size=subject.batch_size)
    seen = subject.examine(ExaminedBound, subject.rows(subject.batch_size))
    if seen.lacking:
        raise Fault(f"the bound batch does not give output {seen.lacking[0]!r}, which predict gives")
    if seen.differing:
        raise Fault(f"output {seen.differing[0]!r} of the bound batch differs from what predict gives")
    path = seen.call_path
    if not isinstance(path, str) or not path.strip():
        raise Fault(f"call_path is {path!r}; it names the framework's function that is timed")
    return f"{path} gives what predict gives"


def unloading(subject: Subject) -> str:
    """Loaded, used and unloaded again and again, the host's resident memory does not keep growing."""
    resident: list[int] = []
    rows = subject.rows(subject.batch_size)
    for _ in range(CYCLES):
        subject.load_as(subject.load_request(batch_size=subject.batch_size))
        subject.predict(rows, batch_size=subject.batch_size)
        after = subject.unload()
        if after is None:
            raise NotApplicable("this system does not tell a process's resident memory")
        resident.append(after)
    allowed = max(SLACK_BYTES, subject.model_bytes // 2)
    counted = resident[SETTLING - 1 :]
    # The slope over many cycles: a leak goes on, while what a cache takes comes once.
    growth = (counted[-1] - counted[0]) / (len(counted) - 1)
    shown = f"{growth / 1e6:+.2f} MB a cycle over the last {len(counted) - 1} of {CYCLES}"
    if growth > allowed:
        raise Fault(
            f"resident memory keeps growing: {shown}, allowed {allowed / 1e6:.2f} MB for a model of "
            f"{subject.model_bytes / 1e6:.2f} MB; unload must free what load took"
        )
    return f"{shown}, allowed {allowed / 1e6:.2f} MB"
