"""Statistics over repeated runs: the sample is a run, the one honest unit where requests depend on each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from loadgen.capacity.curves import grouped
from loadgen.capacity.model import Across, Cell, Value
from loadgen.slo import Slo, parse
from loadgen.stats import student_t_quantile

CONFIDENCE: Final = 0.95
HEADLINE: Final = ("ttft.p50", "ttft.p99", "itl.p99", "tpot.p99", "e2e.p99")
RATES: Final = ("completed", "output_tokens", "goodput")


def across(cells: Sequence[Cell]) -> tuple[Across, ...]:
    """Summarise repetitions: each gate first, then headline percentiles and rates, of each group that was repeated."""
    found: list[Across] = []
    for key, group in grouped(cells).items():
        for load in dict.fromkeys(cell.load for cell in group):
            runs = [cell for cell in group if cell.load == load]
            if len(runs) > 1 and "run" in runs[0].coordinates:
                found += _of(runs, {**dict(key), **{axis: value for axis, value in runs[0].coordinates.items()
                                                    if axis in ("rate", "concurrency")}})
    return tuple(found)


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
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


def _of(runs: Sequence[Cell], at: Mapping[str, Value]) -> list[Across]:
    gates = dict.fromkeys(gate.slo for cell in runs for gate in cell.gates)
    found = [_gate(runs, slo, at) for slo in gates]
    seen = {one.name for one in found if one}
    rest = [_one([cell.percentile(*name.split(".")) for cell in runs], name, "ns", at) for name in HEADLINE]
    rest += [_one([cell.rates.get(name) for cell in runs], name, "per_second", at) for name in RATES]
    return [*(one for one in found if one), *(one for one in rest if one and one.name not in seen)]


def _gate(runs: Sequence[Cell], text: str, at: Mapping[str, Value]) -> Across | None:
    slo = parse(text)
    name = f"{slo.metric}.{slo.statistic}" if slo.statistic else slo.metric
    values = [gate.seen for cell in runs for gate in cell.gates if gate.slo == text and gate.seen is not None]
    if not values:
        return None
    mean, low, high = interval(values)
    return Across(name, slo.unit, tuple(values), mean, low, high, text, _side(slo, low, high), at)


def _side(slo: Slo, low: float | None, high: float | None) -> bool | None:
    if low is None or high is None:
        return None
    good, bad = (high, low) if slo.wants_less else (low, high)
    if slo.meets(good):
        return True
    return None if slo.meets(bad) else False


def _one(seen: Sequence[float | None], name: str, unit: str, at: Mapping[str, Value]) -> Across | None:
    values = [float(value) for value in seen if value is not None]
    if not values:
        return None
    return Across(name, unit, tuple(values), *interval(values), coordinates=at)
