"""The verdict in words: the headline, why numbers must not be believed, the SLOs, warnings and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len

from loadgen.report import Check, Gate, Report
from loadgen.reports.format import clean, count, quantity
from loadgen.reports.layout import cut, flow, row

SMOKE: Final = ("sample_size", "precision", "duration")
"""Checks that every short run fails: a line each, after the others."""
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
    if not verdict.valid:
        if failing and failing <= set(SMOKE):
            return "INVALID", "too small a run to judge by (--lax: a warning)"
        return "INVALID", "do not believe these numbers"
    if missed:
        return "SLO MISSED", f"{missed} of {len(verdict.gates)}; the numbers are VALID"
    if undecided:
        return "VALID", f"{undecided} of {len(verdict.gates)} SLOs undecided"
    return "VALID", "every SLO met" if verdict.gates else "no SLO was given"


def reasons(report: Report, width: int) -> Iterator[str]:
    """Say of every row that makes the run INVALID what was seen, the limit, and the remedy."""
    failing = [check for check in report.verdict.checks
               if not check.ok and not check.warning and check.name != "interrupted"]  # the headline says that
    failing.sort(key=lambda check: check.name in SMOKE)
    if not failing:
        return
    names = [clean(check.name).replace("_", " ") for check in failing]
    seen = [_seen(check) for check in failing]
    first, second = max(map(len, names)), min(34, max(map(cell_len, seen)))
    for check, name, what in zip(failing, names, seen, strict=True):
        start = f"      {name:<{first}}   {what + ' ' * (second - cell_len(what))}   "
        remedy = clean(check.remedy)
        if check.name in SMOKE:
            yield cut(start + remedy, width)
        else:
            indent = " " * (9 + first + 3)
            beside = width - cell_len(start) >= 40
            if beside:
                yield from flow(remedy.split(" "), width, start, " " * cell_len(start), " ")
            else:
                yield from flow(what.split(" "), width, f"      {name:<{first}}   ", indent, " ")
                yield from flow(remedy.split(" "), width, indent, indent, " ")


def _seen(check: Check) -> str:
    limit = quantity(check.limit, check.unit)
    return quantity(check.seen, check.unit) + (f", limit {limit}" if limit not in ("", "-") else "")


def gates(report: Report, width: int) -> Iterator[str]:
    """Say of every SLO how it was decided, and on which bound."""
    for gate in report.verdict.gates:
        doubt = "" if report.verdict.valid else ", but the run is INVALID"
        objective = _SIGN.sub(r" \1 ", clean(gate.slo))
        yield from row("slo", [f"{objective}  ", *f"{_decision(gate)}{doubt}".split(" ")], width, " ")


def _decision(gate: Gate) -> str:
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
    for check in report.verdict.checks:
        if check.warning and not check.ok:
            text = f"{clean(check.name).replace('_', ' ')} {_seen(check)}: {clean(check.remedy)}"
            yield from row("warn", text.split(" "), width, " ")
    for note in report.verdict.notes:
        yield from row("note", clean(note).split(" "), width, " ")
