"""A comparison as plain text: the outcome first, then a table as benchstat writes them, in 100 to 120 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TextIO

from rich.cells import cell_len

from loadgen.outcomes.comparison import Comparison, LoadPair
from loadgen.reports.compared import HEADER, LEFT, cells_of, confidences, gate_words, headline, side_words, unsure
from loadgen.reports.format import clean
from loadgen.reports.text.layout import cut, row

NARROWEST: Final = 60
_EXPENDABLE: Final = ((2, 4), (6,), (8,))
"""Columns that a narrow terminal does without, the first first."""


def render(comparison: Comparison, width: int = 120, files: str = "") -> str:
    """Write a comparison in at most `width` columns (60 at least). `files` says where it was written.

    A pure function; texts from files are made safe for a terminal.
    """
    width = max(NARROWEST, width)
    word, meaning = headline(comparison)
    blocks = [[cut(f"    {word}   {meaning}", width), *_reasons(comparison, width)]]
    for cell in comparison.cells:
        blocks.append([cut(clean(cell.label), width)] if cell.label else [])
        blocks.append([*row("base", side_words(cell.base), width), *row("new", side_words(cell.new), width)])
        blocks.append(_table(cell, comparison.alpha, width))
    blocks.append([*_gates(comparison, width), *_remarks(comparison, width), *row("files", files.split("  "), width)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def write(comparison: Comparison, stream: TextIO, width: int, files: str = "") -> None:
    """Print a comparison on a stream, in what characters it has."""
    encoding = stream.encoding or "utf-8"
    print(render(comparison, width, files).encode(encoding, "replace").decode(encoding), file=stream)


def _reasons(comparison: Comparison, width: int) -> Iterator[str]:
    """Say which runs make the comparison INVALID, and why."""
    for warning in () if comparison.lax else comparison.warnings:
        yield cut(f"      {clean(warning)}", width)


def _table(cell: LoadPair, alpha: float, width: int) -> list[str]:
    if not cell.rows:
        return ["  no statistic is on both sides: there is nothing to show"]
    rows = [HEADER, *(cells_of(one, cell.indicative, alpha) for one in cell.rows)]
    kept = [place for place in range(len(HEADER)) if any(line[place] for line in rows)]
    lines = _lay_out(rows, kept)
    for places in _EXPENDABLE:
        if max(map(cell_len, lines)) <= width:
            break
        kept = [place for place in kept if place not in places]
        lines = _lay_out(rows, kept)
    return [cut(line, width) for line in lines]


def _lay_out(rows: Sequence[Sequence[str]], kept: Sequence[int]) -> list[str]:
    """Align the kept columns; an interval stands close to its value."""
    lines = [""] * len(rows)
    for place in kept:
        size = max(cell_len(line[place]) for line in rows)
        gap = "  " if place == 0 else " " if place in LEFT and place != LEFT[-1] else "   "
        for i, line in enumerate(rows):
            space = " " * (size - cell_len(line[place]))
            lines[i] += gap + (line[place] + space if place in LEFT else space + line[place])
    return [line.rstrip() for line in lines]


def _gates(comparison: Comparison, width: int) -> Iterator[str]:
    for gate in comparison.gates:
        yield from row("gate", gate_words(gate), width)


def _remarks(comparison: Comparison, width: int) -> Iterator[str]:
    for line in comparison.warnings if comparison.lax else ():
        yield from row("warn", clean(line).split(" "), width, " ")
    for line in comparison.differences:
        yield from row("not the same", clean(line).split(" "), width, " ")
    for cell in comparison.cells:
        for line in unsure(cell):
            yield from row("can't tell", line.split(" "), width, " ")
    said = dict.fromkeys(filter(None, [*map(confidences, comparison.cells), *comparison.notes]))
    for line in said:
        yield from row("note", clean(line).split(" "), width, " ")
