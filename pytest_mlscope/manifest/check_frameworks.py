"""Checks of ``frameworks`` against framework folders, and of where files come from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.specifiers import SpecifierSet

from pytest_mlscope.components import FrameworkDescription
from pytest_mlscope.documents import Path, dotted, listed, quoted, unknown
from pytest_mlscope.errors import FrameworkError
from pytest_mlscope.manifest.dimensions import devices_in_use
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.offered import offers
from pytest_mlscope.manifest.schema.frameworks import FrameworkEntry, ModelFile
from pytest_mlscope.manifest.schema.tensors import Input, Output
from pytest_mlscope.manifest.versions import can_hold_together, is_valid, specifiers

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z][A-Za-z0-9+.-]*)*)://")
_PACKAGE = re.compile(r"package://[A-Za-z0-9][A-Za-z0-9._-]*/[^/].*")

_MOST_MALFORMED = 5


def describe(findings: Findings, framework: str) -> FrameworkDescription | None:
    """What ``framework.yml`` says; ``None`` for frameworks that are unknown or malformed."""
    folder = findings.registry.frameworks.get(framework)
    try:
        return None if folder is None else folder.description
    except FrameworkError:
        return None


def supports(findings: Findings, framework: str, hardware: str, precision: str) -> bool:
    """Whether a framework could run this precision on this hardware somewhere; true where that is not known."""
    return offers(findings.registry, framework, hardware, precision)


def _check_version(findings: Findings, path: Path, version: str | None, *, takes: str = "*", whose: str = "") -> None:
    """Say what is wrong with one constraint.

    :param takes: the versions that ``framework.yml`` of
    :param whose: takes.
    """
    if version is None:
        return
    if not is_valid(version):
        allowed = 'a release, such as "1.20", or PEP 440 specifiers, such as >=1.17,<2'
        findings.about(path, f"is {quoted(version)}; allowed: {allowed}")
    elif not can_hold_together(version):
        findings.about(path, f"is {quoted(version)}, which no version satisfies")
    elif not can_hold_together(version, takes):
        findings.about(path, f"is {quoted(version)}; framework.yml of {whose} takes {takes!r}")


def _check_versions(findings: Findings, path: Path, name: str, entry: FrameworkEntry) -> None:
    description = describe(findings, name)
    takes = description.version if description is not None else "*"
    here = (*path, "version")
    if not isinstance(entry.version, list):
        _check_version(findings, here, entry.version, takes=takes, whose=name)
        return
    seen: list[str] = []
    for index, version in enumerate(entry.version):
        _check_version(findings, (*here, index), version, takes=takes, whose=name)
        if is_valid(version) and SpecifierSet(specifiers(version)) in [SpecifierSet(specifiers(v)) for v in seen]:
            findings.at((*here, index), f"duplicate version {version!r}; allowed: each once")
        elif is_valid(version):
            seen.append(version)
        # A release of one number can stand in an id where the end of another framework's name does.
        if f"{name}-{version}" in findings.content.frameworks and len(entry.version) > 1:
            findings.about((*here, index), f"is {quoted(version)}, and there is a framework {name}-{version}")


def _check_precision_files(
    findings: Findings, path: Path, entry: FrameworkEntry, description: FrameworkDescription
) -> None:
    known = [*description.files, *description.optional_files]
    framework = str(path[-1])
    for precision, files in entry.precision_files.items():
        here = (*path, "precision_files", precision)
        for role in files:
            findings.one_of((*here, role), f"file role of {framework}", role, known, key=True)
        if not findings.is_whole("matrix"):
            continue
        combinations = [c for c in devices_in_use(findings.content) if c[0] == framework and c[3] == precision]
        if not combinations:
            findings.at_key(here, f"the files for {precision} are never used, since matrix.precision leaves it out")
        elif not any(supports(findings, framework, hardware, precision) for _, _, hardware, _ in combinations):
            targets = listed(dict.fromkeys(hardware for _, _, hardware, _ in combinations))
            findings.at_key(
                here, f"the files for {precision} are never used: {framework} does not offer it on {targets}"
            )


def local_path_mistake(path: str) -> str | None:
    """What is wrong with a path that is to be relative to the manifest; ``None`` when nothing."""
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", path):
        return f"is the absolute path {quoted(path)}; allowed: a path relative to the manifest, or file://{path}"
    if path.startswith("~"):
        return f"is {quoted(path)}, and '~' is not expanded; allowed: a path relative to the manifest, or file://"
    if path.endswith("/") or path in (".", ".."):
        return f"is the folder {quoted(path)}; allowed: a file"
    return None


def _check_file(findings: Findings, path: Path, file: ModelFile) -> None:
    scheme = _SCHEME.match(file.path)
    here = (*path, "path")
    if scheme is None:
        problem = local_path_mistake(file.path)
        if "://" in file.path:
            problem = f"is {quoted(file.path)}, whose scheme is malformed; allowed: letters, digits, '+', '-' and '.'"
        if problem:
            findings.about(here, problem)
    elif scheme[1] == "package":
        if not _PACKAGE.fullmatch(file.path) or ".." in file.path.split("/"):
            findings.about(here, f"is {quoted(file.path)}; allowed: package://DISTRIBUTION/path/inside/it")
    elif scheme[1] == "file":
        if not re.match(r"file:///[^/]", file.path):
            findings.about(
                here, f"is {quoted(file.path)}; allowed: file:// and an absolute path, as in file:///models/m"
            )
    elif file.sha256 is None and findings.is_whole(*findings.place(path)):
        findings.at(path, f"missing key 'sha256'; {dotted(findings.place(path))} requires it, since its path is remote")


def _check_names(findings: Findings, path: Path, names: dict[str, str], known: list[str], what: str) -> None:
    whole = findings.has_all_entries(f"{what}s")
    for name in names:
        if whole:
            findings.one_of((*path, name), f"the manifest's {what}s", name, known, key=True)
    if not whole:
        return
    used: dict[str, str] = {}
    for name in known:
        theirs = names.get(name, name)
        if theirs in used and {name, used[theirs]} & names.keys():
            guilty = name if name in names else used[theirs]
            findings.at(
                (*path, guilty), f"{what}s {used[theirs]!r} and {name!r} are both called {theirs!r} in the file"
            )
        used[theirs] = name


def _check_layouts(
    findings: Findings, path: Path, layouts: dict[str, str], described: Mapping[str, Input | Output], what: str
) -> None:
    whole = findings.has_all_entries(f"{what}s")
    for name, layout in layouts.items():
        here = (*path, name)
        if name not in described:
            if whole:
                findings.one_of(here, f"the manifest's {what}s", name, list(described), key=True)
            continue
        stated = described[name].layout
        if stated is None:
            if findings.is_whole(f"{what}s"):
                advice = f"give {what}s a layout before changing it here"
                findings.at_key(here, f"{what} {name!r} states no layout; {advice}")
        elif sorted(layout) != sorted(stated):
            findings.about(here, f"is {quoted(layout)}; allowed: a permutation of the {what}'s layout {stated}")


def _check_entry(findings: Findings, path: Path, entry: FrameworkEntry, description: FrameworkDescription) -> None:
    roles = list(description.files)
    if findings.has_all_entries(*path, "files"):
        for role in roles:
            if role not in entry.files:
                findings.at(
                    (*path, "files"),
                    f"missing file {role!r} ({description.files[role]}); {path[-1]} requires: {listed(roles)}",
                )
    for role in entry.files:
        known = [*roles, *description.optional_files]
        findings.one_of((*path, "files", role), f"file role of {path[-1]}", role, known, key=True)
    _check_precision_files(findings, path, entry, description)
    for option in entry.options:
        findings.one_of(
            (*path, "options", option), f"option of {path[-1]}", option, list(description.options), key=True
        )


def _unknown_framework(findings: Findings, name: str) -> str:
    folders = findings.registry.frameworks
    malformed = [other for other in folders if describe(findings, other) is None]
    message = unknown("framework", name, [other for other in folders if other not in malformed])
    message += "; looked in frameworks/ of the rootdir (--rootdir sets it), of installed packages and of pytest-mlscope"
    # Whole paths, which listed() would cut: they are to be opened.
    files = ", ".join(str(folders[other].source) for other in malformed[:_MOST_MALFORMED])
    more = f", … {len(malformed) - _MOST_MALFORMED} more" if len(malformed) > _MOST_MALFORMED else ""
    return f"{message}; malformed: {files}{more}" if malformed else message


def check_frameworks(findings: Findings) -> None:
    """Everything under ``frameworks``."""
    inputs = {entry.name: entry for entry in findings.content.inputs}
    described = {entry.name: entry for entry in findings.content.outputs}
    outputs = list(described)
    for name, entry in findings.content.frameworks.items():
        path: Path = ("frameworks", name)
        if name not in findings.registry.frameworks:
            findings.at_key(path, _unknown_framework(findings, name))
        else:
            try:
                _check_entry(findings, path, entry, findings.registry.frameworks[name].description)
            except FrameworkError as error:
                for line in str(error).splitlines():
                    findings.at_key(path, f"framework {name!r} cannot be used: {line}")
        _check_versions(findings, path, name, entry)
        if entry.xfail is not None:
            _check_version(findings, (*path, "xfail", "version"), entry.xfail.version)
            findings.distinct((*path, "xfail", "kinds"), "kind", entry.xfail.kinds or ())
        for role, file in entry.files.items():
            _check_file(findings, (*path, "files", role), file)
        for precision, files in entry.precision_files.items():
            for role, file in files.items():
                _check_file(findings, (*path, "precision_files", precision, role), file)
        _check_names(findings, (*path, "input_names"), entry.input_names, list(inputs), "input")
        _check_names(findings, (*path, "output_names"), entry.output_names, outputs, "output")
        _check_layouts(findings, (*path, "input_layouts"), entry.input_layouts, inputs, "input")
        _check_layouts(findings, (*path, "output_layouts"), entry.output_layouts, described, "output")
