"""Work that must be done when a case's time is up, whatever it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pytest_mlscope.deadline import Deadline
from pytest_mlscope.errors import DatasetError

T = TypeVar("T")


def out_of_time(title: str) -> DatasetError:
    """The error for data that were not read when the case's time was up."""
    return DatasetError(f"{title}: the data were not read within the case's time limit (--mlscope-timeout sets it)")


def within(deadline: Deadline | None, title: str, work: Callable[[], T]) -> T:
    """What ``work`` gives or raises.

    A read that hangs, in a dataset of one's own or on a network's disk, cannot be interrupted. It is left to a thread
    that nobody waits for.

    :param deadline: ``None`` for no limit.
    :param title: what the message begins with.
    :raises DatasetError: when it is not done in time.
    """
    if deadline is None:
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        # Everything: what a thread does not pass on is printed and lost.
        except BaseException as error:
            errors.append(error)

    # A daemon, so that a read that never ends does not keep pytest from ending.
    thread = threading.Thread(target=run, name="mlscope-data", daemon=True)
    thread.start()
    thread.join(max(deadline.left(), 0.0))
    if errors:
        raise errors[0]
    if not results:
        raise out_of_time(title)
    return results[0]
