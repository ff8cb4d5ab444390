"""What a host is asked, and answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.hosts.clock_anchor import anchored
from pytest_mlscope.hosts.process import DEPTH
from pytest_mlscope.hosts.replies import FailedBatch
from tests.hosts.toy_host import MakeEnvironment, Start, load, measure, predict


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
        assert set(host.receive_predict(8, timeout=30).tensors["y"].tolist()) == {2.0 * sent}


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
        ("{'z': x}", "the predictor's predict returned no output 'y'; it returned: z"),
    ],
)
def test_a_later_batch_without_outputs_says_what_it_returned(
    toy: MakeEnvironment, start: Start, returned: str, said: str
) -> None:
    host = start(toy(predict=f"if x[0] == 2: return {returned}\nif x[0] == 4: raise ValueError('own words')"))
    load(host)
    messages = [error.message for error in predict(host, 8).errors]
    assert messages == [said, "ValueError: own words"]


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
