"""Downloads a file through fsspec."""

from __future__ import annotations

import importlib
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_mlscope.errors import ArtifactError, CannotRun, IntegrityError
from pytest_mlscope.machine import describe_os_error
from pytest_mlscope.recorder import Recorder
from pytest_mlscope.text import scrubbed, without_secrets

_CHUNK = 2**20
_PROGRESS_EVERY = 3.0
_CONNECT_TIMEOUT, _SILENCE_TIMEOUT = 30.0, 60.0
CEILING = 2**35
"""Bytes (32 GiB) after which a download ends whose size the manifest does not state."""
SLOWEST = 1000.0
"""Bytes a second. A server that sends fewer, over ``RATE_SECONDS``, would hold a run for days."""
RATE_SECONDS = 60.0


def _options(protocol: str) -> dict[str, Any]:
    if protocol not in ("http", "https"):
        return {}
    try:
        aiohttp = importlib.import_module("aiohttp")
    except ImportError:
        raise CannotRun(
            f"{protocol}:// needs fsspec's http support", command="pip install 'pytest-mlscope[http]'"
        ) from None
    # aiohttp's own limit is five minutes for the whole of a download, however large.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=_SILENCE_TIMEOUT)
    # trust_env: without it aiohttp ignores the proxies in the environment.
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}}


def _reason(error: BaseException) -> str:
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError):
        # fsspec says "not found" of a server it could not reach too; the cause knows.
        return _reason(error.__cause__) if error.__cause__ else "there is no such file"
    if status:
        return f"the server answered {status} {getattr(error, 'message', '')}".rstrip()
    return " ".join(str(error).split()) or type(error).__name__


def _shown_size(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def download(url: str, destination: Path, *, size: int | None, recorder: Recorder) -> None:
    """Write what is at a URL to ``destination``, which the caller has locked; it appears there only when complete.

    :param size: bytes expected; more of them end the download.
    :param recorder: told every few seconds.
    :raises CannotRun: when fsspec needs a further package for this kind of URL.
    :raises ArtifactError: when it cannot be read or written, is too large without a ``size``, or comes too
        slowly.
    :raises IntegrityError: when there is more of it than expected.
    """
    import fsspec  # type: ignore[import-untyped]  # ships no types

    shown = without_secrets(url)
    unfinished = destination.with_name(f"{destination.name}.part")
    protocol = url.partition("://")[0]
    try:
        try:
            file_system, remote = fsspec.core.url_to_fs(url, **_options(protocol))
            # Sequential reading needs no look-ahead cache; 0 makes fsspec's http stream.
            source = file_system.open(remote, "rb", **({"block_size": 0} if protocol in ("http", "https") else {}))
        except ImportError as error:
            raise CannotRun(
                f"{shown}: {scrubbed(' '.join(str(error).split()), url)}", command=f"pip install 'fsspec[{protocol}]'"
            ) from None
        except CannotRun:
            raise
        except Exception as error:  # each of fsspec's file systems raises its own library's exceptions
            raise ArtifactError(f"{shown}: cannot be downloaded: {scrubbed(_reason(error), url)}") from None
        with source, _opened(unfinished) as target:
            _copy(source, target, url, size, recorder)
        _store(unfinished, destination)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _opened(path: Path) -> Any:
    try:
        return path.open("wb")
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {describe_os_error(error)}") from None


def _store(unfinished: Path, destination: Path) -> None:
    try:
        unfinished.replace(destination)
    except OSError as error:
        raise ArtifactError(f"{destination}: cannot be written: {describe_os_error(error)}") from None


def _check_amount(amount: int, shown: str, size: int | None) -> None:
    if size is not None and amount > size:
        raise IntegrityError(
            f"{shown}: has more than the {size:,} bytes that the manifest says; "
            "the file was changed or the manifest is out of date"
        )
    if size is None and amount > CEILING:
        raise ArtifactError(
            f"{shown}: has more than {CEILING:,} bytes, the most that is downloaded without a size; "
            "state the file's size in the manifest"
        )


def _copy(source: Any, target: Any, url: str, size: int | None, recorder: Recorder) -> None:
    shown = without_secrets(url)
    total = size or getattr(source, "size", None)
    of_total = f" of {_shown_size(total)}" if total else ""
    recorder.progress(f"downloading {shown}{f' ({_shown_size(total)})' if total else ''}")
    # What the server says, before anything is downloaded.
    if isinstance(total, int):
        _check_amount(total, shown, size)
    received = 0
    last_told = time.monotonic()
    window_began, window_bytes = last_told, 0
    while True:
        try:
            chunk = source.read(_CHUNK)
        except Exception as error:  # each of fsspec's file systems raises its own library's exceptions
            raise ArtifactError(
                f"{shown}: the download broke off after {received:,} bytes: {scrubbed(_reason(error), url)}; try again"
            ) from None
        if not chunk:
            return
        received += len(chunk)
        # What came, too: a server need not say how much there is, and may send more.
        _check_amount(received, shown, size)
        since_began = received - window_bytes
        if time.monotonic() - window_began >= RATE_SECONDS:
            if since_began < SLOWEST * RATE_SECONDS:
                raise ArtifactError(
                    f"{shown}: the download was ended after {received:,} bytes: {since_began:,} bytes came in "
                    f"{time.monotonic() - window_began:.0f} s, and "
                    f"{SLOWEST:,.0f} bytes/s are the least; try again later"
                )
            # Minute by minute, so that a fast beginning does not excuse a server that then trickles.
            window_began, window_bytes = time.monotonic(), received
        try:
            target.write(chunk)
        except OSError as error:
            raise ArtifactError(f"{target.name}: cannot be written: {describe_os_error(error)}") from None
        if time.monotonic() - last_told > _PROGRESS_EVERY:
            last_told = time.monotonic()
            recorder.progress(f"downloading {shown}: {_shown_size(received)}{of_total}")
