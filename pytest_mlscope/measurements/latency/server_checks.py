"""What must hold of queries that arrive by themselves."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mlscope import quantities as readable
from pytest_mlscope.components import Check
from pytest_mlscope.measurements.latency.result import ServerRun
from pytest_mlscope.statistics import minimum_samples


def _unconfirmed(server: ServerRun) -> str:
    """Why a search found no rate; empty where it found one."""
    if not server.trials or server.met:
        return ""
    met = [trial.qps for trial in server.trials if trial.met and not trial.confirming]
    if not met:
        within = ""
        if server.budget_ended is not None:
            within = f" within scenarios.server.search_budget ({readable.seconds(server.budget_ended)})"
        return f"; no rate that meets the bound was found{within}"
    trials = f"short trials met the bound up to {readable.number(max(met))} queries/s"
    if server.budget_ended is None:
        return f"; {trials}, but no whole run did"
    return (
        f"; search_budget ({readable.seconds(server.budget_ended)}) ended before a rate was confirmed; {trials}; "
        "raise scenarios.server.search_budget"
    )


def _late(server: ServerRun) -> str:
    """Whether the load itself came too late for the bound, which is no fault of the model's."""
    bound, error = server.latency_bound, server.arrival_error
    # Below half of the bound, the load is not the larger part of what went wrong.
    if bound is None or error is None or server.latency is None or server.latency <= bound or error < bound / 2:
        return ""
    return (
        f"; arrivals were noticed late by {readable.seconds(error)} (p99) with nothing under way: the machine was busy "
        "with something else"
    )


def server_checks(server: ServerRun) -> Iterator[Check]:
    """A rate that is not kept fails whatever the manifest expects: its latencies grow for as long as it lasts."""
    name = f"p{server.percentile:g}"
    rate = f"{readable.number(server.qps)} queries/s"
    found = "" if not server.trials else f" was searched in {readable.plural(len(server.trials), 'trial')} and"
    answered = f"{readable.number(server.achieved_qps)} answers/s"
    if server.kept:
        message = f"the rate of {rate}{found} is kept: {answered} to {server.queries:,} queries"
    elif server.unanswered:
        message = (
            f"the rate of {rate} cannot be kept: {server.unanswered:,} of {server.queries:,} queries had no answer at "
            f"scenarios.server.time_limit; {answered}"
        )
    else:
        message = f"the rate of {rate} cannot be kept: over {server.queries:,} queries the queue grew; {answered}"
    yield Check("rate", server.achieved_qps, f"{rate} kept", server.kept, message)
    if server.latency_bound is None:
        return
    text = f"≤ {readable.seconds(server.latency_bound)}"
    none_found = _unconfirmed(server)
    if server.latency is None:
        needed = minimum_samples(server.percentile)
        why = (
            f"{server.unanswered:,} of {server.queries:,} queries had no answer"
            if server.unanswered
            else f"{server.queries:,} queries, {needed:,} needed; raise scenarios.server.time_limit"
        )
        message = f"{name} at {rate} is not known (expected {text}): {why}{none_found}"
        yield Check("latency_bound", None, text, False, message)
        return
    shown = readable.seconds(server.latency)
    message = (
        f"{name} at {rate} is {shown} (expected {text}) over {server.queries:,} queries{none_found}{_late(server)}"
    )
    yield Check("latency_bound", server.latency, text, server.latency <= server.latency_bound, message)
