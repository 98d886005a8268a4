"""`loadgen report`: makes everything again from the files of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `report` to the command line."""
    parser = subparsers.add_parser(
        "report", help="make the report of a run again from its files",
        description="Read the files of a run, also of one that was killed, and make its numbers and its verdict again.")
    parser.add_argument("dir", metavar="RUN_DIR", type=Path, help="directory of the run")
    parser.add_argument("--json", action="store_true",
                        help="print summary.json on standard output and nothing else there")
    parser.add_argument("--no-write", action="store_true", help="leave the files of the run as they are")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay a run directory, rewrite its summary.json, print the table, and return the verdict's exit code."""
    from loadgen.cli.show import show
    from loadgen.run import replay

    report = replay(args.dir)
    if not args.no_write:
        text = json.dumps(report.to_json(), indent=2)
        write_whole(args.dir / "summary.json", text + "\n")
    show(report, args.dir, as_json=args.json, quiet=True)
    return report.verdict.exit_code


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part. Raise UsageError if it can't be."""
    from loadgen.types import UsageError

    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}; --no-write prints the report without it") from None
