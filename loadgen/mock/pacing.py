"""When each event is due: the heap of due instants, and the slots that make requests queue."""

from __future__ import annotations

from collections import deque
from heapq import heappush
from typing import TYPE_CHECKING, Final, Protocol

from loadgen.mock.delays import Delay

if TYPE_CHECKING:
    from loadgen.mock.truth import Record

_STRIDE: Final = 40_503  # odd, so that streams start at different places of the table


class Steps(Protocol):
    """What happens at due instants: `step` does it, and gives back when the next one is (ns)."""

    @property
    def gone(self) -> bool:
        """Whether it is over."""

    def step(self, due: int) -> int:
        """Do what is due at `due` (ns)."""


class Paced(Steps, Protocol):
    """An answer that may wait for a slot. Its first event comes `delay` ns late, `silent` events before it at once."""

    record: Record
    delay: int
    silent: int
    running: bool


class TokenPacer:
    """Decides when streams start and when their events are due; knows no clock: instants come in as arguments (ns).

    `slots` streams run at a time (0: all of them), the others wait in order. Each running stream lengthens the gap
    between events of all by `itl_per_stream`.
    """

    def __init__(self, ttft: Delay, ttft_per_token: int, itl: Delay, itl_per_stream: int, slots: int) -> None:
        self.ttft, self.ttft_per_token = ttft, ttft_per_token
        self.itl, self.itl_per_stream = itl, itl_per_stream
        self.slots = slots
        self.heap: list[tuple[int, int, Steps]] = []  # due, number (below 0: comments), stream
        self.running = 0
        self.waiting: deque[Paced] = deque()

    def arrive(self, stream: Paced, now: int) -> None:
        """Start a stream, or let it wait for a slot."""
        if self.slots and self.running >= self.slots:
            self.waiting.append(stream)
        else:
            self._start(stream, now)

    def leave(self, at: int) -> None:
        """Give back the slot of a stream that ended at `at`: the instant it was due, not when it was noticed."""
        self.running -= 1
        while self.waiting:
            stream = self.waiting.popleft()
            if not stream.gone:
                self._start(stream, max(at, stream.record.arrival))
                return

    def gap(self, number: int, position: int) -> int:
        """Say how long after event `position` of stream `number` the next one is due."""
        return self.itl.at(number * _STRIDE + position) + self.itl_per_stream * self.running

    def first(self, record: Record) -> int:
        """Say how long after its start a stream's first event is due."""
        return self.ttft.at(record.number) + self.ttft_per_token * record.prompt_tokens

    def keep_alive(self, comments: Steps, number: int, due: int) -> None:
        """Send comments of stream `number` from `due` on."""
        heappush(self.heap, (due, -number, comments))

    def _start(self, stream: Paced, at: int) -> None:
        self.running += 1
        stream.running = True
        stream.record.queued = at - stream.record.arrival
        number = stream.record.number
        due = at + stream.delay + self.first(stream.record)
        for position in range(stream.silent):  # an answer in one piece comes when its last token would
            due += self.gap(number, position)
        heappush(self.heap, (due, number, stream))


class PlannedTimes:
    """The times of one answer as they are planned: what the server would tell of itself (dialect.Times)."""

    __slots__ = ("_pacer", "_record")

    def __init__(self, pacer: TokenPacer, record: Record) -> None:
        self._pacer, self._record = pacer, record

    def queue(self) -> int:
        return self._record.queued

    def prefill(self) -> int:
        return self._pacer.first(self._record)

    def decode(self, position: int) -> int:
        return self._pacer.gap(self._record.number, position - 1)
