"""The command `loadgen mock`: a server with known truth."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from loadgen.mock.options import add_arguments

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command and its options; nothing heavy is imported before it runs."""
    parser = subparsers.add_parser(
        "mock",
        help="serve the API of a known server with known timing and injected faults",
        description="A server of the OpenAI dialect, or TGI or MindIE, that paces its answers as told, fails as told, "
        "and logs what it did.",
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from loadgen.mock.main import run

    return run(args)
