"""A sweep as markdown, for a pull request or an issue."""

from __future__ import annotations

from collections.abc import Iterator

from loadgen.capacity import Sweep
from loadgen.reports import sweep_words as words
from loadgen.reports.export.markdown import bullet, code, escape
from loadgen.reports.text.sweep_text import cells_of


def render(sweep: Sweep) -> str:
    """Write the sweep: what was found, then a table of its cells. Foreign text can't break out of its cell."""
    word, meaning = words.headline(sweep)
    parts = [f"**{word}**: {escape(meaning)}", *map(bullet, _said(sweep)), "", *_table(sweep)]
    if sweep.resume:
        parts += ["", f"Go on with {code(sweep.resume)}"]
    return "\n".join(parts).rstrip() + "\n"


def _said(sweep: Sweep) -> Iterator[str]:
    for one in sweep.answers:
        yield words.answer(one)
        yield from one.notes
    yield from words.sizings(sweep)
    for statistic in sweep.across:
        yield f"{statistic.name} {words.across(statistic)} over {statistic.runs} runs"


def _table(sweep: Sweep) -> Iterator[str]:
    gated = any(cell.gates for cell in sweep.cells)
    rows = [cells_of(cell, gated) for cell in sweep.cells]
    names = [name for name in rows[0] if any(one[name] for one in rows)] if rows else []
    if names:
        yield f"| {' | '.join(map(escape, names))} |"
        yield f"|{'---|' * len(names)}"
    for one in rows:
        yield f"| {' | '.join(escape(one[name]) for name in names)} |"
