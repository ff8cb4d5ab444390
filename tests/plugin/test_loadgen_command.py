"""``mlscope loadgen`` on a small suite: logs, what is printed, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mlscope.cli.main import main
from tests.plugin.linear_suite import Suite

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")


@pytest.fixture
def loadgen(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(suite.folder)

    def run(*options: str) -> int:
        fixed = ["--output", "logs", "--home", str(tmp_path / "home"), "--seconds", "0.2", "--rounds", "1"]
        return main(["loadgen", "linear.mlscope.yml", *fixed, *options])

    return run


@pytest.mark.slow
def test_all_four_run_and_keep_their_logs(
    suite: Suite, loadgen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the medians agree is the machine's affair here; that both are there is not."""
    pytest.importorskip("mlperf_loadgen")
    suite.framework("toy", predict="time.sleep(0.002)")
    suite.manifest()
    status = loadgen("--target-qps", "100", *(part for name in SCENARIOS for part in ("--scenario", name)))
    printed = capsys.readouterr().out
    agreements = json.loads(Path("logs/agreement.json").read_text())
    assert [each["scenario"] for each in agreements] == list(SCENARIOS)
    assert status == (0 if all(each["agrees"] for each in agreements) else 1)
    for each in agreements[:3]:
        (only,) = each["rounds"]
        assert only["ours"] >= 0.002
        assert only["loadgen"] >= 0.002
        assert only["loadgen_empty"] < only["loadgen"]
        assert each["scenario"] in printed
    assert "arrivals: " in printed
    for name in ("SingleStream", "MultiStream", "Server", "Offline"):
        detail = Path("logs", name, "performance", "run_1", "mlperf_log_detail.txt")
        assert ":::MLLOG" in detail.read_text()


@pytest.mark.slow
def test_a_folder_is_for_one_call_a_scenario(
    suite: Suite, loadgen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlperf_loadgen")
    suite.manifest()
    loadgen("--scenario", "single_stream")
    loadgen("--scenario", "offline")
    agreements = json.loads(Path("logs/agreement.json").read_text())
    assert [each["scenario"] for each in agreements] == ["single_stream", "offline"]
    assert loadgen("--scenario", "offline", "--scenario", "multi_stream") == 4
    message = "logs/Offline/performance: holds another call's logs; remove it, or name another --output"
    assert message in capsys.readouterr().err
    assert not Path("logs/MultiStream").exists()


@pytest.mark.slow
def test_what_a_query_costs_in_loadgen_is_said_of_a_small_model(
    suite: Suite, loadgen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlperf_loadgen")
    suite.manifest()
    status = loadgen("--scenario", "single_stream")
    printed = capsys.readouterr().out
    (each,) = json.loads(Path("logs/agreement.json").read_text())
    (only,) = each["rounds"]
    small = 0 <= only["loadgen"] - only["ours"] < 20e-6
    assert ("LoadGen itself may add" in printed) == (status == 1 and small)


def test_a_server_without_a_rate_is_refused(
    suite: Suite, loadgen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    suite.manifest()
    assert loadgen("--scenario", "server") == 1
    assert "server needs a rate here: --target-qps" in capsys.readouterr().err


def test_a_batch_is_no_query_of_mlperfs_single_stream(
    suite: Suite, loadgen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    suite.manifest(matrix="{batch_size: [4]}")
    assert loadgen() == 1
    assert "a query of MLPerf's single_stream is one row, and batch_size is 4" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interpreter_without_loadgen_says_how_to_get_it(
    suite: Suite, loadgen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite.framework("toy") / "predictor.py"
    # What is not installed, and what may not be imported, look the same.
    path.write_text("import sys\nsys.modules['mlperf_loadgen'] = None\n" + path.read_text())
    suite.manifest()
    assert loadgen() == 1
    said = capsys.readouterr().err
    assert "mlperf_loadgen is not importable in this framework's interpreter; to enable: " in said
    assert " -m pip install mlcommons-loadgen" in said


def test_a_scenario_that_loadgen_does_not_have_is_wrong_use(
    suite: Suite, loadgen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    suite.manifest()
    assert loadgen("--scenario", "sever") == 4
    said = capsys.readouterr().err
    assert "unknown scenario of MLPerf's LoadGen 'sever'; allowed: single_stream, " in said
    assert "(did you mean 'server'?)" in said
