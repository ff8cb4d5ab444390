"""What a project's conftest files register, outside a test run: pytest reads them, and collects nothing."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Collection, Generator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pytest_mlscope.components import Registry, build_registry, raised, raising_hook
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.kinds.plugins import register_shipped


class _Reader:
    """A plugin that asks for the registry of each folder in place of collecting."""

    def __init__(self, folders: Collection[Path]) -> None:
        self.failure: MlscopeError | None = None
        self.found: dict[Path, Registry | MlscopeError] = {}
        self._folders = folders

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self) -> Generator[None]:
        try:
            return (yield)
        except Exception as error:  # whatever a conftest raises
            # pytest's own error has the file and what was raised there; its class is not public.
            cause, path = getattr(error, "cause", error), getattr(error, "path", "a conftest.py")
            self.failure = MlscopeError(f"{path}: {raised(cause)}")
            raise

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        register_shipped(config.pluginmanager)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        for folder in self._folders:
            try:
                self.found[folder] = build_registry(session.gethookproxy(folder), project=session.config.rootpath)
            except MlscopeError as error:
                self.found[folder] = error
            except Exception as error:
                self.found[folder] = MlscopeError(f"{raising_hook(error)} {raised(error)}")
        return True


def project_registries(folders: Collection[Path]) -> Mapping[Path, Registry | MlscopeError]:
    """What is registered for manifests of each folder: what is shipped, installed plugins' and the conftest files' that
    apply there. The conftest files are run. An error stands for a folder whose hooks return something wrong.

    :raises MlscopeError: when a conftest cannot be loaded, or pytest cannot read the project's configuration.
    """
    resolved = {folder: folder.resolve() for folder in folders}
    reader = _Reader(list(dict.fromkeys(resolved.values())))
    # The project's own options are for its tests: they may start workers or measure coverage.
    options = ["--collect-only", "--capture=no", "-o", "addopts=", "-p", "mlscope"]
    said = io.StringIO()
    environment = os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        # Older releases of pytest write into the cache even when they only collect.
        with tempfile.TemporaryDirectory() as cache, redirect_stdout(said), redirect_stderr(said):
            folders_only = map(str, dict.fromkeys(resolved.values()))
            pytest.main([*options, "-o", f"cache_dir={cache}", *folders_only], plugins=[reader])
    except SystemExit as error:
        raise MlscopeError(f"a conftest.py {raised(error)}") from error
    finally:
        if environment is not None:
            os.environ["PYTEST_ADDOPTS"] = environment
    if reader.failure is not None:
        raise reader.failure
    if not reader.found:
        why = next((line for line in reversed(said.getvalue().splitlines()) if line.strip()), "it does not say why")
        raise MlscopeError(f"pytest cannot read the project's configuration: {' '.join(why.split())}")
    return {folder: reader.found[path] for folder, path in resolved.items()}
