"""How the client itself was doing, from its health lines: the worst of them, by sender, and its clocks."""

from __future__ import annotations

from bisect import insort
from dataclasses import astuple, dataclass, field
from itertools import pairwise
from typing import Final

from loadgen.types import ABSENT, SECOND, ClockSample, Health

NOTEWORTHY: Final = 1_000_000
"""ns; shorter stalls are only kept as one maximum."""

CLOCK_DRIFT: Final = 0.001
"""How much of the time that passed the wall clock may gain or lose on the monotonic one."""


@dataclass(slots=True)
class ClientHealth:
    """The health lines of a run, folded. Memory grows with time and noteworthy stalls, not with requests."""

    lines: dict[int, Health] = field(default_factory=dict)  # the last line of each process, by sender; ABSENT the desk
    stalls: list[tuple[int, int, int]] = field(default_factory=list)  # at, sender, ns
    small_stall: int = 0  # the longest of those that are not kept
    clock: list[tuple[int, int]] = field(default_factory=list)  # at and offset of all samples, in order
    clock_step: int = 0  # ns, the largest change between two samples beyond CLOCK_DRIFT

    def observe(self, line: Health | ClockSample) -> None:
        """Add one line. Lines of one process come in the order of their instants, as clock samples do."""
        if isinstance(line, Health):
            self._observe_process(line)
        else:
            self._observe_clock(line)

    def merge(self, other: ClientHealth) -> None:
        """Add other lines of the same run."""
        for line in other.lines.values():
            self._keep_last(line)
        self.stalls += other.stalls
        self.small_stall = max(self.small_stall, other.small_stall)
        self.clock = sorted(self.clock + other.clock)
        self.clock_step = _largest_step(self.clock)

    def _keep_last(self, line: Health) -> None:
        self.lines[line.sender] = max(self.lines.get(line.sender, line), line, key=astuple)

    def _observe_process(self, line: Health) -> None:
        self._keep_last(line)
        if line.sender == ABSENT:
            return
        if line.stall >= NOTEWORTHY:
            self.stalls.append((line.at, line.sender, line.stall))
        else:
            self.small_stall = max(self.small_stall, line.stall)

    def _observe_clock(self, sample: ClockSample) -> None:
        one = (sample.at, sample.offset)
        if not self.clock or self.clock[-1] <= one:
            self.clock_step = max(self.clock_step, _largest_step([*self.clock[-1:], one]))
            self.clock.append(one)
        else:
            insort(self.clock, one)
            self.clock_step = _largest_step(self.clock)

    @property
    def senders(self) -> list[Health]:
        """The last line of each sender, by its number."""
        return [self.lines[sender] for sender in sorted(self.lines) if sender != ABSENT]

    def stall(self, begin: int, end: int) -> int:
        """Return the longest stall of a sender in lines from [begin, end], in ns."""
        return max((ns for at, _, ns in self.stalls if begin <= at <= end), default=self.small_stall)

    def total(self, name: str) -> int:
        """Return a cumulative counter of Health, summed over the senders."""
        return sum(getattr(line, name) for line in self.senders)

    def clock_drift(self) -> float:
        """Return the share by which the wall clock ran apart from the monotonic one; 0 below one second."""
        if not self.clock or self.clock[-1][0] - self.clock[0][0] < SECOND:
            return 0.0
        (begin, first), (end, last) = self.clock[0], self.clock[-1]
        return abs(last - first) / (end - begin)


def _largest_step(clock: list[tuple[int, int]]) -> int:
    steps = (abs(other - one) - int(CLOCK_DRIFT * (end - begin)) for (begin, one), (end, other) in pairwise(clock))
    return max(0, max(steps, default=0))
