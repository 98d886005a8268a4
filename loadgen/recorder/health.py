"""How the client itself was doing, from its health lines: the worst of them, by sender, and its clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from loadgen.types import ABSENT, SECOND, ClockSample, Health

NOTEWORTHY: Final = 1_000_000
"""ns; shorter stalls are only kept as one maximum."""

CLOCK_DRIFT: Final = 0.001
"""How much of the time that passed the wall clock may gain or lose on the monotonic one."""


@dataclass(slots=True)
class ClientHealth:
    """The health lines of a run, folded. Memory grows with the number of noteworthy stalls, not with requests."""

    lines: dict[int, Health] = field(default_factory=dict)  # the last line of each process, by sender; ABSENT the desk
    stalls: list[tuple[int, int, int]] = field(default_factory=list)  # at, sender, ns
    small_stall: int = 0  # the longest of those that are not kept
    clock_first: ClockSample | None = None
    clock_last: ClockSample | None = None
    clock_step: int = 0  # ns, the largest change between two samples beyond CLOCK_DRIFT
    samples: int = 0

    def observe(self, line: Health | ClockSample) -> None:
        """Add one line. Lines of one process come in the order of their instants, as clock samples do."""
        if isinstance(line, Health):
            self._observe_process(line)
        else:
            self._observe_clock(line)

    def _observe_process(self, line: Health) -> None:
        self.lines[line.sender] = line
        if line.sender == ABSENT:
            return
        if line.stall >= NOTEWORTHY:
            self.stalls.append((line.at, line.sender, line.stall))
        else:
            self.small_stall = max(self.small_stall, line.stall)

    def _observe_clock(self, sample: ClockSample) -> None:
        if self.clock_last is not None:
            moved = abs(sample.offset - self.clock_last.offset)
            self.clock_step = max(self.clock_step, moved - int(CLOCK_DRIFT * abs(sample.at - self.clock_last.at)))
        self.clock_first = self.clock_first or sample
        self.clock_last = sample
        self.samples += 1

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
        first, last = self.clock_first, self.clock_last
        if first is None or last is None or last.at - first.at < SECOND:
            return 0.0
        return abs(last.offset - first.offset) / (last.at - first.at)
