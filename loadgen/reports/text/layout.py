"""Lines of at most so many terminal cells: items side by side, hanging indents, and cut ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len, chop_cells

LABEL: Final = 12
"""Cells that a row's label takes."""


def row(label: str, items: Iterable[str], width: int, gap: str = "   ") -> list[str]:
    """Write a labelled row of items; [] if all are empty."""
    items = list(filter(None, items))
    start = f"  {label:<{LABEL}} "
    return flow(items, width, start, " " * len(start), gap) if items else []


def flow(items: Iterable[str], width: int, start: str, indent: str, gap: str = "   ") -> list[str]:
    """Put items side by side after `start`, and on a further line, indented, what has no room."""
    lines, line, empty = [], start, True
    for item in items:
        if not empty and cell_len(line) + len(gap) + cell_len(item) > width:
            lines.append(line.rstrip())
            line, empty = indent, True
        line, empty = line + ("" if empty else gap) + item, False
    return [*lines, line.rstrip()]


def cut(line: str, width: int) -> str:
    """Cut a line at `width` cells; what was cut ends in "..."."""
    if cell_len(line) <= width:
        return line.rstrip()
    return chop_cells(line, max(2, width - 3))[0].rstrip() + "..."
