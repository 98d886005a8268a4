"""A sender's connections: opened ahead of need, reused, counted."""

from __future__ import annotations

import ssl
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns

from loadgen.protocols.http import read_batching
from loadgen.protocols.http.address import Address, tls_context
from loadgen.protocols.http.connection import HttpConnection
from loadgen.protocols.http.dial import Dial
from loadgen.protocols.http.limits import Limits
from loadgen.types import Failure, Timeline

_DIALS_AT_ONCE = 64  # more at a time overrun the listen queue of a small server


@dataclass(slots=True)
class Counts:
    """How the pool has been doing; cumulative, but for `open`."""

    open: int = 0
    opened: int = 0
    opened_late: int = 0
    dropped: int = 0
    reads: int = 0
    unstamped: int = 0


@dataclass(slots=True)
class _Connections:
    """The connections to one target."""

    address: Address
    context: ssl.SSLContext | None
    idle: list[HttpConnection] = field(default_factory=list)
    waiting: deque[tuple[Timeline, bytes]] = field(default_factory=deque)
    dialing: int = 0  # dials that serve whoever waits, or go to the reserve


class HttpPool:
    """Carry calls over HTTP/1.1: `launch` sends at once over a connection that is ready.

    `reserve` connections are kept idle beside those in use, so that a request hardly ever has to open one. With
    `fresh` each request opens its own, on purpose. `done(timeline)` is called once for each launch. `batched` lets
    answers be read in small batches when many come in, which delays `done` by up to a millisecond.
    """

    def __init__(self, loop: AbstractEventLoop, addresses: Sequence[Address], limits: Limits, *, reserve: int,
                 fresh: bool, done: Callable[[Timeline], None], fragment: Callable[[int, bytearray], None],
                 batched: bool = False) -> None:
        self._loop = loop
        self._intake = read_batching.make(loop, batched)
        self._limits = limits
        self._reserve = reserve
        self._fresh = fresh
        self._done = done
        self.fragment = fragment
        self._busy: dict[int, HttpConnection] = {}
        self._dials: dict[Dial, tuple[int, tuple[Timeline, bytes] | None]] = {}
        self._servers = [_Connections(a, tls_context(a.tls) if a.server_name else None) for a in addresses]
        self._ready: Callable[[Failure | None], None] | None = None
        self._ahead = 0  # connections to open before the start
        self._closed = False
        self.counts = Counts()

    def prepare(self, count: int, ready: Callable[[Failure | None], None]) -> None:
        """Open `count` connections to each target, then call `ready`, with the failure if one can't be opened."""
        self._ready = ready
        wanted = 0 if self._fresh else max(count, 1)
        self._ahead = wanted
        for number in range(len(self._servers)):
            self._fill(number)
        self._check_ready(None)

    def launch(self, timeline: Timeline, data: bytes) -> None:
        """Send one request now. `timeline.target` says to which server."""
        server = self._servers[timeline.target]
        if self._fresh:
            self._dial(timeline.target, (timeline, data))
            return
        if server.idle:
            self._start(server.idle.pop(), timeline, data)
        else:
            self.counts.opened_late += 1
            server.waiting.append((timeline, data))
        self._fill(timeline.target)

    def cancel(self, failure: Failure) -> None:
        """End everything that is in flight or waits for a connection."""
        for dial, (_, waiter) in list(self._dials.items()):
            if waiter is not None:
                del self._dials[dial]
                dial.cancel()
                self._unsent(waiter[0], failure)
        for server in self._servers:
            while server.waiting:
                self._unsent(server.waiting.popleft()[0], failure)
        for connection in list(self._busy.values()):
            connection.cancel(failure)

    def close(self) -> None:
        """Close what is idle and stop dialling; nothing may be in flight."""
        self._closed = True
        for dial in list(self._dials):
            dial.cancel()
        self._dials.clear()
        for server in self._servers:
            for connection in server.idle:
                connection.close()
            server.idle.clear()
        self._intake.close()

    # Opening.

    def _fill(self, number: int) -> None:
        """Dial until everyone who waits is served and the reserve is whole."""
        server = self._servers[number]
        if self._fresh or self._closed:
            return
        idle_wanted = self._ahead if self._ready is not None else self._reserve
        wanted = len(server.waiting) + max(0, idle_wanted - len(server.idle))
        while server.dialing < min(wanted, _DIALS_AT_ONCE):
            server.dialing += 1
            self._dial(number, None)

    def _dial(self, number: int, waiter: tuple[Timeline, bytes] | None) -> None:
        server = self._servers[number]
        dial = Dial(self._loop, server.address, server.context, self._limits.connect, self._dialed)
        self._dials[dial] = (number, waiter)
        dial.start()

    def _dialed(self, dial: Dial, failure: Failure | None) -> None:
        number, waiter = self._dials.pop(dial)
        server = self._servers[number]
        if waiter is None:
            server.dialing -= 1
            if server.waiting:
                waiter = server.waiting.popleft()
        if failure is not None:
            if waiter is not None:
                self._unsent(waiter[0], failure)
            self._check_ready(failure)
            if server.waiting:
                self._fill(number)
            return
        self.counts.opened += 1
        self.counts.open += 1
        connection = HttpConnection(self._loop, self._intake, self, dial, number, self._limits)
        if waiter is None:
            server.idle.append(connection)
        else:
            waiter[0].connect, waiter[0].tls = dial.connect_time, dial.tls_time
            self._start(connection, *waiter)
        self._check_ready(None)
        self._fill(number)

    def _check_ready(self, failure: Failure | None) -> None:
        ready = self._ready
        if ready is None:
            return
        if failure is not None or all(len(server.idle) >= self._ahead for server in self._servers):
            self._ready = None
            ready(failure)

    # In flight.

    def _start(self, connection: HttpConnection, timeline: Timeline, data: bytes) -> None:
        self._busy[id(connection)] = connection
        connection.start(timeline, data)

    def _unsent(self, timeline: Timeline, failure: Failure) -> None:
        timeline.failure = failure
        timeline.end = monotonic_ns()
        self._done(timeline)

    def ended(self, connection: HttpConnection, timeline: Timeline, unanswered: bytes) -> None:
        """See connection.Owner."""
        del self._busy[id(connection)]
        self.counts.reads += len(timeline.reads) >> 3
        self.counts.unstamped += timeline.unstamped
        number = connection.target
        server = self._servers[number]
        if not connection.usable:
            self.counts.open -= 1
        elif self._fresh or self._closed:
            connection.close()
            self.counts.open -= 1
        elif server.waiting:
            self._start(connection, *server.waiting.popleft())
        else:
            server.idle.append(connection)
        if unanswered and not timeline.reconnects and not self._closed:
            timeline.reconnects = 1
            timeline.failure = None
            timeline.sent = timeline.sent_end = timeline.end = -1
            self._dial(number, (timeline, unanswered))
        else:
            self._done(timeline)

    def dropped(self, connection: HttpConnection) -> None:
        """See connection.Owner."""
        self.counts.open -= 1
        self.counts.dropped += 1
        server = self._servers[connection.target]
        if connection in server.idle:
            server.idle.remove(connection)
