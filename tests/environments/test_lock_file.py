"""What is read from a requirements lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.environments import pip_configuration
from pytest_mlscope.environments.interpreters import how_to_get, python_fits
from pytest_mlscope.environments.lock_file import locked_version, requirements_in
from pytest_mlscope.environments.pip_configuration import uv_variables
from tests.environments.toy_framework import MakeFramework

names = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5})?", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}(\+cpu)?", fullmatch=True)
endings = st.sampled_from(["", " # a comment", " ; python_version > '3'", f" \\\n    --hash=sha256:{'0' * 64}", "   "])
noise = st.sampled_from(["", "# a comment", "--index-url https://example.com", "-f https://example.com", "./x.whl"])


@pytest.mark.slow
@given(st.dictionaries(names, st.tuples(versions, endings, noise), min_size=1, max_size=8))
def test_every_pin_is_read(pins: dict[str, tuple[str, str, str]]) -> None:
    """Whatever comments, options, hashes and markers stand around it: a pin that is not seen would make
    ``mlscope env create`` the advice for a version that it does not bring."""
    text = "".join(f"{other}\n{name}=={version}{end}\n" for name, (version, end, other) in pins.items())
    read = {requirement.name: str(requirement.specifier) for requirement in requirements_in(text)}
    assert read == {name: f"=={version}" for name, (version, _, _) in pins.items()}


def test_the_frameworks_version(make_framework: MakeFramework) -> None:
    """Only a pin by == counts, of the distribution named first, for the Python that runs."""
    assert locked_version(make_framework(name="a", lock="Toy_Framework==2\n", distributions="[toy-framework]")) == "2"
    assert locked_version(make_framework(name="b", lock="toyframework>=2\n")) is None
    assert locked_version(make_framework(name="c", lock=None)) is None
    markers = "toyframework==1 ; python_version < '3.8'\ntoyframework==2 ; python_version >= '3.8'\n"
    assert locked_version(make_framework(name="d", lock=markers)) == "2"
    both = make_framework(name="e", lock="b==1\na==2\n", distributions="[a, b]")
    assert locked_version(both) == "2"


@pytest.mark.parametrize(
    ("python", "command"),
    [
        (">=3.6,<3.7", "uv python install 3.6"),
        ("==3.9.18", "uv python install 3.9.18"),
        (">=3.11", "uv python install 3.11"),
        ("<3", "uv python install VERSION"),
    ],
)
def test_how_to_get_an_interpreter(python: str, command: str) -> None:
    assert how_to_get(python) == command


def test_which_python_fits() -> None:
    """Debian's and self-built interpreters call themselves ``3.11.2+``; release candidates count as the release."""
    assert python_fits("3.11.2+", ">=3.11,<3.12")
    assert python_fits("3.14.0rc1", ">=3.11")
    assert python_fits("2.7.18", "*")
    assert not python_fits("3.12.0", "<3.12")


def test_what_pip_was_told_in_uvs_words() -> None:
    pip = {
        "find-links": "/a /b",
        "index-url": "https://i",
        "extra-index-url": "https://x https://y",
        "trusted-host": "i",
        "timeout": "9",
        "proxy": "http://p",
        "cert": "/c.pem",
    }
    assert uv_variables(pip, {}) == {
        "UV_FIND_LINKS": "/a,/b",
        "UV_DEFAULT_INDEX": "https://i",
        "UV_INDEX": "https://x https://y",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "i",
        "UV_HTTP_TIMEOUT": "9",
        "HTTPS_PROXY": "http://p",
        "HTTP_PROXY": "http://p",
        "SSL_CERT_FILE": "/c.pem",
    }


def test_what_uv_was_told_itself_stands() -> None:
    pip = {"index-url": "https://i", "find-links": "/a", "proxy": "http://p"}
    assert uv_variables(pip, {"UV_INDEX_URL": "", "UV_FIND_LINKS": "", "https_proxy": "", "HTTP_PROXY": ""}) == {}


@pytest.fixture
def _pip_asked_anew() -> Iterator[None]:
    """What pip says of its configuration files is remembered for the process."""
    pip_configuration.pip_config_list.cache_clear()
    yield
    pip_configuration.pip_config_list.cache_clear()


@pytest.mark.usefixtures("_pip_asked_anew")
def test_pips_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables come before ``[install]``, which comes before ``[global]``."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://g\nextra-index-url =\n    https://a\n    https://b\n"
        "[install]\nindex-url = https://i\nfind-links = /from/file\n"
    )
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from/variable")
    options = pip_configuration.pip_configuration()
    assert options["index-url"] == "https://i"
    assert options["extra-index-url"] == "https://a https://b"
    assert options["find-links"] == "/from/variable"
