"""Parity: a case's raw outputs against the reference framework's, on the same pre-processed inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.expectation import expectation_for
from pytest_mlscope.errors import BaselineError, CannotRun, HostError, MlscopeError, NotSupported
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.manifest.kinds import parity_reference
from pytest_mlscope.manifest.versions import requirement
from pytest_mlscope.measurements.parity.comparison import OutputComparison
from pytest_mlscope.measurements.parity.raw_outputs import RawOutputs, predict_raw
from pytest_mlscope.measurements.parity.tolerance import Tolerance, Tolerances
from pytest_mlscope.measurements.results import Parity

COMPARED_ROWS = 256
"""Rows compared where the manifest has no ``expect.parity.rows``."""


def reference_case(case: Case) -> Case:
    """The case others of its manifest are held against.

    :raises MlscopeError: when the manifest names no reference.
    """
    reference = parity_reference(case.manifest.content)
    if reference is None:
        raise MlscopeError(f"{case.manifest.path}: has no expect.parity, which names the reference framework")
    framework, version, hardware, precision = reference
    return replace(
        case,
        framework=framework,
        version=version,
        hardware=hardware,
        precision=precision,
        id=f"{requirement(framework, version)} reference",
    )


class ReferenceOutputs:
    """The reference's outputs, predicted once and kept while cases of the same manifest follow each other."""

    def __init__(self, ready: Callable[[Case], ReadyModel]) -> None:
        self._ready = ready
        self._case: Case | None = None
        self._manifest_sha256 = ""
        self._outputs: RawOutputs | None = None

    def of(self, case: Case, *, rows: int) -> RawOutputs:
        """:raises CannotRun: when the reference framework cannot run here.
        :raises HostError: when it fails.
        """
        reference = reference_case(case)
        same_manifest = self._manifest_sha256 == case.manifest.sha256 and self._case is not None
        if self._outputs is not None and same_manifest and self._case == reference:
            return self._outputs
        self.close()
        outputs = RawOutputs()
        try:
            ready = self._ready(reference)
            for chunk in predict_raw(ready, rows=rows):
                outputs.append(chunk)
        except CannotRun as error:
            outputs.close()
            name = requirement(reference.framework, reference.version)
            reason = _advised(error, reference)
            raise CannotRun(f"the parity reference {name} cannot run: {reason}", command=error.command) from None
        except MlscopeError as error:
            outputs.close()
            output = error.output if isinstance(error, HostError) else ""
            raise HostError(f"the parity reference failed: {error}", output=output) from None
        except OSError as error:
            outputs.close()
            raise MlscopeError(f"no room to keep the reference's outputs: {error.strerror}") from None
        outputs.described = f"{reference.framework} {ready.host.version} fp32 on cpu"
        self._case, self._manifest_sha256, self._outputs = reference, case.manifest.sha256, outputs
        return outputs

    def close(self) -> None:
        """Free what is kept."""
        if self._outputs is not None:
            self._outputs.close()
        self._case = self._outputs = None


def _advised(error: CannotRun, reference: Case) -> str:
    """Its reason. The reference's precision is no choice of the manifest's, so that no other can be asked for."""
    if not isinstance(error, NotSupported) or error.holds is None:
        return error.reason
    place = "precision_files" if error.holds == "framework_default" else f"precision_files.{error.holds}"
    return (
        f"{error.reason}; parity's reference runs at {reference.precision}: keep an {reference.precision} file under "
        f"frameworks.{reference.framework}.files and put this one under {place}, or drop expect.parity"
    )


def measure_parity(
    case: Case, ready: Callable[[Case], ReadyModel], references: ReferenceOutputs, tolerances: Tolerances
) -> Parity:
    """Predict the rows to compare and hold them against the reference.

    :raises CannotRun: when the case's or the reference's framework cannot run here.
    :raises HostError: when either fails.
    """
    expected = expectation_for(case).parity
    if expected is None:
        raise MlscopeError(f"{case.manifest.path}: has no expect.parity, which names the reference framework")
    # The case itself comes first: its own reason not to run is the one to report.
    ready(case)
    reference = references.of(case, rows=expected.rows)
    return _compared(case, ready, reference, tolerances.of(case, reference_case(case)), rows=expected.rows)


def compare_outputs(case: Case, other: Case, ready: Callable[[Case], ReadyModel], tolerances: Tolerances) -> Parity:
    """Hold the case's raw outputs against another case's, on the rows and within the tolerance that parity has.

    :raises BaselineError: when the other case cannot run here, or fails.
    :raises CannotRun: when the case itself cannot run here.
    :raises HostError: when it fails.
    """
    expected = expectation_for(case).parity
    rows = COMPARED_ROWS if expected is None else expected.rows
    outputs = RawOutputs()
    try:
        try:
            predicting = ready(other)
            for chunk in predict_raw(predicting, rows=rows):
                outputs.append(chunk)
        except MlscopeError as error:
            raise BaselineError(str(error)) from None
        outputs.described = f"{requirement(other.framework, predicting.host.version)} {other.precision}"
        return _compared(case, ready, outputs, tolerances.of(case, other), rows=rows)
    except OSError as error:
        raise MlscopeError(f"no room to keep the baseline's outputs: {error.strerror}") from None
    finally:
        outputs.close()


def _compared(
    case: Case, ready: Callable[[Case], ReadyModel], reference: RawOutputs, tolerance: Tolerance, *, rows: int
) -> Parity:
    comparison = OutputComparison(tolerance.abs, tolerance.rel)
    first_output = case.manifest.content.outputs[0].name
    n = 0
    for chunk, reference_chunk in zip(predict_raw(ready(case), rows=rows), reference, strict=True):
        n += len(chunk[first_output])
        for name, output in chunk.items():
            comparison.update(name, output, reference_chunk[name], ranked=name == first_output)
    return Parity(
        reference=reference.described,
        n=n,
        max_abs=comparison.max_abs,
        max_rel=comparison.max_rel,
        top1_agreement=comparison.top1_agreement,
        top5_agreement=comparison.top5_agreement,
        cosine=comparison.cosine,
        psnr=comparison.psnr,
        abs_tolerance=tolerance.abs,
        rel_tolerance=tolerance.rel,
        tolerance_source=tolerance.source,
        violations=comparison.violations,
        elements=comparison.elements,
        mismatch=comparison.mismatch
        or (None if comparison.finite else "no element is finite in both, so agreement would mean nothing"),
    )
