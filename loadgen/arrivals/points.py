"""The arrivals of a law at a steady rate, as points in float ns, which a load shape spreads over time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.arrivals.laws import Law
from loadgen.types import SECOND, UsageError

Points = npt.NDArray[np.float64]

_CHUNK: Final = 1024


def within(law: Law, rate: float, n: int, burstiness: float, rng: np.random.Generator) -> Points:
    """Return the `n` points in the n / rate seconds from 0, sorted, in ns; float64[n].

    Gaps: n + 1 of them divided by their sum, which for exponential ones is Poisson conditioned on n (the order
    statistics of n uniform instants; Cox & Lewis 1966, 2.1). Even points come from their index.
    """
    if law.gaps is None:
        return _even(0, n, rate)
    return _filling(law, n * SECOND / rate, n, burstiness, rng)


def before(law: Law, rate: float, end: int, burstiness: float, rng: np.random.Generator) -> Points:
    """Return the points of the `end` ns from 0; even ones are counted back from the end, which keeps their pace."""
    exact = rate * end / SECOND
    if law.gaps is None:
        return np.maximum(float(end) - np.rint(_even(1, math.floor(exact), rate)[::-1]), 0)
    return _filling(law, float(end), round(exact), burstiness, rng)


def after(law: Law, rate: float, burstiness: float, rng: np.random.Generator) -> Iterator[Points]:
    """Yield the points from 0 on, some 1,000 at a time, without end. Nothing is conditioned: gaps come as drawn."""
    index, begin = 0, 0.0
    while True:
        if law.gaps is None:
            points = _even(index, _CHUNK, rate)
        else:
            gaps = law.gaps(rng, _CHUNK, burstiness)
            points = begin + np.cumsum(gaps) * (SECOND / (law.mean(burstiness) * rate))
        yield points
        index, begin = index + _CHUNK, float(points[-1])


def _even(index: int, n: int, rate: float) -> Points:
    """Return n evenly spaced points from that of an index on."""
    points: Points = np.arange(index, index + n, dtype=np.float64) * SECOND / rate
    return points


def _filling(law: Law, span: float, n: int, burstiness: float, rng: np.random.Generator) -> Points:
    """Return `n` points in [0, span) from n + 1 gaps that are scaled to fill it, cut to whole ns."""
    if n == 0 or law.gaps is None:
        return np.zeros(0, np.float64)
    instants = np.cumsum(law.gaps(rng, n + 1, burstiness))
    total = instants[-1]
    if not total > 0:
        raise UsageError(f"burstiness {burstiness:g} leaves no gap that can be told from 0: write a larger one")
    points: Points = np.floor(np.minimum(instants[:-1] * (span / total), np.nextafter(span, 0)))
    return points
