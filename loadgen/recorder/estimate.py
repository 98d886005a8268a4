"""What recorded values say about the truth: percentiles, means and shares with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadgen.recorder.recorder import Recorder
from loadgen.stats.estimation import needed_n, order_statistic_ranks, sectioning_interval, student_t_quantile
from loadgen.stats.histogram import rank
from loadgen.types import SECOND

CONFIDENCE: Final = 0.95
FEWEST_SECTIONS: Final = 5
"""Time batches that must hold values before an interval is made from them: Student's t is vast below that."""


@dataclass(frozen=True, slots=True)
class StatisticEstimate:
    """A statistic of one metric. `value` is None where the sample can't carry it; it is at least `bound` then.

    `low` and `high` are the ends of the interval, `high` None without an upper bound.
    """

    value: float | None
    low: float
    high: float | None
    bound: int | None = None

    @property
    def half_width(self) -> float:
        """Half the interval as a share of the value; infinite where there is no interval."""
        if self.value is None or self.high is None or self.value <= 0:
            return math.inf
        return (self.high - self.low) / 2 / self.value


def percentile(recorder: Recorder, name: str, q: float) -> StatisticEstimate | None:
    """Estimate the q-quantile of a metric; None if nothing was recorded for it.

    Censored requests count as slower than every success, and with what they had reached in lower bounds. The interval
    is the wider of order statistics' and, for metrics kept by time batch, sectioning's.
    """
    values, lower = recorder.metrics.get(name), recorder.at_least.get(name)
    if values is None or values.count == 0:
        return None
    reached = values
    if lower is not None and lower.count:
        reached = values.copy()
        reached.merge(lower)
    position = rank(q, reached.count)
    confidence = recorder.confidence
    low_rank, high_rank = order_statistic_ranks(reached.count, q, confidence)
    low = reached.at_rank(low_rank) if low_rank else 0
    high = values.at_rank(high_rank) if high_rank is not None and high_rank <= values.count else None
    if reached.count < needed_n(q, confidence, two_sided=False):
        return StatisticEstimate(None, low, high, reached.max)
    if position > values.count:
        return StatisticEstimate(None, low, high, reached.at_rank(position))
    value = values.at_rank(position)
    sections = [part.percentile(q) for part in recorder.sections.histograms(name) if part.count]
    if len(sections) >= FEWEST_SECTIONS:
        section_low, section_high = sectioning_interval(sections, value, confidence)
        low, high = min(low, section_low), None if high is None else max(high, section_high)
    return StatisticEstimate(value, low, high)


def mean(recorder: Recorder, name: str) -> StatisticEstimate | None:
    """Estimate the mean of a metric, with the interval of the means of its time batches; None without values."""
    values = recorder.metrics.get(name)
    if values is None or values.count == 0:
        return None
    return _from_sections(values.mean, batch_means(recorder, name), recorder.confidence)


def batch_means(recorder: Recorder, name: str) -> list[float]:
    """Return the mean of each time batch that holds values."""
    return [part.mean for part in recorder.sections.histograms(name) if part.count]


def _from_sections(value: float, sections: Sequence[float], confidence: float) -> StatisticEstimate:
    if len(sections) < FEWEST_SECTIONS:
        return StatisticEstimate(value, 0.0, None)
    half = _half(sections, confidence)
    return StatisticEstimate(value, max(0.0, value - half), value + half)


def _half(sections: Sequence[float], confidence: float) -> float:
    """Return the half-width of the interval of a mean of equal sections (Student's t)."""
    b = len(sections)
    return student_t_quantile((1 + confidence) / 2, b - 1) * float(np.std(sections, ddof=1)) / math.sqrt(b)


def rate(total: int, length: int, series: Sequence[int] | np.ndarray, width: int,
         confidence: float = CONFIDENCE) -> StatisticEstimate:
    """Estimate a rate per second: `total` over `length` ns, with the interval of ten batches of bins of `width` ns."""
    value = total * SECOND / length if length > 0 else 0.0
    if len(series) < 10:
        return StatisticEstimate(value, 0.0, None)
    return _from_sections(value, [float(np.mean(part)) * SECOND / width for part in np.array_split(series, 10)],
                          confidence)


def share(part: int, whole: int, sections: Sequence[tuple[int, int]] = (),
          confidence: float = CONFIDENCE) -> StatisticEstimate | None:
    """Estimate a share: Clopper and Pearson's interval, or that of sections (part, whole) where it is wider.

    None if `whole` is 0.
    """
    if whole == 0:
        return None
    value = part / whole
    low, high = 1 - _upper(whole - part, whole, confidence), _upper(part, whole, confidence)
    shares = [some / all_ for some, all_ in sections if all_]
    if len(shares) >= FEWEST_SECTIONS:
        half = _half(shares, confidence)
        low, high = min(low, max(0.0, value - half)), max(high, min(1.0, value + half))
    return StatisticEstimate(value, low, high)


def _upper(k: int, n: int, confidence: float) -> float:
    """Return the p at which `k` or fewer of `n` have half of 1 - confidence. Source: Clopper & Pearson 1934."""
    tail = (1 - confidence) / 2
    if k == n:
        return 1.0
    if k == 0:
        return float(-np.expm1(math.log(tail) / n))
    low, high = k / n, 1.0
    for _ in range(60):
        p = (low + high) / 2
        low, high = (p, high) if _at_most(k, n, p) > tail else (low, p)
    return high


def _at_most(k: int, n: int, p: float) -> float:
    """Return P(X <= k) of binomial(n, p) for p > k / n: terms fall from k downwards, so few are needed."""
    if p >= 1.0:
        return 0.0
    first = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p)
             + (n - k) * math.log1p(-p))
    below = np.arange(k, max(0, k - 50 - int(12 * math.sqrt(k))), -1, dtype=np.float64)
    ratios = np.log(below / (n - below + 1)) + (math.log1p(-p) - math.log(p))
    return math.exp(first) * (1.0 + float(np.exp(np.cumsum(ratios)).sum()))
