"""`loadgen sweep`: a grid of runs, or a search for how much a server can take."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from loadgen.cli.flags import add_flags, overrides, read_share_of
from loadgen.types import UsageError
from loadgen.units import parse_count, parse_duration, parse_rate

if TYPE_CHECKING:
    from loadgen.plan import Plan
    from loadgen.sweep.spec import Spec

AXES: Final = ("--backend", "--url", "--rate", "--concurrency", "--input-tokens", "--output-tokens")
"""Flags of `run` that take several values here."""
GOALS: Final = ("max-rate", "max-concurrency", "knee", "goodput")
_EPILOG: Final = """\
Everything else is as in `loadgen run`. The same command with the same --out goes on where it stopped.

examples:
  loadgen sweep --url http://host:8000 --rate 1..64/2x --duration 60s --slo 'ttft.p99<500ms'
  loadgen sweep --url http://host:8000 --find max-rate --slo 'ttft.p99<500ms' --slo 'itl.p99<50ms' --target-rate 300
  loadgen sweep --url http://host:8000 --input-tokens 128,512,2048 --rate 1,2,4 --requests 500 --out lengths
  loadgen sweep --resume lengths

exit codes: 0 answered, 1 an SLO missed (in a search: at every load), 2 usage, 3 it can't be said, 130 interrupted
"""


def add_parser(subparsers: Any) -> None:
    """Add `sweep` and its flags to the command line."""
    parser = subparsers.add_parser("sweep", help="find out how much a server can take, or measure a grid of loads",
                                   epilog=_EPILOG, usage="loadgen sweep [PLAN] [flags]",
                                   description="Make many runs for one answer, each in a process of its own.")
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="plan file, or the directory of an earlier run")
    parser.add_argument("--resume", metavar="DIR", help="go on with the sweep in DIR, with the flags that it has")
    _add_axes(parser.add_argument_group("what differs between runs (1,2,4 or 1..64/2x or 1..9/2)"))
    _add_search(parser.add_argument_group("what is looked for"))
    _add_between(parser.add_argument_group("between runs"))
    _add_use(parser.add_argument_group("what the answer is for"))
    groups = add_flags(parser, without=AXES)
    groups["out"].add_argument("--json", action="store_true", help="print sweep.json on standard output, nothing else")
    groups["out"].add_argument("--markdown", action="store_true", help="print markdown instead of text")
    groups["out"].add_argument("--quiet", action="store_true", help="no live view, and no line for each run")
    parser.set_defaults(run=run)


def _add_axes(group: Any) -> None:
    for name, metavar, about in (
            ("--rate", "LIST", "requests per second; with --find, one number: where to begin (1)"),
            ("--concurrency", "LIST", "closed loop: requests at a time"),
            ("--backend", "NAME", "dialect; several are compared"),
            ("--url", "URL", "server; several are compared; A,B in one are used in turn"),
            ("--input-tokens", "LENGTH", "a list, or a law as in run; several are compared"),
            ("--output-tokens", "LENGTH", "the same for answers")):
        group.add_argument(name, action="append", metavar=metavar, help=about)
    group.add_argument("--repeat", metavar="N", type=_named("--repeat", parse_count), default=1,
                       help="run each cell N times, with different seeds (1)")


def _add_search(group: Any) -> None:
    group.add_argument("--find", metavar="GOAL", help="max-rate, max-concurrency, knee or goodput")
    group.add_argument("--goodput", action="store_true", help="the same as --find goodput")
    for name, about in (("--lowest", "never less than this (a 64th of where it begins)"),
                        ("--highest", "never more than this (what the client can do)")):
        group.add_argument(name, metavar="N", type=_named(name, parse_rate), help=about)
    group.add_argument("--resolution", metavar="SHARE", type=_named("--resolution", read_share_of), default=0.05,
                       help="width of the answer's interval that is aimed at (5%%)")
    group.add_argument("--max-probes", metavar="N", type=_named("--max-probes", parse_count), default=40,
                       help="runs of a search (40)")


def _add_between(group: Any) -> None:
    group.add_argument("--pause", metavar="TIME", type=_named("--pause", parse_duration), default=0,
                       help="wait between runs (0s)")
    group.add_argument("--reset-cache", action="store_true", help="POST /reset_prefix_cache before each run (vLLM)")
    group.add_argument("--between", metavar="COMMAND", default="", help="shell command before each run")


def _add_use(group: Any) -> None:
    group.add_argument("--target-rate", metavar="N", type=_named("--target-rate", parse_rate),
                       help="requests per second that all replicas are to carry")
    group.add_argument("--headroom", metavar="SHARE", type=_named("--headroom", read_share_of), default=None,
                       help="added to the replicas that are needed (10%%)")
    group.add_argument("--price-per-hour", metavar="PRICE", type=_named("--price-per-hour", parse_rate),
                       help="of one replica, in any currency")


def _named(name: str, read: Any) -> Any:
    def named(text: str) -> Any:
        try:
            return read(text)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None
    return named


def run(args: argparse.Namespace) -> int:
    """Run the sweep, print what it found, and return its exit code."""
    from loadgen.cli.sweeping import sweep

    return sweep(args, spec_of(args), _directory(args))


def spec_of(args: argparse.Namespace) -> Spec:
    """Build the Spec that the arguments ask for, or that a directory holds. Raise UsageError if it can't be run."""
    from loadgen.sweep import asking

    if args.resume:
        return _resumed(args)
    axes = {name: getattr(args, name) for name in ("rate", "concurrency", "backend", "url", "input_tokens",
                                                   "output_tokens")}
    if args.goodput and args.find not in (None, "goodput"):
        raise UsageError(f"--goodput is --find goodput, and --find {args.find} was given too: leave one out")
    return asking.spec_of(_plan(args), axes, "goodput" if args.goodput else args.find or "grid", _settings(args))


def _resumed(args: argparse.Namespace) -> Spec:
    from pathlib import Path

    from loadgen.sweep import files
    from loadgen.sweep.asking import check
    from loadgen.sweep.spec import read

    given = [*overrides(vars(args)), *(name for name in ("plan", "find", "rate", "concurrency", "url") if
                                       getattr(args, name, None))]
    if [name for name in given if name not in ("target.api_key",)]:
        raise UsageError("--resume takes the flags of the sweep that is there: leave the others out "
                         f"({', '.join(given)}), or give the whole command again with --out {args.resume}")
    spec = read(files.load(Path(args.resume)), overrides(vars(args)))
    check(spec)
    return spec


def _plan(args: argparse.Namespace) -> Plan:
    from loadgen import planfile
    from loadgen.plan import Plan

    plan = planfile.load(args.plan) if args.plan else Plan()
    return planfile.reveal(planfile.override(plan, overrides(vars(args))))


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    names = ("lowest", "highest", "resolution", "repeat", "pause", "reset_cache", "between", "target_rate", "headroom",
             "price_per_hour")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return {**given, "most": args.max_probes}


def _directory(args: argparse.Namespace) -> str:
    return str(args.resume or getattr(args, "out.dir", ""))
