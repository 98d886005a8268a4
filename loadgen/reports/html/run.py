"""The page of one run: verdict, answer and table on the first screen, then the charts, then everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loadgen.figures import Figures
from loadgen.outcomes.report import Report
from loadgen.reports import summary_items
from loadgen.reports.format import clean, count
from loadgen.reports.html import overtime, percentiles, requests
from loadgen.reports.html.answer import answer
from loadgen.reports.html.page import Section, Table, render
from loadgen.reports.text.server import server
from loadgen.reports.text.table import COLUMNS, rows
from loadgen.reports.verdict_text import decisions, failing, headline, seen, warnings_and_notes

_VERY_WIDE = 10_000


def run_page(report: Report, figures: Figures | None) -> str:
    """Write the page of a run, HTML, without charts if there are no figures. Pure; texts of the server are escaped."""
    word, meaning = headline(report)
    return render(
        "run.html", _sections(figures) if figures else [], title=summary_items.title(report),
        word=word, meaning=meaning, tone=tone(report), answer=answer(report),
        machine=summary_items.machine(report.client),
        reasons=failing(report), latencies=latencies(report), facts=_facts(report), failures=_failures(report),
        checks=_checks(report), plan=_plan(report))


def tone(report: Report) -> str:
    """Return ok, bad or warn: how a verdict is coloured."""
    if report.verdict.interrupted:
        return "warn"
    if not report.verdict.valid:
        return "bad"
    if any(gate.ok is False for gate in report.verdict.gates):
        return "bad"
    return "warn" if any(gate.ok is None for gate in report.verdict.gates) else "ok"


def latencies(report: Report) -> Table:
    """Return the latency table; its label column says in which lines time counts from when a request was due."""
    lines = [[line.metric if line.label.startswith(" ") else line.label, *(cells[name] for name in COLUMNS)]
             for line, cells in rows(report)]
    return Table(["", *COLUMNS], lines, frozenset(range(1, len(COLUMNS))))


def _facts(report: Report) -> list[tuple[str, Sequence[str]]]:
    facts: list[tuple[str, Sequence[str]]] = [
        ("requests", summary_items.requests(report)), ("not measured", summary_items.not_measured(report)),
        ("throughput", summary_items.throughput(report)), ("client", summary_items.client(report)),
        *((" ".join(line.split()[:1]), [line.split(None, 1)[1]]) for line in server(report, _VERY_WIDE)),
        *(("slo", [f"{objective}: {decision}"]) for objective, decision in decisions(report)),
        *((label, [text]) for label, text in warnings_and_notes(report))]
    return [(label, parts) for label, parts in facts if parts]


def _failures(report: Report) -> Table:
    shown = [[kind, count(times), ", ".join(clean(name, 60) for name in types), example]
             for kind, times, types, example in summary_items.failures(report)]
    return Table(["class", "requests", "server's own type", "an example"], shown, frozenset({1}))


def _checks(report: Report) -> Table:
    checks = report.verdict.checks
    marks = ["ok" if check.ok else "warn" if check.warning else "bad" for check in checks]
    words = {"ok": "holds", "warn": "warning", "bad": "fails"}
    shown = [[check.name.replace("_", " "), words[mark], seen(check), check.remedy]
             for check, mark in zip(checks, marks, strict=True)]
    return Table(["check", "", "seen", "remedy"], shown, marks=marks)


def _plan(report: Report) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the tables of the plan and of what is known of the run, as texts."""
    tables = {**report.plan, "provenance": report.provenance, "schedule": report.schedule}
    return [(clean(name, 60), _fields(table)) for name, table in tables.items()
            if isinstance(table, dict) and name != "resolved"]


def _fields(table: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(clean(str(key), 60), _written(value)) for key, value in table.items()
            if value not in ("", None, {}, [], ())]


def _written(value: object) -> str:
    if isinstance(value, dict):
        return clean(", ".join(f"{key}: {item}" for key, item in value.items()), 400)
    if isinstance(value, list | tuple):
        return clean(", ".join(map(str, value)), 400)
    return clean(str(value), 400)


def _sections(figures: Figures) -> list[Section]:
    return [
        Section("Latency by percentile", percentiles.latency_charts(figures.curves), percentiles.NOTE),
        Section("Over time", [*overtime.flow_charts(figures), *overtime.band_charts(figures)],
                "Grey is warm-up and cool-down: offered, and not measured."),
        Section("Request by request", [*requests.timeline(figures), *requests.heat_map(figures),
                                       *requests.prompts(figures), *overtime.client_charts(figures)])]
