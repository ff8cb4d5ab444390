"""The report's file: what is never replaced, by what, and what a terminated run leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--collect-only",),
        ("--setup-only",),
        ("--setup-plan",),
        ("--fixtures",),
        ("--fixtures-per-test",),
        ("--markers",),
        ("--mlscope-framework=toi",),
        ("--mlscope-against=no-such-revision",),
        ("--mlscope-affinity=99999",),
        ("-k", "nothing"),
        ("no_such_file.py",),
        ("-n1", "--mlscope-framework=toi"),
    ],
)
def test_a_run_that_measures_nothing_leaves_the_report_alone(
    suite: Suite, run: Run, pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    suite.manifest()
    before = '{"schema":1,"run":null,"evaluations":[]}\n'
    (pytester.path / "out.json").write_text(before)
    result = run("--mlscope-json", "out.json", *options)
    assert (pytester.path / "out.json").read_text() == before
    assert [path.name for path in pytester.path.glob("*.partial*")] == []
    if options[0] in ("--setup-only", "--setup-plan", "--fixtures", "--fixtures-per-test", "--markers"):
        assert result.ret == pytest.ExitCode.OK
        result.stdout.no_fnmatch_line("*ERROR*")
    if options[0] == "-k":
        result.stdout.fnmatch_lines(["JSON report: not written, for no model was evaluated: *out.json"])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/null", "is a device"),
        ("/dev/stdout", "is a stream of a process"),
        ("fifo", "is a FIFO"),
        ("linear.mlscope.yml", "is the name of a model manifest"),
        ("weights.npy", "is not a JSON report of --mlscope-json, so it is not replaced"),
    ],
)
def test_what_is_not_a_report_is_never_replaced(
    suite: Suite, run: Run, pytester: pytest.Pytester, path: str, said: str
) -> None:
    suite.manifest()
    os.mkfifo(pytester.path / "fifo")
    before = (pytester.path / path).read_bytes() if path.endswith(("yml", "npy")) else None
    result = run("--mlscope-json", path)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--mlscope-json: {pytester.path / path}: {said}" in result.stderr.str()
    if before is not None:
        assert (pytester.path / path).read_bytes() == before
    assert list(pytester.path.glob("*.partial*")) == []


def test_a_report_is_replaced_by_the_next_one(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.manifest()
    for _ in range(2):
        assert run("--mlscope-json", "out.json", "-m", "accuracy").ret == pytest.ExitCode.OK


@pytest.mark.slow
def test_sigterm_writes_the_reports_as_an_interrupt_does(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.framework("slow", predict="time.sleep(600)")
    suite.manifest(frameworks=("toy", "slow"))
    command = [sys.executable, "-m", "pytest", "--mlscope", "--mlscope-json", "out.json", "-v", "-m", "accuracy"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    partial = pytester.path / "out.json.partial"
    deadline = time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    time.sleep(1.0)
    # Twice, as timeout(1) does.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "SIGTERM" in output
    report = json.loads((pytester.path / "out.json").read_text())
    assert report["run"]["interrupted"] is True
    assert report["evaluations"][0]["outcome"] == "passed"
    assert not partial.exists()
