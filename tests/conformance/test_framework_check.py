"""A folder that keeps its promises passes; each broken promise is found under its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_mlscope.cli.main import main
from pytest_mlscope.conformance import CheckResult, check, request_checks
from pytest_mlscope.conformance.suite import CHECKS
from pytest_mlscope.errors import MlscopeError
from tests.conformance.toy_folder import write_toy

SCORES = "scores = x.dot(self.weight) + self.bias"
RETURNED = "return {self.asked.outputs[0]: scores}"
LOADED = "return Model(request, weight, bias)"
REFUSED = 'raise ValueError("{}: {}".format(path, error))'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(request_checks, "WORK_SECONDS", 0.3)
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path / "home"))


def found(findings: Sequence[CheckResult], status: str) -> dict[str, str]:
    return {each.name: each.reason for each in findings if each.status == status}


@pytest.mark.slow
def test_a_folder_that_keeps_its_promises_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_toy(tmp_path / "toy")
    assert main(["framework", "check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "toy: no fault"
    shown = [line.split("  ")[0] for line in lines[1:-1]]
    assert shown == [name for name, _ in CHECKS]
    assert sum(" pass " in line for line in lines) >= len(CHECKS) - 2  # it is no parity case


# One fault each: check, what becomes of the predictor, a part of the reason.
FAULTS: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "another shape": ("shapes", ((RETURNED, "return {self.asked.outputs[0]: scores[:, :3]}"),), "says [batch, 4]"),
    "output under another name": ("shapes", ((RETURNED, "return {'other': scores}"),), "returned no output 'scores'"),
    "float64": ("dtypes", ((SCORES, SCORES + "\n        scores = scores.astype(float)"),), "'scores' is float64"),
    "batch ignored": (
        "batch sizes",
        ((SCORES, SCORES + "\n        scores = numpy.repeat(scores[:1], len(x), axis=0)"),),
        "differs from its rows predicted one by one",
    ),
    "large batches refused": (
        "batch sizes",
        ((SCORES, SCORES + "\n        if len(x) not in (1, 32): raise Unsupported('batches of one')"),),
        "batches of one",
    ),
    "noise": (
        "repetition",
        ((SCORES, SCORES + "\n        scores = scores + numpy.float32(numpy.random.random() * 1e-5)"),),
        "differs when the same 32 rows",
    ),
    "writes to its input": ("inputs", ((SCORES, "x *= 1.5\n        " + SCORES),), "writes to its input 'x'"),
    "needs writable inputs": (
        "inputs",
        ((SCORES, "x.flags.writeable = x.flags.writeable or 1 / 0\n        " + SCORES),),
        "read-only inputs are not taken",
    ),
    "one output buffer": (
        "outputs",
        (
            (
                SCORES,
                SCORES + "\n        self.buffers = getattr(self, 'buffers', {})"
                "\n        buffer = self.buffers.setdefault(len(x), scores)"
                "\n        buffer[...] = scores\n        scores = buffer",
            ),
        ),
        "of an earlier prediction changed later",
    ),
    "returns its input": (
        "outputs",
        ((SCORES, SCORES + "\n        x[:, :4] = scores\n        scores = x[:, :4]"),),
        "of an earlier prediction changed later",
    ),
    "bound batch predicts nothing": (
        "bind",
        (("latest.update(self.predict(inputs))", "latest.update({'scores': numpy.zeros((32, 4), 'f4')})"),),
        "'scores' of the bound batch differs",
    ),
    "bound call unnamed": ("bind", (('"ndarray.dot"', '""'),), "call_path is ''"),
    "takes more threads": (
        "threads",
        (
            (
                LOADED,
                "work = lambda: [hashlib.sha256(bytes(1 << 22)).digest() for _ in iter(int, 1)]\n"
                "        for _ in range(4): threading.Thread(target=work, daemon=True).start()\n        " + LOADED,
            ),
        ),
        "cores are busy (allowed 1.25)",
    ),
    "says another number of threads": (
        "threads",
        (('"threads": request.threads', '"threads": 8'),),
        "resolved['threads'] is 8",
    ),
    "says another precision": (
        "precision",
        (('"precision": "fp32"', '"precision": "bf16"'),),
        "resolved['precision'] is 'bf16'",
    ),
    "loads any precision": ("precision not offered", (('!= "fp32"', '== ""'),), "int8, which is not offered"),
    "fails at other precisions": (
        "precision not offered",
        (("raise Unsupported(", "raise KeyError("),),
        "must raise Unsupported",
    ),
    "swallows a missing file": (
        "missing file",
        ((REFUSED, "weight, bias = numpy.zeros((16, 4), 'f4'), numpy.zeros(4, 'f4')"),),
        "answered as if nothing were wrong",
    ),
    "swallows a corrupt file": (
        "corrupt file",
        ((REFUSED, "weight, bias = numpy.zeros((16, 4), 'f4'), numpy.zeros(4, 'f4')"),),
        "answered as if nothing were wrong",
    ),
    "does not name a file": ("truncated file", ((REFUSED, "raise ValueError('cannot load')"),), "names none of"),
    "crashes on a file": (
        "truncated file",
        ((REFUSED, "os.kill(os.getpid(), signal.SIGSEGV)"),),
        "was killed by SIGSEGV",
    ),
    "ignores a further input": (
        "unknown input",
        (('names != ["x"]', "'x' not in names"), ("(x,) = inputs.values()", "x = inputs['x']")),
        "answered as if nothing were wrong",
    ),
    "invents an output": (
        "unknown output",
        (
            ("or len(request.outputs) != 1", ""),
            (RETURNED, "return {name: scores for name in self.asked.outputs}"),
        ),
        "answered as if nothing were wrong",
    ),
    "takes any shape": (
        "wrong shape",
        (("if x.shape[1:] != (len(self.weight),):", "x = x[:, :16]\n        if False:"),),
        "answered as if nothing were wrong",
    ),
    "casts in silence": (
        "wrong dtype",
        (("if x.dtype != numpy.float32:", "x = x.astype('f4')\n        if False:"),),
        "answered as if nothing were wrong",
    ),
    "leaks": (
        "unload",
        ((LOADED, "kept_for_ever.append(numpy.ones(600000))\n        " + LOADED),),
        "resident memory keeps growing",
    ),
    "claims layers and returns none": ("layers", (("return [Layer(", "return [] and [Layer("),), "returned no layer"),
    "claims layers and lacks them": (
        "layers",
        (("def layers", "def no_layers"),),
        "framework.yml claims layers, but the self-test model has none",
    ),
    "layers without a time": (
        "layers",
        (("sorted(times)[runs // 2]", "None"),),
        "none of 1 layers has a time",
    ),
    "malformed layers": (
        "layers",
        (("sorted(times)[runs // 2]", "0"),),
        "its seconds are 0",
    ),
    "dies now and then": (
        "host survives",
        (
            (
                SCORES,
                "self.calls = getattr(self, 'calls', 0) + 1\n"
                "        if self.calls > 20: os.kill(os.getpid(), signal.SIGKILL)\n        " + SCORES,
            ),
        ),
        "was killed by SIGKILL",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_under_its_name(tmp_path: Path, fault: str) -> None:
    name, changes, reason = FAULTS[fault]
    folder = write_toy(tmp_path / "toy", *changes)
    # A host that dies does so in the course of some other check.
    only = [name, "repetition", "outputs", "bind"] if name == "host survives" else [name]
    faults = found(check(folder, only=only, timeout=20), "fault")
    assert reason in faults.get(name, "no fault") or reason in faults.get("load", ""), faults
    assert all("\n" not in text for text in faults.values())


def test_every_check_can_find_a_fault() -> None:
    """Of the first two and of what the manifest expects, the tests below."""
    tried = {name for name, _, _ in FAULTS.values()}
    assert tried | {"framework.yml", "environment", "load", "version", "accuracy", "parity"} == {
        name for name, _ in CHECKS
    }


@pytest.mark.slow
def test_a_hang_is_no_answer(tmp_path: Path) -> None:
    """A predictor that hangs is killed, and both the check and the host's death are faults."""
    folder = write_toy(tmp_path / "toy", (REFUSED, "time.sleep(60)"))
    faults = found(check(folder, only=["corrupt file", "host survives"], timeout=3), "fault")
    assert "no answer after 3.0 s" in faults["corrupt file"]
    assert "no answer" in faults["host survives"]


def test_an_untrue_version_is_found(tmp_path: Path) -> None:
    """A predictor may not state another version than the installed distribution's."""
    folder = write_toy(tmp_path / "toy", description="distributions: [numpy]\n")
    faults = found(check(folder, only=["version"]), "fault")
    assert "the predictor's version is 1.0; the installed distribution is" in faults["version"]


def test_a_version_that_the_description_does_not_take_is_found(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "toy", description='version: ">=2"\n')
    assert "framework.yml allows '>=2'" in found(check(folder, only=["version"]), "fault")["version"]


def test_what_the_self_test_expects_must_hold(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "toy", (SCORES, "scores = -x.dot(self.weight) - self.bias"))
    faults = found(check(folder, only=["accuracy"]), "fault")
    assert "top1 is 0" in faults["accuracy"]
    assert "expected ≥ 0.9" in faults["accuracy"]


@pytest.mark.slow
def test_parity_is_compared_with_the_reference(tmp_path: Path) -> None:
    """The reference is another framework, found on the search path of the project."""
    write_toy(tmp_path / "project" / "frameworks" / "right", description="")
    right = tmp_path / "project" / "frameworks" / "right" / "framework.yml"
    right.write_text(right.read_text().replace("name: toy", "name: right"))
    folder = write_toy(
        tmp_path / "toy",
        (SCORES, SCORES + "\n        scores = scores + numpy.float32(0.01)"),
        manifest="expect: {parity: {reference: right}}",
    )
    manifest = folder / "toy.mlscope.yml"
    entry = "  toy: {files: {model: {path: weights.npz}}}\n"
    manifest.write_text(manifest.read_text().replace(entry, entry + entry.replace("toy", "right")))
    findings = check(folder, only=["parity", "dtypes"], project=tmp_path / "project")
    assert "outputs differ from right 1.0 fp32 on cpu by up to 0.01" in found(findings, "fault")["parity"]
    assert found(findings, "pass")["dtypes"] == "scores float32, as the parity reference"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name: toy", "name: other", "name is 'other', the folder's 'toy'"),
        ("self_test: toy.mlscope.yml\n", "", "self_test is missing"),
        ("schema: 1", "schema: 2", "schema"),
    ],
)
def test_a_wrong_description_is_one_fault_and_nothing_else_is_tried(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    folder = write_toy(tmp_path / "toy")
    description = folder / "framework.yml"
    description.write_text(description.read_text().replace(old, new))
    findings = check(folder)
    assert list(found(findings, "fault")) == ["framework.yml"]
    assert reason in found(findings, "fault")["framework.yml"]
    assert len(found(findings, "not checked")) == len(CHECKS) - 1


def test_a_framework_without_an_environment_says_what_would_make_one(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "toy", description="distributions: [no-such-framework]\n")
    (folder / "requirements.lock").write_text("no-such-framework==1.0\n")
    faults = found(check(folder, home=tmp_path / "home"), "fault")
    assert "no-such-framework is not installed here" in faults["environment"]
    assert "--provision makes it" in faults["environment"]


def test_a_self_test_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "toy")
    (folder / "toy.mlscope.yml").unlink()
    assert "self_test names 'toy.mlscope.yml'" in found(check(folder), "fault")["load"]


@pytest.mark.slow
def test_the_command_shows_the_faults_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with many faults at once: each stands in the table under its own name."""
    folder = write_toy(
        tmp_path / "toy",
        (SCORES, SCORES + "\n        scores = scores.astype(float)"),
        (LOADED, "kept_for_ever.append(numpy.ones(600000))\n        " + LOADED),
        ('"threads": request.threads', '"threads": 8'),
        ("sorted(times)[runs // 2]", "-1"),
        ('"ndarray.dot"', "None"),
        description="distributions: [numpy]\n",
    )
    assert main(["framework", "check", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    faults = {line.split("  ")[0] for line in lines if "  fault  " in line}
    assert faults >= {"dtypes", "threads", "unload", "layers", "version", "bind"}
    assert lines[-1] == f"toy: {len(faults)} of {len(CHECKS)} checks found a fault"


def test_arguments_are_checked_early(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "toy")
    with pytest.raises(MlscopeError, match="no check named 'speed'; there are: framework"):
        check(folder, only=["speed"])
    with pytest.raises(MlscopeError, match="threads must be a whole number from 1 on, not 0"):
        check(folder, threads=0)
