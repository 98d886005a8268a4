"""A run as Prometheus text exposition: counters, gauges and cumulative histograms in seconds, no percentiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np

from loadgen.metrics import Metric, known
from loadgen.prometheus_text import head, histogram, page, sample
from loadgen.reports.summary_items import of
from loadgen.stats.histogram import Histogram, Integers, bucket_of, highest_in
from loadgen.summary.run_data import RunData
from loadgen.types import CENSORED, FAILURES, SECOND

_DECADES: Final = 6
PHASES: Final = ("warmup", "measured", "cooldown")
"""Values of the label `phase`."""
_PREFERRED: Final = (100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900)
"""Twenty buckets a decade (R20): what is interpolated in a bucket is off by its width at most, a seventh."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Upper bounds of buckets. Each is the end of an HDR bucket, so that the counts below it are exact."""

    buckets: Integers  # HDR bucket indices
    labels: tuple[str, ...]  # the highest value in each, as seconds

    @classmethod
    def between(cls, low: int, decades: int) -> Edges:
        """Make edges at the ends of the HDR buckets that hold preferred numbers, from `low` ns (a power of ten) on."""
        nominal = [low * step * 10**decade // 100 for decade in range(decades) for step in _PREFERRED]
        buckets = bucket_of(np.asarray([*nominal, low * 10**decades], np.int64))
        return cls(buckets, tuple(_seconds(value) for value in highest_in(buckets).tolist()))


def _seconds(value: int) -> str:
    """Write ns as a decimal number of seconds, exactly."""
    return f"{value // SECOND}.{value % SECOND:09d}".rstrip("0")


@cache
def _edges(finest: int) -> Edges:
    return Edges.between(finest, _DECADES)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a run at one instant. `requests` is that of a Report; `live` has values only of a running run.

    `histograms` are ns, by metric; one that is not there is empty.
    """

    info: Mapping[str, str]
    requests: Mapping[str, Any]
    histograms: Mapping[str, Histogram]
    live: Mapping[str, float] = field(default_factory=dict)
    phase: str = ""  # warmup, measured, cooldown, draining; "" when the run is over


LIVE: Final = {
    "offered": ("loadgen_offered_requests_total", "counter", "Requests that were offered, of all phases."),
    "in_flight": ("loadgen_in_flight_requests", "gauge", "Requests that were sent and have not ended."),
    "planned_rate": ("loadgen_planned_rate", "gauge", "Requests per second that the plan offers; 0 in a closed loop."),
    "offered_rate": ("loadgen_offered_rate", "gauge", "Requests per second that were offered in the last seconds."),
    "elapsed": ("loadgen_elapsed_seconds", "gauge", "Time since the schedule began."),
    "failing_checks": ("loadgen_failing_checks", "gauge", "Checks that fail so far: above 0, don't believe the rest."),
}
"""Values of a run that goes on: name, type and help of each."""


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write the only one of `results`, as a Pushgateway or a textfile collector takes it."""
    (result,) = results
    info = info_of(result.report.plan, result.report.provenance)
    yield expose(Snapshot(info, result.report.requests, result.histograms))


def info_of(plan: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, str]:
    """Say what is measured, as labels. `plan` is what plan.json holds."""
    target, load = of(plan, "target"), of(plan, "load")
    return {"version": str(provenance.get("loadgen", "")), "backend": str(target.get("backend", "")),
            "url": ",".join(target.get("url", ())), "model": str(provenance.get("model") or target.get("model", "")),
            "seed": str(load.get("seed", ""))}


def expose(snapshot: Snapshot) -> str:
    """Write a snapshot: text that ends in a newline and is valid UTF-8."""
    lines = [*head("loadgen_target_info", "gauge", "What is measured."),
             sample("loadgen_target_info", 1, snapshot.info), *_phases(snapshot.phase), *_live(snapshot.live),
             *_requests(snapshot.requests), *_tokens(snapshot.requests)]
    for metric in known():
        if metric.logged:
            lines += _histogram(metric, snapshot.histograms.get(metric.name) or Histogram())
    return page(lines)


def _phases(phase: str) -> Iterator[str]:
    if phase:
        yield from head("loadgen_phase", "gauge", "1 for the part of the run that goes on.")
        for name in (*PHASES, "draining"):
            yield sample("loadgen_phase", int(name == phase), {"phase": name})


def _live(values: Mapping[str, float]) -> Iterator[str]:
    for key, (name, kind, about) in LIVE.items():
        if key in values:
            yield from head(name, kind, about)
            yield sample(name, f"{values[key]:.15g}")


def _requests(requests: Mapping[str, Any]) -> Iterator[str]:
    name = "loadgen_requests_total"
    yield from head(name, "counter", "Requests that ended, by what became of them.")
    for phase in PHASES:
        seen = requests if phase == "measured" else of(requests, phase)
        yield sample(name, seen.get("succeeded", 0), {"phase": phase, "outcome": "succeeded", "failure": ""})
        # A class is there before it is seen: what a series is born with is no increase to PromQL's rate().
        for failure, times in {**dict.fromkeys((*FAILURES, CENSORED), 0), **of(seen, "failures")}.items():
            outcome = "censored" if failure == CENSORED else "failed"
            yield sample(name, times, {"phase": phase, "outcome": outcome, "failure": failure})


def _tokens(requests: Mapping[str, Any]) -> Iterator[str]:
    for side, about in (("output", "Tokens that arrived, of requests that ended."),
                        ("input", "Tokens of the prompts that were answered.")):
        name = f"loadgen_{side}_tokens_total"
        yield from head(name, "counter", about)
        for phase in PHASES:
            seen = requests if phase == "measured" else of(requests, phase)
            yield sample(name, seen.get(f"{side}_tokens", 0), {"phase": phase})


def _histogram(metric: Metric, values: Histogram) -> Iterator[str]:
    """Write the histogram of a metric in ns, which is called loadgen_<metric>_seconds."""
    edges = _edges(metric.finest)
    used, counts = values.buckets()
    below = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    places = np.searchsorted(used, edges.buckets, side="right")
    yield from histogram(f"loadgen_{metric.name}_seconds", metric.about,
                         zip(edges.labels, below[places].tolist(), strict=True), values.total / SECOND, values.count)
