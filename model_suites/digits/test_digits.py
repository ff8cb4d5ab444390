"""Assertions of one's own on an evaluation: what a manifest's bounds cannot say.

Each test gets an ``evaluation`` for each case of the manifest that agrees with the keywords. Cases are evaluated once,
whatever number of tests look at them, and every mark, option and fixture of pytest works here too.
"""

from __future__ import annotations

import numpy as np

from pytest_mlscope import Evaluation, mlscope_cases

MANIFEST = "digits-cnn.mlscope.yml"


@mlscope_cases(MANIFEST, framework="onnxruntime", batch_size=1)
def test_reads_digits_of_unseen_writers(evaluation: Evaluation) -> None:
    accuracy = evaluation.accuracy
    assert accuracy is not None
    assert accuracy.errors == 0
    assert accuracy.n == 450
    assert accuracy["top1"] >= 0.97
    assert accuracy["top5"] >= accuracy["top1"]


@mlscope_cases(MANIFEST, framework="onnxruntime", batch_size=32)
def test_no_digit_is_neglected(evaluation: Evaluation) -> None:
    """A high mean can hide a class that is mostly missed."""
    assert evaluation.accuracy is not None
    predictions = evaluation.accuracy.predictions
    recall = {
        int(digit): float(np.mean(predictions.predicted[predictions.labels == digit] == digit))
        for digit in np.unique(predictions.labels)
    }
    assert len(recall) == 10
    neglected = {digit: round(share, 3) for digit, share in recall.items() if share < 0.9}
    assert not neglected


@mlscope_cases(MANIFEST, framework="onnxruntime", batch_size=32)
def test_confuses_only_what_people_confuse(evaluation: Evaluation) -> None:
    """No pair of digits accounts for more than 1 % of the rows."""
    assert evaluation.accuracy is not None
    predictions = evaluation.accuracy.predictions
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (predictions.labels.astype(int), predictions.predicted.astype(int)), 1)
    np.fill_diagonal(confusion, 0)
    true, predicted = np.unravel_index(confusion.argmax(), confusion.shape)
    share = confusion.max() / len(predictions.rows)
    assert share <= 0.01, f"{true} is read as {predicted} in {share:.1%} of the rows"


@mlscope_cases(MANIFEST, framework=("openvino", "opencv-dnn", "pytorch", "tensorflow"))
def test_every_framework_agrees_on_the_class(evaluation: Evaluation) -> None:
    """Small numeric differences are fine as long as they never change an answer."""
    assert evaluation.parity is not None
    assert evaluation.parity.within_tolerance
    assert evaluation.parity.top1_agreement == 1.0


@mlscope_cases(MANIFEST, framework="onnxruntime", batch_size=1)
def test_is_fast_enough_for_a_keystroke(evaluation: Evaluation) -> None:
    """50 ms is generous for a model of some microseconds: it holds on a busy machine and catches a wrong build."""
    latency = evaluation.latency
    assert latency is not None
    assert latency.p50 is not None
    assert latency.p50 < 0.050
    assert latency.throughput > 20
    assert latency.samples_ns.min() > 0
