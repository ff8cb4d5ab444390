"""Warm hosts, and when a fresh one takes their place."""

from __future__ import annotations

import sys
import time

import psutil
import pytest

from pytest_mlscope.errors import HostCrashed, UnreadableReply
from pytest_mlscope.hosts.pool import HostPool
from tests.hosts.toy_host import LOAD, MakeEnvironment, Start, answering, load, measure, predict


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
