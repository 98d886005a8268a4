"""The table of loadgen run, of one run or of several one below the other, as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from loadgen.reports.text import run_text
from loadgen.summary.run_data import RunData

_WIDTH: Final = 120


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write the table of each run, 120 columns wide."""
    for number, result in enumerate(results):
        yield ("\n\n" if number else "") + run_text.render(result.report, _WIDTH, f"{result.dir}/")
