"""Debian packages: locked, downloaded, unpacked, and what is said when they are not what they should be."""

from __future__ import annotations

import base64
import errno
import hashlib
import http.server
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.environments.debian import download as debian_download
from pytest_mlscope.environments.debian.download import download_packages, fetch
from pytest_mlscope.environments.debian.index import IndexedPackage, parse_packages, read_index
from pytest_mlscope.environments.debian.lock import DebianLock, DebianPackage, format_debian_lock, parse_debian_lock
from pytest_mlscope.environments.debian.locking import make_debian_lock
from pytest_mlscope.environments.debian.resolution import resolve
from pytest_mlscope.environments.debian.unpack import prepare_root, unpack
from pytest_mlscope.errors import EnvironmentCreationError, FrameworkError, MlscopeError
from pytest_mlscope.recorder import SILENT
from tests.environments.toy_debian import Content, ToyArchive, ar, deb, tar

names = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,9}", fullmatch=True)
packages = st.builds(
    DebianPackage,
    names,
    st.from_regex(r"([0-9]:)?[0-9][a-z0-9.+~-]{0,9}", fullmatch=True),
    st.binary().map(lambda data: hashlib.sha256(data).hexdigest()),
    st.integers(0, 10**10),
    st.from_regex(r"pool/[a-z]{1,5}/[a-z0-9_.+-]{0,9}[a-z]", fullmatch=True),
)
locks = st.builds(
    DebianLock,
    st.lists(st.sampled_from(["http://a/debian", "https://b", "file:///c"]), min_size=1).map(tuple),
    names,
    st.sampled_from(["amd64", "arm64", "ppc64el"]),
    st.lists(packages, min_size=1, unique_by=lambda package: package.name).map(
        lambda found: tuple(sorted(found, key=lambda package: package.name))
    ),
)


@pytest.fixture
def archive(tmp_path: Path) -> ToyArchive:
    return ToyArchive(tmp_path / "archive")


class TestLock:
    @pytest.mark.slow
    @given(locks)
    def test_written_and_read(self, lock: DebianLock) -> None:
        """A lock that is written reads back as it was; comments are no part of it."""
        assert parse_debian_lock(format_debian_lock(lock, comments=["Made by: me"]), origin="x.lock") == lock

    GOOD = f"archive: http://a\nsuite: s\narchitecture: amd64\nlibc6 2.31 {'0' * 64} 5 pool/l/libc6.deb\n"

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("libc6 2.31", "libc6", "x.lock:4: not 'NAME VERSION SHA256 SIZE PATH', nor one of archive, suite,"),
            ("0" * 64, "0" * 63, "x.lock:4: not a package's NAME VERSION SHA256 SIZE PATH; make the lock again"),
            (" 5 ", " five ", "x.lock:4: not a package's"),
            ("pool/l", "../l", "x.lock:4: not a package's"),
            ("pool/l", "/l", "x.lock:4: not a package's"),
            ("suite: s\n", "", "x.lock: must have one line 'suite: …', has 0"),
            ("archive: http://a\n", "", "x.lock: has no line 'archive: URL'"),
            ("libc6 2.31", "#", "x.lock: names no package"),
        ],
    )
    def test_what_is_wrong_is_named(self, old: str, new: str, told: str) -> None:
        with pytest.raises(FrameworkError) as caught:
            parse_debian_lock(self.GOOD.replace(old, new), origin="x.lock")
        assert str(caught.value).startswith(told)

    def test_a_package_twice(self) -> None:
        """A name that stands twice is refused at the line of the second."""
        with pytest.raises(FrameworkError, match=r"x\.lock:5: libc6 is there twice"):
            parse_debian_lock(self.GOOD + self.GOOD.splitlines()[-1], origin="x.lock")


def indexed(text: str) -> dict[str, IndexedPackage]:
    """Packages by ``NAME: dependencies / provided`` lines."""
    stanzas = []
    for line in text.strip().splitlines():
        name, _, relations = line.strip().partition(":")
        depends, _, provides = relations.partition("/")
        stanzas.append(
            f"Package: {name}\nVersion: 1\nSHA256: {'0' * 64}\nSize: 1\nFilename: pool/{name}\n"
            f"Depends: {depends.strip()}\nProvides: {provides.strip()}\n"
        )
    return parse_packages("\n".join(stanzas))


class TestResolution:
    SUITE = """
        app: libblas3 | libblas.so.3, python3:any (>= 3.9), data
        libblas3: libc6 / libblas.so.3
        openblas: libc6, libgcc / libblas.so.3 (= 3), libblas3
        python3: libc6 (>= 2.4), dpkg
        libc6: libgcc
        libgcc: libc6
        data:
        dpkg: perl
        perl:
        viewer: no-such | awk
        mawk: / awk
        gawk: / awk
        lost: no-such
    """

    def chosen(self, *wanted: str, exclude: tuple[str, ...] = ()) -> list[str]:
        return [package.name for package in resolve(indexed(self.SUITE), wanted, exclude=exclude)]

    def test_all_that_is_needed_by_name(self) -> None:
        """The closure of dependencies, first alternatives taken, sorted by name."""
        assert self.chosen("app") == ["app", "data", "dpkg", "libblas3", "libc6", "libgcc", "perl", "python3"]

    def test_what_was_asked_for_settles_alternatives(self) -> None:
        """A package asked for fulfils a dependency, whichever of the two was named first."""
        assert "libblas3" not in self.chosen("app", "openblas")
        assert self.chosen("app", "openblas") == self.chosen("openblas", "app")

    def test_what_is_excluded_takes_along_what_it_alone_needs(self) -> None:
        assert self.chosen("app", exclude=("d*",)) == ["app", "libblas3", "libc6", "libgcc", "python3"]
        assert self.chosen("app", exclude=("*",)) == ["app"]

    def test_an_alternative_that_is_only_provided(self) -> None:
        """Of virtual alternatives the first provider is taken that is not excluded."""
        assert self.chosen("viewer") == ["gawk", "viewer"]
        assert self.chosen("viewer", exclude=("gawk",)) == ["mawk", "viewer"]

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("nothing", "this suite has no package 'nothing'"),
            ("awk", "'awk' is not a package; name one that provides it: gawk, mawk"),
            (
                "lost",
                "lost depends on no-such, which this suite does not have; if you do not need it, --exclude it",
            ),
        ],
    )
    def test_what_is_not_there(self, name: str, told: str) -> None:
        with pytest.raises(MlscopeError) as caught:
            self.chosen(name)
        assert str(caught.value) == told


class TestIndex:
    def test_from_archive_to_lock(self, archive: ToyArchive) -> None:
        """Archives that lack the suite are passed over, and still come into the lock."""
        archive.add("app", {}, fields="Pre-Depends: lib\nDepends: libc6\n")
        archive.add("lib", {})
        archive.add("other", {})
        archive.publish()
        absent = f"{archive.url}/absent"
        lock = make_debian_lock(
            "toybox", "x86_64", ["app"], exclude=["libc6"], archives=[absent, archive.url], fetch=fetch
        )
        assert (lock.suite, lock.architecture, lock.archives) == ("toybox", "amd64", (absent, archive.url))
        assert lock.packages == tuple(archive.packages[:2])

    def test_the_day_of_the_suite(self, archive: ToyArchive) -> None:
        """The snapshot is one day after the date in the Release file."""
        archive.add("app", {})
        archive.publish()
        assert read_index(archive.url, "toybox", "amd64", fetch=fetch).snapshot == "20250810T091630Z"

    def test_another_architecture(self, archive: ToyArchive) -> None:
        archive.add("app", {})
        archive.publish()
        with pytest.raises(MlscopeError, match=r"/dists/toybox: has nothing for arm64; it has: amd64$"):
            make_debian_lock("toybox", "aarch64", ["app"], archives=[archive.url], fetch=fetch)
        with pytest.raises(MlscopeError, match="no architecture 'vax'; allowed: x86_64, aarch64, ppc64le"):
            make_debian_lock("toybox", "vax", ["app"], archives=[archive.url], fetch=fetch)

    def test_an_index_that_is_not_the_stated_one(self, archive: ToyArchive) -> None:
        archive.add("app", {})
        archive.publish()
        path = archive.folder / "dists/toybox/main/binary-amd64/Packages.xz"
        path.write_bytes(path.read_bytes() + b"\0")
        with pytest.raises(MlscopeError, match="its sha256 is not the one in"):
            make_debian_lock("toybox", "amd64", ["app"], archives=[archive.url], fetch=fetch)

    def test_no_such_suite(self, archive: ToyArchive) -> None:
        with pytest.raises(MlscopeError, match=r"/dists/toybox/Release: cannot be downloaded: No such file"):
            make_debian_lock("toybox", "amd64", ["app"], archives=[archive.url], fetch=fetch)


class TestDownload:
    def get(self, lock: DebianLock, home: Path) -> list[bytes]:
        return [path.read_bytes() for path in download_packages(lock, home=home, recorder=SILENT)]

    def test_once(self, archive: ToyArchive, home: Path) -> None:
        """What was downloaded stays in the cache: the archive may lose it afterwards."""
        package = archive.add("app", {"usr/a": "a"})
        path = archive.folder / package.path
        content = path.read_bytes()
        assert self.get(archive.lock(), home) == [content]
        path.unlink()
        assert self.get(archive.lock(), home) == [content]

    def test_a_spoiled_cache_is_filled_again(self, archive: ToyArchive, home: Path) -> None:
        archive.add("app", {"usr/a": "a"})
        (path,) = download_packages(archive.lock(), home=home, recorder=SILENT)
        content = path.read_bytes()
        path.write_bytes(b"x" * len(content))
        assert self.get(archive.lock(), home) == [content]

    @pytest.mark.parametrize("left", [b"", b"!<ar", b"something else", b"x" * 10_000])
    def test_what_an_interrupted_download_left(self, archive: ToyArchive, home: Path, left: bytes) -> None:
        """Whatever the left-over holds, the whole package comes of it, and no left-over stays."""
        package = archive.add("app", {"usr/a": "a"})
        folder = home / "artifacts" / "debian"
        folder.mkdir(parents=True)
        (folder / f"{package.sha256}.part").write_bytes(left)
        assert self.get(archive.lock(), home) == [(archive.folder / package.path).read_bytes()]
        assert not list(folder.glob("*.part"))

    def test_the_next_archive_where_one_has_it_not_or_another(
        self, archive: ToyArchive, home: Path, tmp_path: Path
    ) -> None:
        package = archive.add("app", {"usr/a": "a"})
        content = (archive.folder / package.path).read_bytes()
        wrong = ToyArchive(tmp_path / "wrong")
        wrong.add("app", {"usr/a": "b"})
        urls = ("file:///nonexistent", "gopher://old", wrong.url, archive.url)
        assert self.get(archive.lock(*urls), home) == [content]
        with pytest.raises(EnvironmentCreationError) as caught:
            download_packages(archive.lock(*urls[:3]), home=home / "other", recorder=SILENT)
        first, *reasons = str(caught.value).split("; ")
        assert first.startswith("the Debian package app 1.0-1 is not available: file:///nonexistent/pool/")
        assert reasons[0].endswith("not one of http://, https://, file://")
        assert reasons[1].endswith("has another sha256")

    def test_an_interrupted_download_goes_on(self, archive: ToyArchive, home: Path) -> None:
        """The rest alone is asked for, by a Range header."""
        package = archive.add("app", {"usr/a": os.urandom(5000)})
        content = (archive.folder / package.path).read_bytes()
        asked: list[str | None] = []

        class Server(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.headers["Range"])
                start = int((self.headers["Range"] or "bytes=0-")[6:-1])
                self.send_response(206 if start else 200)
                self.end_headers()
                self.wfile.write(content[start:])

            def log_message(self, *_: object) -> None:
                pass

        folder = home / "artifacts" / "debian"
        folder.mkdir(parents=True)
        (folder / f"{package.sha256}.part").write_bytes(content[:3000])
        with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            assert self.get(archive.lock(f"http://127.0.0.1:{server.server_port}"), home) == [content]
            server.shutdown()
        assert asked == ["bytes=3000-"]

    def test_an_archive_may_ask_for_a_password(self, archive: ToyArchive, home: Path) -> None:
        """It stands in the archive's URL, as apt takes it."""
        package = archive.add("app", {})
        content = (archive.folder / package.path).read_bytes()
        wanted = "Basic " + base64.b64encode(b"me:p@ss").decode()

        class Server(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.headers["Authorization"] == wanted else 401)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            place = f"127.0.0.1:{server.server_port}"
            with pytest.raises(EnvironmentCreationError, match=rf"http://\*\*\*@{place}/\S+: the server answered 401$"):
                download_packages(archive.lock(f"http://me:wrong@{place}"), home=home, recorder=SILENT)
            assert self.get(archive.lock(f"http://me:p%40ss@{place}"), home) == [content]
            server.shutdown()

    def test_no_network(self, archive: ToyArchive, home: Path) -> None:
        """The last reason of all archives stands in the message."""
        archive.add("app", {})
        with pytest.raises(EnvironmentCreationError, match=r"app_1\.0-1_amd64\.deb: Connection refused$"):
            download_packages(archive.lock("http://127.0.0.1:9/debian"), home=home, recorder=SILENT)

    def test_a_full_disk(self, archive: ToyArchive, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message says what to do, not only that there is no space."""

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        archive.add("app", {})
        monkeypatch.setattr(debian_download, "_receive", full)
        with pytest.raises(EnvironmentCreationError, match=r"cannot be written: No space left on device: free some"):
            download_packages(archive.lock(), home=home, recorder=SILENT)


Unpack = Callable[..., Path]


@pytest.fixture
def unpacked(tmp_path: Path) -> Iterator[Unpack]:
    """Unpack packages of these files into one root; nothing outside it is touched."""
    root = tmp_path / "env" / "debian"
    (tmp_path / "env").mkdir()
    (tmp_path / "outside").write_text("outside")
    prepare_root(root)

    def unpack_all(*contents: Mapping[str, Content] | bytes, compression: str = "xz") -> Path:
        for number, content in enumerate(contents):
            path = tmp_path / f"{number}.deb"
            path.write_bytes(content if isinstance(content, bytes) else deb(content, compression=compression))
            unpack(path, root, name="toy")
        return root

    yield unpack_all
    assert (tmp_path / "outside").read_text() == "outside"
    assert {path.name for path in tmp_path.iterdir()} <= {"env", "outside", "0.deb", "1.deb"}
    assert [path.name for path in (tmp_path / "env").iterdir()] == ["debian"]


class TestUnpacking:
    @pytest.mark.parametrize("compression", ["xz", "gz", "bz2", ""])
    def test_files(self, unpacked: Unpack, compression: str) -> None:
        """Contents and the executable bit are kept, in every compression."""
        root = unpacked({"usr/": "", "usr/bin/": "", "usr/bin/app": "#!", "usr/lib/a": b"\0"}, compression=compression)
        assert (root / "usr/bin/app").read_text() == "#!"
        assert os.access(root / "usr/bin/app", os.X_OK)
        assert not os.access(root / "usr/lib/a", os.X_OK)

    def test_zstd_without_a_library_for_it(self, unpacked: Unpack, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("compression.zstd", "zstandard"):
            monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(EnvironmentCreationError, match=r"which Python reads from 3\.14 on; pip install zstandard$"):
            unpacked(ar({"data.tar.zst": b""}))

    def test_a_merged_usr(self, unpacked: Unpack) -> None:
        """Whichever way a package has it, and its links lead where they were meant to."""
        root = unpacked(
            {
                "lib/": "",
                "lib/x/libc-2.so": "c",
                "lib/x/libc.so": ("link", "libc-2.so"),
                "lib64/loader": ("link", "/lib/x/libc-2.so"),
                "lib/x/up.so": ("link", "../../usr/share/a"),
                "usr/share/a": "a",
            },
            {"usr/lib/x/libm.so": ("link", "/lib/x/libc.so"), "usr/lib/y": ("link", "x")},
        )
        assert {(root / name).read_text() for name in ("lib/x/libc.so", "usr/lib/x/libm.so", "lib64/loader")} == {"c"}
        assert (root / "lib/x/up.so").read_text() == "a"
        assert not (root / "lib64/loader").readlink().is_absolute()
        assert (root / "usr/lib/y/libm.so").read_text() == "c"

    def test_a_file_in_place_of_an_earlier_one(self, unpacked: Unpack) -> None:
        root = unpacked({"etc/a": "1", "etc/b": ("link", "a")}, {"etc/a": "2", "etc/b": "3"})
        assert [(root / "etc" / name).read_text() for name in "ab"] == ["2", "3"]

    def test_hard_links(self, unpacked: Unpack) -> None:
        """A hard link finds its source where merging /usr has put it."""
        root = unpacked({"lib/a": "a", "usr/b": ("hardlink", "./lib/a")})
        assert (root / "usr/b").samefile(root / "usr/lib/a")

    def test_what_nobody_reads_here_is_left_out(self, unpacked: Unpack) -> None:
        root = unpacked({"usr/share/doc/a/README": "r", "usr/share/doc/a/copyright": "c", "usr/share/man/m": "m"})
        assert [path.name for path in (root / "usr/share").rglob("*") if path.is_file()] == ["copyright"]

    @pytest.mark.parametrize(
        "files",
        [
            {"../outside": "x"},
            {"usr/../../../outside": "x"},
            {"usr/a": ("link", "../../../outside")},
            {"usr/a": ("hardlink", "../../outside")},
        ],
    )
    def test_nothing_leads_outside(self, unpacked: Unpack, files: dict[str, Content]) -> None:
        with pytest.raises(EnvironmentCreationError, match=r"the Debian package toy cannot be unpacked: .* outside"):
            unpacked(files)

    def test_links_through_links_stay_inside(self, unpacked: Unpack) -> None:
        """By name the second leads to the root; from where it really stands, those three steps would leave it."""
        root = unpacked({"usr/a/b": ("link", ".."), "usr/a/b/c": ("link", "../../.."), "usr/c/outside": "x"})
        assert (root / "outside").read_text() == "x"

    def test_an_absolute_path_is_one_inside(self, unpacked: Unpack, tmp_path: Path) -> None:
        """Absolute paths are of the root that is unpacked, never of the machine."""
        root = unpacked({f"{tmp_path}/outside": "x", "usr/a": ("link", f"{tmp_path}/outside")})
        assert (root / "usr/a").read_text() == "x"

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "not an ar archive"),
            (b"PK\3\4", "not an ar archive"),
            (ar({"debian-binary": b"2.0\n"}), "no data in it"),
            (ar({"data.tar.rar": b""}), "an unknown compression, data.tar.rar"),
            (ar({"data.tar.xz": b"nonsense"}), ""),
            (ar({"data.tar.gz": tar({"a": b"a" * 1000}, compression="gz")[:-30]}), ""),
            (ar({"data.tar": b""})[:40], "a broken ar archive"),
        ],
        # An archive holds the second it was made in: as an id, every worker would have its own.
        ids=["nothing", "zip", "no data", "rar", "no xz", "gz cut short", "ar cut short"],
    )
    def test_what_is_no_package(self, unpacked: Unpack, content: bytes, told: str) -> None:
        with pytest.raises(EnvironmentCreationError) as caught:
            unpacked(content)
        assert str(caught.value).startswith(f"the Debian package toy cannot be unpacked: {told}")
