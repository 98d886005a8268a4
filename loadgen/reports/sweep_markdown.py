"""A sweep as markdown, for a pull request or an issue."""

from __future__ import annotations

from collections.abc import Iterator

from loadgen.capacity import Sweep
from loadgen.reports import sweep_words as words
from loadgen.reports.format import clean
from loadgen.reports.sweep_text import cells_of


def render(sweep: Sweep) -> str:
    """Write the sweep: what was found, then a table of its cells. Foreign text can't break out of its cell."""
    word, meaning = words.headline(sweep)
    parts = [f"**{word}**: {_safe(meaning)}", *(f"- {_safe(said)}" for said in _said(sweep)), "", *_table(sweep)]
    if sweep.resume:
        parts += ["", f"Go on with {_safe(sweep.resume)}"]
    return "\n".join(parts).rstrip() + "\n"


def _said(sweep: Sweep) -> Iterator[str]:
    for one in sweep.answers:
        yield words.answer(one)
        yield from one.notes
    yield from words.sizings(sweep)
    for statistic in sweep.across:
        yield f"{statistic.name} {words.across(statistic)} over {len(statistic.values) + statistic.missing} runs"


def _table(sweep: Sweep) -> Iterator[str]:
    gated = any(cell.gates for cell in sweep.cells)
    rows = [cells_of(cell, gated) for cell in sweep.cells]
    names = [name for name in rows[0] if any(one[name] for one in rows)] if rows else []
    if names:
        yield f"| {' | '.join(names)} |"
        yield f"|{'---|' * len(names)}"
    for one in rows:
        yield f"| {' | '.join(_safe(one[name]) for name in names)} |"


def _safe(text: str) -> str:
    """Write text so that markdown and HTML leave it as it is."""
    for sign in "\\`*_{}[]<>#|~":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return clean(text)
