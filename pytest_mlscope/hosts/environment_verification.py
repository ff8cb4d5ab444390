"""A new environment counts as complete only once its predictor loads there."""

from __future__ import annotations

from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import EnvironmentCreationError, HostError
from pytest_mlscope.hosts.client import HostClient

# The first import compiles a framework's Python files, some ten thousand of them.
_TIMEOUT_SECONDS = 600.0


def verify_environment(environment: Environment) -> str:
    """Start a predictor host there and let it import its framework; returns the version it states.

    :raises EnvironmentCreationError: when it does not load, with what it printed.
    """
    try:
        host = HostClient(environment, threads=None, timeout=_TIMEOUT_SECONDS)
    except HostError as error:
        # An import that fails says why on stderr, and nobody else will show it.
        detail = f"\n{error.output}" if error.output else ""
        raise EnvironmentCreationError(f"the predictor does not load in the new environment: {error}{detail}") from None
    version = host.version
    host.close()
    return version
