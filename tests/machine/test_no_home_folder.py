"""A user who has no home folder, as in a container that runs under a number."""

from __future__ import annotations

import pwd

import pytest

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine.cache_folder import cache_home, expanded


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise KeyError("no such user")

    for variable in ("HOME", "XDG_CACHE_HOME", "MLSCOPE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_the_cache_needs_a_folder() -> None:
    """A container's unknown user gets one line that names the variable to set."""
    with pytest.raises(MlscopeError) as caught:
        cache_home()
    assert str(caught.value) == "this user has no home folder; set MLSCOPE_HOME to a folder for the cache"


def test_a_tilde_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLSCOPE_HOME", "~/cache")
    with pytest.raises(MlscopeError, match="write an absolute path without '~'"):
        cache_home()
    assert str(expanded("/a/b")) == "/a/b"
