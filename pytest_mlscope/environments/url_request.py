"""A request for a URL that may hold a name and a password."""

from __future__ import annotations

import base64
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping


def request_of(url: str, headers: Mapping[str, str] | None = None) -> urllib.request.Request:
    """With the name and the password of the URL in a header, as pip and apt send them.

    >>> request = request_of("https://me:p%40ss@example.org/simple")
    >>> request.full_url, request.get_header("Authorization")
    ('https://example.org/simple', 'Basic bWU6cEBzcw==')

    :param url: of a scheme that the caller has checked.
    :raises urllib.error.URLError: for what is not a URL.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise urllib.error.URLError(str(error)) from None
    # urllib takes what stands before the "@" for a part of the host's name.
    user, at, host = parts.netloc.rpartition("@")
    bare = urllib.parse.urlunsplit(parts._replace(netloc=host)) if at else url
    request = urllib.request.Request(bare, headers={"User-Agent": "pytest-mlscope", **(headers or {})})  # noqa: S310 - as said
    if at:
        name, _, password = user.partition(":")
        plain = f"{urllib.parse.unquote(name)}:{urllib.parse.unquote(password)}"
        # Not to where a redirection leads, which may be another's server.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(plain.encode()).decode('ascii')}")
    return request
