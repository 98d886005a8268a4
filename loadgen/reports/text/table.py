"""The latency table: one line a metric, percentiles with their interval, and a bound where the sample gives no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from loadgen.metrics import known, names
from loadgen.outcomes.report import MetricSummary, Report
from loadgen.reports.format import count, duration, quantity

COLUMNS: Final = ("p50", "p90", "p95", "p99", "p99.9", "max", "n", "")
_EXPENDABLE: Final = ("", "p95", "max", "p90", "p99.9")
"""Columns that a narrow terminal does without, the first first."""
_TAIL: Final = ("p99", "p99.9")
_GAPS: Final = ("   ", "  ")
"""Between columns; the widest for which there is room."""
_UNSTABLE: Final = "unstable"


class Line(NamedTuple):
    """A metric of the table: how it is called there, and what it is a sample of."""

    metric: str
    label: str
    note: str = ""


def table(report: Report, width: int) -> list[str]:
    """Lay the latencies out in at most `width` columns; [] if nothing was measured."""
    shown = rows(report)
    if not shown:
        return []
    labels = ["", *(line.label for line, _ in shown)]
    columns = {name: [name, *(cells[name] for _, cells in shown)] for name in COLUMNS}
    text = _lay_out(labels, columns, _GAPS[0])
    for name in (None, *_EXPENDABLE):
        if max(map(cell_len, text)) <= width:
            break
        if name is not None:
            del columns[name]
        text = _lay_out(labels, columns, _GAPS[1])
    return text


def rows(report: Report) -> list[tuple[Line, dict[str, str]]]:
    """Return the lines that have values, each with its cells by COLUMNS."""
    unstable = is_unstable(report)
    return [(line, _cells(report.metrics[line.metric], line, unstable)) for line in _chosen(report)
            if report.metrics.get(line.metric) and report.metrics[line.metric].count]


def is_unstable(report: Report) -> bool:
    """Say whether the load outran the server, so that the tail has no steady-state value to show."""
    return any(check.name == "steady_state" and not check.ok and not check.warning for check in report.verdict.checks)


def _chosen(report: Report) -> Iterator[Line]:
    for metric in known():
        if metric.label and (report.is_open_loop or not metric.scheduled):
            yield Line(metric.name, metric.label, metric.note)
    shown = names(lambda one: one.label)
    gated = [gate.slo.partition(".")[0] for gate in report.verdict.gates if "." in gate.slo]
    others = [name for name in report.metrics if name.startswith("server_")]
    for name in dict.fromkeys([*gated, *others]):
        if name not in shown and name in report.metrics and report.metrics[name].unit == "ns":
            yield Line(name, name)


def _cells(metric: MetricSummary, line: Line, unstable: bool) -> dict[str, str]:
    cells = {name: percentile(metric, name) for name in COLUMNS if name.startswith("p")}
    if unstable:
        cells |= dict.fromkeys(_TAIL, _UNSTABLE)
    elif "p99" in metric.interval and "p99" not in metric.bounds:
        cells["p99"] += " " + interval(metric.interval["p99"], metric.unit)
    return {**cells, "max": _written(metric.max, metric.unit), "n": count(metric.count), "": line.note}


def percentile(metric: MetricSummary, name: str) -> str:
    """Write a percentile, or ">= x" where the sample gives no more than a bound."""
    if name in metric.bounds:
        return f">= {_written(metric.bounds[name], metric.unit)}"
    return _written(metric.percentiles.get(name), metric.unit)


def interval(ends: Sequence[float | None], unit: str) -> str:
    """Write "[318, 377]"; the ends have units only where the two differ."""
    low, high = (_written(end, unit) for end in ends)
    if ends[1] is None:
        return f"[{low}, ...]"
    number, _, low_unit = low.partition(" ")
    high_number, _, high_unit = high.partition(" ")
    return f"[{number}, {high_number}]" if low_unit == high_unit else f"[{low}, {high}]"


def _written(value: float | None, unit: str) -> str:
    """Write a value of the table; times keep all three digits, so that a column's numbers look alike."""
    return duration(value) if unit == "ns" else quantity(value, unit)


def _lay_out(labels: Sequence[str], columns: Mapping[str, Sequence[str]], gap: str) -> list[str]:
    parts = [_pad(labels, left=True)]
    for name, cells in columns.items():
        if name == "p99":
            parts.append(_pad_with_interval(cells))
        else:
            parts.append(_pad(cells, left=not name))
    return [gap.join(line).rstrip() for line in zip(*parts, strict=True)]


def _pad_with_interval(cells: Sequence[str]) -> list[str]:
    """Align the numbers and the intervals behind them each in a column of their own."""
    split = [cell.partition(" [") for cell in cells]
    numbers = _pad([number for number, _, _ in split], left=False)
    intervals = _pad([f"[{interval}" if interval else "" for _, _, interval in split], left=True)
    if not any(interval.strip() for interval in intervals):
        return numbers
    return [f"{number} {interval}" for number, interval in zip(numbers, intervals, strict=True)]


def _pad(cells: Sequence[str], left: bool) -> list[str]:
    size = max(map(cell_len, cells))
    return [cell + " " * (size - cell_len(cell)) if left else " " * (size - cell_len(cell)) + cell for cell in cells]
