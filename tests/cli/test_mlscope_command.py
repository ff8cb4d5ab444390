"""The ``mlscope`` command: what it prints, its exit status, and that its page documents all of it."""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from pytest_mlscope import __version__
from pytest_mlscope.cli.main import build_parser, main
from pytest_mlscope.cli.parsers import shown_size
from pytest_mlscope.cli.table import aligned
from pytest_mlscope.environments.provisioned import MARKER
from pytest_mlscope.errors import EnvironmentCreationError
from pytest_mlscope.session.options import add_options

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "cli.md"
FRAMEWORK = """\
schema: 1
name: {name}
description: a toy
distributions: [{distribution}]
python: '{python}'
devices: {{cpu: CPU}}
precisions: {{cpu: [fp32]}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a cache of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path / "home"))
    return folder


def write_framework(
    project: Path, name: str, *, distribution: str = "toyframework", python: str = ">=3.11", locked: str | None = "1.0"
) -> None:
    folder = project / "frameworks" / name
    folder.mkdir(parents=True)
    (folder / "framework.yml").write_text(FRAMEWORK.format(name=name, distribution=distribution, python=python))
    if locked:
        (folder / "requirements.lock").write_text(f"{distribution}=={locked}\n")


def pretend_environment(tmp_path: Path, name: str = "old") -> Path:
    path = tmp_path / "home" / "environments" / f"{name}-{'0' * 12}-py3.11-linux-x86_64"
    path.mkdir(parents=True)
    (path / MARKER).write_text('{"schema": 1, "version": "0.9"}')
    return path


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on stderr, which is one line."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.rstrip("\n")


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """A printed table's rows by their first cell."""
    lines = capsys.readouterr().out.splitlines()
    return {cells[0]: cells[1:] for cells in (re.split(r" {2,}", line) for line in lines)}


def test_help_and_version_import_nothing_heavy() -> None:
    """They answer at once; pydantic alone takes longer than all of the command line."""
    code = (
        "import sys\nfrom pytest_mlscope.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'pydantic', 'yaml', 'numpy', 'fsspec', 'packaging', 'pytest'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
    assert "environments" in answer.stdout


def test_help_names_the_group_of_pytest(capsys: pytest.CaptureFixture[str]) -> None:
    parser = MagicMock()
    add_options(parser)
    _, title = parser.getgroup.call_args.args
    with pytest.raises(SystemExit):
        main(["--help"])
    assert f'"{title}"' in capsys.readouterr().out


@pytest.mark.parametrize("module", ["pytest_mlscope", "pytest_mlscope.cli.main"])
def test_it_runs_as_a_module(module: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"pytest-mlscope {__version__}\n"
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"pytest-mlscope {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["env"], ["environment"], ["env", "create"], ["env", "list", "--hom", "x"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 4
    assert re.fullmatch(r"mlscope[a-z ]*: error: .*; see mlscope[a-z ]* --help", error_line(capsys))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["env", "create", "onnx"], "no framework named 'onnx'; did you mean onnxruntime?"),
        (["framework", "check", "torch"], "no framework named 'torch'; did you mean pytorch?"),
        (["suite", "path", "digit"], "no suite named 'digit'; did you mean digits?"),
        (["validate", "gone.mlscope.yml"], "gone.mlscope.yml: there is no such file"),
        (["validate", "."], ".: the folder has no *.mlscope.yml"),
        (["audit", "m.mlscope.yml", "--resume"], "--resume needs --json PATH"),
        (["audit", "m.mlscope.yml", "--json", "/dev/stdout"], "/dev/stdout: is a stream of a process"),
        (
            ["bisect", "m.mlscope.yml", "--case", "x", "--json", "m.mlscope.yml"],
            "m.mlscope.yml: is the name of a model manifest",
        ),
        (["bisect", "m.mlscope.yml", "--case", "x", "--json", "notes.txt"], "notes.txt: is not a report of"),
    ],
)
def test_wrong_use_has_the_exit_status_of_pytests(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("mine\n")
    assert main(arguments) == 4
    assert error_line(capsys).startswith(f"mlscope: error: {said}")
    assert (tmp_path / "notes.txt").read_text() == "mine\n"


class TestEnv:
    def test_list_says_what_each_framework_runs_in(
        self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_framework(project, "installed", distribution="pytest")
        write_framework(project, "makeable")
        write_framework(project, "lockless", locked=None)
        write_framework(project, "ancient", python="<3.2")
        old = pretend_environment(tmp_path)
        assert main(["env", "list"]) == 0
        table = rows(capsys)
        python = platform.python_version()
        assert table["framework"] == ["version", "python", "size", "status"]
        assert table["installed"] == [pytest.__version__, python, "-", "current interpreter"]
        assert table["makeable"] == ["1.0", python, "-", "can be made"]
        assert table["lockless"][-1] == (
            "cannot: toyframework is not installed here; its folder has no requirements.lock to make an "
            "environment from; to enable: pip install 'toyframework'"
        )
        assert table["ancient"][-1].startswith("cannot: no Python <3.2 here; get one with: ")
        assert table["old"] == ["0.9", "3.11", "31 B", f"not used any more: {old.name}"]
        assert "onnxruntime" in table, "the shipped ones are there too"

    def test_list_shows_the_others_where_one_is_malformed(
        self, project: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_framework(project, "good")
        write_framework(project, "bad")
        path = project / "frameworks" / "bad" / "framework.yml"
        path.write_text("schema: 2\n")
        assert main(["env", "list"]) == 1
        captured = capsys.readouterr()
        assert "good" in captured.out
        assert captured.err.startswith("mlscope: error: ")
        assert f"{path}:1:9: schema is the number 2; allowed: 1\n" in captured.err

    def test_create_goes_on_after_a_failure(
        self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("one", "two"):
            write_framework(project, name)
        asked: list[tuple[object, ...]] = []

        def create(folder: object, **keys: object) -> None:
            name = folder.name  # type: ignore[attr-defined]  # a FrameworkFolder
            asked.append((name, keys["home"], keys["force"], keys["installer"]))
            if name == "one":
                raise EnvironmentCreationError("one: the disk is full")

        monkeypatch.setattr("pytest_mlscope.api.environments.create_environment", create)
        arguments = ["env", "create", "one", "two", "one", "--home", "here", "--force", "--installer", "pip"]
        assert main(arguments) == 1
        assert error_line(capsys) == "mlscope: error: one: the disk is full"
        assert asked == [(name, project / "here", True, "pip") for name in ("one", "two")]

    def test_create_of_an_unknown_framework(self, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["env", "create", "onnxruntim"]) == 4
        assert error_line(capsys) == "mlscope: error: no framework named 'onnxruntim'; did you mean onnxruntime?"

    def test_create_of_a_malformed_framework(self, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_framework(project, "bad")
        (project / "frameworks" / "bad" / "framework.yml").write_text("[")
        assert main(["env", "create", "bad"]) == 1
        assert "framework.yml:2:1: not YAML" in error_line(capsys)

    def test_remove(self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = pretend_environment(tmp_path)
        assert main(["env", "remove", "olt", "old"]) == 1
        captured = capsys.readouterr()
        assert captured.out == f"removed {path}\n"
        assert captured.err == (f"mlscope: error: no environment named 'olt' in {path.parent}; did you mean old?\n")
        assert not path.exists()


class TestDoctor:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLSCOPE_LEASES", str(tmp_path / "leases"))
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.delenv("PIP_NO_INDEX", raising=False)

    def lines(self, capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
        """What was told, by severity and subject."""
        told: dict[str, list[str]] = {}
        for line in capsys.readouterr().out.splitlines():
            subject, _, text = line.partition(": ")
            told.setdefault(" ".join(subject.split()), []).append(text)
        return told

    def test_a_machine_that_works(self, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What is missing is a warning as long as something can be evaluated."""
        write_framework(project, "installed", distribution="pytest")
        write_framework(project, "makeable")
        write_framework(project, "ancient", python="<3.2")
        write_framework(project, "malformed")
        (project / "frameworks" / "malformed" / "framework.yml").write_text("schema: 2\n")
        assert main(["doctor"]) == 0
        told = self.lines(capsys)
        python = platform.python_version()
        assert told["ok framework installed"] == [f"{pytest.__version__} in the current interpreter, Python {python}"]
        assert told["ok framework makeable"] == ["1.0 can be made → mlscope env create makeable"]
        assert told["warning framework ancient"][0].startswith("no Python <3.2 here; get one with: ")
        assert "schema is the number 2" in told["warning framework malformed"][0]
        assert told["warning package index"][0].startswith("http://127.0.0.1:9/simple: Connection refused → ")
        assert any(line.startswith("here: ") and "cpu" in line for line in told["ok hardware"])
        assert f"{python} ({sys.executable})" in told["ok interpreters"][0]
        assert {"ok this Python", "ok cache", "ok device leases"} <= set(told)
        assert any(key.endswith("timer") for key in told)

    def test_what_stops_it_from_working(
        self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "home").write_text("in the way")
        (tmp_path / "leases").write_text("in the way")
        monkeypatch.setattr("pytest_mlscope.api.frameworks.search_path", lambda *_, **__: [])
        assert main(["doctor"]) == 1
        told = self.lines(capsys)
        assert "cannot be written to" in told["problem cache"][0]
        assert "device leases cannot be made" in told["problem device leases"][0]
        assert told["problem frameworks"] == ["none can be used, so nothing can be evaluated"]
        assert any(line.endswith("3 problems") for line in told)

    def test_no_installer(
        self, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pytest_mlscope.environments.diagnosis.find_uv", lambda: None)
        monkeypatch.setattr("pytest_mlscope.environments.diagnosis.interpreters", lambda: iter(()))
        assert main(["doctor"]) == 1
        assert "pip install uv" in self.lines(capsys)["problem installer"][0]

    def test_little_room(
        self, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))
        assert main(["doctor"]) == 0
        assert "1.0 GB free, and an environment may take 5.0 GB → " in self.lines(capsys)["warning cache"][0]


class TestSuite:
    @pytest.fixture
    def suite(self, project: Path) -> Path:
        folder = project / "model_suites" / "mine"
        folder.mkdir(parents=True)
        (folder / "a.mlscope.yml").write_text("schema: 1\n")
        (folder / "__pycache__").mkdir()
        (project / "model_suites" / "no_suite").mkdir()
        return folder

    def test_list(self, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["suite", "list"]) == 0
        table = rows(capsys)
        assert table["mine"] == ["1", str(suite)]
        assert "digits" in table
        assert "no_suite" not in table

    def test_path(self, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["suite", "path", "mine"]) == 0
        assert capsys.readouterr().out == f"{suite}\n"
        assert main(["suite", "path", "mime"]) == 4
        assert error_line(capsys) == "mlscope: error: no suite named 'mime'; did you mean mine?"

    def test_copy(self, suite: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["suite", "copy", "mine", "copied/here"]) == 0
        assert [path.name for path in (project / "copied" / "here").iterdir()] == ["a.mlscope.yml"]
        capsys.readouterr()
        assert main(["suite", "copy", "mine", "copied/here"]) == 4
        assert error_line(capsys) == "mlscope: error: copied/here: is there already; name a folder that is not"
        assert main(["suite", "copy", "mine", "model_suites/mine/again"]) == 4
        assert "is inside" in error_line(capsys)


def test_schema_knows_the_frameworks_of_the_current_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_framework(project, "mine")
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"mine", "onnxruntime"} <= set(schema["properties"]["frameworks"]["properties"])


def test_cache(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = pretend_environment(tmp_path)
    made = tmp_path / "home" / "artifacts" / "built" / "model.onnx"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"0" * 1500)
    revision = tmp_path / "home" / "revisions" / "0" / "model.onnx"
    revision.parent.mkdir(parents=True)
    revision.write_bytes(b"0" * 2500)
    assert main(["cache", "path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/home\n"
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == (
        f"freed 2 kB in {tmp_path}/home/artifacts\nfreed 2 kB in {tmp_path}/home/revisions\n"
    )
    assert not made.exists()
    assert not revision.exists()
    assert kept.exists()
    assert main(["cache", "clear"]) == 0


@pytest.mark.slow
def test_a_reader_that_has_seen_enough() -> None:
    """As in ``mlscope schema | head -1``: no traceback, and no complaint when Python closes stdout."""
    command = [sys.executable, "-c", "from pytest_mlscope.cli.main import main; raise SystemExit(main(['schema']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


def test_an_interrupt(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_framework(project, "toy")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_mlscope.api.environments.create_environment", interrupt)
    assert main(["env", "create", "toy"]) == 130
    assert error_line(capsys) == "mlscope: interrupted"


def test_sizes_and_columns() -> None:
    assert [shown_size(size) for size in (0, 999, 1_500, 2_500_000, 3_100_000_000)] == [
        "0 B",
        "999 B",
        "2 kB",
        "2 MB",
        "3.1 GB",
    ]
    assert aligned(["a", "b"], [["long", "x"], ["s", ""]]) == "a     b\nlong  x\ns"


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from commands(child)


@pytest.mark.parametrize("parser", list(commands(build_parser())), ids=lambda parser: str(parser.prog))
def test_every_command_and_option_is_documented_and_has_help(parser: argparse.ArgumentParser) -> None:
    """Each command that does something has a section of its own, which names its options and arguments."""
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    text = DOCUMENTATION.read_text("utf-8")
    if any(isinstance(action, argparse._SubParsersAction) for action in actions):
        assert f"`{parser.prog}" in text
        return
    heading = rf"^#+ `{re.escape(parser.prog)}(?: [^`]*)?`$"
    section = re.search(rf"{heading}(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"docs/cli.md has no section for {parser.prog}"
    for action in actions:
        assert action.help, f"{parser.prog}: {action.dest} has no help"
        for name in action.option_strings or [str(action.metavar)]:
            assert name in section[0], f"docs/cli.md does not name {name} under {parser.prog}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope.mlscope.yml"], "nope.mlscope.yml: there is no such file"),
        (["."], ".: is a folder; give the path of a manifest, NAME.mlscope.yml"),
        (["nope.mlscope.yml", "--json", "/nonexistent/x.json"], "cannot be written: there is no folder /nonexistent"),
    ],
)
def test_an_audit_of_nothing_is_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["audit", *arguments]) == 4
    assert said in capsys.readouterr().err


def test_an_audit_beside_too_many_busy_processes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["audit", "x.mlscope.yml", "--busy", "1000000"])
    assert ended.value.code == 4
    assert "'1000000' is not a whole number from 0 to" in capsys.readouterr().err
