"""``mlscope bisect``: the first layer that differs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pytest_mlscope.cli.parsers import Commands, add_command, add_home, settings_of, shown_size
from pytest_mlscope.errors import shown
from pytest_mlscope.option_values import user_path, whole_number
from pytest_mlscope.quantities import plural

if TYPE_CHECKING:
    from pytest_mlscope.bisection import Bisection, LayerDifference

_DETAILS = """\
Runs an ONNX model in two frameworks, or two ONNX files of one graph in one, on the same rows, and compares the layers'
outputs in the order in which they are computed, until one differs by more than the tolerance. Only a window of layers
is held at a time, so memory does not grow with the network."""


def _tolerance(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on, such as 1e-4")
    return number


def _megabytes(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1e-6 <= number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of megabytes above 0")
    return int(number * 1e6)


def add_to(commands: Commands) -> None:
    """Add ``bisect``."""
    parser = add_command(commands, "bisect", "find the first layer that differs", _bisect, _DETAILS)
    parser.add_argument("manifest", type=user_path, metavar="MANIFEST", help="a *.mlscope.yml")
    parser.add_argument("--case", metavar="ID", required=True, help="the case, by its id as in test names")
    parser.add_argument("--reference", metavar="FRAMEWORK", help="the framework to compare with")
    parser.add_argument(
        "--against-file", type=user_path, metavar="FILE", help="another ONNX file of the same graph to compare with"
    )
    parser.add_argument(
        "--rows", type=whole_number(most=2**20), metavar="N", help="rows of the dataset (default: one batch)"
    )
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="X",
        help="largest difference in a layer, relative to its largest magnitude (default: by precision)",
    )
    parser.add_argument(
        "--window", type=_megabytes, metavar="MB", help="megabytes of outputs held at once, of each side (default: 64)"
    )
    parser.add_argument("--json", type=user_path, metavar="PATH", help="write every layer's difference to this file")
    parser.add_argument("--provision", action="store_true", help="make a missing framework environment")
    add_home(parser)


def _bisect(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import bisect_case

    case, found = bisect_case(
        options.manifest,
        settings=settings_of(options),
        case=options.case,
        reference=options.reference,
        file=options.against_file,
        rows=options.rows,
        tolerance=options.tolerance,
        window_bytes=options.window,
        output=options.json,
    )
    print(f"{case.model} [{case.id}]")
    print(shown(_report(found)))
    return 0


def _report(found: Bisection) -> str:
    lines = [
        f"candidate  {found.candidate}",
        f"reference  {found.reference}",
        f"tolerance  {found.tolerance:.2g} of a layer's largest magnitude ({found.tolerance_source}), "
        f"over {plural(found.rows, 'row')}",
    ]
    for framework, unfused in found.unfused.items():
        said = ", ".join(f"{name}: {_yaml(value)}" for name, value in unfused.items())
        lines.append(
            f"{framework}: graph optimisation off ({said})"
            if said
            else f"{framework}: has no option against fusing nodes"
        )
    if found.first is not None:
        lines += ["", "first layer outside the tolerance:", f"  {_line(found.first)}", "computed from:"]
        for producer in found.producers:
            if isinstance(producer, str):
                lines.append(f"  {producer}")
            else:
                within = "not within" if producer.leaves(found.tolerance) else "within"
                lines.append(f"  {_line(producer)}: {within} the tolerance")
        if not found.producers:
            lines.append("  constants alone")
    else:
        lines += ["", *_within(found)]
    lines += ["", _effort(found)]
    if found.unconfirmed:
        lines.append(f"outside the tolerance beside other outputs, not alone: {', '.join(found.unconfirmed)}")
    if found.without_namesake:
        lines.append(f"not compared: {plural(found.without_namesake, 'layer')} whose name only one of the two has")
    for name, reason in found.not_compared.items():
        lines.append(f"not compared: {name}: {reason}")
    if found.unknown_sizes:
        lines.append(f"layers whose size is not known, each alone in a window: {found.unknown_sizes}{_how_to_know()}")
    return "\n".join(lines)


def _within(found: Bisection) -> list[str]:
    """Of layers none of which leaves the tolerance."""
    # One row may well not reach what differs, behind a ReLU, say.
    more = f"; --rows compares more, of {found.dataset_rows:,}" if found.rows < found.dataset_rows else ""
    on_rows = f" on {plural(found.rows, 'row')}{more}"
    largest = max(found.compared, key=lambda each: each.relative, default=None)
    if largest is not None and largest.relative == 0:
        compared = plural(len(found.compared), "layer") + ("" if len(found.compared) == found.layers else " compared")
        said = f"all {compared} are equal" if len(found.compared) > 1 else f"no difference in {compared}"
        return [said + on_rows]
    lines = [f"no layer leaves the tolerance, of {len(found.compared)} compared{on_rows}"]
    return lines if largest is None else [*lines, f"largest difference: {_line(largest)}"]


def _how_to_know() -> str:
    from pytest_mlscope.bisection import WITHOUT_TYPES, knows_types

    return "" if knows_types() else f"; {WITHOUT_TYPES}"


def _effort(found: Bisection) -> str:
    compared = (
        f"compared {len(found.compared)} of {plural(found.layers, 'layer')}; {plural(found.windows, 'window')} of "
        f"at most {shown_size(found.window_bytes)} a batch"
    )
    peak = found.peak_memory
    if peak is None:
        return compared
    since = "" if peak.plugin_since_beginning else " since its start"
    sizes = ["unknown" if size is None else shown_size(size) for size in (peak.plugin, peak.candidate, peak.reference)]
    return (
        f"{compared}\npeak memory: this process {sizes[0]}{since}, candidate's host {sizes[1]}, "
        f"reference's host {sizes[2]}"
    )


def _line(difference: LayerDifference) -> str:
    node = f" of node {difference.node!r}" if difference.node else ""
    start = f"{difference.op_type} output {difference.output!r}{node} {list(difference.shape)}"
    if difference.mismatch is not None:
        return f"{start}: {difference.mismatch}"
    return (
        f"{start}: max abs {difference.max_abs:.3g}, max rel {difference.max_rel:.3g}, "
        f"{difference.relative:.3g} of the largest magnitude {difference.peak:.3g}"
    )


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
