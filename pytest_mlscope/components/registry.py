"""Everything hooks registered, by name. Built anew whenever the set of plugins changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mlscope.components.datasets.base import Dataset
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.hardware import HardwareFile, HardwareTarget
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.components.measurement import Bounds, Measurement
from pytest_mlscope.components.metrics.base import Metric
from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.profilers.base import Profiler
from pytest_mlscope.components.scenario import Scenario
from pytest_mlscope.errors import MlscopeError

if TYPE_CHECKING:
    from pluggy import HookRelay

T = TypeVar("T")
_NOT_FOR_KINDS = frozenset(
    {"errors", "throughput", "peak_memory", "load_time", "test", "framework", "hardware", "mlscope_cases", "readings"}
    | {"parametrize", "skip", "skipif", "xfail", "usefixtures", "filterwarnings", "tryfirst", "trylast"}
)
"""Marks and keys of a manifest that a kind of measurement would share."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Registry:
    """Components by the name manifests and options use. A later registration replaces an earlier one."""

    frameworks: Mapping[str, FrameworkFolder] = field(default_factory=dict)
    hardware_targets: HardwareTargets = field(default_factory=lambda: HardwareTargets({}))
    datasets: Mapping[str, type[Dataset]] = field(default_factory=dict)
    metrics: Mapping[str, type[Metric]] = field(default_factory=dict)
    preprocessing_steps: Mapping[str, type[PreprocessingStep]] = field(default_factory=dict)
    postprocessing_steps: Mapping[str, type[PostprocessingStep]] = field(default_factory=dict)
    profilers: Mapping[str, type[Profiler]] = field(default_factory=dict)
    scenarios: Mapping[str, type[Scenario]] = field(default_factory=dict)
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    """Those of the package first."""


def named_components(
    results: Iterable[Iterable[T]], expected: type[Any] | tuple[type[Any], ...], what: str, *, unique: bool = False
) -> dict[str, T]:
    """What implementations of one registering hook returned, by name.

    :param expected: the class or classes; errors name the first.
    :param what: the last part of the hook's name.
    :param unique: whether a name stands for one thing in every manifest and report, so that none may be replaced.
    :raises MlscopeError: when one returned something else than a list of what is expected, a class lacks a method, or
        a name is taken.
    """
    # pluggy calls the last-registered plugin first; the nearest conftest must win over what is built in.
    components: dict[str, T] = {}
    for result in results:
        if not isinstance(result, list | tuple):
            raise MlscopeError(f"pytest_mlscope_register_{what}: returned {result!r}; expected a list")
        for component in result:
            is_right = (
                issubclass(component, expected) if isinstance(component, type) else isinstance(component, expected)
            )
            if not is_right:
                first = expected[0] if isinstance(expected, tuple) else expected
                raise MlscopeError(
                    f"pytest_mlscope_register_{what}: returned {component!r}; expected {first.__name__}s"
                )
            name = getattr(component, "name", None)
            if not isinstance(name, str) or not name:
                raise MlscopeError(f"pytest_mlscope_register_{what}: {component!r} has no name")
            # Said at collection; Python itself would say it only when an object is made, in the middle of a run.
            missing = sorted(getattr(component, "__abstractmethods__", ()))
            if missing:
                kind = component.__name__ if isinstance(component, type) else type(component).__name__
                raise MlscopeError(
                    f"pytest_mlscope_register_{what}: {kind} lacks the method {', '.join(missing)}; add it to the class"
                )
            if unique:
                _check_name(name, component, components.get(name), what)
            components.setdefault(name, component)
    return dict(sorted(components.items()))


def _check_name(name: str, component: object, later: object | None, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise MlscopeError(
            f"pytest_mlscope_register_{what}: {component!r} has the name {name!r}; allowed: lower-case letters, digits "
            "and '_', a letter first"
        )
    if later is not None and later is not component:
        raise MlscopeError(
            f"pytest_mlscope_register_{what}: the name {name!r} of {later!r} is taken by {component!r}; choose another"
        )


def _check_attributes(measurement: Measurement) -> None:
    bounds = measurement.bounds
    wants = {
        "times": ("True or False", isinstance(measurement.times, bool)),
        "ignores": ("a tuple of names of dimensions", isinstance(measurement.ignores, tuple)),
        "columns": ("a tuple or list of MeasuredColumns", isinstance(measurement.columns, tuple | list)),
        "bounds": ("a class derived from Bounds", bounds is None or _is_bounds(bounds)),
    }
    for name, (expected, is_right) in wants.items():
        if not is_right:
            raise MlscopeError(
                f"pytest_mlscope_register_measurements: {type(measurement).__name__} has "
                f"{name}={getattr(measurement, name)!r:.80}; expected {expected}"
            )


def _is_bounds(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Bounds)


def _measurements(results: Iterable[Iterable[Measurement]]) -> dict[str, Measurement]:
    # They are walked through twice.
    results = list(results)
    measurements: dict[str, Measurement] = named_components(results, Measurement, "measurements", unique=True)
    for name, measurement in measurements.items():
        # Unlike the other components these are objects; the class itself is the likeliest slip.
        if isinstance(measurement, type):
            raise MlscopeError(
                f"pytest_mlscope_register_measurements: returned the class {measurement.__name__}; expected an object: "
                f"{measurement.__name__}()"
            )
        if name in _NOT_FOR_KINDS:
            raise MlscopeError(
                f"pytest_mlscope_register_measurements: the name {name!r} has another meaning; choose another"
            )
        _check_attributes(measurement)
    # Tests come in this order: those of the package, which register last, as it lists them.
    names = [each.name for result in reversed(results) for each in result]
    return {name: measurements[name] for name in names}


def build_registry(hook: HookRelay, *, project: Path | None) -> Registry:
    """Ask every plugin and conftest what it registers.

    :param hook: the hook relay or the path-specific proxy of it.
    :param project: the user's project root, whose asset folders come first.
    :raises MlscopeError: when a hook returns something else than it should.
    """
    frameworks = hook.pytest_mlscope_register_frameworks(project=project)
    registered = hook.pytest_mlscope_register_hardware_targets(project=project)
    targets = named_components(registered, (HardwareTarget, HardwareFile), "hardware_targets")
    preprocessing = hook.pytest_mlscope_register_preprocessing_steps()
    postprocessing = hook.pytest_mlscope_register_postprocessing_steps()
    return Registry(
        frameworks=named_components(frameworks, FrameworkFolder, "frameworks"),
        hardware_targets=HardwareTargets(targets),
        datasets=named_components(hook.pytest_mlscope_register_datasets(), Dataset, "datasets"),
        metrics=named_components(hook.pytest_mlscope_register_metrics(), Metric, "metrics"),
        preprocessing_steps=named_components(preprocessing, PreprocessingStep, "preprocessing_steps"),
        postprocessing_steps=named_components(postprocessing, PostprocessingStep, "postprocessing_steps"),
        profilers=named_components(hook.pytest_mlscope_register_profilers(), Profiler, "profilers"),
        measurements=_measurements(hook.pytest_mlscope_register_measurements()),
        scenarios=named_components(hook.pytest_mlscope_register_scenarios(), Scenario, "scenarios", unique=True),
    )
