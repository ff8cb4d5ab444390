"""What a tool or an archive says of a URL goes to terminals and reports without its secrets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_mlscope.environments.child_output import run_tool
from pytest_mlscope.environments.debian.download import download_packages, fetch
from pytest_mlscope.environments.debian.lock import DebianLock, DebianPackage
from pytest_mlscope.environments.debian.locking import make_debian_lock
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.recorder import SILENT

PASSWORD = "hunter2secret"
INDEX = f"https://me:{PASSWORD}@pypi.example.com/simple?token={PASSWORD}"


@pytest.mark.parametrize("says", [INDEX, f"looking in {INDEX}, found nothing", f"401: {PASSWORD} is not valid"])
def test_tools_repeat_no_password(says: str, tmp_path: Path) -> None:
    lines: list[str] = []
    ran = run_tool(
        [sys.executable, "-c", f"print({says!r})"],
        folder=tmp_path,
        variables={**os.environ, "UV_INDEX": f"https://x.example.com {INDEX}"},
        line=lines.append,
    )
    assert ran.returncode == 0
    assert "***" in lines[0]
    assert PASSWORD not in "\n".join([*lines, *ran.tail])


def test_archives_have_no_password_in_messages(tmp_path: Path) -> None:
    archive = f"file://me:{PASSWORD}@/nonexistent"
    with pytest.raises(MlscopeError) as caught:
        fetch(f"{archive}/dists/x/Release?key={PASSWORD}")
    assert PASSWORD not in str(caught.value)
    with pytest.raises(MlscopeError) as caught:
        make_debian_lock("x", "x86_64", ["app"], archives=[archive], fetch=fetch)
    assert PASSWORD not in str(caught.value)
    package = DebianPackage(name="app", version="1", path="pool/app.deb", size=1, sha256="0" * 64)
    with pytest.raises(MlscopeError) as caught:
        download_packages(DebianLock((archive,), "x", "amd64", (package,)), home=tmp_path, recorder=SILENT)
    assert "app 1 is not available: file://***@/nonexistent/pool/app.deb" in str(caught.value)
