"""Hostile hosts, data and files, seen from pytest: one line, no hang, and the run goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
DATASET = "dataset: {source: npz, path: rows.npz, label: labels}"


def _replace(manifest: Path, old: str, new: str) -> None:
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))


@pytest.mark.slow
def test_a_host_that_answers_nonsense_fails_its_case_and_the_run_goes_on(suite: Suite, run: Run) -> None:
    nonsense = (
        "import pytest_mlscope.host.server as s\ns._answer = lambda fd, reply: s.write_frame(fd, {'error': 'boo'})"
    )
    suite.framework("evil", predict=nonsense)
    suite.manifest(frameworks=("evil", "toy"), extra="kinds: [accuracy]\n")
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    said = "evil: predicting: unreadable reply: its 'error' is not a JSON object with a kind and a message; *was killed"
    result.stdout.fnmatch_lines([f"*{said}*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seals are Linux's")
def test_a_host_that_shrinks_what_is_shared_does_not_end_pytest(suite: Suite, run: Run) -> None:
    shrink = "for fd in range(3, 64):\n    try: os.ftruncate(fd, 0)\n    except OSError: pass"
    suite.framework("toy", predict=shrink)
    suite.manifest(extra="kinds: [accuracy]\n")
    run().assert_outcomes(passed=1)


def test_control_characters_of_a_model_do_not_reach_the_terminal(suite: Suite, run: Run) -> None:
    suite.framework("toy", load=r"raise ValueError('no operator \x1b[2J\x1b]0;owned\x07 here')")
    suite.manifest(extra="kinds: [accuracy]\n")
    result = run("-rA")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "no operator" in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text


def test_a_dataset_that_is_a_fifo_is_one_line(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    os.mkfifo(pytester.path / "fifo.npz")
    _replace(suite.manifest(), "path: rows.npz", "path: fifo.npz")
    result = run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*linear.mlscope.yml*fifo.npz: it is a FIFO, not an ordinary file; a dataset is read*"]
    )


@pytest.mark.slow
def test_a_dataset_that_hangs_ends_with_the_cases_time(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    """Reading cannot be interrupted, in a dataset of one's own or on a network's disk."""
    pytester.makeconftest(
        """
        import time
        import numpy as np
        from pytest_mlscope.components.datasets.base import Dataset, DataSource

        class Source(DataSource):
            columns = ("features", "labels")

            def __len__(self):
                return 100

            def take(self, rows, columns):
                time.sleep(600)

        class Slow(Dataset):
            name = "slow"
            opening: bool = False

            def open(self, base, inputs):
                if self.opening:
                    time.sleep(600)
                return Source()

        def pytest_mlscope_register_datasets():
            return [Slow]
        """
    )
    _replace(suite.manifest(), DATASET, "dataset: {source: slow, label: labels}")
    _replace(suite.manifest(name="opening"), DATASET, "dataset: {source: slow, opening: true, label: labels}")
    result = run("--mlscope-timeout=3")
    result.assert_outcomes(failed=4)
    said = "*.mlscope.yml: the data were not read within the case's time limit (--mlscope-timeout sets it)*"
    result.stdout.fnmatch_lines([said] * 4)


def test_rows_that_cannot_fit_the_input_are_not_read(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    np.savez_compressed(pytester.path / "rows.npz", features=np.zeros((2, 4, 100_000)), labels=np.zeros(2, np.int64))
    suite.manifest()
    result = run()
    result.assert_outcomes(failed=2)
    said = (
        "input 'features': a row of column 'features' has the shape (4, 100000); "
        "the manifest says a batch has (batch, 4)"
    )
    result.stdout.fnmatch_lines([f"*{said.replace('[', '[[]')}*"])


def test_too_many_rows_are_refused(suite: Suite, run: Run) -> None:
    dataset = "dataset: {source: random, count: 1099511627776}\nkinds: [latency]"
    path = suite.manifest(metrics="[]", expect="{}")
    _replace(path, DATASET, dataset)
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1,099,511,627,776 rows are selected; allowed: at most 268,435,456*"])


def test_rows_of_more_than_there_is_memory_for_are_refused(suite: Suite, run: Run) -> None:
    path = suite.manifest(metrics="[]", expect="{}")
    _replace(path, "shape: [batch, 4]", "shape: [batch, width]")
    _replace(
        path, DATASET, "dataset: {source: random, count: 4, shapes: {features: [1099511627776]}}\nkinds: [latency]"
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*:9:*a row of column 'features' has 1,099,511,627,776 elements; allowed: at most *"])


def test_too_little_memory_for_rows_is_one_line(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pytest_mlscope.components.datasets.base import Dataset, DataSource

        class Source(DataSource):
            columns = ("features", "labels")

            def __len__(self):
                return 100

            def take(self, rows, columns):
                raise MemoryError

        class Large(Dataset):
            name = "large"

            def open(self, base, inputs):
                return Source()

        def pytest_mlscope_register_datasets():
            return [Large]
        """
    )
    _replace(suite.manifest(extra="kinds: [accuracy]\n"), DATASET, "dataset: {source: large, label: labels}")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*dataset large: there is not enough memory to prepare rows 0 to 15*"])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a%00b", "*linear.mlscope.yml:6:*a%00b*"),
        ("file:///a%00b", "*linear.mlscope.yml:6:*path has a NUL character*"),
        ("fifo", "*fifo*is not an ordinary file*"),
    ],
)
def test_paths_of_model_files_that_no_file_has(
    suite: Suite, run: Run, pytester: pytest.Pytester, path: str, said: str
) -> None:
    os.mkfifo(pytester.path / "fifo")
    _replace(suite.manifest(), "path: weights.npy", f'path: "{path}"')
    result = run()
    # What does not exist is an error of collection.
    assert result.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*site-packages*")


def test_a_saved_run_is_an_ordinary_file(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    os.mkfifo(pytester.path / "fifo.json")
    suite.manifest()
    result = run("--mlscope-against=fifo.json")
    assert result.ret != 0
    assert "it is a FIFO, not an ordinary file" in result.stdout.str() + result.stderr.str()


@pytest.mark.slow
def test_the_time_limit_holds_for_reading_what_a_dataset_was(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    """An evaluation's key covers the dataset's bytes, and a disk may hang then too."""
    pytester.makeconftest(
        """
        import time
        import numpy as np
        from pytest_mlscope.components.datasets.base import Dataset, DataSource

        class Source(DataSource):
            columns = ("features", "labels")

            def __len__(self):
                return 4

            def take(self, rows, columns):
                arrays = {"features": np.zeros((4, 4), np.float32), "labels": np.zeros(4, np.int64)}
                return {column: arrays[column][rows] for column in columns}

        class Hanging(Dataset):
            name = "hanging"

            def open(self, base, inputs):
                return Source()

            def files(self, base):
                time.sleep(600)

        def pytest_mlscope_register_datasets():
            return [Hanging]
        """
    )
    _replace(suite.manifest(expect="{}"), DATASET, "dataset: {source: hanging, label: labels}")
    result = run("--mlscope-timeout=3", "-m", "accuracy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*linear.mlscope.yml: the data were not read within the case's time limit*"])
