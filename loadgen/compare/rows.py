"""The rows of a comparison: which statistics, their values on both sides, and what their difference is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Final

from loadgen.compare.gates import RegressionGate
from loadgen.compare.measured import CONFIDENCE, Measured
from loadgen.outcomes.comparison import ComparisonRow, Interval, Verdict
from loadgen.outcomes.report import PERCENTILES
from loadgen.slo import RATES, read_statistic
from loadgen.stats import rank_tests
from loadgen.stats.estimation import order_statistic_ranks
from loadgen.types import UsageError

OPEN_LOOP: Final = ("ttft.p50", "ttft.p99", "itl.mean", "itl.p99", "e2e.p50", "e2e.p99")
CLOSED_LOOP: Final = ("ttft.p50", "ttft.p99", "itl.mean", "itl.p99", "e2e.p99", "output_tokens")
"""Rows without --rows: six, because six can be significant together with 5 + 5 runs (Holm, alpha 0.05). The offered
load decides an open loop's throughput, so only a closed loop has it. The pace is itl's mean and not its median: tokens
that were read together move every percentile of the gaps, and leave their sum as it is."""

Bootstrap = Callable[[str, str], Interval | None]
"""Estimates new / base of a metric and a statistic from one run a side."""


def blank(names: Sequence[str], gates: Sequence[RegressionGate], closed: bool) -> list[ComparisonRow]:
    """Return the rows to fill: those that are gated first, then `names` or else the usual ones."""
    rows = {gate.name: ComparisonRow(gate.metric, gate.statistic, gate.unit, gate.better, Interval(None),
                                     Interval(None),
                           gated=True) for gate in gates}
    for name in names or (CLOSED_LOOP if closed else OPEN_LOOP):
        metric, statistic, unit = read_statistic("--rows", name)
        if unit == "share":
            raise UsageError(f"--rows: {name} has no ratio; leave it out")
        if unit == "count":
            raise UsageError(f"--rows: {name} is neither better nor worse when it changes; --fail-on '{name}>3%' or "
                             f"'{name}<-3%' says which")
        rows.setdefault(name, ComparisonRow(metric, statistic, unit,
                                            "more" if metric in RATES and not statistic else "less",
                                  Interval(None), Interval(None)))
    return list(rows.values())


def fill(row: ComparisonRow, base: Sequence[Measured], new: Sequence[Measured],
         bootstrap: Bootstrap | None) -> ComparisonRow:
    """Put the values of both sides into a row, the ratio and, with several runs, the p that stands by itself."""
    sides = [[run.estimate(row.metric, row.statistic) for run in side] for side in (base, new)]
    values = [[None if one.bound else one.value for one in side] for side in sides]
    row = replace(row, base=centre(sides[0]), new=centre(sides[1]), base_runs=tuple(values[0]),
                  new_runs=tuple(values[1]))
    for run, value in zip([*base, *new], [*values[0], *values[1]], strict=True):
        if value is None:
            return replace(row, why=run.lacks(row.metric, row.statistic, PERCENTILES.get(row.statistic)))
    if not any((*values[0], *values[1])):
        return replace(row, why=f"{row.name} is 0 in all runs, so there is no change to tell")
    before, after = ([float(value) for value in side if value is not None] for side in values)
    if bootstrap is not None:
        return replace(row, ratio=bootstrap(row.metric, row.statistic), why="one run a side")
    shift = rank_tests.ratio(before, after, CONFIDENCE)
    return replace(row, ratio=_finite(shift), p=rank_tests.mann_whitney(before, after))


def _finite(shift: rank_tests.MedianShift) -> Interval:
    """Return a ratio with None for what is infinite, since the base is 0 there."""
    value, low, high = (None if part == math.inf else part for part in shift[:3])
    return Interval(value, low, high, shift.confidence)


def centre(estimates: Sequence[Interval]) -> Interval:
    """Return the median of the runs' values with an interval for it; of one run its own value and interval.

    From 6 runs on the interval has 95 %; below, it is the range of the runs, which holds the median with
    1 - 2^(1 - n). Source: order statistics, David & Nagaraja 7.1. Where a run has only a bound, so has the side; where
    one has nothing, the side has nothing.
    """
    if len(estimates) == 1:
        return estimates[0]
    values = sorted(one.value for one in estimates if one.value is not None)
    if len(values) < len(estimates) or not values:
        return Interval(None)
    if any(one.bound for one in estimates):
        return Interval(min(values), bound=True)
    n = len(values)
    low, high = order_statistic_ranks(n, 0.5, CONFIDENCE)
    low, high = low or 1, high or n
    inside = sum(math.comb(n, k) for k in range(low, high)) / 2**n
    return Interval(float(median(values)), float(values[low - 1]), float(values[high - 1]), inside)


def judge(rows: Sequence[ComparisonRow], alpha: float, tolerances: Mapping[str, float]) -> list[ComparisonRow]:
    """Adjust the p of one family of rows together (Holm) and say of each row what its difference is.

    `tolerances` is by row name, with that of the others under "".
    """
    ps = [row.p for row in rows if row.p is not None]
    adjusted = iter(rank_tests.holm(ps))
    return [row if row.p is None else _judged(replace(row, p_adjusted=next(adjusted)), alpha,
                                              tolerances.get(row.name, tolerances[""]), len(ps)) for row in rows]


def _judged(row: ComparisonRow, alpha: float, tolerance: float, family: int) -> ComparisonRow:
    if row.p_adjusted is None or row.ratio is None:
        return row
    n, m = len(row.base_runs), len(row.new_runs)
    missing = rank_tests.missing_runs(n, m, alpha, family)
    if missing:
        others = f" with {family} rows tested together" if family > 1 else ""
        return replace(row, why=f"{n} + {m} runs can't be significant{others}: {n + missing} + {m + missing} can")
    verdict: Verdict = "same"
    change = math.inf if row.ratio.value is None else row.ratio.value - 1
    if row.p_adjusted <= alpha and abs(change) > tolerance:
        verdict = "worse" if (change > 0) == (row.better == "less") else "better"
    return replace(row, verdict=verdict)
