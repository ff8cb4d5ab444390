"""The command-line options. Imported in every pytest run: nothing heavy here."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import pytest

from pytest_mlscope.option_values import (
    ALL_PARTS,
    DEFAULT_TIMEOUT,
    MOST_RESTARTS,
    PRECISIONS,
    STRICT_PARTS,
    StrictPart,
    percentage,
    positive_number,
    user_path,
    whole_number,
)
from pytest_mlscope.reports import SHIPPED_REPORTS

_batch_size = whole_number()


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name; expected NAME or NAME,NAME")
    return names


def _frameworks(text: str) -> list[str]:
    """``onnxruntime>=1.20,<1.25,openvino`` is two: what begins with an operator belongs to what stands before it."""
    names: list[str] = []
    for name in _names(text):
        if names and name[0] in "<>=!~":
            names[-1] += f",{name}"
        else:
            names.append(name)
    return ["".join(name.split()) for name in names]


def _precisions(text: str) -> list[str]:
    names = _names(text)
    for name in names:
        if name not in PRECISIONS:
            raise argparse.ArgumentTypeError(f"unknown precision {name!r}; allowed: {', '.join(PRECISIONS)}")
    return names


def _batch_sizes(text: str) -> list[int]:
    return [_batch_size(size) for size in _names(text)]


def _against(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "the baseline is empty; expected a git revision, a folder, a saved run, framework:NAME==VERSION or "
            "model:MANIFEST"
        )
    return text


def _path(text: str) -> str:
    # As text: options travel to pytest-xdist's workers.
    return str(user_path(text))


def strict_parts(words: Iterable[str]) -> frozenset[StrictPart]:
    """The parts that words name, each one or several with commas between.

    >>> sorted(strict_parts(["new, inconclusive"]))
    ['inconclusive', 'new']

    :raises ValueError: one line, for a word that is none of them, and for words that name nothing.
    """
    names = [name.strip() for word in words for name in word.split(",")]
    allowed = ", ".join((*STRICT_PARTS, ALL_PARTS))
    if names and not any(names):
        raise ValueError(f"no part is named; allowed: {allowed}")
    for name in names:
        if name not in (*STRICT_PARTS, ALL_PARTS, ""):
            # Here, since difflib is too much for every start of pytest.
            from pytest_mlscope.text import closest, did_you_mean

            hint = did_you_mean(closest(name, STRICT_PARTS))
            raise ValueError(f"{name!r} is not a part{hint}; allowed: {allowed}")
    return frozenset(part for part in STRICT_PARTS if part in names or ALL_PARTS in names)


STRICT, STRICT_INI = "--mlscope-strict", "mlscope_strict"


def keep_strict_from_paths(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Let ``--mlscope-strict`` take what stands after "=" alone: the next word is a path as for any flag.

    argparse would take it, and has no option whose value may be left out and must be given so.
    """
    if STRICT in args:
        args[:] = [f"{STRICT}={ALL_PARTS}" if word == STRICT else word for word in args]
        early_config.known_args_namespace.file_or_dir = parser.parse_known_args(args).file_or_dir


def strictness(config: pytest.Config) -> frozenset[StrictPart]:
    """What is a failure beside what always is.

    :raises pytest.UsageError: for a part that does not exist.
    """
    given = config.getoption("mlscope_strict")
    try:
        return strict_parts(config.getini(STRICT_INI) if given is None else [given])
    except ValueError as error:
        raise pytest.UsageError(f"{STRICT_INI if given is None else STRICT}: {error}") from None


def add_options(parser: pytest.Parser) -> None:
    """Add the ``mlscope`` option group."""
    group = parser.getgroup("mlscope", "evaluation of machine-learning models (pytest-mlscope)")
    group.addoption("--mlscope", action="store_true", help="Collect *.mlscope.yml model manifests and evaluate them.")
    group.addoption(
        "--mlscope-framework",
        action="extend",
        type=_frameworks,
        metavar="NAME[==VERSION][,NAME]",
        help="Only cases of these frameworks, or of one version of several that a manifest names.",
    )
    group.addoption(
        "--mlscope-hardware",
        action="extend",
        type=_names,
        metavar="NAME[,NAME]",
        help="Only cases on these hardware targets.",
    )
    group.addoption(
        "--mlscope-precision",
        action="extend",
        type=_precisions,
        metavar="NAME[,NAME]",
        help=f"Only cases at these precisions ({', '.join(PRECISIONS)}).",
    )
    group.addoption(
        "--mlscope-batch-size",
        action="extend",
        type=_batch_sizes,
        metavar="N[,N]",
        help="Only cases with these batch sizes.",
    )
    group.addoption(
        "--mlscope-provision",
        action="store_true",
        help="Make the framework environments that cases need and that are missing.",
    )
    group.addoption(
        STRICT,
        nargs="?",
        const=ALL_PARTS,
        metavar="PART[,PART]",
        help="Fail what is tolerated otherwise; all of it, or with = only some of cannot-run (cases that cannot run "
        "here), new (cases that the baseline lacks), inconclusive and not-compared (other comparisons).",
    )
    parser.addini(STRICT_INI, "What --mlscope-strict is when it is not given: its parts, or all.", "args", [])
    group.addoption(
        "--mlscope-timeout",
        type=positive_number("seconds"),
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="Fail a case that takes longer, restarts and parity reference included, and kill its predictor host "
        f"(default: {DEFAULT_TIMEOUT:g}).",
    )
    group.addoption(
        "--mlscope-restarts",
        type=whole_number(most=MOST_RESTARTS),
        metavar="N",
        help="Measure each latency in N fresh predictor hosts and report the middle one, with the spread between them.",
    )
    group.addoption(
        "--mlscope-affinity",
        metavar="CPUS",
        help="Pin predictor hosts to these CPUs, such as 0-3,6.",
    )
    group.addoption(
        "--mlscope-layers",
        action="store_true",
        help="Profile the model of every latency case layer by layer, once it is measured; the layers are in the "
        "JSON report.",
    )
    group.addoption(
        "--mlscope-against",
        type=_against,
        metavar="BASELINE",
        help="Compare with a git revision, another checkout's folder, framework:NAME==VERSION or model:MANIFEST, "
        "measured side by side in this run, or with a saved run (*.json); a regression fails.",
    )
    group.addoption(
        "--mlscope-minimum-effect",
        type=percentage(most=100),
        metavar="PERCENT",
        help="Smallest difference of latency that matters to --mlscope-against (default: as the manifest's gate says, "
        "else 3).",
    )
    group.addoption(
        "--mlscope-gate-seconds",
        type=positive_number("seconds"),
        default=20.0,
        metavar="SECONDS",
        help="Time for a comparison of latencies, after which it is inconclusive (default: 20).",
    )
    for report in SHIPPED_REPORTS:
        group.addoption(report.option, type=_path, metavar="PATH", help=report.help)


def refuse_without_mlscope(config: pytest.Config) -> None:
    """What only means something under ``--mlscope`` must not be passed over in silence without it.

    :raises pytest.UsageError: for a manifest or another ``--mlscope-…`` option without ``--mlscope``.
    """
    for argument in map(str, config.invocation_params.args):
        if argument.startswith("--mlscope-"):
            raise pytest.UsageError(f"{argument.partition('=')[0]} means nothing without --mlscope; add --mlscope")
        if argument.partition("::")[0].endswith(".mlscope.yml"):
            raise pytest.UsageError(f"{argument} is a model manifest; add --mlscope to evaluate it")


MARKERS = (
    "accuracy: items that compare a model's metrics on a dataset with bounds.",
    "parity: items that compare a model's outputs with the reference framework's.",
    "latency: items that time a model.",
    "framework(name, version): the framework of the case, and the version where the manifest names one; select with "
    "-m 'framework(name=\"onnxruntime\")'.",
    "hardware(name): the hardware target of the case; select with -m 'hardware(name=\"cpu\")'.",
    "mlscope_cases(manifest, *, framework, version, hardware, precision, batch_size, threads, scenario, "
    "preprocessing): parametrize a test over the cases of a model manifest (use pytest_mlscope.mlscope_cases).",
)
