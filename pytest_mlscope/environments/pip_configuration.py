"""What the user told pip about where packages come from, for pip and in uv's words."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Mapping

from pytest_mlscope.environments.child_variables import child_variables

_OLDER = {
    "UV_DEFAULT_INDEX": "UV_INDEX_URL",
    "UV_INDEX": "UV_EXTRA_INDEX_URL",
    "HTTPS_PROXY": "https_proxy",
    "HTTP_PROXY": "http_proxy",
}


@functools.cache
def pip_config_list() -> str:
    """pip's configuration files, as ``pip config list`` prints them; asked once, since pip takes half a second."""
    try:
        listing = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            timeout=60,
            check=True,
            text=True,
            # Otherwise pip may ask the network for a newer pip.
            env={**child_variables(), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""  # An interpreter without pip has no pip configuration beyond PIP_* variables.
    return listing.stdout


def pip_configuration() -> dict[str, str]:
    """pip's options for ``pip install``, by their long name: the environment, then ``[install]``, then ``[global]``."""
    options: dict[str, str] = {}
    # From the lowest rank to the highest, for later values replace earlier ones.
    for section in ("global", "install"):
        for line in pip_config_list().splitlines():
            key, _, value = line.partition("=")
            if key.startswith(f"{section}."):
                # pip prints values by repr; one of several lines is a list.
                options[key.removeprefix(f"{section}.")] = " ".join(str(ast.literal_eval(value)).split())
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            options[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return options


def is_true(value: str) -> bool:
    """Whether pip takes an option's value for yes."""
    return value.lower() in ("1", "true", "yes", "on", "y", "t")


def uv_variables(pip: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """What pip was told, in uv's words: uv itself reads none of it, and would resolve from other places.

    :param pip: as of :func:`pip_configuration`.
    :param present: variables that are set already, and so are not touched, under their older names neither.
    """
    variables: dict[str, str] = {}
    if "find-links" in pip:
        variables["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    if "index-url" in pip:
        variables["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "extra-index-url" in pip:
        variables["UV_INDEX"] = " ".join(pip["extra-index-url"].split())
        # As pip does: the best version of all indexes, not that of the first index which has the name.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "trusted-host" in pip:
        variables["UV_INSECURE_HOST"] = " ".join(pip["trusted-host"].split())
    if "cert" in pip:
        variables["SSL_CERT_FILE"] = pip["cert"]
    timeout = pip.get("timeout") or pip.get("default-timeout")
    if timeout:
        variables["UV_HTTP_TIMEOUT"] = timeout
    if "proxy" in pip:
        variables["HTTPS_PROXY"] = variables["HTTP_PROXY"] = pip["proxy"]
    return {name: value for name, value in variables.items() if not {name, _OLDER.get(name, name)} & set(present)}
