"""What can go wrong, as the user sees it. Every message is one line that says what, where and what to do."""

from __future__ import annotations

MAX_LINE = 2_000
"""Characters of one line of a message: what a manifest, a model file or a server holds may be of any length."""
MAX_LINES = 1_000
"""Lines of a message."""


def shown(text: str) -> str:
    """Text for a terminal: no control characters but line breaks, no line and no text without an end.

    Text of model files, servers and frameworks comes with every error; escape sequences in it would act on the
    terminal. They stand as ``\\x1b``.

    >>> shown("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if text.isprintable() and len(text) <= MAX_LINE:
        return text
    lines = text.split("\n")
    kept = [_line(line) for line in lines[:MAX_LINES]]
    return "\n".join([*kept, *([f"[… {len(lines) - MAX_LINES:,} more lines]"] if len(lines) > MAX_LINES else [])])


def printable(text: str) -> str:
    """Text whose other characters, lone surrogates of file names in no known encoding too, stand as escapes.

    >>> printable("caf\\udce9")
    'caf\\\\udce9'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(ord(letter)) for letter in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _line(line: str) -> str:
    if len(line) > MAX_LINE:
        # Both ends stay: what is wrong stands at the beginning, what to do at the end.
        line = f"{line[: MAX_LINE // 2]} [… {len(line) - MAX_LINE:,} characters …] {line[-MAX_LINE // 2 :]}"
    line = line.rstrip("\r").expandtabs(4)
    return printable(line)


class MlscopeError(Exception):
    """Base of every error raised for the user's eyes; ``str()`` of it is the whole message.

    >>> error = MlscopeError("w.npy: no such file", advice="check the path")
    >>> error.say_where("m.mlscope.yml:7:33")
    >>> print(error)
    m.mlscope.yml:7:33: w.npy: no such file; check the path
    """

    def __init__(self, message: str = "", *, advice: str | None = None) -> None:
        """:param advice: what to do, to stand at the message's end."""
        self._what = message
        self._advice = advice
        super().__init__(shown(self.advising(advice)))

    def say_where(self, place: object) -> None:
        """Begin the message with the place that names what is wrong. Type and other fields stay."""
        self._what = f"{place}: {self._what}"
        self.args = (shown(self.advising(self._advice)),)

    def advising(self, advice: str | None) -> str:
        """The message with other advice at its end."""
        return f"{self._what}; {advice}" if advice else self._what


class ManifestError(MlscopeError):
    """A manifest that cannot be used; the message holds one ``file:line:column: …`` line per mistake."""


class WrongUse(MlscopeError):  # noqa: N818  # says what was done, as the reports do
    """A command line asks for what cannot be: an unknown name, options that do not go together, a file that is not ours
    to replace. Nothing was done. The exit status is pytest's for wrong use, 4.
    """


class ArtifactError(MlscopeError):
    """A model file, dataset file or other asset is missing, unreadable or not what the manifest says."""


class FileLacks(ArtifactError):  # noqa: N818  # says what was found, as the reports do
    """A file is not there, or only what Git LFS keeps in its place."""

    def __init__(self, message: str, *, path: str, pointer: bool, advice: str) -> None:
        """
        :param path: of the file.
        :param pointer: whether there is a pointer of Git LFS.
        """
        super().__init__(message, advice=advice)
        self.path = path
        self.is_pointer = pointer


class IntegrityError(ArtifactError):
    """A file's size or sha256 differs from the manifest's."""


class DatasetError(MlscopeError):
    """A dataset cannot be opened or read."""


class PreprocessingError(MlscopeError):
    """A pre- or post-processing step was given something it cannot work on."""


class FrameworkError(MlscopeError):
    """A framework folder is malformed."""


class BaselineError(MlscopeError):
    """What a run is to be compared with cannot be used."""

    def __init__(self, message: str, *, cause: MlscopeError | None = None) -> None:
        """:param cause: what failed on the baseline's side."""
        super().__init__(message)
        self.cause = cause


class NoCounterpart(BaselineError):  # noqa: N818  # says what was found, as the reports do
    """The baseline has nothing to compare a case with."""


class NotInBaseline(NoCounterpart):
    """The case, or its model, is new: the baseline does not have it."""


class HardwareError(MlscopeError):
    """A hardware target's file is malformed."""


class EnvironmentCreationError(MlscopeError):
    """A framework environment could not be made."""


class HostError(MlscopeError):
    """The predictor host failed. ``output`` holds the last lines the framework printed."""

    loading = False
    """Whether it failed before the case's model was loaded: nothing is known of its predictions then."""

    def __init__(self, message: str, *, output: str = "") -> None:
        super().__init__(message)
        self.output = shown(output)


class HostCrashed(HostError):  # noqa: N818  # says what happened, as the reports do
    """The host died: a signal, an exit, a closed pipe."""


class UnreadableReply(HostError):  # noqa: N818  # says what happened, as the reports do
    """The host answered with something else than the protocol says; it was killed."""


class HostTimeout(HostError):  # noqa: N818  # says what happened, as the reports do
    """The host was killed because a request ran past its timeout."""


class PredictorError(HostError):
    """The framework raised an exception; the host is alive."""


class CannotRun(MlscopeError):  # noqa: N818  # says what happened, as the reports do
    """A case cannot run on this machine as it is: reported as a skip with this reason, or a failure when strict.

    >>> error = CannotRun("not on this machine", subject="cuda")
    >>> error.reason
    'cuda: not on this machine'
    """

    def __init__(self, detail: str, *, subject: str | None = None, command: str | None = None) -> None:
        """
        :param detail: why, without a name before it where there is a subject.
        :param subject: what the reason is about, such as a hardware target or a framework.
        :param command: what would make it run, where something would.
        """
        self.detail = shown(detail)
        self.subject = subject
        self.command = command
        super().__init__(self.advised)

    @property
    def reason(self) -> str:
        """Why, without what would help."""
        return f"{self.subject}: {self.detail}" if self.subject else self.detail

    @property
    def advised(self) -> str:
        """Why, and what would help."""
        return f"{self.reason}; to enable: {self.command}" if self.command else self.reason


class NoEnvironment(CannotRun):
    """A framework has no environment that fits. ``can_be_made`` says whether ``mlscope env create`` would make one."""

    def __init__(self, detail: str, *, subject: str, command: str | None = None, can_be_made: bool = False) -> None:
        self.can_be_made = can_be_made
        super().__init__(detail, subject=subject, command=command)


class NotSupported(CannotRun):
    """The predictor refused what it was asked for: the model file, the precision or another setting is none of its.

    >>> print(NotSupported("m.onnx: holds int8, not fp32", subject="onnxruntime", holds="int8"))
    onnxruntime: m.onnx: holds int8, not fp32; ask for precision int8
    """

    def __init__(self, detail: str, *, subject: str, holds: str | None = None) -> None:
        """:param holds: the precision that the file holds, where asking for it would help."""
        self.holds = holds
        super().__init__(detail, subject=subject)

    @property
    def advised(self) -> str:
        return f"{self.reason}; ask for precision {self.holds}" if self.holds else self.reason


class Refused(CannotRun):
    """A case that no machine should run, since its result would mean nothing: a skip, strict or not."""
