"""Checks of ``matrix``: values, what can run at all, what selectors choose."""

from __future__ import annotations

from typing import Any

from pytest_mlscope.documents import Path, dotted, found, listed
from pytest_mlscope.manifest.check_frameworks import describe, supports
from pytest_mlscope.manifest.check_hardware import check_target, usable_target
from pytest_mlscope.manifest.dimensions import (
    NAMES,
    criteria,
    devices_in_use,
    dimensions_of,
    excluded_cells,
    included_cell,
)
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.schema.matrix import CaseSelector

MAX_CASES = 1_000_000
MAX_BATCH = 2**20
MAX_THREADS = 4096
_PLURALS = {
    "framework": "the manifest's frameworks",
    "version": "the manifest's framework versions",
    "hardware": "the matrix's hardware",
    "precision": "the matrix's precisions",
    "preprocessing": "the pre-processing variants",
    "threads": "the matrix's thread counts",
    "batch_size": "the matrix's batch sizes",
    "scenario": "the matrix's scenarios",
}


def _check_number(findings: Findings, path: Path, value: object, largest: int) -> None:
    if isinstance(value, int) and not 1 <= value <= largest:
        findings.about(path, f"is {found(value)}; allowed: 1 to {largest}")


def _check_values(findings: Findings) -> None:
    matrix = findings.content.matrix
    for name, values in (
        ("hardware", matrix.hardware),
        ("precision", matrix.precision),
        ("threads", matrix.threads),
        ("batch_size", matrix.batch_size),
        ("scenario", matrix.scenario),
    ):
        findings.distinct(("matrix", name), name.replace("_", " "), values)
    for index, hardware in enumerate(matrix.hardware):
        check_target(findings, ("matrix", "hardware", index), hardware)
    for index, threads in enumerate(matrix.threads):
        _check_number(findings, ("matrix", "threads", index), threads, MAX_THREADS)
    for index, size in enumerate(matrix.batch_size):
        _check_number(findings, ("matrix", "batch_size", index), size, MAX_BATCH)


def _named_values(findings: Findings) -> list[list[Any]]:
    dimensions = dimensions_of(findings.content)
    included = [included_cell(entry, dimensions) for entry in findings.content.matrix.include]
    return [
        list(dict.fromkeys([*values, *(cell[index] for cell in included)]))
        for index, values in enumerate(dimensions.values)
    ]


def _referable(findings: Findings, name: str, values: list[Any]) -> list[Any] | None:
    """What a selector may name in a dimension; ``None`` when that is not known."""
    if name == "framework":
        return findings.frameworks
    if name == "version":
        return values if findings.is_whole("frameworks") else None
    if name == "preprocessing":
        return values if findings.has_all_entries("preprocessing_variants") else None
    if not (findings.has_all_entries("matrix", name) and findings.has_all_entries("matrix", "include")):
        return None
    if name == "batch_size" and not findings.is_whole("inputs"):
        return None
    return findings.hardware(values) if name == "hardware" else values


def check_selector(findings: Findings, path: Path, selector: CaseSelector, values: list[list[Any]]) -> bool:
    """Say what is wrong with a selector; whether it can select anything."""
    wanted = criteria(selector)
    if not wanted and findings.is_whole(*findings.place(path)):
        findings.about(path, f"selects every case; required: at least one of {', '.join(NAMES)}")
        return False
    is_right = bool(wanted)
    for index, value in wanted.items():
        name = NAMES[index]
        names = _referable(findings, name, values[index])
        if names is not None:
            is_right = findings.one_of((*path, name), _PLURALS[name], value, names) and is_right
    return _check_version_of(findings, path, selector.framework, selector.version) and is_right


def _check_version_of(findings: Findings, path: Path, framework: str | None, version: str | None) -> bool:
    """Whether a version that is named beside a framework is one of that framework's."""
    entry = findings.content.frameworks.get(framework or "")
    if entry is None or version is None or not findings.is_whole("frameworks"):
        return True
    stated = [other for other in entry.versions if other is not None]
    if not stated:
        findings.at((*path, "version"), f"{framework} states no version that could be named; give it one")
        return False
    return findings.one_of((*path, "version"), f"the versions of {framework}", version, stated)


def _check_include(findings: Findings) -> None:
    content = findings.content
    dimensions = dimensions_of(content)
    excluded = excluded_cells(content)
    seen: set[tuple[Any, ...]] = set()
    for index, entry in enumerate(content.matrix.include):
        path: Path = ("matrix", "include", index)
        _check_number(findings, (*path, "threads"), entry.threads, MAX_THREADS)
        is_known = entry.framework in content.frameworks
        if not is_known and findings.frameworks is not None:
            findings.one_of((*path, "framework"), "the manifest's frameworks", entry.framework, findings.frameworks)
        is_known = _check_version_of(findings, path, entry.framework, entry.version) and is_known
        if entry.hardware is not None:
            is_known = check_target(findings, (*path, "hardware"), entry.hardware) and is_known
        if entry.preprocessing is not None and findings.has_all_entries("preprocessing_variants"):
            variants = list(dimensions["preprocessing"])
            where = (*path, "preprocessing")
            is_known = findings.one_of(where, _PLURALS["preprocessing"], entry.preprocessing, variants) and is_known
        if not is_known or not findings.is_whole("matrix"):
            continue
        cell = included_cell(entry, dimensions)
        in_product = cell[:2] in dimensions.frameworks and all(
            value in values for value, values in zip(cell[2:], dimensions.values[2:], strict=True)
        )
        framework, _, hardware, precision = cell[:4]
        if not supports(findings, framework, hardware, precision):
            findings.about(path, f"can never run: {framework} does not offer {precision} on {hardware}")
        elif cell in seen or (in_product and cell not in excluded):
            findings.about(path, "adds a case that is there already; allowed: a further combination")
        seen.add(cell)


def _check_support(findings: Findings) -> None:
    """A hardware target, precision or framework of the manifest that makes no case is a mistake, reported once."""
    content = findings.content
    matrix = content.matrix
    pairs: dict[tuple[str, str], bool] = {}
    has_a_case: dict[str, bool] = {}
    for framework, _, hardware, precision in devices_in_use(content):
        if usable_target(findings, hardware) is not None:
            pair = (hardware, precision)
            is_offered = supports(findings, framework, hardware, precision)
            pairs[pair] = pairs.get(pair, False) or is_offered
            has_a_case[framework] = has_a_case.get(framework, False) or is_offered
    before = len(findings.mistakes)
    for name, part, values in (("hardware", 0, matrix.hardware), ("precision", 1, matrix.precision)):
        for index, value in enumerate(values):
            concerned = [pair for pair in pairs if pair[part] == value]
            if concerned and not any(pairs[pair] for pair in concerned):
                where = "" if name == "hardware" else f" on {listed(dict.fromkeys(pair[0] for pair in concerned))}"
                does_not = "runs on" if name == "hardware" and not any(
                    has_device(findings, framework, value) for framework in content.frameworks
                ) else "offers any of the precisions on" if name == "hardware" else "offers"  # fmt: skip
                findings.at(("matrix", name, index), f"no framework of the manifest {does_not} {value}{where}")
                # What a hardware target's own mistake explains is not said of the precisions again.
                pairs.update(dict.fromkeys(concerned, True))
    # A mistake that was just reported may be why a framework has no case.
    if len(findings.mistakes) == before:
        _check_idle(findings, [framework for framework, has_one in has_a_case.items() if not has_one])


def _check_idle(findings: Findings, frameworks: list[str]) -> None:
    """Frameworks that offer nothing the matrix asks for; the parity reference is run all the same."""
    content = findings.content
    targets = list(dict.fromkeys(hardware for _, _, hardware, _ in devices_in_use(content)))
    for framework in frameworks:
        if content.expect.parity is not None and content.expect.parity.reference == framework:
            continue
        description = describe(findings, framework)
        offered = [
            f"{listed(target.precisions_of(description))} on {hardware}"
            for hardware in targets
            if description and (target := usable_target(findings, hardware)) and target.device_of(description)
        ]
        does = f"it offers {'; '.join(offered)}" if offered else f"it runs on none of {listed(targets)}"
        message = (
            f"framework {framework!r} has no case: {does}; remove the framework, or include a case that it can run"
        )
        findings.at_key(("frameworks", framework), message)


def has_device(findings: Findings, framework: str, hardware: str) -> bool:
    """Whether a framework has a name for the target; true where that is not known."""
    description, target = describe(findings, framework), usable_target(findings, hardware)
    return description is None or target is None or target.device_of(description) is not None


def _has_cases(findings: Findings) -> bool:
    content = findings.content
    if content.matrix.include:
        return True
    excluded = excluded_cells(content)
    return any(cell not in excluded for cell in dimensions_of(content).cells())


def check_matrix(findings: Findings) -> None:
    """Everything under ``matrix``."""
    _check_values(findings)
    _check_include(findings)
    dimensions = dimensions_of(findings.content)
    values = [list(names) for names in dimensions.values]
    for index, selector in enumerate(findings.content.matrix.exclude):
        check_selector(findings, ("matrix", "exclude", index), selector, values)
    if not (findings.is_whole("matrix") and findings.has_all_entries("frameworks")):
        return
    if dimensions.size > MAX_CASES:
        findings.at(("matrix",), f"{dotted(('matrix',))} makes {dimensions.size} cases; allowed: at most {MAX_CASES}")
        return
    if not _has_cases(findings):
        findings.at_key(("matrix", "exclude"), "matrix.exclude leaves no case; required: at least one")
        return
    _check_support(findings)


def check_overrides(findings: Findings) -> None:
    """The selectors of ``expect_overrides`` and of ``gate.accepted``."""
    values = _named_values(findings)
    for index, accepted in enumerate(findings.content.gate.accepted):
        if accepted.when is not None:
            check_selector(findings, ("gate", "accepted", index, "when"), accepted.when, values)
    for index, override in enumerate(findings.content.expect_overrides):
        check_selector(findings, ("expect_overrides", index, "when"), override.when, values)
