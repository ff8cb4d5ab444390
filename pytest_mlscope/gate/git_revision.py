"""The files of a git revision, beside the working tree, for comparing with."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.errors import BaselineError
from pytest_mlscope.machine import describe_os_error, file_lock, revisions_folder, run_git, writable_folder

_COMPLETE = ".complete"


@dataclass(frozen=True)
class Revision:
    """A commit's files on disk."""

    name: str
    """As the user called it."""
    commit: str
    """40 hexadecimal digits."""
    folder: Path
    """The root of its files."""
    repository: Path
    """The root of the working tree it belongs to."""
    dirty: bool
    """Whether tracked files of the working tree differ from what is committed there."""


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return run_git(folder, *arguments)
    except OSError as error:
        raise BaselineError(f"git cannot be started: {error.strerror}; a git revision needs it") from None
    except subprocess.TimeoutExpired as error:
        raise BaselineError(f"git {arguments[0]} took more than {error.timeout:g} s and was ended") from None


def repository_of(folder: Path) -> Path | None:
    """Root of the working tree a folder is in; ``None`` outside one, and where git refuses it."""
    done = _git(folder, "rev-parse", "--show-toplevel")
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def _why_refused(folder: Path) -> str | None:
    """Git's own reason where there is a repository that it does not read, such as one of another owner."""
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
    if root is None:
        return None
    done = _git(folder, "rev-parse", "--show-toplevel")
    return " ".join(done.stderr.split()) or f"git ended with exit code {done.returncode}"


def check_out(name: str, *, folder: Path, home: Path) -> Revision:
    """Unpack a revision of the repository that ``folder`` is in into the cache, once a commit.

    The working tree and its index stay as they are.

    :param name: anything git takes for a commit: ``main``, ``HEAD~1``, a tag, a hash.
    :raises BaselineError: outside a repository, for a name git does not know, or when it cannot be unpacked.
    """
    repository = repository_of(folder)
    if repository is None:
        if reason := _why_refused(folder.absolute()):
            raise BaselineError(f"{name!r}: git refuses the repository that {folder} is in: {reason}")
        raise BaselineError(
            f"{name!r}: {folder} is in no git repository, so there is no such revision of it; where pytest's rootdir "
            "is not the project, --rootdir names it"
        )
    # A name that begins with a dash would be an option.
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    commit = found.stdout.strip().splitlines()[-1] if found.returncode == 0 and found.stdout.strip() else ""
    if not commit:
        if _git(repository, "rev-list", "--all", "--max-count=1").stdout.strip() == "":
            raise BaselineError(f"{name!r}: the git repository {repository} has no commit yet")
        shallow = _git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        advice = "a shallow clone: fetch the revision, or git fetch --unshallow" if shallow else "`git log` lists them"
        raise BaselineError(
            f"{name!r} is not a revision of the git repository {repository} ({advice}), "
            "nor a folder, a saved run, framework:NAME==VERSION or model:MANIFEST"
        )
    dirty = bool(_git(repository, "status", "--porcelain", "--untracked-files=no").stdout.strip())
    root = writable_folder(revisions_folder(home), error_type=BaselineError)
    target = root / commit
    try:
        with file_lock(root / f".{commit}.lock"):
            if not (target / _COMPLETE).exists():
                _unpack(repository, commit, target)
    except (OSError, tarfile.TarError) as error:
        reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
        raise BaselineError(f"{target}: revision {name!r} cannot be unpacked: {reason}") from None
    return Revision(name, commit, target / "files", repository, dirty)


def _unpack(repository: Path, commit: str, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as scratch:
        archive = Path(scratch) / "archive.tar"
        done = _git(repository, "archive", "--format=tar", f"--output={archive}", commit)
        if done.returncode:
            raise BaselineError(f"git archive {commit}: {' '.join(done.stderr.split())}")
        files = Path(scratch) / "files"
        files.mkdir()
        with tarfile.open(archive) as tar:
            # The filter "data" refuses links that lead outside, which a repository may well contain.
            tar.extractall(files, filter="tar")
        archive.unlink()
        target.mkdir()
        files.rename(target / "files")
        # Last, so that what a killed process left behind is unpacked again.
        (target / _COMPLETE).touch()
