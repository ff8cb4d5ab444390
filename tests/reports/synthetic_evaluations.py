"""Evaluations made of the real dataclasses, without a framework, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.check import Check
from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.components.profilers.base import Reading
from pytest_mlscope.components.registry import Registry
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.schema.manifest import Manifest
from pytest_mlscope.measurements.accuracy.result import Accuracy, FailedRows, InputShift, Predictions
from pytest_mlscope.measurements.evaluation import Evaluation
from pytest_mlscope.measurements.latency.result import Latency
from pytest_mlscope.measurements.latency.scenarios import SHIPPED_SCENARIOS
from pytest_mlscope.measurements.parity.result import Parity
from pytest_mlscope.measurements.provenance_facts import Provenance
from pytest_mlscope.records.comparison import Comparison
from pytest_mlscope.records.making import make_record
from pytest_mlscope.records.record import EvaluationRecord, TestOutcome
from pytest_mlscope.statistics.percentiles import supported_percentiles


def manifest(name: str = "digits-cnn", *, framework: str = "onnxruntime") -> LoadedManifest:
    content = Manifest.model_validate(
        {
            "schema": 1,
            "name": name,
            "version": "1.0",
            "task": "image_classification",
            "frameworks": {framework: {"files": {"model": {"path": "model.onnx"}}}},
            "inputs": [{"name": "image", "shape": ["batch", 1, 8, 8]}],
            "outputs": [{"name": "logits"}],
        }
    )
    return LoadedManifest(
        path=Path(f"/suites/{name}.mlscope.yml"),
        sha256="a" * 64,
        content=content,
        registry=Registry(),
        dataset=None,
        metrics=(),
        preprocessing={"stated": {}},
        postprocessing={},
        labels={},
        scenarios={each.name: each() for each in SHIPPED_SCENARIOS},
    )


def case(model: str = "digits-cnn", **dimensions: Any) -> Plan:
    """The plan of a case."""
    dimensions.setdefault("framework", "onnxruntime")
    shown = [str(value) for value in dimensions.values()]
    loaded = manifest(model, framework=dimensions["framework"])
    values = {**dimensions, "model": model, "manifest": str(loaded.path), "manifest_sha256": loaded.sha256}
    return Plan.of(loaded, Case(**values, id="-".join(shown)))


def accuracy(
    metrics: Mapping[str, MetricValue] | None = None,
    *,
    errors: int = 0,
    input_shift: InputShift | None = None,
    predicted: Any = (3, 1, 4),
    row_values: Mapping[str, Any] | None = None,
) -> Accuracy:
    return Accuracy(
        metrics={"top1": MetricValue(0.9711, 450, (0.9513, 0.9830))} if metrics is None else metrics,
        n=450,
        errors=errors,
        failures=[FailedRows(tuple(range(errors)), "cannot identify image file")] if errors else [],
        predictions=Predictions(np.array([0, 1, 2]), np.array([3, 1, 7]), np.asarray(predicted)),
        seconds=0.25,
        input_shift=input_shift,
        row_values=row_values or {},
    )


def parity(**changes: Any) -> Parity:
    facts: dict[str, Any] = {
        "reference": "onnxruntime 1.31.1 fp32",
        "n": 256,
        "max_abs": 8.1e-6,
        "max_rel": 3.2e-4,
        "top1_agreement": 1.0,
        "abs_tolerance": 1e-4,
        "rel_tolerance": 1e-4,
        "violations": 0,
        "elements": 2560,
        "cosine": 1.0,
        "psnr": 131.4,
        "top5_agreement": 0.9992,
        "tolerance_source": "measured",
    }
    return Parity(**{**facts, **changes})


def latency(samples: int = 800, *, median_ns: int = 12_200, **changes: Any) -> Latency:
    samples_ns = (median_ns * np.random.default_rng(0).normal(1, 0.03, samples)).astype(np.int64)
    facts: dict[str, Any] = {
        "samples_ns": samples_ns,
        "batch_size": 1,
        "percentiles": supported_percentiles(samples_ns),
        "relative_error": 0.0042,
        "throughput": 81_967.2,
        "stop_reason": "steady",
        "warmup_calls": 50,
        "warmup_seconds": 0.1,
        "warmup_reason": "steady",
        "window_seconds": 0.5,
        "call_path": "run_with_iobinding",
        "load_seconds": 0.0121,
        "peak_memory": 212_000_000,
        "wanted_relative_error": 0.01,
        "back_to_back": "server" not in changes,
    }
    return Latency(**{**facts, **changes})


def record(
    evaluated: Plan | None = None,
    *,
    kind: str = "latency",
    outcome: TestOutcome = "passed",
    reason: str | None = None,
    checks: Sequence[Check] = (),
    version: str | None = "1.31.1",
    resolved: str | None = None,
    readings: Mapping[str, Sequence[Reading]] | None = None,
    nodeid: str | None = None,
    comparison: Comparison | None = None,
    cannot_run: CannotRun | None = None,
    **parts: Any,
) -> EvaluationRecord:
    """A record; ``parts`` are ``accuracy``, ``parity`` and ``latency``."""
    evaluated = evaluated or case()
    evaluation = None
    if parts or readings:
        provenance: Provenance = {"framework": {"version": version}, "seed": 0} if version else {}
        if resolved is not None:
            provenance["resolved"] = {"precision": resolved}
        evaluation = Evaluation(evaluated, f"key-{evaluated.case}", provenance, readings=readings or {}, **parts)
    return make_record(
        evaluation,
        nodeid=nodeid or f"{evaluated.manifest.path.name}::test_{kind}[{evaluated.case.id}]",
        kind=kind,
        plan=evaluated,
        outcome=outcome,
        reason=reason,
        checks=checks,
        seconds=0.75,
        comparison=comparison,
        cannot_run=cannot_run,
    )


def full_run() -> list[EvaluationRecord]:
    """What a run over several models and frameworks gives: everything the summary has a place for."""
    expected = Check("top1", 0.9711, "≥ 0.97", True, "top1 0.9711 (437 of 450), expected ≥ 0.97")
    missed = Check("top1", 0.1133, "≥ 0.97", False, "top1 0.1133 (51 of 450), expected ≥ 0.97")
    wrong = MetricValue(0.1133, 450, (0.0873, 0.1459))
    memory = Reading("resident memory", "B", 2.1e8, samples=((0.0, 2e8), (0.1, 2.1e8)))
    power = Reading("power", "W", None, "no NVIDIA driver")
    watched = {
        "psutil": [Reading("cpu", "%", 99.7), Reading("threads", "", 3.0), memory],
        "nvml": [power, Reading("utilisation", "%", None, "no NVIDIA driver")],
    }
    lacking = CannotRun("not installed here", command="mlscope env create pytorch")
    return [
        record(case(), kind="accuracy", accuracy=accuracy(), checks=[expected]),
        record(
            case(framework="tensorflow"),
            kind="accuracy",
            version="2.21.0",
            accuracy=accuracy({"top1": wrong}, errors=3),
            checks=[missed],
            outcome="failed",
            reason="top1 0.1133, expected ≥ 0.97",
        ),
        record(case(framework="openvino"), kind="parity", version="2026.4.1", parity=parity(), checks=[expected]),
        *(record(case(batch_size=size), latency=latency(median_ns=12_200 * size), readings=watched) for size in (1, 8)),
        record(case("resnet50", batch_size=1), latency=latency(40, median_ns=8_132_000)),
        *(
            record(case(model, framework="pytorch"), kind=kind, outcome="skipped", cannot_run=lacking)
            for model in ("digits-cnn", "resnet50")
            for kind in ("accuracy", "latency")
        ),
        record(
            case("densenet121", framework="opencv_dnn"),
            outcome="xfailed",
            reason="OpenCV 4.14 cannot load this graph: its importer does not know the layer",
        ),
        record(
            case("inception_v2", framework="tensorflow"),
            outcome="failed",
            reason="predictor host killed by SIGSEGV; last output:\nsome line\nanother",
        ),
    ]
