"""Whether the package index that environments are made from answers."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from pytest_mlscope.environments.pip_configuration import is_true, pip_configuration
from pytest_mlscope.environments.url_request import request_of
from pytest_mlscope.text import scrubbed, without_secrets

_DEFAULT = "https://pypi.org/simple"
_TIMEOUT_SECONDS = 10.0


def index_answer() -> tuple[str, str | None]:
    """Where packages come from, as it may be shown, and why it does not answer; ``None`` where it does."""
    pip = pip_configuration()
    if is_true(pip.get("no-index", "")):
        return f"no index, only {scrubbed(pip.get('find-links', '')) or 'nothing'}", None
    url = pip.get("index-url", _DEFAULT).rstrip("/")
    shown = without_secrets(url)
    # An index may be a folder of wheels, too.
    if not url.startswith(("http://", "https://")):
        path = Path(url.removeprefix("file://"))
        return shown, None if path.exists() else "it does not exist"
    try:
        # The user's own certificates, without which a company's index would look broken.
        context = ssl.create_default_context(cafile=pip.get("cert"))
        # One package's page, since the whole index of PyPI has tens of megabytes.
        request = request_of(f"{url}/pip/")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=context):  # noqa: S310 - see above
            return shown, None
    except urllib.error.HTTPError as error:
        return shown, f"the server answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return shown, scrubbed(" ".join(str(getattr(reason, "strerror", None) or reason).split()), url)
