"""A predictor host that is up: what every request of the client goes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.deadline import Deadline, Timeout
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import HostError
from pytest_mlscope.host.frames import PROTOCOL_VERSION
from pytest_mlscope.hosts.channel import Channel
from pytest_mlscope.hosts.clock_anchor import ClockAnchor, anchored
from pytest_mlscope.hosts.process import HostProcess
from pytest_mlscope.hosts.replies import Clocks, Started
from pytest_mlscope.hosts.reply_reading import Malformed, read_reply
from pytest_mlscope.machine import Affinity

_IMPORTING = "importing the framework"

Inputs = Mapping[str, NDArray[Any]]
R = TypeVar("R")


class StartedHost:
    """A host's process, from its start to its end."""

    started: Started
    """What it told of itself; set once it is up."""
    clock: ClockAnchor
    """Where its clocks stood, taken once it was up."""

    def __init__(
        self,
        environment: Environment,
        *,
        threads: int | None,
        timeout: Timeout,
        affinity: Affinity = None,
        wait: bool = True,
    ) -> None:
        """Start the host and let it import its framework.

        :param threads: set in the environment before any library starts its pool; ``None`` leaves the environment.
        :param timeout: for the start, imports included.
        :param affinity: CPUs to run on, set before any library starts its pool; ``None`` leaves it where this process
            runs.
        :param wait: whether to return only when it is up; otherwise :meth:`greet` and :meth:`wait_until_started` come
            next, so that several hosts come up at once.
        :raises HostError: when it does not come up.
        """
        self.environment = environment
        self.affinity = affinity
        self.name = environment.framework.name
        self._process = HostProcess(environment, threads=threads, affinity=affinity)
        self._channel = Channel(self._process, name=self.name)
        self._start_deadline = timeout if isinstance(timeout, Deadline) else Deadline.after(timeout)
        self._greeted = self._is_up = False
        if wait:
            self.greet()
            self.wait_until_started()

    @property
    def pid(self) -> int:
        """The process id, which is its group's too."""
        return self._process.pid

    @property
    def version(self) -> str:
        """The framework's, as its predictor states it."""
        return self.started.version

    def greet(self) -> None:
        """Wait for the interpreter and have it begin to import the framework, unless that was done.

        :raises HostError: when it does not come up.
        """
        if self._greeted:
            return
        # Before the reply is read: a greeting that failed must not be waited for again.
        self._greeted = True
        hello = self._channel.read(self._start_deadline, "starting")
        if hello.get("protocol") != PROTOCOL_VERSION:
            self.kill()
            raise HostError(
                f"{self.name}: the host speaks protocol {hello.get('protocol')}, this plugin {PROTOCOL_VERSION}; "
                "their files are of different versions"
            )
        predictor = str(self.environment.framework.predictor)
        self._channel.submit("start", {"predictor": predictor}, doing=_IMPORTING)

    def wait_until_started(self) -> None:
        """Wait for the framework to be imported, unless it is known to be.

        :raises HostError: when it is not.
        """
        if self._is_up:
            return
        self._is_up = True
        try:
            self.started = self._reply(Started, timeout=self._until_started(), doing=_IMPORTING)
            # After the import, during which a host answers nothing.
            self.clock = anchored(self._read_clocks)
        except BaseException:
            self.kill()
            raise

    def _until_started(self) -> Deadline:
        # It may have answered long ago, while another host was waited for.
        return self._start_deadline.at_least(1.0)

    def _read_clocks(self) -> tuple[float, float]:
        clocks = self._ask(Clocks, "clock", timeout=self._until_started(), doing="reading its clock")
        return clocks.monotonic, clocks.wall

    def _ask(
        self,
        kind: type[R],
        operation: str,
        header: Mapping[str, Any] | None = None,
        tensors: Inputs | None = None,
        *,
        timeout: Timeout,
        doing: str,
    ) -> R:
        """Send one request and wait for its reply, whose tensors are copies."""
        self._channel.submit(operation, header, tensors, doing=doing)
        return self._reply(kind, timeout=timeout, doing=doing)

    def _reply(self, kind: type[R], *, timeout: Timeout, doing: str, in_place: bool = False) -> R:
        """The reply to the oldest request under way.

        :param in_place: whether its tensors are left in the arena.
        """
        reply = self._channel.receive(timeout=timeout, doing=doing)
        if not in_place and "tensors" in reply:
            # Copies, since the arena is used again by the next request but one.
            reply["tensors"] = {name: np.array(array) for name, array in reply["tensors"].items()}
        try:
            return read_reply(kind, reply)
        except Malformed as wrong:
            raise self._channel.unreadable(doing, str(wrong)) from None

    def pin(self, cpus: Affinity) -> None:
        """Move all its threads to these CPUs; ``None`` lets them run where this process may, or was told to at start.

        Threads that a library starts later follow. Where the system cannot pin, nothing happens.
        """
        if self.affinity is None:
            self._process.pin(cpus)

    @property
    def alive(self) -> bool:
        """Whether requests can be sent."""
        # A reply that is still to come would be taken for the reply to the next request.
        return not self._process.has_ended and not self._channel.under_way

    def output(self) -> str:
        """The last lines the framework printed."""
        return self._process.output.text().strip()

    def kill(self) -> None:
        """End the host and everything it started, at once."""
        self._process.kill()

    def close(self) -> None:
        """Let the host end by itself, and kill it if it does not."""
        self._process.close()
