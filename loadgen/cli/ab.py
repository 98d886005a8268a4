"""`loadgen ab`: two servers in turn, A B B A, under the same loads, and the comparison in one go."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.cli.apart import RunJob, execute_apart
from loadgen.cli.compare import add_arguments, question_of, show
from loadgen.cli.flags import add_flags
from loadgen.cli.plans import plan_from, until_precise
from loadgen.exit_codes import INTERRUPTED, INVALID, OK, USAGE
from loadgen.plan import OutputOptions, Plan
from loadgen.types import SECOND, UsageError
from loadgen.units import parse_count, parse_duration

if TYPE_CHECKING:
    from loadgen.compare import Question

_EPILOG = """\
The load is that of loadgen run, flags and plan file alike. Each pair of runs has a seed of its own, the same on both
sides; the order within pairs alternates, so that a drift of the machine falls on both.

examples:
  loadgen ab --base http://old:8000 --new http://new:8000 --rate 10 --duration 60s --fail-on 'itl.mean>3%'
  loadgen ab plan.toml --base http://127.0.0.1:8000 --new http://127.0.0.1:8001 --runs 6

exit codes: those of loadgen compare, and 130 if it was interrupted
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of an A/B comparison."""

    side: str
    number: int
    job: RunJob


def add_parser(subparsers: Any) -> None:
    """Add `ab` and its flags to the command line."""
    parser = subparsers.add_parser("ab", help="run two servers in turn, and compare them", epilog=_EPILOG,
                                   usage="loadgen ab [PLAN] --base URL --new URL [flags]",
                                   description="Offer the same loads to two servers in turn, A B B A, and compare.")
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="plan file, or the directory of an earlier run")
    parser.add_argument("--base", action="append", metavar="URL", help="where the old server is; repeatable, as --url")
    parser.add_argument("--new", action="append", metavar="URL", help="where the new one is")
    parser.add_argument("--runs", type=parse_count, default=5, metavar="N", help="runs of each side (5)")
    parser.add_argument("--pause", type=parse_duration, default=parse_duration("5s"), metavar="TIME",
                        help="between two runs (5s)")
    add_arguments(parser)
    groups = add_flags(parser)
    groups["out"].add_argument("--quiet", action="store_true", help="no live view of the runs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the runs in turn, compare what there is, and return the exit code of the comparison."""
    plan, out = plan_of(args)
    question = question_of(argparse.Namespace(**{**vars(args), "out": str(out)}), lax=plan.judgement.lax)
    if args.base == args.new:
        print("loadgen: note: both sides are one server: a prefix cache answers the second run of a pair faster",
              file=sys.stderr)
    jobs = list(turns(plan, out, args.base, args.new, args.runs, args.quiet))
    made, code = _make(jobs, args.pause)
    return _compare(made, code, question, args.format, plan.out)


def plan_of(args: argparse.Namespace) -> tuple[Plan, Path]:
    """Build the plan that all runs share, and say where they go. Raise UsageError if it can't be run."""
    from loadgen.config import plan_file

    if not args.base or not args.new:
        raise UsageError("two servers are compared: write --base URL and --new URL")
    if "target.url" in vars(args):
        raise UsageError("--url names one server, and two are compared: write --base URL and --new URL")
    plan = until_precise(plan_from(args), args)
    for side in (args.base, args.new):
        plan_file.check(replace(plan, target=replace(plan.target, url=tuple(side))))
    out = Path(plan.out.dir or f"runs/{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}-ab")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"the output directory {out} exists and is not empty: write another --out, or remove it")
    return replace(plan, out=replace(plan.out, dir=str(out))), out


def turns(plan: Plan, out: Path, base: Sequence[str], new: Sequence[str], runs: int, quiet: bool) -> Iterator[Turn]:
    """Yield the runs in their order: A B, B A, A B, ...; each pair has the next seed."""
    for number in range(1, runs + 1):
        pair = [("base", base), ("new", new)]
        for side, urls in pair if number % 2 else reversed(pair):
            name = f"{side}-{number}"
            one = replace(plan, target=replace(plan.target, url=tuple(urls)),
                          load=replace(plan.load, seed=plan.load.seed + number - 1),
                          out=replace(plan.out, dir=str(out / name)))
            yield Turn(side, number, RunJob(name, one, quiet=quiet, table=False))


def _make(jobs: Sequence[Turn], pause: int) -> tuple[list[Turn], int]:
    """Make the runs; return those that ended by themselves, and 130 or 2 if the rest was left out, else 0."""
    from loadgen.run_files import names

    made: list[Turn] = []
    for place, turn in enumerate(jobs, 1):
        try:
            if made and pause:
                time.sleep(pause / SECOND)
        except KeyboardInterrupt:
            return made, INTERRUPTED
        print(f"loadgen: run {place} of {len(jobs)}: {turn.job.name}", file=sys.stderr, flush=True)
        code = execute_apart(turn.job)
        if code in (INTERRUPTED, USAGE):
            return made, code
        if not (Path(turn.job.plan.out.dir) / names.PLAN).exists():
            print(f"loadgen: {turn.job.name} left no files; its pair is left out", file=sys.stderr, flush=True)
            continue
        if code == INVALID:
            print(f"loadgen: {turn.job.name} is INVALID; it is kept, and counted as such", file=sys.stderr, flush=True)
        made.append(turn)
    return made, OK


def _compare(made: Sequence[Turn], code: int, question: Question, form: str, out: OutputOptions) -> int:
    from loadgen.compare import compare
    from loadgen.compare.load import read_blocks, read_sides

    whole = [turn for turn in made if {"base", "new"} == {other.side for other in made if other.number == turn.number}]
    sides = [[turn.job.plan.out.dir for turn in whole if turn.side == side] for side in ("base", "new")]
    if not whole:
        print("loadgen: not one pair of runs was made: there is nothing to compare", file=sys.stderr)
        return code or INVALID
    question = replace(question, interrupted=code == INTERRUPTED)
    comparison = compare(*read_sides(*sides), question, read_blocks)
    if code:
        why = "interrupted" if code == INTERRUPTED else "a run could not start"
        pairs = f"{len(whole) // 2} whole pair{'s' if len(whole) > 2 else ''}"
        note = f"{why} after {len(made)} runs: the comparison is of {pairs}"
        comparison = replace(comparison, notes=(note, *comparison.notes))
    show(comparison, form, out.dir, out.page)
    return INVALID if code == USAGE else comparison.exit_code
