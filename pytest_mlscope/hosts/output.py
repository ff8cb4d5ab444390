"""What a predictor host prints: drained all the time so that it never blocks, its end kept for the failure report."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter

KEPT_BYTES = 64 * 1024
_EQUAL_LINES = 3
# Colours and cursor movements (ECMA-48, 5.4), and titles (ECMA-48, 5.6: an operating system command).
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


def folded(text: str) -> str:
    """Output as a reader wants it: without colours, of a progress bar its end, equal lines once with their number.

    Lines count as equal wherever they stand: many warnings are two lines, each time the same two.

    >>> folded("\\x1b[31ma\\x1b[0m\\n" * 5 + "b\\n")
    'a [… 4 more equal lines]\\nb\\n'
    """
    # A progress bar returns to the line's beginning and writes over it; what was last there is what a terminal shows.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in _ESCAPES.sub("", text).split("\n")]
    times = Counter(line for line in lines if line.strip())
    kept = []
    for line in lines:
        count = times.get(line, 1)
        if 0 < count <= _EQUAL_LINES:
            kept.append(line)
        elif count:
            kept.append(f"{line} [… {count - 1:,} more equal lines]")
            times[line] = 0
    return "\n".join(kept)


class OutputTail:
    """Drains a pipe in a thread and keeps its last ``KEPT_BYTES``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._tail = bytearray()
        self._total = 0
        self._lock = threading.Lock()
        # A daemon: a child of the framework may hold the pipe open, and must not keep this process from ending.
        self._thread = threading.Thread(target=self._drain, name="mlscope-host-output", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        try:
            while chunk := os.read(self._descriptor, 1 << 18):
                with self._lock:
                    self._total += len(chunk)
                    self._tail += chunk
                    # Only then: cutting at every chunk would copy the whole tail each time.
                    if len(self._tail) > 2 * KEPT_BYTES:
                        del self._tail[:-KEPT_BYTES]
        except OSError:
            pass
        finally:
            os.close(self._descriptor)

    def text(self, *, settle: float = 0.0) -> str:
        """The last lines printed, at most ``KEPT_BYTES``, with a first line that says how much is left out.

        :param settle: seconds to wait for the pipe's end, after the process died.
        """
        if settle:
            # Not without end: a child that the framework left behind may hold the pipe open.
            self._thread.join(settle)
        with self._lock:
            tail = bytes(self._tail[-KEPT_BYTES:])
            left_out = self._total - len(tail)
        text = folded(tail.decode("utf-8", errors="replace"))
        return f"[… {left_out:,} bytes before this are left out]\n{text}" if left_out else text
