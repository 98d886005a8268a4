"""The phases of a run: which one a request belongs to, and when the measured one is over. Pure."""

from __future__ import annotations

from loadgen.engine.in_flight import InFlight
from loadgen.types import ABSENT, COOLDOWN, MEASURED, WARMUP, Window

_SETTLE = 300_000_000  # ns after the window in which senders still report what was due inside it


class Phases:
    """Sort requests into warm-up, measured and cool-down.

    In an open loop the schedule says which indices are measured (`first` to `last`, exclusive). In a closed loop it is
    decided by when a slot got free, or the first `window.count` requests after the warm-up are measured.
    """

    def __init__(self, window: Window, first: int = ABSENT, last: int = ABSENT) -> None:
        self.window = window
        self._first = first
        self._last = last
        self._ended = bytearray(max(0, last - first))  # 1 for each measured request of a schedule that has ended
        self.measured_seen = 0
        self._measured_open = 0

    def begin(self, flight: InFlight) -> None:
        """Give a request its phase; one that has a phase keeps it."""
        if flight.phase != ABSENT:
            return
        flight.phase = self._by_index(flight.index) if self.scheduled else self._by_time(flight.due)
        if flight.phase == MEASURED:
            self.measured_seen += 1
            self._measured_open += 1

    def end(self, flight: InFlight) -> None:
        """Note that a request has ended; gives it a phase if it has none."""
        self.begin(flight)
        if flight.phase == MEASURED:
            self._measured_open -= 1
            if self.scheduled:
                self._ended[flight.index - self._first] = 1

    def complete(self, elapsed: int) -> bool:
        """Whether everything that is measured has ended. `elapsed` is ns from the start."""
        if self._measured_open:
            return False
        if self.scheduled:
            return self.measured_seen >= self._last - self._first
        if self.window.count >= 0:
            return self.measured_seen >= self.window.count
        return elapsed > self.window.start + self.window.length + _SETTLE

    def ended_before(self, last: int) -> bool:
        """Whether each measured request of a schedule with an index below `last` has ended."""
        return self._ended.find(0, 0, last - self._first) < 0

    @property
    def scheduled(self) -> bool:
        """Whether every request has an instant of its own at which it is due (open loop)."""
        return self._first >= 0

    def _by_index(self, index: int) -> int:
        if index < self._first:
            return WARMUP
        return MEASURED if index < self._last else COOLDOWN

    def _by_time(self, due: int) -> int:
        window = self.window
        if due < window.start:
            return WARMUP
        if window.count >= 0:
            return MEASURED if self.measured_seen < window.count else COOLDOWN
        return MEASURED if due < window.start + window.length else COOLDOWN
