"""The numbers of a Report: requests, rates, metrics and the client's own state, from the recorder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadgen.checks import span, uses_kernel_stamps
from loadgen.metrics import names, unit_of, unstreamed_absent
from loadgen.outcomes.report import PERCENTILES, MetricSummary
from loadgen.recorder import Recorder
from loadgen.recorder.counts import Tally
from loadgen.recorder.estimate import percentile
from loadgen.types import ABSENT, COOLDOWN, SECOND, WARMUP


def metrics(recorder: Recorder, stream: bool) -> dict[str, MetricSummary]:
    """Summarise every metric that has values; without streaming, those of token times have no meaning."""
    absent = () if stream else unstreamed_absent()
    return {name: summarise(recorder, name) for name in _in_order(recorder)
            if recorder.metrics[name].count and name not in absent}


def _in_order(recorder: Recorder) -> list[str]:
    """Return the names of the metrics: ours as they are listed, then the server's own in the order of the alphabet."""
    return [*names(), *sorted(recorder.metrics.keys() - names())]


def summarise(recorder: Recorder, name: str) -> MetricSummary:
    """Summarise one metric that has values: each percentile as a value with its interval, or as a bound."""
    histogram = recorder.metrics[name]
    values: dict[str, int] = {}
    bounds: dict[str, int] = {}
    intervals: dict[str, tuple[int, int | None]] = {}
    for label, share in PERCENTILES.items():
        estimate = percentile(recorder, name, share)
        if estimate is None:
            continue
        if estimate.value is not None:
            values[label] = int(estimate.value)
        elif estimate.bound is not None:
            bounds[label] = estimate.bound
        intervals[label] = (int(estimate.low), None if estimate.high is None else int(estimate.high))
    return MetricSummary(unit_of(name), histogram.count, histogram.min, histogram.max, histogram.mean, values,
                         intervals, bounds)


def requests(recorder: Recorder) -> dict[str, Any]:
    """Count the measured requests by what became of them; warm-up and cool-down apart."""
    tally = recorder.measured
    return {
        **_outcome(tally), "sent": tally.sent, "types": {kind: dict(sorted(types.items()))
                                                         for kind, types in sorted(tally.types.items())},
        "examples": dict(sorted(tally.examples.items())), "held": tally.held, "reconnects": tally.reconnects,
        "retried": tally.offered - tally.first_attempts,
        "finish_reasons": dict(sorted(tally.finish_reasons.items())),
        "input_sources": dict(sorted(tally.input_sources.items())),
        "output_sources": dict(sorted(tally.output_sources.items())),
        "asked_tokens": tally.asked, "got_tokens": tally.got,
        "usage_given": tally.usage_given, "usage_wrong": tally.usage_wrong,
        "warmup": _outcome(recorder.tallies[WARMUP]), "cooldown": _outcome(recorder.tallies[COOLDOWN]),
    }


def _outcome(tally: Tally) -> dict[str, Any]:
    return {"offered": tally.offered, "succeeded": tally.succeeded, "failed": tally.failed, "censored": tally.censored,
            "output_tokens": tally.output_tokens, "input_tokens": tally.input_tokens,
            "failures": dict(sorted(tally.failures.items()))}


def rates(recorder: Recorder, begin: int, end: int) -> dict[str, float]:
    """Return rates per second over the window [begin, end], tokens by the instant they arrived.

    A window of known length is counted to the nanosecond; one of known count over its whole bins, or over the measured
    requests alone if it is shorter than a bin.
    """
    length = end - begin
    if length <= 0:
        return dict.fromkeys(("offered", "sent", "completed", "output_tokens", "input_tokens", "goodput"), 0.0)
    tally = recorder.measured
    flows, flow_length = dict(recorder.within.totals), length
    if recorder.window.length == ABSENT:
        flows, flow_length = _by_count(recorder, begin, end)
    per_second = {name: total * SECOND / flow_length for name, total in flows.items()}
    return {"offered": tally.offered * SECOND / length, "sent": tally.sent * SECOND / length, **per_second,
            "goodput": int(recorder.sections.good().sum()) * SECOND / length}


def _by_count(recorder: Recorder, begin: int, end: int) -> tuple[dict[str, int], int]:
    low, high = recorder.bins.inside(begin, end)
    if high > low:
        totals = {name: int(recorder.bins.series(name, begin, end).sum()) for name in recorder.within.totals}
        return totals, (high - low) * recorder.bins.width
    return {"completed": recorder.measured.succeeded, "output_tokens": recorder.metrics["output_tokens"].total,
            "input_tokens": recorder.metrics["input_tokens"].total}, end - begin


def client(recorder: Recorder, stamps: str = "") -> dict[str, Any]:
    """Return how the client itself was doing; cpu in seconds, rss in bytes, stalls in ns.

    `stamps` says who stamped the tokens, if that was neither the kernel nor the sender.
    """
    health, tally = recorder.health, recorder.measured
    desk = health.lines.get(ABSENT)
    last = max(recorder.last_end, recorder.window.start) + int(SECOND)
    return {
        "stamps": stamps or ("kernel" if uses_kernel_stamps(recorder) else "user"),
        "coalesced": tally.coalesced / tally.events if tally.events else 0.0,
        "cpu_s": health.total("cpu") / SECOND, "desk_cpu_s": desk.cpu / SECOND if desk else 0.0,
        "elapsed_s": max((line.at for line in health.lines.values()), default=0) / SECOND,
        "max_rss": max((line.rss for line in health.lines.values()), default=0),
        "loop_stall_max": health.stall(recorder.window.start, last), "senders": len(health.senders),
        "reads": tally.reads, "unstamped": tally.unstamped,
        **{name: health.total(name) for name in ("connections", "opened", "opened_late", "dropped", "starved")},
        "clock_step": health.clock_step, "clock_drift": health.clock_drift(),
    }


def window(recorder: Recorder, interrupted: bool) -> dict[str, Any]:
    """Return where the window was, in ns since the start of the schedule, and how long it turned out."""
    begin, end = span(recorder, interrupted)
    planned: Mapping[str, int] = {"planned_length": recorder.window.length, "planned_count": recorder.window.count}
    return {"start": begin, "length": end - begin, **planned}
