"""Warm predictor hosts, kept from case to case."""

from __future__ import annotations

from collections import OrderedDict

from pytest_mlscope.deadline import Timeout
from pytest_mlscope.environments import Environment
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts.client import HostClient
from pytest_mlscope.machine import Affinity

HostKey = tuple[str, str, int | None, str | None, Affinity]


class HostPool:
    """At most ``limit`` hosts; the least recently used one ends when another is needed."""

    def __init__(self, *, limit: int = 4) -> None:
        if limit < 1:
            raise ValueError(f"a pool holds at least one host, not {limit}")
        self._limit = limit
        self._hosts: OrderedDict[HostKey, HostClient] = OrderedDict()

    def get(
        self,
        environment: Environment,
        *,
        threads: int | None,
        device: str,
        timeout: Timeout,
        affinity: Affinity = None,
        wait: bool = True,
    ) -> HostClient:
        """A live host of this environment, started when there is none.

        :param threads: the thread count, and
        :param device: the device: they choose the host only where the framework fixes them once a process.
        :param affinity: CPUs it is pinned to.
        :param wait: whether one that is started must be up on return: see ``HostClient``.
        :raises HostError: when it does not come up.
        """
        once = environment.framework.description.thread_scope == "process"
        scoped = threads if once else None
        # A framework that takes both with each model serves them all from one host.
        key = (str(environment.framework.path), str(environment.python), scoped, device if once else None, affinity)
        host = self._hosts.get(key)
        if host is not None and not host.alive:
            host.kill()
            del self._hosts[key]
            host = None
        if host is None:
            # Before the new one starts: each host holds a model's memory.
            while len(self._hosts) >= self._limit:
                self._hosts.popitem(last=False)[1].close()
            host = self._hosts[key] = HostClient(
                environment, threads=scoped, timeout=timeout, affinity=affinity, wait=wait
            )
        self._hosts.move_to_end(key)
        return host

    def recycle(self, host: HostClient, *, timeout: Timeout) -> HostClient:
        """This host without a model, or a fresh one in its place when it cannot unload or its memory stays large.

        A framework that keeps an earlier model's memory would have it counted as the next model's.

        :raises HostError: when a fresh one does not come up.
        """
        try:
            if host.clear(timeout=timeout):
                return host
        except MlscopeError:
            pass  # What the old model says on its way out is not the next case's failure.
        key = next(key for key, kept in self._hosts.items() if kept is host)
        host.kill()
        fresh = self._hosts[key] = HostClient(host.environment, threads=key[2], timeout=timeout, affinity=key[4])
        return fresh

    def close(self) -> None:
        """End all hosts."""
        while self._hosts:
            self._hosts.popitem()[1].close()

    def kill(self) -> None:
        """End all hosts at once, without letting them say good-bye."""
        while self._hosts:
            self._hosts.popitem()[1].kill()
