"""The time axis that the charts of a run share: bins of equal width, as few as can be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder.bins import Bins
from loadgen.types import SECOND

Integers = npt.NDArray[np.int64]

MOST: Final = 400
"""Bins of an axis at most: more are finer than a screen shows."""
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Axis:
    """`count` bins of `width` ns; the first begins at `start`, ns since the start of the schedule."""

    start: int
    width: int
    count: int

    @classmethod
    def over(cls, bins: Bins, end: int) -> Axis:
        """Return the axis of a run up to `end`: whole bins of `bins` taken together, each at least half a second."""
        span = max(end - bins.origin, 1)
        least = max(span // MOST, SECOND // 2 if span < 20 * SECOND else SECOND)
        width = bins.width
        while width < least:
            width = next(bins.width * step * 10**power for power in range(30) for step in _STEPS
                         if bins.width * step * 10**power > width)
        return cls(bins.origin, width, -(-span // width))

    def of(self, instants: Integers) -> Integers:
        """Return the bin of each instant; what lies outside is in the first or the last one."""
        return np.clip((instants - self.start) // self.width, 0, self.count - 1)

    def coarser(self, factor: int) -> Axis:
        """Return the axis with `factor` bins made one; the last one may end later than this axis."""
        return Axis(self.start, self.width * factor, -(-self.count // factor))

    @property
    def edges(self) -> Integers:
        """Where bins begin, and where the last one ends; int64[count + 1]."""
        return self.start + self.width * np.arange(self.count + 1)


def together(values: npt.NDArray[np.generic], factor: int) -> Integers:
    """Add up each `factor` neighbours along the first dimension; the last sum may be of fewer."""
    starts = np.arange(0, values.shape[0], factor)
    sums: Integers = np.add.reduceat(values, starts, axis=0, dtype=np.int64)
    return sums
