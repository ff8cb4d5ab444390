"""Files that a user asks us to write: whatever stands there is replaced only if it is ours to replace."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_mlscope.errors import WrongUse
from pytest_mlscope.ordinary_files import read_ordinary, why_not_ordinary

_STREAM = re.compile(r"/dev/(stdin|stdout|stderr|fd(/.*)?)|/proc/[^/]+/(task/[^/]+/)?fd(/.*)?")
_MANIFEST = ".mlscope.yml"
_BEGINNING = 4096
"""Bytes of a file that tell what it is."""
# Links may form a circle; Linux gives up after as many (path_resolution(7)).
_MOST_LINKS = 40


def _normal(path: Path) -> Path:
    # Path.resolve would follow the links, which are looked at one by one.
    return Path(os.path.normpath(path.absolute()))


def _names(path: Path) -> list[Path]:
    """The path, and what each symbolic link on the way leads to: ``/dev/stdout`` is a link to a file of any kind."""
    names = [_normal(path)]
    while len(names) < _MOST_LINKS and names[-1].is_symlink():
        names.append(_normal(names[-1].parent / names[-1].readlink()))
    return names


def require_replaceable(path: Path, *, beginning: str, what: str) -> None:
    """Refuse, before anything is measured, to replace what is not a file of ours.

    An absent file and an empty one can be replaced by anything.

    :param beginning: a regular expression that the beginning of our files matches.
    :param what: what our files are, such as ``a JSON report of --mlscope-json``.
    :raises WrongUse: for a device, a FIFO, a stream of this process, a folder, a manifest, and a file with other
        content.
    """
    # By name: a redirected /dev/stdout leads to an ordinary file.
    names = _names(path)
    if any(_STREAM.fullmatch(str(name)) for name in names):
        raise WrongUse(f"{path}: is a stream of a process, not a file; give the path of a file")
    if any(name.name.endswith(_MANIFEST) for name in names):
        raise WrongUse(f"{path}: is the name of a model manifest; give the path of a file for {what}")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise WrongUse(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    if wrong := why_not_ordinary(mode):
        raise WrongUse(f"{path}: {wrong.removeprefix('it ')}; give the path of a file")
    try:
        content = read_ordinary(path, most=_BEGINNING)
    except OSError as error:
        raise WrongUse(f"{path}: cannot be read: {error.strerror or error}") from None
    if content.strip() and not re.match(beginning, content.decode("utf-8", "replace")):
        raise WrongUse(f"{path}: is not {what}, so it is not replaced; remove it, or give another path")
