"""Starts a predictor host: ``python …/host/__main__.py REQUESTS REPLIES ARENA… [--cpus N,N] [--die-with-parent]``.

The arguments are inherited file descriptors. The package's own ``__init__`` is not run: this process must not need
anything that the framework's environment does not have.
"""

import os
import sys
import types

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _die_with_parent() -> None:
    # A framework that hangs in C never comes back to read the end of its pipe; the kernel ends it all the same.
    if sys.platform.startswith("linux"):
        import ctypes
        import signal

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def main() -> int:
    """Serve until the pipe closes."""
    arguments = sys.argv[1:]
    if arguments and arguments[-1] == "--die-with-parent":
        arguments.pop()
        _die_with_parent()
    if "--cpus" in arguments:
        place = arguments.index("--cpus")
        # Before any library starts threads: they inherit it.
        os.sched_setaffinity(0, [int(cpu) for cpu in arguments[place + 1].split(",")])
        del arguments[place : place + 2]
    descriptors = [int(argument) for argument in arguments]
    # A process that the framework starts would otherwise keep the pipes open after this one has died.
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    # Python puts this script's folder first on the path, where our modules could stand for a framework's own imports.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    # An empty stand-in for the package: its real ``__init__`` is for Python 3.11 or later.
    package = types.ModuleType("pytest_mlscope")
    package.__path__ = [PACKAGE]
    sys.modules["pytest_mlscope"] = package

    from pytest_mlscope.host.server import serve

    return serve(descriptors[0], descriptors[1], descriptors[2:])


if __name__ == "__main__":
    sys.exit(main())
