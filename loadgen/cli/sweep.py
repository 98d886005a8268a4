"""`loadgen sweep`: a grid of runs, or a search for how much a server can take."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from loadgen.cli.flags import FLAGS, add_flags, overrides, read_share_of
from loadgen.cli.plans import goes_on, plan_from
from loadgen.types import UsageError
from loadgen.units import parse_count, parse_duration, parse_rate

if TYPE_CHECKING:
    from loadgen.sweep.spec import Spec

AXES: Final = ("--backend", "--url", "--rate", "--concurrency", "--input-tokens", "--output-tokens")
"""Flags of `run` that take several values here."""
SETTINGS: Final = {
    "lowest": "--lowest", "highest": "--highest", "resolution": "--resolution", "most": "--max-probes",
    "repeat": "--repeat", "pause": "--pause", "reset_cache": "--reset-cache", "between": "--between",
    "target_rate": "--target-rate", "headroom": "--headroom", "price_per_hour": "--price-per-hour"}
"""Fields of the Settings, and the flags that set them. A flag that is not given leaves nothing in the arguments."""
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
    parser.add_argument("--resume", metavar="DIR",
                        help="go on with the sweep in DIR, with its flags; those that change no run may be given")
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
        group.add_argument(name, action="append", default=argparse.SUPPRESS, metavar=metavar, help=about)
    _add_setting(group, "repeat", "N", parse_count, "run each cell N times, with different seeds (1)")


def _add_search(group: Any) -> None:
    group.add_argument("--find", metavar="GOAL", default=argparse.SUPPRESS,
                       help="max-rate, max-concurrency, knee or goodput")
    group.add_argument("--goodput", action="store_true", default=argparse.SUPPRESS, help="the same as --find goodput")
    _add_setting(group, "lowest", "N", parse_rate, "never less than this (a 64th of where it begins)")
    _add_setting(group, "highest", "N", parse_rate, "never more than this (what the client can do)")
    _add_setting(group, "resolution", "SHARE", read_share_of, "width of the answer's interval that is aimed at (5%%)")
    _add_setting(group, "most", "N", parse_count, "runs of a search (40)")


def _add_between(group: Any) -> None:
    _add_setting(group, "pause", "TIME", parse_duration, "wait between runs (0s)")
    group.add_argument("--reset-cache", action="store_true", default=argparse.SUPPRESS,
                       help="POST /reset_prefix_cache before each run (vLLM)")
    _add_setting(group, "between", "COMMAND", str, "shell command before each run")


def _add_use(group: Any) -> None:
    _add_setting(group, "target_rate", "N", parse_rate, "requests per second that all replicas are to carry")
    _add_setting(group, "headroom", "SHARE", read_share_of, "added to the replicas that are needed (10%%)")
    _add_setting(group, "price_per_hour", "PRICE", parse_rate, "of one replica, in any currency")


def _add_setting(group: Any, field: str, metavar: str, read: Any, about: str) -> None:
    name = SETTINGS[field]
    group.add_argument(name, dest=field, metavar=metavar, type=_named(name, read), default=argparse.SUPPRESS,
                       help=about)


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
    from loadgen.sweep import parse_spec

    if args.resume:
        return _resumed(args)
    axes = {name[2:].replace("-", "_"): getattr(args, name[2:].replace("-", "_"), None) for name in AXES}
    goal, goodput = getattr(args, "find", None), hasattr(args, "goodput")
    if goodput and goal not in (None, "goodput"):
        raise UsageError(f"--goodput is --find goodput, and --find {goal} was given too: leave one out")
    settings = {**_settings(args), **({"until_precise": True} if goes_on(args) else {})}
    return parse_spec.spec_of(plan_from(args), axes, "goodput" if goodput else goal or "grid", settings)


def _resumed(args: argparse.Namespace) -> Spec:
    """Build the Spec of the sweep that is there, with the flags that change no run of it. Refuse all others."""
    from pathlib import Path

    from loadgen.sweep import files
    from loadgen.sweep.parse_spec import check, without_effect
    from loadgen.sweep.spec import AFTERWARDS, read

    settings = _settings(args)
    others = [_flag(name) for name, value in vars(args).items()
              if name not in (*_OF_ANY, *_FREE, *AFTERWARDS) and (name, value) != ("plan", None)]
    if others:
        raise UsageError("--resume takes the flags of the sweep that is there: leave the others out "
                         f"({', '.join(others)}), or give the whole command again with --out {args.resume}")
    spec = read(files.load(Path(args.resume)), overrides(vars(args)))
    wrong = list(without_effect(spec.goal, settings, spec.settings.target_rate))
    if wrong:
        raise UsageError("\n".join(wrong))
    spec = replace(spec, settings=replace(spec.settings, **settings))
    check(spec)
    return spec


_OF_ANY: Final = ("command", "run", "resume", "json", "markdown", "quiet")
_FREE: Final = ("target.api_key", "target.headers", "out.page")
"""Plan values that may be given again: sweep.json holds secrets masked, and a page changes no run."""


def _flag(name: str) -> str:
    """Return the flag, as it is typed, of a name in the arguments."""
    paths = {flag.path: flag.name for flag in FLAGS}
    return {**paths, **SETTINGS, "plan": "PLAN"}.get(name, f"--{name.replace('_', '-')}")


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(args).items() if name in SETTINGS}


def _directory(args: argparse.Namespace) -> str:
    return str(args.resume or getattr(args, "out.dir", ""))
