"""Each framework with the perceptron loaded in its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.host.predictor import Predictor
from tests.frameworks.perceptron_models import (
    BUILDERS,
    CLASSES,
    FEATURES,
    FRAMEWORKS,
    HIDDEN,
    MODULES,
    Array,
    Perceptron,
    Subject,
    import_predictor,
)


@pytest.fixture(scope="session")
def perceptron() -> Perceptron:
    random = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        return random.standard_normal(shape, dtype=np.float32)

    return Perceptron(draw(FEATURES, HIDDEN), draw(HIDDEN), draw(HIDDEN, CLASSES), draw(CLASSES))


@pytest.fixture(scope="session")
def batch() -> Callable[[int], Array]:
    def draw(size: int) -> Array:
        return np.random.default_rng(size).standard_normal((size, FEATURES), dtype=np.float32)

    return draw


@pytest.fixture(scope="session")
def subject_of(perceptron: Perceptron, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    """The framework by that name; skips where this interpreter lacks it or has a version it does not take."""
    subjects: dict[str, Subject] = {}

    def make(name: str) -> Subject:
        if name not in subjects:
            pytest.importorskip(MODULES.get(name, name))
            module = import_predictor(name)
            predictor: Predictor = module.FrameworkPredictor()
            folder = FrameworkFolder(FRAMEWORKS / name)
            if not folder.accepts(predictor.version().split("+")[0]):
                pytest.skip(f"{name} {predictor.version()} is not {folder.description.version}")
            files = BUILDERS[name](perceptron, tmp_path_factory.mktemp(name))
            subjects[name] = Subject(name, predictor, module, files, folder.description.devices)
        return subjects[name]

    return make


@pytest.fixture
def release(subject_of: Callable[[str], Subject]) -> Iterator[Callable[[str], Subject]]:
    """As ``subject_of``, unloading afterwards what the test loaded."""
    used: list[Subject] = []

    def make(name: str) -> Subject:
        used.append(subject_of(name))
        return used[-1]

    yield make
    for subject in used:
        while subject.loaded:
            subject.loaded.pop().unload()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Predictors in environments of their own take minutes: they are tried where frameworks are asked for."""
    asked = config.getoption("no_skips") or "frameworks" in config.getoption("markexpr")
    if asked or any("frameworks" in argument for argument in config.args):
        return
    skip = pytest.mark.skip(reason="takes minutes; runs with -m frameworks, and in tox -e frameworks")
    for item in items:
        module = vars(getattr(item, "module", None) or object)
        if item.path.parent.name == "frameworks" and {"Hosted", "HostedDigits", "environment_or_skip"} & module.keys():
            item.add_marker(skip)
