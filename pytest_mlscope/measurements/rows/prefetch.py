"""Making things ahead of their use, in a background thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

from pytest_mlscope.deadline import Deadline

T = TypeVar("T")


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class Prefetcher(Generic[T]):
    """Iterates over what an iterator gives, at most ``depth`` items ahead.

    What the iterator raises is raised here, after the items before it; ``TimeoutError`` after the deadline.
    :meth:`close` ends the thread, whether or not everything was taken.
    """

    _END = object()

    def __init__(self, items: Iterator[T], *, depth: int, name: str, deadline: Deadline | None = None) -> None:
        """:param deadline: after which nothing more is waited for; ``None`` for none."""
        self._items = items
        self._deadline = deadline
        self._queue: queue.Queue[object] = queue.Queue(maxsize=depth)
        self._stopped = False
        # A daemon: a read that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._fill, name=name, daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        try:
            for item in self._items:
                self._queue.put(item)
                # Looked at after putting: close() takes items away until the thread sees it.
                if self._stopped:
                    return
            self._queue.put(self._END)
        # Whatever it is, the reader must hear of it: without a last item it would wait for ever.
        except BaseException as error:
            self._queue.put(_Failed(error))

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self._queue.get(timeout=self._remaining())
            except queue.Empty:
                raise TimeoutError from None
            if item is self._END:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]  # the queue holds T besides the two markers handled above

    def _remaining(self) -> float | None:
        return None if self._deadline is None else max(self._deadline.left(), 0.0)

    def close(self) -> None:
        """Stop after the item being made, and wait for that, but not beyond the deadline."""
        self._stopped = True
        while self._thread.is_alive() and self._remaining() != 0.0:
            try:  # a producer waiting for room must get some to see that it is to stop
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.005)
