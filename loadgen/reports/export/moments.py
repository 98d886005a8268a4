"""What formats of other tools ask of a histogram besides percentiles: the standard deviation."""

from __future__ import annotations

import numpy as np

from loadgen.stats.histogram import Histogram, highest_in, lowest_in


def deviation(histogram: Histogram) -> float:
    """Return the standard deviation of the values (of a population: divided by n), in their unit, to 3 digits.

    Each value counts as the middle of its HDR bucket, those beyond the highest bucket as the largest value. Raises
    ValueError without values.
    """
    mean = histogram.mean
    buckets, counts = histogram.buckets()
    middle = (lowest_in(buckets) + highest_in(buckets)) / 2
    squares = float((counts * (middle - mean) ** 2).sum()) + histogram.overflow * (histogram.max - mean) ** 2
    return float(np.sqrt(squares / histogram.count))
