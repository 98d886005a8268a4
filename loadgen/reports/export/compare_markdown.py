"""A comparison as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from loadgen.outcomes.comparison import Comparison, LoadPair
from loadgen.reports.compared import HEADER, LEFT, cells_of, confidences, gate_words, headline, side_words, unsure
from loadgen.reports.export.markdown import bullet, escape


def render(comparison: Comparison) -> str:
    """Write a comparison as GitHub's Markdown. A pure function; texts from files are escaped."""
    word, meaning = headline(comparison)
    blocks = [f"**{word}** {escape(meaning)}", "\n".join(map(bullet, comparison.warnings))]
    for cell in comparison.cells:
        blocks += [f"### {escape(cell.label)}" if cell.label else "", _table(cell, comparison.alpha)]
    gates = [f"* gate {'   '.join(map(escape, gate_words(gate)))}" for gate in comparison.gates]
    blocks += ["\n".join(gates), "\n".join(map(bullet, _remarks(comparison)))]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _table(cell: LoadPair, alpha: float) -> str:
    """Write the table of a cell, each interval in the column of its value."""
    rows = [HEADER, *(cells_of(one, cell.indicative, alpha) for one in cell.rows)]
    joined = [[line[0], f"{line[1]} {line[2]}", f"{line[3]} {line[4]}", f"{line[5]} {line[6]}", *line[7:]]
              for line in rows]
    rule = ["---" if place in LEFT else "---:" for place in (0, 1, 3, 5, 7, 8, 9)]
    lines = [[escape(text.strip()) for text in line] for line in joined]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _remarks(comparison: Comparison) -> Iterator[str]:
    for cell in comparison.cells:
        for name, side in (("base", cell.base), ("new", cell.new)):
            place = f"{cell.label}, {name}" if cell.label else name
            yield f"{place}: {', '.join(filter(None, side_words(side)))}"
        yield from unsure(cell)
    yield from (f"not the same load: {line}" for line in comparison.differences)
    yield from dict.fromkeys(filter(None, [*map(confidences, comparison.cells), *comparison.notes]))
