"""The desk's side of the engine: starts senders, hands calls over ahead of time, receives timelines."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Protocol

from loadgen.engine import messages
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
from loadgen.protocols.link import Link
from loadgen.types import CENSORED, SECOND, Failure, Health, Timeline

_LOOK_AHEAD = 3_000_000_000  # ns of schedule that a sender holds
_PRIMED = SECOND  # ns of schedule that senders hold before the start
_BATCH = 64
_NAP = 0.05  # s between looks at the schedule; short beside the look-ahead
_FAREWELL = 5.0  # s that a sender has to end by itself


class Handler(Protocol):
    """Who hears what happens. `due` is ns since the start of the schedule, `sent` CLOCK_MONOTONIC ns."""

    def sent(self, index: int, due: int, sent: int) -> None: ...
    def done(self, timeline: Timeline) -> None: ...
    def health(self, health: Health) -> None: ...
    def lost(self, sender: int) -> None: ...


@dataclass(slots=True)
class _Sender:
    """The desk's view of one sender process."""

    number: int
    process: subprocess.Popen[bytes]
    link: Link | None = None
    allowance: int = 0
    outstanding: dict[int, Item] = field(default_factory=dict)  # handed over, without the data
    batch: list[Item] = field(default_factory=list)
    ready: bool = False
    finished: bool = False
    lost: bool = False


class Desk:
    """Run senders. Use: `await open()`, `feed()` as a task, `await primed()`, `start(at)`, ..., `await close()`.

    `allowance` is the most calls that one sender may hold or have in flight.
    """

    def __init__(self, setups: Sequence[Setup], handler: Handler, allowance: int) -> None:
        self._setups = setups
        self._handler = handler
        self._allowance = allowance
        self._senders: list[_Sender] = []
        self._fragments: dict[int, list[bytearray]] = {}
        self._changed = asyncio.Event()  # something happened that the feed or a waiter may wait for
        self._primed = asyncio.Event()
        self._problem: Failure | None = None
        self._start_at: int | None = None
        self._stopped = False
        self._stopped_at = 0
        self._closed = any(setup.closed for setup in setups)

    async def open(self) -> Failure | None:
        """Start the processes and open their connections; returns why not, if one could not."""
        loop = asyncio.get_running_loop()
        for setup in self._setups:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-m", "loadgen.engine.sender", str(theirs.fileno())]
                # In our session on purpose: Linux shares out its processors by session first (autogroup), and a sender
                # in one of its own waited up to seconds behind a server of many threads in another.
                process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            sender = _Sender(setup.sender, process, allowance=self._allowance)
            sender.link = Link(loop, ours, messages.ToDesk, self._hearing(sender), self._losing(sender))
            sender.link.send(setup)
            self._senders.append(sender)
        await self._until(lambda: self._problem is not None or all(s.ready or s.lost for s in self._senders))
        return self._problem

    def start(self, at: int) -> None:
        """Let the schedule begin at `at`."""
        self._start_at = at
        self._tell(Start(at))
        self._changed.set()

    def stop(self) -> None:
        """Offer nothing new; what is in flight goes on."""
        self._note_stop()
        self._tell(Stop())
        self._changed.set()

    def cancel(self, failure: Failure) -> None:
        """End what is in flight, with this failure."""
        self._note_stop()
        self._tell(Cancel(failure))
        self._changed.set()

    def _note_stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._stopped_at = monotonic_ns()

    async def finished(self) -> None:
        """Wait until every sender has nothing left to do; report the calls that were due and still held back."""
        await self._until(lambda: all(s.finished or s.lost for s in self._senders))
        for sender in self._senders:
            for item in sender.outstanding.values():
                if not self._closed and self._start_at is not None and self._start_at + item.due <= self._stopped_at:
                    self._give_up(sender, item, Failure(CENSORED, "held back by --max-in-flight until the run ended"))
            sender.outstanding.clear()

    async def close(self) -> None:
        """End the processes."""
        for sender in self._senders:
            if sender.link is not None:
                sender.link.close()
        loop = asyncio.get_running_loop()
        for sender in self._senders:
            await loop.run_in_executor(None, _end, sender.process)

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

    # Feeding.

    async def feed(self, items: Iterator[Item]) -> None:
        """Hand calls over, no more than a look-ahead of them, until they end or the desk is stopped.

        Open loop deals them by index; in a closed loop whoever has room takes the next.
        """
        for number, item in enumerate(items):
            if number % 16 == 0:
                await asyncio.sleep(0)
            sender = await self._place(item)
            if sender is None:
                break
            if sender.lost:
                self._give_up(sender, item, _lost(sender))
                continue
            sender.outstanding[item.index] = Item(item.index, item.due, item.target, b"")
            sender.batch.append(item)
            if len(sender.batch) >= _BATCH:
                self._hand_over(sender)
        self._flush()
        self._primed.set()

    def again(self, item: Item, sender: int) -> bool:
        """Hand over another attempt of a call to the sender that had it, due at once; False if nothing is wanted."""
        chosen = self._senders[sender]
        if self._stopped or chosen.lost or chosen.link is None:
            return False
        chosen.outstanding[item.index] = Item(item.index, self._elapsed(), item.target, b"", item.attempt)
        chosen.link.send(CallBatch([item]))
        return True

    async def primed(self) -> None:
        """Wait until senders hold the first second of the schedule."""
        await self._primed.wait()

    async def _place(self, item: Item) -> _Sender | None:
        """Wait until the call may be handed over; None if nothing is wanted any more."""
        while not self._stopped:
            wait = item.due - _LOOK_AHEAD - self._elapsed()
            if item.due > _PRIMED or wait > 0:
                self._primed.set()
            if wait <= 0:
                sender = self._roomiest() if self._closed else self._senders[item.index % len(self._senders)]
                if sender is not None and (sender.lost or len(sender.outstanding) < sender.allowance):
                    return sender
            self._flush()
            self._primed.set()
            if self._closed:
                await self._wait_change()
            else:
                await asyncio.sleep(_NAP)
        return None

    def _roomiest(self) -> _Sender | None:
        living = [sender for sender in self._senders if not sender.lost]
        return min(living, key=lambda sender: len(sender.outstanding), default=None)

    def _elapsed(self) -> int:
        return 0 if self._start_at is None else monotonic_ns() - self._start_at

    def _flush(self) -> None:
        for sender in self._senders:
            self._hand_over(sender)

    def _hand_over(self, sender: _Sender) -> None:
        if sender.batch and sender.link is not None:
            sender.link.send(CallBatch(sender.batch))
        sender.batch = []

    # Hearing.

    def _tell(self, message: messages.ToSender) -> None:
        for sender in self._senders:
            if sender.link is not None and not sender.lost:
                sender.link.send(message)

    def _hearing(self, sender: _Sender) -> Callable[[messages.ToDesk], None]:
        def hear(message: messages.ToDesk) -> None:
            match message:
                case Done(timeline):
                    sender.outstanding.pop(timeline.index, None)
                    self._done(timeline)
                case Fragment(index, payload):
                    self._fragments.setdefault(index, []).append(payload)
                case Sent(requests):
                    for index, due, sent in requests:
                        self._handler.sent(index, due, sent)
                case Pulse(health):
                    self._handler.health(health)
                case Ready(failure):
                    sender.ready = True
                    self._problem = self._problem or failure
                case Finished():
                    sender.finished = True
            self._changed.set()
        return hear

    def _done(self, timeline: Timeline) -> None:
        parts = self._fragments.pop(timeline.index, None)
        if parts:
            timeline.payload = b"".join((*parts, timeline.payload))
        self._handler.done(timeline)

    def _losing(self, sender: _Sender) -> Callable[[], None]:
        def lose() -> None:
            if sender.finished:
                return
            sender.lost = True
            self._handler.lost(sender.number)
            for item in sender.outstanding.values():
                self._fragments.pop(item.index, None)
                self._give_up(sender, item, _lost(sender))
            sender.outstanding.clear()
            self._changed.set()
        return lose

    def _give_up(self, sender: _Sender, item: Item, failure: Failure) -> None:
        """Report a request that its sender will not."""
        self._handler.done(Timeline(item.index, sender.number, item.target, item.due, failure=failure,
                                    attempt=item.attempt))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._wait_change()

    async def _wait_change(self) -> None:
        """Wait for the next event. Every waiter looks at its condition first, without giving way in between."""
        self._changed.clear()
        await self._changed.wait()


def _lost(sender: _Sender) -> Failure:
    return Failure("sender_lost", f"sender {sender.number} died")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
