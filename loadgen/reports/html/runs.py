"""The page of several runs side by side: their verdicts, one table, and their percentile curves over each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadgen.figures import PercentileCurve
from loadgen.metrics import SCHEDULED, known
from loadgen.outcomes.report import Report
from loadgen.reports import summary_items
from loadgen.reports.format import clean, rate, share
from loadgen.reports.html.answer import answer
from loadgen.reports.html.document import Document, document_page
from loadgen.reports.html.page import Section, Table
from loadgen.reports.html.percentiles import NOTE, overlays
from loadgen.reports.html.run import tone
from loadgen.reports.text.table import COLUMNS, rows
from loadgen.reports.verdict_text import headline


def titles() -> dict[str, str]:
    """Return the metrics that runs are drawn side by side for, and the titles of their charts."""
    shown = [one for one in known() if one.headline and one.label]
    apart = {one.name for one in shown if one.scheduled}
    return {one.name: one.title if one.scheduled else
            f"{one.title or one.about}{', since sent' if one.name + SCHEDULED in apart else ''} ({one.name})"
            for one in shown}


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run of a page that shows several: `name` is what tells it apart."""

    name: str
    report: Report
    curves: Sequence[PercentileCurve]


def runs_page(runs: Sequence[NamedRun]) -> str:
    """Write a page with runs side by side, HTML. It compares nothing: that takes statistics over several runs."""
    charts = overlays({run.name: run.curves for run in runs}, titles())
    title = f"{len(runs)} runs side by side"
    return document_page(Document(
        title, ["loadgen report"], title, facts=[(clean(run.name), [answer(run.report)]) for run in runs],
        tables=[("", _verdicts(runs)), ("Latency", _latencies(runs))],
        sections=[Section("Latency by percentile", charts, NOTE)]))


def _verdicts(runs: Sequence[NamedRun]) -> Table:
    shown, marks = [], []
    for run in runs:
        report, rates = run.report, run.report.rates
        offered = report.requests.get("offered")
        failed = share(report.requests.get("failed", 0) / offered) if offered else "-"
        shown.append([clean(run.name), headline(report)[0], clean(summary_items.load(report)),
                      rate(rates.get("completed")), rate(rates.get("output_tokens")), failed])
        marks.append(tone(report))
    return Table(["run", "verdict", "load", "requests/s", "output tokens/s", "failed"], shown, frozenset({3, 4, 5}),
                 marks)


def _latencies(runs: Sequence[NamedRun]) -> Table:
    """Return one table in which each metric has a line a run."""
    by_run = [(run.name, {line.metric: cells for line, cells in rows(run.report)}) for run in runs]
    metrics = dict.fromkeys(metric for _, lines in by_run for metric in lines)
    shown = list(_lines(by_run, list(metrics)))
    return Table(["", "run", *COLUMNS[:-1]], shown, frozenset(range(2, len(COLUMNS) + 1)))


def _lines(by_run: Sequence[tuple[str, dict[str, dict[str, str]]]], metrics: Sequence[str]) -> Iterator[list[str]]:
    for metric in metrics:
        first = True
        for name, lines in by_run:
            if metric in lines:
                yield [metric if first else "", clean(name), *(lines[metric][column] for column in COLUMNS[:-1])]
                first = False
