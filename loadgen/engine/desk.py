"""The desk's side of the engine: starts senders, hands calls over ahead of time, receives timelines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from time import monotonic_ns
from typing import Protocol

from loadgen.engine import messages
from loadgen.engine.in_flight import InFlight
from loadgen.engine.messages import (
    CallBatch,
    Cancel,
    Done,
    Finished,
    Fragment,
    Item,
    Pulse,
    Ready,
    Sent,
    Setup,
    Start,
    Stop,
)
from loadgen.engine.sender_process import SenderProcess
from loadgen.protocols.link import Link
from loadgen.types import CENSORED, SECOND, Failure, Health, Timeline

_LOOK_AHEAD = 3_000_000_000  # ns of schedule that a sender holds
_PRIMED = SECOND  # ns of schedule that senders hold before the start
_BATCH = 64
_NAP = 0.05  # s between looks at the schedule; short beside the look-ahead


class Handler(Protocol):
    """Takes what senders report. `done` returns whether to send the request again."""

    def sent(self, flight: InFlight) -> None: ...
    def done(self, flight: InFlight, timeline: Timeline) -> bool: ...
    def health(self, health: Health) -> None: ...
    def lost(self, sender: int) -> None: ...


class Desk:
    """Run senders. Use: `await open()`, `feed()` as a task, `await primed()`, `start(at)`, ..., `await close()`.

    `allowance` is the most calls that one sender may hold or have in flight. `in_flight` has the record of each request
    that was handed over and has not ended, by index. `start` starts a sender, by its number.
    """

    def __init__(self, setups: Sequence[Setup], handler: Handler, allowance: int,
                 start: Callable[[int], tuple[SenderProcess, socket.socket]] = SenderProcess.start) -> None:
        self._setups = setups
        self._start_sender = start
        self._handler = handler
        self._allowance = allowance
        self._senders: list[SenderProcess] = []
        self.in_flight: dict[int, InFlight] = {}
        self._changed = asyncio.Event()  # something happened that the feed or a waiter may wait for
        self._primed = asyncio.Event()
        self._problem: Failure | None = None
        self._start_at: int | None = None
        self._stopped = False
        self._stopped_at = 0
        self._closed = any(setup.closed for setup in setups)

    async def open(self) -> Failure | None:
        """Start the processes and open their connections; returns the failure if one could not."""
        loop = asyncio.get_running_loop()
        for setup in self._setups:
            sender, line = self._start_sender(setup.sender)
            sender.link = Link(loop, line, messages.ToDesk, self._receiver(sender), self._loser(sender))
            sender.send(setup)
            self._senders.append(sender)
        await self._until(lambda: self._problem is not None or all(s.ready or s.lost for s in self._senders))
        return self._problem

    def start(self, at: int) -> None:
        """Start the schedule at `at`, CLOCK_MONOTONIC ns."""
        self._start_at = at
        self._broadcast(Start(at))
        self._changed.set()

    def stop(self) -> None:
        """Send nothing new; requests in flight go on."""
        self._note_stop()
        self._broadcast(Stop())
        self._changed.set()

    def cancel(self, failure: Failure) -> None:
        """End the requests in flight, with this failure."""
        self._note_stop()
        self._broadcast(Cancel(failure))
        self._changed.set()

    def _note_stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._stopped_at = monotonic_ns()

    async def finished(self) -> None:
        """Wait until every sender has nothing left to do; report the calls that were due and still held back."""
        await self._until(lambda: all(s.finished or s.lost for s in self._senders))
        waiting = list(self.in_flight.values())
        self.in_flight.clear()
        for flight in waiting:
            if not self._closed and self._start_at is not None and flight.due <= self._stopped_at - self._start_at:
                self._give_up(flight, Failure(CENSORED, "held back by --max-in-flight until the run ended"))

    async def close(self) -> None:
        """End the processes."""
        for sender in self._senders:
            sender.close()
        loop = asyncio.get_running_loop()
        for sender in self._senders:
            await loop.run_in_executor(None, sender.end)

    def kill(self) -> None:
        """End the processes at once."""
        for sender in self._senders:
            sender.process.kill()

    @property
    def deserted(self) -> bool:
        """Whether no sender is left alive."""
        return all(sender.lost for sender in self._senders)

    @property
    def processes(self) -> list[int]:
        """Process ids of the senders."""
        return [sender.process.pid for sender in self._senders]

    # Handing calls over.

    async def feed(self, calls: Iterator[InFlight]) -> None:
        """Hand calls over, up to a look-ahead of them, until they end or the desk is stopped.

        In an open loop the index says to which sender; in a closed loop it is the one with the fewest calls.
        """
        for number, flight in enumerate(calls):
            if number % 16 == 0:
                await asyncio.sleep(0)
            sender = await self._place(flight)
            if sender is None:
                break
            item = self._hand_over(flight, sender)
            if sender.lost:
                self._lose(flight)
                continue
            sender.batch.append(item)
            if len(sender.batch) >= _BATCH:
                sender.flush()
        self._flush()
        self._primed.set()

    def _hand_over(self, flight: InFlight, sender: SenderProcess) -> Item:
        self.in_flight[flight.index] = flight
        sender.outstanding += 1
        return flight.hand_over(sender.number)

    async def primed(self) -> None:
        """Wait until senders hold the first second of the schedule."""
        await self._primed.wait()

    async def _place(self, flight: InFlight) -> SenderProcess | None:
        """Wait until some sender may take the call and return it; None once the desk is stopped."""
        while not self._stopped:
            wait = flight.due - _LOOK_AHEAD - self._elapsed()
            if flight.due > _PRIMED or wait > 0:
                self._primed.set()
            if wait <= 0:
                sender = self._least_busy() if self._closed else self._senders[flight.index % len(self._senders)]
                if sender is not None and (sender.lost or sender.outstanding < self._allowance):
                    return sender
            self._flush()
            self._primed.set()
            if self._closed:
                await self._wait_change()
            else:
                await asyncio.sleep(_NAP)
        return None

    def _least_busy(self) -> SenderProcess | None:
        living = [sender for sender in self._senders if not sender.lost]
        return min(living, key=lambda sender: sender.outstanding, default=None)

    def _elapsed(self) -> int:
        return 0 if self._start_at is None else monotonic_ns() - self._start_at

    def _flush(self) -> None:
        for sender in self._senders:
            sender.flush()

    # What senders report.

    def _broadcast(self, message: messages.ToSender) -> None:
        for sender in self._senders:
            sender.send(message)

    def _receiver(self, sender: SenderProcess) -> Callable[[messages.ToDesk], None]:
        def receive(message: messages.ToDesk) -> None:
            match message:
                case Done(timeline):
                    self._done(timeline, sender)
                case Fragment(index, payload):
                    self.in_flight[index].parts.append(payload)
                case Sent(requests):
                    for index, due, sent in requests:
                        flight = self.in_flight[index]
                        flight.launch(due, sent)
                        self._handler.sent(flight)
                case Pulse(health):
                    self._handler.health(health)
                case Ready(failure):
                    sender.ready = True
                    self._problem = self._problem or failure
                case Finished():
                    sender.finished = True
            self._changed.set()
        return receive

    def _done(self, timeline: Timeline, sender: SenderProcess) -> None:
        """Report an attempt that has ended, and send the request again if that is wanted."""
        flight = self.in_flight.pop(timeline.index)
        sender.outstanding -= 1
        flight.take_parts(timeline)
        if self._stopped:
            flight.retries = 0
        if self._handler.done(flight, timeline):
            flight.retry(self._elapsed())
            sender.send(CallBatch([self._hand_over(flight, sender)]))

    def _loser(self, sender: SenderProcess) -> Callable[[], None]:
        def lose() -> None:
            if sender.finished:
                return
            sender.lost = True
            self._handler.lost(sender.number)
            for flight in [each for each in self.in_flight.values() if each.sender == sender.number]:
                self._lose(flight)
            self._changed.set()
        return lose

    def _lose(self, flight: InFlight) -> None:
        del self.in_flight[flight.index]
        self._give_up(flight, Failure("sender_lost", f"sender {flight.sender} died"))

    def _give_up(self, flight: InFlight, failure: Failure) -> None:
        """Report a request whose sender won't."""
        flight.retries = 0
        self._handler.done(flight, flight.give_up(failure))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._wait_change()

    async def _wait_change(self) -> None:
        """Wait for the next event. Every waiter looks at its condition first, without giving way in between."""
        self._changed.clear()
        await self._changed.wait()
