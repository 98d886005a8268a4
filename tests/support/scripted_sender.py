"""A sender for tests of the desk: it stands in the test's own process and does only what the test says."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from loadgen.engine import messages
from loadgen.engine.desk import Desk
from loadgen.engine.in_flight import InFlight
from loadgen.engine.messages import CallBatch, Done, Item, Ready, Sent, Setup, ToSender
from loadgen.engine.sender_process import SenderProcess
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.link import Link
from loadgen.types import Failure, Health, Timeline


class _NoProcess:
    """What stands for the process."""

    pid = 0

    def wait(self, timeout: float) -> int:
        return 0

    def kill(self) -> None:
        pass


class ScriptedSender:
    """The sender's end of the line. `orders` has what the desk sent, `items` the calls of it."""

    def __init__(self, line: socket.socket) -> None:
        self.orders: list[ToSender] = []
        self.link = Link(asyncio.get_running_loop(), line, messages.ToSender, self._obey, lambda: None)

    def _obey(self, order: ToSender) -> None:
        self.orders.append(order)
        if isinstance(order, Setup):
            self.link.send(Ready(None))

    @property
    def items(self) -> list[Item]:
        return [item for order in self.orders if isinstance(order, CallBatch) for item in order.items]

    def launch(self, *launches: tuple[int, int, int]) -> None:
        """Say that requests went out: (index, due, sent) each."""
        self.link.send(Sent(list(launches)))

    def end(self, index: int, failure: Failure | None = None, payload: bytes = b"") -> None:
        """Say that an attempt has ended."""
        self.link.send(Done(Timeline(index, failure=failure, payload=payload)))

    def die(self) -> None:
        self.link.close()


class DeskBench:
    """A desk over scripted senders, and what its handler heard (it is the handler).

    `again` are the indices that the handler wants to be sent again while it may.
    """

    def __init__(self, senders: int = 1, closed: bool = False, allowance: int = 1 << 40) -> None:
        limits = Limits()
        setups = [Setup(number, [], limits, 0, 0, False, 0, closed) for number in range(senders)]
        self.senders: list[ScriptedSender] = []
        self.desk = Desk(setups, self, allowance, self._start)
        self.again: set[int] = set()
        self.launched: list[int] = []
        self.ended: list[tuple[InFlight, Timeline]] = []
        self.gone: list[int] = []

    def _start(self, number: int) -> tuple[SenderProcess, socket.socket]:
        ours, theirs = socket.socketpair()
        self.senders.append(ScriptedSender(theirs))
        process: Any = _NoProcess()
        return SenderProcess(number, process), ours

    def sent(self, flight: InFlight) -> None:
        self.launched.append(flight.index)

    def done(self, flight: InFlight, timeline: Timeline) -> bool:
        self.ended.append((flight, timeline))
        return timeline.index in self.again and flight.retries > 0

    def health(self, health: Health) -> None:
        pass

    def lost(self, sender: int) -> None:
        self.gone.append(sender)


async def settle() -> None:
    """Let what was sent over a line arrive."""
    for _ in range(20):
        await asyncio.sleep(0)
