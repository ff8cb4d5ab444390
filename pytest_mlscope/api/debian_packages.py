"""Pin the Debian packages of a framework folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.environments import ARCHIVES, fetch, format_debian_lock, make_debian_lock
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.output_files import require_replaceable
from pytest_mlscope.text import without_secrets


@dataclass(frozen=True, kw_only=True)
class PinnedPackages:
    """A lock of Debian packages."""

    text: str
    """As it belongs in ``frameworks/NAME/debian-ARCH.lock``."""
    packages: int
    size: int
    """Bytes to download."""


def lock_debian_packages(
    suite: str,
    architecture: str,
    packages: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    archives: Sequence[str] = (),
    output: Path | None = None,
) -> PinnedPackages:
    """Pin packages with all that they depend on.

    :param suite: the Debian release, such as ``bookworm``.
    :param exclude: patterns of dependencies to leave out, with what they alone need.
    :param archives: URLs that packages come from; Debian's own where there are none.
    :param output: the file that the lock is written to.
    :raises WrongUse: when the file holds something else than a lock.
    :raises MlscopeError: when a package is not there, or the file cannot be written.
    """
    if output is not None:
        beginning = r"(#.*\n|\s*\n)*(archive|suite|architecture): "
        require_replaceable(output, beginning=beginning, what="a lock of Debian packages")
    urls = [url.rstrip("/") for url in archives]
    lock = make_debian_lock(suite, architecture, packages, exclude=exclude, archives=urls or ARCHIVES, fetch=fetch)
    words = ["mlscope", "env", "lock-debian", suite, architecture, *packages]
    words += [word for pattern in exclude for word in ("--exclude", pattern)]
    # The comment is shared with the lock, and a URL may hold a password.
    words += [word for url in urls for word in ("--archive", without_secrets(url))]
    text = format_debian_lock(lock, comments=[f"Made by: {shlex.join(words)}"])
    if output is not None:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise MlscopeError(f"{output}: cannot be written: {error.strerror}") from None
    return PinnedPackages(text=text, packages=len(lock.packages), size=lock.size)
