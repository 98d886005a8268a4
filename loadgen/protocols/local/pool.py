"""A sender's way to a model: one Unix socket, over which requests go at once and answers come when they have ended."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns

from loadgen.protocols.http.address import Address
from loadgen.protocols.http.limits import Limits, judge
from loadgen.protocols.http.pool import Counts
from loadgen.protocols.link import Link
from loadgen.protocols.local.messages import Drop, LocalAnswer, LocalRequest, ToSender
from loadgen.types import SECOND, Failure, Timeline

_GRACE = 0.1  # s for the model's process to tell of the tokens that a request given up has got
LOST = Failure("model_lost", "the process of the model ended; its last words are in model.log")


@dataclass(slots=True)
class _Waiting:
    """A request that the model has and has not answered, or that was given up and has its failure."""

    timeline: Timeline
    timer: TimerHandle | None = None


class LocalPool:
    """Carry calls to the model that listens at `address`: it queues what it can't begin with.

    Of the limits only the total holds: tokens are told of when an answer has ended. `done(timeline)` is called once for
    each launch, never before that has returned.
    """

    def __init__(self, loop: AbstractEventLoop, address: Address, limits: Limits, *,
                 done: Callable[[Timeline], None]) -> None:
        self._loop = loop
        self._address = address
        self._limits = Limits(total=limits.total)
        self._done = done
        self._link: Link | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        self.counts = Counts()

    def prepare(self, count: int, ready: Callable[[Failure | None], None]) -> None:
        """Connect, then call `ready`, with the failure if the model is not there."""
        sock = socket.socket(self._address.family, socket.SOCK_STREAM)
        try:
            sock.connect(self._address.sockaddr[0])
        except OSError as error:
            sock.close()
            ready(Failure("connect", f"the process of the model does not answer: {error}"))
            return
        self._link = Link(self._loop, sock, ToSender, self._hear, self._lost)
        self.counts.open = self.counts.opened = 1
        ready(None)

    def launch(self, timeline: Timeline, data: bytes) -> None:
        """Hand one request over now."""
        self._number += 1
        timeline.sent = monotonic_ns()
        if self._link is None:
            self._loop.call_soon(self._end, timeline, LOST)
            return
        waiting = self._waiting[self._number] = _Waiting(timeline)
        self._link.send(LocalRequest(self._number, data))
        timeline.sent_end = monotonic_ns()
        if self._limits.watched:
            self._arm(self._number, waiting, self._limits.total)

    def cancel(self, failure: Failure) -> None:
        """End everything that is in flight, as soon as it is known how far that came."""
        for number, waiting in list(self._waiting.items()):
            if waiting.timeline.failure is None:
                self._give_up(number, failure)

    def close(self) -> None:
        """Close the socket; nothing may be in flight."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _hear(self, answer: LocalAnswer) -> None:
        waiting = self._waiting.pop(answer.number, None)
        if waiting is None:
            return  # given up, some time ago
        timeline = waiting.timeline
        timeline.stamps, timeline.reads, timeline.offsets = answer.stamps, answer.reads, answer.offsets
        timeline.payload = answer.payload
        if timeline.failure is None:
            timeline.end, timeline.complete, timeline.failure = answer.end, answer.failure is None, answer.failure
        self.counts.reads += len(answer.offsets) >> 3
        self._finish(waiting)

    def _lost(self) -> None:
        self._link = None
        self.counts.open = 0
        self.cancel(LOST)
        for number in list(self._waiting):
            self._leave(number)

    def _give_up(self, number: int, failure: Failure) -> None:
        """Let a request fail, as soon as the model has said how far it came."""
        waiting = self._waiting[number]
        waiting.timeline.end, waiting.timeline.failure = monotonic_ns(), failure
        if waiting.timer is not None:
            waiting.timer.cancel()
        if self._link is not None:
            self._link.send(Drop(number))
        waiting.timer = self._loop.call_later(_GRACE, self._leave, number)

    def _leave(self, number: int) -> None:
        self._finish(self._waiting.pop(number))

    def _finish(self, waiting: _Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
        self._done(waiting.timeline)

    def _end(self, timeline: Timeline, failure: Failure) -> None:
        timeline.end, timeline.failure = monotonic_ns(), failure
        self._done(timeline)

    def _arm(self, number: int, waiting: _Waiting, wait: int) -> None:
        waiting.timer = self._loop.call_later(max(wait, 1_000_000) / SECOND, self._check, number)

    def _check(self, number: int) -> None:
        waiting = self._waiting[number]
        failure, wait = judge(self._limits, monotonic_ns() - waiting.timeline.sent, None)
        if failure is None:
            self._arm(number, waiting, wait)
        else:
            self._give_up(number, failure)
