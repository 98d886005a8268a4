"""How a benchmark shows what it measured: a table of aligned text, of Markdown, or JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import machine


@dataclass(slots=True)
class Table:
    """Columns, rows of texts, and below them notes. `data` is what the rows were made of, for --json."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: list[Mapping[str, Any]] = field(default_factory=list)
    machine: str = field(default_factory=machine.describe)  # as it was before the benchmark made it busy

    def text(self) -> str:
        """Return the table as aligned text."""
        widths = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        lines = ["  ".join(_aligned(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
                 for row in (self.columns, *self.rows)]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([self.title, self.machine, "", *(line.rstrip() for line in lines), "", *self.notes])

    def markdown(self) -> str:
        """Return the table as Markdown."""
        rules = ["---" if i == 0 else "---:" for i in range(len(self.columns))]
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, rules, *self.rows)]
        notes = [f"* {note}" for note in self.notes]
        return "\n".join([f"{self.title}. {self.machine}.", "", *lines, "", *notes])


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how to show it."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    group.add_argument("--json", action="store_true", help="print what the table was made of as JSON")


def show(table: Table, args: argparse.Namespace) -> None:
    """Print the table as the arguments ask."""
    if args.json:
        print(json.dumps({"title": table.title, "machine": table.machine, "rows": table.data}))
    else:
        print(table.markdown() if args.markdown else table.text())
