"""What is certain before a run ends: that an objective will be missed, or that too many requests have failed."""

from __future__ import annotations

from typing import Final

from loadgen.metrics import find
from loadgen.recorder import Recorder
from loadgen.recorder.estimate import share
from loadgen.slo import Slo
from loadgen.stats.estimation import order_statistic_ranks
from loadgen.stats.histogram import HIGHEST, Histogram, lowest_in
from loadgen.types import ABSENT

FEWEST_FAILED: Final = 10
MOST_FAILED: Final = 0.01
"""A run is given up when so many have failed and the interval of their share is above 1 %, ten times what the verdict
allows: looking once a second at so distant a limit gives up no run that would have passed."""

DEPENDENT: Final = 2
"""Times as many slow requests as independent ones would have to be: near saturation slow ones come together, and the
interval that decides at the end is wider for it. A burst must not pass for a server that can't keep up."""


def certain(recorder: Recorder) -> str:
    """Say what makes it useless to go on; "" if nothing does."""
    planned, tally = recorder.window.count, recorder.measured
    failed = share(tally.failed, tally.offered)
    if failed is not None and tally.failed >= FEWEST_FAILED and failed.low > MOST_FAILED:
        return f"{tally.failed:,} of {tally.offered:,} requests have failed"
    if planned == ABSENT:
        return ""
    return next((reason for slo in recorder.gates if (reason := _of(recorder, slo, planned))), "")


def _of(recorder: Recorder, slo: Slo, planned: int) -> str:
    """Say why the objective will be missed, whatever the requests that are left do.

    The lower end of the interval of n independent values is the r-th smallest (order statistics): it is beyond the
    limit if more than n - r values are. DEPENDENT times as many are asked for.
    """
    if slo.metric == "errors":
        seen = share(recorder.measured.failed, planned)
        return f"{slo.text} is certain to be missed" if seen is not None and not slo.meets(seen.low) else ""
    values, metric = recorder.metrics.get(slo.metric), find(slo.metric)
    if slo.quantile is None or values is None or not values.count or not slo.wants_less:
        return ""
    if metric and metric.pooled:  # nobody knows how many values there will be
        return ""
    low, _ = order_statistic_ranks(max(planned, values.count), slo.quantile)
    beyond = _missing(values, slo)
    if low is None or beyond <= DEPENDENT * (max(planned, values.count) - low):
        return ""
    return f"{slo.text} is certain to be missed: {beyond:,} of {planned:,} requests were slower"


def _missing(values: Histogram, slo: Slo) -> int:
    """Count the values that surely miss the limit: those of buckets that lie beyond it as a whole."""
    buckets, counts = values.buckets()
    return int(counts[~slo.meets_all(lowest_in(buckets))].sum()) + (values.overflow if slo.limit < HIGHEST else 0)
