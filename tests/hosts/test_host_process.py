"""Predictor hosts that fail in every way a framework can: each gives its reason, and the next host is fresh."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent, indent

import numpy as np
import psutil
import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.errors import CannotRun, HostCrashed, HostError, HostTimeout, PredictorError, UnreadableReply
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.hosts.clock_anchor import anchored
from pytest_mlscope.hosts.load_request import LoadRequest
from pytest_mlscope.hosts.pool import HostPool
from pytest_mlscope.hosts.process import DEPTH
from pytest_mlscope.hosts.replies import FailedBatch, Loaded, Measured, Predicted

FRAMEWORK = """\
schema: 1
name: toy
description: Doubles its input, or misbehaves
devices: {{cpu: cpu}}
precisions: {{cpu: [fp32]}}
thread_scope: {thread_scope}
"""
PREDICTOR = """\
import ctypes, os, sys, time
from pytest_mlscope.host.predictor import LoadedModel, Predictor, Unsupported

class Model(LoadedModel):
    resolved = {{"precision": "fp32", "threads": 1}}

    def predict(self, inputs):
        x = inputs["x"]
{predict}
        return {{"y": x * 2}}

class FrameworkPredictor(Predictor):
    def version(self):
        return "1.2.3"

    def load(self, request):
{load}
        return Model()
"""

MakeEnvironment = Callable[..., Environment]


@pytest.fixture
def toy(tmp_path: Path) -> MakeEnvironment:
    def make(*, predict: str = "pass", load: str = "pass", thread_scope: str = "model") -> Environment:
        folder = tmp_path / "toy"
        folder.mkdir(exist_ok=True)
        (folder / "framework.yml").write_text(FRAMEWORK.format(thread_scope=thread_scope))
        source = PREDICTOR.format(predict=indent(dedent(predict), " " * 8), load=indent(dedent(load), " " * 8))
        (folder / "predictor.py").write_text(source)
        return Environment(
            framework=FrameworkFolder(folder),
            python=Path(sys.executable),
            version="1.2.3",
            kind="current",
            lock_hash=None,
        )

    return make


@pytest.fixture
def start() -> Iterator[Callable[..., HostClient]]:
    hosts: list[HostClient] = []

    def started(environment: Environment, *, threads: int | None = None, timeout: float = 60.0) -> HostClient:
        hosts.append(HostClient(environment, threads=threads, timeout=timeout))
        return hosts[-1]

    yield started
    for host in hosts:
        host.kill()


LOAD = LoadRequest(files={}, device="cpu", precision="fp32", threads=1, batch_size=1, inputs=(), outputs=(), options={})


def load(host: HostClient) -> Loaded:
    return host.load(LOAD, timeout=30.0)


def predict(
    host: HostClient, rows: int = 4, *, timeout: float = 30.0, batch_size: int = 2, pad: bool = False
) -> Predicted:
    x = np.arange(rows, dtype=np.float32)
    return host.predict({"x": x}, batch_size=batch_size, pad=pad, timeout=timeout)


def measure(host: HostClient, *, seconds: float = 0.02, relative_error: float = 0.5) -> Measured:
    x = np.ones(2, np.float32)
    return host.measure(
        {"x": x}, batch_size=2, budget=seconds, relative_error=relative_error, warmup_budget=seconds, timeout=30
    )


Start = Callable[..., HostClient]


def test_a_host_predicts(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy())
    assert host.version == "1.2.3"
    assert "numpy" in host.started.libraries
    load(host)
    reply = predict(host, 5)
    assert reply.tensors["y"].tolist() == [0, 2, 4, 6, 8]
    assert reply.errors == ()


def test_requests_under_way_are_answered_in_order(toy: MakeEnvironment, start: Start) -> None:
    """Sending ahead is what lets the next rows be prepared while these are predicted."""
    host = start(toy())
    load(host)
    for sent in range(DEPTH):
        host.submit_predict({"x": np.full(8, sent, np.float32)}, batch_size=8, pad=False)
    for sent in range(DEPTH):
        assert set(host.receive_predict(timeout=30).tensors["y"].tolist()) == {2.0 * sent}


def test_a_short_last_batch_is_filled_up_when_the_model_takes_one_size(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(predict="assert len(x) == 4, len(x)"))
    load(host)
    reply = predict(host, 6, batch_size=4, pad=True)
    assert reply.errors == ()
    assert reply.tensors["y"].tolist() == [0, 2, 4, 6, 8, 10]


def test_a_batch_that_fails_is_named_and_the_others_go_on(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(predict="if 2 in x: raise ValueError('two\\nis bad')"))
    load(host)
    reply = predict(host, 6)
    assert reply.errors == (FailedBatch(start=2, stop=4, message="ValueError: two is bad"),)
    assert reply.tensors["y"][[0, 1, 4, 5]].tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize(
    ("death", "said"),
    [
        ("ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("os.abort()", "was killed by SIGABRT"),
        ("os._exit(0)", "exited with status 0"),
        ("os._exit(3)", "exited with status 3"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL, Killed (out of memory?)"),
        ("os.closerange(3, 1000); time.sleep(60)", "closed its pipe"),
    ],
)
def test_a_host_that_dies_says_how(toy: MakeEnvironment, start: Start, death: str, said: str) -> None:
    host = start(toy(predict=f"print('last words', flush=True); {death}"))
    load(host)
    with pytest.raises(HostCrashed) as caught:
        predict(host)
    assert said in str(caught.value)
    assert "predicting" in str(caught.value)
    assert "last words" in caught.value.output
    assert not host.alive


def test_a_hang_in_c_that_holds_the_interpreter_is_killed(toy: MakeEnvironment, start: Start) -> None:
    """PyDLL keeps the GIL, so nothing inside the host could end this; only a kill from outside does."""
    host = start(toy(predict="ctypes.PyDLL(None).sleep(600)"))
    load(host)
    began = time.monotonic()
    with pytest.raises(HostTimeout, match=r"no answer after 0\.5 s; the predictor host was killed"):
        predict(host, timeout=0.5)
    assert time.monotonic() - began < 30
    assert not psutil.pid_exists(host.pid)


def test_children_of_the_framework_die_with_it(toy: MakeEnvironment, start: Start) -> None:
    host = start(
        toy(predict="import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)")
    )
    load(host)
    with pytest.raises(HostTimeout) as caught:
        predict(host, timeout=1.0)
    child = int(caught.value.output.strip())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_hundred_megabytes_of_output_neither_block_nor_are_kept(toy: MakeEnvironment, start: Start) -> None:
    host = start(
        toy(predict="for _ in range(100): sys.stderr.write('x' * 1000000 + '\\n')\nsys.stderr.write('the end\\n')")
    )
    load(host)
    predict(host, 2)
    deadline = time.monotonic() + 30
    while not host.output().endswith("the end"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(host.output()) < 100_000
    assert "bytes before this are left out" in host.output()


def test_an_exception_leaves_the_host_alive(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(load="if not hasattr(sys, 'once'): sys.once = 1; raise RuntimeError('no\\nsuch layer')"))
    with pytest.raises(PredictorError, match="toy: loading the model: RuntimeError: no such layer") as caught:
        load(host)
    assert "predictor.py" in caught.value.output
    load(host)
    assert predict(host).tensors["y"].tolist() == [0, 2, 4, 6]


def test_what_is_unsupported_is_a_reason_not_to_run(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(load="raise Unsupported('no such device here')"))
    with pytest.raises(CannotRun, match="toy: no such device here"):
        load(host)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_framework", "No module named 'no_such_framework'"),
        ("x = 1", "defines no class FrameworkPredictor"),
        ("def broken(:", "SyntaxError"),
        ("import os; os._exit(7)", "exited with status 7"),
    ],
)
def test_a_predictor_that_cannot_be_imported_says_why(
    toy: MakeEnvironment, start: Start, source: str, said: str
) -> None:
    environment = toy()
    environment.framework.predictor.write_text(source)
    with pytest.raises(HostError, match="importing the framework") as caught:
        start(environment)
    assert said in str(caught.value)


def test_an_interpreter_that_vanished_says_how_to_get_it_back(
    toy: MakeEnvironment, start: Start, tmp_path: Path
) -> None:
    environment = replace(toy(), python=tmp_path / "gone" / "python")
    with pytest.raises(HostCrashed, match="mlscope env create toy"):
        start(environment)


def test_a_framework_that_prints_cannot_break_the_protocol(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(predict="os.write(1, b'\\x00\\x00\\x00\\x05hello'); print('and more')"))
    load(host)
    assert predict(host).tensors["y"].tolist() == [0, 2, 4, 6]


def _hang(environment: Environment, pid: Path) -> None:
    host = HostClient(environment, threads=None, timeout=60)
    load(host)
    pid.write_text(str(host.pid))
    predict(host, timeout=600)


def test_a_host_ends_when_its_parent_is_killed(toy: MakeEnvironment, tmp_path: Path) -> None:
    """Even one that hangs in C: otherwise every killed CI job would leave a process behind."""
    environment = toy(predict="ctypes.PyDLL(None).sleep(600)")
    parent = multiprocessing.get_context("spawn").Process(target=_hang, args=(environment, tmp_path / "pid"))
    parent.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    host_pid = int((tmp_path / "pid").read_text())
    time.sleep(0.3)
    parent.kill()
    parent.join()
    while psutil.pid_exists(host_pid) and psutil.Process(host_pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_pool_keeps_hosts_warm_and_replaces_dead_ones(toy: MakeEnvironment) -> None:
    pool = HostPool(limit=2)
    try:
        environment = toy(predict="if len(x) == 1: os._exit(1)")
        first = pool.get(environment, threads=1, device="cpu", timeout=60)
        assert pool.get(environment, threads=2, device="cpu", timeout=60) is first
        load(first)
        with pytest.raises(HostCrashed):
            predict(first, 1)
        second = pool.get(environment, threads=1, device="cpu", timeout=60)
        assert second is not first
        assert second.alive
    finally:
        pool.close()
    assert not second.alive


def test_a_framework_that_fixes_threads_once_a_process_has_a_host_for_each_count(toy: MakeEnvironment) -> None:
    pool = HostPool(limit=2)
    try:
        environment = toy(thread_scope="process", predict="print(os.environ['OMP_NUM_THREADS'], flush=True)")
        hosts = {threads: pool.get(environment, threads=threads, device="cpu", timeout=60) for threads in (1, 2)}
        assert hosts[1] is not hosts[2]
        load(hosts[2])
        predict(hosts[2], 2)
        deadline = time.monotonic() + 30
        while hosts[2].output() != "2":
            assert time.monotonic() < deadline, hosts[2].output()
            time.sleep(0.01)
        pool.get(environment, threads=3, device="cpu", timeout=60)
        assert not hosts[1].alive, "the least recently used host makes room"
    finally:
        pool.close()


def test_timed_calls_are_those_that_predict(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy())
    load(host)
    measured = measure(host, seconds=0.05, relative_error=0.05)
    path, samples = measured.timed_path, measured.samples_ns
    assert path.bound["y"].tolist() == path.predicted["y"].tolist() == [2, 2]
    assert path.again == {}
    assert len(samples) >= 11
    assert samples.min() > 0
    assert measured.window_seconds * 1e9 >= samples.sum()


def test_a_dtype_that_changes_is_an_error_and_not_a_cast(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(predict="if x[0] in (2, 6): return {'y': x.astype('f8') * 2.5}"))
    load(host)
    reply = predict(host, 7)
    message = "ValueError: output 'y' has dtype float64; in an earlier batch it had float32"
    assert reply.errors == (
        FailedBatch(start=2, stop=4, message=message),
        FailedBatch(start=6, stop=7, message=message),
    )


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("None", "the predictor's predict returned None; it must return a dict of output name to numpy array"),
        ("{'z': x}", "output 'y' is not among what the predictor's predict returned: z"),
    ],
)
def test_a_later_batch_without_outputs_says_what_it_returned(
    toy: MakeEnvironment, start: Start, returned: str, said: str
) -> None:
    host = start(toy(predict=f"if x[0] == 2: return {returned}\nif x[0] == 4: raise ValueError('own words')"))
    load(host)
    messages = [error.message for error in predict(host, 8).errors]
    assert messages == [said, "ValueError: own words"]


def test_what_is_no_json_is_an_error_and_the_host_lives(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(load="Model.resolved = {'threads': object()}"))
    with pytest.raises(PredictorError, match=r"loading the model: TypeError: .*not JSON serializable"):
        load(host)
    assert host.alive


def test_lone_surrogates_are_replaced_in_what_the_host_says(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(load=r"getattr(sys, 'caf\udce9')"))
    with pytest.raises(PredictorError, match=r"caf") as caught:
        load(host)
    str(caught.value).encode()
    caught.value.output.encode()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_large_batch_is_no_memory_of_the_next_model(toy: MakeEnvironment, start: Start) -> None:
    """Arenas stay mapped from request to request; what passed before must not count as the next model's peak."""
    host = start(toy())
    load(host)
    resident = psutil.Process(host.pid).memory_info().rss
    predict(host, 2**26, batch_size=2**26)
    assert psutil.Process(host.pid).memory_info().rss - resident > 2**28
    host.load(LOAD, timeout=30)
    assert psutil.Process(host.pid).memory_info().rss - resident < 50 * 10**6
    assert predict(host).tensors["y"].tolist() == [0, 2, 4, 6]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_large_batch_is_no_memory_of_the_next_measurement(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy())
    load(host)
    resident = psutil.Process(host.pid).memory_info().rss
    predict(host, 2**26, batch_size=2**26)
    measured = measure(host)
    if measured.peak_memory_since != "window" or measured.peak_memory is None:
        pytest.skip("this kernel cannot reset the peak")
    assert measured.peak_memory - resident < 50 * 10**6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("leak", ["sys.kept = bytearray(b'x') * 400_000_000", "Model.unload = lambda self: 1 / 0"])
def test_a_framework_that_keeps_a_models_memory_or_cannot_unload_gets_a_fresh_host(
    toy: MakeEnvironment, leak: str
) -> None:
    pool = HostPool()
    try:
        environment = toy(load=leak)
        host = pool.get(environment, threads=1, device="cpu", timeout=60)
        assert pool.recycle(host, timeout=60) is host
        host.load(LOAD, timeout=30)
        fresh = pool.recycle(host, timeout=60)
        assert fresh is not host
        assert not host.alive
        assert pool.get(environment, threads=1, device="cpu", timeout=60) is fresh
    finally:
        pool.close()


def test_a_host_that_gives_its_memory_back_is_used_again(toy: MakeEnvironment) -> None:
    pool = HostPool()
    try:
        load = "Model.weights = bytearray(b'x') * 400_000_000\nModel.unload = lambda self: delattr(Model, 'weights')"
        environment = toy(load=load)
        host = pool.get(environment, threads=1, device="cpu", timeout=60)
        host.load(LOAD, timeout=30)
        assert pool.recycle(host, timeout=60) is host
    finally:
        pool.close()


ANSWER = """\
import json, pytest_mlscope.host.server as server
if not hasattr(sys, "answer"):
    sys.answer = server._answer
def wrong(replies, reply):
{body}
server._answer = wrong
"""


def answering(body: str) -> str:
    """A predictor's code after which the host answers with something else."""
    return ANSWER.format(body=indent(dedent(body), "    "))


def sending(body: str) -> str:
    """Likewise, with these bytes as the header."""
    send = f"body = {body}\nos.write(replies, len(body).to_bytes(4, 'big'))\n"
    return answering(send + "while body: body = body[os.write(replies, body):]")


SHRINK = """\
for descriptor in range(3, 64):
    try:
        os.ftruncate(descriptor, 0)
    except OSError:
        pass
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seals are Linux's")
def test_a_host_cannot_shrink_what_is_shared(toy: MakeEnvironment, start: Start) -> None:
    """To read beyond a file's end is a SIGBUS, which would end pytest without a summary or a report."""
    host = start(toy(predict=SHRINK))
    load(host)
    for _ in range(3):
        reply = predict(host, 2**16)
        assert reply.tensors["y"][-1] == 2 * (2**16 - 1)


def test_an_arena_that_cannot_be_sealed_is_looked_at_first(
    toy: MakeEnvironment, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    host = start(toy(predict=answering(SHRINK + "sys.answer(replies, reply)")))
    load(host)
    with pytest.raises(UnreadableReply, match="lies outside its arena"):
        predict(host, 2**16)
    assert not host.alive


GOOD = '"errors": [], "seconds": 1.0'
PLACE = '"name": "y", "dtype": "<f4", "shape": [4], "offset": 0'


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("b'{\"a\": ' + b'[' * 100000 + b']' * 100000 + b'}'", "a header whose JSON is nested too deep"),
        ("b'{\"a\": ' + b'[' * 900 + b']' * 900 + b'}'", "a header whose JSON is nested too deep"),
        ("b'{\"a\": ' + b'[' * 100 + b']' * 100 + b'}'", "a header whose JSON is nested too deep"),
        ("b'{\"a\": ' + b'[' * 99 + b']' * 99 + b'}'", "it has no 'tensors'"),
        ("b'[1]'", "a header that is not a JSON object"),
        ("b'{\"a\": ' + b'9' * 5000 + b'}'", "a header that is not JSON"),
        ('b\'{"error": "boo"}\'', "its 'error' is not a JSON object with a kind and a message"),
        ("b'{\"error\": null}'", "its 'error' is not a JSON object"),
        ('b\'{"error": {"kind": 5, "message": "x"}}\'', "its 'error' is not a JSON object"),
        ('b\'{"error": {"kind": "odd", "message": "x"}}\'', "its error is of the kind 'odd'"),
        ('b\'{"error": {"kind": "exception", "message": "x", "traceback": 5}}\'', "traceback is not text"),
        ("b'{}'", "it has no 'tensors'"),
        (f"b'{{\"tensors\": 5, {GOOD}}}'", "its 'tensors' is not as the protocol says"),
        ('b\'{"tensors": [], "errors": [{"start": 1}], "seconds": 1}\'', "its 'errors' is not"),
        ('b\'{"tensors": [], "errors": [{"start": 3, "stop": 1, "message": ""}], "seconds": 1}\'', "its 'errors' is"),
        ('b\'{"tensors": [], "errors": [], "seconds": "long"}\'', "its 'seconds' is not"),
    ],
)
def test_a_reply_that_is_json_but_wrong_is_one_line(toy: MakeEnvironment, start: Start, reply: str, said: str) -> None:
    """Neither a traceback nor a number, and the host is not asked again."""
    host = start(toy(predict=sending(reply)))
    load(host)
    with pytest.raises(
        UnreadableReply, match=r"toy: predicting: unreadable reply: .*; the predictor host was killed"
    ) as caught:
        predict(host)
    assert said in str(caught.value)
    assert not host.alive


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("5", "its 'tensors' is not"),
        ("{}", "a tensor without a name"),
        ('{"name": "y"}', "whose shape is not a list of sizes"),
        (f"{{{PLACE.replace('[4]', '[-1]')}}}", "whose shape is not a list of sizes"),
        (f"{{{PLACE.replace('[4]', '[true]')}}}", "whose shape is not a list of sizes"),
        (f"{{{PLACE.replace('[4]', '[0, 1125899906842624, 8192]')}}}", "whose sizes are too large"),
        (f"{{{PLACE.replace('[4]', '[1125899906842624]')}}}", "lies outside its arena"),
        (f"{{{PLACE.replace('[4]', str([1] * 100))}}}", "has 100 dimensions"),
        (f"{{{PLACE.replace('<f4', '|O')}}}", "whose dtype is not one of plain numbers"),
        (f"{{{PLACE.replace('<f4', 'nonsense')}}}", "whose dtype is not one of plain numbers"),
        (f"{{{PLACE.replace('<f4', '(2,3)f4')}}}", "whose dtype is not one of plain numbers"),
        (f"{{{PLACE.replace(': 0', ': -8')}}}", "without an offset"),
        (f"{{{PLACE}}}, {{{PLACE}}}", "two tensors called 'y'"),
    ],
)
def test_a_place_that_is_no_tensors_is_one_line(toy: MakeEnvironment, start: Start, place: str, said: str) -> None:
    text = f'{{"tensors": [{place}], {GOOD}}}'
    host = start(toy(predict=answering(f"server.write_frame(replies, json.loads({text!r}))")))
    load(host)
    with pytest.raises(UnreadableReply, match=r"toy: .*unreadable reply: ") as caught:
        predict(host)
    assert said in str(caught.value)
    assert not host.alive


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("reply['tensors'] = reply['tensors'][1:]", "it has no tensor 'samples_ns'"),
        ("reply['tensors'][0]['dtype'] = '<f8'", "its tensor 'samples_ns' is not a list of whole numbers"),
        ("reply['tensors'][0]['shape'] = []", "its tensor 'samples_ns' is not a list of whole numbers"),
        ("del reply['clock_step']", "it has no 'clock_step'"),
        ("reply['sensors'].pop()", "its 'sensors' is not as the protocol says"),
        ("reply['sensors'][0]['cpu_times'] = {'busy': 1.0}", "its 'sensors' is not as the protocol says"),
        ("reply['sensors'][1]['wall'] = 'noon'", "its 'sensors' is not as the protocol says"),
        ("reply['peak_memory'] = True", "its 'peak_memory' is not as the protocol says"),
        ("reply['warmup_seconds'] = 10**400", "its 'warmup_seconds' is not as the protocol says"),
    ],
)
def test_a_window_that_is_not_whole_is_one_line(toy: MakeEnvironment, start: Start, change: str, said: str) -> None:
    host = start(toy(predict=answering(f"if 'stop_reason' in reply: {change}\nsys.answer(replies, reply)")))
    load(host)
    with pytest.raises(UnreadableReply, match="toy: measuring latency: unreadable reply: ") as caught:
        measure(host)
    assert said in str(caught.value)
    assert not host.alive


def test_the_pool_replaces_a_host_that_answered_nonsense(toy: MakeEnvironment) -> None:
    pool = HostPool()
    try:
        environment = toy(predict=answering("server.write_frame(replies, {'error': 'boo'})"))
        host = pool.get(environment, threads=1, device="cpu", timeout=60)
        load(host)
        with pytest.raises(UnreadableReply):
            predict(host)
        assert pool.get(environment, threads=1, device="cpu", timeout=60) is not host
    finally:
        pool.close()


def test_what_a_killed_host_unpacked_goes_with_it(toy: MakeEnvironment, start: Start) -> None:
    source = "import tempfile\nprint(tempfile.mkdtemp(dir=os.environ['MLSCOPE_SCRATCH']), flush=True)\ntime.sleep(600)"
    host = start(toy(predict=source))
    load(host)
    with pytest.raises(HostTimeout) as caught:
        predict(host, timeout=2.0)
    unpacked = Path(caught.value.output.strip())
    assert unpacked.name.startswith("tmp")
    assert not unpacked.parent.exists()


def test_equal_lines_of_a_framework_are_folded_and_colours_go(toy: MakeEnvironment, start: Start) -> None:
    lines = r"\x1b[33mW odd node\x1b[0m\n  at graph:7\n"
    host = start(toy(predict=f"for _ in range(300): sys.stderr.write('{lines}')\nraise SystemExit(1)"))
    load(host)
    with pytest.raises(HostCrashed) as caught:
        predict(host, 2)
    assert caught.value.output.split("\n") == [
        "W odd node [… 299 more equal lines]",
        "  at graph:7 [… 299 more equal lines]",
    ]


def _open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_too_few_open_files_is_one_line(toy: MakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = toy()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _open_files()
    try:
        for room in range(14):
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + room, hard))
            try:
                HostClient(environment, threads=None, timeout=60).kill()
            except HostError as error:
                message = str(error)
                assert "no predictor host can be started: this process has as many open files as it may" in message
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert _open_files() <= used + 1, "nothing stays open"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_host_tells_where_its_clocks_stand(toy: MakeEnvironment, start: Callable[..., HostClient]) -> None:
    before = time.perf_counter(), time.time()
    host = start(toy())
    clock = host.clock
    assert before[0] < clock.monotonic < time.perf_counter()
    assert before[1] - 1 < clock.wall < time.time() + 1
    assert 0 < clock.error < 10
    # On one machine both sides read the same clocks, so the anchor must find the same times within its error.
    if sys.platform == "linux":
        assert abs(clock.here(clock.host_monotonic) - clock.host_monotonic) <= clock.error
        assert abs(clock.here(clock.host_monotonic + 2.5) - clock.host_monotonic - 2.5) <= clock.error + 1e-6


def test_the_shortest_round_trip_anchors_the_clocks() -> None:
    waits = iter([0.05, 0.0, 0.05])

    def read() -> tuple[float, float]:
        time.sleep(next(waits))
        return time.perf_counter() - 100.0, time.time() + 7.0

    clock = anchored(read, round_trips=3)
    assert clock.error < 0.025
    assert abs(clock.monotonic - clock.host_monotonic - 100.0) <= clock.error
    assert abs(clock.wall_offset - 7.0) < 0.1
