"""Where a case's layers begin to differ from those of another framework or file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pytest_mlscope.api.case_choice import choose_plan
from pytest_mlscope.api.evaluation import load_of_project
from pytest_mlscope.bisection import WINDOW_BYTES, Bisection, bisect
from pytest_mlscope.cases import Case, Plan
from pytest_mlscope.errors import MlscopeError, WrongUse
from pytest_mlscope.hosts import ModelLoader
from pytest_mlscope.output_files import require_replaceable
from pytest_mlscope.records import plain
from pytest_mlscope.settings import Settings
from pytest_mlscope.text import closest


def bisect_case(
    manifest: Path,
    *,
    settings: Settings,
    case: str | None = None,
    reference: str | None = None,
    file: Path | None = None,
    rows: int | None = None,
    tolerance: float | None = None,
    window_bytes: int | None = None,
    output: Path | None = None,
) -> tuple[Case, Bisection]:
    """Compare a case layer by layer; the case, and what was found.

    :param case: its id, as :func:`choose_plan` takes it.
    :param reference: the framework to compare with; the case's own where only another file is.
    :param file: an ONNX file, in place of the reference's own.
    :param rows: as :func:`bisect` takes them, and
    :param tolerance: likewise, and
    :param window_bytes: likewise.
    :param output: the file that every layer's difference is written to.
    :raises WrongUse: when there is no such case or framework, nothing to compare with, or the file is not ours to
        replace.
    Raises as :func:`bisect`.
    """
    # A wrong path should be reported before the work, not after it.
    if output is not None:
        require_replaceable(output, beginning=r'\s*\{\s*"candidate"\s*:', what="a report of mlscope bisect")
    if reference is None and file is None:
        raise WrongUse("nothing to compare with: give --reference FRAMEWORK, --against-file FILE, or both")
    plan = choose_plan(load_of_project(manifest), case)
    other = _reference(plan, reference)
    if other == plan and file is None:
        raise WrongUse(f"{plan.case.framework} is what the case runs on; compare it with another framework, or a file")
    loader = ModelLoader(settings)
    try:
        found = bisect(
            plan,
            reference=other,
            loader=loader,
            file=file,
            rows=rows,
            tolerance=tolerance,
            window_bytes=WINDOW_BYTES if window_bytes is None else window_bytes,
        )
    finally:
        loader.close()
    if output is not None:
        _write(output, found)
    return plan.case, found


def _write(output: Path, found: Bisection) -> None:
    not_finite: dict[str, str] = {}
    document = plain(asdict(found), at="", not_finite=not_finite)
    text = json.dumps({**document, "not_finite": not_finite}, indent=1, allow_nan=False)
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise MlscopeError(f"{output}: cannot be written: {error.strerror}") from None


def _reference(plan: Plan, framework: str | None) -> Plan:
    frameworks = plan.manifest.content.frameworks
    if framework is None or framework == plan.case.framework:
        return plan
    if framework not in frameworks:
        close = closest(framework, frameworks)
        hint = f"did you mean {close}?" if close else f"there: {', '.join(sorted(frameworks))}"
        raise WrongUse(f"{plan.manifest.path}: no framework named {framework!r}; {hint}")
    return plan.with_case(
        framework=framework, version=frameworks[framework].versions[0], hardware="cpu", precision="fp32"
    )
