"""The command `loadgen`: finds the subcommand, runs it, and turns what goes wrong into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import loadgen
from loadgen.cli.parser import Parser
from loadgen.exit_codes import INTERRUPTED, OK, READER_GONE, USAGE
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

COMMANDS: Final = ("run", "sweep", "report", "compare", "ab", "mock", "backends", "grafana")
"""Each is a module of loadgen.cli that has add_parser(subparsers) and sets the default `run`: args -> exit code."""

_EPILOG: Final = """\
examples:
  loadgen run --backend vllm --url http://host:8000 --rate 10 --duration 60s --slo 'ttft.p99<500ms'
  loadgen run plan.toml --rate 20          the same from a file; flags override it
  loadgen sweep --url http://host:8000 --find max-rate --slo 'ttft.p99<500ms'
  loadgen report runs/2026-11-23T07-40-11-vllm-10
  loadgen mock --port 8000 --ttft 200ms --itl 20ms

exit codes: 0 valid and every SLO met, 1 an SLO missed, 2 usage, 3 INVALID: do not believe the numbers, 130 interrupted
"""


def parser(commands: Sequence[str] = COMMANDS) -> Parser:
    """Build the parser of the whole command line, or of some commands; imports nothing that takes long to import."""
    top = Parser(prog="loadgen", description="Offer load to an LLM inference server, and say what it did with it.",
                 epilog=_EPILOG)
    top.add_argument("--version", action="version", version=f"loadgen {loadgen.__version__}")
    subparsers = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name in commands:
        import_module(f"loadgen.cli.{name}").add_parser(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a mistake of the user is said on stderr in one line each."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        for line in str(error).splitlines():
            print(f"loadgen: error: {line}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # the reader of our output has gone, as in `loadgen report DIR | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:  # before the run took over the signal
        print("loadgen: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        raise UsageError(f"unknown command {arguments[0]!r}{did_you_mean(arguments[0], COMMANDS)}"
                         f"; there are {', '.join(COMMANDS)}")
    try:
        args = parser(arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS).parse_args(arguments)
    except SystemExit:  # --help and --version have said what was asked for
        return OK
    if args.command is None:
        raise UsageError(f"no command was given; there are {', '.join(COMMANDS)} (loadgen --help)")
    code: int = args.run(args)
    return code
