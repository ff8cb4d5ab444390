"""Making the datasets, metrics and steps a manifest names, and checking what they are given."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_mlscope.components import Dataset, Holds, Metric, PostprocessingStep, PreprocessingStep
from pytest_mlscope.documents import Path, dotted, one_line, quoted, schema_mistakes
from pytest_mlscope.manifest.dimensions import STATED
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.loaded import BoundMetric
from pytest_mlscope.manifest.schema.dataset import DatasetEntry, MetricEntry
from pytest_mlscope.manifest.schema.tensors import StepEntry

_VARIANT_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_ROWS = re.compile(r"(\d*):(\d*)")
_Component = TypeVar("_Component", bound=BaseModel)


def make_component(
    findings: Findings,
    path: Path,
    component: type[_Component],
    parameters: Mapping[str, Any],
    reserved: Sequence[str] = (),
) -> _Component | None:
    """A component with the parameters at a path; ``None``, and what is wrong with them said, where they are wrong.

    :param reserved: keys beside the parameters, which may stand there too.
    """
    data = dict(parameters)
    try:
        # Validated as JSON: YAML, too, has neither tuples nor enumerations, and strict JSON accepts lists and text.
        return component.model_validate_json(json.dumps(data))
    except ValidationError as error:
        for mistake in schema_mistakes(
            error,
            model=component,
            data=data,
            place=lambda inner: (*findings.place(path), *inner),
            reserved=reserved,
        ):
            if mistake.silent:
                continue
            if mistake.kind == "missing":
                findings.at_document(mistake.path[:-1], mistake.message)
            elif mistake.kind == "unknown key":
                findings.at_document(mistake.path, mistake.message, key=True)
            else:
                findings.at_document(mistake.path, mistake.message)
    except Exception as error:  # a component is a plugin's code, whose validators can raise anything
        findings.about(
            path, f"cannot be checked: {component.__name__} raised {type(error).__name__}: {one_line(error)}"
        )
    return None


def _steps(
    findings: Findings, path: Path, entries: Sequence[StepEntry], known: Mapping[str, type[_Component]], what: str
) -> tuple[_Component, ...]:
    made: list[_Component] = []
    for index, entry in enumerate(entries):
        here = (*path, index)
        if findings.one_of((*here, "step"), f"{what} step", entry.step, list(known)):
            step = make_component(findings, here, known[entry.step], entry.parameters, ("step",))
            made += [step] if step is not None else []
    return tuple(made)


def make_preprocessing(findings: Findings) -> dict[str, dict[str, tuple[PreprocessingStep, ...]]]:
    """Variant name, ``stated`` first, to input name to steps; inputs a variant leaves out keep the stated steps."""
    content, known = findings.content, findings.registry.preprocessing_steps
    stated = {
        entry.name: _steps(findings, ("inputs", index, "preprocess"), entry.preprocess, known, "pre-processing")
        for index, entry in enumerate(content.inputs)
    }
    variants = {STATED: stated}
    for variant, inputs in content.preprocessing_variants.items():
        path: Path = ("preprocessing_variants", variant)
        if variant == STATED:
            findings.at_key(path, f"the name {STATED!r} is that of the inputs' own steps; allowed: another name")
        elif not _VARIANT_NAME.fullmatch(variant):
            findings.at_key(path, f"the variant name {quoted(variant)}; allowed: lower-case letters, digits and '_'")
        if not inputs and findings.is_whole(*path):
            findings.about(path, "is empty; required: the steps of at least one input")
        variants[variant] = dict(stated)
        for name, entries in inputs.items():
            if findings.has_all_entries("inputs"):
                findings.one_of((*path, name), "the manifest's inputs", name, list(stated), key=True)
            variants[variant][name] = _steps(findings, (*path, name), entries, known, "pre-processing")
    return variants


def make_postprocessing(findings: Findings) -> dict[str, tuple[PostprocessingStep, ...]]:
    """Output name to steps."""
    known = findings.registry.postprocessing_steps
    made = {}
    for index, entry in enumerate(findings.content.outputs):
        path: Path = ("outputs", index, "postprocess")
        made[entry.name] = _steps(findings, path, entry.postprocess, known, "post-processing")
        decided = next((step.name for step in made[entry.name] if step.gives is not None), None)
        if entry.holds == "ranking" and decided is not None:
            # The largest class number is nobody's best class.
            findings.about(
                ("outputs", index, "holds"),
                f"is 'ranking', which has no scores for the step {quoted(decided)} to read; allowed: 'scores'",
            )
    return made


def _check_rows(findings: Findings, entry: DatasetEntry) -> None:
    match = _ROWS.fullmatch(entry.rows or ":")
    first, past_last = (int(text) if text else None for text in (match.groups() if match else ("", "")))
    if any(number is not None and number > 2**40 for number in (first, past_last)):
        findings.about(("dataset", "rows"), f"is {quoted(entry.rows or '')}; allowed: row numbers up to {2**40}")
    elif past_last is not None and (first or 0) >= past_last:
        findings.about(
            ("dataset", "rows"), f"is {quoted(entry.rows or '')}, which has no rows; allowed: first < past_last"
        )
    elif past_last is not None and entry.sample is not None and entry.sample.size > past_last - (first or 0):
        there = past_last - (first or 0)
        findings.about(
            ("dataset", "sample", "size"), f"is {entry.sample.size}, but rows has {there}; allowed: at most {there}"
        )


def make_dataset(findings: Findings) -> Dataset | None:
    """The dataset, where the manifest has one."""
    entry = findings.content.dataset
    if entry is None:
        return None
    _check_rows(findings, entry)
    if findings.has_all_entries("inputs"):
        names = [entry.name for entry in findings.content.inputs]
        for name in entry.inputs:
            findings.one_of(("dataset", "inputs", name), "the manifest's inputs", name, names, key=True)
    known = findings.registry.datasets
    if not findings.one_of(("dataset", "source"), "dataset source", entry.source, list(known)):
        return None
    reserved = list(DatasetEntry.model_fields)
    return make_component(findings, ("dataset",), known[entry.source], entry.parameters, reserved)


def _output_of(findings: Findings, path: Path, entry: MetricEntry | None) -> str | None:
    outputs = [output.name for output in findings.content.outputs]
    if not findings.has_all_entries("outputs"):
        return None
    if entry is not None and entry.output is not None:
        is_known = findings.one_of((*path, "output"), "the manifest's outputs", entry.output, outputs)
        return entry.output if is_known else None
    if len(outputs) > 1:
        findings.at(path, f"{dotted(findings.place(path))} does not say which output it reads; allowed: "
                    f"{{metric: …, output: NAME}} with one of {', '.join(outputs)}")  # fmt: skip
        return None
    return outputs[0] if outputs else None


def metric_names(findings: Findings) -> list[str]:
    """What each metric is reported as: its name, and the output too where the same metric is there several times."""
    entries = [
        (entry, None) if isinstance(entry, str) else (entry.metric, entry.output) for entry in findings.content.metrics
    ]
    words = [word for word, _ in entries]
    return [f"{word}_{output}" if words.count(word) > 1 and output else word for word, output in entries]


def _state_mistake(metric: Metric) -> str | None:
    """What is wrong with what ``start`` returns: better said now than after every row was predicted."""
    try:
        state = metric.start()
    except Exception as error:
        return f"its start fails: {' '.join(str(error).split()) or type(error).__name__}"
    missing = [name for name in ("update", "count_errors", "result") if not callable(getattr(state, name, None))]
    if missing:
        return f"its start returns a {type(state).__name__}, which lacks the method {', '.join(missing)}"
    return None


def _held(stated: Holds | None, steps: Sequence[PostprocessingStep]) -> Holds | None:
    """What an output holds after its steps."""
    return next((step.gives for step in reversed(steps) if step.gives is not None), stated)


def make_metrics(
    findings: Findings, postprocessing: Mapping[str, Sequence[PostprocessingStep]]
) -> tuple[BoundMetric, ...]:
    """The metrics, bound to the outputs they read.

    :param postprocessing: output name to steps.
    """
    content, known = findings.content, findings.registry.metrics
    if content.metrics and content.dataset is None and findings.is_whole("dataset"):
        findings.at_key(("metrics",), "metrics need a dataset to be computed on; add dataset, or take metrics out")
    common = content.dataset.label if content.dataset else None
    labels = [(None if isinstance(entry, str) else entry.label) or common for entry in content.metrics]
    if content.dataset and not all(labels) and findings.is_whole("dataset"):
        findings.at(("dataset",), "missing key 'label'; dataset requires it, since there are metrics without a label")
    names = metric_names(findings)
    findings.distinct(("metrics",), "metric", names)
    holds = {entry.name: _held(entry.holds, postprocessing.get(entry.name, ())) for entry in content.outputs}
    bound: list[BoundMetric] = []
    for index, entry in enumerate(content.metrics):
        path: Path = ("metrics", index)
        word, parameters = (entry, {}) if isinstance(entry, str) else (entry.metric, entry.parameters)
        output = _output_of(findings, path, None if isinstance(entry, str) else entry)
        if findings.one_of(path if isinstance(entry, str) else (*path, "metric"), "metric", word, list(known)):
            metric = make_component(findings, path, known[word], parameters, ("metric", "output", "label"))
            if metric is not None and (mistake := _state_mistake(metric)):
                findings.at(path, f"metric {quoted(word)}: {mistake}")
            label = labels[index]
            if metric is not None and output is not None and label is not None:
                bound.append(BoundMetric(names[index], metric, output, label, holds[output]))
    return tuple(bound)
