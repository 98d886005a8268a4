"""Runs a sweep from the command line: its lines while it goes, and what is printed at its end."""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from pathlib import Path

from loadgen.capacity import Sweep, SweepCell
from loadgen.capacity.model import Value
from loadgen.cli.files import write_whole
from loadgen.cli.formats import SWEEP, format_of
from loadgen.cli.page import add_file
from loadgen.cli.show import width_of
from loadgen.outcomes.report import PAGE
from loadgen.reports import sweep_words
from loadgen.reports.format import duration
from loadgen.reports.html.sweep import sweep_page
from loadgen.reports.text import sweep_text
from loadgen.sweep.runner import SweepEvents, SweepRunner
from loadgen.sweep.spec import Spec
from loadgen.sweep.steps import steps


def sweep(args: argparse.Namespace, spec: Spec, directory: str) -> int:
    """Run a sweep in a directory (the default one if it is ""), print it, and return its exit code."""
    place = Path(directory or _default(spec))
    gated = bool(spec.plan.judgement.slo) or spec.goal == "knee"
    campaign = SweepRunner(spec, place, _events(args.quiet, gated), args.quiet)
    found = campaign.run(steps)
    show(found, place, as_json=args.json, markdown=getattr(args, "markdown", False), quiet=args.quiet,
         page=spec.plan.out.page)
    if spec.plan.out.page:
        add_file(PAGE, lambda: write_whole(place / PAGE, sweep_page(found), instead=""),
                 f"Make it later with: loadgen report {place}")
    return found.exit_code


def show(found: Sweep, directory: Path, *, as_json: bool, markdown: bool = False, quiet: bool = False,
         page: bool = True) -> None:
    """Print a sweep: on stdout as text or markdown, or sweep.json there and the text on stderr unless `quiet`."""
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
        sys.stdout.flush()
    if as_json and quiet:
        return
    stream = sys.stderr if as_json else sys.stdout
    if markdown:
        print(format_of("markdown").renderer(SWEEP)(found), end="", file=stream)
    else:
        files = f"{directory}/  sweep.json  {f'{PAGE}  ' if page else ''}and a directory for each cell"
        sweep_text.write(found, stream, width_of(stream), files)
    stream.flush()


def _events(quiet: bool, gated: bool) -> SweepEvents:
    def says(text: str) -> None:
        print(f"loadgen: {text}", file=sys.stderr, flush=True)

    planned: list[int | None] = [None]

    def begins(number: int, of: int | None, coordinates: dict[str, Value], length: int) -> None:
        planned[0] = of
        if not quiet:
            about = f", for {duration(length)}" if length else ""
            says(f"cell {number}{f' of {of}' if of else ''}: {sweep_words.where(coordinates)}{about}")

    def ended(cell: SweepCell, again: bool) -> None:
        if not quiet:
            says(sweep_text.line(cell, planned[0], again, gated))

    return SweepEvents(begins, ended, says)


def _default(spec: Spec) -> str:
    backend = re.sub(r"[^\w.-]", "_", Path(spec.plan.target.backend).name)
    return f"runs/{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}-{backend}-{spec.goal}"
