"""What the framework says about itself and the self-test model: version, layers, and the manifest's own bounds."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from pytest_mlscope.cases import kinds_of
from pytest_mlscope.conformance.check_result import Fault, NotApplicable
from pytest_mlscope.conformance.subject import Subject
from pytest_mlscope.errors import CannotRun
from pytest_mlscope.expectations import accuracy_checks, parity_checks
from pytest_mlscope.measurements import Evaluator, profile_layers


def _parsed(version: str, whose: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        raise Fault(f"{whose} is {version!r}, which is not a PEP 440 version") from None


def version(subject: Subject) -> str:
    """The predictor's version is that of the installed distribution, and ``framework.yml`` allows it.

    A distribution may add a number of its own builds to the framework's version: 4.14.0.94 is OpenCV 4.14.0.
    """
    stated = subject.host.version
    if not stated.strip():
        raise Fault("the predictor's version is empty")
    wanted = subject.description.version
    if wanted != "*":
        _parsed(stated, "the predictor's version")
        if not subject.folder.accepts(stated):
            raise Fault(f"the predictor's version is {stated}; framework.yml allows {wanted!r}")
    installed = subject.environment.version
    if not installed:
        return f"{stated}; framework.yml names no distribution to compare with"
    # Two numbers at least: "4" would agree with every release of 4.
    release, whole = _parsed(stated, "the predictor's version").release, _parsed(installed, "the distribution").release
    if len(release) < 2 or whole[: len(release)] != release:
        raise Fault(f"the predictor's version is {stated}; the installed distribution is {installed}")
    return f"{stated}; the distribution is {installed}"


def layers(subject: Subject) -> str:
    """Where ``framework.yml`` claims layers, the self-test model has a well-formed profile with times."""
    if not subject.description.layers:
        raise NotApplicable("framework.yml does not claim layers")
    subject.load_as(subject.load_request(batch_size=subject.plan.case.batch_size))
    profile = profile_layers(subject.ready())
    # A profiled model must be loaded again.
    subject.unload()
    if profile.not_available:
        raise Fault(f"framework.yml claims layers, but the self-test model has none: {profile.not_available}")
    if profile.seconds is None:
        raise Fault(f"none of {len(profile.layers)} layers has a time")
    share = f", {profile.explained:.0%} of an unprofiled prediction" if profile.explained is not None else ""
    return f"{len(profile.layers)} layers{share}"


def expectation(subject: Subject, evaluator: Evaluator, kind: str) -> str:
    """The model meets what the self-test manifest expects of this kind."""
    if kind not in kinds_of(subject.plan.manifest):
        raise NotApplicable(f"the self-test manifest has no {kind}")
    plan = subject.plan
    if kind == "parity" and plan.is_parity_reference:
        raise NotApplicable("this framework is the reference")
    expected = plan.entry.xfail
    if expected is not None and (expected.kinds is None or kind in expected.kinds):
        raise NotApplicable(f"the self-test manifest expects a failure: {expected.reason}")
    try:
        # By the evaluator, as a run of pytest does it, so that a pass here means one there.
        accuracy = evaluator.accuracy(plan) if kind == "accuracy" else None
        parity = evaluator.parity(plan) if kind == "parity" else None
    except CannotRun as error:
        if kind == "parity":
            raise NotApplicable(error.reason) from None
        raise
    results = [
        *(accuracy_checks(accuracy, plan) if accuracy else ()),
        *(parity_checks(parity, plan) if parity else ()),
    ]
    failed = [check.message for check in results if not check.passed]
    if failed:
        raise Fault("; ".join(failed))
    if not results:
        raise NotApplicable(f"the self-test manifest has no bound for {kind}")
    return "; ".join(check.message for check in results)
