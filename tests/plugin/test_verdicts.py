"""What fails a case, what skips it, and that the run goes on with a clear reason and an honest exit code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

PARITY = "{accuracy: {top1: {min: 0.85}}, parity: {reference: toy}}"


def altered_weights(suite: Suite) -> str:
    """Another file of the same shape; its sha256."""
    weights = np.load(suite.folder / "weights.npy")
    np.save(suite.folder / "altered.npy", -weights)
    return hashlib.sha256((suite.folder / "altered.npy").read_bytes()).hexdigest()


def test_what_holds_passes(suite: Suite, run: Run) -> None:
    suite.framework("other")
    suite.manifest(frameworks=("toy", "other"), expect=PARITY)
    result = run()
    result.assert_outcomes(passed=5)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*accuracy*", "*0.9000*", "*parity*", "*latency*"])


def test_a_changed_file_fails_by_its_sha256(suite: Suite, run: Run) -> None:
    suite.manifest()
    altered_weights(suite)
    (suite.folder / "altered.npy").replace(suite.folder / "weights.npy")
    result = run("-m", "accuracy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*weights.npy: sha256 is*the manifest says*"])


@pytest.mark.slow
def test_altered_weights_fail_accuracy_and_parity_each_in_its_words(suite: Suite, run: Run) -> None:
    suite.framework("other")
    path = suite.manifest(frameworks=("toy", "other"), expect=PARITY)
    digest = altered_weights(suite)
    good = f"other: {{files: {{model: {{path: weights.npy, sha256: {suite.weights_sha256}}}}}}}"
    bad = f"other: {{files: {{model: {{path: altered.npy, sha256: {digest}}}}}}}"
    path.write_text(path.read_text().replace(good, bad))
    result = run("-m", "not latency")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*linear on other: top1 is 0.* (expected ≥ 0.85) over 40 rows, 95% interval *",
            "*linear on other: outputs differ from toy 1.0 fp32 on cpu by up to *: 120 of 120 elements over 40 rows*",
        ]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("{latency: {p50: 1 ns}}", "p50 is *(expected ≤ 1.00 ns)*samples*"),
        ("{throughput: {min: 1.0e+15}}", "throughput is *samples/s (expected ≥ 1e+15 samples/s)*"),
        ("{peak_memory: 1 MB}", "the host's peak memory is *MB (expected ≤ 1.00 MB)*"),
        ("{load_time: 1 ns}", "loading took *(expected ≤ 1.00 ns)*"),
    ],
)
def test_bounds_on_speed_and_memory_are_held(suite: Suite, run: Run, expect: str, said: str) -> None:
    suite.manifest(expect=expect)
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*linear on toy: {said}"])


def test_a_bound_on_a_percentile_that_is_not_known_fails(suite: Suite, run: Run) -> None:
    """Passing would claim what was not measured."""
    suite.framework("toy", predict="time.sleep(0.01)")
    suite.manifest(expect="{latency: {p99: 10 s}}")
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*p99 is not known: * samples, 662 needed*raise measurement.budget to *"])
    budget = result.stdout.str().split("raise measurement.budget to ")[1].splitlines()[0]
    # 662 calls of 10 ms, and what the machine adds to them.
    assert budget.endswith(" s")
    assert 7.9 <= float(budget.removesuffix(" s")) < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("predict", "said"),
    [
        ("ctypes.string_at(0)", "predicting: the predictor host was killed by SIGSEGV"),
        ("ctypes.PyDLL(None).sleep(600)", "no answer within the case's limit of 3 s; the predictor host was killed"),
        ("os._exit(0)", "the predictor host exited with status 0"),
        ("raise RuntimeError('no such layer')", "none of the 40 rows has a prediction: RuntimeError: no such layer"),
        ("return {'scores': x[0]}", "its first dimension is not the batch; state its `batch`"),
        ("return {'other': x}", "scores"),
    ],
    ids=["segfault", "hang", "exit", "exception", "no-batch", "no-output"],
)
def test_a_predictor_that_fails_fails_its_case_and_the_run_goes_on(
    suite: Suite, run: Run, predict: str, said: str
) -> None:
    suite.framework("bad", predict=f"print('the last words', flush=True)\n{predict}")
    suite.manifest(frameworks=("bad", "toy"))
    result = run("-m", "accuracy", "--mlscope-timeout", "3")
    result.assert_outcomes(failed=1, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"*{said}*"])
    result.stdout.no_fnmatch_line("*Traceback*pytest_mlscope*")


def test_what_the_framework_printed_last_is_shown(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict="print('x' * 100_000_000)\nprint('the last words', flush=True)\nos.abort()")
    suite.manifest()
    result = run("-m", "accuracy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*predictor host*", "*bytes before this are left out*", "*the last words*"])
    assert len(result.stdout.str()) < 500_000


def test_rows_without_a_prediction_count_as_wrong(suite: Suite, run: Run) -> None:
    suite.framework(
        "toy", predict="if x.shape[0] == 8 and not hasattr(sys, 'once'): sys.once = 1; raise ValueError('bad batch')"
    )
    suite.manifest(matrix="{batch_size: [8]}")
    result = run("-m", "accuracy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*8 of 40 rows have no prediction (expected ≤ 0); first error: ValueError: bad batch*",
            "*top1 is 0.8* over 40 rows, 8 of them errors*",
        ]
    )


@pytest.mark.parametrize(("allowed", "outcome"), [(8, {"passed": 1}), (7, {"failed": 1})])
def test_rows_without_a_prediction_fail_unless_they_are_expected(
    suite: Suite, run: Run, allowed: int, outcome: dict[str, int]
) -> None:
    """Also where no bound is given, or a metric leaves them out: nine rows in ten may be missing from its value."""
    suite.framework("toy", predict="if not hasattr(sys, 'once'):\n    sys.once = 1\n    raise ValueError('bad batch')")
    suite.manifest(matrix="{batch_size: [8]}", expect=f"{{errors: {allowed}}}")
    run("-m", "accuracy").assert_outcomes(**outcome)


def test_parity_of_nothing_but_nans_is_no_agreement(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict="x = x * float('nan')")
    suite.framework("other", predict="x = x * float('nan')")
    suite.manifest(frameworks=("toy", "other"), expect="{parity: {reference: toy}}")
    result = run("-m", "parity")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no element is finite in both*"])


def test_a_version_that_only_the_predictor_knows_is_compared_with_the_manifest(suite: Suite, run: Run) -> None:
    path = suite.manifest(entry=", version: '>=99'")
    result = run("-m", "accuracy", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*toy 1.0, the version here, does not satisfy '>=99' of the manifest*"])
    path.write_text(path.read_text().replace(">=99", ">=1"))
    run("-m", "accuracy").assert_outcomes(passed=1)


@pytest.mark.parametrize(("version", "outcome"), [("<2", {"xfailed": 1}), (">=2", {"failed": 1})])
def test_a_known_failure_may_be_that_of_some_versions(
    suite: Suite, run: Run, version: str, outcome: dict[str, int]
) -> None:
    suite.manifest(entry=f", xfail: {{reason: known, version: '{version}'}}", expect="{accuracy: {top1: {min: 0.99}}}")
    run("-m", "accuracy").assert_outcomes(**outcome)


def test_a_timed_path_that_does_not_predict_is_no_measurement(suite: Suite, run: Run) -> None:
    folder = suite.framework("toy")
    source = (folder / "predictor.py").read_text()
    source = source.replace("import LoadedModel", "import Bound, LoadedModel").replace(
        "    def predict(self",
        "    def bind(self, inputs):\n"
        "        zeros = {'scores': numpy.zeros((1, 3), 'f4')}\n"
        "        return Bound(lambda: None, lambda: zeros, 'nothing')\n\n"
        "    def predict(self",
    )
    (folder / "predictor.py").write_text(source)
    suite.manifest()
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the timed call path does not give what prediction gives*"])


def needing(suite: Suite, distribution: str) -> None:
    folder = suite.framework("absent")
    with (folder / "framework.yml").open("a") as file:
        file.write(f"distributions: [{distribution}]\n")
    (folder / "requirements.lock").write_text(f"{distribution}==1.0\n")


def test_a_framework_that_is_not_there_is_skipped_with_the_command(suite: Suite, run: Run) -> None:
    needing(suite, "no-such-framework")
    suite.manifest(frameworks=("absent", "toy"))
    result = run("-m", "accuracy", "-rs")
    result.assert_outcomes(skipped=1, passed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*no-such-framework is not installed here*", "*mlscope env create absent*"])


def test_strict_fails_what_cannot_run(suite: Suite, run: Run) -> None:
    needing(suite, "no-such-framework")
    suite.manifest(frameworks=("absent", "toy"))
    result = run("-m", "accuracy", "--mlscope-strict")
    result.assert_outcomes(failed=1, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_missing_reference_skips_parity_with_its_name(suite: Suite, run: Run) -> None:
    needing(suite, "no-such-framework")
    suite.manifest(frameworks=("absent", "toy"), expect="{parity: {reference: absent}}")
    result = run("-m", "parity", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*the parity reference absent cannot run: *"])


@pytest.mark.parametrize(
    ("xfail", "expect", "outcome"),
    [
        ("{reason: known}", "{accuracy: {top1: {min: 0.99}}}", {"xfailed": 1}),
        ("{reason: known}", "{accuracy: {top1: {min: 0.85}}}", {"failed": 1}),
        ("{reason: known, strict: false}", "{accuracy: {top1: {min: 0.85}}}", {"xpassed": 1}),
        ("{reason: known, kinds: [latency]}", "{accuracy: {top1: {min: 0.99}}}", {"failed": 1}),
    ],
)
def test_a_known_failure_is_expected(suite: Suite, run: Run, xfail: str, expect: str, outcome: dict[str, int]) -> None:
    suite.manifest(entry=f", xfail: {xfail}", expect=expect)
    result = run("-m", "accuracy", "-rx")
    result.assert_outcomes(**outcome)
    if "xfailed" in outcome:
        result.stdout.fnmatch_lines(["*known*"])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"load": "raise RuntimeError('no such operator')"}, "loading the model: RuntimeError: no such operator"),
        ({"load": "ctypes.string_at(0)"}, "killed by SIGSEGV"),
        ({"sha256": "ab" * 32}, "sha256"),
    ],
)
@pytest.mark.parametrize("kind", ["accuracy", "latency"])
def test_a_known_failure_does_not_hide_a_model_that_cannot_be_loaded(
    suite: Suite, run: Run, fault: dict[str, str], said: str, kind: str
) -> None:
    suite.framework("toy", load=fault.get("load", "pass"))
    suite.manifest(entry=", xfail: {reason: known}", sha256=fault.get("sha256"))
    result = run("-m", kind)
    result.assert_outcomes(failed=1)
    assert said in result.stdout.str()


def test_a_known_failure_may_be_one_of_predicting(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict="ctypes.string_at(0)")
    suite.manifest(entry=", xfail: {reason: known}")
    run("-m", "accuracy").assert_outcomes(xfailed=1)


def test_a_dataset_that_is_not_there_is_one_line(suite: Suite, run: Run) -> None:
    suite.manifest()
    (suite.folder / "rows.npz").unlink()
    result = run("-m", "accuracy")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*rows.npz*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_manifest_without_a_dataset_is_timed_on_random_inputs(suite: Suite, run: Run) -> None:
    path = suite.manifest(metrics="[]", expect="{}")
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "dataset" not in line))
    run().assert_outcomes(passed=1)


def test_offline_times_a_queue_of_batches(suite: Suite, run: Run) -> None:
    suite.manifest(matrix="{scenario: [single_stream, offline], batch_size: [2]}")
    result = run("-m", "latency", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*test_latency[[]toy-single_stream[]] PASSED*", "*test_latency[[]toy-offline[]] PASSED*"]
    )


@pytest.mark.parametrize(
    ("predict", "said"),
    [
        ("return {'other': x}", "toy: the predictor returned no output 'scores'; it returned: other"),
        ("return None", "the predictor's predict returned None; it must return a dict of output name to numpy array"),
        ("return [x]", "the predictor's predict returned an object of type list; it must return a dict *"),
        (
            "return {'scores': x.tolist()}",
            "the predictor's predict returned 'scores' as an object of type list; it must return a dict *",
        ),
        ("return {'scores': x}", "toy: output 'scores' has shape [[]n, 4]; the manifest says [[]batch, 3]"),
    ],
    ids=["name", "none", "list", "values", "shape"],
)
@pytest.mark.parametrize("kind", ["accuracy", "latency"])
def test_what_is_not_the_stated_outputs_is_said_in_one_line(
    suite: Suite, run: Run, predict: str, said: str, kind: str
) -> None:
    suite.framework("toy", predict=predict)
    path = suite.manifest()
    path.write_text(path.read_text().replace("{name: scores,", "{name: scores, shape: [batch, 3],"))
    result = run("-m", kind)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{said}*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("return None\n", "the predictor's load returned None; it must return a LoadedModel"),
        ("Model.bind = lambda *_: 3\n", "the predictor's bind returned an object of type int; it must return a Bound"),
    ],
)
def test_load_and_bind_that_return_something_else_are_one_line(suite: Suite, run: Run, fault: str, said: str) -> None:
    suite.framework("toy", load=fault)
    suite.manifest()
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{said}*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.slow
def test_a_message_that_no_encoding_holds_does_not_end_a_distributed_run(suite: Suite, run: Run) -> None:
    """A lone surrogate, as file names that are not UTF-8 give, cannot be sent between workers."""
    pytest.importorskip("xdist")
    suite.framework("toy", predict=r"raise ValueError('caf\udce9')")
    suite.manifest()
    result = run("-m", "accuracy or latency", "-n", "1", "-p", "xdist")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*ValueError: caf[?]*"])
