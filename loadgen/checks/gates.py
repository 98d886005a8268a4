"""Deciding objectives: each on the end of its interval, or not at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from loadgen.metrics import find, unstreamed_absent
from loadgen.outcomes.report import SloResult
from loadgen.recorder import Recorder
from loadgen.recorder.estimate import StatisticEstimate, mean, percentile, rate, share
from loadgen.slo import Slo
from loadgen.stats.estimation import needed_n
from loadgen.types import SECOND

MOST: Final = 10**9
"""A count that stands for "no number of requests will do"."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A Gate with what the checks need to know of it."""

    gate: SloResult
    slo: Slo
    count: int = 0  # values behind it
    needed: int = 0  # values that give it an interval at all
    half_width: float = math.inf
    likely: bool = False  # whether the single number, without its interval, is on the right side
    interval: tuple[float, float | None] | None = None

    @property
    def has_interval(self) -> bool:
        """Whether there are values enough for an interval that could meet the objective."""
        return self.interval is not None and self.interval[1] is not None and self.count >= self.needed


def decide_all(recorder: Recorder, begin: int, end: int, stream: bool = True) -> tuple[Decision, ...]:
    """Decide every gate of the recorder over the window [begin, end]."""
    return tuple(_decide(recorder, slo, begin, end, stream) for slo in recorder.gates)


def _decide(recorder: Recorder, slo: Slo, begin: int, end: int, stream: bool) -> Decision:
    estimate, count = _estimate(recorder, slo, begin, end)
    if estimate is None or (not stream and slo.metric in unstreamed_absent()):
        return Decision(SloResult(slo.text, None, None, None, slo.unit), slo)
    ok = _side(slo, estimate)
    bound = estimate.high if slo.wants_less else estimate.low
    least = _least(recorder, slo)
    wanted = 0 if ok is not None else _as_requests(recorder, slo, _wanted(slo, estimate, count, least), count)
    gate = SloResult(slo.text, ok, estimate.value, bound, slo.unit, wanted)
    return Decision(gate, slo, count, least, estimate.half_width, slo.meets(_plain(recorder, slo, estimate)),
                    (estimate.low, estimate.high))


def _side(slo: Slo, estimate: StatisticEstimate) -> bool | None:
    """Return True if the whole interval meets the objective, False if none of it does, else None."""
    good, bad = (estimate.high, estimate.low) if slo.wants_less else (estimate.low, estimate.high)
    if good is not None and slo.meets(good):
        return True
    return False if bad is not None and not slo.meets(bad) else None


def _estimate(recorder: Recorder, slo: Slo, begin: int, end: int) -> tuple[StatisticEstimate | None, int]:
    """Return the estimate that an objective speaks of and how many values are behind it."""
    tally = recorder.measured
    if slo.quantile is not None or slo.statistic == "mean":
        values = recorder.metrics.get(slo.metric)
        count = values.count if values else 0
        if slo.quantile is not None:
            return percentile(recorder, slo.metric, slo.quantile), count
        return mean(recorder, slo.metric), count
    if slo.metric == "errors":
        return share(tally.failed, tally.offered, (), recorder.confidence), tally.offered
    if slo.metric == "goodput":
        by_tenth = recorder.sections.good().tolist()
        good = share(sum(by_tenth), tally.offered,
                     list(zip(by_tenth, recorder.sections.offered().tolist(), strict=True)), recorder.confidence)
        offered = tally.offered * SECOND / (end - begin) if end > begin else 0.0
        return good and StatisticEstimate((good.value or 0.0) * offered, good.low * offered,
                                 None if good.high is None else good.high * offered), tally.offered
    series = recorder.bins.series(slo.metric, begin, end)
    length = series.size * recorder.bins.width
    return rate(int(series.sum()), length, series, recorder.bins.width, recorder.confidence), tally.offered


def _plain(recorder: Recorder, slo: Slo, estimate: StatisticEstimate) -> float:
    """Return the sample's own number, also where it is too small a sample to print it."""
    if estimate.value is not None:
        return estimate.value
    return recorder.metrics[slo.metric].percentile(slo.quantile or 0.5)


def _least(recorder: Recorder, slo: Slo) -> int:
    """Return how many values give the objective an interval that could meet it."""
    if slo.quantile is not None:
        return needed_n(slo.quantile, recorder.confidence)
    if slo.unit == "share":
        return needed_n(1 - slo.limit, recorder.confidence) if slo.limit > 0 else MOST
    return 0


def _wanted(slo: Slo, estimate: StatisticEstimate, count: int, least: int) -> int:
    """Return how many values would decide an undecided objective, if its number stays and noise falls as 1/sqrt(n)."""
    if estimate.value is None or estimate.high is None:
        return max(least, 2 * count if count >= least else 0)
    if slo.unit == "share" and estimate.value == 0:
        return least
    half = (estimate.high - estimate.value) if slo.wants_less == slo.meets(estimate.value) else (
        estimate.value - estimate.low)
    distance = abs(estimate.value - slo.limit)
    if distance == 0:
        return MOST
    return min(MOST, max(least, count + 1, math.ceil(count * (half / distance) ** 2)))


def _as_requests(recorder: Recorder, slo: Slo, values: int, count: int) -> int:
    """Turn a number of values into one of requests, for metrics with many values a request."""
    offered = recorder.measured.offered
    metric = find(slo.metric)
    if metric and metric.pooled and count and values < MOST:
        return max(1, math.ceil(values * offered / count))
    return values
