"""What happened in each slice of time, in exact integers; memory grows with time, never with requests."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.types import ABSENT, SECOND, Window

Integers = npt.NDArray[np.int64]

FINE: Final = SECOND // 10
"""Width of a bin in a window shorter than a minute, or of unknown length; else a bin is a second."""

SERIES: Final = ("arrivals", "completions", "completed", "output_tokens", "input_tokens", "first_tokens",
                 "first_token_time")


class Bins:
    """Counts by bin of time, from the start of the schedule on; a bin's edge falls on the start of the window.

    `arrivals` are requests by the instant they were sent, `completions` all that ended and `completed` the successes;
    `first_tokens` are successes by the instant they were due and `first_token_time` the sum of their ttft_scheduled.
    """

    __slots__ = ("_first", "_full", "_part", "_series", "origin", "width")

    def __init__(self, window: Window) -> None:
        self.width = int(SECOND) if window.length >= 60 * SECOND else int(FINE)
        self._first = -(-window.start // self.width)
        self.origin = window.start - self._first * self.width
        self._series = {name: np.zeros(64, np.int64) for name in SERIES}
        self._part = np.zeros(64, np.int64)  # ns of requests that began or ended in the bin
        self._full = np.zeros(64, np.int64)  # change in how many requests fill the whole bin

    def add(self, name: str, instants: Integers, weights: Integers | int = 1) -> None:
        """Add `weights` to the bins of `instants` (ns since the start of the schedule)."""
        if instants.size:
            bins = self._of(instants)
            self._series[name] = _covering(self._series[name], int(bins.max()))
            np.add.at(self._series[name], bins, weights)

    def add_residence(self, begin: Integers, end: Integers) -> None:
        """Add requests that were in flight from `begin` to `end`, so that the integral over all bins is exact."""
        if not begin.size:
            return
        first, last = self._of(begin), self._of(end)
        top = int(last.max()) + 1
        self._part, self._full = _covering(self._part, top), _covering(self._full, top)
        within = first == last
        across = ~within
        np.add.at(self._part, first[within], end[within] - begin[within])
        np.add.at(self._part, first[across], self.edge(first[across] + 1) - begin[across])
        np.add.at(self._part, last[across], end[across] - self.edge(last[across]))
        np.add.at(self._full, first[across] + 1, 1)
        np.add.at(self._full, last[across], -1)

    def merge(self, other: Bins) -> None:
        """Add the counts of other bins of the same window."""
        for name, counts in other._series.items():
            self._series[name] = _sum(self._series[name], counts)
        self._part, self._full = _sum(self._part, other._part), _sum(self._full, other._full)

    def edge(self, index: Integers) -> Integers:
        """Return the instant at which each bin begins; bin 0 begins at or before the start of the schedule."""
        return self.origin + index * self.width

    def series(self, name: str, begin: int, end: int) -> Integers:
        """Return one of SERIES over the whole bins inside [begin, end]."""
        low, high = self.inside(begin, end)
        return _covering(self._series[name], high)[low:high].copy()

    def in_flight(self, begin: int, end: int) -> Integers:
        """Return the integral of the number in flight over each whole bin inside [begin, end], in request-ns."""
        low, high = self.inside(begin, end)
        part, full = _covering(self._part, high), _covering(self._full, high)
        return (part + self.width * np.cumsum(full))[low:high]

    def integral(self) -> int:
        """Return the integral of the number in flight over all time, in request-ns."""
        return int(self._part.sum()) + self.width * int(np.cumsum(self._full).sum())

    @property
    def end(self) -> int:
        """The end of the last bin in which a request was sent or ended; where the first begins if there is none."""
        used = np.flatnonzero(self._series["arrivals"]), np.flatnonzero(self._series["completions"])
        return self.origin + self.width * max((int(bins[-1]) + 1 for bins in used if bins.size), default=0)

    def inside(self, begin: int, end: int) -> tuple[int, int]:
        """Return (first, one past the last) of the whole bins inside [begin, end]; equal where there is none."""
        low = max(0, -((self.origin - begin) // self.width))
        return low, max(low, (end - self.origin) // self.width)

    def _of(self, instants: Integers) -> Integers:
        return np.maximum((instants - self.origin) // self.width, 0)


class Within:
    """Totals of what happened inside the window, to the nanosecond; only a window of known length has them."""

    __slots__ = ("_begin", "_end", "totals")

    def __init__(self, window: Window) -> None:
        self._begin = window.start
        self._end = ABSENT if window.length == ABSENT else window.start + window.length
        self.totals = dict.fromkeys(("completed", "output_tokens", "input_tokens"), 0)

    def add(self, name: str, instants: Integers, weights: Integers | None = None) -> None:
        """Count the instants in [start, start + length), each `weights` times."""
        if self._end != ABSENT and instants.size:
            inside = (instants >= self._begin) & (instants < self._end)
            self.totals[name] += int(inside.sum()) if weights is None else int(weights[inside].sum())

    def merge(self, other: Within) -> None:
        """Add the totals of the same window."""
        for name, total in other.totals.items():
            self.totals[name] += total


def _sum(one: Integers, other: Integers) -> Integers:
    """Return the sum of two arrays of which one may be longer."""
    whole = _covering(one, other.size - 1).copy()
    whole[: other.size] += other
    return whole


def _covering(values: Integers, top: int) -> Integers:
    """Return `values`, lengthened with zeros so that index `top` exists."""
    if top < values.size:
        return values
    longer = np.zeros(max(top + 1, 2 * values.size), np.int64)
    longer[: values.size] = values
    return longer
