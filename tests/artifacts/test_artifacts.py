"""Model files: found, downloaded, built, checked, and what is said when they are not what they should be."""

from __future__ import annotations

import errno
import hashlib
import http.server
import importlib.util
import json
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
from pytest_mlscope.artifacts import random_onnx_weights
from pytest_mlscope.artifacts.artifact import Artifact, materialise
from pytest_mlscope.errors import ArtifactError, CannotRun, IntegrityError
from pytest_mlscope.machine import locks
from pytest_mlscope.manifest.schema.frameworks import ModelFile
from pytest_mlscope.text import scrubbed, without_secrets
from tests.recorders import Told

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = "0" * 64

needs_http = pytest.mark.skipif(not importlib.util.find_spec("aiohttp"), reason="aiohttp is not installed")


class Materialiser:
    """``materialise`` with a base folder and a cache of its own."""

    def __init__(self, base: Path, home: Path) -> None:
        self.base, self.home = base, home
        self.told = Told()

    def __call__(self, path: str, **keys: Any) -> Artifact:
        file = ModelFile.model_validate({"path": path, **keys})
        return materialise(file, base=self.base, home=self.home, recorder=self.told)

    def error(self, path: str, **keys: Any) -> str:
        """The message of the error it raises, on one line."""
        with pytest.raises(ArtifactError) as caught:
            self(path, **keys)
        message = str(caught.value)
        assert "\n" not in message
        return message


@pytest.fixture
def get(tmp_path: Path, home: Path) -> Materialiser:
    base = tmp_path / "suite"
    base.mkdir()
    return Materialiser(base, home)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """A file of fsspec's in-memory file system."""
    url = f"memory://{tmp_path.name}/model.onnx"
    with fsspec.open(url, "wb") as stream:
        stream.write(CONTENT)
    yield url
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_a_relative_path(get: Materialiser) -> None:
    (get.base / "model.onnx").write_bytes(CONTENT)
    artifact = get("model.onnx", sha256=SHA256, size=len(CONTENT))
    assert artifact == Artifact(get.base / "model.onnx", SHA256, len(CONTENT))
    assert not get.home.exists(), "a file that is there needs no cache"


def test_a_link_is_followed(get: Materialiser, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    (get.base / "model.onnx").symlink_to(tmp_path / "elsewhere")
    assert get("model.onnx").sha256 == SHA256


def test_a_file_url(get: Materialiser, tmp_path: Path) -> None:
    """An escaped absolute path is found; one that names a host is refused with what to write."""
    (tmp_path / "a model.onnx").write_bytes(CONTENT)
    assert get(f"file://{tmp_path}/a%20model.onnx").sha256 == SHA256
    assert get.error("file://model.onnx") == (
        "file://model.onnx: is not of this machine; write file:///absolute/path, or a relative path alone"
    )


def test_missing_folder_and_device(get: Materialiser) -> None:
    (get.base / "saved_model").mkdir()
    os.mkfifo(get.base / "pipe")
    assert get.error("model.onnx") == f"{get.base}/model.onnx: no such file; check the manifest's path"
    assert get.error("saved_model").startswith(f"{get.base}/saved_model: is a folder; a model file is one file")
    assert get.error("pipe") == f"{get.base}/pipe: is not an ordinary file"


def test_another_size_or_hash(get: Materialiser) -> None:
    """The size is held first: it costs nothing, and says more."""
    path = get.base / "model.onnx"
    path.write_bytes(CONTENT)
    advice = "the file was changed or the manifest is out of date"
    assert get.error("model.onnx", size=1, sha256=WRONG) == (f"{path}: has 7,000 bytes, the manifest says 1; {advice}")
    assert get.error("model.onnx", sha256=WRONG) == f"{path}: sha256 is {SHA256}, the manifest says {WRONG}; {advice}"
    with pytest.raises(IntegrityError):
        get("model.onnx", sha256=WRONG)


def test_a_file_changed_between_two_uses(get: Materialiser) -> None:
    """The hash is remembered within a process, but not beyond a change of the file."""
    path = get.base / "model.onnx"
    path.write_bytes(CONTENT)
    get("model.onnx", sha256=SHA256)
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, ns=(1, 1))
    assert "sha256 is" in get.error("model.onnx", sha256=SHA256)


def test_a_file_is_read_once(get: Materialiser, monkeypatch: pytest.MonkeyPatch) -> None:
    """While size, time and inode stay, the hash is remembered."""
    (get.base / "model.onnx").write_bytes(CONTENT)
    get("model.onnx")
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert get("model.onnx").sha256 == SHA256


class TestPackages:
    def test_with_and_without_the_import_package(self, get: Materialiser) -> None:
        """The import package's name may be left out where it is the distribution's own."""
        path = Path(pytest.__file__).parent / "py.typed"
        assert get("package://pytest/pytest/py.typed").path == path
        assert get("package://pytest/py.typed").path == path

    def test_nothing_is_imported(self, get: Materialiser) -> None:
        """A file in a framework's package is found without importing the framework."""
        code = (
            "import sys; from pytest_mlscope.artifacts.package_file import package_file;"
            "package_file('package://onnxruntime/onnxruntime/__init__.py'); print('onnxruntime' in sys.modules)"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout == "False\n"

    def test_an_editable_installation(self, get: Materialiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its metadata is in one place and its files in another."""
        information = tmp_path / "site" / "toy_models-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-models\nVersion: 1.0\n")
        package = tmp_path / "checkout" / "toy_models"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "model.onnx").write_bytes(CONTENT)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.syspath_prepend(tmp_path / "checkout")
        assert get("package://toy-models/toy_models/model.onnx").path == package / "model.onnx"
        assert get("package://toy-models/model.onnx").path == package / "model.onnx"

    def test_a_distribution_that_is_not_installed(self, get: Materialiser) -> None:
        with pytest.raises(CannotRun) as caught:
            get("package://no-such-thing/model.onnx")
        assert caught.value.command == "pip install no-such-thing"
        assert caught.value.reason == "package://no-such-thing/model.onnx needs the distribution no-such-thing"

    def test_no_such_file(self, get: Materialiser) -> None:
        version = pytest.__version__
        assert get.error("package://pytest/model.onnx") == (
            f"package://pytest/model.onnx: pytest {version} has no such file; check the path, or the version that "
            "the manifest means"
        )

    @pytest.mark.parametrize("path", ["../secret", "pytest/../../secret", "/etc/passwd"])
    def test_leaving_the_distribution(self, get: Materialiser, path: str) -> None:
        assert "leaves the distribution" in get.error(f"package://pytest/{path}")

    @pytest.mark.parametrize("url", ["package://", "package://pytest", "package://pytest/"])
    def test_naming_nothing(self, get: Materialiser, url: str) -> None:
        assert get.error(url) == f"{url}: names no file; write package://DISTRIBUTION/path/in/it"


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


class TestBuilds:
    @pytest.fixture
    def builds(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Seeds that were built, by a builder that writes the seed after the source."""
        seeds: list[int] = []

        def build(source: Path, destination: Path, *, seed: int) -> None:
            seeds.append(seed)
            destination.write_bytes(source.read_bytes() + str(seed).encode())

        monkeypatch.setattr(random_onnx_weights, "build", build)
        return seeds

    def test_built_once_a_source_and_seed(self, get: Materialiser, builds: list[int]) -> None:
        """Another seed or other bytes of the source are another file."""
        (get.base / "model.onnx").write_bytes(CONTENT)
        step = {"builder": "random_onnx_weights", "seed": 7}
        built = get("model.onnx", sha256=SHA256, build=step)
        assert built.path.read_bytes() == CONTENT + b"7"
        assert built.sha256 == hashlib.sha256(CONTENT + b"7").hexdigest()
        assert get("model.onnx", build=step) == built
        assert builds == [7]
        get("model.onnx", build={**step, "seed": 8})
        (get.base / "model.onnx").write_bytes(b"another")
        get("model.onnx", build=step)
        assert builds == [7, 8, 7]
        record = json.loads(built.path.with_name("model.onnx.json").read_text())
        assert (record["sha256"], record["source_sha256"], record["seed"]) == (built.sha256, SHA256, 7)

    def test_the_source_is_checked_first(self, get: Materialiser, builds: list[int]) -> None:
        """A source with another sha256 is not built from."""
        (get.base / "model.onnx").write_bytes(CONTENT)
        get.error("model.onnx", sha256=WRONG, build={"builder": "random_onnx_weights"})
        assert builds == []

    def test_a_built_file_that_was_changed_is_built_again(self, get: Materialiser, builds: list[int]) -> None:
        (get.base / "model.onnx").write_bytes(CONTENT)
        built = get("model.onnx", build={"builder": "random_onnx_weights"})
        built.path.write_bytes(b"tampered")
        assert get("model.onnx", build={"builder": "random_onnx_weights"}).sha256 == built.sha256
        assert builds == [0, 0]

    def test_a_build_that_was_cut_short(self, get: Materialiser, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk leaves nothing that the next use could take for the model."""
        (get.base / "model.onnx").write_bytes(CONTENT)

        def build(source: Path, destination: Path, *, seed: int) -> None:
            destination.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(random_onnx_weights, "build", build)
        message = get.error("model.onnx", build={"builder": "random_onnx_weights"})
        assert "cannot be written: No space left on device: free some space" in message
        assert not [path for path in get.home.rglob("*") if path.is_file() and path.name != ".lock"]


def _field(number: int, content: bytes | int) -> bytes:
    """One of protobuf's; short ones only."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def _onnx_with_weights_in(*names: str) -> bytes:
    """An ONNX file: ir_version, and a graph of weights in other files."""
    weights = b""
    for name in names:
        location = _field(13, _field(1, b"location") + _field(2, name.encode()))
        weights += _field(5, _field(1, 4) + _field(2, 1) + _field(8, b"w") + location + _field(14, 1))
    return _field(1, 8) + _field(7, weights)


@pytest.mark.parametrize("name", ["model.onnx", "model.bin"])
def test_external_weights_are_part_of_a_files_sha256(get: Materialiser, name: str) -> None:
    model = _onnx_with_weights_in("b.data", "a.data", "a.data")
    (get.base / name).write_bytes(model)
    (get.base / "a.data").write_bytes(b"a" * 16)
    (get.base / "b.data").write_bytes(b"b" * 16)
    both = hashlib.sha256(model + b"a" * 16 + b"b" * 16).hexdigest()
    alone = hashlib.sha256(model).hexdigest()
    found = get(name, sha256=both, size=len(model))
    assert (found.sha256, [path.name for path in found.external]) == (both, ["a.data", "b.data"])
    message = get.error(name, sha256=alone)
    assert "the manifest's sha256 covers this file alone, but weights are also in a.data, b.data; write" in message
    assert f"sha256 of all: {both} (`cat {name} a.data b.data | sha256sum`)" in message
    (get.base / "b.data").write_bytes(b"c" * 17)
    assert f"the manifest says {both}" in get.error(name, sha256=both)


def test_missing_external_weights_are_told_before_a_framework_looks(get: Materialiser) -> None:
    (get.base / "model.onnx").write_bytes(_onnx_with_weights_in("gone.data"))
    message = get.error("model.onnx")
    assert message.startswith(
        f"{get.base}/model.onnx keeps weights in another file: {get.base}/gone.data: no such file"
    )


def test_a_file_that_is_no_onnx_file_has_no_external_weights(get: Materialiser) -> None:
    (get.base / "model.onnx").write_bytes(b"\x08\x07rubbish")
    assert get("model.onnx").external == ()
