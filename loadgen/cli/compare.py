"""`loadgen compare`: the runs of two sides against each other, and gates that a regression fails."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.cli.formats import COMPARISON, format_of, names
from loadgen.cli.kinds import FILES
from loadgen.types import UsageError

if TYPE_CHECKING:
    from loadgen.compare import Question
    from loadgen.outcomes.comparison import Comparison

_EPILOG = """\
A side is a run directory, a directory with run directories in it, or several of either.

examples:
  loadgen compare runs/old runs/new --fail-on 'ttft.p99>10%' --fail-on 'itl.mean>3%'
  loadgen compare --base runs/base-* --new runs/new-* --format markdown > comment.md

exit codes: 0 no regression by any gate, 1 a regression, 2 usage, 3 it can't tell, or a run is INVALID
"""


def add_parser(subparsers: Any) -> None:
    """Add `compare` and its flags to the command line."""
    parser = subparsers.add_parser("compare", help="say whether one side's runs are slower than another's",
                                   epilog=_EPILOG, usage="loadgen compare BASE NEW [flags]",
                                   description="Compare runs of the same load. The sample is a run: 4 on each side can "
                                               "decide one gate, 5 six of them.")
    parser.add_argument("sides", nargs="*", metavar="BASE NEW", help="directories of the two sides")
    parser.add_argument("--base", nargs="+", metavar="DIR", help="several directories of one side")
    parser.add_argument("--new", nargs="+", metavar="DIR", help="several directories of the other")
    add_arguments(parser)
    parser.add_argument("--lax", action="store_true", help="INVALID runs are a warning")
    parser.add_argument("--force", action="store_true", help="compare runs that were not offered the same load")
    parser.add_argument("--out", metavar="DIR", help="write comparison.json and report.html there")
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is compared and how it is shown."""
    parser.add_argument("--fail-on", action="append", default=[], metavar="GATE",
                        help="'ttft.p99>3%%', 'output_tokens<-3%%', or ttft.p99 alone; exit 1 if it regressed")
    parser.add_argument("--tolerance", metavar="SHARE", default="3%",
                        help="a smaller change is none, however sure it is (3%%)")
    parser.add_argument("--strict", action="store_true",
                        help="a gate passes only if its interval rules a regression out, else exit 3")
    parser.add_argument("--rows", metavar="LIST", default="", help="statistics to show, as in ttft.p90,max_gap.p99")
    parser.add_argument("--format", choices=names(COMPARISON), default="text",
                        help=f"what to print: {', '.join(names(COMPARISON))} (text)")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    """Read both sides, compare, print, and return the exit code."""
    paths = sides_of(args)
    place = place_of(args.out)
    question = question_of(args, labels=(_label(paths[0]), _label(paths[1])), lax=args.lax, force=args.force)
    from loadgen.compare import compare
    from loadgen.compare.load import read_blocks, read_sides

    comparison = compare(*read_sides(*paths), question, read_blocks)
    show(comparison, args.format, place)
    return comparison.exit_code


def sides_of(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the directories of both sides. Raise UsageError unless each side has some."""
    if args.base and args.new and not args.sides:
        return args.base, args.new
    if len(args.sides) == 2 and not args.base and not args.new:
        return [args.sides[0]], [args.sides[1]]
    raise UsageError(f"two sides are compared, and {len(args.sides)} were given: write loadgen compare BASE NEW, or "
                     "--base DIR... --new DIR... for several directories a side")


def _label(paths: Sequence[str]) -> str:
    return paths[0] + (f" and {len(paths) - 1} more" if paths[1:] else "")


def question_of(args: argparse.Namespace, **settings: Any) -> Question:
    """Build the Question that the flags of `add_arguments` ask. Raise UsageError for one that makes no sense."""
    from loadgen.compare import Question
    from loadgen.compare.gates import read_all
    from loadgen.config.plan_file import read_share

    try:
        tolerance = read_share(args.tolerance)
    except UsageError as error:
        raise UsageError(f"--tolerance: {error}") from None
    if not 0 <= tolerance < 1:
        raise UsageError(f"invalid --tolerance {args.tolerance}: write 0% or more, and less than 100%")
    rows = tuple(filter(None, (name.strip() for name in args.rows.split(","))))
    return Question(read_all(args.fail_on, tolerance), rows, tolerance, strict=args.strict, curves=bool(args.out),
                    **settings)


def place_of(out: str | None) -> Path | None:
    """Make the directory that --out names, if it does. Raise UsageError if it can't be made, or is of something else.
    """
    from loadgen.compare.load import is_run
    from loadgen.sweep.files import SWEEP

    if out is None:
        return None
    place = Path(out)
    try:
        if is_run(place) or (place / SWEEP).is_file():
            raise UsageError(f"{place} is the directory of a {'run' if is_run(place) else 'sweep'}, whose report would "
                             "be lost: write another --out")
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"can't make {place}: {error.strerror}; write another --out") from None
    return place


def show(comparison: Comparison, form: str, out: Path | str | None, page: bool = True) -> None:
    """Print a comparison in the form that was asked for, then write its files if there is a directory for them."""
    print_it(comparison, form, out, page)
    if out:
        add_files(comparison, Path(out), page)


def print_it(comparison: Comparison, form: str, out: Path | str | None, page: bool = True) -> None:
    """Print a comparison, with the names of the files that it has in a directory."""
    from loadgen.cli.show import width_of
    from loadgen.outcomes.report import PAGE
    from loadgen.reports.text import compare_text

    if form != "text":
        print(format_of(form).renderer(COMPARISON)(comparison), end="")
    else:
        files = "  ".join([f"{out}/", FILES[COMPARISON], *([PAGE] if page else [])]) if out else ""
        compare_text.write(comparison, sys.stdout, width_of(sys.stdout), files)
    sys.stdout.flush()


def add_files(comparison: Comparison, directory: Path, page: bool = True) -> None:
    """Write the files of a comparison, all of them from the Comparison alone; warn if that can't be done."""
    from loadgen.cli.files import write_whole
    from loadgen.cli.page import add_file
    from loadgen.outcomes.report import PAGE

    def write_page() -> None:
        from loadgen.reports.html.compared import comparison_page

        write_whole(directory / PAGE, comparison_page(comparison), instead="")

    text = json.dumps(comparison.to_json(), indent=2) + "\n"
    name = FILES[COMPARISON]
    written = add_file(name, lambda: write_whole(directory / name, text, instead=""), "Compare the runs again")
    if written and page:
        add_file(PAGE, write_page, f"Make it later with: loadgen report {directory}")
