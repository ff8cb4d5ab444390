"""Rounds of fresh hosts on a real predictor, and what an audit makes of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pytest_mlscope.api.evaluation import load_alone
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.cli.main import main
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.gate import rounds
from pytest_mlscope.gate.audit import Audit, Trial, alarms, minimum_detectable_effect, run_trial, side_alarms
from pytest_mlscope.gate.background_load import busy_processes
from pytest_mlscope.gate.floors import floor_for, floor_of, keep_floor, learned_floor
from pytest_mlscope.gate.ratio_comparison import latency_comparison
from pytest_mlscope.gate.rounds import Contest, Rules, run_rounds
from pytest_mlscope.gate.sequential import DEFAULT_FLOOR
from pytest_mlscope.hosts.model_loader import ModelLoader
from pytest_mlscope.settings import Settings
from tests.plugin.linear_suite import Suite
from tests.recorders import Told

BUSY = """\
end = time.perf_counter() + 0.0002
while time.perf_counter() < end: pass
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    suite = Suite(tmp_path)
    suite.framework("toy", predict=BUSY)
    return suite


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[ModelLoader]:
    loader = ModelLoader(Settings(home=tmp_path / "home", timeout=60))
    yield loader
    loader.close()


def _plans(path: Path) -> list[Plan]:
    manifest = load_alone(path)
    return [Plan.of(manifest, case) for case in expand(manifest)]


@pytest.mark.slow
def test_each_round_starts_hosts_once_for_all_plans(suite: Suite, loader: ModelLoader) -> None:
    suite.framework("toy", predict=BUSY, load="open('loads', 'a').write(str(os.getpid()) + '\\n')")
    first, second = _plans(suite.manifest(matrix="{batch_size: [1, 2]}"))
    contests = [Contest(plan, plan, Rules(seconds=0.001)) for plan in (first, second)]
    run_rounds(contests, loader)
    assert all(contest.decided and contest.latency and contest.pairs for contest in contests)
    pids = (suite.folder / "loads").read_text().split()
    # One host a side, which loads the model once for both batch sizes.
    rounds_made = max(len(contest.pairs) for contest in contests)
    assert len(pids) == len(set(pids)) == 2 * rounds_made


@pytest.mark.slow
def test_time_that_is_up_before_three_pairs_decides_nothing_yet(suite: Suite, loader: ModelLoader) -> None:
    """A model of seconds a call: fewer pairs would leave any slowdown inconclusive."""
    (plan,) = _plans(suite.manifest())
    contest = Contest(plan, plan, Rules(seconds=0.001), slowdowns=(0.0, 0.5))
    run_rounds([contest], loader)
    assert contest.latency is not None
    assert (contest.latency.outcome, contest.latency.pairs) == ("regression", 3)


@pytest.mark.slow
@pytest.mark.parametrize(("interval", "lines"), [(0.0, 2), (3600.0, 0)])
def test_rounds_say_where_they_are_once_in_a_while(
    suite: Suite, loader: ModelLoader, monkeypatch: pytest.MonkeyPatch, interval: float, lines: int
) -> None:
    monkeypatch.setattr(rounds, "PROGRESS_INTERVAL", interval)
    monkeypatch.setattr(rounds, "MOST_PAIRS", 3)
    (plan,) = _plans(suite.manifest())
    told = Told()
    loader.settings = replace(loader.settings, recorder=told)
    run_rounds([Contest(plan, plan, Rules(seconds=600))], loader)
    assert len(told.lines) == lines
    assert all(line.startswith("comparing: round ") for line in told.lines)


@pytest.mark.slow
def test_a_slowdown_that_was_injected_is_caught(suite: Suite, loader: ModelLoader) -> None:
    (plan,) = _plans(suite.manifest())
    trial = run_trial(plan, loader, rules=Rules(), effect=0.5, seed=0, separate_runs=False)
    assert trial.outcome == "regression"
    assert 1.3 < trial.ratio < 1.7


@pytest.mark.slow
def test_a_contest_that_fails_leaves_the_others_going(suite: Suite, loader: ModelLoader) -> None:
    suite.framework("broken", load="raise RuntimeError('not today')")
    good, bad = _plans(suite.manifest(frameworks=("toy", "broken")))
    contests = [Contest(plan, plan, Rules(seconds=0.001)) for plan in (bad, good)]
    run_rounds(contests, loader)
    assert isinstance(contests[0].failure, MlscopeError)
    assert "not today" in str(contests[0].failure)
    assert contests[1].pairs


@pytest.mark.slow
@pytest.mark.parametrize(("fails", "outcome"), [("candidate", "regression"), ("baseline", "not compared")])
def test_a_side_that_fails_in_a_later_pair_is_told_from_the_other(
    suite: Suite, loader: ModelLoader, fails: str, outcome: str
) -> None:
    third = "open('started', 'a').write('x')\nif len(open('started').read()) == 3: os._exit(3)"
    suite.framework("flaky", predict=BUSY, load=third)
    good, flaky = _plans(suite.manifest(frameworks=("toy", "flaky")))
    sides = (good, flaky) if fails == "candidate" else (flaky, good)
    contest = Contest(*sides, Rules(minimum_effect=1e-6))
    run_rounds([contest], loader)
    assert len(contest.pairs) == 2
    compared = latency_comparison(contest, "main")
    assert compared.outcome == outcome
    assert "exit" in compared.messages[0]
    assert ("failed in pair 3" in compared.messages[0]) == (fails == "candidate")


def _trials(ratios: list[float], *, effect: float = 0.0) -> list[Trial]:
    return [Trial(effect, "pass", 1.0, 4.0, tuple(ratios[at : at + 8]), None) for at in range(0, len(ratios), 8)]


@pytest.mark.slow
def test_the_minimum_detectable_effect_grows_with_the_noise() -> None:
    quiet = Audit(Rules(), _trials([math.sin(n) * 0.002 for n in range(80)]))
    noisy = Audit(Rules(), _trials([math.sin(n) * 0.05 for n in range(80)]))
    small, large = (minimum_detectable_effect(each, outer_resamples=3) for each in (quiet, noisy))
    assert small is not None
    assert large is not None
    assert small.effect <= 0.04 < large.effect
    for each in (small, large):
        assert each.interval[0] <= each.effect <= each.interval[1]
    assert minimum_detectable_effect(Audit(Rules(), _trials([0.0] * 8))) is None


def test_how_many_trials_make_enough_pairs() -> None:
    audit = Audit(Rules(), [Trial(effect, "no change", 1.0, 1.0, (0.0,) * 7, None) for effect in (0.0, 0.1, 0.0)])
    assert [audit.trials_for(pairs) for pairs in (14, 15, 40)] == [2, 3, 6]


def test_rates_come_with_their_intervals() -> None:
    trials = [Trial(0.05, outcome, 1.0, 1.0, (), None) for outcome in ("regression", "pass", "regression")]
    rate = alarms(trials)
    assert (rate.count, rate.n) == (2, 3)
    assert rate.interval[0] < rate.share < rate.interval[1]


def test_what_trials_say_of_load_time_and_memory_is_counted_where_it_is_known() -> None:
    trials = [
        Trial(0.05, "regression", 1.0, 1.0, (), None, load_time="regression"),
        Trial(0.0, "pass", 1.0, 1.0, (), None, load_time="inconclusive"),
        Trial(0.0, "pass", 1.0, 1.0, (), None),
    ]
    rate = side_alarms(trials, "load_time")
    assert rate is not None
    assert (rate.count, rate.n) == (1, 2)
    assert side_alarms(trials, "peak_memory") is None


def test_a_floor_is_learned_from_enough_pairs_and_kept(suite: Suite, tmp_path: Path) -> None:
    one, other = (plan.case for plan in _plans(suite.manifest(matrix="{batch_size: [1, 2]}")))
    home = tmp_path / "home"
    assert floor_of([0.01] * 39) is None
    assert floor_for(one, home=home) == DEFAULT_FLOOR
    pairs = [0.02] * 39 + [0.5]
    assert keep_floor(one, pairs, home=home) == pytest.approx(math.expm1(0.02))
    assert learned_floor(one, home=home) == pytest.approx(math.expm1(0.02))
    assert learned_floor(other, home=home) is None
    (home / "floors.json").write_text("{")
    assert floor_for(one, home=home) == DEFAULT_FLOOR


@pytest.mark.slow
def test_the_audit_command_prints_its_table_and_keeps_every_trial(
    suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = suite.manifest()
    kept = tmp_path / "trials.json"
    options = ["--trials", "1", "--effects", "50", "--seconds", "2", "--json", str(kept), "--home", str(tmp_path / "h")]
    assert main(["audit", str(manifest), *options]) == 0
    printed, progress = capsys.readouterr()
    table = printed[printed.index("effect ") : printed.index("false alarms")].splitlines()
    assert [line.split()[0] for line in table] == ["effect", "A/A", "+50%", "alarms"]
    assert all(len(line) <= 80 for line in table)
    assert "two separate runs" in table[-1]
    assert "1/2: A/A: " in progress
    assert re.search(r"A/A floor: not learned, \d+ pairs? of 40 needed, about --trials \d+\n", printed)
    assert re.search(r"comparisons: not known, \d+ pairs? of 20 needed, about --trials \d+\n", printed)
    assert "false alarms of load time, in all trials: " in printed
    document = json.loads(kept.read_text())
    assert [trial["effect"] for trial in document["trials"]] == [0.0, 0.5]
    assert all(trial["separate_runs_ratio"] > 0 for trial in document["trials"])


@pytest.mark.slow
def test_an_audit_continues_from_its_file(suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = suite.manifest()
    kept = tmp_path / "trials.json"
    common = ["--seconds", "1", "--json", str(kept), "--home", str(tmp_path / "h"), "--resume"]
    assert main(["audit", str(manifest), "--trials", "1", "--effects", "50", *common]) == 0
    first = json.loads(kept.read_text())["trials"]
    assert main(["audit", str(manifest), "--trials", "2", "--effects", "50", "--busy", "0", *common]) == 0
    trials = json.loads(kept.read_text())["trials"]
    assert trials[:2] == first
    assert [trial["effect"] for trial in trials] == [0.0, 0.5, 0.0, 0.5]
    capsys.readouterr()
    assert main(["audit", str(manifest), "--trials", "3", "--busy", "1", *common]) == 1
    assert "its trials have busy_processes 0, these 1" in capsys.readouterr().err
    document = json.loads(kept.read_text())
    assert document["trials"] == trials
    kept.write_text(json.dumps({**document, "plugin": "0.0.9"}))
    assert main(["audit", str(manifest), "--trials", "3", *common]) == 1
    assert "its trials have plugin '0.0.9'" in capsys.readouterr().err
    kept.write_text("[]")
    assert main(["audit", str(manifest), *common]) == 4
    assert "is not an audit's trials, so it is not replaced" in capsys.readouterr().err


def test_busy_processes_end_with_the_block() -> None:
    mine = psutil.Process()
    with busy_processes(2):
        running = mine.children()
        assert len(running) == 2
    assert not any(process.is_running() for process in running)


@pytest.mark.slow
def test_single_threaded_pairs_share_a_cpu(suite: Suite, loader: ModelLoader) -> None:
    noting = "open('cpus', 'a').write(str(sorted(os.sched_getaffinity(0))) + '\\n')"
    suite.framework("toy", predict=BUSY, load=noting)
    (plan,) = _plans(suite.manifest(matrix="{threads: [1]}"))
    run_rounds([Contest(plan, plan, Rules(seconds=0.001))], loader)
    both = (suite.folder / "cpus").read_text().split("\n")[:2]
    assert both[0] == both[1]
    assert "," not in both[0]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["none.mlscope.yml"], 4, "none.mlscope.yml: there is no such file"),
        (["linear.mlscope.yml", "--case", "absent"], 4, "no case 'absent'; there: toy"),
    ],
)
def test_an_audit_of_nothing_is_one_line(
    suite: Suite, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    suite.manifest()
    assert main(["audit", *arguments]) == status
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
