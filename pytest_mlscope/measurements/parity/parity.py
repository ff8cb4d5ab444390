"""Parity: a case's raw outputs against the reference framework's, on the same pre-processed inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import BaselineError, CannotRun, HostError, MlscopeError, NotSupported
from pytest_mlscope.hosts import Ready
from pytest_mlscope.manifest import ParityExpectation, requirement
from pytest_mlscope.measurements.parity.comparison import OutputComparison, has_classes, is_scores
from pytest_mlscope.measurements.parity.raw_outputs import RawOutputs, in_step, predict_raw
from pytest_mlscope.measurements.parity.result import OutputParity, Parity
from pytest_mlscope.measurements.parity.self_difference import difference_from_itself
from pytest_mlscope.measurements.parity.tolerance import Tolerance, Tolerances

COMPARED_ROWS = 256
"""Rows compared where the manifest has no ``expect.parity.rows``."""


def reference_plan(plan: Plan) -> Plan:
    """The case that others of its manifest are compared with.

    :raises MlscopeError: when the manifest names no reference.
    """
    reference = plan.parity_reference
    if reference is None:
        raise MlscopeError(f"{plan.manifest.path}: has no expect.parity, which names the reference framework")
    framework, version, hardware, precision = reference
    return plan.with_case(
        framework=framework,
        version=version,
        hardware=hardware,
        precision=precision,
        id=f"{requirement(framework, version)} reference",
    )


class ReferenceOutputs:
    """The reference's outputs, predicted once and kept while cases of the same manifest follow each other."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._outputs: RawOutputs | None = None

    def of(self, plan: Plan, ready: Ready, *, rows: int) -> RawOutputs:
        """:raises CannotRun: when the reference framework cannot run here.
        :raises HostError: when it fails.
        """
        reference = reference_plan(plan)
        # Equal in its settings, too: a plan with other outputs or files is another reference.
        if self._outputs is not None and self._plan == reference:
            return self._outputs
        # Before the new ones: both at once may fill the disk.
        self.close()
        outputs = RawOutputs()
        try:
            predicting = ready(reference)
            for chunk in predict_raw(predicting, rows=rows):
                outputs.append(chunk)
        except CannotRun as error:
            outputs.close()
            name = requirement(reference.case.framework, reference.case.version)
            reason = _advised(error, reference)
            raise CannotRun(f"the parity reference {name} cannot run: {reason}", command=error.command) from None
        except MlscopeError as error:
            outputs.close()
            output = error.output if isinstance(error, HostError) else ""
            raise HostError(f"the parity reference failed: {error}", output=output) from None
        except OSError as error:
            outputs.close()
            raise MlscopeError(f"no room to keep the reference's outputs: {error.strerror}") from None
        outputs.described = f"{reference.case.framework} {predicting.host.version} {reference.case.precision} on cpu"
        self._plan, self._outputs = reference, outputs
        return outputs

    def close(self) -> None:
        """Free what is kept."""
        if self._outputs is not None:
            self._outputs.close()
        self._plan = self._outputs = None


def _advised(error: CannotRun, reference: Plan) -> str:
    """Its reason, and what to write: the matrix does not choose the reference's precision."""
    if not isinstance(error, NotSupported) or error.holds is None:
        return error.reason
    place = "" if error.holds == "framework_default" else f", and this one under precision_files.{error.holds}"
    return (
        f"{error.reason}; parity's reference runs at {reference.case.precision}: write expect.parity.precision: "
        f"{error.holds} to compare with this file, or put a file of {reference.case.precision} under "
        f"frameworks.{reference.case.framework}.files{place}"
    )


def measure_parity(plan: Plan, ready: Ready, references: ReferenceOutputs, tolerances: Tolerances) -> Parity:
    """Predict the rows to compare, and compare them with the reference.

    :raises CannotRun: when the case's or the reference's framework cannot run here.
    :raises HostError: when either fails.
    :raises HostTimeout: when both are not done by the deadline.
    """
    expected = plan.parity_expected
    if expected is None:
        raise MlscopeError(f"{plan.manifest.path}: has no expect.parity, which names the reference framework")
    # The case itself comes first: its own reason not to run is the one to report.
    ready(plan)
    reference = references.of(plan, ready, rows=expected.rows)
    found = tolerances.of(plan, reference_plan(plan), ready)
    parity = _compared(plan, ready, reference, found, rows=expected.rows, expected=expected)
    # Where all is within the tolerance, nobody asks whether the model differs from itself.
    if parity.mismatch is not None or not (parity.violations or expected.bounds_agreement):
        return parity
    return replace(parity, self_difference=difference_from_itself(ready(plan), found, rows=expected.rows))


def compare_outputs(plan: Plan, other: Plan, ready: Ready, tolerances: Tolerances) -> Parity:
    """Compare the case's raw outputs with another case's, on the rows and within the tolerance that parity has.

    :raises BaselineError: when the other case cannot run here, or fails.
    :raises CannotRun: when the case itself cannot run here.
    :raises HostError: when it fails.
    """
    expected = plan.expectation.parity
    rows = COMPARED_ROWS if expected is None else expected.rows
    outputs = RawOutputs()
    try:
        try:
            predicting = ready(other)
            for chunk in predict_raw(predicting, rows=rows):
                outputs.append(chunk)
        except MlscopeError as error:
            raise BaselineError(str(error), cause=error) from None
        outputs.described = f"{requirement(other.case.framework, predicting.host.version)} {other.case.precision}"
        return _compared(plan, ready, outputs, tolerances.of(plan, other, ready), rows=rows, expected=None)
    except OSError as error:
        raise MlscopeError(f"no room to keep the baseline's outputs: {error.strerror}") from None
    finally:
        outputs.close()


def _covered(name: str, output: NDArray[Any], plan: Plan, expected: ParityExpectation | None) -> bool:
    """Whether an agreement that the manifest states takes the place of this output's tolerance."""
    if expected is None or not expected.bounds_agreement or expected.bounds_elements:
        return False
    outputs = plan.outputs
    if not is_scores(output, next(each.holds for each in outputs if each.name == name)):
        return False
    first = name == outputs[0].name
    return expected.cosine is not None or (first and has_classes(output))


def _compared(
    plan: Plan,
    ready: Ready,
    reference: RawOutputs,
    tolerances: Mapping[str, Tolerance],
    *,
    rows: int,
    expected: ParityExpectation | None,
) -> Parity:
    """:param expected: what the manifest says of agreements; ``None`` where elements alone count."""
    stated = plan.expectation.parity
    equal_nan = stated is not None and stated.equal_nan
    comparisons = {
        name: OutputComparison(
            tolerance.abs, tolerance.rel, exact_integers=not tolerance.for_integers, equal_nan=equal_nan
        )
        for name, tolerance in tolerances.items()
    }
    covered: set[str] = set()
    holds = {each.name: each.holds for each in plan.outputs}
    first_output = plan.outputs[0].name
    n = reference_n = 0
    alike = True
    # Read to the end, also after a difference: the host has been sent further batches already.
    for chunk, reference_chunk in in_step(predict_raw(ready(plan), rows=rows), reference):
        n += 0 if chunk is None else len(chunk[first_output])
        reference_n += 0 if reference_chunk is None else len(reference_chunk[first_output])
        if chunk is None or reference_chunk is None:
            alike = False
            continue
        for name, output in chunk.items():
            ranked = name == first_output
            comparisons[name].update(name, output, reference_chunk[name], ranked=ranked, holds=holds[name])
            if _covered(name, output, plan, expected):
                covered.add(name)
    if not alike:
        raise BaselineError(f"it has other rows: outputs of {reference_n:,} rows there, of {n:,} here")
    each = [_output(name, comparisons[name], tolerances[name], covered=name in covered) for name in comparisons]
    return _whole(each, comparisons, n=n, reference=reference.described, first_output=first_output)


def _output(name: str, compared: OutputComparison, tolerance: Tolerance, *, covered: bool) -> OutputParity:
    source, absolute, relative = tolerance.source, tolerance.abs, tolerance.rel
    if covered:
        source = "agreement"
    elif compared.exact:
        source, absolute, relative = "exact", 0.0, 0.0
    return OutputParity(
        name=name,
        max_abs=compared.max_abs,
        max_rel=compared.max_rel,
        cosine=compared.cosine,
        psnr=compared.psnr,
        abs_tolerance=None if covered else absolute,
        rel_tolerance=None if covered else relative,
        tolerance_source=source,
        # An agreement says nothing of a NaN.
        violations=compared.not_numbers if covered else compared.violations,
        elements=compared.elements,
    )


def _whole(
    each: Sequence[OutputParity],
    comparisons: Mapping[str, OutputComparison],
    *,
    n: int,
    reference: str,
    first_output: str,
) -> Parity:
    all_compared = comparisons.values()
    mismatch = next((compared.mismatch for compared in all_compared if compared.mismatch), None)
    nan, reference_nan, both_nan = (
        sum(getattr(compared, count) for compared in all_compared) for count in ("nan", "reference_nan", "both_nan")
    )
    if mismatch is None and not any(compared.finite for compared in all_compared):
        mismatch = (
            "no element is finite in both, so agreement would mean nothing: of "
            f"{sum(compared.elements for compared in all_compared):,} elements {nan + both_nan:,} are NaN here and "
            f"{reference_nan + both_nan:,} in the reference"
        )
    # A text output has no differences, and takes none away from the others.
    known = [output for output in each if output.max_abs is not None] if mismatch is None else []
    bounded = [output for output in each if output.bounded]
    # The summary has one line: that of the output that decides.
    worst = max(bounded or each, key=lambda output: (output.violations > 0, output.max_abs or 0.0))
    ranked = comparisons[first_output] if mismatch is None else None
    return Parity(
        reference=reference,
        n=n,
        max_abs=max((output.max_abs for output in known if output.max_abs is not None), default=None),
        max_rel=max((output.max_rel for output in known if output.max_rel is not None), default=None),
        top1_agreement=None if ranked is None else ranked.top1_agreement,
        top5_agreement=None if ranked is None else ranked.top5_agreement,
        # Of several outputs the worst stands for the model.
        cosine=min((output.cosine for output in known if output.cosine is not None), default=None),
        psnr=min((output.psnr for output in known if output.psnr is not None), default=None),
        abs_tolerance=worst.abs_tolerance,
        rel_tolerance=worst.rel_tolerance,
        tolerance_source=worst.tolerance_source,
        violations=sum(output.violations for output in each),
        elements=sum(output.elements for output in each),
        mismatch=mismatch,
        outputs=tuple(each),
        nan=nan,
        reference_nan=reference_nan,
        both_nan=both_nan,
    )
