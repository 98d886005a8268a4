"""When to launch: one policy for open loop, closed loop and a guard on what is in flight. No socket."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

from loadgen.engine.messages import Item
from loadgen.engine.pacer import Pacer
from loadgen.types import Timeline

Launch = Callable[[Timeline, bytes], None]


@dataclass(frozen=True, slots=True)
class Policy:
    """`limit` is the most requests in flight (0: none). In a closed loop a request is due when a slot gets free."""

    sender: int = 0
    limit: int = 0
    closed: bool = False


class Dispatch:
    """Launch items when they are due.

    `clock` gives ns of CLOCK_MONOTONIC; `due` counts from the start of the schedule. Items come in the order in which
    they are due. An item that comes after its
    instant is launched at once and counted in `starved`; one that waits for a slot is marked `held`. An attempt after
    the first comes when it comes (`add_again`).
    """

    def __init__(self, policy: Policy, launch: Launch, clock: Callable[[], int]) -> None:
        self._policy = policy
        self._launch = launch
        self._clock = clock
        self._queue: deque[Item] = deque()
        self._free: deque[int] = deque()  # closed loop: since when (as `due`) each free slot has been free
        self._start: int | None = None
        self._blocked = False
        self._pacer: Pacer | None = None
        self.in_flight = 0
        self.starved = 0
        self.stopped = False
        self.sent: list[tuple[int, int, int]] = []  # (index, due, sent) of launches that were not yet reported

    def begin(self, at: int, pacer: Pacer) -> None:
        """Start the clock of the schedule at `at`; `pacer` has to call `wake`."""
        self._start = at
        self._pacer = pacer
        self._free.extend([0] * self._policy.limit)
        pacer.arm(at)

    def add(self, items: Iterable[Item]) -> None:
        """Take more items, each due no earlier than those before."""
        if self.stopped:
            return
        waiting = bool(self._queue)
        self._queue.extend(items)
        if self._start is None or waiting or not self._queue:
            return
        now = self._clock()
        if now >= self._start and (self._policy.closed or self._start + self._queue[0].due < now):
            self.starved += 1
        self.wake()

    def add_again(self, item: Item) -> None:
        """Take another attempt of a call that failed: it is due now, before what is due later."""
        if self.stopped or self._start is None:
            return
        item.due = self._clock() - self._start
        insort(self._queue, item, key=attrgetter("due"))
        self.wake()

    def stop(self) -> None:
        """Launch nothing more."""
        self.stopped = True
        self._queue.clear()

    def wake(self) -> None:
        """Launch everything that is due, then wait for the next."""
        if self._start is None or self._pacer is None:
            return
        if self._policy.closed:
            self._fill_slots()
        else:
            self._launch_due(self._start)

    def release(self, timeline: Timeline) -> None:
        """A request has ended: its slot is free."""
        self.in_flight -= 1
        if self._policy.closed:
            self._free.append(timeline.end - (self._start or 0))
            self.wake()
        elif self._blocked:
            self._blocked = False
            self._launch_due(self._start or 0, held=True)

    def _launch_due(self, start: int, held: bool = False) -> None:
        queue, limit = self._queue, self._policy.limit
        freed = self._clock()
        while queue:
            due_at = start + queue[0].due
            if due_at > self._clock():
                assert self._pacer is not None
                self._pacer.arm(due_at)
                return
            if limit and self.in_flight >= limit:
                self._blocked = True
                return
            item = queue.popleft()
            self._go(item, item.due, held and due_at <= freed)

    def _fill_slots(self) -> None:
        assert self._start is not None and self._pacer is not None
        if self._clock() < self._start:
            self._pacer.arm(self._start)
            return
        while self._queue and self._free:
            item = self._queue.popleft()
            self._go(item, max(self._free.popleft(), item.due), False)

    def _go(self, item: Item, due: int, held: bool) -> None:
        timeline = Timeline(item.index, self._policy.sender, item.target, due, held=held, attempt=item.attempt)
        self.in_flight += 1
        self._launch(timeline, item.data)
        self.sent.append((item.index, due, timeline.sent))
