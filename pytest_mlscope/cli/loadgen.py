"""``mlscope loadgen``: a case under MLPerf's LoadGen, beside our own loop."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pytest_mlscope.cli.parsers import Commands, add_command, add_home, settings_of
from pytest_mlscope.option_values import positive_number, user_path, whole_number

if TYPE_CHECKING:
    from pytest_mlscope.measurements import Agreement

_DETAILS = """\
Runs the case through MLPerf's LoadGen in the framework's own interpreter, and through our own loop, in turns on one
loaded model; prints both medians, their ratio, and what a query costs under LoadGen with nothing to predict, which is
part of its latencies. LoadGen's logs are kept in DIR, as in an MLPerf submission."""
_COST = 20e-6
"""Seconds that LoadGen, called from Python, may well add to a query."""
_TOO_SMALL = (
    "NO by less than 20 µs: LoadGen itself may add as much to a query, which a model of milliseconds does not notice"
)


def add_to(commands: Commands) -> None:
    """Add ``loadgen``."""
    parser = add_command(commands, "loadgen", "run a case through MLPerf LoadGen, beside our own loop", _run, _DETAILS)
    parser.add_argument("manifest", type=user_path, metavar="MANIFEST", help="a *.mlscope.yml")
    parser.add_argument(
        "--case", metavar="ID", help="the case, by its id as in test names; by default the first one on onnxruntime"
    )
    parser.add_argument("--output", type=user_path, metavar="DIR", required=True, help="where LoadGen's logs are kept")
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help="one of MLPerf's, instead of the case's own; may be given several times",
    )
    parser.add_argument(
        "--target-qps",
        type=positive_number("queries per second"),
        metavar="QPS",
        help="rate of server, instead of the manifest's",
    )
    parser.add_argument(
        "--seconds", type=positive_number("seconds"), default=0.3, metavar="S", help="length of each run (default: 0.3)"
    )
    parser.add_argument(
        "--rounds", type=whole_number(), default=40, metavar="N", help="runs of each side, in turns (default: 40)"
    )
    parser.add_argument("--provision", action="store_true", help="make a missing framework environment")
    add_home(parser)


def _table(agreements: list[Agreement]) -> str:
    from statistics import median

    from pytest_mlscope.cli.table import aligned
    from pytest_mlscope.measurements import WITHIN
    from pytest_mlscope.quantities import number, seconds

    rows = []
    for each in agreements:
        ratios = sorted(one.ratio for one in each.rounds)
        ours, theirs = (median(getattr(one, side) for one in each.rounds) for side in ("ours", "theirs"))
        empty = [one.empty for one in each.rounds if one.empty is not None]
        rows.append(
            [
                each.scenario,
                f"{number(ours)} rows/s" if each.is_rate else seconds(ours),
                f"{number(theirs)} rows/s" if each.is_rate else seconds(theirs),
                f"{each.ratio:.3f}",
                f"{ratios[0]:.2f}–{ratios[-1]:.2f}",
                "yes" if abs(each.ratio - 1) <= WITHIN else "NO",
                seconds(median(empty)) if empty else "–",
                f"{sum(one.valid for one in each.rounds)} of {len(each.rounds)}",
            ]
        )
    header = ["scenario", "ours", "LoadGen", "ratio", "rounds", f"within {WITHIN:.0%}", "nothing to predict", "VALID"]
    return aligned(header, rows)


def _is_below_loadgens_cost(agreement: Agreement) -> bool:
    from statistics import median

    if agreement.agrees or agreement.ratio < 1 or agreement.is_rate:
        return False
    return median(each.theirs - each.ours for each in agreement.rounds) < _COST


def _arrivals(agreement: Agreement) -> list[str]:
    from pytest_mlscope.measurements import SAME_DISTRIBUTION_FROM
    from pytest_mlscope.quantities import seconds

    arrivals = agreement.arrivals
    if arrivals is None:
        return []
    distance, probability = arrivals
    same = "one distribution" if probability >= SAME_DISTRIBUTION_FROM else "NOT one distribution"
    shown = ["n too small" if error is None else seconds(error) for error in agreement.arrival_errors]
    return [
        f"arrivals: {same} (Kolmogorov–Smirnov distance {distance:.4f}, probability {probability:.3g})",
        f"arrival error, p99 with nothing under way: ours {shown[0]}, LoadGen {shown[1]}",
    ]


def _run(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import compare_with_loadgen

    case, agreements = compare_with_loadgen(
        options.manifest,
        options.output,
        settings=settings_of(options),
        case=options.case,
        scenarios=options.scenario or (),
        target_qps=options.target_qps,
        seconds=options.seconds,
        rounds=options.rounds,
    )
    print(f"{case.model} [{case.id}]")
    print(_table(agreements))
    for agreement in agreements:
        for line in _arrivals(agreement):
            print(line)
    if any(_is_below_loadgens_cost(agreement) for agreement in agreements):
        print(_TOO_SMALL)
    print(f"LoadGen's logs: {options.output}")
    return 0 if all(agreement.agrees for agreement in agreements) else 1
