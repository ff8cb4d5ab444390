"""Downloads from Debian archives, into the cache."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pytest_mlscope.environments.debian.lock import DebianLock, DebianPackage
from pytest_mlscope.environments.url_request import request_of
from pytest_mlscope.errors import EnvironmentCreationError, MlscopeError
from pytest_mlscope.machine import artifacts_folder, describe_os_error, file_lock, writable_folder
from pytest_mlscope.recorder import Recorder
from pytest_mlscope.text import scrubbed, without_secrets

_CHUNK = 2**18
# Of one read, not of the whole: a large package on a slow line takes longer.
_SILENCE_SECONDS = 60.0
_PROGRESS_EVERY = 3.0
_SCHEMES = ("http://", "https://", "file://")


def _open(url: str, *, start: int = 0) -> IO[bytes]:
    """:raises OSError: such as ``urllib.error.URLError``
    :raises http.client.HTTPException: when the server does not speak HTTP.
    """
    # urllib opens more than these, and a lock is a file of somebody's framework folder.
    if not url.startswith(_SCHEMES):
        raise urllib.error.URLError(f"not one of {', '.join(_SCHEMES)}")
    request = request_of(url, {"Range": f"bytes={start}-"} if start else None)
    answer: IO[bytes] = urllib.request.urlopen(request, timeout=_SILENCE_SECONDS)  # noqa: S310 - checked above
    return answer


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code}"
    if isinstance(error, urllib.error.URLError):
        reason = error.reason
        return (reason.strerror or str(reason)) if isinstance(reason, OSError) else str(reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def fetch(url: str) -> bytes:
    """What is at a URL.

    :raises MlscopeError: when it cannot be downloaded.
    """
    try:
        with _open(url) as stream:
            return stream.read()
    except (OSError, http.client.HTTPException) as error:
        raise MlscopeError(f"{without_secrets(url)}: cannot be downloaded: {scrubbed(_reason(error), url)}") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_it(path: Path, package: DebianPackage) -> bool:
    try:
        return path.stat().st_size == package.size and _sha256(path) == package.sha256
    except OSError:
        return False


def _receive(url: str, unfinished: Path, package: DebianPackage, received: Callable[[int], None]) -> None:
    """Append to what an earlier attempt left. Raises as :func:`_open`."""
    start = unfinished.stat().st_size if unfinished.exists() else 0
    # A complete file was not what the lock says, or it would have been moved to its place.
    if start >= package.size:
        start = 0
    with _open(url, start=start) as source:
        # A server may ignore Range and send everything from the first byte.
        if start and getattr(source, "status", None) != http.client.PARTIAL_CONTENT:
            start = 0
        with unfinished.open("ab" if start else "wb") as target:
            received(start)
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                start += len(chunk)
                received(start)
                # More than the lock says is wrong whatever comes; a hostile mirror must not fill the disk.
                if start > package.size:
                    break


def _download(
    package: DebianPackage, archives: Sequence[str], destination: Path, received: Callable[[int], None]
) -> None:
    unfinished = destination.with_suffix(".part")
    reasons = []
    for archive in archives:
        url = f"{archive}/{package.path}"
        # What is left of another attempt may be another file's beginning, so a wrong hash is worth one fresh start.
        for _ in range(2):
            resumed = unfinished.exists()
            try:
                _receive(url, unfinished, package, received)
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                reasons.append(f"{without_secrets(url)}: {scrubbed(_reason(error), url)}")
                break
            except OSError as error:
                raise EnvironmentCreationError(f"{unfinished}: cannot be written: {describe_os_error(error)}") from None
            if _is_it(unfinished, package):
                # In one step, so that nobody finds half a package under its final name.
                unfinished.replace(destination)
                return
            size = unfinished.stat().st_size
            unfinished.unlink()
            if not resumed:
                wrong = f"has {size:,} bytes, not {package.size:,}" if size != package.size else "has another sha256"
                reasons.append(f"{without_secrets(url)}: {wrong}")
                break
    raise EnvironmentCreationError(
        f"the Debian package {package.name} {package.version} is not available: {'; '.join(reasons)}"
    )


class _Progress:
    """Tells every few seconds how far all of it is."""

    def __init__(self, lock: DebianLock, recorder: Recorder) -> None:
        self._total = lock.size
        self._recorder = recorder
        self._last = time.monotonic()
        self.done = 0

    def received(self, size: int) -> None:
        now = time.monotonic()
        if now - self._last >= _PROGRESS_EVERY:
            self._last = now
            self._recorder.progress(
                f"downloaded {(self.done + size) / 1e6:,.0f} of {self._total / 1e6:,.0f} MB of Debian packages"
            )


def download_packages(lock: DebianLock, *, home: Path, recorder: Recorder) -> list[Path]:
    """The ``.deb`` files of a lock, in its order, each checked by size and sha256.

    They stay in the cache, where a later creation finds them; one that was interrupted goes on where it stopped.

    :param home: the cache, as of :func:`pytest_mlscope.machine.cache_folder.cache_home`.
    :raises EnvironmentCreationError: when one is available nowhere, or not the locked one.
    """
    folder = writable_folder(artifacts_folder(home) / "debian", error_type=EnvironmentCreationError)
    told = _Progress(lock, recorder)
    paths = []

    def waiting() -> None:
        recorder.waiting("waiting for another process that is downloading Debian packages")

    with file_lock(folder / ".lock", waiting=waiting):
        for package in lock.packages:
            # By content: two locks that pin the same package share it, and a name cannot lead out of the folder.
            path = folder / f"{package.sha256}.deb"
            if not _is_it(path, package):
                with suppress(FileNotFoundError):
                    path.unlink()
                _download(package, lock.archives, path, told.received)
            told.done += package.size
            paths.append(path)
    return paths
