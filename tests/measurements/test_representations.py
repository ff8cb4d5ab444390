"""What printing a result shows: the numbers that matter, and neither rows nor the machine."""

from __future__ import annotations

from pytest_mlscope.measurements.evaluation import Evaluation
from pytest_mlscope.measurements.provenance_facts import Provenance
from tests.reports import synthetic_evaluations as synthetic


def test_an_evaluation_prints_as_a_few_lines() -> None:
    provenance: Provenance = {"git_commit": "x" * 5000}
    evaluation = Evaluation(
        synthetic.case(batch_size=32),
        "key",
        provenance,
        accuracy=synthetic.accuracy(),
        parity=synthetic.parity(),
        latency=synthetic.latency(median_ns=12_200),
    )
    p50 = evaluation.latency.p50 if evaluation.latency else None
    assert repr(evaluation).splitlines() == [
        f"Evaluation(digits-cnn {evaluation.case.id},",
        "  Accuracy(top1=0.9711 (95%: 0.9513–0.9830), n=450, errors=0),",
        "  Parity(reference='onnxruntime 1.31.1 fp32', max_abs=8.1e-06, 0 of 2560 elements beyond tolerance, n=256),",
        f"  Latency(p50={p50:.4g} s ± 0.42%, n=800))",
    ]


def test_what_is_not_known_is_said() -> None:
    few = synthetic.latency(2, relative_error=None, percentiles={"p50": None})
    assert repr(few) == "Latency(p50=unknown, n=2)"
    assert repr(synthetic.parity(mismatch="shape (1, 2) is not (1, 3)", max_abs=float("inf"))) == (
        "Parity(reference='onnxruntime 1.31.1 fp32', max_abs=inf, shape (1, 2) is not (1, 3), n=256)"
    )
    assert repr(synthetic.accuracy().predictions) == "Predictions(n=3)"
