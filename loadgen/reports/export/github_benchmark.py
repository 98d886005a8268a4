"""The numbers for benchmark-action/github-action-benchmark, which draws them over the commits and alerts on a change.

The fields are those of BenchmarkResult in src/extract.ts of that repository; its tools customSmallerIsBetter and
customBiggerIsBetter each read a file of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from loadgen.metrics import names
from loadgen.outcomes.report import MetricSummary, Report
from loadgen.reports.format import clean
from loadgen.reports.verdict_text import headline
from loadgen.summary.run_data import RunData
from loadgen.types import MS

SMALLER: Final = "smaller.json"
BIGGER: Final = "bigger.json"
_PERCENTILES: Final = ("p50", "p90", "p99")
_RATES: Final = {"completed": ("throughput", "requests/s"), "output_tokens": ("output throughput", "tokens/s"),
                 "input_tokens": ("input throughput", "tokens/s"), "goodput": ("goodput", "requests/s")}


def render(results: Sequence[RunData]) -> dict[str, str]:
    """Write both files. Of several runs every name begins with that of the run.

    A percentile that the sample can't carry is left out, because a chart would take its bound for a value.
    """
    smaller: list[dict[str, Any]] = []
    bigger: list[dict[str, Any]] = []
    for result in results:
        prefix = f"{clean(result.name)} " if len(results) > 1 else ""
        smaller += _named(prefix, _latencies(result.report))
        bigger += _named(prefix, _throughputs(result.report))
    return {SMALLER: json.dumps(smaller, indent=2) + "\n", BIGGER: json.dumps(bigger, indent=2) + "\n"}


def _named(prefix: str, entries: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({**entry, "name": prefix + entry["name"]} for entry in entries)


def _latencies(report: Report) -> Iterator[dict[str, Any]]:
    for name in names(lambda one: one.headline or one.label):
        metric = report.metrics.get(name)
        for label in _PERCENTILES if metric else ():
            if metric and label in metric.percentiles and label not in metric.bounds:
                yield _percentile(report, name, metric, label)
    requests = report.requests
    if requests.get("offered"):
        lost = requests.get("failed", 0) + requests.get("censored", 0)
        yield {"name": "errors", "unit": "%", "value": 100 * lost / requests["offered"], "extra": _said(report)}


def _percentile(report: Report, name: str, metric: MetricSummary, label: str) -> dict[str, Any]:
    value = metric.percentiles[label]
    entry: dict[str, Any] = {"name": f"{name} {label}", "unit": "ms", "value": value / MS}
    low, high = metric.interval.get(label, (None, None))
    said = [f"n = {metric.count}"]
    if low is not None and high is not None:
        entry["range"] = f"± {max(high - value, value - low) / MS:.6g}"
        said.append(f"95 % interval {low / MS:.6g} to {high / MS:.6g} ms")
    return {**entry, "extra": _said(report, *said)}


def _throughputs(report: Report) -> Iterator[dict[str, Any]]:
    for key, (name, unit) in _RATES.items():
        if report.rates.get(key) is not None and (key != "goodput" or report.verdict.gates):
            yield {"name": name, "unit": unit, "value": report.rates[key], "extra": _said(report)}


def _said(report: Report, *more: str) -> str:
    return "\n".join([", ".join(headline(report)), *more])
