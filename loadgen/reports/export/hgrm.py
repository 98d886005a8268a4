"""A histogram as HdrHistogram's percentile distribution, the text that its plotter and other tools open.

The format is that of AbstractHistogram.outputPercentileDistribution of HdrHistogram (Java); what reads it is
GoogleChartsExample/plotFiles.html of the same repository.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from loadgen.reports.export.moments import deviation
from loadgen.stats.histogram import HIGHEST, Histogram, Integers, highest_in
from loadgen.summary.run_data import RunData
from loadgen.types import MS

_TICKS: Final = 5  # lines for each halving of the distance to 100 %
_SUB_BUCKETS: Final = 2048
_BUCKETS: Final = 1 + math.ceil(math.log2((HIGHEST + 1) / _SUB_BUCKETS))
_UNSAFE: Final = re.compile(r"[^\w.-]")


def render(results: Sequence[RunData]) -> dict[str, str]:
    """Write a file for each metric of each run, named after it; times in ms."""
    several = len(results) > 1
    return {_UNSAFE.sub("_", f"{result.name + '-' if several else ''}{name}.hgrm"):
            distribution(histogram, MS if result.report.metrics[name].unit == "ns" else 1.0)
            for result in results for name, histogram in result.histograms.items()}


def distribution(histogram: Histogram, scale: float) -> str:
    """Write one histogram, values divided by `scale`; the last line has the exact largest value.

    Raises ValueError without values.
    """
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    values, below = _buckets(histogram)
    for part, whole in _levels():
        # A level is reached in the first bucket up to which the share of values is at least it.
        place = int(np.searchsorted(below, -(-part * histogram.count // whole)))
        lines.append(f"{values[place] / scale:12.3f} {part / whole:.12f} {below[place]:10d} "
                     f"{whole / (whole - part):14.2f}")
        if below[place] == histogram.count:
            break
    lines += [f"{histogram.max / scale:12.3f} {1:.12f} {histogram.count:10d}",
              f"#[Mean    = {histogram.mean / scale:12.3f}, StdDeviation   = {deviation(histogram) / scale:12.3f}]",
              f"#[Max     = {histogram.max / scale:12.3f}, Total count    = {histogram.count:12d}]",
              f"#[Buckets = {_BUCKETS:12d}, SubBuckets     = {_SUB_BUCKETS:12d}]"]
    return "\n".join(lines) + "\n"


def _buckets(histogram: Histogram) -> tuple[Integers, Integers]:
    """Return (highest value, values at or below it) of each bucket in use; overflow is one more."""
    buckets, counts = histogram.buckets()
    values = np.minimum(highest_in(buckets), histogram.max)
    if histogram.overflow:
        values, counts = np.append(values, histogram.max), np.append(counts, histogram.overflow)
    return values, np.cumsum(counts)


def _levels() -> Iterator[tuple[int, int]]:
    """Yield the levels as fractions (part, whole): from 0 on, _TICKS steps to each halving of what is left to 1."""
    for halvings in itertools.count(1):
        whole = _TICKS << halvings
        for tick in range(_TICKS):
            yield whole - 2 * _TICKS + tick, whole
