"""`loadgen run`: builds the Plan from a file and flags, runs it, prints the result."""

from __future__ import annotations

import argparse
from typing import Any

from loadgen.cli.flags import add_flags
from loadgen.cli.plans import plan_from, until_precise
from loadgen.plan import Plan
from loadgen.types import UsageError
from loadgen.units import parse_count

_EPILOG = """\
Times are written 500us, 500ms, 60s, 5m or 1h. Flags override the plan file.

examples:
  loadgen run --backend vllm --url http://host:8000 --rate 10 --duration 60s --input-tokens 512 --output-tokens 128
  loadgen run plan.toml --slo 'ttft.p99<500ms' --slo 'itl.p99<50ms'
  loadgen run runs/2026-11-23T07-40-11-vllm-10 --out again        the same run once more
"""


def add_parser(subparsers: Any) -> None:
    """Add `run` and its flags to the command line."""
    parser = subparsers.add_parser("run", help="offer load to a server and report what it did", epilog=_EPILOG,
                                   usage="loadgen run [PLAN] [flags]",
                                   description="Offer requests on a timeline that is kept whatever the server does, "
                                               "and time every token.")
    parser.add_argument("plan", nargs="?", metavar="PLAN",
                        help="plan file (.toml or .json), or the directory of an earlier run")
    parser.add_argument("--models", metavar="FILE",
                        help="config file with models = [dict(...)], one run each; flags override its fields")
    groups = add_flags(parser)
    groups["judgement"].add_argument("--repeat", metavar="N", type=_times, default=1,
                                     help="run N times with different seeds, and judge all together (1)")
    groups["out"].add_argument("--json", action="store_true",
                               help="print summary.json on standard output and nothing else there")
    groups["out"].add_argument("--quiet", action="store_true", help="no live view")
    parser.set_defaults(run=run)


def _times(text: str) -> int:
    try:
        return parse_count(text)
    except UsageError as error:
        raise UsageError(f"--repeat: {error}") from None


def plan_of(args: argparse.Namespace) -> Plan:
    """Build the Plan that the arguments ask for. Raise UsageError if it can't be run."""
    from loadgen.config import plan_file

    plan = until_precise(plan_from(args), args)
    plan_file.check(plan)
    return plan


def run(args: argparse.Namespace) -> int:
    """Run the plan, print the table (and with --json the summary), and return the verdict's exit code."""
    if args.models and args.repeat > 1:
        raise UsageError("--repeat and --models were both given: repeat one model at a time")
    if args.repeat > 1:
        return _repeat(args)
    if args.models:
        from loadgen.cli.models import run

        return run(args)
    plan = plan_of(args)
    from loadgen.cli.apart import RunJob, execute

    return execute(RunJob("", plan, json=args.json, quiet=args.quiet))


def _repeat(args: argparse.Namespace) -> int:
    """Run the plan several times, each in a process and a directory of its own; judge the runs together."""
    from loadgen.cli.sweeping import sweep
    from loadgen.sweep.parse_spec import spec_of

    plan = plan_of(args)
    return sweep(args, spec_of(plan, {}, "repeat", {"repeat": args.repeat}), plan.out.dir)
