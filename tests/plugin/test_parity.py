"""What parity compares, what it allows, and what it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]


def parity(suite: Suite, run: Run, expect: str = "", *, matrix: str = "{}") -> pytest.RunResult:
    suite.manifest(
        frameworks=("toy", "other"), expect=f"{{parity: {{reference: toy{expect}}}}}", matrix=matrix, metrics="[]"
    )
    return run("-m", "parity", "-rs")


def outputs(suite: Suite, text: str) -> None:
    """Have the manifest name these outputs."""
    path = next(suite.folder.glob("*.mlscope.yml"))
    path.write_text(
        path.read_text().replace("outputs: [{name: scores, postprocess: [{step: softmax, axis: -1}]}]", text)
    )


HALF_NAN = "x = x * numpy.where(x[:, :1] < 0, numpy.float32('nan'), numpy.float32(1))"


@pytest.mark.slow
@pytest.mark.parametrize(("expect", "outcome"), [("", "failed"), (", equal_nan: true", "passed")])
def test_nan_in_both_is_no_agreement_unless_stated(suite: Suite, run: Run, expect: str, outcome: str) -> None:
    suite.framework("toy", predict=HALF_NAN)
    suite.framework("other", predict=HALF_NAN)
    result = parity(suite, run, expect)
    result.assert_outcomes(**{outcome: 1})
    if outcome == "failed":
        result.stdout.fnmatch_lines(
            ["*; NaN: * elements in both, 0 here alone, 0 in the reference alone; *expect.parity.equal_nan: true*"]
        )


@pytest.mark.slow
def test_nan_of_one_side_is_told_even_where_nan_may_be(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict=HALF_NAN)
    suite.framework("other")
    result = parity(suite, run, ", equal_nan: true")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*; NaN: 0 elements in both, 0 here alone, * in the reference alone*"])


TWO_HEADS = """\
scores = x.dot(self.weights) * numpy.float32(300)
return {{"scores": scores, "small": (scores / 300 + {off}).astype(numpy.float32), "token": {token}}}
"""
THREE_OUTPUTS = "outputs: [{name: scores}, {name: small}, {name: token}]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("off", "token", "expect", "message"),
    [
        (0, 0, "", None),
        (0.004, 0, "", "output 'small': 120 of 120"),
        (0, 1, "", "output 'token': 40 of 40"),
        (0, 1, ", abs: 10, rel: 1", "output 'token': 40 of 40"),
        (0, 1, ", outputs: {token: {abs: 1}}", None),
        (0.004, 0, ", outputs: {small: {abs: 0.01}}", None),
    ],
    ids=["equal", "off", "token", "stated for all", "stated for it", "wider"],
)
def test_each_output_has_its_own_tolerance(
    suite: Suite, run: Run, off: float, token: int, expect: str, message: str | None
) -> None:
    """A score off by 0.004 beside boxes of ±300; a token that is another word."""
    tokens = "numpy.full(len(x), {}, numpy.int64)"
    suite.framework("toy", predict=TWO_HEADS.format(off=0, token=tokens.format(40000)))
    suite.framework("other", predict=TWO_HEADS.format(off=off, token=tokens.format(40000 + token)))
    path = suite.manifest(frameworks=("toy", "other"), expect=f"{{parity: {{reference: toy{expect}}}}}", metrics="[]")
    outputs(suite, THREE_OUTPUTS)
    assert THREE_OUTPUTS in path.read_text()
    result = run("-m", "parity")
    result.assert_outcomes(**{"passed" if message is None else "failed": 1})
    if message is not None:
        result.stdout.fnmatch_lines([f"*{message}*"])


SCALED = "x = x * numpy.float32(1.5)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expect", "outcome", "line"),
    [
        ("", "failed", "*outputs differ from toy 1.0 fp32 on cpu by up to *"),
        (", top1_agreement: 0.99", "passed", "*agreement*"),
        (", cosine: 0.99", "passed", "*agreement*"),
        (", cosine: 0.99, abs: 1.0e-4", "failed", "*outputs differ from*"),
    ],
    ids=["elements", "top1", "cosine", "both"],
)
def test_an_agreement_in_place_of_a_tolerance(suite: Suite, run: Run, expect: str, outcome: str, line: str) -> None:
    suite.framework("other", predict=SCALED)
    result = parity(suite, run, expect)
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines([line])


@pytest.mark.slow
def test_an_agreement_that_is_missed(suite: Suite, run: Run) -> None:
    suite.framework("other", predict="x = -x")
    result = parity(suite, run, ", top1_agreement: 0.9, cosine: 0.9")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*top-1 agreement with toy 1.0 fp32 on cpu is 0.* (expected ≥ 0.9) over 40 rows*",
            "*cosine with toy 1.0 fp32 on cpu is -1 (expected ≥ 0.9) over 40 rows*",
        ]
    )


def test_an_agreement_of_the_first_output_does_not_excuse_the_second(suite: Suite, run: Run) -> None:
    tokens = "numpy.zeros(len(x), numpy.int64)"
    suite.framework("toy", predict=TWO_HEADS.format(off=0, token=tokens))
    suite.framework("other", predict=TWO_HEADS.format(off=1, token=tokens))
    suite.manifest(frameworks=("toy", "other"), expect="{parity: {reference: toy, top1_agreement: 0.5}}", metrics="[]")
    outputs(suite, THREE_OUTPUTS)
    result = run("-m", "parity")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*output 'small': 120 of 120*"])


@pytest.mark.slow
def test_an_override_may_bound_the_agreement_alone(suite: Suite, run: Run) -> None:
    suite.framework("other", predict=SCALED)
    suite.manifest(
        frameworks=("toy", "other"),
        expect="{parity: {reference: toy, abs: 1.0e-4}}",
        metrics="[]",
        extra="expect_overrides: [{when: {framework: other}, parity: {top1_agreement: 0.99}}]\n",
    )
    run("-m", "parity").assert_outcomes(passed=1)


@pytest.mark.slow
def test_outputs_in_another_layout(suite: Suite, run: Run) -> None:
    weights = "scores = x.dot(self.weights)\nreturn {{'scores': {}}}"
    suite.framework("toy", predict=weights.format("numpy.stack([scores, 2 * scores], axis=1)"))
    suite.framework("other", predict=weights.format("numpy.stack([scores, 2 * scores], axis=2)"))
    path = suite.manifest(frameworks=("toy", "other"), expect="{parity: {reference: toy}}", metrics="[]")
    outputs(suite, "outputs: [{name: scores, layout: NCW, shape: [batch, 2, 3]}]")
    failed = run("-m", "parity")
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*output 'scores' has shape [[]n, 3, 2]; the manifest says [[]batch, 2, 3]*"])
    start, end = path.read_text().split("  other: {files: {", 1)
    path.write_text(f"{start}  other: {{output_layouts: {{scores: NWC}}, files: {{{end}")
    run("-m", "parity or latency").assert_outcomes(passed=3)


@pytest.mark.slow
def test_a_model_that_differs_from_itself_is_told_so(suite: Suite, run: Run) -> None:
    suite.framework("other", predict="x = x + numpy.random.standard_normal(x.shape).astype(x.dtype)")
    result = parity(suite, run)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*; the model differs from itself by up to * when it predicts the same rows twice*"])


RANDOM = "x = x + numpy.random.standard_normal(x.shape).astype(x.dtype)"


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["single_stream", "server", "offline"])
def test_a_model_that_differs_from_itself_is_timed_with_a_warning(suite: Suite, run: Run, scenario: str) -> None:
    suite.framework("toy", predict=RANDOM)
    extra = "scenarios: {server: {target_qps: 20, duration: 500 ms}}\n" if scenario == "server" else ""
    suite.manifest(matrix=f"{{scenario: [{scenario}]}}", expect="{}", extra=extra)
    result = run("-m", "latency")
    result.assert_outcomes(passed=1)
    text = " ".join(result.stdout.str().split())
    assert "the model differs from itself by up to " in text
    assert "when it predicts the same rows twice, so that the timed call path could not be compared" in text


def test_the_accuracy_of_a_model_that_differs_from_itself_is_one_draw(suite: Suite, run: Run) -> None:
    suite.framework("toy", predict=RANDOM)
    suite.manifest(expect="{}")
    text = " ".join(run("-m", "accuracy").stdout.str().split())
    assert "the model differs from itself by up to " in text
    assert "so that its accuracy is that of one draw (1 case)" in text
    suite.framework("toy")
    assert "differs from itself" not in run("-m", "accuracy").stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "outcome"), [("1.3", "passed"), ("-1", "failed")], ids=["sound", "wrong"])
def test_int8_is_bounded_by_agreement_where_nothing_is_stated(
    suite: Suite, run: Run, factor: str, outcome: str
) -> None:
    for name in ("toy", "other"):
        folder = suite.framework(name, predict=f"x = x * numpy.float32({factor if name == 'other' else 1})")
        description = folder / "framework.yml"
        description.write_text(description.read_text().replace("[fp32]", "[fp32, int8]"))
    suite.manifest(frameworks=("toy", "other"), expect="{parity: {reference: toy}}", matrix="{precision: [int8]}")
    result = run("-m", "parity", "-k", "other")
    result.assert_outcomes(**{outcome: 1})
    if outcome == "failed":
        result.stdout.fnmatch_lines(
            [
                "*top-1 agreement with toy 1.0 fp32 on cpu is 0.* (expected ≥ 0.99)*",
                "*cosine with *is -1 (expected ≥ 0.95)*",
            ]
        )


@pytest.mark.slow
def test_a_reference_of_another_precision(suite: Suite, run: Run) -> None:
    for name in ("toy", "other"):
        folder = suite.framework(
            name,
            load="if request.precision != 'fp16':\n    raise Unsupported('small.bin: holds fp16', holds='fp16')",
            predict="return {'scores': x.dot(self.weights).astype(numpy.float16)}",
        )
        description = folder / "framework.yml"
        description.write_text(description.read_text().replace("[fp32]", "[fp32, fp16]"))
    skipped = parity(suite, run, matrix="{precision: [fp16]}")
    skipped.stdout.fnmatch_lines(["*parity's reference runs at fp32: write expect.parity.precision: fp16 *"])
    result = parity(suite, run, ", precision: fp16", matrix="{precision: [fp16]}")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*against toy 1.0 fp16 on cpu*"])


def test_mistakes_in_what_parity_expects(suite: Suite, run: Run) -> None:
    suite.framework("other")
    suite.manifest(
        frameworks=("toy", "other"),
        expect="{parity: {reference: toy, outputs: {score: {abs: 1}}}}",
        metrics="[]",
        extra="expect_overrides: [{when: {framework: other}, parity: {}}]\n",
    )
    result = run("-m", "parity")
    result.stdout.fnmatch_lines_random(
        [
            "*'score' is not among the manifest's outputs; allowed: scores*",
            "*expect_overrides*parity is empty; required: at least one of max, *",
        ]
    )
