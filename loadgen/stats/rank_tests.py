"""Two small samples against each other by their ranks alone: no law is assumed, and small means exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from loadgen.stats.estimation import normal_quantile

Floats = npt.NDArray[np.float64]

MOST_EXACT: Final = 100
"""Values in both samples together up to which the null distribution is counted out; above, it is taken as normal."""


class MedianShift(NamedTuple):
    """How far one sample lies from another, and the interval that holds the truth with `confidence`.

    `low` and `high` are None where the samples are too small for any interval of the confidence asked for.
    """

    value: float
    low: float | None
    high: float | None
    confidence: float


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p of the Mann-Whitney (Wilcoxon rank sum) test that `a` and `b` are of one law.

    p = P(|W - E W| >= |w - E W|) for the rank sum W of the smaller sample, over all ways to deal the same (tied) ranks
    out: exact, also with ties, by the shift algorithm of Streitberg & Roehmel 1986; above MOST_EXACT values normal with
    the tie and continuity corrections of Lehmann 1975, Nonparametrics, 1.4. Raises ValueError for an empty sample.
    """
    if not a or not b:
        raise ValueError("a sample is empty, so there is nothing to test")
    if len(a) > len(b):
        a, b = b, a
    ranks = _doubled_midranks(np.asarray([*a, *b], np.float64))
    size, total = len(a), ranks.size
    away = abs(int(ranks[:size].sum()) - size * (total + 1))  # of twice the rank sum, from twice its mean
    if total <= MOST_EXACT:
        shares = _null(np.sort(ranks), size)
        sums = np.arange(shares.size)
        return min(1.0, float(shares[np.abs(sums - size * (total + 1)) >= away].sum()))
    variance = size * float(((ranks - (total + 1)) ** 2).sum()) / total * (total - size) / (total - 1)
    if variance == 0:
        return 1.0
    return math.erfc(max(0.0, away - 1) / math.sqrt(2 * variance))


def _doubled_midranks(values: Floats) -> npt.NDArray[np.int64]:
    """Return twice the rank of each value, equal ones with the mean of their ranks, so that all are integers."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    doubled: npt.NDArray[np.int64] = (2 * ends - counts + 1)[place]
    return doubled


def _null(ranks: npt.NDArray[np.int64], size: int) -> Floats:
    """Return the chance of each sum of `size` of the ranks (index: the sum), all choices being equally likely.

    ways[k][s] is in how many ways k of the ranks so far have the sum s; each rank either shifts it or not.
    """
    ways = np.zeros((size + 1, int(ranks[-size:].sum()) + 1))
    ways[0, 0] = 1.0
    for done, rank in enumerate(ranks.tolist()):
        for k in range(min(size, done + 1), 0, -1):
            ways[k, rank:] += ways[k - 1, : ways.shape[1] - rank]
    shares: Floats = ways[size] / ways[size].sum()
    return shares


def hodges_lehmann(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> MedianShift:
    """Return the median of all differences b_j - a_i, and its distribution-free interval.

    The interval is between the k-th smallest and the k-th largest difference, with the largest k that the Mann-Whitney
    law allows; it has at least `confidence`, and says how much. Source: Hodges & Lehmann 1963; Hollander, Wolfe &
    Chicken 2014, 4.2 and 4.3. Values may be infinite; equal ones differ by 0. Raises ValueError for an empty sample.
    """
    if not len(a) or not len(b):
        raise ValueError("a sample is empty, so there is no difference")
    with np.errstate(invalid="ignore"):
        differences = np.subtract.outer(np.asarray(b, np.float64), np.asarray(a, np.float64)).ravel()
    differences = np.sort(np.where(np.isnan(differences), 0.0, differences))
    value = float(np.median(differences))
    k, reached = _depth(len(a), len(b), (1 - confidence) / 2)
    if k == 0:
        return MedianShift(value, None, None, 0.0)
    return MedianShift(value, float(differences[k - 1]), float(differences[-k]), reached)


def _depth(n: int, m: int, tail: float) -> tuple[int, float]:
    """Return the largest k with P(U <= k - 1) <= tail, and 1 - 2 P(U <= k - 1); (0, 0) if there is none."""
    if n + m > MOST_EXACT:
        z = normal_quantile(1 - tail)
        k = math.floor(n * m / 2 - z * math.sqrt(n * m * (n + m + 1) / 12))
        return max(0, k), 1 - 2 * tail
    size = min(n, m)
    shares = _null(2 * np.arange(1, n + m + 1), size)
    below = np.cumsum(shares[size * (size + 1) :: 2])  # by U = W - its least value; sums of doubled ranks are even
    k = int(np.searchsorted(below, tail * (1 + 1e-9), side="right"))
    return (k, float(1 - 2 * below[k - 1])) if k else (0, 0.0)


def ratio(base: Sequence[float], new: Sequence[float], confidence: float = 0.95) -> MedianShift:
    """Return the Hodges-Lehmann estimate of new / base: the shift of the logarithms, turned back.

    Against 0 anything is infinitely more, but 0 itself, which is as much. Raises ValueError for an empty sample or a
    negative value.
    """
    if min(*base, *new, 1.0) < 0:
        raise ValueError("a ratio needs values that are not negative")
    before, after = ([math.log(x) if x else -math.inf for x in side] for side in (base, new))
    shift = hodges_lehmann(before, after, confidence)
    low, high = (None if end is None else math.exp(end) for end in (shift.low, shift.high))
    return MedianShift(math.exp(shift.value), low, high, shift.confidence)


def holm(ps: Sequence[float]) -> list[float]:
    """Return each p, adjusted so that all that are <= alpha are wrong together in at most a share alpha of families.

    Source: Holm 1979: the i-th smallest of m (from 0) times m - i, never below the one before it, at most 1.
    """
    adjusted, highest = [0.0] * len(ps), 0.0
    for i, place in enumerate(sorted(range(len(ps)), key=lambda j: ps[j])):
        highest = max(highest, min(1.0, (len(ps) - i) * ps[place]))
        adjusted[place] = highest
    return adjusted


def least_p(n: int, m: int) -> float:
    """Return the smallest p that n + m values without ties can have: two of all ways to deal out their ranks."""
    return min(1.0, 2 / math.comb(n + m, n))


def needed_runs(alpha: float = 0.05, family: int = 1) -> int:
    """Return the least n with which n + n values can be significant at `alpha`, adjusted for `family` tests.

    4 for 0.05 and 5 for 0.01. Raises ValueError unless 0 < alpha < 1 and family >= 1.
    """
    if not 0 < alpha < 1 or family < 1:
        raise ValueError(f"alpha is between 0 and 1 and a family has a test, not {alpha} and {family}")
    n = 1
    while family * least_p(n, n) > alpha:
        n += 1
    return n


def missing_runs(n: int, m: int, alpha: float = 0.05, family: int = 1) -> int:
    """Return how many more values each sample needs to be significant at `alpha` in a family of tests; 0 if none."""
    more = 0
    while family * least_p(n + more, m + more) > alpha:
        more += 1
    return more
