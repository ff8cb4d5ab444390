"""Where a parity's tolerance comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope import evaluate
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.measurements.parity.result import Parity
from pytest_mlscope.measurements.parity.tolerance import (
    MOST_FLOORS,
    NOISE_FACTOR,
    Noise,
    floor_epsilons,
    tolerance_from,
)
from tests.plugin.linear_suite import Suite

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
noises = st.floats(0, 1e6)
sizes = st.floats(1e-6, 1e6)
floors = st.sampled_from([floor_epsilons(precision, None) for precision in PRECISIONS])


@given(noises, sizes, floors)
def test_noise_is_allowed_but_not_less_than_the_floor_nor_without_end(noise: float, size: float, floor: float) -> None:
    tolerance = tolerance_from(Noise(noise, size), floor)
    assert floor * size <= tolerance.abs <= MOST_FLOORS * floor * size
    assert tolerance.rel == floor
    assert tolerance.abs >= min(NOISE_FACTOR * noise, MOST_FLOORS * floor * size)


@given(noises, noises, sizes, floors)
def test_more_noise_never_makes_it_tighter(one: float, other: float, size: float, floor: float) -> None:
    less, more = sorted((one, other))
    assert tolerance_from(Noise(less, size), floor).abs <= tolerance_from(Noise(more, size), floor).abs


@given(noises, sizes, floors, st.sampled_from([0.25, 2.0, 1024.0]))
def test_it_scales_with_the_outputs(noise: float, size: float, floor: float, scale: float) -> None:
    one, other = (tolerance_from(Noise(noise * by, size * by), floor).abs for by in (1.0, scale))
    assert other == pytest.approx(one * scale, rel=1e-12)


def test_the_loosest_precision_counts() -> None:
    assert floor_epsilons("framework_default", "int8 and bf16") == floor_epsilons("int8", None)
    assert floor_epsilons("framework_default", "unheard of") == floor_epsilons("fp32", None)
    assert floor_epsilons("fp32", "bf16") < floor_epsilons("fp16", None) < floor_epsilons("bf16", None)


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    return Suite(tmp_path)


def parity(suite: Suite, expect: str) -> Parity:
    manifest = suite.manifest(frameworks=("toy", "other"), expect=f"{{parity: {{reference: toy{expect}}}}}")
    measured = evaluate(manifest, framework="other", kinds=["parity"]).parity
    assert measured is not None
    return measured


COUNTED_LOADS = """\
path = os.path.join(os.path.dirname(request.files["model"]), "count")
number = int(open(path).read())
open(path, "w").write(str(number + 1))
os.environ["NUMBER"] = str(number)
"""


@pytest.mark.slow
def test_noise_between_processes_is_measured_and_allowed(suite: Suite) -> None:
    """What differs from process to process cannot be asked of a framework not to differ."""
    (suite.folder / "count").write_text("0")
    wandering = "x = x * numpy.float32(1 + 3e-5 * int(os.environ['NUMBER']))"
    suite.framework("other", load=COUNTED_LOADS, predict=wandering)
    measured = parity(suite, "")
    assert measured.tolerance_source == "measured"
    assert measured.within_tolerance
    assert measured.abs_tolerance is not None
    assert measured.abs_tolerance > 1e-4
    assert measured.rel_tolerance == floor_epsilons("fp32", None)


def test_outputs_whose_shapes_differ_from_process_to_process_are_no_noise(suite: Suite) -> None:
    """Rows of one shape travel together: another process cuts the same rows into other pieces."""
    (suite.folder / "count").write_text("0")
    growing = """\
    more = int(abs(x[0, 0]) * 1000) * int(os.environ["NUMBER"]) % 2
    return {"scores": numpy.zeros((len(x), 3 + more), numpy.float32)}
    """
    suite.framework("other", load=COUNTED_LOADS, predict=growing)
    measured = parity(suite, "")
    assert measured.tolerance_source == "measured"
    assert not measured.within_tolerance


@pytest.mark.slow
def test_a_model_without_noise_is_held_to_the_floor(suite: Suite) -> None:
    suite.framework("other", predict="x = x * numpy.float32(1 + 1e-3)")
    measured = parity(suite, "")
    assert measured.tolerance_source == "measured"
    assert not measured.within_tolerance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expect", "source"),
    [(", abs: 1.0e-3, rel: 0.0", "manifest"), (", abs: 1.0e-3", "manifest and measured")],
    ids=["both", "one"],
)
def test_the_manifest_comes_first(suite: Suite, expect: str, source: str) -> None:
    suite.framework("other")
    measured = parity(suite, expect)
    assert measured.abs_tolerance == 1e-3
    assert measured.tolerance_source == source


@pytest.mark.slow
def test_what_cannot_be_run_again_has_the_default(suite: Suite) -> None:
    for name in ("toy", "other"):
        once = """\
        if request.threads != 1:
            raise Unsupported("one thread alone")
        os.open(request.files["model"] + ".NAME", os.O_CREAT | os.O_EXCL)
        """.replace("NAME", name)
        folder = suite.framework(name, load=once)
        with (folder / "framework.yml").open("a") as description:
            description.write("dynamic_batch: false\n")
    measured = parity(suite, "")
    assert (measured.tolerance_source, measured.abs_tolerance) == ("default", 1e-4)


def test_a_reference_whose_file_is_not_fp32(suite: Suite) -> None:
    """Its precision is not the manifest's choice, so the predictor's advice to ask for another leads nowhere."""
    suite.framework("toy", load="raise Unsupported('small.bin: holds int8, not fp32', holds='int8')")
    suite.framework("other")
    with pytest.raises(
        CannotRun,
        match=r"holds int8, not fp32; parity's reference runs at fp32: write expect\.parity\.precision: int8 .*, "
        r"or put .*toy\.files, .*precision_files\.int8",
    ) as caught:
        parity(suite, "")
    assert "ask for" not in str(caught.value)


def test_the_floor_of_int8_is_relative_to_the_largest_output() -> None:
    """A step of a symmetric scale is a 127th of it, however small most outputs are."""
    noise = Noise(0.0, root_mean_square=0.1, peak=2.0)
    floor = floor_epsilons("int8", None)
    assert tolerance_from(noise, floor, quantised=True).abs == floor * 2.0 == 0.25
