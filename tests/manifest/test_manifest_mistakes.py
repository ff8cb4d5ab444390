"""Every mistake in a manifest is one line that points at it."""

# ruff: noqa: E501  # tables of mistakes read better with a line each

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mlscope.components.registry import Registry
from pytest_mlscope.errors import ManifestError
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.manifest.loaded import LoadedManifest
from tests.manifest import manifest_samples

Mistakes = Callable[[str], list[str]]

# (text of the complete manifest, its replacement, the text that is pointed at, part of the message)
WRONG_IN_COMPLETE = [
    ("schema: 1", "schema: 2", "2", "schema is the number 2; allowed: 1"),
    ('version: "1.0"', "version: 1.0", "1.0", "version is the number 1.0; allowed: text, so put it in quotes"),
    ("name: digits-cnn", "name: Digits", "Digits", "lower-case letters"),
    ("kinds: [accuracy, parity", "kinds: [acuracy, parity", "acuracy", "did you mean 'accuracy'?"),
    ("latency]\n", "latency, latency]\n", "latency]", "duplicate kind 'latency'"),
    ("  openvino:\n", "  opnvino:\n", "opnvino", "unknown framework 'opnvino'; allowed: onnxruntime, openvino (did"),
    ('["2.1", ">=1.17,<2"]', "newest", "newest", "is 'newest'; allowed: a release, such as"),
    ('["2.1", ">=1.17,<2"]', "2.1", "2.1", "is the number 2.1; allowed: text in quotes or a list"),
    ('["2.1", ">=1.17,<2"]', "[]", "[]", "frameworks.onnxruntime.version has 0; allowed: at least 1 entry"),
    ('"2.1", ">=1.17,<2"]', '"2.1", new]', "new]", "frameworks.onnxruntime.version[1] is 'new'; allowed: a release"),
    ('"2.1", ">=1.17,<2"]', '"2.1", 2.2]', "2.2]", "version[1] is the number 2.2; allowed: text, so put it in quotes"),
    ('"2.1", ">=1.17,<2"]', '"2.1", "==2.1.*"]', '"==2.1.*"]', "duplicate version '==2.1.*'; allowed: each once"),
    ('["2.1", ">=1.17,<2"]', '">=2,<1"', '">=2,<1"', "is '>=2,<1', which no version satisfies"),
    ('"2.1", ">=1.17,<2"]', '"2.1", "3.0"]', '"3.0"]', "is '3.0'; framework.yml of onnxruntime takes '>=1.17,<3'"),
    ('- version: "2.1"', '- version: "2.2"', '"2.2"', "'2.2' is not among the manifest's framework versions; allowed: 2.1, "),
    ('      version: ">=1.17,<2"', '      version: "1.18"', '"1.18"', "'1.18' is not among the versions of onnxruntime"),
    ("      framework: openvino\n", "      framework: openvino\n      version: '2.1'\n", "'2.1'", "openvino states no version that"),
    ("      bf16:\n", "      fp8:\n", "fp8", "unknown key 'fp8' in frameworks.openvino.precision_files; allowed: fp32, fp16"),
    ("      bf16:\n", "      fp16:\n", "fp16:\n        w", "the files for fp16 are never used, since matrix.precision leaves it out"),
    ("        weights:\n          path: digits-b", "        wights:\n          path: digits-b", "wights", "unknown file role of openvino"),
    ("path: digits-bf16.bin", "path: /digits-bf16.bin", "/digits-b", "precision_files.bf16.weights.path is the absolute path"),
    ('version: "<2026"', "version: old", "old", "PEP 440"),
    ("      model:\n", "      modl:\n", "modl", "unknown file role of onnxruntime 'modl'; allowed: model (did you mean"),
    ("path: models/digits.onnx", "path: /models/digits.onnx", "/models", "file:///models/digits.onnx"),
    ("path: models/digits.onnx", "path: ~/digits.onnx", "~/", "'~' is not expanded"),
    ("path: models/digits.onnx", "path: models/", "models/", "allowed: a file"),
    ("path: models/digits.onnx", "path: file://digits.onnx", "file://d", "absolute path, as in file:///"),
    ("path: models/digits.onnx", "path: 'h t://digits'", "'h t", "scheme is malformed"),
    ("package://some-models/digits.xml", "package://digits.xml", "package://", "package://DISTRIBUTION/path"),
    ("package://some-models/digits.xml", "package://some/../x", "package://", "package://DISTRIBUTION/path"),
    ("sha256: 0a0a", "sha256: XX0a", "XX", "64 hexadecimal digits in lower case"),
    ("size: 12345", "size: -1", "-1", "frameworks.onnxruntime.files.model.size is the number -1; allowed: at least 0"),
    ("builder: random_onnx_weights", "builder: random", "random\n", "allowed: random_onnx_weights"),
    ("graph_optimization_level:", "graph_optimisation_level:", "graph_optimisation", "'graph_optimization_level'?"),
    ("graph_optimization_level: all", "graph_optimization_level: [all]", "[all]", "is a list; allowed: text, a whole"),
    ("      image: input_0", "      imag: input_0", "imag", "'imag' is not among the manifest's inputs; allowed: image"),
    ("      scores: output_0", "      score: output_0", "score", "not among the manifest's outputs"),
    ("image: NHWC", "image: NHC", "NHC", "a permutation of the input's layout NCHW"),
    ("image: NHWC", "imge: NHWC", "imge", "'imge' is not among the manifest's inputs"),
    ("strict: false", "strict: no", "no\n", "is the text 'no'; allowed: true or false"),
    ("dtype: float32", "dtype: float33", "float33", "(did you mean 'float32'?)"),
    ("layout: NCHW\n    shape", "layout: nchw\n    shape", "nchw", "one capital letter a dimension"),
    ("layout: NCHW\n    shape", "layout: NCH\n    shape", "NCH", "the shape has 4 dimensions"),
    ("layout: NCHW\n    shape", "layout: NCHH\n    shape", "NCHH", "each letter once"),
    ("layout: NCHW\n    shape", "layout: CNHW\n    shape", "CNHW", "the batch N first"),
    ("[batch, 1, 8, 8]", "[batch, 0, 8, 8]", "0, 8", "inputs[0].shape[1] is the number 0; allowed: a size from 1"),
    ("[batch, 1, 8, 8]", "[batch, 99999999999, 8, 8]", "99999", "allowed: a size from 1"),
    ("[batch, 1, 8, 8]", "[batch, 1, 99999, 99999]", "[batch, 1, 99", "bytes; allowed: at most 17179869184"),
    ("[batch, 1, 8, 8]", "[batch, 1, batch, 8]", "batch, 8", "is the batch 'batch' again"),
    ("[batch, 1, 8, 8]", "[batch, 1, 8.5, 8]", "8.5", "is the number 8.5; allowed: a whole number or text"),
    ("[batch, 1, 8, 8]", "[batch, 1, 'w x', 8]", "'w x'", "a name of letters, digits"),
    ("- step: scale", "- step: scal", "scal\n", "unknown pre-processing step 'scal'; allowed: scale, resize (did"),
    ("factor: 0.0625", "factor: big", "big", "preprocess[0].factor is the text 'big'; allowed: a number"),
    ("factor: 0.0625", "facto: 0.0625", "facto:", "allowed: step, factor (did you mean 'factor'?)"),
    ("- step: softmax", "- step: scale", "scale\n        axis", "unknown post-processing step 'scale'"),
    ("kernel: bilinear", "kernel: linear", "linear", "kernel is the text 'linear'; allowed: nearest, bilinear"),
    ("labels: [zero, one, two]", "labels: [zero, one]", "[zero, one]", "has 2 names, but the output's shape has 3"),
    ("labels: [zero, one, two]", "labels: [zero, one, one]", "one]", "duplicate label 'one'"),
    ("labels: [zero, one, two]", "labels: none.txt", "none.txt", "does not exist"),
    ("labels: [zero, one, two]", "labels: https://x.org/y", "https", "is a URL"),
    ("  nearest:\n    image:", "  stated:\n    image:", "stated:\n    image", "another name"),
    ("  nearest:\n    image:", "  Nearest:\n    image:", "Nearest", "lower-case letters, digits and '_'"),
    ("  nearest:\n    image:", "  nearest:\n    imag:", "imag:\n      - step", "not among the manifest's inputs"),
    ("source: table", "source: tabel", "tabel", "unknown dataset source 'tabel'; allowed: table (did you mean"),
    ("separator: ", "seperator: ", "seperator", "(did you mean 'separator'?)"),
    ('rows: "0:450"', 'rows: "9:9"', '"9:9"', "which has no rows"),
    ('rows: "0:450"', "rows: all", "all\n  sample", "a slice first:past_last"),
    ("    size: 100\n", "    size: 1000\n", "1000", "is 1000, but rows has 450"),
    ("    image: pixels", "    imag: pixels", "imag: pixels", "not among the manifest's inputs"),
    ("  label: digit\n", "", "source: table", "missing key 'label'"),
    ("- top1\n", "- tpo1\n", "tpo1", "unknown metric 'tpo1'; allowed: top1, topk (did you mean 'top1'?)"),
    ("    k: 2\n", "    k: 0\n", "0\n    output", "metrics[1].k is the number 0; allowed: more than 0"),
    ("output: scores", "output: score", "score\nexpect", "not among the manifest's outputs"),
    ("    top1:\n      min: 0.97", "    top5:\n      min: 0.97", "top5", "not among the manifest's metrics; allowed: top1"),
    ("min: 0.97", "min: 2", "min: 2", "expect.accuracy.top1 has min 2.0 above max 1.0"),
    ("min: 0.97", "min: .nan", ".nan", "is the number nan; allowed: a finite number"),
    ("reference: onnxruntime", "reference: pytorch", "pytorch", "not among the manifest's frameworks"),
    ("    abs: 1e-4", "    abs: -1e-4", "-1e-4", "expect.parity.abs is the number -0.0001; allowed: at least 0"),
    ("p50: 5 ms", "p50: 5", "5\n    p90", "as in 5 ms"),
    ("p50: 5 ms", "p50: 5 sec", "5 sec", "allowed units: ns, us"),
    ("p90: 6 ms", "p90: 4 ms", "4 ms", "expect.latency.p90 is below p50"),
    ("peak_memory: 500 MB", "peak_memory: 500", "500\n", "is not a number with a unit"),
    ("framework: openvino\n", "framework: openvio\n", "openvio", "not among the manifest's frameworks"),
    ("batch_size: 8\n", "batch_size: 9\n", "9\n      scenario", "not among the matrix's batch sizes; allowed: 1, 8, 32"),
    ("preprocessing: stated\n    accuracy", "preprocessing: state\n    accuracy", "state\n", "(did you mean 'stated'?)"),
    ("        min: 0.96", "        min: 0.96\n        max: 0.5", "min: 0.96\n        max", "above max 0.5"),
    ("      max: 0.05", "      min: 0.05", "min: 0.05", "unknown key 'min' in expect_overrides[0].parity; allowed: max"),
    ("hardware: [cpu]", "hardware: [cppu]", "cppu", "unknown hardware 'cppu'; allowed: cpu, cuda (did you mean 'cpu'?)"),
    ("hardware: [cpu]", "hardware: []", "[]", "matrix.hardware has 0; allowed: at least 1 entry"),
    ("[fp32, bf16]", "[fp32, bf16, fp32]", "fp32]", "duplicate precision 'fp32'"),
    ("[fp32, bf16]", "[fp32, bf16, int8]", "int8", "no framework of the manifest offers int8 on cpu"),
    ("[fp32, bf16]", "[fp32, bf17]", "bf17", "(did you mean 'bf16'?)"),
    ("threads: [1, 2,", "threads: [1, 2, 5000,", "5000", "allowed: 1 to 4096"),
    ("threads: [1, 2,", "threads: [1, 2, two,", "two", "is the text 'two'; allowed: a whole number or framework_default"),
    ("batch_size: [1, 8]", "batch_size: [1, 8, 0]", "0]", "matrix.batch_size[2] is the number 0; allowed: 1 to 1048576"),
    ("batch_size: 32\n", "batch_size: 0\n", "0\n      scenario", "allowed: more than 0"),
    ("hardware: cuda", "hardware: cudaa", "cudaa", "(did you mean 'cuda'?)"),
    ("precision: fp16", "precision: bf16", "framework: onnxruntime\n      version", "onnxruntime does not offer bf16 on cuda"),
    ("    - precision: bf16\n", "    - precision: fp16\n", "fp16\n      threads: 1\nmeas", "the matrix's precisions"),
    ("budget: 500 ms", "budget: 0 ms", "0 ms", "must be more than zero"),
    ("smallest_effect: 5 %", "smallest_effect: 5", "5\n    on", "5 is not a percentage; expected a number and the sign"),
    ("smallest_effect: 5 %", "smallest_effect: 0 %", "0 %", "'0 %' must be more than zero"),
    ("smallest_effect: 5 %", "smallest_effct: 5 %", "smallest_effct", "in gate.latency; allowed: smallest_effect, on_regression (did"),
    ("loss: 0.5 %", "loss: 101 %", "101 %", "'101 %' is more than 100%"),
    ("loss: 0.5 %", "smallest_effect: 0.5 %", "smallest_effect: 0.5", "unknown key 'smallest_effect' in gate.accuracy.top1; allowed: loss"),
    ("on_regression: ignore", "on_regression: ignored", "ignored", "gate.load_time.on_regression is the text 'ignored'; allowed: fail, warn, ignore (did"),
    ("  accuracy:\n    top1:\n      loss", "  accuracy:\n    top:\n      loss", "top:\n      loss", "'top' is not among the manifest's metrics; allowed: top1, topk (did"),
    ("quantity: accuracy\n", "quantity: latncy\n", "latncy", "gate.accepted[0].quantity is the text 'latncy'; allowed: latency, peak_memory"),
    ("quantity: accuracy\n", "quantity: latency\n", "topk\n      when", "gate.accepted[0].metric is for quantity accuracy, not latency"),
    ("quantity: accuracy\n      metric: topk", "quantity: load_time", "quantity: load", "accepts what does not fail, since gate.load_time.on_regression is ignore"),
    ("metric: topk\n      when", "metric: topp\n      when", "topp", "'topp' is not among the manifest's metrics; allowed: top1, topk (did"),
    ("batch_size: 8\n      reason", "batch_size: 9\n      reason", "9\n      r", "9 is not among the matrix's batch sizes"),
    ("reason: a smaller head", "reason: ''", "''", "gate.accepted[0].reason"),
    ("      reason: a smaller head\n", "", "quantity: accuracy\n      metric", "reason"),
    ("until: 2027-01-31", "until: 2027-02-31", "2027-02-31", "'2027-02-31' is not a day: day is out of range"),
    ("until: 2027-01-31", "until: 31 January", "31 January", "expected YEAR-MONTH-DAY, as in 2027-01-31"),
    ("until: 2027-01-31", "until: 20270131", "20270131", "20270131 is not a day; expected YEAR-MONTH-DAY, as in 2027-01-31"),
    ("relative_error: 0.02", "relative_error: 1", "1\n  warmup", "less than 1"),
    ("measurement:\n", "measurment:\n", "measurment", "unknown key 'measurment' in the manifest"),
    ("task: image_classification\n", "", "schema: 1", "missing key 'task'"),
    ("kinds: [accuracy, parity, latency]", "kinds: [accuracy, parity]", "latency:\n    p50", "never checked"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "target", "message"), WRONG_IN_COMPLETE)
def test_a_mistake_is_reported_where_it_stands(
    mistakes: Mistakes, old: str, new: str, target: str, message: str
) -> None:
    assert manifest_samples.COMPLETE.count(old) >= 1
    start = manifest_samples.COMPLETE.index(old)
    text = manifest_samples.COMPLETE[:start] + new + manifest_samples.COMPLETE[start + len(old) :]
    near = text.index(target, start if target in text[start:] else 0)
    line = text.count("\n", 0, near) + 1
    column = near - text.rfind("\n", 0, near)
    found = mistakes(text)
    assert any(mistake.startswith(f"{line}:{column}: ") and message in mistake for mistake in found), (
        line,
        column,
        found,
    )


def test_ten_mistakes_are_ten_lines(mistakes: Mistakes) -> None:
    """Mistakes of structure in some sections do not hide those across keys in others, nor does one become two."""
    text = manifest_samples.COMPLETE
    for old, new in [
        ("license: Apache-2.0", "licence: Apache-2.0"),
        ("graph_optimization_level:", "graph_optimisation_level:"),
        ("dtype: float32", "dtype: float33"),
        ("kernel: bilinear", "kernel: linear"),
        ('rows: "0:450"', 'rows: "450:0"'),
        ("- top1\n", "- tpo1\n"),
        ("p90: 6 ms", "p90: 6"),
        ("framework: openvino\n", "framework: openvio\n"),
        ("hardware: [cpu]", "hardware: [cppu]"),
        ("relative_error: 0.02", "relative_error: 2"),
    ]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert len(mistakes(text)) == 10


@pytest.mark.parametrize(
    ("old", "new"), [("\nmetrics:\n", "\nmetric:\n"), ("\ndataset:\n", "\ndatset:\n"), ("\nexpect:\n", "\nexpct:\n")]
)
def test_a_mistyped_key_is_one_mistake(mistakes: Mistakes, old: str, new: str) -> None:
    assert manifest_samples.COMPLETE.count(old) == 1
    (found,) = mistakes(manifest_samples.COMPLETE.replace(old, new))
    assert f"did you mean {old.strip(chr(10) + ':')!r}?" in found


def test_what_is_allowed_is_listed_once(mistakes: Mistakes) -> None:
    """A metric mistyped under ``metrics`` lets every known name be used in ``expect``, its correct ones again."""
    text = manifest_samples.COMPLETE
    for old, new in [("- top1\n", "- tpo1\n"), ("    top1:\n      min: 0.97", "    top5:\n      min: 0.97")]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (found,) = [mistake for mistake in mistakes(text) if "the manifest's metrics" in mistake]
    allowed = found.partition("allowed: ")[2].partition(" (")[0].split(", ")
    assert sorted(allowed) == ["top1", "topk", "tpo1"]


def test_valid_manifests_load(load: Callable[[str], LoadedManifest]) -> None:
    loaded = load(manifest_samples.COMPLETE)
    assert [metric.name for metric in loaded.metrics] == ["top1", "topk"]
    assert list(loaded.preprocessing) == ["stated", "nearest"]
    assert loaded.preprocessing["stated"]["image"][1].size == (8, 8)  # type: ignore[attr-defined]  # a Resize
    assert loaded.labels == {"scores": ("zero", "one", "two")}
    assert loaded.content.expect.parity is not None
    assert loaded.content.expect.parity.abs == 1e-4
    assert load(manifest_samples.MINIMAL).metrics == ()


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("matrix: {batch_size: [1, 8]}\n", None),
        ("kinds: [accuracy]\n", "1:9: kind 'accuracy' needs a dataset"),
        ("kinds: [parity]\n", "1:9: kind 'parity' needs expect.parity"),
        ("metrics: [top1]\n", "1:1: metrics need a dataset"),
        ("expect: {accuracy: {top1: {min: 0.5}}}\n", "1:21: 'top1' is not among the manifest's metrics; allowed: none"),
        ("expect: {parity: {reference: onnxruntime}}\nkinds: [parity]\n", "2:9: kind 'parity' needs a case besides"),
        ("expect: {throughput: {}}\n", "1:22: expect.throughput has neither min nor max"),
        ("expect: {latency: {}}\n", "1:19: expect.latency is empty"),
        (
            "expect: {latency: 5 ms}\n",
            "1:19: expect.latency is the text '5 ms'; allowed: a mapping such as {p50: 5 ms}",
        ),
        ("expect: {throughput: 100}\n", "is the number 100; allowed: a mapping such as {min: 100}"),
        ("expect: {throughput: many}\n", "is the text 'many'; allowed: a mapping"),
        (
            "description: rows: 400:\n",
            "1:18: not YAML: mapping values are not allowed in this context; quote text that",
        ),
        ("expect_overrides: [{when: {}, load_time: 1 s}]\n", "1:27: expect_overrides[0].when selects every case"),
        (
            "gate: {parity: {on_regression: warn}}\n",
            "1:8: gate.parity is never used, since the manifest does not have expect.parity",
        ),
        (
            "gate: {latency: {}}\n",
            "1:17: gate.latency is empty; required: at least one of smallest_effect, on_regression",
        ),
        (
            "gate: {accepted: [{quantity: latency, when: {}, reason: r, until: 2027-01-31}]}\n",
            "gate.accepted[0].when selects every case",
        ),
        ("expect_overrides: [{when: {threads: 1}}]\n", "1:20: expect_overrides[0] overrides nothing"),
        ("expect_overrides: [{when: {threads: 1}, parity: {max: 1}}]\n", "needs expect.parity"),
        ("matrix: {hardware: [cuda], precision: [bf16]}\n", "1:21: no framework of the manifest offers any of the"),
        ("matrix: {exclude: [{threads: 1}]}\n", "1:10: matrix.exclude leaves no case"),
        ("matrix: {exclude: [{version: '1.17'}]}\n", "1:30: '1.17' is not among the manifest's framework versions"),
        (
            "matrix: {include: [{framework: onnxruntime}]}\n",
            "1:20: matrix.include[0] adds a case that is there already",
        ),
        ("matrix: {include: [{framework: openvino}]}\n", "1:32: 'openvino' is not among the manifest's frameworks"),
    ],
)
def test_what_lacks_or_contradicts(mistakes: Mistakes, addition: str, message: str | None) -> None:
    found = mistakes(addition + manifest_samples.MINIMAL)
    assert len(found) == (message is not None), found
    assert message is None or message in found[0]


def test_a_framework_without_a_case(mistakes: Mistakes) -> None:
    """Cases that no machine could run are left out, but not a framework as a whole, in silence."""
    openvino = "  openvino:\n    files: {graph: {path: m.xml}, weights: {path: m.bin}}\n"
    text = manifest_samples.MINIMAL.replace("frameworks:\n", f"frameworks:\n{openvino}")
    assert mistakes(text + "matrix: {hardware: [cpu, cuda], precision: [fp32, fp16]}\n") == []
    assert mistakes(text + "matrix: {hardware: [cuda]}\n") == [
        "6:3: framework 'openvino' has no case: it runs on none of cuda; "
        "remove the framework, or include a case that it can run"
    ]
    assert mistakes(text + "matrix: {precision: [bf16]}\n") == [
        "8:3: framework 'onnxruntime' has no case: it offers fp32 on cpu; "
        "remove the framework, or include a case that it can run"
    ]
    assert mistakes(text + "matrix: {precision: [bf16]}\nexpect: {parity: {reference: onnxruntime}}\n") == []


def test_a_matrix_of_over_a_million_cases_is_refused(mistakes: Mistakes) -> None:
    values = ", ".join(map(str, range(1, 1002)))
    found = mistakes(f"{manifest_samples.MINIMAL}matrix:\n  threads: [{values}]\n  batch_size: [{values}]\n")
    assert len(found) == 1
    assert "makes 1002001 cases; allowed: at most 1000000" in found[0]


@pytest.mark.parametrize(
    ("shapes", "matrix", "message"),
    [
        ("[4, 2]", "", None),
        ("[4, 2]", "matrix: {batch_size: [4]}", None),
        ("[4, 2]", "matrix: {batch_size: [4, 8]}", "18:26: matrix.batch_size[1] is 8, but inputs[0].shape fixes the batch to 4"),
        ("[]", "", "12:12: inputs[0].shape is empty"),
    ],
)  # fmt: skip
def test_a_fixed_batch(mistakes: Mistakes, shapes: str, matrix: str, message: str | None) -> None:
    text = manifest_samples.MINIMAL.replace("[batch, 4]", shapes)
    found = mistakes(f"{text}\n\n\n{matrix}\n")
    assert len(found) == (message is not None), found
    assert message is None or found[0].startswith(message), found


def test_remote_files_need_a_digest(mistakes: Mistakes) -> None:
    found = mistakes(manifest_samples.MINIMAL.replace("path: tiny.onnx", "path: s3://bucket/tiny.onnx"))
    assert len(found) == 1
    assert found[0].startswith("9:9: missing key 'sha256'")


def test_a_missing_file_role_is_named(mistakes: Mistakes) -> None:
    text = manifest_samples.MINIMAL.replace("  onnxruntime:", "  openvino:").replace("      model:", "      graph:")
    found = mistakes(text)
    assert len(found) == 1
    assert "missing file 'weights' (the .bin file); openvino requires: graph, weights" in found[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\na\n", "line 3 repeats 'a' of line 1"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"a\n\xff\n", "not UTF-8 at byte 2"),
        (b"a\n" * 600_000, "too large"),
    ],
)
def test_label_files(mistakes: Mistakes, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    found = mistakes(manifest_samples.MINIMAL + "    labels: names.txt\n")
    assert len(found) == 1
    assert message in found[0]


def test_one_label_is_one_name(mistakes: Mistakes) -> None:
    found = mistakes(manifest_samples.MINIMAL + "    shape: [batch, 2]\n    labels: [one]\n")
    assert found == ["16:13: outputs[0].labels has 1 name, but the output's shape has 2 classes; allowed: 2"]


def test_labels_are_read_from_a_file(load: Callable[[str], LoadedManifest], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes("\ufeffzero \r\n één\n\n".encode())
    assert load(manifest_samples.MINIMAL + "    labels: names.txt\n").labels == {"y": ("zero", "één")}


@pytest.mark.parametrize("name", ["model.yml", ".mlscope.yml", "model.mlscope.yaml"])
def test_the_file_must_be_called_so(registry: Registry, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(manifest_samples.MINIMAL)
    with pytest.raises(ManifestError, match=r":1:1: the file is called .*; allowed: NAME\.mlscope\.yml"):
        load_manifest(path, registry)


def test_a_file_that_is_not_there(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"/no\.mlscope\.yml: there is no such file$"):
        load_manifest(tmp_path / "no.mlscope.yml", registry)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('rows: "0:450"', f'rows: "{"9" * 4301}:"', "allowed: a slice first:past_last"),
        ('["2.1", ">=1.17,<2"]', f'"{"9" * 4301}"', "version has 4301; allowed: at most 200 characters"),
        ('["2.1", ">=1.17,<2"]', f'"==1.{"9" * 4301}"', "version has 4305; allowed: at most 200 characters"),
        (
            '["2.1", ">=1.17,<2"]',
            f'["2.1", "{",".join(f"!=1.{n}" for n in range(6400))}"]',
            "characters; allowed: at most 16384",
        ),
        ('version: "<2026"', f'version: "{"9" * 4301}"', "xfail.version has 4301; allowed: at most 200 characters"),
        ("  budget:", "  affinity: " + "0," * 350_000 + "1\n  budget:", "text has 700001 characters"),
        ("  budget:", "  affinity: " + "0," * 3_000 + "1\n  budget:", "has 6001 characters; allowed: at most 4096"),
        ("  budget: 500 ms", f"  budget: {'9' * 4000} s", "must be more than zero and finite"),
        ("description: A", f"description: {'x' * 10**6} A", "characters; allowed: at most 16384"),
        ("separator: ", f"{'x' * 1000}: 1\n  separator: ", "unknown key"),
        ("schema: 1", f"schema: *{'x' * 10**6}", "has no anchor"),
        ("schema: 1", f"schema: !{'x' * 10**6} 1", "unknown tag"),
    ],
)
def test_numbers_texts_and_messages_have_limits(mistakes: Mistakes, old: str, new: str, message: str) -> None:
    """Whatever a manifest holds, it is refused quickly and in a line that fits a terminal."""
    assert old in manifest_samples.COMPLETE
    found = mistakes(manifest_samples.COMPLETE.replace(old, new, 1))
    assert any(message in line for line in found), found
    assert all(len(line) < 2_200 for line in found)


def test_suggestions_end_where_mistakes_are_no_longer_shown(
    mistakes: Mistakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suggestion takes a tenth of a millisecond, and a file may have a hundred thousand unknown keys."""
    compared = 0
    close_matches = difflib.get_close_matches

    def counted(*args: object, **kwargs: object) -> list[str]:
        nonlocal compared
        compared += 1
        return close_matches(*args, **kwargs)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    top = "".join(f"kinda{n}: 1\n" for n in range(3000))
    nested = "".join(f"    top{n}x: {{min: 0.5}}\n" for n in range(3000))
    text = manifest_samples.COMPLETE.replace("  accuracy:\n", f"  accuracy:\n{nested}", 1) + top
    found = mistakes(text)
    assert len(found) == 101
    assert "more mistakes from here on" in found[-1]
    assert compared < 1000
