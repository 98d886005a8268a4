"""Statistics as pure functions of arrays and counts; each names the source of its formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from loadgen.stats.histogram import Histogram

Values = Sequence[float] | npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def needed_n(p: float, confidence: float = 0.95, two_sided: bool = True) -> int:
    """Return the least number of values that gives the p-quantile an upper bound (two-sided: an interval).

    One-sided, the largest of n values is such a bound when p^n <= 1 - confidence; two-sided, each side has half of
    that, and the smallest value is the lower bound. Source: Wilks 1941; David & Nagaraja, Order Statistics, 7.1.
    Raises ValueError unless p and confidence are inside (0, 1).
    """
    _check_share(p)
    _check_share(confidence)
    if two_sided:
        exact = math.log((1 - confidence) / 2) / math.log(max(p, 1 - p))
    else:
        exact = math.log1p(-confidence) / math.log(p)
    return max(1, math.ceil(exact - 1e-9))  # a whole number may come out a last bit too large


def order_statistic_ranks(n: int, p: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """Return the ranks (from 1) of the values between which the p-quantile is, whatever the distribution.

    A side is None where `n` values give it no bound. The ranks are quantiles of binomial(n, p), each tail with half
    of 1 - confidence, so that coverage is at least `confidence` for independent values.
    Source: David & Nagaraja, Order Statistics, 7.1. Raises ValueError unless n >= 1, 0 < p < 1, 0 < confidence < 1.
    """
    _check_share(p)
    _check_share(confidence)
    if n < 1:
        raise ValueError("no values, so no ranks")
    first, cumulative = _binomial_cdf(n, p)
    tail = (1 - confidence) / 2
    low = first + int(np.searchsorted(cumulative, tail, side="right"))
    # From the right end, so that a small upper tail keeps its digits: the first k with P(X > k) <= tail.
    above = np.append(np.cumsum(np.diff(cumulative, prepend=0.0)[::-1])[::-1][1:], 0.0)
    high = first + int(np.argmax(above <= tail)) + 1
    return (low if low >= 1 else None), (high if high <= n else None)


def _binomial_cdf(n: int, p: float) -> tuple[int, Floats]:
    """Return (first, P(X <= first + i)) of binomial(n, p), over all k that are not less likely than about 1e-16.

    The probabilities are built from the ratio of neighbours, P(k) / P(k-1) = (n-k+1) p / (k (1-p)), summed as
    logarithms and scaled to a sum of 1: no factorial, hence no loss of digits for a large n.
    """
    spread = 9 * math.sqrt(n * p * (1 - p)) + 40
    first = max(0, math.floor(n * p - spread))
    last = min(n, math.ceil(n * p + spread))
    k = np.arange(first + 1, last + 1, dtype=np.float64)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - k + 1) / k) + (math.log(p) - math.log1p(-p)))])
    shares = np.exp(logs - logs.max())
    cumulative: Floats = np.cumsum(shares / shares.sum())
    return first, cumulative


def quantile_interval(histogram: Histogram, p: float, confidence: float = 0.95) -> tuple[int, int | None]:
    """Return (low, high) around the p-quantile, from counts alone, for independent values of any distribution.

    `high` is None where there are too few values for an upper bound, `low` is 0 where there are too few for a lower
    one. Source: as order_statistic_ranks. Raises ValueError on an empty histogram.
    """
    low, high = order_statistic_ranks(histogram.count, p, confidence)
    return (histogram.at_rank(low) if low else 0), (histogram.at_rank(high) if high else None)


def sectioning_interval(sections: Values, overall: float, confidence: float = 0.95) -> tuple[int, int]:
    """Return (low, high) around `overall`, a quantile of all values, from the same quantile of each time section.

    overall -+ t(b-1) S / sqrt(b), with S^2 = sum (section - overall)^2 / (b-1): it holds for dependent values if the
    sections are long. Rounded outwards; low is never negative. Source: Asmussen & Glynn 2007, III.5a; Nakayama 2014.
    Raises ValueError with fewer than two sections.
    """
    b = len(sections)
    if b < 2:
        raise ValueError(f"sectioning needs two sections or more, not {b}")
    spread = math.sqrt(math.fsum((float(q) - overall) ** 2 for q in sections) / (b - 1))
    half = student_t_quantile((1 + confidence) / 2, b - 1) * spread / math.sqrt(b)
    return max(0, math.floor(overall - half)), math.ceil(overall + half)


def look_confidence(k: int, confidence: float = 0.95) -> float:
    """Return the confidence of the k-th look (from 0) at a sample that grows: 1 - alpha / ((k + 1)(k + 2)).

    The parts add up to alpha = 1 - confidence over all looks, so that intervals hold at whichever look one stops.
    Source: Bonferroni over the telescoping sum of 1 / ((k + 1)(k + 2)). Raises ValueError for a negative k.
    """
    _check_share(confidence)
    if k < 0:
        raise ValueError(f"looks count from 0, not {k}")
    return 1 - (1 - confidence) / ((k + 1) * (k + 2))


def relative_half_width(low: float, high: float | None, value: float) -> float:
    """Return (high - low) / 2 as a share of `value`; infinite without an upper bound or for a value of 0."""
    if high is None or value <= 0:
        return math.inf
    return (high - low) / 2 / value


def normal_quantile(p: float) -> float:
    """Return the p-quantile of the standard normal law. Source: Wichura 1988, AS 241, in the standard library."""
    _check_share(p)
    return NormalDist().inv_cdf(p)


def student_t_quantile(p: float, df: int) -> float:
    """Return the p-quantile of Student's t law with `df` degrees of freedom, by bisection of its distribution.

    Source: Abramowitz & Stegun 26.7.3 and 26.7.4; above 1,000 degrees the expansion 26.7.5.
    Raises ValueError unless 0 < p < 1 and df >= 1.
    """
    _check_share(p)
    if df < 1:
        raise ValueError(f"degrees of freedom are 1 or more, not {df}")
    if p < 0.5:
        return -student_t_quantile(1 - p, df)
    if df > 1000:
        x = normal_quantile(p)
        return x + (x**3 + x) / (4 * df) + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * df**2)
    low, high = 0.0, math.pi / 2
    for _ in range(64):  # every bit of the angle atan(t / sqrt(df))
        middle = (low + high) / 2
        low, high = (middle, high) if _student_t_centre(middle, df) < 2 * p - 1 else (low, middle)
    return math.tan(low) * math.sqrt(df)


def _student_t_centre(angle: float, df: int) -> float:
    """Return P(|T| < t) for angle = atan(t / sqrt(df)): Abramowitz & Stegun 26.7.3 (odd df) and 26.7.4 (even df)."""
    sine, squared = math.sin(angle), math.cos(angle) ** 2
    odd = df % 2
    term = math.cos(angle) if odd else 1.0
    series = term if df > 1 else 0.0
    for j in range(2 + odd, df - 1, 2):
        term *= squared * (j - 1) / j
        series += term
    return (angle + sine * series) * 2 / math.pi if odd else sine * series


def lag1(values: Values) -> float:
    """Return the lag-1 autocorrelation; 0 for fewer than three values or equal ones, where none can be seen.

    sum (x_i - m)(x_i+1 - m) / sum (x_i - m)^2. Source: Box & Jenkins, Time Series Analysis, 2.1.5.
    """
    x = np.asarray(values, np.float64)
    if x.size < 3:
        return 0.0
    x = x - x.mean()
    total = float(x @ x)
    return float(x[:-1] @ x[1:]) / total if total > 0 else 0.0


def batch_means(values: Values, batches: int) -> Floats:
    """Return the means of `batches` consecutive batches of near-equal size.

    Raises ValueError with fewer values than batches.
    """
    x = np.asarray(values, np.float64)
    if not 1 <= batches <= x.size:
        raise ValueError(f"{x.size} values do not make {batches} batches")
    return np.asarray([part.mean() for part in np.array_split(x, batches)], np.float64)


def mser(values: Values, batch: int = 5) -> int:
    """Return how many leading values to leave out as warm-up, a multiple of `batch` and at most half of them.

    The cut d minimises sum_(i >= d) (x_i - mean)^2 / (n - d)^2 over means of `batch` values (MSER-5); an answer of
    about half says that no steady part was found. Source: White 1997; White, Cobb & Spratt 2000.
    """
    count = len(values) // batch
    if count < 2:
        return 0
    x = np.asarray(values, np.float64)[: count * batch].reshape(count, batch).mean(axis=1)
    x = x - x.mean()  # keeps digits in the difference below
    left = np.arange(count, 0, -1, dtype=np.float64)
    sums, squares = np.cumsum(x[::-1])[::-1], np.cumsum((x * x)[::-1])[::-1]
    error = np.maximum(squares - sums * sums / left, 0.0) / (left * left)
    return int(np.argmin(error[: count // 2 + 1])) * batch


def ks_uniform(values: Values, low: float, high: float) -> float:
    """Return the Kolmogorov-Smirnov distance of `values` from the uniform law on [low, high]."""
    x = np.asarray(values, np.float64)
    return _ks(np.clip((x - low) / (high - low), 0.0, 1.0))


def ks_exponential(gaps: Values, mean: float) -> float:
    """Return the Kolmogorov-Smirnov distance of `gaps` from the exponential law with that mean."""
    return _ks(-np.expm1(-np.maximum(np.asarray(gaps, np.float64), 0.0) / mean))


def _ks(shares: Floats) -> float:
    n = shares.size
    if n == 0:
        raise ValueError("no values, so no distance")
    ordered = np.sort(shares)
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def ks_critical(n: int) -> float:
    """Return the distance above which `n` values deny their law at 5 %. Source: Smirnov 1948, 1.358 / sqrt(n)."""
    return 1.358 / math.sqrt(n)


def index_of_dispersion(offsets: Values, window: int) -> float:
    """Return variance / mean of the counts in consecutive windows of `window` ns from 0: 1 for Poisson arrivals.

    The last, broken window is left out. Source: Cox & Lewis 1966, 4.4.
    Raises ValueError with fewer than two whole windows or no arrivals in them.
    """
    x = np.asarray(offsets, np.int64)
    whole = int(x.max()) // window if x.size else 0
    if whole < 2:
        raise ValueError(f"dispersion needs two whole windows or more, not {whole}")
    counts = np.bincount(x[x < whole * window] // window, minlength=whole)
    if not counts.any():
        raise ValueError("no arrivals, so no dispersion")
    return float(counts.var(ddof=1) / counts.mean())


def _check_share(p: float) -> None:
    if not 0 < p < 1:
        raise ValueError(f"a share strictly between 0 and 1 is needed, not {p}")
