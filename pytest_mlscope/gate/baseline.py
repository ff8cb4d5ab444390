"""What a run is compared with: a git revision, another checkout, another version of a framework or of a model, or a
saved run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_mlscope.cases import Case, Plan, expand
from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.errors import BaselineError, FileLacks, MlscopeError, NoCounterpart, NotInBaseline
from pytest_mlscope.gate.comparison import why_and_command
from pytest_mlscope.gate.git_revision import Revision, check_out
from pytest_mlscope.gate.saved_run import SavedRun
from pytest_mlscope.manifest import LoadedManifest, can_hold_together, is_release, is_valid
from pytest_mlscope.text import closest, did_you_mean, with_folder_called

LoadCases = Callable[[Path, Path], tuple[LoadedManifest, Sequence[Case]]]
"""A manifest's path and the project it belongs to, to the manifest and its cases; raises MlscopeError."""

FRAMEWORK_PREFIX, MODEL_PREFIX = "framework:", "model:"
_TOLD = ("precision", "version", "batch_size", "threads", "scenario", "preprocessing")
"""Dimensions that a message about a missing case names, where the case differs from another one in nothing else."""
REPLACED = ("precision", "version")
"""Dimensions in which one value may take another's place: the file was quantised, the framework brought up to date."""


class Baseline(ABC):
    """Gives each case the one it is compared with, to be measured in this run."""

    label: str
    """What reports call it."""
    remark: str | None = None
    """Something the reader should know, in one line."""
    other_files = True
    """Whether model files, manifests or predictors may be others than the candidate's."""

    @abstractmethod
    def counterpart(self, plan: Plan) -> Plan:
        """:raises NoCounterpart: when there is none. :raises MlscopeError: when it is broken."""

    def why_and_command(self, error: MlscopeError) -> tuple[str, str | None]:
        """What went wrong on the baseline's side, in words that fit what it is, and the command that would help."""
        return why_and_command(error)


def _but_for(dimension: str, cases: Sequence[Case], case: Case) -> list[Case]:
    """Those that differ from the case in this dimension only."""
    value: Any = getattr(case, dimension)
    return [other for other in cases if replace(other, **{dimension: value}).cell == case.cell]


def _same_cell(manifest: LoadedManifest, cases: Sequence[Case], plan: Plan, where: str) -> Plan:
    """The case of the same cell or, where one precision or version took another's place, of the cell that is gone."""
    case = plan.case
    for other in cases:
        if other.cell == case.cell:
            return Plan.of(manifest, other)
    here = {each.cell for each in expand(plan.manifest)}
    for dimension in REPLACED:
        replaced = [other for other in _but_for(dimension, cases, case) if other.cell not in here]
        # Of several that are gone, it is not known which one was replaced.
        if len(replaced) == 1:
            return Plan.of(manifest, replaced[0])
    for dimension in _TOLD:
        if others := _but_for(dimension, cases, case):
            name = others[0].id if len(others) == 1 else case.framework
            values = " or ".join(str(getattr(other, dimension)) for other in others)
            raise NotInBaseline(f"{where} has {name} with {dimension} {values}, not {getattr(case, dimension)}")
    raise NotInBaseline(f"{where} has no case {case.id or case.framework}")


class FolderBaseline(Baseline):
    """Another checkout of the project or suite: manifests are found by their path within it."""

    def __init__(
        self, folder: Path, *, label: str, project: Path, load: LoadCases, revision: Revision | None = None
    ) -> None:
        """:param revision: what the folder is of, where it is no checkout that the user made."""
        self.label = label
        if revision is not None and revision.dirty:
            self.remark = "the working tree has uncommitted changes, and is compared as it is"
        self._folder, self._project, self._load = folder.resolve(), project.resolve(), load
        self._revision = revision

    def counterpart(self, plan: Plan) -> Plan:
        path = plan.manifest.path.resolve()
        parts = path.relative_to(self._project).parts if path.is_relative_to(self._project) else path.parts[-1:]
        # A checkout's folder may be the whole project's or only the suite's.
        for start in range(len(parts) if self._revision is None else 1):
            candidate = self._folder.joinpath(*parts[start:])
            if not candidate.is_file() or candidate == path:
                continue
            try:
                manifest, cases = self._load(candidate, self._folder)
            except MlscopeError as error:
                raise BaselineError(str(error), cause=error) from None
            if start == 0 or manifest.content.name == plan.case.model:
                return _same_cell(manifest, cases, plan, f"{candidate.name} there")
        if self._folder.joinpath(*parts) == path:
            raise NoCounterpart("it is the folder that is evaluated; name another checkout")
        raise NotInBaseline(f"there is no {'/'.join(parts)}; is the model new?")

    def why_and_command(self, error: MlscopeError) -> tuple[str, str | None]:
        """With files as git names them: ``HEAD:model.mlscope.yml`` for one that lies in the cache."""
        why, command = why_and_command(error)
        if self._revision is None:
            return why, command
        folder = self._revision.folder.resolve()
        if isinstance(error, FileLacks) and Path(error.path).is_relative_to(folder):
            # Not the user, but we checked it out.
            why = error.advising(
                "install git-lfs, run `mlscope cache clear`, and try again"
                if error.is_pointer
                else "is it ignored, or not committed yet?"
            )
        return with_folder_called(why, folder, f"{self._revision.name}:"), command


class ModelBaseline(Baseline):
    """Another version of the model, with a manifest of its own."""

    def __init__(self, manifest: Path, *, project: Path, load: LoadCases) -> None:
        self.label = manifest.name
        self._manifest, self._project, self._load = manifest, project, load

    def counterpart(self, plan: Plan) -> Plan:
        manifest, cases = self._load(self._manifest.resolve(), self._project)
        return _same_cell(manifest, cases, plan, str(self._manifest))


class VersionBaseline(Baseline):
    """Another version of one framework; cases of others have no counterpart."""

    other_files = False

    def __init__(self, framework: str, version: str) -> None:
        self.label = f"{framework} {version.removeprefix('==')}"
        self._framework, self._version = framework, version

    def counterpart(self, plan: Plan) -> Plan:
        if plan.case.framework != self._framework:
            raise NoCounterpart(f"only {self._framework} is compared")
        return plan.with_case(version=self._version)

    def mistake(self, frameworks: Mapping[str, FrameworkFolder]) -> str | None:
        """What is wrong when no case of the run can be compared, in one line.

        :param frameworks: by name, those of the run's cases.
        """
        name = self._framework
        if not frameworks:
            return None
        if name not in frameworks:
            hint = did_you_mean(closest(name, frameworks))
            return (
                f"--mlscope-against: no case has framework {name!r}{hint}; cases have: {', '.join(sorted(frameworks))}"
            )
        takes = frameworks[name].description.version
        if can_hold_together(takes, self._version):
            return None
        return f"--mlscope-against: framework.yml of {name} takes {takes!r}, which {self._version!r} is not"


def _framework_version(text: str) -> VersionBaseline:
    name, separator, version = text.removeprefix(FRAMEWORK_PREFIX).partition("==")
    name, version = name.strip(), version.strip().removesuffix(".*")
    if not separator or not name or not is_valid(f"=={version}"):
        raise BaselineError(f"{text!r}: expected framework:NAME==VERSION, such as framework:onnxruntime==1.30.0")
    # A bare release is what a manifest's version is, 1.30 with all its patches, and has the same environment.
    return VersionBaseline(name, version if is_release(version) else f"=={version}")


def _of_revision(revision: Revision, *, project: Path, load: LoadCases) -> FolderBaseline:
    inside = project.resolve()
    folder = revision.folder
    if inside.is_relative_to(revision.repository.resolve()):
        folder = folder / inside.relative_to(revision.repository.resolve())
    label = revision.name if revision.commit.startswith(revision.name) else f"{revision.name} ({revision.commit[:9]})"
    return FolderBaseline(folder, label=label, project=project, load=load, revision=revision)


def _is_saved_run(path: Path) -> bool:
    """Whether it is meant for one: git's revisions may be called like files."""
    if path.suffix == ".json":
        return True
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"{")
    except OSError:
        return False


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise BaselineError(f"{text}: there is no home folder for '~'; write the path without it") from None


def find_baseline(text: str, *, project: Path, home: Path, load: LoadCases) -> Baseline | SavedRun:
    """What ``--mlscope-against`` names.

    :param text: ``framework:NAME==VERSION``, ``model:MANIFEST``, a folder, a file that ``--mlscope-json`` wrote, or
        else a git revision.
    :param project: the folder that is evaluated, pytest's root.
    :raises BaselineError: one line, when there is no such thing.
    """
    if text.startswith(FRAMEWORK_PREFIX):
        return _framework_version(text)
    if text.startswith(MODEL_PREFIX):
        manifest = _expanded(text.removeprefix(MODEL_PREFIX))
        if not manifest.exists():
            raise BaselineError(f"{manifest}: there is no such file")
        if not manifest.is_file():
            raise BaselineError(f"{manifest}: is not a manifest to compare with; {MODEL_PREFIX} takes a *.mlscope.yml")
        try:
            load(manifest.resolve(), project)
        except MlscopeError as error:
            raise BaselineError(str(error)) from None
        return ModelBaseline(manifest, project=project, load=load)
    path = _expanded(text)
    if path.is_dir():
        if path.resolve() == project.resolve():
            raise BaselineError(
                f"{text}: is the project itself; name another checkout, and write --mlscope-against={text} in one word "
                "(of two words, pytest takes the second one for its rootdir)"
            )
        return FolderBaseline(path, label=text, project=project, load=load)
    if _is_saved_run(path):
        return SavedRun(path)
    return _of_revision(check_out(text, folder=project, home=home), project=project, load=load)
