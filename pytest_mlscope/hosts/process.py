"""The child process of a predictor host: start it, and end it and whatever it started."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest_mlscope.host
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import HostCrashed, HostError
from pytest_mlscope.host.frames import Arena
from pytest_mlscope.hosts.output import OutputTail
from pytest_mlscope.machine import Affinity

DEPTH = 2
"""How many requests may be under way at once: each has an arena of its own in both directions."""

SCRATCH_VARIABLE = "MLSCOPE_SCRATCH"
"""Where a host finds its folder for temporary files, which is removed when the host ends, however it ends."""

# A host takes seven descriptors here, beside those that pytest and its plugins have open.
_OPEN_FILES = 1024
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def _shared_file() -> tuple[int, bool]:
    """A file for an arena, and whether a host could make it shorter: to read what it cut off would be our SIGBUS."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile(prefix="mlscope-arena-") as file:
            # Without a name, nothing stays behind a run that is killed. The file object closes its own descriptor.
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
        # These would lead its Python to packages that were installed for pytest.
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            variables.pop(name, None)
    if environment.library_path:
        inherited = variables.get("LD_LIBRARY_PATH")
        folders = [*map(str, environment.library_path), *([inherited] if inherited else [])]
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    if threads is not None:
        # Libraries read these once, while they are loaded, so no later request can set them.
        variables.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    return variables


def why(error: OSError) -> str:
    """What the system says, and of too few open files also what to do."""
    if error.errno == errno.EMFILE:
        return f"this process has as many open files as it may; raise the limit to at least {_OPEN_FILES:,} (ulimit -n)"
    return error.strerror or str(error)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"was killed by signal {-status}"
    # The kernel's out-of-memory killer sends it, and leaves the process no time to say so.
    hint = " (out of memory?)" if number is signal.SIGKILL else ""
    return f"was killed by {number.name}, {signal.strsignal(number) or 'unknown'}{hint}"


class HostProcess:
    """A child with its pipes and arenas. What passes through them is the channel's."""

    def __init__(self, environment: Environment, *, threads: int | None, affinity: Affinity) -> None:
        """Start the interpreter. The parameters are those of ``HostClient``.

        :raises HostError: when that is not possible.
        """
        name = environment.framework.name
        opened: list[int] = []
        try:
            with _closing(opened):
                for _ in range(3):
                    opened += os.pipe()
                request_read, self.requests, self.replies, reply_write, output_read, output_write = opened
                shared = []
                for _ in range(2 * DEPTH):
                    shared.append(_shared_file())
                    opened.append(shared[-1][0])
                self._scratch = tempfile.mkdtemp(prefix="mlscope-host-")
        except OSError as error:
            raise HostError(f"{name}: no predictor host can be started: {why(error)}") from None
        arenas = [descriptor for descriptor, _ in shared]
        self.outgoing = [Arena(*each) for each in shared[:DEPTH]]
        self.incoming = [Arena(*each) for each in shared[DEPTH:]]
        self._arena_descriptors = arenas
        inherited = [request_read, reply_write, *arenas]
        # Unbuffered, so that what a framework printed just before it crashed is not lost.
        command = [str(environment.python), "-u"]
        if environment.kind == "provisioned":
            # The user's own site-packages and PYTHON* variables are in no lock.
            command += ["-E", "-s"]
        # By path, not -m: an environment of its own does not have this package.
        command += [str(Path(pytest_mlscope.host.__file__).with_name("__main__.py")), *map(str, inherited)]
        if affinity is not None:
            command += ["--cpus", ",".join(map(str, affinity))]
        # Linux sends the signal when the thread that started the child ends, and only the main thread lasts.
        if threading.current_thread() is threading.main_thread():
            command.append("--die-with-parent")
        try:
            self._process = subprocess.Popen(
                command,
                # A framework that asks a question must not wait for the user's terminal.
                stdin=subprocess.DEVNULL,
                # One pipe for both keeps their lines in the order in which they were printed.
                stdout=output_write,
                stderr=output_write,
                pass_fds=inherited,
                # In a group of its own, kill() reaches what the framework started, and Ctrl-C does not reach the host.
                start_new_session=True,
                env={**_environment_variables(environment, threads), SCRATCH_VARIABLE: self._scratch},
            )
        except OSError as error:
            for descriptor in (self.requests, self.replies, output_read, *arenas):
                os.close(descriptor)
            shutil.rmtree(self._scratch, ignore_errors=True)
            # These are this process's limits; all others speak of the interpreter's file.
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
                raise HostError(f"{name}: no predictor host can be started: {why(error)}") from None
            raise HostCrashed(
                f"{name}: the interpreter {environment.python} cannot be started ({error.strerror}); "
                f"the environment may have been removed: mlscope env create {name}"
            ) from None
        finally:
            for descriptor in (request_read, reply_write, output_write):
                os.close(descriptor)
        self.output = OutputTail(output_read)
        self.pid = self._process.pid
        self._closed = False

    def pin(self, cpus: Affinity) -> None:
        """Move all its threads to these CPUs; ``None`` lets them run where this process may."""
        if not hasattr(os, "sched_setaffinity"):
            return
        chosen = os.sched_getaffinity(0) if cpus is None else cpus
        with contextlib.suppress(OSError):
            # Each by itself: sched_setaffinity moves one thread, and pools are up already.
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                # It may have ended meanwhile.
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), chosen)

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself, or was killed."""
        return self._closed or self._process.poll() is not None

    def how_it_ended(self) -> str:
        """A signal or an exit status; it is killed if it only closed its pipe."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Its pipes close before the system knows its exit status.
            self._process.wait(5.0)
        # Read before kill(), after which every host ended by SIGKILL.
        status = self._process.poll()
        self.kill()
        return _how_it_ended(status) if status is not None else "closed its pipe"

    def kill(self) -> None:
        """End the host and everything it started, at once."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # A framework may have started processes of its own, which would go on using the device.
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10.0)
        for descriptor in (self.requests, self.replies, *self._arena_descriptors):
            os.close(descriptor)
        # What a framework unpacked for itself, and did not remove since it was killed.
        shutil.rmtree(self._scratch, ignore_errors=True)

    def close(self) -> None:
        """Let the host end by itself, and kill it if it does not."""
        if self._closed:
            return
        os.close(self.requests)
        # kill() closes it again, and by then the old number may belong to another file.
        self.requests = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5 if sys.platform != "darwin" else 2.0)
        self.kill()
