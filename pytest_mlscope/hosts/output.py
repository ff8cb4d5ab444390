"""What a predictor host prints: drained all the time so that it never blocks, its end kept for the failure report."""

from __future__ import annotations

import os
import threading

KEPT_BYTES = 64 * 1024


class OutputTail:
    """Drains a pipe in a thread and keeps its last ``KEPT_BYTES``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._tail = bytearray()
        self._total = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drain, name="mlscope-host-output", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        try:
            while chunk := os.read(self._descriptor, 1 << 18):
                with self._lock:
                    self._total += len(chunk)
                    self._tail += chunk
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
            self._thread.join(settle)
        with self._lock:
            tail = bytes(self._tail[-KEPT_BYTES:])
            left_out = self._total - len(tail)
        text = tail.decode("utf-8", errors="replace")
        return f"[… {left_out:,} bytes before this are left out]\n{text}" if left_out else text
