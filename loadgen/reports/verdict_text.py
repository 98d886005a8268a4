"""The verdict in words: the headline, why numbers must not be believed, the SLOs, warnings and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.cells import cell_len

from loadgen.checks.table import known
from loadgen.outcomes.report import CheckResult, Report, SloResult
from loadgen.reports.format import clean, count, quantity
from loadgen.reports.text.layout import cut, flow, row

_MOST: Final = 10**9
"""A needed number of requests that means that no number will do."""
_SIGN: Final = re.compile(r"\s*(<=|>=|<|>)\s*")


def headline(report: Report) -> tuple[str, str]:
    """Say the verdict in a word or two, and what it means."""
    verdict = report.verdict
    failing = {check.name for check in verdict.checks if not check.ok and not check.warning}
    missed = sum(gate.ok is False for gate in verdict.gates)
    undecided = sum(gate.ok is None for gate in verdict.gates)
    if verdict.interrupted:
        return "INTERRUPTED", "what was measured until then"
    if verdict.aborted:
        return "GIVEN UP", f"{clean(verdict.aborted)} (numbers until then)"
    if not verdict.valid:
        if failing and failing <= _smoke():
            return "INVALID", "too small a run to judge by (--lax: a warning)"
        return "INVALID", "do not believe these numbers"
    if missed:
        return "SLO MISSED", f"{missed} of {len(verdict.gates)}; the numbers are VALID"
    if undecided:
        return "VALID", f"{undecided} of {len(verdict.gates)} SLOs undecided"
    return "VALID", "every SLO met" if verdict.gates else "no SLO was given"


def headline_style(report: Report) -> str:
    """Return the colour of the headline, by what the verdict means and not by its words."""
    verdict = report.verdict
    if verdict.interrupted or verdict.aborted or not verdict.valid or any(gate.ok is False for gate in verdict.gates):
        return "bold red"
    return "bold yellow" if any(gate.ok is None for gate in verdict.gates) else "bold green"


def _smoke() -> set[str]:
    """Return the checks that every short run fails: a line each, after the others."""
    return {check.name for check in known() if check.question == "numbers" and check.cause == "short"}


class Reason(NamedTuple):
    """A row that makes the run INVALID: what was seen and the limit, and what to do about it."""

    check: str
    name: str
    seen: str
    remedy: str


def failing(report: Report) -> list[Reason]:
    """Return the rows that make the run INVALID; those that every short run fails come last."""
    rows = [check for check in report.verdict.checks
            if not check.ok and not check.warning and check.name != "interrupted"]  # the headline says that
    small = _smoke()
    rows.sort(key=lambda check: check.name in small)
    return [Reason(check.name, clean(check.name).replace("_", " "), seen(check), clean(check.remedy))
            for check in rows]


def reasons(report: Report, width: int) -> Iterator[str]:
    """Say of every row that makes the run INVALID what was seen, the limit, and the remedy."""
    rows = failing(report)
    if not rows:
        return
    first, second = max(len(row.name) for row in rows), min(34, max(cell_len(row.seen) for row in rows))
    for check, name, what, remedy in rows:
        start = f"      {name:<{first}}   {what + ' ' * (second - cell_len(what))}   "
        if check in _smoke():
            yield cut(start + remedy, width)
        else:
            indent = " " * (9 + first + 3)
            beside = width - cell_len(start) >= 40
            if beside:
                yield from flow(remedy.split(" "), width, start, " " * cell_len(start), " ")
            else:
                yield from flow(what.split(" "), width, f"      {name:<{first}}   ", indent, " ")
                yield from flow(remedy.split(" "), width, indent, indent, " ")


def seen(check: CheckResult) -> str:
    """Write what a check saw, and its limit."""
    limit = quantity(check.limit, check.unit)
    return quantity(check.seen, check.unit) + (f", limit {limit}" if limit not in ("", "-") else "")


def decisions(report: Report) -> list[tuple[str, str]]:
    """Return every SLO and how it was decided, and on which bound."""
    doubt = "" if report.verdict.valid else ", but the run is INVALID"
    return [(_SIGN.sub(r" \1 ", clean(gate.slo)), f"{_decision(gate)}{doubt}") for gate in report.verdict.gates]


def gates(report: Report, width: int) -> Iterator[str]:
    """Say of every SLO how it was decided, and on which bound."""
    for objective, decision in decisions(report):
        yield from row("slo", [f"{objective}  ", *decision.split(" ")], width, " ")


def _decision(gate: SloResult) -> str:
    bound = f"{'lower' if '>' in gate.slo else 'upper'} bound {quantity(gate.upper, gate.unit)}"
    seen = f"seen {quantity(gate.seen, gate.unit)}"
    if gate.ok is None:
        more = f": {count(gate.needed)} requests would decide it" if 0 < gate.needed < _MOST else ""
        return f"UNDECIDED{more}" + (f", {seen}" if gate.seen is not None else "")
    if gate.upper is None:
        return f"{'pass' if gate.ok else 'FAIL'}, {seen}"
    return f"pass, {bound}" if gate.ok else f"FAIL, {seen}, {bound}"


def remarks(report: Report, width: int) -> Iterator[str]:
    """Say what fails without making the run INVALID, and the notes."""
    for label, text in warnings_and_notes(report):
        yield from row(label, text.split(" "), width, " ")


def warnings_and_notes(report: Report) -> Iterator[tuple[str, str]]:
    """Yield ("warn", what fails without making the run INVALID) and ("note", what else to know)."""
    for check in report.verdict.checks:
        if check.warning and not check.ok:
            yield "warn", f"{clean(check.name).replace('_', ' ')} {seen(check)}: {clean(check.remedy)}"
    for note in report.verdict.notes:
        yield "note", clean(note)
