"""Every shipped component is documented, and what the documents show works."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_mlscope.components.datasets import SHIPPED_DATASETS
from pytest_mlscope.components.metrics import SHIPPED_METRICS
from pytest_mlscope.components.parameters import Component
from pytest_mlscope.components.postprocessing import SHIPPED_POSTPROCESSING_STEPS
from pytest_mlscope.components.preprocessing import SHIPPED_PREPROCESSING_STEPS
from pytest_mlscope.components.profilers import SHIPPED_PROFILERS
from pytest_mlscope.components.profilers.base import MeasuredWindow
from pytest_mlscope.measurements.latency.scenarios import SHIPPED_SCENARIOS

_DOCS = Path(__file__).parents[2] / "docs"
_SHIPPED: list[tuple[str, type[Component]]] = [
    *(("datasets", component) for component in SHIPPED_DATASETS),
    *(("preprocessing", component) for component in (*SHIPPED_PREPROCESSING_STEPS, *SHIPPED_POSTPROCESSING_STEPS)),
    *(("metrics", component) for component in SHIPPED_METRICS),
    *(("scenarios", component) for component in SHIPPED_SCENARIOS),
]


def _section(page: str, name: str) -> str:
    """The text under the heading with the component's name."""
    text = (_DOCS / f"{page}.md").read_text("utf-8")
    match = re.search(rf"^#+ `{name}`$(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    assert match, f"docs/{page}.md has no heading `{name}`"
    return match[1]


@pytest.mark.parametrize(("page", "component"), _SHIPPED, ids=lambda value: getattr(value, "name", ""))
def test_every_parameter_is_documented_and_no_other(page: str, component: type[Component]) -> None:
    cells = re.findall(r"^\| (`.*?) \|", _section(page, component.name), re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented == {field.alias or name for name, field in component.model_fields.items()}


@pytest.mark.parametrize("component", [component for _, component in _SHIPPED], ids=lambda each: each.name)
def test_every_component_says_what_it_does(component: type[Component]) -> None:
    assert component.__doc__
    assert component.__doc__ != Component.__doc__


@pytest.mark.parametrize("profiler", SHIPPED_PROFILERS, ids=lambda each: each.name)
def test_every_reading_is_documented_with_its_unit(profiler: Any) -> None:
    watched = profiler()
    watched.start(MeasuredWindow(host_pid=2**22 + 1, hardware="cuda", device="cuda:0", case_id="x"))
    readings = watched.stop()
    section = _section("profilers", profiler.name)
    assert readings
    for reading in readings:
        row = re.search(rf"^\|.*`{reading.name}`.*?\|(.*?)\|", section, re.MULTILINE)
        assert row, f"reading {reading.name!r} is not documented"
        assert row[1].strip() == reading.unit


def _blocks(page: str) -> Iterator[str]:
    text = (_DOCS / f"{page}.md").read_text("utf-8")
    for block in re.findall(r"(?:^    .*\n|^\n+(?=    ))+", text, re.MULTILINE):
        yield textwrap.dedent(block).strip("\n")


def test_every_example_of_a_dataset_or_step_is_valid() -> None:
    checked = 0
    datasets = {component.name: component for component in SHIPPED_DATASETS}
    steps = {component.name: component for _, component in _SHIPPED if component not in SHIPPED_DATASETS}
    for block in [*_blocks("datasets"), *_blocks("preprocessing")]:
        if "import pytest" in block:
            continue
        content = yaml.safe_load(block)
        if "dataset" in content:
            common = {"source", "rows", "sample", "inputs", "label"}
            parameters = {key: value for key, value in content["dataset"].items() if key not in common}
            datasets[content["dataset"]["source"]](**parameters)
            checked += 1
        for tensor in [*content.get("inputs", ()), *content.get("outputs", ())]:
            for step in [*tensor.get("preprocess", ()), *tensor.get("postprocess", ())]:
                steps[step.pop("step")](**step)
                checked += 1
    assert checked >= 16


@pytest.mark.parametrize("page", ["datasets", "preprocessing", "metrics", "profilers"])
def test_the_example_of_a_component_of_ones_own_registers_it(page: str) -> None:
    conftest = next(block for block in _blocks(page) if "import pytest" in block)
    namespace: dict[str, Any] = {}
    exec(compile(conftest, f"{page}.md", "exec", dont_inherit=True), namespace)
    hook = next(name for name in namespace if name.startswith("pytest_mlscope_register_"))
    (component,) = namespace[hook]()
    assert component.name


@pytest.mark.parametrize("room", ["datasets", "preprocessing", "postprocessing", "metrics", "profilers"])
def test_importing_components_imports_no_optional_library(room: str) -> None:
    """They are imported at collection, in every process."""
    code = (
        f"import sys, pytest_mlscope.components.{room}; "
        "print([name for name in 'sklearn PIL cv2 pyarrow pynvml psutil onnx'.split() if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
