"""A sender's channels: opened ahead of need, shared by the requests in flight, opened again when they end."""

from __future__ import annotations

import ssl
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Final

from loadgen.protocols.http.address import Address, tls_context
from loadgen.protocols.http.dial import Dial
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.http.pool import Counts
from loadgen.protocols.http2.channel import Http2Channel
from loadgen.types import Failure, Timeline

_AHEAD: Final = 64  # channels that are opened before the start, at most, unless their number was given
_MOST: Final = 256  # channels that it may become
_Waiter = tuple[Timeline, bytes]


@dataclass(slots=True)
class _Channels:
    """The channels to one target."""

    address: Address
    context: ssl.SSLContext | None
    channels: list[Http2Channel] = field(default_factory=list)
    idle: list[Http2Channel] = field(default_factory=list)  # those with nothing in flight
    waiting: deque[_Waiter] = field(default_factory=deque)
    opening: int = 0  # dials and channels that are not open yet


class Http2Pool:
    """Carry calls over HTTP/2: `launch` sends at once over the channel that has the least in flight.

    `channels` of them are kept to each target; where each has as many streams as the server allows, another one is
    opened. With 0 there are as many as requests in flight, up to a limit: what comes over a channel at one time has
    one stamp. With `fresh` each request opens its own. `done(timeline)` is called once for each launch.
    """

    def __init__(self, loop: AbstractEventLoop, addresses: Sequence[Address], limits: Limits, *, channels: int,
                 fresh: bool, done: Callable[[Timeline], None], fragment: Callable[[int, bytearray], None],
                 keep_alive: int = 0) -> None:
        self._loop = loop
        self._limits = limits
        self._wanted = channels or 1
        self._grows = not channels
        self._fresh = fresh
        self._done = done
        self._keep_alive = keep_alive
        self.fragment = fragment
        self._servers = [_Channels(a, tls_context(a.tls, "h2") if a.server_name else None) for a in addresses]
        self._dials: dict[Dial, tuple[int, _Waiter | None]] = {}
        self._new: dict[Http2Channel, _Waiter | None] = {}  # channels that are not open yet, and whom they are for
        self._own: set[Http2Channel] = set()  # channels of one request each
        self._ready: Callable[[Failure | None], None] | None = None
        self._closed = False
        self.counts = Counts()

    def prepare(self, count: int, ready: Callable[[Failure | None], None]) -> None:
        """Open the channels to each target, then call `ready`, with the failure if one can't be opened.

        `count` of them, unless their number was given.
        """
        self._ready = ready
        if self._grows:
            self._wanted = min(max(count, 1), _AHEAD)
        for number in range(len(self._servers)):
            self._fill(number)
        self._check_ready(None)

    def launch(self, timeline: Timeline, data: bytes) -> None:
        """Send one request now. `timeline.target` says to which server."""
        if self._fresh:
            self._dial(timeline.target, (timeline, data))
            return
        server = self._servers[timeline.target]
        best = _best(server)
        if best is not None:
            best.start(timeline, data)
            if self._grows and not server.idle and len(server.channels) == self._wanted < _MOST:
                self._wanted += 1
        else:
            self.counts.opened_late += 1
            server.waiting.append((timeline, data))
        if best is None or len(server.channels) < self._wanted:
            self._fill(timeline.target)

    def cancel(self, failure: Failure) -> None:
        """End everything that is in flight or waits for a channel."""
        for dial, (_, waiter) in list(self._dials.items()):
            if waiter is not None:
                del self._dials[dial]
                dial.cancel()
                self._unsent(waiter[0], failure)
        for channel, waiter in list(self._new.items()):
            if waiter is not None:
                del self._new[channel]
                channel.close()
                self._unsent(waiter[0], failure)
        for server in self._servers:
            self._fail_waiting(server, failure)
            for channel in list(server.channels):
                channel.cancel(failure)
        for channel in list(self._own):
            channel.cancel(failure)

    def close(self) -> None:
        """Close every channel and stop dialling; nothing may be in flight."""
        self._closed = True
        for dial in list(self._dials):
            dial.cancel()
        self._dials.clear()
        for channel in [*self._new, *self._own, *(channel for server in self._servers for channel in server.channels)]:
            channel.close()
        self._new.clear()
        self._own.clear()
        for server in self._servers:
            server.channels.clear()
            server.idle.clear()

    # Opening.

    def _fill(self, number: int) -> None:
        """Dial until there are as many channels as wanted, and one more while requests wait for room."""
        server = self._servers[number]
        if self._fresh or self._closed:
            return
        missing = max(self._wanted - len(server.channels), 1 if server.waiting else 0)
        while server.opening < missing:
            server.opening += 1
            self._dial(number, None)

    def _dial(self, number: int, waiter: _Waiter | None) -> None:
        server = self._servers[number]
        dial = Dial(self._loop, server.address, server.context, self._limits.connect, self._dialed)
        self._dials[dial] = (number, waiter)
        dial.start()

    def _dialed(self, dial: Dial, failure: Failure | None) -> None:
        number, waiter = self._dials.pop(dial)
        if failure is not None:
            self._not_opened(number, waiter, failure)
        else:
            self._new[Http2Channel(self._loop, self, dial, number, self._limits, self._keep_alive)] = waiter

    def opened(self, channel: Http2Channel, failure: Failure | None) -> None:
        """See channel.Owner."""
        waiter = self._new.pop(channel)
        if failure is not None or not channel.room:
            channel.close()
            none = Failure("connect", "the server allows no streams on a new connection")
            self._not_opened(channel.target, waiter, failure or none)
            return
        self.counts.opened += 1
        self.counts.open += 1
        server = self._servers[channel.target]
        if waiter is not None:
            self._own.add(channel)
            self._start_late(channel, waiter)
            return
        server.opening -= 1
        server.channels.append(channel)
        self._serve(server, channel, late=True)
        _keep_idle(server, channel)
        self._check_ready(None)
        self._fill(channel.target)

    def _not_opened(self, number: int, waiter: _Waiter | None, failure: Failure) -> None:
        server = self._servers[number]
        if waiter is not None:
            self._unsent(waiter[0], failure)
            return
        server.opening -= 1
        self._check_ready(failure)
        if not server.opening:
            self._fail_waiting(server, failure)

    def _check_ready(self, failure: Failure | None) -> None:
        ready = self._ready
        if ready is None:
            return
        enough = self._fresh or all(len(server.channels) >= self._wanted for server in self._servers)
        if failure is not None or enough:
            self._ready = None
            ready(failure)

    # In flight.

    def _serve(self, server: _Channels, channel: Http2Channel, late: bool = False) -> None:
        while server.waiting and channel.room:
            if late:
                self._start_late(channel, server.waiting.popleft())
            else:
                channel.start(*server.waiting.popleft())

    def _start_late(self, channel: Http2Channel, waiter: _Waiter) -> None:
        waiter[0].connect, waiter[0].tls = channel.connect_time, channel.tls_time
        channel.start(*waiter)

    def _fail_waiting(self, server: _Channels, failure: Failure) -> None:
        waiting = list(server.waiting)
        server.waiting.clear()
        for timeline, _ in waiting:
            self._unsent(timeline, failure)

    def _unsent(self, timeline: Timeline, failure: Failure) -> None:
        timeline.failure = failure
        timeline.end = monotonic_ns()
        self._done(timeline)

    def ended(self, channel: Http2Channel, timeline: Timeline, unanswered: bytes) -> None:
        """See channel.Owner."""
        self.counts.reads += len(timeline.reads) >> 3
        self.counts.unstamped += timeline.unstamped
        if channel in self._own and not channel.in_flight:
            self._own.remove(channel)
            channel.close()
            self.counts.open -= 1
        if unanswered and not timeline.reconnects and not self._closed:
            self.launch(_anew(timeline), unanswered)
        else:
            self._done(timeline)
        server = self._servers[channel.target]
        self._serve(server, channel)
        if channel in server.channels:
            _keep_idle(server, channel)

    def roomier(self, channel: Http2Channel) -> None:
        """See channel.Owner."""
        self._serve(self._servers[channel.target], channel)

    def closed(self, channel: Http2Channel, idle: bool) -> None:
        """See channel.Owner."""
        self.counts.open -= 1
        self.counts.dropped += idle
        self._own.discard(channel)
        server = self._servers[channel.target]
        if channel in server.channels:
            server.channels.remove(channel)
        if channel in server.idle:
            server.idle.remove(channel)
        if server.waiting:
            self._fill(channel.target)


def _keep_idle(server: _Channels, channel: Http2Channel) -> None:
    if not channel.in_flight and channel not in server.idle:
        server.idle.append(channel)


def _best(server: _Channels) -> Http2Channel | None:
    """Return a channel with nothing in flight, else the one with the least of those that can take a request."""
    while server.idle:
        channel = server.idle.pop()
        if channel.room:
            return channel
    best, least = None, 1 << 60
    for channel in server.channels:
        if channel.in_flight < least and channel.room:
            best, least = channel, channel.in_flight
    return best


def _anew(timeline: Timeline) -> Timeline:
    """Make the timeline of a request that the server has not looked at, to be sent again."""
    return Timeline(timeline.index, timeline.sender, timeline.target, timeline.due, held=timeline.held, reconnects=1,
                    attempt=timeline.attempt)
