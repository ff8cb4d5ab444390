from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.records.record import RecordMappings, to_mapping
from pytest_mlscope.reports import json_report
from pytest_mlscope.reports.journal import Journal, read_journal
from pytest_mlscope.reports.json_report import JsonReport, json_schema, recover, write_json
from pytest_mlscope.reports.run_section import run_facts
from tests.reports.synthetic_evaluations import full_run, record


@pytest.fixture
def run(pytestconfig: pytest.Config) -> dict[str, Any]:
    return run_facts(pytestconfig, 1_000_000.0, 1_000_002.5, 0, False).to_mapping()


def _strict(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text("ascii"), parse_constant=refuse)


def test_a_report_is_valid_against_the_shipped_schema(tmp_path: Path, run: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    write_json(path, run, RecordMappings(full_run()))
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(_strict(path))


def test_a_report_of_no_evaluations_is_valid(tmp_path: Path, run: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    write_json(path, run, [])
    Draft202012Validator(json_schema()).validate(_strict(path))


def test_raw_samples_are_in_the_report(tmp_path: Path, run: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    write_json(path, run, RecordMappings(full_run()))
    timed = [entry for entry in _strict(path)["evaluations"] if entry["latency"]]
    assert [len(entry["latency"]["samples_ns"]) for entry in timed] == [800, 800, 40]
    assert all(isinstance(sample, int) for entry in timed for sample in entry["latency"]["samples_ns"])


def test_a_failed_write_leaves_the_old_report_and_no_temporary_file(tmp_path: Path, run: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    write_json(path, run, [])
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_json(path, run, [to_mapping(record()), {"not": {"of", "JSON"}}])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_keeps_pointing_to_the_report(tmp_path: Path, run: dict[str, Any]) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "report.json"
    link.symlink_to(tmp_path / "elsewhere" / "report.json")
    write_json(link, run, [])
    assert link.is_symlink()
    assert _strict(tmp_path / "elsewhere" / "report.json")["evaluations"] == []


def test_the_journal_holds_each_record_at_once_and_is_gone_after_the_report(
    tmp_path: Path, run: dict[str, Any]
) -> None:
    path = tmp_path / "new" / "folder" / "report.json"
    report = JsonReport(path)
    journal = path.with_name("report.json.partial")
    records = full_run()
    for count, entry in enumerate(records, 1):
        report.append(entry)
        assert len(read_journal(journal)) == count
    line = report.write(run, RecordMappings(records))
    assert str(path) in line
    assert not journal.exists()
    assert len(_strict(path)["evaluations"]) == len(records)


def test_a_killed_run_is_recovered_up_to_a_line_cut_short(tmp_path: Path) -> None:
    """A process killed while it writes leaves half a line; everything before it must come back."""
    path = tmp_path / "report.json"
    journal = Journal(path)
    for entry in full_run():
        journal.append(entry)
    journal.close(success=False)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-20])
    assert recover(journal.path, path) == len(full_run()) - 1
    report = _strict(path)
    Draft202012Validator(json_schema()).validate(report)
    assert report["run"] is None


def test_a_journal_of_something_else_is_one_line(tmp_path: Path) -> None:
    journal = tmp_path / "other.partial"
    journal.write_text('{"level": "info", "message": "hello"}\n')
    with pytest.raises(MlscopeError, match=r"other\.partial: line 1 is no record \(/: lacks nodeid\)"):
        recover(journal, tmp_path / "report.json")


def test_what_was_measured_before_a_sigkill_is_on_disk(tmp_path: Path) -> None:
    script = """
import json, os, signal, sys
from pathlib import Path
from pytest_mlscope.records.record import from_mapping
from pytest_mlscope.reports.json_report import JsonReport
report = JsonReport(Path("report.json"))
for line in sys.stdin:
    report.append(from_mapping(json.loads(line)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    lines = "".join(json.dumps(to_mapping(entry)) + "\n" for entry in full_run())
    killed = subprocess.run([sys.executable, "-c", script], input=lines, text=True, cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "report.json").exists()
    assert recover(tmp_path / "report.json.partial", tmp_path / "report.json") == len(full_run())


def test_the_journal_of_an_earlier_killed_run_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for _ in range(3):
        journal = Journal(path)
        journal.append(record())
        journal.close(success=False)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "report.json.partial",
        "report.json.partial.1",
        "report.json.partial.2",
    ]


def test_two_runs_cannot_write_one_report(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "report.json")
    with pytest.raises(MlscopeError, match="another run is writing this report"):
        Journal(tmp_path / "report.json")
    journal.close(success=True)
    Journal(tmp_path / "report.json").close(success=True)


def test_a_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(MlscopeError, match="is a folder"):
        JsonReport(tmp_path)


def test_an_unwritable_place_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MlscopeError, match=r"file/report\.json: cannot be written"):
        JsonReport(tmp_path / "file" / "report.json")


def test_a_report_that_cannot_be_written_says_where_the_journal_is(tmp_path: Path, run: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    report = JsonReport(path)
    report.append(record())
    path.mkdir()
    with pytest.raises(MlscopeError, match=r"cannot be written.*what was measured is in .*report\.json\.partial"):
        report.write(run, [to_mapping(record())])
    assert len(read_journal(tmp_path / "report.json.partial")) == 1


@pytest.fixture
def full_after() -> Iterator[Callable[[int | None], None]]:
    """Files of this process cannot grow beyond so many bytes: they take a part of a line, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))

    yield limit
    limit(None)


def test_the_report_goes_to_another_file_system_when_its_own_is_full(
    tmp_path: Path,
    run: dict[str, Any],
    full_after: Callable[[int | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, other = tmp_path / "report.json", tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(json_report, "_other_file_systems", lambda folder: iter([tmp_path / "absent", other]))
    report = JsonReport(path)
    full_after(100)
    with pytest.raises(MlscopeError, match="results are still in memory"):
        report.append(record())
    written = json_report.write_json

    def with_space_elsewhere(target: Path, *arguments: Any) -> None:
        full_after(None if other in target.parents else 100)
        written(target, *arguments)

    monkeypatch.setattr(json_report, "write_json", with_space_elsewhere)
    with pytest.raises(
        MlscopeError, match=rf"cannot be written: .*; the report is in {other}/\S+/report\.json instead"
    ):
        report.write(run, [to_mapping(record())])
    full_after(None)
    (rescued,) = other.rglob("*.json")
    assert len(_strict(rescued)["evaluations"]) == 1


def test_a_full_disk_is_one_clear_line_and_leaves_whole_lines(
    tmp_path: Path, full_after: Callable[[int | None], None]
) -> None:
    journal = Journal(tmp_path / "report.json")
    journal.append(record(nodeid="first"))
    full_after(journal.path.stat().st_size + 100)
    for name in ("second", "third"):
        with pytest.raises(MlscopeError, match=r"partial: cannot be written: File too large; results are still"):
            journal.append(record(nodeid=name))
    assert journal.unwritten == 2
    assert journal.path.read_bytes().endswith(b"}\n")
    full_after(None)
    journal.append(record(nodeid="fourth"))
    journal.close(success=False)
    assert [entry.nodeid for entry in read_journal(journal.path)] == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (1, r"2 of 3 evaluations are lost; the others are in .*report\.json\.partial; free space and run again"),
        (0, r"what was measured is lost \(3 evaluations\); free space and run again"),
    ],
)
def test_a_disk_that_stays_full_says_what_is_lost(
    tmp_path: Path, run: dict[str, Any], full_after: Callable[[int | None], None], whole: int, said: str
) -> None:
    report = JsonReport(tmp_path / "report.json")
    records = [record(nodeid=str(number)) for number in range(3)]
    for number, entry in enumerate(records):
        if number >= whole:
            full_after((tmp_path / "report.json.partial").stat().st_size + 10)
            with pytest.raises(MlscopeError):
                report.append(entry)
        else:
            report.append(entry)
    with pytest.raises(MlscopeError, match=said):
        report.write(run, RecordMappings(records))
    full_after(None)
    kept = [path.name for path in tmp_path.iterdir()]
    assert kept == (["report.json.partial"] if whole else [])


def test_a_line_torn_by_a_full_disk_does_not_swallow_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "report.json")

    class FillsUp:
        """Takes half a line, once, as a disk does that fills up and is then cleared."""

        def __init__(self, file: Any) -> None:
            self.file, self.full = file, True

        def write(self, line: bytes) -> int:
            if self.full:
                self.full = False
                self.file.write(line[: len(line) // 2])
                raise OSError(28, "No space left on device")
            return int(self.file.write(line))

        def truncate(self, size: int) -> int:
            raise OSError(22, "Invalid argument")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(journal, "_file", FillsUp(journal._file))
    with pytest.raises(MlscopeError):
        journal.append(record())
    journal.append(record(nodeid="second"))
    journal.close(success=False)
    assert [entry.nodeid for entry in read_journal(journal.path)] == [record().nodeid, "second"]
