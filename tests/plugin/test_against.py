"""``--mlscope-against``: the working tree and a baseline, measured side by side in one run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pytest_mlscope.reports.json_report import json_schema
from tests.plugin.linear_suite import Suite

BUSY = """\
end = time.perf_counter() + {seconds}
while time.perf_counter() < end: pass
"""
PARITY = "{accuracy: {top1: {min: 0.1}}, parity: {reference: toy, abs: 1.0e-6}}"


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def committed(suite: Suite) -> Suite:
    """A project whose first commit predicts in 0.2 ms."""
    suite.framework("toy", predict=BUSY.format(seconds=0.0002))
    suite.manifest(expect=PARITY)
    _git(suite.folder, "init", "--quiet", "--initial-branch=main")
    _git(suite.folder, "add", ".")
    _git(suite.folder, "commit", "--quiet", "-m", "first")
    return suite


def _run(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, dict[str, dict[str, Any]]]:
    result = pytester.runpytest_inprocess("--mlscope", "--mlscope-json=report.json", *options)
    report = pytester.path / "report.json"
    records = []
    if report.exists():
        document = json.loads(report.read_text())
        Draft202012Validator(json_schema()).validate(document)
        records = document["evaluations"]
    return result, {record["kind"]: record["comparison"] for record in records}


def _said(result: pytest.RunResult) -> str:
    """What was printed, on one line: the summary wraps."""
    return " ".join(result.stdout.str().split())


def test_what_did_not_change_passes(committed: Suite, pytester: pytest.Pytester) -> None:
    result, compared = _run(pytester, "--mlscope-against", "main")
    assert result.ret == 0
    assert compared["accuracy"]["outcome"] == "pass"
    assert compared["latency"]["outcome"] in ("pass", "inconclusive")
    result.stdout.fnmatch_lines(["*against main (*", "*toy*latency*", "*load time: compared; pass or inconclusive*"])


@pytest.mark.slow
def test_a_slower_predictor_is_a_regression(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.framework("toy", predict=BUSY.format(seconds=0.0004))
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "latency")
    assert result.ret == 1
    latency = compared["latency"]["latency"]
    assert latency["outcome"] == "regression"
    assert 1.5 < latency["ratio"] < 3
    assert latency["early"]
    assert len(latency["measured"]) == latency["pairs"]
    assert "times that of HEAD (" in _said(result)
    assert "the working tree has uncommitted changes" in _said(result)


@pytest.mark.slow
def test_a_faster_predictor_is_an_improvement(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.framework("toy", predict=BUSY.format(seconds=0.0001))
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "latency")
    assert result.ret == 0
    assert compared["latency"]["outcome"] == "improved"


@pytest.mark.slow
def test_altered_weights_fail_accuracy_and_outputs(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.framework("other")
    suite.manifest(expect=PARITY, frameworks=("toy", "other"))
    _git(suite.folder, "init", "--quiet", "--initial-branch=main")
    _git(suite.folder, "add", ".")
    _git(suite.folder, "commit", "--quiet", "-m", "first")
    np.save(suite.folder / "weights.npy", -np.load(suite.folder / "weights.npy"))
    suite.manifest(expect=PARITY.replace("0.1", "0.0"), frameworks=("toy", "other"))
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy or parity")
    assert result.ret == 1
    counts = compared["accuracy"]["accuracy"]
    assert counts["only_baseline_right"] > counts["only_candidate_right"]
    assert counts["outcome"] == "regression"
    assert compared["parity"]["outcome"] == "regression"
    assert "had right are wrong now" in _said(result)


@pytest.mark.slow
def test_another_checkout_is_a_baseline(
    committed: Suite, pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("checkout") / "other"
    shutil.copytree(committed.folder, other, ignore=shutil.ignore_patterns(".git"))
    committed.framework("toy", predict=BUSY.format(seconds=0.0004))
    result, compared = _run(pytester, f"--mlscope-against={other}", "-k", "latency")
    assert result.ret == 1
    assert compared["latency"]["outcome"] == "regression"
    # Of two words, pytest takes the second one, an existing folder, for a path that decides its rootdir.
    two_words = pytester.runpytest_inprocess("--mlscope", "--mlscope-against", str(other))
    assert two_words.ret == pytest.ExitCode.USAGE_ERROR
    two_words.stderr.fnmatch_lines([f"*--mlscope-against={other} in one word*"])


def test_another_model_is_a_baseline(committed: Suite, pytester: pytest.Pytester) -> None:
    path = committed.manifest(name="second", expect=PARITY)
    result, compared = _run(pytester, "--mlscope-against", f"model:{path}", "-k", "accuracy", "linear.mlscope.yml")
    assert result.ret == 0
    assert compared["accuracy"]["outcome"] == "pass"


@pytest.mark.parametrize(
    ("baseline", "line"),
    [
        ("nonsense", "*--mlscope-against: 'nonsense' is not a revision of the git repository *"),
        ("framework:toy", "*--mlscope-against: 'framework:toy': expected framework:NAME==VERSION*"),
        ("model:none.mlscope.yml", "*--mlscope-against: none.mlscope.yml: there is no such file"),
        (
            "model:frameworks",
            "*--mlscope-against: frameworks: is not a manifest to compare with; model: takes a *.mlscope.yml",
        ),
        ("nosuch", "*, nor a folder, a saved run, framework:NAME==VERSION or model:MANIFEST"),
        ("", "*the baseline is empty*"),
        ("~no-such-user/x", "*--mlscope-against: ~no-such-user/x: there is no home folder for '~'; write the path *"),
    ],
)
def test_what_is_no_baseline_is_one_line(committed: Suite, pytester: pytest.Pytester, baseline: str, line: str) -> None:
    result = pytester.runpytest_inprocess("--mlscope", f"--mlscope-against={baseline}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([line])
    assert "Traceback" not in result.stderr.str()


def test_outside_a_repository_a_revision_is_nothing(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.manifest()
    result = pytester.runpytest_inprocess("--mlscope", "--mlscope-against=main")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*is in no git repository*"])


@pytest.mark.slow
def test_a_new_model_is_reported_and_fails_only_strictly(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.manifest(name="newcomer", expect=PARITY)
    options = ("--mlscope-against", "HEAD", "-k", "accuracy", "linear.mlscope.yml", "newcomer.mlscope.yml")
    result, compared = _run(pytester, *options)
    assert result.ret == 0
    assert compared["accuracy"]["outcome"] == "not compared"
    assert "there is no newcomer.mlscope.yml; is the model new?" in _said(result)
    strict, _ = _run(pytester, *options, "--mlscope-strict")
    assert strict.ret == 1
    strict.assert_outcomes(passed=1, failed=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_run_that_compares_nothing_never_succeeds(
    committed: Suite, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    if workers:
        pytest.importorskip("xdist")
    committed.manifest(name="newcomer", expect=PARITY)
    chosen = ("--mlscope-against", "HEAD", "-k", "accuracy", "newcomer.mlscope.yml")
    result, compared = _run(pytester, *chosen, *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, deselected=0 if workers else 2)
    assert compared["accuracy"]["outcome"] == "not compared"
    assert "ERROR: --mlscope-against HEAD: nothing was compared in 1 test, so the run fails" in _said(result)
    assert json.loads((pytester.path / "report.json").read_text())["run"]["exit_status"] == result.ret


def test_a_run_without_a_test_of_ours_compares_nothing_either(committed: Suite, pytester: pytest.Pytester) -> None:
    (committed.folder / "test_own.py").write_text("def test_own(): pass\n")
    result = pytester.runpytest_inprocess("--mlscope", "--mlscope-against", "HEAD", "test_own.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "nothing was compared in 1 test, so the run fails" in _said(result)


def test_a_file_that_was_not_committed_is_said_so(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.manifest()
    (suite.folder / ".gitignore").write_text("*.npy\n")
    _git(suite.folder, "init", "--quiet", "--initial-branch=main")
    _git(suite.folder, "add", ".")
    _git(suite.folder, "commit", "--quiet", "-m", "first")
    result, _ = _run(pytester, "--mlscope-against", "HEAD")
    assert result.ret == 1
    said = _said(result)
    assert "HEAD:weights.npy: no such file; is it ignored, or not committed yet?" in said
    assert "NOTHING was compared, which fails the run" in said


def test_a_pointer_in_the_files_place_is_said_so(committed: Suite, pytester: pytest.Pytester) -> None:
    """As in a clone without git-lfs; here of the baseline alone."""
    weights = (committed.folder / "weights.npy").read_bytes()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    (committed.folder / "weights.npy").write_text(pointer)
    _git(committed.folder, "commit", "--quiet", "-am", "pointer")
    (committed.folder / "weights.npy").write_bytes(weights)
    result, _ = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy")
    result.assert_outcomes(passed=1, deselected=2)
    assert result.ret == 1
    assert "HEAD:weights.npy: is a Git LFS pointer in the file's place; install git-lfs, run `mlscope" in _said(result)
    (committed.folder / "weights.npy").write_text(pointer)
    result, _ = _run(pytester)
    assert result.ret == 1
    assert "is a Git LFS pointer in the file's place; install git-lfs and run `git lfs pull`" in _said(result)


def test_rows_that_were_taken_away_are_other_data(committed: Suite, pytester: pytest.Pytester) -> None:
    rows = dict(np.load(committed.folder / "rows.npz"))
    np.savez(committed.folder / "rows.npz", **{name: array[:30] for name, array in rows.items()})
    result, _ = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy")
    assert "the datasets differ (sha256 " in _said(result)
    assert "NOTHING was compared" in _said(result)


@pytest.mark.slow
def test_a_case_that_is_new_is_reported(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.manifest(expect=PARITY, matrix="{batch_size: [1, 4]}")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy")
    assert result.ret == 0
    assert compared["accuracy"]["outcome"] == "not compared"
    assert "linear.mlscope.yml there has toy with batch_size 1, not 4" in _said(result)


@pytest.mark.slow
def test_only_the_framework_named_is_compared(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.framework("other")
    committed.manifest(expect=PARITY, frameworks=("other", "toy"))
    options = ("--mlscope-framework=toy", "--mlscope-framework=other", "-k", "accuracy")
    result, compared = _run(pytester, "--mlscope-against", "framework:other==1.0", *options)
    assert result.ret == 0
    assert compared["accuracy"]["messages"] == ["not compared with other 1.0: only other is compared"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("baseline", "mistake", "workers"),
    [
        ("framework:ty==1.0", "no case has framework 'ty' (did you mean 'toy'?); cases have: toy", ()),
        ("framework:other==1.0", "no case has framework 'other'; cases have: toy", ("-n", "1")),
        ("framework:toy==2.0", "framework.yml of toy takes '<2', which '2.0' is not", ()),
    ],
)
def test_a_framework_that_no_case_has_ends_the_run(
    committed: Suite, pytester: pytest.Pytester, baseline: str, mistake: str, workers: tuple[str, ...]
) -> None:
    if workers:
        pytest.importorskip("xdist")
    description = committed.folder / "frameworks" / "toy" / "framework.yml"
    description.write_text(description.read_text() + 'version: "<2"\n')
    result = pytester.runpytest_inprocess("--mlscope", f"--mlscope-against={baseline}", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--mlscope-against: {mistake}" in result.stderr.str() + result.stdout.str()
    assert "Traceback" not in result.stderr.str()


def test_a_version_that_is_not_here_is_not_compared(committed: Suite, pytester: pytest.Pytester) -> None:
    result, compared = _run(pytester, "--mlscope-against", "framework:toy==3.0", "-k", "accuracy")
    result.assert_outcomes(passed=1, deselected=2)
    assert result.ret == 1
    assert compared["accuracy"]["outcome"] == "not compared"
    assert "toy 1.0, the version here, does not satisfy '==3.0.*'" in _said(result)


@pytest.mark.parametrize("version", ["1", "1.0", "1.*", " 1.0 "])
def test_a_release_is_all_that_begin_so_as_in_a_manifest(
    committed: Suite, pytester: pytest.Pytester, version: str
) -> None:
    framework = committed.folder / "frameworks" / "toy" / "predictor.py"
    framework.write_text(framework.read_text().replace('return "1.0"', 'return "1.0.3"'))
    result, compared = _run(pytester, "--mlscope-against", f"framework:toy=={version}", "-k", "accuracy")
    assert result.ret == 0
    assert compared["accuracy"]["outcome"] == "pass"


@pytest.mark.slow
def test_outputs_of_the_only_framework_are_compared_with_the_baselines(
    committed: Suite, pytester: pytest.Pytester
) -> None:
    path = committed.folder / "linear.mlscope.yml"
    scaled = "shape: [batch, 4], preprocess: [{step: scale, factor: 1.12}]}"
    path.write_text(path.read_text().replace("shape: [batch, 4]}", scaled))
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy or parity")
    assert result.ret == 1
    assert compared["accuracy"]["outcome"] == "pass", "the largest score stays the largest"
    assert compared["parity"]["outcome"] == "regression"
    assert "outputs differ from those of HEAD" in _said(result)
    result.stdout.fnmatch_lines(["*toy*outputs*regression*"])
    report = json.loads((pytester.path / "report.json").read_text())
    assert next(each for each in report["evaluations"] if each["kind"] == "parity")["provenance"] is not None


@pytest.mark.slow
def test_equal_outputs_of_the_only_framework_pass(committed: Suite, pytester: pytest.Pytester) -> None:
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "parity")
    assert result.ret == 0
    assert compared["parity"]["outcome"] == "pass"


def test_outputs_without_a_counterpart_are_a_skip(committed: Suite, pytester: pytest.Pytester) -> None:
    """The only framework's outputs have nothing else to be compared with: nothing was checked."""
    committed.manifest(expect=PARITY, matrix="{batch_size: [2]}")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "parity")
    result.assert_outcomes(skipped=1)
    assert compared["parity"]["outcome"] == "not compared"
    assert "with batch_size 1, not 2" in _said(result)


@pytest.mark.slow
def test_of_a_server_a_batch_is_compared_and_that_is_said(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.framework("toy", predict=BUSY.format(seconds=0.0002))
    suite.manifest(matrix="{scenario: [server]}", extra="scenarios: {server: {target_qps: 50, percentile: 50}}")
    _git(suite.folder, "init", "--quiet", "--initial-branch=main")
    _git(suite.folder, "add", ".")
    _git(suite.folder, "commit", "--quiet", "-m", "first")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "latency")
    assert compared["latency"]["latency"]["ratio"] == pytest.approx(1.0, abs=0.5)
    assert "server: the time of a full batch is compared, not the latency of a query" in _said(result)


def test_without_a_baseline_the_reference_is_compared_with_nothing(committed: Suite, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--mlscope", "--collect-only", "-q")
    assert "test_latency" in result.stdout.str()
    assert "test_parity" not in result.stdout.str()
    saved = pytester.path / "saved.json"
    pytester.runpytest_inprocess("--mlscope", "-k", "accuracy", f"--mlscope-json={saved}")
    result = pytester.runpytest_inprocess("--mlscope", "--collect-only", "-q", f"--mlscope-against={saved}")
    assert "test_parity" not in result.stdout.str(), "a saved run keeps no outputs"


def test_a_reference_that_fails_fails_its_comparison(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.framework("toy", predict="raise RuntimeError('broken here')")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "parity")
    assert result.ret == 1
    assert "broken here" in _said(result)
    assert compared["parity"] is None


def test_files_that_the_predictor_no_longer_takes_are_a_regression(committed: Suite, pytester: pytest.Pytester) -> None:
    refusal = "if request.files['model'].endswith('.npz'): raise Unsupported('the model is int8, not fp32')"
    committed.framework("toy", load=refusal)
    _git(committed.folder, "commit", "--quiet", "-am", "refuses")
    (committed.folder / "weights.npy").rename(committed.folder / "weights.npz")
    path = committed.folder / "linear.mlscope.yml"
    path.write_text(path.read_text().replace("weights.npy", "weights.npz"))
    result, compared = _run(pytester, "--mlscope-against", "HEAD")
    assert result.ret == 1
    for kind in ("accuracy", "parity", "latency"):
        assert compared[kind]["outcome"] == "regression"
    said = _said(result)
    assert "cannot run any more, unlike HEAD" in said
    assert "the model is int8, not fp32 (3 tests)" in said


@pytest.mark.slow
def test_what_this_machine_lacks_is_named_as_not_compared(committed: Suite, pytester: pytest.Pytester) -> None:
    description = committed.folder / "frameworks" / "toy" / "framework.yml"
    description.write_text(description.read_text() + 'version: ">=2"\n')
    options = ("--mlscope-against", "HEAD", "-k", "accuracy")
    result, compared = _run(pytester, *options)
    result.assert_outcomes(skipped=1, deselected=2)
    assert result.ret == 1
    assert compared["accuracy"]["outcome"] == "not compared"
    assert "cannot run here any more: toy 1.0, the version here, does not satisfy '>=2'" in _said(result)
    strict, _ = _run(pytester, *options, "--mlscope-strict")
    strict.assert_outcomes(failed=1, deselected=2)


def test_what_neither_side_can_run_is_no_comparison(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.framework("toy", load="raise Unsupported('not on a Sunday')")
    _git(committed.folder, "commit", "--quiet", "-am", "refuses")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy")
    result.assert_outcomes(skipped=1, deselected=2)
    assert result.ret == 1
    assert compared["accuracy"] is None


@pytest.fixture
def two_precisions(committed: Suite) -> Suite:
    """A project whose framework takes two precisions, and whose model is there in one."""
    description = committed.folder / "frameworks" / "toy" / "framework.yml"
    description.write_text(description.read_text().replace("[fp32]", "[fp32, int8]"))
    _git(committed.folder, "commit", "--quiet", "-am", "int8")
    return committed


@pytest.mark.slow
def test_a_precision_that_took_anothers_place_is_compared_with_it(
    two_precisions: Suite, pytester: pytest.Pytester
) -> None:
    two_precisions.manifest(expect=PARITY, matrix="{precision: [int8]}")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy or latency")
    assert result.ret == 0
    assert compared["accuracy"]["outcome"] == "pass"
    assert compared["latency"]["remark"] == "fp32 there, int8 here"
    assert "fp32 there, int8 here: linear toy" in _said(result)


@pytest.mark.slow
def test_a_precision_beside_another_is_new(two_precisions: Suite, pytester: pytest.Pytester) -> None:
    two_precisions.manifest(expect=PARITY, matrix="{precision: [fp32, int8]}")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy")
    assert result.ret == 0
    assert compared["accuracy"]["outcome"] == "not compared"
    assert "linear.mlscope.yml there has toy with precision fp32, not int8" in _said(result)


@pytest.mark.slow
def test_a_baseline_whose_predictor_fails_is_said_so(committed: Suite, pytester: pytest.Pytester) -> None:
    committed.framework("toy", load="raise RuntimeError('broken here')")
    _git(committed.folder, "commit", "--quiet", "-am", "broken")
    committed.framework("toy")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "latency")
    result.assert_outcomes(passed=1, deselected=2)
    assert result.ret == 1
    assert compared["latency"]["outcome"] == "not compared"
    assert "broken here" in _said(result)


def test_what_is_wrong_in_the_revision_is_said_with_its_name(committed: Suite, pytester: pytest.Pytester) -> None:
    path = committed.folder / "linear.mlscope.yml"
    right = path.read_text()
    path.write_text(right.replace("schema: 1", "schema: 7"))
    _git(committed.folder, "commit", "--quiet", "-am", "wrong")
    path.write_text(right)
    _, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy")
    (message,) = compared["accuracy"]["messages"]
    assert ": HEAD:linear.mlscope.yml:1:9: schema is the number 7" in message


@pytest.mark.slow
@pytest.mark.parametrize("options", [("-q",), ()], ids=["dots", "names"])
def test_progress_stands_on_lines_of_its_own(committed: Suite, pytester: pytest.Pytester, options: Any) -> None:
    result = pytester.runpytest_inprocess("--mlscope", "--mlscope-against", "HEAD", *options)
    lines = result.outlines[: next(index for index, line in enumerate(result.outlines) if " mlscope " in line)]
    told = [line for line in lines if "mlscope: comparing" in line]
    assert [line for line in told if line.startswith("mlscope: comparing with HEAD (") and line.endswith("): 1 case")]
    assert all(line.startswith("mlscope: ") for line in told)
    dots = [line for line in lines if re.fullmatch(r"(linear\.mlscope\.yml )?\.+( +\[ *\d+%\])?", line)]
    assert len(dots) == 2
    assert all(line.startswith("." if options else "linear.mlscope.yml .") for line in dots)


def test_a_failures_line_in_the_short_summary_begins_with_the_reason(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.manifest(expect="{accuracy: {top1: {min: 1.0}}}")
    result = pytester.runpytest_inprocess("--mlscope", "-m", "accuracy")
    result.stdout.fnmatch_lines(
        ["linear on toy: top1 is *", "FAILED linear.mlscope.yml::test_accuracy* - Failed: top1 is *"]
    )


CLOSENESS = """\
import numpy as np
import pytest
from pytest_mlscope import per_sample_metric

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_metrics():
    return [per_sample_metric("small", lambda outputs, labels: outputs.max(axis=1) < 0.9999)]
"""


def test_a_metric_of_ones_own_that_collapses_is_a_regression(suite: Suite, pytester: pytest.Pytester) -> None:
    (suite.folder / "conftest.py").write_text(CLOSENESS)
    suite.manifest(metrics="[top1, small]", expect="{accuracy: {top1: {min: 0.1}}}")
    _git(suite.folder, "init", "--quiet", "--initial-branch=main")
    _git(suite.folder, "add", ".")
    _git(suite.folder, "commit", "--quiet", "-m", "first")
    # The largest score stays the largest, so that top-1 sees nothing.
    np.save(suite.folder / "weights.npy", np.load(suite.folder / "weights.npy") * 1000)
    suite.manifest(metrics="[top1, small]", expect="{accuracy: {top1: {min: 0.1}}}")
    result, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "accuracy")
    assert result.ret == 1
    assert compared["accuracy"]["outcome"] == "regression"
    assert re.match(
        r"small is \S+, \S+ in HEAD \(.*\) \(McNemar's exact test over 40 rows", compared["accuracy"]["messages"][0]
    )


@pytest.mark.slow
def test_outputs_of_other_rows_are_not_compared(committed: Suite, pytester: pytest.Pytester) -> None:
    rows = dict(np.load(committed.folder / "rows.npz"))
    np.savez(committed.folder / "rows.npz", **{name: array[:30] for name, array in rows.items()})
    _, compared = _run(pytester, "--mlscope-against", "HEAD", "-k", "parity")
    assert compared["parity"]["outcome"] == "not compared"
    (message,) = compared["parity"]["messages"]
    assert "it has other rows: outputs of 40 rows there, of 30 here" in message
