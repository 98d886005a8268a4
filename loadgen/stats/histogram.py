"""The Histogram: counts of non-negative integers in HDR buckets, and what can be read from counts alone."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

SIGNIFICANT_DIGITS: Final = 3
HIGHEST: Final = 3_600_000_000_000
"""The highest value that has a bucket: one hour in ns. Above it values are counted in `overflow`."""

# HdrHistogram's layout for 3 significant digits and a unit of 1: values below 2,048 have a bucket each, and every
# octave above has 1,024 buckets. Bucket i of octave o >= 1 holds the values with i = (o << 10) + (value >> o).
_HALF_BITS: Final = 10
_HALF: Final = 1 << _HALF_BITS
# A float64 of 1,024 or more has its exponent and the ten bits after the leading one in its upper bits, and those
# are the bucket index but for this constant.
_MANTISSA_BITS: Final = 52 - _HALF_BITS
_FLOAT_TO_INDEX: Final = (1023 + 9) << _HALF_BITS


def rank(p: float, n: int) -> int:
    """Return ceil(p n), at least 1: which of `n` sorted values is the p-quantile.

    `p` is taken as the decimal that it prints as, so that 0.07 of 100 is 7 and not 8.
    Raises ValueError if p is outside [0, 1] or n < 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a quantile is between 0 and 1, not {p}")
    if n < 1:
        raise ValueError("no values, so no percentile")
    return max(1, math.ceil(Fraction(repr(float(p))) * n))


def bucket_of(values: Integers) -> Integers:
    """Return the HDR bucket index of each value; values are in [0, HIGHEST]."""
    bits: Integers = values.astype(np.float64).view(np.int64)
    return np.where(values < _HALF, values, (bits >> _MANTISSA_BITS) - _FLOAT_TO_INDEX)


def highest_in(buckets: Integers) -> Integers:
    """Return the highest value that falls into each bucket."""
    octave: Integers = np.maximum((buckets >> _HALF_BITS) - 1, 0)
    return ((buckets - (octave << _HALF_BITS) + 1) << octave) - 1


def lowest_in(buckets: Integers) -> Integers:
    """Return the lowest value that falls into each bucket."""
    octave: Integers = np.maximum((buckets >> _HALF_BITS) - 1, 0)
    return (buckets - (octave << _HALF_BITS)) << octave


class Histogram:
    """Counts of int64 values (ns, or any count) at 3 significant digits, mergeable by addition.

    `count`, `min`, `max` and `total` are exact. Values above one hour are in `count`, `total` and `max` too, and in
    `overflow`; a rank that falls among them answers `max`.
    """

    __slots__ = ("_base", "_counts", "_max", "_min", "count", "overflow", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.overflow = 0
        self._min = 0
        self._max = 0
        self._base = 0  # bucket index of the first element of _counts, which grows by whole octaves
        self._counts: Integers = np.zeros(0, np.int64)

    def record(self, values: npt.NDArray[Any]) -> None:
        """Count each of `values`, an array of integers.

        Raises ValueError if one is negative, and counts none then; TypeError if they are no integers.
        """
        if values.size == 0:
            return
        if values.dtype != np.int64:
            values = values.astype(np.int64, casting="safe")
        low, high = int(values.min()), int(values.max())
        if low < 0:
            raise ValueError(f"a histogram holds no negative values, so not {low}")
        self._widen(low, high)
        self.count += values.size
        self.total += _sum(values, high)
        if high > HIGHEST:
            self.overflow += int((values > HIGHEST).sum())
            values = values[values <= HIGHEST]
        buckets = bucket_of(values)
        if buckets.size:
            self._cover(int(buckets.min()), int(buckets.max()))
            np.add.at(self._counts, buckets - self._base, 1)

    def merge(self, other: Histogram) -> None:
        """Add the counts of `other`; the result is that of recording both sets of values."""
        if other.count == 0:
            return
        self._widen(other._min, other._max)
        self.count += other.count
        self.total += other.total
        self.overflow += other.overflow
        if other._counts.size:
            self._cover(other._base, other._base + other._counts.size - 1)
            start = other._base - self._base
            self._counts[start : start + other._counts.size] += other._counts

    def copy(self) -> Histogram:
        """Return an equal histogram that shares nothing with this one."""
        new = Histogram()
        new.merge(self)
        return new

    @property
    def min(self) -> int:
        """The exact smallest value. Raises ValueError if there is none."""
        self._check()
        return self._min

    @property
    def max(self) -> int:
        """The exact largest value. Raises ValueError if there is none."""
        self._check()
        return self._max

    @property
    def mean(self) -> float:
        """The exact mean. Raises ValueError if there are no values."""
        self._check()
        return self.total / self.count

    @property
    def counts(self) -> Integers:
        """The counts by HDR bucket index, from bucket 0 to the last octave in use; overflow is in none of them."""
        return np.concatenate([np.zeros(self._base, np.int64), self._counts])

    def nonzero(self) -> tuple[Integers, Integers]:
        """Return (values, counts) of the buckets in use, in order; a value is the highest one of its bucket."""
        buckets, counts = self.buckets()
        return highest_in(buckets), counts

    def buckets(self) -> tuple[Integers, Integers]:
        """Return (HDR bucket indices, counts) of the buckets in use, in order."""
        used = np.flatnonzero(self._counts)
        return used + self._base, self._counts[used]

    def percentile(self, p: float) -> int:
        """Return the ceil(p n)-th smallest value, to 3 digits. Raises ValueError without values or if p is no share."""
        return self.at_rank(rank(p, self.count))

    def at_rank(self, k: int) -> int:
        """Return the k-th smallest value (k from 1): the highest value of its bucket, within [min, max].

        Raises ValueError if there is no k-th value.
        """
        if not 1 <= k <= self.count:
            raise ValueError(f"there is no value of rank {k} among {self.count}")
        if k == 1:
            return self._min
        if k > self.count - self.overflow or k == self.count:
            return self._max
        position = np.searchsorted(np.cumsum(self._counts), k)
        top = int(highest_in(np.asarray([position + self._base]))[0])
        return max(self._min, min(self._max, top, HIGHEST))

    def count_at_or_below(self, value: int) -> int:
        """Return how many values are at or below `value`, or share a bucket with it."""
        if self.count == 0 or value < self._min:
            return 0
        if value >= self._max:
            return self.count
        bucket = int(bucket_of(np.asarray([min(value, HIGHEST)], np.int64))[0])
        return int(self._counts[: bucket - self._base + 1].sum())

    def _check(self) -> None:
        if self.count == 0:
            raise ValueError("the histogram is empty")

    def _widen(self, low: int, high: int) -> None:
        self._min = min(self._min, low) if self.count else low
        self._max = max(self._max, high) if self.count else high

    def _cover(self, first: int, last: int) -> None:
        end = self._base + self._counts.size
        if self._counts.size and self._base <= first and last < end:
            return
        base, limit = first & ~(_HALF - 1), (last | (_HALF - 1)) + 1
        if self._counts.size:
            base, limit = min(base, self._base), max(limit, end)
        counts = np.zeros(limit - base, np.int64)
        counts[self._base - base : end - base] = self._counts
        self._base, self._counts = base, counts


def _sum(values: Integers, high: int) -> int:
    """Return the exact sum, also where it is beyond an int64."""
    if high * values.size < 1 << 63:
        return int(values.sum())
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())
