"""Model files that are fetched, and what is said of servers that do not give them."""

from __future__ import annotations

import errno
import http.server
import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # ships no types
import pytest

from pytest_mlscope.artifacts import download as fetch
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.machine import locks
from pytest_mlscope.text import scrubbed, without_secrets
from tests.artifacts.materialiser import CONTENT, SHA256, WRONG, Materialiser

needs_http = pytest.mark.skipif(not importlib.util.find_spec("aiohttp"), reason="aiohttp is not installed")


class TestDownloads:
    def test_downloaded_once(self, get: Materialiser, memory: str) -> None:
        """The second time the file comes from the cache, although the URL has lost it."""
        first = get(memory, sha256=SHA256, size=len(CONTENT))
        assert first.path.read_bytes() == CONTENT
        assert first.path.suffix == ".onnx"
        assert first.path.is_relative_to(get.home / "artifacts")
        assert get.told.lines == [f"downloading {memory} (0.0 MB)"]
        fsspec.filesystem("memory").rm(memory)
        assert get(memory, sha256=SHA256) == first
        fsspec.filesystem("memory").pipe(memory, CONTENT)

    def test_without_a_hash(self, get: Materialiser, memory: str) -> None:
        """A URL alone is enough to download."""
        assert get(memory).sha256 == SHA256

    def test_a_cached_file_that_was_changed_is_downloaded_again(self, get: Materialiser, memory: str) -> None:
        path = get(memory).path
        path.write_bytes(b"tampered")
        assert get(memory).sha256 == SHA256
        assert f"{path} is not what it was when it was made; making it again" in get.told.lines

    def test_a_cache_that_cannot_be_written_to_still_serves(
        self, get: Materialiser, memory: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where a filled cache is mounted read-only. Permissions do not bind root, so writing is made fail."""
        first = get(memory)

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
        assert get(memory) == first
        assert get.error(memory, sha256=SHA256).endswith(
            "the cache folder cannot be written to: Read-only file system: set MLSCOPE_HOME to a folder that you can "
            "write to"
        )

    def test_another_hash_than_the_manifest_says(self, get: Materialiser, memory: str) -> None:
        assert get.error(memory, sha256=WRONG).startswith(f"{memory}: sha256 is {SHA256}, the manifest says {WRONG}")

    def test_more_than_the_manifest_says_ends_the_download(
        self, get: Materialiser, memory: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fetch, "_CHUNK", 10)
        assert get.error(memory, size=15).startswith(f"{memory}: has more than the 15 bytes that the manifest says")
        assert not list(get.home.rglob("*.part"))

    def test_less_than_the_manifest_says(self, get: Materialiser, memory: str) -> None:
        assert get.error(memory, size=8000).startswith(f"{memory}: has 7,000 bytes, the manifest says 8,000")

    def test_not_there(self, get: Materialiser) -> None:
        url = "memory://nowhere/model.onnx"
        assert get.error(url) == f"{url}: cannot be downloaded: there is no such file"

    def test_an_unknown_protocol(self, get: Materialiser) -> None:
        url = "gopher://host/model.onnx"
        assert get.error(url) == f"{url}: cannot be downloaded: Protocol not known: gopher"

    @pytest.mark.skipif(bool(importlib.util.find_spec("s3fs")), reason="s3fs is installed")
    def test_a_protocol_that_needs_a_package(self, get: Materialiser) -> None:
        with pytest.raises(CannotRun) as caught:
            get("s3://bucket/model.onnx")
        assert caught.value.command == "pip install 'fsspec[s3]'"

    def test_https_without_aiohttp(self, get: Materialiser, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "aiohttp", None)
        with pytest.raises(CannotRun) as caught:
            get("https://example.com/model.onnx")
        assert str(caught.value) == (
            "https:// needs fsspec's http support; to enable: pip install 'pytest-mlscope[http]'"
        )

    def test_a_full_disk(self, get: Materialiser, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """/dev/full takes a file to be opened and refuses the first byte, as a full disk does."""

        def unbuffered_full(path: Path) -> Any:
            return Path("/dev/full").open("wb", buffering=0)

        monkeypatch.setattr(fetch, "_opened", unbuffered_full)
        message = get.error(memory)
        assert message.endswith(
            "No space left on device: free some space, or set MLSCOPE_HOME to a folder on another disk"
        )
        monkeypatch.undo()
        assert get(memory).sha256 == SHA256

    def test_progress_every_few_seconds(self, get: Materialiser, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each line says how much has come of how much."""
        monkeypatch.setattr(fetch, "_CHUNK", 3500)
        monkeypatch.setattr(fetch, "_PROGRESS_EVERY", -1)
        get(memory, size=len(CONTENT))
        assert get.told.lines[1:] == [f"downloading {memory}: 0.0 MB of 0.0 MB"] * 2

    @pytest.mark.slow
    def test_two_processes_download_once(self, get: Materialiser, tmp_path: Path) -> None:
        """Both are made to wait before either has begun, so that they meet."""
        (tmp_path / "model.onnx").write_bytes(CONTENT)
        folder = get.home / "artifacts" / "downloads" / SHA256
        folder.mkdir(parents=True)
        code = textwrap.dedent(
            """
            import sys
            from pathlib import Path
            from pytest_mlscope.artifacts.artifact import materialise
            from pytest_mlscope.manifest.schema.frameworks import ModelFile
            from pytest_mlscope.recorder import ConsoleRecorder

            file = ModelFile.model_validate({"path": sys.argv[1], "sha256": sys.argv[2]})
            materialise(file, base=Path("."), home=Path(sys.argv[3]), recorder=ConsoleRecorder(sys.stdout))
            """
        )
        command = [sys.executable, "-c", code, f"local://{tmp_path}/model.onnx", SHA256, str(get.home)]
        with locks.file_lock(folder / ".lock"):
            both = [
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)
            ]
            for process in both:
                assert process.stdout
                assert "waiting for another process that is making" in process.stdout.readline()
        outputs = [process.communicate(timeout=60)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], outputs
        assert sorted(output.count("downloading") for output in outputs) == [0, 1]


@pytest.fixture
def server() -> Iterator[Callable[[int, bytes, int], str]]:
    """Serve one answer: status, body, and the length that is announced."""
    started: list[http.server.ThreadingHTTPServer] = []

    def serve(status: int, body: bytes, length: int) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()

            def do_GET(self) -> None:
                self.do_HEAD()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        started.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, args=[0.01], daemon=True).start()
        return f"http://127.0.0.1:{started[-1].server_port}/model.onnx?download=1"

    yield serve
    for each in started:
        each.shutdown()
        each.server_close()


@needs_http
class TestHttp:
    def test_downloaded(self, get: Materialiser, server: Callable[[int, bytes, int], str]) -> None:
        artifact = get(server(200, CONTENT, len(CONTENT)), sha256=SHA256, size=len(CONTENT))
        assert artifact.path.name == "model.onnx"

    def test_not_there(self, get: Materialiser, server: Callable[[int, bytes, int], str]) -> None:
        url = server(404, b"", 0)
        assert get.error(url) == f"{without_secrets(url)}: cannot be downloaded: the server answered 404 Not Found"

    def test_refused(self, get: Materialiser, server: Callable[[int, bytes, int], str]) -> None:
        url = server(403, b"", 0)
        assert get.error(url).startswith(f"{without_secrets(url)}: cannot be downloaded: the server answered 403")

    def test_broken_off(self, get: Materialiser, server: Callable[[int, bytes, int], str]) -> None:
        """A body shorter than announced is no model, even where the manifest gives neither size nor hash."""
        url = server(200, CONTENT, 2 * len(CONTENT))
        assert get.error(url).startswith(f"{without_secrets(url)}: the download broke off after ")

    def test_no_server_and_no_password_in_the_message(self, get: Materialiser) -> None:
        message = get.error("http://user:secret@127.0.0.1:9/model.onnx")
        assert message.startswith("http://***@127.0.0.1:9/model.onnx: cannot be downloaded: Cannot connect")
        assert "secret" not in message

    def test_a_token_is_in_no_message_and_no_record(
        self, get: Materialiser, server: Callable[[int, bytes, int], str]
    ) -> None:
        url = server(200, CONTENT, len(CONTENT)).partition("?")[0] + "?token=S3CRET&X-Amz-Signature=T0KEN"
        artifact = get(url, sha256=SHA256)
        kept = artifact.path.with_name(f"{artifact.path.name}.json").read_text("utf-8")
        assert "?token=***&X-Amz-Signature=***" in kept
        told = "".join([kept, *get.told.lines])
        assert "S3CRET" not in told
        assert "T0KEN" not in told

    def test_a_wrong_sha256_leaves_nothing(self, get: Materialiser, server: Callable[[int, bytes, int], str]) -> None:
        """What was downloaded and is wrong does not stay in the cache."""
        assert "sha256 is" in get.error(server(200, CONTENT, len(CONTENT)), sha256="0" * 64)
        assert [path.name for path in get.home.rglob("*") if path.is_file()] == [".lock"]

    def test_without_a_size_there_is_a_ceiling(
        self, get: Materialiser, memory: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fetch, "CEILING", 1000)
        assert get.error(memory) == (
            f"{memory}: has more than 1,000 bytes, the most that is downloaded without a size; "
            "state the file's size in the manifest"
        )
        assert get(memory, size=len(CONTENT)).sha256 == SHA256

    def test_a_trickle_is_ended(self, get: Materialiser, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that sends a few bytes at a time, never silent for long, does not hold a run for days."""

        class Trickle(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()

            def do_GET(self) -> None:
                self.do_HEAD()
                with suppress(OSError):
                    for _ in range(200):
                        self.wfile.write(b"a")
                        self.wfile.flush()
                        time.sleep(0.05)

            def log_message(self, *_: object) -> None:
                pass

        monkeypatch.setattr(fetch, "RATE_SECONDS", 0.5)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as slow:
            threading.Thread(target=slow.serve_forever, args=[0.01], daemon=True).start()
            began = time.monotonic()
            message = get.error(f"http://127.0.0.1:{slow.server_port}/m.onnx")
            assert time.monotonic() - began < 5
            slow.shutdown()
        assert "the download was ended after" in message
        assert "1,000 bytes/s are the least" in message


class TestShownUrls:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://ghp_abc123@host.org/m", "https://***@host.org/m"),
            ("https://me:p@ss@host.org/m", "https://***@host.org/m"),
            ("https://me:p/ss@host.org/m", "https://***@host.org/m"),
            ("https://me:p?s#s@host.org/m", "https://***@host.org/m"),
            ("https://host.org/name@1.0/m?a=b@c", "https://host.org/name@1.0/m?a=***"),
            ("https://host.org:8080/name@1.0/m", "https://host.org:8080/name@1.0/m"),
            ("https://host.org/m?abc123", "https://host.org/m?***"),
            ("https://host.org/m#access_token=abc", "https://host.org/m#***"),
            ("simplecache::https://me:pass@host.org/m?k=v", "simplecache::https://***@host.org/m?k=***"),
            ("folder/model@2.onnx", "folder/model@2.onnx"),
        ],
    )
    def test_have_no_secrets(self, url: str, shown: str) -> None:
        assert without_secrets(url) == shown

    def test_messages_of_libraries_neither(self) -> None:
        """A library's message may repeat a URL's secrets anywhere in its text."""
        text = "no route to https://other.org/x?sig=zzzzz, user me:passw0rd, passw0rd"
        assert scrubbed(text, "https://me:passw0rd@host.org/m") == (
            "no route to https://other.org/x?sig=***, user ***, ***"
        )
