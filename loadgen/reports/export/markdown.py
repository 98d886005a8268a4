"""The report as GitHub Markdown, for a pull request: the verdict first, then the table, then what else was said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from loadgen.outcomes.report import CheckResult, Report, SloResult
from loadgen.reports import summary_items
from loadgen.reports.format import clean, count, quantity
from loadgen.reports.text.table import COLUMNS, rows
from loadgen.reports.verdict_text import headline
from loadgen.summary.run_data import RunData

_SPECIAL: Final = re.compile(r"([\\`*_\[\]|~!$])")
_LINKED: Final = re.compile(r"([@#]|//|\bwww(?=\.))")
"""What GitHub turns into mentions, references and links; a zero-width space behind it stops that."""
_STARTS: Final = re.compile(r"^(?=[-+])|^(\d+)(?=[.)])")
"""What begins a list or a rule where an item begins."""
_GATE: Final = {True: "pass", False: "MISSED", None: "undecided"}


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write a section for each run. Foreign texts can't make markup, links, mentions or HTML."""
    for number, result in enumerate(results):
        yield ("\n" if number else "") + section(result.report, result.name if len(results) > 1 else "")


def section(report: Report, name: str = "") -> str:
    """Write one report; `name` goes into its heading."""
    word, meaning = headline(report)
    blocks = [
        [f"### loadgen{f' {code(name)}' if name else ''}: {word}, {meaning}"],
        [" · ".join(code(item) for item in summary_items.title(report))],
        [f"* {check}" for check in _failing(report)],
        _table(report),
        [f"* {label}: {' · '.join(map(escape, said))}" for label, said in _facts(report) if said],
        [f"* failure {line}" for line in _failures(report)],
        _gates(report.verdict.gates),
        [bullet(f"note: {note}") for note in report.verdict.notes],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """Make a text stand for itself, wherever in a line it is."""
    text = _SPECIAL.sub(r"\\\1", clean(text))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINKED.sub("\\1&#8203;", text)


def bullet(text: str) -> str:
    """Write a text as an item of a list, which does not begin another one in it."""
    return "* " + _STARTS.sub(r"\1\\", escape(text))


def code(text: str) -> str:
    """Write a text as a code span, in which nothing is markup; not for tables, whose bars are stronger than spans."""
    text = clean(text)
    if not text:
        return ""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _failing(report: Report) -> Iterator[str]:
    for check in report.verdict.checks:
        if not check.ok:
            yield _check(check)


def _check(check: CheckResult) -> str:
    kind = "warning" if check.warning else "check"
    seen, limit = quantity(check.seen, check.unit), quantity(check.limit, check.unit)
    limited = f", limit {escape(limit)}" if limit not in ("", "-") else ""
    remedy = f": {escape(check.remedy)}" if check.remedy else ""
    return f"{kind} **{escape(check.name.replace('_', ' '))}** {escape(seen)}{limited}{remedy}"


def _table(report: Report) -> list[str]:
    shown = rows(report)
    if not shown:
        return ["No request succeeded: there is no latency to show."]
    lines = [["", *COLUMNS[:-1], ""], ["---", *["--:"] * (len(COLUMNS) - 1), "---"]]
    lines += [[line.metric, *(cells[name] for name in COLUMNS[:-1]), line.note] for line, cells in shown]
    escaped = (lines[0], lines[1], *([escape(cell) for cell in line] for line in lines[2:]))
    return [f"| {' | '.join(line)} |" for line in escaped]


def _facts(report: Report) -> Iterator[tuple[str, list[str]]]:
    yield "requests", summary_items.requests(report)
    yield "not measured", summary_items.not_measured(report)
    yield "throughput", summary_items.throughput(report)
    yield "client", summary_items.client(report)
    yield "measured with", list(filter(None, [summary_items.machine(report.client)]))


def _failures(report: Report) -> Iterator[str]:
    for failure in summary_items.failures(report)[: summary_items.MOST_CLASSES]:
        said = ": ".join(filter(None, [code(", ".join(clean(name, 40) for name in failure.types)),
                                       code(clean(failure.example, 300))]))
        yield f"{escape(failure.kind)} {count(failure.times)}" + (f" {said}" if said else "")


def _gates(gates: Sequence[SloResult]) -> list[str]:
    if not gates:
        return []
    lines = [f"| {escape(gate.slo)} | {_GATE[gate.ok]} | {escape(quantity(gate.seen, gate.unit))} | "
             f"{escape(quantity(gate.upper, gate.unit))} |" for gate in gates]
    return ["| slo | | seen | bound that decides |", "|---|---|--:|--:|", *lines]
