"""Requests to a predictor host and its replies: frames on two pipes, tensors in arenas.

See ``docs/host-protocol.md``.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.deadline import Deadline, Timeout
from pytest_mlscope.errors import (
    HostCrashed,
    HostError,
    HostTimeout,
    NotSupported,
    PredictorError,
    UnreadableReply,
)
from pytest_mlscope.host.frames import ProtocolError, header_length, parse_header, write_frame
from pytest_mlscope.hosts.process import DEPTH, HostProcess, why
from pytest_mlscope.hosts.reply_reading import Tensors, wrong_error

# The longest that a host's death goes unnoticed while a child of it holds the pipe open.
_POLL_SECONDS = 0.25

Header = dict[str, Any]


def _printable(value: Any) -> Any:
    """JSON with lone surrogates, which no report can encode, replaced by ``?``."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


class Channel:
    """To one host, whose process ends as soon as it cannot be understood.

    Whatever it sends next may be as wrong, or an answer to something else.
    """

    def __init__(self, process: HostProcess, *, name: str) -> None:
        self._process = process
        self._name = name
        # Not select.select, which fails for descriptors from 1,024 on.
        self._poll = select.poll()
        self._poll.register(process.replies, select.POLLIN)
        self._arena = 0
        self.under_way = 0
        """Requests without a reply so far."""

    def discard_arenas(self) -> None:
        """Free the tensors of earlier requests and replies, which become invalid."""
        for arena in (*self._process.outgoing, *self._process.incoming):
            arena.discard()

    def submit(
        self,
        operation: str,
        header: Mapping[str, Any] | None = None,
        tensors: Mapping[str, NDArray[Any]] | None = None,
        *,
        doing: str,
    ) -> None:
        """Send a request without waiting; at most ``DEPTH`` may be under way.

        :raises HostError: when it cannot be sent, or the host is gone.
        """
        arena = self._arena
        try:
            places = self._process.outgoing[arena].write(tensors) if tensors else []
        except OSError as error:
            raise HostError(f"{self._name}: no room to pass the inputs to the predictor host: {why(error)}") from None
        except ProtocolError as error:
            raise HostError(f"{self._name}: {error}") from None
        request = {**(header or {}), "operation": operation, "arena": arena, "tensors": places}
        try:
            write_frame(self._process.requests, request)
        except ProtocolError as error:
            raise HostError(f"{self._name}: {doing}: {error}") from None
        except OSError:
            raise self._crashed(doing) from None
        self._arena = (arena + 1) % DEPTH
        self.under_way += 1

    def receive(self, *, timeout: Timeout, doing: str) -> Header:
        """The reply to the oldest request under way, with arrays by name for its ``tensors``, where it has any.

        The arrays lie in the arena: they hold until ``DEPTH`` further requests were sent. Raises as ``HostClient``.
        """
        reply = self.read(timeout, doing)
        # Arenas are used in turn, so the oldest request is as many arenas back as requests are under way.
        arena = (self._arena - self.under_way) % DEPTH
        self.under_way -= 1
        if "error" in reply:
            raise self._error(reply["error"], doing)
        if "tensors" in reply:
            reply["tensors"] = self._arrays(arena, reply["tensors"], doing)
        return reply

    def _error(self, error: Any, doing: str) -> Exception:
        if wrong := wrong_error(error):
            return self.unreadable(doing, wrong)
        if error["kind"] == "unsupported":
            return NotSupported(error["message"], subject=self._name, holds=error.get("holds"))
        output = self._process.output.text() + ("\n" + error["traceback"] if error.get("traceback") else "")
        return PredictorError(f"{self._name}: {doing}: {error['message']}", output=output.strip())

    def _arrays(self, arena: int, places: Any, doing: str) -> Tensors:
        if not isinstance(places, list) or not all(isinstance(place, dict) for place in places):
            raise self.unreadable(doing, "its 'tensors' is not as the protocol says")
        try:
            return self._process.incoming[arena].read(places)
        except OSError as error:
            raise HostError(f"{self._name}: the predictor host's outputs cannot be read: {why(error)}") from None
        except (ProtocolError, ValueError) as error:
            raise self.unreadable(doing, str(error)) from None

    def unreadable(self, doing: str, wrong: str) -> UnreadableReply:
        """The error that says so; the host is killed."""
        self._process.kill()
        return UnreadableReply(
            f"{self._name}: {doing}: unreadable reply: {wrong}; the predictor host was killed",
            output=self._process.output.text(settle=1.0).strip(),
        )

    def read(self, timeout: Timeout, doing: str) -> Header:
        """One frame, whatever it holds. Raises as :meth:`receive`."""
        deadline = timeout if isinstance(timeout, Deadline) else Deadline.after(timeout)
        try:
            length = header_length(self._read_exactly(4, deadline))
            header: Header = _printable(parse_header(self._read_exactly(length, deadline)))
            return header
        except EOFError:
            raise self._crashed(doing) from None
        except TimeoutError:
            self._process.kill()
            # How little time its predecessors left to this request is not what the user set.
            limit = f"within the case's limit of {deadline.limit:g} s"
            if not isinstance(timeout, Deadline):
                limit = f"after {timeout:.1f} s"
            raise HostTimeout(
                f"{self._name}: {doing}: no answer {limit}; the predictor host was killed "
                "(--mlscope-timeout sets the limit)",
                output=self._process.output.text(settle=1.0).strip(),
            ) from None
        except ProtocolError as error:
            raise self.unreadable(doing, str(error)) from None
        except BaseException:
            # An interrupt between two halves of a frame leaves the pipe useless.
            self._process.kill()
            raise

    def _read_exactly(self, count: int, deadline: Deadline) -> bytes:
        received = bytearray()
        while len(received) < count:
            remaining = deadline.left()
            if remaining <= 0:
                raise TimeoutError
            if self._poll.poll(min(remaining, _POLL_SECONDS) * 1000):
                # No more than asked for: what follows belongs to the next frame.
                chunk = os.read(self._process.replies, min(count - len(received), 1 << 20))
                if not chunk:
                    raise EOFError
                received += chunk
            # A child of the framework may hold the pipe open after the host itself died.
            elif self._process.has_ended:
                raise EOFError
        return bytes(received)

    def _crashed(self, doing: str) -> HostCrashed:
        how = self._process.how_it_ended()
        return HostCrashed(
            f"{self._name}: {doing}: the predictor host {how}",
            output=self._process.output.text(settle=1.0).strip(),
        )
