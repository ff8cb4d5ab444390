"""A Debian archive of a few tiny packages in a folder, written by hand as deb(5) and the repository format have it."""

from __future__ import annotations

import hashlib
import io
import lzma
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_mlscope.environments.debian.lock import DebianLock, DebianPackage, format_debian_lock

Content = str | bytes | tuple[str, str]
"""A file's content, or ``("link", target)``, or ``("hardlink", target)``."""

# Stands in for the dynamic loader: drops its own options and runs the program.
LOADER = '#!/bin/sh\n[ "$1" = --inhibit-cache ] && [ "$2" = --library-path ] || exit 99\nshift 3\nexec "$@"\n'


def ar(members: Mapping[str, bytes]) -> bytes:
    """An ``ar`` archive."""
    content = b"!<arch>\n"
    for name, data in members.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        content += b"\n" * (len(data) % 2)
    return content


def tar(files: Mapping[str, Content], *, compression: str = "xz") -> bytes:
    """A tar of files; names that end in ``/`` are folders."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}" if not name.startswith(("/", ".")) else name)
            member.mode = 0o755 if "bin/" in name or "lib64/" in name else 0o644
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            elif isinstance(content, tuple):
                member.type = tarfile.SYMTYPE if content[0] == "link" else tarfile.LNKTYPE
                member.linkname = content[1]
                archive.addfile(member)
            else:
                data = content.encode() if isinstance(content, str) else content
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def deb(files: Mapping[str, Content], *, compression: str = "xz") -> bytes:
    """A package with these files."""
    suffix = f".{compression}" if compression else ""
    return ar(
        {
            "debian-binary": b"2.0\n",
            "control.tar.xz": tar({"control": "Package: toy\n"}),
            f"data.tar{suffix}": tar(files, compression=compression),
        }
    )


@dataclass
class ToyArchive:
    """An archive, by ``file://`` or any server of its folder."""

    folder: Path
    packages: list[DebianPackage] = field(default_factory=list)
    stanzas: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def add(
        self, name: str, files: Mapping[str, Content], *, version: str = "1.0-1", fields: str = ""
    ) -> DebianPackage:
        data = deb(files)
        path = f"pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb"
        (self.folder / path).parent.mkdir(parents=True)
        (self.folder / path).write_bytes(data)
        package = DebianPackage(name, version, hashlib.sha256(data).hexdigest(), len(data), path)
        self.packages.append(package)
        self.stanzas.append(
            f"Package: {name}\nVersion: {version}\nDescription: a toy\n that goes on\nFilename: {path}\n"
            f"Size: {len(data)}\nSHA256: {package.sha256}\n{fields}"
        )
        return package

    def publish(self, suite: str = "toybox") -> None:
        """Write the index of what was added."""
        index = lzma.compress("\n".join(self.stanzas).encode())
        folder = self.folder / "dists" / suite / "main" / "binary-amd64"
        folder.mkdir(parents=True)
        (folder / "Packages.xz").write_bytes(index)
        (self.folder / "dists" / suite / "Release").write_text(
            "Origin: Toy\nDate: Sat, 09 Aug 2025 09:16:30 UTC\nSHA256:\n"
            f" {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-amd64/Packages.xz\n"
        )

    def lock(self, *archives: str) -> DebianLock:
        """Of all that was added."""
        return DebianLock(archives or (self.url,), "toybox", "amd64", tuple(self.packages))

    def write_lock(self, path: Path, *, comments: Sequence[str] = ()) -> None:
        path.write_text(format_debian_lock(self.lock(), comments=comments), "utf-8")

    def add_python(self, series: str) -> None:
        """Packages that look like a C library and a Python, which is the one that runs the tests."""
        self.add("libc6", {"lib64/ld-linux-x86-64.so.2": LOADER}, version="2.31-13")
        python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
        self.add(f"python{series}-minimal", {f"usr/bin/python{series}": python}, version=f"{series}.2-1")
