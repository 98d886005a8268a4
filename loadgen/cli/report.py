"""`loadgen report`: makes everything again from the files of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from loadgen.cli.export import export
from loadgen.cli.files import write_whole
from loadgen.cli.formats import COMPARISON, RUN, SWEEP, format_of, help_text
from loadgen.cli.kinds import kind_of, load
from loadgen.exit_codes import OK


def add_parser(subparsers: Any) -> None:
    """Add `report` to the command line."""
    parser = subparsers.add_parser(
        "report", help="make the report of a run, a sweep or a comparison again from its files",
        epilog=help_text(),
        description="Read the files of a run, also of one that was killed, and make its numbers and its verdict again.")
    parser.add_argument("dirs", metavar="DIR", type=Path, nargs="+",
                        help="directory of a run, a sweep or a comparison")
    parser.add_argument("--json", action="store_true",
                        help="print summary.json on standard output and nothing else there")
    parser.add_argument("--no-write", action="store_true", help="leave the files of the run as they are")
    parser.add_argument("--format", metavar="NAME",
                        help="write the runs, the sweep or the comparison in a format, see below; changes none of "
                             "their files, and exits with 0")
    parser.add_argument("--out", metavar="FILE", type=Path,
                        help="where --format writes: a file, or a directory for a format of several files (standard "
                             "output)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for with the runs, and return an exit code: with --format 0, else the highest of their own."""
    from loadgen.types import UsageError

    if args.format:
        export(args.dirs, format_of(args.format), args.out)
        return OK
    if args.out:
        raise UsageError("--out says where --format writes: add --format NAME, as in --format markdown")
    if args.json and len(args.dirs) > 1:
        raise UsageError("--json prints one summary: name one directory, or write --format json")
    return max(_report(dir, args) for dir in args.dirs)


def _report(dir: Path, args: argparse.Namespace) -> int:
    """Replay a run, rewrite its summary.json and report.html, print the table, and return the verdict's exit code.

    A directory that holds a sweep or a comparison is reported from that.
    """
    kind = kind_of(dir)
    if kind != RUN:
        return {SWEEP: _report_sweep, COMPARISON: _report_comparison}[kind](dir, args)
    from loadgen.cli.page import write_page
    from loadgen.cli.show import show
    from loadgen.outcomes.report import PAGE
    from loadgen.run_files.read_back import read_back

    result = read_back(dir)
    if not args.no_write:
        text = json.dumps(result.report.to_json(), indent=2)
        write_whole(dir / "summary.json", text + "\n")
    show(result.report, dir, as_json=args.json, quiet=True, coming="" if args.no_write else PAGE)
    if not args.no_write:
        write_page(result)
    return result.report.verdict.exit_code


def _report_sweep(dir: Path, args: argparse.Namespace) -> int:
    from loadgen.cli.sweeping import show
    from loadgen.outcomes.report import PAGE
    from loadgen.reports.html.sweep import sweep_page

    found = load(dir, SWEEP)
    show(found, dir, as_json=args.json, quiet=True)
    if not args.no_write:
        write_whole(dir / PAGE, sweep_page(found), instead="")
    return int(found.exit_code)


def _report_comparison(dir: Path, args: argparse.Namespace) -> int:
    from loadgen.cli.compare import print_it
    from loadgen.outcomes.report import PAGE
    from loadgen.reports.html.compared import comparison_page

    comparison = load(dir, COMPARISON)
    print_it(comparison, "json" if args.json else "text", None if args.no_write else dir)
    if not args.no_write:
        write_whole(dir / PAGE, comparison_page(comparison), instead="")
    return int(comparison.exit_code)
