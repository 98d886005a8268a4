"""The requests that took longest, instant by instant: when they waited, when tokens came, and where they stalled."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder.batch import Batch
from loadgen.recorder.formulas import Tokens
from loadgen.types import ABSENT, MEASURED

Integers = npt.NDArray[np.int64]

MOST: Final = 1000
MOST_STALLS: Final = 5
"""Stalls of one request that are kept, the longest."""
STALL: Final = 10
"""Times the median gap that makes a gap a stall."""
SHORTEST_STALL: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """One request; instants in ns since the start of the schedule, ABSENT where there is none."""

    index: int
    due: int
    sent: int
    first: int
    end: int
    tokens: int
    failure: str
    stalls: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """From due to the end, ns."""
        return self.end - self.due


@dataclass(frozen=True, slots=True)
class Slowest:
    """At most MOST spans, in the order in which they were due, of `total` measured requests."""

    spans: tuple[Span, ...]
    total: int
    stall: int  # ns; gaps from here on count as stalls; ABSENT where an answer has no gaps


class SlowestFinder:
    """Finds the slowest measured requests in memory that the number of requests doesn't grow."""

    def __init__(self, median_gap: int) -> None:
        """Begin with nothing. `median_gap` between tokens says what a stall is; ABSENT: nothing is one."""
        self._stall = max(STALL * median_gap, SHORTEST_STALL) if median_gap != ABSENT else ABSENT
        self._heap: list[tuple[int, int, Span]] = []
        self._total = 0
        self._kept = 0

    def fold(self, batch: Batch, tokens: Tokens) -> None:
        """Add the rows of `batch`."""
        end = np.maximum(np.maximum(tokens.last, batch.end), np.maximum(batch.sent, batch.due))
        length = np.where(batch.phase == MEASURED, end - batch.due, -1)
        self._total += int((batch.phase == MEASURED).sum())
        least = self._heap[0][0] if len(self._heap) == MOST else -1
        rows = np.flatnonzero(length > least)
        rows = rows[np.argsort(-length[rows], kind="stable")][:MOST]
        for row in rows.tolist():
            self._keep(self._span(batch, tokens, row, int(end[row])))

    def slowest(self) -> Slowest | None:
        """Return what was found; None without measured requests."""
        if not self._heap:
            return None
        spans = sorted((span for _, _, span in self._heap), key=lambda span: (span.due, span.index))
        return Slowest(tuple(spans), self._total, self._stall)

    def _keep(self, span: Span) -> None:
        self._kept += 1
        place = (span.length, -self._kept, span)  # the second number keeps spans from being compared
        if len(self._heap) < MOST:
            heapq.heappush(self._heap, place)
        elif place[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, place)

    def _span(self, batch: Batch, tokens: Tokens, row: int, end: int) -> Span:
        low, high = batch.token_at.offsets[row : row + 2].tolist()
        return Span(int(batch.index[row]), int(batch.due[row]), int(batch.sent[row]), int(tokens.first[row]), end,
                    int(tokens.total[row]), batch.failure[row], self._stalls(tokens.at[low:high]))

    def _stalls(self, at: Integers) -> tuple[tuple[int, int], ...]:
        if self._stall == ABSENT:
            return ()
        gaps = np.diff(at)
        places = np.flatnonzero(gaps >= self._stall)
        longest = np.sort(places[np.argsort(-gaps[places], kind="stable")][:MOST_STALLS])
        return tuple((int(at[place]), int(at[place + 1])) for place in longest)
