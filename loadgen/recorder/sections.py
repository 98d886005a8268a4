"""Values by tenth of the window, for what is said about noise: kept in blocks of requests that add up in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder.batch import Batch
from loadgen.stats.histogram import Histogram
from loadgen.types import ABSENT, Window

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BATCHES: Final = 10
_BLOCKS: Final = 40
"""Blocks of a window of known count, about: which tenth one is in is known when the first measured request is."""


class Sections:
    """What was measured in each tenth of the window: by due, or by index where only a count is planned.

    Where the length is known, a block is a tenth. Where the count is, a block is so many indices in a row, because no
    part of a run knows which request will have been the first measured one.
    """

    def __init__(self, window: Window, names: Iterable[str]) -> None:
        self._window = window
        self._width = max(1, window.count // _BLOCKS) if window.count > 0 else 1 << 62
        self._first = ABSENT  # index of the first measured request
        self._values: dict[str, dict[int, Histogram]] = {name: {} for name in names}
        self._offered: Counter[int] = Counter()
        self._good: Counter[int] = Counter()

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics whose values are kept."""
        return tuple(self._values)

    def blocks(self, batch: Batch, measured: Mask) -> Integers:
        """Return the block of each row; only those of measured rows mean something."""
        if self._window.length != ABSENT:
            since = (batch.due - self._window.start) * BATCHES // max(1, self._window.length)
            return np.clip(since, 0, BATCHES - 1)
        if measured.any():
            self._first = _lowest(self._first, int(batch.index[measured].min()))
        return batch.index // self._width

    def record(self, name: str, block: int, values: Histogram) -> None:
        """Add values to a block of a metric of `names`."""
        self._values[name].setdefault(block, Histogram()).merge(values)

    def count(self, offered: Integers, good: Integers) -> None:
        """Count requests, given by their blocks: those that were offered, and those of them that met the objectives."""
        for counter, blocks in ((self._offered, offered), (self._good, good)):
            numbers, times = np.unique(blocks, return_counts=True)
            counter.update(dict(zip(numbers.tolist(), times.tolist(), strict=True)))

    def merge(self, other: Sections) -> None:
        """Add what another has, of the same window and names."""
        self._first = _lowest(self._first, other._first)
        for name, blocks in other._values.items():
            for block, values in blocks.items():
                self.record(name, block, values)
        self._offered.update(other._offered)
        self._good.update(other._good)

    def histograms(self, name: str) -> list[Histogram]:
        """Return the values of each tenth; none at all for a metric that is not kept."""
        if name not in self._values:
            return []
        tenths = [Histogram() for _ in range(BATCHES)]
        for block, values in self._values[name].items():
            tenths[self._tenth(block)].merge(values)
        return tenths

    def offered(self) -> Integers:
        """Return how many requests were offered in each tenth."""
        return self._counts(self._offered)

    def good(self) -> Integers:
        """Return how many requests met the objectives in each tenth."""
        return self._counts(self._good)

    def _counts(self, counter: Counter[int]) -> Integers:
        tenths = np.zeros(BATCHES, np.int64)
        for block, times in counter.items():
            tenths[self._tenth(block)] += times
        return tenths

    def _tenth(self, block: int) -> int:
        if self._window.length != ABSENT:
            return block
        since = max(0, block * self._width - self._first)
        return min(BATCHES - 1, since * BATCHES // max(1, self._window.count))


def _lowest(one: int, other: int) -> int:
    return max(one, other) if ABSENT in (one, other) else min(one, other)
