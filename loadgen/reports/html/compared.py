"""The page of a comparison: its outcome, a table as benchstat writes them, every change, and both sides' curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loadgen.outcomes.comparison import Comparison, ComparisonRow, LoadPair
from loadgen.reports.compared import HEADER, LEFT, cells_of, confidences, gate_words, headline, side_words, unsure
from loadgen.reports.html.document import Document, document_page
from loadgen.reports.html.page import Section, Table
from loadgen.reports.html.percentiles import overlays, sampled
from loadgen.reports.html.relation import Change, changes
from loadgen.reports.html.runs import titles

_TONES: Final = {"PASS": "ok", "COMPARED": "ok", "REGRESSION": "bad", "INVALID": "bad"}
_MARKS: Final = {"better": "ok", "worse": "bad"}


def comparison_page(comparison: Comparison) -> str:
    """Write the page, HTML. A pure function."""
    word, meaning = headline(comparison)
    cells = comparison.cells
    return document_page(Document(
        f"{word}: loadgen compare", ["loadgen compare"], word, meaning, _TONES.get(word, "warn"),
        facts=[*(fact for cell in cells for fact in _sides(cell)), *(("gate", gate_words(one)) for one in
                                                                       comparison.gates)],
        tables=[(cell.label, table) for cell in cells if (table := _table(cell, comparison.alpha))],
        sections=[section for cell in cells for section in _sections(cell)], notes=list(_remarks(comparison))))


def _sides(cell: LoadPair) -> Iterator[tuple[str, list[str]]]:
    place = f" ({cell.label})" if cell.label else ""
    yield f"base{place}", [text for text in side_words(cell.base) if text]
    yield f"new{place}", [text for text in side_words(cell.new) if text]


def _table(cell: LoadPair, alpha: float) -> Table | None:
    if not cell.rows:
        return None
    lines = [cells_of(row, cell.indicative, alpha) for row in cell.rows]
    kept = [place for place in range(len(HEADER)) if any(line[place] for line in lines)]
    numbers = frozenset(i for i, place in enumerate(kept) if place not in LEFT)
    return Table([HEADER[place] for place in kept], [[line[place] for place in kept] for line in lines], numbers,
                 [_MARKS.get(row.verdict, "") for row in cell.rows], len(kept) - 1)


def _sections(cell: LoadPair) -> Iterator[Section]:
    place = f", {cell.label}" if cell.label else ""
    moved = changes("Change of each statistic", "New against base, with its interval: to the left is less. Green and "
                    "red are significant and beyond the tolerance.",
                    [one for row in cell.rows if (one := _change(row))])
    if moved:
        yield Section(f"What changed{place}", [moved])
    curves = {name: [sampled(metric, curve.count, curve.points) for metric, curve in side.curves.items()
                     if curve.unit == "ns"]
              for name, side in (("base", cell.base), ("new", cell.new))}  # paths are too long for a legend
    yield Section(f"Latency by percentile{place}", overlays(curves, titles()),
                  "All runs of a side together, on a scale "
                  "on which each mark to the right is ten times rarer.")


def _change(row: ComparisonRow) -> Change | None:
    ratio = row.ratio
    if ratio is None or ratio.value is None:
        return None
    low, high = (ratio.low, ratio.high) if ratio.confidence else (None, None)
    return Change(row.name, ratio.value, low, high, row.verdict)


def _remarks(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    for line in comparison.warnings:
        yield "warn", [line]
    for line in comparison.differences:
        yield "not the same", [line]
    for cell in comparison.cells:
        for line in unsure(cell):
            yield "can't tell", [line]
    for line in dict.fromkeys(filter(None, [*map(confidences, comparison.cells), *comparison.notes])):
        yield "note", [line]
