"""Statistics over repeated runs: the sample is a run, the one honest unit where requests depend on each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from loadgen.capacity.curves import grouped
from loadgen.capacity.model import Across, SweepCell, Value
from loadgen.metrics import pairs
from loadgen.recorder.estimate import share
from loadgen.slo import Slo, parse
from loadgen.stats.estimation import student_t_quantile

CONFIDENCE: Final = 0.95
RATES: Final = ("completed", "output_tokens", "goodput")


Interval = tuple[float, float | None, float | None]
"""Mean, low and high."""


def across(cells: Sequence[SweepCell]) -> tuple[Across, ...]:
    """Summarise repetitions: each gate first, then headline percentiles and rates, of each group that was repeated."""
    found: list[Across] = []
    for key, group in grouped(cells).items():
        for load in dict.fromkeys(cell.load for cell in group):
            runs = [cell for cell in group if cell.load == load]
            if len(runs) > 1 and "run" in runs[0].coordinates:
                found += _of(runs, {**dict(key), **{axis: value for axis, value in runs[0].coordinates.items()
                                                    if axis in ("rate", "concurrency")}})
    return tuple(found)


def interval(values: Sequence[float]) -> Interval:
    """Return (mean, low, high): the mean of runs and its 95 % interval by Student's t; no interval below two values.

    mean -+ t(n-1) s / sqrt(n). Source: any textbook; that the run is the unit: Kalibera & Jones 2013.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, None, None
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = student_t_quantile((1 + CONFIDENCE) / 2, n - 1) * spread / math.sqrt(n)
    return mean, mean - half, mean + half


def _of(runs: Sequence[SweepCell], at: Mapping[str, Value]) -> list[Across]:
    gates = dict.fromkeys(gate.slo for cell in runs for gate in cell.gates)
    found = [_gate(runs, slo, at) for slo in gates]
    seen = {one.name for one in found}
    statistics = ("ttft.p50", *(f"{metric.name}.p99" for metric, _ in pairs()))
    rest = [_one([cell.percentile(*name.split(".")) for cell in runs], name, "ns", at) for name in statistics]
    rest += [_one([cell.rates.get(name) for cell in runs], name, "per_second", at) for name in RATES]
    return [*found, *(one for one in rest if one and one.name not in seen)]


def _gate(runs: Sequence[SweepCell], text: str, at: Mapping[str, Value]) -> Across:
    """Decide an objective over all runs; without a value of each only if each alone misses it."""
    slo = parse(text)
    name = f"{slo.metric}.{slo.statistic}" if slo.statistic else slo.metric
    gates = [gate for cell in runs for gate in cell.gates if gate.slo == text]
    values = tuple(gate.seen for gate in gates if gate.seen is not None)
    missing = len(runs) - len(values)
    if missing:
        ok = False if len(gates) == len(runs) and all(gate.ok is False for gate in gates) else None
        mean = interval(values)[0] if values else None
        return Across(name, slo.unit, values, mean, None, None, text, ok, at, missing)
    whole, low, high = _pooled(runs, slo, interval(values))
    return Across(name, slo.unit, values, whole, low, high, text, _side(slo, low, high), at)


def _pooled(runs: Sequence[SweepCell], slo: Slo, of_runs: Interval) -> Interval:
    """Widen the interval of a share to what the requests of all runs together tell of it.

    Runs that all count the same, no failure above all, have no spread, which proves nothing: 3 runs of 100 requests
    without a failure leave 1.2 % possible. Clopper and Pearson's interval takes requests for independent, which that of
    the runs does not: the wider one counts. Goodput is a share of the rate that is offered.
    """
    mean, low, high = of_runs
    offered = sum(cell.requests.get("offered", 0) for cell in runs)
    if low is None or high is None or not offered or slo.metric not in ("errors", "goodput"):
        return of_runs
    if slo.metric == "errors":
        part, scale = float(sum(cell.requests.get("failed", 0) for cell in runs)), 1.0
    else:
        part = math.fsum(_good(cell) for cell in runs)
        scale = math.fsum(cell.rates.get("offered", 0.0) for cell in runs) / len(runs)
    pooled = share(min(offered, round(part)), offered)
    if pooled is None or pooled.high is None:
        return of_runs
    return mean, min(low, scale * pooled.low), max(high, scale * pooled.high)


def _good(cell: SweepCell) -> float:
    """Return how many requests of a run met every objective."""
    offered = cell.rates.get("offered", 0.0)
    return cell.requests.get("offered", 0) * cell.rates.get("goodput", 0.0) / offered if offered else 0.0


def _side(slo: Slo, low: float | None, high: float | None) -> bool | None:
    if low is None or high is None:
        return None
    good, bad = (high, low) if slo.wants_less else (low, high)
    if slo.meets(good):
        return True
    return None if slo.meets(bad) else False


def _one(seen: Sequence[float | None], name: str, unit: str, at: Mapping[str, Value]) -> Across | None:
    """Summarise a statistic that every run has; where some lack it, the others are no sample."""
    values = [float(value) for value in seen if value is not None]
    if len(values) < len(seen):
        return None
    return Across(name, unit, tuple(values), *interval(values), coordinates=at)
