"""Prints a finished report: the table for people, the summary for programs, each on its own stream."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Final, TextIO

from loadgen.outcomes.report import Report
from loadgen.reports.text import run_text

WIDEST: Final = 120
"""Columns; a line that is longer is no easier to read."""


def show(report: Report, directory: Path, *, as_json: bool, quiet: bool, coming: str = "") -> None:
    """Print the table on stdout; with `as_json` summary.json goes there, and the table to stderr unless `quiet`.

    `coming` is a file of the directory that is not there yet.
    """
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    if not as_json or not quiet:
        stream = sys.stderr if as_json else sys.stdout
        run_text.write(report, stream, width_of(stream), files_of(directory, coming))
        stream.flush()


def width_of(stream: TextIO) -> int:
    """Say how many columns to use: the terminal's, but at most 120; 120 where there is none."""
    return min(WIDEST, shutil.get_terminal_size().columns) if stream.isatty() else WIDEST


def files_of(directory: Path, coming: str = "") -> str:
    """Name a run directory and the files in it, and `coming`; those of a kind that has many as one pattern."""
    names = {f"*{path.suffix}" if path.suffix == ".hlog" else path.name for path in directory.iterdir()}
    names |= {coming} - {""}
    return f"{directory}/  {'  '.join(sorted(names, key=lambda name: (name.startswith('*'), name)))}"
