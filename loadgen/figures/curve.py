"""A metric against its percentile, each with its interval, at shares that a log(1 - p) axis spaces evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.metrics import names
from loadgen.recorder import Recorder
from loadgen.recorder.estimate import percentile
from loadgen.types import ABSENT

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

A_DECADE: Final = 12
"""Points for each tenfold 1 / (1 - p)."""
_NAMED: Final = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)


@dataclass(frozen=True, slots=True)
class PercentileCurve:
    """Percentiles of one metric over `count` values; ns, int64[n] each, ABSENT where there is none.

    `values` is what the sample carries; above it only `bounds` are known, which the truth is at least.
    `low` and `high` are the 95 % interval.
    """

    metric: str
    count: int
    shares: Floats
    values: Integers
    bounds: Integers
    low: Integers
    high: Integers


def curves(recorder: Recorder, stream: bool = True) -> tuple[PercentileCurve, ...]:
    """Return the curve of each metric that has values; without `stream` those of whole requests alone."""
    found = [curve(recorder, one) for one in names(lambda one: one.headline and (stream or not one.streamed))]
    return tuple(one for one in found if one)


def curve(recorder: Recorder, metric: str) -> PercentileCurve | None:
    """Return the curve of a metric, up to the share that its largest value has; None without values."""
    histogram = recorder.metrics.get(metric)
    if histogram is None or not histogram.count:
        return None
    shares = _shares(histogram.count)
    points = np.full((4, len(shares)), ABSENT, np.int64)
    for i, share in enumerate(shares):
        estimate = percentile(recorder, metric, share)
        if estimate is not None:
            cells = (estimate.value, estimate.bound, estimate.low, estimate.high)
            points[:, i] = [ABSENT if cell is None else int(cell) for cell in cells]
    values, bounds, low, high = points
    # What is still running counts as slower than every success, so a bound is never below what comes before it.
    bounds = np.where(bounds == ABSENT, ABSENT, np.maximum.accumulate(np.maximum(values, bounds)))
    return PercentileCurve(metric, histogram.count, np.asarray(shares), values, bounds, low, high)


def _shares(count: int) -> list[float]:
    """Return shares from 5 % to 1 - 1 / count, those that have a name among them."""
    last = 1 - 1 / count
    steps = np.arange(0, np.log10(count) * A_DECADE)
    even = np.round(1 - 10 ** (-steps / A_DECADE), 9).tolist()
    return sorted({p for p in (0.05, *even, *_NAMED) if 0.05 <= p <= last} | {max(last, 0.05)})
