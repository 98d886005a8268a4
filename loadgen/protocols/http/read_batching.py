"""When sockets are looked at: at once while little comes in, in small batches while much does."""

from __future__ import annotations

import select
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

from loadgen.clock import TimerFd, has_timerfd
from loadgen.types import SECOND

_HOLD = 1_000_000  # ns between looks in batches
_SPAN = 10_000_000  # ns over which reads are counted
_MOST_AT_ONCE = 256  # sockets of one look; what is left is ready at the next
_BUSY = 4_000  # reads per second from which on batches are worth their timer
_QUIET = 2_000  # and below which they are not


class Intake(Protocol):
    """Calls back when a socket can be read."""

    def add(self, sock: socket.socket, callback: Callable[[], None]) -> None: ...
    def remove(self, sock: socket.socket) -> None: ...
    def close(self) -> None: ...


def make(loop: AbstractEventLoop, batched: bool) -> Intake:
    """Make the intake for kernel-stamped sockets if it may work in batches, else one that never waits."""
    return BatchedIntake(loop) if batched and has_timerfd() else LoopIntake(loop)


class LoopIntake:
    """The event loop's own readers."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop

    def add(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        self._loop.add_reader(sock, callback)

    def remove(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)

    def close(self) -> None:
        """Nothing is held."""


class BatchedIntake:
    """An epoll of its own below the loop's.

    Waking a process for each packet costs as much as reading it. The kernel stamps packets when they arrive, so when
    there are many, looking once a millisecond reads the same instants for less, and takes less from a server on the
    same machine. Tokens of one stream that are closer than that share a read and are counted as coalesced.
    """

    def __init__(self, loop: AbstractEventLoop, clock: Callable[[], int] = monotonic_ns) -> None:
        self._loop = loop
        self._clock = clock
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._timer = TimerFd()
        self._since = clock()
        self._reads = 0
        self.batching = False
        loop.add_reader(self._epoll.fileno(), self._look)
        loop.add_reader(self._timer.fileno(), self._tick)

    def add(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        self._callbacks[sock.fileno()] = callback
        self._epoll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)

    def remove(self, sock: socket.socket) -> None:
        if self._callbacks.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    def close(self) -> None:
        """Look no more."""
        self._callbacks.clear()
        self._loop.remove_reader(self._epoll.fileno())
        self._loop.remove_reader(self._timer.fileno())
        self._epoll.close()
        self._timer.close()

    def _tick(self) -> None:
        self._timer.drain()
        self._look()

    def _look(self) -> None:
        """Let every socket that has something be read, once."""
        ready = self._epoll.poll(0, _MOST_AT_ONCE)
        callbacks = self._callbacks
        for descriptor, _ in ready:
            callback = callbacks.get(descriptor)
            if callback is not None:  # else a callback before has closed it
                callback()
        self._reads += len(ready)
        now = self._clock()
        if now - self._since >= _SPAN:
            self._choose(self._reads * SECOND // (now - self._since))
            self._since, self._reads = now, 0

    def _choose(self, rate: int) -> None:
        """Go over to batches or back, by the reads per second of the last span."""
        if not self.batching and rate >= _BUSY:
            self.batching = True
            self._loop.remove_reader(self._epoll.fileno())
            self._timer.repeat(_HOLD)
        elif self.batching and rate < _QUIET:
            self.batching = False
            self._timer.repeat(0)
            self._loop.add_reader(self._epoll.fileno(), self._look)
