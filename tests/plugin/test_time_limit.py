"""``--mlscope-timeout``: one limit for everything that a test of a case does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

SLOW = "time.sleep(2)\nprint('loading', file=open({log!r}, 'a'))"


def loads(pytester: pytest.Pytester) -> int:
    log = pytester.path / "loads"
    return len(log.read_text().splitlines()) if log.exists() else 0


def slowly(pytester: pytest.Pytester) -> str:
    return SLOW.format(log=str(pytester.path / "loads"))


@pytest.mark.slow
def test_restarts_share_it(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.framework("toy", load=slowly(pytester))
    suite.manifest()
    result = run("-m", "latency", "--mlscope-restarts=5", "--mlscope-timeout=5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "toy: * no answer within the case's limit of 5 s; "
            "the predictor host was killed (--mlscope-timeout sets the limit)"
        ]
    )
    assert loads(pytester) < 3


@pytest.mark.slow
def test_the_parity_reference_is_part_of_the_case(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.framework("toy", load=slowly(pytester))
    suite.framework("other", load=slowly(pytester))
    suite.manifest(frameworks=("toy", "other"), expect="{parity: {reference: other}}")
    result = run("-m", "parity", "--mlscope-framework=toy", "--mlscope-timeout=3.8")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the parity reference failed: other: * no answer within the case's limit of 3.8 s; *"])


@pytest.mark.slow
def test_the_reference_s_predictions_are_too(suite: Suite, run: Run) -> None:
    suite.framework("toy")
    suite.framework("other", predict="time.sleep(0.5)")
    suite.manifest(frameworks=("toy", "other"), expect="{parity: {reference: other}}")
    result = run("-m", "parity", "--mlscope-framework=toy", "--mlscope-timeout=3")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["the parity reference failed: other: predicting: no answer within the case's limit of 3 s; *"]
    )
