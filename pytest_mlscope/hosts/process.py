"""One predictor host, seen from the pytest process: start it, ask it, and survive whatever it does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import pytest_mlscope.host
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.errors import (
    HostCrashed,
    HostError,
    HostTimeout,
    NotSupported,
    PredictorError,
    UnreadableReply,
)
from pytest_mlscope.host.frames import PROTOCOL_VERSION, Arena, ProtocolError, header_length, parse_header, write_frame
from pytest_mlscope.hosts.clock_anchor import ClockAnchor, anchored
from pytest_mlscope.hosts.output import OutputTail
from pytest_mlscope.hosts.replies import unreadable
from pytest_mlscope.machine.affinity import Affinity

DEPTH = 2
"""How many requests may be under way at once: each has an arena of its own in both directions."""

GROWTH_BYTES = 200 * 1000**2
"""How much more memory than before its first model a host may keep after unloading and still be used again."""

SCRATCH_VARIABLE = "MLSCOPE_SCRATCH"
"""Where a host finds its folder for temporary files, which is removed when the host ends, however it ends."""

_OPEN_FILES = 1024
_POLL_SECONDS = 0.25
_IMPORTING = "importing the framework"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

Header = dict[str, Any]
Tensors = dict[str, NDArray[Any]]


def _shared_file() -> tuple[int, bool]:
    """A file for an arena, and whether a host could make it shorter: to read what it cut off would be our SIGBUS."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile(prefix="mlscope-arena-") as file:
            return os.dup(file.fileno()), True
    descriptor = os.memfd_create("mlscope-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # The last seal forbids others, such as one that would keep us from growing or emptying it.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    except OSError:  # an emulated or very old kernel
        return descriptor, True
    return descriptor, False


@contextlib.contextmanager
def _closing(descriptors: list[int]) -> Iterator[None]:
    """Close the descriptors when what is inside fails."""
    try:
        yield
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _environment_variables(environment: Environment, threads: int | None) -> dict[str, str]:
    variables = dict(os.environ)
    if environment.kind == "provisioned":
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            variables.pop(name, None)
    if environment.library_path:
        inherited = variables.get("LD_LIBRARY_PATH")
        folders = [*map(str, environment.library_path), *([inherited] if inherited else [])]
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    if threads is not None:
        variables.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    return variables


def _printable(value: Any) -> Any:
    """JSON with lone surrogates, which no report can encode, replaced by ``?``."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _why(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return f"this process has as many open files as it may; raise the limit (ulimit -n), best to {_OPEN_FILES:,}"
    return error.strerror or str(error)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"was killed by signal {-status}"
    hint = " (out of memory?)" if number is signal.SIGKILL else ""
    return f"was killed by {number.name}, {signal.strsignal(number) or 'unknown'}{hint}"


class HostProcess:
    """A running host. Not for use from several threads at once, except :meth:`kill`."""

    def __init__(
        self,
        environment: Environment,
        *,
        threads: int | None,
        timeout: float,
        affinity: Affinity = None,
        wait: bool = True,
    ) -> None:
        """Start the host and let it import its framework.

        :param threads: set in the environment before any library starts its pool; ``None`` leaves the environment.
        :param timeout: seconds for the start, imports included.
        :param affinity: CPUs to run on, set before any library starts its pool; ``None`` leaves it where this process
            runs.
        :param wait: whether to return only when it is up; otherwise :meth:`greet` and :meth:`wait_until_started` come
            next, so that several hosts come up at once.
        :raises HostError: when it does not come up.
        """
        self.environment = environment
        self.affinity = affinity
        self.name = environment.framework.name
        opened: list[int] = []
        try:
            with _closing(opened):
                for _ in range(3):
                    opened += os.pipe()
                request_read, self._requests, self._replies, reply_write, output_read, output_write = opened
                shared = []
                for _ in range(2 * DEPTH):
                    shared.append(_shared_file())
                    opened.append(shared[-1][0])
                self._scratch = tempfile.mkdtemp(prefix="mlscope-host-")
        except OSError as error:
            raise HostError(f"{self.name}: no predictor host can be started: {_why(error)}") from None
        arenas = [descriptor for descriptor, _ in shared]
        self._outgoing = [Arena(*each) for each in shared[:DEPTH]]
        self._incoming = [Arena(*each) for each in shared[DEPTH:]]
        self._arena_descriptors = arenas
        inherited = [request_read, reply_write, *arenas]
        command = [str(environment.python), "-u"]
        if environment.kind == "provisioned":
            command += ["-E", "-s"]
        command += [str(Path(pytest_mlscope.host.__file__).with_name("__main__.py")), *map(str, inherited)]
        if affinity is not None:
            command += ["--cpus", ",".join(map(str, affinity))]
        if threading.current_thread() is threading.main_thread():
            command.append("--die-with-parent")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                pass_fds=inherited,
                start_new_session=True,
                env={**_environment_variables(environment, threads), SCRATCH_VARIABLE: self._scratch},
            )
        except OSError as error:
            for descriptor in (self._requests, self._replies, output_read, *arenas):
                os.close(descriptor)
            shutil.rmtree(self._scratch, ignore_errors=True)
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
                raise HostError(f"{self.name}: no predictor host can be started: {_why(error)}") from None
            raise HostCrashed(
                f"{self.name}: the interpreter {environment.python} cannot be started ({error.strerror}); "
                f"the environment may have been removed: mlscope env create {self.name}"
            ) from None
        finally:
            for descriptor in (request_read, reply_write, output_write):
                os.close(descriptor)
        self._output = OutputTail(output_read)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self._closed = False
        self._arena = 0
        self._pending: deque[str] = deque()
        """The operations of the requests under way."""
        self.pid = self._process.pid
        self._start_deadline = time.monotonic() + timeout
        self._greeted = self._started = False
        if wait:
            self.greet()
            self.wait_until_started()

    def greet(self) -> None:
        """Wait for the interpreter and have it begin to import the framework, unless that was done.

        :raises HostError: when it does not come up.
        """
        if self._greeted:
            return
        self._greeted = True
        hello = self._read(self._start_deadline, "starting")
        if hello.get("protocol") != PROTOCOL_VERSION:
            self.kill()
            raise HostError(
                f"{self.name}: the host speaks protocol {hello.get('protocol')}, this plugin {PROTOCOL_VERSION}; "
                "their files are of different versions"
            )
        self.submit({"operation": "start", "predictor": str(self.environment.framework.predictor)}, doing=_IMPORTING)

    def wait_until_started(self) -> None:
        """Wait for the framework to be imported, unless it is known to be.

        :raises HostError: when it is not.
        """
        if self._started:
            return
        self._started = True
        try:
            started = self.receive(timeout=max(self._start_deadline - time.monotonic(), 1.0), doing=_IMPORTING)
            self._keep_facts(started)
            self.clock: ClockAnchor = anchored(self._read_clock)
            """Where the host's clocks stood, taken once it was up."""
        except BaseException:
            self.kill()
            raise

    def _read_clock(self) -> tuple[float, float]:
        timeout = max(self._start_deadline - time.monotonic(), 1.0)
        reply = self.request({"operation": "clock"}, timeout=timeout, doing="reading its clock")
        try:
            return float(reply["monotonic"]), float(reply["wall"])
        except (KeyError, TypeError, ValueError):
            raise HostError(f"{self.name}: an unreadable reply: it tells no clock") from None

    def _keep_facts(self, started: Header) -> None:
        self.version: str = started["version"]
        self.build: dict[str, str] = started["build"]
        self.python_version: str = started["python"]
        self.libraries: dict[str, str] = started["libraries"]
        self.devices: list[str] | None = started.get("devices")
        self.cpus: list[int] | None = started.get("cpus")
        """Those it may run on once the framework is imported; ``None`` where unknown."""
        self.thread_variables: dict[str, str] = started.get("thread_variables", {})
        self._resident_at_start: int | None = started.get("resident")
        self._used = False

    def pin(self, cpus: Affinity) -> None:
        """Move all its threads to these CPUs; ``None`` lets them run where this process may, or was told to at start.

        Threads that a library starts later follow. Where the system cannot pin, nothing happens.
        """
        if self.affinity is not None or not hasattr(os, "sched_setaffinity"):
            return
        chosen = os.sched_getaffinity(0) if cpus is None else cpus
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                # It may have ended meanwhile.
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), chosen)

    def load(self, request: Header, *, timeout: float) -> Header:
        """Load a model in place of the one before; tensors of earlier replies become invalid. Raises as
        :meth:`request`.
        """
        self._used = True
        self._discard_arenas()
        return self.request(request, timeout=timeout, doing="loading the model")

    def unload(self, *, timeout: float) -> bool:
        """Unload; whether memory is near what it was before the first model: at most ``GROWTH_BYTES`` or half more.

        True where memory is not known.
        :raises MlscopeError: as :meth:`request`.
        """
        if not self._used:
            return True
        self._discard_arenas()
        resident = self.request({"operation": "unload"}, timeout=timeout, doing="unloading the model").get("resident")
        start = self._resident_at_start
        return resident is None or start is None or resident <= max(start + GROWTH_BYTES, start * 3 // 2)

    def _discard_arenas(self) -> None:
        for arena in (*self._outgoing, *self._incoming):
            arena.discard()

    def request(
        self, header: Header, tensors: Mapping[str, NDArray[Any]] | None = None, *, timeout: float, doing: str
    ) -> Header:
        """Send one request and wait for its reply; tensors of the reply are read by :meth:`tensors`.

        :raises NotSupported: when the predictor says that what was asked for is unsupported.
        :raises PredictorError: when the framework raised; the host lives on.
        :raises HostTimeout: after ``timeout`` seconds; the host is killed.
        :raises HostCrashed: when the host died.
        :raises UnreadableReply: when the reply is not as the protocol says; the host is killed.
        """
        self.submit(header, tensors, doing=doing)
        return self.receive(timeout=timeout, doing=doing)

    def submit(self, header: Header, tensors: Mapping[str, NDArray[Any]] | None = None, *, doing: str) -> None:
        """Send a request without waiting; at most ``DEPTH`` may be under way. Raises as :meth:`request`."""
        arena = self._arena
        try:
            places = self._outgoing[arena].write(tensors) if tensors else []
        except OSError as error:
            raise HostError(f"{self.name}: no room to pass the inputs to the predictor host: {_why(error)}") from None
        except ProtocolError as error:
            raise HostError(f"{self.name}: {error}") from None
        try:
            write_frame(self._requests, {**header, "arena": arena, "tensors": places})
        except ProtocolError as error:
            raise HostError(f"{self.name}: {doing}: {error}") from None
        except OSError:
            raise self._crashed(doing) from None
        self._arena = (arena + 1) % DEPTH
        self._pending.append(str(header["operation"]))

    def receive(self, *, timeout: float, doing: str) -> Header:
        """The reply to the oldest request under way. Raises as :meth:`request`."""
        reply = self._read(time.monotonic() + timeout, doing, timeout)
        arena = (self._arena - len(self._pending)) % DEPTH
        wrong = unreadable(self._pending.popleft(), reply)
        if wrong is not None:
            raise self._unreadable(doing, wrong)
        if error := reply.get("error"):
            if error["kind"] == "unsupported":
                raise NotSupported(error["message"], subject=self.name, holds=error.get("holds"))
            output = self._output.text() + ("\n" + error["traceback"] if error.get("traceback") else "")
            raise PredictorError(f"{self.name}: {doing}: {error['message']}", output=output.strip())
        reply["arena"] = arena
        return reply

    def tensors(self, reply: Header) -> Tensors:
        """A reply's tensors, in place: they hold until ``DEPTH`` further requests were sent.

        :raises UnreadableReply: when the reply does not fit its arena; the host is killed.
        """
        try:
            return self._incoming[reply["arena"]].read(reply.get("tensors", []))
        except OSError as error:
            raise HostError(f"{self.name}: the predictor host's outputs cannot be read: {_why(error)}") from None
        except (ProtocolError, ValueError) as error:
            raise self._unreadable("reading its outputs", str(error)) from None

    def _unreadable(self, doing: str, wrong: str) -> UnreadableReply:
        # Whatever it sends next may be as wrong, or an answer to something else.
        self.kill()
        return UnreadableReply(
            f"{self.name}: {doing}: unreadable reply: {wrong}; the predictor host was killed",
            output=self._output.text(settle=1.0).strip(),
        )

    def _read(self, deadline: float, doing: str, timeout: float | None = None) -> Header:
        try:
            length = header_length(self._read_exactly(4, deadline))
            header: Header = _printable(parse_header(self._read_exactly(length, deadline)))
            return header
        except EOFError:
            raise self._crashed(doing) from None
        except TimeoutError:
            self.kill()
            limit = f" after {timeout:.1f} s" if timeout is not None else ""
            raise HostTimeout(
                f"{self.name}: {doing}: no answer{limit}; the predictor host was killed "
                "(--mlscope-timeout sets the limit)",
                output=self._output.text(settle=1.0).strip(),
            ) from None
        except ProtocolError as error:
            raise self._unreadable(doing, str(error)) from None
        except BaseException:
            # An interrupt between two halves of a frame leaves the pipe useless.
            self.kill()
            raise

    def _read_exactly(self, count: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < count:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            if self._poll.poll(min(remaining, _POLL_SECONDS) * 1000):
                chunk = os.read(self._replies, min(count - len(received), 1 << 20))
                if not chunk:
                    raise EOFError
                received += chunk
            # A child of the framework may hold the pipe open after the host itself died.
            elif self._process.poll() is not None:
                raise EOFError
        return bytes(received)

    def _crashed(self, doing: str) -> HostCrashed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        status = self._process.poll()
        self.kill()
        how = _how_it_ended(status) if status is not None else "closed its pipe"
        return HostCrashed(
            f"{self.name}: {doing}: the predictor host {how}", output=self._output.text(settle=1.0).strip()
        )

    @property
    def alive(self) -> bool:
        """Whether requests can be sent."""
        return not self._closed and self._process.poll() is None and not self._pending

    def output(self) -> str:
        """The last lines the framework printed."""
        return self._output.text().strip()

    def kill(self) -> None:
        """End the host and everything it started, at once."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10.0)
        for descriptor in (self._requests, self._replies, *self._arena_descriptors):
            os.close(descriptor)
        # What a framework unpacked for itself, and did not remove since it was killed.
        shutil.rmtree(self._scratch, ignore_errors=True)

    def close(self) -> None:
        """Let the host end by itself, and kill it if it does not."""
        if self._closed:
            return
        os.close(self._requests)
        self._requests = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5 if sys.platform != "darwin" else 2.0)
        self.kill()
