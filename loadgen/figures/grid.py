"""Counts by time and by value, and what is read from them: percentiles over time, and a heat map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.figures.axis import Axis, together
from loadgen.stats.histogram import HIGHEST, bucket_of, lowest_in

Integers = npt.NDArray[np.int64]

_SHIFT: Final = 4
"""HDR buckets are taken 16 together, 64 an octave: 1.6 % wide, finer than a line on a chart."""
_BUCKETS: Final = int(bucket_of(np.asarray([HIGHEST]))[0] >> _SHIFT) + 1
LOWEST: Final = 10_000
"""ns; what is shorter, as gaps of tokens that came in one read, shares the lowest row of a heat map."""
_FLOOR: Final = int(bucket_of(np.asarray([LOWEST]))[0] >> _SHIFT)
_ENOUGH: Final = 20
"""Values that a bin should hold on average before it gets percentiles of its own."""


@dataclass(frozen=True, slots=True)
class Band:
    """Percentiles of a metric by bin of time; -1 where a bin holds no value. All int64[axis.count], in ns."""

    axis: Axis
    count: Integers
    p50: Integers
    p99: Integers
    max: Integers


@dataclass(frozen=True, slots=True)
class Heat:
    """How many values fell into which bin of time and of value.

    `edges` are ns, int64[rows + 1], equally far apart as logarithms; `counts` is int64[rows, axis.count].
    """

    axis: Axis
    edges: Integers
    counts: Integers


class Grid:
    """Counts of values (ns) by bin of time; memory depends on the axis alone."""

    def __init__(self, axis: Axis) -> None:
        self.axis = axis
        self._counts = np.zeros((axis.count, _BUCKETS), np.int32)
        self._max = np.full(axis.count, -1, np.int64)

    def add(self, instants: Integers, values: Integers, weights: Integers | int = 1) -> None:
        """Count `weights[i]` times that `values[i]` was seen at `instants[i]`."""
        if not values.size:
            return
        places = self.axis.of(instants)
        buckets = bucket_of(np.clip(values, 0, HIGHEST)) >> _SHIFT
        np.add.at(self._counts.reshape(-1), places * _BUCKETS + buckets, weights)
        np.maximum.at(self._max, places, values)

    @property
    def total(self) -> int:
        """How many values there are."""
        return int(self._counts.sum(dtype=np.int64))

    def band(self) -> Band | None:
        """Return percentiles over time, bins taken together where they hold few values; None without values."""
        factor = self._factor(_ENOUGH)
        if factor == 0:
            return None
        counts = together(self._counts, factor)
        tops = np.maximum.reduceat(self._max, np.arange(0, self.axis.count, factor))
        sums = np.cumsum(counts, axis=1)
        p50, p99 = (_quantile(sums, tops, p) for p in (50, 99))
        return Band(self.axis.coarser(factor), sums[:, -1], p50, p99, tops)

    def heat(self, columns: int, rows: int) -> Heat | None:
        """Return a heat map of at most `columns` bins of time and `rows` of value; None without values."""
        if not self.total:
            return None
        factor = max(self._factor(_ENOUGH), -(-self.axis.count // columns))
        counts = together(self._counts, factor)
        counts[:, _FLOOR] += counts[:, :_FLOOR].sum(axis=1)
        counts[:, :_FLOOR] = 0
        used = np.flatnonzero(counts.any(axis=0))
        first, last = int(used[0]), int(used[-1])
        size = -(-(last + 1 - first) // rows)
        merged = together(counts[:, first : last + 1].T, size)
        starts = np.minimum(first + size * np.arange(merged.shape[0] + 1), _BUCKETS)
        return Heat(self.axis.coarser(factor), _lowest(starts), merged)

    def _factor(self, enough: int) -> int:
        """Return how many bins hold `enough` values together, by the bins that hold any; 0 without values."""
        by_bin = self._counts.sum(axis=1, dtype=np.int64)
        used = int((by_bin > 0).sum())
        if used == 0:
            return 0
        return int(min(self.axis.count, -(-enough * used // int(by_bin.sum()))))


def _quantile(sums: Integers, tops: Integers, percent: int) -> Integers:
    """Return a percentile of each bin of time from counts added up along its values: within 1 %, at most `tops`."""
    ranks = -(-sums[:, -1:] * percent // 100)
    buckets = (sums < ranks).sum(axis=1)
    middle = (_lowest(buckets) + _lowest(buckets + 1)) // 2
    return np.where(sums[:, -1] > 0, np.minimum(middle, tops), -1)


def _lowest(buckets: Integers) -> Integers:
    """Return the lowest value of each bucket of a Grid."""
    return lowest_in(buckets << _SHIFT)
