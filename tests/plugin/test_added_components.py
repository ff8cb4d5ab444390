"""What a conftest adds, be it a kind of measurement or a scenario, is refused where it is wrong, and where it is named
wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.linear_suite import Suite
from tests.plugin.test_measurement_of_ones_own import HEAD, HOOK, OVERRIDES

Run = Callable[..., pytest.RunResult]
DOCS = Path(__file__).parents[2] / "docs"
KIND, SCENARIO = "measurement.md", "scenarios.md"


def documented(page: str) -> str:
    """The example of a page."""
    (conftest,) = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    return str(conftest)


@pytest.mark.parametrize("page", [KIND, SCENARIO])
def test_an_example_is_short(page: str) -> None:
    assert len(documented(page).splitlines()) < 60


@pytest.mark.parametrize(
    ("page", "manifest", "said"),
    [
        (
            KIND,
            {"extra": "kinds: [stabilty]\n", "expect": "{}"},
            "*:14:9: unknown kind 'stabilty'; allowed: accuracy, parity, latency, stability*mean 'stability'[?])",
        ),
        (
            KIND,
            {"expect": "{stability: {maxx: 1}}"},
            "*:11:22: unknown key 'maxx' in expect.stability; allowed: max (did you mean 'max'[?])",
        ),
        (
            KIND,
            {"expect": "{stability: {max: much}}"},
            "*:11:27: expect.stability.max is the text 'much'; allowed: *number*",
        ),
        (KIND, {"expect": "{stability: 3}"}, "*:11:21: expect.stability is the number 3; allowed: a mapping of max"),
        (
            KIND,
            {"expect": "{stability: {max: 1}}", "extra": "kinds: [latency]\n"},
            "*:11:10: expect.stability is never checked, since kinds leaves out 'stability'",
        ),
        (
            KIND,
            {"expect": "{stability: {max: 1}}", "extra": OVERRIDES % "{maxx: 2}"},
            "*:15:41: unknown key 'maxx' in expect_overrides[[]0].stability; allowed: max (did you mean 'max'[?])",
        ),
        (
            KIND,
            {"expect": "{}", "extra": OVERRIDES % "much"},
            "*:15:40: expect_overrides[[]0].stability is the text 'much'; allowed: a mapping of max",
        ),
        (
            KIND,
            {"expect": "{}", "extra": OVERRIDES % "{max: 2}" + "kinds: [latency]\n"},
            "*:15:29: expect_overrides[[]0].stability is never checked, since kinds leaves out 'stability'",
        ),
        (KIND, {"extra": "kinds: [layers]\n", "expect": "{}"}, "*:14:9: unknown kind 'layers'; allowed: accuracy, *"),
        (
            SCENARIO,
            {"matrix": "{scenario: [burst]}"},
            "*:12:21: unknown scenario 'burst'; allowed: bursts, multi_stream, *(did you mean 'bursts'[?])",
        ),
        (
            SCENARIO,
            {"matrix": "{scenario: [bursts]}", "extra": "scenarios: {bursts: {pauses: 1 ms}}\n"},
            "*:14:22: unknown key 'pauses' in scenarios.bursts; allowed: bursts, size, pause (did you mean 'pause'[?])",
        ),
        (
            SCENARIO,
            {"matrix": "{scenario: [bursts]}", "extra": "scenarios: {bursts: {pause: 1}}\n"},
            "*:14:29: *a number with a unit*",
        ),
        (
            SCENARIO,
            {"matrix": "{exclude: [{scenario: burst}]}"},
            "*:12:31: 'burst' is not among the matrix's scenarios; allowed: single_stream",
        ),
    ],
)
def test_mistakes_in_a_manifest_are_one_line_with_their_place(
    suite: Suite, run: Run, pytester: pytest.Pytester, page: str, manifest: dict[str, Any], said: str
) -> None:
    pytester.makeconftest(documented(page))
    suite.manifest(**manifest)
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


@pytest.mark.parametrize(
    ("page", "manifest", "said"),
    [
        (
            KIND,
            {"extra": "kinds: [stability]\n", "expect": "{}"},
            "*:14:9: unknown kind 'stability'; allowed: accuracy, parity, latency*",
        ),
        (
            SCENARIO,
            {"matrix": "{scenario: [bursts]}"},
            "*:12:21: unknown scenario 'bursts'; allowed: multi_stream, offline, server, single_stream*",
        ),
    ],
)
def test_what_another_folders_conftest_adds_is_unknown(
    suite: Suite, run: Run, pytester: pytest.Pytester, page: str, manifest: dict[str, Any], said: str
) -> None:
    folder = pytester.mkdir("elsewhere")
    (folder / "conftest.py").write_text(documented(page))
    (folder / "test_nothing.py").write_text("def test_nothing(): pass\n")
    suite.manifest(**manifest)
    run().stdout.fnmatch_lines([said])


def _refused(suite: Suite, run: Run, said: str) -> None:
    suite.manifest()
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([said])


@pytest.mark.parametrize(
    ("body", "returned", "said"),
    [
        ("    pass", "Mine", "*_measurements: Mine lacks the method evaluate; add it to the class"),
        ("    pass", "Mine()", "*_measurements raised TypeError: *abstract*evaluate*"),
        ("    evaluate = None", "Mine", "*_measurements: returned the class Mine; expected an object: Mine()"),
        ("    evaluate = None\n    times = 'maybe'", "Mine()", "*Mine has times='maybe'; expected True or False"),
        ("    evaluate = None\n    bounds = 5", "Mine()", "*Mine has bounds=5; expected a class derived from Bounds"),
        ("    evaluate = None\n    ignores = 'scenario'", "Mine()", "*Mine has ignores='scenario'; expected a tuple *"),
        ("    evaluate = None", "3", "*_measurements: returned 3; expected Measurements"),
        (
            "    evaluate = None\n    name = 'parity'",
            "Mine()",
            "*_measurements: the name 'parity' of <conftest.Mine *> is taken by <*Parity*>; choose another",
        ),
        (
            "    evaluate = None\n    name = 'skip'",
            "Mine()",
            "*_measurements: the name 'skip' has another meaning; choose*",
        ),
    ],
)
def test_a_bad_kind_is_refused_at_collection(
    suite: Suite, run: Run, pytester: pytest.Pytester, body: str, returned: str, said: str
) -> None:
    pytester.makeconftest(f"{HEAD}{body}\n{HOOK.format(returned=returned)}")
    _refused(suite, run, said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "class Mine(Scenario):\n    name = 'mine'\n",
            "*_scenarios: Mine lacks the method measure; add it to the class",
        ),
        (
            "class Mine(Scenario):\n    name = 'server'\n    def measure(self, model, inputs): pass\n",
            "*_scenarios: the name 'server' of <class 'conftest.Mine'> is taken by <class '*.Server'>; choose another",
        ),
        (
            "class Mine(Scenario):\n    name = 'My-own'\n    def measure(self, model, inputs): pass\n",
            "*_scenarios: <class 'conftest.Mine'> has the name 'My-own'; allowed: lower-case letters, digits and '_'*",
        ),
        ("Mine = 3\n", "*_scenarios: returned 3; expected Scenarios"),
    ],
)
def test_a_bad_scenario_is_refused_at_collection(
    suite: Suite, run: Run, pytester: pytest.Pytester, source: str, said: str
) -> None:
    pytester.makeconftest(
        "import pytest\nfrom pytest_mlscope import Scenario\n" + source + "\n@pytest.hookimpl(optionalhook=True)\n"
        "def pytest_mlscope_register_scenarios():\n    return [Mine]\n"
    )
    _refused(suite, run, said)
