"""The numbers of runs as CSV, one line a metric, rate or count: times in ms, what is not known empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

from loadgen.outcomes.report import PERCENTILES, MetricSummary, Report
from loadgen.reports.export.csv_requests import safe
from loadgen.reports.verdict_text import headline
from loadgen.summary.run_data import RunData
from loadgen.types import MS

HEADING: Final = ("run", "verdict", "name", "unit", "value", "count", "min", "mean", "max",
                  *(f"{label}{end}" for label in PERCENTILES for end in ("", "_low", "_high", "_at_least")))
_REQUESTS: Final = ("offered", "sent", "succeeded", "failed", "censored")


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write a heading and the lines of each run.

    A percentile that the sample can't carry is not in its own column but in that of its lower bound, `_at_least`;
    `_low` and `_high` are the ends of the 95 % interval.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADING)
    for result in results:
        word, _ = headline(result.report)
        writer.writerows([safe(result.name), word, *line] for line in _lines(result.report))
    yield text.getvalue()


def _lines(report: Report) -> Iterator[list[Any]]:
    for name, value in report.rates.items():
        yield _padded([f"rate {name}", "1/s", value])
    for name in _REQUESTS:
        if name in report.requests:
            yield _padded([f"requests {name}", "requests", report.requests[name]])
    for name, metric in report.metrics.items():
        yield _metric(name, metric)


def _padded(cells: list[Any]) -> list[Any]:
    return [*cells, *[""] * (len(HEADING) - 2 - len(cells))]


def _metric(name: str, metric: MetricSummary) -> list[Any]:
    scale = MS if metric.unit == "ns" else 1.0

    def written(value: float | None) -> Any:
        return "" if value is None else value / scale

    cells = [safe(name), "ms" if metric.unit == "ns" else metric.unit, "", metric.count,
             *map(written, (metric.min, metric.mean, metric.max))]
    for label in PERCENTILES:
        low, high = metric.interval.get(label, (None, None))
        bound = metric.bounds.get(label)
        value = None if bound is not None else metric.percentiles.get(label)
        cells += map(written, (value, low, high, bound))
    return cells
