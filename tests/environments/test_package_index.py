"""Whether the package index answers, asked as pip asks it."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator

import pytest

from pytest_mlscope.environments.package_index import index_answer

WANTED = "Basic " + base64.b64encode(b"me@work:p:ss/word").decode()


class _Index(http.server.BaseHTTPRequestHandler):
    """Answers who gives the password."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers.get("Authorization") == WANTED else 401)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), _Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_name_and_a_password_in_the_url_are_given_and_not_shown(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me%40work:p%3Ass%2Fword@127.0.0.1:{port}/simple")
    assert index_answer() == (f"http://***@127.0.0.1:{port}/simple", None)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me%40work:other@127.0.0.1:{port}/simple")
    assert index_answer() == (f"http://***@127.0.0.1:{port}/simple", "the server answered 401")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@127.0.0.1:1/simple", "http://***@127.0.0.1:1/simple"),
        ("http://me:secret@no such host/simple", "http://***@no such host/simple"),
    ],
)
def test_a_url_that_leads_nowhere_is_a_line_without_its_password(
    url: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    place, reason = index_answer()
    assert place == shown
    assert reason is not None
    assert "secret" not in reason
    assert "\n" not in reason
