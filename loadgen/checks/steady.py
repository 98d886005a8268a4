"""Whether the run had a steady state: arrivals against completions, growth in flight and of e2e, Little's law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder import Recorder
from loadgen.stats.estimation import lag1, quantile_interval
from loadgen.stats.histogram import Histogram

SIGMAS: Final = 3
"""How far noise may go: three standard deviations of what steady Poisson traffic does by itself."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One signed number that is 0 in a steady state, and how large noise and tolerance let it be."""

    seen: float
    allowed: float

    @property
    def ok(self) -> bool:
        return abs(self.seen) <= self.allowed


@dataclass(frozen=True, slots=True)
class Steady:
    """What speaks for or against a steady state; a part is None where the window is too short to say."""

    balance: Drift | None = None  # arrivals less completions, as a share of arrivals
    in_flight: Drift | None = None  # growth of the number in flight over the window, in requests
    latency: Drift | None = None  # growth of the median e2e from the first to the last third, as a share
    little: Drift | None = None  # mean in flight against rate x mean time in flight, as a share
    mean_in_flight: float = 0.0
    settling: int = 0  # ns that requests of the first third took

    @property
    def ok(self) -> bool:
        """Whether nothing drifts; Little's law is a row of its own."""
        return all(part is None or part.ok for part in (self.balance, self.in_flight, self.latency))


def steadiness(recorder: Recorder, begin: int, end: int) -> Steady:
    """Judge the window [begin, end] (ns since the start of the schedule).

    What comes before the number in flight can have levelled off, one e2e after the start of the load, is left out where
    a quarter of the window remains. Source of the rules: docs/metrics.md, "Steady state".
    """
    early = _merged(recorder, 0, 3)
    settling = early.percentile(0.9) if early.count else 0
    if end <= begin:
        return Steady(settling=settling)
    level = settling if begin < settling <= end - (end - begin) // 4 else begin
    width = recorder.bins.width
    flight = recorder.bins.in_flight(level, end) / width
    mean = float(flight.mean()) if flight.size else 0.0
    growth = _growth(flight, width, _mean_time(recorder))
    return Steady(_balance(recorder, level, end, mean), growth, _latency(recorder), _little(recorder, begin, end), mean,
                  settling)


def _merged(recorder: Recorder, first: int, last: int) -> Histogram:
    whole = Histogram()
    for part in recorder.sections.histograms("e2e")[first:last]:
        whole.merge(part)
    return whole


def _mean_time(recorder: Recorder) -> float:
    """Return the mean time in flight of the measured requests, in ns."""
    return recorder.measured_residence / recorder.measured.sent if recorder.measured.sent else 0.0


def _balance(recorder: Recorder, begin: int, end: int, mean: float) -> Drift | None:
    """Hold arrivals against completions: 2 %, or the noise of the number in flight at both ends."""
    arrivals = int(recorder.bins.series("arrivals", begin, end).sum())
    completions = int(recorder.bins.series("completions", begin, end).sum())
    if arrivals == 0:
        return None
    return Drift((arrivals - completions) / arrivals, max(0.02, SIGMAS * math.sqrt(2 * mean) / arrivals))


def _growth(flight: npt.NDArray[np.float64], width: int, time: float) -> Drift | None:
    """Fit a line through the number in flight: 10 % of its median, or the noise of a fit through correlated values.

    The growth b n of a line through n values of variance V, of which n / m are independent, has variance 12 V m / n.
    """
    n = flight.size
    if n < 5:
        return None
    place = np.arange(n) - (n - 1) / 2
    slope = float(place @ flight) / float(place @ place)
    rest = flight - flight.mean() - slope * place
    together = min(max(lag1(rest), 0.0), 0.98)
    correlated = max(time / width, (1 + together) / (1 - together))
    variance = max(float(flight.mean()), float(rest @ rest) / n)
    noise = math.sqrt(12 * variance * min(1.0, correlated / n))
    return Drift(slope * n, max(0.1 * float(np.median(flight)), SIGMAS * noise))


def _latency(recorder: Recorder) -> Drift | None:
    """Hold the median e2e of the first three time batches against that of the last three.

    10 % is allowed, and any difference that the intervals or the medians of the single batches don't tell apart.
    """
    early, late = _merged(recorder, 0, 3), _merged(recorder, 7, 10)
    if early.count < 6 or late.count < 6:
        return None
    moved = late.percentile(0.5) / max(1, early.percentile(0.5)) - 1
    sides = []
    for part, first in ((early, 0), (late, 7)):
        low, high = quantile_interval(part, 0.5)
        medians = [one.percentile(0.5) for one in recorder.sections.histograms("e2e")[first : first + 3] if one.count]
        sides.append((min(low, *medians), max(high or part.max, *medians)))
    apart = sides[0][1] < sides[1][0] or sides[1][1] < sides[0][0]
    return Drift(moved, 0.1 if apart else math.inf)


def _little(recorder: Recorder, begin: int, end: int) -> Drift | None:
    """Hold the mean number in flight against rate x mean time in flight: 5 %, or what the window's two ends can do.

    Requests that were in flight at an end are in one side and not in the other: N of them with a remaining time of
    about W / 2 each, and those missing because the load had begun less than W before.
    None below ten times W, where the ends are most of it.
    """
    sent, length, time = recorder.measured.sent, end - begin, _mean_time(recorder)
    flight = recorder.bins.in_flight(begin, end)
    if not sent or not flight.size or time <= 0 or length < 10 * time:
        return None
    expected = recorder.measured_residence / length
    ends = SIGMAS * math.sqrt(2 / expected) * time / length
    ramp = max(0.0, time - begin) ** 2 / (2 * time * length)
    return Drift(float(flight.mean()) / recorder.bins.width / expected - 1, max(0.05, ends + ramp))
