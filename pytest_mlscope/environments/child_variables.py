"""The environment variables of a process that belongs to another interpreter."""

from __future__ import annotations

import os

# Most of them make a Python look for its packages, or for itself, where this one does.
_OF_THIS_INTERPRETER = frozenset(
    {
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONEXECUTABLE",
        "PYTHONPLATLIBDIR",
        "PYTHONUSERBASE",
        "PYTHONPYCACHEPREFIX",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "__PYVENV_LAUNCHER__",
        # Each of these sends an installation somewhere else than into the environment being made.
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_USER",
        "PIP_REQUIRE_VIRTUALENV",
        "PIP_PYTHON",
        "UV_PROJECT_ENVIRONMENT",
        "UV_SYSTEM_PYTHON",
        "UV_PYTHON",
        "UV_TARGET",
        "UV_PREFIX",
    }
)


def child_variables() -> dict[str, str]:
    """This process's variables without those that would leak its interpreter into another one."""
    variables = {name: value for name, value in os.environ.items() if name not in _OF_THIS_INTERPRETER}
    # The user's site-packages would take the place of what the lock pins.
    variables["PYTHONNOUSERSITE"] = "1"
    return variables
