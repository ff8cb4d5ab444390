"""A loaded model under MLPerf's own LoadGen, in the framework's interpreter.

Source: mlcommons/inference, ``loadgen/``: ``test_settings.h`` for the settings, ``logging.cc`` for the trace.
"""

import contextlib
import os
import re
import subprocess
import sys
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import numpy

from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.measure import warm_up
from pytest_mlscope.host.predictor import LoadedModel, Tensors, Unsupported
from pytest_mlscope.host.serving import BoundSizes
from pytest_mlscope.host.timing_window import BoundQueue

SCENARIOS = {
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}
EMPTY_QUERIES = 700
"""Queries with nothing to predict, that tell what LoadGen itself costs: enough for a p99."""
EMPTY_QPS = 2000.0

_SPIN = """\
import os, select
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
os.write(1, b".")
while not select.select([0], [], [], 0)[0]:
    pass
"""
"""Ends with its parent, whose end of the pipe is closed then."""

_SAMPLE = re.compile(
    r'^\{"name":"Sample",.*?"ph":"b",.*?"ts":([0-9.]+),"args":\{"sample_seq":[0-9]+,"query_seq":([0-9]+),.*?'
    r'"issue_start_ns":([0-9]+),"complete_ns":([0-9]+)',
    re.MULTILINE,
)
"""A sample in LoadGen's trace: its query's scheduled time in µs, and ns from then to its issue and its completion."""


class Trace(NamedTuple):
    """Queries in the order scheduled; ns, int64, shape ``(queries,)``."""

    scheduled: numpy.ndarray
    issue_delay: numpy.ndarray
    """From the scheduled time to the call of the system under test."""
    latency: numpy.ndarray
    """From the scheduled time to the completion of the query's last sample."""


def read_trace(text: str) -> Trace:
    """The queries of a ``mlperf_log_trace.json``, which is not always valid JSON.

    :raises ValueError: when there are none.
    """
    queries: Dict[int, List[int]] = {}
    for microseconds, query, issued, completed in _SAMPLE.findall(text):
        # Digit by digit: a float would round the nanoseconds of a late query.
        whole, _, decimals = microseconds.partition(".")
        scheduled = int(whole) * 1000 + int((decimals + "000")[:3])
        entry = queries.setdefault(int(query), [scheduled, int(issued), int(completed)])
        entry[2] = max(entry[2], int(completed))
    if not queries:
        raise ValueError("no query is in LoadGen's trace")
    columns = numpy.array(sorted(queries.values()), numpy.int64).T
    return Trace(columns[0], columns[1], columns[2])


def loadgen_module() -> Any:
    """LoadGen's module. :raises Unsupported: where this interpreter has none."""
    try:
        import mlperf_loadgen
    except ImportError:
        raise Unsupported(
            "mlperf_loadgen is not importable in this framework's interpreter; to enable: "
            "{} -m pip install mlcommons-loadgen".format(sys.executable)
        ) from None
    return mlperf_loadgen


def answering(
    loadgen: Any, runs: Dict[int, Callable[[], Any]], *, whole_queries: bool = False
) -> Callable[[List[Any]], None]:
    """The system under test: answers a query's samples in batches, as :func:`~.arrivals.serve` does.

    :param whole_queries: whether to hand in a query's answers together, for a scenario that times nothing less. Each
        call costs LoadGen 10 µs, and several times that where a model has swept the caches.
    """
    sizes = sorted(runs, reverse=True)
    response, complete = loadgen.QuerySampleResponse, loadgen.QuerySamplesComplete

    def issue(samples: List[Any]) -> None:
        start, total = 0, len(samples)
        answers: List[Any] = []
        while start < total:
            size = next((size for size in sizes if size <= total - start), sizes[-1])
            runs[size]()
            answers += [response(sample.id, 0, 0) for sample in samples[start : start + size]]
            start += size
            if start >= total or not whole_queries:
                complete(answers)
                answers = []

    return issue


def loadgen_settings(loadgen: Any, request: Dict[str, Any], call_seconds: float, batch_size: int) -> Any:
    """LoadGen's settings for a request as of :func:`run_loadgen`."""
    settings = loadgen.TestSettings()
    # The accuracy mode would run each sample once, and time nothing.
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.scenario = getattr(loadgen.TestScenario, SCENARIOS[request["scenario"]])
    settings.min_duration_ms = int(request["seconds"] * 1000)
    settings.max_duration_ms = int(request["limit"] * 1000)
    settings.min_query_count = request["queries"]
    settings.schedule_rng_seed = request["seed"]
    settings.qsl_rng_seed = request["seed"]
    settings.sample_index_rng_seed = request["seed"]
    percentile = request["percentile"] / 100.0
    samples = request["samples_per_query"]
    # Queries are generated beforehand from what is expected of them: twice as fast, so that they do not run out.
    settings.single_stream_expected_latency_ns = max(int(call_seconds * 0.5e9), 100)
    settings.single_stream_target_latency_percentile = percentile
    settings.multi_stream_samples_per_query = samples
    settings.multi_stream_target_latency_percentile = percentile
    settings.multi_stream_expected_latency_ns = max(int(call_seconds * 0.5e9 * -(-samples // batch_size)), 100)
    settings.offline_expected_qps = batch_size / call_seconds
    if request["scenario"] == "server":
        settings.server_target_qps = request["qps"]
        settings.server_target_latency_ns = int((request["latency_bound"] or 10.0) * 1e9)
        settings.server_target_latency_percentile = percentile
        settings.server_coalesce_queries = batch_size > 1
    return settings


def _roam() -> Callable[[], None]:
    """Let this thread, and so threads that it starts, run on every CPU, until what is returned is called."""
    try:
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    except (AttributeError, OSError):
        # Not on this system, or not allowed here.
        return lambda: None
    return lambda: os.sched_setaffinity(0, own)


def _timer_slack(nanoseconds: str) -> Optional[str]:
    """How late the kernel may end this process's sleeps; returns what it was, ``None`` where that cannot be told.

    Of 50 µs, the default, LoadGen's arrivals would be late in ``server``. Source: proc_pid_timerslack_ns(5).
    """
    try:
        with open("/proc/self/timerslack_ns", "r+") as file:
            before = file.read().strip()
            file.seek(0)
            file.write(nanoseconds)
        return before
    except OSError:
        return None


@contextlib.contextmanager
def cpu_awake() -> Iterator[None]:
    """A process that runs where this one may, whenever nothing else does; none where the system refuses it.

    LoadGen sleeps until a query of ``server`` is due, and a CPU that slept is slow for a while; our own loop watches
    the clock meanwhile. Source: sched(7), ``SCHED_IDLE``.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            # Nothing of the environment is imported, so that it is up at once.
            [sys.executable, "-IS", "-c", _SPIN],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        yield
        return
    with process:
        try:
            assert process.stdout is not None
            # Nothing, where it failed: then it is gone already.
            process.stdout.read(1)
            yield
        finally:
            process.kill()


def run_queries(loadgen: Any, issue: Callable[[List[Any]], None], settings: Any, rows: int, folder: str) -> Trace:
    """Let LoadGen issue its queries, with logs and a trace in ``folder``."""
    log = loadgen.LogSettings()
    log.log_output.outdir = folder
    log.log_output.copy_summary_to_stdout = False
    log.enable_trace = True
    system = loadgen.ConstructSUT(issue, lambda: None)
    # LoadGen starts a thread that writes its logs, then has rows loaded: on the CPU of a pinned model it would take
    # a hundredth of the model's time.
    settle = _roam()
    library = loadgen.ConstructQSL(rows, rows, lambda indices: settle(), lambda indices: None)
    slack = _timer_slack("1")
    try:
        # The last argument is a file that is not there: LoadGen would take ``audit.config`` of the current folder.
        loadgen.StartTestWithLogSettings(system, library, settings, log, os.path.join(folder, "audit.config"))
    finally:
        settle()
        if slack is not None:
            _timer_slack(slack)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
    with open(os.path.join(folder, "mlperf_log_trace.json"), encoding="utf-8") as file:
        return read_trace(file.read())


def _bound(model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> Dict[int, Callable[[], Any]]:
    """What LoadGen's samples are answered with, warm."""
    if request["scenario"] == "server":
        return BoundSizes(model, inputs, request).runs
    size = request["batch_size"]
    sizes = {size}
    # A query's last batch is as short as in our own run of it.
    short = request["samples_per_query"] % size
    if request["scenario"] == "multi_stream" and short and request["dynamic"]:
        sizes.add(short)
    runs = {}
    for rows in sizes:
        queue = BoundQueue(model, {name: array[:rows] for name, array in inputs.items()}, rows, True)
        warm_up(queue.run, warmup_budget=request["warmup_budget"] / len(sizes))
        runs[rows] = queue.run
    return runs


def run_loadgen(model: LoadedModel, inputs: Tensors, request: Dict[str, Any], arena: Arena) -> Dict[str, Any]:
    """Run a case through LoadGen, and LoadGen with nothing to predict.

    :param inputs: ``batch_size`` rows.
    :param request: ``scenario``, ``batch_size``, ``dynamic``, ``samples_per_query``, ``qps`` and ``latency_bound`` of
        the server, ``percentile``, ``seconds``, ``queries`` (at least), ``limit`` in seconds, ``seed``,
        ``warmup_budget``, ``folder`` for the logs and ``empty_folder`` for those of the empty run.
    :raises Unsupported: where this interpreter has no LoadGen.
    """
    loadgen = loadgen_module()
    runs = _bound(model, inputs, request)
    largest = max(runs)
    warmed = warm_up(runs[largest], warmup_budget=0.05)
    rows = max(request["samples_per_query"], largest, 16)
    settings = loadgen_settings(loadgen, request, max(warmed.call_ns, 100.0) / 1e9, request["batch_size"])
    whole = request["scenario"] == "multi_stream"
    system = answering(loadgen, runs, whole_queries=whole)
    with contextlib.ExitStack() as stack:
        if request["scenario"] == "server":
            stack.enter_context(cpu_awake())
        trace = run_queries(loadgen, system, settings, rows, request["folder"])
        nothing: Dict[str, Any] = dict(request, seconds=0.05, queries=EMPTY_QUERIES, qps=EMPTY_QPS)
        idle = loadgen_settings(loadgen, nothing, 20e-6, request["batch_size"])
        doing_nothing = answering(loadgen, {size: lambda: None for size in runs}, whole_queries=whole)
        empty = run_queries(loadgen, doing_nothing, idle, rows, request["empty_folder"])
    with open(os.path.join(request["folder"], "mlperf_log_summary.txt"), encoding="utf-8") as file:
        summary = file.read()
    tensors = {
        "scheduled_ns": trace.scheduled,
        "issue_delay_ns": trace.issue_delay,
        "latency_ns": trace.latency,
        "empty_latency_ns": empty.latency,
        "empty_issue_delay_ns": empty.issue_delay,
    }
    return {"tensors": arena.write(tensors), "summary": summary}
